//! `[connection.NAME]`: one IKE peer, who both ends are, how they prove it, and the children.

use super::child;
use super::document::Named;
use super::ikev1::{self, Spoken};
use super::keys::SectionKind;
use super::secrets::Secrets;
use super::section::{Entry, Section, entries, shown, type_name};
use super::split;
use super::tunnels::Single;
use super::values::{Rekeying, address, host_address, shown_long};
use crate::diagnostic::{Report, code};
use crate::source::{At, Place};
use engine::desired::{Connection, TunnelOptions};
use ike::config::{Dpd, EncapsulationPolicy, PeerConfig, PeerName, Retransmit, Retry};
use ike::id::Id;
use ike::proposal::IkeProposal;
use ipsec::{DfPolicy, DscpPolicy};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;
use toml::de::DeValue;

const IKE_LIFETIME: u64 = 28_800;
const DPD_INTERVAL: u64 = 10;
const DPD_TIMEOUT: u64 = 30;
/// The IPv6 minimum MTU: fits every path (RFC 7383 §2.5.1).
const FRAGMENT_SIZE: u16 = 1280;
const IKE_PORT: u16 = 500;

/// A connection with the places that later checks point at.
pub(crate) struct Draft {
    pub(crate) connection: Connection,
    /// Its name in the file.
    pub(crate) place: Place,
    /// The connection that it is a tunnel of.
    pub(crate) group: Option<String>,
    pub(crate) remote_place: Place,
    pub(crate) children: Vec<child::Draft>,
}

pub(crate) fn read(single: Single, listen: &[IpAddr], secrets: &Secrets, report: &mut Report) -> Draft {
    let Single { named: Named { name, place, mut section }, of_children, group } = single;
    let name = &*name;
    let remote = Remote::read(&mut section, report);
    let has_local_address = section.has("local_address");
    let local_address = local_address(&mut section, listen, &remote, report);
    let rekeying = Rekeying::read(&mut section, report);
    let spoken = Spoken::read(&mut section, report);
    let aggressive = ikev1::aggressive(&mut section, spoken, report);
    let inherited = child::Inherited { any_peer: remote.any, rekeying, spoken };
    let children = children(&mut section, name, inherited, &of_children, report);
    let peer = PeerConfig {
        name: PeerName::from(name),
        local_address,
        local_id: {
            let only_listen = if let [address] = listen { Some(*address) } else { None };
            local_id(&mut section, local_address.or(only_listen), has_local_address, report)
        },
        remote_id: remote_id(&mut section, &remote, report),
        psk: {
            // Each tunnel has a key of its own where there is one, else that of the connection.
            let shared = group.filter(|whole| !secrets.has(name) && secrets.has(whole));
            let entry = section.text("psk", report).unwrap_or(At { value: shared.unwrap_or(name), place });
            secrets.get(entry, name, report)
        },
        proposals: proposals(&mut section, spoken, report),
        lifetime: {
            let seconds = section.integer("ike_lifetime_seconds", report);
            rekeying.lifetime(seconds, IKE_LIFETIME, "the IKE SA", report)
        },
        dpd: dpd(&mut section, report),
        retransmit: retransmit(&mut section, report),
        retry: match section.integer_or_word("retry", report) {
            Some(Some(tries)) => Retry { tries: u32::try_from(tries).ok(), ..Retry::default() },
            Some(None) | None => Retry::default(),
        },
        fragment_size: match section.integer("fragmentation_bytes", report).map(|at| at.value) {
            Some(0) => None,
            Some(bytes) => u16::try_from(bytes).ok(),
            None => Some(FRAGMENT_SIZE),
        },
        encapsulation: match section.word("encapsulation", report).map(|word| word.value) {
            Some("force") => EncapsulationPolicy::Force,
            _ => EncapsulationPolicy::Auto,
        },
        remote_port: small(section.integer("remote_port", report)).unwrap_or(IKE_PORT),
        initial_contact: section.boolean("initial_contact", report).unwrap_or(true),
        versions: spoken.versions,
        aggressive: aggressive.is_some(),
        childless: section.boolean("childless", report).unwrap_or(false),
        children: children.iter().map(|draft| draft.child.clone()).collect(),
        remote_addresses: remote.addresses,
    };
    ikev1::check_key(aggressive, peer.psk.expose(), report);
    let tunnel = tunnel(&mut section, report);
    section.finish(report);
    let mut routes: Vec<(IpAddr, u8)> = children.iter().flat_map(|draft| &draft.routes).map(|at| at.value).collect();
    routes.sort_unstable();
    routes.dedup();
    let connection = Connection { peer, remote_names: remote.names, routes, tunnel };
    Draft { connection, place, group: group.map(str::to_owned), remote_place: remote.place, children }
}

