//! Filters of this host that get hold of inner packets.

use super::nat::limited_to;
use super::{TunnelRule, host, interface};
use crate::catalogue::*;
use crate::evidence::Filter;
use crate::finding::{Confidence, Finding};
use crate::tunnel::Tunnel;

pub(super) const TUNNEL: &[TunnelRule] = &[dropped];

fn dropped(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let ours = interface(tunnel.evidence);
    let filters = &host(tunnel)?.filters;
    let drops = |filter: &&Filter| {
        matches!(filter.action.as_str(), "drop" | "reject")
            && matches!(filter.hook.as_str(), "forward" | "input" | "output" | "prerouting")
            && filter.packets.is_some_and(|packets| packets > 0)
    };
    let names = |filter: &&Filter| {
        ["iifname", "iif", "-i", "oifname", "oif", "-o"]
            .iter()
            .any(|word| limited_to(&filter.rule, &[word]).is_some_and(|(name, excluded)| name == ours && !excluded))
    };
    let bound =
        |filter: &&Filter| limited_to(&filter.rule, &["iifname", "iif", "-i", "oifname", "oif", "-o"]).is_some();
    let routes = tunnel.config.map(|config| config.routes.as_slice()).unwrap_or_default();
    let about = |filter: &&Filter| routes.iter().any(|route| filter.rule.contains(route.as_str()));
    let mut dropping = filters.iter().filter(drops);
    if let Some(filter) = dropping.clone().find(|filter| names(filter) || about(filter)) {
        return Some(finding(tunnel, filter));
    }
    // It may have been anything else that it hit.
    let filter = dropping.find(|filter| !bound(filter) && filter.hook == "forward")?;
    Some(finding(tunnel, filter).confidence(Confidence::Possible).advice())
}

fn finding(tunnel: &Tunnel<'_>, filter: &Filter) -> Finding {
    let ours = interface(tunnel.evidence);
    let packets = filter.packets.unwrap_or(0);
    let place = filter.place.replace(", ", " ");
    Finding::new(FW_01)
        .of(tunnel.name)
        .shown_by(format!("{}: {} has hit {packets} packets", filter.place, filter.rule))
        .fix(format!(
            "nft insert rule {place} iifname \"{ours}\" accept; nft insert rule {place} oifname \"{ours}\" accept"
        ))
}
