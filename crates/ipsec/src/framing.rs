//! The framing both directions of ESP share: what is authenticated around the ciphertext (RFC 4303 §2.2.1 and §2.8,
//! RFC 4106 §5, RFC 7634 §2.1).
//!
//! ```text
//!                on the wire                           authenticated, not sent
//!   AEAD         SPI, low 32 bits; IV, text, ICV       AAD = SPI, [high 32 bits,] low 32 bits
//!   cipher, MAC  SPI, low 32 bits; IV, text, ICV       after the text: [high 32 bits]
//! ```

use crypto::PacketKey;

use crate::spi::Spi;
use crate::suite::{EspKeys, EspSuite};

/// Next header of a tunnelled IPv4 packet.
pub(crate) const NEXT_HEADER_IPV4: u8 = 4;
/// Next header of a tunnelled IPv6 packet.
pub(crate) const NEXT_HEADER_IPV6: u8 = 41;
/// Next header of a dummy packet (RFC 4303 §2.6).
pub(crate) const NEXT_HEADER_NONE: u8 = 59;

/// Keys that do not fit the suite.
#[derive(Debug, thiserror::Error)]
#[error("ESP keys do not fit {suite}")]
pub struct SaError {
    /// The suite they were given for.
    pub suite: EspSuite,
    /// What is wrong.
    #[source]
    pub source: crypto::CryptoError,
}

pub(crate) fn packet_key(suite: EspSuite, keys: &EspKeys) -> Result<PacketKey, SaError> {
    PacketKey::new(suite.cipher, suite.integrity, keys.encryption.expose(), keys.integrity.expose())
        .map_err(|source| SaError { suite, source })
}

/// What stands around the ciphertext in the authentication of one packet.
pub(crate) struct Associated {
    bytes: [u8; 12],
    aad_len: usize,
    trailer_len: usize,
}

impl Associated {
    pub(crate) fn new(suite: EspSuite, spi: Spi, sequence: u64) -> Self {
        let mut bytes = [0; 12];
        let [high, low] = halves(sequence);
        bytes[..4].copy_from_slice(&spi.to_be_bytes());
        let (aad_len, trailer_len) = match (suite.esn, suite.cipher.is_aead()) {
            (true, true) => {
                bytes[4..8].copy_from_slice(&high);
                bytes[8..].copy_from_slice(&low);
                (12, 0)
            }
            (esn, _) => {
                bytes[4..8].copy_from_slice(&low);
                bytes[8..].copy_from_slice(&high);
                (8, if esn { 4 } else { 0 })
            }
        };
        Self { bytes, aad_len, trailer_len }
    }

    pub(crate) fn aad(&self) -> &[u8] {
        &self.bytes[..self.aad_len]
    }

    pub(crate) fn trailer(&self) -> &[u8] {
        &self.bytes[8..8 + self.trailer_len]
    }
}

/// High and low 32 bits in network order.
pub(crate) fn halves(sequence: u64) -> [[u8; 4]; 2] {
    let [a, b, c, d, e, f, g, h] = sequence.to_be_bytes();
    [[a, b, c, d], [e, f, g, h]]
}
