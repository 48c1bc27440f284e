//! NAT detection (RFC 7296 §2.23): each end hashes the addresses as it sees them, the other compares.

use crate::config::{EncapsulationPolicy, Path};
use crate::wire::{IkeSpi, Notify, NotifyType, Payload};
use crypto::Rng;
use std::net::{IpAddr, SocketAddr};

/// What NAT detection found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Nat {
    /// A NAT changes our address before the peer sees it.
    pub local: bool,
    /// A NAT changes the peer's address before we see it.
    pub remote: bool,
    /// The peer sent detection payloads, so it can encapsulate in UDP.
    pub supported: bool,
}

impl Nat {
    /// Whether ESP must be encapsulated in UDP.
    pub fn found(self) -> bool {
        self.local || self.remote
    }
}

/// SHA1(SPIi | SPIr | address | port).
fn hash(spi_i: IkeSpi, spi_r: IkeSpi, address: SocketAddr) -> [u8; 20] {
    let port = address.port().to_be_bytes();
    match address.ip() {
        IpAddr::V4(ip) => crypto::sha1(&[&spi_i.0, &spi_r.0, &ip.octets(), &port]),
        IpAddr::V6(ip) => crypto::sha1(&[&spi_i.0, &spi_r.0, &ip.octets(), &port]),
    }
}

/// The two notifies for a message that leaves on `path`. Forced encapsulation hashes a made-up source.
pub(crate) fn payloads(
    spi_i: IkeSpi,
    spi_r: IkeSpi,
    path: Path,
    policy: EncapsulationPolicy,
    rng: &mut dyn Rng,
) -> [Payload; 2] {
    let mut source = hash(spi_i, spi_r, path.local);
    if policy == EncapsulationPolicy::Force {
        rng.fill(&mut source);
    }
    let destination = hash(spi_i, spi_r, path.remote);
    [
        Payload::Notify(Notify::with_data(NotifyType::NAT_DETECTION_SOURCE_IP, source.to_vec())),
        Payload::Notify(Notify::with_data(NotifyType::NAT_DETECTION_DESTINATION_IP, destination.to_vec())),
    ]
}

/// Compares a received message's notifies with what `path` looks like from here. Several SOURCE notifies are allowed:
/// one that matches is enough. A peer that sends none cannot encapsulate, so nothing is found.
pub(crate) fn detect(
    spi_i: IkeSpi,
    spi_r: IkeSpi,
    path: Path,
    policy: EncapsulationPolicy,
    payloads: &[Payload],
) -> Nat {
    let of = |wanted: NotifyType| {
        payloads.iter().filter_map(move |payload| match payload {
            Payload::Notify(notify) if notify.ty == wanted => Some(notify.data.as_slice()),
            _ => None,
        })
    };
    let source = hash(spi_i, spi_r, path.remote);
    let destination = hash(spi_i, spi_r, path.local);
    let mut sources = of(NotifyType::NAT_DETECTION_SOURCE_IP).peekable();
    let mut destinations = of(NotifyType::NAT_DETECTION_DESTINATION_IP).peekable();
    let supported = sources.peek().is_some() && destinations.peek().is_some();
    Nat {
        supported,
        remote: supported && !sources.any(|data| data == source),
        local: supported && (!destinations.any(|data| data == destination) || policy == EncapsulationPolicy::Force),
    }
}
