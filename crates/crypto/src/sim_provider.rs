//! A key exchange for simulations: repeatable, cheap, and **worthless as protection**.
//!
//! Both sides compute in the 61-bit prime field of 2^61 − 1, whose discrete logarithms a laptop finds; in
//! return one exchange costs well under a microsecond, so that millions of simulated rekeys are affordable.
//! Lengths on the wire and refusals of malformed values are those of the real group, and a public value
//! changed on its way never leads to the same secret on both sides.

use crate::rng::{SPLIT_MIX_STEP, split_mix};
use crate::{CryptoError, Group, KeyExchange, Provider, Rng, SecretBytes};
use zeroize::Zeroizing;

/// A prime, and one by which reduction needs no division.
const P: u64 = (1 << 61) - 1;

/// A generator of the whole multiplicative group modulo [`P`].
const G: u64 = 37;

/// Octets of a public value that carry g^x; the others follow from them.
const HEAD: usize = 8;

/// The provider of simulations and of nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub struct SimProvider;

impl Provider for SimProvider {
    fn key_exchange(&self, group: Group, rng: &mut dyn Rng) -> Result<Box<dyn KeyExchange>, CryptoError> {
        // 2..P-1: neither 1 nor the generator itself becomes a public value.
        let exponent = 2 + rng.below(P - 3);
        let public = expand(pow(G, exponent), group, group.public_len());
        Ok(Box::new(SimExchange { group, exponent: Zeroizing::new(exponent), public }))
    }

    fn name(&self) -> &'static str {
        "simulated"
    }
}

struct SimExchange {
    group: Group,
    exponent: Zeroizing<u64>,
    public: Vec<u8>,
}

impl KeyExchange for SimExchange {
    fn group(&self) -> Group {
        self.group
    }

    fn public(&self) -> &[u8] {
        &self.public
    }

    fn agree(self: Box<Self>, peer_public: &[u8]) -> Result<SecretBytes, CryptoError> {
        let refuse = |reason| CryptoError::BadPublicValue { group: self.group, reason };
        if peer_public.len() != self.group.public_len() {
            return Err(refuse("its length is not the group's"));
        }
        let head = peer_public.first_chunk::<HEAD>().ok_or(refuse("its length is not the group's"))?;
        let peer = u64::from_be_bytes(*head);
        if !(2..P - 1).contains(&peer) {
            return Err(refuse("it is out of range"));
        }
        let expected = expand(peer, self.group, self.group.public_len());
        let base = if expected == peer_public {
            peer
        } else if matches!(self.group, Group::Ecp256 | Group::Ecp384 | Group::Ecp521) {
            // Almost no pair of coordinates is a point of the curve.
            return Err(refuse("it is not a point of the curve"));
        } else {
            // In the other groups a damaged value is another valid value: the two secrets differ.
            digest(peer_public) % (P - 3) + 2
        };
        let secret = pow(base, *self.exponent);
        // Another domain than the public values', lest a secret equal some public value.
        Ok(expand(secret ^ (1 << 63), self.group, self.group.secret_len()).into())
    }
}

/// `head`, then octets that follow from it and the group, `len` in all.
fn expand(head: u64, group: Group, len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(len + 2 * HEAD);
    out.extend_from_slice(&head.to_be_bytes());
    // SplitMix64 from a start of this value and group: every word by itself, which a CPU computes side by side.
    let start = split_mix(head ^ (u64::from(group.number()) << 48));
    for n in 1..=len.div_ceil(HEAD) as u64 {
        let word = split_mix(start.wrapping_add(n.wrapping_mul(SPLIT_MIX_STEP)));
        out.extend_from_slice(&word.to_be_bytes());
    }
    out.truncate(len);
    out
}

fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, byte| split_mix(sum ^ u64::from(*byte)))
}

fn pow(base: u64, exponent: u64) -> u64 {
    let mut result = 1;
    let mut square = base;
    let mut rest = exponent;
    while rest > 0 {
        if rest & 1 == 1 {
            result = mul(result, square);
        }
        square = mul(square, square);
        rest >>= 1;
    }
    result
}

/// a·b modulo 2^61 − 1: what is above bit 61 is added to what is below.
fn mul(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    let folded = (product as u64 & P) + (product >> 61) as u64;
    if folded >= P { folded - P } else { folded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_agrees_with_fermat_and_with_plain_division() {
        let mut rng = crate::SeededRng::new(3);
        for _ in 0..1000 {
            let (a, b) = (1 + rng.below(P - 1), rng.below(P));
            assert_eq!(u128::from(mul(a, b)), u128::from(a) * u128::from(b) % u128::from(P));
            assert_eq!(pow(a, P - 1), 1);
        }
        assert_eq!(mul(P - 1, P - 1), 1);
    }

    #[test]
    fn the_generator_generates_the_whole_group() {
        // 2^61 - 2 = 2 · 3^2 · 5^2 · 7 · 11 · 13 · 31 · 41 · 61 · 151 · 331 · 1321
        let factors = [2, 3, 5, 7, 11, 13, 31, 41, 61, 151, 331, 1321_u64];
        assert_eq!(factors.iter().product::<u64>() * 15, P - 1);
        for factor in factors {
            assert_ne!(pow(G, (P - 1) / factor), 1, "{factor}");
        }
    }
}
