//! Rekeys without a collision: no packet is lost, one SA of each kind is left.

use crate::support::*;

fn under_traffic() -> Pair {
    let mut pair = Setup::default().connected();
    for node in [A, B] {
        let now = pair.now();
        let end = pair.lab.node_mut(node);
        end.send_every(Some(std::time::Duration::from_millis(7)), now);
    }
    pair.strict = true;
    pair.run(seconds(1));
    pair
}

fn assert_no_loss(pair: &mut Pair) {
    for node in [A, B] {
        pair.lab.node_mut(node).traffic = None;
    }
    pair.settle_and_converge();
    let sent = pair.end(A).totals.packets + pair.end(B).totals.packets;
    let heard = pair.end(A).totals.heard + pair.end(B).totals.heard;
    assert_eq!(sent, heard, "{}", pair.dump());
}

#[test]
fn a_child_rekey_from_either_end_loses_no_packet() {
    for node in [A, B] {
        let mut pair = under_traffic();
        let before = pair.sa(A).children().next().unwrap().spis;
        pair.rekey_child(node);
        pair.run(seconds(30));
        assert_ne!(pair.sa(A).children().next().unwrap().spis, before);
        assert_eq!(pair.end(node).totals.child_rekeys, 1);
        assert_eq!(pair.end(A).totals.rekeys_seen, 1, "{}", pair.dump());
        assert_eq!(pair.end(B).totals.rekeys_seen, 1);
        assert_no_loss(&mut pair);
    }
}

#[test]
fn an_ike_rekey_from_either_end_keeps_the_child_and_loses_no_packet() {
    for node in [A, B] {
        let mut pair = under_traffic();
        let child = pair.sa(A).children().next().unwrap().spis;
        let before = pair.sa(A).local_spi();
        pair.rekey_ike(node);
        pair.run(seconds(30));
        assert_ne!(pair.sa(A).local_spi(), before);
        assert_eq!(pair.sa(A).children().next().unwrap().spis, child, "{}", pair.dump());
        assert_eq!(pair.end(A).totals.rekeys_seen, 1, "{}", pair.dump());
        assert_eq!(pair.end(B).totals.rekeys_seen, 1);
        assert_no_loss(&mut pair);
    }
}

#[test]
fn both_ends_rekeying_the_child_at_once_leaves_one_and_loses_no_packet() {
    for seed in 0..40 {
        let mut pair = Setup::seeded(seed).connected();
        pair.both(|pair, node| pair.rekey_child(node));
        pair.settle_and_converge();
    }
    let mut pair = under_traffic();
    pair.both(|pair, node| pair.rekey_child(node));
    pair.run(seconds(30));
    assert_no_loss(&mut pair);
}

#[test]
fn both_ends_rekeying_the_ike_sa_at_once_leaves_one_and_loses_no_packet() {
    for seed in 0..40 {
        let mut pair = Setup::seeded(seed).connected();
        pair.both(|pair, node| pair.rekey_ike(node));
        pair.settle_and_converge();
    }
    let mut pair = under_traffic();
    pair.both(|pair, node| pair.rekey_ike(node));
    pair.run(seconds(30));
    assert_no_loss(&mut pair);
}
