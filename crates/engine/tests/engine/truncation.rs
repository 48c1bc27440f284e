//! HMAC-SHA2-256 cut to 96 bits, as before RFC 4868: with it at both ends packets pass, with it at one end none does, and
//! both ends say why.

use crate::status::status;
use crate::support::*;
use engine::path::Feedback;
use engine::record::{Level, Record};
use ike::config::Versions;
use ike::event::Event;
use ipsec::DropReason;
use packet::offload::VnetHeader;
use sim::NodeId;

/// A pair over AES-CBC with SHA2-256, IPv4 inside, truncated at these ends.
fn pair(versions: Versions, truncated: &'static [NodeId]) -> Pair {
    Pair::connected(move |node, desired| {
        let peer = &mut connection(desired).peer;
        peer.versions = versions;
        peer.proposals = vec!["aes256-sha256-modp2048".parse().expect("a proposal")];
        let child = child_of(desired);
        child.proposals = vec!["aes128-sha256".parse().expect("a proposal")];
        child.local.truncate(1);
        child.remote.truncate(1);
        child.sha256_96 = truncated.contains(&node);
    })
}

/// What an end said about truncation.
fn told(pair: &Pair, node: NodeId) -> Vec<Record> {
    let events = pair.gateway(node).events.iter().map(|(_, event)| event);
    events.filter(|event| matches!(event, Event::TruncationDiffers { .. })).map(Record::from).collect()
}

#[test]
fn two_ends_that_truncate_to_96_bits_talk_and_show_that_it_is_weak() {
    for versions in [Versions::V1, Versions::V2] {
        let mut pair = pair(versions, &[A, B]);
        for from in [A, B] {
            let packet = udp(from, false, 100);
            assert_eq!(pair.pass(from, &VnetHeader::NONE, &packet), [packet], "{versions:?}\n{}", pair.dump());
        }
        for node in [A, B] {
            let status = status(&pair, node);
            let child = &status.connections[0].children[0];
            assert_eq!(child.suite.as_deref(), Some("aes128-sha256_96"), "{versions:?}");
            assert_eq!(child.weak, ["sha256_96: 96 of 128 bits of integrity"]);
            assert!(told(&pair, node).is_empty());
        }
        pair.rekey_child(A);
        pair.run(seconds(10));
        let packet = udp(A, false, 100);
        assert_eq!(pair.pass(A, &VnetHeader::NONE, &packet), [packet], "after a rekey, {versions:?}");
    }
}

#[test]
fn an_end_that_truncates_alone_gets_no_packet_through_and_both_say_once_what_to_set() {
    for versions in [Versions::V1, Versions::V2] {
        let mut pair = pair(versions, &[A]);
        for _ in 0..50 {
            for from in [A, B] {
                let packet = udp(from, false, 100);
                assert!(pair.pass(from, &VnetHeader::NONE, &packet).is_empty(), "{versions:?}");
            }
        }
        for (node, ours, remedy) in [(A, "96", "leave sha256_96 out"), (B, "128", "set sha256_96 = true")] {
            let told = told(&pair, node);
            let [record] = told.as_slice() else { panic!("{versions:?}: {told:?}\n{}", pair.dump()) };
            assert_eq!(
                (record.level, record.event, record.child.as_deref()),
                (Level::Warn, "truncation_differs", Some("net"))
            );
            assert!(record.message.contains(remedy), "{record}");
            assert!(record.fields.contains(&("ours", ours.to_owned())), "{record:?}");
            // With a block cipher the length is wrong already.
            assert!(pair.gateway(node).drops.get(DropReason::Malformed) >= 50);
            let reported = |feedback: &&Feedback| matches!(feedback, Feedback::Truncation { .. });
            assert!(pair.gateway(node).feedback.iter().filter(reported).count() <= 1);
        }
    }
}

#[test]
fn noise_on_a_fresh_sa_is_not_taken_for_a_truncation() {
    let mut pair = pair(Versions::V2, &[]);
    let spi = *pair.gateway(B).table.inbound.keys().next().expect("an SA");
    for sequence in 1..200_u32 {
        let mut esp = spi.to_be_bytes().to_vec();
        esp.extend(sequence.to_be_bytes());
        esp.resize(8 + 16 + 64 + 12 + usize::try_from(sequence % 8).unwrap(), 0x5a);
        let table = std::sync::Arc::clone(&pair.gateway(B).table);
        let mut feedback = Vec::new();
        let gateway = pair.gateway(B);
        let mut ingress = engine::path::Ingress { table: &table, drops: &gateway.drops, feedback: &mut feedback };
        assert_eq!(ingress.handle(&mut esp, None, 0), None);
        assert_eq!(feedback, []);
    }
    let packet = udp(A, false, 100);
    assert_eq!(pair.pass(A, &VnetHeader::NONE, &packet), [packet]);
    assert!(told(&pair, B).is_empty());
}
