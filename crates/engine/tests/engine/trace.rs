//! The ring of the last messages: a negotiation as it went, with what differs, bounded, and without secrets.

use crate::support::*;
use engine::trace::TraceEntry;
use ike::config::Versions;
use sim::{Link, NodeId};

/// A line of a diagram in few words.
fn lines(pair: &Pair, node: NodeId) -> Vec<String> {
    let entries = pair.gateway(node).engine.trace(&other(node), &|_| "T".to_owned());
    let line = |entry: TraceEntry| match entry {
        TraceEntry::Message { sent, exchange, role, message_id, payloads, count, .. } => {
            let names: Vec<String> = payloads
                .iter()
                .map(|payload| match payload.name.as_str() {
                    "N" => format!("N({})", payload.text),
                    name => name.to_owned(),
                })
                .collect();
            let times = if count > 1 { format!(" x{count}") } else { String::new() };
            format!("{} {exchange} {role} {message_id}: {}{times}", if sent { ">" } else { "<" }, names.join(" "))
        }
        TraceEntry::Event { record, .. } => format!("* {}", record.event),
    };
    entries.into_iter().map(line).collect()
}

#[test]
fn a_negotiation_of_ikev2_is_there_from_both_ends_with_every_payload() {
    let pair = Pair::connected(|_, _| {});
    let nat = "N(NAT_DETECTION_SOURCE_IP) N(NAT_DETECTION_DESTINATION_IP) N(FRAGMENTATION_SUPPORTED)";
    let (a, b) = (lines(&pair, A), lines(&pair, B));
    assert_eq!(a[0], "* connecting");
    assert!(a[1].starts_with(&format!("> IKE_SA_INIT request 0: SA KE Nonce {nat}")), "{a:#?}");
    assert!(a[2].starts_with(&format!("< IKE_SA_INIT response 0: SA KE Nonce {nat}")), "{a:#?}");
    assert!(
        a[3].starts_with("> IKE_AUTH request 1: IDi") && a[3].contains("AUTH") && a[3].contains("TSi TSr"),
        "{a:#?}"
    );
    assert!(a[4].starts_with("< IKE_AUTH response 1: IDr AUTH SA TSi TSr"), "{a:#?}");
    assert_eq!(a[5..], ["* ike_sa_up", "* child_sa_up"]);
    let mirrored: Vec<String> =
        b.iter().map(|line| line.replace('<', "}").replace('>', "<").replace('}', ">")).collect();
    let messages: Vec<&String> = mirrored.iter().filter(|line| !line.starts_with('*')).collect();
    assert_eq!(messages, a[1..5].iter().collect::<Vec<_>>());
}

#[test]
fn a_negotiation_of_ikev1_is_there_with_its_three_exchanges() {
    let pair = Pair::connected(|_, desired| connection(desired).peer.versions = Versions::V1);
    let a = lines(&pair, A);
    let exchanges: Vec<String> =
        a.iter().filter(|line| !line.starts_with('*')).map(|line| line[..16].to_owned()).collect();
    assert_eq!(exchanges[..6], ["> main mode mess", "< main mode mess"].repeat(3), "{a:#?}");
    let quick = a.iter().filter(|line| line.contains("quick mode")).count();
    assert_eq!(quick, 3, "{a:#?}");
    assert!(
        a.iter().any(|line| line.contains("quick mode") && line.contains("HASH SA Nonce") && line.contains("ID ID")),
        "{a:#?}"
    );
}

#[test]
fn where_proposals_differ_the_ring_has_both_lists_and_the_field() {
    let pair = {
        let mut pair = Pair::new(1, Link::PERFECT, false, |node, desired| {
            let group = if node == A { "modp2048" } else { "ecp256" };
            connection(desired).peer.proposals = vec![format!("aes128-sha256-{group}").parse().expect("a proposal")];
        });
        pair.apply(B);
        pair.apply(A);
        pair.run(seconds(1));
        pair
    };
    let entries = pair.gateway(B).engine.trace(&other(B), &|_| String::new());
    let [.., TraceEntry::Event { record, .. }] = entries.as_slice() else { panic!("{entries:?}") };
    let field = |name: &str| record.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
    assert_eq!((record.event, field("differs")), ("rejected", Some("dh_group")));
    let offered = entries.iter().find_map(|entry| match entry {
        TraceEntry::Message { payloads, sent: false, .. } => payloads.iter().find(|payload| payload.name == "SA"),
        _ => None,
    });
    assert_eq!(offered.map(|payload| payload.text.as_str()), Some("aes128-sha256-modp2048"));
    assert!(lines(&pair, A).iter().any(|line| line.contains("N(NO_PROPOSAL_CHOSEN)")), "{:#?}", lines(&pair, A));
}

#[test]
fn liveness_checks_are_one_entry_and_the_ring_is_bounded() {
    for versions in [Versions::V1, Versions::V2] {
        let mut pair = Pair::new(2, Link::PERFECT, false, |_, desired| {
            connection(desired).peer.versions = versions;
            connection(desired).peer.dpd.interval = Some(seconds(5));
        })
        .up();
        let before = lines(&pair, A).len();
        pair.run(seconds(600));
        let after = lines(&pair, A);
        assert!(after.len() <= before + 4, "{versions:?}: {after:#?}");
        assert!(after.iter().any(|line| line.contains(" x1") || line.contains(" x5")), "{versions:?}: {after:#?}");
        for _ in 0..200 {
            pair.rekey_child(A);
            pair.run(seconds(1));
        }
        assert!((100..=128).contains(&lines(&pair, A).len()), "{versions:?}: {}", lines(&pair, A).len());
    }
}

#[test]
fn no_secret_is_in_a_trace() {
    for versions in [Versions::V1, Versions::V2] {
        let pair = Pair::connected(|_, desired| connection(desired).peer.versions = versions);
        let text = format!("{:?}", pair.gateway(A).engine.trace(&other(A), &|_| String::new()));
        assert!(!text.contains("battery staple"), "{text}");
        for name in ["KE", "Nonce", "AUTH", "HASH"] {
            for (_, rest) in text.match_indices(&format!("name: \"{name}\", text: \"")).map(|(at, _)| text.split_at(at))
            {
                let said = rest.split("text: \"").nth(1).and_then(|rest| rest.split('"').next()).expect("a text");
                assert!(said.ends_with("octets"), "{name}: {said}");
            }
        }
    }
}
