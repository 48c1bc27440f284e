//! Arbitrary bytes as a message of IKEv1: header, payload chain in clear and decrypted, fragment. What parses is written and
//! read again as the same, whatever an offer says the choice is one of its transforms and one of ours, and an answer in
//! vendor IDs is no longer than its question.
#![no_main]

use ike::proposal::{EspProposal, IkeProposal};
use ike::v1::proposal::{accept_phase1, accept_phase2, select_phase1, select_phase2};
use ike::v1::vendor;
use ike::v1::wire::{
    Fragment, Header, IdPayload, MAX_PAYLOADS, Parsed, Payload, PayloadType, SaPayload, encode_payloads, parse_payloads,
};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static IKE: LazyLock<Vec<IkeProposal>> =
    LazyLock::new(|| IkeProposal::parse_list("aes256-aes128-sha256-sha1-modp2048-modp1024").expect("a proposal"));
static ESP: LazyLock<Vec<EspProposal>> = LazyLock::new(|| {
    EspProposal::parse_list("aes256gcm16-aes128-sha256-sha1-modp2048,aes128-sha1,null-sha1", true).expect("proposals")
});

fuzz_target!(|data: &[u8]| {
    // A datagram with its length made right, so that the fuzzer need not find it.
    let mut datagram = data.to_vec();
    if let Some(length) = datagram.get_mut(24..28) {
        length.copy_from_slice(&(data.len() as u32).to_be_bytes());
    }
    if let Ok(header) = Header::parse(&datagram) {
        let mut again = Vec::new();
        header.write(&mut again);
        let body = &datagram[Header::LEN..];
        assert_eq!(Header::parse(&[&again, body].concat()), Ok(header));
        if header.next_payload == PayloadType::Fragment
            && let Ok(fragment) = Fragment::parse(body)
        {
            assert_eq!(Fragment::parse(&fragment.write()), Ok(fragment));
        }
        chain(header.next_payload, body, false);
    }
    // What was decrypted is read without a header, and has padding.
    if let Some((first, rest)) = data.split_first() {
        chain(PayloadType::from_u8(*first), rest, true);
    }
});

fn chain(first: PayloadType, bytes: &[u8], encrypted: bool) {
    let Ok(Parsed { payloads, after_first, end }) = parse_payloads(first, bytes, encrypted) else {
        return;
    };
    assert!(payloads.len() <= MAX_PAYLOADS && after_first <= end && end <= bytes.len());
    assert!(encrypted || end == bytes.len());
    let (first, written) = encode_payloads(&payloads);
    let again = parse_payloads(first, &written, false).expect("what was read can be written");
    assert_eq!(again.payloads, payloads);
    for payload in &payloads {
        match payload {
            Payload::SecurityAssociation(offer) => choose(offer),
            Payload::Identification(id) => identification(id),
            Payload::Notification(notification) => assert!(!notification.ty.name().is_empty()),
            _ => {}
        }
    }
    let answer = vendor::answered(&payloads, true);
    assert!(encode_payloads(&answer).1.len() <= written.len());
    let (ours, theirs) = (vendor::recognise(&answer), vendor::recognise(&payloads));
    assert_eq!((ours.nat, ours.dpd, ours.fragmentation), (theirs.nat, theirs.dpd, theirs.fragmentation));
}

fn choose(offer: &SaPayload) {
    if let Ok(choice) = select_phase1(&IKE, offer) {
        one_of(offer, &choice.answer);
        assert_eq!(accept_phase1(offer, &IKE, &choice.answer), Ok(choice));
    }
    for ke_present in [false, true] {
        match select_phase2(&ESP, offer, ke_present, &[1, 3]) {
            Ok(choice) => {
                one_of(offer, &choice.answer);
                assert!(choice.choice.suite.is_consistent() && choice.choice.group.is_some() == ke_present);
                assert_eq!(accept_phase2(offer, &ESP, &choice.answer), Ok(choice));
            }
            Err(error) => assert!(!format!("{error:?}").is_empty()),
        }
    }
}

fn one_of(offer: &SaPayload, answer: &SaPayload) {
    let [chosen] = answer.proposals.as_slice() else { panic!("{answer:?}") };
    let [transform] = chosen.transforms.as_slice() else { panic!("{answer:?}") };
    let is_it = |theirs: &&ike::v1::wire::Proposal| {
        (theirs.number, theirs.protocol, &theirs.spi) == (chosen.number, chosen.protocol, &chosen.spi)
            && theirs.transforms.contains(transform)
    };
    assert!(offer.proposals.iter().any(|theirs| is_it(&theirs)));
}

fn identification(id: &IdPayload) {
    if let Some(name) = id.identity() {
        let again = IdPayload::from_identity(&name);
        assert_eq!((again.ty, &again.data), (id.ty, &id.data));
    }
    if let Some(selector) = id.selector() {
        let again = IdPayload::from_selector(&selector).expect("what IKEv1 said it can say");
        assert_eq!(again.selector(), Some(selector));
    }
}
