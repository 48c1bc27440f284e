//! `[connection.NAME.child.NAME]`: one CHILD_SA, its traffic, and the routes that lead into it.

use super::connection::weak;
use super::document::Named;
use super::ikev1::{self, Spoken};
use super::section::Section;
use super::split;
use super::values::{Rekeying, prefix, selectors, shown_long};
use crate::diagnostic::{Report, code};
use crate::source::{At, Place};
use crypto::Integrity;
use ike::config::{ChildConfig, ChildName, StartPolicy};
use ike::proposal::EspProposal;
use ipsec::TrafficSelector;
use std::net::IpAddr;

const LIFETIME: u64 = 3600;
const REPLAY_WINDOW: u32 = 1024;

/// A child with the places that later checks point at.
pub(crate) struct Draft {
    pub(crate) child: ChildConfig,
    /// Its name in the file.
    pub(crate) place: Place,
    /// Its first remote selector.
    pub(crate) remote_place: Place,
    pub(crate) routes: Vec<At<(IpAddr, u8)>>,
    /// One child per pair of subnets is to be made of it.
    pub(crate) split: bool,
    /// The child in the file that it was made of by splitting.
    pub(crate) origin: Option<ChildName>,
}

/// What a child takes from its connection.
#[derive(Clone, Copy)]
pub(crate) struct Inherited {
    /// Nobody knows where the peer is.
    pub(crate) any_peer: bool,
    pub(crate) rekeying: Rekeying,
    pub(crate) spoken: Spoken,
}

pub(crate) fn read(named: Named, connection: Inherited, report: &mut Report) -> Draft {
    let Named { name, place, mut section } = named;
    let spoken = connection.spoken;
    let local = selectors(&mut section, "local_subnets", "[\"10.1.0.0/16\"]", report);
    ikev1::check_selectors("local_subnets", &local, spoken, report);
    let remote = selectors(&mut section, "remote_subnets", "[\"10.2.0.0/16\"]", report);
    ikev1::check_selectors("remote_subnets", &remote, spoken, report);
    let remote_place = remote.place;
    let (local, remote) = (local.values(), remote.values());
    families(&local, &remote, remote_place, report);
    let routes = routes(&mut section, &remote, remote_place, report);
    let seconds = section.integer("lifetime_seconds", report);
    let rekeying = Rekeying::read(&mut section, report).or(connection.rekeying);
    // A lifetime that nobody wrote stands at the child's header.
    let seconds = seconds.or(Some(At { value: LIFETIME, place }));
    let mut lifetime = rekeying.lifetime(seconds, LIFETIME, "this child", report);
    lifetime.bytes = section.integer("lifetime_bytes", report).map(|at| at.value);
    lifetime.packets = section.integer("lifetime_packets", report).map(|at| at.value);
    let proposals = proposals(&mut section, spoken, report);
    let child = ChildConfig {
        name: ChildName::from(&*name),
        local,
        remote,
        sha256_96: sha256_96(&mut section, &proposals, report),
        proposals,
        lifetime,
        start: start(&mut section, connection.any_peer, report),
        replay_window: match section.integer("replay_window", report) {
            Some(at) => u32::try_from(at.value).unwrap_or(REPLAY_WINDOW),
            None => REPLAY_WINDOW,
        },
    };
    if child.replay_window == 0 {
        let message = "`replay_window` = 0: whoever records packets can send them again".to_owned();
        report.warning(code::WEAK, place, message, None);
    }
    let split = split_selectors(&mut section, &child, remote_place, spoken, report);
    section.finish(report);
    Draft { child, place, remote_place, routes, split, origin: None }
}

/// Whether each pair of subnets gets an SA of its own: where it is asked for, and where IKEv1 knows nothing else.
fn split_selectors(
    section: &mut Section,
    child: &ChildConfig,
    remote_place: Place,
    spoken: Spoken,
    report: &mut Report,
) -> bool {
    let written = section.flag("split_selectors", report);
    if let Some(off) = written.filter(|at| !at.value) {
        ikev1::check_unsplit(off.place, split::count(child), spoken, report);
    }
    ikev1::check_protocols(child, remote_place, spoken, report);
    written.map_or(spoken.v1(), |at| at.value)
}

