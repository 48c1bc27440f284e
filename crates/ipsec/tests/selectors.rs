//! Traffic selectors: text, sets, narrowing (RFC 7296 §2.9), routes, and the check of decrypted packets (RFC 4301 §5.2).

mod support;

use crypto::{Cipher, Rng, SeededRng};
use ipsec::selector::selectors as lists;
use ipsec::{DropReason, EspSuite, FlowSide, SelectorPair, TrafficSelector};
use support::*;

#[test]
fn texts_are_read_and_written_back() {
    // (read, written)
    let table = [
        ("10.0.0.0/16", "10.0.0.0/16"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("10.0.0.1", "10.0.0.1/32"),
        ("fd00::1", "fd00::1/128"),
        ("10.0.0.1-10.0.0.9", "10.0.0.1-10.0.0.9"),
        ("10.0.0.0-10.0.0.255", "10.0.0.0/24"),
        ("10.0.0.0/16[tcp/443]", "10.0.0.0/16[tcp/443]"),
        (" 10.0.0.0/16 [ TCP / 1000-2000 ] ", "10.0.0.0/16[tcp/1000-2000]"),
        ("10.0.0.0/16[17]", "10.0.0.0/16[udp]"),
        ("10.0.0.0/16[200]", "10.0.0.0/16[200]"),
        ("10.0.0.0/16[any]", "10.0.0.0/16"),
        ("10.0.0.0/16[tcp/any]", "10.0.0.0/16[tcp]"),
        ("10.0.0.0/16[udp/opaque]", "10.0.0.0/16[udp/opaque]"),
        ("10.0.0.0/16[icmp/8]", "10.0.0.0/16[icmp/8]"),
        ("10.0.0.0/16[icmp/8:0]", "10.0.0.0/16[icmp/8:0]"),
        ("10.0.0.0/16[icmp/3-11]", "10.0.0.0/16[icmp/3-11]"),
        ("10.0.0.0/16[icmp/3:1-11:0]", "10.0.0.0/16[icmp/3:1-11:0]"),
        ("fd00::/48[ipv6-icmp/128:0]", "fd00::/48[icmpv6/128:0]"),
    ];
    for (text, written) in table {
        let parsed: TrafficSelector = text.parse().unwrap();
        assert_eq!(parsed.to_string(), written, "{text}");
        assert_eq!(written.parse(), Ok(parsed), "{text}");
    }
}

#[test]
fn wrong_texts_say_what_would_be_right() {
    let table = [
        ("", "`` is not an IP address"),
        ("10.0.0.0.0/8", "`10.0.0.0.0` is not an IP address"),
        ("10.0.0.0/33", "`/33` is not a prefix length of 10.0.0.0: it is 0 to 32"),
        ("10.0.0.0/", "`/` is not a prefix length of 10.0.0.0: it is 0 to 32"),
        ("::/+8", "`/+8` is not a prefix length of ::: it is 0 to 128"),
        ("10.0.1.1/16", "10.0.1.1/16 has bits set beyond the prefix; did you mean 10.0.0.0/16?"),
        ("10.0.0.9-10.0.0.1", "10.0.0.9-10.0.0.1 is not a range: the end is below the start or of the other family"),
        ("10.0.0.1-::1", "10.0.0.1-::1 is not a range: the end is below the start or of the other family"),
        ("10.0.0.0/8[tcp", "`[tcp` should look like `[tcp/443]` or `[udp]`"),
        ("10.0.0.0/8[http]", "`http` is no protocol: give a number or one of any, icmp, icmpv6, tcp, udp, sctp, gre"),
        (
            "10.0.0.0/8[tcp/70000]",
            "`70000` is no port: give a number to 65535, a range such as 1000-2000, `any` or `opaque`",
        ),
        (
            "10.0.0.0/8[tcp/9-8]",
            "`9-8` is no port: give a number to 65535, a range such as 1000-2000, `any` or `opaque`",
        ),
        ("10.0.0.0/8[icmp/2048]", "`2048` is no ICMP type: give a type to 255, or type and code such as 8:0"),
        ("10.0.0.0/8[gre/1]", "protocol `gre` has no ports"),
        ("10.0.0.0/8[any/443]", "protocol `any` has no ports"),
    ];
    for (text, message) in table {
        let error = text.parse::<TrafficSelector>().unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn prefixes_ignore_host_bits_and_lengths_beyond_the_family() {
    assert_eq!(TrafficSelector::from_prefix(address("10.1.2.3"), 16), selector("10.1.0.0/16"));
    assert_eq!(TrafficSelector::from_prefix(address("10.1.2.3"), 200), selector("10.1.2.3"));
    assert_eq!(TrafficSelector::from_prefix(address("fd00::1"), 0), TrafficSelector::any_v6());
    assert_eq!(TrafficSelector::any_v4(), selector("0.0.0.0/0"));
}

#[test]
fn a_selector_contains_what_its_fields_say() {
    let contains = |text: &str, ip: &str, protocol, port: Option<u16>| {
        let address = address(ip);
        selector(text).contains_flow(&FlowSide { address, protocol, port })
    };
    assert!(contains("10.0.0.0/8", "10.255.255.255", 6, Some(1)));
    assert!(!contains("10.0.0.0/8", "11.0.0.0", 6, Some(1)));
    assert!(!contains("0.0.0.0/0", "::1", 6, Some(1)), "another family");
    assert!(!contains("10.0.0.0/8[udp]", "10.0.0.1", 6, Some(1)));
    assert!(contains("10.0.0.0/8[tcp/80-90]", "10.0.0.1", 6, Some(90)));
    assert!(!contains("10.0.0.0/8[tcp/80-90]", "10.0.0.1", 6, Some(91)));
    assert!(contains("10.0.0.0/8[icmp/8]", "10.0.0.1", 1, Some(0x0800)));
    assert!(!contains("10.0.0.0/8[icmp/8]", "10.0.0.1", 1, Some(0)));
    // RFC 4301 §7: later fragments show no port.
    assert!(contains("10.0.0.0/8[tcp]", "10.0.0.1", 6, None));
    assert!(!contains("10.0.0.0/8[tcp/80]", "10.0.0.1", 6, None));
    assert!(contains("10.0.0.0/8[tcp/opaque]", "10.0.0.1", 6, None));
    assert!(!contains("10.0.0.0/8[tcp/opaque]", "10.0.0.1", 6, Some(80)));
}

#[test]
fn selectors_of_no_packet_match_none_and_break_nothing() {
    let mut upside_down = selector("10.0.0.1-10.0.0.9");
    std::mem::swap(&mut upside_down.start, &mut upside_down.end);
    let mut two_families = selector("0.0.0.0/0");
    two_families.end = address("::1");
    let ports = selector("0.0.0.0/0[tcp]").with_ports(9, 8);
    for empty in [upside_down, two_families, ports] {
        assert!(empty.is_empty());
        assert!(!empty.contains(address("10.0.0.5"), 6, 8));
        assert_eq!(empty.intersection(&TrafficSelector::any_v4()), None);
        assert!(empty.is_subset_of(&selector("192.0.2.1")));
        assert!(!TrafficSelector::any_v4().is_subset_of(&empty));
        assert!(empty.prefixes().is_empty() && empty.as_prefix().is_none());
        assert!(lists::narrow(&[TrafficSelector::any_v4()], std::slice::from_ref(&empty)).is_empty());
        assert!(!empty.to_string().is_empty());
    }
}

/// Small selectors, so that random ones meet often.
fn random_selector(rng: &mut SeededRng) -> TrafficSelector {
    let base = if rng.below(8) == 0 { "fd00::" } else { "10.0.0.0" };
    let point = |offset: u64| match address(base) {
        std::net::IpAddr::V4(a) => std::net::Ipv4Addr::from_bits(a.to_bits() + offset as u32).into(),
        std::net::IpAddr::V6(a) => std::net::Ipv6Addr::from_bits(a.to_bits() + u128::from(offset)).into(),
    };
    let start = rng.below(6);
    let range = TrafficSelector::range(point(start), point(start + rng.below(6)));
    let range = range.with_protocol([0, 6, 17][rng.below(3) as usize]);
    match rng.below(4) {
        0 => range.with_ports(u16::MAX, 0),
        1 => {
            let first = rng.below(4) as u16;
            range.with_ports(first, first + rng.below(3) as u16)
        }
        _ => range,
    }
}

/// Every side of a flow the random selectors can tell apart.
fn every_side() -> Vec<FlowSide> {
    let mut sides = Vec::new();
    for offset in 0..12 {
        for address in [format!("10.0.0.{offset}"), format!("fd00::{offset:x}")] {
            for protocol in [6, 17, 50] {
                for port in [None, Some(0), Some(1), Some(2), Some(3), Some(4), Some(5), Some(999)] {
                    let address = support::address(&address);
                    sides.push(FlowSide { address, protocol, port });
                }
            }
        }
    }
    sides
}

#[test]
fn intersection_and_subset_agree_with_membership() {
    let mut rng = SeededRng::new(11);
    let sides = every_side();
    for _ in 0..2000 {
        let (a, b) = (random_selector(&mut rng), random_selector(&mut rng));
        let both = a.intersection(&b);
        assert_eq!(both, b.intersection(&a));
        let in_both = |side: &FlowSide| a.contains_flow(side) && b.contains_flow(side);
        for side in &sides {
            let expected = in_both(side);
            let got = both.as_ref().is_some_and(|both| both.contains_flow(side));
            assert_eq!(got, expected, "{a} {b} {side:?}");
        }
        let subset = sides.iter().all(|side| !a.contains_flow(side) || b.contains_flow(side));
        // The sides sample protocols: only "any protocol" can look like a subset of one without being it.
        assert!(!a.is_subset_of(&b) || subset, "{a} {b}");
        if a.protocol == b.protocol || b.protocol == 0 {
            assert_eq!(a.is_subset_of(&b), subset, "{a} {b}");
        }
    }
}

#[test]
fn lists_cover_and_narrow_as_sets() {
    let mut rng = SeededRng::new(12);
    let sides = every_side();
    for _ in 0..1000 {
        let mut list = |count: u64| -> Vec<_> { (0..=rng.below(count)).map(|_| random_selector(&mut rng)).collect() };
        let (ours, theirs) = (list(4), list(4));
        let narrowed = lists::narrow(&ours, &theirs);
        let within = |list: &[TrafficSelector], side: &FlowSide| lists::contain(list, side);
        for side in &sides {
            let expected = within(&ours, side) && within(&theirs, side);
            assert_eq!(within(&narrowed, side), expected, "{ours:?} {theirs:?}");
        }
        assert!(lists::is_subset(&narrowed, &ours) && lists::is_subset(&narrowed, &theirs));
        for (index, one) in narrowed.iter().enumerate() {
            let others = narrowed.iter().enumerate().filter(|(other, _)| *other != index);
            assert!(others.into_iter().all(|(_, other)| !one.is_subset_of(other)));
        }
        let subset = sides.iter().all(|side| !within(&ours, side) || within(&theirs, side));
        assert!(!lists::is_subset(&ours, &theirs) || subset);
    }
}

#[test]
fn several_selectors_cover_one_together() {
    let halves = selectors(&["10.0.0.0/9", "10.128.0.0/9"]);
    assert!(lists::is_subset(&selectors(&["10.0.0.0/8"]), &halves));
    assert!(!lists::is_subset(&selectors(&["10.0.0.0/7"]), &halves));
    let split = selectors(&["10.0.0.0/8[tcp/1-65535]", "10.0.0.0/8[tcp/0]", "10.0.0.0/8[tcp/opaque]"]);
    assert!(lists::is_subset(&selectors(&["10.0.0.0/8[tcp]"]), &split));
    assert!(!lists::is_subset(&selectors(&["10.0.0.0/8"]), &split));
    assert!(!lists::is_subset(&selectors(&["10.0.0.0/8[tcp]"]), &split[..2]), "later fragments");
    assert!(lists::is_subset(&[], &[]));
    assert!(!lists::is_subset(&halves, &[]));
}

#[test]
fn narrowing_puts_the_triggering_packets_range_first() {
    let ours = selectors(&["10.1.0.0/16", "10.2.0.0/16", "fd00::/48"]);
    // (offer, answer)
    let table: [(&[&str], &[&str]); 6] = [
        (&["0.0.0.0/0"], &["10.1.0.0/16", "10.2.0.0/16"]),
        (&["10.2.0.7[tcp/22]", "0.0.0.0/0"], &["10.2.0.0/16", "10.1.0.0/16"]),
        (&["10.2.0.7[tcp/22]", "10.1.0.0/24"], &["10.2.0.7[tcp/22]", "10.1.0.0/24"]),
        (&["10.2.1.0/24", "::/0"], &["10.2.1.0/24", "fd00::/48"]),
        (&["10.9.0.1", "10.1.1.0/24"], &["10.1.1.0/24"]),
        (&["192.0.2.0/24"], &[]),
    ];
    for (offer, answer) in table {
        assert_eq!(lists::narrow(&ours, &selectors(offer)), selectors(answer), "{offer:?}");
    }
}

#[test]
fn narrowing_is_bounded() {
    let many = |step: u32| -> Vec<TrafficSelector> {
        (0..255_u32).map(|n| TrafficSelector::single(std::net::Ipv4Addr::from_bits(n * step).into())).collect()
    };
    let narrowed = lists::narrow(&[TrafficSelector::any_v4()], &many(2));
    assert_eq!(narrowed, many(2)[..lists::MAX_NARROWED]);
    assert!(lists::is_subset(&many(2), &many(2)));
    let crossed = lists::narrow(&many(1), &many(2));
    assert!(crossed.len() <= lists::MAX_NARROWED);
}

#[test]
fn routes_cover_exactly_the_range() {
    let table: [(&str, &[&str]); 6] = [
        ("10.0.0.0/8", &["10.0.0.0/8"]),
        ("0.0.0.0/0", &["0.0.0.0/0"]),
        ("::/0", &["::/0"]),
        ("10.0.0.1-10.0.0.6", &["10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/31", "10.0.0.6/32"]),
        ("255.255.255.254-255.255.255.255", &["255.255.255.254/31"]),
        ("fd00::ffff-fd00::1:0", &["fd00::ffff/128", "fd00::1:0/128"]),
    ];
    for (range, expected) in table {
        let got: Vec<_> =
            selector(range).prefixes().into_iter().map(|(address, length)| format!("{address}/{length}")).collect();
        assert_eq!(got, expected, "{range}");
    }
    assert_eq!(selector("0.0.0.1-255.255.255.254").prefixes().len(), 62);
    let mut widest = TrafficSelector::any_v6();
    widest.start = address("::1");
    widest.end = address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe");
    assert_eq!(widest.prefixes().len(), 254);
}

fn site_a() -> SelectorPair {
    SelectorPair {
        local: selectors(&["10.2.0.0/16", "fd00:2::/32"]),
        remote: selectors(&["10.1.0.0/16[udp/4000]", "10.1.0.0/16[icmp/8]", "fd00:1::/32"]),
    }
}

#[test]
fn a_decrypted_packet_outside_the_selectors_is_dropped() {
    let suite = EspSuite::aead(Cipher::AesGcm16_128);
    let (sender, receiver) = (outbound(suite), inbound_for(suite, 64, site_a()));
    let cases = [
        ("within", packet_v4(9), true),
        ("within, IPv6", packet_v6(9), true),
        ("spoofed source", udp("10.9.0.5:4000", "10.2.0.9:5000", b""), false),
        ("spoofed source, our own", udp("10.2.0.5:4000", "10.2.0.9:5000", b""), false),
        ("another destination", udp("10.1.0.5:4000", "10.3.0.9:5000", b""), false),
        ("another port", udp("10.1.0.5:4001", "10.2.0.9:5000", b""), false),
        ("IPv6 from elsewhere", udp("[fd00:3::1]:1", "[fd00:2::9]:1", b""), false),
    ];
    for (name, inner, allowed) in cases {
        let opened = receiver.open(&mut seal(&sender, &inner));
        match allowed {
            true => assert!(opened.is_ok(), "{name}"),
            false => assert_eq!(opened, Err(DropReason::Selector), "{name}"),
        }
    }
    assert_eq!(receiver.packets(), 2);
    assert_eq!(receiver.highest_sequence(), 7, "authentic all the same");
}

#[test]
fn a_later_fragment_does_not_pass_a_port_selector() {
    let suite = EspSuite::aead(Cipher::AesGcm16_128);
    let (sender, receiver) = (outbound(suite), inbound_for(suite, 64, site_a()));
    let mut fragment = packet_v4(9);
    fragment[7] = 3;
    let refused = receiver.open(&mut seal(&sender, &fragment));
    assert_eq!(refused, Err(DropReason::Selector));
}

#[test]
fn icmp_type_and_code_are_held_against_the_selectors() {
    let suite = EspSuite::aead(Cipher::AesGcm16_128);
    let (sender, receiver) = (outbound(suite), inbound_for(suite, 64, site_a()));
    let (from, to) = (address("10.1.0.5"), address("10.2.0.9"));
    let mut request = Vec::new();
    packet::icmp::echo_request(from, to, 1, 1, b"", &mut request).unwrap();
    assert!(receiver.open(&mut seal(&sender, &request)).is_ok());
    let mut other = Vec::new();
    packet::icmp::echo_request(to, from, 1, 1, b"", &mut other).unwrap();
    let echo = packet::icmp::parse_echo(&other).unwrap();
    let mut reply = Vec::new();
    packet::icmp::echo_reply(&echo, &mut reply).unwrap();
    let refused = receiver.open(&mut seal(&sender, &reply));
    assert_eq!(refused, Err(DropReason::Selector), "type 0 was not negotiated");
}

#[test]
fn an_icmp_error_of_a_router_behind_the_peer_passes_when_it_is_about_our_packet() {
    let suite = EspSuite::aead(Cipher::AesGcm16_128);
    let (sender, receiver) = (outbound(suite), inbound_for(suite, 64, site_a()));
    let error_about = |offending: &[u8], router: &str| {
        let mut error = Vec::new();
        packet::icmp::too_big(offending, 1300, address(router), &mut error).unwrap();
        error
    };
    let ours_v4 = udp("10.2.0.9:5000", "10.1.0.5:4000", &[7; 1380]);
    let ours_v6 = udp("[fd00:2::9]:5000", "[fd00:1::5]:4000", &[7; 1380]);
    let not_ours = udp("10.2.0.9:5000", "10.7.0.5:4000", &[7; 1380]);
    let not_from_us = udp("10.4.0.9:5000", "10.1.0.5:4000", &[7; 1380]);
    let mut redirected = error_about(&ours_v4, "172.16.0.1");
    redirected[19] ^= 1; // to a neighbour of the offending packet's sender
    let cases = [
        ("ours", error_about(&ours_v4, "172.16.0.1"), true),
        ("ours, IPv6", error_about(&ours_v6, "fd00:77::1"), true),
        ("not to where we send", error_about(&not_ours, "172.16.0.1"), false),
        ("not from us", error_about(&not_from_us, "172.16.0.1"), false),
        ("to somebody else", redirected, false),
    ];
    for (name, inner, allowed) in cases {
        let opened = receiver.open(&mut seal(&sender, &inner));
        match allowed {
            true => assert!(opened.is_ok(), "{name}"),
            false => assert_eq!(opened, Err(DropReason::Selector), "{name}"),
        }
    }
    for cut in 20..error_about(&ours_v4, "172.16.0.1").len() {
        let mut inner = error_about(&ours_v4, "172.16.0.1")[..cut].to_vec();
        inner[2..4].copy_from_slice(&u16::try_from(cut).unwrap().to_be_bytes());
        let opened = receiver.open(&mut seal(&sender, &inner));
        let has_ports = cut >= 20 + 8 + 20 + 4;
        assert_eq!(opened.is_ok(), has_ports, "{cut}");
    }
}

#[test]
fn the_selector_of_a_flow_contains_it_and_nothing_beside() {
    for side in every_side() {
        let exact = TrafficSelector::of_flow(&side);
        assert!(exact.contains_flow(&side));
        let others = every_side().into_iter().filter(|other| exact.contains_flow(other));
        assert!(others.into_iter().all(|other| other.address == side.address));
    }
}
