//! NAT detection of IKEv1 (RFC 3947 §3.2): as IKEv2's, with the negotiated hash, and payloads of its own.
//!
//! The first NAT-D payload hashes the address its message is sent *to*, those behind it the sender's own.

use super::wire::Payload;
use super::{IsakmpSa, keys};
use crate::config::{EncapsulationPolicy, Path};
use crate::nat::Nat;
use crate::wire::IkeSpi;
use crypto::{Prf, Rng};
use std::net::{IpAddr, SocketAddr};

fn hash(prf: Prf, cookies: (IkeSpi, IkeSpi), address: SocketAddr) -> Vec<u8> {
    let port = address.port().to_be_bytes();
    match address.ip() {
        IpAddr::V4(ip) => keys::hash(prf, &[&cookies.0.0, &cookies.1.0, &ip.octets(), &port]),
        IpAddr::V6(ip) => keys::hash(prf, &[&cookies.0.0, &cookies.1.0, &ip.octets(), &port]),
    }
}

impl IsakmpSa {
    /// The two payloads for a message that leaves now; none for a peer that knows no NAT traversal.
    pub(crate) fn nat_payloads(&self, prf: Prf, rng: &mut dyn Rng) -> Vec<Payload> {
        let Some(version) = self.features.nat else { return Vec::new() };
        let destination = hash(prf, self.cookies(), self.path.remote);
        let mut source = hash(prf, self.cookies(), self.path.local);
        if self.peer.encapsulation == EncapsulationPolicy::Force {
            rng.fill(&mut source);
        }
        vec![version.discovery(destination), version.discovery(source)]
    }

    /// What the peer's NAT-D payloads say about a message that came on `path`. One of several sources that matches is
    /// enough (RFC 3947 §3.2).
    pub(crate) fn detect_nat(&self, prf: Prf, path: Path, payloads: &[Payload]) -> Nat {
        let mut hashes = payloads.iter().filter_map(|payload| match payload {
            Payload::NatDiscovery { hash, .. } => Some(hash),
            _ => None,
        });
        let Some(destination) = hashes.next() else { return Nat::default() };
        let sources: Vec<&Vec<u8>> = hashes.collect();
        let forced = self.peer.encapsulation == EncapsulationPolicy::Force;
        let (here, there) = (hash(prf, self.cookies(), path.local), hash(prf, self.cookies(), path.remote));
        Nat {
            supported: true,
            local: *destination != here || forced,
            remote: !sources.is_empty() && !sources.contains(&&there),
        }
    }
}
