//! strongSwan's `swanctl.conf`: `connections { NAME { … children { … } } }` and `secrets { ike-… { … } }`.
//!
//! Its lifetimes are times of rekeying (`rekey_time`) with something over (`over_time`, 10 %) and a random part: the SA's end
//! is the sum, and the margin before it the difference.

mod child;
mod tree;

use super::finding::{Findings, shown};
use super::input::Text;
use super::ipsec_conf::{Secrets, proposals_of, seconds_of};
use super::model::{Here, IkeVersion, Imported, ImportedConnection, ImportedTunnel, Tries, usable_name};
use super::place::{Sourced, Spot};
use super::sources::Opened;
use super::values::{Phase, host, identity};
use crate::nearest::nearest;
use std::net::IpAddr;
use tree::Section;

/// `rekey_time` of an IKE SA where the file says nothing, in seconds.
const IKE_REKEY: u64 = 14_400;

/// Keys of a connection that say nothing we need.
const KNOWN: [&str; 24] = [
    "mobike",
    "dpd_timeout",
    "reauth_time",
    "rand_time",
    "over_time",
    "unique",
    "send_cert",
    "send_certreq",
    "ppk_id",
    "ppk_required",
    "pull",
    "if_id_in",
    "if_id_out",
    "mediation",
    "mediated_by",
    "mediation_peer",
    "local_port",
    "dscp",
    "childless",
    "ocsp",
    "pools",
    "vips",
    "keyingtries",
    "rekey_time",
];
const READ: [&str; 10] = [
    "version",
    "local_addrs",
    "remote_addrs",
    "remote_port",
    "proposals",
    "aggressive",
    "dpd_delay",
    "encap",
    "fragmentation",
    "include",
];

/// Whether a text looks like a `swanctl.conf`.
pub(crate) fn looks_like(text: &str) -> bool {
    text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).any(|line| {
        let word = line.split(['{', ' ']).next().unwrap_or_default();
        matches!(word, "connections" | "secrets") && line.trim_end().ends_with('{')
    })
}

/// Reads a file and what it includes.
pub(crate) fn read(text: &Text, opened: &mut Opened, here: &Here, imported: &mut Imported, findings: &mut Findings) {
    let mut root = Section::new(Sourced::new(String::new(), &Spot::start(&text.file)));
    let sound = tree::read(text, &mut root, opened, findings);
    let mut secrets = Secrets::default();
    for section in root.section("secrets").map(|section| section.sections.as_slice()).unwrap_or_default() {
        secret(section, &mut secrets, findings);
    }
    for section in &root.sections {
        if !["connections", "secrets"].contains(&section.name.value.as_str()) {
            let known = ["pools", "authorities"].contains(&section.name.value.as_str());
            let message = format!(
                "section `{}` {}: not used",
                shown(&section.name.value),
                if known { "has no meaning here" } else { "was not understood" }
            );
            findings.note(&section.name.at, message, "");
        }
    }
    for section in root.section("connections").map(|section| section.sections.as_slice()).unwrap_or_default() {
        let name = section.name.with(usable_name(&section.name.value));
        let before = findings.errors();
        let connection = connection(section, &name, &secrets, here, findings);
        match connection {
            Some(connection) if sound && findings.errors() == before => imported.connections.push(connection),
            _ => imported.refused.push(name),
        }
    }
    secrets.tell_unused(findings);
}

fn secret(section: &Section, secrets: &mut Secrets, findings: &mut Findings) {
    if !section.name.value.starts_with("ike") {
        let message =
            format!("secret `{}`: Underpass has pre-shared keys (`ike…`) alone; not used", shown(&section.name.value));
        return findings.note(&section.name.at, message, "");
    }
    let ids =
        section.keys.iter().filter(|(key, _)| key.value.starts_with("id")).map(|(_, value)| value.clone()).collect();
    match section.get("secret") {
        Some(text) => secrets.add(ids, &text, &section.name.at, findings),
        None => findings.error(
            &section.name.at,
            format!("secret `{}` has no `secret`", shown(&section.name.value)),
            "write `secret = \"…\"`",
        ),
    }
}

