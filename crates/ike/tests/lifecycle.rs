//! Staying up, going down and coming back: liveness, operators, new configurations, lifetimes, clocks.

use crate::support::*;
use ike::CommandError;
use ike::config::{ChildName, Dpd, Lifetime, PeerConfig, StartPolicy};
use ike::event::{DownReason, Event};
use ike::id::Id;
use std::net::SocketAddr;
use std::time::Duration;

fn sockets(node: sim::NodeId) -> [SocketAddr; 3] {
    [IKE_PORT, NAT_PORT, ESP_PORT].map(|port| SocketAddr::new(address(node), port))
}

#[test]
fn a_peer_that_vanishes_is_noticed_and_found_again_when_it_returns() {
    let dpd = Dpd { interval: Some(seconds(10)), timeout: seconds(30) };
    let mut pair = Setup::default().at(A, |peer| peer.dpd = dpd).build();
    pair.start();
    pair.run(minutes(1));
    assert!(pair.end(A).totals.messages >= 6, "checked while silent\n{}", pair.dump());
    for socket in sockets(B) {
        pair.lab.network.isolate(socket);
    }
    pair.run(seconds(42));
    let dead = |event: &Event| {
        matches!(event, Event::IkeSaDown { reason: DownReason::NoAnswer { exchange: "liveness check", after }, .. }
            if *after == seconds(30))
    };
    assert!(pair.end(A).has_said(dead), "{}", pair.dump());
    assert!(pair.end(A).plane.children.is_empty());
    pair.run(minutes(10));
    pair.lab.network.heal_all();
    pair.run(minutes(3));
    pair.setup = pair.setup.clone().at(A, |peer| peer.dpd.interval = None);
    pair.configure(A);
    pair.settle_and_converge();
}

#[test]
fn packets_from_the_peer_are_proof_enough_of_its_life() {
    let dpd = Dpd { interval: Some(seconds(10)), timeout: seconds(30) };
    let mut pair = Setup::default().both(|peer| peer.dpd = dpd).build();
    pair.start();
    pair.run(seconds(1));
    let now = pair.now();
    for node in [A, B] {
        pair.lab.node_mut(node).send_every(Some(seconds(3)), now);
    }
    pair.run(minutes(10));
    assert_eq!(pair.end(A).totals.messages, 2, "{}", pair.dump());
}

#[test]
fn either_end_can_take_the_connection_down_and_up_again() {
    for node in [A, B] {
        let mut pair = Setup::default().connected();
        let peer = pair.peer_of(node);
        assert_eq!(pair.command(node, |endpoint, now| endpoint.down(&peer, None, now)), Ok(()));
        assert!(pair.end(node).plane.children.is_empty(), "traffic stops at once");
        pair.run(minutes(10));
        for end in [A, B] {
            assert!(pair.end(end).plane.children.is_empty(), "{}", pair.dump());
            assert_eq!(pair.end(end).endpoint.sas().filter(|sa| sa.is_established()).count(), 0);
        }
        assert!(pair.end(node).endpoint.is_disabled(&peer));
        assert_eq!(pair.end(node).endpoint.peer_reason(&peer).unwrap().0, DownReason::Administrative);
        let up = pair.command(node, |endpoint, now| endpoint.up(&peer, None, now));
        assert_eq!(up, Ok(()), "end {}", node.0);
        pair.run(minutes(3));
        pair.settle_and_converge();
    }
}

#[test]
fn one_child_goes_down_alone_stays_down_and_comes_up_when_asked_for() {
    let mut setup = Setup::default();
    for (node, peers) in [A, B].into_iter().zip(&mut setup.peers) {
        let start = peers[0].children[0].start;
        peers[0].children.push(child_config("other", node, 1, start));
    }
    let mut pair = setup.connected();
    let (peer, other) = (pair.peer_of(A), ChildName::from("other"));
    assert_eq!(pair.command(A, |endpoint, now| endpoint.down(&peer, Some(&other), now)), Ok(()));
    pair.run(minutes(30));
    let names: Vec<_> = pair.sa(A).children().map(|child| child.name.clone()).collect();
    assert_eq!(names, [child()], "{}", pair.dump());
    assert_eq!(pair.command(A, |endpoint, now| endpoint.up(&peer, Some(&other), now)), Ok(()));
    pair.run(seconds(5));
    pair.settle_and_converge();
}

