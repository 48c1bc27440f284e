//! An address with a prefix length.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// `10.0.0.0/8`, or an interface's address with its on-link prefix, `10.0.0.7/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    len: u8,
}

/// Not a prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address with a prefix length")]
pub struct BadPrefix(String);

impl Prefix {
    /// `None` when `len` is more than 32 (IPv4) or 128 (IPv6).
    pub fn new(address: IpAddr, len: u8) -> Option<Self> {
        let max = if address.is_ipv6() { 128 } else { 32 };
        (len <= max).then_some(Self { address, len })
    }

    /// One address alone.
    pub fn host(address: IpAddr) -> Self {
        let len = if address.is_ipv6() { 128 } else { 32 };
        Self { address, len }
    }

    /// The address, host bits included.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Bits of the prefix.
    pub fn prefix_len(&self) -> u8 {
        self.len
    }

    /// The same prefix without its host bits: what a route needs.
    pub fn network(&self) -> Self {
        let address = match self.address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.len)).unwrap_or(0);
                IpAddr::from((v4.to_bits() & mask).to_be_bytes())
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.len)).unwrap_or(0);
                IpAddr::from((v6.to_bits() & mask).to_be_bytes())
            }
        };
        Self { address, len: self.len }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.len)
    }
}

impl FromStr for Prefix {
    type Err = BadPrefix;

    fn from_str(text: &str) -> Result<Self, BadPrefix> {
        let parse = || {
            let (address, len) = text.split_once('/')?;
            Self::new(address.parse().ok()?, len.parse().ok()?)
        };
        parse().ok_or_else(|| BadPrefix(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_clears_the_host_bits_at_every_length() {
        for (text, expected) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3/0", "0.0.0.0/0"),
            ("10.1.2.3/32", "10.1.2.3/32"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("2001:db8::1/0", "::/0"),
            ("2001:db8::1/128", "2001:db8::1/128"),
        ] {
            let prefix: Prefix = text.parse().unwrap();
            assert_eq!(prefix.network().to_string(), expected);
        }
    }

    #[test]
    fn what_is_no_prefix_is_refused() {
        for text in ["", "10.0.0.0", "10.0.0.0/33", "::/129", "x/8", "10.0.0.0/-1"] {
            assert!(text.parse::<Prefix>().is_err(), "{text:?}");
        }
    }
}
