//! Traffic selectors as text: `10.0.0.0/16[tcp/443]`, what a configuration file and `status` show.
//!
//! ```text
//! selector = addresses [ "[" protocol [ "/" ports ] "]" ]
//! addresses = prefix | address | address "-" address
//! protocol  = "any" | name | number
//! ports     = "any" | "opaque" | port | port "-" port      ICMP: type | type ":" code, `8` being every code of type 8
//! ```

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::selector::{TrafficSelector, has_ports, is_icmp};

/// Protocols with a name; the others are numbers.
const PROTOCOLS: [(&str, u8); 13] = [
    ("any", 0),
    ("icmp", 1),
    ("ipip", 4),
    ("tcp", 6),
    ("udp", 17),
    ("dccp", 33),
    ("ipv6", 41),
    ("gre", 47),
    ("icmpv6", 58),
    ("ospf", 89),
    ("vrrp", 112),
    ("sctp", 132),
    ("udplite", 136),
];

/// Why a text is no traffic selector; each says what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// Neither an IPv4 nor an IPv6 address.
    #[error("`{0}` is not an IP address")]
    Address(String),
    /// A prefix length that is no number or beyond the family's 32 or 128.
    #[error("`/{length}` is not a prefix length of {address}: it is 0 to {longest}")]
    PrefixLength {
        /// The address in front of it.
        address: IpAddr,
        /// What was written.
        length: String,
        /// 32 or 128.
        longest: u8,
    },
    /// Bits beyond the prefix length are set.
    #[error("{address}/{length} has bits set beyond the prefix; did you mean {meant}/{length}?")]
    HostBits {
        /// The address as written.
        address: IpAddr,
        /// The prefix length as written.
        length: u8,
        /// The address of the network.
        meant: IpAddr,
    },
    /// The end of a range of addresses is below its start or of the other family.
    #[error("{start}-{end} is not a range: the end is below the start or of the other family")]
    Range {
        /// The start as written.
        start: IpAddr,
        /// The end as written.
        end: IpAddr,
    },
    /// Something else than `[protocol/ports]` follows the addresses.
    #[error("`{0}` should look like `[tcp/443]` or `[udp]`")]
    Brackets(String),
    /// Neither a known name nor a number to 255.
    #[error("`{0}` is no protocol: give a number or one of any, icmp, icmpv6, tcp, udp, sctp, gre")]
    Protocol(String),
    /// Not a port, range of ports, `any` or `opaque`.
    #[error("`{0}` is no port: give a number to 65535, a range such as 1000-2000, `any` or `opaque`")]
    Port(String),
    /// Not an ICMP type (and code).
    #[error("`{0}` is no ICMP type: give a type to 255, or type and code such as 8:0")]
    IcmpType(String),
    /// Ports for a protocol which has none.
    #[error("protocol `{0}` has no ports")]
    NoPorts(String),
}

impl FromStr for TrafficSelector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let text = text.trim();
        let (addresses, service) = match text.find('[') {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let selector = parse_addresses(addresses.trim())?;
        if service.is_empty() {
            return Ok(selector);
        }
        let service = service
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .ok_or_else(|| SelectorError::Brackets(service.into()))?;
        parse_service(selector, service)
    }
}

fn parse_addresses(text: &str) -> Result<TrafficSelector, SelectorError> {
    if let Some((address, length)) = text.split_once('/') {
        return parse_prefix(parse_address(address)?, length);
    }
    if let Some((start, end)) = text.split_once('-') {
        let (start, end) = (parse_address(start)?, parse_address(end)?);
        let range = TrafficSelector::range(start, end);
        return if range.is_empty() { Err(SelectorError::Range { start, end }) } else { Ok(range) };
    }
    Ok(TrafficSelector::single(parse_address(text)?))
}

fn parse_address(text: &str) -> Result<IpAddr, SelectorError> {
    let text = text.trim();
    text.parse().map_err(|_| SelectorError::Address(text.into()))
}

fn parse_prefix(address: IpAddr, length: &str) -> Result<TrafficSelector, SelectorError> {
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let length = parse_number(length)
        .filter(|length| *length <= longest)
        .ok_or_else(|| SelectorError::PrefixLength { address, length: length.into(), longest })?;
    let selector = TrafficSelector::from_prefix(address, length);
    if selector.start != address {
        return Err(SelectorError::HostBits { address, length, meant: selector.start });
    }
    Ok(selector)
}

