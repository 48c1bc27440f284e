//! What an operator sees: every configured tunnel, up or not, with its reason; stable keys; no secret anywhere.

use crate::support::*;
use engine::desired::{GroupMode, Tunnel, TunnelGroup};
use engine::record::Record;
use engine::status::{ReasonStatus, Status, StatusContext};
use ike::config::{ChildConfig, Lifetime, Retry, StartPolicy, Version, Versions};
use ike::event::{DownReason, Event};
use ike::id::Id;
use ike::proposal::EspProposal;
use ike::wire::NotifyType;
use serde_json::Value;
use sim::{Link, NodeId};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// The status of a gateway, its times as seconds since the start.
pub fn status(pair: &Pair, node: NodeId) -> Status {
    let start = pair.now() - pair.lab.elapsed();
    let stamp = |at: std::time::Instant| format!("T+{}", at.saturating_duration_since(start).as_secs());
    let gateway = pair.gateway(node);
    let context = StatusContext { stamp: &stamp, version: "1.2.3", pid: 42, drops: &gateway.drops };
    gateway.engine.status(pair.now(), &context)
}

fn json(pair: &Pair, node: NodeId) -> Value {
    serde_json::to_value(status(pair, node)).expect("serializes")
}

/// Every path to a value, arrays as `[]`, the reasons of drops left out.
fn keys(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) if path != "drops" => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                keys(value, &path, found);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            items.iter().for_each(|item| keys(item, &format!("{path}[]"), found));
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

/// Scripts depend on these: adding one is fine, and no other change without another `schema_version`.
const KEYS: &[&str] = &[
    "connections[].baseline",
    "connections[].children[].bytes_in",
    "connections[].children[].bytes_out",
    "connections[].children[].encapsulation",
    "connections[].children[].installed_at",
    "connections[].children[].last_in",
    "connections[].children[].local",
    "connections[].children[].mtu",
    "connections[].children[].name",
    "connections[].children[].packets_in",
    "connections[].children[].packets_out",
    "connections[].children[].reason",
    "connections[].children[].rekey_at",
    "connections[].children[].remote",
    "connections[].children[].sas",
    "connections[].children[].spi_in",
    "connections[].children[].spi_out",
    "connections[].children[].state",
    "connections[].children[].suite",
    "connections[].children[].weak",
    "connections[].dpd_enabled",
    "connections[].ike.established",
    "connections[].ike.rekey_at",
    "connections[].ike.role",
    "connections[].ike.spi_i",
    "connections[].ike.spi_r",
    "connections[].ike.suite",
    "connections[].ike.version",
    "connections[].ike.weak",
    "connections[].ike_versions",
    "connections[].local",
    "connections[].local_id",
    "connections[].name",
    "connections[].nat",
    "connections[].reason",
    "connections[].remote",
    "connections[].remote_id",
    "connections[].rtt_milliseconds",
    "connections[].since",
    "connections[].state",
    "connections[].traffic.bytes_in",
    "connections[].traffic.bytes_out",
    "connections[].traffic.expected_in",
    "connections[].traffic.packets_in",
    "connections[].traffic.packets_out",
    "drops",
    "gateway.half_open",
    "gateway.pid",
    "gateway.started",
    "gateway.version",
    "groups[].mode",
    "groups[].moved",
    "groups[].moves",
    "groups[].name",
    "groups[].state",
    "groups[].tunnels[].connection",
    "groups[].tunnels[].held_until",
    "groups[].tunnels[].inside_local",
    "groups[].tunnels[].inside_remote",
    "groups[].tunnels[].preference",
    "groups[].tunnels[].role",
    "groups[].tunnels[].rtt_milliseconds",
    "schema_version",
    "time",
];

fn with_lifetimes() -> Pair {
    Pair::connected(|_, desired| {
        connection(desired).peer.lifetime = Lifetime::of(seconds(3600));
        child_of(desired).lifetime = Lifetime::of(seconds(1200));
    })
}

