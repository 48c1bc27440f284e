//! One gateway: an engine, the packet path by the table it published, and a host behind it, as a node of a simulated
//! network. Every datagram on that network begins with the TOS of its outer header.

use super::packets::{MARKER, Stream, counter_of};
use crypto::SeededRng;
use engine::desired::DesiredState;
use engine::path::{Departure, Egress, Feedback, Ingress, Outgoing};
use engine::{Engine, ForwardingTable, Output};
use ike::config::Path;
use ike::event::Event;
use ipsec::{Demux, DropCounters, Encapsulation, demux};
use packet::offload::VnetHeader;
use packet::{IpView, flow_key};
use sim::{Node, Transmit};
use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// IKE.
pub const IKE_PORT: u16 = 500;
/// IKE and ESP in UDP.
pub const NAT_PORT: u16 = 4500;
/// Stands for IP protocol 50.
pub const ESP_PORT: u16 = 50;

/// ESP packets and where they went.
pub type Wire = Vec<(Departure, Vec<u8>)>;

/// Sealed packets in the order of sealing.
#[derive(Default)]
pub struct Sealed(pub Wire);

impl Outgoing for Sealed {
    fn room(&mut self, to: &Departure, len: usize) -> Option<&mut [u8]> {
        self.0.push((*to, vec![0; len]));
        self.0.last_mut().map(|(_, bytes)| bytes.as_mut_slice())
    }

    fn undo(&mut self) {
        self.0.pop();
    }
}

/// What an end did, summed up.
#[derive(Clone, Copy, Default, Debug)]
pub struct Totals {
    /// ESP packets sent.
    pub esp: u64,
    /// IKE messages sent.
    pub ike: u64,
    /// Child rekeys seen.
    pub child_rekeys: u64,
    /// IKE rekeys seen.
    pub ike_rekeys: u64,
}

/// One gateway and the hosts behind it.
pub struct Gateway {
    /// What is tested.
    pub engine: Engine,
    /// What it published last.
    pub table: Arc<ForwardingTable>,
    /// Of both directions.
    pub drops: DropCounters,
    /// Inner packets that came out of the tunnel, with the table's idea of them; packets of streams are only counted.
    pub delivered: Vec<Vec<u8>>,
    /// ICMP errors to the hosts behind it.
    pub replies: Vec<Vec<u8>>,
    /// What it said.
    pub events: Vec<(Instant, Event)>,
    /// What it said of groups of tunnels.
    pub failover: Vec<(Instant, engine::failover::Event)>,
    /// What the packet path told the engine.
    pub feedback: Vec<Feedback>,
    /// ESP as it was sent; kept only when asked for.
    pub wire: Option<Wire>,
    /// The ECN field that routers write on what arrives here.
    pub marked_on_the_way: Option<u8>,
    /// Sends at a rate.
    pub stream: Stream,
    /// Sums.
    pub totals: Totals,
    /// What must never happen and did.
    pub broken: Option<String>,
    out: VecDeque<Transmit>,
}

impl Gateway {
    /// A gateway that is asked for nothing yet.
    pub fn new(engine: Engine) -> Gateway {
        Gateway {
            engine,
            table: Arc::default(),
            drops: DropCounters::new(),
            delivered: Vec::new(),
            replies: Vec::new(),
            events: Vec::new(),
            failover: Vec::new(),
            feedback: Vec::new(),
            wire: None,
            marked_on_the_way: None,
            stream: Stream::default(),
            totals: Totals::default(),
            broken: None,
            out: VecDeque::new(),
        }
    }

    /// An engine for a desired state, its chance decided by `seed`.
    pub fn engine(desired: &DesiredState, seed: u64, now: Instant) -> Engine {
        let rng = |seed| Box::new(SeededRng::new(seed));
        Engine::new(desired, Arc::new(crypto::SimProvider), rng(2 * seed), rng(2 * seed + 1), now)
    }

    /// Acts on the engine, then carries out what it wants.
    pub fn command<R>(&mut self, now: Instant, act: impl FnOnce(&mut Engine) -> R) -> R {
        let result = act(&mut self.engine);
        self.drain(now);
        result
    }

    /// A host behind the gateway sends a packet.
    pub fn offer(&mut self, header: &VnetHeader, packet: &[u8], now: Instant) {
        let table = Arc::clone(&self.table);
        self.offer_by(&table, header, packet, now);
    }

    /// The same, by a worker that holds this table.
    pub fn offer_by(&mut self, table: &ForwardingTable, header: &VnetHeader, packet: &[u8], now: Instant) {
        let mut feedback = Vec::new();
        self.seal(table, header, packet, &mut feedback);
        self.learn(feedback, now);
    }

    fn seal(&mut self, table: &ForwardingTable, header: &VnetHeader, packet: &[u8], feedback: &mut Vec<Feedback>) {
        let mut sealed = Sealed::default();
        let icmp_source = None;
        let (drops, replies) = (&self.drops, &mut self.replies);
        let mut packet = packet.to_vec();
        Egress { table, drops, feedback, replies, icmp_source }.handle(header, &mut packet, &mut sealed);
        for (departure, esp) in sealed.0 {
            self.totals.esp += 1;
            self.check_esp(&esp);
            let (from, to) = match departure.encapsulation {
                Encapsulation::Udp { local, remote } => (local, remote),
                Encapsulation::Plain { local, remote } => {
                    (SocketAddr::new(local, ESP_PORT), SocketAddr::new(remote, ESP_PORT))
                }
            };
            self.transmit(from, to, departure.tos, &esp);
            if let Some(wire) = &mut self.wire {
                wire.push((departure, esp));
            }
        }
    }

