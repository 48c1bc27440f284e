//! IKE SAs and their children as `list-sa` and the events of VICI tell of them.

use super::Message;
use engine::view::{ChildView, IkeState, IkeView};
use ike::ChildState;
use ike::config::{ChildName, PeerName, Version};
use ike::event::Role;
use ike::wire::IkeSpi;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The numbers that clients know SAs by. An IKE SA keeps its own for life and nobody gets it again; the SAs of one
/// configured child have one `reqid` in common.
#[derive(Debug, Default)]
pub struct Numbers {
    ike: BTreeMap<IkeSpi, u64>,
    last_ike: u64,
    children: BTreeMap<(PeerName, ChildName), u64>,
}

impl Numbers {
    /// Numbers what is new, and forgets the IKE SAs that are gone.
    pub fn refresh(&mut self, views: &[IkeView]) {
        self.ike.retain(|spi, _| views.iter().any(|view| view.local_spi == *spi));
        for view in views {
            if !self.ike.contains_key(&view.local_spi) {
                self.last_ike += 1;
                self.ike.insert(view.local_spi, self.last_ike);
            }
            for child in &view.children {
                let next = self.children.len() as u64 + 1;
                self.children.entry((view.peer.clone(), child.name.clone())).or_insert(next);
            }
        }
    }

    /// The number of an IKE SA, by our SPI.
    #[must_use]
    pub fn ike(&self, spi: IkeSpi) -> Option<u64> {
        self.ike.get(&spi).copied()
    }

    /// What the SAs of a configured child have in common.
    #[must_use]
    pub fn reqid(&self, peer: &PeerName, child: &ChildName) -> Option<u64> {
        self.children.get(&(peer.clone(), child.clone())).copied()
    }
}

impl Message {
    /// An IKE SA without its children.
    #[must_use]
    pub fn ike_sa(view: &IkeView, numbers: &Numbers, now: Instant) -> Message {
        let (initiator, responder) = view.spis();
        let version = match view.version {
            Version::V1 => "1",
            Version::V2 => "2",
        };
        let mut message = Message::new()
            .with("uniqueid", numbers.ike(view.local_spi).unwrap_or_default().to_string())
            .with("version", version)
            .with("state", state(view.state))
            .with("local-host", view.path.local.ip().to_string())
            .with("local-port", view.path.local.port().to_string())
            .with("local-id", view.local_id.to_string())
            .with("remote-host", view.path.remote.ip().to_string())
            .with("remote-port", view.path.remote.port().to_string())
            .with("remote-id", view.remote_id.as_ref().map_or_else(|| "%any".to_owned(), ToString::to_string));
        if view.role == Role::Initiator {
            message = message.with("initiator", "yes");
        }
        message = message.with("initiator-spi", initiator.to_string()).with("responder-spi", responder.to_string());
        for (found, key) in
            [(view.nat.local, "nat-local"), (view.nat.remote, "nat-remote"), (view.nat.found(), "nat-any")]
        {
            if found {
                message = message.with(key, "yes");
            }
        }
        if let Some(suite) = &view.suite {
            message = message.with_ike_suite(suite);
        }
        message
            .with_seconds("established", view.established.map(|at| now.saturating_duration_since(at)))
            .with_seconds("rekey-time", view.rekey_at.map(|at| at.saturating_duration_since(now)))
    }

    /// A child SA of `peer`.
    #[must_use]
    pub fn child_sa(peer: &PeerName, child: &ChildView, numbers: &Numbers, now: Instant) -> Message {
        let (received, sent) = child.traffic();
        let mut message = Message::new()
            .with("name", child.name.to_string())
            .with("uniqueid", child.id.0.to_string())
            .with("reqid", numbers.reqid(peer, &child.name).unwrap_or_default().to_string())
            .with("state", if child.state == ChildState::Installed { "INSTALLED" } else { "REKEYED" })
            .with("mode", "TUNNEL")
            .with("protocol", "ESP");
        if child.in_udp {
            message = message.with("encap", "yes");
        }
        message
            .with("spi-in", format!("{:08x}", child.spis.inbound.get()))
            .with("spi-out", format!("{:08x}", child.spis.outbound.get()))
            .with_esp_suite(&child.choice)
            .with("bytes-in", received.bytes.to_string())
            .with("packets-in", received.packets.to_string())
            .with_seconds("use-in", child.last_heard.map(|at| now.saturating_duration_since(at)))
            .with("bytes-out", sent.bytes.to_string())
            .with("packets-out", sent.packets.to_string())
            .with_seconds("rekey-time", child.rekey_at.map(|at| at.saturating_duration_since(now)))
            .with_seconds("life-time", child.expires_at.map(|at| at.saturating_duration_since(now)))
            .with_seconds("install-time", Some(now.saturating_duration_since(child.installed)))
            .with_list("local-ts", child.local.iter().map(ToString::to_string))
            .with_list("remote-ts", child.remote.iter().map(ToString::to_string))
    }

    /// An IKE SA under its name, with those of its children that `wanted` picks.
    #[must_use]
    pub fn list_sa(view: &IkeView, wanted: impl Fn(&ChildView) -> bool, numbers: &Numbers, now: Instant) -> Message {
        let children = view.children.iter().filter(|child| wanted(child)).fold(Message::new(), |children, child| {
            let name = child.section_name();
            children.with_section(&name, Message::child_sa(&view.peer, child, numbers, now))
        });
        let sa = Message::ike_sa(view, numbers, now).with_section("child-sas", children);
        Message::new().with_section(&view.peer.0, sa)
    }

    fn with_seconds(self, name: &str, duration: Option<Duration>) -> Message {
        match duration {
            Some(duration) => self.with(name, duration.as_secs().to_string()),
            None => self,
        }
    }
}

/// What a child SA's section is called: its name alone would not tell two of them apart.
pub trait SectionName {
    /// `NAME-NUMBER`.
    fn section_name(&self) -> String;
}

impl SectionName for ChildView {
    fn section_name(&self) -> String {
        format!("{}-{}", self.name, self.id.0)
    }
}

fn state(state: IkeState) -> &'static str {
    match state {
        IkeState::Connecting => "CONNECTING",
        IkeState::Established => "ESTABLISHED",
        IkeState::Rekeyed => "REKEYED",
        IkeState::Deleting => "DELETING",
    }
}