#[test]
fn a_child_that_the_peer_deleted_is_asked_for_again_after_a_pause() {
    let mut pair = Setup::default().connected();
    let peer = pair.peer_of(B);
    assert_eq!(pair.command(B, |endpoint, now| endpoint.down(&peer, Some(&child()), now)), Ok(()));
    pair.run(Duration::from_millis(500));
    assert!(pair.end(A).plane.children.is_empty(), "{}", pair.dump());
    let gone = |event: &Event| matches!(event, Event::ChildSaDown { reason: DownReason::PeerDeleted, .. });
    assert!(pair.end(A).has_said(gone));
    pair.run(seconds(10));
    pair.settle_and_converge();
    assert_eq!(pair.end(A).totals.ups, 1, "the IKE SA stayed");
}

#[test]
fn commands_for_what_does_not_exist_say_so() {
    let mut pair = Setup::default().build();
    pair.start();
    let (peer, nobody, nothing) = (pair.peer_of(A), "nobody".into(), ChildName::from("nothing"));
    pair.command(A, |endpoint, now| {
        assert!(matches!(endpoint.up(&nobody, None, now), Err(CommandError::UnknownPeer(_))));
        assert!(matches!(endpoint.down(&peer, Some(&nothing), now), Err(CommandError::UnknownChild(..))));
        assert!(matches!(endpoint.rekey_child(&peer, None, now), Err(CommandError::NotUp(_))));
        assert!(matches!(endpoint.rekey_ike(&peer, now), Err(CommandError::NotUp(_))));
    });
    let mut passive = Setup::default().at(B, |peer| peer.remote_addresses = Vec::new()).build();
    passive.configure(B);
    let peer = passive.peer_of(B);
    let up = passive.command(B, |endpoint, now| endpoint.up(&peer, None, now));
    assert!(matches!(up, Err(CommandError::NoAddress(_))));
}

/// Two connections between the same two gateways, told apart by identity.
fn two_connections() -> Setup {
    let renamed = |peer: &PeerConfig, node: sim::NodeId, number: u8| {
        let id = |site: &str| Id::Fqdn(format!("{site}{number}.example"));
        let (own, other) = if node == A { ("a", "b") } else { ("b", "a") };
        let mut peer = peer.clone();
        peer.name = format!("{other}{number}").as_str().into();
        (peer.local_id, peer.remote_id) = (id(own), Some(id(other)));
        peer.psk = format!("key {number}").into_bytes().into();
        let start = peer.children[0].start;
        peer.children = vec![child_config("net", node, number, start)];
        peer
    };
    let mut setup = Setup::default();
    for (node, peers) in [A, B].into_iter().zip(&mut setup.peers) {
        *peers = [1, 2].map(|number| renamed(&peers[0], node, number)).to_vec();
    }
    setup
}

#[test]
fn a_reload_that_changes_one_connection_touches_no_other() {
    let mut pair = two_connections().build();
    pair.start();
    pair.run(minutes(1));
    assert_eq!(pair.end(A).plane.current().len(), 2, "{}", pair.dump());
    let spis = |pair: &Pair, name: &str| {
        let name = name.into();
        let sas = pair.end(A).endpoint.sas_of(&name);
        sas.map(|sa| (sa.local_spi(), sa.children().map(|child| child.spis).collect::<Vec<_>>())).collect::<Vec<_>>()
    };
    let (first, second) = (spis(&pair, "b1"), spis(&pair, "b2"));
    for node in [A, B] {
        pair.setup.peers[node.0][1].psk = b"a new key".to_vec().into();
        pair.configure(node);
    }
    pair.run(minutes(3));
    assert_eq!(spis(&pair, "b1"), first, "untouched");
    assert_ne!(spis(&pair, "b2"), second, "negotiated anew");
    assert_eq!(pair.end(A).plane.current().len(), 2, "{}", pair.dump());
    let reconfigured = |event: &Event| matches!(event, Event::IkeSaDown { reason: DownReason::Reconfigured, .. });
    assert_eq!(pair.end(A).said().filter(|event| reconfigured(event)).count(), 1);
    pair.setup.peers[0].remove(1);
    pair.configure(A);
    pair.run(minutes(3));
    assert_eq!(spis(&pair, "b1"), first, "still untouched");
    assert!(spis(&pair, "b2").is_empty());
    assert_eq!(pair.end(A).endpoint.spis_in_use(), (1, 1));
}

