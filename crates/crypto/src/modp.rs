//! MODP groups: finite-field Diffie-Hellman modulo a prime (RFC 7296 appendix B, RFC 3526, RFC 5114).
//!
//! Exponentiation is `crypto-bigint`'s Montgomery form with a fixed window: its time depends on the group
//! alone. Private exponents are short — twice the group's strength in bits and no less than 256 (RFC 3526 §1,
//! RFC 7919 §5.2), the subgroup's own size for groups 22 to 24 — which makes an exchange many times cheaper and
//! a peer that only wants to keep us busy as many times less harmful. Exponents and results are wiped after use;
//! `crypto-bigint`'s window table of powers of the public base is not.

mod constants;

use crate::{CryptoError, Group, KeyExchange, Rng, SecretBytes};
use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd};
use std::sync::OnceLock;
use zeroize::{Zeroize, Zeroizing};

/// Draws before the generator is declared broken: a sound one misses the least favourable range (group 23, whose
/// order is just above 2^223) every second time, so all of them once in 2^128.
const MAX_DRAWS: usize = 128;

/// One side of a MODP exchange.
pub(crate) struct ModpExchange {
    group: Group,
    field: &'static Field,
    exponent: SecretBytes,
    public: Vec<u8>,
}

impl ModpExchange {
    /// A fresh private exponent of `group`, which is a MODP group.
    pub(crate) fn new(group: Group, rng: &mut dyn Rng) -> Result<Self, CryptoError> {
        let field = Field::of(group).ok_or(CryptoError::Library { operation: "MODP on an elliptic curve" })?;
        let exponent = field.draw_exponent(rng).ok_or(CryptoError::BadRandomness { group })?;
        Ok(Self::with_exponent(group, field, exponent))
    }

    fn with_exponent(group: Group, field: &'static Field, exponent: SecretBytes) -> Self {
        let public = field.pow(&field.generator, &exponent).to_vec();
        Self { group, field, exponent, public }
    }
}

impl KeyExchange for ModpExchange {
    fn group(&self) -> Group {
        self.group
    }

    fn public(&self) -> &[u8] {
        &self.public
    }

    fn agree(self: Box<Self>, peer_public: &[u8]) -> Result<SecretBytes, CryptoError> {
        self.field
            .check_public(peer_public)
            .map_err(|reason| CryptoError::BadPublicValue { group: self.group, reason })?;
        let secret = self.field.pow(peer_public, &self.exponent);
        // All octets of the modulus' length, leading zeros included (RFC 7296 §2.14).
        Ok(SecretBytes::from(secret.as_slice()))
    }
}

/// A group's constants, made ready once.
struct Field {
    params: BoxedMontyParams,
    /// Bits of the modulus.
    bits: u32,
    /// p − 1, big-endian, of the modulus' length.
    modulus_minus_one: Vec<u8>,
    /// g, big-endian, of the modulus' length.
    generator: Vec<u8>,
    /// The order of the subgroup, big-endian, where it is much smaller than the modulus.
    order: Option<SecretBytes>,
    /// Bits of a private exponent.
    exponent_bits: usize,
}