/// `remote_address`, taken apart.
struct Remote {
    addresses: Vec<IpAddr>,
    names: Vec<String>,
    any: bool,
    place: Place,
}

impl Remote {
    fn read(section: &mut Section, report: &mut Report) -> Remote {
        let mut remote = Remote { addresses: Vec::new(), names: Vec::new(), any: false, place: section.place };
        let Some(texts) = section.take_texts_or_require("remote_address", "\"192.0.2.2\"", report) else {
            return remote;
        };
        remote.place = texts.first().map_or(section.place, |text| text.place);
        for text in &texts {
            remote.add(*text, report);
        }
        if remote.any && texts.len() > 1 {
            let message = "`remote_address`: `any` stands alone".to_owned();
            report.error(code::CONFLICT, remote.place, message, Some("leave out `any`, or everything else".into()));
        }
        remote
    }

    fn add(&mut self, text: At<&str>, report: &mut Report) {
        let word = text.value.trim();
        if word == "any" {
            self.any = true;
        } else if let Ok(address) = word.parse::<IpAddr>() {
            let known = self.addresses.contains(&address);
            match host_address(address, text.place, "remote_address", report) {
                Some(address) if !known => self.addresses.push(address),
                Some(_) => report.warning(
                    code::CONFLICT,
                    text.place,
                    format!("`remote_address`: {address} is listed twice"),
                    None,
                ),
                None => {}
            }
        } else if is_dns_name(word) {
            self.names.push(word.to_owned());
        } else {
            let message = format!("`remote_address`: `{}` is neither an IP address nor a DNS name", shown(word));
            let help = match word.split_once('/') {
                Some((address, _)) if address.parse::<IpAddr>().is_ok() => {
                    format!("the peer's own address has no prefix length: `{address}`")
                }
                _ => "write it as in `192.0.2.2`, `2001:db8::2` or `vpn.example.net`; `any` accepts every address"
                    .to_owned(),
            };
            report.error(code::INVALID, text.place, message, Some(help));
        }
    }
}

/// A host name of letters, digits and hyphens (RFC 1123 §2.1), whose last label is no number: that would be a mistyped
/// address.
fn is_dns_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let number = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
    name.len() <= 253 && name.split('.').all(label) && !name.rsplit('.').next().is_some_and(number)
}

fn local_address(section: &mut Section, listen: &[IpAddr], remote: &Remote, report: &mut Report) -> Option<IpAddr> {
    let text = section.text("local_address", report)?;
    let local = address(text, "local_address", report)?;
    if !listen.is_empty() && !listen.contains(&local) {
        let message = format!("`local_address`: {local} is not among the addresses of `listen` in [gateway]");
        let help = format!(
            "add it there, or choose {}",
            listen.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
        );
        report.error(code::CONFLICT, text.place, message, Some(help));
    }
    if remote.addresses.contains(&local) {
        let message = format!("`local_address` and `remote_address` are both {local}");
        report.error(code::CONFLICT, text.place, message, Some("a gateway has no tunnel to itself".into()));
    }
    let same_family = |address: &IpAddr| address.is_ipv4() == local.is_ipv4();
    if remote.names.is_empty() && !remote.addresses.is_empty() && !remote.addresses.iter().any(same_family) {
        let message = format!("`local_address` {local} cannot reach `remote_address`: one is IPv4, the other IPv6");
        report.error(code::CONFLICT, text.place, message, Some("both ends of a tunnel are of one family".into()));
    }
    Some(local)
}

