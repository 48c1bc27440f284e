//! Traffic through a tunnel, strangers at the door, and looking at what is inside.

use crate::Test;
use crate::lab::{self, ENDS_A, ENDS_B, Ends, INSIDE_A, INSIDE_B, until};
use formats::encoding::base64;
use serde_json::json;

pub const TESTS: &[Test] = &[
    ("two_gateways_carry_traffic_in_udp_and_in_plain_esp", two_gateways_carry_traffic),
    ("two_gateways_carry_traffic_over_ipv6", two_gateways_carry_traffic_over_ipv6),
    ("the_first_packet_brings_a_tunnel_on_demand_up_and_arrives", the_first_packet_brings_a_tunnel_up),
    ("garbage_leaves_no_state_and_few_lines", garbage_leaves_no_state_and_few_lines),
    ("a_capture_shows_decrypted_packets_and_the_log_shows_the_capture", a_capture_shows_decrypted_packets),
    ("a_capture_shows_what_became_of_outer_packets", a_capture_shows_outer_packets),
    ("keys_go_to_root_alone_logged_and_not_where_the_configuration_forbids_it", keys_are_given_out_aloud),
];

fn two_gateways_carry_traffic() {
    for (connection, encapsulation) in [("", "esp"), ("encapsulation = \"force\"", "udp")] {
        let (a, b) = lab::tunnel("", connection);
        lab::wait_for_traffic(&a, &b);
        let child = a.child();
        assert_eq!(child["encapsulation"], encapsulation);
        assert!(child["packets_in"].as_u64() >= Some(1) && child["packets_out"].as_u64() >= Some(1), "{child}");
    }
}

fn two_gateways_carry_traffic_over_ipv6() {
    for (connection, encapsulation) in [("", "esp"), ("encapsulation = \"force\"", "udp")] {
        let (mut a, mut b) = lab::pair("", "");
        lab::configure(&a.namespace, "wan", &["2001:db8::1/64"]);
        lab::configure(&b.namespace, "wan", &["2001:db8::2/64"]);
        let (here, there) = ("2001:db8::1", "2001:db8::2");
        a.write_config(&Ends { local: here, remote: there, ..ENDS_A }, "", connection, "");
        b.write_config(&Ends { local: there, remote: here, ..ENDS_B }, "", connection, "start = \"passive\"");
        b.start();
        a.start();
        lab::wait_for_traffic(&a, &b);
        assert_eq!(a.child()["encapsulation"], encapsulation);
    }
}

fn the_first_packet_brings_a_tunnel_up() {
    let (mut a, mut b) = lab::pair("", "");
    a.write_config(&ENDS_A, "", "", "start = \"on-demand\"");
    b.start();
    a.start();
    assert!(!a.is_up());
    let (here, there) = (lab::socket(&a.namespace, INSIDE_A), lab::socket(&b.namespace, INSIDE_B));
    here.send_to(b"the first and only", there.local_addr().unwrap()).unwrap();
    let mut buffer = [0; 64];
    let len = until("it arrives", || there.recv_from(&mut buffer).ok()).0;
    assert_eq!(&buffer[..len], b"the first and only");
    assert!(a.is_up() && a.child()["packets_out"] == 1);
}

