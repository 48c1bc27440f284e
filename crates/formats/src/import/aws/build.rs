//! From values as they stand to a connection: our end is the customer gateway, both tunnels lead to the same networks.

use super::super::finding::{Findings, shown};
use super::super::model::{
    Bgp, DontFragment, Here, IkeVersion, ImportedChild, ImportedConnection, ImportedTunnel, Inside, Start, usable_name,
};
use super::super::place::{Sourced, Spot};
use super::super::values::{Phase, address, proposal, refuse_placeholder, selector};
use super::{Field, Raw, RawTunnel, suite};
use std::net::IpAddr;

/// Everything: the service's tunnels are route-based.
const EVERYTHING: &str = "0.0.0.0/0";

/// Makes the connection; `None` when something in it is an error, and the name it would have had.
pub(crate) fn build(raw: &Raw, here: &Here, findings: &mut Findings) -> Result<ImportedConnection, Sourced<String>> {
    let before = findings.errors();
    let name = match &raw.id {
        Some(id) => id.with(usable_name(&id.value)),
        None => Sourced::new("vpn".to_owned(), &raw.at),
    };
    if raw.tunnels.is_empty() {
        findings.error(&raw.end, "the file ends before the first tunnel", "it is cut off: download it again");
        return Err(name);
    }
    if let [only] = raw.tunnels.as_slice() {
        let message = format!("there is tunnel #{} alone; a VPN connection has two", only.number);
        findings.warning(&raw.end, message, "import the whole file to survive maintenance of one of them");
    }
    let mut tunnels = Vec::new();
    let mut suites = Vec::new();
    for one in &raw.tunnels {
        if let Some((tunnel, esp)) = tunnel(one, raw, here, findings) {
            tunnels.push(tunnel);
            suites.push(esp);
        }
    }
    let child = child(raw, &mut tunnels, &suites, findings);
    if !raw.sound || findings.errors() > before || tunnels.len() < raw.tunnels.len() {
        return Err(name);
    }
    if let Some(first) = raw.tunnels.first() {
        consequences(first, findings);
    }
    Ok(ImportedConnection { name, tunnels, children: vec![child] })
}

/// Phase 2 of a tunnel.
struct Esp {
    proposals: Vec<Sourced<String>>,
    lifetime: Option<Sourced<u64>>,
}

fn tunnel(raw: &RawTunnel, all: &Raw, here: &Here, findings: &mut Findings) -> Option<(ImportedTunnel, Esp)> {
    let before = findings.errors();
    required(raw, &all.end, findings);
    check_fixed(raw, findings);
    let name = Sourced::new(format!("tunnel-{}", raw.number), &raw.at);
    let mut tunnel = ImportedTunnel::new(name);
    let what = "the public address of the virtual private gateway";
    if let Some(text) = raw.get(Field::RemoteOutside)
        && let Some(remote) = address(&text, what, findings)
    {
        tunnel.remote_addresses = vec![remote.map(|address| address.to_string())];
    }
    our_end(raw, here, &mut tunnel, findings);
    tunnel.psk = raw.psk.clone();
    tunnel.ike_version = ike_version(raw, findings);
    tunnel.aggressive =
        raw.get(Field::IkeMode).filter(|mode| mode.value.contains("aggressive")).map(|mode| mode.with(true));
    tunnel.ike_lifetime = number(raw, Field::IkeLifetime, findings);
    dpd(raw, &mut tunnel, findings);
    tunnel.dont_fragment =
        raw.get(Field::ClearDf).filter(|text| yes(text.value)).map(|text| text.with(DontFragment::Clear));
    tunnel.inside = inside(raw, findings);
    tunnel.bgp = bgp(raw, findings);
    tunnel.ike_proposals = proposals(raw, true, findings);
    let esp = Esp { proposals: proposals(raw, false, findings), lifetime: number(raw, Field::EspLifetime, findings) };
    (findings.errors() == before).then_some((tunnel, esp))
}

