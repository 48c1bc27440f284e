//! The Security Policy Database (RFC 4301 §4.4.1): bypass, discard or protect.
//!
//! Invariant: it fails closed. What no policy matches is discarded, and a policy that protects never turns into another
//! because its tunnel is down; that is for whoever holds its `T` to find out, and to drop for.

use packet::FlowKey;

use crate::selector::{FlowSide, TrafficSelector, has_single_port, selectors};

/// What to do with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Action<T> {
    /// Let it pass in clear.
    Bypass,
    /// Drop it.
    #[default]
    Discard,
    /// Send it through this tunnel or not at all.
    Protect(T),
}

/// One entry of the SPD.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy<T> {
    /// What the operator calls it.
    pub name: String,
    /// What happens to the packets it matches.
    pub action: Action<T>,
    /// Our side: source of what is sent, destination of what is received. One of them must match.
    pub local: Vec<TrafficSelector>,
    /// The other side. One of them must match.
    pub remote: Vec<TrafficSelector>,
}

impl<T> Policy<T> {
    /// Whether both sides of a flow match.
    #[must_use]
    pub fn matches(&self, local: &FlowSide, remote: &FlowSide) -> bool {
        selectors::contain(&self.local, local) && selectors::contain(&self.remote, remote)
    }
}

/// Policies in order; the first that matches decides.
#[derive(Clone, Debug)]
pub struct Spd<T> {
    policies: Vec<Policy<T>>,
}

impl<T> Default for Spd<T> {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl<T> Spd<T> {
    /// A database of these policies, most important first. Lookup is linear: this is for tens of policies.
    #[must_use]
    pub const fn new(policies: Vec<Policy<T>>) -> Self {
        Self { policies }
    }

    /// The policies in order.
    #[must_use]
    pub fn policies(&self) -> &[Policy<T>] {
        &self.policies
    }

    /// The policy for a packet on its way out, if one matches.
    #[must_use]
    pub fn find_outbound(&self, flow: &FlowKey) -> Option<&Policy<T>> {
        let (source, destination) = sides(flow);
        self.find(&source, &destination)
    }

    /// What to do with a packet on its way out; discard where no policy matches (RFC 4301 §5.1).
    #[must_use]
    pub fn lookup_outbound(&self, flow: &FlowKey) -> Action<&T> {
        action(self.find_outbound(flow))
    }

    /// What to do with a packet that came in without IPsec. `Protect` means: drop it, its policy asks for protection
    /// (RFC 4301 §5.2 step 3b); discard where no policy matches.
    #[must_use]
    pub fn lookup_inbound(&self, flow: &FlowKey) -> Action<&T> {
        let (source, destination) = sides(flow);
        action(self.find(&destination, &source))
    }

    fn find(&self, local: &FlowSide, remote: &FlowSide) -> Option<&Policy<T>> {
        self.policies.iter().find(|policy| policy.matches(local, remote))
    }
}

fn action<T>(policy: Option<&Policy<T>>) -> Action<&T> {
    match policy.map(|policy| &policy.action) {
        Some(Action::Bypass) => Action::Bypass,
        Some(Action::Protect(tunnel)) => Action::Protect(tunnel),
        Some(Action::Discard) | None => Action::Discard,
    }
}

/// Source and destination side of a flow. The single value of ICMP and the mobility header is the port of both.
#[must_use]
pub fn sides(flow: &FlowKey) -> (FlowSide, FlowSide) {
    let port = |port: u16| flow.ports_known.then_some(port);
    let destination_port = if has_single_port(flow.protocol) { flow.source_port } else { flow.destination_port };
    let source = FlowSide { address: flow.source, protocol: flow.protocol, port: port(flow.source_port) };
    let destination = FlowSide { address: flow.destination, protocol: flow.protocol, port: port(destination_port) };
    (source, destination)
}
