//! What a template is filled with: a connection in a device's words, with everything the device cannot say refused.

use super::choose::{self, EspWords, IkeWords};
use super::compact::{self, EspLists, IkeLists};
use super::device::Device;
use super::model::{End, Export, Host, Side, Tunnel};
use super::net::Net;
use super::refusal::{Findings, Refusal};
use super::render::key_mark;
use ike::config::{ChildConfig, EncapsulationPolicy, Lifetime, StartPolicy, Version};
use ike::id::Id;
use ipsec::{EspSuite, TrafficSelector};
use packet::IpVersion;
use serde::Serialize;
use std::time::Duration;

/// A connection for a template.
#[derive(Debug, Serialize)]
pub(super) struct Sheet {
    pub(super) name: String,
    pub(super) device: &'static str,
    /// The other end is the one that is configured.
    pub(super) there: bool,
    pub(super) is_group: bool,
    pub(super) tunnels: Vec<Row>,
    pub(super) notes: Vec<String>,
}

/// An end for a template.
#[derive(Debug, Serialize)]
pub(super) struct EndRow {
    /// Address or name; empty where it is left open.
    pub(super) host: String,
    /// Empty where any will do.
    pub(super) id: String,
    /// `address`, `fqdn`, `email`, `key`, or `any`.
    pub(super) id_kind: &'static str,
    /// The identity is the address.
    pub(super) id_is_host: bool,
    pub(super) port: u16,
}

/// A tunnel for a template.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// From 1.
    pub(super) number: usize,
    pub(super) name: String,
    pub(super) own: EndRow,
    pub(super) peer: EndRow,
    /// Stands where the key belongs.
    pub(super) key: String,
    /// `ikev1`, `ikev2` or `both`.
    pub(super) version: &'static str,
    pub(super) v2: bool,
    pub(super) aggressive: bool,
    pub(super) ike: Vec<IkeWords>,
    pub(super) ike_lists: Vec<IkeLists>,
    pub(super) ike_seconds: u64,
    pub(super) fuzz: u8,
    pub(super) dpd: bool,
    pub(super) dpd_interval: u64,
    pub(super) dpd_timeout: u64,
    /// Between repetitions where the device repeats five times.
    pub(super) dpd_fifth: u64,
    /// Checks until the timeout, rounded up.
    pub(super) dpd_retries: u64,
    pub(super) fragmentation: bool,
    pub(super) force_udp: bool,
    pub(super) inside: Option<Inside>,
    pub(super) mtu: usize,
    pub(super) mss: usize,
    pub(super) mss6: usize,
    /// With ESP in UDP.
    pub(super) nat_mtu: usize,
    pub(super) nat_mss: usize,
    pub(super) outer_v6: bool,
    pub(super) children: Vec<Child>,
    pub(super) routes: Vec<Net>,
}

/// Addresses inside.
#[derive(Debug, Serialize)]
pub(super) struct Inside {
    pub(super) own: String,
    pub(super) peer: String,
    pub(super) net: Net,
}

/// A child for a template.
#[derive(Debug, Serialize)]
pub(super) struct Child {
    pub(super) name: String,
    pub(super) own: Vec<Net>,
    pub(super) peer: Vec<Net>,
    pub(super) everything: bool,
    pub(super) esp: Vec<EspWords>,
    pub(super) esp_lists: Vec<EspLists>,
    pub(super) seconds: u64,
    /// Before the end of both SAs: the smaller, where a device has one for both.
    pub(super) margin: u64,
    pub(super) bytes: Option<u64>,
    pub(super) packets: Option<u64>,
    pub(super) replay: u32,
    pub(super) sha256_96: bool,
    /// `call`, `demand` or `answer`.
    pub(super) start: &'static str,
}

