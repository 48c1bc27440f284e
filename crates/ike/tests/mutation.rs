//! Every message of every exchange, damaged in every way, given to whoever waits for it in whatever state it is: nothing
//! panics, and what is not authentic changes nothing. Then a peer that holds the keys and sends anything.

#![allow(clippy::unwrap_used)] // in the helpers too: what they unwrap is what the test is about

use crate::support::forge::{damaged, drive};
use crate::support::*;
use crypto::{Rng, SeededRng};
use ike::wire::{ExchangeType, Header};
use sim::{Node, NodeId};
use std::net::SocketAddr;

/// Octets that an answer to an unauthenticated first message may be longer than it: the responder's nonce is 32 octets,
/// the request's may be 16, and it says what it supports.
const AMPLIFICATION: usize = 64;

/// What a run of all exchanges does, one command after the other.
type Command = fn(&mut Pair);
const SCRIPT: [(&str, Command); 7] = [
    ("connect", |pair| pair.start()),
    ("child rekey by the initiator", |pair| pair.rekey_child(A)),
    ("child rekey by the responder", |pair| pair.rekey_child(B)),
    ("IKE rekey by the responder", |pair| pair.rekey_ike(B)),
    ("crossing IKE rekeys", |pair| pair.both(|pair, node| pair.rekey_ike(node))),
    ("crossing child rekeys", |pair| pair.both(|pair, node| pair.rekey_child(node))),
    ("delete", |pair| {
        let peer = pair.peer_of(B);
        assert_eq!(pair.command(B, |endpoint, now| endpoint.down(&peer, None, now)), Ok(()));
    }),
];

fn setup(fragments: bool) -> Setup {
    Setup::default().both(|peer| peer.fragment_size = fragments.then_some(288))
}

fn fingerprint(end: &End) -> String {
    format!("{:?} {:?}", end.endpoint, end.plane)
}

struct Sums {
    messages: usize,
    mutants: usize,
}

/// Gives every damaged form of one message to its receiver, and the whole message to its own sender.
fn attack(pair: &mut Pair, from: SocketAddr, to: SocketAddr, message: &[u8], sums: &mut Sums) {
    let receiver = if to.ip() == address(A) { A } else { B };
    let (now, before) = (pair.now(), fingerprint(pair.end(receiver)));
    let marker = message.len() - message.strip_prefix(&[0; 4]).unwrap_or(message).len();
    sums.messages += 1;
    let attempt = |pair: &mut Pair, node: NodeId, mutant: &[u8], bytes: &str| {
        let before = fingerprint(pair.end(node));
        let sent = pair.end(node).totals.octets;
        pair.lab.node_mut(node).handle_datagram(from, to, mutant, now);
        let after = fingerprint(pair.end(node));
        assert!(before == after, "{bytes}: a message that is not authentic changed something\n{before}\n{after}");
        let answered = (pair.end(node).totals.octets - sent) as usize;
        assert!(answered <= mutant.len(), "{bytes}: {answered} octets in answer to {}", mutant.len());
        while pair.lab.node_mut(node).poll_transmit().is_some() {}
    };
    for (number, mutant) in damaged(&message[marker..]).enumerate() {
        let mutant = [&message[..marker], &mutant].concat();
        attempt(pair, receiver, &mutant, &format!("mutant {number} of {} octets", message.len()));
        sums.mutants += 1;
    }
    // Its own sender, as if reflected.
    let sender = NodeId(1 - receiver.0);
    let before_sender = fingerprint(pair.end(sender));
    pair.lab.node_mut(sender).handle_datagram(to, from, message, now);
    assert_eq!(before_sender, fingerprint(pair.end(sender)), "reflected");
    while pair.lab.node_mut(sender).poll_transmit().is_some() {}
    assert_eq!(before, fingerprint(pair.end(receiver)));
}

#[test]
fn no_damaged_protected_message_changes_anything_in_any_state() {
    for fragments in [false, true] {
        let mut pair = setup(fragments).build();
        let mut sums = Sums { messages: 0, mutants: 0 };
        for (name, command) in SCRIPT {
            // Every message waits here until it has been attacked, then goes on alone.
            let mut rule =
                pair.lab.network.hold(|datagram| header_of(datagram.from.port(), &datagram.payload).is_some());
            command(&mut pair);
            for _ in 0..40 {
                pair.run(std::time::Duration::from_millis(5));
                let held: Vec<_> = pair.lab.network.held(rule).cloned().collect();
                for datagram in &held {
                    let header = header_of(datagram.from.port(), &datagram.payload);
                    if header.is_some_and(|header| header.exchange != ExchangeType::IkeSaInit) {
                        attack(&mut pair, datagram.from, datagram.to, &datagram.payload, &mut sums);
                    }
                }
                // What the released ones cause is held again.
                let next =
                    pair.lab.network.hold(|datagram| header_of(datagram.from.port(), &datagram.payload).is_some());
                let now = pair.now();
                pair.lab.network.release(now, rule);
                rule = next;
                pair.run(std::time::Duration::from_millis(11));
            }
            let now = pair.now();
            pair.lab.network.release(now, rule);
            pair.run(seconds(10));
            if name != "delete" {
                assert_eq!(pair.end(A).plane.current().len(), 1, "{name}\n{}", pair.dump());
            }
        }
        assert!(sums.messages >= 30 && sums.mutants > 60_000, "{} {}", sums.messages, sums.mutants);
        println!("fragments {fragments}: {} messages, {} mutants", sums.messages, sums.mutants);
    }
}

