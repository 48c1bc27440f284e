//! What the known-answer tests share.
#![allow(dead_code, reason = "each test file is a crate of its own and uses a part")]

use crypto::{Group, KeyExchange, Provider, RealProvider, Rng};

/// Octets from hexadecimal digits; everything else is separation.
pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    assert!(digits.len().is_multiple_of(2), "odd number of digits in {text}");
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// 0, 1, 2, …: the octets most RFCs fill their messages with.
pub fn counting(len: usize) -> Vec<u8> {
    (0..len).map(|n| n as u8).collect()
}

/// A generator that yields prepared octets once, so that a published private value can be used.
pub struct PreparedRng(pub Vec<u8>);

impl Rng for PreparedRng {
    fn fill(&mut self, dest: &mut [u8]) {
        let rest = self.0.split_off(dest.len());
        dest.copy_from_slice(&self.0);
        self.0 = rest;
    }
}

/// A generator that yields one octet for ever.
pub struct StuckRng(pub u8);

impl Rng for StuckRng {
    fn fill(&mut self, dest: &mut [u8]) {
        dest.fill(self.0);
    }
}

/// A key exchange of the real provider with this private value.
pub fn exchange_with(group: Group, private: &[u8]) -> Box<dyn KeyExchange> {
    RealProvider.key_exchange(group, &mut PreparedRng(private.to_vec())).expect("a published private value is in range")
}
