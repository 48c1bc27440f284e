//! A flood of first messages from made-up addresses (RFC 7296 §2.6; IKEv1 has no cookies, so its responder computes nothing
//! before message 3): what it costs in memory and in octets sent to the innocent, and whether a genuine peer that comes in
//! the middle of it gets in.

#![allow(clippy::unwrap_used)] // in the helpers too: what they unwrap is what the test is about

mod support;

use crypto::{Rng, SeededRng, SimProvider};
use ike::Endpoint;
use ike::config::{EndpointConfig, Path, PeerConfig, Versions};
use ike::event::{Event, Output};
use ike::proposal::{EspProposal, IkeProposal};
use ike::v1::wire as v1;
use ike::wire::{ExchangeType, Flags, Header, IkeSpi, Payload, PayloadType, plain_message};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::v1::legacy;
use support::{A, B, address, epoch, minutes, seconds, site_a, site_b};

/// Counts what the current thread holds: each test has a thread of its own, and nothing else runs on it.
mod heap {
    #![allow(unsafe_code)] // a global allocator cannot be written without

    use std::alloc::{GlobalAlloc, Layout, System};
    use std::cell::Cell;

    struct Counting;

    thread_local! {
        static HELD: Cell<isize> = const { Cell::new(0) };
        static PEAK: Cell<isize> = const { Cell::new(0) };
    }

    fn count(octets: isize) {
        let held = HELD.get() + octets;
        HELD.set(held);
        PEAK.set(PEAK.get().max(held));
    }

    // SAFETY: every call is handed to the system's allocator as it is; counting allocates nothing (plain cells).
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            count(layout.size().cast_signed());
            // SAFETY: the caller's promise about `layout` is passed on.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
            count(-layout.size().cast_signed());
            // SAFETY: `at` came from `alloc` above with this layout, thus from the system's allocator.
            unsafe { System.dealloc(at, layout) }
        }
    }

    #[global_allocator]
    static COUNTING: Counting = Counting;

    /// Octets held now.
    pub fn held() -> isize {
        HELD.get()
    }

    /// The most since the last call, which starts anew.
    pub fn take_peak() -> isize {
        PEAK.replace(HELD.get())
    }
}

/// First messages of a flood.
const MESSAGES: u32 = 100_000;
/// Between two of them: 20,000 a second.
const EVERY: Duration = Duration::from_micros(50);
/// One way between the genuine peer and the victim.
const DELAY: Duration = Duration::from_millis(20);
/// The genuine peer starts when so many came.
const MIDDLE: u32 = MESSAGES / 2;

/// Where the made-up messages seem to come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Spoofed {
    /// Anywhere; the victim has a peer without an address.
    Anywhere,
    /// The very address of a configured peer, from any port.
    ThePeer,
}

/// What the flood is made of.
#[derive(Clone, Copy, Debug)]
struct Flood {
    versions: Versions,
    /// What the messages are in turn.
    of: [Versions; 2],
    spoofed: Spoofed,
}

/// What a flood did.
#[derive(Default, Debug)]
struct Seen {
    /// Octets in and out from the moment on at which cookies were demanded.
    octets_in: usize,
    octets_out: usize,
    /// The same before.
    before: (usize, usize),
    /// Answers that were longer than their question, once cookies were demanded.
    longer: usize,
    demanding: bool,
    /// From the genuine peer's first message until it was up, and until the victim was.
    up: [Option<Duration>; 2],
    most_half_open: usize,
    /// Octets held at most, beside those of before.
    peak: isize,
    /// Octets held long after, beside those of before.
    left: isize,
}

/// A peer that speaks `versions`, whose other end speaks `all` of them.
fn configured(mut peer: PeerConfig, versions: Versions, all: Versions) -> PeerConfig {
    match all {
        Versions::V1 => legacy(&mut peer),
        Versions::V2 => {}
        Versions::Both => {
            peer.proposals = IkeProposal::defaults_for(Versions::Both);
            for child in &mut peer.children {
                child.proposals = EspProposal::defaults_for(Versions::Both);
            }
        }
    }
    peer.versions = versions;
    peer
}

