//! Tunnels that lead to the same place: which of them carries, and how soon another takes over.
//!
//! The choice is a word in the forwarding table ([`Choice`]), so traffic moves without a new table and without a route of the
//! kernel's changing. It moves at once when the SAs of a tunnel go, and within half a second when a tunnel goes silent
//! (`watch`). It moves back after a hold-down. All this is our own direction: the peer's moves by its own means.

mod group;
mod record;
mod watch;

use crate::choice::Choice;
use crate::desired::{InsideAddresses, Tunnel, TunnelGroup};
use group::{Group, Seen};
use ike::config::PeerName;
use packet::icmp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use watch::{Act, Health, Watch};

/// How often traffic is looked at while there is any.
const SAMPLE: Duration = Duration::from_millis(10);
/// In the pings of keepalives (RFC 792): nobody waits for their answers.
const KEEPALIVE_IDENTIFIER: u16 = 0x7570;
/// A sibling that was heard so lately needs no question before traffic moves to it.
const LATELY: Duration = Duration::from_millis(100);

/// Something an operator wants to know of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A tunnel does not answer; its SAs stay for now.
    Suspected {
        /// The group.
        group: PeerName,
        /// The tunnel.
        tunnel: PeerName,
        /// For how long nothing was heard from it.
        silent: Duration,
    },
    /// A suspect was heard again.
    Recovered {
        /// The group.
        group: PeerName,
        /// The tunnel.
        tunnel: PeerName,
        /// For how long it was suspect.
        after: Duration,
        /// For how long another tunnel is preferred still.
        held: Duration,
    },
    /// Traffic that went through one tunnel goes through another.
    Moved {
        /// The group.
        group: PeerName,
        /// Before; `None` where there was none.
        from: Option<PeerName>,
        /// Now; `None` where there is none.
        to: Option<PeerName>,
        /// Why.
        why: MoveReason,
    },
}

/// Why traffic moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MoveReason {
    /// The first tunnel is up.
    Up,
    /// The tunnel has no SAs any more.
    Down,
    /// The tunnel does not answer.
    Suspect,
    /// A more preferred one is well.
    Preferred,
}

impl MoveReason {
    /// A stable word.
    pub fn code(self) -> &'static str {
        match self {
            MoveReason::Up => "up",
            MoveReason::Down => "down",
            MoveReason::Suspect => "suspect",
            MoveReason::Preferred => "preferred",
        }
    }
}

/// What passed on a tunnel since the last look.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Traffic {
    pub(crate) sent: bool,
    pub(crate) received: bool,
}

#[derive(Debug)]
struct Member {
    group: PeerName,
    up: bool,
    watch: Watch,
    /// The next ping of the far inside address, unless something passes before.
    keepalive: Option<Keepalive>,
}

/// Keeps a tunnel from being idle, for peers that close those that are.
#[derive(Debug)]
struct Keepalive {
    inside: InsideAddresses,
    interval: Duration,
    next: Instant,
    sequence: u16,
}

impl Keepalive {
    fn of(group: &TunnelGroup, tunnel: &Tunnel, now: Instant) -> Option<Keepalive> {
        let (interval, inside) = (group.keepalive?, tunnel.inside?);
        Some(Keepalive { inside, interval, next: now + interval, sequence: 0 })
    }

    /// The ping that is due; `idle_since` puts it off.
    fn due(&mut self, idle_since: Instant, now: Instant) -> Option<Vec<u8>> {
        if self.next > now {
            return None;
        }
        let quiet_until = idle_since + self.interval;
        if quiet_until > now {
            self.next = quiet_until;
            return None;
        }
        self.next = now + self.interval;
        self.sequence = self.sequence.wrapping_add(1);
        let mut ping = Vec::new();
        let InsideAddresses { local, remote, .. } = self.inside;
        icmp::echo_request(local, remote, KEEPALIVE_IDENTIFIER, self.sequence, b"keepalive", &mut ping).ok()?;
        Some(ping)
    }
}

