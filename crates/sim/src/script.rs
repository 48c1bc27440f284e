//! Scripted interception: rules which drop, delay or put aside the datagrams a predicate names, so that a scenario can
//! make two exchanges collide at will.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// A datagram as its sender handed it in, before any NAT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram<M> {
    /// The sender's own address.
    pub from: SocketAddr,
    /// The destination the sender wrote.
    pub to: SocketAddr,
    /// The payload.
    pub payload: M,
}

/// Names one rule of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleId(pub(crate) u64);

/// What a rule does with a datagram it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Drop,
    Hold,
    Delay(Duration),
}

pub(crate) type Predicate<M> = Box<dyn FnMut(&Datagram<M>) -> bool + Send>;

pub(crate) struct Rule<M> {
    pub(crate) id: RuleId,
    pub(crate) action: Action,
    /// Matches this rule still has in it; it is removed at zero.
    pub(crate) left: u64,
    pub(crate) predicate: Predicate<M>,
}

impl<M> fmt::Debug for Rule<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("id", &self.id).field("action", &self.action).field("left", &self.left).finish()
    }
}
