//! Coming up: what two ends that fit each other reach, and what they say when they do not fit.

use crate::support::*;
use crypto::{RealProvider, SeededRng, SimProvider};
use ike::Endpoint;
use ike::config::{EndpointConfig, Path, Retry, StartPolicy};
use ike::event::{DownReason, Event, IgnoredReason, Output, Role};
use ike::id::Id;
use ike::proposal::IkeProposal;
use ike::wire::{ExchangeType, NotifyType};
use ipsec::TrafficSelector;
use sim::NodeId;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

fn ike(text: &str) -> Vec<IkeProposal> {
    text.split(',').map(|words| words.parse().expect("a proposal")).collect()
}

/// Why an end's attempts failed, in order.
fn failures(pair: &Pair, node: NodeId) -> Vec<DownReason> {
    let reason = |event: &Event| match event {
        Event::ConnectFailed { reason, .. } | Event::Rejected { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    pair.end(node).said().filter_map(reason).collect()
}

#[test]
fn two_ends_connect_in_two_exchanges_with_simulated_and_with_real_key_exchanges() {
    for real in [false, true] {
        let mut setup = Setup::default();
        if real {
            setup.provider = Arc::new(RealProvider);
        }
        let mut pair = setup.build();
        pair.start();
        pair.run(seconds(2));
        assert_eq!(pair.end(A).said().count(), 3, "{}", pair.dump());
        pair.settle_and_converge();
        assert_eq!(pair.end(A).totals.messages, 2, "{}", pair.dump());
        assert_eq!(pair.end(B).totals.messages, 2, "{}", pair.dump());
        assert_eq!(pair.sa(A).remote_id(), Some(&Id::Fqdn("b.example".to_owned())));
        assert_eq!((pair.sa(A).role(), pair.sa(B).role()), (Role::Initiator, Role::Responder));
    }
}

#[test]
fn different_keys_are_called_by_their_name_at_the_responder_and_tried_again_later() {
    let mut pair = Setup::default().at(B, |peer| peer.psk = b"another key".to_vec().into()).build();
    pair.start();
    pair.run(minutes(10));
    let id = Id::Fqdn("a.example".to_owned());
    assert_eq!(failures(&pair, B)[0], DownReason::PskMismatch { id });
    let refused = matches!(
        failures(&pair, A)[0],
        DownReason::Refused { notify: NotifyType::AUTHENTICATION_FAILED, exchange: "IKE_AUTH", .. }
    );
    assert!(refused, "{}", pair.dump());
    let tries = failures(&pair, A).len();
    assert!((8..=20).contains(&tries), "{tries} tries in ten minutes");
    assert!(pair.end(A).plane.children.is_empty() && pair.end(B).plane.children.is_empty());
    pair.setup = pair.setup.clone().at(B, |peer| peer.psk = puppet::PSK.to_vec().into());
    pair.configure(B);
    pair.run(minutes(3));
    pair.settle_and_converge();
}

#[test]
fn an_unexpected_identity_of_the_initiator_is_named_with_the_expected_one() {
    let mut pair = Setup::default().at(B, |peer| peer.remote_id = Some(Id::Fqdn("c.example".to_owned()))).build();
    pair.start();
    pair.run(seconds(1));
    let (expected, received) = ("c.example".to_owned(), Id::Fqdn("a.example".to_owned()));
    assert_eq!(failures(&pair, B), [DownReason::IdentityMismatch { expected, received }]);
    assert_eq!(failures(&pair, A).len(), 1);
}

#[test]
fn a_responder_asked_for_by_another_name_says_which_and_which_it_has() {
    let mut pair = Setup::default().at(A, |peer| peer.remote_id = Some(Id::Fqdn("c.example".to_owned()))).build();
    pair.start();
    pair.run(seconds(1));
    let [reason] = &failures(&pair, B)[..] else { unreachable!("{}", pair.dump()) };
    let text = reason.to_string();
    assert!(text.contains("c.example") && text.contains("b.example"), "{text}");
}

#[test]
fn an_unexpected_identity_of_the_responder_is_refused_and_the_responder_is_told() {
    // The initiator does not say whom it wants, and checks afterwards: only a puppet can disagree so late.
    let mut pair = Setup::default()
        .at(A, |peer| peer.remote_id = Some(Id::Fqdn("b.example".to_owned())))
        .at(B, |peer| peer.local_id = Id::Fqdn("B.EXAMPLE".to_owned()))
        .build();
    pair.start();
    pair.run(seconds(1));
    let same = Id::Fqdn("b.example".to_owned()).same_as(&Id::Fqdn("B.EXAMPLE".to_owned()));
    assert_eq!(pair.end(A).totals.ups > 0, same, "{}", pair.dump());
}

#[test]
fn without_a_proposal_in_common_both_ends_say_what_differs() {
    let mut pair = Setup::default()
        .at(A, |peer| peer.proposals = ike("aes128-sha256-modp2048"))
        .at(B, |peer| peer.proposals = ike("aes256-sha256-modp2048"))
        .build();
    pair.start();
    pair.run(seconds(5));
    let reasons = failures(&pair, B);
    let DownReason::NoProposalChosen(diff) = &reasons[0] else { unreachable!("{reasons:?}") };
    let text = diff.to_string();
    assert!(text.contains("aes128") && text.contains("aes256"), "{text}");
    let reasons = failures(&pair, A);
    let DownReason::Refused { notify: NotifyType::NO_PROPOSAL_CHOSEN, offered: Some(offered), .. } = &reasons[0] else {
        unreachable!("{reasons:?}")
    };
    assert!(offered.contains("aes128-sha256-modp2048"), "{offered}");
}

#[test]
fn a_cookie_is_demanded_under_load_and_returned() {
    let mut setup = Setup::default();
    setup.endpoints[1].half_open_before_cookie = 0;
    let mut pair = setup.build();
    pair.start();
    pair.run(seconds(1));
    assert_eq!(pair.end(A).totals.messages, 3, "{}", pair.dump());
    assert!(pair.end(B).has_said(|event| *event == Event::CookiesDemanded(true)));
    pair.settle_and_converge();
}

#[test]
fn another_group_than_the_offered_key_share_is_asked_for_and_used() {
    let mut pair = Setup::default()
        .at(A, |peer| peer.proposals = ike("aes256gcm16-prfsha256-modp2048-x25519"))
        .at(B, |peer| peer.proposals = ike("aes256gcm16-prfsha256-x25519"))
        .build();
    pair.start();
    pair.run(seconds(1));
    assert_eq!(pair.end(A).totals.messages, 3, "{}", pair.dump());
    pair.settle_and_converge();
    assert_eq!(pair.sa(A).suite().unwrap().group, crypto::Group::Curve25519);
}

#[test]
fn a_cookie_then_another_group_is_answered_with_both() {
    let mut setup = Setup::default()
        .at(A, |peer| peer.proposals = ike("aes256gcm16-prfsha256-modp2048-x25519"))
        .at(B, |peer| peer.proposals = ike("aes256gcm16-prfsha256-x25519"));
    setup.endpoints[1].half_open_before_cookie = 0;
    let mut pair = setup.build();
    pair.start();
    pair.run(seconds(1));
    assert_eq!(pair.end(A).totals.messages, 4, "{}", pair.dump());
    pair.settle_and_converge();
}

#[test]
fn another_group_then_a_cookie_is_answered_with_both() {
    let mut setup = Setup::default()
        .at(A, |peer| peer.proposals = ike("aes256gcm16-prfsha256-modp2048-x25519"))
        .at(B, |peer| peer.proposals = ike("aes256gcm16-prfsha256-x25519"));
    setup.endpoints[1].half_open_before_cookie = 1;
    let mut pair = setup.build();
    let rule = pair.hold(B, ExchangeType::IkeSaInit, true);
    pair.start();
    pair.run(Duration::from_millis(100));
    // While INVALID_KE_PAYLOAD is on its way somebody else opens half an SA.
    let mut stranger = puppet::Puppet::new(9);
    let hello = stranger.init(&stranger.init_payloads());
    let path = stranger.path;
    pair.command(B, |endpoint, now| endpoint.handle_datagram(path, &hello, now));
    assert_eq!(pair.end(B).endpoint.half_open(), 1);
    pair.release(rule);
    pair.run(seconds(1));
    assert_eq!(pair.end(A).totals.messages, 4, "{}", pair.dump());
    assert_eq!(pair.end(A).totals.ups, 1);
    pair.settle_and_converge();
}

#[test]
fn an_initiator_that_is_sent_round_in_circles_gives_up_after_a_few_rounds() {
    let peers = vec![site_a()];
    let now = epoch();
    let mut endpoint =
        Endpoint::new(EndpointConfig::default(), Arc::new(SimProvider), Box::new(SeededRng::new(1)), now);
    endpoint.apply(peers, now);
    let mut sent = 0;
    for round in 0..50_u8 {
        let messages = puppet::reaction(&mut endpoint).messages;
        let Some(message) = messages.first() else { break };
        sent += messages.len();
        let mut header = ike::wire::Header::parse(message).unwrap();
        header.flags = ike::wire::Flags { response: true, ..Default::default() };
        let cookie = ike::wire::Notify::with_data(NotifyType::COOKIE, vec![round; 8]);
        let answer = ike::wire::plain_message(header, &[ike::wire::Payload::Notify(cookie)]);
        let path = Path { local: SocketAddr::new(address(A), 500), remote: SocketAddr::new(address(B), 500) };
        endpoint.handle_datagram(path, &answer, now);
    }
    assert_eq!(sent, 6);
}

#[test]
fn an_error_in_the_clear_is_a_hint_and_a_later_good_answer_wins() {
    let mut pair = Setup::default().build();
    let rule = pair.hold(B, ExchangeType::IkeSaInit, true);
    pair.start();
    pair.run(Duration::from_millis(100));
    // Somebody forges a refusal before the real answer arrives.
    let spi = pair.end(A).endpoint.sas().next().unwrap().local_spi();
    let mut forger = puppet::Puppet::new(1);
    forger.initiator_spi = spi;
    forger.original_initiator = false;
    let header = forger.header(ExchangeType::IkeSaInit, 0, true);
    let notify = ike::wire::Notify::new(NotifyType::NO_PROPOSAL_CHOSEN);
    let forged = ike::wire::plain_message(header, &[ike::wire::Payload::Notify(notify)]);
    let path = Path { local: SocketAddr::new(address(A), 500), remote: SocketAddr::new(address(B), 500) };
    pair.command(A, |endpoint, now| endpoint.handle_datagram(path, &forged, now));
    pair.release(rule);
    pair.run(seconds(1));
    assert!(failures(&pair, A).is_empty(), "{}", pair.dump());
    pair.settle_and_converge();
}

#[test]
fn a_peer_that_never_answers_is_asked_for_ever_with_growing_pauses() {
    let mut pair = Setup::default().build();
    pair.configure(A);
    pair.lab.network.isolate(SocketAddr::new(address(B), 500));
    pair.run(minutes(24 * 60));
    let starts: Vec<_> = pair
        .end(A)
        .events
        .iter()
        .filter(|(_, event)| matches!(event, Event::Connecting { .. }))
        .map(|(at, _)| *at)
        .collect();
    assert!(starts.len() > 600, "{}", starts.len());
    let gaps: Vec<Duration> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps[0] < seconds(63) && *gaps.last().unwrap() >= minutes(2), "{:?} … {:?}", gaps[0], gaps.last());
    assert!(gaps.iter().all(|gap| *gap <= seconds(60 + 75 + 1)), "never more than the cap with its jitter");
    assert!(matches!(failures(&pair, A)[0], DownReason::NoAnswer { exchange: "IKE_SA_INIT", .. }));
    pair.lab.network.heal_all();
    pair.configure(B);
    pair.run(minutes(4));
    pair.settle_and_converge();
}

#[test]
fn a_limited_number_of_tries_is_kept_and_an_operator_or_a_packet_starts_anew() {
    for start in [StartPolicy::OnLoad, StartPolicy::OnDemand] {
        let mut pair = Setup::default()
            .at(A, |peer| {
                peer.retry = Retry { tries: Some(3), ..Retry::default() };
                peer.children[0].start = start;
            })
            .build();
        pair.configure(A);
        let peer = pair.peer_of(A);
        if start == StartPolicy::OnDemand {
            pair.command(A, |endpoint, now| endpoint.trigger(&peer, &child(), now));
        }
        pair.run(minutes(60));
        assert_eq!(failures(&pair, A).len(), 3, "{}", pair.dump());
        assert!(pair.end(A).endpoint.is_disabled(&peer));
        pair.configure(B);
        match start {
            StartPolicy::OnDemand => pair.command(A, |endpoint, now| endpoint.trigger(&peer, &child(), now)),
            _ => assert_eq!(pair.command(A, |endpoint, now| endpoint.up(&peer, None, now)), Ok(())),
        }
        pair.run(minutes(2));
        pair.settle_and_converge();
    }
}

#[test]
fn after_the_last_try_the_peer_may_still_come_up_by_itself() {
    let mut pair = Setup::default().both(|peer| peer.retry.tries = Some(1)).build();
    pair.configure(A);
    pair.run(minutes(5));
    assert_eq!(failures(&pair, A).len(), 1);
    pair.setup = pair.setup.clone().at(B, |peer| peer.children[0].start = StartPolicy::OnLoad);
    pair.configure(B);
    pair.run(seconds(5));
    pair.settle_and_converge();
}

#[test]
fn both_ends_starting_at_the_same_moment_leaves_one_sa() {
    for seed in 0..300 {
        let mut setup = Setup::seeded(seed).both(|peer| {
            peer.children[0].start = StartPolicy::OnLoad;
            peer.initial_contact = seed % 2 == 0;
        });
        setup.link.delay_max = Duration::from_millis(10 + seed % 60);
        let mut pair = setup.build();
        pair.start();
        pair.settle_and_converge();
    }
    for seed in 0..300 {
        let mut setup = Setup::seeded(seed).both(|peer| peer.children[0].start = StartPolicy::OnLoad);
        setup.link = sim::Link::HOSTILE;
        let mut pair = setup.build();
        pair.disturbed = true;
        pair.start();
        pair.run(minutes(2));
        pair.lab.network.set_link(sim::Link::PERFECT);
        pair.settle_and_converge();
    }
}

#[test]
fn a_peer_that_lost_its_memory_replaces_its_old_sa_at_once() {
    let mut pair = Setup::default().connected();
    pair.restart(A);
    pair.run(seconds(2));
    let superseded = |event: &Event| matches!(event, Event::IkeSaDown { reason: DownReason::Superseded, .. });
    assert!(pair.end(B).has_said(superseded), "{}", pair.dump());
    assert_eq!(pair.end(B).plane.children.len(), 1);
    pair.settle_and_converge();
}

#[test]
fn a_child_on_demand_waits_for_a_packet_and_a_passive_one_for_the_peer() {
    for start in [StartPolicy::OnDemand, StartPolicy::Passive] {
        let mut pair = Setup::default().at(A, |peer| peer.children[0].start = start).build();
        pair.start();
        pair.run(minutes(10));
        assert_eq!(pair.end(A).totals.messages, 0);
        let peer = pair.peer_of(A);
        if start == StartPolicy::OnDemand {
            pair.command(A, |endpoint, now| endpoint.trigger(&peer, &child(), now));
        } else {
            let peer = pair.peer_of(B);
            assert_eq!(pair.command(B, |endpoint, now| endpoint.up(&peer, None, now)), Ok(()));
        }
        pair.run(seconds(2));
        pair.settle_and_converge();
    }
}

#[test]
fn several_children_come_up_one_after_the_other() {
    let mut setup = Setup::default();
    for (node, peers) in [A, B].into_iter().zip(&mut setup.peers) {
        let start = peers[0].children[0].start;
        peers[0].children = (0..12).map(|net| child_config(&format!("net{net}"), node, net, start)).collect();
    }
    let mut pair = setup.build();
    pair.start();
    pair.run(seconds(2));
    pair.settle_and_converge();
}

#[test]
fn an_ike_sa_without_a_first_child_is_made_where_both_want_it() {
    let mut pair = Setup::default().at(A, |peer| peer.childless = true).build();
    pair.start();
    pair.run(seconds(1));
    assert_eq!(pair.end(A).totals.messages, 3, "IKE_SA_INIT, IKE_AUTH, CREATE_CHILD_SA\n{}", pair.dump());
    let group = pair.sa(A).children().next().unwrap().choice.group;
    assert!(group.is_some(), "the child has a key exchange of its own");
    pair.settle_and_converge();
}

#[test]
fn wider_selectors_are_narrowed_to_what_both_accept() {
    let any = TrafficSelector::from_prefix([0, 0, 0, 0].into(), 0);
    for wide in [A, B] {
        let mut pair = Setup::default()
            .at(wide, |peer| (peer.children[0].local, peer.children[0].remote) = (vec![any.clone()], vec![any.clone()]))
            .connected();
        pair.assert_converged();
        let narrow = child_config("net", A, 0, StartPolicy::Passive);
        let sa = pair.sa(A);
        let child = sa.children().next().unwrap();
        assert_eq!((&child.local, &child.remote), (&narrow.local, &narrow.remote));
        pair.rekey_child(A);
        pair.settle_and_converge();
    }
}

#[test]
fn selectors_without_overlap_fail_the_child_and_keep_the_ike_sa() {
    let elsewhere = vec![TrafficSelector::from_prefix([172, 16, 0, 0].into(), 16)];
    let mut pair = Setup::default().at(B, |peer| peer.children[0].local = elsewhere.clone()).build();
    pair.start();
    pair.run(minutes(2));
    assert!(pair.sa(A).is_established() && pair.sa(B).is_established(), "{}", pair.dump());
    let named = |event: &Event| {
        matches!(event, Event::ChildFailed { reason: DownReason::TrafficSelectors { ours, theirs }, .. }
            if ours.contains("172.16.0.0/16") && theirs.contains("10.2.0.0/24"))
    };
    assert!(pair.end(B).has_said(named), "{}", pair.dump());
    let refused = |event: &Event| {
        matches!(
            event,
            Event::ChildFailed { reason: DownReason::Refused { notify: NotifyType::TS_UNACCEPTABLE, .. }, .. }
        )
    };
    assert!(pair.end(A).has_said(refused));
    let asked = pair.end(A).said().filter(|event| refused(event)).count();
    assert!((5..=20).contains(&asked), "asked {asked} times in two minutes");
    pair.setup = Setup::default();
    pair.configure(B);
    pair.run(minutes(1));
    pair.settle_and_converge();
}

#[test]
fn an_address_nobody_is_configured_for_is_refused_and_leaves_no_state() {
    let mut pair = Setup::default().at(B, |peer| peer.remote_addresses = vec![[198, 51, 100, 1].into()]).build();
    pair.start();
    pair.run(seconds(10));
    assert!(pair.end(B).ignored(IgnoredReason::NoPeer) > 0);
    assert_eq!((pair.end(B).endpoint.half_open(), pair.end(B).endpoint.spis_in_use()), (0, (0, 0)));
}

#[test]
fn half_open_sas_are_bounded_and_expire() {
    let config = EndpointConfig { half_open_before_cookie: 1000, half_open_limit: 10, ..EndpointConfig::default() };
    let now = epoch();
    let mut endpoint = Endpoint::new(config, Arc::new(SimProvider), Box::new(SeededRng::new(1)), now);
    endpoint.apply(vec![site_b()], now);
    for seed in 0..100 {
        let mut puppet = puppet::Puppet::new(seed);
        let hello = puppet.init(&puppet.init_payloads());
        puppet.send(&mut endpoint, &hello, now);
    }
    assert_eq!(endpoint.half_open(), 10);
    let mut later = now;
    while let Some(at) = endpoint.poll_timeout() {
        later = later.max(at);
        endpoint.handle_timeout(later);
        while let Some(output) = endpoint.poll_output() {
            assert!(!matches!(output, Output::Transmit(_)), "nothing is sent to whom never answered");
        }
    }
    assert_eq!((endpoint.half_open(), endpoint.spis_in_use()), (0, (0, 0)));
    assert!(later - now <= minutes(3));
}

#[test]
fn a_failed_authentication_leaves_nothing_behind_after_its_grace() {
    let mut pair = Setup::default()
        .at(B, |peer| peer.psk = b"another key".to_vec().into())
        .at(A, |peer| peer.retry.tries = Some(1))
        .build();
    pair.start();
    pair.run(minutes(5));
    assert_eq!(pair.end(A).endpoint.spis_in_use(), (0, 0));
    assert_eq!(pair.end(B).endpoint.spis_in_use(), (0, 0));
    assert_eq!(pair.end(B).endpoint.half_open(), 0);
}

#[test]
fn an_initial_contact_that_crosses_our_own_negotiation_does_not_end_it() {
    for seed in 0..20 {
        let mut pair = Setup::seeded(seed).both(|peer| peer.children[0].start = StartPolicy::OnLoad).build();
        // B's IKE_AUTH, which says that B has no other SA, was sent before B answered A's, and arrives after.
        let rule = pair.hold_all(B, ExchangeType::IkeAuth, false);
        pair.start();
        pair.run(Duration::from_millis(500));
        assert_eq!(pair.end(A).totals.ups, 1, "{}", pair.dump());
        pair.release(rule);
        pair.run(seconds(5));
        assert_eq!(pair.end(A).plane.current().len(), 1, "seed {seed}\n{}", pair.dump());
        pair.settle_and_converge();
    }
}

#[test]
fn the_next_address_of_a_peer_is_tried_when_one_does_not_answer() {
    let nobody = [192, 0, 2, 99].into();
    let mut pair = Setup::default().at(A, |peer| peer.remote_addresses.insert(0, nobody)).build();
    pair.start();
    pair.run(minutes(3));
    pair.settle_and_converge();
    assert_eq!(failures(&pair, A).len(), 1, "{}", pair.dump());
}

#[test]
fn a_child_that_is_there_is_not_made_again() {
    let mut pair = Setup::default().connected();
    let (messages, children) = ([A, B].map(|node| pair.end(node).totals.messages), pair.end(A).plane.current());
    for node in [A, B] {
        let peer = pair.peer_of(node);
        assert_eq!(pair.command(node, |endpoint, now| endpoint.up(&peer, Some(&child()), now)), Ok(()));
    }
    pair.run(minutes(10));
    assert_eq!([A, B].map(|node| pair.end(node).totals.messages), messages, "{}", pair.dump());
    assert_eq!(pair.end(A).plane.current(), children);
}

#[test]
fn a_new_child_takes_the_group_that_the_peer_asks_for() {
    for node in [A, B] {
        let mut setup = Setup::default();
        for (end, peers) in [A, B].into_iter().zip(&mut setup.peers) {
            let mut other = child_config("other", end, 9, StartPolicy::OnDemand);
            let esp = if end == node { "aes256gcm16-x25519-modp2048" } else { "aes256gcm16-modp2048" };
            other.proposals = vec![esp.parse().expect("a proposal")];
            peers[0].children.push(other);
        }
        let mut pair = setup.connected();
        let (peer, exchanges) = (pair.peer_of(node), pair.end(node).totals.exchanges);
        assert_eq!(pair.command(node, |endpoint, now| endpoint.up(&peer, Some(&"other".into()), now)), Ok(()));
        pair.settle_and_converge();
        assert_eq!(pair.end(node).totals.exchanges - exchanges, 2, "{}", pair.dump());
        let group = pair.sa(node).children().find(|child| child.name == "other".into()).unwrap().choice.group;
        assert_eq!(group, Some(crypto::Group::Modp2048));
    }
}
