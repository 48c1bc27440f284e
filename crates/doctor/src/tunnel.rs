//! One connection with everything that is known of it: its configuration, its state, its events, and its troubles — why
//! it, or a child of it, is not up, since it last was.

use crate::code::Code;
use crate::evidence::{ConnectionConfig, Event, Evidence, LiveConnection, Reason};
use crate::finding::Finding;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// Troubles looked at; the newest count.
const MOST_TROUBLES: usize = 64;

/// What an exchange belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// The very first message: nothing has come back yet.
    First,
    /// A later one of phase 1.
    Later,
    /// A child SA, phase 2.
    Child,
    /// Whether the peer lives, and farewells.
    Liveness,
    /// One that is not named.
    Unknown,
}

/// Why something is not up.
#[derive(Clone, Debug)]
pub(crate) struct Trouble<'e> {
    /// The kind of event; `status` when the gateway says it now.
    pub(crate) kind: &'e str,
    /// The word of the reason.
    pub(crate) reason: &'e str,
    /// The sentence.
    pub(crate) message: &'e str,
    /// When.
    pub(crate) at: Option<&'e str>,
    /// Whether it concerns a child of an IKE SA that is up.
    pub(crate) of_child: bool,
    details: &'e BTreeMap<String, String>,
}

impl<'e> Trouble<'e> {
    /// A value of the reason by its name.
    pub(crate) fn detail(&self, name: &str) -> Option<&'e str> {
        self.details.get(name).map(String::as_str)
    }

    /// The exchange in which it happened.
    pub(crate) fn stage(&self) -> Stage {
        stage(self.detail("exchange").unwrap_or_default())
    }

    /// The error notify of the peer.
    pub(crate) fn notify(&self) -> &'e str {
        self.detail("notify").unwrap_or_default()
    }

    /// In a line, with its time.
    pub(crate) fn line(&self) -> String {
        match self.at {
            Some(at) => format!("at {at}: {}", self.message),
            None => self.message.to_owned(),
        }
    }

    /// What the ends want of each other, as far as the reason names it.
    pub(crate) fn values(&self) -> Vec<String> {
        const NAMES: [(&str, &str); 13] = [
            ("offered", "we offer"),
            ("ours", "ours"),
            ("theirs", "the peer's"),
            ("differs", "differs in"),
            ("expected_id", "expected here"),
            ("received_id", "sent by the peer"),
            ("asked_id", "the peer asks for"),
            ("our_id", "we are"),
            ("key_of", "key tried: that of"),
            ("peer_address", "from"),
            ("asked", "we asked for"),
            ("granted", "the peer granted"),
            ("demands", "the peer demands"),
        ];
        NAMES.iter().filter_map(|(name, words)| Some(format!("{words} {}", self.detail(name)?))).collect()
    }

    /// A finding of it, with its line and both ends' values.
    pub(crate) fn finding(&self, code: Code, tunnel: &Tunnel<'_>) -> Finding {
        Finding::new(code).of(tunnel.name).shown_by(self.line()).shown_by_all(self.values())
    }
}

/// What an exchange belongs to, by its name.
pub(crate) fn stage(exchange: &str) -> Stage {
    match exchange {
        "" => Stage::Unknown,
        "IKE_SA_INIT" | "message 1 of main mode" | "message 1 of aggressive mode" => Stage::First,
        "liveness check" | "R-U-THERE" => Stage::Liveness,
        text if text.starts_with("INFORMATIONAL") => Stage::Liveness,
        text if text.contains("quick mode") || text.starts_with("CREATE_CHILD_SA") => Stage::Child,
        _ => Stage::Later,
    }
}

/// One connection.
#[derive(Clone, Debug)]
pub(crate) struct Tunnel<'e> {
    pub(crate) name: &'e str,
    pub(crate) evidence: &'e Evidence,
    pub(crate) config: Option<&'e ConnectionConfig>,
    pub(crate) live: Option<&'e LiveConnection>,
    /// All its events, oldest first.
    pub(crate) events: Vec<&'e Event>,
    /// Since it was last up, newest first.
    pub(crate) troubles: Vec<Trouble<'e>>,
}