/// Puts a connection into the words of a device.
pub(super) fn fill(export: &Export, device: &Device) -> Result<Sheet, Vec<Refusal>> {
    let mut findings = Findings { device: device.title, refused: Vec::new(), notes: Vec::new() };
    if export.is_group && !device.several {
        let first = export.tunnels.first().map_or("", |tunnel| tunnel.name.as_str());
        let value = format!("{} tunnels to the same networks", export.tunnels.len());
        let near = format!("export one of them, as in `underpass export {first}`, or use another device's format");
        findings.refuse(&export.name, "tunnel", value, near);
    }
    let tunnels =
        export.tunnels.iter().enumerate().map(|(index, tunnel)| row(index, tunnel, export, device, &mut findings));
    let tunnels = tunnels.collect();
    (device.extra)(export, &mut findings);
    if !findings.refused.is_empty() {
        return Err(findings.refused);
    }
    Ok(Sheet {
        name: export.name.clone(),
        device: device.title,
        there: export.side == Side::There,
        is_group: export.is_group,
        tunnels,
        notes: findings.notes,
    })
}

fn row(index: usize, tunnel: &Tunnel, export: &Export, device: &Device, findings: &mut Findings) -> Row {
    let place = tunnel.name.as_str();
    let sides = match export.side {
        Side::There => [("remote_address", "remote_id"), ("local_address", "local_id")],
        Side::Here => [("local_address", "local_id"), ("remote_address", "remote_id")],
    };
    let own = end(place, &tunnel.own, sides[0], device, findings);
    let peer = end(place, &tunnel.peer, sides[1], device, findings);
    let (version, v2) = version(place, tunnel, device, findings);
    refuse_as_a_whole(tunnel, sides, device, findings);
    let (dpd_interval, dpd_retries) = dpd(tunnel, device, findings);
    let timeout = tunnel.dpd.timeout.as_secs();
    let children: Vec<Child> = tunnel.children.iter().map(|one| child(tunnel, one, device, findings)).collect();
    let outer_v6 =
        [&tunnel.own.host, &tunnel.peer.host].iter().any(|host| matches!(host, Host::Address(a) if a.is_ipv6()));
    let forced = tunnel.encapsulation == EncapsulationPolicy::Force;
    let mtu = |udp: bool| inner_mtu(&children, export.path_mtu, outer_v6, udp);
    let mss = |mtu: usize, inner: IpVersion| EspSuite::inner_mss(mtu, inner);
    Row {
        number: index + 1,
        name: tunnel.name.clone(),
        own,
        peer,
        key: key_mark(index),
        version,
        v2,
        aggressive: tunnel.aggressive,
        ike: choose::ike(place, &tunnel.ike, device, findings),
        ike_lists: compact::ike(&tunnel.ike, device),
        ike_seconds: seconds(place, "ike_lifetime_seconds", &tunnel.lifetime, device.ike_lifetime, findings),
        fuzz: tunnel.lifetime.fuzz_percent,
        dpd: dpd_interval > 0,
        dpd_interval,
        dpd_timeout: timeout,
        dpd_fifth: (timeout / 5).clamp(2, 60),
        dpd_retries,
        fragmentation: tunnel.fragmentation,
        force_udp: forced,
        inside: tunnel.inside.map(|inside| Inside {
            own: inside.local.to_string(),
            peer: inside.remote.to_string(),
            net: Net::of_prefix(inside.local, inside.prefix_length),
        }),
        mtu: mtu(forced),
        mss: mss(mtu(forced), IpVersion::V4),
        mss6: mss(mtu(forced), IpVersion::V6),
        nat_mtu: mtu(true),
        nat_mss: mss(mtu(true), IpVersion::V4),
        outer_v6,
        children,
        routes: tunnel.routes.iter().map(|(address, length)| Net::of_prefix(*address, *length)).collect(),
    }
}

