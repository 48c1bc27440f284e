//! Every rule against evidence made by hand: one row per code, and for each what must not be said where the decisive fact is
//! missing.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests may fail the test

use doctor::catalogue::*;
use doctor::code::Seen;
use doctor::{Code, Evidence, diagnose};
use serde_json::{Value, json};

/// A gateway with one connection that is up and works.
fn healthy() -> Value {
    json!({
        "schema_version": 1,
        "taken": "2026-11-20T10:10:00.000Z",
        "running": true,
        "configuration": {
            "usable": true, "interface": "underpass0", "ike_port": 500, "nat_port": 4500, "path_mtu": 1500,
            "connections": [{
                "name": "site-b", "local_address": "192.0.2.1", "remote_addresses": ["192.0.2.2"], "versions": "ikev2",
                "fragmentation_bytes": 1280, "dpd_interval_seconds": 10, "dpd_timeout_seconds": 30, "remote_port": 500,
                "ike_proposals": ["aes256-sha256-modp2048"], "routes": ["10.93.1.0/24"],
                "children": [{"name": "net", "local": ["10.91.1.0/24"], "remote": ["10.93.1.0/24"], "start": "on-load",
                    "proposals": ["aes128gcm16"], "replay_window": 1024, "lifetime_seconds": 3600}],
            }],
        },
        "live": {
            "gateway": {"half_open": 0, "started": "2026-11-20T09:00:00.000Z"},
            "connections": [{
                "name": "site-b", "state": "up", "local": "192.0.2.1:500", "remote": "192.0.2.2:500", "nat": "none",
                "local_id": "192.0.2.1", "remote_id": "192.0.2.2",
                "ike": {"version": "ikev2", "spi_i": "1", "spi_r": "2", "established": "2026-11-20T09:00:01.000Z", "weak": []},
                "children": [{"name": "net", "state": "up", "suite": "aes128gcm16", "packets_in": 100, "packets_out": 100,
                    "spi_in": "0x1", "spi_out": "0x2", "encapsulation": "esp", "mtu": 1446, "sas": 1}],
            }],
            "drops": {},
        },
        "events": [],
        "host": {
            "capabilities": {"net_admin": true, "net_raw": true, "root": true}, "tun": true, "addresses": ["192.0.2.1", "10.91.1.1"],
            "ip_forward": true,
            "interfaces": [
                {"name": "wan", "mtu": 1500, "running": true, "networks": ["192.0.2.1/24"], "rp_filter": 0},
                {"name": "lan", "mtu": 1500, "running": true, "networks": ["10.91.1.1/24"], "rp_filter": 0},
                {"name": "underpass0", "mtu": 1446, "running": true, "networks": [], "rp_filter": 0},
            ],
            "routes": [{"prefix": "10.93.1.0/24", "interface": "underpass0"}],
            "outside": [{"prefix": "192.0.2.2", "interface": "wan", "mtu": 1500}],
        },
    })
}

fn set(evidence: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = evidence.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}"));
    match key.parse::<usize>() {
        Ok(index) if parent.is_array() => parent[index] = value,
        _ => parent[key] = value,
    }
}

