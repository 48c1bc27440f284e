//! A gateway with two tunnels of a connection, one of them down, and a third that waits: what Prometheus reads of it.

use super::*;
use engine::status::{
    BaselineStatus, ChildStatus, ConnectionStatus, GatewayStatus, GroupStatus, IkeStatus, QuantityStatus, ReasonStatus,
    TrafficStatus, TunnelStatus,
};
use ike::config::PeerName;
use ike::event::{DownReason, Event, IgnoredReason};
use std::collections::{BTreeMap, BTreeSet};

fn child(up: bool) -> ChildStatus {
    let at = |seconds: u32| up.then(|| format!("{seconds}.5"));
    ChildStatus {
        name: "net".to_owned(),
        state: if up { "up" } else { "down" },
        reason: None,
        suite: up.then(|| "aes128gcm16".to_owned()),
        weak: Vec::new(),
        local: vec!["10.1.0.0/16".to_owned()],
        remote: vec!["10.2.0.0/16".to_owned()],
        spi_in: None,
        spi_out: None,
        encapsulation: None,
        mtu: up.then_some(1438),
        bytes_in: 0,
        packets_in: 0,
        bytes_out: 0,
        packets_out: 0,
        last_in: at(1_764_547_300),
        rekey_at: at(1_764_549_000),
        installed_at: at(1_764_547_200),
        sas: usize::from(up),
    }
}

fn connection(name: &str, state: &'static str) -> ConnectionStatus {
    let up = state == "up";
    let (code, details) = ("no_answer", BTreeMap::new());
    let quantity = QuantityStatus {
        quantity: "rtt_seconds",
        now: Some(0.05),
        median: 0.02,
        spread: 0.001,
        deviation: Some(15.0),
        unusual: true,
    };
    ConnectionStatus {
        name: name.to_owned(),
        state,
        reason: (!up).then(|| ReasonStatus { code, message: "a message".to_owned(), details }),
        since: Some("1764547200.25".to_owned()),
        local: Some("192.0.2.1:4500".to_owned()),
        remote: Some("198.51.100.1:4500".to_owned()),
        local_id: "192.0.2.1".to_owned(),
        remote_id: None,
        nat: None,
        ike_versions: "ikev2",
        ike: up.then(|| IkeStatus {
            version: "ikev2",
            spi_i: "1".to_owned(),
            spi_r: "2".to_owned(),
            role: "initiator",
            suite: "aes128-sha1-modp1024".to_owned(),
            established: None,
            rekey_at: None,
            weak: vec!["sha1: old", "modp1024: short"],
        }),
        children: vec![child(up)],
        dpd_enabled: true,
        traffic: TrafficStatus {
            bytes_in: 9_007_199_254_740_991,
            packets_in: 990,
            bytes_out: 2,
            packets_out: 3,
            expected_in: 1000,
        },
        rtt_milliseconds: up.then_some(20.5),
        baseline: up.then(|| BaselineStatus { basis: "hour_of_week", hours: 4, quantities: vec![quantity] }),
    }
}

fn status() -> Status {
    let tunnel = |name: &str, role| TunnelStatus {
        connection: name.to_owned(),
        role,
        preference: 100,
        inside_local: None,
        inside_remote: None,
        rtt_milliseconds: None,
        held_until: None,
    };
    Status {
        schema_version: 1,
        time: "1764547500".to_owned(),
        gateway: GatewayStatus { version: "1.2.3".to_owned(), started: "1764540000".to_owned(), pid: 1, half_open: 2 },
        connections: vec![
            connection("cloud-1", "up"),
            connection("cloud-2", "down"),
            connection("od\"d\\\n", "negotiating"),
        ],
        groups: vec![GroupStatus {
            name: "cloud".to_owned(),
            mode: "active-standby",
            state: "degraded",
            tunnels: vec![tunnel("cloud-1", "active"), tunnel("cloud-2", "down")],
            moves: 1,
            moved: None,
        }],
        drops: BTreeMap::from([("replay", 7)]),
    }
}

fn tally() -> Tally {
    let mut tally = Tally::default();
    let peer = PeerName::from("cloud-2");
    let path = ike::config::Path { local: ([192, 0, 2, 1], 500).into(), remote: ([203, 0, 113, 9], 500).into() };
    let after = std::time::Duration::from_secs(4);
    for _ in 0..3 {
        let reason = DownReason::NoAnswer { exchange: "IKE_SA_INIT", after };
        tally.event(&Event::ConnectFailed { peer: peer.clone(), reason, retry_in: None }, 1.0);
    }
    tally.event(&Event::Ignored { path, reason: IgnoredReason::Malformed }, 1.0);
    let (group, to) = (PeerName::from("cloud"), Some(PeerName::from("cloud-1")));
    let why = engine::failover::MoveReason::Down;
    tally.failover(&engine::failover::Event::Moved { group: group.clone(), from: None, to: to.clone(), why });
    tally.failover(&engine::failover::Event::Moved { group, from: Some(peer.clone()), to, why });
    tally.failover(&engine::failover::Event::Suspected { group: PeerName::from("cloud"), tunnel: peer, silent: after });
    tally
}

