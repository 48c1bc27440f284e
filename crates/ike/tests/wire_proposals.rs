//! Proposals as text, on the wire, and the choice between them (RFC 7296 §2.7, §3.3).
#![allow(clippy::unwrap_used, clippy::panic)] // a helper of a test may fail the test

use crypto::{Cipher, Group, Integrity, Prf};
use ike::proposal::{
    EspProposal, IkeProposal, ProposalError, accept_esp, accept_ike, esp_to_wire, ike_to_wire, select_esp, select_ike,
};
use ike::wire::{IkeSpi, Payload, Proposal, ProtocolId, Transform, TransformType, encode_payloads, parse_payloads};
use ipsec::Spi;
use proptest::prelude::*;

/// What is agreed, in words, or in which fields the proposals differ.
type Expected<'a> = Result<&'a str, &'a [&'a str]>;

const ENCR: TransformType = TransformType::Encryption;
const PRF: TransformType = TransformType::Prf;
const INTEG: TransformType = TransformType::Integrity;
const DH: TransformType = TransformType::KeyExchange;
const ESN: TransformType = TransformType::ExtendedSequenceNumbers;

fn ike(text: &str) -> Vec<IkeProposal> {
    IkeProposal::parse_list(text).unwrap()
}

fn esp(text: &str) -> Vec<EspProposal> {
    EspProposal::parse_list(text, false).unwrap()
}

fn spi() -> Spi {
    Spi::new(0x1000_0001).unwrap()
}

fn t(ty: TransformType, id: u16) -> Transform {
    Transform::new(ty, id)
}

fn aes(id: u16, bits: u16) -> Transform {
    Transform { key_bits: Some(bits), ..t(ENCR, id) }
}

fn odd(transform: Transform) -> Transform {
    Transform { unknown_attributes: true, ..transform }
}

fn ike_offer(transforms: &[Transform]) -> Proposal {
    Proposal { number: 1, protocol: ProtocolId::Ike, spi: vec![], transforms: transforms.to_vec() }
}

fn esp_offer(transforms: &[Transform]) -> Proposal {
    let spi = spi().to_be_bytes().to_vec();
    Proposal { number: 1, protocol: ProtocolId::Esp, spi, transforms: transforms.to_vec() }
}

#[test]
fn words_of_a_proposal() {
    let cases = [
        ("aes256-sha256-modp2048", "aes256-sha256-modp2048"),
        ("AES128-SHA1-DH14", "aes128-sha1-modp2048"),
        ("aes256-sha2_512-group19-x25519", "aes256-sha512-ecp256-curve25519"),
        ("aes256gcm-prfsha384-ecp384", "aes256gcm16-prfsha384-ecp384"),
        ("aes256gcm16-sha384-ecp384", "aes256gcm16-prfsha384-ecp384"),
        ("aes128gcm128-modp2048", "aes128gcm16-prfsha256-modp2048"),
        ("aes-aes256-sha256-sha1-modp2048-modp1024", "aes128-aes256-sha256-sha1-modp2048-modp1024"),
        ("aes128-sha256-prfsha512-modp2048", "aes128-sha256-prfsha512-modp2048"),
        ("aes128-aesxcbc-modp2048", "aes128-aesxcbc-modp2048"),
        ("chacha20poly1305-prfsha256-curve25519", "chacha20poly1305-prfsha256-curve25519"),
    ];
    for (text, shown) in cases {
        let proposal: IkeProposal = text.parse().unwrap();
        assert_eq!(proposal.to_string(), shown);
        assert_eq!(shown.parse(), Ok(proposal), "reads back");
    }
    let cases = [
        ("aes256gcm16", "aes256gcm16"),
        ("aes256gcm16-noesn", "aes256gcm16"),
        ("aes128-sha256-modp2048-esn", "aes128-sha256-modp2048-esn"),
        ("aes128gcm16-esn-noesn", "aes128gcm16-esn-noesn"),
        ("aes128gcm16-sha256", "aes128gcm16"),
    ];
    for (text, shown) in cases {
        let proposal: EspProposal = text.parse().unwrap();
        assert_eq!(proposal.to_string(), shown);
        assert_eq!(shown.parse(), Ok(proposal), "reads back");
    }
}

