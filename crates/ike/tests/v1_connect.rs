//! IKEv1 between two ends of ours: how a tunnel comes up, and what is said when it does not.

#![allow(clippy::unwrap_used)] // in the helpers too: what they unwrap is what the test is about

use crate::support;
use crate::support::soak::PRIVATE;
use crate::support::v1::{connected, drop, setup};
use crate::support::*;
use ike::config::{EncapsulationPolicy, PeerConfig, Version, Versions};
use ike::event::{DownReason, Event};
use ike::id::Id;
use ike::proposal::{EspProposal, IkeProposal};
use ike::v1::wire::ExchangeType;
use ipsec::Encapsulation;
use sim::{Nat, NodeId};

/// Why end `node` is not up, as it was said last.
fn reason(pair: &Pair, node: NodeId) -> DownReason {
    let reasons = pair.end(node).said().filter_map(|event| match event {
        Event::ConnectFailed { reason, .. } | Event::Rejected { reason, .. } | Event::ChildFailed { reason, .. } => {
            Some(reason.clone())
        }
        _ => None,
    });
    reasons.last().unwrap_or_else(|| unreachable!("nothing was said\n{}", pair.dump()))
}

fn started(setup: Setup) -> Pair {
    let mut pair = setup.build();
    pair.start();
    pair.run(seconds(8));
    pair
}

#[test]
fn main_mode_and_quick_mode_make_a_tunnel() {
    let pair = connected(1);
    let sa = pair.sa(A);
    assert_eq!((sa.version(), sa.suite().unwrap().to_string().as_str()), (Version::V1, "aes128-sha1-modp1024"));
    let child = sa.children().next().unwrap();
    assert_eq!(child.choice.to_string(), "aes128-sha1-modp1024");
    assert!(pair.end(B).has_said(|event| matches!(event, Event::ChildSaUp { .. })));
}

#[test]
fn every_suite_works_with_and_without_perfect_forward_secrecy() {
    for (ike, esp) in [
        ("aes256-sha256-modp2048", "aes256-sha256-modp2048"),
        ("aes192-sha384-ecp384", "aes256gcm16"),
        ("aes256-sha512-ecp256", "aes128gcm16-ecp256"),
        ("aes128-sha1-modp1536", "aes128-sha1"),
    ] {
        let pair = started(setup(2).both(|peer| {
            peer.proposals = IkeProposal::parse_list(ike).unwrap();
            peer.children[0].proposals = EspProposal::parse_list(esp, false).unwrap();
        }));
        assert_eq!(pair.sa(B).suite().unwrap().to_string(), ike);
        assert_eq!(pair.sa(B).children().next().unwrap().choice.to_string(), esp);
    }
}

#[test]
fn a_group_that_the_responder_does_not_have_gives_way_to_the_next_one_or_to_none() {
    let offers = "aes128-sha1-modp2048-modp1024,aes128-sha1";
    for (accepts, chosen) in [("aes128-sha1-modp1024", "aes128-sha1-modp1024"), ("aes128-sha1", "aes128-sha1")] {
        let pair = started(
            setup(3)
                .at(A, |peer| peer.children[0].proposals = EspProposal::parse_list(offers, false).unwrap())
                .at(B, |peer| peer.children[0].proposals = EspProposal::parse_list(accepts, false).unwrap()),
        );
        assert_eq!(pair.sa(A).children().next().unwrap().choice.to_string(), chosen, "{}", pair.dump());
    }
}

#[test]
fn aggressive_mode_works_where_both_want_it_and_warns() {
    let pair = started(setup(4).both(|peer| peer.aggressive = true));
    assert!(pair.sa(A).is_established() && pair.sa(B).is_established());
    for node in [A, B] {
        assert!(pair.end(node).has_said(|event| matches!(event, Event::AggressiveMode { .. })));
    }
    assert_eq!(pair.sa(A).children().count(), 1);
}

#[test]
fn aggressive_mode_that_is_off_is_not_answered_and_named() {
    let pair = started(setup(5).at(A, |peer| peer.aggressive = true));
    let expected = DownReason::ModeMismatch { ours: "main mode", theirs: "aggressive mode" };
    assert_eq!(reason(&pair, B), expected);
    assert_eq!(pair.end(B).totals.messages, 0, "not one octet of an answer");
}