/// Our identity: what is written, else our address. A `local_address` that was written and is wrong asks for nothing more.
fn local_id(section: &mut Section, address: Option<IpAddr>, has_local_address: bool, report: &mut Report) -> Id {
    /// Stands in after an error, which keeps it from being used.
    const NOBODY: Id = Id::KeyId(Vec::new());
    match (section.text("local_id", report), address) {
        (Some(text), _) => id(text, "local_id", report).unwrap_or(NOBODY),
        (None, Some(address)) => Id::from(address),
        (None, None) => {
            if !has_local_address {
                section.require("local_id", "\"g1.example.net\"` or `local_address = \"192.0.2.1\"", report);
            }
            NOBODY
        }
    }
}

fn remote_id(section: &mut Section, remote: &Remote, report: &mut Report) -> Option<Id> {
    if let Some(text) = section.text("remote_id", report) {
        return if text.value == "any" { None } else { id(text, "remote_id", report) };
    }
    match (remote.addresses.as_slice(), remote.names.as_slice()) {
        ([address], []) => Some(Id::from(*address)),
        ([], [name]) => Some(Id::Fqdn(name.clone())),
        ([], []) => None,
        _ => {
            let message = "`remote_address` has several entries, so `remote_id` cannot be taken from it".to_owned();
            let help = "add `remote_id = \"…\"`, or `\"any\"` for whoever proves the key".to_owned();
            report.missing(code::INVALID, remote.place, message, Some(help));
            None
        }
    }
}

fn id(text: At<&str>, name: &str, report: &mut Report) -> Option<Id> {
    match text.value.parse::<Id>() {
        Ok(id) => Some(id),
        Err(error) => {
            report.error(code::INVALID, text.place, format!("`{name}`: {}", shown_long(&error)), None);
            None
        }
    }
}

fn proposals(section: &mut Section, spoken: Spoken, report: &mut Report) -> Vec<IkeProposal> {
    let Some(texts) = section.texts("ike_proposals", report) else {
        return IkeProposal::defaults_for(spoken.versions);
    };
    let mut proposals: Vec<IkeProposal> = Vec::new();
    let mut in_v1 = ikev1::Listed::new();
    for text in texts {
        match IkeProposal::parse_list(text.value) {
            Ok(listed) => {
                let reasons = listed.iter().flat_map(IkeProposal::is_weak).collect();
                weak("ike_proposals", text.place, reasons, report);
                in_v1.push((text.place, ikev1::any(listed.iter().map(IkeProposal::in_v1))));
                proposals.extend(listed);
            }
            Err(error) => {
                report.error(code::INVALID, text.place, format!("`ike_proposals`: {}", shown_long(&error)), None);
            }
        }
    }
    ikev1::check_proposals("ike_proposals", &in_v1, "aes256-sha256-modp2048", spoken, report);
    proposals
}

/// Warns of algorithms by name and reason.
pub(crate) fn weak(name: &str, place: Place, reasons: BTreeSet<&'static str>, report: &mut Report) {
    for reason in reasons {
        let help = "keep it only while the other end can do nothing better".to_owned();
        report.warning(code::WEAK, place, format!("`{name}`: {reason}"), Some(help));
    }
}

fn dpd(section: &mut Section, report: &mut Report) -> Dpd {
    let interval = section.integer("dpd_interval_seconds", report).map_or(DPD_INTERVAL, |at| at.value);
    let timeout = section.integer("dpd_timeout_seconds", report).map_or(DPD_TIMEOUT, |at| at.value);
    Dpd { interval: (interval > 0).then(|| Duration::from_secs(interval)), timeout: Duration::from_secs(timeout) }
}

