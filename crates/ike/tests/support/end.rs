//! One end: an endpoint, its data plane, traffic and random rekeys, as a node of a simulated network.

use super::plane::{Heard, Plane};
use ike::Endpoint;
use ike::config::{ChildName, Path, PeerName};
use ike::event::{DownReason, Event, IgnoredReason, Output};
use ike::wire::{Header, IkeSpi};
use ipsec::Encapsulation;
use sim::{Node, NodeId, Random, Transmit};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// The end that starts.
pub const A: NodeId = NodeId(0);
/// The end that waits.
pub const B: NodeId = NodeId(1);
/// IKE.
pub const IKE_PORT: u16 = 500;
/// IKE and ESP through NAT.
pub const NAT_PORT: u16 = 4500;
/// Stands for IP protocol 50 on a network that knows only UDP.
pub const ESP_PORT: u16 = 50;
/// Events kept per end.
const EVENTS: usize = 4096;

/// The address of an end.
pub fn address(node: NodeId) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, if node.0 == 0 { 1 } else { 2 }))
}

/// What an end did, summed up.
#[derive(Clone, Copy, Default, Debug)]
pub struct Totals {
    /// IKE messages sent, repetitions included.
    pub messages: u64,
    /// Requests sent, repetitions not counted.
    pub exchanges: u64,
    /// Octets of IKE messages sent.
    pub octets: u64,
    /// Child rekeys that this end began and that succeeded.
    pub child_rekeys: u64,
    /// IKE rekeys that this end took part in and that this end began.
    pub ike_rekeys: u64,
    /// Rekeys of both kinds seen by this end, whoever began them.
    pub rekeys_seen: u64,
    /// Times an IKE SA came up.
    pub ups: u64,
    /// Times an IKE SA went down for another reason than being redundant.
    pub downs: u64,
    /// Packets sent.
    pub packets: u64,
    /// Packets that arrived on an SA.
    pub heard: u64,
    /// Packets that arrived on an SA nobody has any more.
    pub unknown: u64,
    /// NAT keepalives sent.
    pub keepalives: u64,
    /// Datagrams ignored.
    pub ignored: u64,
}

/// Rekeys at random times.
#[derive(Debug)]
pub struct Rekeys {
    /// Decides.
    pub random: Random,
    /// Least time between two.
    pub min: Duration,
    /// Most time between two.
    pub max: Duration,
    /// Every how many is one of the IKE SA.
    pub one_ike_in: u64,
    /// The next one.
    pub next: Instant,
}

/// One end.
pub struct End {
    /// What is tested.
    pub endpoint: Endpoint,
    /// Its data plane.
    pub plane: Plane,
    /// Its address.
    pub address: IpAddr,
    /// What it said, newest last; of the last `EVENTS`.
    pub events: VecDeque<(Instant, Event)>,
    /// Sums.
    pub totals: Totals,
    /// Time between two packets on every child; `None` sends none.
    pub traffic: Option<Duration>,
    /// Rekeys at random.
    pub rekeys: Option<Rekeys>,
    /// What must never happen and did.
    pub broken: Option<String>,
    /// Requests sent lately, to tell a repetition from a new one.
    recent: VecDeque<(IkeSpi, bool, u32)>,
    next_packet: Instant,
    out: VecDeque<Transmit>,
}

impl End {
    /// An end with its address and its endpoint.
    pub fn new(endpoint: Endpoint, address: IpAddr, now: Instant) -> End {
        End {
            endpoint,
            plane: Plane::default(),
            address,
            events: VecDeque::new(),
            totals: Totals::default(),
            traffic: None,
            rekeys: None,
            broken: None,
            recent: VecDeque::new(),
            next_packet: now,
            out: VecDeque::new(),
        }
    }

    /// Forgets everything, as after a crash: a fresh endpoint with the same configuration.
    pub fn restart(&mut self, endpoint: Endpoint) {
        self.endpoint = endpoint;
        self.plane = Plane::default();
        self.out.clear();
    }

    /// Starts sending a packet on every child each `interval`.
    pub fn send_every(&mut self, interval: Option<Duration>, now: Instant) {
        self.traffic = interval;
        self.next_packet = now;
    }

    /// Acts on the endpoint, then carries out what it wants.
    pub fn command<R>(&mut self, now: Instant, act: impl FnOnce(&mut Endpoint) -> R) -> R {
        let result = act(&mut self.endpoint);
        self.drain(now);
        result
    }

    /// Sends one packet on each current child.
    pub fn send_packets(&mut self, now: Instant) {
        for child in self.plane.current().into_values() {
            let Some((encapsulation, packet)) = self.plane.seal(child) else { continue };
            let (from, to) = match encapsulation {
                Encapsulation::Udp { local, remote } => (local, remote),
                Encapsulation::Plain { local, remote } => {
                    (SocketAddr::new(local, ESP_PORT), SocketAddr::new(remote, ESP_PORT))
                }
            };
            self.totals.packets += 1;
            self.out.push_back(Transmit { from, to, payload: packet });
        }
        self.drain(now);
    }

    /// The events since the start, without those about ignored datagrams.
    pub fn said(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().map(|(_, event)| event).filter(|event| !matches!(event, Event::Ignored { .. }))
    }

    /// Whether an event was said.
    pub fn has_said(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(|(_, event)| wanted(event))
    }