fn connection(
    section: &Section,
    name: &Sourced<String>,
    secrets: &Secrets,
    here: &Here,
    findings: &mut Findings,
) -> Option<ImportedConnection> {
    let mut tunnel = ImportedTunnel::new(section.name.clone());
    addresses(section, here, &mut tunnel, findings);
    ends(section, &mut tunnel, findings);
    tunnel.ike_version = version(section, findings);
    if let Some(text) = section.get("proposals").filter(|text| text.value != "default") {
        // Everything in the list is meant: there is no `!` here.
        let strict = format!("{}!", text.value);
        tunnel.ike_proposals = proposals_of(&text.with(strict.as_str()), Phase::Ike, findings);
    }
    if let Some(text) = section.get("aggressive").filter(|text| text.value == "yes")
        && tunnel.ike_version.as_ref().is_some_and(|version| version.value != IkeVersion::V2)
    {
        tunnel.aggressive = Some(text.with(true));
    }
    let (life, margin) = lifetimes(section, &section.name.at, IKE_REKEY, "over_time", findings);
    (tunnel.ike_lifetime, tunnel.rekey_margin) = (life, margin);
    dpd(section, &mut tunnel, findings);
    tunnel.retry = section.get("keyingtries").and_then(|text| match text.value.parse::<u64>() {
        Ok(0) => Some(text.with(Tries::Forever)),
        Ok(times) => Some(text.with(Tries::Times(times.clamp(1, 1_000_000)))),
        Err(_) => None,
    });
    tunnel.force_encapsulation = section.get("encap").filter(|text| text.value == "yes").map(|text| text.with(true));
    tunnel.fragmentation = section.get("fragmentation").filter(|text| text.value == "no").map(|text| text.with(false));
    tunnel.remote_port = section.get("remote_port").and_then(|text| Some(text.with(text.value.parse().ok()?)));
    unknown(section, READ.into_iter().chain(KNOWN), findings);
    for key in ["vips", "pools"] {
        if let Some(text) = section.get(key) {
            findings.warning(&text.at, format!("`{key}`: Underpass hands out and asks for no addresses: not used"), "");
        }
    }
    let children: Vec<_> =
        section.section("children").map(|section| section.sections.as_slice()).unwrap_or_default().iter().collect();
    if children.is_empty() {
        findings.error(
            &section.name.at,
            format!("connection {} has no children", shown(&section.name.value)),
            "write `children { net { … } }`",
        );
    }
    let mut read: Vec<_> = children.into_iter().map(|section| child::read(section, &tunnel, findings)).collect();
    child::open_peer(&tunnel, &mut read, findings);
    tunnel.psk = key(section, &tunnel, secrets, findings);
    Some(ImportedConnection { name: name.clone(), tunnels: vec![tunnel], children: read })
}

fn is_any(text: &str) -> bool {
    text.starts_with("%any") || text == "0.0.0.0" || text == "::" || text == "0.0.0.0/0" || text == "::/0"
}

fn addresses(section: &Section, here: &Here, tunnel: &mut ImportedTunnel, findings: &mut Findings) {
    if let Some(text) = section.get("remote_addrs") {
        for part in text.value.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match is_any(part) {
                true => tunnel.remote_addresses = vec![text.with("any".to_owned())],
                false => tunnel.remote_addresses.extend(host(&text.with(part), "the peer's address", findings)),
            }
        }
    } else {
        tunnel.remote_addresses = vec![Sourced::implied("any".to_owned(), &section.name.at)];
    }
    let text = section.get("local_addrs").filter(|text| !is_any(text.value));
    let at = text.as_ref().map_or(&section.name.at, |text| &text.at);
    let first = text.as_ref().and_then(|text| text.value.split(',').next()).map(str::trim);
    let named = first.and_then(|first| super::values::address(&Sourced::new(first, at), "our address", findings));
    let has_id = section.section("local").is_some_and(|local| local.get("id").is_some());
    tunnel.local_address = match (named, here.local, here.default_source) {
        (Some(named), _, _) => {
            if here.addresses.is_some() && !here.has(named.value) {
                let message = format!("{} is no address of this machine", named.value);
                findings.warning(
                    &named.at,
                    message,
                    "import on the gateway, or take `local_address` out to let the route choose",
                );
            }
            Some(named)
        }
        (None, Some(local), _) if text.is_none() => Some(Sourced::implied(local, at)),
        (None, None, Some(source)) if text.is_none() && !has_id => {
            let message = format!(
                "our address is left to the route, and is our identity too: {source}, from which packets leave now"
            );
            findings.warning(at, message, "say another with `--local ADDRESS`");
            Some(Sourced::implied(source, at))
        }
        (None, None, None) if text.is_none() && !has_id => {
            findings.error(
                at,
                "our address is left to the route, and is our identity too: it must be known",
                "say it with `--local ADDRESS`",
            );
            None
        }
        _ => None,
    };
}