/// Truncation of a MAC that the proposals do not have changes nothing.
fn sha256_96(section: &mut Section, proposals: &[EspProposal], report: &mut Report) -> bool {
    let Some(at) = section.flag("sha256_96", report).filter(|at| at.value) else { return false };
    let has = |proposal: &EspProposal| proposal.integrities.contains(&Integrity::HmacSha2_256_128);
    if !proposals.is_empty() && !proposals.iter().any(has) {
        let message = "`sha256_96` changes nothing: no proposal in `esp_proposals` has `sha256`".to_owned();
        let help = "leave it out, or add a proposal such as `aes256-sha256`".to_owned();
        report.warning(code::CONFLICT, at.place, message, Some(help));
    }
    true
}

/// A selector pair is of one family: with IPv4 on one side only and IPv6 on the other no packet could ever match.
fn families(local: &[TrafficSelector], remote: &[TrafficSelector], place: Place, report: &mut Report) {
    let has = |list: &[TrafficSelector], v4: bool| list.iter().any(|selector| selector.start.is_ipv4() == v4);
    let possible = [true, false].into_iter().any(|v4| has(local, v4) && has(remote, v4));
    if !possible && !local.is_empty() && !remote.is_empty() {
        let message = "`local_subnets` and `remote_subnets` have no address family in common".to_owned();
        report.error(code::CONFLICT, place, message, Some("no packet goes from IPv4 to IPv6".into()));
    }
}

fn routes(
    section: &mut Section,
    remote: &[TrafficSelector],
    remote_place: Place,
    report: &mut Report,
) -> Vec<At<(IpAddr, u8)>> {
    let Some(texts) = section.texts("routes", report) else {
        let prefixes = remote.iter().flat_map(TrafficSelector::prefixes).filter(|(_, length)| *length > 0);
        let mut prefixes: Vec<_> = prefixes.collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        return prefixes.into_iter().map(|value| At { value, place: remote_place }).collect();
    };
    let mut routes: Vec<At<(IpAddr, u8)>> = Vec::new();
    for text in texts {
        let Some(value) = prefix(text, "routes", report) else {
            continue;
        };
        let (address, length) = value;
        let destination = TrafficSelector::from_prefix(address, length);
        if !remote.is_empty() && !remote.iter().any(|selector| selector.intersection(&destination).is_some()) {
            let message = format!("`routes`: nothing in {address}/{length} is in `remote_subnets`");
            let help =
                "packets routed here would be dropped; add the prefix there too, or leave it out here".to_owned();
            report.warning(code::CONFLICT, text.place, message, Some(help));
        }
        routes.push(At { value, place: text.place });
    }
    routes
}

fn proposals(section: &mut Section, spoken: Spoken, report: &mut Report) -> Vec<EspProposal> {
    let allow_null = section.boolean("allow_null_encryption", report).unwrap_or(false);
    let Some(texts) = section.texts("esp_proposals", report) else {
        return EspProposal::defaults_for(spoken.versions);
    };
    let mut proposals: Vec<EspProposal> = Vec::new();
    let mut in_v1 = ikev1::Listed::new();
    for text in texts {
        match EspProposal::parse_list(text.value, allow_null) {
            Ok(listed) => {
                let reasons = listed.iter().flat_map(EspProposal::is_weak).collect();
                weak("esp_proposals", text.place, reasons, report);
                in_v1.push((text.place, ikev1::any(listed.iter().map(EspProposal::in_v1))));
                proposals.extend(listed);
            }
            Err(error) => {
                let null = !allow_null && EspProposal::parse_list(text.value, true).is_ok();
                let help = null
                    .then(|| "`allow_null_encryption = true` accepts it, where everybody may read along".to_owned());
                report.error(code::INVALID, text.place, format!("`esp_proposals`: {}", shown_long(&error)), help);
            }
        }
    }
    ikev1::check_proposals("esp_proposals", &in_v1, "aes256-sha256", spoken, report);
    proposals
}

fn start(section: &mut Section, any_peer: bool, report: &mut Report) -> StartPolicy {
    let Some(word) = section.word("start", report) else {
        return if any_peer { StartPolicy::Passive } else { StartPolicy::OnLoad };
    };
    let start = match word.value {
        "on-demand" => StartPolicy::OnDemand,
        "passive" => StartPolicy::Passive,
        _ => StartPolicy::OnLoad,
    };
    if any_peer && start != StartPolicy::Passive {
        let message = format!("`start = \"{}\"` needs somebody to call, but `remote_address` is `any`", word.value);
        let help = "give the peer's address or name, or write `start = \"passive\"`".to_owned();
        report.error(code::CONFLICT, word.place, message, Some(help));
    }
    start
}
