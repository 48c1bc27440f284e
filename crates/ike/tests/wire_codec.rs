//! The codec: what is written reads back, what is malformed is named, and no octets make it panic.
#![allow(clippy::unwrap_used, clippy::panic)] // a helper of a test may fail the test

use ike::id::Id;
use ike::wire::{
    Delete, ExchangeType, Flags, Header, IdPayload, IkeSpi, MAX_PAYLOADS, MAX_PROPOSALS, Notify, NotifyType, Payload,
    PayloadType, Proposal, ProtocolId, Transform, TransformType, WireError, encode_payloads, parse_payloads,
    plain_message,
};
use ipsec::{Spi, TrafficSelector};
use proptest::collection::vec;
use proptest::prelude::*;

fn header() -> Header {
    Header {
        initiator_spi: IkeSpi([1, 2, 3, 4, 5, 6, 7, 8]),
        responder_spi: IkeSpi::ZERO,
        next_payload: PayloadType::None,
        major: 2,
        minor: 0,
        exchange: ExchangeType::IkeSaInit,
        flags: Flags { initiator: true, version: false, response: false },
        message_id: 0,
        length: 0,
    }
}

/// A message with every kind of payload in it.
fn every_payload() -> Vec<Payload> {
    let spi = Spi::new(0xc0ff_ee00).unwrap();
    let aes = Transform { key_bits: Some(256), ..Transform::new(TransformType::Encryption, 20) };
    let transforms = vec![aes, Transform::new(TransformType::Prf, 5), Transform::new(TransformType::KeyExchange, 31)];
    let proposal =
        |number| Proposal { number, protocol: ProtocolId::Ike, spi: vec![7; 8], transforms: transforms.clone() };
    vec![
        Payload::Notify(Notify::with_data(NotifyType::COOKIE, [9; 32])),
        Payload::SecurityAssociation(vec![proposal(1), proposal(2)]),
        Payload::KeyExchange { group: 31, data: vec![5; 32] },
        Payload::Nonce(vec![6; 32]),
        Payload::IdInitiator(IdPayload::from(Id::Fqdn("gw.example".into()))),
        Payload::IdResponder(IdPayload::from(Id::Ipv4([192, 0, 2, 1].into()))),
        Payload::Authentication { method: 2, data: vec![8; 32] },
        Payload::Notify(Notify::for_child(NotifyType::REKEY_SA, spi)),
        Payload::Delete(Delete::esp([spi])),
        Payload::Delete(Delete::Ike),
        Payload::VendorId(b"vendor".to_vec()),
        Payload::TsInitiator(vec![TrafficSelector::any_v4(), TrafficSelector::any_v6()]),
        Payload::TsResponder(vec![TrafficSelector::single([10, 0, 0, 1].into())]),
        Payload::Opaque { ty: PayloadType::Configuration, body: vec![1, 0, 0, 0] },
        Payload::Opaque { ty: PayloadType::Unknown(200), body: vec![1] },
    ]
}

#[test]
fn header_reads_back_with_every_field() {
    let original = Header {
        responder_spi: IkeSpi([8; 8]),
        next_payload: PayloadType::Unknown(77),
        minor: 15,
        exchange: ExchangeType::Unknown(43),
        flags: Flags { initiator: false, version: true, response: true },
        message_id: 0x0102_0304,
        length: 28,
        ..header()
    };
    let mut octets = Vec::new();
    original.write(&mut octets);
    assert_eq!(octets.len(), Header::LEN);
    assert_eq!(Header::parse(&octets), Ok(original));
}

#[test]
fn header_is_laid_out_as_in_rfc_7296_section_3_1() {
    let message = plain_message(Header { message_id: 0x1122_3344, ..header() }, &[Payload::Nonce(vec![0xaa; 16])]);
    let mut expected = vec![1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 40, 0x20, 34, 0x08];
    expected.extend([0x11, 0x22, 0x33, 0x44, 0, 0, 0, 48, 0, 0, 0, 20]);
    expected.extend([0xaa; 16]);
    assert_eq!(message, expected);
}