/// What no tunnel can do without, named where the file stops.
fn required(raw: &RawTunnel, end: &Spot, findings: &mut Findings) {
    let mut missing: Vec<&str> = Vec::new();
    let mut need = |field: Field| {
        if !raw.values.contains_key(&field) {
            missing.push(field.title());
        }
    };
    need(Field::RemoteOutside);
    if raw.allowed.is_none() {
        [
            Field::IkeEncryption,
            Field::IkeIntegrity,
            Field::IkeGroup,
            Field::EspEncryption,
            Field::EspIntegrity,
            Field::LocalOutside,
        ]
        .into_iter()
        .for_each(need);
    }
    if !raw.psk_seen {
        missing.insert(0, "pre-shared key");
    }
    if !missing.is_empty() {
        let message = format!("tunnel #{} has no {}", raw.number, missing.join(", no "));
        findings.error(end, message, "the file is cut off or was edited: download it again");
    }
}

/// What has one possible value.
fn check_fixed(raw: &RawTunnel, findings: &mut Findings) {
    let fixed = [
        (
            Field::Method,
            &["pre-shared key", "psk", "pre-shared-key"][..],
            "Underpass authenticates with pre-shared keys alone",
        ),
        (Field::EspProtocol, &["esp"], "Underpass has ESP alone"),
        (Field::EspMode, &["tunnel"], "Underpass has tunnel mode alone"),
        (Field::IkeMode, &["main", "aggressive"], "phase 1 is main or aggressive mode"),
    ];
    for (field, words, why) in fixed {
        if let Some(text) = raw.get(field).filter(|text| !words.contains(&text.value.to_ascii_lowercase().as_str())) {
            let message = format!("the {} is `{}`: {why}", field.title(), shown(text.value));
            findings.error(&text.at, message, "change the VPN connection, and download the file again");
        }
    }
}

/// The customer gateway's address is who we are; packets leave from it only where this machine has it.
fn our_end(raw: &RawTunnel, here: &Here, tunnel: &mut ImportedTunnel, findings: &mut Findings) {
    let Some(text) = raw.get(Field::LocalOutside) else {
        // The bare options do not name us.
        let at = &raw.at;
        match here.local.or(here.default_source) {
            Some(local) => {
                let message = format!("the file does not say our own address: {local} is used");
                findings.warning(at, message, "behind NAT, set `local_id` to the customer gateway's public address");
                tunnel.local_address = Some(Sourced::implied(local, at));
            }
            None if raw.allowed.is_some() => {
                let help = "say it with `--local ADDRESS`: the address of the customer gateway";
                findings.error(at, "the file does not say our own address", help);
            }
            None => {}
        }
        return;
    };
    let Some(outside) = address(&text, "the public address of your customer gateway", findings) else { return };
    let elsewhere = here.addresses.is_some() || here.local.is_some();
    if here.has(outside.value) || !elsewhere {
        tunnel.local_address = Some(outside);
        return;
    }
    let us = outside.value;
    match here.local {
        Some(local) => {
            let message = format!("{us} is our identity; packets leave from {local}, as `--local` says");
            findings.note(&outside.at, message, "");
            tunnel.local_address = Some(outside.with(local));
        }
        None => {
            let message = format!(
                "{us} is no address of this machine: taken as our identity, and the route chooses the address packets leave from"
            );
            findings.warning(
                &outside.at,
                message,
                "right behind NAT; on the gateway itself the address would be found",
            );
        }
    }
    tunnel.local_id = Some(outside.map(|address| address.to_string()));
}

