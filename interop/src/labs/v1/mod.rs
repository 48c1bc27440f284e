//! IKEv1 (RFC 2409) with a strongSwan: main mode, quick mode and informational exchanges, in both roles. One topic a file.

mod sanity;

use super::setup::{Ours, swan_at_g1, swan_at_g2};
use crate::registry::Lab;
use crate::strongswan::SwanConnection;
use crate::topology::address;

/// Every lab of IKEv1 with a strongSwan.
pub(super) fn labs() -> Vec<Lab> {
    [sanity::LABS].concat()
}

/// The algorithms both ends offer and accept.
#[derive(Debug, Clone, Copy)]
struct Suite {
    /// Of phase 1.
    ike: &'static str,
    /// Of phase 2, with the group of PFS.
    esp: &'static str,
    /// What strongSwan calls those of phase 2: encryption and integrity.
    listed: (&'static str, &'static str),
}

/// What the downloads of managed services and the routers of third parties ask for.
const LEGACY: Suite =
    Suite { ike: "aes128-sha1-modp1024", esp: "aes128-sha1-modp1024", listed: ("AES_CBC-128", "HMAC_SHA1_96") };

/// The best that IKEv1's peers commonly have.
const STRONGER: Suite = Suite {
    ike: "aes256-sha256-modp2048",
    esp: "aes256-sha256-modp2048",
    listed: ("AES_CBC-256", "HMAC_SHA2_256_128"),
};

impl Suite {
    /// strongSwan's connection with this suite, in IKEv1.
    fn swan(self, mut swan: SwanConnection) -> SwanConnection {
        swan.version = 1;
        swan.proposals = self.ike.to_owned();
        for child in &mut swan.children {
            child.esp_proposals = self.esp.to_owned();
        }
        swan
    }

    /// strongSwan as gateway 2.
    fn swan_at_g2(self) -> SwanConnection {
        self.swan(swan_at_g2())
    }

    /// strongSwan as gateway 1.
    fn swan_at_g1(self) -> SwanConnection {
        self.swan(swan_at_g1())
    }

    /// Our connection with this suite, in IKEv1. (strongSwan's libipsec knows no ESP but in UDP.)
    fn ours(self, ours: Ours) -> Ours {
        let mut ours = Ours { ike: vec![self.ike], esp: vec![self.esp], ..ours };
        ours.connection.extend(["ike_version = \"ikev1\"", "encapsulation = \"force\""].map(str::to_owned));
        ours
    }
}

/// The same strongSwan behind the NAT router of site 1.
fn behind_nat(mut swan: SwanConnection) -> SwanConnection {
    swan.local_address = address::G1_PRIVATE.to_string();
    swan
}

/// The same strongSwan for a peer whose address it does not know.
fn for_anybody(mut swan: SwanConnection) -> SwanConnection {
    swan.remote_address = "%any".to_owned();
    swan
}