/// All groups of an engine.
#[derive(Debug, Default)]
pub(crate) struct Failover {
    groups: BTreeMap<PeerName, Group>,
    members: BTreeMap<PeerName, Member>,
    next_sample: Option<Instant>,
    /// Something happened that may change a choice.
    changed: bool,
}

/// A tunnel of a group as status shows it.
#[derive(Clone, Debug)]
pub(crate) struct TunnelView {
    pub(crate) role: &'static str,
    pub(crate) rtt: Option<Duration>,
    pub(crate) held_until: Option<Instant>,
}

impl Failover {
    /// Takes over the configured groups; what did not change is not touched.
    pub(crate) fn apply(&mut self, desired: &BTreeMap<PeerName, TunnelGroup>, now: Instant) {
        self.groups.retain(|name, group| desired.get(name) == Some(&group.config));
        for (name, config) in desired {
            self.groups.entry(name.clone()).or_insert_with(|| Group::new(config.clone()));
        }
        let tunnels = || desired.iter().flat_map(|(name, group)| group.tunnels.iter().map(move |tunnel| (name, tunnel)));
        let named: BTreeMap<&PeerName, &PeerName> = tunnels().map(|(name, tunnel)| (&tunnel.peer, name)).collect();
        self.members.retain(|peer, member| named.get(peer) == Some(&&member.group));
        for (group, tunnel) in tunnels() {
            let fresh = || Member { group: group.clone(), up: false, watch: Watch::new(now), keepalive: None };
            let member = self.members.entry(tunnel.peer.clone()).or_insert_with(fresh);
            member.keepalive = desired.get(group).and_then(|group| Keepalive::of(group, tunnel, now));
        }
        self.changed = true;
    }

    /// Whether the first packet after a pause on a tunnel of this peer is worth telling.
    pub(crate) fn watches(&self, peer: &PeerName) -> bool {
        self.members.contains_key(peer)
    }

    /// The choice of the group that a connection is a tunnel of, and the group.
    pub(crate) fn group_of(&self, peer: &PeerName) -> Option<(&TunnelGroup, &Arc<Choice>)> {
        let group = self.groups.get(&self.members.get(peer)?.group)?;
        Some((&group.config, &group.choice))
    }

    /// Whether another tunnel of the same group can carry.
    pub(crate) fn has_sibling_up(&self, peer: &PeerName) -> bool {
        let group = self.members.get(peer).map(|member| &member.group);
        self.members.iter().any(|(name, member)| name != peer && Some(&member.group) == group && member.up)
    }

    /// Something that may change a choice happened to SAs.
    pub(crate) fn reconsider(&mut self) {
        self.changed = true;
    }

    /// The first packet after a pause was sent.
    pub(crate) fn began(&mut self, peer: &PeerName, now: Instant) {
        if let Some(member) = self.members.get_mut(peer) {
            member.watch.began(now);
            self.next_sample.get_or_insert(now + SAMPLE);
        }
    }

    /// Something was received on a tunnel, up to half a second ago: news only where nobody was looking more closely.
    pub(crate) fn received(&mut self, peer: &PeerName, now: Instant) -> Option<Event> {
        self.members.get(peer).filter(|member| !member.watch.is_active(now))?;
        self.saw(peer, Traffic { sent: false, received: true }, now)
    }

    /// Whether traffic is to be looked at now.
    pub(crate) fn sample_is_due(&self, now: Instant) -> bool {
        self.next_sample.is_some_and(|at| at <= now)
    }

    /// Takes what passed since the last look. Returns what happened, and the peers that need no close look for now.
    pub(crate) fn sampled(
        &mut self,
        traffic: &BTreeMap<PeerName, Traffic>,
        now: Instant,
    ) -> (Vec<Event>, BTreeSet<PeerName>) {
        let mut events = Vec::new();
        for (peer, traffic) in traffic {
            events.extend(self.saw(peer, *traffic, now));
        }
        let idle = self.members.iter().filter(|(_, member)| !member.watch.is_active(now));
        let idle: BTreeSet<PeerName> = idle.map(|(peer, _)| peer.clone()).collect();
        self.next_sample = (idle.len() < self.members.len()).then(|| now + SAMPLE);
        (events, idle)
    }

