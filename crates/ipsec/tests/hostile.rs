//! What an attacker on the path sends, and what an authentic but hostile peer sends: nothing panics, what is not authentic
//! leaves no trace, and only whole tunnelled packets come out.

mod support;

use crypto::{Cipher, Rng, SeededRng};
use ipsec::{DropReason, EspSuite, Spi};
use support::*;

#[test]
fn every_truncation_is_refused_without_moving_the_window() {
    for suite in all_suites() {
        let receiver = inbound(suite, 64);
        let esp = seal(&outbound(suite), &packet_v4(20));
        for length in 0..esp.len() {
            let refused = receiver.open(&mut esp[..length].to_vec());
            assert!(
                matches!(refused, Err(DropReason::Authentication | DropReason::Malformed)),
                "{suite} {length}: {refused:?}"
            );
            assert_eq!((receiver.highest_sequence(), receiver.packets()), (0, 0));
        }
        assert!(receiver.open(&mut esp.clone()).is_ok(), "{suite}");
    }
}

#[test]
fn every_flipped_bit_is_refused_without_moving_the_window() {
    for suite in all_suites() {
        let receiver = inbound(suite, 64);
        let esp = seal(&outbound(suite), &packet_v6(3));
        for bit in 0..esp.len() * 8 {
            let mut damaged = esp.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let refused = receiver.open(&mut damaged);
            let expected: &[DropReason] = match bit / 32 {
                0 => &[DropReason::NoSa],
                // A sequence number of 0, or one the guess puts before the first.
                1 => &[DropReason::Authentication, DropReason::Replay],
                _ => &[DropReason::Authentication],
            };
            let reason = refused.expect_err("a damaged packet opened");
            assert!(expected.contains(&reason), "{suite} bit {bit}: {reason}");
            assert_eq!((receiver.highest_sequence(), receiver.packets()), (0, 0));
        }
        assert!(receiver.open(&mut esp.clone()).is_ok(), "{suite}");
    }
}

#[test]
fn bytes_behind_the_packet_are_refused() {
    for suite in typical_suites() {
        let mut esp = seal(&outbound(suite), &packet_v4(20));
        esp.extend([0; 16]);
        assert_eq!(inbound(suite, 64).open(&mut esp), Err(DropReason::Authentication));
    }
}

#[test]
fn noise_is_refused() {
    let mut rng = SeededRng::new(3);
    for suite in all_suites() {
        let receiver = inbound(suite, 64);
        for length in 0..300 {
            let mut noise = vec![0; length];
            rng.fill(&mut noise);
            assert!(receiver.open(&mut noise.clone()).is_err());
            if let Some(start) = noise.get_mut(..4) {
                start.copy_from_slice(&spi().to_be_bytes());
            }
            assert!(receiver.open(&mut noise).is_err());
        }
        assert_eq!(receiver.highest_sequence(), 0);
    }
}

fn gcm() -> EspSuite {
    EspSuite::aead(Cipher::AesGcm16_128)
}

/// `inner`, then these bytes as padding, pad length and next header, all authentic.
fn authentic(inner: &[u8], behind: &[u8]) -> Vec<u8> {
    let mut text = inner.to_vec();
    text.extend(behind);
    seal_text(gcm(), 1, &text)
}

#[test]
fn authentic_packets_with_a_wrong_trailer_are_refused_by_their_fault() {
    let inner = packet_v4(22);
    let mut other_version = inner.clone();
    other_version[0] = 0x65;
    let mut too_long = inner.clone();
    too_long[3] += 1;
    let cases: [(&str, Vec<u8>, DropReason); 11] = [
        ("padding of zeros", authentic(&inner, &[0, 0, 2, 4]), DropReason::Padding),
        ("padding in wrong order", authentic(&inner, &[2, 1, 2, 4]), DropReason::Padding),
        ("pad length beyond the packet", authentic(&inner, &[1, 2, 255, 4]), DropReason::Padding),
        ("pad length beyond an empty packet", authentic(&[], &[9, 4]), DropReason::Padding),
        ("nothing inside", authentic(&[], &[0, 4]), DropReason::Malformed),
        ("no trailer at all", seal_text(gcm(), 1, &[]), DropReason::Malformed),
        ("IPv6 called IPv4", authentic(&packet_v6(0), &[1, 1, 4]), DropReason::Malformed),
        ("IPv4 called IPv6", authentic(&inner, &[1, 2, 2, 41]), DropReason::Malformed),
        ("a length beyond the packet", authentic(&too_long, &[0, 4]), DropReason::Malformed),
        ("TCP in transport mode", authentic(&inner, &[1, 2, 2, 6]), DropReason::NextHeader),
        ("version changed", authentic(&other_version, &[1, 2, 2, 4]), DropReason::Malformed),
    ];
    for (name, mut esp, reason) in cases {
        assert_eq!(inbound(gcm(), 64).open(&mut esp), Err(reason), "{name}");
    }
}

#[test]
fn traffic_flow_padding_is_stripped_by_the_inner_length() {
    let inner = packet_v4(22);
    let mut text = inner.clone();
    text.extend([0xaa; 300]);
    text.extend([1, 2, 2, 4]);
    let mut esp = seal_text(gcm(), 1, &text);
    let receiver = inbound(gcm(), 64);
    let opened = receiver.open(&mut esp).unwrap();
    assert_eq!(esp[opened.inner], inner);
    assert_eq!(receiver.bytes(), inner.len() as u64);
}

#[test]
fn dummies_are_dropped_but_count_as_received() {
    let receiver = inbound(gcm(), 64);
    for (sequence, text) in [(1, vec![0x77; 58]), (2, vec![])] {
        let mut text = text;
        text.extend([0, 59]);
        let mut esp = seal_text(gcm(), sequence, &text);
        let mut again = esp.clone();
        assert_eq!(receiver.open(&mut esp), Err(DropReason::Dummy));
        assert_eq!(receiver.open(&mut again), Err(DropReason::Replay));
    }
    assert_eq!((receiver.highest_sequence(), receiver.packets()), (2, 0));
    let mut first = seal_text(gcm(), 3, &[packet_v4(24), vec![0, 4]].concat());
    assert!(receiver.open(&mut first).unwrap().first_on_this_sa);
}

#[test]
fn sealing_refuses_what_cannot_be_sealed() {
    let sender = outbound(gcm());
    let inner = packet_v4(10);
    let mut out = vec![0; 2000];
    let sequence = sender.reserve(1).unwrap();
    let length = sender.sealed_len(inner.len());
    for room in 0..length {
        let refused = sender.seal(sequence, &inner, &mut out[..room]);
        assert_eq!(refused, Err(DropReason::TooBig), "{room}");
    }
    for garbage in [&[][..], &[0x15; 40]] {
        let refused = sender.seal(sequence, garbage, &mut out);
        assert_eq!(refused, Err(DropReason::Malformed));
    }
    for never_reserved in [0, sequence + 1, u64::MAX] {
        let refused = sender.seal(never_reserved, &inner, &mut out);
        assert_eq!(refused, Err(DropReason::SequenceExhausted));
    }
    assert_eq!(sender.bytes(), 0);
    assert_eq!(sender.seal(sequence, &inner, &mut out), Ok(length));
}

#[test]
fn a_packet_of_another_sa_is_not_opened() {
    let mut esp = seal(&outbound(gcm()), &packet_v4(1));
    esp[..4].copy_from_slice(&Spi::new(0x1234_5678).unwrap().to_be_bytes());
    assert_eq!(inbound(gcm(), 64).open(&mut esp), Err(DropReason::NoSa));
}
