//! NAT of this host that gets hold of inner packets.

use super::{TunnelRule, interface};
use crate::catalogue::*;
use crate::evidence::{Evidence, Filter};
use crate::finding::{Confidence, Finding};
use crate::tunnel::Tunnel;

pub(super) const TUNNEL: &[TunnelRule] = &[rewritten];

/// The interface a rule is limited to, and whether it is excluded rather than meant.
pub(super) fn limited_to<'r>(rule: &'r str, words: &[&str]) -> Option<(&'r str, bool)> {
    let mut parts = rule.split_whitespace();
    while let Some(word) = parts.next() {
        if words.contains(&word) {
            let next = parts.next()?;
            let (excluded, name) = if next == "!=" { (true, parts.next()?) } else { (false, next) };
            return Some((name.trim_matches('"'), excluded));
        }
    }
    None
}

/// A rule that rewrites the source of what goes into the tunnel.
pub(super) fn rewriting_rule(evidence: &Evidence) -> Option<&Filter> {
    let ours = interface(evidence);
    evidence.host.as_ref()?.filters.iter().find(|filter| {
        let rewrites = filter.hook == "postrouting" && matches!(filter.action.as_str(), "masquerade" | "snat");
        let concerns = match limited_to(&filter.rule, &["oifname", "oif", "-o"]) {
            Some((name, false)) => name == ours,
            Some((name, true)) => name != ours,
            None => true,
        };
        rewrites && concerns && filter.packets != Some(0)
    })
}

fn rewritten(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let filter = rewriting_rule(tunnel.evidence)?;
    let outside = tunnel.evidence.drops("policy");
    let hit = filter.packets.map(|packets| format!("it has hit {packets} packets"));
    let certain = outside > 0 && filter.packets.is_some();
    let remotes = tunnel.config.map(|config| config.routes.join(", ")).unwrap_or_default();
    let finding = Finding::new(NAT_01)
        .of(tunnel.name)
        .confidence(if certain { Confidence::Certain } else { Confidence::Likely })
        .shown_by(format!("{}: {}", filter.place, filter.rule))
        .shown_by_all(hit)
        .shown_by_all(
            (outside > 0).then(|| format!("{outside} packets matched no policy: their source is not a protected one")),
        );
    let table = filter.place.split(", ").next().unwrap_or("ip nat");
    let chain = filter.place.split(", ").nth(1).unwrap_or("postrouting");
    let exempt = format!("nft insert rule {table} {chain} ip daddr {{ {remotes} }} return");
    Some(if remotes.is_empty() { finding } else { finding.fix(exempt) })
}