/// `local { … }` and `remote { … }`: who is who, and that both prove it with a key.
fn ends(section: &Section, tunnel: &mut ImportedTunnel, findings: &mut Findings) {
    for (what, ours) in [("local", true), ("remote", false)] {
        let rounds: Vec<&Section> = section
            .sections
            .iter()
            .filter(|one| one.name.value == what || one.name.value.starts_with(&format!("{what}-")))
            .collect();
        if let [_, second, ..] = rounds.as_slice() {
            findings.error(
                &second.name.at,
                format!("a second round of authentication (`{}`)", shown(&second.name.value)),
                "Underpass authenticates once, with a pre-shared key",
            );
        }
        let Some(end) = rounds.first() else {
            findings.error(
                &section.name.at,
                format!(
                    "connection {} has no `{what}` section, so its end would show a certificate",
                    shown(&section.name.value)
                ),
                "write `auth = psk` into both",
            );
            continue;
        };
        proof(end, what, findings);
        let Some(text) = end.get("id") else { continue };
        let id = if is_any(text.value) {
            Some(text.with("any".to_owned()))
        } else {
            identity(&text, "the identity of this end", findings)
        };
        let address = |text: &str| text.parse::<IpAddr>().ok();
        if ours {
            let own = tunnel.local_address.as_ref().map(|at| at.value);
            tunnel.local_id = id.filter(|id| id.value != "any" && (own.is_none() || address(&id.value) != own));
        } else {
            let only = if let [only] = tunnel.remote_addresses.as_slice() { Some(only.value.clone()) } else { None };
            tunnel.remote_id = id.filter(|id| Some(&id.value) != only.as_ref());
        }
    }
    if tunnel.remote_id.is_none() && tunnel.remote_addresses.len() > 1 {
        tunnel.remote_id = tunnel.remote_addresses.first().map(|at| Sourced::implied("any".to_owned(), &at.at));
    }
}

/// Keys of an end that are about certificates and users.
const OF_OTHERS: [&str; 11] = [
    "certs",
    "cacerts",
    "groups",
    "revocation",
    "round",
    "eap_id",
    "aaa_id",
    "xauth_id",
    "pubkeys",
    "cert_policy",
    "ca_id",
];

/// Whether an end proves itself with a key.
fn proof(end: &Section, what: &str, findings: &mut Findings) {
    let help = "agree on a key with the other end, and write `auth = psk`";
    match end.get("auth") {
        Some(auth) if auth.value == "psk" => {}
        Some(auth) => {
            let message = format!("`auth = {}`: Underpass authenticates with pre-shared keys alone", shown(auth.value));
            findings.error(&auth.at, message, help);
        }
        None => {
            let message = format!("`{what}` does not say `auth = psk`, so it is certificates (pubkey)");
            findings.error(&end.name.at, message, help);
        }
    }
    unknown(end, ["auth", "id"].into_iter().chain(OF_OTHERS), findings);
}

