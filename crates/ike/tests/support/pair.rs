//! Two ends on a network, driven step by step with the checks of [`super::checks`] after each.

use super::checks::{self, Gaps, Violation};
use super::configs::{minutes, seconds, site_a, site_b};
use super::end::{A, B, ESP_PORT, End, IKE_PORT, NAT_PORT, address};
use crypto::{Provider, SeededRng, SimProvider};
use ike::config::{EndpointConfig, PeerConfig, PeerName};
use ike::event::{Event, Output};
use ike::wire::{ExchangeType, Header};
use ike::{Endpoint, SaView};
use sim::{Datagram, Lab, Link, NodeId, RuleId, Stop};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a pair is made of.
#[derive(Clone)]
pub struct Setup {
    /// Decides everything that is chance.
    pub seed: u64,
    /// Between the ends.
    pub link: Link,
    /// Key exchanges: real or simulated.
    pub provider: Arc<dyn Provider>,
    /// Of both endpoints.
    pub endpoints: [EndpointConfig; 2],
    /// The peers of each.
    pub peers: [Vec<PeerConfig>; 2],
    /// The ends' own addresses.
    pub addresses: [IpAddr; 2],
}

impl Default for Setup {
    fn default() -> Self {
        Setup {
            seed: 1,
            link: Link::PERFECT,
            provider: Arc::new(SimProvider),
            endpoints: [EndpointConfig::default(), EndpointConfig::default()],
            peers: [vec![site_a()], vec![site_b()]],
            addresses: [address(A), address(B)],
        }
    }
}

impl Setup {
    /// The standard pair with another seed.
    pub fn seeded(seed: u64) -> Setup {
        Setup { seed, ..Setup::default() }
    }

    /// Changes both ends' configuration of each other.
    pub fn both(mut self, change: impl Fn(&mut PeerConfig)) -> Setup {
        self.peers.iter_mut().flatten().for_each(change);
        self
    }

    /// Changes one end's configuration of the other.
    pub fn at(mut self, node: NodeId, change: impl Fn(&mut PeerConfig)) -> Setup {
        if let Some(peers) = self.peers.get_mut(node.0) {
            peers.iter_mut().for_each(change);
        }
        self
    }

    /// Puts the ends on their network. Nothing is configured yet.
    pub fn build(self) -> Pair {
        Pair::new(self)
    }

    /// Both configured, connected, and quiet.
    pub fn connected(self) -> Pair {
        let mut pair = self.build();
        pair.start();
        pair.settle();
        pair
    }

    fn endpoint(&self, node: NodeId, generation: u64, now: Instant) -> Endpoint {
        let config = self.endpoints.get(node.0).cloned().unwrap_or_default();
        let seed = self.seed.wrapping_mul(1000).wrapping_add(generation * 2 + node.0 as u64);
        Endpoint::new(config, Arc::clone(&self.provider), Box::new(SeededRng::new(seed)), now)
    }
}

/// Two ends on a network.
pub struct Pair {
    /// Network, clock and ends.
    pub lab: Lab<End>,
    /// What it was made of.
    pub setup: Setup,
    /// An SA went down without the peer knowing: disagreement is allowed until both ends converged again.
    pub disturbed: bool,
    /// A packet for an SA nobody has is a fault while nothing disturbs the pair.
    pub strict: bool,
    /// IKEv1: directions that nobody hears.
    pub gaps: Gaps,
    generation: u64,
    watched: Watched,
}

/// What a pair remembers from step to step.
#[derive(Clone, Copy, Default)]
struct Watched {
    downs: [u64; 2],
    unknown: u64,
}

/// The start of virtual time: any instant will do.
#[allow(clippy::disallowed_methods)]
pub fn epoch() -> Instant {
    Instant::now()
}

impl Pair {
    fn new(setup: Setup) -> Pair {
        let start = epoch();
        let mut lab = Lab::new(setup.seed, setup.link, start);
        for node in [A, B] {
            let address = setup.addresses.get(node.0).copied().unwrap_or(address(node));
            let end = End::new(setup.endpoint(node, 0, start), address, start);
            let sockets = [IKE_PORT, NAT_PORT, ESP_PORT].map(|port| SocketAddr::new(address, port));
            lab.add(end, &sockets);
        }
        let (gaps, watched) = (Gaps::default(), Watched::default());
        Pair { lab, setup, disturbed: false, strict: false, gaps, generation: 0, watched }
    }

    /// The present.
    pub fn now(&self) -> Instant {
        self.lab.now()
    }

    /// An end.
    pub fn end(&self, node: NodeId) -> &End {
        self.lab.node(node)
    }

    /// What an end calls its peer.
    pub fn peer_of(&self, node: NodeId) -> PeerName {
        let peer = self.setup.peers.get(node.0).and_then(|peers| peers.first());
        peer.map_or_else(|| "nobody".into(), |peer| peer.name.clone())
    }

