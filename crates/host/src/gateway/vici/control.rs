//! `initiate`, `terminate` and `rekey`: answered when the result is known, or when the time for it is over.

use super::Answer;
use crate::gateway::serve::Gateway;
use crate::vici::ViciClient;
use engine::view::{ChildView, IkeState, IkeView};
use formats::vici::{Message, Numbers, Packet};
use ike::ChildState;
use ike::config::{ChildName, PeerName};
use ike::event::{ChildId, Event};
use ike::wire::IkeSpi;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A command that says nothing of time is answered after this, done or not.
const LONGEST: Duration = Duration::from_secs(300);

/// A command whose result is not known yet. At most one for each client.
pub(in crate::gateway) struct Waiting {
    pub(super) client: ViciClient,
    pub(super) until: Instant,
    what: Awaited,
    /// What became known of it.
    failed: Option<String>,
}

enum Awaited {
    /// These children being up.
    Up(Vec<(PeerName, ChildName)>),
    /// These being gone, by our SPI or by number.
    Down { ikes: Vec<(PeerName, IkeSpi)>, children: Vec<(PeerName, ChildId)> },
}

impl Waiting {
    pub(super) fn concerns(&self, peer: &str) -> bool {
        match &self.what {
            Awaited::Up(children) => children.iter().any(|(of, _)| &*of.0 == peer),
            Awaited::Down { ikes, children } => {
                let all = ikes.iter().map(|(of, _)| of).chain(children.iter().map(|(of, _)| of));
                all.into_iter().any(|of| &*of.0 == peer)
            }
        }
    }
}

/// Which SAs a request is about.
pub(super) struct Filter {
    /// Connections, the tunnels of a group each by its own name.
    peers: Option<Vec<PeerName>>,
    child: Option<String>,
    ike_number: Option<u64>,
    child_number: Option<u64>,
}

impl Filter {
    pub(super) fn of(request: &Message, gateway: &Gateway) -> Filter {
        // A number that is none fits no SA.
        let number = |name: &str| request.text(name).map(|text| text.parse().unwrap_or(0));
        Filter {
            peers: request.text("ike").map(|name| gateway.tunnels_of(&name.into())),
            child: request.text("child").map(ToOwned::to_owned),
            ike_number: number("ike-id"),
            child_number: number("child-id"),
        }
    }

    pub(super) fn ike(&self, view: &IkeView, numbers: &Numbers) -> bool {
        self.peers.as_ref().is_none_or(|peers| peers.contains(&view.peer))
            && self.ike_number.is_none_or(|wanted| numbers.ike(view.local_spi) == Some(wanted))
    }

    pub(super) fn child(&self, child: &ChildView) -> bool {
        self.child.as_ref().is_none_or(|name| **name == *child.name.0)
            && self.child_number.is_none_or(|number| child.id.0 == number)
    }

    pub(super) fn names_child(&self) -> bool {
        self.child.is_some() || self.child_number.is_some()
    }

    fn names_nothing(&self) -> bool {
        !self.names_child() && self.peers.is_none() && self.ike_number.is_none()
    }
}

/// Until when an answer may take; `None` where the client does not wait. In milliseconds; 0 is as long as it takes.
fn time_limit(request: &Message, now: Instant) -> Option<Instant> {
    let asked: i64 = request.text("timeout").and_then(|text| text.parse().ok()).unwrap_or(0);
    match u64::try_from(asked) {
        Ok(0) => Some(now + LONGEST),
        Ok(milliseconds) => Some(now + Duration::from_millis(milliseconds).min(LONGEST)),
        Err(_) => None,
    }
}

impl Gateway {
    pub(super) fn vici_initiate(&mut self, client: ViciClient, request: &Message, now: Instant) -> Answer {
        let failure = |why: String| Answer::Now(Message::failure(why));
        let children = match self.children_to_initiate(request) {
            Ok(children) => children,
            Err(why) => return failure(why),
        };
        let peers: BTreeSet<&PeerName> = children.iter().map(|(peer, _)| peer).collect();
        let named = request.text("child").map(ChildName::from);
        for peer in peers {
            if let Err(error) = self.engine.up(peer, named.as_ref(), now) {
                return failure(error.to_string());
            }
        }
        match time_limit(request, now) {
            None => Answer::Now(Message::success()),
            Some(until) => Answer::Later(Waiting { client, until, what: Awaited::Up(children), failed: None }),
        }
    }

