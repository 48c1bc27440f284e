//! Quirks of strangers: what peers in the field do that the RFC does not expect, or leaves to them. Each test is named
//! after the quirk; README.md says where those are tested that came up elsewhere.

#![allow(clippy::unwrap_used)] // in the helpers too: what they unwrap is what the test is about

use crate::support::puppet::{Puppet, proposals, reaction};
use crate::support::soak::PRIVATE;
use crate::support::*;
use crypto::{SeededRng, SimProvider};
use ike::config::{ChildConfig, ChildName, EndpointConfig, PeerName, StartPolicy};
use ike::event::{DownReason, Event};
use ike::proposal::esp_to_wire;
use ike::wire::{Delete, ExchangeType, Header, Notify, NotifyType, Payload, PayloadType, Proposal};
use ike::{ChildState, Endpoint};
use ipsec::{Spi, TrafficSelector};
use sim::{Filtering, Nat};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An endpoint configured as end B, and a puppet connected to it.
struct Scene {
    endpoint: Endpoint,
    puppet: Puppet,
    now: Instant,
    events: Vec<Event>,
    /// Requests of the endpoint that were not answered.
    pending: Vec<Vec<u8>>,
}

impl Scene {
    /// With these children beside the first; the puppet has not spoken yet.
    fn before(children: Vec<ChildConfig>) -> Scene {
        let now = epoch();
        let mut endpoint =
            Endpoint::new(EndpointConfig::default(), Arc::new(SimProvider), Box::new(SeededRng::new(2)), now);
        let mut config = site_b();
        config.proposals = proposals();
        config.children.extend(children);
        for child in &mut config.children {
            child.proposals = vec!["aes256gcm16".parse().unwrap()];
        }
        endpoint.apply(vec![config], now);
        Scene { endpoint, puppet: Puppet::new(1), now, events: Vec::new(), pending: Vec::new() }
    }

    /// With these children beside the first; connected.
    fn with(children: Vec<ChildConfig>) -> Scene {
        let mut scene = Scene::before(children);
        scene.puppet = Puppet::connected(1, &mut scene.endpoint, scene.now);
        scene
    }

    fn peer(&self) -> PeerName {
        "a.example".into()
    }

    /// Takes what came out; returns the answers to the puppet, opened.
    fn take(&mut self) -> Vec<Vec<Payload>> {
        let reaction = reaction(&mut self.endpoint);
        self.events.extend(reaction.events);
        let mut answers = Vec::new();
        for message in reaction.messages {
            if Header::parse(&message).unwrap().flags.response {
                answers.push(self.puppet.open(&message).1);
            } else if !self.pending.contains(&message) {
                self.pending.push(message);
            }
        }
        answers
    }

    /// Sends a request of the puppet; its only answer.
    fn ask(&mut self, exchange: ExchangeType, payloads: &[Payload]) -> Vec<Payload> {
        let request = self.puppet.request(exchange, payloads);
        self.endpoint.handle_datagram(self.puppet.path, &request, self.now);
        let mut answers = self.take();
        assert_eq!(answers.len(), 1, "{answers:?}");
        answers.remove(0)
    }

    fn delete(&mut self, spis: &[Spi]) -> Vec<Payload> {
        self.ask(ExchangeType::Informational, &[Payload::Delete(Delete::esp(spis.iter().copied()))])
    }

    /// Answers the endpoint's oldest unanswered request.
    fn answer(&mut self, payloads: &[Payload]) {
        let header = Header::parse(&self.pending.remove(0)).unwrap();
        let answer = self.puppet.header(header.exchange, header.message_id, true);
        let answer = self.puppet.seal(answer, payloads);
        self.endpoint.handle_datagram(self.puppet.path, &answer, self.now);
        self.take();
    }