fn retransmit(section: &mut Section, report: &mut Report) -> Retransmit {
    let mut retransmit = Retransmit::default();
    let initial = section.integer("retransmit_initial_milliseconds", report);
    let give_up = section.integer("retransmit_give_up_seconds", report);
    if let Some(initial) = initial {
        retransmit.initial = Duration::from_millis(initial.value);
        retransmit.cap = retransmit.cap.max(retransmit.initial);
    }
    if let Some(give_up) = give_up {
        retransmit.give_up = Duration::from_secs(give_up.value);
    }
    if let Some(at) = give_up.or(initial).filter(|_| retransmit.give_up <= retransmit.initial) {
        let message = "a request would be given up before it is sent a second time".to_owned();
        let help = "make retransmit_give_up_seconds longer than retransmit_initial_milliseconds".to_owned();
        report.error(code::CONFLICT, at.place, message, Some(help));
    }
    retransmit
}

fn tunnel(section: &mut Section, report: &mut Report) -> TunnelOptions {
    let dscp = match section.integer_or_word("dscp", report) {
        Some(Some(value)) => DscpPolicy::Fixed(u8::try_from(value).unwrap_or(0)),
        Some(None) | None => DscpPolicy::Copy,
    };
    let df = match section.word("df", report).map(|word| word.value) {
        Some("set") => DfPolicy::Set,
        Some("clear") => DfPolicy::Clear,
        _ => DfPolicy::Copy,
    };
    TunnelOptions { dscp, df }
}

fn children(
    section: &mut Section,
    connection: &str,
    inherited: child::Inherited,
    of_children: &[Entry],
    report: &mut Report,
) -> Vec<child::Draft> {
    let title = format!("connection.{}.child", shown(connection));
    let Some((_, entry)) = section.take("child") else {
        let message = format!("[connection.{}] has no child", shown(connection));
        let help = format!("add `[{title}.net]` with `local_subnets` and `remote_subnets`");
        report.missing(code::INVALID, section.place, message, Some(help));
        return Vec::new();
    };
    let DeValue::Table(table) = entry.value else {
        let message = format!("`child` must be a table, found {}", type_name(entry.value));
        report.error(code::INVALID, entry.key_place, message, Some(format!("write `[{title}.NAME]`")));
        return Vec::new();
    };
    if table.is_empty() {
        let message = format!("[{title}] names no child");
        report.error(code::INVALID, entry.key_place, message, Some(format!("write `[{title}.NAME]`")));
    }
    let found = entries(entry.place.file, table);
    let named = super::document::named(SectionKind::Child, &title, found, report);
    let drafts = named.into_iter().map(|Named { name, place, section }| {
        let section = section.overridden(section.title().to_owned(), section.place, of_children.to_vec());
        child::read(Named { name, place, section }, inherited, report)
    });
    let drafts = drafts.collect();
    split::split(drafts, connection, entry.key_place, report)
}

fn small(at: Option<At<u64>>) -> Option<u16> {
    at.and_then(|at| u16::try_from(at.value).ok())
}

#[cfg(test)]
mod tests {
    use super::is_dns_name;

    #[test]
    fn mistyped_addresses_are_no_names() {
        for good in ["vpn.example.net", "g2", "xn--bcher-kva.example.", "a_b.test", "1.example"] {
            assert!(is_dns_name(good), "{good}");
        }
        for bad in ["192.0.2.256", "192.0.2", "", ".", "a..b", "-a.b", "a b", "fe80::zz", "192.0.2.1/32"] {
            assert!(!is_dns_name(bad), "{bad}");
        }
        assert!(!is_dns_name(&"a".repeat(64)) && !is_dns_name(&"a.".repeat(200)));
    }
}