#[test]
fn prf_follows_from_integrity_unless_named() {
    assert_eq!(ike("aes128-sha384-modp2048")[0].prfs, [Prf::HmacSha2_384]);
    assert_eq!(ike("aes128-sha384-prfsha1-modp2048")[0].prfs, [Prf::HmacSha1]);
    assert_eq!(ike("aes128-aescmac-modp2048")[0].prfs, [Prf::AesCmac128]);
    assert_eq!(ike("aes128gcm16-x25519")[0].prfs, [Prf::HmacSha2_256]);
}

#[test]
fn list_that_mixes_aead_and_other_ciphers_becomes_two_proposals() {
    let list = ike("aes256gcm16-aes256-sha256-modp2048, aes128-sha1-modp1024");
    let shown: Vec<String> = list.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["aes256gcm16-prfsha256-modp2048", "aes256-sha256-modp2048", "aes128-sha1-modp1024"]);
    assert!(matches!("aes256gcm16-aes256-sha256-modp2048".parse::<IkeProposal>(), Err(ProposalError::Mixed(..))));
}

#[test]
fn what_is_no_proposal_says_why() {
    let error = |text: &str| text.parse::<IkeProposal>().unwrap_err();
    assert_eq!(error("aes265-sha256-modp2048").to_string(), "unknown algorithm \"aes265\"; did you mean aes256?");
    assert_eq!(error("aes256-sha256-mod2048").to_string(), "unknown algorithm \"mod2048\"; did you mean modp2048?");
    assert!(matches!(error("aes256-sha256-zzzzzzzzz"), ProposalError::UnknownWord { suggestion: None, .. }));
    assert!(matches!(error("aes256-sha256-group21x"), ProposalError::UnknownWord { .. }));
    assert!(matches!(error("aes256-sha256-dh77"), ProposalError::UnknownWord { .. }));
    assert_eq!(error(""), ProposalError::MissingCipher);
    assert_eq!(error("sha256-modp2048"), ProposalError::MissingCipher);
    assert_eq!(error("aes256-modp2048"), ProposalError::MissingIntegrity("aes256"));
    assert_eq!(error("aes256-sha256"), ProposalError::MissingGroup);
    assert_eq!(error("aes256-sha256-modp2048-esn"), ProposalError::Misplaced("esn", "IKE"));
    assert_eq!(error("null-sha256-modp2048"), ProposalError::Null);
    let error = |text: &str| text.parse::<EspProposal>().unwrap_err();
    assert_eq!(error("aes256-prfsha256"), ProposalError::Misplaced("prfsha256", "ESP"));
    assert_eq!(error("aes256"), ProposalError::MissingIntegrity("aes256"));
}

#[test]
fn null_encryption_is_read_only_where_allowed_and_never_for_ike() {
    assert_eq!(EspProposal::parse("null-sha256", false), Err(ProposalError::Null));
    let null = EspProposal::parse("null-sha256", true).unwrap();
    assert_eq!(null.ciphers, [Cipher::Null]);
    assert_eq!(null.is_weak(), ["null: packets are not encrypted"]);
    let new =
        IkeProposal::new(vec![Cipher::Null], vec![Integrity::HmacSha1_96], vec![Prf::HmacSha1], vec![Group::Modp2048]);
    assert_eq!(new, Err(ProposalError::Null));
}

#[test]
fn weak_algorithms_are_named() {
    assert_eq!(ike("aes256-sha256-modp2048-ecp256")[0].is_weak(), Vec::<&str>::new());
    for proposal in IkeProposal::defaults() {
        assert!(proposal.is_weak().is_empty(), "{proposal}");
    }
    for proposal in EspProposal::defaults() {
        assert!(proposal.is_weak().is_empty(), "{proposal}");
    }
    let weak = ike("aes128-sha1-modp1024-modp1536-dh22")[0].is_weak().join("; ");
    for word in ["sha1", "modp1024", "modp1536", "modp1024s160"] {
        assert!(weak.contains(word), "{word}: {weak}");
    }
}