    /// Applies an end's configuration.
    pub fn configure(&mut self, node: NodeId) {
        let peers = self.setup.peers.get(node.0).cloned().unwrap_or_default();
        self.command(node, |endpoint, now| endpoint.apply(peers, now));
    }

    /// Applies both configurations: the waiting end first.
    pub fn start(&mut self) {
        self.configure(B);
        self.configure(A);
    }

    /// Gives an end's endpoint a command.
    pub fn command<R>(&mut self, node: NodeId, act: impl FnOnce(&mut Endpoint, Instant) -> R) -> R {
        self.lab.act(node, |end, now| end.command(now, |endpoint| act(endpoint, now)))
    }

    /// Rekeys the children from one end.
    pub fn rekey_child(&mut self, node: NodeId) {
        let peer = self.peer_of(node);
        let done = self.command(node, |endpoint, now| endpoint.rekey_child(&peer, None, now));
        assert_eq!(done, Ok(()), "{}", self.dump());
    }

    /// Rekeys the IKE SA from one end.
    pub fn rekey_ike(&mut self, node: NodeId) {
        let peer = self.peer_of(node);
        let done = self.command(node, |endpoint, now| endpoint.rekey_ike(&peer, now));
        assert_eq!(done, Ok(()), "{}", self.dump());
    }

    /// Both ends at the same instant.
    pub fn both(&mut self, act: impl Fn(&mut Pair, NodeId)) {
        act(self, A);
        act(self, B);
    }

    /// An end crashes and starts again with nothing but its configuration.
    pub fn restart(&mut self, node: NodeId) {
        self.generation += 1;
        let endpoint = self.setup.endpoint(node, self.generation, self.now());
        self.lab.node_mut(node).restart(endpoint);
        self.disturbed = true;
        self.configure(node);
    }

    /// Runs for a time; the checks must hold throughout.
    pub fn run(&mut self, time: Duration) {
        let found = self.try_run(time);
        assert_eq!(found, Ok(()), "seed {}\n{}", self.setup.seed, self.dump());
    }

    /// As [`Self::run`]; the fault is the caller's to judge.
    pub fn try_run(&mut self, time: Duration) -> Result<(), Violation> {
        let deadline = self.now() + time;
        let (mut disturbed, mut watched, strict) = (self.disturbed, self.watched, self.strict);
        let mut gaps = std::mem::take(&mut self.gaps);
        let stop = self.lab.run_until_with(deadline, |lab, _| {
            let lost = watched.look(lab, &mut disturbed);
            if lost && strict && !disturbed {
                return Err("a packet was lost: it came on an SPI that is not there".to_owned());
            }
            checks::agreement_in_time(lab.nodes(), lab.now(), disturbed, &mut gaps)
        });
        self.disturbed = disturbed;
        self.watched = watched;
        self.gaps = gaps;
        match stop {
            Stop::Deadline | Stop::Quiet => Ok(()),
            Stop::Violation(found) => Err(found),
            Stop::Livelock(node) => Err(format!("end {} never comes to rest", node.0)),
        }
    }

    /// Runs until nothing is under way and tombstones and grace periods are over.
    pub fn settle(&mut self) {
        self.run(seconds(5));
        self.run(minutes(4));
    }

    /// Nothing is left of a collision: one IKE SA, its children, the same ones at both ends.
    pub fn assert_converged(&mut self) {
        let children = self.setup.peers.first().and_then(|peers| peers.first()).map_or(0, |peer| peer.children.len());
        let found = checks::converged(self.lab.nodes(), children);
        assert_eq!(found, Ok(()), "seed {}\n{}", self.setup.seed, self.dump());
    }

    /// Settles and checks.
    pub fn settle_and_converge(&mut self) {
        self.settle();
        self.assert_converged();
    }

    /// Whether both ends have converged.
    pub fn converged(&self, children: usize) -> Result<(), Violation> {
        checks::converged(self.lab.nodes(), children)
    }

