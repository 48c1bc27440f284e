//! The keys that decrypt what a connection's peers and we send each other, for whoever captures it and may see it. They are
//! collected from the SAs when asked for and kept nowhere else; what holds them is wiped when dropped and shows nothing in a Debug.
//!
//! Keys of MACs are not among them: nobody needs them to read, and with them packets could be forged.

use crate::Engine;
use crypto::SecretBytes;
use ike::config::PeerName;
use ike::endpoint::IkeKeyExport;
use ipsec::{Encapsulation, EspSuite, Spi};
use std::net::IpAddr;

/// What decrypts the ESP packets of one direction of a child SA.
#[derive(Clone, Debug)]
pub struct EspKeyExport {
    /// With whom.
    pub peer: PeerName,
    /// The SA.
    pub spi: Spi,
    /// Who sends on it.
    pub source: IpAddr,
    /// Who receives.
    pub destination: IpAddr,
    /// Its algorithms.
    pub suite: EspSuite,
    /// The cipher's key, the salt of an AEAD at its end.
    pub key: SecretBytes,
}

/// The keys of some connections.
#[derive(Clone, Debug, Default)]
pub struct KeyExport {
    /// Of IKE SAs.
    pub ike: Vec<IkeKeyExport>,
    /// Of child SAs, two for each.
    pub esp: Vec<EspKeyExport>,
}

impl Engine {
    /// The keys of all SAs that there are now with these peers.
    #[must_use]
    pub fn export_keys(&self, wanted: impl Fn(&PeerName) -> bool) -> KeyExport {
        let mut esp = Vec::new();
        for child in self.children.by_id.values().filter(|child| wanted(&child.peer)) {
            let (local, remote) = match child.encapsulation {
                Encapsulation::Udp { local, remote } => (local.ip(), remote.ip()),
                Encapsulation::Plain { local, remote } => (local, remote),
            };
            let export = |spi, source, destination, key: &SecretBytes| EspKeyExport {
                peer: child.peer.clone(),
                spi,
                source,
                destination,
                suite: child.suite,
                key: key.clone(),
            };
            esp.push(export(child.spis.outbound, local, remote, child.outbound.cipher_key()));
            esp.push(export(child.spis.inbound, remote, local, child.inbound.cipher_key()));
        }
        KeyExport { ike: self.endpoint().export_keys(wanted), esp }
    }
}
