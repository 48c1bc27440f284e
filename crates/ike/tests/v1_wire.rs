//! The codec of IKEv1: what it reads, what it refuses, and that it writes what it read.

#![allow(clippy::unwrap_used, clippy::panic)] // a helper of a test may fail the test

use ike::id::Id;
use ike::v1::wire::*;
use ike::wire::{IkeSpi, WireError};
use ipsec::TrafficSelector;
use std::net::IpAddr;

/// Octets from hexadecimal digits; everything else is separation.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    assert!(digits.len().is_multiple_of(2), "odd number of digits in {text}");
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

const CKY_I: IkeSpi = IkeSpi([0xc0, 0xff, 0xee, 0, 0x11, 0x22, 0x33, 0x44]);
const CKY_R: IkeSpi = IkeSpi([0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc]);

/// The SA payload's body of the first message: AES-128, SHA-1, PSK, group 2, 28,800 seconds in the variable form.
const SA_BODY: &str = "
    00000001 00000001
    00 00 0030  01 01 00 01
        00 00 0028  01 01 0000
            8001 0007  800e 0080  8002 0002  8003 0001  8004 0002  800b 0001  000c 0004 00007080";

/// The first message of main mode, octet by octet, with the vendor ID of RFC 3947.
fn first_message() -> Vec<u8> {
    hex(&format!(
        "c0ffee0011223344 0000000000000000 01 10 02 00 00000000 0000006c
         0d 00 003c {SA_BODY}
         00 00 0014 4a131c81070358455c5728f20e95452f"
    ))
}

fn header(exchange: ExchangeType, message_id: u32) -> Header {
    Header {
        initiator_cookie: CKY_I,
        responder_cookie: CKY_R,
        next_payload: PayloadType::None,
        minor: 0,
        exchange,
        flags: Flags::default(),
        message_id,
        length: 0,
    }
}

fn attribute(ty: u16, value: u16) -> Attribute {
    Attribute { ty, value: AttributeValue::Short(value) }
}

/// A payload of this type and body, read.
fn body(ty: u8, body: &[u8]) -> Result<Payload, WireError> {
    let ty = PayloadType::from_u8(ty);
    let (first, octets) = encode_payloads(&[Payload::Opaque { ty, body: body.to_vec() }]);
    let mut parsed = parse_payloads(first, &octets, false)?;
    Ok(parsed.payloads.remove(0))
}

fn sa(octets: &[u8]) -> Result<SaPayload, WireError> {
    match body(1, octets)? {
        Payload::SecurityAssociation(sa) => Ok(sa),
        other => panic!("{other:?}"),
    }
}

fn id(octets: &[u8]) -> IdPayload {
    match body(5, octets) {
        Ok(Payload::Identification(id)) => id,
        other => panic!("{other:?}"),
    }
}

fn delete(protocol: ProtocolId, spis: &[&str]) -> Payload {
    Payload::Delete(Delete { protocol, spis: spis.iter().map(|spi| hex(spi)).collect() })
}

const COOKIES: &str = "c0ffee0011223344 5566778899aabbcc";

fn about_isakmp(ty: NotifyType, data: &[u8]) -> Payload {
    let notification = Notification { protocol: ProtocolId::Isakmp, spi: hex(COOKIES), ty, data: data.to_vec() };
    Payload::Notification(notification)
}