#[test]
fn header_refuses_wrong_lengths_and_a_zero_initiator_spi() {
    let message = plain_message(header(), &[]);
    for length in 0..Header::LEN {
        assert_eq!(Header::parse(&message[..length]), Err(WireError::Truncated { what: "IKE header" }));
    }
    let longer = [message.as_slice(), &[0]].concat();
    assert_eq!(Header::parse(&longer), Err(WireError::LengthMismatch { header: 28, datagram: 29 }));
    let mut zero = message;
    zero[..8].fill(0);
    assert!(matches!(Header::parse(&zero), Err(WireError::Malformed { .. })));
}

#[test]
fn other_major_versions_and_reserved_flags_parse() {
    let mut message = plain_message(header(), &[]);
    message[17] = 0x37;
    message[19] = 0xff;
    let parsed = Header::parse(&message).unwrap();
    assert_eq!((parsed.major, parsed.minor), (3, 7));
    assert_eq!(parsed.flags, Flags { initiator: true, version: true, response: true });
}

#[test]
fn message_with_every_payload_reads_back() {
    let payloads = every_payload();
    let message = plain_message(header(), &payloads);
    let parsed = Header::parse(&message).unwrap();
    assert_eq!(parse_payloads(parsed.next_payload, &message[Header::LEN..]), Ok(payloads));
}

#[test]
fn no_truncation_of_any_message_panics_or_parses() {
    let (first, chain) = encode_payloads(&every_payload());
    for length in 0..chain.len() {
        assert!(parse_payloads(first, &chain[..length]).is_err(), "cut to {length}");
    }
}

#[test]
fn every_flipped_bit_parses_or_is_refused_and_what_parses_reads_back() {
    let (first, chain) = encode_payloads(&every_payload());
    let mut parsed = 0;
    for bit in 0..chain.len() * 8 {
        let mut flipped = chain.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(payloads) = parse_payloads(first, &flipped) {
            parsed += 1;
            // Attributes and kinds of selectors which are unknown to us are not kept, everything else is.
            let keeps_all = !payloads.iter().any(|payload| match payload {
                Payload::SecurityAssociation(proposals) => proposals
                    .iter()
                    .flat_map(|proposal| &proposal.transforms)
                    .any(|transform| transform.unknown_attributes),
                Payload::TsInitiator(selectors) | Payload::TsResponder(selectors) => selectors.is_empty(),
                _ => false,
            });
            let (first, again) = encode_payloads(&payloads);
            if keeps_all {
                assert_eq!(parse_payloads(first, &again), Ok(payloads), "bit {bit}");
            }
        }
    }
    assert!(parsed > 1000, "flips in values leave a message well formed: {parsed}");
}

/// Generic header and body.
fn one(ty: u8, body: &[u8]) -> (PayloadType, Vec<u8>) {
    let length = u16::try_from(body.len() + 4).unwrap().to_be_bytes();
    (PayloadType::from_u8(ty), [&[0, 0, length[0], length[1]], body].concat())
}