#[test]
fn defaults_meet_each_other_and_put_aead_and_curves_first() {
    let offer = ike_to_wire(&IkeProposal::defaults(), None);
    let selected = select_ike(&IkeProposal::defaults(), &offer, None).unwrap();
    assert_eq!(selected.suite.to_string(), "aes256gcm16-prfsha256-curve25519");
    let offer = esp_to_wire(&EspProposal::defaults(), spi(), true);
    let selected = select_esp(&EspProposal::defaults(), &offer, true, Some(Group::Curve25519)).unwrap();
    assert_eq!(selected.choice.to_string(), "aes256gcm16-curve25519-esn");
}

#[test]
fn transforms_on_the_wire_have_the_registered_numbers() {
    let offer = ike_to_wire(&ike("aes256-aes128-sha256-sha1-prfsha384-modp2048-ecp256"), None);
    assert_eq!(
        offer,
        [ike_offer(&[aes(12, 256), aes(12, 128), t(PRF, 6), t(INTEG, 12), t(INTEG, 2), t(DH, 14), t(DH, 19)])]
    );
    let offer = ike_to_wire(&ike("chacha20poly1305-x25519, aes192gcm16-ecp521"), Some(IkeSpi([9; 8])));
    assert_eq!(offer[0].transforms, [t(ENCR, 28), t(PRF, 5), t(DH, 31)]);
    assert_eq!(offer[1].transforms, [aes(20, 192), t(PRF, 5), t(DH, 21)]);
    assert_eq!(offer.iter().map(|p| (p.number, p.spi.len())).collect::<Vec<_>>(), [(1, 8), (2, 8)]);
    let offer = esp_to_wire(&esp("aes128gcm16-modp2048-esn-noesn"), spi(), true);
    assert_eq!(offer, [esp_offer(&[aes(20, 128), t(DH, 14), t(ESN, 1), t(ESN, 0)])]);
}

#[test]
fn proposals_of_ike_auth_have_no_groups_and_are_not_repeated() {
    let offer = esp_to_wire(&EspProposal::defaults(), spi(), false);
    assert_eq!(offer.len(), 2);
    assert!(offer.iter().flat_map(|proposal| &proposal.transforms).all(|transform| transform.ty != DH));
    assert_eq!(offer[1].number, 2);
}