fn version(section: &Section, findings: &mut Findings) -> Option<Sourced<IkeVersion>> {
    let Some(text) = section.get("version") else {
        findings.note(&section.name.at, "no `version`: strongSwan begins with IKEv2 and answers either; here IKEv1 is also tried where IKEv2 is not answered", "");
        return Some(Sourced::implied(IkeVersion::Both, &section.name.at));
    };
    let version = match text.value {
        "0" => IkeVersion::Both,
        "1" => IkeVersion::V1,
        "2" => IkeVersion::V2,
        other => {
            findings.error(&text.at, format!("`{}` is no version of IKE", shown(other)), "write 0, 1 or 2");
            return None;
        }
    };
    Some(text.with(version))
}

/// End and margin of an SA of `rekey_time`.
fn lifetimes(
    section: &Section,
    at: &Spot,
    default: u64,
    over: &str,
    findings: &mut Findings,
) -> (Option<Sourced<u64>>, Option<Sourced<u64>>) {
    let rekey = section.get("rekey_time").and_then(|text| seconds_of(&text, findings));
    let rekey = rekey.unwrap_or_else(|| Sourced::implied(default, at));
    if rekey.value == 0 {
        findings.warning(&rekey.at, "`rekey_time = 0`: the SA has no end here either", "");
        return (Some(rekey), None);
    }
    let over = section.get(over).and_then(|text| seconds_of(&text, findings));
    let life = section.get("life_time").and_then(|text| seconds_of(&text, findings)).map(|at| at.value);
    let margin = match (life, over) {
        (Some(life), _) => life.saturating_sub(rekey.value),
        (None, Some(over)) => over.value,
        (None, None) => rekey.value / 10,
    };
    let margin = margin.max(1);
    let end = rekey.value.saturating_add(margin);
    let message = format!(
        "rekeyed {} s after it was made and gone {margin} s later: an SA of {end} s with a margin of {margin} s",
        rekey.value
    );
    findings.note(&rekey.at, message, "");
    (Some(rekey.with(end)), Some(Sourced::implied(margin, &rekey.at)))
}

fn dpd(section: &Section, tunnel: &mut ImportedTunnel, findings: &mut Findings) {
    let delay = section.get("dpd_delay").and_then(|text| seconds_of(&text, findings));
    match delay {
        Some(delay) if delay.value > 0 => tunnel.dpd_interval = Some(delay),
        other => {
            let at = other.map_or(section.name.at.clone(), |other| other.at);
            let message = "strongSwan would not ask whether the peer lives: Underpass does, after 10 s of silence";
            findings.warning(&at, message, "`dpd_interval_seconds = 0` turns it off");
        }
    }
    tunnel.dpd_timeout =
        section.get("dpd_timeout").and_then(|text| seconds_of(&text, findings)).filter(|at| at.value > 0);
}

fn key(
    section: &Section,
    tunnel: &ImportedTunnel,
    secrets: &Secrets,
    findings: &mut Findings,
) -> Option<Sourced<crypto::SecretBytes>> {
    let mut local: Vec<String> = tunnel.local_id.iter().map(|id| id.value.clone()).collect();
    local.extend(tunnel.local_address.iter().map(|at| at.value.to_string()));
    let mut remote: Vec<String> = tunnel.remote_id.iter().map(|id| id.value.clone()).collect();
    remote.extend(tunnel.remote_addresses.iter().map(|at| at.value.clone()));
    let before = findings.errors();
    let found = secrets.find(&local, &remote, findings);
    if found.is_none() && findings.errors() == before {
        let message = format!("no pre-shared key fits connection {}", shown(&section.name.value));
        findings.warning(
            &section.name.at,
            message,
            "write it into `secrets { ike-x { id = …  secret = … } }`, or into secrets.toml",
        );
    }
    found
}

/// Keys that nobody knows.
fn unknown<'k>(section: &Section, known: impl IntoIterator<Item = &'k str>, findings: &mut Findings) {
    let known: Vec<&str> = known.into_iter().collect();
    for (key, _) in section.keys.iter().filter(|(key, _)| !known.contains(&key.value.as_str())) {
        let help = nearest(&key.value, known.iter().copied())
            .map_or_else(String::new, |near| format!("did you mean `{near}`?"));
        findings.warning(&key.at, format!("unknown key `{}`: not used", shown(&key.value)), help);
    }
}