/// One message of each kind, as it is before encryption: (what, its payloads).
fn samples() -> Vec<(&'static str, Vec<Payload>)> {
    let first = sa(&hex(SA_BODY)).unwrap();
    let esp = |number, transforms| Proposal { number, protocol: ProtocolId::Esp, spi: vec![0xc0, 1, 2, 3], transforms };
    let transform = |number, id| Transform {
        number,
        id,
        attributes: vec![
            attribute(1, 1),
            Attribute { ty: 2, value: AttributeValue::Long(vec![0, 0, 0x0e, 0x10]) },
            attribute(4, 1),
            attribute(5, 2),
            attribute(6, 128),
        ],
    };
    let quick = SaPayload::new(vec![esp(1, vec![transform(1, 12), transform(2, 11)]), esp(2, vec![transform(1, 20)])]);
    let selector = |text: &str| IdPayload::from_selector(&text.parse::<TrafficSelector>().unwrap()).unwrap();
    let hash = || Payload::Hash(vec![0xaa; 20]);
    let nat = |draft| Payload::NatDiscovery { draft, hash: vec![0x17; 20] };
    vec![
        ("main mode 1", vec![Payload::SecurityAssociation(first.clone()), Payload::VendorId(b"vendor".to_vec())]),
        (
            "main mode 3",
            vec![Payload::KeyExchange(vec![7; 128]), Payload::Nonce(vec![9; 16]), nat(false), nat(false), nat(true)],
        ),
        (
            "main mode 5",
            vec![
                Payload::Identification(IdPayload::from_identity(&"gw.example".parse().unwrap())),
                hash(),
                about_isakmp(NotifyType::INITIAL_CONTACT, b""),
            ],
        ),
        (
            "aggressive mode 1",
            vec![
                Payload::SecurityAssociation(first),
                Payload::KeyExchange(vec![7; 256]),
                Payload::Nonce(vec![9; 8]),
                Payload::Identification(IdPayload::from_identity(&"192.0.2.1".parse().unwrap())),
            ],
        ),
        (
            "quick mode 1",
            vec![
                hash(),
                Payload::SecurityAssociation(quick),
                Payload::Nonce(vec![9; 32]),
                Payload::KeyExchange(vec![7; 128]),
                Payload::Identification(selector("10.1.0.0/16")),
                Payload::Identification(selector("10.2.0.9")),
            ],
        ),
        ("quick mode 3", vec![hash()]),
        ("dead peer detection", vec![hash(), about_isakmp(NotifyType::R_U_THERE, &[0, 0, 0, 9])]),
        (
            "delete",
            vec![hash(), delete(ProtocolId::Esp, &["00001234", "00005678"]), delete(ProtocolId::Isakmp, &[COOKIES])],
        ),
        (
            "mode configuration, and what nobody knows",
            vec![
                hash(),
                Payload::Opaque { ty: PayloadType::Attributes, body: hex("01000001 00010000") },
                Payload::Opaque { ty: PayloadType::Unknown(33), body: vec![1, 2, 3] },
                Payload::Opaque { ty: PayloadType::Certificate, body: Vec::new() },
            ],
        ),
    ]
}

#[test]
fn the_first_message_is_read_octet_by_octet() {
    let message = first_message();
    let header = Header::parse(&message).unwrap();
    assert_eq!((header.initiator_cookie, header.responder_cookie), (CKY_I, IkeSpi::ZERO));
    assert_eq!((header.next_payload, header.exchange), (PayloadType::SecurityAssociation, ExchangeType::MainMode));
    assert_eq!((header.flags, header.message_id, header.minor, header.length), (Flags::default(), 0, 0, 108));
    let parsed = parse_payloads(header.next_payload, &message[Header::LEN..], false).unwrap();
    assert_eq!((parsed.after_first, parsed.end), (60, 80));
    let [Payload::SecurityAssociation(sa), Payload::VendorId(vendor)] = parsed.payloads.as_slice() else {
        panic!("{parsed:?}");
    };
    assert_eq!(vendor.len(), 16);
    assert_eq!(sa.octets, hex(SA_BODY), "SAi_b");
    let duration = Attribute { ty: 12, value: AttributeValue::Long(vec![0, 0, 0x70, 0x80]) };
    let transform = Transform {
        number: 1,
        id: 1,
        attributes: vec![
            attribute(1, 7),
            attribute(14, 128),
            attribute(2, 2),
            attribute(3, 1),
            attribute(4, 2),
            attribute(11, 1),
            duration,
        ],
    };
    let proposal = Proposal { number: 1, protocol: ProtocolId::Isakmp, spi: Vec::new(), transforms: vec![transform] };
    assert_eq!(sa.proposals, [proposal]);
    assert_eq!(SaPayload::new(sa.proposals.clone()), *sa, "written as received");
    assert_eq!(plain_message(header, &parsed.payloads), message);
}

#[test]
fn every_message_is_written_as_it_was_read() {
    for (name, payloads) in samples() {
        let message = plain_message(header(ExchangeType::QuickMode, 0xdead_beef), &payloads);
        let header = Header::parse(&message).unwrap();
        assert_eq!(header.message_id, 0xdead_beef, "{name}");
        let parsed = parse_payloads(header.next_payload, &message[Header::LEN..], false).unwrap();
        assert_eq!(parsed.payloads, payloads, "{name}");
        assert_eq!(plain_message(header, &parsed.payloads), message, "{name}");
        assert_eq!(parsed.end, message.len() - Header::LEN, "{name}");
    }
}