/// Each row: our proposals, the peer's one proposal, what is agreed or in what it differs.
#[test]
fn responder_selects_an_ike_suite() {
    let cbc = [aes(12, 256), t(PRF, 5), t(INTEG, 12), t(DH, 14)];
    let with = |more: &[Transform]| [&cbc, more].concat();
    let gcm = |more: &[Transform]| [&[aes(20, 256), t(PRF, 5), t(DH, 14)], more].concat();
    let ours_cbc = "aes256-sha256-modp2048";
    let ours_gcm = "aes256gcm16-prfsha256-modp2048";
    let cases: Vec<(&str, &str, Vec<Transform>, Expected<'_>)> = vec![
        ("same", ours_cbc, cbc.to_vec(), Ok(ours_cbc)),
        ("another group", "aes256-sha256-ecp256", cbc.to_vec(), Err(&["dh_group"])),
        ("another cipher", "aes128-sha256-modp2048", cbc.to_vec(), Err(&["encryption"])),
        ("another integrity", "aes256-sha1-prfsha256-modp2048", cbc.to_vec(), Err(&["integrity"])),
        ("another PRF", "aes256-sha256-prfsha1-modp2048", cbc.to_vec(), Err(&["prf"])),
        ("no group offered", ours_cbc, cbc[..3].to_vec(), Err(&["dh_group"])),
        ("no PRF offered", ours_cbc, [&cbc[..1], &cbc[2..]].concat(), Err(&["prf"])),
        ("group NONE offered", ours_cbc, [&cbc[..3], &[t(DH, 0)]].concat(), Err(&["dh_group"])),
        ("AES without a key length", ours_cbc, [&[t(ENCR, 12)], &cbc[1..]].concat(), Err(&["encryption"])),
        ("AEAD without integrity", ours_gcm, gcm(&[]), Ok(ours_gcm)),
        ("AEAD with integrity NONE", ours_gcm, gcm(&[t(INTEG, 0)]), Ok(ours_gcm)),
        ("AEAD with integrity", ours_gcm, gcm(&[t(INTEG, 12)]), Err(&["integrity"])),
        ("AEAD, integrity optional", ours_gcm, gcm(&[t(INTEG, 12), t(INTEG, 0)]), Ok(ours_gcm)),
        ("AEAD, integrity of unknown shape", ours_gcm, gcm(&[odd(t(INTEG, 0))]), Err(&["integrity"])),
        ("CBC without integrity", ours_cbc, [&cbc[..2], &cbc[3..]].concat(), Err(&["integrity"])),
        ("CBC with integrity NONE", ours_cbc, [&cbc[..2], &cbc[3..], &[t(INTEG, 0)]].concat(), Err(&["integrity"])),
        ("both kinds in one", ours_cbc, with(&[aes(20, 256)]), Ok(ours_cbc)),
        ("both kinds in one, we want AEAD", ours_gcm, with(&[aes(20, 256)]), Err(&["integrity"])),
        ("AEAD against CBC", ours_gcm, cbc.to_vec(), Err(&["encryption", "integrity"])),
        (
            "ChaCha with a key length",
            "chacha20poly1305-prfsha256-modp2048",
            vec![aes(28, 256), t(PRF, 5), t(DH, 14)],
            Err(&["encryption"]),
        ),
        (
            "ChaCha without",
            "chacha20poly1305-prfsha256-modp2048",
            vec![t(ENCR, 28), t(PRF, 5), t(DH, 14)],
            Ok("chacha20poly1305-prfsha256-curve25519"),
        ),
        ("unknown transform type", ours_cbc, with(&[t(TransformType::Unknown(6), 35)]), Err(&["transform_type"])),
        ("transform of an ESP type", ours_cbc, with(&[t(ESN, 0)]), Err(&["transform_type"])),
        ("an unknown attribute on another transform", ours_cbc, with(&[odd(aes(12, 128))]), Ok(ours_cbc)),
        ("an unknown attribute on ours", ours_cbc, [&[odd(aes(12, 256))], &cbc[1..]].concat(), Err(&["encryption"])),
        ("unknown algorithms beside ours", ours_cbc, with(&[t(ENCR, 999), t(DH, 1025), t(PRF, 77)]), Ok(ours_cbc)),
        ("nothing", ours_cbc, vec![], Err(&["encryption", "integrity", "prf", "dh_group"])),
    ];
    for (name, ours, theirs, expected) in cases {
        let result = select_ike(&ike(ours), &[ike_offer(&theirs)], None);
        match (result, expected) {
            (Ok(selected), Ok(suite)) => {
                let suite =
                    if name == "ChaCha without" { suite.replace("curve25519", "modp2048") } else { suite.into() };
                assert_eq!(selected.suite.to_string(), suite, "{name}");
                assert_eq!(selected.spi, None);
            }
            (Err(diff), Err(fields)) => assert_eq!(diff.fields, fields, "{name}: {diff}"),
            (result, expected) => panic!("{name}: {result:?}, not {expected:?}"),
        }
    }
}

#[test]
fn our_order_decides_among_proposals_and_algorithms() {
    let ours = ike("aes256gcm16-prfsha256-ecp256, aes256-aes128-sha512-sha256-modp2048-ecp256");
    let theirs = ike_to_wire(
        &ike("aes128-sha256-sha512-modp2048, aes128-aes256-sha256-modp2048, aes256gcm16-prfsha256-ecp256"),
        None,
    );
    let selected = select_ike(&ours, &theirs, None).unwrap();
    assert_eq!((selected.number, selected.suite.to_string().as_str()), (3, "aes256gcm16-prfsha256-ecp256"));
    let selected = select_ike(&ours[1..], &theirs[..1], None).unwrap();
    assert_eq!(selected.suite.to_string(), "aes128-sha512-modp2048");
}

