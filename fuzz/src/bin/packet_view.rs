//! Arbitrary bytes as an IP packet: views, flow keys, MSS clamp, TTL, ECN, fragmentation and ICMP answers.
//! Besides not panicking: views stay inside the bytes, fragments carry the payload, ICMP answers parse.
#![no_main]

use libfuzzer_sys::fuzz_target;
use packet::{IpVersion, IpView, icmp};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use underpass_fuzz::Bytes;

fuzz_target!(|data: &[u8]| {
    let mut bytes = Bytes(data);
    let (mtu, tos) = (bytes.u16(), bytes.u8());
    let raw = bytes.0;
    let parsed = IpView::parse(raw);
    assert_eq!(packet::flow_key(raw).is_ok(), parsed.is_ok());
    let mut changed = raw.to_vec();
    if let Ok(view) = parsed {
        assert!(view.total_len() <= raw.len());
        assert_eq!(view.transport_offset() + view.payload().len(), view.total_len());
        let _ = packet::checksum::verify_transport(&view);
        fragments(raw, &view, mtu);
        answers(raw, &view, mtu);
    }
    let _ = (icmp::parse_echo(raw), icmp::parse_too_big(raw));
    let clamped = packet::clamp_mss(&mut changed, mtu, mtu, tos & 1 != 0);
    assert_eq!(clamped, changed != raw);
    let _ = packet::decrement_ttl(&mut changed);
    let _ = packet::ecn::apply_decap(&mut changed, tos);
    assert_eq!(changed.len(), raw.len());
});

fn fragments(raw: &[u8], view: &IpView<'_>, mtu: u16) {
    let mut payload = Vec::new();
    let count = packet::fragment_v4(raw, mtu.into(), |fragment| {
        let piece = IpView::parse(fragment).expect("a fragment of ours parses");
        assert!(fragment.len() <= usize::from(mtu));
        payload.extend_from_slice(&fragment[piece.header_len()..]);
    });
    match count {
        Ok(count) => {
            assert!(count >= 1 && view.version() == IpVersion::V4);
            assert_eq!(payload, &view.bytes()[view.header_len()..]);
        }
        Err(_) => assert!(payload.is_empty(), "an error hands out nothing"),
    }
}

fn answers(raw: &[u8], view: &IpView<'_>, mtu: u16) {
    let us: IpAddr = match view.version() {
        IpVersion::V4 => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpVersion::V6 => Ipv6Addr::LOCALHOST.into(),
    };
    let mut out = Vec::new();
    let built = [
        icmp::too_big(raw, mtu, us, &mut out).is_ok(),
        icmp::time_exceeded(raw, us, &mut out).is_ok(),
        icmp::unreachable(raw, icmp::Unreachable::AdminProhibited, us, &mut out).is_ok(),
    ];
    if built[2] {
        let answer = IpView::parse(&out).expect("an answer of ours parses");
        assert_eq!((answer.source(), answer.destination()), (us, view.source()));
        assert!(out.len() <= 1280, "RFC 4443 §2.4 (c), RFC 1812 §4.3.2.3");
        // RFC 1122 §3.2.2: an ICMP error never answers an ICMP error.
        let mut second = Vec::new();
        assert!(icmp::time_exceeded(&out, us, &mut second).is_err());
    }
}