fn event(kind: &str, more: Value) -> Value {
    let mut event = json!({"time": "2026-11-20T10:05:00.000Z", "level": "warn", "event": kind, "message": kind, "connection": "site-b"});
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

/// It is down, for this reason.
fn down(code: &str, details: Value) -> Vec<(&'static str, Value)> {
    vec![
        ("/live/connections/0/state", json!("down")),
        ("/live/connections/0/ike", Value::Null),
        ("/live/connections/0/reason", json!({"code": code, "message": code, "details": details})),
        ("/live/connections/0/children/0/state", json!("down")),
        ("/live/connections/0/children/0/reason", json!({"code": code, "message": code, "details": details})),
    ]
}

/// The IKE SA is up, its child is not, for this reason.
fn child_down(code: &str, details: Value) -> Vec<(&'static str, Value)> {
    let mut changes = down(code, details);
    changes.remove(1);
    changes
}

fn problem(code: &str) -> Vec<(&'static str, Value)> {
    let problem =
        json!({"is_error": true, "code": code, "place": "u.toml:1:1", "message": "wrong", "suggestion": "right"});
    vec![
        ("/configuration/problems", json!([problem])),
        ("/configuration/usable", json!(false)),
        ("/running", json!(false)),
        ("/live", Value::Null),
    ]
}

fn events(list: Vec<Value>) -> (&'static str, Value) {
    ("/events", Value::Array(list))
}

fn with(mut changes: Vec<(&'static str, Value)>, more: Vec<(&'static str, Value)>) -> Vec<(&'static str, Value)> {
    changes.extend(more);
    changes
}

/// One row per code: what to change in a healthy gateway.
fn rows() -> Vec<(Code, Vec<(&'static str, Value)>)> {
    let not_running = || vec![("/running", json!(false)), ("/live", Value::Null)];
    let moved = |to: &str| event("peer_moved", json!({"fields": {"from": "192.0.2.2:1000", "to": to}}));
    let renewed = |second: u32| {
        let time = format!("2026-11-20T10:05:{second:02}.000Z");
        event("child_sa_rekeyed", json!({"time": time, "child": "net"}))
    };
    let ended = |reason: &str, exchange: &str| {
        event("ike_sa_down", json!({"reason": reason, "fields": {"exchange": exchange}}))
    };
    let passive = ("/configuration/connections/0/children/0/start", json!("passive"));
    let filter = |hook: &str, action: &str, rule: &str| {
        ("/host/filters", json!([{"place": "ip t, c", "hook": hook, "action": action, "rule": rule, "packets": 9}]))
    };
    vec![
        (CFG_01, problem("CFG-01")),
        (CFG_10, problem("CFG-10")),
        (CFG_11, problem("CFG-11")),
        (CFG_13, vec![("/configuration/problems", json!([{"is_error": false, "code": "CFG-13", "message": "m"}]))]),
        (CFG_14, problem("CFG-14")),
        (CFG_15, problem("CFG-15")),
        (CFG_12, vec![("/live/connections/0/ike/weak", json!(["sha1: old"]))]),
        (
            CFG_02,
            with(
                not_running(),
                vec![("/host/port_conflicts", json!([{"address": "0.0.0.0:500", "owner": "charon (pid 7)"}]))],
            ),
        ),
        (
            CFG_03,
            with(
                not_running(),
                vec![("/host/capabilities", json!({"net_admin": false, "net_raw": true, "root": true}))],
            ),
        ),
        (CFG_04, vec![("/host/addresses", json!(["10.0.0.4"]))]),
        (CFG_05, vec![("/configuration/connections/0/tunnels", json!(1))]),
        (CFG_06, with(down("idle", json!({})), vec![passive.clone()])),
        (CFG_07, not_running()),
        (CFG_08, vec![("/live/connections/0/state", json!("disabled"))]),
        (NET_01, down("no_answer", json!({"exchange": "IKE_SA_INIT"}))),
        (
            NET_02,
            with(
                down("no_answer", json!({"exchange": "IKE_SA_INIT"})),
                vec![events(vec![event(
                    "rejected",
                    json!({"connection": null, "reason": "no_answer", "fields": {"exchange": "IKE_AUTH", "remote": "192.0.2.2:500"}}),
                )])],
            ),
        ),
        (
            NET_03,
            with(
                down("no_answer", json!({"exchange": "IKE_AUTH"})),
                vec![
                    ("/configuration/connections/0/local_address", json!("192.168.1.5")),
                    ("/live/connections/0/local", Value::Null),
                    ("/configuration/connections/0/remote_addresses", json!(["203.0.113.9"])),
                    ("/host", Value::Null),
                ],
            ),
        ),
        (
            NET_04,
            with(
                down("no_answer", json!({"exchange": "IKE_AUTH"})),
                vec![("/configuration/connections/0/fragmentation_bytes", Value::Null)],
            ),
        ),
        (
            NET_05,
            with(
                down("no_answer", json!({"exchange": "IKE_SA_INIT"})),
                vec![(
                    "/probes",
                    json!([{"probe": "ike", "to": "192.0.2.2:500", "answered": false, "refused_by": "192.0.2.254", "refusal": "administratively prohibited"}]),
                )],
            ),
        ),
        (NET_06, vec![events(vec![moved("192.0.2.2:1001"), moved("192.0.2.2:1002")])]),
        (NET_07, vec![events(vec![moved("192.0.2.77:1000")])]),
        (NET_08, vec![("/host/clock_behind_seconds", json!(4000))]),
        (NET_09, down("no_route", json!({}))),
        (IKE_01, down("version_mismatch", json!({"ours": "ikev2", "theirs": "ikev1"}))),
        (
            IKE_02,
            down("refused", json!({"notify": "NO_PROPOSAL_CHOSEN", "exchange": "IKE_SA_INIT", "offered": "aes128"})),
        ),
        (IKE_03, down("refused", json!({"notify": "INVALID_KE_PAYLOAD", "exchange": "IKE_SA_INIT"}))),
        (IKE_04, down("psk_mismatch", json!({"received_id": "b"}))),
        (IKE_05, down("identity_mismatch", json!({"expected_id": "b", "received_id": "c"}))),
        (IKE_07, down("mode_mismatch", json!({"ours": "main mode", "theirs": "aggressive mode"}))),
        (
            IKE_08,
            with(
                down("idle", json!({})),
                vec![
                    passive.clone(),
                    events(vec![event(
                        "rejected",
                        json!({"connection": null, "reason": "no_answer", "fields": {"exchange": "IKE_AUTH", "remote": "192.0.2.2:500"}}),
                    )]),
                ],
            ),
        ),
        (IKE_09, vec![events(vec![event("cookies_on", json!({"connection": null}))])]),
        (
            IKE_10,
            with(
                down("no_answer", json!({"exchange": "IKE_SA_INIT"})),
                vec![events(vec![ended("no_answer", "liveness check")])],
            ),
        ),
        (IKE_11, with(down("peer_deleted", json!({})), vec![events(vec![ended("peer_deleted", "")])])),
        (IKE_12, vec![events(vec![renewed(0), renewed(0), renewed(50), renewed(50)])]),
        (IKE_13, with(down("expired", json!({})), vec![events(vec![ended("expired", "")])])),
        (
            IKE_14,
            with(
                down("no_answer", json!({"exchange": "R-U-THERE"})),
                vec![
                    passive,
                    ("/configuration/connections/0/versions", json!("ikev1")),
                    events(vec![ended("no_answer", "R-U-THERE")]),
                ],
            ),
        ),
        (IKE_15, down("refused", json!({"notify": "INVALID_SYNTAX", "exchange": "IKE_AUTH"}))),
        (IKE_16, down("unsupported", json!({"demands": "XAUTH", "remedy": "turn it off"}))),
        (
            CHD_01,
            child_down("no_proposal_chosen", json!({"ours": "aes128", "theirs": "aes256", "differs": "encryption"})),
        ),
        (
            CHD_02,
            vec![events(vec![event(
                "child_failed",
                json!({"child": "net", "reason": "refused", "fields": {"rekey": "true", "notify": "NO_PROPOSAL_CHOSEN", "exchange": "CREATE_CHILD_SA (child rekey)"}}),
            )])],
        ),
        (CHD_03, child_down("traffic_selectors", json!({"ours": "a", "theirs": "b"}))),
        (CHD_04, vec![events((0..6).map(|index| renewed(index * 5)).collect())]),
        (CHD_05, child_down("no_proposal_chosen", json!({"differs": "esn"}))),
        (
            CHD_06,
            with(down("idle", json!({})), vec![("/configuration/connections/0/children/0/start", json!("on-demand"))]),
        ),
        (
            CHD_07,
            vec![events(vec![event("narrowed", json!({"child": "net", "fields": {"asked": "a", "granted": "b"}}))])],
        ),
        (CHD_08, child_down("refused", json!({"notify": "TEMPORARY_FAILURE", "exchange": "CREATE_CHILD_SA"}))),
        (ESP_01, vec![("/live/connections/0/children/0/packets_in", json!(0))]),
        (
            ESP_02,
            vec![
                ("/live/connections/0/children/0/packets_in", json!(0)),
                (
                    "/far",
                    json!({"live": {"connections": [{"name": "site-a", "state": "up", "ike": {"spi_i": "1", "spi_r": "2", "established": "x"}, "children": [{"name": "net", "state": "up", "spi_in": "0x2", "spi_out": "0x1", "packets_in": 100, "packets_out": 0}]}]}}),
                ),
            ],
        ),
        (ESP_03, vec![("/live/drops", json!({"authentication": 50}))]),
        (ESP_04, vec![("/live/drops", json!({"replay": 50}))]),
        (ESP_05, with(down("idle", json!({})), vec![("/live/drops", json!({"no_sa": 50}))])),
        (ESP_06, vec![("/live/drops", json!({"policy": 50}))]),
        (
            RTE_01,
            vec![(
                "/host/routes",
                json!([{"prefix": "10.93.1.0/25", "interface": "wan", "route": "10.93.1.0/25 via 192.0.2.9"}]),
            )],
        ),
        (RTE_02, vec![("/host/interfaces/1/networks", json!(["10.93.1.7/26"]))]),
        (RTE_03, vec![("/host/ip_forward", json!(false))]),
        (RTE_04, vec![("/configuration/connections/1", Value::Null)]),
        (RTE_06, vec![("/host/interfaces/2/networks", json!(["169.254.5.2/30"]))]),
        (
            NAT_01,
            vec![
                filter("postrouting", "masquerade", "oifname \"underpass0\" masquerade"),
                ("/live/drops", json!({"policy": 50})),
            ],
        ),
        (
            MTU_01,
            vec![(
                "/probes",
                json!([{"probe": "sizes", "to": "10.93.1.2", "largest_answered": 64, "smallest_lost": 1400, "told": false}]),
            )],
        ),
        (MTU_02, vec![("/host/outside/0/mtu", json!(1400))]),
        (FW_01, vec![filter("forward", "drop", "iifname \"underpass0\" counter packets 9 bytes 756 drop")]),
        (PERF_01, vec![("/live/drops", json!({"queue_full": 5000}))]),
        (PERF_02, vec![("/live/connections/0/baseline", unusual("rtt_seconds", 0.2, 0.02))]),
        (PERF_03, vec![("/live/connections/0/baseline", unusual("receive_bytes_per_second", 10.0, 1e7))]),
    ]
}

/// A baseline of one quantity that is far from normal.
fn unusual(quantity: &str, now: f64, median: f64) -> Value {
    let quantity =
        json!({"quantity": quantity, "now": now, "median": median, "spread": median / 20.0, "unusual": true});
    json!({"basis": "hour_of_week", "hours": 4, "quantities": [quantity]})
}

/// Two connections with the same networks, one used each way.
fn asymmetric() -> Value {
    let mut evidence = healthy();
    for pointer in ["/configuration/connections", "/live/connections"] {
        let list = evidence.pointer_mut(pointer).unwrap().as_array_mut().unwrap();
        let mut second = list[0].clone();
        second["name"] = json!("site-b2");
        list.push(second);
    }
    set(&mut evidence, "/live/connections/0/children/0/packets_in", json!(0));
    set(&mut evidence, "/live/connections/1/children/0/packets_out", json!(0));
    evidence
}

fn first(evidence: &Value) -> (Option<Code>, String) {
    let evidence = Evidence::from_json(&evidence.to_string()).unwrap_or_else(|error| panic!("{error}: {evidence}"));
    let report = diagnose(&evidence, None);
    (report.first(), doctor::page::of_report(&report, doctor::page::Style { colour: false }))
}

#[test]
fn a_healthy_gateway_has_no_finding() {
    let (found, text) = first(&healthy());
    assert_eq!(found, None, "{text}");
    assert!(text.contains("● site-b: up; nothing found"), "{text}");
    assert_eq!(first(&json!({"schema_version": 1})).0, None, "what is not known is not wrong");
}

#[test]
fn each_code_is_first_where_its_fact_is_the_only_one_that_is_wrong() {
    for (code, changes) in rows() {
        if code == RTE_04 {
            continue;
        }
        let mut evidence = healthy();
        for (pointer, value) in changes {
            set(&mut evidence, pointer, value);
        }
        let (found, text) = first(&evidence);
        assert_eq!(found, Some(code), "{text}\n{evidence:#}");
        assert!(!text.contains("undefined") && text.lines().all(|line| line.chars().count() < 900), "{text}");
    }
}

#[test]
fn out_by_one_tunnel_and_in_by_the_other_is_rte_04() {
    let mut evidence = asymmetric();
    let report = diagnose(&Evidence::from_json(&evidence.to_string()).unwrap(), None);
    assert_eq!(report.first(), Some(RTE_04), "{report:?}");
    set(&mut evidence, "/live/connections/1/children/0/packets_in", json!(0));
    let report = diagnose(&Evidence::from_json(&evidence.to_string()).unwrap(), None);
    assert!(report.findings.iter().all(|finding| finding.code != RTE_04), "{report:?}");
}

#[test]
fn every_code_that_can_be_seen_has_a_row_and_the_others_are_never_reported() {
    let rows: Vec<Code> = rows().into_iter().map(|(code, _)| code).collect();
    for entry in doctor::catalogue::entries() {
        match entry.seen {
            Seen::Here => assert!(rows.contains(&entry.code), "{} has no row", entry.code),
            Seen::ElsewhereOnly(why) => {
                assert!(!rows.contains(&entry.code) && why.len() > 10, "{}", entry.code);
            }
        }
    }
}

#[test]
fn one_connection_can_be_asked_for_alone() {
    let mut evidence = asymmetric();
    for (pointer, value) in down("psk_mismatch", json!({})) {
        set(&mut evidence, pointer, value);
    }
    let evidence = Evidence::from_json(&evidence.to_string()).unwrap();
    assert_eq!(diagnose(&evidence, Some("site-b")).first(), Some(IKE_04));
    let other = diagnose(&evidence, Some("site-b2"));
    assert!(other.findings.iter().all(|finding| finding.code != IKE_04) && other.tunnels.len() == 1, "{other:?}");
}

#[test]
fn evidence_that_is_none_is_refused_with_a_reason() {
    for (text, part) in [
        ("", "no JSON object"),
        ("[]", "no JSON object"),
        ("{", "EOF"),
        ("{\"schema_version\": 2}", "version 2"),
        ("{\"live\": 3}", "invalid"),
    ] {
        let error = Evidence::from_json(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}