#[test]
fn group_of_the_key_exchange_payload_is_preferred_if_we_accept_it() {
    let ours = ike("aes256-sha256-ecp256-modp2048");
    let theirs = ike_to_wire(&ike("aes256-sha256-modp2048-ecp256"), None);
    let group = |preferred| select_ike(&ours, &theirs, preferred).unwrap().suite.group;
    assert_eq!(group(None), Group::Ecp256);
    assert_eq!(group(Some(Group::Modp2048)), Group::Modp2048);
    assert_eq!(group(Some(Group::Curve25519)), Group::Ecp256, "one which nobody accepts is not");
}

#[test]
fn any_proposal_number_is_accepted_and_repeated() {
    let ours = ike("aes256-sha256-modp2048");
    for number in [0, 5, 255] {
        let theirs = Proposal { number, ..ike_to_wire(&ours, None).remove(0) };
        let selected = select_ike(&ours, &[theirs], None).unwrap();
        assert_eq!((selected.number, selected.wire.number), (number, number));
    }
}

#[test]
fn answer_has_one_transform_of_each_type_in_the_offer() {
    let ours = IkeProposal::defaults();
    for theirs in [ike("aes256gcm16-aes128gcm16-ecp256-modp2048"), ike("aes256-aes128-sha256-sha512-modp2048-ecp384")] {
        let selected = select_ike(&ours, &ike_to_wire(&theirs, None), None).unwrap();
        let mut types: Vec<TransformType> = selected.wire.transforms.iter().map(|t| t.ty).collect();
        let count = types.len();
        types.dedup();
        assert_eq!(types.len(), count);
        assert_eq!(accept_ike(&theirs, &[selected.wire]).unwrap(), (selected.suite, None));
    }
}

#[test]
fn spi_sizes_follow_the_protocol() {
    let ours = ike("aes256-sha256-modp2048");
    for (spi, expected) in
        [(vec![], Some(None)), (vec![3; 8], Some(Some(IkeSpi([3; 8])))), (vec![0; 8], None), (vec![1; 4], None)]
    {
        let theirs = Proposal { spi: spi.clone(), ..ike_to_wire(&ours, None).remove(0) };
        let result = select_ike(&ours, &[theirs], None);
        match expected {
            Some(spi) => assert_eq!(result.unwrap().spi, spi),
            None => assert_eq!(result.unwrap_err().fields, ["spi"], "{spi:?}"),
        }
    }
    let ours = esp("aes128gcm16");
    for (spi, valid) in [(vec![0, 0, 1, 0], true), (vec![0, 0, 0, 255], false), (vec![], false), (vec![1; 8], false)] {
        let theirs = Proposal { spi: spi.clone(), ..esp_to_wire(&ours, self::spi(), true).remove(0) };
        assert_eq!(select_esp(&ours, &[theirs], true, None).is_ok(), valid, "{spi:?}");
    }
}

#[test]
fn protocols_do_not_mix() {
    let ours = ike("aes256-sha256-modp2048");
    for protocol in [ProtocolId::Esp, ProtocolId::Ah, ProtocolId::None, ProtocolId::Unknown(7)] {
        let theirs = Proposal { protocol, ..ike_to_wire(&ours, None).remove(0) };
        assert_eq!(select_ike(&ours, &[theirs], None).unwrap_err().fields, ["protocol"]);
    }
    let ah = Proposal { protocol: ProtocolId::Ah, ..esp_offer(&[t(INTEG, 12), t(ESN, 0)]) };
    assert!(select_esp(&esp("aes128-sha256"), &[ah], false, None).is_err());
}