    /// The configured children that a request means.
    fn children_to_initiate(&self, request: &Message) -> Result<Vec<(PeerName, ChildName)>, String> {
        let (ike, child) = (request.text("ike"), request.text("child"));
        if ike.is_none() && child.is_none() {
            return Err("missing configuration name".to_owned());
        }
        let connections = &self.engine.desired().connections;
        let peers: Vec<PeerName> = match ike {
            Some(name) => self.tunnels_of(&name.into()),
            None => connections.keys().cloned().collect(),
        };
        let mut found = Vec::new();
        for peer in peers.iter().filter_map(|name| Some(&connections.get(name)?.peer)) {
            let wanted = peer.children.iter().filter(|known| child.is_none_or(|name| *known.name.0 == *name));
            found.extend(wanted.map(|child| (peer.name.clone(), child.name.clone())));
        }
        if found.is_empty() {
            let unknown = child.map(|name| format!("CHILD_SA config '{name}' not found"));
            return Err(unknown.unwrap_or_else(|| format!("IKE_SA config '{}' not found", ike.unwrap_or_default())));
        }
        let tops: BTreeSet<&PeerName> = found.iter().map(|(peer, _)| self.group_name(peer)).collect();
        if ike.is_none() && tops.len() > 1 {
            let names: Vec<String> = tops.iter().map(ToString::to_string).collect();
            let child = child.unwrap_or_default();
            return Err(format!("connections {} all have a child '{child}': name one with --ike", names.join(", ")));
        }
        Ok(found)
    }

    /// What people call a tunnel: the group it is of, if it is of one.
    fn group_name<'a>(&'a self, peer: &'a PeerName) -> &'a PeerName {
        let groups = &self.configured.groups;
        groups.iter().find(|(_, group)| group.peers().any(|of| of == peer)).map_or(peer, |(name, _)| name)
    }

    pub(super) fn vici_terminate(&mut self, client: ViciClient, request: &Message, now: Instant) -> Answer {
        let filter = Filter::of(request, self);
        if filter.names_nothing() {
            return Answer::Now(Message::failure("missing terminate selector"));
        }
        let views = self.numbered_sas();
        let (mut ikes, mut children) = (Vec::new(), Vec::new());
        for view in views.iter().filter(|view| filter.ike(view, &self.vici.numbers)) {
            if filter.names_child() {
                let chosen = view.children.iter().filter(|child| filter.child(child));
                children.extend(chosen.map(|child| (view.peer.clone(), child.name.clone(), child.id)));
            } else {
                ikes.push((view.peer.clone(), view.local_spi));
            }
        }
        if ikes.is_empty() && children.is_empty() {
            return Answer::Now(Message::failure("no matching SAs to terminate found"));
        }
        // An SA by its number stands for what keeps it up: else it would be back at once.
        let mut orders: BTreeSet<(PeerName, Option<ChildName>)> =
            ikes.iter().map(|(peer, _)| (peer.clone(), None)).collect();
        orders.extend(children.iter().map(|(peer, name, _)| (peer.clone(), Some(name.clone()))));
        for (peer, child) in &orders {
            if let Err(error) = self.engine.down(peer, child.as_ref(), now) {
                return Answer::Now(Message::failure(error.to_string()));
            }
        }
        let children: Vec<(PeerName, ChildId)> = children.into_iter().map(|(peer, _, id)| (peer, id)).collect();
        match time_limit(request, now) {
            Some(until) => {
                Answer::Later(Waiting { client, until, what: Awaited::Down { ikes, children }, failed: None })
            }
            None => {
                let matches = (ikes.len() + children.len()).to_string();
                Answer::Now(Message::success().with("matches", matches).with("terminated", "0"))
            }
        }
    }

