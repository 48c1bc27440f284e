//! Identities as people write them and as they are logged (RFC 7296 §3.5).
#![allow(clippy::unwrap_used, clippy::panic)] // a helper of a test may fail the test

use ike::id::{Id, IdError};
use proptest::collection::vec;
use proptest::prelude::*;

fn fqdn(name: &str) -> Id {
    Id::Fqdn(name.to_owned())
}

fn email(name: &str) -> Id {
    Id::Rfc822(name.to_owned())
}

#[test]
fn every_way_to_write_an_identity() {
    let cases = [
        ("192.0.2.1", Id::Ipv4([192, 0, 2, 1].into())),
        ("2001:db8::1", "2001:db8::1".parse().map(Id::Ipv6).unwrap()),
        ("ipv4:192.0.2.1", Id::Ipv4([192, 0, 2, 1].into())),
        ("ipv6:::1", "::1".parse().map(Id::Ipv6).unwrap()),
        ("gw.example", fqdn("gw.example")),
        ("  gw.example ", fqdn("gw.example")),
        ("@gw.example", fqdn("gw.example")),
        ("@192.0.2.1", fqdn("192.0.2.1")),
        ("fqdn:two words", fqdn("two words")),
        ("ops@gw.example", email("ops@gw.example")),
        ("@@ops", email("ops")),
        ("email:ops", email("ops")),
        ("keyid:branch office 7", Id::KeyId(b"branch office 7".to_vec())),
        ("@[branch]", Id::KeyId(b"branch".to_vec())),
        ("@#c0ffee", Id::KeyId(vec![0xc0, 0xff, 0xee])),
        ("keyid:a\\x00\\\\b", Id::KeyId(b"a\0\\b".to_vec())),
        ("type9:3000", Id::Unknown { ty: 9, data: vec![0x30, 0] }),
    ];
    for (text, id) in cases {
        assert_eq!(text.parse(), Ok(id), "{text}");
    }
}

#[test]
fn what_is_no_identity_says_why() {
    assert_eq!("".parse::<Id>(), Err(IdError::Empty));
    assert_eq!("@".parse::<Id>(), Err(IdError::Empty));
    assert_eq!("@#".parse::<Id>(), Err(IdError::Empty));
    assert!(matches!("two words".parse::<Id>(), Err(IdError::Character(' ', _))));
    assert!(matches!("C=CH, O=x".parse::<Id>(), Err(IdError::Character('=', _))));
    assert!(matches!("@#xyz".parse::<Id>(), Err(IdError::Hex(_))));
    assert!(matches!("@#abc".parse::<Id>(), Err(IdError::Hex(_))));
    assert_eq!("keyid:\\q".parse::<Id>(), Err(IdError::Escape));
    assert_eq!("keyid:\\x0".parse::<Id>(), Err(IdError::Escape));
    assert_eq!("keyid:\\xé".parse::<Id>(), Err(IdError::Escape));
    assert_eq!("fqdn:\\xff".parse::<Id>(), Err(IdError::Encoding));
    assert!(matches!("type1:00".parse::<Id>(), Err(IdError::Type(_))));
    assert!(matches!("type999:00".parse::<Id>(), Err(IdError::Character(':', _))));
    assert!(matches!("ipv4:gw".parse::<Id>(), Err(IdError::Type(_))));
}

#[test]
fn type_is_part_of_an_identity() {
    let address: Id = "192.0.2.1".parse().unwrap();
    let name: Id = "@192.0.2.1".parse().unwrap();
    assert!(!address.same_as(&name));
    assert_ne!(address.to_string(), name.to_string());
}

#[test]
fn names_differ_not_by_case_but_keys_do() {
    assert!(fqdn("GW.Example").same_as(&fqdn("gw.example")));
    assert!(email("Ops@GW").same_as(&email("ops@gw")));
    assert!(!fqdn("a").same_as(&email("a")));
    assert!(!Id::KeyId(b"A".to_vec()).same_as(&Id::KeyId(b"a".to_vec())));
}

#[test]
fn hostile_octets_are_escaped_when_shown() {
    let shown = fqdn("gw\n\u{1b}[31m\u{202e}x").to_string();
    assert_eq!(shown, "fqdn:gw\\x0a\\x1b[31m\\xe2\\x80\\xaex");
    assert!(format!("{:?}", Id::Unknown { ty: 2, data: vec![0xff] }).is_ascii());
}

#[test]
fn addresses_of_the_wrong_length_are_no_identity() {
    for (ty, right) in [(1, 4), (5, 16)] {
        for length in 0..20 {
            assert_eq!(Id::from_wire(ty, &vec![1; length]).is_some(), length == right, "type {ty}, {length} octets");
        }
    }
    assert_eq!(Id::from_wire(2, &[0xff]), Some(Id::Unknown { ty: 2, data: vec![0xff] }), "a name that is not UTF-8");
}

fn identity() -> impl Strategy<Value = Id> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|address| Id::Ipv4(address.into())),
        any::<[u8; 16]>().prop_map(|address| Id::Ipv6(address.into())),
        "\\PC{1,20}|[ -~]{1,20}|[\\x00-\\x7f]{1,10}|[0-9.]{1,8}".prop_map(Id::Fqdn),
        "[a-z@.]{1,20}|\\PC{1,20}|a@[0-9.]{1,8}".prop_map(Id::Rfc822),
        vec(any::<u8>(), 1..40).prop_map(Id::KeyId),
        "[ -~]{1,20}".prop_map(|text| Id::KeyId(text.into_bytes())),
        (12..=255_u8, vec(any::<u8>(), 0..40)).prop_map(|(ty, data)| Id::Unknown { ty, data }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_shown_is_printable_and_reads_back(id in identity()) {
        let shown = id.to_string();
        prop_assert!(shown.bytes().all(|octet| matches!(octet, b' '..=b'~')), "{}", shown);
        prop_assert_eq!(shown.parse(), Ok(id));
    }

    #[test]
    fn any_identity_passes_the_wire(id in identity()) {
        prop_assert_eq!(Id::from_wire(id.wire_type(), &id.wire_data()), Some(id));
    }

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,40}|[@#:\\\\x0-9a-f\\[\\]]{0,20}") {
        let _ = text.parse::<Id>();
    }
}
