//! Every type of message of both versions, with every combination of flags and every kind of payload, to both ends in every
//! state on the way from nothing to a connection, through its rekeys, to its end, from somebody who has no key but sees
//! everything: the SPIs, the message IDs, the addresses.
//!
//! Nothing that he sends changes anything, but for what the protocols leave open to whoever sees the SPIs, and each of these
//! has a test of its own: first messages, the messages of a negotiation that nothing protects yet, fragments of IKEv1.

#![allow(clippy::unwrap_used)] // in the helpers too: what they unwrap is what the test is about

use crate::support::model::Scenario;
use crate::support::rig::{ALL, Rig, drain, endpoint, scenario};
use crate::support::*;
use ike::Endpoint;
use ike::config::{EndpointConfig, Path};
use ike::event::Event;
use ike::v1::wire as v1;
use ike::wire::{self as v2, IkeSpi};
use std::collections::BTreeSet;

/// Payload of IKEv1's fragments.
const V1_FRAGMENT: u8 = 132;

/// One message of somebody without a key.
#[derive(Clone, Debug)]
struct Forged {
    spis: (IkeSpi, IkeSpi),
    version: u8,
    exchange: u8,
    flags: u8,
    id: u32,
    first: u8,
    body: Vec<u8>,
}

impl Forged {
    fn octets(&self) -> Vec<u8> {
        let mut out = [self.spis.0.0, self.spis.1.0].concat();
        out.extend_from_slice(&[self.first, self.version, self.exchange, self.flags]);
        out.extend_from_slice(&self.id.to_be_bytes());
        out.extend_from_slice(&(28 + self.body.len() as u32).to_be_bytes());
        out.extend_from_slice(&self.body);
        out
    }

    fn is_v1(&self) -> bool {
        self.version >> 4 == 1
    }

    /// What makes a stranger's negotiation: its bookkeeping is no change.
    fn is_first(&self) -> bool {
        if self.is_v1() {
            self.spis.1.is_zero() && matches!(self.exchange, 2 | 4) && self.flags & 1 == 0
        } else {
            self.exchange == 34 && self.flags & 0x20 == 0
        }
    }
}

/// Payloads: the type of the first, and the octets.
type Body = (u8, Vec<u8>);
/// Version, exchanges, flags, bodies.
type Matrix = (u8, &'static [u8], &'static [u8], Vec<Body>);

/// Payloads by kind. What every exchange is made of, junk where a secret belongs.
fn bodies_v2() -> Vec<Body> {
    use v2::Payload;
    let notify = |ty, data: &[u8]| Payload::Notify(v2::Notify::with_data(v2::NotifyType(ty), data.to_vec()));
    let puppet = puppet::Puppet::new(99);
    let mut all = vec![(0, Vec::new())];
    let mut kinds: Vec<Vec<Payload>> = vec![
        puppet.init_payloads(),
        vec![Payload::IdInitiator(ike::id::Id::Fqdn("a.example".into()).into())],
        vec![
            Payload::IdInitiator(ike::id::Id::Fqdn("a.example".into()).into()),
            Payload::Authentication { method: 2, data: vec![7; 32] },
        ],
        vec![
            Payload::IdResponder(ike::id::Id::Fqdn("b.example".into()).into()),
            Payload::Authentication { method: 2, data: Vec::new() },
        ],
        vec![Payload::Delete(v2::Delete::Ike)],
        vec![Payload::Delete(v2::Delete::Child { protocol: v2::ProtocolId::Esp, spis: vec![1] })],
        vec![Payload::Nonce(vec![3; 32])],
        vec![Payload::VendorId(b"anybody".to_vec())],
    ];
    // An error of each half of the table, and what means something: cookies, first contact, rekeys, rollover.
    for ty in [7, 14, 17, 24, 43, 44, 16384, 16390, 16393, 16394, 16403, 16388] {
        kinds.push(vec![notify(ty, &[0, 31])]);
    }
    all.extend(kinds.iter().map(|payloads| {
        let (first, body) = v2::encode_payloads(payloads);
        (first.to_u8(), body)
    }));
    // SK and SKF with junk in them, of a length that could be one; and a payload of IKEv1.
    let generic = |body: &[u8]| [&[0, 0], &(4 + body.len() as u16).to_be_bytes()[..], body].concat();
    all.push((46, generic(&[0x5a; 64])));
    all.push((53, generic(&[[0, 1, 0, 2].as_slice(), &[0x5a; 60]].concat())));
    all.push((53, generic(&[[0, 1, 0, 1].as_slice(), &[0x5a; 60]].concat())));
    all.push((1, generic(&[0, 0, 0, 1, 0, 0, 0, 1])));
    all.push((200, generic(&[1; 8])));
    all
}