#[test]
fn malformed_bodies_are_refused() {
    let transform = |length: u8, attributes: &[u8]| [&[0, 0, 0, length, 1, 0, 0, 12], attributes].concat();
    let proposal = |length: u8, spi: u8, count: u8, rest: &[u8]| [&[0, 0, 0, length, 1, 1, spi, count], rest].concat();
    let ts = |count: u8, rest: &[u8]| [&[count, 0, 0, 0], rest].concat();
    let v4 = |length: u8, ports: [u8; 4], start: [u8; 4], end: [u8; 4]| {
        [&[7, 0, 0, length][..], &ports, &start, &end].concat()
    };
    const ANY: [u8; 4] = [0, 0, 255, 255];
    let cases: Vec<(&str, u8, Vec<u8>)> = vec![
        ("SA without a proposal", 33, vec![]),
        ("SA with half a proposal header", 33, vec![0, 0, 0]),
        ("proposal of length zero", 33, vec![0, 0, 0, 0, 1, 1, 0, 0]),
        ("proposal shorter than its header", 33, vec![0, 0, 0, 3, 1, 1, 0, 0]),
        ("proposal too short for its fields", 33, vec![0, 0, 0, 6, 1, 1]),
        ("proposal longer than the payload", 33, proposal(9, 0, 0, &[])),
        ("SPI larger than the proposal", 33, proposal(8, 255, 0, &[])),
        ("more transforms announced than there are", 33, proposal(16, 0, 2, &transform(8, &[]))),
        ("fewer transforms announced than there are", 33, proposal(16, 0, 0, &transform(8, &[]))),
        ("transform of length zero", 33, proposal(16, 0, 1, &transform(0, &[]))),
        ("transform shorter than its header", 33, proposal(16, 0, 1, &transform(7, &[]))),
        ("transform longer than the proposal", 33, proposal(16, 0, 1, &transform(9, &[]))),
        ("half an attribute", 33, proposal(18, 0, 1, &transform(10, &[0x80, 14]))),
        ("attribute longer than the transform", 33, proposal(20, 0, 1, &transform(12, &[0, 14, 0, 1]))),
        ("KE without a group", 34, vec![0]),
        ("KE without its reserved field", 34, vec![0, 14, 0]),
        ("ID without anything", 35, vec![]),
        ("ID without its reserved field", 35, vec![1, 0, 0]),
        ("IPv4 ID of 3 octets", 35, vec![1, 0, 0, 0, 192, 0, 2]),
        ("IPv4 ID of 5 octets", 36, vec![1, 0, 0, 0, 192, 0, 2, 1, 1]),
        ("IPv6 ID of 4 octets", 36, vec![5, 0, 0, 0, 192, 0, 2, 1]),
        ("AUTH without its reserved field", 39, vec![2, 0, 0]),
        ("empty nonce", 40, vec![]),
        ("nonce of 15 octets", 40, vec![1; 15]),
        ("nonce of 257 octets", 40, vec![1; 257]),
        ("N without a type", 41, vec![0, 0, 64]),
        ("N with an SPI beyond its end", 41, vec![3, 4, 64, 9, 0, 0, 0]),
        ("D without a count", 42, vec![1, 0, 0]),
        ("D of an IKE SA with an SPI", 42, vec![1, 8, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8]),
        ("D of an IKE SA with a count", 42, vec![1, 0, 0, 1]),
        ("D of ESP with SPIs of no size", 42, vec![3, 0, 0, 1]),
        ("D of ESP with SPIs of 8 octets", 42, vec![3, 8, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8]),
        ("D with fewer SPIs than it counts", 42, vec![3, 4, 0, 2, 1, 2, 3, 4]),
        ("D with more SPIs than it counts", 42, vec![3, 4, 0, 0, 1, 2, 3, 4]),
        ("D that counts 65535 SPIs", 42, vec![3, 4, 255, 255]),
        ("D of an unknown protocol", 42, vec![9, 4, 0, 0]),
        ("TS without its reserved field", 44, vec![1, 0, 0]),
        ("TS of nothing", 44, ts(0, &[])),
        ("TS with fewer selectors than it counts", 44, ts(2, &v4(16, ANY, [0; 4], [255; 4]))),
        ("TS with more selectors than it counts", 45, ts(1, &[v4(16, ANY, [0; 4], [9; 4]), vec![0]].concat())),
        ("selector of length zero", 44, ts(1, &v4(0, ANY, [0; 4], [255; 4]))),
        ("selector shorter than its header", 44, ts(1, &v4(3, ANY, [0; 4], [255; 4]))),
        ("selector too short for its addresses", 44, ts(1, &v4(15, ANY, [0; 4], [255; 4]))),
        ("selector longer than the payload", 44, ts(1, &v4(17, ANY, [0; 4], [255; 4]))),
        (
            "IPv4 selector as long as an IPv6 one",
            44,
            ts(1, &[7, 0, 0, 40].into_iter().chain([0; 36]).collect::<Vec<u8>>()),
        ),
        ("addresses which run backwards", 44, ts(1, &v4(16, ANY, [10, 0, 0, 2], [10, 0, 0, 1]))),
        ("ports which run backwards", 44, ts(1, &v4(16, [0, 9, 0, 8], [0; 4], [255; 4]))),
    ];
    for (name, ty, body) in cases {
        let (first, chain) = one(ty, &body);
        let result = parse_payloads(first, &chain);
        assert!(matches!(result, Err(WireError::Truncated { .. } | WireError::Malformed { .. })), "{name}: {result:?}");
    }
}