#[test]
fn the_same_configuration_again_changes_nothing_and_a_new_lifetime_interrupts_nothing() {
    let mut pair = Setup::default().connected();
    let (messages, children) = (pair.end(A).totals.messages, pair.end(A).plane.current());
    pair.start();
    pair.setup = pair.setup.clone().both(|peer| peer.children[0].lifetime = Lifetime::of(minutes(60)));
    pair.start();
    pair.run(minutes(30));
    assert_eq!((pair.end(A).totals.messages, pair.end(A).plane.current()), (messages, children));
}

#[test]
fn a_child_whose_selectors_changed_is_made_anew_over_the_same_ike_sa() {
    let mut pair = Setup::default().connected();
    let ike = pair.sa(A).local_spi();
    for (node, peers) in [A, B].into_iter().zip(&mut pair.setup.peers) {
        let start = peers[0].children[0].start;
        peers[0].children = vec![child_config("net", node, 7, start)];
    }
    pair.start();
    pair.run(seconds(30));
    pair.settle_and_converge();
    assert_eq!(pair.sa(A).local_spi(), ike);
    assert_eq!(pair.sa(A).children().next().unwrap().local, child_config("net", A, 7, StartPolicy::OnLoad).local);
}

#[test]
fn a_soft_limit_rekeys_the_child_and_a_hard_one_ends_it() {
    for (hard, node) in [(false, A), (false, B), (true, A), (true, B)] {
        let mut pair = Setup::default().connected();
        let (peer, old) = (pair.peer_of(node), pair.sa(node).children().next().unwrap().id);
        pair.command(node, |endpoint, now| endpoint.child_limit(&peer, old, hard, now));
        pair.run(seconds(20));
        assert_eq!(pair.end(node).totals.child_rekeys, u64::from(!hard), "{}", pair.dump());
        let down = |event: &Event| matches!(event, Event::ChildSaDown { .. });
        assert_eq!(pair.end(node).has_said(down), hard);
        pair.settle_and_converge();
    }
}

#[test]
fn lifetimes_rekey_in_time_and_nothing_expires() {
    let lifetime = |time| Lifetime { margin: time / 6, ..Lifetime::of(time) };
    let mut pair = Setup::default()
        .both(|peer| {
            peer.lifetime = lifetime(minutes(30));
            peer.children[0].lifetime = lifetime(minutes(10));
        })
        .build();
    pair.start();
    pair.run(minutes(24 * 60));
    let totals = [A, B].map(|node| pair.end(node).totals);
    assert!(totals[0].rekeys_seen >= 24 * 8 && totals[0].downs + totals[1].downs == 0, "{totals:?}");
    let failed = |event: &Event| matches!(event, Event::ChildSaDown { .. } | Event::ChildFailed { .. });
    assert!(!pair.end(A).has_said(failed) && !pair.end(B).has_said(failed), "{}", pair.dump());
}

#[test]
fn an_sa_whose_peer_refuses_every_rekey_ends_with_its_lifetime_and_comes_back() {
    // The peer allows another group for rekeys than was used before: every rekey fails, as after a one-sided change.
    let pfs = |text: &str| vec![text.parse().unwrap()];
    let mut pair = Setup::default()
        .at(A, |peer| {
            peer.children[0].proposals = pfs("aes256gcm16-modp2048");
            peer.children[0].lifetime = Lifetime { fuzz_percent: 0, ..Lifetime::of(minutes(10)) };
        })
        .at(B, |peer| peer.children[0].proposals = pfs("aes256gcm16-x25519"))
        .build();
    pair.start();
    pair.run(minutes(9) + seconds(30));
    let refused = |event: &Event| matches!(event, Event::ChildFailed { rekey: true, .. });
    assert!(pair.end(A).has_said(refused), "{}", pair.dump());
    assert_eq!(pair.end(A).plane.children.len(), 1, "the old one still works");
    pair.run(seconds(60));
    let expired = |event: &Event| matches!(event, Event::ChildSaDown { reason: DownReason::Expired, .. });
    assert!(pair.end(A).has_said(expired), "{}", pair.dump());
}