#[test]
fn padding_of_any_kind_follows_an_encrypted_chain_and_nothing_follows_a_plain_one() {
    for (name, payloads) in samples() {
        let (first, octets) = encode_payloads(&payloads);
        let (_, only_first) = encode_payloads(&payloads[..1]);
        for padding in [&[][..], &[0], &[0; 15], &[7; 8], &[1, 2, 3, 3]] {
            let padded = [&octets, padding].concat();
            let parsed = parse_payloads(first, &padded, true).unwrap();
            assert_eq!(parsed.payloads, payloads, "{name}");
            assert_eq!((parsed.after_first, parsed.end), (only_first.len(), octets.len()), "{name}");
            assert_eq!(parse_payloads(first, &padded, false).is_ok(), padding.is_empty(), "{name} {padding:?}");
        }
    }
    let empty = Parsed { payloads: Vec::new(), after_first: 0, end: 0 };
    assert_eq!(parse_payloads(PayloadType::None, &[], false), Ok(empty.clone()));
    assert_eq!(parse_payloads(PayloadType::None, &[9], true), Ok(empty));
    assert!(parse_payloads(PayloadType::None, &[9], false).is_err());
}

#[test]
fn every_truncation_is_an_error() {
    for (name, payloads) in samples() {
        let message = plain_message(header(ExchangeType::MainMode, 0), &payloads);
        let (first, octets) = encode_payloads(&payloads);
        for length in 0..message.len() {
            assert!(Header::parse(&message[..length]).is_err(), "{name} {length}");
        }
        for length in 0..octets.len() {
            for encrypted in [false, true] {
                assert!(parse_payloads(first, &octets[..length], encrypted).is_err(), "{name} {length}");
            }
        }
    }
}

#[test]
fn every_flipped_bit_gives_an_error_or_a_message_that_is_written_as_it_was_read() {
    for (name, payloads) in samples() {
        let message = plain_message(header(ExchangeType::MainMode, 0), &payloads);
        for bit in 0..message.len() * 8 {
            let mut flipped = message.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let Ok(header) = Header::parse(&flipped) else { continue };
            for encrypted in [false, true] {
                let Ok(parsed) = parse_payloads(header.next_payload, &flipped[Header::LEN..], encrypted) else {
                    continue;
                };
                assert!(parsed.after_first <= parsed.end && parsed.end <= flipped.len() - Header::LEN, "{name} {bit}");
                let (first, octets) = encode_payloads(&parsed.payloads);
                let again = parse_payloads(first, &octets, false).unwrap();
                assert_eq!(again.payloads, parsed.payloads, "{name} {bit}");
            }
        }
    }
}

#[test]
fn reserved_octets_and_bits_are_ignored() {
    let mut message = first_message();
    let expected = parse_payloads(PayloadType::SecurityAssociation, &message[28..], false).unwrap();
    // Flags; generic headers of SA and VID; proposal's and transform's "reserved", and the transform's second.
    message[19] = 0xf8;
    for at in [29, 89, 41, 49, 54, 55] {
        assert_eq!(message[at], 0, "{at}");
        message[at] = 0xff;
    }
    // The next-payload octets inside the SA payload are redundant.
    message[40] = 2;
    message[48] = 3;
    let header = Header::parse(&message).unwrap();
    assert_eq!(header.flags, Flags::default());
    let parsed = parse_payloads(header.next_payload, &message[28..], false).unwrap();
    let [Payload::SecurityAssociation(theirs), _] = parsed.payloads.as_slice() else { panic!("{parsed:?}") };
    let [Payload::SecurityAssociation(plain), _] = expected.payloads.as_slice() else { panic!("{expected:?}") };
    assert_eq!(theirs.proposals, plain.proposals);
    assert_eq!(theirs.octets, message[32..88], "SAi_b is what was received, reserved octets included");
}

/// Changes one thing in the first message.
fn changed(at: usize, octets: &[u8]) -> Vec<u8> {
    let mut message = first_message();
    message[at..at + octets.len()].copy_from_slice(octets);
    message
}

#[test]
fn headers_that_are_none_are_refused() {
    for version in (0..=255u8).filter(|version| version >> 4 != 1) {
        let refused = WireError::Malformed { what: "ISAKMP header", rule: "the major version is not 1" };
        assert_eq!(Header::parse(&changed(17, &[version])), Err(refused));
    }
    for minor in 0..16 {
        assert_eq!(Header::parse(&changed(17, &[0x10 | minor])).unwrap().minor, minor, "any minor version");
    }
    let zero = WireError::Malformed { what: "ISAKMP header", rule: "the initiator's cookie is zero" };
    assert_eq!(Header::parse(&changed(0, &[0; 8])), Err(zero));
    for length in [0, 27, 28, 107, 109, u32::MAX] {
        let refused = WireError::LengthMismatch { header: length, datagram: 108 };
        assert_eq!(Header::parse(&changed(24, &length.to_be_bytes())), Err(refused));
    }
    assert_eq!(Header::parse(&[0xff; 27]), Err(WireError::Truncated { what: "ISAKMP header" }));
    let mut longer = first_message();
    longer.push(0);
    assert!(Header::parse(&longer).is_err(), "octets behind the message");
}

