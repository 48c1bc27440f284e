//! What can go wrong in a cryptographic operation, and whose fault it is.

use crate::{Cipher, Group, Integrity};

/// Why a key, a packet or a key exchange was refused.
///
/// Nothing here carries secret material: lengths, names and fixed sentences only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// A key has not the length its algorithm demands (our fault, or a broken key derivation).
    #[error("{what} needs a key of {expected} octets, got {actual}")]
    BadKeyLength {
        /// The algorithm's name.
        what: &'static str,
        /// Octets demanded, salt included.
        expected: usize,
        /// Octets given.
        actual: usize,
    },
    /// The cipher and the integrity algorithm do not go together (RFC 7296 §3.3.3): an AEAD cipher brings its
    /// own, every other cipher needs one.
    #[error("{} cannot be used {}", cipher.name(), integrity.map_or("without an integrity algorithm", |_| "with a separate integrity algorithm"))]
    BadSuite {
        /// The cipher asked for.
        cipher: Cipher,
        /// The integrity algorithm asked for.
        integrity: Option<Integrity>,
    },
    /// An initialization vector has the wrong length (our fault).
    #[error("{} needs an IV of {expected} octets, got {actual}", cipher.name())]
    BadIvLength {
        /// The cipher in use.
        cipher: Cipher,
        /// Octets demanded.
        expected: usize,
        /// Octets given.
        actual: usize,
    },
    /// A trailer was given to an AEAD cipher, which authenticates nothing after the ciphertext (our fault).
    #[error("{} takes no trailer: put it into the additional authenticated data", cipher.name())]
    TrailerWithAead {
        /// The cipher in use.
        cipher: Cipher,
    },
    /// The buffer cannot even hold IV and integrity check value.
    #[error("the packet buffer holds {actual} octets, at least {needed} are needed")]
    BufferTooSmall {
        /// Octets needed at least.
        needed: usize,
        /// Octets given.
        actual: usize,
    },
    /// The text to encrypt or decrypt is not a whole number of cipher blocks.
    #[error("{actual} octets are not a whole number of {block}-octet blocks")]
    NotWholeBlocks {
        /// Block length in octets.
        block: usize,
        /// Octets given.
        actual: usize,
    },
    /// The integrity check failed: the packet was damaged, forged, or protected with another key.
    #[error("the integrity check failed")]
    AuthenticationFailed,
    /// The peer's key exchange data is not a public value of the group (RFC 6989 §2, RFC 7748 §6.1).
    #[error("the peer's public value for {} is refused: {reason}", group.name())]
    BadPublicValue {
        /// The group in use.
        group: Group,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// prf+ was asked for more than 255 blocks (RFC 7296 §2.13).
    #[error("prf+ yields at most {limit} octets, {asked} were asked for")]
    PrfPlusTooLong {
        /// 255 times the PRF's output length.
        limit: usize,
        /// Octets asked for.
        asked: usize,
    },
    /// The random generator repeatedly gave values which cannot be private keys: it is broken.
    #[error("the random generator yields no usable private value for {}", group.name())]
    BadRandomness {
        /// The group in use.
        group: Group,
    },
    /// The cryptographic library refused an operation which cannot fail but for lack of memory.
    #[error("the cryptographic library failed at {operation}")]
    Library {
        /// What was tried.
        operation: &'static str,
    },
}
