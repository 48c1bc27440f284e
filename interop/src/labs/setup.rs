//! Configurations the labs share: two sites, one connection `site`, one child `net`.

use crate::strongswan::{SwanChild, SwanConnection};
use crate::topology::address;

/// The pre-shared key of every lab.
pub(super) const PSK: &str = "a key for the lab only, 0123456789";
/// What charon offers and accepts for IKE unless a lab says otherwise.
pub(super) const IKE_PROPOSALS: &str =
    "aes128gcm16-prfsha256-x25519,aes128-sha256-modp2048,aes128-sha1-modp2048";

/// A strongSwan as gateway 2 with gateway 1 as its peer.
pub(super) fn swan_at_g2() -> SwanConnection {
    SwanConnection {
        name: "site".to_owned(),
        local_address: address::G2.to_string(),
        remote_address: address::G1.to_string(),
        local_id: "g2.test".to_owned(),
        remote_id: "g1.test".to_owned(),
        psk: PSK.to_owned(),
        proposals: IKE_PROPOSALS.to_owned(),
        dpd_seconds: 0,
        rekey_seconds: 0,
        fragmentation: "yes".to_owned(),
        extra: Vec::new(),
        children: vec![swan_child(address::NET2, address::NET1)],
    }
}

/// A strongSwan as gateway 1 with gateway 2 as its peer.
pub(super) fn swan_at_g1() -> SwanConnection {
    SwanConnection {
        local_address: address::G1.to_string(),
        remote_address: address::G2.to_string(),
        local_id: "g1.test".to_owned(),
        remote_id: "g2.test".to_owned(),
        children: vec![swan_child(address::NET1, address::NET2)],
        ..swan_at_g2()
    }
}

/// The child `net` with AES-128-GCM.
pub(super) fn swan_child(local: &str, remote: &str) -> SwanChild {
    SwanChild {
        name: "net".to_owned(),
        local_ts: local.to_owned(),
        remote_ts: remote.to_owned(),
        esp_proposals: "aes128gcm16".to_owned(),
        rekey_seconds: 0,
        extra: Vec::new(),
    }
}