    /// Lets time pass.
    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.endpoint.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.endpoint.handle_timeout(self.now);
            self.take();
        }
        self.now = until;
    }

    /// The unanswered request, opened.
    fn request(&self) -> Vec<Payload> {
        assert_eq!(self.pending.len(), 1, "one request is under way");
        self.puppet.open(&self.pending[0]).1
    }

    /// What the children are called and what becomes of them.
    fn children(&self) -> Vec<(ChildName, ChildState)> {
        let of_sas = self.endpoint.sas().flat_map(|sa| sa.children().cloned().collect::<Vec<_>>());
        of_sas.map(|child| (child.name, child.state)).collect()
    }

    /// The SPI that the puppet chose for the first child of this name.
    fn theirs(&self, name: &str) -> Spi {
        let found = self.endpoint.sas().flat_map(|sa| sa.children().cloned().collect::<Vec<_>>());
        found.into_iter().find(|child| &*child.name.0 == name).unwrap().spis.outbound
    }
}

/// The answer to a child request: this SPI, this proposal number, and the selectors (of the requester, of the puppet).
fn child_answer(spi: Spi, number: u8, initiator: &[TrafficSelector], responder: &[TrafficSelector]) -> Vec<Payload> {
    let mut proposals = esp_to_wire(&["aes256gcm16".parse().unwrap()], spi, true);
    proposals[0].number = number;
    vec![
        Payload::SecurityAssociation(proposals),
        Payload::Nonce(vec![u8::try_from(spi.get() & 0xff).unwrap(); 32]),
        Payload::TsInitiator(initiator.to_vec()),
        Payload::TsResponder(responder.to_vec()),
    ]
}

fn spi(number: u32) -> Spi {
    Spi::new(number).unwrap()
}

fn net(site: u8, net: u8) -> TrafficSelector {
    TrafficSelector::from_prefix([10, site, net, 0].into(), 24)
}

/// A child that the endpoint asks for, between two of its networks and one of the puppet's.
fn wide() -> ChildConfig {
    ChildConfig { local: vec![net(2, 9), net(2, 10)], ..child_config("wide", B, 9, StartPolicy::Passive) }
}

/// A scene in which the endpoint's request for the child `wide` is under way.
fn asking_for_wide() -> Scene {
    let mut scene = Scene::with(vec![wide()]);
    let peer = scene.peer();
    assert_eq!(scene.endpoint.up(&peer, Some(&"wide".into()), scene.now), Ok(()));
    // A responder leaves the first move to the initiator for a while.
    scene.wait(seconds(4));
    assert!(scene.request().iter().any(|payload| matches!(payload, Payload::TsInitiator(list) if list.len() == 2)));
    scene
}

/// Renumbers the proposals, puts one nobody wants first, and turns the order of transforms round.
fn oddly_numbered(payloads: &mut [Payload], first: u8) -> u8 {
    for payload in payloads {
        let Payload::SecurityAssociation(proposals) = payload else { continue };
        let mut unwanted: Proposal = proposals[0].clone();
        for transform in &mut unwanted.transforms {
            transform.id += 1000;
        }
        proposals.insert(0, unwanted);
        for (number, proposal) in (first..).zip(proposals.iter_mut()) {
            proposal.number = number;
            proposal.transforms.reverse();
        }
    }
    first + 1
}

fn number_of(payloads: &[Payload]) -> Option<u8> {
    payloads.iter().find_map(|payload| match payload {
        Payload::SecurityAssociation(proposals) if proposals.len() == 1 => Some(proposals[0].number),
        _ => None,
    })
}