#[test]
fn malformed_chains_are_refused() {
    let nonce = [1; 16];
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing where a payload was announced", vec![]),
        ("half a generic header", vec![0, 0, 0]),
        ("payload length zero", [&[0, 0, 0, 0][..], &nonce].concat()),
        ("payload length below its header", [&[0, 0, 0, 3][..], &nonce].concat()),
        ("payload length beyond the message", [&[0, 0, 0, 21][..], &nonce].concat()),
        ("octets after the last payload", [&[0, 0, 0, 20][..], &nonce, &[0]].concat()),
        ("a next payload which is not there", [&[40, 0, 0, 20][..], &nonce].concat()),
    ];
    for (name, chain) in cases {
        assert!(parse_payloads(PayloadType::Nonce, &chain).is_err(), "{name}");
    }
    assert!(parse_payloads(PayloadType::None, &[0]).is_err(), "octets where no payload was announced");
    assert_eq!(parse_payloads(PayloadType::None, &[]), Ok(vec![]));
}

#[test]
fn payloads_and_proposals_are_bounded() {
    let vendors = |count| vec![Payload::VendorId(vec![]); count];
    let (first, chain) = encode_payloads(&vendors(MAX_PAYLOADS));
    assert_eq!(parse_payloads(first, &chain).map(|payloads| payloads.len()), Ok(MAX_PAYLOADS));
    let (first, chain) = encode_payloads(&vendors(MAX_PAYLOADS + 1));
    assert!(matches!(parse_payloads(first, &chain), Err(WireError::TooMany { .. })));

    let proposal = Proposal { number: 1, protocol: ProtocolId::Esp, spi: vec![], transforms: vec![] };
    let (first, chain) = encode_payloads(&[Payload::SecurityAssociation(vec![proposal.clone(); MAX_PROPOSALS])]);
    assert!(parse_payloads(first, &chain).is_ok());
    let (first, chain) = encode_payloads(&[Payload::SecurityAssociation(vec![proposal; MAX_PROPOSALS + 1])]);
    assert!(matches!(parse_payloads(first, &chain), Err(WireError::TooMany { .. })));
}

#[test]
fn oversized_content_is_cut_to_a_well_formed_payload() {
    let (first, chain) = encode_payloads(&[Payload::VendorId(vec![1; 70_000])]);
    assert_eq!(parse_payloads(first, &chain), Ok(vec![Payload::VendorId(vec![1; 65_531])]));
    let many = vec![TrafficSelector::any_v4(); 300];
    let (first, chain) = encode_payloads(&[Payload::TsInitiator(many)]);
    assert_eq!(parse_payloads(first, &chain), Ok(vec![Payload::TsInitiator(vec![TrafficSelector::any_v4(); 255])]));
    let delete = Payload::Delete(Delete::Child { protocol: ProtocolId::Esp, spis: vec![300; 20_000] });
    let (first, chain) = encode_payloads(&[delete]);
    assert!(parse_payloads(first, &chain).is_ok());
}

/// RFC 7296 §2.5: "payloads not understood: critical bit set → reject; clear → skip; understood → the bit is ignored".
#[test]
fn critical_bit_matters_for_unknown_types_alone() {
    for ty in 1..=255_u8 {
        let known = (33..=48).contains(&ty) || ty == 53;
        let (first, mut chain) = one(ty, &[1; 16]);
        chain[1] = 0x80;
        let result = parse_payloads(first, &chain);
        let unsupported = result == Err(WireError::UnsupportedCriticalPayload(ty));
        assert_eq!(unsupported, !known, "type {ty}: {result:?}");
        chain[1] = 0x7f;
        let result = parse_payloads(first, &chain);
        if !known {
            let body = vec![1; 16];
            assert_eq!(
                result,
                Ok(vec![Payload::Opaque { ty: PayloadType::Unknown(ty), body }]),
                "reserved bits are ignored"
            );
        }
    }
}

#[test]
fn chain_ends_with_the_encrypted_payload() {
    for ty in [46, 53] {
        let (first, mut chain) = one(ty, &[1; 40]);
        chain[0] = 40;
        let body = vec![1; 40];
        assert_eq!(parse_payloads(first, &chain), Ok(vec![Payload::Opaque { ty: first, body }]));
    }
}

/// RFC 7296 §2.15: AUTH covers the ID payload's body as sent, reserved octets included.
#[test]
fn reserved_octets_of_an_identification_survive_in_what_auth_signs() {
    let body = [2, 0xde, 0xad, 0x01, b'a', b'.', b'b'];
    let (first, chain) = one(35, &body);
    let payloads = parse_payloads(first, &chain).unwrap();
    let [Payload::IdInitiator(parsed)] = payloads.as_slice() else {
        panic!("one IDi: {payloads:?}");
    };
    assert_eq!(parsed.id, Id::Fqdn("a.b".into()));
    assert_eq!(parsed.octets, body);
    assert_eq!(IdPayload::from(parsed.id.clone()).octets, [2, 0, 0, 0, b'a', b'.', b'b']);
}