fn endpoint(seed: u64, now: Instant) -> Endpoint {
    Endpoint::new(EndpointConfig::default(), Arc::new(SimProvider), Box::new(SeededRng::new(seed)), now)
}

/// What an honest initiator's first message looks like.
fn first_message(versions: Versions, all: Versions, aggressive: bool) -> Vec<u8> {
    let now = epoch();
    let mut honest = endpoint(99, now);
    honest.apply(vec![PeerConfig { aggressive, ..configured(site_a(), versions, all) }], now);
    let message = std::iter::from_fn(|| honest.poll_output()).find_map(|output| match output {
        Output::Transmit(transmit) => Some(transmit.message),
        _ => None,
    });
    message.unwrap()
}

/// The shortest messages that get any answer at all.
fn shortest(versions: Versions) -> Vec<Vec<u8>> {
    let spi = IkeSpi([1; 8]);
    if versions == Versions::V1 {
        let header = v1::Header::parse(&first_message(versions, versions, false)).unwrap();
        let header = v1::Header { initiator_cookie: spi, ..header };
        let empty = v1::Payload::SecurityAssociation(v1::SaPayload::new(Vec::new()));
        return vec![v1::plain_message(header, &[empty])];
    }
    let header = Header {
        initiator_spi: spi,
        responder_spi: IkeSpi::ZERO,
        next_payload: PayloadType::None,
        major: 2,
        minor: 0,
        exchange: ExchangeType::IkeSaInit,
        flags: Flags { initiator: true, version: false, response: false },
        message_id: 0,
        length: 0,
    };
    let ke = Payload::KeyExchange { group: 31, data: Vec::new() };
    let nonce = Payload::Nonce(vec![7; 16]);
    vec![
        plain_message(header, std::slice::from_ref(&nonce)),
        plain_message(header, &[Payload::SecurityAssociation(Vec::new()), ke, nonce]),
        // IKE version 3, which is answered without a state.
        plain_message(Header { major: 3, ..header }, &[]),
    ]
}

/// Makes first messages: honest ones with SPIs of their own, and some as short as can be.
struct Forger {
    rng: SeededRng,
    honest: [Vec<u8>; 2],
    short: Vec<Vec<u8>>,
    spoofed: Spoofed,
}

impl Forger {
    fn new(flood: Flood) -> Forger {
        Forger {
            rng: SeededRng::new(5),
            honest: flood.of.map(|versions| first_message(versions, flood.versions, false)),
            short: flood.of.into_iter().flat_map(shortest).collect(),
            spoofed: flood.spoofed,
        }
    }

    fn next(&mut self, number: u32) -> (SocketAddr, Vec<u8>) {
        let mut message = match number as usize {
            short if short % 8 == 7 => self.short[(short / 8) % self.short.len()].clone(),
            honest => self.honest[honest % 2].clone(),
        };
        self.rng.fill(&mut message[..8]);
        message[0] |= 1;
        let ip = match self.spoofed {
            Spoofed::Anywhere => IpAddr::V4(Ipv4Addr::from(self.rng.next_u32() | 0x0100_0000)),
            Spoofed::ThePeer => address(A),
        };
        let port = if number.is_multiple_of(4) { 500 } else { 1 + self.rng.below(65_535) as u16 };
        (SocketAddr::new(ip, port), message)
    }
}

/// The victim and the genuine peer, and what is under way between them.
struct World {
    ends: [Endpoint; 2],
    under_way: BTreeMap<(Instant, u64), (usize, Path, Vec<u8>)>,
    sent: u64,
    genuine_began: Option<Instant>,
    seen: Seen,
}

const GENUINE: usize = 0;
const VICTIM: usize = 1;

impl World {
    fn new(flood: Flood, now: Instant) -> World {
        let mut ends = [endpoint(11, now), endpoint(12, now)];
        let mut peer = configured(site_b(), flood.versions, flood.versions);
        if flood.spoofed == Spoofed::Anywhere {
            peer.remote_addresses.clear();
        }
        ends[VICTIM].apply(vec![peer], now);
        World { ends, under_way: BTreeMap::new(), sent: 0, genuine_began: None, seen: Seen::default() }
    }

