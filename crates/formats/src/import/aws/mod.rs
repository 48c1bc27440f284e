//! What the managed service hands out: its text download, its XML, and what its API says.
//!
//! All three are read into [`Raw`] (every value as text with its place) and made a connection by [`build`] alone.

mod build;
mod json;
mod suite;
mod text;
mod xml;

use super::place::{Sourced, Spot};
use crypto::SecretBytes;
use std::collections::BTreeMap;

pub(crate) use build::build;
pub(crate) use json::read as read_json;
pub(crate) use text::{looks_like as looks_like_text, read as read_text};
pub(crate) use xml::read as read_xml;

/// A value of one tunnel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Field {
    IkeVersion,
    Method,
    IkeIntegrity,
    IkeEncryption,
    IkeLifetime,
    IkeMode,
    IkeGroup,
    EspProtocol,
    EspIntegrity,
    EspEncryption,
    EspLifetime,
    EspMode,
    EspGroup,
    DpdInterval,
    DpdRetries,
    DpdTimeout,
    ClearDf,
    Mss,
    Mtu,
    Fragmentation,
    LocalOutside,
    RemoteOutside,
    LocalInside,
    RemoteInside,
    LocalAsn,
    RemoteAsn,
    Neighbor,
    HoldTime,
    NextHop,
}

impl Field {
    /// What it is called in messages.
    fn title(self) -> &'static str {
        match self {
            Field::IkeVersion => "IKE version",
            Field::Method => "authentication method",
            Field::IkeIntegrity => "IKE authentication algorithm",
            Field::IkeEncryption => "IKE encryption algorithm",
            Field::IkeLifetime => "IKE lifetime",
            Field::IkeMode => "phase 1 negotiation mode",
            Field::IkeGroup => "IKE Diffie-Hellman group",
            Field::EspProtocol => "IPsec protocol",
            Field::EspIntegrity => "IPsec authentication algorithm",
            Field::EspEncryption => "IPsec encryption algorithm",
            Field::EspLifetime => "IPsec lifetime",
            Field::EspMode => "IPsec mode",
            Field::EspGroup => "perfect forward secrecy group",
            Field::DpdInterval => "DPD interval",
            Field::DpdRetries => "DPD retries",
            Field::DpdTimeout => "DPD timeout",
            Field::ClearDf => "clearing of the don't-fragment bit",
            Field::Mss => "TCP MSS",
            Field::Mtu => "tunnel MTU",
            Field::Fragmentation => "fragmentation",
            Field::LocalOutside => "outside address of the customer gateway",
            Field::RemoteOutside => "outside address of the virtual private gateway",
            Field::LocalInside => "inside address of the customer gateway",
            Field::RemoteInside => "inside address of the virtual private gateway",
            Field::LocalAsn => "customer gateway ASN",
            Field::RemoteAsn => "virtual private gateway ASN",
            Field::Neighbor => "BGP neighbour",
            Field::HoldTime => "BGP hold time",
            Field::NextHop => "next hop",
        }
    }
}

/// One tunnel, every value as it stands.
pub(crate) struct RawTunnel {
    /// From 1.
    pub(crate) number: usize,
    pub(crate) at: Spot,
    pub(crate) values: BTreeMap<Field, Sourced<String>>,
    pub(crate) psk: Option<Sourced<SecretBytes>>,
    /// A key stands there, usable or not.
    pub(crate) psk_seen: bool,
    /// Algorithm lists of the API, which say more than the one suite of the XML.
    pub(crate) allowed: Option<Allowed>,
}

impl RawTunnel {
    pub(crate) fn new(number: usize, at: Spot) -> RawTunnel {
        RawTunnel { number, at, values: BTreeMap::new(), psk: None, psk_seen: false, allowed: None }
    }

    pub(crate) fn get(&self, field: Field) -> Option<Sourced<&str>> {
        self.values.get(&field).map(|at| at.with(at.value.as_str()))
    }
}

/// What the API allows in the two phases: encryption, integrity, groups; empty where it says nothing.
#[derive(Default, Clone)]
pub(crate) struct Allowed {
    pub(crate) ike: [Vec<Sourced<String>>; 3],
    pub(crate) esp: [Vec<Sourced<String>>; 3],
}

/// One VPN connection, every value as it stands.
pub(crate) struct Raw {
    pub(crate) id: Option<Sourced<String>>,
    pub(crate) at: Spot,
    pub(crate) tunnels: Vec<RawTunnel>,
    /// Traffic selectors of phase 2, where they are not everything.
    pub(crate) local_cidr: Option<Sourced<String>>,
    pub(crate) remote_cidr: Option<Sourced<String>>,
    /// Nothing in it was an error when it was read.
    pub(crate) sound: bool,
    /// Where the file ends: the place of what is missing at its end.
    pub(crate) end: Spot,
}