#[test]
fn the_keys_of_a_status_are_stable() {
    let pair = Pair::connected(|_, desired| {
        connection(desired).peer.lifetime = Lifetime::of(seconds(3600));
        child_of(desired).lifetime = Lifetime::of(seconds(1200));
        let tunnels = desired.connections.keys().map(|peer| Tunnel { peer: peer.clone(), preference: 1, inside: None });
        let group = TunnelGroup { mode: GroupMode::ActiveStandby, tunnels: tunnels.collect(), keepalive: None };
        desired.groups = [("vpn".into(), group)].into();
    });
    let mut found = BTreeSet::new();
    keys(&json(&pair, A), "", &mut found);
    assert_eq!(found, KEYS.iter().map(|key| (*key).to_owned()).collect());
    let drops = json(&pair, A)["drops"].as_object().expect("an object").len();
    assert_eq!(drops, ipsec::DropReason::COUNT);
}

#[test]
fn a_tunnel_that_is_up_says_everything_about_itself() {
    let mut pair = with_lifetimes();
    pair.assert_works();
    pair.run(seconds(1));
    for node in [A, B] {
        let status = status(&pair, node);
        assert_eq!((status.schema_version, status.gateway.started.as_str()), (1, "T+0"));
        let connection = &status.connections[0];
        assert_eq!((connection.state, connection.reason.is_none()), ("up", true));
        let local = SocketAddr::new(outer(node, false), 500).to_string();
        assert_eq!(connection.local.as_deref(), Some(local.as_str()));
        assert_eq!(connection.nat, Some("none"));
        let ike = connection.ike.as_ref().expect("an IKE SA");
        assert_eq!(ike.role, if node == A { "initiator" } else { "responder" });
        let child = &connection.children[0];
        assert_eq!((child.state, child.sas, child.encapsulation), ("up", 1, Some("esp")));
        // Two packets of 128 and 148 octets each way.
        assert_eq!((child.packets_in, child.packets_out), (2, 2));
        assert_eq!((child.bytes_in, child.bytes_out), (128 + 148, 128 + 148));
        assert!(child.last_in.is_some());
        assert!(child.rekey_at.is_some() && ike.rekey_at.is_some());
    }
    let (a, b) = (status(&pair, A), status(&pair, B));
    let (a, b) = (&a.connections[0], &b.connections[0]);
    assert_eq!(a.ike.as_ref().map(|ike| &ike.spi_i), b.ike.as_ref().map(|ike| &ike.spi_i));
    assert_eq!((&a.children[0].spi_in, &a.children[0].spi_out), (&b.children[0].spi_out, &b.children[0].spi_in));
    assert_eq!((&a.children[0].local, &a.children[0].remote), (&b.children[0].remote, &b.children[0].local));
}

#[test]
fn the_version_and_what_is_weak_in_what_was_agreed_are_said_of_both_sas() {
    let reduced = |esp: &'static str| {
        Pair::connected(move |_, desired| {
            connection(desired).peer.proposals = vec!["aes128-sha1-modp1024".parse().expect("a proposal")];
            child_of(desired).proposals = vec![EspProposal::parse(esp, true).expect("a proposal")];
        })
    };
    for (esp, weak) in [("aes128-sha1", "sha1: "), ("null-sha256", "null: ")] {
        let pair = reduced(esp);
        for node in [A, B] {
            let status = status(&pair, node);
            let connection = &status.connections[0];
            assert_eq!(connection.ike_versions, "ikev2");
            let ike = connection.ike.as_ref().expect("an IKE SA");
            assert_eq!(ike.version, "ikev2");
            assert!(ike.weak.len() == 2 && ike.weak[0].starts_with("sha1: ") && ike.weak[1].starts_with("modp1024: "));
            let child = &connection.children[0];
            assert!(child.weak.len() == 1 && child.weak[0].starts_with(weak), "{:?}", child.weak);
        }
    }
    let strong = with_lifetimes();
    let status = status(&strong, A);
    assert!(status.connections[0].ike.as_ref().is_some_and(|ike| ike.weak.is_empty()));
    assert!(status.connections[0].children[0].weak.is_empty());
}