    /// The only IKE SA of an end.
    pub fn sa(&self, node: NodeId) -> SaView<'_> {
        let mut sas = self.end(node).endpoint.sas();
        match (sas.next(), sas.next()) {
            (Some(sa), None) => sa,
            _ => unreachable!("exactly one IKE SA\n{}", self.dump()),
        }
    }

    /// Puts aside the next IKE message of an end that is of this exchange and kind.
    pub fn hold(&mut self, from: NodeId, exchange: ExchangeType, response: bool) -> RuleId {
        let of = is_message(self.end(from).address, exchange, response);
        self.lab.network.hold_next(of)
    }

    /// Puts aside every IKE message of an end that is of this exchange and kind.
    pub fn hold_all(&mut self, from: NodeId, exchange: ExchangeType, response: bool) -> RuleId {
        let of = is_message(self.end(from).address, exchange, response);
        self.lab.network.hold(of)
    }

    /// Drops the next `count` IKE messages of an end that are of this exchange and kind.
    pub fn drop(&mut self, from: NodeId, exchange: ExchangeType, response: bool, count: u64) {
        let of = is_message(self.end(from).address, exchange, response);
        self.lab.network.drop_next(count, of);
    }

    /// Lets go what was put aside.
    pub fn release(&mut self, rule: RuleId) {
        let now = self.now();
        let count = self.lab.network.release(now, rule);
        assert!(count > 0, "nothing was put aside\n{}", self.dump());
    }

    /// The last messages as a sequence diagram, both ends' tables and last events.
    pub fn dump(&self) -> String {
        let mut text = self.lab.network.trace().render(describe);
        for (index, end) in self.lab.nodes().iter().enumerate() {
            text.push_str(&format!("end {index}: SPIs in use {:?}\n", end.endpoint.spis_in_use()));
            for sa in end.endpoint.sas() {
                let (own, other) = (sa.local_spi(), sa.remote_spi());
                let state = match (sa.is_established(), sa.is_connecting(), sa.is_closing()) {
                    (true, _, true) => "closing",
                    (true, _, false) => "established",
                    (_, true, _) => "connecting",
                    _ => "half-open or replaced",
                };
                text.push_str(&format!("  IKE {own} {other} {:?} {state}, {} wait\n", sa.role(), sa.waiting()));
                for child in sa.children() {
                    let (id, name, spis) = (child.id.0, &child.name, child.spis);
                    text.push_str(&format!("    #{id} {name} {} {} {:?}\n", spis.inbound, spis.outbound, child.state));
                }
            }
            for (id, child) in &end.plane.children {
                let active = if child.active { "active" } else { "inactive" };
                text.push_str(&format!("  SAD #{} {} {} {active}\n", id.0, child.spis.inbound, child.spis.outbound));
            }
            let from = end.events.len().saturating_sub(24);
            let landmark = |event: &Event| {
                use Event::{ConnectFailed, Connecting, IkeSaDown, IkeSaUp};
                matches!(event, IkeSaUp { .. } | IkeSaDown { .. } | Connecting { .. } | ConnectFailed { .. })
            };
            let shown = end.events.iter().enumerate().filter(|(at, (_, event))| *at >= from || landmark(event));
            for (at, event) in shown.map(|(_, event)| event) {
                let at = at.saturating_duration_since(self.now() - self.lab.elapsed());
                text.push_str(&format!("  {:>12.6}s {event:?}\n", at.as_secs_f64()));
            }
        }
        text
    }
}

impl Watched {
    /// Notes what went down; whether a packet was lost since the last step.
    fn look(&mut self, lab: &Lab<End>, disturbed: &mut bool) -> bool {
        for (end, seen) in lab.nodes().iter().zip(&mut self.downs) {
            *disturbed |= end.totals.downs > *seen;
            *seen = end.totals.downs;
        }
        let unknown = lab.nodes().iter().map(|end| end.totals.unknown).sum();
        std::mem::replace(&mut self.unknown, unknown) < unknown
    }
}

/// Whether a datagram is an IKE message of this kind, from this end.
fn is_message(
    from: IpAddr,
    exchange: ExchangeType,
    response: bool,
) -> impl FnMut(&Datagram<Vec<u8>>) -> bool + Send + 'static {
    move |datagram| {
        let header = header_of(datagram.from.port(), &datagram.payload);
        datagram.from.ip() == from
            && header.is_some_and(|header| header.exchange == exchange && header.flags.response == response)
    }
}

/// The IKE header of a datagram from this port, if it is an IKE message.
pub fn header_of(port: u16, payload: &[u8]) -> Option<Header> {
    let message = match port {
        ESP_PORT => return None,
        IKE_PORT => payload,
        _ => payload.strip_prefix(&[0; 4])?,
    };
    Header::parse(message).ok()
}

/// What a datagram is, from its first octets.
fn describe(prefix: &[u8]) -> String {
    let message = prefix.strip_prefix(&[0; 4]).unwrap_or(prefix);
    let (Some(spi), Some([exchange, flags]), Some(id)) = (
        message.first_chunk::<4>(),
        message.get(18..).and_then(<[u8]>::first_chunk::<2>),
        message.get(20..).and_then(<[u8]>::first_chunk::<4>),
    ) else {
        return match prefix.first_chunk::<4>() {
            Some(spi) => format!("ESP {:#010x}", u32::from_be_bytes(*spi)),
            None => String::new(),
        };
    };
    if message.get(17).is_some_and(|version| version >> 4 == 1) {
        let (spi, exchange) = (u32::from_be_bytes(*spi), ike::v1::wire::ExchangeType::from_u8(*exchange));
        return format!("{spi:08x}… {exchange} {:08x}", u32::from_be_bytes(*id));
    }
    let kind = if flags & 0x20 == 0 { "request" } else { "response" };
    let spi = u32::from_be_bytes(*spi);
    format!("{spi:08x}… {} {kind} {}", ExchangeType::from_u8(*exchange), u32::from_be_bytes(*id))
}
