//! `children { NAME { … } }`.

use super::super::finding::{Findings, shown};
use super::super::ipsec_conf::proposals_of;
use super::super::model::{IkeVersion, ImportedChild, ImportedTunnel, Start, usable_name};
use super::super::place::Sourced;
use super::super::values::{Phase, selector};
use super::tree::Section;
use std::net::IpAddr;

/// `rekey_time` of a child where the file says nothing, in seconds.
const REKEY: u64 = 3600;

const READ: [&str; 13] = [
    "local_ts",
    "remote_ts",
    "esp_proposals",
    "rekey_time",
    "life_time",
    "life_bytes",
    "life_packets",
    "start_action",
    "mode",
    "sha256_96",
    "replay_window",
    "ipcomp",
    "ah_proposals",
];
const NOTHING: [(&str, &str); 26] = [
    ("mark_in", "Underpass is route-based"),
    ("mark_out", "Underpass is route-based"),
    ("mark_in_sa", "Underpass is route-based"),
    ("set_mark_in", "Underpass is route-based"),
    ("set_mark_out", "Underpass is route-based"),
    ("if_id_in", "Underpass is route-based"),
    ("if_id_out", "Underpass is route-based"),
    ("policies", "Underpass is route-based"),
    ("policies_fwd_out", "Underpass is route-based"),
    ("reqid", "Underpass is route-based"),
    ("priority", "Underpass is route-based"),
    ("interface", "Underpass is route-based"),
    ("updown", "scripts are not run"),
    ("hostaccess", "Underpass touches no packet filter"),
    ("dpd_action", "`start` says whether a dead tunnel is set up again"),
    ("close_action", "`start` says whether a closed tunnel is set up again"),
    ("inactivity", "tunnels are kept up"),
    ("rand_time", "the random part is the margin"),
    ("rekey_bytes", "rekeyed at 90 % of `life_bytes`"),
    ("rekey_packets", "rekeyed at 90 % of `life_packets`"),
    ("rand_bytes", "rekeyed at 90 % of `life_bytes`"),
    ("rand_packets", "rekeyed at 90 % of `life_packets`"),
    ("tfc_padding", "Underpass decides that itself"),
    ("hw_offload", "Underpass decides that itself"),
    ("copy_df", "`df` of the connection says it"),
    ("copy_dscp", "`dscp` of the connection says it"),
];

pub(super) fn read(section: &Section, tunnel: &ImportedTunnel, findings: &mut Findings) -> ImportedChild {
    let mut child = ImportedChild::new(usable_name(&section.name.value));
    let local = tunnel.local_address.as_ref().map(|at| at.with(at.value.to_string()));
    let remote = tunnel.remote_addresses.first().filter(|at| at.value.parse::<IpAddr>().is_ok()).cloned();
    child.local_subnets = selectors(section, "local_ts", local, tunnel, findings);
    child.remote_subnets = selectors(section, "remote_ts", remote, tunnel, findings);
    if let Some(text) = section.get("esp_proposals").filter(|text| text.value != "default") {
        let strict = format!("{}!", text.value);
        child.esp_proposals = proposals_of(&text.with(strict.as_str()), Phase::Esp, findings);
    }
    (child.lifetime, child.rekey_margin) = super::lifetimes(section, &section.name.at, REKEY, "over_time", findings);
    let number = |key: &str, least: u64| {
        let text = section.get(key)?;
        Some(text.with(text.value.parse::<u64>().ok()?.clamp(least, i64::MAX as u64)))
    };
    child.lifetime_bytes = number("life_bytes", 10_000);
    child.lifetime_packets = number("life_packets", 100);
    child.replay_window =
        number("replay_window", 0).map(|at| at.map(|packets| if packets == 0 { 0 } else { packets.clamp(64, 8192) }));
    child.sha256_96 = section.get("sha256_96").filter(|text| text.value == "yes").map(|text| text.with(true));
    child.start = Some(start(section, findings));
    refuse(section, findings);
    for (key, _) in &section.keys {
        if let Some((_, why)) = NOTHING.iter().find(|(name, _)| *name == key.value) {
            findings.note(&key.at, format!("`{}` has no meaning here: {why}", key.value), "");
        }
    }
    super::unknown(section, READ.into_iter().chain(NOTHING.iter().map(|(name, _)| *name)), findings);
    child
}