    /// Carries out what an end wants; the octets of its messages.
    fn drain(&mut self, end: usize, now: Instant) -> usize {
        let mut octets = 0;
        while let Some(output) = self.ends[end].poll_output() {
            match output {
                Output::Transmit(transmit) => {
                    octets += transmit.message.len();
                    let Path { local, remote } = transmit.path;
                    // Whatever goes to the address of the genuine peer gets there, answers to what it never sent too.
                    if end == GENUINE || remote.ip() == address(A) && matches!(remote.port(), 500 | 4500) {
                        self.sent += 1;
                        let path = Path { local: remote, remote: local };
                        self.under_way.insert((now + DELAY, self.sent), (1 - end, path, transmit.message));
                    }
                    if end == GENUINE {
                        self.genuine_began.get_or_insert(now);
                    }
                }
                Output::Event(Event::CookiesDemanded(demanding)) if end == VICTIM => self.seen.demanding |= demanding,
                Output::Event(Event::IkeSaUp { .. }) => self.seen.up[end] = self.genuine_began.map(|began| now - began),
                _ => {}
            }
        }
        octets
    }

    /// Everything that is due until `now`, in order.
    fn run_until(&mut self, now: Instant) {
        loop {
            let arrival = self.under_way.keys().next().map(|(at, _)| *at);
            let timers = self.ends.each_ref().map(|end| end.poll_timeout());
            let Some(due) = [arrival, timers[0], timers[1]].into_iter().flatten().min().filter(|at| *at <= now) else {
                return;
            };
            if arrival == Some(due) {
                let (_, (end, path, message)) = self.under_way.pop_first().unwrap();
                self.ends[end].handle_datagram(path, &message, due);
                self.drain(end, due);
                continue;
            }
            for end in [GENUINE, VICTIM] {
                if timers[end] == Some(due) {
                    self.ends[end].handle_timeout(due);
                    self.drain(end, due);
                }
            }
        }
    }

    /// A message of the flood reaches the victim.
    fn strike(&mut self, from: SocketAddr, message: &[u8], now: Instant) {
        let path = Path { local: SocketAddr::new(address(B), 500), remote: from };
        let demanding = self.seen.demanding;
        self.ends[VICTIM].handle_datagram(path, message, now);
        let answer = self.drain(VICTIM, now);
        let (octets_in, octets_out) = if demanding {
            self.seen.longer += usize::from(answer > message.len());
            (&mut self.seen.octets_in, &mut self.seen.octets_out)
        } else {
            (&mut self.seen.before.0, &mut self.seen.before.1)
        };
        *octets_in += message.len();
        *octets_out += answer;
        self.seen.most_half_open = self.seen.most_half_open.max(self.ends[VICTIM].half_open());
    }
}

fn run(flood: Flood) -> Seen {
    let mut now = epoch();
    let mut forger = Forger::new(flood);
    let mut world = World::new(flood, now);
    let before = heap::held();
    heap::take_peak();
    for number in 0..MESSAGES {
        now += EVERY;
        world.run_until(now);
        if number == MIDDLE {
            world.ends[GENUINE].apply(vec![configured(site_a(), flood.of[0], flood.versions)], now);
            world.drain(GENUINE, now);
        }
        let (from, message) = forger.next(number);
        world.strike(from, &message, now);
    }
    world.seen.peak = heap::take_peak() - before;
    world.run_until(now + minutes(5));
    world.seen.left = heap::held() - before;
    assert_eq!(world.ends[VICTIM].half_open(), 0, "nothing of a flood stays");
    assert_eq!(world.ends[VICTIM].spis_in_use(), (1, 1), "SPIs leak");
    assert_eq!(world.ends[VICTIM].sas().count(), 1);
    world.seen
}