    fn saw(&mut self, peer: &PeerName, traffic: Traffic, now: Instant) -> Option<Event> {
        let member = self.members.get_mut(peer)?;
        if traffic.sent || traffic.received {
            self.next_sample.get_or_insert(now + SAMPLE);
        }
        let suspect = member.watch.suspect_since();
        member.watch.saw(traffic.sent, traffic.received, now);
        self.recovered(peer, suspect, now)
    }

    /// Asks `last_heard` whether peers that were asked have answered.
    pub(crate) fn look_for_answers(
        &mut self,
        last_heard: impl Fn(&PeerName) -> Option<Instant>,
        now: Instant,
    ) -> Vec<Event> {
        let waiting = |member: &Member| matches!(member.watch.health(), Health::Asked | Health::Suspect);
        let answered = |peer: &&PeerName| last_heard(peer) == Some(now);
        let waits = self.members.iter().filter(|(_, member)| waiting(member)).map(|(peer, _)| peer);
        let answered: Vec<PeerName> = waits.filter(answered).cloned().collect();
        let mut events = Vec::new();
        for peer in answered {
            let Some(member) = self.members.get_mut(&peer) else { continue };
            let suspect = member.watch.suspect_since();
            member.watch.answered(now);
            events.extend(self.recovered(&peer, suspect, now));
        }
        events
    }

    fn recovered(&mut self, peer: &PeerName, suspect_since: Option<Instant>, now: Instant) -> Option<Event> {
        let member = self.members.get(peer)?;
        let since = suspect_since.filter(|_| member.watch.suspect_since().is_none())?;
        self.changed = true;
        let held = member.watch.held_until().map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        let after = now.saturating_duration_since(since);
        Some(Event::Recovered { group: member.group.clone(), tunnel: peer.clone(), after, held })
    }

