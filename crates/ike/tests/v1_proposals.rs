//! Proposals and vendor IDs of IKEv1: offers, choices, answers, and what is said when nothing fits.

#![allow(clippy::unwrap_used, clippy::panic)] // a helper of a test may fail the test

use crypto::Group;
use ike::config::Lifetime;
use ike::proposal::{EspProposal, IkeProposal, ProposalDiff};
use ike::v1::proposal::*;
use ike::v1::vendor::{Features, NatVersion, answered, offered, recognise};
use ike::v1::wire::*;
use ipsec::Spi;
use std::time::Duration;

fn ike(text: &str) -> Vec<IkeProposal> {
    IkeProposal::parse_list(text).unwrap()
}

fn esp(text: &str) -> Vec<EspProposal> {
    EspProposal::parse_list(text, true).unwrap()
}

fn seconds(seconds: u64) -> Lifetime {
    Lifetime::of(Duration::from_secs(seconds))
}

fn spi(value: u32) -> Spi {
    Spi::new(value).unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Attributes as `type=value` (basic form) or `type=[hex]` (variable form), separated by blanks.
fn attributes(text: &str) -> Vec<Attribute> {
    let parse = |word: &str| {
        let (ty, value) = word.split_once('=').unwrap();
        let value = match value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(octets) => AttributeValue::Long(hex(octets)),
            None => AttributeValue::Short(value.parse().unwrap()),
        };
        Attribute { ty: ty.parse().unwrap(), value }
    };
    text.split_whitespace().map(parse).collect()
}

/// A peer's proposal for phase 1: number, and a number and the attributes of each transform.
fn phase1(number: u8, transforms: &[(u8, &str)]) -> Proposal {
    let transform = |(number, text): &(u8, &str)| Transform { number: *number, id: 1, attributes: attributes(text) };
    let transforms = transforms.iter().map(transform).collect();
    Proposal { number, protocol: ProtocolId::Isakmp, spi: Vec::new(), transforms }
}

/// A peer's proposal for ESP: number, and number, transform ID and attributes of each transform.
fn phase2(number: u8, transforms: &[(u8, u8, &str)]) -> Proposal {
    let transform =
        |(number, id, text): &(u8, u8, &str)| Transform { number: *number, id: *id, attributes: attributes(text) };
    let transforms = transforms.iter().map(transform).collect();
    Proposal { number, protocol: ProtocolId::Esp, spi: vec![0, 0, 0x10, 0], transforms }
}

/// A payload as the other end reads it.
fn sent(payload: &SaPayload) -> SaPayload {
    reread(&payload.octets).expect("what we write can be read")
}

fn reread(octets: &[u8]) -> Option<SaPayload> {
    let opaque = Payload::Opaque { ty: PayloadType::SecurityAssociation, body: octets.to_vec() };
    let (first, octets) = encode_payloads(&[opaque]);
    match parse_payloads(first, &octets, false).ok()?.payloads.remove(0) {
        Payload::SecurityAssociation(payload) => Some(payload),
        other => panic!("{other:?}"),
    }
}

/// The first group of the first proposal.
fn group_of(ours: &[EspProposal]) -> Option<Group> {
    ours[0].groups.first().copied()
}

fn one_phase1(text: &str) -> SaPayload {
    SaPayload::new(vec![phase1(1, &[(1, text)])])
}

fn one_phase2(id: u8, text: &str) -> SaPayload {
    SaPayload::new(vec![phase2(1, &[(1, id, text)])])
}

fn diff1(result: Result<Phase1Choice, Phase1Error>) -> ProposalDiff {
    match result {
        Err(Phase1Error::Diff(diff)) => diff,
        other => panic!("{other:?}"),
    }
}

fn diff2(result: Result<Phase2Choice, Phase2Error>) -> ProposalDiff {
    match result {
        Err(Phase2Error::Diff(diff)) => diff,
        other => panic!("{other:?}"),
    }
}

/// AES-128, SHA-1, pre-shared key, group 2, as the managed service's downloads have it.
const LEGACY: &str = "1=7 14=128 2=2 3=1 4=2";

#[test]
fn an_offer_for_phase_1_has_the_numbers_of_the_registry() {
    let offer = phase1_offer(&ike("aes128-sha1-modp1024"), &seconds(28_800), None).unwrap();
    let expected = phase1(1, &[(1, "1=7 14=128 2=2 3=1 4=2 11=1 12=28800")]);
    assert_eq!(offer.proposals, [expected]);
    let table = [
        ("aes192-sha256-modp1536", "1=7 14=192 2=4 3=1 4=5"),
        ("aes256-sha384-modp2048", "1=7 14=256 2=5 3=1 4=14"),
        ("aes256-sha512-modp8192", "1=7 14=256 2=6 3=1 4=18"),
        ("aes256-sha256-ecp521", "1=7 14=256 2=4 3=1 4=21"),
        ("aes256-sha256-modp2048s256", "1=7 14=256 2=4 3=1 4=24"),
    ];
    let forever = Lifetime { time: None, ..seconds(1) };
    for (text, expected) in table {
        let offer = phase1_offer(&ike(text), &forever, None).unwrap();
        assert_eq!(offer.proposals, [phase1(1, &[(1, expected)])], "{text}");
    }
    let long = phase1_offer(&ike("aes128-sha1-modp1024"), &seconds(86_400), None).unwrap();
    assert_eq!(long.proposals, [phase1(1, &[(1, "1=7 14=128 2=2 3=1 4=2 11=1 12=[00015180]")])], "beyond 16 bits");
}