fn refuse(section: &Section, findings: &mut Findings) {
    if let Some(mode) = section.get("mode").filter(|mode| mode.value != "tunnel") {
        findings.error(
            &mode.at,
            format!("`mode = {}`: Underpass has tunnel mode alone", shown(mode.value)),
            "write `mode = tunnel` at both ends",
        );
    }
    if let Some(ah) = section.get("ah_proposals") {
        findings.error(&ah.at, "AH: Underpass has ESP alone", "use ESP at both ends");
    }
    if let Some(ipcomp) = section.get("ipcomp").filter(|ipcomp| ipcomp.value == "yes") {
        findings.warning(&ipcomp.at, "`ipcomp = yes`: Underpass has no IPComp, and packets are not compressed", "");
    }
}

fn selectors(
    section: &Section,
    key: &str,
    host: Option<Sourced<String>>,
    tunnel: &ImportedTunnel,
    findings: &mut Findings,
) -> Vec<Sourced<String>> {
    let text = section.get(key);
    let value = text.as_ref().map_or("dynamic", |text| text.value);
    let at = text.as_ref().map_or(&section.name.at, |text| &text.at);
    let mut parts: Vec<&str> = value.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    if parts.len() > 1 && tunnel.ike_version.as_ref().is_some_and(|version| version.value == IkeVersion::V1) {
        let rest = parts.split_off(1).join(", ");
        let message =
            format!("with IKEv1 strongSwan uses the first network of `{key}` alone: {} is left out", shown(&rest));
        findings.warning(at, message, "write a child of its own for it, if the other end has it too");
    }
    let mut found = Vec::new();
    for part in parts {
        let whole = match (part.strip_prefix("dynamic"), &host) {
            (Some(service), Some(host)) => format!("{}{service}", host.value),
            (Some(_), None) => {
                let message = format!("`{key}` is the address of that end, which is not known");
                findings.error(at, message, format!("write `{key} = …`"));
                continue;
            }
            (None, _) => part.to_owned(),
        };
        found.extend(selector(&Sourced::new(whole.as_str(), at), "the network behind this end", findings));
    }
    found
}

fn start(section: &Section, findings: &mut Findings) -> Sourced<Start> {
    let Some(text) = section.get("start_action") else {
        let message = "no `start_action`: strongSwan would only answer, and so do we";
        findings.note(
            &section.name.at,
            message,
            "to call, write `start = \"on-load\"` or `\"on-demand\"` into the child",
        );
        return Sourced::implied(Start::Passive, &section.name.at);
    };
    let start = match text.value {
        "start" | "trap|start" | "start|trap" => Start::OnLoad,
        "trap" | "route" => Start::OnDemand,
        "none" | "" => Start::Passive,
        other => {
            let near = crate::nearest::nearest(other, ["none", "trap", "start"]);
            let help =
                near.map_or_else(|| "write none, trap or start".to_owned(), |near| format!("did you mean `{near}`?"));
            findings.error(&text.at, format!("`start_action = {}` is unknown", shown(other)), help);
            Start::Passive
        }
    };
    text.with(start)
}

/// A peer from anywhere cannot be called.
pub(super) fn open_peer(tunnel: &ImportedTunnel, children: &mut [ImportedChild], findings: &mut Findings) {
    let open = tunnel.remote_addresses.iter().any(|at| at.value == "any");
    for start in children.iter_mut().filter_map(|child| child.start.as_mut()) {
        if open && start.value != Start::Passive {
            findings.warning(&start.at, "the peer may be anywhere, so it cannot be called: we answer", "");
            start.value = Start::Passive;
        }
    }
}