#[test]
fn key_length_is_read_once_and_in_its_short_form_only() {
    let parse = |attributes: &[u8]| {
        let length = u8::try_from(8 + attributes.len()).unwrap();
        let transform = [&[0, 0, 0, length, 1, 0, 0, 12], attributes].concat();
        let proposal = [&[0, 0, 0, length + 8, 1, 1, 0, 1], transform.as_slice()].concat();
        let (first, chain) = one(33, &proposal);
        match parse_payloads(first, &chain).unwrap().remove(0) {
            Payload::SecurityAssociation(mut proposals) => proposals.remove(0).transforms.remove(0),
            other => panic!("{other:?}"),
        }
    };
    let aes = |key_bits, unknown_attributes| Transform {
        key_bits,
        unknown_attributes,
        ..Transform::new(TransformType::Encryption, 12)
    };
    assert_eq!(parse(&[0x80, 14, 1, 0]), aes(Some(256), false));
    assert_eq!(parse(&[]), aes(None, false));
    assert_eq!(parse(&[0x80, 14, 1, 0, 0x80, 14, 0, 128]), aes(Some(256), true), "twice");
    assert_eq!(parse(&[0, 14, 0, 2, 1, 0]), aes(None, true), "long form");
    assert_eq!(parse(&[0x80, 99, 0, 0]), aes(None, true), "another attribute");
    assert_eq!(parse(&[0, 99, 0, 0]), aes(None, true), "an empty one");
}

#[test]
fn selectors_of_unknown_types_are_left_out() {
    let label = [10, 0, 0, 8, 1, 2, 3, 4];
    let any = [7, 0, 0, 16, 0, 0, 255, 255, 0, 0, 0, 0, 255, 255, 255, 255];
    let (first, chain) = one(44, &[&[2, 0, 0, 0], &label[..], &any].concat());
    assert_eq!(parse_payloads(first, &chain), Ok(vec![Payload::TsInitiator(vec![TrafficSelector::any_v4()])]));
    let (first, chain) = one(45, &[&[1, 0, 0, 0], &label[..]].concat());
    assert_eq!(parse_payloads(first, &chain), Ok(vec![Payload::TsResponder(vec![])]));
}

#[test]
fn opaque_ports_are_the_one_range_that_may_run_backwards() {
    let opaque = TrafficSelector { start_port: 65535, end_port: 0, ..TrafficSelector::any_v4() };
    let (first, chain) = encode_payloads(&[Payload::TsInitiator(vec![opaque.clone()])]);
    assert_eq!(parse_payloads(first, &chain), Ok(vec![Payload::TsInitiator(vec![opaque])]));
}

/// A REKEY_SA for another protocol crashed a well known daemon (CVE-2023-38710).
#[test]
fn notification_names_a_child_only_for_esp_and_a_whole_spi() {
    let spi = Spi::new(0x1234_5678).unwrap();
    let notify = Notify::for_child(NotifyType::REKEY_SA, spi);
    assert_eq!(notify.child_spi(), Some(spi));
    for protocol in [ProtocolId::None, ProtocolId::Ike, ProtocolId::Ah, ProtocolId::Unknown(9)] {
        assert_eq!(Notify { protocol, ..notify.clone() }.child_spi(), None);
    }
    for spi in [vec![], vec![1, 2, 3], vec![0, 0, 0, 255], vec![1; 8]] {
        assert_eq!(Notify { spi, ..notify.clone() }.child_spi(), None);
    }
}

#[test]
fn notify_types_have_names_and_a_border_between_errors_and_status() {
    assert_eq!(NotifyType::FRAGMENTATION_SUPPORTED.0, 16430);
    assert_eq!(NotifyType::CHILDLESS_IKEV2_SUPPORTED.0, 16418);
    assert_eq!(NotifyType::REKEY_SA.name(), "REKEY_SA");
    assert_eq!(NotifyType(9999).to_string(), "notify 9999");
    assert!(NotifyType(16383).is_error() && !NotifyType(16384).is_error());
}

fn transform() -> impl Strategy<Value = Transform> {
    (any::<u8>(), any::<u16>(), any::<Option<u16>>())
        .prop_map(|(ty, id, key_bits)| Transform { key_bits, ..Transform::new(TransformType::from_u8(ty), id) })
}