#[test]
fn proposals_numbered_from_5_with_transforms_in_any_order_are_answered_by_their_number() {
    let mut scene = Scene::before(Vec::new());
    let mut payloads = scene.puppet.init_payloads();
    let expected = oddly_numbered(&mut payloads, 5);
    let hello = scene.puppet.init(&payloads);
    let answer = scene.puppet.send(&mut scene.endpoint, &hello, scene.now).messages.remove(0);
    let header = Header::parse(&answer).unwrap();
    let opened = ike::wire::parse_payloads(header.next_payload, &answer[Header::LEN..]).unwrap();
    assert_eq!(number_of(&opened), Some(expected));
    scene.puppet.accept_init(answer);
    let mut payloads = scene.puppet.auth_payloads();
    let expected = oddly_numbered(&mut payloads, 200);
    assert_eq!(number_of(&scene.ask(ExchangeType::IkeAuth, &payloads)), Some(expected));
    assert_eq!(scene.children(), [(child(), ChildState::Installed)]);
    let old = scene.theirs("net");
    let mut payloads = vec![Payload::Notify(Notify::for_child(NotifyType::REKEY_SA, old))];
    payloads.extend(scene.puppet.child_payloads(true));
    let expected = oddly_numbered(&mut payloads, 0);
    assert_eq!(number_of(&scene.ask(ExchangeType::CreateChildSa, &payloads)), Some(expected), "even number 1 after 0");
}

#[test]
fn an_answer_under_another_number_than_the_offer_had_is_taken() {
    for number in [0, 5, 255] {
        let mut scene = asking_for_wide();
        scene.answer(&child_answer(spi(0x4001), number, &wide().local, &wide().remote));
        assert_eq!(scene.children().len(), 2, "number {number}");
    }
}

/// Drops everything from and to port 500.
fn without_port_500(pair: &mut Pair) {
    pair.lab.network.drop_next(u64::MAX, |datagram| datagram.from.port() == IKE_PORT || datagram.to.port() == IKE_PORT);
}

/// Packets pass in both directions.
fn assert_passes(pair: &mut Pair) {
    let before = [A, B].map(|node| pair.end(node).totals.heard);
    let now = pair.now();
    for node in [A, B] {
        pair.lab.node_mut(node).command(now, |_| ());
        pair.lab.act(node, |end, now| end.send_packets(now));
    }
    pair.run(seconds(1));
    let after = [A, B].map(|node| pair.end(node).totals.heard);
    assert!(after[0] > before[0] && after[1] > before[1], "{}", pair.dump());
}

#[test]
fn a_peer_that_starts_on_4500_is_answered_there_and_never_needs_500() {
    let mut pair = Setup::default().at(A, |peer| peer.remote_port = 4500).build();
    without_port_500(&mut pair);
    pair.start();
    pair.run(seconds(2));
    for node in [A, B] {
        let path = pair.sa(node).path();
        assert_eq!((path.local.port(), path.remote.port()), (4500, 4500), "{}", pair.dump());
        assert!(!pair.sa(node).nat().found(), "a port alone is no NAT");
    }
    pair.rekey_child(B);
    pair.rekey_ike(A);
    pair.settle_and_converge();
    assert_passes(&mut pair);
}

#[test]
fn a_peer_behind_a_nat_that_starts_on_4500_is_answered_where_the_nat_put_it() {
    let setup = Setup { addresses: [PRIVATE, address(B)], ..Setup::default() };
    let mut pair = setup
        .at(A, |peer| (peer.local_address, peer.remote_port) = (Some(PRIVATE), 4500))
        .at(B, |peer| peer.remote_addresses = Vec::new())
        .build();
    pair.lab.network.add_nat(Nat::new(address(A)).covering(PRIVATE).with_filtering(Filtering::AddressAndPortDependent));
    without_port_500(&mut pair);
    pair.start();
    pair.run(seconds(2));
    assert!(pair.sa(A).nat().local && pair.sa(B).nat().remote, "{}", pair.dump());
    assert_eq!(pair.sa(B).path().local.port(), 4500);
    assert_eq!(pair.sa(B).path().remote.ip(), address(A));
    assert_passes(&mut pair);
}

