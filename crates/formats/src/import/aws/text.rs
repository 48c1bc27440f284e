//! The download "Generic": prose with `- key : value` lines in it. What is not such a line is prose and read over.
//!
//! Tabs and blanks stand before the colon in any number, lines may be wrapped by a mail program, Markdown may have been wound
//! around the whole; the two tunnels follow each other with the same headings.

use super::super::finding::{Findings, shown};
use super::super::input::Text;
use super::super::place::{Line, Sourced, Spot};
use super::super::psk;
use super::{Field, Raw, RawTunnel};
use crate::nearest::nearest;

/// What the lines of a part are about: the same key means different things.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Head,
    Ike,
    Esp,
    Outside,
    Inside,
    Other,
    /// Links and notes after the tunnels.
    Notes,
}

/// Keys by part. `None`: of no consequence.
const KEYS: [(&str, Part, Field); 31] = [
    ("ike version", Part::Ike, Field::IkeVersion),
    ("authentication method", Part::Ike, Field::Method),
    ("authentication algorithm", Part::Ike, Field::IkeIntegrity),
    ("encryption algorithm", Part::Ike, Field::IkeEncryption),
    ("lifetime", Part::Ike, Field::IkeLifetime),
    ("phase 1 negotiation mode", Part::Ike, Field::IkeMode),
    ("diffie-hellman", Part::Ike, Field::IkeGroup),
    ("perfect forward secrecy", Part::Ike, Field::IkeGroup),
    ("protocol", Part::Esp, Field::EspProtocol),
    ("authentication algorithm", Part::Esp, Field::EspIntegrity),
    ("encryption algorithm", Part::Esp, Field::EspEncryption),
    ("lifetime", Part::Esp, Field::EspLifetime),
    ("mode", Part::Esp, Field::EspMode),
    ("perfect forward secrecy", Part::Esp, Field::EspGroup),
    ("dpd interval", Part::Other, Field::DpdInterval),
    ("dpd retries", Part::Other, Field::DpdRetries),
    ("tcp mss adjustment", Part::Other, Field::Mss),
    ("clear don't fragment bit", Part::Other, Field::ClearDf),
    ("fragmentation", Part::Other, Field::Fragmentation),
    ("tunnel interface mtu", Part::Other, Field::Mtu),
    ("customer gateway", Part::Outside, Field::LocalOutside),
    ("virtual private gateway", Part::Outside, Field::RemoteOutside),
    ("vpn gateway", Part::Outside, Field::RemoteOutside),
    ("customer gateway", Part::Inside, Field::LocalInside),
    ("virtual private gateway", Part::Inside, Field::RemoteInside),
    ("vpn gateway", Part::Inside, Field::RemoteInside),
    ("customer gateway asn", Part::Other, Field::LocalAsn),
    ("virtual private gateway asn", Part::Other, Field::RemoteAsn),
    ("neighbor ip address", Part::Other, Field::Neighbor),
    ("neighbor hold time", Part::Other, Field::HoldTime),
    ("next hop", Part::Other, Field::NextHop),
];

/// Tunnels read at most: a connection has two.
const MOST_TUNNELS: usize = 16;

/// Whether a text looks like this download.
pub(crate) fn looks_like(text: &str) -> bool {
    let folded = text.to_ascii_lowercase();
    folded.contains("ipsec tunnel #1")
        || (folded.contains("virtual private cloud") && folded.contains("vpn connection id"))
}

/// Reads a download.
pub(crate) fn read(text: &Text, findings: &mut Findings) -> Raw {
    let lines: Vec<Line> = Line::all(&text.file, &text.text).collect();
    let end = lines.iter().rev().find(|line| !line.text.trim().is_empty()).map(Line::spot);
    let end = end.unwrap_or_else(|| Spot::start(&text.file));
    let before = findings.errors();
    let mut raw = Raw {
        id: None,
        at: Spot::start(&text.file),
        tunnels: Vec::new(),
        local_cidr: None,
        remote_cidr: None,
        sound: true,
        end,
    };
    let mut reader = Reader { raw: &mut raw, part: Part::Head, findings };
    let mut index = 0;
    while let Some(line) = lines.get(index) {
        let wrapped = lines.get(index + 1);
        index += if reader.line(line, wrapped) { 2 } else { 1 };
    }
    raw.sound = findings.errors() == before;
    raw
}

struct Reader<'r> {
    raw: &'r mut Raw,
    part: Part,
    findings: &'r mut Findings,
}