#[test]
fn lost_messages_of_aggressive_mode_are_repeated() {
    for lost in 1..=2 {
        for from in [A, B] {
            let mut pair = setup(6).both(|peer| peer.aggressive = true).build();
            drop(&mut pair, from, ExchangeType::Aggressive, lost);
            pair.start();
            pair.run(seconds(20));
            assert_eq!(pair.sa(B).children().count(), 1, "{lost} of {from:?}\n{}", pair.dump());
        }
    }
}

#[test]
fn a_wrong_key_is_called_by_its_name_at_both_ends() {
    let pair = started(setup(7).at(B, |peer| peer.psk = b"another key".to_vec().into()));
    let DownReason::Undecryptable { message, key, .. } = reason(&pair, B) else {
        unreachable!("{}", pair.dump());
    };
    assert_eq!((message, key.as_str()), ("message 5 of main mode", "a.example"));
    let DownReason::Undecryptable { message, key, .. } = reason(&pair, A) else {
        unreachable!("{}", pair.dump());
    };
    assert_eq!((message, key.as_str()), ("the answer to message 5 of main mode", "b.example"));
    let text = reason(&pair, B).to_string();
    assert!(text.contains("message 5 of main mode") && text.contains("pre-shared key"), "{text}");
}

/// Libreswan neither answers nor complains of what it cannot read.
#[test]
fn a_silent_peer_with_another_key_is_told_from_one_that_cannot_be_reached() {
    let mut pair = setup(8).at(A, |peer| peer.psk = b"another key".to_vec().into()).build();
    drop(&mut pair, B, ExchangeType::Informational, 1000);
    pair.start();
    pair.run(minutes(2));
    let reason = reason(&pair, A);
    assert_eq!(reason.code(), "no_answer");
    assert!(reason.to_string().contains("message 5 of main mode"), "{reason}");
    assert!(reason.to_string().contains("pre-shared keys may differ"), "{reason}");
}

/// It could not install what it had asked for, or our answer does not reach it.
#[test]
fn a_peer_that_never_takes_up_our_answer_to_its_quick_mode_is_named() {
    let mut pair = setup(8).build();
    drop(&mut pair, B, ExchangeType::QuickMode, 1000);
    pair.start();
    pair.run(minutes(2));
    let reason = reason(&pair, B);
    assert_eq!(reason.code(), "no_answer");
    assert!(reason.to_string().contains("message 2 of quick mode"), "{reason}");
}

#[test]
fn a_wrong_key_in_aggressive_mode_is_seen_by_the_initiator() {
    let pair =
        started(setup(8).both(|peer| peer.aggressive = true).at(B, |peer| peer.psk = b"another key".to_vec().into()));
    assert_eq!(reason(&pair, A), DownReason::PskMismatch { id: Id::Fqdn("b.example".to_owned()) });
    assert!(!pair.end(B).has_said(|event| matches!(event, Event::IkeSaUp { .. })));
}

#[test]
fn identities_that_nobody_expects_are_refused_with_both_values() {
    let pair = started(setup(9).at(A, |peer| peer.local_id = Id::Fqdn("stranger.example".to_owned())));
    let DownReason::IdentityMismatch { expected, received } = reason(&pair, B) else {
        unreachable!("{}", pair.dump());
    };
    assert_eq!((expected.as_str(), received.to_string().as_str()), ("a.example", "stranger.example"));
    let at_initiator = reason(&pair, A).to_string();
    assert!(
        at_initiator.contains("INVALID-ID-INFORMATION") && at_initiator.contains("stranger.example"),
        "{at_initiator}"
    );

    let pair = started(setup(10).at(B, |peer| peer.local_id = Id::Fqdn("stranger.example".to_owned())));
    let reason = reason(&pair, A).to_string();
    assert!(reason.contains("stranger.example") && reason.contains("b.example"), "{reason}");
    assert!(!pair.end(A).has_said(|event| matches!(event, Event::IkeSaUp { .. })));
}