#[test]
fn every_value_of_every_enumeration_is_representable() {
    let exchanges = [
        (2, "main mode"),
        (4, "aggressive mode"),
        (5, "informational exchange"),
        (6, "transaction exchange"),
        (32, "quick mode"),
        (33, "new group mode"),
        (34, "exchange 34"),
    ];
    for (value, name) in exchanges {
        assert_eq!(ExchangeType::from_u8(value).to_string(), name);
    }
    for value in 0..=255 {
        assert_eq!(ExchangeType::from_u8(value).to_u8(), value);
        assert_eq!(PayloadType::from_u8(value).to_u8(), value);
        assert_eq!(ProtocolId::from_u8(value).to_u8(), value);
        assert_eq!(Flags::from_u8(value).to_u8(), value & 0x07);
        let unknown = matches!(PayloadType::from_u8(value), PayloadType::Unknown(_));
        assert_eq!(unknown, !matches!(value, 0..=14 | 20 | 21 | 130..=132), "{value}");
    }
    assert_eq!(Flags::from_u8(1), Flags { encrypted: true, ..Flags::default() });
    assert_eq!(Flags::from_u8(2), Flags { commit: true, ..Flags::default() });
    assert_eq!(Flags::from_u8(4), Flags { authentication_only: true, ..Flags::default() });
}

#[test]
fn payload_types_of_ikev2_are_opaque() {
    for value in 33..=53 {
        let (first, octets) =
            encode_payloads(&[Payload::Opaque { ty: PayloadType::Unknown(value), body: vec![0; 40] }]);
        let parsed = parse_payloads(first, &octets, false).unwrap();
        assert_eq!(parsed.payloads[0].ty(), PayloadType::Unknown(value));
    }
}

#[test]
fn a_nonce_has_8_to_256_octets() {
    // RFC 2409 §5.
    for length in 0..300 {
        assert_eq!(body(10, &vec![1; length]).is_ok(), (8..=256).contains(&length), "{length}");
    }
}

#[test]
fn a_chain_has_at_most_64_payloads() {
    let vendor = || Payload::VendorId(Vec::new());
    for count in [1, MAX_PAYLOADS, MAX_PAYLOADS + 1, 500] {
        let (first, octets) = encode_payloads(&vec![vendor(); count]);
        let parsed = parse_payloads(first, &octets, true);
        match parsed {
            Ok(parsed) => assert_eq!((parsed.payloads.len(), count <= MAX_PAYLOADS), (count, true)),
            Err(error) => {
                assert_eq!(error, WireError::TooMany { what: "payloads", limit: 64 });
                assert!(count > MAX_PAYLOADS);
            }
        }
    }
    // A chain that a length of zero would make endless.
    assert!(parse_payloads(PayloadType::VendorId, &hex("0d000000 0d000000"), true).is_err());
}

#[test]
fn sa_payloads_that_do_not_fit_together_are_refused() {
    let malformed = |what, rule| WireError::Malformed { what, rule };
    let short = |what| WireError::Truncated { what };
    let doi = malformed("SA payload", "another DOI than IPsec's");
    let situation = malformed("SA payload", "another situation than SIT_IDENTITY_ONLY");
    let own_header = |what| malformed(what, "its length is smaller than its own header");
    let left_over = |what| malformed(what, "octets left over at its end");
    let table = [
        ("nothing", "", short("SA payload")),
        ("ISAKMP's own DOI", "00000000 00000001", doi),
        ("another DOI", "00000002 00000001", doi),
        ("secrecy", "00000001 00000002", situation),
        ("identity and secrecy", "00000001 00000003", situation),
        ("no proposal", "00000001 00000001", malformed("SA payload", "no proposal in it")),
        ("half a proposal header", "00000001 00000001 0000", short("SA payload")),
        ("a proposal longer than the payload", "00000001 00000001 00000009 01010000", short("proposal")),
        ("a proposal shorter than its header", "00000001 00000001 00000003 01010000", own_header("proposal")),
        ("an SPI longer than the proposal", "00000001 00000001 00000008 01010100", short("proposal")),
        ("fewer transforms than announced", "00000001 00000001 00000008 01010001", short("proposal")),
        (
            "a transform longer than the proposal",
            "00000001 00000001 00000010 01010001 00000009 01010000",
            short("transform"),
        ),
        (
            "a transform shorter than its header",
            "00000001 00000001 00000010 01010001 00000003 01010000",
            own_header("transform"),
        ),
        (
            "more than the announced transforms",
            "00000001 00000001 00000010 01010000 00000008 01010000",
            left_over("proposal"),
        ),
        (
            "an attribute longer than its transform",
            "00000001 00000001 00000014 01010001 0000000c 01010000 000c0001",
            short("attribute"),
        ),
        ("half an attribute", "00000001 00000001 00000012 01010001 0000000a 01010000 800c", short("attribute")),
    ];
    for (name, octets, error) in table {
        assert_eq!(body(1, &hex(octets)), Err(error), "{name}");
        assert_eq!(sa(&hex(octets)).err(), Some(error), "{name}");
    }
}