impl<'e> Tunnel<'e> {
    /// Every connection that is configured, observed or spoken of.
    pub(crate) fn all(evidence: &'e Evidence) -> Vec<Tunnel<'e>> {
        let mut names: Vec<&str> = Vec::new();
        let configured = evidence.configuration.iter().flat_map(|all| all.connections.iter().map(|c| c.name.as_str()));
        let observed = evidence.live.iter().flat_map(|live| live.connections.iter().map(|c| c.name.as_str()));
        let said = evidence.events.iter().filter_map(|event| event.connection.as_deref());
        // What is only spoken of is gone, unless nothing else is known.
        let gone = evidence.configuration.is_some() || evidence.live.is_some();
        for name in configured.chain(observed).chain(said.filter(|_| !gone)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.into_iter().map(|name| Tunnel::new(evidence, name)).collect()
    }

    fn new(evidence: &'e Evidence, name: &'e str) -> Tunnel<'e> {
        let config = evidence.configuration.as_ref().and_then(|all| all.connection(name));
        let live = evidence.live.as_ref().and_then(|live| live.connections.iter().find(|one| one.name == name));
        let addresses = config.map(|config| config.remote_addresses.as_slice()).unwrap_or_default();
        let concerns = |event: &&Event| match &event.connection {
            Some(connection) => connection == name,
            None => event.field("remote").and_then(ip_of).is_some_and(|remote| addresses.contains(&remote)),
        };
        let events: Vec<&Event> = evidence.events.iter().filter(concerns).collect();
        let mut tunnel = Tunnel { name, evidence, config, live, events, troubles: Vec::new() };
        tunnel.troubles = tunnel.find_troubles();
        tunnel
    }

    fn find_troubles(&self) -> Vec<Trouble<'e>> {
        let mut troubles = Vec::new();
        let established = self.live.is_some_and(LiveConnection::is_established);
        let up = self.live.is_some_and(|live| live.state == "up");
        if let Some(live) = self.live.filter(|live| live.state != "up") {
            troubles.extend(live.reason.iter().map(|reason| of_status(reason, established)));
            let children = live.children.iter().filter(|child| child.state != "up");
            troubles.extend(children.filter_map(|child| Some(of_status(child.reason.as_ref()?, established))));
        }
        // What was said of a child before it came up, or was replaced, is over.
        let mut over: Vec<&str> = Vec::new();
        for event in self.events.iter().rev() {
            let child = event.child.as_deref().unwrap_or_default();
            let of_child = matches!(event.event.as_str(), "child_failed" | "child_sa_down");
            match event.event.as_str() {
                "ike_sa_up" => break,
                "child_sa_up" | "child_sa_rekeyed" if !over.contains(&child) => over.push(child),
                _ if of_child && over.contains(&child) => {}
                // What strangers wanted is no trouble of a tunnel that is up.
                "rejected" | "connect_failed" | "fell_back" if up => {}
                "rejected" | "connect_failed" | "fell_back" | "ike_sa_down" | "child_failed" | "child_sa_down" => {
                    troubles.push(Trouble {
                        kind: &event.event,
                        reason: event.reason.as_deref().unwrap_or_default(),
                        message: &event.message,
                        at: event.time.as_deref(),
                        of_child,
                        details: &event.fields,
                    });
                }
                _ => {}
            }
            if troubles.len() >= MOST_TROUBLES {
                break;
            }
        }
        troubles
    }

    /// Whether the gateway says that it is up.
    pub(crate) fn is_up(&self) -> bool {
        self.live.is_some_and(|live| live.state == "up")
    }

    /// The newest trouble of the IKE SA for which `is` holds.
    pub(crate) fn of_ike(&self, is: impl Fn(&Trouble<'_>) -> bool) -> Option<&Trouble<'e>> {
        self.troubles.iter().find(|trouble| !trouble.of_child && is(trouble))
    }

    /// The newest trouble of a child for which `is` holds.
    pub(crate) fn of_child(&self, is: impl Fn(&Trouble<'_>) -> bool) -> Option<&Trouble<'e>> {
        self.troubles.iter().find(|trouble| trouble.of_child && is(trouble))
    }

    /// Its events of a kind, newest first.
    pub(crate) fn events_of<'t>(&'t self, kind: &'t str) -> impl Iterator<Item = &'e Event> + 't {
        self.events.iter().rev().copied().filter(move |event| event.event == kind)
    }

    /// Whether all its children only answer.
    pub(crate) fn only_answers(&self) -> bool {
        self.config.is_some_and(|config| {
            !config.children.is_empty() && config.children.iter().all(|child| child.start.as_deref() == Some("passive"))
        })
    }

    /// The far end's evidence of this connection: the one whose SA, or else whose addresses or identities, are the same.
    pub(crate) fn far(&self) -> Option<(&'e Evidence, Option<&'e LiveConnection>)> {
        let far = self.evidence.far.as_deref()?;
        let theirs = far.live.as_ref().map(|live| live.connections.as_slice()).unwrap_or_default();
        let same = |one: &&LiveConnection| {
            let Some(ours) = self.live else { return false };
            let spis = |live: &LiveConnection| live.ike.as_ref().map(|ike| (ike.spi_i.clone(), ike.spi_r.clone()));
            let by_spi = spis(ours).is_some() && spis(ours) == spis(one);
            let by_id = ours.local_id.is_some() && ours.local_id == one.remote_id;
            by_spi || by_id
        };
        Some((far, theirs.iter().find(same)))
    }
}

fn of_status(reason: &Reason, established: bool) -> Trouble<'_> {
    Trouble {
        kind: "status",
        reason: &reason.code,
        message: &reason.message,
        at: None,
        of_child: established,
        details: &reason.details,
    }
}

/// The address of `address:port`, or an address alone.
pub(crate) fn ip_of(text: &str) -> Option<IpAddr> {
    text.parse::<SocketAddr>().map(|socket| socket.ip()).or_else(|_| text.parse()).ok()
}

/// The port of `address:port`.
pub(crate) fn port_of(text: &str) -> Option<u16> {
    text.parse::<SocketAddr>().map(|socket| socket.port()).ok()
}