#[test]
fn responder_selects_an_esp_suite() {
    let gcm = |more: &[Transform]| [&[aes(20, 128)], more].concat();
    let cases: Vec<(&str, &str, bool, Vec<Transform>, Expected<'_>)> = vec![
        ("no ESN", "aes128gcm16", true, gcm(&[t(ESN, 0)]), Ok("aes128gcm16")),
        ("ESN wanted and offered", "aes128gcm16-esn", true, gcm(&[t(ESN, 1)]), Ok("aes128gcm16-esn")),
        ("our order for ESN", "aes128gcm16-noesn-esn", true, gcm(&[t(ESN, 1), t(ESN, 0)]), Ok("aes128gcm16")),
        ("ESN wanted, not offered", "aes128gcm16-esn", true, gcm(&[t(ESN, 0)]), Err(&["esn"])),
        ("ESN offered, not wanted", "aes128gcm16", true, gcm(&[t(ESN, 1)]), Err(&["esn"])),
        ("no ESN transform is no ESN", "aes128gcm16", true, gcm(&[]), Ok("aes128gcm16")),
        ("no ESN transform, ESN wanted", "aes128gcm16-esn", true, gcm(&[]), Err(&["esn"])),
        ("no group on either side", "aes128gcm16", true, gcm(&[t(ESN, 0), t(DH, 0)]), Ok("aes128gcm16")),
        ("a group we do not want", "aes128gcm16", true, gcm(&[t(ESN, 0), t(DH, 14)]), Err(&["dh_group"])),
        ("an optional group we do not want", "aes128gcm16", true, gcm(&[t(DH, 14), t(DH, 0)]), Ok("aes128gcm16")),
        ("a group we want", "aes128gcm16-modp2048", true, gcm(&[t(DH, 14)]), Ok("aes128gcm16-modp2048")),
        ("a group missing", "aes128gcm16-modp2048", true, gcm(&[]), Err(&["dh_group"])),
        ("a group missing in IKE_AUTH", "aes128gcm16-modp2048", false, gcm(&[]), Ok("aes128gcm16")),
        ("a group in IKE_AUTH is ignored", "aes128gcm16", false, gcm(&[t(DH, 14)]), Ok("aes128gcm16")),
        ("PRF in ESP", "aes128gcm16", true, gcm(&[t(PRF, 5)]), Err(&["transform_type"])),
        ("unknown type", "aes128gcm16", true, gcm(&[t(TransformType::Unknown(9), 1)]), Err(&["transform_type"])),
        (
            "CBC",
            "aes256-sha512-modp3072-esn",
            true,
            vec![aes(12, 256), t(INTEG, 14), t(DH, 15), t(ESN, 1)],
            Ok("aes256-sha512-modp3072-esn"),
        ),
    ];
    for (name, ours, with_groups, theirs, expected) in cases {
        let result = select_esp(&esp(ours), &[esp_offer(&theirs)], with_groups, None);
        match (result, expected) {
            (Ok(selected), Ok(choice)) => {
                assert_eq!(selected.choice.to_string(), choice, "{name}");
                assert_eq!(selected.spi, spi());
                assert!(selected.wire.transforms.iter().all(|transform| theirs.contains(transform)), "{name}");
                assert!(selected.wire.transforms.iter().all(|t| t.id != 0 || t.ty == ESN), "{name}: NONE is left out");
            }
            (Err(diff), Err(fields)) => assert_eq!(diff.fields, fields, "{name}: {diff}"),
            (result, expected) => panic!("{name}: {result:?}, not {expected:?}"),
        }
    }
}

#[test]
fn default_esp_proposals_take_a_peer_with_and_without_forward_secrecy() {
    let defaults = EspProposal::defaults();
    for theirs in ["aes256gcm16-modp2048", "aes256gcm16", "aes128-sha256", "aes128-sha512-ecp256"] {
        let offer = esp_to_wire(&esp(theirs), spi(), true);
        let selected = select_esp(&defaults, &offer, true, None).unwrap();
        assert_eq!(selected.choice.to_string(), theirs);
    }
}

