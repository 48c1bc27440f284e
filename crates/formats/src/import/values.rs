//! Values that several formats write: addresses, selectors, identities, proposals, and the placeholders of templates.

use super::finding::{Findings, shown};
use super::place::{Sourced, Spot};
use ike::id::Id;
use ike::proposal::{EspProposal, IkeProposal};
use ipsec::TrafficSelector;
use std::net::IpAddr;

/// Why `text` is the placeholder of a template rather than a value, if it is.
pub(crate) fn placeholder(text: &str) -> bool {
    let text = text.trim();
    let folded = text.to_ascii_lowercase();
    let marks = [("<", ">"), ("${", "}"), ("{{", "}}"), ("<%", "%>"), ("[", "]"), ("@@", "@@")];
    let marked = marks.iter().any(|(open, close)| text.starts_with(open) && text.ends_with(close) && text.len() > 2);
    let inside = ["${", "{{", "<%"].iter().any(|mark| text.contains(mark));
    let filler = |c: char| text.chars().filter(|other| *other == c).count();
    let only = |allowed: &str| !text.is_empty() && text.chars().all(|c| allowed.contains(c));
    let filled = (only("xX./:") && filler('x') + filler('X') > 2)
        || (only("#") && text.len() > 1)
        || (only("?*./") && text.len() > 1);
    let dotted = folded.split(['.', '/']).filter(|part| *part == "x" || part.starts_with("xx")).count() > 1;
    let told = folded.starts_with("your") || folded.starts_with("ph_") || folded.contains("placeholder");
    let words: Vec<&str> = folded.split(['_', '-', ' ']).collect();
    let whose = ["local", "remote", "peer", "left", "right", "my", "public", "private", "aws", "customer", "elastic"];
    let what = ["ip", "address", "addr", "subnet", "cidr", "network", "eip"];
    let named = words.len() > 1
        && !folded.contains('.')
        && words.iter().any(|word| whose.contains(word))
        && words.last().is_some_and(|word| what.contains(word));
    marked || inside || filled || dotted || told || named
}

/// Says that `text` is a placeholder, and what belongs there; whether it was one.
pub(crate) fn refuse_placeholder(text: &str, at: &Spot, what: &str, findings: &mut Findings) -> bool {
    if !placeholder(text) {
        return false;
    }
    let message = format!("`{}` is the placeholder of a template", shown(text));
    findings.error(at, message, format!("write {what} there"));
    true
}

/// An address that a host can have, or an error that says what belongs there.
pub(crate) fn address(text: &Sourced<&str>, what: &str, findings: &mut Findings) -> Option<Sourced<IpAddr>> {
    if refuse_placeholder(text.value, &text.at, what, findings) {
        return None;
    }
    let usable = |address: &IpAddr| !address.is_unspecified() && !address.is_multicast();
    match text.value.parse::<IpAddr>().ok().filter(usable) {
        Some(address) => Some(text.with(address)),
        None => {
            let message = format!("`{}` is not the address of a host", shown(text.value));
            findings.error(&text.at, message, format!("write {what} there, as in `192.0.2.1`"));
            None
        }
    }
}