fn parse_service(selector: TrafficSelector, text: &str) -> Result<TrafficSelector, SelectorError> {
    let (protocol_text, ports) = match text.split_once('/') {
        Some((protocol, ports)) => (protocol.trim(), Some(ports.trim())),
        None => (text.trim(), None),
    };
    let protocol = parse_protocol(protocol_text)?;
    let selector = selector.with_protocol(protocol);
    match ports {
        None | Some("any") => Ok(selector),
        Some("opaque") => Ok(selector.with_ports(u16::MAX, 0)),
        Some(_) if !has_ports(protocol) => Err(SelectorError::NoPorts(protocol_text.into())),
        Some(ports) => {
            let (start, end) = parse_ports(protocol, ports)?;
            Ok(selector.with_ports(start, end))
        }
    }
}

fn parse_protocol(text: &str) -> Result<u8, SelectorError> {
    let lower = text.to_ascii_lowercase();
    PROTOCOLS
        .iter()
        .find(|(name, _)| *name == lower)
        .map(|(_, number)| *number)
        .or_else(|| (lower == "ipv6-icmp").then_some(58))
        .or_else(|| parse_number(text))
        .ok_or_else(|| SelectorError::Protocol(text.into()))
}

/// First and last value of the port field.
fn parse_ports(protocol: u8, text: &str) -> Result<(u16, u16), SelectorError> {
    let parse_one = if is_icmp(protocol) { parse_icmp_type } else { parse_port };
    let error = if is_icmp(protocol) { SelectorError::IcmpType } else { SelectorError::Port };
    let parsed = match text.split_once('-') {
        Some((start, end)) => {
            parse_one(start.trim()).zip(parse_one(end.trim())).map(|((start, _), (_, end))| (start, end))
        }
        None => parse_one(text),
    };
    parsed.filter(|(start, end)| start <= end).ok_or_else(|| error(text.into()))
}

fn parse_port(text: &str) -> Option<(u16, u16)> {
    parse_number(text).map(|port| (port, port))
}

fn parse_icmp_type(text: &str) -> Option<(u16, u16)> {
    let field = |kind: u8, code: u8| u16::from_be_bytes([kind, code]);
    match text.split_once(':') {
        Some((kind, code)) => {
            let value = field(parse_number(kind)?, parse_number(code)?);
            Some((value, value))
        }
        None => {
            let kind = parse_number(text)?;
            Some((field(kind, 0), field(kind, u8::MAX)))
        }
    }
}

/// Digits only: `+1` and the empty text are no numbers here.
fn parse_number<N: FromStr>(text: &str) -> Option<N> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for TrafficSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_prefix() {
            Some((address, length)) => write!(f, "{address}/{length}")?,
            None => write!(f, "{}-{}", self.start, self.end)?,
        }
        if self.protocol == 0 && self.is_any_port() {
            return Ok(());
        }
        match PROTOCOLS.iter().find(|(_, n)| *n == self.protocol) {
            Some((name, _)) => write!(f, "[{name}")?,
            None => write!(f, "[{}", self.protocol)?,
        }
        if self.is_opaque_port() {
            f.write_str("/opaque")?;
        } else if !self.is_any_port() {
            f.write_str("/")?;
            fmt_ports(self, f)?;
        }
        f.write_str("]")
    }
}

fn fmt_ports(selector: &TrafficSelector, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (start, end) = (selector.start_port, selector.end_port);
    if !is_icmp(selector.protocol) {
        return match start == end {
            true => write!(f, "{start}"),
            false => write!(f, "{start}-{end}"),
        };
    }
    let ([kind, code], [last_kind, last_code]) = (start.to_be_bytes(), end.to_be_bytes());
    match (code, last_code) {
        (0, u8::MAX) if kind == last_kind => write!(f, "{kind}"),
        (0, u8::MAX) => write!(f, "{kind}-{last_kind}"),
        _ if start == end => write!(f, "{kind}:{code}"),
        _ => write!(f, "{kind}:{code}-{last_kind}:{last_code}"),
    }
}
