//! Events as an operator reads them: one typed record, rendered as a line of text or of JSON.
//!
//! INFO is what an operator cares about, DEBUG a decision, WARN something to look at. Field names are stable.

use ike::event::{Event, Role};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use std::fmt::Write;

/// How loud.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// A decision.
    Debug,
    /// An operator cares.
    Info,
    /// Something to look at.
    Warn,
}

impl Level {
    /// In lower case.
    pub fn name(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
        }
    }
}

/// An event, ready to be written.
#[derive(Clone, PartialEq, Debug)]
pub struct Record {
    /// How loud.
    pub level: Level,
    /// What kind, in snake_case.
    pub event: &'static str,
    /// One sentence.
    pub message: String,
    /// The connection it concerns.
    pub connection: Option<String>,
    /// The child it concerns.
    pub child: Option<String>,
    /// A stable word for why, where there is one.
    pub reason: Option<&'static str>,
    /// More, by name.
    pub fields: Vec<(&'static str, String)>,
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("level", self.level.name())?;
        map.serialize_entry("event", self.event)?;
        map.serialize_entry("message", &self.message)?;
        map.serialize_entry("connection", &self.connection)?;
        map.serialize_entry("child", &self.child)?;
        map.serialize_entry("reason", &self.reason)?;
        for (name, value) in &self.fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl std::fmt::Display for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut subject = self.connection.clone().unwrap_or_default();
        if let Some(child) = &self.child {
            let _ = write!(subject, "/{child}");
        }
        if subject.is_empty() { write!(f, "{}", self.message) } else { write!(f, "{subject}: {}", self.message) }
    }
}

impl Record {
    fn new(level: Level, event: &'static str, message: String) -> Record {
        Record { level, event, message, connection: None, child: None, reason: None, fields: Vec::new() }
    }

    fn of(mut self, connection: &impl ToString) -> Record {
        self.connection = Some(connection.to_string());
        self
    }

    fn child(mut self, child: &impl ToString) -> Record {
        self.child = Some(child.to_string());
        self
    }

    fn because(mut self, reason: &'static str) -> Record {
        self.reason = Some(reason);
        self
    }

    fn with(mut self, name: &'static str, value: impl ToString) -> Record {
        self.fields.push((name, value.to_string()));
        self
    }
}

fn began(role: Role) -> &'static str {
    match role {
        Role::Initiator => "begun here",
        Role::Responder => "begun by the peer",
    }
}

impl From<&Event> for Record {
    fn from(event: &Event) -> Record {
        match event {
            Event::IkeSaUp { .. }
            | Event::IkeSaRekeyed { .. }
            | Event::IkeSaDown { .. }
            | Event::Connecting { .. }
            | Event::ConnectFailed { .. } => of_ike(event),
            Event::ChildSaUp { .. } | Event::ChildSaDown { .. } | Event::ChildFailed { .. } => of_child(event),
            Event::Rejected { path, peer, reason } => {
                let message = format!("refused {}: {reason}", path.remote);
                let record =
                    Record::new(Level::Warn, "rejected", message).because(reason.code()).with("remote", path.remote);
                match peer {
                    Some(peer) => record.of(peer),
                    None => record,
                }
            }
            Event::FellBack { peer, from, to, reason } => {
                let message = format!("{from} failed, the next try is {to}: {reason}");
                Record::new(Level::Warn, "fell_back", message)
                    .of(peer)
                    .because(reason.code())
                    .with("from", from.name())
                    .with("to", to.name())
            }
            Event::AggressiveMode { peer } => {
                let message =
                    "aggressive mode: whoever listens can try pre-shared keys at leisure; use main mode or IKEv2";
                Record::new(Level::Warn, "aggressive_mode", message.to_owned()).of(peer)
            }
            Event::LifetimeDiffers { peer, name, ours, theirs } => {
                let ours = ours.map_or_else(|| "for ever".to_owned(), |ours| format!("{} s", ours.as_secs()));
                let what = if name.is_some() { "the child SA" } else { "the IKE SA" };
                let message = format!(
                    "lifetime of {what}: the peer's is {} s, ours {ours}; the shorter counts",
                    theirs.as_secs()
                );
                let record = Record::new(Level::Info, "lifetime_differs", message).of(peer);
                match name {
                    Some(name) => record.child(name),
                    None => record,
                }
            }
            Event::Narrowed { peer, name, asked, granted } => {
                let message = format!(
                    "the peer narrowed {asked} to {granted}: what is left out is dropped; \
                     split_selectors makes one child SA per pair of subnets"
                );
                Record::new(Level::Warn, "narrowed", message).of(peer).child(name)
            }
            Event::PeerMoved { peer, from, to } => {
                let message = format!("peer moved from {} to {}", from.remote, to.remote);
                Record::new(Level::Info, "peer_moved", message).of(peer).with("from", from.remote).with("to", to.remote)
            }
            Event::PeerNotified { peer, notify } => {
                Record::new(Level::Warn, "peer_notified", format!("peer says {notify}")).of(peer)
            }
            Event::CookiesDemanded(true) => {
                Record::new(Level::Warn, "cookies_on", "many half-open IKE SAs: demanding cookies".to_owned())
            }
            Event::CookiesDemanded(false) => {
                Record::new(Level::Info, "cookies_off", "cookies no longer demanded".to_owned())
            }
            Event::Ignored { path, reason } => {
                let message = format!("ignored a datagram from {}: {}", path.remote, reason.name());
                Record::new(Level::Debug, "ignored", message).because(reason.name()).with("remote", path.remote)
            }
        }
    }
}