impl Reader<'_> {
    /// Reads a line; whether the next one was part of it.
    fn line(&mut self, line: &Line, next: Option<&Line>) -> bool {
        let folded = line.text.trim().to_ascii_lowercase();
        let folded = folded.as_str();
        if let Some(number) = folded.strip_prefix("ipsec tunnel #").or_else(|| folded.strip_prefix("ip sec tunnel #")) {
            self.tunnel(line, number);
            return false;
        }
        if let Some(part) = heading(folded) {
            self.part = part;
            return false;
        }
        match line.text.split_once(':') {
            Some((key, _)) if folded.starts_with("your vpn connection id") => {
                let value = line.part(key.len() + 1, line.text.len());
                if !value.value.is_empty() {
                    self.raw.at = value.at.clone();
                    self.raw.id = Some(value.map(str::to_owned));
                }
                false
            }
            Some((key, _)) if folded.starts_with('-') && self.part != Part::Notes => self.value(line, key, next),
            _ => false,
        }
    }

    fn tunnel(&mut self, line: &Line, number: &str) {
        self.part = Part::Other;
        let number = number.trim().parse().unwrap_or(self.raw.tunnels.len() + 1);
        if self.raw.tunnels.len() < MOST_TUNNELS {
            self.raw.tunnels.push(RawTunnel::new(number, line.spot()));
        } else {
            let message = format!("more than {MOST_TUNNELS} tunnels: this one is not read");
            self.findings.error(&line.spot(), message, "a VPN connection has two");
        }
    }

    /// `- key : value`.
    fn value(&mut self, line: &Line, key: &str, next: Option<&Line>) -> bool {
        let name = key.trim().trim_start_matches(['-', ' ', '\t']);
        let name = name.split_whitespace().collect::<Vec<_>>().join(" ").to_ascii_lowercase().replace('\u{2019}', "'");
        let mut value = line.part(key.len() + 1, line.text.len());
        let mut took = false;
        if let (true, Some(next)) = (value.value.is_empty(), next) {
            let wrapped = next.text.trim();
            if !wrapped.is_empty() && !wrapped.starts_with(['-', '#', '!', '=']) && !wrapped.contains([':', ' ']) {
                self.findings.warning(
                    &next.spot(),
                    "a value stands on the line after its name: read as belonging to it",
                    "",
                );
                value = next.part(0, next.text.len());
                took = true;
            }
        }
        self.keep(&line.spot(), &name, value);
        took
    }

    fn keep(&mut self, at: &Spot, name: &str, value: Sourced<&str>) {
        let part = self.part;
        let Some(tunnel) = self.raw.tunnels.last_mut() else {
            let message = format!("`{}` stands before the first tunnel: not used", shown(name));
            return self.findings.note(at, message, "");
        };
        if name == "pre-shared key" {
            tunnel.psk_seen = true;
            tunnel.psk = psk::accept(value.value, &value.at, true, self.findings);
            return;
        }
        let own = KEYS.iter().find(|(key, of, _)| *key == name && *of == part);
        let found = own.or_else(|| KEYS.iter().find(|(key, of, _)| *key == name && *of == Part::Other));
        // Cut-down copies lack headings. What can mean one thing alone means that.
        let mut only = KEYS.iter().filter(|(key, ..)| *key == name);
        let found = found.or_else(|| only.next().filter(|_| only.next().is_none()));
        let Some((_, _, field)) = found else {
            let help = nearest(name, KEYS.iter().map(|(key, ..)| *key)).map(|near| format!("did you mean `{near}`?"));
            let message = format!("`{}` was not understood: not used", shown(name));
            return self.findings.warning(at, message, help.unwrap_or_default());
        };
        if value.value.is_empty() {
            return self.findings.warning(at, format!("`{}` has no value", shown(name)), "");
        }
        if let Some(first) = tunnel.values.get(field).filter(|first| first.value != value.value) {
            let message = format!(
                "the {} of tunnel #{} is given twice: `{}` at {} and `{}` here",
                field.title(),
                tunnel.number,
                shown(&first.value),
                first.at,
                shown(value.value)
            );
            return self.findings.error(&value.at, message, "keep the one that is right");
        }
        tunnel.values.entry(*field).or_insert_with(|| value.map(str::to_owned));
    }
}

/// The part that a heading begins.
fn heading(folded: &str) -> Option<Part> {
    let numbered = |number: &str, words: &str| folded.contains(number) && folded.contains(words);
    if numbered("#1:", "internet key exchange") || folded.starts_with("configure the ike sa") {
        return Some(Part::Ike);
    }
    if numbered("#2:", "ipsec configuration") || folded.starts_with("configure the ipsec sa") {
        return Some(Part::Esp);
    }
    if folded.starts_with("outside ip address") {
        return Some(Part::Outside);
    }
    if folded.starts_with("inside ip address") {
        return Some(Part::Inside);
    }
    if folded.starts_with("additional notes and questions") {
        return Some(Part::Notes);
    }
    let other = [
        "#3:",
        "#4:",
        "bgp configuration options",
        "configure your tunnel to fragment",
        "static route configuration options",
    ];
    (other.iter().any(|words| folded.starts_with(words)) || folded.starts_with("ipsec dead peer detection"))
        .then_some(Part::Other)
}
