//! The codes of the doctor: stable names that scripts, tickets and search engines can keep, each with its page in the
//! [`catalogue`](crate::catalogue).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A layer of a tunnel, the lowest first: what is broken below is said before what is broken above.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// Files, privileges, the program itself.
    Configuration,
    /// The path between the gateways.
    Network,
    /// The IKE SA, phase 1.
    Ike,
    /// The child SA, phase 2.
    Child,
    /// Protected packets.
    Esp,
    /// Routes into the tunnel and back.
    Routing,
    /// BGP through the tunnel.
    Bgp,
    /// Address translation of inner packets.
    Nat,
    /// Sizes of packets.
    Mtu,
    /// Filters on inner packets.
    Firewall,
    /// It works, not fast.
    Performance,
}

impl Layer {
    /// Every layer, the lowest first.
    pub const ALL: [Layer; 11] = [
        Layer::Configuration,
        Layer::Network,
        Layer::Ike,
        Layer::Child,
        Layer::Esp,
        Layer::Routing,
        Layer::Bgp,
        Layer::Nat,
        Layer::Mtu,
        Layer::Firewall,
        Layer::Performance,
    ];

    /// In a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Layer::Configuration => "configuration",
            Layer::Network => "network",
            Layer::Ike => "IKE (phase 1)",
            Layer::Child => "child SA (phase 2)",
            Layer::Esp => "ESP",
            Layer::Routing => "routing",
            Layer::Bgp => "BGP",
            Layer::Nat => "NAT",
            Layer::Mtu => "MTU",
            Layer::Firewall => "firewall",
            Layer::Performance => "performance",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether this side can see what a code says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// From this side alone.
    Here,
    /// Only in the log of a peer that [`explain`](crate::explain) reads, or in what a far gateway of ours saved.
    ElsewhereOnly(&'static str),
}

/// The page of a code.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its code.
    pub code: Code,
    /// Its layer.
    pub layer: Layer,
    /// What is wrong, in one plain line.
    pub line: &'static str,
    /// What that means, and how it comes about.
    pub meaning: &'static str,
    /// What to do on this side.
    pub fix: &'static str,
    /// What to write to the other side.
    pub tell: &'static str,
    /// The RFC or document behind it.
    pub source: &'static str,
    /// Whether it can be seen from here.
    pub seen: Seen,
}

/// A code: `IKE-02`. Only those of the catalogue exist.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Code(pub(crate) &'static str);

impl Code {
    /// The code with this name, in any case.
    pub fn parse(text: &str) -> Option<Code> {
        let text = text.trim();
        crate::catalogue::entries().find(|entry| entry.code.0.eq_ignore_ascii_case(text)).map(|entry| entry.code)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.0
    }

    /// Its page.
    pub fn entry(self) -> &'static Entry {
        crate::catalogue::entries().find(|entry| entry.code == self).unwrap_or(&crate::catalogue::UNLISTED)
    }

    /// Its layer.
    pub fn layer(self) -> Layer {
        self.entry().layer
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Code, D::Error> {
        let text = String::deserialize(deserializer)?;
        Code::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("there is no code `{text}`")))
    }
}