#[test]
fn children_of_ikev1_without_their_ike_sa_are_up_and_so_is_their_connection() {
    let mut pair = Pair::connected(|_, desired| {
        let peer = &mut connection(desired).peer;
        peer.versions = Versions::V1;
        peer.dpd.interval = None;
        peer.lifetime = Lifetime::of(seconds(100));
        // One SA per pair of subnets, as the reader of the configuration splits them.
        let whole = peer.children.remove(0);
        for (name, index) in [("net-1x1", 0), ("net-2x2", 1)] {
            let (local, remote) = (vec![whole.local[index].clone()], vec![whole.remote[index].clone()]);
            peer.children.push(ChildConfig { name: name.into(), local, remote, ..whole.clone() });
        }
    });
    pair.assert_works();
    for node in [A, B] {
        let status = status(&pair, node);
        let connection = &status.connections[0];
        assert_eq!((connection.state, connection.ike_versions), ("up", "ikev1"));
        assert_eq!(connection.ike.as_ref().map(|ike| ike.version), Some("ikev1"));
        assert!(connection.children.iter().all(|child| child.state == "up" && child.suite.is_some()));
    }
    // No IKE message gets through any more: the IKE SA ends with its lifetime, its children do not.
    pair.lab.network.drop_next(u64::MAX, |datagram| [datagram.from.port(), datagram.to.port()].contains(&IKE_PORT));
    pair.run(seconds(200));
    for node in [A, B] {
        let status = status(&pair, node);
        let connection = &status.connections[0];
        assert!(connection.ike.is_none(), "{connection:?}");
        assert_eq!((connection.state, connection.reason.is_none()), ("up", true));
        assert!(connection.since.is_some());
        assert!(connection.children.iter().all(|child| child.state == "up" && child.suite.is_some()));
    }
    pair.assert_works();
}

/// State, reason of the connection, reason of its child.
fn seen(pair: &Pair, node: NodeId) -> (&'static str, Option<&'static str>, Option<&'static str>) {
    let status = status(pair, node);
    assert_eq!(status.connections.len(), 1, "a configured tunnel is always listed");
    let connection = &status.connections[0];
    let child = &connection.children[0];
    assert_eq!(child.local.len(), 2, "a child that is down shows what is configured");
    for reason in [&connection.reason, &child.reason].into_iter().flatten() {
        assert!(reason.message.len() > 10, "{reason:?}");
    }
    let code = |reason: &Option<ReasonStatus>| reason.as_ref().map(|reason| reason.code);
    (connection.state, code(&connection.reason), code(&child.reason))
}

#[test]
fn a_tunnel_that_is_down_is_listed_with_its_reason() {
    let mut pair = Pair::new(1, Link::PERFECT, false, |_, _| {});
    pair.apply(A);
    pair.apply(B);
    assert_eq!(seen(&pair, A), ("negotiating", Some("negotiating"), Some("negotiating")));
    assert_eq!(seen(&pair, B), ("down", Some("idle"), Some("idle")));
    let mut pair = pair.up();
    assert_eq!(seen(&pair, A), ("up", None, None));
    pair.take_down(A);
    pair.run(seconds(5));
    assert_eq!(seen(&pair, A), ("disabled", Some("administrative"), Some("administrative")));
    assert_eq!(seen(&pair, B), ("down", Some("peer_deleted"), Some("peer_deleted")));
    pair.bring_up(A);
    assert_eq!(seen(&pair, A).0, "negotiating");
    pair.run(seconds(5));
    assert_eq!(seen(&pair, A), ("up", None, None));
    assert_eq!(seen(&pair, B), ("up", None, None));
    let name = child();
    pair.command(A, |engine, now| engine.down(&other(A), Some(&name), now)).unwrap();
    pair.run(seconds(5));
    assert_eq!(seen(&pair, A), ("down", Some("administrative"), Some("administrative")));
}

