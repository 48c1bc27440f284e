//! Security Parameters Index (RFC 4301 §4.1, RFC 4303 §2.1): which values may name an SA.

use std::fmt;
use std::num::NonZeroU32;

/// The SPI of one ESP SA. Never 0 (reserved for local use) and never 1..=255 (reserved by IANA), RFC 4303 §2.1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spi(NonZeroU32);

impl Spi {
    /// The smallest value an SA may carry.
    pub const FIRST: u32 = 256;

    /// `None` for the reserved values below 256 (RFC 4303 §2.1).
    #[must_use]
    pub const fn new(value: u32) -> Option<Self> {
        if value < Self::FIRST {
            return None;
        }
        match NonZeroU32::new(value) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// Reads an SPI of four bytes in network order, as ESP and the SPI fields of IKE payloads carry it.
    #[must_use]
    pub const fn from_be_bytes(bytes: [u8; 4]) -> Option<Self> {
        Self::new(u32::from_be_bytes(bytes))
    }

    /// The value as a number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The four bytes of the wire.
    #[must_use]
    pub const fn to_be_bytes(self) -> [u8; 4] {
        self.0.get().to_be_bytes()
    }
}

impl fmt::Display for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0.get())
    }
}

impl fmt::Debug for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spi({self})")
    }
}

/// The two SAs of a Child SA, named by the SPI each receiver chose.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SpiPair {
    /// Chosen by us, carried by what we receive.
    pub inbound: Spi,
    /// Chosen by the peer, carried by what we send.
    pub outbound: Spi,
}

impl SpiPair {
    /// The same pair as the peer names it.
    #[must_use]
    pub const fn swapped(self) -> Self {
        Self { inbound: self.outbound, outbound: self.inbound }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_values_are_no_spi() {
        for value in 0..256 {
            assert_eq!(Spi::new(value), None, "{value}");
        }
        assert_eq!(Spi::new(256).map(Spi::get), Some(256));
        assert_eq!(Spi::new(u32::MAX).map(Spi::get), Some(u32::MAX));
    }

    #[test]
    fn displays_as_eight_hex_digits() {
        let spi = Spi::new(0xc0de).unwrap();
        assert_eq!(spi.to_string(), "0x0000c0de");
        assert_eq!(Spi::from_be_bytes(spi.to_be_bytes()), Some(spi));
    }
}