/// Seconds between checks, 0 for none, and checks until the timeout. Each end asks as it likes: another value is a note.
fn dpd(tunnel: &Tunnel, device: &Device, findings: &mut Findings) -> (u64, u64) {
    let Some(wanted) = tunnel.dpd.interval.map(|interval| interval.as_secs()) else { return (0, 1) };
    let (least, most, most_retries) = device.dpd;
    let interval = wanted.clamp(least, most);
    let retries = tunnel.dpd.timeout.as_secs().div_ceil(interval.max(1)).max(1).min(most_retries);
    if interval != wanted || (most_retries < u64::MAX && retries * interval < tunnel.dpd.timeout.as_secs()) {
        findings.note(format!(
            "{}: {} asks whether our end lives every {interval} s and {retries} times, the nearest it can to {wanted} s and {} s",
            tunnel.name,
            device.title,
            tunnel.dpd.timeout.as_secs()
        ));
    }
    (interval, retries)
}

/// What of a tunnel stands outside every row of its own.
fn refuse_as_a_whole(
    tunnel: &Tunnel,
    sides: [(&'static str, &'static str); 2],
    device: &Device,
    findings: &mut Findings,
) {
    let place = tunnel.name.as_str();
    if let Err(what) = (device.key)(tunnel.psk.expose()) {
        findings.refuse(place, "psk", what, "the nearest is a new key of letters and digits at both ends");
    }
    ids(place, tunnel, [sides[0].1, sides[1].1], device, findings);
    if device.one_child && tunnel.children.len() > 1 {
        let value = format!("{} children", tunnel.children.len());
        findings.refuse(place, "child", value, "the nearest it can is one child per connection");
    }
    let calls = tunnel.children.iter().any(|child| child.start == StartPolicy::OnLoad);
    if calls && tunnel.peer.host == Host::Unknown {
        findings.refuse(
            place,
            sides[1].0,
            "an end that is called and has no address",
            format!("write `{}`", sides[1].0),
        );
    }
    if !device.local.fragmentation && !tunnel.fragmentation {
        findings.note(format!(
            "{place}: our end fragments no IKE messages; whether {} does is its own matter",
            device.title
        ));
    }
    let usual = tunnel.lifetime.margin == Duration::from_secs(270) && tunnel.lifetime.fuzz_percent == 100;
    if !device.local.margin && !usual {
        findings.note(format!(
            "{place}: when a rekey starts before the end of a lifetime is {}'s own matter",
            device.title
        ));
    }
}

/// The largest inner packet that fits whichever suite is agreed on.
fn inner_mtu(children: &[Child], path_mtu: u16, outer_v6: bool, udp: bool) -> usize {
    let outer = if outer_v6 { IpVersion::V6 } else { IpVersion::V4 };
    let suites = children.iter().flat_map(|child| &child.esp);
    suites.map(|words| words.choice.suite.inner_mtu(path_mtu.into(), outer, udp)).min().unwrap_or(0)
}

fn end(
    place: &str,
    end: &End,
    (address, id): (&'static str, &'static str),
    device: &Device,
    findings: &mut Findings,
) -> EndRow {
    let host = match &end.host {
        Host::Address(ip) => {
            if ip.is_ipv6() && !device.v6_outside {
                findings.refuse(place, address, format!("an IPv6 address ({ip})"), "the nearest is IPv4 outside");
            }
            ip.to_string()
        }
        Host::Name(name) => {
            if !device.names {
                findings.refuse(place, address, format!("the DNS name {name}"), "the nearest is the address it has");
            }
            name.clone()
        }
        Host::Several(hosts) => {
            let value = format!("one of {} ({})", hosts.len(), hosts.join(", "));
            findings.refuse(place, address, value, format!("write the one that is meant as `{address}`"));
            String::new()
        }
        Host::Unknown => {
            if !device.open_ends {
                findings.refuse(
                    place,
                    address,
                    "an end without an address",
                    format!("write its address as `{address}`"),
                );
            }
            String::new()
        }
    };
    if end.port != 500 && !device.ports {
        let option = if address == "remote_address" { "remote_port" } else { "ike_port" };
        findings.refuse(place, option, format!("UDP port {}", end.port), "the nearest it can is 500");
    }
    let text = end.id.as_ref().and_then(|known| {
        let text = (device.id)(known);
        if text.is_none() {
            let near = "the nearest it can is an address, a DNS name or name@domain";
            findings.refuse(place, id, format!("the identity {known}"), near);
        }
        text
    });
    let id_kind = match &end.id {
        Some(Id::Ipv4(_) | Id::Ipv6(_)) => "address",
        Some(Id::Fqdn(_)) => "fqdn",
        Some(Id::Rfc822(_)) => "email",
        Some(Id::KeyId(_) | Id::Unknown { .. }) => "key",
        None => "any",
    };
    let text = text.unwrap_or_default();
    EndRow { id_is_host: text == host && id_kind == "address", host, id: text, id_kind, port: end.port }
}