fn bodies_v1() -> Vec<Body> {
    use v1::{Notification, NotifyType, Payload, ProtocolId};
    let notify = |ty, data: &[u8]| {
        let (protocol, spi) = (ProtocolId::Isakmp, Vec::new());
        Payload::Notification(Notification { protocol, spi, ty: NotifyType(ty), data: data.to_vec() })
    };
    let delete = |protocol, spi: &[u8]| Payload::Delete(v1::Delete { protocol, spis: vec![spi.to_vec()] });
    let id = || Payload::Identification(v1::IdPayload::from_identity(&ike::id::Id::Fqdn("a.example".into())));
    let mut kinds = vec![
        vec![Payload::KeyExchange(vec![9; 128]), Payload::Nonce(vec![8; 32])],
        vec![Payload::KeyExchange(Vec::new()), Payload::Nonce(vec![8; 32])],
        vec![id(), Payload::Hash(vec![7; 20])],
        vec![Payload::Hash(vec![7; 20])],
        vec![Payload::Hash(Vec::new())],
        vec![delete(ProtocolId::Isakmp, &[1; 16])],
        vec![delete(ProtocolId::Esp, &[1; 4])],
        vec![Payload::Hash(vec![7; 20]), delete(ProtocolId::Esp, &[1; 4]), notify(24578, &[])],
        vec![Payload::VendorId(b"anybody".to_vec())],
        vec![Payload::Opaque { ty: v1::PayloadType::Attributes, body: vec![1, 0, 0, 1, 0x40, 0x88, 0, 0] }],
    ];
    for ty in [5, 11, 14, 16, 18, 24, 16384, 24576, 24578, 36136, 36137, 40001] {
        kinds.push(vec![notify(ty, &[0, 0, 0, 1])]);
    }
    let mut all = vec![(0, Vec::new()), (8, vec![0x5a; 32]), (5, vec![0xa5; 64]), (8, vec![0x5a; 33])];
    all.extend(kinds.iter().map(|payloads| {
        let (first, body) = v1::encode_payloads(payloads);
        (first.to_u8(), body)
    }));
    // A payload of IKEv2.
    all.push((46, [0, 0, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8].to_vec()));
    all
}

/// The SPI pairs that were seen, each as it was, the other way round, and in part.
fn pairs(rig: &Rig) -> Vec<(IkeSpi, IkeSpi)> {
    let mut found = BTreeSet::from([(IkeSpi([0xee; 8]), IkeSpi::ZERO), (IkeSpi([0xee; 8]), IkeSpi([0xdd; 8]))]);
    for wire in &rig.history {
        let spi = |at: usize| IkeSpi(*wire.message[at..].first_chunk().unwrap());
        let (i, r) = (spi(0), spi(8));
        found.extend([(i, r), (i, IkeSpi::ZERO)]);
        if !r.is_zero() {
            found.extend([(r, i), (r, IkeSpi::ZERO), (IkeSpi::ZERO, r)]);
        }
    }
    found.into_iter().collect()
}

