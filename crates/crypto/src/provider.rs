//! Key exchange behind one [`Provider`] trait, so that a simulation can replace the only slow part.

use crate::{CryptoError, Group, Rng, SecretBytes, ecdh, modp};
use std::fmt;

/// One side of a key exchange: a private value, used once.
pub trait KeyExchange: Send {
    /// The group.
    fn group(&self) -> Group;

    /// Our Key Exchange Data, [`Group::public_len`] octets.
    fn public(&self) -> &[u8];

    /// The shared secret g^ir, [`Group::secret_len`] octets, from the peer's Key Exchange Data.
    ///
    /// # Errors
    /// [`CryptoError::BadPublicValue`] when that is no public value of the group, by the tests of RFC 6989 §2
    /// and RFC 8031 §3.2.
    fn agree(self: Box<Self>, peer_public: &[u8]) -> Result<SecretBytes, CryptoError>;
}

impl fmt::Debug for dyn KeyExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyExchange").field("group", &self.group()).finish_non_exhaustive()
    }
}

/// Makes key exchanges.
pub trait Provider: Send + Sync + fmt::Debug {
    /// A fresh private value of `group`, drawn from `rng` alone.
    ///
    /// # Errors
    /// [`CryptoError::BadRandomness`] when `rng` is broken.
    fn key_exchange(&self, group: Group, rng: &mut dyn Rng) -> Result<Box<dyn KeyExchange>, CryptoError>;

    /// What to call this provider in a log.
    fn name(&self) -> &'static str;
}

/// The provider of every real gateway: the groups as their RFCs define them.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealProvider;

impl Provider for RealProvider {
    fn key_exchange(&self, group: Group, rng: &mut dyn Rng) -> Result<Box<dyn KeyExchange>, CryptoError> {
        Ok(match group {
            Group::Modp1024
            | Group::Modp1536
            | Group::Modp2048
            | Group::Modp3072
            | Group::Modp4096
            | Group::Modp6144
            | Group::Modp8192
            | Group::Modp1024S160
            | Group::Modp2048S224
            | Group::Modp2048S256 => Box::new(modp::ModpExchange::new(group, rng)?),
            Group::Ecp256 | Group::Ecp384 | Group::Ecp521 | Group::Curve25519 => {
                Box::new(ecdh::EcdhExchange::new(group, rng)?)
            }
        })
    }

    fn name(&self) -> &'static str {
        "real"
    }
}
