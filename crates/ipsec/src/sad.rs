//! The Security Association Database of what is received (RFC 4301 §4.4.2, unicast: the SPI alone names the SA), and the
//! telling apart of what arrives on port 4500 (RFC 3948 §2).

use std::collections::BTreeMap;
use std::sync::Arc;

use crypto::Rng;

use crate::inbound::InboundSa;
use crate::spi::Spi;
use crate::suite::ESP_HEADER_LEN;

/// Tries at a random SPI before [`Sad::free_spi`] walks on from the last one.
const RANDOM_TRIES: u32 = 16;

/// Inbound SAs by SPI. Cloning copies references: a changed clone is published whole, as the packet path needs it.
#[derive(Clone, Debug, Default)]
pub struct Sad {
    inbound: BTreeMap<Spi, Arc<InboundSa>>,
}

/// An SPI that is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("SPI {0} already names an inbound SA")]
pub struct SpiInUse(pub Spi);

impl Sad {
    /// Without any SA.
    #[must_use]
    pub const fn new() -> Self {
        Self { inbound: BTreeMap::new() }
    }

    /// Adds an SA under its SPI.
    ///
    /// # Errors
    /// [`SpiInUse`] where another SA has the SPI; that one stays.
    pub fn insert(&mut self, sa: Arc<InboundSa>) -> Result<(), SpiInUse> {
        let spi = sa.spi();
        if self.inbound.contains_key(&spi) {
            return Err(SpiInUse(spi));
        }
        self.inbound.insert(spi, sa);
        Ok(())
    }

    /// Takes an SA out; packets already holding it finish.
    pub fn remove(&mut self, spi: Spi) -> Option<Arc<InboundSa>> {
        self.inbound.remove(&spi)
    }

    /// The SA of an SPI.
    #[must_use]
    pub fn get(&self, spi: Spi) -> Option<&Arc<InboundSa>> {
        self.inbound.get(&spi)
    }

    /// How many SAs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inbound.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inbound.is_empty()
    }

    /// The SAs in order of their SPI.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<InboundSa>> {
        self.inbound.values()
    }

    /// A random SPI that names no inbound SA. The caller keeps apart those handed out and not yet installed.
    pub fn free_spi(&self, rng: &mut dyn Rng) -> Spi {
        random_spi(rng, |spi| self.inbound.contains_key(&spi))
    }
}

/// A random SPI that is not `taken`. At most 2^32 - 256 may be.
pub fn random_spi(rng: &mut dyn Rng, taken: impl Fn(Spi) -> bool) -> Spi {
    let mut value = rng.next_u32();
    let mut tries = 0;
    loop {
        if let Some(spi) = Spi::new(value)
            && !taken(spi)
        {
            return spi;
        }
        tries += 1;
        value = if tries < RANDOM_TRIES { rng.next_u32() } else { value.wrapping_add(1) };
    }
}

/// What a datagram on the NAT traversal port is (RFC 3948 §2.2, §2.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Demux<'a> {
    /// An IKE message; the four zero bytes in front are gone.
    Ike(&'a [u8]),
    /// One byte of 0xFF, to be swallowed.
    Keepalive,
    /// An ESP packet for the SA of this SPI; all of the datagram is it.
    Esp(Spi),
    /// Too short for any of these.
    TooShort,
    /// An SPI of 1 to 255, which no SA has.
    ReservedSpi(u32),
}

/// Tells apart what arrives on the NAT traversal port. With UDP GRO, ask for every segment, not for the whole.
#[must_use]
pub fn demux(datagram: &[u8]) -> Demux<'_> {
    if datagram == [0xff] {
        return Demux::Keepalive;
    }
    match datagram.split_first_chunk::<4>() {
        Some(([0, 0, 0, 0], message)) => Demux::Ike(message),
        _ => demux_esp(datagram),
    }
}

/// The SPI of a packet of IP protocol 50; never `Ike` or `Keepalive`.
#[must_use]
pub fn demux_esp(packet: &[u8]) -> Demux<'_> {
    match packet.first_chunk::<ESP_HEADER_LEN>() {
        None => Demux::TooShort,
        Some([a, b, c, d, ..]) => {
            let value = u32::from_be_bytes([*a, *b, *c, *d]);
            Spi::new(value).map_or(Demux::ReservedSpi(value), Demux::Esp)
        }
    }
}