/// Identities where the device has no choice, or a choice that must be made.
fn ids(place: &str, tunnel: &Tunnel, options: [&'static str; 2], device: &Device, findings: &mut Findings) {
    if tunnel.peer.id.is_none() && !device.any_id {
        findings.refuse(place, options[1], "whoever proves the key", "the nearest it can is one identity: write it");
    }
    for (end, option) in [&tunnel.own, &tunnel.peer].into_iter().zip(options).filter(|_| device.address_ids) {
        let Some(id) = &end.id else { continue };
        match &end.host {
            Host::Address(address) if *id != Id::from(*address) => {
                findings.refuse(
                    place,
                    option,
                    format!("the identity {id}"),
                    format!("the nearest it can is {address}"),
                );
            }
            Host::Name(_) | Host::Several(_) | Host::Unknown if !matches!(id, Id::Ipv4(_)) => {
                let near = "the nearest it can is the address of that end";
                findings.refuse(place, option, format!("the identity {id}"), near);
            }
            Host::Address(_) | Host::Name(_) | Host::Several(_) | Host::Unknown => {}
        }
    }
}

fn version(place: &str, tunnel: &Tunnel, device: &Device, findings: &mut Findings) -> (&'static str, bool) {
    let (v1, v2) = (tunnel.versions.allow(Version::V1), tunnel.versions.allow(Version::V2));
    if tunnel.aggressive && !device.aggressive && !(v2 && device.v2) {
        findings.refuse(place, "aggressive", "aggressive mode", "the nearest it can is main mode, or IKEv2");
    }
    match (v1 && device.v1, v2 && device.v2) {
        (true, true) if device.both => ("both", true),
        (_, true) => {
            if v1 {
                findings.note(format!("{place}: both versions of IKE are taken; {} is told IKEv2", device.title));
            }
            ("ikev2", true)
        }
        (true, false) => ("ikev1", false),
        (false, false) => {
            let (asked, near) = if v2 { ("IKEv2", "IKEv1") } else { ("IKEv1", "IKEv2") };
            findings.refuse(place, "ike_version", asked, format!("the nearest it can is {near}"));
            ("ikev2", true)
        }
    }
}

/// A lifetime within the device's bounds. For ever is beyond all of them.
fn seconds(
    place: &str,
    option: &'static str,
    lifetime: &Lifetime,
    (least, most): (u64, u64),
    findings: &mut Findings,
) -> u64 {
    let Some(time) = lifetime.time.as_ref().map(Duration::as_secs) else {
        findings.refuse(place, option, "an SA that never ends", format!("the nearest it can is {most}"));
        return 0;
    };
    if time < least || time > most {
        let near = time.clamp(least, most);
        findings.refuse(place, option, format!("{time} s"), format!("the nearest it can is {near}"));
    }
    time
}

fn child(tunnel: &Tunnel, child: &ChildConfig, device: &Device, findings: &mut Findings) -> Child {
    let place = format!("{}/{}", tunnel.name, child.name);
    let place = place.as_str();
    let own = selectors(place, &child.local, device, findings);
    let peer = selectors(place, &child.remote, device, findings);
    let all = |list: &[TrafficSelector]| {
        list.iter().all(|one| *one == TrafficSelector::any_v4() || *one == TrafficSelector::any_v6())
    };
    let everything = all(&child.local) && all(&child.remote);
    if device.selectors.only_everything && !everything {
        let shown = child.local.iter().chain(&child.remote).map(ToString::to_string).collect::<Vec<_>>().join(", ");
        findings.refuse(place, "local_subnets", shown, "the nearest it can is 0.0.0.0/0 on both sides with `routes`");
    }
    if child.sha256_96 && !device.sha256_96 {
        findings.refuse(
            place,
            "sha256_96",
            "SHA-256 cut to 96 bits",
            "the nearest it can is 128 bits (`sha256_96 = false`)",
        );
    }
    let volume = child.lifetime.bytes.is_some() || child.lifetime.packets.is_some();
    if volume && !device.local.volume {
        findings.note(format!("{place}: limits of bytes and packets hold at our end alone"));
    }
    if device.local.margin && child.lifetime.margin != tunnel.lifetime.margin {
        findings.note(format!("{place}: one rekey margin holds for IKE and ESP there: the smaller of ours"));
    }
    if !device.local.replay && child.replay_window != 1024 {
        findings.note(format!("{place}: the replay window is {}'s own matter", device.title));
    }
    Child {
        name: child.name.to_string(),
        own,
        peer,
        everything,
        esp: choose::esp(place, &child.proposals, device, findings),
        esp_lists: compact::esp(&child.proposals, device),
        seconds: seconds(place, "lifetime_seconds", &child.lifetime, device.esp_lifetime, findings),
        margin: child.lifetime.margin.min(tunnel.lifetime.margin).as_secs(),
        bytes: child.lifetime.bytes,
        packets: child.lifetime.packets,
        replay: child.replay_window,
        sha256_96: child.sha256_96,
        start: match child.start {
            StartPolicy::OnLoad => "call",
            StartPolicy::OnDemand => "demand",
            StartPolicy::Passive => "answer",
        },
    }
}

fn selectors(place: &str, list: &[TrafficSelector], device: &Device, findings: &mut Findings) -> Vec<Net> {
    let can = device.selectors;
    let option = "local_subnets and remote_subnets";
    if list.len() > 1 && !can.many {
        let value = format!("{} networks in one child", list.len());
        findings.refuse(place, option, value, "one child per pair: `split_selectors = true`");
    }
    for one in list {
        if one.as_prefix().is_none() {
            let prefixes: Vec<String> =
                one.prefixes().iter().map(|(address, length)| format!("{address}/{length}")).collect();
            findings.refuse(
                place,
                option,
                format!("the range {one}"),
                format!("the nearest it can is {}", prefixes.join(", ")),
            );
        }
        if !one.is_v4() && !can.v6 {
            findings.refuse(place, option, format!("IPv6 inside ({one})"), "the nearest it can is IPv4 inside");
        }
        let plain = one.protocol == 0 && one.is_any_port();
        let without = TrafficSelector { protocol: 0, start_port: 0, end_port: u16::MAX, ..*one };
        if !plain && !can.services {
            findings.refuse(place, option, one.to_string(), format!("the nearest it can is {without}"));
        } else if !one.is_any_port()
            && (ipsec::selector::is_icmp(one.protocol) || one.is_opaque_port() || one.protocol == 0)
        {
            findings.refuse(
                place,
                option,
                one.to_string(),
                format!("the nearest it can is {}", without.with_protocol(one.protocol)),
            );
        } else if !one.is_any_port() && one.start_port != one.end_port && !can.port_ranges {
            findings.refuse(place, option, one.to_string(), "the nearest it can is one port, or all");
        }
    }
    list.iter().map(Net::of).collect()
}