/// MikroTik asks for an address in each rekey of a child, as it did in IKE_AUTH.
#[test]
fn a_configuration_payload_in_a_rekey_is_ignored_and_the_rekey_is_not() {
    let request = Payload::Opaque { ty: PayloadType::Configuration, body: vec![1, 0, 0, 0, 0, 1, 0, 0] };
    let mut scene = Scene::with(Vec::new());
    let old = scene.theirs("net");
    for first in [true, false] {
        let old = if first { old } else { scene.theirs("net") };
        let mut payloads = vec![Payload::Notify(Notify::for_child(NotifyType::REKEY_SA, old))];
        payloads.extend(scene.puppet.child_payloads(true));
        payloads.insert(if first { 0 } else { payloads.len() }, request.clone());
        let answer = scene.ask(ExchangeType::CreateChildSa, &payloads);
        let kinds: Vec<PayloadType> = answer.iter().map(Payload::ty).collect();
        assert!(kinds.contains(&PayloadType::SecurityAssociation), "{kinds:?}");
        assert!(!kinds.contains(&PayloadType::Configuration) && !kinds.contains(&PayloadType::Notify), "{kinds:?}");
        assert_eq!(scene.children().len(), 2);
        scene.delete(&[old]);
        assert_eq!(scene.children(), [(child(), ChildState::Installed)]);
    }
    // And in the answer to ours.
    let peer = scene.peer();
    scene.wait(minutes(2));
    assert_eq!(scene.endpoint.rekey_child(&peer, None, scene.now), Ok(()));
    scene.take();
    let mut answer = child_answer(spi(0x4001), 1, &[net(2, 0)], &[net(1, 0)]);
    answer.push(Payload::Opaque { ty: PayloadType::Configuration, body: vec![2, 0, 0, 0] });
    scene.answer(&answer);
    scene.answer(&[]);
    assert_eq!((scene.children().len(), scene.theirs("net")), (1, spi(0x4001)));
}

fn nat_hash(initiator: &[u8; 8], address: SocketAddr) -> Vec<u8> {
    let IpAddr::V4(ip) = address.ip() else { unreachable!("the tests are on IPv4") };
    crypto::sha1(&[initiator, &[0; 8], &ip.octets(), &address.port().to_be_bytes()]).to_vec()
}

/// A peer with several addresses may not know which of them a message will leave from (RFC 7296 §2.23).
#[test]
fn several_nat_detection_sources_of_which_one_matches_are_no_nat() {
    for (matching, nat) in [(Some(0), false), (Some(1), false), (Some(2), false), (None, true)] {
        let now = epoch();
        let mut endpoint =
            Endpoint::new(EndpointConfig::default(), Arc::new(SimProvider), Box::new(SeededRng::new(2)), now);
        endpoint.apply(vec![site_b()], now);
        let mut puppet = Puppet::new(1);
        let mut payloads = puppet.init_payloads();
        for number in 0..3_u8 {
            let from = if matching == Some(number) {
                puppet.path.remote
            } else {
                SocketAddr::new([198, 51, 100, number].into(), 500)
            };
            let data = nat_hash(&puppet.initiator_spi.0, from);
            payloads.push(Payload::Notify(Notify::with_data(NotifyType::NAT_DETECTION_SOURCE_IP, data)));
        }
        let data = nat_hash(&puppet.initiator_spi.0, puppet.path.local);
        payloads.push(Payload::Notify(Notify::with_data(NotifyType::NAT_DETECTION_DESTINATION_IP, data)));
        let hello = puppet.init(&payloads);
        puppet.send(&mut endpoint, &hello, now);
        let found = endpoint.sas().next().unwrap().nat();
        assert_eq!((found.remote, found.local), (nat, false), "{matching:?}");
    }
}

/// Cisco ASA and IOS take a child down that carried nothing for a while.
#[test]
fn a_child_on_demand_that_the_peer_deletes_as_idle_comes_back_with_the_next_packet() {
    let mut pair = Setup::default().at(A, |peer| peer.children[0].start = StartPolicy::OnDemand).build();
    pair.start();
    let (at_a, at_b) = (pair.peer_of(A), pair.peer_of(B));
    for _ in 0..3 {
        assert_eq!(pair.end(A).plane.children.len(), 0, "{}", pair.dump());
        pair.command(A, |endpoint, now| endpoint.trigger(&at_a, &child(), now));
        pair.run(seconds(2));
        assert_passes(&mut pair);
        assert_eq!(pair.command(B, |endpoint, now| endpoint.down(&at_b, Some(&child()), now)), Ok(()));
        pair.run(minutes(10));
    }
    assert_eq!(pair.end(A).totals.ups, 1, "the IKE SA stayed");
}