fn proposal() -> impl Strategy<Value = Proposal> {
    (any::<u8>(), any::<u8>(), vec(any::<u8>(), 0..20), vec(transform(), 0..20)).prop_map(
        |(number, protocol, spi, transforms)| Proposal {
            number,
            protocol: ProtocolId::from_u8(protocol),
            spi,
            transforms,
        },
    )
}

fn selector() -> impl Strategy<Value = TrafficSelector> {
    let addresses = prop_oneof![
        any::<[[u8; 4]; 2]>().prop_map(|pair| pair.map(std::net::IpAddr::from)),
        any::<[[u8; 16]; 2]>().prop_map(|pair| pair.map(std::net::IpAddr::from)),
    ];
    (addresses, any::<u8>(), any::<[u16; 2]>()).prop_map(|(mut addresses, protocol, mut ports)| {
        addresses.sort_unstable();
        ports.sort_unstable();
        let [start, end] = addresses;
        TrafficSelector { protocol, start_port: ports[0], end_port: ports[1], start, end }
    })
}

fn notify() -> impl Strategy<Value = Notify> {
    (any::<u8>(), vec(any::<u8>(), 0..20), any::<u16>(), vec(any::<u8>(), 0..100)).prop_map(
        |(protocol, spi, ty, data)| Notify { protocol: ProtocolId::from_u8(protocol), spi, ty: NotifyType(ty), data },
    )
}

fn identity() -> impl Strategy<Value = IdPayload> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|address| Id::Ipv4(address.into())),
        any::<[u8; 16]>().prop_map(|address| Id::Ipv6(address.into())),
        ".{0,20}".prop_map(Id::Fqdn),
        ".{0,20}".prop_map(Id::Rfc822),
        vec(any::<u8>(), 0..40).prop_map(Id::KeyId),
        (12..=255_u8, vec(any::<u8>(), 0..40)).prop_map(|(ty, data)| Id::Unknown { ty, data }),
    ]
    .prop_map(IdPayload::from)
}

fn payload() -> impl Strategy<Value = Payload> {
    let data = || vec(any::<u8>(), 0..100);
    prop_oneof![
        vec(proposal(), 1..8).prop_map(Payload::SecurityAssociation),
        (any::<u16>(), data()).prop_map(|(group, data)| Payload::KeyExchange { group, data }),
        identity().prop_map(Payload::IdInitiator),
        identity().prop_map(Payload::IdResponder),
        (any::<u8>(), data()).prop_map(|(method, data)| Payload::Authentication { method, data }),
        vec(any::<u8>(), 16..=256).prop_map(Payload::Nonce),
        notify().prop_map(Payload::Notify),
        Just(Payload::Delete(Delete::Ike)),
        (2..=3_u8, vec(any::<u32>(), 0..20)).prop_map(|(protocol, spis)| {
            Payload::Delete(Delete::Child { protocol: ProtocolId::from_u8(protocol), spis })
        }),
        data().prop_map(Payload::VendorId),
        vec(selector(), 1..10).prop_map(Payload::TsInitiator),
        vec(selector(), 1..10).prop_map(Payload::TsResponder),
        (prop_oneof![1..=32_u8, 54..=255_u8], data())
            .prop_map(|(ty, body)| Payload::Opaque { ty: PayloadType::from_u8(ty), body }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_message_reads_back(payloads in vec(payload(), 0..12), message_id: u32) {
        let message = plain_message(Header { message_id, ..header() }, &payloads);
        let parsed = Header::parse(&message).unwrap();
        prop_assert_eq!(parsed.message_id, message_id);
        prop_assert_eq!(parse_payloads(parsed.next_payload, &message[Header::LEN..]), Ok(payloads));
    }

    #[test]
    fn arbitrary_octets_never_panic(first: u8, octets in vec(any::<u8>(), 0..400)) {
        let _ = Header::parse(&octets);
        let _ = parse_payloads(PayloadType::from_u8(first), &octets);
    }

    #[test]
    fn arbitrary_bodies_behind_a_right_header_never_panic(ty in 33..=53_u8, octets in vec(any::<u8>(), 0..200)) {
        let (first, chain) = one(ty, &octets);
        let _ = parse_payloads(first, &chain);
    }
}