    fn learn(&mut self, feedback: Vec<Feedback>, now: Instant) {
        for feedback in feedback {
            self.feedback.push(feedback.clone());
            self.engine.handle_feedback(feedback, now);
        }
        self.drain(now);
    }

    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Ike(ike) => {
                    self.totals.ike += 1;
                    let marker: &[u8] = if ike.path.local.port() == IKE_PORT { &[] } else { &[0; 4] };
                    let message = [marker, &ike.message].concat();
                    self.transmit(ike.path.local, ike.path.remote, 0, &message);
                }
                Output::Keepalive(path) => self.transmit(path.local, path.remote, 0, &[0xff]),
                Output::Publish(table) => {
                    if table.generation <= self.table.generation {
                        self.fault("a table of an old generation was published".to_owned());
                    }
                    self.table = table;
                }
                Output::Inject(packets) => {
                    let table = Arc::clone(&self.table);
                    for packet in packets {
                        self.seal(&table, &VnetHeader::NONE, &packet, &mut Vec::new());
                    }
                }
                Output::Failover(event) => self.failover.push((now, event)),
                Output::Event(event) => {
                    match &event {
                        Event::ChildSaUp { replaces: Some(_), .. } => self.totals.child_rekeys += 1,
                        Event::IkeSaRekeyed { .. } => self.totals.ike_rekeys += 1,
                        _ => {}
                    }
                    self.events.push((now, event));
                }
            }
        }
    }

    /// Whatever leaves must not show what it carries.
    fn transmit(&mut self, from: SocketAddr, to: SocketAddr, tos: u8, bytes: &[u8]) {
        let shows = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        if shows(MARKER) || shows(&[10, 1, 0, 5, 10, 2, 0, 9]) || shows(&[10, 2, 0, 9, 10, 1, 0, 5]) {
            self.fault(format!("plaintext from {from} to {to}: {bytes:02x?}"));
        }
        self.out.push_back(Transmit { from, to, payload: [&[tos], bytes].concat() });
    }

    /// An ESP packet is only ever sent on an SA that the IKE endpoint has, of a peer that nobody took down.
    fn check_esp(&mut self, esp: &[u8]) {
        let Demux::Esp(spi) = demux(esp) else { return self.fault(format!("not ESP: {esp:02x?}")) };
        let endpoint = self.engine.endpoint();
        // The children of a peer that the configuration does not have any more are with their IKE SA alone.
        let mut peers = endpoint.sas().map(|sa| sa.peer().name.clone()).collect::<BTreeSet<_>>();
        peers.extend(self.engine.desired().connections.keys().cloned());
        let owner = peers.iter().find(|peer| endpoint.children_of(peer).any(|child| child.spis.outbound == spi));
        match owner {
            None => self.fault(format!("sent on {spi}, of which the endpoint knows nothing")),
            Some(peer) if endpoint.is_disabled(peer) => {
                self.fault(format!("sent on {spi}, whose connection was taken down"));
            }
            Some(_) => {}
        }
    }

    /// Opens an ESP packet that came in at `path`, `None` for protocol 50.
    pub fn receive(&mut self, esp: &[u8], path: Option<Path>, tos: u8, now: Instant) {
        let (mut esp, mut feedback) = (esp.to_vec(), Vec::new());
        let table = Arc::clone(&self.table);
        let tos = self.marked_on_the_way.map_or(tos, |ecn| tos & 0xfc | ecn);
        let inner = Ingress { table: &table, drops: &self.drops, feedback: &mut feedback }.handle(&mut esp, path, tos);
        if let Some(packet) = inner.and_then(|range| esp.get(range)) {
            self.deliver(packet);
        }
        self.learn(feedback, now);
    }

    fn deliver(&mut self, packet: &[u8]) {
        let whole = IpView::parse(packet).is_ok_and(|view| view.total_len() == packet.len());
        if !whole || flow_key(packet).is_err() {
            self.fault(format!("delivered what is no packet: {packet:02x?}"));
        }
        match counter_of(packet) {
            Some(counter) => self.stream.count(counter),
            None => self.delivered.push(packet.to_vec()),
        }
    }

    fn fault(&mut self, fault: String) {
        self.broken.get_or_insert(fault);
    }
}

impl Node for Gateway {
    fn handle_datagram(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8], now: Instant) {
        let Some((tos, bytes)) = payload.split_first() else { return };
        let path = Path { local: to, remote: from };
        match to.port() {
            IKE_PORT => self.command(now, |engine| engine.handle_ike(path, bytes, now)),
            NAT_PORT => match demux(bytes) {
                Demux::Ike(message) => self.command(now, |engine| engine.handle_ike(path, message, now)),
                Demux::Keepalive => {}
                Demux::Esp(_) | Demux::TooShort | Demux::ReservedSpi(_) => {
                    self.receive(bytes, Some(path), *tos, now);
                }
            },
            _ => self.receive(bytes, None, *tos, now),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        while let Some(packet) = self.stream.due(now) {
            self.offer(&VnetHeader::NONE, &packet, now);
        }
        self.command(now, |engine| engine.handle_timeout(now));
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.pop_front()
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        [self.engine.poll_timeout(), self.stream.next()].into_iter().flatten().min()
    }

    fn is_idle(&self) -> bool {
        self.engine.endpoint().sas().all(|sa| sa.is_quiet() && !sa.is_connecting())
    }
}
