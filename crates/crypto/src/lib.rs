//! Cipher suites, PRFs, key exchanges and secrets, as IKEv2 and ESP name them.
//!
//! What this crate decides: which bytes go into which primitive, how long every key is, and which values a
//! peer sent are refused. The primitives are AWS-LC's wherever it has them (AES in every mode, HMAC, CMAC,
//! ChaCha20-Poly1305, elliptic curves); MODP exponentiation is `crypto-bigint`'s constant-time Montgomery
//! form; AES-XCBC (RFC 3566) and prf+ (RFC 7296 §2.13) are written here over AES and the PRFs.
//!
//! The crate is pure: randomness is an argument (`&mut dyn Rng`), so that a run with a [`SeededRng`] can be
//! repeated octet for octet. [`RealProvider`] keeps that promise too: every private value comes from the
//! caller's generator.

mod cbc;
mod cbc_iv;
mod ecdh;
mod error;
mod group;
mod hash;
mod mac;
mod modp;
mod packet_key;
mod prf;
mod provider;
mod rng;
mod secret;
mod sim_provider;
mod suite;

pub use cbc::CbcKey;
pub use cbc_iv::CbcIv;
pub use error::CryptoError;
pub use group::Group;
pub use hash::{sha1, sha256, sha384, sha512};
pub use packet_key::PacketKey;
pub use prf::Prf;
pub use provider::{KeyExchange, Provider, RealProvider};
pub use rng::{Rng, SeededRng};
pub use secret::{SecretBytes, ct_eq};
pub use sim_provider::SimProvider;
pub use suite::{Cipher, Integrity};