    pub(super) fn vici_rekey(&mut self, request: &Message, now: Instant) -> Message {
        let filter = Filter::of(request, self);
        if filter.names_nothing() {
            return Message::failure("missing rekey selector");
        }
        if request.text("reauth") == Some("yes") {
            return Message::failure("reauthentication is not done here: terminate and initiate do it");
        }
        let views = self.numbered_sas();
        let mut orders: BTreeSet<(PeerName, Option<ChildName>)> = BTreeSet::new();
        let established = views.iter().filter(|view| view.state == IkeState::Established);
        for view in established.filter(|view| filter.ike(view, &self.vici.numbers)) {
            if filter.names_child() {
                let live = view.children.iter().filter(|child| child.state == ChildState::Installed);
                orders.extend(
                    live.filter(|child| filter.child(child)).map(|child| (view.peer.clone(), Some(child.name.clone()))),
                );
            } else {
                orders.insert((view.peer.clone(), None));
            }
        }
        let mut matches = 0;
        for (peer, child) in &orders {
            let done = match child {
                Some(child) => self.engine.rekey_child(peer, Some(child), now),
                None => self.engine.rekey_ike(peer, now),
            };
            match done {
                Ok(()) => matches += 1,
                Err(error) => return Message::failure(error.to_string()),
            }
        }
        if matches == 0 {
            return Message::failure("no matching SAs to rekey found").with("matches", "0");
        }
        Message::success().with("matches", matches.to_string())
    }

    /// What an event says of commands that wait.
    pub(super) fn vici_failure(&mut self, event: &Event) {
        let (of, child, reason) = match event {
            Event::ConnectFailed { peer, reason, .. } => (peer, None, reason),
            Event::ChildFailed { peer, name, reason, rekey: false } => (peer, name.as_ref(), reason),
            _ => return,
        };
        for waiting in &mut self.vici.waiting {
            if let Awaited::Up(children) = &waiting.what
                && children.iter().any(|(peer, name)| peer == of && child.is_none_or(|child| child == name))
            {
                let what = child.map_or_else(|| format!("IKE_SA '{of}'"), |child| format!("CHILD_SA '{child}'"));
                waiting.failed.get_or_insert_with(|| format!("establishing {what} failed: {reason}"));
            }
        }
    }

    /// Answers commands whose result is known or whose time is over.
    pub(in crate::gateway) fn settle_vici(&mut self, now: Instant) {
        if self.vici.waiting.is_empty() {
            return;
        }
        let views = self.numbered_sas();
        let (done, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.vici.waiting)
            .into_iter()
            .map(|waiting| (outcome(&waiting, &views, now), waiting))
            .partition(|(outcome, _)| outcome.is_some());
        self.vici.waiting = waiting.into_iter().map(|(_, waiting)| waiting).collect();
        let connected = |client| self.vici.server.as_ref().is_some_and(|server| server.is_connected(client));
        self.vici.waiting.retain(|waiting| connected(waiting.client));
        let settled = !done.is_empty();
        for (outcome, waiting) in done {
            self.vici_send(waiting.client, &Packet::Response(outcome.unwrap_or_default()));
        }
        if settled {
            // What these clients sent meanwhile has its turn.
            self.answer_vici(now);
        }
    }
}

fn outcome(waiting: &Waiting, views: &[IkeView], now: Instant) -> Option<Message> {
    let over = waiting.until <= now;
    let installed = |peer: &PeerName, wanted: &dyn Fn(&ChildView) -> bool| {
        let mut children = views.iter().filter(|view| &view.peer == peer).flat_map(|view| &view.children);
        children.any(|child| child.state == ChildState::Installed && wanted(child))
    };
    match &waiting.what {
        Awaited::Up(children) => {
            let missing = children.iter().find(|(peer, name)| !installed(peer, &|child| &child.name == name));
            match (missing, &waiting.failed) {
                (None, _) => Some(Message::success()),
                (Some(_), Some(why)) => Some(Message::failure(why)),
                (Some((_, child)), None) if over => {
                    Some(Message::failure(format!("CHILD_SA '{child}' not established after the timeout")))
                }
                (Some(_), None) => None,
            }
        }
        Awaited::Down { ikes, children } => {
            let there = |spi: &IkeSpi| views.iter().any(|view| view.local_spi == *spi);
            let of_children = |id: ChildId| views.iter().flat_map(|view| &view.children).any(|child| child.id == id);
            let left = ikes.iter().filter(|(_, spi)| there(spi)).count()
                + children.iter().filter(|(_, id)| of_children(*id)).count();
            let matches = ikes.len() + children.len();
            let counted = |message: Message| {
                message.with("matches", matches.to_string()).with("terminated", (matches - left).to_string())
            };
            match left {
                0 => Some(counted(Message::success())),
                _ if over => Some(counted(Message::failure("not all SAs are gone: the peer does not answer"))),
                _ => None,
            }
        }
    }
}
