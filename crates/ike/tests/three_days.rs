//! 72 hours with the same lifetimes at both ends and no randomness in them: every rekey collides. At no instant is there
//! a direction without an SA pair that both ends hold.

use crate::support::*;
use ike::config::Lifetime;
use ike::event::Event;
use sim::{Link, Stop};
use std::time::Duration;

fn lifetime(time: Duration, margin: Duration) -> Lifetime {
    Lifetime { time: Some(time), margin, fuzz_percent: 0, bytes: None, packets: None }
}

/// Each end sends on an SA that the other one can open, whatever exchange is under way.
fn both_directions_are_open(ends: &[End], now: std::time::Instant, children: usize) -> Result<(), String> {
    let [a, b] = ends else { return Err("not two ends".to_owned()) };
    for (from, to) in [(a, b), (b, a)] {
        let current = from.plane.current();
        if current.len() != children {
            return Err(format!("{} of {children} children can send", current.len()));
        }
        for id in current.values() {
            let child = &from.plane.children[id];
            if to.plane.inbound(child.spis.outbound.get(), now) != Some(child.outbound_key) {
                return Err(format!("{} is sent on {} and nobody hears it", child.name, child.spis.outbound));
            }
        }
    }
    Ok(())
}

/// Two ends whose children and IKE SA live as long as this, connected.
fn connected(seed: u64, link: Link, children: u8, child: Lifetime, ike: Lifetime) -> Pair {
    let mut setup = Setup { link, ..Setup::seeded(seed) };
    for (node, peers) in [A, B].into_iter().zip(&mut setup.peers) {
        for peer in peers {
            let start = peer.children[0].start;
            peer.lifetime = ike;
            peer.children = (0..children).map(|net| child_config(&format!("net{net}"), node, net, start)).collect();
            peer.children.iter_mut().for_each(|config| config.lifetime = child);
        }
    }
    let mut pair = setup.build();
    pair.start();
    pair.run(seconds(5));
    pair
}

/// Runs with the checks after every step.
fn run_open(pair: &mut Pair, time: Duration, children: usize) {
    let deadline = pair.now() + time;
    let stop = pair.lab.run_until_with(deadline, |lab, _| {
        agreement(lab.nodes(), lab.now(), false)?;
        both_directions_are_open(lab.nodes(), lab.now(), children)
    });
    assert_eq!(stop, Stop::Deadline, "{}", pair.dump());
}

fn assert_never_down(pair: &Pair) {
    for node in [A, B] {
        let lost = |event: &Event| matches!(event, Event::IkeSaDown { .. } | Event::ChildFailed { .. });
        assert!(!pair.end(node).has_said(lost), "{}", pair.dump());
        assert_eq!((pair.end(node).totals.ups, pair.end(node).totals.downs), (1, 0));
    }
}

/// (child rekeys, IKE rekeys) that each end began.
fn rekeys(pair: &Pair) -> [(u64, u64); 2] {
    [A, B].map(|node| (pair.end(node).totals.child_rekeys, pair.end(node).totals.ike_rekeys))
}

const DAYS: Duration = Duration::from_secs(72 * 3600);
const FOR_EVER: Lifetime = Lifetime { time: None, margin: Duration::ZERO, fuzz_percent: 0, bytes: None, packets: None };

#[test]
fn equal_lifetimes_without_fuzz_leave_no_direction_without_an_sa_for_72_hours() {
    let varying = Link { delay_min: Duration::from_millis(10), delay_max: Duration::from_millis(80), ..Link::PERFECT };
    for (seed, link) in [(1, Link::PERFECT), (2, Link::PERFECT.with_delay(Duration::from_millis(40))), (3, varying)] {
        let child = lifetime(Duration::from_secs(3600), Duration::from_secs(540));
        let ike = lifetime(Duration::from_secs(8 * 3600), Duration::from_secs(540));
        let mut pair = connected(seed, link, 2, child, ike);
        run_open(&mut pair, DAYS, 2);
        assert_never_down(&pair);
        let [a, b] = rekeys(&pair);
        assert!(a.0 + b.0 >= 2 * 84 && a.1 + b.1 >= 9, "{a:?} {b:?}");
    }
}

#[test]
fn equal_lifetimes_of_minutes_leave_no_direction_without_an_sa_for_72_hours() {
    for seed in 0..6 {
        let link = Link { delay_min: Duration::from_millis(5), delay_max: Duration::from_millis(60), ..Link::PERFECT };
        // 120 s and 240 s: every other round the IKE SA and its children are due at the same instant.
        let child = lifetime(Duration::from_secs(180), Duration::from_secs(60));
        let ike = lifetime(Duration::from_secs(300), Duration::from_secs(60));
        let mut pair = connected(seed, link, 2, child, ike);
        run_open(&mut pair, DAYS, 2);
        assert_never_down(&pair);
        let [a, b] = rekeys(&pair);
        assert!(a.0 + b.0 >= 2 * 2000 && a.1 + b.1 >= 1000, "{a:?} {b:?}");
    }
}

#[test]
fn rekeys_that_all_collide_leave_no_direction_without_an_sa_for_72_hours() {
    for (seed, skew) in [(1, 0), (2, 3), (3, 9)] {
        let mut pair = connected(seed, Link::PERFECT, 1, FOR_EVER, FOR_EVER);
        let (mut children, mut ikes) = (0, 0);
        for hour in 1..=72 {
            run_open(&mut pair, Duration::from_secs(3600), 1);
            // The second end begins before the first one's request, 10 ms under way, arrives.
            let (first, second) = if hour % 2 == 0 { (A, B) } else { (B, A) };
            pair.rekey_child(first);
            run_open(&mut pair, Duration::from_millis(skew), 1);
            pair.rekey_child(second);
            children += 1;
            if hour % 8 == 0 {
                run_open(&mut pair, Duration::from_secs(60), 1);
                pair.rekey_ike(second);
                run_open(&mut pair, Duration::from_millis(skew), 1);
                pair.rekey_ike(first);
                ikes += 1;
            }
        }
        run_open(&mut pair, Duration::from_secs(3600), 1);
        assert_never_down(&pair);
        pair.assert_converged();
        for (child_rekeys, ike_rekeys) in rekeys(&pair) {
            assert_eq!(child_rekeys, children, "each end's own rekey was answered: it collided");
            assert!(ike_rekeys <= ikes);
        }
        let [a, b] = rekeys(&pair);
        // An end says which of the two new IKE SAs took over: the initiator of one is the responder of the other.
        assert_eq!(a.1 + b.1, ikes, "{a:?} {b:?}");
    }
}