fn of_ike(event: &Event) -> Record {
    match event {
        Event::Connecting { peer, path, attempt } => {
            let message = format!("connecting to {} (attempt {attempt})", path.remote);
            Record::new(Level::Info, "connecting", message)
                .of(peer)
                .with("remote", path.remote)
                .with("attempt", attempt)
        }
        Event::IkeSaUp { peer, version, path, local_spi, remote_spi, suite, role, remote_id, nat } => {
            let nat = match nat {
                (false, false) => "none",
                (true, false) => "local",
                (false, true) => "remote",
                (true, true) => "both",
            };
            let message =
                format!("{version} SA up with {remote_id} at {}, {suite}, {}, NAT {nat}", path.remote, began(*role));
            Record::new(Level::Info, "ike_sa_up", message)
                .of(peer)
                .with("version", version.name())
                .with("remote", path.remote)
                .with("remote_id", remote_id)
                .with("suite", suite)
                .with("local_spi", local_spi)
                .with("remote_spi", remote_spi)
                .with("nat", nat)
        }
        Event::IkeSaRekeyed { peer, old, new, role } => {
            Record::new(Level::Info, "ike_sa_rekeyed", format!("IKE SA rekeyed, {}", began(*role)))
                .of(peer)
                .with("old_spi", old)
                .with("new_spi", new)
        }
        Event::IkeSaDown { peer, local_spi, reason } => {
            Record::new(Level::Warn, "ike_sa_down", format!("IKE SA down: {reason}"))
                .of(peer)
                .because(reason.code())
                .with("local_spi", local_spi)
        }
        Event::ConnectFailed { peer, reason, retry_in } => {
            let again = match retry_in {
                Some(pause) => format!("next try in {:.1} s", pause.as_secs_f32()),
                None => "not tried again".to_owned(),
            };
            Record::new(Level::Warn, "connect_failed", format!("not up: {reason} ({again})"))
                .of(peer)
                .because(reason.code())
        }
        _ => Record::new(Level::Debug, "event", String::new()),
    }
}

fn of_child(event: &Event) -> Record {
    match event {
        Event::ChildSaUp { peer, name, spis, choice, replaces, role, .. } => {
            let verb = if replaces.is_some() { "rekeyed" } else { "up" };
            let message =
                format!("child SA {verb}, {choice}, SPIs {} in {} out, {}", spis.inbound, spis.outbound, began(*role));
            let kind = if replaces.is_some() { "child_sa_rekeyed" } else { "child_sa_up" };
            Record::new(Level::Info, kind, message)
                .of(peer)
                .child(name)
                .with("spi_in", spis.inbound)
                .with("spi_out", spis.outbound)
                .with("suite", choice)
        }
        Event::ChildSaDown { peer, name, reason, .. } => {
            Record::new(Level::Warn, "child_sa_down", format!("child SA down: {reason}"))
                .of(peer)
                .child(name)
                .because(reason.code())
        }
        Event::ChildFailed { peer, name, reason, rekey } => {
            let what = if *rekey { "rekey refused, the old SA stays" } else { "child SA not up" };
            let record =
                Record::new(Level::Warn, "child_failed", format!("{what}: {reason}")).of(peer).because(reason.code());
            match name {
                Some(name) => record.child(name),
                None => record,
            }
        }
        _ => Record::new(Level::Debug, "event", String::new()),
    }
}