#[test]
fn taken_down_before_it_was_ever_up_is_said_too() {
    let mut pair = Pair::new(1, Link::PERFECT, false, |_, desired| {
        child_of(desired).start = StartPolicy::OnDemand;
    });
    pair.apply(A);
    assert_eq!(seen(&pair, A), ("down", Some("idle"), Some("idle")));
    pair.take_down(A);
    assert_eq!(seen(&pair, A), ("disabled", Some("administrative"), Some("administrative")));
}

/// Connects a pair that cannot, and returns what each end says about it.
fn reasons_of(change: impl Fn(NodeId, &mut engine::desired::DesiredState)) -> [Option<&'static str>; 2] {
    let mut pair = Pair::new(1, Link::PERFECT, false, change);
    pair.apply(B);
    pair.apply(A);
    pair.run(seconds(20));
    for node in [A, B] {
        assert!(!pair.is_up(node));
        assert_ne!(seen(&pair, node).0, "up");
    }
    [A, B].map(|node| seen(&pair, node).1)
}

#[test]
fn each_way_not_to_come_up_has_its_reason_at_both_ends() {
    use engine::desired::DesiredState;
    type Change = fn(NodeId, &mut DesiredState);
    let other_key: Change = |node, desired| {
        if node == A {
            connection(desired).peer.psk = b"another".to_vec().into();
        }
    };
    let other_id: Change = |node, desired| {
        if node == A {
            connection(desired).peer.remote_id = Some(Id::Fqdn("c.example".to_owned()));
        }
    };
    let other_ike: Change = |node, desired| {
        let text = if node == A { "aes128gcm16-prfsha256-ecp256" } else { "aes256gcm16-prfsha384-ecp384" };
        connection(desired).peer.proposals = vec![ike::proposal::IkeProposal::parse(text).unwrap()];
    };
    let other_esp: Change = |node, desired| {
        let text = if node == A { "aes128gcm16" } else { "aes256gcm16" };
        child_of(desired).proposals = vec![ike::proposal::EspProposal::parse(text, false).unwrap()];
    };
    let other_networks: Change = |node, desired| {
        if node == A {
            child_of(desired).local = selectors(&["10.9.0.0/24", "fd00:9::/64"]);
        }
    };
    let nobody: Change = |node, desired| {
        if node == B {
            desired.connections.clear();
        } else {
            connection(desired).peer.remote_addresses = vec![ip("192.0.2.99")];
        }
    };
    let no_address: Change = |_, desired| connection(desired).peer.local_address = None;
    let table: [(&str, Change, &str, Option<&str>); 6] = [
        ("key", other_key, "refused", Some("psk_mismatch")),
        ("identity", other_id, "refused", Some("wrong_responder")),
        ("IKE proposals", other_ike, "refused", Some("no_proposal_chosen")),
        ("ESP proposals", other_esp, "refused", Some("no_proposal_chosen")),
        ("selectors", other_networks, "refused", Some("traffic_selectors")),
        ("address", no_address, "no_route", None),
    ];
    for (what, change, at_a, at_b) in table {
        let [a, b] = reasons_of(change);
        assert_eq!(a, Some(at_a), "{what} at A");
        if at_b.is_some() {
            assert_eq!(b, at_b, "{what} at B");
        }
    }
    let mut pair = Pair::new(1, Link::PERFECT, false, |node, desired| {
        nobody(node, desired);
        if node == A {
            connection(desired).peer.retry = Retry { tries: Some(1), ..Retry::default() };
        }
    });
    pair.apply(A);
    pair.run(seconds(120));
    assert_eq!(seen(&pair, A), ("disabled", Some("no_answer"), Some("no_answer")));
}

