//! The doctor: why a tunnel is not up. Evidence in, rules, ranked findings out; nothing here asks the system or the time.
//!
//! ```text
//!  configuration ─┐                              ┌─► findings, the lowest broken layer first
//!  status, log ───┼─► Evidence ─► rules ─► rank ─┤
//!  host, probes ──┤       ▲                      └─► of each tunnel what was not checked, and why
//!  far end's ─────┘       │
//!  others' logs ─► explain┘
//! ```
//! Invariants: a rule speaks only of what is known; both ends' values are named where they are known; no secret is in any
//! of it; what is printed is bounded whatever is read.

pub mod catalogue;
pub mod code;
pub mod evidence;
pub mod explain;
pub mod finding;
pub mod page;
mod rules;
mod text;
mod tunnel;

pub use code::{Code, Layer};
pub use evidence::Evidence;
pub use finding::{Confidence, Finding, Report, Verdict, Weight};

use tunnel::Tunnel;

/// What the evidence shows, of all connections or of one alone: a tunnel, or all tunnels of a connection that has several.
pub fn diagnose(evidence: &Evidence, connection: Option<&str>) -> Report {
    let asked = |tunnel: &Tunnel<'_>| {
        let group = tunnel.config.and_then(|config| config.group.as_deref());
        connection.is_none_or(|name| name == tunnel.name || Some(name) == group)
    };
    let tunnels: Vec<Tunnel<'_>> = Tunnel::all(evidence).into_iter().filter(asked).collect();
    let mut found: Vec<Finding> = rules::GATEWAY.iter().filter_map(|rule| rule(evidence)).collect();
    for tunnel in &tunnels {
        found.extend(rules::TUNNEL.iter().flat_map(|rules| rules.iter()).filter_map(|rule| rule(tunnel)));
    }
    found.retain(|finding| {
        finding.tunnel.as_deref().is_none_or(|name| tunnels.iter().any(|tunnel| text::masked(tunnel.name) == name))
    });
    let state = |tunnel: &Tunnel<'_>| tunnel.live.map(|live| live.state.clone());
    let names = tunnels.iter().map(|tunnel| (tunnel.name.to_owned(), state(tunnel))).collect();
    Report::rank(found, names, evidence.taken.clone(), evidence.not_known.clone())
}
