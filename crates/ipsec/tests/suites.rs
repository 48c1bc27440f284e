//! Every suite carries IPv4 and IPv6, at every length of padding, and costs what it says.

mod support;

use crypto::{CbcIv, Cipher, Integrity, SecretBytes, SeededRng};
use ipsec::{EspSuite, OutboundSa, SaLimits, TunnelPolicy};
use packet::IpVersion;
use support::*;

#[test]
fn every_suite_carries_both_ip_versions_at_every_padding() {
    let suites = all_suites();
    assert_eq!(suites.len(), 64);
    for suite in suites {
        let (sender, receiver) = (outbound(suite), inbound(suite, 64));
        for payload in (0..40).chain([1400]) {
            for (inner, next_header) in [(packet_v4(payload), 4), (packet_v6(payload), 41)] {
                let mut esp = seal(&sender, &inner);
                assert_eq!(esp.len(), suite.sealed_len(inner.len()), "{suite}");
                let text_len = esp.len() - 8 - suite.cipher.iv_len() - suite.icv_len();
                assert_eq!(text_len % suite.alignment(), 0, "{suite}");
                let opened = receiver.open(&mut esp).unwrap();
                assert_eq!(esp[opened.inner], inner, "{suite} {payload}");
                assert_eq!(opened.next_header, next_header);
                assert_eq!(opened.first_on_this_sa, sender.packets() == 1);
            }
        }
        assert_eq!(receiver.packets(), sender.packets());
        assert_eq!(receiver.bytes(), sender.bytes());
        assert_eq!(receiver.highest_sequence(), sender.packets());
    }
}

#[test]
fn sealing_in_place_gives_the_same_packet_as_sealing_a_copy() {
    for suite in all_suites() {
        let inner = packet_v4(77);
        let copied = seal(&outbound(suite), &inner);
        let sender = outbound(suite);
        let mut buffer = vec![0xee; copied.len() + 9];
        let start = sender.inner_offset();
        buffer[start..start + inner.len()].copy_from_slice(&inner);
        let sequence = sender.reserve(1).unwrap();
        let length = sender.seal_in_place(sequence, inner.len(), &mut buffer).unwrap();
        assert_eq!(buffer[..length], copied, "{suite}");
        assert_eq!(buffer[length..], [0xee; 9], "nothing is written behind the packet");
    }
}

#[test]
fn no_two_packets_share_an_iv() {
    for suite in typical_suites() {
        let sender = outbound(suite);
        let mut ivs: Vec<Vec<u8>> =
            (0..1000).map(|_| seal(&sender, &packet_v4(8))[8..sender.inner_offset()].to_vec()).collect();
        ivs.sort();
        ivs.dedup();
        assert_eq!(ivs.len(), 1000, "{suite}");
    }
}

/// The table of AWS Site-to-Site VPN for a path of 1500 bytes over IPv4: (suite, MTU, MTU behind a NAT).
#[test]
fn the_inner_mtu_is_the_one_aws_publishes() {
    let cbc = |mac| EspSuite::with_mac(Cipher::AesCbc128, mac);
    let table = [
        (EspSuite::aead(Cipher::AesGcm16_128), 1446, 1438),
        (EspSuite::aead(Cipher::AesGcm16_256), 1446, 1438),
        (cbc(Integrity::HmacSha1_96), 1438, 1422),
        (cbc(Integrity::HmacSha2_256_128), 1438, 1422),
        (cbc(Integrity::HmacSha2_384_192), 1422, 1422),
        (cbc(Integrity::HmacSha2_512_256), 1422, 1406),
    ];
    for (suite, plain, nat_t) in table {
        assert_eq!(suite.inner_mtu(1500, IpVersion::V4, false), plain, "{suite}");
        assert_eq!(suite.inner_mtu(1500, IpVersion::V4, true), nat_t, "{suite}");
        let mss = EspSuite::inner_mss(plain, IpVersion::V4);
        assert_eq!(mss, plain - 40, "{suite}");
    }
}