#[test]
fn an_sa_payload_has_bounds() {
    let with_attributes = |count: usize| {
        let transform = Transform { number: 1, id: 1, attributes: vec![attribute(1, 7); count] };
        let proposal = Proposal { number: 1, protocol: ProtocolId::Isakmp, spi: vec![], transforms: vec![transform] };
        sa(&SaPayload::new(vec![proposal]).octets)
    };
    let limit = 24;
    assert!(with_attributes(0).is_ok() && with_attributes(limit).is_ok());
    assert_eq!(with_attributes(limit + 1), Err(WireError::TooMany { what: "attributes", limit }));
    let with_proposals = |count: usize| {
        let proposal = Proposal { number: 1, protocol: ProtocolId::Esp, spi: vec![1; 4], transforms: vec![] };
        sa(&SaPayload::new(vec![proposal; count]).octets)
    };
    let limit = 32;
    assert_eq!(with_proposals(limit).unwrap().proposals.len(), limit);
    assert_eq!(with_proposals(limit + 1), Err(WireError::TooMany { what: "proposals", limit }));
    let transform = |number| Transform { number, id: 12, attributes: Vec::new() };
    let many =
        Proposal { number: 1, protocol: ProtocolId::Esp, spi: vec![], transforms: (0..255).map(transform).collect() };
    let payload = SaPayload::new(vec![many.clone()]);
    assert_eq!(sa(&payload.octets).unwrap().proposals, [many]);
}

#[test]
fn odd_numbers_and_spis_are_kept() {
    let transform = |number| Transform { number, id: 200, attributes: vec![attribute(0x7fff, 0xffff)] };
    let proposals = vec![
        Proposal { number: 0, protocol: ProtocolId::Unknown(99), spi: vec![1; 255], transforms: vec![transform(255)] },
        Proposal {
            number: 7,
            protocol: ProtocolId::Ah,
            spi: vec![1, 2, 3, 4],
            transforms: vec![transform(0), transform(0)],
        },
        Proposal { number: 7, protocol: ProtocolId::IpComp, spi: vec![1, 2], transforms: vec![] },
    ];
    let payload = SaPayload::new(proposals.clone());
    assert_eq!(sa(&payload.octets).unwrap(), payload);
    assert_eq!(payload.proposals, proposals);
}

/// The attributes of the one transform of an SA payload with these octets behind the transform's header.
fn attributes(octets: &[u8]) -> Result<Vec<Attribute>, WireError> {
    let length = |more: usize| u16::try_from(more + octets.len()).unwrap().to_be_bytes();
    let proposal = [&[0, 0][..], &length(16), &[1, 1, 0, 1]].concat();
    let transform = [&[0, 0][..], &length(8), &[1, 1, 0, 0]].concat();
    let payload = sa(&[&hex("00000001 00000001")[..], &proposal, &transform, octets].concat())?;
    assert_eq!(SaPayload::new(payload.proposals.clone()), payload, "written in the form received");
    Ok(payload.proposals[0].transforms[0].attributes.clone())
}

#[test]
fn attributes_are_numbers_in_either_form_and_keep_it() {
    let long = |octets: &str| AttributeValue::Long(hex(octets));
    let table = [
        ("800c 0000", AttributeValue::Short(0), Some(0)),
        ("800c ffff", AttributeValue::Short(0xffff), Some(0xffff)),
        ("000c 0000", long(""), Some(0)),
        ("000c 0001 05", long("05"), Some(5)),
        ("000c 0004 00007080", long("00007080"), Some(28_800)),
        ("000c 0005 0100000000", long("0100000000"), Some(1 << 32)),
        ("000c 0008 ffffffffffffffff", long("ffffffffffffffff"), Some(u64::MAX)),
        ("000c 0009 000000000000000001", long("000000000000000001"), Some(1)),
        ("000c 0009 010000000000000000", long("010000000000000000"), None),
    ];
    for (octets, value, number) in table {
        assert_eq!(value.as_u64(), number, "{octets}");
        assert_eq!(attributes(&hex(octets)), Ok(vec![Attribute { ty: 12, value }]), "{octets}");
    }
    assert_eq!(Attribute::number(12, 65_535).value, AttributeValue::Short(65_535));
    assert_eq!(Attribute::number(12, 86_400).value, long("00015180"));
    assert_eq!(Attribute::number(12, 1 << 32).value, long("0000000100000000"));
    assert_eq!(attributes(&[]), Ok(Vec::new()));
    for length in 1..4 {
        assert!(attributes(&hex("800b0001")[..length]).is_err());
    }
}

