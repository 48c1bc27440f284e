//! The last messages of every connection, and what became of them: a ring that `underpass trace` draws as a sequence diagram.
//!
//! Bounded for each connection and for all together. Liveness checks in a row are one entry with a count: they would push out
//! what people look for.

use crate::Engine;
use crate::record::Record;
use ike::Event;
use ike::config::PeerName;
use ike::trace::Traced;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

/// Messages of a connection that are kept: 64 exchanges.
const MOST: usize = 128;
/// Messages of all connections together, if each had its share.
const MOST_OF_ALL: usize = 65_536;
/// However many connections there are.
const LEAST: usize = 16;

/// Something that is drawn.
#[derive(Clone, Debug)]
enum Entry {
    Message { traced: Box<Traced>, repeated: u32 },
    Event(Box<Record>),
}

/// The rings.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    rings: BTreeMap<PeerName, VecDeque<(Instant, Entry)>>,
}

/// A line of a diagram, as `underpass trace --json` prints it.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TraceEntry {
    /// A message.
    Message {
        /// When, RFC 3339.
        time: String,
        /// We sent it.
        sent: bool,
        /// `ikev1` or `ikev2`.
        version: &'static str,
        /// The exchange.
        exchange: String,
        /// `request`, `response` or, in IKEv1, `message`.
        role: &'static str,
        /// The Message ID.
        message_id: u32,
        /// Our address and port.
        local: String,
        /// The peer's.
        remote: String,
        /// Encrypted.
        protected: bool,
        /// Its payloads in their order.
        payloads: Vec<TracePayload>,
        /// How many like it came in a row, this one the last.
        count: u32,
    },
    /// What became of it.
    Event {
        /// When, RFC 3339.
        time: String,
        /// The event as the log has it.
        #[serde(flatten)]
        record: Record,
    },
}

/// A payload of a message.
#[derive(Clone, Debug, Serialize)]
pub struct TracePayload {
    /// Its usual name.
    pub name: String,
    /// What it says.
    pub text: String,
}

impl Traces {
    /// A message of a connection that is configured.
    pub(crate) fn message(&mut self, traced: Box<Traced>, connections: usize, now: Instant) {
        let ring = self.rings.entry(traced.peer.clone()).or_default();
        // Both ends ask and answer, again and again: of each of these four the last one is kept.
        let like = |entry: &Entry| {
            matches!(entry, Entry::Message { traced: known, .. }
                if known.payloads == traced.payloads && known.exchange == traced.exchange && known.sent == traced.sent
                    && known.kind == traced.kind && is_liveness(known))
        };
        let found = ring.iter().rev().take(4).position(|(_, entry)| like(entry));
        let repeated = match found.and_then(|back| ring.remove(ring.len() - 1 - back)) {
            Some((_, Entry::Message { repeated, .. })) => repeated.saturating_add(1),
            _ => 1,
        };
        push(ring, (now, Entry::Message { traced, repeated }), connections);
    }

    /// What happened to a connection.
    pub(crate) fn event(&mut self, event: &Event, connections: usize, now: Instant) {
        let record = Record::from(event);
        let Some(peer) = record.connection.as_deref().map(PeerName::from) else { return };
        let ring = self.rings.entry(peer).or_default();
        push(ring, (now, Entry::Event(Box::new(record))), connections);
    }

    /// Forgets connections that are not wanted any more.
    pub(crate) fn retain(&mut self, wanted: impl Fn(&PeerName) -> bool) {
        self.rings.retain(|peer, _| wanted(peer));
    }
}

fn is_liveness(traced: &Traced) -> bool {
    traced.payloads.is_empty()
        || traced.payloads.iter().any(|said| said.text.starts_with("R-U-THERE") || said.text.starts_with("R_U_THERE"))
}

/// What anybody can cause without a proof has half of a ring at most: it must not push out the rest.
fn is_unproven(entry: &Entry) -> bool {
    match entry {
        Entry::Message { traced, .. } => !traced.protected && !traced.sent,
        Entry::Event(record) => record.event == "rejected",
    }
}

fn push(ring: &mut VecDeque<(Instant, Entry)>, entry: (Instant, Entry), connections: usize) {
    let most = (MOST_OF_ALL / connections.max(1)).clamp(LEAST, MOST);
    if is_unproven(&entry.1) && ring.iter().filter(|(_, known)| is_unproven(known)).count() >= most / 2 {
        let oldest = ring.iter().position(|(_, known)| is_unproven(known));
        oldest.and_then(|oldest| ring.remove(oldest));
    }
    ring.push_back(entry);
    while ring.len() > most {
        ring.pop_front();
    }
}

impl Engine {
    /// The last messages of a connection and what became of them, oldest first.
    pub fn trace(&self, peer: &PeerName, stamp: &dyn Fn(Instant) -> String) -> Vec<TraceEntry> {
        let ring = self.traces.rings.get(peer);
        let shown = ring.into_iter().flatten().map(|(at, entry)| match entry {
            Entry::Event(record) => TraceEntry::Event { time: stamp(*at), record: Record::clone(record) },
            Entry::Message { traced, repeated } => TraceEntry::Message {
                time: stamp(*at),
                sent: traced.sent,
                version: traced.version.name(),
                exchange: traced.exchange.to_string(),
                role: traced.kind.name(),
                message_id: traced.message_id,
                local: traced.path.local.to_string(),
                remote: traced.path.remote.to_string(),
                protected: traced.protected,
                payloads: traced
                    .payloads
                    .iter()
                    .map(|said| TracePayload { name: said.name.to_string(), text: said.text.clone() })
                    .collect(),
                count: *repeated,
            },
        });
        shown.collect()
    }
}
