//! The SPD fails closed, the SAD tells SPIs apart, and port 4500 is sorted (RFC 4301 §4.4, RFC 3948 §2).

mod support;

use std::sync::Arc;

use crypto::{Cipher, Rng, SeededRng};
use ipsec::{Action, Demux, EspSuite, Policy, Sad, Spd, Spi, SpiInUse, demux, demux_esp, random_spi};
use packet::flow_key;
use support::*;

fn policy(name: &str, action: Action<u8>, local: &[&str], remote: &[&str]) -> Policy<u8> {
    Policy { name: name.into(), action, local: selectors(local), remote: selectors(remote) }
}

fn spd() -> Spd<u8> {
    Spd::new(vec![
        policy("printer", Action::Bypass, &["10.1.0.0/16"], &["10.2.0.7[tcp/9100]"]),
        policy("guests", Action::Discard, &["10.1.9.0/24"], &["0.0.0.0/0"]),
        policy("site-b", Action::Protect(1), &["10.1.0.0/16"], &["10.2.0.0/16"]),
        policy("pings", Action::Protect(3), &["10.1.0.0/16[icmp/8]"], &["10.3.0.0/16[icmp/8]"]),
        policy("site-b v6", Action::Protect(2), &["fd00:1::/32"], &["fd00:2::/32"]),
    ])
}

fn tcp(source: &str, destination: &str, port: u16) -> Vec<u8> {
    let mut packet = udp(&format!("{source}:1000"), &format!("{destination}:{port}"), &[0; 20]);
    packet[9] = 6;
    packet
}

#[test]
fn the_first_policy_that_matches_decides_and_nothing_else_leaves() {
    let spd = spd();
    let mut ping = Vec::new();
    let (from, to) = (address("10.1.0.1"), address("10.3.0.1"));
    packet::icmp::echo_request(from, to, 1, 1, b"", &mut ping).unwrap();
    let mut fragment = tcp("10.1.0.1", "10.2.0.7", 9100);
    fragment[7] = 8;
    let cases = [
        ("to the printer", tcp("10.1.0.1", "10.2.0.7", 9100), Action::Bypass),
        ("a fragment to it shows no port", fragment, Action::Protect(&1)),
        ("to its other ports", tcp("10.1.0.1", "10.2.0.7", 80), Action::Protect(&1)),
        ("to site B", packet_v4(1), Action::Protect(&1)),
        ("to site B, IPv6", packet_v6(1), Action::Protect(&2)),
        ("a guest", udp("10.1.9.1:1", "10.2.0.1:1", b""), Action::Discard),
        ("an allowed ping", ping, Action::Protect(&3)),
        ("to nowhere known", udp("10.1.0.1:1", "192.0.2.1:1", b""), Action::Discard),
        ("from nowhere known", udp("10.8.0.1:1", "10.2.0.1:1", b""), Action::Discard),
        ("IPv6 to nowhere known", udp("[::2]:1", "[::1]:1", b""), Action::Discard),
    ];
    for (name, packet, action) in cases {
        let flow = flow_key(&packet).unwrap();
        assert_eq!(spd.lookup_outbound(&flow), action, "{name}");
    }
    let flow = flow_key(&packet_v4(1)).unwrap();
    assert_eq!(spd.find_outbound(&flow).map(|policy| &*policy.name), Some("site-b"));
    assert_eq!(spd.policies().len(), 5);
}

#[test]
fn clear_text_from_outside_needs_a_bypass_policy() {
    let spd = spd();
    let inbound = |source: &str, source_port: u16, destination: &str| {
        let mut packet = udp(&format!("{source}:{source_port}"), &format!("{destination}:5"), b"");
        packet[9] = 6;
        spd.lookup_inbound(&flow_key(&packet).unwrap())
    };
    assert_eq!(inbound("10.2.0.7", 9100, "10.1.0.1"), Action::Bypass);
    assert_eq!(inbound("10.2.0.8", 9100, "10.1.0.1"), Action::Protect(&1));
    assert_eq!(inbound("192.0.2.1", 9100, "10.1.0.1"), Action::Discard);
}

