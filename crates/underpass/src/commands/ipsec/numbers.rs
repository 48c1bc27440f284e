//! A status with the numbers that `NAME[1]`, `NAME{1}` and `#1` show, and what several renderings need of it. Pure.

use crate::client::clean;
use crate::tunnels::{items, text};
use formats::parse_rfc3339;
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};

/// A connection and its numbers.
#[derive(Clone, Debug)]
pub struct Numbered<'v> {
    /// As the gateway tells it.
    pub value: &'v Value,
    /// Counted from 1 over all connections.
    pub number: usize,
    /// pluto counts SAs of both kinds in one sequence.
    pub serial: usize,
    /// Its children.
    pub children: Vec<NumberedChild<'v>>,
}

/// A child and its numbers.
#[derive(Clone, Debug)]
pub struct NumberedChild<'v> {
    /// As the gateway tells it.
    pub value: &'v Value,
    /// Counted from 1 over all children.
    pub number: usize,
    /// As [`Numbered::serial`].
    pub serial: usize,
    /// What `ipsec.conf` would call it.
    pub name: String,
}

/// Every connection of a status, numbered in its order: numbers stay as long as the configuration does.
pub fn numbered(status: &Value) -> Vec<Numbered<'_>> {
    let (mut serial, mut child_number) = (0, 0);
    let mut next = || {
        serial += 1;
        serial
    };
    let mut all = Vec::new();
    for (index, value) in items(status, "connections").into_iter().enumerate() {
        let own = next();
        let mut children = Vec::new();
        let several = items(value, "children").len() > 1;
        for child in items(value, "children") {
            child_number += 1;
            let name = child_name(text(value, "name"), text(child, "name"), several);
            children.push(NumberedChild { value: child, number: child_number, serial: next(), name });
        }
        all.push(Numbered { value, number: index + 1, serial: own, children });
    }
    all
}

/// In `ipsec.conf` a conn is both, and people look for its name before the brace, too.
fn child_name(connection: &str, child: &str, several: bool) -> String {
    clean(if several && child != "net" { child } else { connection })
}

impl Numbered<'_> {
    /// Its name.
    pub fn name(&self) -> String {
        clean(text(self.value, "name"))
    }

    /// Its IKE SA, when both ends proved who they are.
    pub fn ike(&self) -> Option<&Value> {
        self.value.get("ike").filter(|ike| ike.get("established").is_some_and(|value| !value.is_null()))
    }

    /// Whether IKEv1 is spoken, or would be.
    pub fn is_v1(&self) -> bool {
        let version = self.value.pointer("/ike/version").and_then(Value::as_str);
        version.unwrap_or_else(|| text(self.value, "ike_versions")) == "ikev1"
    }

    /// Whether a negotiation is under way.
    pub fn is_connecting(&self) -> bool {
        self.ike().is_none() && text(self.value, "state") == "negotiating"
    }

    /// `192.0.2.1[id]...198.51.100.2[id]`.
    pub fn ends(&self) -> String {
        let end = |side: &str| {
            let identity = match text(self.value, &format!("{side}_id")) {
                "" => "%any".to_owned(),
                identity => clean(identity),
            };
            format!("{}[{identity}]", self.address(side))
        };
        format!("{}...{}", end("local"), end("remote"))
    }

    /// The address of an end, without its port.
    pub fn address(&self, side: &str) -> String {
        match self.value.get(side) {
            Some(Value::String(address)) => bare(address),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(bare).collect::<Vec<_>>().join(","),
            _ => "%any".to_owned(),
        }
    }
}

fn bare(address: &str) -> String {
    let mut several = address.split(',').map(str::trim).map(|one| match one.parse::<SocketAddr>() {
        Ok(socket) => socket.ip().to_string(),
        Err(_) => one.parse::<IpAddr>().map_or_else(|_| clean(one), |address| address.to_string()),
    });
    let first = several.next().unwrap_or_default();
    several.fold(first, |all, one| format!("{all},{one}"))
}

impl NumberedChild<'_> {
    /// Whether packets pass.
    pub fn is_up(&self) -> bool {
        text(self.value, "state") == "up"
    }

    /// `10.1.0.0/16 === 10.2.0.0/16`, with this between the networks.
    pub fn networks(&self, between: &str) -> String {
        format!("{}{between}{}", self.side("local"), self.side("remote"))
    }

    fn side(&self, name: &str) -> String {
        items(self.value, name).iter().filter_map(|one| one.as_str()).map(clean).collect::<Vec<_>>().join(" ")
    }

    /// An SPI as eight hexadecimal digits.
    pub fn spi(&self, direction: &str) -> String {
        let spi = clean(text(self.value, &format!("spi_{direction}")));
        spi.strip_prefix("0x").map(str::to_owned).unwrap_or(spi)
    }

    /// A counter; none is none.
    pub fn count(&self, name: &str) -> u64 {
        self.value.get(name).and_then(Value::as_u64).unwrap_or(0)
    }

    /// The protocol around packets.
    pub fn protocol(&self) -> &'static str {
        if text(self.value, "encapsulation") == "udp" { "ESP in UDP" } else { "ESP" }
    }
}

/// Seconds from `a` to `b`, both as times of a status.
pub fn between(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    Some(b?.saturating_sub(a?))
}

/// A time of a status.
pub fn time(value: &Value, name: &str) -> Option<u64> {
    parse_rfc3339(text(value, name))
}

/// `5 minutes`, as charon rounds: a unit from two of it on.
pub fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        172_801.. => (seconds / 86_400, "day"),
        7_201.. => (seconds / 3_600, "hour"),
        121.. => (seconds / 60, "minute"),
        _ => (seconds, "second"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}