#[test]
fn an_offer_for_phase_1_has_every_combination_once_in_order_of_preference() {
    let ours = ike("aes256-aes128-sha256-sha1-modp2048-modp1024,aes128-sha1-modp1024-modp1536");
    let offer = phase1_offer(&ours, &Lifetime { time: None, ..seconds(1) }, None).unwrap();
    let words: Vec<String> = offer.proposals[0]
        .transforms
        .iter()
        .map(|transform| {
            let proposal = Proposal { transforms: vec![transform.clone()], ..offer.proposals[0].clone() };
            select_phase1(&ours, &SaPayload::new(vec![proposal])).unwrap().suite.to_string()
        })
        .collect();
    assert_eq!(
        words,
        [
            "aes256-sha256-modp2048",
            "aes256-sha256-modp1024",
            "aes256-sha1-modp2048",
            "aes256-sha1-modp1024",
            "aes128-sha256-modp2048",
            "aes128-sha256-modp1024",
            "aes128-sha1-modp2048",
            "aes128-sha1-modp1024",
            "aes128-sha1-modp1536",
        ]
    );
    let numbers: Vec<u8> = offer.proposals[0].transforms.iter().map(|transform| transform.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn what_has_no_number_in_ikev1_is_not_offered() {
    let groups_of = |text: &str, only| {
        let offer = phase1_offer(&ike(text), &seconds(3600), only)?;
        let group = |transform: &Transform| {
            transform.attributes.iter().find(|attribute| attribute.ty == 4).and_then(|group| group.value.as_u64())
        };
        Some(offer.proposals[0].transforms.iter().filter_map(group).collect::<Vec<_>>())
    };
    for nothing in [
        "aes256gcm16-prfsha256-modp2048",
        "chacha20poly1305-prfsha256-modp2048",
        "aes256-sha256-x25519",
        "aes128-aesxcbc-modp2048",
        "aes128-aescmac-modp2048",
        // The one hash of IKEv1 would have to be both.
        "aes128-sha1-prfsha256-modp1024",
    ] {
        assert_eq!(groups_of(nothing, None), None, "{nothing}");
    }
    assert_eq!(groups_of("aes256-sha256-aesxcbc-x25519-modp2048", None), Some(vec![14]));
    assert_eq!(groups_of("aes256gcm16-aes256-sha256-modp2048", None), Some(vec![14]));
    assert_eq!(groups_of("aes128-sha1-modp1024-modp2048", Some(Group::Modp2048)), Some(vec![14]), "aggressive mode");
    assert_eq!(groups_of("aes128-sha1-modp1024-modp2048", Some(Group::Modp1536)), None);
    assert_eq!(groups_of("aes128-sha1-x25519", Some(Group::Curve25519)), None);
    let defaults = phase1_offer(&IkeProposal::defaults(), &seconds(3600), None).unwrap();
    assert_eq!(defaults.proposals[0].transforms.len(), 2 * 3 * 5);
}

#[test]
fn an_offer_never_has_more_transforms_than_a_proposal_can_count() {
    let all = "aes128-aes192-aes256-sha1-sha256-sha384-sha512-\
               modp1024-modp1536-modp2048-modp3072-modp4096-modp6144-modp8192-ecp256-ecp384-ecp521-\
               modp1024s160-modp2048s224-modp2048s256";
    let reversed = "aes256-aes128-sha1-modp1024";
    let ours = [ike(all), ike(reversed)].concat();
    let offer = phase1_offer(&ours, &seconds(3600), None).unwrap();
    assert_eq!(offer.proposals[0].transforms.len(), 3 * 4 * 13);
    assert_eq!(sent(&offer), offer);
    // More than 255 differ in nothing but their lifetime here; a person cannot write as many.
    let mut many = ours.clone();
    many.extend((0..300).map(|_| ours[0].clone()));
    assert_eq!(phase1_offer(&many, &seconds(3600), None), Some(offer));
}

#[test]
fn every_combination_is_agreed_on_by_two_ends_that_have_it() {
    let mut count = 0;
    for cipher in ["aes128", "aes192", "aes256"] {
        for hash in ["sha1", "sha256", "sha384", "sha512"] {
            for group in Group::ALL.into_iter().filter(|group| *group != Group::Curve25519) {
                let text = format!("{cipher}-{hash}-{}", group.name());
                let ours = ike(&text);
                let offer = phase1_offer(&ours, &seconds(28_800), None).unwrap();
                let selected = select_phase1(&ours, &sent(&offer)).unwrap();
                assert_eq!(selected.suite.to_string(), text);
                assert_eq!(selected.lifetime, Some(Duration::from_secs(28_800)));
                assert_eq!(selected.answer, offer, "one transform is answered with itself");
                assert_eq!(accept_phase1(&offer, &ours, &selected.answer), Ok(selected));
                count += 1;
            }
        }
    }
    assert_eq!(count, 3 * 4 * 13);
}

#[test]
fn our_preference_decides_in_phase_1() {
    let theirs = SaPayload::new(vec![phase1(
        1,
        &[
            (1, "1=7 14=128 2=2 3=1 4=2"),
            (2, "1=7 14=256 2=2 3=1 4=2"),
            (3, "1=7 14=128 2=4 3=1 4=14"),
            (4, "1=7 14=256 2=4 3=1 4=2"),
        ],
    )]);
    let table = [
        ("aes256-aes128-sha256-sha1-modp2048-modp1024", "aes256-sha256-modp1024"),
        ("aes128-aes256-sha1-sha256-modp2048-modp1024", "aes128-sha1-modp1024"),
        ("aes128-sha256-modp2048,aes256-sha256-modp1024", "aes128-sha256-modp2048"),
        ("aes256-sha256-modp1024,aes128-sha256-modp2048", "aes256-sha256-modp1024"),
        ("aes256gcm16-modp2048,aes256-sha1-modp1024", "aes256-sha1-modp1024"),
    ];
    for (ours, expected) in table {
        assert_eq!(select_phase1(&ike(ours), &theirs).unwrap().suite.to_string(), expected, "{ours}");
    }
}

#[test]
fn the_answer_is_the_initiators_transform_unchanged_under_its_numbers() {
    // RFC 2409 §5: the responder must not modify attributes. Odd order, odd form, odd numbers.
    let wanted = "4=2 3=[0001] 12=[00015180] 11=1 1=7 2=[02] 14=[00000080]";
    let cookies = vec![0xc0; 16];
    let odd = Proposal { spi: cookies.clone(), ..phase1(77, &[(9, "1=5 2=1 3=1 4=2"), (200, wanted), (200, "1=1")]) };
    let theirs = SaPayload::new(vec![phase1(0, &[(0, "1=1 2=1 3=1 4=1")]), odd]);
    let choice = select_phase1(&ike("aes128-sha1-modp1024"), &theirs).unwrap();
    let expected = Proposal { spi: cookies, ..phase1(77, &[(200, wanted)]) };
    assert_eq!(choice.answer, SaPayload::new(vec![expected]));
    let transform_body = &choice.answer.octets[8 + 8 + 16 + 4..];
    assert!(theirs.octets.windows(transform_body.len()).any(|window| window == transform_body), "octet by octet");
    assert_eq!(accept_phase1(&theirs, &ike("aes128-sha1-modp1024"), &choice.answer), Ok(choice));
}

#[test]
fn lifetimes_are_read_in_any_order_and_form() {
    let (day, eight) = (Some(Duration::from_secs(86_400)), Some(Duration::from_secs(28_800)));
    let longest = Some(Duration::from_secs(u32::MAX.into()));
    // As T and D: life type and duration, whose numbers differ between the phases.
    let table = [
        ("nothing said", "", None, None),
        ("basic", "T=1 D=28800", eight, None),
        ("variable", "T=1 D=[00007080]", eight, None),
        ("variable, three octets", "T=1 D=[015180]", day, None),
        ("variable, eight octets", "T=1 D=[0000000000015180]", day, None),
        ("the type variable too", "T=[0001] D=[00015180]", day, None),
        ("kilobytes", "T=2 D=[00400000]", None, Some(4_194_304)),
        ("seconds, kilobytes", "T=1 D=28800 T=2 D=1000", eight, Some(1000)),
        ("kilobytes, seconds", "T=2 D=1000 T=1 D=28800", eight, Some(1000)),
        ("duration before its type", "D=28800 T=1", eight, None),
        ("a type without duration", "T=1", None, None),
        ("a duration without type, as everybody means it", "D=28800", eight, None),
        ("a type of nobody", "T=3 D=5 T=1 D=28800", eight, None),
        ("zero", "T=1 D=0 T=2 D=0", None, None),
        ("no octets", "T=1 D=[]", None, None),
        ("more than eight octets", "T=1 D=[010000000000000000]", longest, None),
        ("more than a point in time can be moved by", "T=1 D=[ffffffffffffffff]", longest, None),
        ("more kilobytes than octets can be counted", "T=2 D=[ffffffffffffffff]", None, Some(u64::MAX / 1024)),
        ("twice: the shorter", "T=1 D=28800 T=1 D=[00015180]", eight, None),
    ];
    for (name, text, time, kilobytes) in table {
        let in_phase = |ty: &str, duration: &str| text.replace('T', ty).replace('D', duration);
        for place in 0..2 {
            let around = |algorithms: &str, life: String| {
                if place == 0 { format!("{algorithms} {life}") } else { format!("{life} {algorithms}") }
            };
            let theirs = one_phase1(&around(LEGACY, in_phase("11", "12")));
            let choice = select_phase1(&ike("aes128-sha1-modp1024"), &theirs).unwrap();
            assert_eq!((choice.lifetime, choice.kilobytes), (time, kilobytes), "{name}");
            let theirs = one_phase2(12, &around("4=1 5=2 6=128", in_phase("1", "2")));
            let choice = select_phase2(&esp("aes128-sha1"), &theirs, false, &[1]).unwrap();
            assert_eq!((choice.lifetime, choice.kilobytes), (time, kilobytes), "{name}");
        }
    }
}

#[test]
fn a_mismatch_in_phase_1_names_both_sides_in_words() {
    let table = [
        (
            "aes128-sha1-modp1024",
            "1=5 2=1 3=1 4=2",
            "peer offers 3des-md5-modp1024; we accept aes128-sha1-modp1024: differs in encryption, integrity",
        ),
        (
            "aes256-sha256-modp2048",
            "1=7 14=256 2=4 3=1 4=2",
            "peer offers aes256-sha256-modp1024; we accept aes256-sha256-modp2048: differs in DH group only",
        ),
        (
            "aes256-sha256-modp2048",
            "1=7 2=4 3=1 4=14",
            "peer offers aes(no key length)-sha256-modp2048; we accept aes256-sha256-modp2048: \
             differs in encryption only",
        ),
        (
            "aes256-sha256-modp2048",
            "1=7 14=512 2=4 3=1 4=31",
            "peer offers aes(512 bits)-sha256-curve25519; we accept aes256-sha256-modp2048: \
             differs in encryption, DH group",
        ),
        (
            "aes256-sha256-modp2048",
            "1=1 2=3 3=3 4=1",
            "peer offers des-tiger-modp768-rsasig; we accept aes256-sha256-modp2048: \
             differs in authentication, encryption, integrity, DH group",
        ),
        (
            "aes256-sha256-modp2048",
            "1=65001 2=99 3=1 4=28 77=1",
            "peer offers encr65001-hash99-brainpool256-(unknown attribute); we accept aes256-sha256-modp2048: \
             differs in an attribute unknown to us, encryption, integrity, DH group",
        ),
        (
            "aes256-sha256-modp2048",
            "",
            "peer offers nocipher-nohash-nogroup-noauth; we accept aes256-sha256-modp2048: \
             differs in authentication, encryption, integrity, DH group",
        ),
        ("aes256gcm16-modp2048", LEGACY, "peer offers aes128-sha1-modp1024; we accept nothing: nothing to compare"),
    ];
    for (ours, theirs, words) in table {
        let diff = diff1(select_phase1(&ike(ours), &one_phase1(theirs)));
        assert_eq!(diff.to_string(), words);
    }
}

#[test]
fn the_closest_of_several_transforms_is_the_one_talked_about() {
    let theirs = SaPayload::new(vec![
        phase1(1, &[(1, "1=5 2=1 3=1 4=1"), (2, "1=7 14=256 2=4 3=1 4=14")]),
        phase1(2, &[(1, "1=5 2=2 3=1 4=2"), (2, "1=5 2=2 3=1 4=5"), (3, "1=5 2=1 3=1 4=2"), (4, "1=5 2=1 3=1 4=5")]),
    ]);
    let diff = diff1(select_phase1(&ike("aes256-sha256-modp3072"), &theirs));
    assert_eq!(diff.fields, ["dh_group"]);
    assert_eq!(
        diff.theirs.as_ref(),
        "3des-md5-modp768 | aes256-sha256-modp2048 | 3des-sha1,md5-modp1024,modp1536",
        "a proposal of all combinations is one entry"
    );
}

#[test]
fn a_diff_of_a_thousand_transforms_stays_short() {
    let text: Vec<String> = (0..250).map(|key| format!("1=7 14={} 2={} 3=1 4=99", key + 1000, key % 7 + 10)).collect();
    let transforms: Vec<(u8, &str)> = text.iter().map(|text| (1, text.as_str())).collect();
    let theirs = SaPayload::new((0..40).map(|number| phase1(number, &transforms)).collect());
    let diff = diff1(select_phase1(&ike("aes256-sha256-modp2048"), &theirs));
    assert!(diff.to_string().len() < 600, "{diff}");
    assert!(diff.theirs.ends_with("more"), "{diff}");
}

#[test]
fn xauth_and_other_authentication_are_told_from_algorithms() {
    let ours = ike("aes128-sha1-modp1024");
    let with = |methods: &[u16]| {
        let texts: Vec<String> = methods.iter().map(|method| format!("1=7 14=128 2=2 3={method} 4=2")).collect();
        let transforms: Vec<(u8, &str)> = texts.iter().map(|text| (1, text.as_str())).collect();
        select_phase1(&ours, &SaPayload::new(vec![phase1(1, &transforms)]))
    };
    for method in 65_001..=65_010 {
        assert_eq!(with(&[method]), Err(Phase1Error::Xauth));
    }
    assert_eq!(with(&[65_001, 65_005]), Err(Phase1Error::Xauth));
    assert_eq!(with(&[3]), Err(Phase1Error::Authentication(3)));
    assert_eq!(with(&[65_001, 3]), Err(Phase1Error::Authentication(3)), "not all of them demand XAUTH");
    assert_eq!(with(&[64_221]), Err(Phase1Error::Authentication(64_221)));
    assert!(with(&[65_001, 3, 1]).is_ok());
    let xauth_and_other_cipher = "1=5 2=2 3=65001 4=2";
    let diff = diff1(select_phase1(&ours, &one_phase1(xauth_and_other_cipher)));
    assert_eq!(diff.fields, ["authentication", "encryption"]);
    assert_eq!(diff.theirs.as_ref(), "3des-sha1-modp1024-xauth");
    // No method at all, or one that no 16 bits hold, is no pre-shared key.
    assert_eq!(diff1(select_phase1(&ours, &one_phase1("1=7 14=128 2=2 4=2"))).fields, ["authentication"]);
    let error = select_phase1(&ours, &one_phase1("1=7 14=128 2=2 3=[0000000000010001] 4=2")).unwrap_err();
    assert_eq!(error, Phase1Error::Authentication(u16::MAX));
}

#[test]
fn a_transform_with_an_attribute_unknown_to_us_is_not_chosen() {
    let ours = ike("aes128-sha1-modp1024");
    for (name, more) in [
        ("a group prime", "6=[ff]"),
        ("a PRF", "13=1"),
        ("a field size", "15=1"),
        ("a private one", "16384=1"),
        ("a cipher twice", "1=7"),
        ("two key lengths", "14=256"),
        ("a group type of nobody", "5=9"),
    ] {
        let diff = diff1(select_phase1(&ours, &one_phase1(&format!("{LEGACY} {more}"))));
        assert_eq!(diff.fields, ["attribute"], "{name}");
    }
    assert!(select_phase1(&ours, &one_phase1(&format!("{LEGACY} 5=1"))).is_ok(), "the group's type says nothing new");
    // A value which does not fit is not the one that its last octets would be.
    let long = one_phase1("1=7 14=128 2=2 3=1 4=[010000000000000002]");
    assert_eq!(diff1(select_phase1(&ours, &long)).fields, ["dh_group"]);
}

#[test]
fn proposals_of_another_protocol_are_no_phase_1() {
    let ours = ike("aes128-sha1-modp1024");
    let esp = Proposal { protocol: ProtocolId::Esp, ..phase1(1, &[(1, LEGACY)]) };
    assert_eq!(diff1(select_phase1(&ours, &SaPayload::new(vec![esp]))).fields, ["protocol",]);
    let mut other = phase1(1, &[(1, LEGACY)]);
    other.transforms[0].id = 2;
    assert_eq!(diff1(select_phase1(&ours, &SaPayload::new(vec![other]))).fields, ["protocol"], "not KEY_IKE");
    let none = SaPayload::new(vec![phase1(1, &[])]);
    assert_eq!(diff1(select_phase1(&ours, &none)).theirs.as_ref(), "nothing");
}

#[test]
fn an_initiator_accepts_one_of_its_transforms_and_nothing_else_in_phase_1() {
    let ours = ike("aes256-aes128-sha256-sha1-modp2048-modp1024");
    let offer = phase1_offer(&ours, &seconds(28_800), None).unwrap();
    let first = "1=7 14=256 2=4 3=1 4=14";
    let good = [
        ("as offered", format!("{first} 11=1 12=28800")),
        ("another lifetime", format!("{first} 11=1 12=3600")),
        ("no lifetime", first.to_owned()),
        ("a lifetime in kilobytes", format!("{first} 11=2 12=3600")),
        ("another order", "4=14 3=1 2=4 14=256 1=7".to_owned()),
        ("another form", "4=[0000000e] 3=1 2=4 14=256 1=7".to_owned()),
    ];
    for (name, answer) in good {
        let answer = SaPayload::new(vec![phase1(9, &[(9, &answer)])]);
        let choice = accept_phase1(&offer, &ours, &answer).unwrap();
        assert_eq!(choice.suite.to_string(), "aes256-sha256-modp2048", "{name}");
        assert_eq!(choice.answer, answer, "{name}");
    }
    let shorter = SaPayload::new(vec![phase1(1, &[(1, &format!("{first} 11=1 12=3600"))])]);
    let choice = accept_phase1(&offer, &ours, &shorter).unwrap();
    assert_eq!(choice.lifetime, Some(Duration::from_secs(3600)));

    let bad = [
        ("a cipher", "1=5 2=4 3=1 4=14", vec!["encryption"]),
        ("a key length", "1=7 14=192 2=4 3=1 4=14", vec!["encryption"]),
        ("a hash", "1=7 14=256 2=1 3=1 4=14", vec!["integrity"]),
        ("a group", "1=7 14=256 2=4 3=1 4=5", vec!["dh_group"]),
        ("a way to authenticate", "1=7 14=256 2=4 3=3 4=14", vec!["authentication"]),
        ("XAUTH", "1=7 14=256 2=4 3=65001 4=14", vec!["authentication"]),
        ("an attribute", "1=7 14=256 2=4 3=1 4=14 13=1", vec!["attribute"]),
    ];
    for (name, answer, fields) in bad {
        let diff = accept_phase1(&offer, &ours, &one_phase1(answer)).unwrap_err();
        assert_eq!((diff.fields, diff.is_answer), (fields, true), "{name}");
    }
    let chosen = |proposals| accept_phase1(&offer, &ours, &SaPayload::new(proposals)).unwrap_err();
    let one = || phase1(1, &[(1, first)]);
    for diff in
        [chosen(vec![one(), one()]), chosen(vec![phase1(1, &[(1, first), (2, first)])]), chosen(vec![phase1(1, &[])])]
    {
        assert_eq!(diff.fields, ["choice"]);
        assert!(diff.to_string().contains("chose"), "{diff}");
    }
    assert!(accept_phase1(&offer, &ours, &offer).is_err(), "the whole offer is no choice");
    let esp = Proposal { protocol: ProtocolId::Esp, ..one() };
    assert_eq!(chosen(vec![esp]).fields, ["protocol"]);
}

#[test]
fn aggressive_mode_accepts_only_its_one_group() {
    let ours = ike("aes128-sha1-modp1024-modp2048");
    let offer = phase1_offer(&ours, &seconds(3600), Some(Group::Modp2048)).unwrap();
    let diff = accept_phase1(&offer, &ours, &one_phase1(LEGACY)).unwrap_err();
    assert_eq!(diff.fields, ["dh_group"], "configured, but not offered");
}

#[test]
fn an_offer_for_phase_2_has_the_numbers_of_the_registry() {
    let lifetime = Lifetime { bytes: Some(10_000_000), ..seconds(3600) };
    let life = "1=1 2=3600 1=2 2=9765";
    let table = [
        ("aes128-sha1", None, 1, 12, "4=1 5=2 6=128"),
        ("aes128-sha1-modp1024", Some(Group::Modp1024), 1, 12, "4=1 5=2 6=128 3=2"),
        ("aes192-sha256", None, 3, 12, "4=3 5=5 6=192"),
        ("aes256-sha384", None, 61_443, 12, "4=61443 5=6 6=256"),
        ("aes256-sha512", None, 1, 12, "4=1 5=7 6=256"),
        ("aes128-aesxcbc", None, 1, 12, "4=1 5=9 6=128"),
        ("aes128gcm16", None, 1, 20, "4=1 6=128"),
        ("aes256gcm16-ecp384", Some(Group::Ecp384), 1, 20, "4=1 6=256 3=20"),
        ("null-sha256", None, 1, 11, "4=1 5=5"),
    ];
    for (text, group, mode, id, expected) in table {
        let offer = phase2_offer(&esp(text), group, &lifetime, spi(0x1000), mode).unwrap();
        assert_eq!(offer.proposals, [phase2(1, &[(1, id, &format!("{life} {expected}"))])], "{text}");
    }
    let forever = Lifetime { time: None, ..seconds(1) };
    let offer = phase2_offer(&esp("aes128-sha1"), None, &forever, spi(0x1000), 1).unwrap();
    assert_eq!(offer.proposals, [phase2(1, &[(1, 12, "4=1 5=2 6=128")])]);
    let tiny = Lifetime { bytes: Some(1), time: None, ..seconds(1) };
    let offer = phase2_offer(&esp("aes128-sha1"), None, &tiny, spi(0x1000), 1).unwrap();
    assert_eq!(offer.proposals, [phase2(1, &[(1, 12, "1=2 2=1 4=1 5=2 6=128")])], "never zero");
}

#[test]
fn an_offer_for_phase_2_is_one_proposal_of_what_has_that_group() {
    let ours = esp("aes256gcm16-aes128-sha256-sha1-modp2048-x25519,aes256-sha1");
    let words = |group: Option<Group>| {
        let offer = phase2_offer(&ours, group, &seconds(3600), spi(0x1000), 1)?;
        let [proposal] = offer.proposals.as_slice() else { panic!("{offer:?}") };
        let word = |transform: &Transform| {
            let one = Proposal { transforms: vec![transform.clone()], ..proposal.clone() };
            let choice = select_phase2(&ours, &SaPayload::new(vec![one]), group.is_some(), &[1]).unwrap();
            choice.choice.to_string()
        };
        Some(proposal.transforms.iter().map(word).collect::<Vec<_>>())
    };
    let with_pfs = ["aes256gcm16-modp2048", "aes128-sha256-modp2048", "aes128-sha1-modp2048"];
    assert_eq!(words(Some(Group::Modp2048)).unwrap(), with_pfs);
    assert_eq!(words(None).unwrap(), ["aes256-sha1"]);
    assert_eq!(words(Some(Group::Modp1024)), None);
    assert_eq!(words(Some(Group::Curve25519)), None);
    for nothing in ["chacha20poly1305", "aes128-aescmac", "aes128-sha1-esn"] {
        assert_eq!(phase2_offer(&esp(nothing), None, &seconds(3600), spi(0x1000), 1), None, "{nothing}");
    }
    assert!(phase2_offer(&esp("aes128-sha1-esn-noesn"), None, &seconds(3600), spi(0x1000), 1).is_some());
}

#[test]
fn both_ends_of_a_child_agree_and_the_answer_has_the_responders_spi() {
    for (text, suite) in [
        ("aes128-sha1", "aes128-sha1"),
        ("aes128-sha1-modp1024", "aes128-sha1-modp1024"),
        ("aes256gcm16-aes128-sha256", "aes256gcm16"),
        ("aes256-aes128-sha512-sha1", "aes256-sha512"),
        ("null-sha256", "null-sha256"),
        ("aes192gcm16-ecp256", "aes192gcm16-ecp256"),
    ] {
        let ours = esp(text);
        let group = group_of(&ours);
        for mode in [1, 3, 61_443] {
            let offer = phase2_offer(&ours, group, &seconds(3600), spi(0x1000), mode).unwrap();
            let selected = select_phase2(&ours, &offer, group.is_some(), &[mode]).unwrap();
            assert_eq!(selected.choice.to_string(), suite);
            assert_eq!((selected.spi, selected.choice.group), (spi(0x1000), group));
            assert!(!selected.choice.suite.esn && selected.choice.suite.is_consistent());
            let answer = selected.answer_with(spi(0xabcd_ef01));
            assert_eq!(answer.proposals[0].spi, [0xab, 0xcd, 0xef, 0x01]);
            assert_eq!(answer.proposals[0].transforms, selected.answer.proposals[0].transforms);
            let accepted = accept_phase2(&offer, &ours, &sent(&answer)).unwrap();
            assert_eq!((accepted.choice, accepted.spi), (selected.choice, spi(0xabcd_ef01)));
            assert_eq!(accepted.lifetime, Some(Duration::from_secs(3600)));
        }
    }
}

#[test]
fn our_preference_decides_in_phase_2_and_the_answer_is_unchanged() {
    let chosen = "6=[0100] 5=5 4=1 2=[00000e10] 1=1";
    let theirs = SaPayload::new(vec![
        phase2(0, &[(5, 3, "4=1 5=1"), (5, 12, "4=1 5=2 6=128")]),
        phase2(9, &[(0, 12, "4=1 5=2 6=256"), (255, 12, "6=256 5=5 4=1 1=1 2=3600"), (7, 12, chosen)]),
    ]);
    let choice = select_phase2(&esp("aes256-aes128-sha256-sha1"), &theirs, false, &[1]).unwrap();
    assert_eq!(choice.choice.to_string(), "aes256-sha256");
    assert_eq!(choice.answer.proposals[0], phase2(9, &[(255, 12, "6=256 5=5 4=1 1=1 2=3600")]), "the first of equals");
    let choice = select_phase2(&esp("aes128-sha1,aes256-sha256"), &theirs, false, &[1]).unwrap();
    assert_eq!(choice.answer.proposals[0], phase2(0, &[(5, 12, "4=1 5=2 6=128")]));
    let only = SaPayload::new(vec![phase2(9, &[(7, 12, chosen)])]);
    let choice = select_phase2(&esp("aes256-sha256"), &only, false, &[1]).unwrap();
    assert_eq!(choice.answer, only);
}

#[test]
fn a_mismatch_in_phase_2_names_both_sides_in_words() {
    let gcm = "aes256gcm16-modp2048";
    let table = [
        ("aes128-sha1", 3, "4=1 5=1", false, "3des-md5", "encryption, integrity"),
        ("aes128-sha1", 12, "4=1 5=2", false, "aes(no key length)-sha1", "encryption only"),
        ("aes128-sha1", 12, "4=1 6=128", false, "aes128-nointegrity", "integrity only"),
        ("aes128-sha1", 12, "4=1 5=2 6=128 3=2", true, "aes128-sha1-modp1024", "DH group only"),
        ("aes128-sha1", 12, "4=1 5=2 6=128 3=2", false, "aes128-sha1-modp1024", "DH group only"),
        ("aes128-sha1", 12, "4=1 5=2 6=128", true, "aes128-sha1", "DH group only"),
        ("aes128-sha1-modp1024", 12, "4=1 5=2 6=128", false, "aes128-sha1", "DH group only"),
        ("aes128-sha1-modp1024", 12, "4=1 5=2 6=128 3=2", false, "aes128-sha1-modp1024", "DH group only"),
        ("aes128-sha1-modp1024", 12, "4=1 5=2 6=128 3=14", true, "aes128-sha1-modp2048", "DH group only"),
        ("aes128-sha1", 12, "4=1 5=2 6=128 11=1", false, "aes128-sha1-esn", "ESN only"),
        (
            "aes128-sha1",
            12,
            "4=1 5=2 6=128 12=1",
            false,
            "aes128-sha1-(unknown attribute)",
            "an attribute unknown to us only",
        ),
        (
            "aes128-sha1",
            12,
            "4=1 5=2 5=2 6=128",
            false,
            "aes128-sha1-(unknown attribute)",
            "an attribute unknown to us only",
        ),
        (gcm, 20, "4=1 5=2 6=256 3=14", true, "aes256gcm16-sha1-modp2048", "integrity only"),
        (gcm, 18, "4=1 6=256 3=14", true, "aesgcm8(256 bits)-modp2048", "encryption, integrity"),
        ("aes128-sha1", 11, "4=1 5=2", false, "null-sha1", "encryption only"),
        (
            "aes128-sha1",
            77,
            "4=3 5=77",
            false,
            "encr77-integ77-(UDP-encapsulated tunnel mode)",
            "encryption, integrity",
        ),
    ];
    for (ours, id, theirs, ke_present, words, fields) in table {
        let diff = diff2(select_phase2(&esp(ours), &one_phase2(id, theirs), ke_present, &[1]));
        let expected = format!("peer offers {words}; we accept {ours}: differs in {fields}");
        assert_eq!(diff.to_string(), expected);
    }
}

#[test]
fn an_spi_must_be_one() {
    let ours = esp("aes128-sha1");
    for octets in [vec![], vec![0, 0, 0, 0], vec![0, 0, 0, 255], vec![1, 2, 3], vec![1, 2, 3, 4, 5], vec![9; 16]] {
        let proposal = Proposal { spi: octets, ..phase2(1, &[(1, 12, "4=1 5=2 6=128")]) };
        let theirs = SaPayload::new(vec![proposal]);
        assert_eq!(diff2(select_phase2(&ours, &theirs, false, &[1])).fields, ["spi"]);
        let offer = phase2_offer(&ours, None, &seconds(1), spi(0x1000), 1).unwrap();
        assert_eq!(accept_phase2(&offer, &ours, &theirs).unwrap_err().fields, ["spi"]);
    }
}

#[test]
fn an_encapsulation_mode_that_does_not_fit_is_named() {
    let ours = esp("aes128-sha1");
    let with =
        |mode: &str, modes: &[u16]| select_phase2(&ours, &one_phase2(12, &format!("{mode} 5=2 6=128")), false, modes);
    for mode in [2, 3, 4, 9, 61_443, 61_444] {
        let error = with(&format!("4={mode}"), &[1]).unwrap_err();
        assert_eq!(error, Phase2Error::Mode { theirs: mode });
        assert!(with(&format!("4={mode}"), &[1, mode]).is_ok());
    }
    assert_eq!(with("4=1", &[3]), Err(Phase2Error::Mode { theirs: 1 }));
    assert!(with("", &[3]).is_ok(), "no mode is the host's own");
    assert_eq!(with("4=[0000000000010001]", &[1]), Err(Phase2Error::Mode { theirs: u16::MAX }));
    // A transform that fits wins over one that does not.
    let both = SaPayload::new(vec![phase2(1, &[(1, 12, "4=2 5=2 6=128"), (2, 12, "4=1 5=2 6=128")])]);
    assert_eq!(select_phase2(&ours, &both, false, &[1]).unwrap().answer.proposals[0].transforms[0].number, 2);
    // The wrong mode is not blamed where algorithms differ too.
    let other = one_phase2(3, "4=2 5=1");
    assert_eq!(diff2(select_phase2(&ours, &other, false, &[1])).fields, ["encryption", "integrity"]);
}

#[test]
fn bundles_are_refused_by_name_and_alternatives_to_them_taken() {
    let ours = esp("aes128-sha1");
    let esp = |number| phase2(number, &[(1, 12, "4=1 5=2 6=128")]);
    let with = |number, protocol| Proposal { protocol, ..phase2(number, &[(1, 3, "4=1 5=2")]) };
    let select = |proposals| select_phase2(&ours, &SaPayload::new(proposals), false, &[1]);
    for protocol in [ProtocolId::Ah, ProtocolId::IpComp, ProtocolId::Unknown(9)] {
        let error = select(vec![esp(1), with(1, protocol)]).unwrap_err();
        assert_eq!(error, Phase2Error::Bundle);
        assert_eq!(select(vec![with(1, protocol), esp(1)]), Err(Phase2Error::Bundle));
        let choice = select(vec![with(1, protocol), esp(1), esp(2)]).unwrap();
        assert_eq!(choice.answer.proposals[0].number, 2);
        assert!(select(vec![with(1, protocol), esp(2)]).is_ok(), "another number is an alternative");
    }
    let other = phase2(1, &[(1, 3, "4=1 5=1")]);
    assert!(select(vec![other, esp(1)]).is_ok(), "nobody means ESP in ESP: a peer that does not count");
    let ah = Proposal { protocol: ProtocolId::Ah, ..phase2(1, &[(1, 3, "4=1 5=2")]) };
    let diff = diff2(select(vec![ah]));
    assert_eq!((diff.theirs.as_ref(), diff.fields[0]), ("ah-sha1", "protocol"));
}

#[test]
fn an_initiator_accepts_one_of_its_transforms_and_nothing_else_in_phase_2() {
    let ours = esp("aes256-aes128-sha256-sha1-modp2048");
    let offer = phase2_offer(&ours, Some(Group::Modp2048), &seconds(3600), spi(0x1000), 3).unwrap();
    let first = "3=14 4=3 5=5 6=256";
    for (name, answer, time) in [
        ("as offered", format!("1=1 2=3600 {first}"), Some(3600)),
        ("a shorter lifetime", format!("1=1 2=900 {first}"), Some(900)),
        ("kilobytes added", format!("1=2 2=900 1=1 2=3600 {first}"), Some(3600)),
        ("no lifetime", first.to_owned(), None),
        ("another order and form", "6=[0100] 5=5 4=[03] 3=14".to_owned(), None),
    ] {
        let answer = SaPayload::new(vec![phase2(9, &[(9, 12, &answer)])]);
        let choice = accept_phase2(&offer, &ours, &answer).unwrap();
        assert_eq!(choice.choice.to_string(), "aes256-sha256-modp2048", "{name}");
        assert_eq!((choice.lifetime, &choice.answer), (time.map(Duration::from_secs), &answer), "{name}");
    }
    for (name, id, answer, fields) in [
        ("another cipher", 3, "3=14 4=3 5=5", vec!["encryption"]),
        ("another key length", 12, "3=14 4=3 5=5 6=192", vec!["encryption"]),
        ("another MAC", 12, "3=14 4=3 5=1 6=256", vec!["integrity"]),
        ("no MAC", 12, "3=14 4=3 6=256", vec!["integrity"]),
        ("no PFS", 12, "4=3 5=5 6=256", vec!["dh_group"]),
        ("another group", 12, "3=2 4=3 5=5 6=256", vec!["dh_group"]),
        ("another mode", 12, "3=14 4=1 5=5 6=256", vec!["mode"]),
        ("no mode", 12, "3=14 5=5 6=256", vec!["mode"]),
        ("ESN", 12, "3=14 4=3 5=5 6=256 11=1", vec!["esn"]),
        ("an attribute", 12, "3=14 4=3 5=5 6=256 7=1", vec!["attribute"]),
    ] {
        let diff = accept_phase2(&offer, &ours, &one_phase2(id, answer)).unwrap_err();
        assert_eq!((diff.fields, diff.is_answer), (fields, true), "{name}");
    }
    let one = || phase2(1, &[(1, 12, first)]);
    let ipcomp = Proposal { protocol: ProtocolId::IpComp, ..phase2(1, &[(1, 2, "4=3")]) };
    for proposals in [vec![one(), one()], vec![one(), ipcomp], vec![phase2(1, &[(1, 12, first), (2, 12, first)])]] {
        assert_eq!(accept_phase2(&offer, &ours, &SaPayload::new(proposals)).unwrap_err().fields, ["choice"]);
    }
    let ah = Proposal { protocol: ProtocolId::Ah, ..one() };
    assert_eq!(accept_phase2(&offer, &ours, &SaPayload::new(vec![ah])).unwrap_err().fields, ["protocol"]);
}

#[test]
fn whatever_a_damaged_offer_turns_into_the_choice_is_one_of_its_transforms_and_ours() {
    let (ike, esp) =
        (ike("aes256-aes128-sha256-sha1-modp2048-modp1024"), esp("aes256gcm16-aes128-sha256-sha1-modp2048"));
    let first = phase1_offer(&ike, &seconds(28_800), None).unwrap();
    let second = phase2_offer(&esp, Some(Group::Modp2048), &seconds(86_400), spi(0x1000), 1).unwrap();
    let contains = |theirs: &SaPayload, answer: &SaPayload| {
        let [Proposal { number, protocol, spi, transforms }] = answer.proposals.as_slice() else { return false };
        theirs.proposals.iter().any(|theirs| {
            (theirs.number, theirs.protocol, &theirs.spi) == (*number, *protocol, spi)
                && transforms.len() == 1
                && theirs.transforms.contains(&transforms[0])
        })
    };
    let mut parsed = 0;
    for bit in 0..first.octets.len().max(second.octets.len()) * 8 {
        for payload in [&first, &second] {
            let mut octets = payload.octets.clone();
            let Some(octet) = octets.get_mut(bit / 8) else { continue };
            *octet ^= 1 << (bit % 8);
            let Some(theirs) = reread(&octets) else { continue };
            parsed += 1;
            match select_phase1(&ike, &theirs) {
                Ok(choice) => {
                    assert!(contains(&theirs, &choice.answer), "{bit}");
                    assert!(
                        ike[0].ciphers.contains(&choice.suite.cipher) && ike[0].groups.contains(&choice.suite.group)
                    );
                    assert_eq!(accept_phase1(&theirs, &ike, &choice.answer), Ok(choice), "{bit}");
                }
                Err(Phase1Error::Diff(diff)) => assert!(!diff.fields.is_empty(), "{bit}: {diff}"),
                Err(Phase1Error::Xauth | Phase1Error::Authentication(_)) => {}
            }
            match select_phase2(&esp, &theirs, true, &[1]) {
                Ok(choice) => {
                    assert!(contains(&theirs, &choice.answer), "{bit}");
                    assert!(choice.choice.suite.is_consistent() && choice.choice.group == Some(Group::Modp2048));
                    assert_eq!(accept_phase2(&theirs, &esp, &choice.answer), Ok(choice), "{bit}");
                }
                Err(Phase2Error::Diff(diff)) => assert!(!diff.fields.is_empty(), "{bit}: {diff}"),
                Err(Phase2Error::Mode { .. } | Phase2Error::Bundle) => {}
            }
        }
    }
    assert!(parsed > 1000, "{parsed}");
}

#[test]
fn the_truncated_sha256_cannot_be_configured_as_an_algorithm() {
    assert!(IkeProposal::parse("aes128-sha256_96-modp2048").is_err());
    assert!(EspProposal::parse("aes128-sha256_96", true).is_err());
}

fn vendors(ids: &[&str]) -> Vec<Payload> {
    ids.iter().map(|id| Payload::VendorId(hex(id))).collect()
}

const RFC_3947: &str = "4a131c81070358455c5728f20e95452f";
const DRAFT_03: &str = "7d9419a65310ca6f2c179d9215529d56";
const DRAFT_02: &str = "cd60464335df21f87cfdb2fc68b6a448";
const DRAFT_02_LINE: &str = "90cb80913ebb696e086381b5ec427b1f";
const DPD: &str = "afcad71368a1f1c96b8696fc77570100";
const FRAGMENTATION: &str = "4048b7d56ebce88525e7de7f00d6c2d3";

#[test]
fn vendor_ids_are_recognised_by_their_beginning() {
    let none = Features::default();
    let nat = |version| Features { nat: Some(version), ..none };
    let dpd = Features { dpd: true, ..none };
    let fragmentation = Features { fragmentation: true, ..none };
    let with = |capabilities: &str| format!("{FRAGMENTATION}{capabilities}");
    let (base, both) = (with("80000000"), with("c0000000"));
    let table = [
        ("RFC 3947", RFC_3947, nat(NatVersion::Rfc3947)),
        ("draft 03", DRAFT_03, nat(NatVersion::Draft03)),
        ("draft 02", DRAFT_02, nat(NatVersion::Draft02)),
        ("draft 02 with a line's end", DRAFT_02_LINE, nat(NatVersion::Draft02)),
        ("RFC 3947, cut short", &RFC_3947[..30], none),
        ("DPD 1.0", DPD, dpd),
        ("DPD of another version", "afcad71368a1f1c96b8696fc77570203", dpd),
        ("DPD cut short", &DPD[..26], none),
        ("DPD with more behind it", "afcad71368a1f1c96b8696fc7757010000", dpd),
        ("fragmentation", FRAGMENTATION, fragmentation),
        ("fragmentation in main mode", &base, fragmentation),
        ("fragmentation in both modes", &both, fragmentation),
        ("fragmentation, cut short", &FRAGMENTATION[..30], none),
        ("XAUTH", "09002689dfd6b712", Features { xauth: true, ..none }),
        ("Cisco Unity", "12f5f28c457168a9702d9fe274cc0100", Features { unity: true, ..none }),
        ("Cisco Unity of another version", "12f5f28c457168a9702d9fe274cc0204", Features { unity: true, ..none }),
        ("nothing", "", none),
        ("unknown", "00112233445566778899aabbccddeeff", none),
    ];
    for (name, id, expected) in table {
        assert_eq!(recognise(&vendors(&[id])), expected, "{name}");
    }
    assert_eq!(recognise(&[Payload::Hash(hex(DPD))]), none, "another payload is no vendor ID");
    let order = [DRAFT_02, RFC_3947, DRAFT_03, DPD];
    assert_eq!(recognise(&vendors(&order)), Features { dpd: true, ..nat(NatVersion::Rfc3947) }, "the best");
}

#[test]
fn an_initiator_offers_every_way_and_a_responder_answers_the_best_of_those_alone() {
    let base = format!("{FRAGMENTATION}80000000");
    let everything = vendors(&[RFC_3947, DRAFT_03, DRAFT_02, DRAFT_02_LINE, DPD, &base]);
    assert_eq!(offered(&[], true), everything);
    assert_eq!(offered(b"us", false), [&[Payload::VendorId(b"us".to_vec())], &everything[..5]].concat());
    let features = recognise(&offered(b"us", true));
    assert_eq!(
        features,
        Features { dpd: true, fragmentation: true, nat: Some(NatVersion::Rfc3947), ..Features::default() }
    );

    let table: [(&[&str], bool, &[&str]); 8] = [
        (&[RFC_3947, DRAFT_03, DRAFT_02, DRAFT_02_LINE, DPD, &base], true, &[RFC_3947, DPD, &base]),
        (&[RFC_3947, DPD, FRAGMENTATION], true, &[RFC_3947, DPD, FRAGMENTATION]),
        (&[DRAFT_02, DRAFT_03], true, &[DRAFT_03]),
        (&[DRAFT_02_LINE], true, &[DRAFT_02_LINE]),
        (&[DRAFT_02_LINE, DRAFT_02], true, &[DRAFT_02_LINE]),
        (&["afcad71368a1f1c96b8696fc77570203"], true, &["afcad71368a1f1c96b8696fc77570203"]),
        (&[&base], false, &[]),
        (&["09002689dfd6b712", "12f5f28c457168a9702d9fe274cc0100", "00"], true, &[]),
    ];
    for (theirs, fragmentation, expected) in table {
        assert_eq!(answered(&vendors(theirs), fragmentation), vendors(expected), "{theirs:?}");
    }
}

#[test]
fn an_answer_in_vendor_ids_is_never_longer_than_the_question() {
    let base = format!("{FRAGMENTATION}c0000000");
    let ids = [RFC_3947, DRAFT_03, DRAFT_02, DRAFT_02_LINE, DPD, FRAGMENTATION, &base, "09002689dfd6b712"];
    for set in 0..1u32 << ids.len() {
        let some: Vec<&str> = (0..ids.len()).filter(|bit| set >> bit & 1 == 1).map(|bit| ids[bit]).collect();
        let question = vendors(&some);
        let answer = answered(&question, true);
        assert!(encode_payloads(&answer).1.len() <= encode_payloads(&question).1.len(), "{some:?}");
        let (ours, theirs) = (recognise(&answer), recognise(&question));
        assert_eq!(
            (ours.dpd, ours.fragmentation, ours.nat),
            (theirs.dpd, theirs.fragmentation, theirs.nat),
            "{some:?}"
        );
    }
}

#[test]
fn nat_versions_have_their_numbers() {
    let table = [(NatVersion::Rfc3947, 3, 20), (NatVersion::Draft03, 61_443, 130), (NatVersion::Draft02, 61_443, 130)];
    for (version, mode, payload) in table {
        assert_eq!(version.tunnel_mode(), mode);
        assert_eq!(version.discovery(vec![1; 20]).ty().to_u8(), payload);
    }
}