/// A generator of arbitrary bytes, the same each time (SplitMix64).
fn bytes(state: &mut u64, len: usize) -> Vec<u8> {
    let mut next = || {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn garbage_leaves_no_state_and_few_lines() {
    let (a, b) = lab::tunnel("", "");
    let stranger = lab::socket(&b.namespace, "192.0.2.2");
    let mut state = 1;
    for round in 0..2000_usize {
        let mut garbage = bytes(&mut state, round % 700);
        // Half of them look like an IKE_SA_INIT request up to the payloads, whose chain leads nowhere.
        if round % 2 == 0 && garbage.len() >= 28 {
            garbage[8..16].fill(0);
            garbage[16..20].copy_from_slice(&[33, 0x20, 34, 0x08]);
            garbage[20..24].fill(0);
            let len = garbage.len() as u32;
            garbage[24..28].copy_from_slice(&len.to_be_bytes());
        }
        let marked = [&[0; 4][..], &garbage].concat();
        stranger.send_to(&garbage, "192.0.2.1:500").unwrap();
        stranger.send_to(&garbage, "192.0.2.1:4500").unwrap();
        stranger.send_to(&marked, "192.0.2.1:4500").unwrap();
    }
    let status = until("no negotiation is under way", || {
        let status = a.status();
        (status["gateway"]["half_open"] == 0).then_some(status)
    });
    assert_eq!(status["connections"][0]["state"], "up", "{status}");
    let counted: u64 = status["drops"].as_object().unwrap().values().filter_map(|count| count.as_u64()).sum();
    assert!(counted >= 500, "ESP garbage is counted: {status}");
    let lines = a.events("ignored").len() + a.events("rejected").len();
    assert!((1..=20).contains(&lines), "{lines} lines in the log");
    lab::wait_for_traffic(&a, &b);
}

fn a_capture_shows_decrypted_packets() {
    let (a, b) = lab::tunnel("", "");
    let mut client = a.client().unwrap();
    let unknown = client.request(&json!({"command": "capture", "connection": "y"})).unwrap();
    assert_eq!(unknown["error"]["code"], "unknown_connection");
    let request = json!({"command": "capture", "connection": "x", "packets": 2, "seconds": 30, "view": "inside"});
    let answer = client.request(&request).unwrap();
    assert_eq!(answer["ok"], true, "{answer}");
    let second = a.client().unwrap().request(&request).unwrap();
    assert_eq!(second["error"]["code"], "busy");
    let (here, there) = (lab::socket(&a.namespace, INSIDE_A), lab::socket(&b.namespace, INSIDE_B));
    let mut buffer = [0; 64];
    let from = until("a datagram crosses", || {
        here.send_to(b"secret question", there.local_addr().unwrap()).ok()?;
        Some(there.recv_from(&mut buffer).ok()?.1)
    });
    there.send_to(b"secret answer", from).unwrap();
    let mut file = Vec::new();
    while let Some(piece) = client.next_response().unwrap() {
        file.extend(base64(piece["pcapng"].as_str().unwrap_or_default()).unwrap());
    }
    let holds = |needle: &[u8]| file.windows(needle.len()).any(|window| window == needle);
    assert_eq!(file.get(..4), Some(&[0x0a, 0x0d, 0x0d, 0x0a][..]), "pcapng");
    assert!(holds(b"x inside") && holds(b"secret question"), "{} bytes", file.len());
    until("the log tells of its end", || (a.events("capture_ended").len() == 1).then_some(()));
    assert_eq!(a.events("capture_started").len(), 1);
    assert!(!a.log().contains("secret question"));
}

/// Everything a capture streams, and the lines that are no pieces of the file.
fn stream(client: &mut host::control::ControlClient) -> (Vec<u8>, Vec<serde_json::Value>) {
    let (mut file, mut others) = (Vec::new(), Vec::new());
    while let Some(line) = client.next_response().unwrap() {
        match line["pcapng"].as_str() {
            Some(piece) => file.extend(base64(piece).unwrap()),
            None => others.push(line),
        }
    }
    (file, others)
}

fn a_capture_shows_outer_packets() {
    let (a, b) = lab::tunnel("", "encapsulation = \"force\"");
    let mut client = a.client().unwrap();
    let nonsense = client.request(&json!({"command": "capture", "view": "sideways"})).unwrap();
    assert_eq!(nonsense["error"]["code"], "bad_request");
    let answer =
        client.request(&json!({"command": "capture", "connection": "x", "packets": 2, "seconds": 30})).unwrap();
    assert_eq!(answer["ok"], true, "{answer}");
    // From the peer's address, of no SA, and from nobody's.
    let peer = lab::socket(&b.namespace, ENDS_B.local);
    let there = lab::socket(&b.namespace, INSIDE_B);
    let here = lab::socket(&a.namespace, INSIDE_A);
    peer.send_to(&[0xc0; 64], (ENDS_A.local, 4500)).unwrap();
    let mut buffer = [0; 64];
    until("a datagram crosses", || {
        here.send_to(b"secret question", there.local_addr().unwrap()).ok()?;
        Some(there.recv_from(&mut buffer).ok()?.1)
    });
    let (file, others) = stream(&mut client);
    let holds = |needle: &[u8]| file.windows(needle.len()).any(|window| window == needle);
    assert!(holds(b"x outside") && holds(b"ESP SPI 0xc0c0c0c0 sequence 3233857728 in: dropped: no_sa"));
    assert!(holds(b" out: sent"), "{} bytes", file.len());
    assert!(!holds(b"secret question") && !holds(b"x inside"));
    assert_eq!(others, [json!({"end": {"packets": 2, "lost": 0}})]);
}

fn keys_are_given_out_aloud() {
    let (a, b) = lab::tunnel("", "");
    let request = json!({"command": "capture", "connection": "x", "milliseconds": 300, "view": "none", "keys": true});
    let mut client = a.client().unwrap();
    assert_eq!(client.request(&request).unwrap()["ok"], true);
    let (file, others) = stream(&mut client);
    assert!(file.len() < 200, "no packets: {} bytes", file.len());
    let esp = others[0]["keys"]["esp_sa"].as_array().unwrap();
    assert_eq!((esp.len(), others[0]["keys"]["ikev2_decryption_table"].as_array().unwrap().len()), (2, 1));
    assert_eq!((a.events("keys_exported").len(), a.events("capture_started").len()), (1, 0));
    let key = esp[0].as_str().unwrap().split('"').find(|word| word.len() >= 34).unwrap();
    assert!(!a.log().contains(key));
    drop((a, b));

    let (a, _b) = lab::tunnel("key_export = \"off\"", "");
    let mut client = a.client().unwrap();
    assert_eq!(client.request(&request).unwrap()["error"]["code"], "forbidden");
    until("the log tells of it", || (a.events("keys_refused").len() == 1).then_some(()));
    assert!(a.events("keys_exported").is_empty());
}