/// The peer: an address or a DNS name, as `underpass.toml` takes it.
pub(crate) fn host(text: &Sourced<&str>, what: &str, findings: &mut Findings) -> Option<Sourced<String>> {
    let value = text.value.trim_end_matches('.');
    let label = |label: &str| {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !label.is_empty()
            && label.len() < 64
            && label.chars().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let number = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
    let name = value.len() < 254 && value.split('.').all(label) && !value.rsplit('.').next().is_some_and(number);
    if name && !placeholder(value) {
        return Some(text.with(value.to_owned()));
    }
    address(text, what, findings).map(|at| at.map(|address| address.to_string()))
}

/// A selector, as `underpass.toml` takes it. Bits beyond the prefix are dropped with a warning.
pub(crate) fn selector(text: &Sourced<&str>, what: &str, findings: &mut Findings) -> Option<Sourced<String>> {
    if refuse_placeholder(text.value, &text.at, what, findings) {
        return None;
    }
    match text.value.parse::<TrafficSelector>() {
        Ok(_) => Some(text.with(text.value.to_owned())),
        Err(ipsec::SelectorError::HostBits { address, length, meant }) => {
            let service = text.value.find('[').and_then(|at| text.value.get(at..)).unwrap_or_default();
            let message = format!("{address}/{length} has bits beyond its length: read as {meant}/{length}");
            findings.warning(&text.at, message, "");
            Some(text.with(format!("{meant}/{length}{service}")))
        }
        Err(error) => {
            let message = format!("`{}` is no network: {}", shown(text.value), shown(&error.to_string()));
            findings.error(&text.at, message, format!("write {what} there, as in `10.1.0.0/16`"));
            None
        }
    }
}

/// An identity, as `underpass.toml` takes it.
pub(crate) fn identity(text: &Sourced<&str>, what: &str, findings: &mut Findings) -> Option<Sourced<String>> {
    if refuse_placeholder(text.value, &text.at, what, findings) {
        return None;
    }
    match text.value.parse::<Id>() {
        Ok(_) => Some(text.with(text.value.to_owned())),
        Err(error) => {
            let (message, help) = if text.value.contains('=') {
                let message = format!("the identity `{}` is a distinguished name", shown(text.value));
                (
                    message,
                    "distinguished names come with certificates, which Underpass has not; give this end another identity",
                )
            } else {
                (
                    format!("`{}` is no identity: {}", shown(text.value), shown(&error.to_string())),
                    "write an address, `@name` or `user@name`",
                )
            };
            findings.error(&text.at, message, help);
            None
        }
    }
}

/// Which of the two SAs a proposal is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Ike,
    Esp,
}

/// Checks a proposal in our words.
pub(crate) fn proposal(text: &Sourced<String>, phase: Phase, findings: &mut Findings) -> bool {
    let checked = match phase {
        Phase::Ike => IkeProposal::parse_list(&text.value).map(|_| ()),
        Phase::Esp => EspProposal::parse_list(&text.value, false).map(|_| ()),
    };
    if let Err(error) = &checked {
        let message = format!("`{}`: {}", shown(&text.value), shown_error(error));
        findings.error(
            &text.at,
            message,
            "Underpass has AES, AES-GCM, ChaCha20 and SHA-1 to SHA-512; name what both ends have",
        );
    }
    checked.is_ok()
}

fn shown_error(error: &impl std::fmt::Display) -> String {
    error.to_string().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_told_from_values() {
        let templates = [
            "YOUR_UPLINK_ADDRESS",
            "######",
            "#######",
            "xxx.xxx.xxx.xxx",
            "xxx.xxx.xxx.xxx/xx",
            "<your ip>",
            "${LOCAL}",
            "{{ ip }}",
            "PH_IP_MOON",
            "Local_IP",
            "Remote_IP",
            "remote-address",
            "10.x.x.x",
            "x.x.x.x",
            "[IP]",
            "203.0.113.XXX.XXX",
        ];
        for text in templates {
            assert!(placeholder(text), "{text}");
        }
        let values = [
            "192.0.2.1",
            "10.0.0.0/8",
            "0.0.0.0/0",
            "::/0",
            "@east",
            "@[key]",
            "moon.strongswan.org",
            "name_of_connection",
            "vpn.example.net",
            "user@example.net",
            "2001:db8::1",
            "xn--bcher-kva.example",
            "%any",
            "local.ip",
        ];
        for text in values {
            assert!(!placeholder(text), "{text}");
        }
    }

    #[test]
    fn a_network_with_host_bits_is_read_with_a_warning() {
        let mut findings = Findings::default();
        let at = Spot { file: "f".into(), line: 3, column: 5 };
        let read = selector(&Sourced::new("10.1.2.3/16", &at), "our network", &mut findings);
        assert_eq!(read.map(|read| read.value), Some("10.1.0.0/16".to_owned()));
        assert_eq!(findings.errors(), 0);
        assert!(selector(&Sourced::new("10.1.2.3/99", &at), "our network", &mut findings).is_none());
        let texts: Vec<String> = findings.into_list().iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 2);
        assert!(texts[1].contains("read as 10.1.0.0/16"), "{texts:?}");
    }
}