#[test]
fn suites_with_nothing_in_common_are_shown_side_by_side() {
    let pair =
        started(setup(11).at(B, |peer| peer.proposals = IkeProposal::parse_list("aes256-sha256-modp2048").unwrap()));
    let text = reason(&pair, B).to_string();
    assert!(text.contains("peer offers aes128-sha1-modp1024; we accept aes256-sha256-modp2048"), "{text}");
    assert!(reason(&pair, A).to_string().contains("NO-PROPOSAL-CHOSEN"));

    let esp =
        |peer: &mut PeerConfig| peer.children[0].proposals = EspProposal::parse_list("aes256-sha1", false).unwrap();
    let pair = started(setup(12).at(B, esp));
    let text = reason(&pair, B).to_string();
    assert!(text.contains("peer offers aes128-sha1-modp1024; we accept aes256-sha1"), "{text}");
    assert!(text.contains("differs in encryption, DH group"), "{text}");
    let text = reason(&pair, A).to_string();
    assert!(text.contains("NO-PROPOSAL-CHOSEN") && text.contains("we offered aes128-sha1-modp1024"), "{text}");
}

#[test]
fn networks_that_do_not_meet_are_shown_side_by_side() {
    let pair = started(
        setup(13)
            .at(B, |peer| peer.children = vec![child_config("net", B, 7, peer.children[0].start)])
            .both(support::v1::legacy),
    );
    let text = reason(&pair, B).to_string();
    assert!(text.contains("10.2.0.0/24 to 10.1.0.0/24") && text.contains("10.2.7.0/24 to 10.1.7.0/24"), "{text}");
}

#[test]
fn the_shorter_lifetime_counts_and_is_said() {
    let pair = started(
        setup(14)
            .at(A, |peer| peer.lifetime.time = Some(minutes(480)))
            .at(B, |peer| peer.lifetime.time = Some(minutes(60))),
    );
    let said = |event: &Event| matches!(event, Event::LifetimeDiffers { ours: Some(ours), theirs, .. } if *ours == minutes(60) && *theirs == minutes(480));
    assert!(pair.end(B).has_said(said));
    let rekey = pair.sa(B).rekey_at().unwrap() - pair.now();
    assert!(rekey < minutes(60), "{rekey:?}");
}

#[test]
fn a_child_lifetime_that_the_responder_shortens_is_told_to_the_initiator() {
    let pair = started(
        setup(15)
            .at(A, |peer| peer.children[0].lifetime = ike::config::Lifetime::of(minutes(60)))
            .at(B, |peer| peer.children[0].lifetime = ike::config::Lifetime::of(minutes(15))),
    );
    for node in [A, B] {
        let expires = pair.sa(node).children().next().unwrap().expires_at.unwrap() - pair.now();
        assert!(expires <= minutes(15), "{expires:?} at {node:?}");
    }
}

#[test]
fn versions_that_do_not_meet_are_named_at_both_ends() {
    let pair = started(setup(16).at(B, |peer| peer.versions = Versions::V2));
    assert_eq!(reason(&pair, B), DownReason::VersionMismatch { ours: Versions::V2, theirs: Version::V1 });
    assert_eq!(reason(&pair, A), DownReason::VersionMismatch { ours: Versions::V1, theirs: Version::V2 });

    let pair = started(setup(17).at(A, |peer| peer.versions = Versions::V2));
    assert_eq!(reason(&pair, B), DownReason::VersionMismatch { ours: Versions::V1, theirs: Version::V2 });
    assert!(reason(&pair, A).to_string().contains("NO_PROPOSAL_CHOSEN"));
}

#[test]
fn an_initiator_of_both_versions_falls_back_and_says_so_and_a_responder_answers_what_comes() {
    let pair = started(setup(18).at(A, |peer| peer.versions = Versions::Both));
    assert!(pair.end(A).has_said(|event| matches!(event, Event::FellBack { from: Version::V2, to: Version::V1, .. })));
    assert_eq!(pair.sa(A).version(), Version::V1);
    for version in [Versions::V1, Versions::V2] {
        let pair =
            started(setup(19).at(A, |peer| peer.versions = version).at(B, |peer| peer.versions = Versions::Both));
        assert!(version.allow(pair.sa(B).version()), "{}", pair.dump());
        assert!(!pair.end(A).has_said(|event| matches!(event, Event::FellBack { .. })));
    }
}

#[test]
fn a_version_that_worked_is_begun_with_after_the_peer_was_gone() {
    let mut pair = started(
        setup(20)
            .both(|peer| {
                peer.dpd.interval = Some(seconds(5));
                peer.dpd.timeout = seconds(10);
            })
            .at(A, |peer| peer.versions = Versions::Both),
    );
    let fell_back = |pair: &Pair| pair.end(A).said().filter(|event| matches!(event, Event::FellBack { .. })).count();
    assert_eq!(fell_back(&pair), 1);
    pair.restart(B);
    pair.run(minutes(2));
    assert_eq!(pair.sa(A).version(), Version::V1);
    assert_eq!(fell_back(&pair), 1, "{}", pair.dump());
}