/// Palo Alto deletes what it replaced right behind its answer; on the way, the DELETE may overtake it.
#[test]
fn a_delete_of_the_old_child_right_behind_the_answer_to_its_rekey_leaves_the_new_one() {
    let mut scene = Scene::with(Vec::new());
    scene.wait(minutes(2));
    let (peer, old) = (scene.peer(), scene.theirs("net"));
    assert_eq!(scene.endpoint.rekey_child(&peer, None, scene.now), Ok(()));
    scene.take();
    scene.answer(&child_answer(spi(0x4001), 1, &[net(2, 0)], &[net(1, 0)]));
    // Our own DELETE is on its way, and crosses theirs (RFC 7296 §2.25.1): neither answer names the child.
    assert_eq!(scene.pending.len(), 1);
    assert_eq!(scene.delete(&[old]), []);
    scene.answer(&[]);
    assert_eq!(scene.children(), [(child(), ChildState::Installed)]);
    assert_eq!(scene.theirs("net"), spi(0x4001));
    scene.wait(minutes(10));
    assert!(scene.pending.is_empty() && scene.children().len() == 1);
}

#[test]
fn a_delete_that_overtakes_the_answer_with_its_child_is_heeded_and_the_child_asked_for_again() {
    let mut scene = asking_for_wide();
    let in_use = scene.endpoint.spis_in_use();
    assert_eq!(scene.delete(&[spi(0x4001), spi(0x9999)]), [], "no child of ours has these SPIs yet");
    scene.answer(&child_answer(spi(0x4001), 1, &wide().local, &wide().remote));
    assert_eq!(scene.children(), [(child(), ChildState::Installed)], "the peer has no such child any more");
    assert!(scene.endpoint.spis_in_use().1 <= in_use.1);
    scene.wait(seconds(3));
    scene.answer(&child_answer(spi(0x4002), 1, &wide().local, &wide().remote));
    assert_eq!(scene.children().len(), 2);

    // The same in a rekey: the old child stays, and its rekey is tried again.
    let mut scene = Scene::with(Vec::new());
    scene.wait(minutes(2));
    let (peer, old) = (scene.peer(), scene.theirs("net"));
    assert_eq!(scene.endpoint.rekey_child(&peer, None, scene.now), Ok(()));
    scene.take();
    scene.delete(&[spi(0x4001)]);
    scene.answer(&child_answer(spi(0x4001), 1, &[net(2, 0)], &[net(1, 0)]));
    assert_eq!((scene.children(), scene.theirs("net")), (vec![(child(), ChildState::Installed)], old));
    scene.wait(seconds(3));
    scene.answer(&child_answer(spi(0x4002), 1, &[net(2, 0)], &[net(1, 0)]));
    assert!(scene.children().iter().any(|(_, state)| matches!(state, ChildState::Replaced(_))));
    // However many a peer names, only so many are remembered.
    let many: Vec<Spi> = (0..500).map(|number| spi(0x5000 + number)).collect();
    scene.answer(&[]);
    scene.wait(minutes(2));
    assert_eq!(scene.endpoint.rekey_child(&peer, None, scene.now), Ok(()));
    scene.take();
    scene.delete(&many);
    scene.answer(&child_answer(spi(0x4003), 1, &[net(2, 0)], &[net(1, 0)]));
    assert!(scene.children().len() == 2, "{:?}", scene.children());
}

/// What was said about narrowing: (asked, granted).
fn narrowed<'e>(events: impl Iterator<Item = &'e Event>) -> Vec<(String, String)> {
    let said = |event: &Event| match event {
        Event::Narrowed { asked, granted, .. } => Some((asked.clone(), granted.clone())),
        _ => None,
    };
    events.filter_map(said).collect()
}

