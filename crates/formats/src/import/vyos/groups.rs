//! `ike-group` and `esp-group`.

use super::super::finding::{Findings, shown};
use super::super::ipsec_conf::proposals_of;
use super::super::model::{IkeVersion, ImportedChild, ImportedTunnel};
use super::super::place::Sourced;
use super::super::values::Phase;
use super::tree::Node;
use crate::nearest::nearest;

fn group<'n>(kind: &str, name: &Sourced<&str>, root: &'n Node, findings: &mut Findings) -> Option<&'n Node> {
    let found = root.get(&["vpn", "ipsec", kind, name.value]);
    if found.is_none() {
        let names = root.named(&["vpn", "ipsec", kind]);
        let near = nearest(name.value, names.iter().map(|(name, _)| name.value.as_str()));
        let help = near
            .map_or_else(|| "set it too; the file may be cut off".to_owned(), |near| format!("did you mean `{near}`?"));
        findings.error(&name.at, format!("there is no {kind} {}", shown(name.value)), help);
    }
    found
}

/// Reads the peer's group of IKE into the tunnel. Returns the group that PFS falls back to.
pub(super) fn ike(
    name: &Sourced<String>,
    peer: &Node,
    root: &Node,
    tunnel: &mut ImportedTunnel,
    findings: &mut Findings,
) -> Option<String> {
    let Some(named) = peer.value(&["ike-group"]) else {
        findings.error(
            &name.at,
            format!("peer {} has no `ike-group`", shown(&name.value)),
            "set it; the file may be cut off",
        );
        return None;
    };
    let node = group("ike-group", &named, root, findings)?;
    tunnel.ike_version = match node.value(&["key-exchange"]) {
        Some(text) if text.value == "ikev1" => Some(text.with(IkeVersion::V1)),
        Some(text) if text.value == "ikev2" => Some(text.with(IkeVersion::V2)),
        Some(text) => {
            findings.error(
                &text.at,
                format!("`key-exchange {}` is no version of IKE", shown(text.value)),
                "set ikev1 or ikev2",
            );
            None
        }
        None => {
            findings.note(&named.at, "no `key-exchange`: IKEv2 is tried, and then IKEv1", "");
            Some(Sourced::implied(IkeVersion::Both, &named.at))
        }
    };
    if let Some(mode) = node.value(&["mode"]).filter(|mode| mode.value == "aggressive")
        && tunnel.ike_version.as_ref().is_some_and(|version| version.value != IkeVersion::V2)
    {
        tunnel.aggressive = Some(mode.with(true));
    }
    tunnel.ike_lifetime = seconds(node.value(&["lifetime"]), findings);
    tunnel.dpd_interval = seconds(node.value(&["dead-peer-detection", "interval"]), findings);
    tunnel.dpd_timeout = seconds(node.value(&["dead-peer-detection", "timeout"]), findings);
    if let (None, Some(at)) = (&tunnel.dpd_interval, &node.at) {
        let message = "no `dead-peer-detection`: Underpass asks whether the peer lives after 10 s of silence";
        findings.warning(at, message, "`dpd_interval_seconds = 0` turns it off");
    }
    let mut first_group = None;
    for (number, proposal) in node.named(&["proposal"]) {
        let dh = proposal.value(&["dh-group"]).map_or("2", |dh| dh.value);
        let hash = proposal.value(&["prf"]).map(|prf| prf.value.to_owned());
        let hash = hash.or_else(|| proposal.value(&["hash"]).map(|hash| hash.value.to_owned()));
        tunnel.ike_proposals.extend(words(&number, proposal, hash.as_deref(), Some(dh), Phase::Ike, findings));
        first_group.get_or_insert_with(|| dh.to_owned());
    }
    for known in
        [&["close-action"][..], &["ikev2-reauth"], &["disable-mobike"], &["mobike"], &["dead-peer-detection", "action"]]
    {
        if let Some(node) = node.get(known) {
            node.see_all();
            if let Some(at) = &node.at {
                findings.note(at, format!("`{}` of an ike-group has no meaning here", known.join(" ")), "");
            }
        }
    }
    first_group
}

fn words(
    number: &Sourced<String>,
    proposal: &Node,
    hash: Option<&str>,
    dh: Option<&str>,
    phase: Phase,
    findings: &mut Findings,
) -> Vec<Sourced<String>> {
    let encryption = proposal.value(&["encryption"]);
    let at = encryption.as_ref().map_or(&number.at, |encryption| &encryption.at);
    let cipher = encryption.as_ref().map_or("aes128", |encryption| encryption.value);
    let mut words = vec![cipher.to_owned()];
    words.push(hash.unwrap_or("sha1").to_owned());
    words.extend(dh.map(|dh| format!("dh{dh}")));
    let text = format!("{}!", words.join("-"));
    proposals_of(&Sourced::new(text.as_str(), at), phase, findings)
}

/// Reads a group of ESP into a child. PFS takes the group of IKE unless it names one.
pub(super) fn esp(
    named: Option<Sourced<&str>>,
    ike_group: Option<&str>,
    what: &Sourced<String>,
    root: &Node,
    child: &mut ImportedChild,
    findings: &mut Findings,
) {
    let Some(named) = named else {
        findings.error(&what.at, "no `esp-group` here and no `default-esp-group`", "set it; the file may be cut off");
        return;
    };
    let Some(node) = group("esp-group", &named, root, findings) else { return };
    child.lifetime = seconds(node.value(&["lifetime"]), findings);
    if let Some(mode) = node.value(&["mode"]).filter(|mode| mode.value != "tunnel") {
        findings.error(
            &mode.at,
            format!("`mode {}`: Underpass has tunnel mode alone", shown(mode.value)),
            "set tunnel at both ends",
        );
    }
    let pfs = node.value(&["pfs"]);
    let dh = match pfs.as_ref().map(|pfs| pfs.value) {
        Some("disable") => None,
        Some("enable") | None => ike_group.map(str::to_owned),
        Some(group) => Some(group.trim_start_matches("dh-group").to_owned()),
    };
    for (number, proposal) in node.named(&["proposal"]) {
        let hash = proposal.value(&["hash"]);
        let hash = hash.as_ref().map(|hash| hash.value);
        child.esp_proposals.extend(words(&number, proposal, hash, dh.as_deref(), Phase::Esp, findings));
    }
    if let Some(on) = node.value(&["compression"]).filter(|on| on.value == "enable") {
        findings.warning(&on.at, "`compression enable`: Underpass has no IPComp, and packets are not compressed", "");
    }
    if let Some(bytes) = node.value(&["life-bytes"]) {
        child.lifetime_bytes =
            bytes.value.parse::<u64>().ok().map(|value| bytes.with(value.clamp(10_000, i64::MAX as u64)));
    }
    if let Some(packets) = node.value(&["life-packets"]) {
        child.lifetime_packets =
            packets.value.parse::<u64>().ok().map(|value| packets.with(value.clamp(100, i64::MAX as u64)));
    }
    if let Some(node) = node.get(&["disable-rekey"]) {
        node.see_all();
    }
}

fn seconds(text: Option<Sourced<&str>>, findings: &mut Findings) -> Option<Sourced<u64>> {
    let text = text?;
    match text.value.parse::<u64>() {
        Ok(value) if value <= 31_536_000 => Some(text.with(value)),
        _ => {
            findings.error(&text.at, format!("`{}` is no number of seconds", shown(text.value)), "");
            None
        }
    }
}