/// The bounds that hold for every flood.
fn judge(flood: Flood, most_octets: isize) -> Seen {
    let seen = run(flood);
    println!("{flood:?}: {seen:?}");
    assert!(seen.demanding, "so many first messages are a load");
    assert!(seen.octets_in > 10_000_000, "the flood was under load for most of its time: {seen:?}");
    assert!(seen.octets_out <= seen.octets_in, "{seen:?}");
    assert_eq!(seen.longer, 0, "no answer is longer than its question: {seen:?}");
    assert!(seen.peak <= most_octets, "{} octets held, {most_octets} expected at most", seen.peak);
    assert!(seen.left < 1 << 20, "{} octets are held long after the flood", seen.left);
    for up in seen.up {
        assert!(up.is_some_and(|after| after <= seconds(1)), "the genuine peer is locked out: {seen:?}");
    }
    seen
}

#[test]
fn a_flood_of_ike_sa_init_from_anywhere_costs_little_and_locks_nobody_out() {
    let seen = judge(Flood { versions: Versions::V2, of: [Versions::V2; 2], spoofed: Spoofed::Anywhere }, 4 << 20);
    assert!(seen.most_half_open <= 258, "whoever shows no cookie is not remembered: {seen:?}");
}

#[test]
fn a_flood_of_ike_sa_init_in_a_peers_name_costs_little_and_does_not_lock_it_out() {
    let seen = judge(Flood { versions: Versions::V2, of: [Versions::V2; 2], spoofed: Spoofed::ThePeer }, 4 << 20);
    assert!(seen.most_half_open <= 258, "{seen:?}");
}

#[test]
fn a_flood_of_main_mode_from_anywhere_costs_little_and_locks_nobody_out() {
    let seen = judge(Flood { versions: Versions::V1, of: [Versions::V1; 2], spoofed: Spoofed::Anywhere }, 64 << 20);
    assert!(seen.before.1 <= seen.before.0, "message 2 is never longer than message 1, load or no load: {seen:?}");
    assert!(seen.most_half_open <= EndpointConfig::default().half_open_limit, "{seen:?}");
}

#[test]
fn a_flood_of_main_mode_in_a_peers_name_costs_little_and_does_not_lock_it_out() {
    let seen = judge(Flood { versions: Versions::V1, of: [Versions::V1; 2], spoofed: Spoofed::ThePeer }, 64 << 20);
    assert!(seen.before.1 <= seen.before.0, "{seen:?}");
}

#[test]
fn a_flood_in_both_versions_locks_out_neither() {
    for of in [[Versions::V2, Versions::V1], [Versions::V1, Versions::V2]] {
        judge(Flood { versions: Versions::Both, of, spoofed: Spoofed::Anywhere }, 64 << 20);
    }
}

#[test]
fn under_load_aggressive_mode_gets_no_answer_and_no_memory() {
    let mut now = epoch();
    let mut victim = endpoint(12, now);
    let peer = PeerConfig {
        aggressive: true,
        remote_addresses: Vec::new(),
        ..configured(site_b(), Versions::V1, Versions::V1)
    };
    victim.apply(vec![peer], now);
    let message = first_message(Versions::V1, Versions::V1, true);
    let mut rng = SeededRng::new(3);
    let (mut answers, before) = (0, heap::held());
    heap::take_peak();
    for _ in 0..MESSAGES {
        now += EVERY;
        let mut message = message.clone();
        rng.fill(&mut message[..8]);
        message[0] |= 1;
        let remote = SocketAddr::new(IpAddr::V4(Ipv4Addr::from(rng.next_u32())), 500);
        let path = Path { local: SocketAddr::new(address(B), 500), remote };
        victim.handle_datagram(path, &message, now);
        while let Some(output) = victim.poll_output() {
            answers += usize::from(matches!(output, Output::Transmit(_)));
        }
    }
    let threshold = EndpointConfig::default().half_open_before_cookie;
    assert_eq!((answers, victim.half_open()), (threshold, threshold), "answered until the load is reached, not beyond");
    assert!(heap::take_peak() - before < 4 << 20);
}