#[test]
fn initiator_accepts_one_choice_out_of_its_offer_and_nothing_else() {
    let offered = ike("aes256-aes128-sha256-modp2048-ecp256, aes256gcm16-prfsha384-ecp256");
    let right = ike_offer(&[aes(12, 128), t(PRF, 5), t(INTEG, 12), t(DH, 19)]);
    let (suite, spi) = accept_ike(&offered, std::slice::from_ref(&right)).unwrap();
    assert_eq!((suite.to_string().as_str(), spi), ("aes128-sha256-ecp256", None));

    let with = |transforms: &[Transform]| vec![Proposal { transforms: transforms.to_vec(), ..right.clone() }];
    let cases: Vec<(&str, Vec<Proposal>, &[&str])> = vec![
        ("no proposal", vec![], &["choice"]),
        ("two proposals", vec![right.clone(), right.clone()], &["choice"]),
        ("two ciphers", with(&[aes(12, 128), aes(12, 256), t(PRF, 5), t(INTEG, 12), t(DH, 19)]), &["choice"]),
        ("two groups", with(&[aes(12, 128), t(PRF, 5), t(INTEG, 12), t(DH, 19), t(DH, 14)]), &["choice"]),
        ("a group not offered", with(&[aes(12, 128), t(PRF, 5), t(INTEG, 12), t(DH, 2)]), &["dh_group"]),
        ("a cipher not offered", with(&[aes(12, 192), t(PRF, 5), t(INTEG, 12), t(DH, 14)]), &["encryption"]),
        ("a mix of two offers", with(&[aes(20, 256), t(PRF, 5), t(DH, 19)]), &["prf"]),
        ("no integrity", with(&[aes(12, 128), t(PRF, 5), t(DH, 14)]), &["integrity"]),
        ("integrity NONE", with(&[aes(12, 128), t(PRF, 5), t(INTEG, 0), t(DH, 14)]), &["integrity"]),
        ("an unknown attribute", with(&[odd(aes(12, 128)), t(PRF, 5), t(INTEG, 12), t(DH, 14)]), &["encryption"]),
        ("another protocol", vec![Proposal { protocol: ProtocolId::Esp, ..right.clone() }], &["protocol"]),
    ];
    for (name, answer, fields) in cases {
        let diff = accept_ike(&offered, &answer).unwrap_err();
        assert_eq!(diff.fields, fields, "{name}: {diff}");
        assert!(diff.is_answer && diff.to_string().contains("we offered"), "{diff}");
    }
}

#[test]
fn initiator_checks_a_childs_answer() {
    let offered = esp("aes256gcm16-modp2048-esn-noesn, aes256gcm16");
    let accept = |transforms: &[Transform], with_groups| accept_esp(&offered, &[esp_offer(transforms)], with_groups);
    let (choice, peer) = accept(&[aes(20, 256), t(DH, 14), t(ESN, 1)], true).unwrap();
    assert_eq!((choice.to_string().as_str(), peer), ("aes256gcm16-modp2048-esn", spi()));
    assert_eq!(accept(&[aes(20, 256), t(ESN, 0)], true).unwrap().0.to_string(), "aes256gcm16");
    assert!(accept(&[aes(20, 256), t(DH, 14), t(ESN, 0)], false).is_err(), "a group in IKE_AUTH was not offered");
    assert_eq!(accept(&[aes(20, 256), t(ESN, 1)], false).unwrap().0.to_string(), "aes256gcm16-esn");
}

#[test]
fn diff_says_what_each_side_has_and_what_differs() {
    let diff =
        select_ike(&ike("aes256-sha256-modp2048-ecp256"), &ike_to_wire(&ike("aes256-sha256-modp1024"), None), None)
            .unwrap_err();
    assert_eq!(
        diff.to_string(),
        "peer offers aes256-sha256-modp1024; we accept aes256-sha256-modp2048,ecp256: \
         differs in DH group only"
    );
    assert_eq!(diff.fields, ["dh_group"]);
}

#[test]
fn diff_names_the_prf_where_it_does_not_follow_from_integrity() {
    let theirs = ike_to_wire(&ike("aes256-sha256-prfsha512-modp2048"), None);
    let diff = select_ike(&ike("aes256-sha256-modp2048"), &theirs, None).unwrap_err();
    assert_eq!(
        diff.to_string(),
        "peer offers aes256-sha256-prfsha512-modp2048; we accept aes256-sha256-modp2048: differs in PRF only"
    );
}