#[test]
fn a_clock_that_jumps_a_day_only_makes_everything_due_at_once() {
    let mut pair = Setup::default()
        .both(|peer| {
            peer.lifetime = Lifetime::of(minutes(480));
            peer.children[0].lifetime = Lifetime::of(minutes(60));
            peer.dpd = Dpd { interval: Some(seconds(10)), timeout: seconds(30) };
        })
        .build();
    pair.start();
    pair.run(minutes(1));
    pair.disturbed = true;
    // Both ends sleep and wake a day later: no timeout is handled in between.
    let later = pair.now() + minutes(24 * 60);
    for node in [A, B] {
        pair.lab.node_mut(node).command(later, |endpoint| endpoint.handle_timeout(later));
    }
    let mut end = pair.now();
    end += minutes(24 * 60);
    while pair.now() < end {
        pair.lab.run_until(end);
    }
    pair.run(minutes(5));
    assert_eq!(pair.end(A).plane.current().len(), 1, "{}", pair.dump());
    assert_eq!(pair.end(B).plane.current().len(), 1, "{}", pair.dump());
}

#[test]
fn an_end_without_an_address_waits_for_one_and_starts_when_it_has_it() {
    let mut pair = Setup::default().at(A, |peer| peer.local_address = None).build();
    pair.start();
    pair.run(minutes(5));
    assert_eq!(pair.end(A).totals.messages, 0);
    let no_route = |event: &Event| matches!(event, Event::ConnectFailed { reason: DownReason::NoRoute, .. });
    assert_eq!(pair.end(A).said().filter(|event| no_route(event)).count(), 1, "said once");
    let peer = pair.peer_of(A);
    pair.command(A, |endpoint, now| endpoint.set_source(&peer, Some(address(A)), now));
    pair.run(seconds(5));
    pair.settle_and_converge();
}

#[test]
fn a_stop_tells_the_peer() {
    let mut pair = Setup::default().at(B, |peer| peer.children[0].start = StartPolicy::Passive).connected();
    pair.command(A, |endpoint, now| endpoint.shutdown(now));
    pair.run(seconds(1));
    let gone = |event: &Event| matches!(event, Event::IkeSaDown { reason: DownReason::PeerDeleted, .. });
    assert!(pair.end(B).has_said(gone), "{}", pair.dump());
    pair.run(minutes(2));
    assert_eq!([A, B].map(|node| pair.end(node).endpoint.spis_in_use()), [(0, 0), (0, 0)]);
}

#[test]
fn taking_a_connection_down_stops_its_traffic_even_while_the_peer_is_silent() {
    for ike in [false, true] {
        let mut pair = Setup::default().connected();
        for socket in sockets(B) {
            pair.lab.network.isolate(socket);
        }
        // A request that will not be answered is in the way of the DELETE.
        if ike {
            pair.rekey_ike(A);
        } else {
            pair.rekey_child(A);
        }
        pair.run(seconds(3));
        let peer = pair.peer_of(A);
        assert_eq!(pair.command(A, |endpoint, now| endpoint.down(&peer, None, now)), Ok(()));
        assert!(pair.end(A).plane.children.is_empty(), "{}", pair.dump());
        pair.disturbed = true;
        pair.lab.network.heal_all();
        pair.run(minutes(5));
        for node in [A, B] {
            assert!(pair.end(node).plane.children.is_empty(), "{}", pair.dump());
            assert_eq!(pair.end(node).endpoint.spis_in_use(), (0, 0), "{}", pair.dump());
        }
    }
}