    /// How many datagrams were ignored for this reason.
    pub fn ignored(&self, wanted: IgnoredReason) -> usize {
        let matches = |event: &Event| matches!(event, Event::Ignored { reason, .. } if *reason == wanted);
        self.events.iter().filter(|(_, event)| matches(event)).count()
    }

    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.endpoint.poll_output() {
            match self.plane.carry_out(output, now) {
                Ok(None) => {}
                Ok(Some(Output::Transmit(transmit))) => {
                    let mut payload = Vec::with_capacity(transmit.message.len() + 4);
                    if transmit.path.local.port() != IKE_PORT {
                        payload.extend_from_slice(&[0; 4]);
                    }
                    payload.extend_from_slice(&transmit.message);
                    self.totals.messages += 1;
                    self.totals.octets += transmit.message.len() as u64;
                    self.count_exchange(&transmit.message);
                    self.out.push_back(Transmit { from: transmit.path.local, to: transmit.path.remote, payload });
                }
                Ok(Some(Output::Keepalive(path))) => {
                    self.totals.keepalives += 1;
                    self.out.push_back(Transmit { from: path.local, to: path.remote, payload: vec![0xff] });
                }
                Ok(Some(Output::Event(event))) => self.note(event, now),
                Ok(Some(Output::Sign(..) | Output::Trace(_))) => {}
                Ok(Some(other)) => self.fault(format!("unexpected output {other:?}")),
                Err(fault) => self.fault(fault),
            }
        }
    }

    fn count_exchange(&mut self, message: &[u8]) {
        let Ok(header) = Header::parse(message) else { return };
        if header.flags.response || !self.is_new(&header) {
            return;
        }
        self.totals.exchanges += 1;
    }

    /// Notes a message's exchange; whether it is another one than those of lately.
    fn is_new(&mut self, header: &Header) -> bool {
        let key = (header.initiator_spi, header.flags.initiator, header.message_id);
        if self.recent.contains(&key) {
            return false;
        }
        self.recent.push_back(key);
        if self.recent.len() > 8 {
            self.recent.pop_front();
        }
        true
    }

    fn hear_message(&mut self, path: Path, message: &[u8], now: Instant) {
        // IKEv1 has no mark for an answer: it has the message ID of what it answers.
        if let Some(header) = Header::parse(message).ok().filter(|header| header.major == 1) {
            self.is_new(&header);
        }
        self.endpoint.handle_datagram(path, message, now);
    }

    fn fault(&mut self, fault: String) {
        self.broken.get_or_insert(fault);
    }

    fn note(&mut self, event: Event, now: Instant) {
        match &event {
            Event::ChildSaUp { replaces: Some(_), role, .. } => {
                self.totals.rekeys_seen += 1;
                self.totals.child_rekeys += u64::from(*role == ike::Role::Initiator);
            }
            Event::IkeSaRekeyed { role, .. } => {
                self.totals.rekeys_seen += 1;
                self.totals.ike_rekeys += u64::from(*role == ike::Role::Initiator);
            }
            Event::IkeSaUp { .. } => self.totals.ups += 1,
            Event::IkeSaDown { reason, .. } if *reason != DownReason::Redundant => self.totals.downs += 1,
            Event::Ignored { .. } => self.totals.ignored += 1,
            _ => {}
        }
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back((now, event));
    }

    fn hear_packet(&mut self, path: Path, packet: &[u8], now: Instant) {
        match self.plane.open(packet, now) {
            Heard::On { child, newest } => {
                self.totals.heard += 1;
                let peer: Option<PeerName> = self.plane.children.get(&child).map(|child| child.peer.clone());
                if let Some(peer) = peer {
                    self.endpoint.esp_heard(&peer, child, newest.then_some(path), now);
                }
            }
            Heard::Lingering => self.totals.heard += 1,
            Heard::Unknown(_) => self.totals.unknown += 1,
            Heard::Forged(spi) => self.fault(format!("the keys of SPI {spi:#010x} differ")),
        }
    }

    fn random_rekey(&mut self, now: Instant) {
        let Some(rekeys) = &mut self.rekeys else { return };
        if rekeys.next > now {
            return;
        }
        rekeys.next = now + rekeys.random.between(rekeys.min, rekeys.max);
        let ike = rekeys.random.below(rekeys.one_ike_in.max(1)) == 0;
        let peers: Vec<PeerName> = self.endpoint.sas().map(|sa| sa.peer().name.clone()).take(1).collect();
        for peer in peers {
            let child: Option<&ChildName> = None;
            // Not up is no fault: the next one may find it up.
            let _ =
                if ike { self.endpoint.rekey_ike(&peer, now) } else { self.endpoint.rekey_child(&peer, child, now) };
        }
    }
}

impl Node for End {
    fn handle_datagram(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8], now: Instant) {
        let path = Path { local: to, remote: from };
        match (to.port(), payload) {
            (IKE_PORT, message) => self.hear_message(path, message, now),
            (NAT_PORT, [0xff]) => {}
            (NAT_PORT, [0, 0, 0, 0, message @ ..]) => self.hear_message(path, message, now),
            (_, packet) => self.hear_packet(path, packet, now),
        }
        self.drain(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.random_rekey(now);
        self.endpoint.handle_timeout(now);
        if let Some(interval) = self.traffic
            && self.next_packet <= now
        {
            self.next_packet = now + interval;
            self.send_packets(now);
        }
        self.drain(now);
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.pop_front()
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        let packet = self.traffic.map(|_| self.next_packet);
        let rekey = self.rekeys.as_ref().map(|rekeys| rekeys.next);
        [self.endpoint.poll_timeout(), packet, rekey].into_iter().flatten().min()
    }

    fn is_idle(&self) -> bool {
        self.endpoint.sas().all(|sa| sa.is_quiet() && !sa.is_connecting())
    }
}
