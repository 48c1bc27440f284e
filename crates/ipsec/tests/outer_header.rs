//! DSCP, ECN and DF between inner and outer header, and what becomes of packets that do not fit (RFC 6040, RFC 4301 §8).

mod support;

use ipsec::{DfPolicy, DropReason, DscpPolicy, Encapsulation, Fit, TunnelPolicy, fit};
use packet::{IpVersion, IpView, checksum};
use support::*;

fn with_tos(mut packet: Vec<u8>, tos: u8) -> Vec<u8> {
    packet::ecn::set_tos(&mut packet, tos);
    packet
}

#[test]
fn the_outer_tos_follows_the_policy() {
    for inner in [packet_v4(1), packet_v6(1)] {
        for tos in 0..=255 {
            let inner = with_tos(inner.clone(), tos);
            let outer = |dscp, ecn| {
                let df = DfPolicy::Copy;
                TunnelPolicy { dscp, df, ecn }.outer_tos(&inner)
            };
            assert_eq!(outer(DscpPolicy::Copy, true), tos);
            assert_eq!(outer(DscpPolicy::Copy, false), tos & 0xfc);
            assert_eq!(outer(DscpPolicy::Fixed(46), true), 46 << 2 | tos & 3);
            assert_eq!(outer(DscpPolicy::Fixed(0), false), 0);
        }
    }
    assert_eq!(TunnelPolicy::default().outer_tos(&[]), 0);
    assert_eq!(TunnelPolicy::default().outer_tos(&[0x45]), 0);
}

/// RFC 6040 figure 4: rows inner, columns outer, both in order Not-ECT, ECT(0), ECT(1), CE; `None` is a drop.
#[test]
fn congestion_marks_come_in_by_the_table_of_rfc_6040() {
    let order = [0b00, 0b10, 0b01, 0b11];
    let (not, ect0, ect1, ce) = (Some(0b00), Some(0b10), Some(0b01), Some(0b11));
    let table = [[not, not, not, None], [ect0, ect0, ect1, ce], [ect1, ect1, ect1, ce], [ce, ce, ce, ce]];
    for (row, inner_ecn) in table.into_iter().zip(order) {
        for (expected, outer_ecn) in row.into_iter().zip(order) {
            for packet in [packet_v4(5), packet_v6(5)] {
                let (dscp, outer_tos) = (0xb8, 0x20 | outer_ecn);
                let mut inner = with_tos(packet, dscp | inner_ecn);
                let result = TunnelPolicy::default().decapsulate(&mut inner, outer_tos);
                let view = IpView::parse(&inner).unwrap();
                match expected {
                    None => assert_eq!(result, Err(DropReason::Congestion)),
                    Some(ecn) => {
                        assert_eq!(result, Ok(()));
                        assert_eq!(view.tos(), dscp | ecn, "the DSCP stays");
                    }
                }
                if view.version() == IpVersion::V4 {
                    assert_eq!(checksum::checksum(&inner[..20]), 0);
                }
            }
        }
    }
}

#[test]
fn a_tunnel_without_ecn_takes_no_mark_in() {
    let policy = TunnelPolicy { ecn: false, ..TunnelPolicy::default() };
    for tos in 0..4 {
        let mut inner = with_tos(packet_v4(1), tos);
        let before = inner.clone();
        assert_eq!(policy.decapsulate(&mut inner, 3), Ok(()));
        assert_eq!(inner, before);
    }
    let garbage = TunnelPolicy::default().decapsulate(&mut [0x45, 0], 3);
    assert_eq!(garbage, Err(DropReason::Malformed));
}

fn without_df(mut packet: Vec<u8>) -> Vec<u8> {
    packet[6] &= !0x40;
    packet
}

#[test]
fn the_outer_df_bit_follows_the_policy() {
    let df = |df, inner: &[u8]| {
        let policy = TunnelPolicy { df, ..TunnelPolicy::default() };
        policy.outer_df(inner)
    };
    let (set, clear, v6) = (packet_v4(1), without_df(packet_v4(1)), packet_v6(1));
    for (inner, copied) in [(&set, true), (&clear, false), (&v6, true)] {
        assert_eq!(df(DfPolicy::Copy, inner), copied);
        assert!(df(DfPolicy::Set, inner));
        assert!(!df(DfPolicy::Clear, inner));
    }
}

#[test]
fn packets_that_do_not_fit_are_fragmented_first_or_answered() {
    let set = packet_v4(1411);
    let clear = without_df(packet_v4(1411));
    assert_eq!(set.len(), 1439);
    assert_eq!(fit(&set, 1439), Fit::Ok);
    assert_eq!(fit(&set, 1438), Fit::TooBigDf(1438));
    assert_eq!(fit(&clear, 1439), Fit::Ok);
    assert_eq!(fit(&clear, 1438), Fit::FragmentFirst);
    let v6 = packet_v6(1391);
    assert_eq!(v6.len(), 1439);
    assert_eq!(fit(&v6, 1439), Fit::Ok);
    assert_eq!(fit(&v6, 1438), Fit::TooBigDf(1438));
    // No IPv6 sender goes below 1280: it is told 1280, and what it sends then passes in outer fragments.
    assert_eq!(fit(&v6, 1200), Fit::TooBigDf(1280));
    assert_eq!(fit(&packet_v6(1280 - 48), 1200), Fit::FragmentOuter);
    assert_eq!(fit(&packet_v6(1281 - 48), 1200), Fit::TooBigDf(1280));
    assert_eq!(fit(&[], 0), Fit::Ok);
    assert_eq!(fit(&[0x45, 0, 0], 2), Fit::TooBigDf(2));
}

#[test]
fn an_encapsulation_knows_its_outer_header() {
    let udp =
        Encapsulation::Udp { local: "192.0.2.1:4500".parse().unwrap(), remote: "198.51.100.7:31000".parse().unwrap() };
    assert!(udp.is_udp());
    assert_eq!(udp.outer_version(), IpVersion::V4);
    assert_eq!(udp.remote_address(), address("198.51.100.7"));
    let plain = Encapsulation::Plain { local: address("2001:db8::1"), remote: address("2001:db8::2") };
    assert!(!plain.is_udp());
    assert_eq!(plain.outer_version(), IpVersion::V6);
    assert_eq!(plain.local_address(), address("2001:db8::1"));
}