#[test]
fn diff_talks_about_the_closest_pair_and_names_foreign_algorithms() {
    let theirs = [
        ike_offer(&[t(ENCR, 3), t(PRF, 1), t(INTEG, 1), t(DH, 1)]),
        ike_offer(&[aes(23, 256), t(ENCR, 12), t(ENCR, 4000), t(PRF, 5), t(INTEG, 12), t(DH, 14)]),
    ];
    let diff = select_ike(&IkeProposal::defaults(), &theirs, None).unwrap_err();
    assert_eq!(diff.fields, ["encryption"]);
    for word in ["3des-md5-modp768", "camellia(256 bits)", "aes(no key length)", "encr4000"] {
        assert!(diff.theirs.contains(word), "{word}: {diff}");
    }
}

#[test]
fn diff_stays_short_whatever_a_peer_offers() {
    let transforms: Vec<Transform> = (0..255).map(|id| t(TransformType::Unknown(200), id)).collect();
    let theirs = vec![ike_offer(&transforms); 64];
    let diff = select_ike(&ike("aes256-sha256-modp2048"), &theirs, None).unwrap_err();
    assert!(diff.to_string().len() < 4000, "{}", diff.to_string().len());
    assert!(diff.theirs.ends_with("and 56 more"));
    assert_eq!(select_ike(&ike("aes256-sha256-modp2048"), &[], None).unwrap_err().theirs.as_ref(), "nothing");
}

fn subset<T: Clone + std::fmt::Debug + 'static>(all: &[T]) -> impl Strategy<Value = Vec<T>> + use<T> {
    let all = all.to_vec();
    let len = all.len();
    proptest::sample::subsequence(all, 1..=len).prop_shuffle()
}

fn ike_proposal() -> impl Strategy<Value = IkeProposal> {
    let aead: Vec<Cipher> = Cipher::ALL.into_iter().filter(|cipher| cipher.is_aead()).collect();
    let cbc = [Cipher::AesCbc128, Cipher::AesCbc192, Cipher::AesCbc256];
    let kinds =
        prop_oneof![subset(&aead).prop_map(|ciphers| (ciphers, vec![])), (subset(&cbc), subset(&Integrity::ALL)),];
    (kinds, subset(&Prf::ALL), subset(&Group::ALL)).prop_map(|((ciphers, integrities), prfs, groups)| {
        IkeProposal::new(ciphers, integrities, prfs, groups).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_proposal_reads_back_from_text_and_wire(proposal in ike_proposal()) {
        prop_assert_eq!(proposal.to_string().parse(), Ok(proposal.clone()));
        let wire = ike_to_wire(std::slice::from_ref(&proposal), None);
        let (first, chain) = encode_payloads(&[Payload::SecurityAssociation(wire.clone())]);
        prop_assert_eq!(parse_payloads(first, &chain), Ok(vec![Payload::SecurityAssociation(wire)]));
    }

    #[test]
    fn what_a_responder_selects_its_initiator_accepts(
        ours in proptest::collection::vec(ike_proposal(), 1..4),
        theirs in proptest::collection::vec(ike_proposal(), 1..4),
        preferred in proptest::option::of(proptest::sample::select(Group::ALL.to_vec())),
    ) {
        match select_ike(&ours, &ike_to_wire(&theirs, None), preferred) {
            Ok(selected) => {
                prop_assert_eq!(accept_ike(&theirs, &[selected.wire]), Ok((selected.suite, None)));
            }
            Err(diff) => prop_assert!(!diff.fields.is_empty()),
        }
    }

    #[test]
    fn any_two_ends_with_the_same_list_agree(list in proptest::collection::vec(ike_proposal(), 1..4)) {
        prop_assert!(select_ike(&list, &ike_to_wire(&list, None), None).is_ok());
    }

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,60}|(aes|sha|modp|dh|group|-|,|[0-9]{1,4}){0,12}") {
        let _ = IkeProposal::parse_list(&text);
        let _ = EspProposal::parse_list(&text, true);
    }
}
