//! Addresses of interfaces.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{Netlink, NetlinkError, Prefix};

/// An address on an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The interface's index.
    pub link: u32,
    /// The address with its on-link prefix.
    pub prefix: Prefix,
    /// IPv6: not usable yet, duplicate address detection (RFC 4862 §5.4) has not finished.
    pub tentative: bool,
}

impl Address {
    pub(super) fn from_message(message: &AddressMessage) -> Option<Self> {
        // On a point-to-point link IFA_ADDRESS is the peer and IFA_LOCAL is ours; elsewhere they are equal, and IPv6 has only the first.
        let (mut local, mut address) = (None, None);
        let mut tentative = message.header.flags.contains(AddressHeaderFlags::Tentative);
        for attribute in &message.attributes {
            match attribute {
                AddressAttribute::Local(ip) => local = Some(*ip),
                AddressAttribute::Address(ip) => address = Some(*ip),
                AddressAttribute::Flags(flags) => {
                    tentative |= flags.contains(AddressFlags::Tentative);
                }
                _ => {}
            }
        }
        Some(Self {
            link: message.header.index,
            prefix: Prefix::new(local.or(address)?, message.header.prefix_len)?,
            tentative,
        })
    }
}

impl Netlink {
    /// All addresses of the namespace.
    pub fn addresses(&mut self) -> Result<Vec<Address>, NetlinkError> {
        let mut addresses = Vec::new();
        let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        self.dump(
            request,
            || "list addresses".to_owned(),
            |answer| {
                if let RouteNetlinkMessage::NewAddress(message) = answer {
                    addresses.extend(Address::from_message(&message));
                }
            },
        )?;
        Ok(addresses)
    }

    /// Gives an interface an address (again, without error). IPv6 addresses are usable at once: no duplicate address detection.
    pub fn add_address(&mut self, link: u32, prefix: Prefix) -> Result<(), NetlinkError> {
        let message = address_message(link, prefix);
        let flags = NLM_F_CREATE | NLM_F_REPLACE;
        self.change(RouteNetlinkMessage::NewAddress(message), flags, || {
            format!("add address {prefix} to interface {link}")
        })
    }

    /// Takes an address from an interface; `false` when it was not there.
    pub fn delete_address(&mut self, link: u32, prefix: Prefix) -> Result<bool, NetlinkError> {
        let message = address_message(link, prefix);
        let result = self.change(RouteNetlinkMessage::DelAddress(message), 0, || {
            format!("delete address {prefix} from interface {link}")
        });
        match result {
            Ok(()) => Ok(true),
            Err(error) if error.errno() == Some(libc::EADDRNOTAVAIL) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn address_message(link: u32, prefix: Prefix) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = link;
    message.header.prefix_len = prefix.prefix_len();
    message.header.family = match prefix.address() {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    if prefix.address().is_ipv6() {
        message.header.flags = AddressHeaderFlags::Nodad;
    }
    message.attributes = vec![AddressAttribute::Local(prefix.address()), AddressAttribute::Address(prefix.address())];
    message
}