#[test]
fn every_configured_tunnel_is_there_and_one_that_is_down_says_why() {
    let text = render(families(&status(), &tally()));
    for line in [
        "vpn_build_info{version=\"1.2.3\"} 1",
        "vpn_start_timestamp_seconds 1764540000",
        "vpn_tunnel_up{vpn_connection_id=\"cloud\",tunnel=\"cloud-1\"} 1",
        "vpn_tunnel_up{vpn_connection_id=\"cloud\",tunnel=\"cloud-2\"} 0",
        "vpn_tunnel_state{vpn_connection_id=\"cloud\",tunnel=\"cloud-2\",state=\"down\"} 1",
        "vpn_tunnel_state{vpn_connection_id=\"cloud\",tunnel=\"cloud-2\",state=\"up\"} 0",
        "vpn_tunnel_down_reason{vpn_connection_id=\"cloud\",tunnel=\"cloud-2\",code=\"no_answer\"} 1",
        "vpn_tunnel_up{vpn_connection_id=\"od\\\"d\\\\\\n\",tunnel=\"od\\\"d\\\\\\n\"} 0",
        "vpn_tunnel_established_timestamp_seconds{vpn_connection_id=\"cloud\",tunnel=\"cloud-1\"} 1764547200.25",
        "vpn_tunnel_rtt_seconds{vpn_connection_id=\"cloud\",tunnel=\"cloud-1\"} 0.0205",
        "vpn_tunnel_weak_algorithms{vpn_connection_id=\"cloud\",tunnel=\"cloud-1\"} 2",
        "vpn_tunnel_receive_bytes_total{vpn_connection_id=\"cloud\",tunnel=\"cloud-1\"} 9007199254740991",
        "vpn_tunnel_peer_transmit_packets_total{vpn_connection_id=\"cloud\",tunnel=\"cloud-1\"} 1000",
        "vpn_child_up{vpn_connection_id=\"cloud\",tunnel=\"cloud-1\",child=\"net\"} 1",
        "vpn_connection_tunnels{vpn_connection_id=\"cloud\"} 2",
        "vpn_connection_tunnels_up{vpn_connection_id=\"cloud\"} 1",
        "vpn_connection_tunnels{vpn_connection_id=\"od\\\"d\\\\\\n\"} 1",
        "vpn_tunnel_role{vpn_connection_id=\"cloud\",tunnel=\"cloud-1\",role=\"active\"} 1",
        "vpn_failovers_total{vpn_connection_id=\"cloud\"} 1",
        "vpn_tunnel_suspected_total{vpn_connection_id=\"cloud\",tunnel=\"cloud-2\"} 1",
        "vpn_esp_drops_total{reason=\"replay\"} 7",
        "vpn_ike_ignored_total{reason=\"malformed\"} 1",
        "vpn_ike_negotiations_total{vpn_connection_id=\"cloud\",tunnel=\"cloud-2\",phase=\"ike\",result=\"no_answer\"} 3",
        "vpn_ike_rekeys_total{vpn_connection_id=\"cloud\",tunnel=\"cloud-1\",phase=\"child\"} 0",
        "vpn_tunnel_baseline_deviation{vpn_connection_id=\"cloud\",tunnel=\"cloud-1\",quantity=\"rtt_seconds\"} 15",
        "vpn_tunnel_unusual{vpn_connection_id=\"cloud\",tunnel=\"cloud-1\",quantity=\"rtt_seconds\"} 1",
    ] {
        let bare = |text: &str| text.trim_end_matches(".0").to_owned();
        assert!(text.lines().any(|found| bare(found) == line), "{line}\nis not in\n{text}");
    }
    assert!(!text.contains("vpn_tunnel_down_reason{vpn_connection_id=\"cloud\",tunnel=\"cloud-1\""), "{text}");
}

#[test]
fn names_follow_the_conventions_and_every_family_stands_once() {
    let mut seen = BTreeSet::new();
    for family in families(&status(), &tally()) {
        let name = family.full_name();
        assert!(seen.insert(name.clone()), "{name} twice");
        assert!(name.starts_with("vpn_") && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
        assert_eq!(name.ends_with("_total"), family.kind == Kind::Counter, "{name}");
        assert!(family.help.ends_with('.') && !family.help.contains('\n'), "{name}: {}", family.help);
        assert!(!name.contains("timestamp") || name.ends_with("_timestamp_seconds"), "{name}");
        let mut labels = BTreeSet::new();
        for sample in &family.samples {
            assert!(labels.insert(format!("{:?}", sample.labels)), "{name}: {:?} twice", sample.labels);
            assert!(sample.value.is_finite(), "{name}");
        }
    }
    let text = render(families(&status(), &tally()));
    for name in &seen {
        assert_eq!(text.matches(&format!("# TYPE {name} ")).count(), 1, "{name}\n{text}");
    }
}

/// Every metric that a file of rules or a dashboard asks for.
fn asked_for(text: &str) -> BTreeSet<&str> {
    let word = |c: char| c.is_ascii_lowercase() || c == '_';
    text.match_indices("vpn_")
        .filter(|(at, _)| !text[..*at].ends_with(word))
        .map(|(at, _)| &text[at..at + text[at..].find(|c| !word(c)).unwrap_or(text.len() - at)])
        .filter(|name| *name != "vpn_connection_id")
        .collect()
}

#[test]
fn the_alert_rules_and_the_dashboard_ask_for_metrics_that_there_are() {
    let known: BTreeSet<String> = families(&status(), &tally()).iter().map(Family::full_name).collect();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/");
    for file in ["prometheus/underpass.rules.yml", "grafana/underpass.json"] {
        let text = std::fs::read_to_string(format!("{folder}{file}")).expect(file);
        let asked = asked_for(&text);
        assert!(asked.len() >= 8, "{file}: {asked:?}");
        for name in asked {
            assert!(known.contains(name), "{file} asks for {name}");
        }
    }
    let dashboard = std::fs::read(format!("{folder}grafana/underpass.json")).expect("the dashboard");
    let dashboard: serde_json::Value = serde_json::from_slice(&dashboard).expect("JSON");
    assert!(dashboard["panels"].as_array().is_some_and(|panels| panels.len() >= 8));
}
