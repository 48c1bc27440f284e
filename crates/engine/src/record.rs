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
    pub(crate) fn new(level: Level, event: &'static str, message: String) -> Record {
        Record { level, event, message, connection: None, child: None, reason: None, fields: Vec::new() }
    }

    pub(crate) fn of(mut self, connection: &impl ToString) -> Record {
        self.connection = Some(connection.to_string());
        self
    }

    fn child(mut self, child: &impl ToString) -> Record {
        self.child = Some(child.to_string());
        self
    }

    pub(crate) fn because(mut self, reason: &'static str) -> Record {
        self.reason = Some(reason);
        self
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl ToString) -> Record {
        self.fields.push((name, value.to_string()));
        self
    }

    /// Names what is weak in what was agreed on, each `word: reason`; then it deserves a look.
    fn weak(mut self, reasons: &[&'static str]) -> Record {
        if reasons.is_empty() {
            return self;
        }
        let parts = reasons.iter().map(|reason| reason.split_once(": ").unwrap_or((reason, "")));
        let words: Vec<&str> = parts.clone().map(|(word, _)| word).collect();
        let said: Vec<String> =
            parts.map(|(word, why)| if why.is_empty() { word.to_owned() } else { format!("{word} ({why})") }).collect();
        self.level = Level::Warn;
        let _ = write!(self.message, "; weak: {}", said.join(", "));
        self.with("weak", words.join(", "))
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
            Event::FellBack { .. }
            | Event::AggressiveMode { .. }
            | Event::LifetimeDiffers { .. }
            | Event::Narrowed { .. }
            | Event::TruncationDiffers { .. } => of_agreement(event),
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
                .weak(&suite.is_weak())
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
                .weak(&choice.is_weak())
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

/// What the peers agreed on is not what the configuration would have liked.
fn of_agreement(event: &Event) -> Record {
    match event {
        Event::FellBack { peer, from, to, reason } => {
            Record::new(Level::Warn, "fell_back", format!("{from} failed, the next try is {to}: {reason}"))
                .of(peer)
                .because(reason.code())
                .with("from", from.name())
                .with("to", to.name())
        }
        Event::AggressiveMode { peer } => {
            let message = "aggressive mode: whoever listens can try pre-shared keys at leisure; use main mode or IKEv2, \
                           or a key of 32 random bytes";
            Record::new(Level::Warn, "aggressive_mode", message.to_owned()).of(peer)
        }
        Event::LifetimeDiffers { peer, name, ours, theirs } => {
            let ours = ours.map_or_else(|| "for ever".to_owned(), |ours| format!("{} s", ours.as_secs()));
            let what = if name.is_some() { "the child SA" } else { "the IKE SA" };
            let theirs = format!("{} s", theirs.as_secs());
            let message = format!("lifetime of {what}: the peer's is {theirs}, ours {ours}; the shorter counts");
            let record = Record::new(Level::Info, "lifetime_differs", message)
                .of(peer)
                .with("ours", ours)
                .with("theirs", theirs);
            match name {
                Some(name) => record.child(name),
                None => record,
            }
        }
        Event::Narrowed { peer, name, asked, granted } => {
            let message = format!(
                "the peer narrowed {asked} to {granted}: the rest of the traffic is dropped; add the rest at the peer, or set \
                 split_selectors = true if it takes one pair of subnets per child SA"
            );
            Record::new(Level::Warn, "narrowed", message)
                .of(peer)
                .child(name)
                .with("asked", asked)
                .with("granted", granted)
        }
        Event::TruncationDiffers { peer, name, theirs } => {
            let theirs = 8 * theirs.icv_len();
            let (ours, remedy) = match theirs {
                96 => (128, "set sha256_96 = true, or update the peer"),
                _ => (96, "leave sha256_96 out"),
            };
            let message = format!(
                "the peer truncates HMAC-SHA2-256 to {theirs} bits, we to {ours} (RFC 4868 has 128): no packet passes; {remedy}"
            );
            Record::new(Level::Warn, "truncation_differs", message)
                .of(peer)
                .child(name)
                .with("ours", ours)
                .with("theirs", theirs)
        }
        _ => Record::new(Level::Debug, "event", String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ike::DownReason;
    use ike::config::{Path, Version, Versions};
    use ike::event::ChildId;
    use ike::id::Id;
    use ike::proposal::{EspChoice, IkeSuite};
    use ike::wire::IkeSpi;
    use ipsec::{EspSuite, Spi, SpiPair};
    use std::time::Duration;

    fn ike_up(suite: IkeSuite, version: Version) -> Record {
        let at = |last| ([192, 0, 2, last], 500).into();
        Record::from(&Event::IkeSaUp {
            peer: "b".into(),
            version,
            path: Path { local: at(1), remote: at(2) },
            local_spi: IkeSpi([1; 8]),
            remote_spi: IkeSpi([2; 8]),
            suite,
            role: Role::Initiator,
            remote_id: Id::Fqdn("b.example".to_owned()),
            nat: (false, false),
        })
    }

    fn child_up(choice: EspChoice, replaces: Option<ChildId>) -> Record {
        let spi = |number| Spi::new(number).expect("not reserved");
        Record::from(&Event::ChildSaUp {
            peer: "b".into(),
            name: "net".into(),
            child: ChildId(1),
            spis: SpiPair { inbound: spi(0x1001), outbound: spi(0x2002) },
            choice,
            replaces,
            role: Role::Responder,
        })
    }

    fn field<'r>(record: &'r Record, name: &str) -> Option<&'r str> {
        record.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn what_is_weak_in_an_agreement_is_named_with_its_reason_and_loud() {
        use crypto::{Cipher, Group, Integrity, Prf};
        let legacy = IkeSuite {
            cipher: Cipher::AesCbc128,
            integrity: Some(Integrity::HmacSha1_96),
            prf: Prf::HmacSha1,
            group: Group::Modp1024,
        };
        let record = ike_up(legacy, Version::V1);
        assert_eq!((record.level, field(&record, "weak")), (Level::Warn, Some("sha1, modp1024")));
        assert_eq!(field(&record, "version"), Some("ikev1"));
        assert_eq!(
            record.to_string(),
            "b: IKEv1 SA up with b.example at 192.0.2.2:500, aes128-sha1-modp1024, begun here, NAT none; \
             weak: sha1 (SHA-1 is being phased out), modp1024 (1024 bits can be broken by a state)"
        );
        let modern = IkeSuite { integrity: Some(Integrity::HmacSha2_256_128), prf: Prf::HmacSha2_256, ..legacy };
        let record = ike_up(IkeSuite { group: Group::Modp2048, ..modern }, Version::V2);
        assert_eq!((record.level, field(&record, "weak")), (Level::Info, None));
        assert!(!record.message.contains("weak"), "{record}");
        for (replaces, kind) in [(None, "child_sa_up"), (Some(ChildId(0)), "child_sa_rekeyed")] {
            let suite = EspSuite::with_mac(Cipher::Null, Integrity::HmacSha1_96);
            let record = child_up(EspChoice { suite, group: Some(Group::Modp1536) }, replaces);
            assert_eq!((record.event, record.level), (kind, Level::Warn));
            assert_eq!(field(&record, "weak"), Some("null, sha1, modp1536"));
            assert!(record.message.contains("null (packets are not encrypted)"), "{record}");
            let suite = EspSuite::aead(Cipher::AesGcm16_128);
            let record = child_up(EspChoice { suite, group: None }, replaces);
            assert_eq!((record.event, record.level, field(&record, "weak")), (kind, Level::Info, None));
        }
    }

    #[test]
    fn what_differs_from_the_configuration_says_both_values_and_what_to_do() {
        let silence = DownReason::NoAnswer { exchange: "IKE_SA_INIT", after: Duration::from_secs(60) };
        let mismatch = DownReason::VersionMismatch { ours: Versions::V2, theirs: Version::V1 };
        let event = |reason| Event::FellBack { peer: "b".into(), from: Version::V2, to: Version::V1, reason };
        let record = Record::from(&event(silence));
        assert_eq!((record.event, record.level, record.reason), ("fell_back", Level::Warn, Some("no_answer")));
        assert_eq!((field(&record, "from"), field(&record, "to")), (Some("ikev2"), Some("ikev1")));
        assert!(
            record.to_string().starts_with("b: IKEv2 failed, the next try is IKEv1: no answer to IKE_SA_INIT for 60 s")
        );
        let record = Record::from(&event(mismatch));
        assert!(record.message.contains("set ike_version"), "{record}");

        let record = Record::from(&Event::AggressiveMode { peer: "b".into() });
        assert_eq!((record.event, record.level), ("aggressive_mode", Level::Warn));
        assert!(record.message.contains("32 random bytes"), "{record}");

        for (ours, said) in [(Some(Duration::from_secs(28_800)), "28800 s"), (None, "for ever")] {
            for name in [None, Some("net".into())] {
                let theirs = Duration::from_secs(3600);
                let record =
                    Record::from(&Event::LifetimeDiffers { peer: "b".into(), name: name.clone(), ours, theirs });
                assert_eq!((record.event, record.level), ("lifetime_differs", Level::Info));
                assert_eq!((field(&record, "ours"), field(&record, "theirs")), (Some(said), Some("3600 s")));
                assert!(record.message.contains(said) && record.message.contains("3600 s"), "{record}");
                assert_eq!(record.child.is_some(), name.is_some());
            }
        }

        let record = Record::from(&Event::Narrowed {
            peer: "b".into(),
            name: "net".into(),
            asked: "10.1.0.0/16 to 10.2.0.0/16, 10.3.0.0/16".to_owned(),
            granted: "10.1.0.0/16 to 10.2.0.0/16".to_owned(),
        });
        assert_eq!((record.event, record.level, record.child.as_deref()), ("narrowed", Level::Warn, Some("net")));
        assert!(
            record.message.contains("10.3.0.0/16") && record.message.contains("split_selectors = true"),
            "{record}"
        );
        assert_eq!(field(&record, "granted"), Some("10.1.0.0/16 to 10.2.0.0/16"));
    }
}