/// The message IDs that were seen, and some around them.
fn ids(rig: &Rig) -> Vec<u32> {
    let seen = rig.history.iter().map(|wire| u32::from_be_bytes(*wire.message[20..].first_chunk().unwrap()));
    let mut ids: BTreeSet<u32> = seen.collect();
    let last = rig.history.last().map_or(0, |wire| u32::from_be_bytes(*wire.message[20..].first_chunk().unwrap()));
    ids.extend([0, last, last.wrapping_add(1), u32::MAX]);
    ids.into_iter().rev().take(6).chain([0]).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Everything that somebody without a key could send, as seen by whoever holds the wire.
fn everything(rig: &Rig) -> Vec<Forged> {
    let mut all = Vec::new();
    let (pairs, ids) = (pairs(rig), ids(rig));
    // A first message as it should be, too.
    let genuine = &rig.history[0].message;
    let genuine = (genuine[17] >> 4, (genuine[16], genuine[28..].to_vec()));
    let versions: [Matrix; 2] = [
        (0x20, &[34, 35, 36, 37, 2, 5, 38, 43, 0], &[0, 0x08, 0x20, 0x28], bodies_v2()),
        (0x10, &[2, 4, 5, 6, 32, 33, 1, 35, 36], &[0, 1, 2, 3, 5], bodies_v1()),
    ];
    for (version, exchanges, flags, mut bodies) in versions {
        if version >> 4 == genuine.0 {
            bodies.push(genuine.1.clone());
        }
        for spis in pairs.iter().copied() {
            for (exchange, flags) in exchanges.iter().flat_map(|e| flags.iter().map(|f| (*e, *f))) {
                // Each body with one of the IDs, and each ID with several bodies: together, every pair of kinds is there.
                for (number, (first, body)) in bodies.iter().enumerate() {
                    let genuine = (*first, body) == (genuine.1.0, &genuine.1.1);
                    let id = ids[(number + usize::from(flags) + usize::from(exchange)) % ids.len()];
                    let id = if genuine { 0 } else { id };
                    all.push(Forged { spis, version, exchange, flags, id, first: *first, body: body.clone() });
                }
            }
        }
    }
    all
}

/// What a negotiation that nothing protects yet cannot tell from the real thing: whether it may change the SA in question.
fn left_open(endpoint: &Endpoint, forged: &Forged) -> bool {
    let (i, r) = forged.spis;
    if forged.is_v1() {
        // A negotiation of IKEv1 under way, known by either cookie; not one that stands.
        let stands = endpoint.sas().any(|sa| [i, r].contains(&sa.local_spi()) && sa.established().is_some());
        return !stands && matches!(forged.exchange, 2 | 4 | 5) || forged.first == V1_FRAGMENT;
    }
    let unanswered = endpoint.sas().any(|sa| sa.local_spi() == i && sa.is_connecting() && sa.remote_spi().is_zero());
    unanswered && forged.exchange == 34 && forged.flags & 0x20 != 0
}

/// A step of the script.
type Command = fn(&mut Rig);

fn at(node: usize, rig: &mut Rig, act: fn(&mut Endpoint, &ike::config::PeerName, std::time::Instant)) {
    let (peer, now) = (rig.peer(node), rig.now);
    act(&mut rig.ends[node], &peer, now);
    rig.collect(node);
}

const SCRIPT: [(&str, Command); 6] = [
    ("connect", |_| {}),
    ("child rekey by A", |rig| at(0, rig, |end, peer, now| assert_eq!(end.rekey_child(peer, None, now), Ok(())))),
    ("child rekey by B", |rig| at(1, rig, |end, peer, now| assert_eq!(end.rekey_child(peer, None, now), Ok(())))),
    ("IKE rekey by B", |rig| at(1, rig, |end, peer, now| assert_eq!(end.rekey_ike(peer, now), Ok(())))),
    ("both rekey at once", |rig| {
        at(0, rig, |end, peer, now| assert_eq!(end.rekey_ike(peer, now), Ok(())));
        at(1, rig, |end, peer, now| assert_eq!(end.rekey_ike(peer, now), Ok(())));
    }),
    ("down", |rig| at(0, rig, |end, peer, now| assert_eq!(end.down(peer, None, now), Ok(())))),
];

/// Visits every state on the way.
fn walk(scenario: &Scenario, mut visit: impl FnMut(&mut Rig, &str, usize)) -> Rig {
    let mut rig = Rig::started(scenario);
    for (name, command) in SCRIPT {
        command(&mut rig);
        let mut stage = 0;
        loop {
            visit(&mut rig, name, stage);
            stage += 1;
            if !rig.deliver() {
                break;
            }
        }
        rig.settle();
        let up = name != "down";
        assert_eq!((rig.is_up(0), rig.is_up(1)), (up, up), "{name}: {:?}", rig.said);
        assert_eq!((rig.children(0) > 0, rig.children(1) > 0), (up, up), "{name}: {:?}", rig.said);
    }
    rig
}

fn state(endpoint: &Endpoint) -> String {
    format!("{endpoint:?}")
}

/// Sends one message. It is answered with one datagram at most, and nothing comes up.
fn send(endpoint: &mut Endpoint, path: Path, forged: &Forged, now: std::time::Instant, place: &str) -> usize {
    let octets = forged.octets();
    endpoint.handle_datagram(path, &octets, now);
    let said = drain(endpoint);
    assert!(said.messages.len() <= 1, "{place}: {} answers to {forged:?}", said.messages.len());
    assert!(!said.up() && said.installed == 0, "{place}: {forged:?} brought something up");
    said.messages.len()
}

#[test]
fn nothing_that_nobody_vouches_for_changes_anything_in_any_state() {
    for ike in ALL {
        let (mut states, mut sent, mut answered) = (0, 0, 0);
        let _ = walk(&scenario(ike), |rig, name, stage| {
            let forged = everything(rig);
            for node in 0..2 {
                states += 1;
                let (path, now) = (rig.path_to(node), rig.now);
                let place = format!("{ike:?}, {name}, after {stage} messages, end {node}");
                let before = state(&rig.ends[node]);
                let harmless: Vec<&Forged> =
                    forged.iter().filter(|f| !f.is_first() && !left_open(&rig.ends[node], f)).collect();
                for batch in harmless.chunks(128) {
                    for forged in batch {
                        sent += 1;
                        answered += send(&mut rig.ends[node], path, forged, now, &place);
                    }
                    assert!(before == state(&rig.ends[node]), "{place}: changed by one of {batch:?}");
                }
            }
        });
        println!("{ike:?}: {states} states, {sent} messages, {answered} answered");
        assert!(states >= 20 && sent > 50_000, "{states} {sent}");
    }
}

/// What is established, and the children, as text.
fn standing(endpoint: &Endpoint) -> String {
    let sas = endpoint.sas().filter(|sa| sa.established().is_some());
    sas.map(|sa| format!("{sa:?}\n")).collect()
}

#[test]
fn first_messages_of_strangers_leave_what_stands_as_it_is_and_go_away_by_themselves() {
    for ike in ALL {
        let (mut sent, mut answered) = (0, 0);
        let mut scenario = scenario(ike);
        // Enough for all of them: what happens at the limits is another test.
        scenario.endpoint.half_open_before_cookie = 100_000;
        scenario.endpoint.half_open_limit = 100_000;
        let mut rig = walk(&scenario, |rig, name, stage| {
            let forged: Vec<Forged> = everything(rig).into_iter().filter(Forged::is_first).collect();
            for node in 0..2 {
                let (path, now) = (rig.path_to(node), rig.now);
                let place = format!("{ike:?}, {name}, after {stage} messages, end {node}");
                let before = (standing(&rig.ends[node]), rig.ends[node].spis_in_use().1);
                let strangers = rig.ends[node].half_open();
                for forged in &forged {
                    if left_open(&rig.ends[node], forged)
                        && rig.history.iter().any(|wire| wire.message[..8] == forged.spis.0.0)
                    {
                        continue;
                    }
                    sent += 1;
                    let count = rig.ends[node].half_open();
                    answered += send(&mut rig.ends[node], path, forged, now, &place);
                    assert!(rig.ends[node].half_open() <= count + 1, "{place}: {forged:?}");
                }
                let after = (standing(&rig.ends[node]), rig.ends[node].spis_in_use().1);
                assert!(before == after, "{place}: {before:?}\n{after:?}");
                assert!(rig.ends[node].half_open() <= strangers + forged.len());
            }
        });
        println!("{ike:?}: {sent} first messages, {answered} answered");
        assert!(sent > 1000 && answered > 0, "{sent} {answered}");
        while rig.tick(minutes(5)) {}
        assert_eq!((rig.ends[0].half_open(), rig.ends[1].half_open()), (0, 0));
        assert_eq!((rig.ends[0].spis_in_use(), rig.ends[1].spis_in_use()), ((0, 0), (0, 0)));
    }
}

#[test]
fn messages_of_a_negotiation_that_nothing_protects_yet_bring_nothing_up_and_touch_nothing_else() {
    for ike in ALL {
        // How many messages into the negotiation.
        let mut sent = 0;
        for stage in 0..10 {
            for node in 0..2 {
                let at_stage = || {
                    let mut rig = Rig::started(&scenario(ike));
                    (0..stage).all(|_| rig.deliver()).then_some(rig)
                };
                let Some(rig) = at_stage() else { continue };
                let forged: Vec<Forged> = everything(&rig)
                    .into_iter()
                    .filter(|forged| !forged.is_first() && left_open(&rig.ends[node], forged))
                    .collect();
                // Several at a time: what the first does not change, the next may.
                for batch in forged.chunks(24) {
                    let mut rig = at_stage().expect("the same as before");
                    let (path, now) = (rig.path_to(node), rig.now);
                    let before = (standing(&rig.ends[node]), rig.children(node));
                    for forged in batch {
                        sent += 1;
                        let place = format!("{ike:?}, after {stage} messages, end {node}");
                        send(&mut rig.ends[node], path, forged, now, &place);
                    }
                    assert_eq!(before, (standing(&rig.ends[node]), rig.children(node)), "{batch:?}");
                    // Whatever it spoiled, another attempt succeeds.
                    connects_in_the_end(&mut rig, batch);
                }
            }
        }
        println!("{ike:?}: {sent} messages into a negotiation");
        assert!(sent > 20, "{sent}");
    }
}

fn connects_in_the_end(rig: &mut Rig, after: &[Forged]) {
    for _ in 0..400 {
        if (0..2).all(|node| rig.is_up(node) && rig.children(node) > 0) {
            return;
        }
        if !rig.deliver() {
            rig.tick(minutes(5));
        }
    }
    unreachable!("it never connects after {after:?}\n{:?}", rig.said);
}

#[test]
fn at_the_limit_of_half_open_sas_answers_are_no_longer_than_questions() {
    for ike in ALL {
        let config = EndpointConfig { half_open_before_cookie: 4, half_open_limit: 8, ..EndpointConfig::default() };
        let scenario = scenario(ike);
        let now = epoch();
        let mut responder = endpoint(&scenario, 1, config, now);
        responder.apply(vec![scenario.peers[1].clone()], now);
        let rig = Rig::started(&scenario);
        let (path, genuine) = (rig.path_to(1), rig.history[0].message.clone());
        drain(&mut responder);
        for number in 0..200_u32 {
            let mut hello = genuine.clone();
            hello[..4].copy_from_slice(&number.to_be_bytes());
            responder.handle_datagram(path, &hello, now);
            drain(&mut responder);
        }
        assert!(responder.half_open() <= 8, "{}", responder.half_open());
        let mut answered = 0;
        for forged in everything(&rig).into_iter().chain([short_init(), short_version(), long_version()]) {
            let octets = forged.octets();
            responder.handle_datagram(path, &octets, now);
            let said = drain(&mut responder);
            let answer: usize = said.messages.iter().map(Vec::len).sum();
            assert!(said.messages.len() <= 1 && answer <= octets.len(), "{ike:?}: {answer} octets for {forged:?}");
            assert!(!said.up() && said.installed == 0);
            assert!(responder.half_open() <= 8, "{}", responder.half_open());
            answered += said.messages.len();
        }
        assert!(answered > 0, "{ike:?}");
        let noticed = |event: &Event| matches!(event, Event::CookiesDemanded(true));
        assert!(!drain(&mut responder).events.iter().any(noticed), "said once, long ago");
    }
}

/// The shortest first message that has a nonce.
fn short_init() -> Forged {
    let (first, body) = v2::encode_payloads(&[v2::Payload::Nonce(vec![1; 16])]);
    let spis = (IkeSpi([0x77; 8]), IkeSpi::ZERO);
    Forged { spis, version: 0x20, exchange: 34, flags: 8, id: 0, first: first.to_u8(), body }
}

/// A message of a version that is still to come.
fn long_version() -> Forged {
    Forged { version: 0x30, ..short_init() }
}

/// A header alone, of such a version.
fn short_version() -> Forged {
    Forged { version: 0x30, first: 0, body: Vec::new(), ..short_init() }
}