#[test]
fn a_peer_that_narrows_is_named_with_both_values_once_and_an_exact_answer_is_not() {
    for in_auth in [true, false] {
        let mut pair = Setup::default()
            .at(A, |peer| {
                peer.childless = !in_auth;
                peer.children[0].local.push(net(1, 5));
            })
            .connected();
        for _ in 0..2 {
            let [(asked, granted)] = narrowed(pair.end(A).said()).try_into().unwrap();
            assert_eq!(asked, "10.1.0.0/24, 10.1.5.0/24 to 10.2.0.0/24", "in IKE_AUTH: {in_auth}");
            assert_eq!(granted, "10.1.0.0/24 to 10.2.0.0/24");
            assert_eq!(narrowed(pair.end(B).said()), [], "who narrows knows it");
            pair.rekey_child(A);
            pair.settle();
        }
    }
    let exact = Setup::default().connected();
    assert_eq!(narrowed(exact.end(A).said()), []);
    // The same selectors in other words are not less.
    let mut scene = asking_for_wide();
    let halves = [0, 128].map(|half| TrafficSelector::from_prefix([10, 2, 9, half].into(), 25));
    let local: Vec<TrafficSelector> = halves.into_iter().chain([net(2, 10)]).collect();
    scene.answer(&child_answer(spi(0x4001), 1, &local, &wide().remote));
    assert_eq!((narrowed(scene.events.iter()), scene.children().len()), (vec![], 2));
}

/// Cisco ASA and Check Point make one SA per pair of subnets; some say so, others grant the first pair alone.
#[test]
fn a_peer_that_takes_one_pair_alone_is_answered_with_the_key_that_splits() {
    let mut scene = asking_for_wide();
    scene.answer(&[Payload::Notify(Notify::new(NotifyType::SINGLE_PAIR_REQUIRED))]);
    let reason = scene.events.iter().find_map(|event| match event {
        Event::ChildFailed { name: Some(name), reason, rekey: false, .. } if &*name.0 == "wide" => Some(reason),
        _ => None,
    });
    let text = reason.unwrap().to_string();
    assert!(text.contains("SINGLE_PAIR_REQUIRED") && text.contains("split_selectors = true"), "{text}");
    assert!(matches!(reason, Some(DownReason::Refused { notify: NotifyType::SINGLE_PAIR_REQUIRED, .. })));
    let mut scene = asking_for_wide();
    scene.answer(&child_answer(spi(0x4001), 1, &wide().local[..1], &wide().remote));
    assert_eq!(narrowed(scene.events.iter()).len(), 1);
}

/// Two children of one pair each, as `split_selectors` makes them of one with two local subnets.
fn split(name: &str, node: sim::NodeId, start: StartPolicy) -> Vec<ChildConfig> {
    let part = |number: u8| {
        let config = child_config(&format!("{name}-{number}x1"), node, number - 1, start);
        let (local, remote) = if node == A { (net(1, number - 1), net(2, 0)) } else { (net(2, 0), net(1, number - 1)) };
        ChildConfig { local: vec![local], remote: vec![remote], ..config }
    };
    vec![part(1), part(2)]
}

#[test]
fn split_children_have_one_pair_each_whether_the_peer_splits_or_not() {
    for peer_splits in [true, false] {
        let mut pair = Setup::default()
            .at(A, |peer| peer.children = split("net", A, StartPolicy::OnLoad))
            .at(B, |peer| {
                if peer_splits {
                    peer.children = split("net", B, StartPolicy::Passive);
                } else {
                    peer.children[0].remote = vec![net(1, 0), net(1, 1)];
                }
            })
            .connected();
        for round in 0..3 {
            for node in [A, B] {
                let sa = pair.sa(node);
                let pairs: Vec<(usize, usize)> =
                    sa.children().map(|child| (child.local.len(), child.remote.len())).collect();
                assert_eq!(pairs, [(1, 1), (1, 1)], "splits: {peer_splits}, round {round}\n{}", pair.dump());
            }
            assert_eq!(narrowed(pair.end(A).said()), []);
            pair.rekey_child(if round == 0 { A } else { B });
            pair.settle();
        }
    }
}