    /// When [`Self::act`], or a look at the traffic, is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        let watches = self.members.values().filter(|member| member.up).filter_map(|member| member.watch.due());
        let held = self.members.values().filter_map(|member| member.watch.held_until());
        let choices = self.groups.values().filter_map(|group| group.next_choice(&self.seen(group)));
        let up = self.members.values().filter(|member| member.up);
        let keepalives = up.filter_map(|member| member.keepalive.as_ref()).map(|keepalive| keepalive.next);
        watches.chain(held).chain(choices).chain(keepalives).chain(self.next_sample).min()
    }

    /// Does what is due: whom to ask now, and what happened.
    pub(crate) fn act(&mut self, now: Instant) -> (Vec<PeerName>, Vec<Event>) {
        let (mut ask, mut events, mut doubted) = (Vec::new(), Vec::new(), Vec::new());
        for (peer, member) in self.members.iter_mut().filter(|(_, member)| member.up) {
            let before = member.watch.health();
            match member.watch.act(now) {
                Some(Act::Ask) => {
                    ask.push(peer.clone());
                    if before < Health::Asked {
                        doubted.push((member.group.clone(), peer.clone()));
                    }
                }
                Some(Act::Suspect { silent }) => {
                    let (group, tunnel) = (member.group.clone(), peer.clone());
                    events.push(Event::Suspected { group, tunnel, silent });
                    self.changed = true;
                }
                None => {}
            }
        }
        for (group, peer) in doubted {
            ask.extend(self.ask_siblings(&group, &peer, now));
        }
        for member in self.members.values_mut() {
            // A hold-down that is over, or a wait for going back, may change a choice.
            self.changed |= member.watch.release(now) || member.watch.suspect_since().is_some();
        }
        (ask, events)
    }

    /// Pings for tunnels that have been idle for as long as their peers may be asked to bear.
    pub(crate) fn keepalives(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let up = self.members.values_mut().filter(|member| member.up);
        up.filter_map(|member| member.keepalive.as_mut()?.due(member.watch.last_traffic(), now)).collect()
    }

    /// Before traffic moves, those that it may move to are asked, too: if nobody answers, moving gains nothing.
    fn ask_siblings(&mut self, group: &PeerName, peer: &PeerName, now: Instant) -> Vec<PeerName> {
        let siblings = self.members.iter_mut().filter(|(name, member)| {
            *name != peer && &member.group == group && member.up && !member.watch.was_heard_within(LATELY, now)
        });
        siblings.filter_map(|(name, member)| member.watch.ask(now).map(|_| name.clone())).collect()
    }

    /// A question could not be sent.
    pub(crate) fn cannot_ask(&mut self, peer: &PeerName) {
        if let Some(member) = self.members.get_mut(peer) {
            member.watch.cannot_ask();
        }
    }

    fn seen(&self, group: &Group) -> Vec<Seen> {
        let seen = |tunnel: &Tunnel| {
            let member = self.members.get(&tunnel.peer);
            Seen {
                up: member.is_some_and(|member| member.up),
                health: member.map_or(Health::Suspect, |member| member.watch.health()),
                suspect_since: member.and_then(|member| member.watch.suspect_since()),
                preference: tunnel.preference,
            }
        };
        group.config.tunnels.iter().map(seen).collect()
    }

    /// Chooses again where something happened. `is_up` says whether a connection has SAs to send on, `on_purpose` whether an
    /// operator took it down.
    pub(crate) fn choose(
        &mut self,
        is_up: impl Fn(&PeerName) -> bool,
        on_purpose: impl Fn(&PeerName) -> bool,
        now: Instant,
    ) -> Vec<Event> {
        if !std::mem::take(&mut self.changed) {
            return Vec::new();
        }
        for (peer, member) in &mut self.members {
            let up = is_up(peer);
            match (std::mem::replace(&mut member.up, up), up) {
                (false, true) => member.watch.came_up(now),
                (true, false) if !on_purpose(peer) => member.watch.fell(now),
                (true, false) => member.watch = Watch::new(now),
                (true, true) | (false, false) => {}
            }
        }
        let mut events = Vec::new();
        let mut groups = std::mem::take(&mut self.groups);
        for (name, group) in &mut groups {
            let seen = self.seen(group);
            let Some((from, to)) = group.choose(&seen, now) else { continue };
            let why = match from.and_then(|from| seen.get(from)) {
                None => MoveReason::Up,
                Some(before) if !before.up => MoveReason::Down,
                Some(before) if before.health == Health::Suspect => MoveReason::Suspect,
                Some(_) => MoveReason::Preferred,
            };
            let peer = |index: Option<usize>| Some(group.config.tunnels.get(index?)?.peer.clone());
            events.push(Event::Moved { group: name.clone(), from: peer(from), to: peer(to), why });
        }
        self.groups = groups;
        events
    }

    /// Groups as status shows them.
    pub(crate) fn view(&self, name: &PeerName) -> Option<(Vec<TunnelView>, &Group)> {
        let group = self.groups.get(name)?;
        let seen = self.seen(group);
        let tunnels = group.config.tunnels.iter().zip(&seen).enumerate().map(|(index, (tunnel, seen))| {
            let carries = group.tiers.first.checked_shr(index as u32).unwrap_or(0) & 1 == 1;
            let watch = self.members.get(&tunnel.peer).map(|member| &member.watch);
            let role = match (seen.up, seen.health, carries) {
                (false, ..) => "down",
                (true, Health::Suspect, _) => "suspect",
                (true, _, true) => "active",
                (true, Health::Held, false) => "held",
                (true, Health::Good | Health::Asked, false) => "standby",
            };
            TunnelView {
                role,
                rtt: watch.and_then(Watch::rtt),
                held_until: watch.and_then(Watch::held_until),
            }
        });
        Some((tunnels.collect(), group))
    }
}