#[test]
fn one_child_of_two_that_is_missing_makes_the_connection_down_with_its_reason() {
    let mut pair = Pair::new(1, Link::PERFECT, false, |node, desired| {
        let first = child_of(desired).clone();
        let pick = |list: &[&str]| selectors(list);
        let second = if node == A {
            ChildConfig {
                name: "second".into(),
                local: pick(&["10.1.9.0/24"]),
                remote: pick(&["10.2.9.0/24"]),
                ..first
            }
        } else {
            ChildConfig {
                name: "second".into(),
                local: pick(&["10.2.8.0/24"]),
                remote: pick(&["10.1.8.0/24"]),
                ..first
            }
        };
        connection(desired).peer.children.push(second);
    });
    pair.apply(B);
    pair.apply(A);
    pair.run(seconds(10));
    let status = status(&pair, A);
    let connection = &status.connections[0];
    assert_eq!(connection.children.iter().map(|child| child.state).collect::<Vec<_>>(), ["up", "down"]);
    assert_eq!(connection.state, "down");
    assert_eq!(connection.children[1].reason.as_ref().map(|reason| reason.code), Some("refused"));
    assert_eq!(connection.reason.as_ref().map(|reason| reason.code), Some("refused"));
}

fn every_reason() -> Vec<DownReason> {
    let id = || Id::Fqdn("gw.example".to_owned());
    vec![
        DownReason::Idle,
        DownReason::Administrative,
        DownReason::Reconfigured,
        DownReason::NoRoute,
        DownReason::NoAnswer { exchange: "IKE_SA_INIT", after: seconds(60) },
        DownReason::Refused { notify: NotifyType::NO_PROPOSAL_CHOSEN, exchange: "IKE_AUTH", offered: Some("x".into()) },
        DownReason::RefusedByV1 { notify: "NO-PROPOSAL-CHOSEN".into(), exchange: "main mode", offered: None },
        DownReason::VersionMismatch { ours: Versions::V2, theirs: Version::V1 },
        DownReason::ModeMismatch { ours: "main mode", theirs: "aggressive mode" },
        DownReason::Undecryptable {
            message: "message 5 of main mode",
            key: "b".to_owned(),
            remote: [192, 0, 2, 1].into(),
        },
        DownReason::Unsupported { what: "XAUTH", remedy: "use a connection without it" },
        DownReason::TrafficSelectors { ours: "10.0.0.0/8".to_owned(), theirs: "0.0.0.0/0".to_owned() },
        DownReason::PskMismatch { id: id() },
        DownReason::IdentityMismatch { expected: "a.example".to_owned(), received: id() },
        DownReason::WrongResponder { asked: id(), ours: "b.example".to_owned() },
        DownReason::Misbehaved("a rule"),
        DownReason::PeerDeleted,
        DownReason::Superseded,
        DownReason::Redundant,
        DownReason::Expired,
        DownReason::Crypto("a bad public value".to_owned()),
    ]
}

