//! A network in all the forms that devices write it in.

use ipsec::TrafficSelector;
use serde::Serialize;
use std::net::{IpAddr, Ipv4Addr};

/// A network, perhaps of one protocol and port.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Net {
    /// With protocol and ports, as `underpass.toml` writes it.
    pub(super) whole: String,
    /// `10.0.0.0/16`.
    pub(super) prefix: String,
    /// `10.0.0.0`.
    pub(super) address: String,
    /// `16`.
    pub(super) length: u8,
    /// `255.255.0.0`; empty for IPv6.
    pub(super) mask: String,
    /// `0.0.255.255`; empty for IPv6.
    pub(super) wildcard: String,
    pub(super) v6: bool,
    /// 0: all.
    pub(super) protocol: u8,
    /// `None`: all.
    pub(super) port: Option<u16>,
    pub(super) everything: bool,
}

impl Net {
    pub(super) fn of(selector: &TrafficSelector) -> Net {
        let (address, length) =
            selector.as_prefix().unwrap_or((selector.start, if selector.is_v4() { 32 } else { 128 }));
        let port = (!selector.is_any_port()).then_some(selector.start_port);
        Net { whole: selector.to_string(), protocol: selector.protocol, port, ..Net::of_prefix(address, length) }
    }

    /// The network that `address` is in.
    pub(super) fn of_prefix(address: IpAddr, length: u8) -> Net {
        let start = TrafficSelector::from_prefix(address, length).start;
        let host_bits = u32::MAX.checked_shr(u32::from(length)).unwrap_or(0);
        let dotted = |bits: u32| if start.is_ipv4() { Ipv4Addr::from(bits).to_string() } else { String::new() };
        let prefix = format!("{start}/{length}");
        Net {
            whole: prefix.clone(),
            prefix,
            address: start.to_string(),
            length,
            mask: dotted(!host_bits),
            wildcard: dotted(host_bits),
            v6: start.is_ipv6(),
            protocol: 0,
            port: None,
            everything: length == 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_a_mask_and_a_wildcard() {
        for (address, length, network, mask, wildcard) in [
            ("169.254.10.2", 30, "169.254.10.0", "255.255.255.252", "0.0.0.3"),
            ("10.1.2.3", 16, "10.1.0.0", "255.255.0.0", "0.0.255.255"),
            ("10.1.2.3", 32, "10.1.2.3", "255.255.255.255", "0.0.0.0"),
            ("10.1.2.3", 0, "0.0.0.0", "0.0.0.0", "255.255.255.255"),
            ("fd00::1", 126, "fd00::", "", ""),
        ] {
            let net = Net::of_prefix(address.parse().unwrap(), length);
            assert_eq!((net.address.as_str(), net.mask.as_str(), net.wildcard.as_str()), (network, mask, wildcard));
        }
    }
}