#[test]
fn identities_of_phase_1_are_read_and_written() {
    let table = [
        ("192.0.2.1", "01 00 0000 c0000201"),
        ("gw.example", "02 00 0000 67772e6578616d706c65"),
        ("ops@gw.example", "03 00 0000 6f70734067772e6578616d706c65"),
        ("2001:db8::1", "05 00 0000 20010db8000000000000000000000001"),
        ("@#c0ffee", "0b 00 0000 c0ffee"),
        ("type9:3000", "09 00 0000 3000"),
    ];
    for (text, octets) in table {
        let id: Id = text.parse().unwrap();
        let payload = IdPayload::from_identity(&id);
        assert_eq!(payload.octets, hex(octets), "{text}");
        assert_eq!(payload.identity(), Some(id), "{text}");
        assert_eq!(body(5, &payload.octets), Ok(Payload::Identification(payload)), "{text}");
    }
    assert_eq!(id(&hex("01 00 0000 c00002")).identity(), None, "an address of three octets");
    assert_eq!(id(&hex("05 00 0000 c0000201")).identity(), None);
    let subnet = id(&hex("04 00 0000 0a000000 ff000000"));
    assert!(matches!(subnet.identity(), Some(Id::Unknown { ty: 4, .. })), "a subnet is nobody");
    assert!(body(5, &[1, 0, 0]).is_err());
}

fn selector(text: &str) -> TrafficSelector {
    text.parse().unwrap()
}

fn range(start: &str, end: &str) -> TrafficSelector {
    TrafficSelector::range(start.parse().unwrap(), end.parse().unwrap())
}

#[test]
fn selectors_of_phase_2_are_read_and_written() {
    let v6 = "20010db8 00000000 00000000 00000001";
    let table = [
        (selector("10.2.0.9"), "01 00 0000 0a020009".to_owned()),
        (selector("10.1.0.0/16"), "04 00 0000 0a010000 ffff0000".to_owned()),
        (selector("0.0.0.0/0"), "04 00 0000 00000000 00000000".to_owned()),
        (selector("10.1.0.0/31"), "04 00 0000 0a010000 fffffffe".to_owned()),
        (range("10.1.0.1", "10.1.0.9"), "07 00 0000 0a010001 0a010009".to_owned()),
        (selector("2001:db8::1"), format!("05 00 0000 {v6}")),
        (
            selector("2001:db8::/33"),
            "06 00 0000 20010db8000000000000000000000000 ffffffff800000000000000000000000".to_owned(),
        ),
        (selector("::/0"), format!("06 00 0000 {}", "00".repeat(32))),
        (range("2001:db8::1", "2001:db8::3"), format!("08 00 0000 {v6} 20010db8000000000000000000000003")),
        (selector("10.2.0.9").with_protocol(47), "01 2f 0000 0a020009".to_owned()),
        (selector("10.1.0.0/16").with_protocol(6).with_ports(443, 443), "04 06 01bb 0a010000 ffff0000".to_owned()),
    ];
    for (selector, octets) in table {
        let payload = IdPayload::from_selector(&selector).unwrap();
        assert_eq!(payload.octets, hex(&octets), "{selector:?}");
        assert_eq!(payload.selector(), Some(selector));
        assert_eq!(body(5, &payload.octets), Ok(Payload::Identification(payload)));
    }
}

#[test]
fn identities_that_are_no_selector_are_refused() {
    let table = [
        ("a name", "02 00 0000 67772e6578616d706c65"),
        ("a key ID", "0b 00 0000 0a020009"),
        ("an address of three octets", "01 00 0000 0a0200"),
        ("an address of five octets", "01 00 0000 0a02000900"),
        ("a subnet without mask", "04 00 0000 0a010000"),
        ("a mask with a hole", "04 00 0000 0a010000 ff00ff00"),
        ("a mask upside down", "04 00 0000 0a010000 0000ffff"),
        ("a range that runs backwards", "07 00 0000 0a010009 0a010001"),
        ("half a range", "07 00 0000 0a010009"),
        ("an IPv6 subnet of IPv4's length", "06 00 0000 0a010000 ffff0000"),
        ("a hole in an IPv6 mask", "06 00 0000 20010db8000000000000000000000000 ffff00ff000000000000000000000000"),
        ("a type unknown", "0c 00 0000 0a010000"),
    ];
    for (name, octets) in table {
        let payload = id(&hex(octets));
        assert_eq!(payload.selector(), None, "{name}");
        assert_eq!(payload.octets, hex(octets), "{name}");
    }
    // Host bits do not matter.
    let sloppy = id(&hex("04 00 0000 0a010005 ffffff00"));
    assert_eq!(sloppy.selector(), Some(selector("10.1.0.0/24")));
}