#[test]
fn an_empty_database_lets_nothing_out() {
    let spd: Spd<u8> = Spd::default();
    for packet in [packet_v4(1), packet_v6(1)] {
        let flow = flow_key(&packet).unwrap();
        assert_eq!(spd.lookup_outbound(&flow), Action::Discard);
        assert_eq!(spd.lookup_inbound(&flow), Action::Discard);
    }
}

#[test]
fn an_spi_names_one_sa_and_a_removed_one_none() {
    let sa = Arc::new(inbound(EspSuite::aead(Cipher::AesGcm16_128), 64));
    let mut sad = Sad::new();
    sad.insert(sa.clone()).unwrap();
    assert_eq!(sad.insert(sa.clone()), Err(SpiInUse(spi())));
    let published = sad.clone();
    assert_eq!((sad.len(), sad.iter().count()), (1, 1));
    assert!(sad.get(spi()).is_some_and(|found| Arc::ptr_eq(found, &sa)));
    assert!(sad.remove(spi()).is_some() && sad.is_empty() && sad.get(spi()).is_none());
    assert!(published.get(spi()).is_some(), "the published table stays as it was");
}

/// An "rng" whose first numbers are all the same.
struct Stuck(u32);

impl Rng for Stuck {
    fn fill(&mut self, dest: &mut [u8]) {
        for (byte, value) in dest.iter_mut().zip(self.0.to_le_bytes().into_iter().cycle()) {
            *byte = value;
        }
    }
}

#[test]
fn a_free_spi_is_neither_reserved_nor_taken() {
    let mut rng = SeededRng::new(1);
    let taken = |spi: Spi| spi.get() & 7 != 0;
    for _ in 0..1000 {
        assert_eq!(random_spi(&mut rng, taken).get() & 7, 0);
    }
    for stuck in [0, 7, 255, 256, u32::MAX] {
        let spi = random_spi(&mut Stuck(stuck), |spi| spi.get() == stuck || spi.get() == 256);
        assert!(spi.get() > 256 && spi.get() != stuck);
    }
    let mut sad = Sad::new();
    sad.insert(Arc::new(inbound(EspSuite::aead(Cipher::AesGcm16_128), 64))).unwrap();
    assert_ne!(sad.free_spi(&mut Stuck(spi().get())), spi());
}

#[test]
fn datagrams_on_port_4500_are_told_apart() {
    let cases: [(&[u8], Demux<'_>); 12] = [
        (&[], Demux::TooShort),
        (&[0xff], Demux::Keepalive),
        (&[0], Demux::TooShort),
        (&[0xff, 0xff], Demux::TooShort),
        (&[0, 0, 0], Demux::TooShort),
        (&[0, 0, 0, 0], Demux::Ike(&[])),
        (&[0, 0, 0, 0, 9, 8], Demux::Ike(&[9, 8])),
        (&[0, 0, 1, 0, 0, 0, 0], Demux::TooShort),
        (&[0, 0, 1, 0, 0, 0, 0, 1], Demux::Esp(Spi::new(256).unwrap())),
        (&[0xff; 20], Demux::Esp(Spi::new(u32::MAX).unwrap())),
        (&[0, 0, 0, 255, 0, 0, 0, 1], Demux::ReservedSpi(255)),
        (&[0, 0, 0, 1, 0, 0, 0, 1], Demux::ReservedSpi(1)),
    ];
    for (datagram, expected) in cases {
        assert_eq!(demux(datagram), expected, "{datagram:?}");
    }
}

#[test]
fn protocol_50_carries_neither_ike_nor_keepalives() {
    assert_eq!(demux_esp(&[0; 8]), Demux::ReservedSpi(0));
    assert_eq!(demux_esp(&[0xff]), Demux::TooShort);
    assert_eq!(demux_esp(&[0, 0, 1, 0, 0, 0, 0, 1]), Demux::Esp(Spi::new(256).unwrap()));
}