#[test]
fn every_reason_has_a_stable_word_and_a_sentence_and_renders_as_a_record() {
    let mut codes = BTreeMap::new();
    for reason in every_reason() {
        // Exhaustive on purpose: a new reason belongs into the list above.
        match &reason {
            DownReason::Idle
            | DownReason::Administrative
            | DownReason::Reconfigured
            | DownReason::NoRoute
            | DownReason::NoAnswer { .. }
            | DownReason::Refused { .. }
            | DownReason::NoProposalChosen(_)
            | DownReason::RefusedByV1 { .. }
            | DownReason::VersionMismatch { .. }
            | DownReason::ModeMismatch { .. }
            | DownReason::Undecryptable { .. }
            | DownReason::Unsupported { .. }
            | DownReason::TrafficSelectors { .. }
            | DownReason::PskMismatch { .. }
            | DownReason::IdentityMismatch { .. }
            | DownReason::WrongResponder { .. }
            | DownReason::Misbehaved(_)
            | DownReason::PeerDeleted
            | DownReason::Superseded
            | DownReason::Redundant
            | DownReason::Expired
            | DownReason::Crypto(_) => {}
        }
        let shown = ReasonStatus::from(&reason);
        assert!(shown.code.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()), "{}", shown.code);
        assert!(shown.message.len() > 10 && !shown.message.ends_with('.'), "{}", shown.message);
        // The same cause has the same word in both versions of IKE.
        let most = if matches!(shown.code, "refused" | "psk_mismatch") { 2 } else { 1 };
        let count = codes.entry(shown.code).or_insert(0);
        *count += 1;
        assert!(*count <= most, "{} names several reasons", shown.code);
        let event = Event::ConnectFailed { peer: "b".into(), reason: reason.clone(), retry_in: Some(seconds(2)) };
        let record = Record::from(&event);
        assert_eq!((record.event, record.reason), ("connect_failed", Some(shown.code)));
        assert!(record.to_string().starts_with("b: not up: ") && record.to_string().contains(&shown.message));
        let json = serde_json::to_value(&record).expect("serializes");
        assert_eq!(json["connection"], "b");
        assert_eq!(json["reason"], shown.code);
    }
}

/// The ways in which octets show in a text.
fn renderings(secret: &[u8]) -> Vec<String> {
    let hex: Vec<String> = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let upper: Vec<String> = secret.iter().map(|byte| format!("{byte:02X}")).collect();
    let decimal: Vec<String> = secret.iter().map(u8::to_string).collect();
    vec![
        hex.concat(),
        upper.concat(),
        hex.join(", "),
        hex.join(" "),
        decimal.join(", "),
        String::from_utf8_lossy(secret).into_owned(),
    ]
}

/// What may show as octets: nonces, and messages as they were on the wire (in lists of fragments, without a name).
const PUBLIC: [&str; 3] = ["nonce", "request", ""];

/// The fields whose values show as eight octets or more.
fn names_of_octets(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut before = "";
    for part in text.split('[') {
        let octets = part.split(", ").take(8).filter(|word| word.trim().parse::<u8>().is_ok()).count();
        if octets >= 7 {
            let name = before.trim_end().strip_suffix(':').unwrap_or_default();
            names.insert(name.rsplit([' ', '{', '(']).next().unwrap_or_default().to_owned());
        }
        before = part;
    }
    names
}

#[test]
fn no_secret_shows_in_status_records_or_debug_output() {
    let mut pair = with_lifetimes();
    pair.assert_works();
    pair.rekey_child(A);
    pair.run(seconds(2));
    pair.rekey_ike(B);
    pair.run(seconds(2));
    pair.take_down(A);
    pair.run(seconds(1));
    pair.bring_up(A);
    pair.run(seconds(5));
    let mut text = String::new();
    for node in [A, B] {
        let gateway = pair.gateway(node);
        text.push_str(&json(&pair, node).to_string());
        text.push_str(&format!("{:?} {:#?}", gateway.engine.desired(), status(&pair, node)));
        text.push_str(&format!("{:?} {:#?}", gateway.engine.endpoint(), gateway.table));
        for (_, event) in &gateway.events {
            let record = Record::from(event);
            let json = serde_json::to_string(&record).expect("serializes");
            text.push_str(&format!("{event:?} {record} {record:?} {json}"));
        }
        text.push_str(&format!("{:?}", gateway.feedback));
    }
    assert!(text.len() > 10_000, "there is something to look through");
    for shown in renderings(PSK) {
        assert!(!text.contains(&shown), "the key shows as {shown}");
    }
    // Whatever else is secret is as long as a key: nothing that long and that random is printed at all.
    let longest = text.split(|c: char| !c.is_ascii_hexdigit()).map(str::len).max().unwrap_or(0);
    assert!(longest < 32, "{longest} hexadecimal digits in a row");
    for name in names_of_octets(&text) {
        assert!(PUBLIC.contains(&name.as_str()), "{name} shows its octets: if they are public or sealed, say so above");
    }
}