#[test]
fn selectors_that_ikev1_cannot_say_are_not_said() {
    let any = selector("10.1.0.0/16").with_protocol(6);
    let mixed = TrafficSelector { end: IpAddr::from([0xff_u8; 16]), ..any.clone() };
    let table = [
        ("several ports", any.clone().with_ports(80, 443)),
        ("port 0 alone, which would mean any", any.clone().with_ports(0, 0)),
        ("all ports but one", any.clone().with_ports(1, 65_535)),
        ("OPAQUE", any.with_ports(65_535, 0)),
        ("backwards", range("10.1.0.9", "10.1.0.1")),
        ("two families", mixed),
    ];
    for (name, selector) in table {
        assert_eq!(IdPayload::from_selector(&selector), None, "{name}");
    }
}

#[test]
fn notifications_have_their_registered_names() {
    // RFC 2408 §3.14.1, RFC 2407 §4.6.3, RFC 3706 §5.2.
    let table = [
        (NotifyType::INVALID_PAYLOAD_TYPE, 1, "INVALID-PAYLOAD-TYPE"),
        (NotifyType::DOI_NOT_SUPPORTED, 2, "DOI-NOT-SUPPORTED"),
        (NotifyType::INVALID_COOKIE, 4, "INVALID-COOKIE"),
        (NotifyType::INVALID_MAJOR_VERSION, 5, "INVALID-MAJOR-VERSION"),
        (NotifyType::INVALID_EXCHANGE_TYPE, 7, "INVALID-EXCHANGE-TYPE"),
        (NotifyType::INVALID_MESSAGE_ID, 9, "INVALID-MESSAGE-ID"),
        (NotifyType::INVALID_SPI, 11, "INVALID-SPI"),
        (NotifyType::ATTRIBUTES_NOT_SUPPORTED, 13, "ATTRIBUTES-NOT-SUPPORTED"),
        (NotifyType::NO_PROPOSAL_CHOSEN, 14, "NO-PROPOSAL-CHOSEN"),
        (NotifyType::BAD_PROPOSAL_SYNTAX, 15, "BAD-PROPOSAL-SYNTAX"),
        (NotifyType::PAYLOAD_MALFORMED, 16, "PAYLOAD-MALFORMED"),
        (NotifyType::INVALID_KEY_INFORMATION, 17, "INVALID-KEY-INFORMATION"),
        (NotifyType::INVALID_ID_INFORMATION, 18, "INVALID-ID-INFORMATION"),
        (NotifyType::INVALID_HASH_INFORMATION, 23, "INVALID-HASH-INFORMATION"),
        (NotifyType::AUTHENTICATION_FAILED, 24, "AUTHENTICATION-FAILED"),
        (NotifyType::UNEQUAL_PAYLOAD_LENGTHS, 30, "UNEQUAL-PAYLOAD-LENGTHS"),
        (NotifyType::CONNECTED, 16_384, "CONNECTED"),
        (NotifyType::RESPONDER_LIFETIME, 24_576, "RESPONDER-LIFETIME"),
        (NotifyType::REPLAY_STATUS, 24_577, "REPLAY-STATUS"),
        (NotifyType::INITIAL_CONTACT, 24_578, "INITIAL-CONTACT"),
        (NotifyType::R_U_THERE, 36_136, "R-U-THERE"),
        (NotifyType::R_U_THERE_ACK, 36_137, "R-U-THERE-ACK"),
    ];
    for (ty, value, name) in table {
        assert_eq!((ty.0, ty.name().as_ref(), ty.to_string().as_str()), (value, name, name));
        assert_eq!(ty.is_error(), value < 16_384, "{name}");
    }
    let named = |value: &u16| !NotifyType(*value).name().starts_with("notification ");
    assert_eq!((0..=u16::MAX).filter(named).count(), 36);
    assert!((1..=30).all(|value| named(&value)));
    assert_eq!(NotifyType(31).name(), "notification 31");
    let errors: Vec<u16> = (0..=u16::MAX).filter(|value| NotifyType(*value).is_error()).collect();
    assert_eq!((errors.first(), errors.last(), errors.len()), (Some(&1), Some(&16_383), 16_383));
}