fn ike_version(raw: &RawTunnel, findings: &mut Findings) -> Option<Sourced<IkeVersion>> {
    let Some(text) = raw.get(Field::IkeVersion) else {
        let at = &raw.at;
        let message =
            "the file does not say which version of IKE: the service answers either, so IKEv2 is tried and then IKEv1";
        findings.note(at, message, "");
        return Some(Sourced::implied(IkeVersion::Both, at));
    };
    let folded = text.value.to_ascii_lowercase();
    let words: Vec<&str> = folded.split([' ', ',', '/']).filter(|word| !word.is_empty()).collect();
    let has = |names: &[&str]| words.iter().any(|word| names.contains(word));
    let version = match (has(&["ikev1", "1", "v1"]), has(&["ikev2", "2", "v2"])) {
        (true, true) => IkeVersion::Both,
        (true, false) => IkeVersion::V1,
        (false, true) => IkeVersion::V2,
        (false, false) => {
            findings.error(&text.at, format!("`{}` is no version of IKE", shown(text.value)), "it is IKEv1 or IKEv2");
            return None;
        }
    };
    Some(text.with(version))
}

fn dpd(raw: &RawTunnel, tunnel: &mut ImportedTunnel, findings: &mut Findings) {
    tunnel.dpd_interval = number(raw, Field::DpdInterval, findings);
    let retries = number(raw, Field::DpdRetries, findings);
    tunnel.dpd_timeout = number(raw, Field::DpdTimeout, findings);
    if let (None, Some(interval), Some(retries)) = (&tunnel.dpd_timeout, &tunnel.dpd_interval, &retries) {
        tunnel.dpd_timeout = Some(retries.with(interval.value.saturating_mul(retries.value).clamp(1, 86_400)));
    }
}

/// A number, whatever unit in words follows it: the file's are seconds.
fn number(raw: &RawTunnel, field: Field, findings: &mut Findings) -> Option<Sourced<u64>> {
    let text = raw.get(field)?;
    let mut words = text.value.split_whitespace();
    let digits = words.next().unwrap_or_default();
    let unit = words.next().unwrap_or("seconds");
    match digits.parse::<u64>().ok().filter(|_| ["seconds", "second", "s", "sec"].contains(&unit)) {
        Some(value) if value <= 31_536_000 => Some(text.with(value)),
        _ => {
            let message = format!("the {} `{}` is no number of seconds", field.title(), shown(text.value));
            findings.error(&text.at, message, "write it as in `28800 seconds`");
            None
        }
    }
}