impl Field {
    fn of(group: Group) -> Option<&'static Self> {
        use constants::*;
        static FIELDS: [OnceLock<Field>; 10] = [const { OnceLock::new() }; 10];
        // The group's place in FIELDS, its modulus, generator, order, and the bits of an exponent. Strengths:
        // RFC 3526 §8 and NIST SP 800-57 part 1 table 2.
        let (index, modulus, generator, order, exponent_bits) = match group {
            Group::Modp1024 => (0, MODP_1024, "02", None, 256),
            Group::Modp1536 => (1, MODP_1536, "02", None, 256),
            Group::Modp2048 => (2, MODP_2048, "02", None, 256),
            Group::Modp3072 => (3, MODP_3072, "02", None, 272),
            Group::Modp4096 => (4, MODP_4096, "02", None, 304),
            Group::Modp6144 => (5, MODP_6144, "02", None, 352),
            Group::Modp8192 => (6, MODP_8192, "02", None, 400),
            Group::Modp1024S160 => (7, MODP_1024_S160, MODP_1024_S160_GENERATOR, Some(MODP_1024_S160_ORDER), 160),
            Group::Modp2048S224 => (8, MODP_2048_S224, MODP_2048_S224_GENERATOR, Some(MODP_2048_S224_ORDER), 224),
            Group::Modp2048S256 => (9, MODP_2048_S256, MODP_2048_S256_GENERATOR, Some(MODP_2048_S256_ORDER), 256),
            Group::Ecp256 | Group::Ecp384 | Group::Ecp521 | Group::Curve25519 => return None,
        };
        Some(FIELDS[index].get_or_init(|| Self::new(modulus, generator, order, exponent_bits)))
    }

    fn new(modulus: &str, generator: &str, order: Option<&str>, exponent_bits: usize) -> Self {
        let modulus = from_hex(modulus);
        let mut modulus_minus_one = modulus.clone();
        if let Some(last) = modulus_minus_one.last_mut() {
            *last &= !1;
        }
        let generator = from_hex(generator);
        let mut padded = vec![0; modulus.len() - generator.len()];
        padded.extend_from_slice(&generator);
        let bits = 8 * modulus.len() as u32;
        let odd = Odd::new(integer(&modulus, bits)).into_option().expect("every modulus is an odd prime");
        Self {
            params: BoxedMontyParams::new_vartime(odd),
            bits,
            modulus_minus_one,
            generator: padded,
            order: order.map(|order| from_hex(order).into()),
            exponent_bits,
        }
    }

    /// A uniform exponent: 2 ≤ x < 2^exponent_bits, and below the subgroup's order where that is small.
    fn draw_exponent(&self, rng: &mut dyn Rng) -> Option<SecretBytes> {
        let mut exponent = Zeroizing::new(vec![0; self.exponent_bits / 8]);
        for _ in 0..MAX_DRAWS {
            rng.fill(&mut exponent);
            let below_order = self.order.as_ref().is_none_or(|order| is_less(&exponent, order.expose()));
            if below_order && !is_zero_or_one(&exponent) {
                return Some(SecretBytes::from(exponent.as_slice()));
            }
        }
        None
    }

    /// The tests RFC 6989 §2.1 and §2.2 demand; what fails is the error.
    fn check_public(&self, peer_public: &[u8]) -> Result<(), &'static str> {
        if peer_public.len() != self.modulus_minus_one.len() {
            return Err("its length is not the group's");
        }
        // 1 < y < p − 1. Octet strings of one length compare as the numbers they stand for.
        if is_zero_or_one(peer_public) || peer_public >= self.modulus_minus_one.as_slice() {
            return Err("it is out of range");
        }
        // RFC 6989 §2.2: y^q = 1 where the group has small subgroups.
        if let Some(order) = &self.order {
            let power = self.pow(peer_public, order);
            let is_one = power.last() == Some(&1) && is_zero_or_one(&power);
            if !is_one {
                return Err("it is outside the group's prime-order subgroup");
            }
        }
        Ok(())
    }

    /// base^exponent mod p, big-endian, of the modulus' length. `base` is below p.
    fn pow(&self, base: &[u8], exponent: &SecretBytes) -> Zeroizing<Vec<u8>> {
        let exponent_bits = 8 * exponent.len() as u32;
        let mut exponent = integer(exponent.expose(), exponent_bits);
        let base = BoxedMontyForm::new(integer(base, self.bits), &self.params);
        let mut power = base.pow_bounded_exp(&exponent, exponent_bits);
        exponent.zeroize();
        let mut result = power.retrieve();
        power.zeroize();
        let octets = Zeroizing::new(result.to_be_bytes().into_vec());
        result.zeroize();
        octets
    }
}

fn integer(octets: &[u8], bits: u32) -> BoxedUint {
    BoxedUint::from_be_slice(octets, bits).expect("the precision is that of the octets")
}

/// Whether the big-endian number is 0 or 1, in a time that depends on its length alone.
fn is_zero_or_one(octets: &[u8]) -> bool {
    let Some((last, rest)) = octets.split_last() else {
        return true;
    };
    rest.iter().fold(last & !1, |sum, octet| sum | octet) == 0
}

/// Whether a < b, both big-endian and of one length, in a time that depends on that length alone.
fn is_less(a: &[u8], b: &[u8]) -> bool {
    // The borrow of a − b, octet by octet from the last.
    let digits = a.iter().zip(b).rev();
    digits.fold(0, |borrow, (a, b)| (u16::from(*a).wrapping_sub(u16::from(*b)).wrapping_sub(borrow)) >> 15) == 1
}

/// The octets of one of our own constants.
fn from_hex(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |octet, digit| octet << 4 | (*digit as char).to_digit(16).unwrap_or(0) as u8))
        .collect()
}

#[cfg(test)]
mod tests;
