//! Metrics by HTTP, and baselines over a restart.

use crate::Test;
use crate::lab::{self, Site, until};
use serde_json::json;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

pub const TESTS: &[Test] = &[
    ("metrics_are_served_and_a_tunnel_that_is_down_is_among_them", metrics_are_served),
    ("an_address_that_is_taken_keeps_the_gateway_from_starting_and_is_named", an_address_that_is_taken),
    ("baselines_are_read_again_after_a_restart_and_rubbish_is_told", baselines_are_read_again),
];

const LISTEN: &str = "metrics = \"127.0.0.1:9754\"";

/// What the metrics server of a site answers to this.
fn http(site: &Site, request: &str) -> String {
    site.namespace
        .run(|| {
            let mut stream = TcpStream::connect("127.0.0.1:9754").unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        })
        .unwrap()
}

fn scrape(site: &Site) -> String {
    http(site, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
}

fn metrics_are_served() {
    let (mut a, mut b) = lab::pair("", "");
    a.write_config(&lab::ENDS_A, LISTEN, "", "");
    a.start();
    let down = scrape(&a);
    assert!(down.starts_with("HTTP/1.1 200 OK\r\n") && down.contains("text/plain; version=0.0.4"), "{down}");
    assert!(down.contains("vpn_tunnel_up{vpn_connection_id=\"x\",tunnel=\"x\"} 0"), "{down}");
    assert!(down.contains("vpn_tunnel_down_reason{vpn_connection_id=\"x\",tunnel=\"x\",code="), "{down}");
    b.start();
    lab::wait_for_traffic(&a, &b);
    let up = scrape(&a);
    assert!(up.contains("vpn_tunnel_up{vpn_connection_id=\"x\",tunnel=\"x\"} 1"), "{up}");
    assert!(!up.contains("vpn_tunnel_down_reason{"), "{up}");
    let received = up.lines().find_map(|line| line.strip_prefix("vpn_tunnel_receive_packets_total{")).unwrap();
    assert!(!received.ends_with(" 0"), "{up}");
    let printed = a.client().unwrap().request(&json!({"command": "metrics"})).unwrap();
    assert!(printed["result"].as_str().unwrap().contains("# TYPE vpn_tunnel_up gauge"), "{printed}");
    let elsewhere = http(&a, "GET /etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(elsewhere.starts_with("HTTP/1.1 404 "), "{elsewhere}");
    let posted = http(&a, "POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    assert!(posted.starts_with("HTTP/1.1 405 "), "{posted}");
    let long = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(100_000));
    // Refused or cut off, and the next one is served.
    a.namespace.run(|| drop(TcpStream::connect("127.0.0.1:9754").unwrap().write_all(long.as_bytes()))).unwrap();
    assert!(scrape(&a).starts_with("HTTP/1.1 200 OK\r\n"));
}

fn an_address_that_is_taken() {
    let (a, _b) = lab::pair("", "");
    a.write_config(&lab::ENDS_A, LISTEN, "", "");
    let _taken = a.namespace.run(|| std::net::TcpListener::bind("127.0.0.1:9754").unwrap()).unwrap();
    let told = a.start_in_vain();
    assert!(told.contains("cannot serve metrics at 127.0.0.1:9754") && told.contains("[gateway]"), "{told}");
}

fn baselines_are_read_again() {
    let (mut a, _b) = lab::pair("", "");
    let state = a.folder.join("state");
    fs::create_dir_all(&state).unwrap();
    let file = state.join("baseline.json");
    // Every hour of the week, of three weeks.
    let hours: Vec<String> = (0..168)
        .map(|hour| {
            format!("\"{hour}\":{}", json!(vec![json!([[5.0, 1.0], null, null, null, [0.02, 0.001], null]); 3]))
        })
        .collect();
    let text = format!("{{\"schema_version\":1,\"tunnels\":{{\"x\":{{{}}}}}}}", hours.join(","));
    fs::write(&file, &text).unwrap();
    a.write_config(&lab::ENDS_A, &format!("state_directory = \"{}\"", state.display()), "", "");
    a.start();
    let baseline = a.status()["connections"][0]["baseline"].clone();
    assert_eq!((baseline["basis"].as_str(), baseline["hours"].as_u64()), (Some("hour_of_week"), Some(3)), "{baseline}");
    assert_eq!(baseline["quantities"][1]["quantity"], "rtt_seconds");
    assert_eq!(baseline["quantities"][1]["now"], json!(null));
    a.signal("TERM");
    assert!(a.wait().success(), "{}", a.log());
    let kept: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(kept["tunnels"]["x"]["17"], json!(vec![json!([[5.0, 1.0], null, null, null, [0.02, 0.001], null]); 3]));
    fs::write(&file, "half a fi").unwrap();
    a.start();
    until("it is told", || (!a.events("limited").is_empty()).then_some(()));
    assert!(a.log().contains("baselines begin anew"), "{}", a.log());
}
