//! The networks behind both ends of a `conn`.

use super::super::finding::{Findings, shown};
use super::super::model::ImportedTunnel;
use super::super::place::Sourced;
use super::super::values::selector;
use super::Dialect;
use super::resolve::Resolved;
use std::net::IpAddr;

/// The host itself, where no subnet is named.
pub(super) fn tunnel_host(tunnel: &ImportedTunnel, local: bool) -> Option<Sourced<String>> {
    if local {
        return tunnel.local_address.as_ref().map(|at| at.with(at.value.to_string()));
    }
    tunnel.remote_addresses.first().filter(|at| at.value.parse::<IpAddr>().is_ok()).cloned()
}

/// The networks behind an end.
pub(super) fn subnets(
    conn: &Resolved,
    side: &'static str,
    host: &Option<Sourced<String>>,
    dialect: Dialect,
    findings: &mut Findings,
) -> Vec<Sourced<String>> {
    let service = conn.side(side, "protoport");
    let text = conn.side(side, "subnets").or_else(|| conn.side(side, "subnet"));
    let many = conn.side(side, "subnets").is_some();
    let Some(text) = text else {
        let Some(host) = host else {
            let message = format!(
                "conn {} names no `{side}subnet`, and the address of that end is not known",
                shown(&conn.name.value)
            );
            findings.error(&conn.name.at, message, format!("write `{side}subnet=`"));
            return Vec::new();
        };
        findings.note(&host.at, format!("no `{side}subnet`: the tunnel is for the gateway {} itself", host.value), "");
        return with_service(&host.with(host.value.as_str()), service.as_ref(), findings).into_iter().collect();
    };
    let separators: &[char] = if many { &[',', ' '] } else { &[','] };
    let mut parts: Vec<&str> = text.value.split(separators).map(str::trim).filter(|part| !part.is_empty()).collect();
    if parts.len() > 1 && dialect == Dialect::Openswan && !many {
        findings.warning(&text.at, format!("Openswan takes one network in `{side}subnet`: all are read"), "");
    }
    if parts.len() > 1
        && dialect == Dialect::Strongswan
        && conn.get("keyexchange").is_some_and(|version| version.value == "ikev1")
    {
        let rest = parts.split_off(1).join(", ");
        let message = format!(
            "with IKEv1 strongSwan uses the first network of `{side}subnet` alone: {} is left out",
            shown(&rest)
        );
        findings.warning(&text.at, message, "write a conn of its own for it, if the other end has it too");
    }
    let read = |part: &str| match part {
        "%dynamic" => {
            host.as_ref().and_then(|host| with_service(&host.with(host.value.as_str()), service.as_ref(), findings))
        }
        part => with_service(&text.with(part), service.as_ref(), findings),
    };
    parts.into_iter().filter_map(read).collect()
}

/// A network with the protocol and port that `protoport` adds.
fn with_service(
    text: &Sourced<&str>,
    service: Option<&Sourced<&str>>,
    findings: &mut Findings,
) -> Option<Sourced<String>> {
    let plain = netmask(text.value);
    let plain = plain.as_deref().unwrap_or(text.value);
    let whole = match service {
        Some(service) if !plain.contains('[') => {
            let words = service.value.replace("%any", "any");
            let (protocol, port) = words.split_once('/').unwrap_or((&words, "any"));
            if port == "any" || port == "0" {
                format!("{plain}[{protocol}]")
            } else {
                format!("{plain}[{protocol}/{port}]")
            }
        }
        _ => plain.to_owned(),
    };
    selector(&text.with(whole.as_str()), "the network behind this end", findings)
}

/// `10.0.0.0/255.0.0.0` with the length of its mask.
fn netmask(text: &str) -> Option<String> {
    let (address, mask) = text.split_once('/')?;
    let mask = u32::from(mask.parse::<std::net::Ipv4Addr>().ok()?);
    let length = mask.leading_ones();
    (mask.count_ones() == length).then(|| format!("{address}/{length}"))
}