#[test]
fn notifications_are_read_whatever_their_domain() {
    let expected = Notification { protocol: ProtocolId::Esp, spi: vec![1, 2, 3, 4], ty: NotifyType(14), data: vec![9] };
    for doi in ["00000000", "00000001", "00000002"] {
        let read = body(11, &hex(&format!("{doi} 03 04 000e 01020304 09")));
        assert_eq!(read, Ok(Payload::Notification(expected.clone())), "{doi}");
    }
    for short in ["00000001 03 04 000e 010203", "00000001 03 04 00", ""] {
        assert_eq!(body(11, &hex(short)), Err(WireError::Truncated { what: "Notification payload" }));
    }
    let written = encode_payloads(&[about_isakmp(NotifyType::R_U_THERE, &[0, 0, 0, 9])]).1;
    assert_eq!(written[4..], hex(&format!("00000001 01 10 8d28 {COOKIES} 00000009")), "RFC 3706 §5.3");
}

#[test]
fn deletes_name_sas_by_spis_of_the_right_size() {
    let good = [
        ("00000001 03 04 0001 00001234".to_owned(), delete(ProtocolId::Esp, &["00001234"])),
        ("00000001 02 04 0002 00001234 00000000".to_owned(), delete(ProtocolId::Ah, &["00001234", "00000000"])),
        ("00000001 03 04 0000".to_owned(), delete(ProtocolId::Esp, &[])),
        ("00000001 01 10 0000".to_owned(), delete(ProtocolId::Isakmp, &[])),
        (format!("00000001 01 10 0001 {COOKIES}"), delete(ProtocolId::Isakmp, &[COOKIES])),
        ("00000001 04 02 0001 1234".to_owned(), delete(ProtocolId::IpComp, &["1234"])),
        ("00000001 04 04 0001 00001234".to_owned(), delete(ProtocolId::IpComp, &["00001234"])),
    ];
    for (octets, expected) in good {
        assert_eq!(encode_payloads(std::slice::from_ref(&expected)).1[4..], hex(&octets), "{octets}");
        assert_eq!(body(12, &hex(&octets)), Ok(expected), "{octets}");
    }
    assert_eq!(body(12, &hex("00000000 03 04 0001 00001234")), Ok(delete(ProtocolId::Esp, &["00001234"])));
    for bad in [
        "00000001 03 04 0002 00001234",
        "00000001 03 04 0001 00001234 00",
        "00000001 03 08 0001 0000123400001234",
        "00000001 02 00 ffff",
        "00000001 01 08 0001 c0ffee0011223344",
        "00000001 01 00 0001",
        "00000001 04 00 ffff",
        "00000001 63 00 ffff",
        "00000001 03 04",
    ] {
        assert!(body(12, &hex(bad)).is_err(), "{bad}");
    }
}

#[test]
fn fragments_are_read_and_written() {
    let fragment = Fragment { id: 0x1234, number: 2, last: true, data: vec![0xab; 3] };
    let octets = hex("00 00 000b 1234 02 01 ababab");
    assert_eq!(fragment.write(), octets);
    assert_eq!(Fragment::parse(&octets), Ok(fragment.clone()));
    // Reserved bits and a next payload that means nothing.
    assert_eq!(Fragment::parse(&hex("84 ff 000b 1234 02 ff ababab")), Ok(fragment.clone()));
    let earlier = Fragment::parse(&hex("00 00 000b 1234 01 fe ababab")).unwrap();
    assert_eq!((earlier.number, earlier.last), (1, false));
    for length in 0..octets.len() {
        assert!(Fragment::parse(&octets[..length]).is_err(), "{length}");
    }
    for (name, bad) in [
        ("octets behind it", "00 00 000b 1234 02 01 ababab 00"),
        ("a length beyond the message", "00 00 000c 1234 02 01 ababab"),
        ("a length below its header", "00 00 0003 1234 02 01 ababab"),
        ("number 0", "00 00 000b 1234 00 01 ababab"),
        ("no data", "00 00 0008 1234 01 01"),
    ] {
        assert!(Fragment::parse(&hex(bad)).is_err(), "{name}");
    }
}

#[test]
fn what_is_too_long_for_a_length_field_is_cut_and_still_read() {
    let long = vec![5; 70_000];
    let notification = Notification {
        protocol: ProtocolId::Isakmp,
        spi: vec![6; 300],
        ty: NotifyType::INVALID_SPI,
        data: long.clone(),
    };
    for payload in [
        Payload::VendorId(long),
        Payload::Notification(notification),
        Payload::Delete(Delete { protocol: ProtocolId::Esp, spis: vec![vec![7; 4]; 20_000] }),
    ] {
        let (first, octets) = encode_payloads(&[payload, Payload::Hash(vec![1; 20])]);
        let parsed = parse_payloads(first, &octets, false).unwrap();
        assert_eq!(parsed.payloads.len(), 2, "{first:?}");
        assert_eq!(parsed.payloads[1], Payload::Hash(vec![1; 20]), "{first:?}");
    }
}