#[test]
fn the_inner_mtu_is_the_largest_length_that_fits() {
    for suite in all_suites() {
        for path in [68, 576, 1280, 1400, 1492, 1500, 9001] {
            for (outer, ip) in [(IpVersion::V4, 20), (IpVersion::V6, 40)] {
                for (udp, around) in [(false, ip), (true, ip + 8)] {
                    let mtu = suite.inner_mtu(path, outer, udp);
                    if mtu > 0 {
                        assert!(around + suite.sealed_len(mtu) <= path, "{suite} {path}");
                    }
                    assert!(around + suite.sealed_len(mtu + 1) > path, "{suite} {path}");
                }
            }
        }
    }
    let gcm = EspSuite::aead(Cipher::AesGcm16_128);
    assert_eq!(gcm.inner_mtu(1500, IpVersion::V6, true), 1418);
    assert_eq!(gcm.inner_mtu(0, IpVersion::V4, true), 0);
    assert_eq!(gcm.sealed_len(usize::MAX), usize::MAX);
}

#[test]
fn names_are_those_of_configuration_files() {
    let gcm = EspSuite::aead(Cipher::AesGcm16_128);
    assert_eq!(gcm.name(), "aes128gcm16");
    assert_eq!(gcm.with_esn().name(), "aes128gcm16-esn");
    let cbc = EspSuite::with_mac(Cipher::AesCbc128, Integrity::HmacSha1_96);
    assert_eq!(cbc.name(), "aes128-sha1");
}

#[test]
fn keys_of_another_suite_are_refused() {
    let new = |suite: EspSuite, keys: &ipsec::EspKeys| {
        let cbc_iv = CbcIv::new(&mut SeededRng::new(1));
        let (limits, tunnel) = (SaLimits::default(), TunnelPolicy::default());
        OutboundSa::new(spi(), suite, keys, cbc_iv, limits, tunnel)
    };
    for suite in all_suites() {
        let mut wrong = keys(suite);
        wrong.encryption = SecretBytes::from(vec![1; suite.encryption_key_len() + 1]);
        let error = new(suite, &wrong).unwrap_err();
        assert_eq!(error.to_string(), format!("ESP keys do not fit {suite}"));
        let mut inconsistent = suite;
        inconsistent.integrity = match suite.integrity {
            Some(_) => None,
            None => Some(Integrity::HmacSha1_96),
        };
        assert!(!inconsistent.is_consistent() && suite.is_consistent());
        assert!(new(inconsistent, &keys(inconsistent)).is_err());
    }
}

/// The draft before RFC 4868 cut HMAC-SHA2-256 to 96 bits under the number that now means 128.
#[test]
fn a_peer_that_truncates_otherwise_is_recognised_and_nothing_else_is() {
    for cipher in [Cipher::AesCbc128, Cipher::AesCbc256, Cipher::Null] {
        for esn in [false, true] {
            let suite = |mac| EspSuite { esn, ..EspSuite::with_mac(cipher, mac) };
            let (long, short) = (suite(Integrity::HmacSha2_256_128), suite(Integrity::HmacSha2_256_96));
            for (theirs, ours) in [(long, short), (short, long)] {
                let (sender, receiver) = (outbound(theirs), inbound(ours, 64));
                for payload in 0..40 {
                    let mut esp = seal(&sender, &packet_v4(payload));
                    let before = esp.clone();
                    assert!(receiver.open(&mut esp).is_err());
                    assert_eq!(esp, before);
                    assert_eq!(receiver.other_truncation(&esp), theirs.integrity, "{theirs} {payload}");
                    esp[12] ^= 1;
                    assert_eq!(receiver.other_truncation(&esp), None, "other keys or damage");
                    assert_eq!(receiver.other_truncation(&esp[..7]), None);
                }
                assert_eq!((receiver.packets(), receiver.highest_sequence()), (0, 0), "looking changes nothing");
                let same = seal(&outbound(ours), &packet_v4(9));
                assert_eq!(receiver.other_truncation(&same), None, "what would open is nothing else");
            }
        }
    }
    for suite in all_suites() {
        let esp = seal(&outbound(suite), &packet_v4(9));
        assert_eq!(inbound(suite, 64).other_truncation(&esp), None, "{suite}");
    }
    assert_eq!(EspSuite::with_mac(Cipher::AesCbc128, Integrity::HmacSha2_256_96).name(), "aes128-sha256_96");
}

#[test]
fn secrets_are_not_shown() {
    let suite = EspSuite::aead(Cipher::AesGcm16_128);
    let shown = format!("{:?} {:?} {:?}", keys(suite), outbound(suite), inbound(suite, 64));
    assert!(shown.contains("hidden"));
    for window in keys(suite).encryption.expose().windows(3) {
        let digits = format!("{window:?}");
        assert!(!shown.contains(digits.trim_matches(['[', ']'])));
    }
}