/// The messages of IKE_SA_INIT of a run.
fn first_messages() -> (Vec<u8>, Vec<u8>) {
    let mut pair = setup(false).build();
    let request = pair.hold(A, ExchangeType::IkeSaInit, false);
    pair.start();
    let first = pair.lab.network.held(request).next().unwrap().payload.clone();
    pair.release(request);
    let answer = pair.hold(B, ExchangeType::IkeSaInit, true);
    pair.run(std::time::Duration::from_millis(15));
    let second = pair.lab.network.held(answer).next().unwrap().payload.clone();
    (first, second)
}

#[test]
fn no_damaged_first_message_panics_or_is_answered_with_more_than_it_is_worth() {
    let (request, _) = first_messages();
    let (from, to) = (SocketAddr::new(address(A), IKE_PORT), SocketAddr::new(address(B), IKE_PORT));
    let (mut answered, mut worst) = (0, 0);
    for mutant in damaged(&request) {
        let mut pair = setup(false).build();
        pair.configure(B);
        let now = pair.now();
        pair.lab.node_mut(B).handle_datagram(from, to, &mutant, now);
        let octets = pair.end(B).totals.octets as usize;
        assert!(pair.end(B).totals.messages <= 1);
        assert!(octets <= mutant.len() + AMPLIFICATION, "{octets} octets in answer to {}", mutant.len());
        answered += usize::from(octets > 0);
        worst = worst.max(octets * 100 / mutant.len().max(1));
        assert!(pair.end(B).endpoint.half_open() <= 1);
        // Whatever it left behind goes away by itself.
        pair.run(minutes(3));
        assert_eq!(pair.end(B).endpoint.spis_in_use(), (0, 0));
    }
    println!("{answered} answered, at most {worst} % of the request");
    assert!(answered > 100 && worst <= 100, "{answered} {worst}");
}

#[test]
fn no_damaged_answer_to_the_first_message_panics_and_a_good_negotiation_follows() {
    let (_, answer) = first_messages();
    let (from, to) = (SocketAddr::new(address(B), IKE_PORT), SocketAddr::new(address(A), IKE_PORT));
    for (number, mutant) in damaged(&answer).enumerate() {
        let mut pair = setup(false).build();
        pair.start();
        let now = pair.now();
        pair.lab.node_mut(A).handle_datagram(from, to, &mutant, now);
        // Some look good until IKE_AUTH fails, some are refused; the next attempt succeeds.
        pair.lab.run_for(if number % 16 == 0 { minutes(4) } else { seconds(1) });
        let connected = pair.end(A).plane.current().len() == 1;
        assert!(connected || number % 16 != 0, "mutant {number}\n{}", pair.dump());
    }
}

#[test]
fn a_peer_that_holds_the_keys_can_send_anything_in_any_order() {
    let mut rng = SeededRng::new(42);
    let (mut inputs, mut answers, mut most_sas, mut most_children) = (0, 0, 0, 0);
    for _ in 0..3000 {
        let mut octets = vec![0; 200 + rng.below(1200) as usize];
        rng.fill(&mut octets);
        let driven = drive(&octets);
        inputs += driven.inputs;
        answers += driven.answers;
        most_sas = most_sas.max(driven.most_sas);
        most_children = most_children.max(driven.most_children);
    }
    println!("{inputs} inputs, {answers} messages out, at most {most_sas} IKE SAs and {most_children} children");
    assert!(inputs > 40_000 && answers > 20_000, "{inputs} {answers}");
    assert!(most_children > 1 && most_sas > 2);
}

#[test]
fn noise_is_dropped() {
    let mut rng = SeededRng::new(1);
    let mut pair = Setup::default().connected();
    let before = fingerprint(pair.end(B));
    let (from, to) = (SocketAddr::new(address(A), IKE_PORT), SocketAddr::new(address(B), IKE_PORT));
    for _ in 0..20_000 {
        let mut noise = vec![0; rng.below(300) as usize];
        rng.fill(&mut noise);
        if let Some(length) = noise.get_mut(24..28) {
            let len = 0;
            length.copy_from_slice(&u32::to_be_bytes(len));
        }
        let length = (noise.len() as u32).to_be_bytes();
        if let Some(field) = noise.get_mut(24..28) {
            field.copy_from_slice(&length);
        }
        if rng.below(2) == 0 && noise.len() > Header::LEN {
            noise[17] = 0x20;
            noise[18] = 34 + rng.below(4) as u8;
        }
        let now = pair.now();
        pair.lab.node_mut(B).handle_datagram(from, to, &noise, now);
    }
    assert_eq!(before, fingerprint(pair.end(B)));
    while pair.lab.node_mut(B).poll_transmit().is_some() {}
}
