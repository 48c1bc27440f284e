//! `[connection.NAME.child.NAME]`: one CHILD_SA, its traffic, and the routes that lead into it.

use super::connection::weak;
use super::document::Named;
use super::section::Section;
use super::values::{Rekeying, prefix, selectors, shown_long};
use crate::diagnostic::{Report, code};
use crate::source::{At, Place};
use ike::config::{ChildConfig, ChildName, StartPolicy};
use ike::proposal::EspProposal;
use ipsec::TrafficSelector;
use std::net::IpAddr;

const LIFETIME: u64 = 3600;
const REPLAY_WINDOW: u32 = 1024;

/// A child with the places that later checks point at.
pub(crate) struct Draft {
    pub(crate) child: ChildConfig,
    /// Its first remote selector.
    pub(crate) remote_place: Place,
    pub(crate) routes: Vec<At<(IpAddr, u8)>>,
}

pub(crate) fn read(named: Named, any_peer: bool, connection: Rekeying, report: &mut Report) -> Draft {
    let Named { name, place, mut section } = named;
    let (local, _) = selectors(&mut section, "local_subnets", "[\"10.1.0.0/16\"]", report);
    let (remote, remote_place) = selectors(&mut section, "remote_subnets", "[\"10.2.0.0/16\"]", report);
    families(&local, &remote, remote_place, report);
    let routes = routes(&mut section, &remote, remote_place, report);
    let seconds = section.integer("lifetime_seconds", report);
    let rekeying = Rekeying::read(&mut section, report).or(connection);
    // A lifetime that nobody wrote stands at the child's header.
    let seconds = seconds.or(Some(At { value: LIFETIME, place }));
    let mut lifetime = rekeying.lifetime(seconds, LIFETIME, "this child", report);
    lifetime.bytes = section.integer("lifetime_bytes", report).map(|at| at.value);
    lifetime.packets = section.integer("lifetime_packets", report).map(|at| at.value);
    let child = ChildConfig {
        name: ChildName::from(name),
        local,
        remote,
        proposals: proposals(&mut section, report),
        lifetime,
        start: start(&mut section, any_peer, report),
        sha256_96: false,
        replay_window: match section.integer("replay_window", report) {
            Some(at) => u32::try_from(at.value).unwrap_or(REPLAY_WINDOW),
            None => REPLAY_WINDOW,
        },
    };
    if child.replay_window == 0 {
        let message = "`replay_window` = 0: whoever records packets can send them again".to_owned();
        report.warning(code::WEAK, place, message, None);
    }
    section.finish(report);
    Draft { child, remote_place, routes }
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

fn proposals(section: &mut Section, report: &mut Report) -> Vec<EspProposal> {
    let allow_null = section.boolean("allow_null_encryption", report).unwrap_or(false);
    let Some(texts) = section.texts("esp_proposals", report) else {
        return EspProposal::defaults();
    };
    let mut proposals: Vec<EspProposal> = Vec::new();
    for text in texts {
        match EspProposal::parse_list(text.value, allow_null) {
            Ok(listed) => {
                let reasons = listed.iter().flat_map(EspProposal::is_weak).collect();
                weak("esp_proposals", text.place, reasons, report);
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