#[test]
fn the_key_is_found_among_those_of_all_connections_that_fit_the_address() {
    let roadwarrior = |name: &str, psk: &[u8]| {
        let mut peer = site_b();
        support::v1::legacy(&mut peer);
        peer.name = name.into();
        peer.remote_addresses = Vec::new();
        peer.remote_id = Some(Id::Fqdn(format!("{name}.example")));
        peer.psk = psk.to_vec().into();
        peer
    };
    let mut setup = setup(21);
    setup.peers[1] = vec![
        roadwarrior("c", b"key of c"),
        roadwarrior("a", b"a key that both sites know"),
        roadwarrior("d", b"key of d"),
    ];
    let pair = started(setup);
    assert_eq!(pair.sa(B).peer().name, "a".into());
}

#[test]
fn behind_a_nat_everything_moves_to_port_4500_and_quick_mode_asks_for_udp() {
    let setup = Setup { addresses: [PRIVATE, address(B)], ..setup(22) };
    let mut pair =
        setup.at(A, |peer| peer.local_address = Some(PRIVATE)).at(B, |peer| peer.remote_addresses = Vec::new()).build();
    pair.lab.network.add_nat(Nat::new(address(A)).covering(PRIVATE));
    pair.start();
    pair.run(seconds(5));
    let (a, b) = (pair.sa(A).nat(), pair.sa(B).nat());
    assert!(a.local && !a.remote && b.remote && !b.local, "{}", pair.dump());
    for node in [A, B] {
        let path = pair.sa(node).path();
        assert_eq!(path.local.port(), 4500);
        let child = pair.end(node).plane.children.values().next().unwrap();
        assert_eq!(child.encapsulation, Encapsulation::Udp { local: path.local, remote: path.remote });
    }
    pair.run(minutes(10));
    assert!(pair.end(A).totals.keepalives >= 28, "{}", pair.end(A).totals.keepalives);
    assert_eq!(pair.end(B).totals.keepalives, 0);
    // A new mapping is followed when an authentic packet comes from it.
    pair.lab.network.nat_mut(0).unwrap().rebind();
    let now = pair.now();
    pair.lab.node_mut(A).send_packets(now);
    pair.run(seconds(1));
    assert!(pair.end(B).has_said(|event| matches!(event, Event::PeerMoved { .. })));
    let remote = pair.sa(B).path().remote;
    for child in pair.end(B).plane.children.values() {
        assert!(matches!(child.encapsulation, Encapsulation::Udp { remote: to, .. } if to == remote));
    }
}

#[test]
fn encapsulation_can_be_forced_by_either_end() {
    for node in [A, B] {
        let pair = started(setup(23).at(node, |peer| peer.encapsulation = EncapsulationPolicy::Force));
        for node in [A, B] {
            let child = pair.end(node).plane.children.values().next().unwrap();
            assert!(matches!(child.encapsulation, Encapsulation::Udp { .. }), "{}", pair.dump());
        }
    }
}

#[test]
fn a_peer_may_begin_on_port_4500() {
    let pair = started(setup(24).at(A, |peer| peer.remote_port = 4500));
    assert_eq!(pair.sa(B).path().local.port(), 4500);
    assert_eq!(pair.sa(B).children().count(), 1);
}

#[test]
fn long_messages_go_in_fragments_that_both_can_put_together() {
    // 576 octets of packet leave no room for message 3 of a large group.
    let pair = started(setup(25).both(|peer| {
        peer.fragment_size = Some(576);
        peer.proposals = IkeProposal::parse_list("aes256-sha256-modp4096").unwrap();
    }));
    assert!(pair.sa(A).is_established(), "{}", pair.dump());
    let fragments = pair.end(A).totals.messages;
    assert!(fragments >= 6, "{fragments} datagrams");
    let pair = started(setup(26).at(A, |peer| peer.fragment_size = Some(576)).at(B, |peer| peer.fragment_size = None));
    assert!(pair.sa(A).is_established(), "an end that has none is sent none");
}