fn yes(text: &str) -> bool {
    ["enabled", "true", "yes", "clear"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

fn inside(raw: &RawTunnel, findings: &mut Findings) -> Option<Sourced<Inside>> {
    let ours = inside_address(raw.get(Field::LocalInside)?, findings)?;
    let theirs = raw.get(Field::RemoteInside).and_then(|text| inside_address(text, findings));
    if let Some(theirs) = theirs.filter(|theirs| ours.value.peer() != Some(theirs.value.address)) {
        let message = format!(
            "the inside addresses {} (ours, at {}) and {} are not the two hosts of one /30",
            ours.value, ours.at, theirs.value
        );
        findings.error(&theirs.at, message, "the file contradicts itself: download it again");
    }
    Some(ours)
}

fn inside_address(text: Sourced<&str>, findings: &mut Findings) -> Option<Sourced<Inside>> {
    if refuse_placeholder(text.value, &text.at, "the address inside the tunnel", findings) {
        return None;
    }
    let parsed = Inside::parse(text.value);
    if parsed.is_none() && text.value.contains("::") {
        let message = format!(
            "{} is an IPv6 address inside the tunnel, which Underpass does not set: left out",
            shown(text.value)
        );
        findings.warning(&text.at, message, "");
    } else if parsed.is_none() {
        let message = format!("`{}` is no address of a network of two hosts", shown(text.value));
        findings.error(&text.at, message, "write it as in `169.254.10.2/30`");
    }
    parsed.map(|inside| text.with(inside))
}

fn bgp(raw: &RawTunnel, findings: &mut Findings) -> Bgp {
    let mut asn = |field| {
        let text = raw.get(field)?;
        let value = text.value.parse::<u32>().ok().filter(|asn| *asn > 0);
        if value.is_none() {
            let message = format!("`{}` is no autonomous system number", shown(text.value));
            findings.error(&text.at, message, "it is 1 to 4294967295");
        }
        value.map(|value| text.with(value))
    };
    let (local_asn, remote_asn) = (asn(Field::LocalAsn), asn(Field::RemoteAsn));
    let neighbor = raw.get(Field::Neighbor).and_then(|text| Some(text.with(text.value.parse::<IpAddr>().ok()?)));
    let hold_time_seconds = number(raw, Field::HoldTime, findings);
    Bgp { local_asn, remote_asn, neighbor, hold_time_seconds }
}

/// The suite, or everything the options allow.
fn proposals(raw: &RawTunnel, ike: bool, findings: &mut Findings) -> Vec<Sourced<String>> {
    let (fields, phase) = if ike {
        ([Field::IkeEncryption, Field::IkeIntegrity, Field::IkeGroup], Phase::Ike)
    } else {
        ([Field::EspEncryption, Field::EspIntegrity, Field::EspGroup], Phase::Esp)
    };
    let [encryption, integrity, group] = fields.map(|field| raw.get(field));
    let single = suite::one(encryption, integrity, group, ike, findings);
    let lists = raw.allowed.as_ref().map(|allowed| if ike { &allowed.ike } else { &allowed.esp });
    let listed = lists.map(|lists| suite::listed(lists, ike, findings)).unwrap_or_default();
    let found = match (single, listed.first(), lists) {
        (single, None, _) => single.into_iter().collect(),
        (Some(single), Some(first), Some(lists)) if !suite::within(&single.value, lists) => {
            let message = format!(
                "the XML says {} ({}), which the tunnel options do not allow: the options count",
                single.value, single.at
            );
            findings.warning(&first.at, message, "");
            listed
        }
        _ => listed,
    };
    found.into_iter().filter(|text| proposal(text, phase, findings)).collect()
}

/// The child of all tunnels. Where their suites differ, each tunnel has its own.
fn child(raw: &Raw, tunnels: &mut [ImportedTunnel], suites: &[Esp], findings: &mut Findings) -> ImportedChild {
    let mut child = ImportedChild::new("net");
    let mut side = |cidr: &Option<Sourced<String>>, what| {
        let everything = Sourced::implied(EVERYTHING.to_owned(), &raw.at);
        let cidr = cidr.as_ref().unwrap_or(&everything);
        selector(&cidr.with(cidr.value.as_str()), what, findings).into_iter().collect::<Vec<_>>()
    };
    child.local_subnets = side(&raw.local_cidr, "our network");
    child.remote_subnets = side(&raw.remote_cidr, "the network of the VPC");
    child.start = Some(Sourced::implied(Start::OnLoad, &raw.at));
    let Some(first) = suites.first() else { return child };
    let words = |esp: &Esp| esp.proposals.iter().map(|text| text.value.clone()).collect::<Vec<_>>();
    let time = |esp: &Esp| esp.lifetime.as_ref().map(|at| at.value);
    if suites.iter().all(|esp| words(esp) == words(first)) {
        child.esp_proposals.clone_from(&first.proposals);
    } else {
        for (tunnel, esp) in tunnels.iter_mut().zip(suites) {
            tunnel.esp_proposals.clone_from(&esp.proposals);
        }
    }
    if suites.iter().all(|esp| time(esp) == time(first)) {
        child.lifetime.clone_from(&first.lifetime);
    } else {
        for (tunnel, esp) in tunnels.iter_mut().zip(suites) {
            tunnel.child_lifetime.clone_from(&esp.lifetime);
        }
    }
    child
}

/// What is known to the reader and has no key, said once per connection.
fn consequences(first: &RawTunnel, findings: &mut Findings) {
    for field in [Field::Mss, Field::Mtu, Field::Fragmentation] {
        if let Some(text) = first.get(field) {
            let message =
                format!("the {} is not taken from the file: it follows from the suite and `path_mtu`", field.title());
            findings.note(&text.at, message, "");
        }
    }
    if let Some(text) = first.get(Field::NextHop) {
        findings.note(
            &text.at,
            "the next hop of static routes is the tunnel itself: list the prefixes as `routes`",
            "",
        );
    }
}
