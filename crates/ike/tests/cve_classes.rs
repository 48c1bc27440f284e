//! One test per class of vulnerability that IKE daemons had, in both versions where the class has a place in both.
//!
//! Not here, because what they are about is not here:
//! - **Signature forgery** (PKCS#1 v1.5, low exponents, reuse of RSA encryption): peers prove themselves by pre-shared keys
//!   alone; another method is refused, which `authentication_bypass_through_state…` tests.
//! - **X.509, ASN.1, CRL, OCSP**: no certificate is parsed. CERT and CERTREQ payloads are opaque.
//! - **EAP, XAUTH, mode config, RADIUS**: not spoken. XAUTH ends an IKEv1 SA with a reason.
//! - **Local privilege** (control sockets, plugins): a matter of the host, not of this crate.

#![allow(clippy::unwrap_used)] // in the helpers too: what they unwrap is what the test is about

use crate::support::forge::damaged;
use crate::support::puppet::Puppet;
use crate::support::puppet_v1::PuppetV1;
use crate::support::rig::{ALL, Ike, Rig, V1, drain, endpoint, scenario};
use crate::support::*;
use crypto::{RealProvider, SeededRng};
use ike::Endpoint;
use ike::config::{EndpointConfig, Path};
use ike::event::{DownReason, Event};
use ike::v1::wire::{self as v1, ExchangeType as V1Exchange};
use ike::wire::{self as v2, ExchangeType, IkeSpi, NotifyType, PayloadType};
use std::sync::Arc;
use std::time::Instant;

const MODES: [V1Exchange; 2] = [V1Exchange::MainMode, V1Exchange::Aggressive];

/// An end B that knows A.
fn responder(ike: Ike) -> (Endpoint, Instant) {
    responder_with(ike, EndpointConfig::default())
}

fn responder_with(ike: Ike, config: EndpointConfig) -> (Endpoint, Instant) {
    let now = epoch();
    let scenario = scenario(ike);
    let mut endpoint = endpoint(&scenario, 1, config, now);
    let mut peer = scenario.peers[1].clone();
    if ike == Ike::V2 {
        peer.proposals = puppet::proposals();
        peer.children[0].proposals = ike::proposal::EspProposal::parse_list("aes256gcm16", false).unwrap();
    }
    endpoint.apply(vec![peer], now);
    drain(&mut endpoint);
    (endpoint, now)
}

fn ike_of(mode: V1Exchange) -> Ike {
    if mode == V1Exchange::Aggressive { Ike::Aggressive } else { Ike::Main }
}

fn is_up(endpoint: &Endpoint) -> bool {
    endpoint.sas().any(|sa| sa.is_established())
}

fn children(endpoint: &Endpoint) -> usize {
    endpoint.children_of(&"a.example".into()).count()
}

/// Every way to leave one payload out, to send one twice, and to put one in another's place.
fn variations<P: Clone>(payloads: &[P]) -> Vec<(String, Vec<P>)> {
    let mut all = vec![("none at all".to_owned(), Vec::new())];
    for at in 0..payloads.len() {
        let mut without = payloads.to_vec();
        without.remove(at);
        all.push((format!("without {at}"), without));
        let mut twice = payloads.to_vec();
        twice.push(payloads[at].clone());
        all.push((format!("{at} twice"), twice));
        for other in at + 1..payloads.len() {
            let mut swapped = payloads.to_vec();
            swapped.swap(at, other);
            all.push((format!("{at} and {other} swapped"), swapped));
        }
    }
    all
}

/// Left out or doubled, not merely in another order.
fn incomplete(what: &str) -> bool {
    !what.contains("swapped")
}

// Missing payloads, payloads of other exchanges: CVE-2013-6467, 2013-6466, 2014-2037, 2016-5391, 2005-3732.

#[test]
fn missing_payloads_in_every_exchange_of_version_2_harm_nothing() {
    let fresh = || {
        let (endpoint, now) = responder(Ike::V2);
        (endpoint, Puppet::new(1), now)
    };
    let (_, puppet, _) = fresh();
    for (what, payloads) in variations(&puppet.init_payloads()) {
        let (mut endpoint, mut puppet, now) = fresh();
        let hello = puppet.init(&payloads);
        let answered = !puppet.send(&mut endpoint, &hello, now).messages.is_empty();
        assert_eq!(answered, !incomplete(&what), "IKE_SA_INIT {what}");
        assert_eq!(endpoint.half_open(), usize::from(answered), "IKE_SA_INIT {what}");
    }
    let (mut endpoint, mut puppet, now) = fresh();
    puppet.meet(&mut endpoint, now);
    for (what, _) in variations(&puppet.auth_payloads()) {
        let (mut endpoint, mut puppet, now) = fresh();
        puppet.meet(&mut endpoint, now);
        let payloads = variations(&puppet.auth_payloads()).into_iter().find(|(other, _)| *other == what).unwrap().1;
        let request = puppet.request(ExchangeType::IkeAuth, &payloads);
        puppet.send(&mut endpoint, &request, now);
        let proved = [PayloadType::IdInitiator, PayloadType::Authentication]
            .iter()
            .all(|wanted| payloads.iter().filter(|payload| payload.ty() == *wanted).count() == 1);
        assert!(proved || !is_up(&endpoint), "IKE_AUTH {what}");
        assert!(!incomplete(&what) || what.contains("none") || children(&endpoint) == 0, "IKE_AUTH {what}");
    }
    let (mut endpoint, _, now) = fresh();
    let mut puppet = Puppet::connected(1, &mut endpoint, now);
    let (before, mut seed) = (children(&endpoint), 1);
    for exchange in [ExchangeType::CreateChildSa, ExchangeType::Informational, ExchangeType::IkeAuth] {
        for (what, payloads) in variations(&puppet.child_payloads(true)).into_iter().filter(|(w, _)| incomplete(w)) {
            let header = puppet.header(exchange, puppet.next_id, false);
            let request = puppet.seal(header, &payloads);
            let answered = !puppet.send(&mut endpoint, &request, now).messages.is_empty();
            puppet.next_id += u32::from(answered);
            assert!(children(&endpoint) <= before, "{exchange:?} {what}");
            if !is_up(&endpoint) {
                // What breaks the rules ends the SA of whoever sent it.
                seed += 1;
                puppet = Puppet::connected(seed, &mut endpoint, now);
            }
        }
    }
    assert!(is_up(&endpoint));
}

#[test]
fn missing_payloads_in_every_exchange_of_version_1_harm_nothing() {
    for mode in MODES {
        let fresh = || {
            let (endpoint, now) = responder(ike_of(mode));
            (endpoint, PuppetV1::new(1, mode), now)
        };
        for (what, payloads) in variations(&fresh().1.first()) {
            let (mut endpoint, puppet, now) = fresh();
            let answered = !puppet.send(&mut endpoint, &puppet.plain(&payloads), now).messages.is_empty();
            assert_eq!(answered, !incomplete(&what), "{mode}, message 1 {what}");
            assert_eq!(endpoint.half_open(), usize::from(answered), "{mode}, message 1 {what}");
        }
        if mode == V1Exchange::MainMode {
            for (what, payloads) in variations(&fresh().1.second()) {
                let (mut endpoint, mut puppet, now) = fresh();
                puppet.begin(&mut endpoint, now);
                let answered = !puppet.send(&mut endpoint, &puppet.plain(&payloads), now).messages.is_empty();
                assert_eq!(answered, !incomplete(&what), "message 3 {what}");
            }
        }
        let (mut endpoint, mut puppet, now) = fresh();
        puppet.meet(&mut endpoint, now);
        let last = puppet.last();
        for (what, payloads) in variations(&last).into_iter().filter(|(what, _)| incomplete(what)) {
            let message = puppet.seal(mode, 0, &puppet.iv, &payloads);
            let said = puppet.send(&mut endpoint, &message, now);
            assert!(!said.up() && !is_up(&endpoint), "{mode}, the last message {what}");
        }
        assert!(puppet.authenticate(&mut endpoint, now).up(), "{mode}: the right one still counts");
        let quick = puppet.quick();
        let mut id = 100;
        for (what, payloads) in variations(&quick).into_iter().filter(|(what, _)| incomplete(what)) {
            for exchange in [V1Exchange::QuickMode, V1Exchange::Informational, V1Exchange::Transaction] {
                id += 1;
                puppet.send(&mut endpoint, &puppet.protected(exchange, id, &payloads), now);
                // And with the first payload in the place of HASH.
                id += 1;
                let bare = puppet.seal(exchange, id, &puppet.exchange_iv(id), &payloads);
                puppet.send(&mut endpoint, &bare, now);
                assert_eq!(children(&endpoint), 0, "{mode}, {exchange} {what}");
            }
        }
        assert!(is_up(&endpoint), "{mode}");
        let said = puppet.send(&mut endpoint, &puppet.protected(V1Exchange::QuickMode, 7, &quick), now);
        assert_eq!((said.installed, children(&endpoint)), (1, 1), "{mode}: the right one still counts");
    }
}

// Identifiers of the other version and of nobody: CVE-2014-9221 (an internal group number), CVE-2015-3991.

#[test]
fn identifiers_of_the_other_version_leak_nowhere() {
    let (mut endpoint, now) = responder(Ike::V2);
    let mut puppet = Puppet::connected(1, &mut endpoint, now);
    let standing = format!("{:?}", endpoint.sas().collect::<Vec<_>>().len());
    for group in 0..=u16::MAX {
        let stranger = Puppet::new(5);
        let mut payloads = stranger.init_payloads();
        let v2::Payload::KeyExchange { group: number, .. } = &mut payloads[1] else { unreachable!() };
        if *number == group {
            continue;
        }
        *number = group;
        let mut stranger = stranger;
        let hello = stranger.init(&payloads);
        let said = stranger.send(&mut endpoint, &hello, now);
        assert_eq!(endpoint.half_open(), 0, "group {group}");
        assert!(said.messages.iter().all(|answer| answer.len() <= 40), "group {group}");
    }
    for exchange in 0..=u8::MAX {
        for first in [1, 2, 3, 4, 5, 8, 10, 11, 12, 20, 130, 132, 33, 46, 254] {
            let (before, id) = (children(&endpoint), puppet.next_id);
            let header = puppet.header(ExchangeType::from_u8(exchange), id, false);
            let message = puppet.seal_raw(header, first, &[0, 0, 0, 12, 0, 0, 0, 1, 1, 1, 0, 8], |_| {});
            let answered = !puppet.send(&mut endpoint, &message, now).messages.is_empty();
            puppet.next_id += u32::from(answered);
            assert!(children(&endpoint) <= before, "exchange {exchange}, payload {first}");
            if !is_up(&endpoint) {
                // Payloads that break the rules may end an SA of the peer's own.
                puppet = Puppet::connected(u64::from(exchange) + 10, &mut endpoint, now);
            }
        }
    }
    assert_eq!(standing, "1");
}

#[test]
fn identifiers_that_version_1_does_not_have_are_never_chosen() {
    let transform = |attributes: Vec<v1::Attribute>| {
        let proposal = v1::Proposal {
            number: 1,
            protocol: v1::ProtocolId::Isakmp,
            spi: Vec::new(),
            transforms: vec![v1::Transform { number: 1, id: 1, attributes }],
        };
        vec![v1::Payload::SecurityAssociation(v1::SaPayload::new(vec![proposal]))]
    };
    // Encryption, hash, authentication, group, key length as our peer offers them.
    let right = [(1, 7), (2, 2), (3, 1), (4, 2), (14, 128)];
    let (mut endpoint, now) = responder(Ike::Main);
    let mut chosen = 0;
    for (at, (_, value)) in right.iter().enumerate() {
        for other in 0..=u16::MAX {
            let mut attributes = right;
            attributes[at].1 = u64::from(other);
            let attributes = attributes.iter().map(|(ty, value)| v1::Attribute::number(*ty, *value)).collect();
            let mut puppet = PuppetV1::new(u64::from(other), V1Exchange::MainMode);
            puppet.cookies.0.0[1] = at as u8;
            let said = puppet.send(&mut endpoint, &puppet.plain(&transform(attributes)), now);
            let answer = v1::Header::parse(&said.messages[0]).unwrap();
            let agreed = answer.exchange == V1Exchange::MainMode;
            assert_eq!(agreed, u64::from(other) == *value, "attribute {at}, value {other}");
            chosen += usize::from(agreed);
        }
    }
    assert_eq!((chosen, endpoint.half_open()), (5, 5));
    // Every payload and exchange under an SA that stands.
    let (mut endpoint, now) = responder(Ike::Main);
    let puppet = PuppetV1::connected(1, V1Exchange::MainMode, &mut endpoint, now);
    let mut id = 1;
    for exchange in 0..=u8::MAX {
        for first in 0..=u8::MAX {
            id += 1;
            let exchange = V1Exchange::from_u8(exchange);
            let message = puppet.protected_raw(exchange, id, first, &[0, 0, 0, 12, 0, 0, 0, 1, 1, 1, 0, 8]);
            let said = puppet.send(&mut endpoint, &message, now);
            assert!(said.messages.len() <= 1 && said.installed == 0, "{exchange}, payload {first}: {said:?}");
        }
    }
    assert!(is_up(&endpoint) && children(&endpoint) == 0);
}

// Values that end in an assertion: CVE-2015-3240 (g^x = 0), 2015-3204, 2020-1763, 2023-30570 (an SPI used again).

/// Public values that are no members of a group of `len` octets.
fn no_members(len: usize) -> Vec<Vec<u8>> {
    let mut one = vec![0; len];
    one[len - 1] = 1;
    vec![vec![0; len], one, vec![0xff; len], Vec::new(), vec![2], vec![2; len - 1], vec![2; len + 1], vec![0; 9000]]
}

#[test]
fn zero_public_value_and_others_that_are_no_members_of_the_group_lead_to_no_keys() {
    let real = |ike: Ike| {
        let now = epoch();
        let mut peer = scenario(ike).peers[1].clone();
        if ike == Ike::V2 {
            peer.proposals = ike::proposal::IkeProposal::parse_list("aes128gcm16-prfsha256-modp2048").unwrap();
        }
        let rng = Box::new(SeededRng::new(1));
        let mut endpoint = Endpoint::new(EndpointConfig::default(), Arc::new(RealProvider), rng, now);
        endpoint.apply(vec![peer], now);
        drain(&mut endpoint);
        (endpoint, now)
    };
    let (mut endpoint, now) = real(Ike::V2);
    let proposals = ike::proposal::IkeProposal::parse_list("aes128gcm16-prfsha256-modp2048").unwrap();
    for (number, value) in no_members(256).into_iter().enumerate() {
        let mut puppet = Puppet::new(number as u64);
        let hello = puppet.init(&[
            v2::Payload::SecurityAssociation(ike::proposal::ike_to_wire(&proposals, None)),
            v2::Payload::KeyExchange { group: 14, data: value.clone() },
            v2::Payload::Nonce(vec![1; 32]),
        ]);
        let said = puppet.send(&mut endpoint, &hello, now);
        assert!(said.messages.is_empty() && endpoint.half_open() == 0, "IKE_SA_INIT, {} octets", value.len());
    }
    for mode in MODES {
        let (mut endpoint, now) = real(ike_of(mode));
        for (number, value) in no_members(128).into_iter().enumerate() {
            let mut puppet = PuppetV1::new(number as u64, mode);
            let half = [v1::Payload::KeyExchange(value.clone()), v1::Payload::Nonce(vec![1; 16])];
            let said = if mode == V1Exchange::MainMode {
                puppet.begin(&mut endpoint, now);
                puppet.send(&mut endpoint, &puppet.plain(&half), now)
            } else {
                let first = [puppet.first().remove(0), half[0].clone(), half[1].clone(), puppet.id()];
                puppet.send(&mut endpoint, &puppet.plain(&first), now)
            };
            assert!(said.messages.is_empty(), "{mode}, {} octets: {said:?}", value.len());
            let crypto = |event: &Event| {
                matches!(event, Event::Rejected { reason: DownReason::Crypto(_) | DownReason::Misbehaved(_), .. })
            };
            assert!(said.ignored > 0 || said.events.iter().any(crypto), "{mode}: {said:?}");
        }
    }
}

#[test]
fn an_spi_used_again_in_another_mode_version_or_from_elsewhere_is_no_second_sa_with_the_first() {
    for ike in ALL {
        let rig = Rig::started(&scenario(ike));
        let hello = rig.history[0].message.clone();
        let mut both = scenario(ike);
        both.peers.iter_mut().for_each(|peer| {
            peer.versions = ike::config::Versions::Both;
            peer.aggressive = true;
        });
        let now = epoch();
        let mut responder = endpoint(&both, 1, EndpointConfig::default(), now);
        responder.apply(vec![both.peers[1].clone()], now);
        drain(&mut responder);
        let here = rig.path_to(1);
        let moved = Path { remote: std::net::SocketAddr::new(here.remote.ip(), 40_000), ..here };
        for path in [here, moved, here] {
            for exchange in [2, 4, 34, 35, 5, 32] {
                for version in [0x10, 0x20] {
                    let mut message = hello.clone();
                    (message[17], message[18]) = (version, exchange);
                    responder.handle_datagram(path, &message, now);
                    let said = drain(&mut responder);
                    assert!(said.messages.len() <= 1 && !said.up(), "{ike:?} {version:#x} {exchange}: {said:?}");
                    responder.handle_datagram(path, &hello, now);
                    assert!(drain(&mut responder).messages.len() <= 1);
                }
            }
        }
        assert!(responder.half_open() <= 4, "{ike:?}: {}", responder.half_open());
        while let Some(at) = responder.poll_timeout() {
            responder.handle_timeout(at);
            drain(&mut responder);
        }
        assert_eq!((responder.half_open(), responder.spis_in_use()), (0, (0, 0)), "{ike:?}");
    }
}

// Packets before there are keys: CVE-2019-12312, CVE-2009-0790 (R-U-THERE without an SA).

#[test]
fn packet_before_keys_exist_or_before_anybody_is_authenticated_changes_nothing() {
    let (mut endpoint, now) = responder(Ike::V2);
    let mut puppet = Puppet::new(1);
    puppet.meet(&mut endpoint, now);
    let before = format!("{endpoint:?}");
    for exchange in [ExchangeType::CreateChildSa, ExchangeType::Informational, ExchangeType::from_u8(99)] {
        for payloads in [puppet.child_payloads(true), vec![v2::Payload::Delete(v2::Delete::Ike)], Vec::new()] {
            for id in [0, 1, 2] {
                let header = puppet.header(exchange, id, false);
                let message = puppet.seal(header, &payloads);
                assert!(puppet.send(&mut endpoint, &message, now).messages.is_empty(), "{exchange:?} {id}");
                assert_eq!(before, format!("{endpoint:?}"), "{exchange:?} {id}");
            }
        }
    }
    puppet.authenticate(&mut endpoint, now);
    assert!(is_up(&endpoint) && children(&endpoint) == 1);
    for mode in MODES {
        let (mut endpoint, now) = responder(ike_of(mode));
        let mut puppet = PuppetV1::new(1, mode);
        puppet.meet(&mut endpoint, now);
        let before = format!("{endpoint:?}");
        for exchange in [V1Exchange::QuickMode, V1Exchange::Informational, V1Exchange::Transaction] {
            for payloads in [puppet.quick(), vec![r_u_there(&puppet, 1)], vec![delete_isakmp(&puppet)]] {
                let said = puppet.send(&mut endpoint, &puppet.protected(exchange, 77, &payloads), now);
                assert!(said.installed == 0 && said.events.is_empty(), "{mode} {exchange}: {said:?}");
                // In clear, and under an SA that nobody has.
                let clear = v1::plain_message(puppet.header(exchange, 78, false), &payloads);
                puppet.send(&mut endpoint, &clear, now);
                let mut nobody = clear.clone();
                nobody[8..16].fill(0x33);
                assert!(puppet.send(&mut endpoint, &nobody, now).messages.is_empty());
                nobody[..8].fill(0x44);
                assert!(puppet.send(&mut endpoint, &nobody, now).messages.is_empty());
                assert_eq!(before, format!("{endpoint:?}"), "{mode} {exchange}");
            }
        }
        assert!(puppet.authenticate(&mut endpoint, now).up(), "{mode}");
    }
}

fn cookie_octets(puppet: &PuppetV1) -> Vec<u8> {
    [puppet.cookies.0.0, puppet.cookies.1.0].concat()
}

fn notification(puppet: &PuppetV1, ty: v1::NotifyType, data: Vec<u8>) -> v1::Payload {
    let (protocol, spi) = (v1::ProtocolId::Isakmp, cookie_octets(puppet));
    v1::Payload::Notification(v1::Notification { protocol, spi, ty, data })
}

fn r_u_there(puppet: &PuppetV1, sequence: u32) -> v1::Payload {
    notification(puppet, v1::NotifyType::R_U_THERE, sequence.to_be_bytes().to_vec())
}

fn delete_isakmp(puppet: &PuppetV1) -> v1::Payload {
    v1::Payload::Delete(v1::Delete { protocol: v1::ProtocolId::Isakmp, spis: vec![cookie_octets(puppet)] })
}

// Authentication bypassed through a state: CVE-2014-2338, 2021-45079, 2015-8023, 2023-26463, 2020-16088.

#[test]
fn authentication_bypass_through_state_and_method_is_not_to_be_had_in_version_2() {
    type Try = fn(&mut Puppet) -> (ExchangeType, Vec<v2::Payload>);
    let tries: [(&str, Try); 6] = [
        ("a rekey of an SA that nobody authenticated", |_| {
            let spi = Some(IkeSpi([9; 8]));
            let mut payloads =
                vec![v2::Payload::SecurityAssociation(ike::proposal::ike_to_wire(&puppet::proposals(), spi))];
            payloads.extend([v2::Payload::Nonce(vec![1; 32])]);
            payloads.push(v2::Payload::KeyExchange { group: 31, data: vec![5; 32] });
            (ExchangeType::CreateChildSa, payloads)
        }),
        ("no AUTH, as for EAP", |puppet| {
            let mut payloads = puppet.auth_payloads();
            payloads.retain(|payload| payload.ty() != PayloadType::Authentication);
            (ExchangeType::IkeAuth, payloads)
        }),
        ("EAP success out of nowhere", |puppet| {
            let mut payloads = puppet.auth_payloads();
            payloads.retain(|payload| payload.ty() != PayloadType::Authentication);
            payloads.push(v2::Payload::Opaque { ty: PayloadType::from_u8(48), body: vec![3, 1, 0, 4] });
            (ExchangeType::IkeAuth, payloads)
        }),
        ("an empty AUTH", |puppet| {
            let mut payloads = puppet.auth_payloads();
            payloads[1] = v2::Payload::Authentication { method: 2, data: Vec::new() };
            (ExchangeType::IkeAuth, payloads)
        }),
        ("the right AUTH cut short", |puppet| {
            let mut payloads = puppet.auth_payloads();
            let v2::Payload::Authentication { data, .. } = &mut payloads[1] else { unreachable!() };
            data.pop();
            (ExchangeType::IkeAuth, payloads)
        }),
        ("an AUTH with an empty key", |puppet| {
            let id = ike::id::Id::Fqdn("a.example".to_owned()).into();
            (ExchangeType::IkeAuth, puppet.auth_payloads_as(id, b""))
        }),
    ];
    for (what, make) in tries {
        let (mut endpoint, now) = responder(Ike::V2);
        let mut puppet = Puppet::new(1);
        puppet.meet(&mut endpoint, now);
        let (exchange, payloads) = make(&mut puppet);
        let request = puppet.request(exchange, &payloads);
        let said = puppet.send(&mut endpoint, &request, now);
        assert!(!said.events.iter().any(|event| matches!(event, Event::IkeSaUp { .. })), "{what}: {said:?}");
        assert!(!is_up(&endpoint) && children(&endpoint) == 0, "{what}");
    }
    for method in (0..=u8::MAX).filter(|method| *method != 2) {
        let (mut endpoint, now) = responder(Ike::V2);
        let mut puppet = Puppet::new(1);
        puppet.meet(&mut endpoint, now);
        let mut payloads = puppet.auth_payloads();
        let v2::Payload::Authentication { method: sent, .. } = &mut payloads[1] else { unreachable!() };
        *sent = method;
        let request = puppet.request(ExchangeType::IkeAuth, &payloads);
        puppet.send(&mut endpoint, &request, now);
        assert!(!is_up(&endpoint), "method {method}");
    }
}

#[test]
fn authentication_bypass_through_state_and_method_is_not_to_be_had_in_version_1() {
    for mode in MODES {
        let (mut endpoint, now) = responder(ike_of(mode));
        let mut puppet = PuppetV1::new(1, mode);
        puppet.meet(&mut endpoint, now);
        let hash = puppet.proof(&puppet.id());
        let v1::Payload::Hash(right) = &hash else { unreachable!() };
        let short = v1::Payload::Hash(right[..right.len() - 1].to_vec());
        let nothing = v1::Payload::Hash(Vec::new());
        let signature = v1::Payload::Opaque { ty: v1::PayloadType::Signature, body: vec![1; 128] };
        let attributes =
            v1::Payload::Opaque { ty: v1::PayloadType::Attributes, body: vec![3, 0, 0, 1, 0xc0, 0x8f, 0, 1] };
        for proof in [short, nothing, signature, attributes] {
            for payloads in [vec![proof.clone()], vec![puppet.id(), proof.clone()], vec![proof.clone(), puppet.id()]] {
                let sealed = puppet.seal(mode, 0, &puppet.iv, &payloads);
                let clear = puppet.plain(&payloads);
                for message in [sealed, clear] {
                    let said = puppet.send(&mut endpoint, &message, now);
                    assert!(!said.up() && !is_up(&endpoint), "{mode}: {payloads:?}");
                }
            }
        }
        // "You are in", by XAUTH or a notification, in a message that the keys of both protect.
        let attributes =
            v1::Payload::Opaque { ty: v1::PayloadType::Attributes, body: vec![3, 0, 0, 1, 0xc0, 0x8f, 0, 1] };
        for payload in [attributes, notification(&puppet, v1::NotifyType::CONNECTED, Vec::new())] {
            for exchange in [V1Exchange::Transaction, V1Exchange::Informational, V1Exchange::QuickMode] {
                let message = puppet.protected(exchange, 5, std::slice::from_ref(&payload));
                assert!(!puppet.send(&mut endpoint, &message, now).up() && !is_up(&endpoint), "{mode} {exchange}");
            }
        }
        assert!(puppet.authenticate(&mut endpoint, now).up(), "{mode}: the right proof still counts");
    }
}

// Integrity that nobody checked: CVE-2019-10155. What version 2 does in every state is in tests/mutation.rs.

#[test]
fn unverified_integrity_changes_nothing_in_version_1() {
    // What the protocol leaves unprotected may be anything.
    let meaningless = |mutant: &[u8], message: &[u8]| {
        // Bits of the header without a meaning.
        let mut same = mutant.to_vec();
        (same[17], same[19]) = (message[17], same[19] & 1 | message[19] & !1);
        // Whole blocks behind the last payload: they are padding (RFC 2409 appendix B).
        let longer = mutant.len() > message.len() && (mutant.len() - message.len()).is_multiple_of(16);
        // The proofs of phase 1 cover identities, not the notifications and NAT-D payloads behind them (RFC 2409 §5). The
        // proofs end in the third block of main mode, in the second of aggressive mode.
        let proved = match message[18] {
            2 => v1::Header::LEN + 48,
            4 => v1::Header::LEN + 32,
            _ => usize::MAX,
        };
        let first = mutant.iter().zip(message).position(|(a, b)| a != b);
        longer || same == message || mutant.len() == message.len() && first.is_some_and(|at| at >= proved)
    };
    for ike in V1 {
        let mut rig = Rig::started(&scenario(ike));
        let (mut messages, mut mutants) = (0, 0);
        let commands: [fn(&mut Endpoint, Instant); 4] = [
            |_, _| {},
            |end, now| assert_eq!(end.rekey_child(&"b.example".into(), None, now), Ok(())),
            |end, now| assert_eq!(end.rekey_ike(&"b.example".into(), now), Ok(())),
            |end, now| assert_eq!(end.down(&"b.example".into(), None, now), Ok(())),
        ];
        for command in commands {
            let now = rig.now;
            command(&mut rig.ends[0], now);
            rig.collect(0);
            loop {
                while let Some(wire) = rig.wire.front().cloned() {
                    let (end, now) = (&mut rig.ends[wire.to], rig.now);
                    let before = format!("{end:?}");
                    // Nothing is proved yet where message 5 comes: what does not decrypt is complained about once.
                    let message_5 = wire.message[18] == 2 && wire.to == 1;
                    for mutant in damaged(&wire.message).filter(|m| m.len() < 28 || !meaningless(m, &wire.message)) {
                        if wire.message[19] & 1 == 0 || message_5 {
                            break;
                        }
                        end.handle_datagram(wire.path, &mutant, now);
                        let said = drain(end);
                        let place = || format!("{ike:?}: {mutant:02x?} of {:02x?}", wire.message);
                        assert!(!said.up() && said.installed == 0, "{}", place());
                        let after = format!("{end:?}");
                        assert!(before == after, "{}\n{before}\n{after}", place());
                        mutants += 1;
                    }
                    messages += 1;
                    rig.deliver();
                }
                if !rig.tick(seconds(4)) {
                    break;
                }
            }
        }
        println!("{ike:?}: {messages} messages, {mutants} mutants");
        assert!(messages > 12 && mutants > 8_000, "{messages} {mutants}");
    }
}

#[test]
fn nothing_in_clear_is_believed_once_there_are_keys_in_version_1() {
    for mode in MODES {
        let (mut endpoint, now) = responder(ike_of(mode));
        let mut puppet = PuppetV1::connected(1, mode, &mut endpoint, now);
        let quick = puppet.quick();
        puppet.send(&mut endpoint, &puppet.protected(V1Exchange::QuickMode, 7, &quick), now);
        let before = format!("{endpoint:?}");
        let payloads = [
            delete_isakmp(&puppet),
            r_u_there(&puppet, 5),
            notification(&puppet, v1::NotifyType::INITIAL_CONTACT, Vec::new()),
        ];
        for payload in payloads {
            let hashed = puppet.hashed(9, std::slice::from_ref(&payload));
            for (payloads, id) in [(vec![payload.clone()], 0), (vec![payload.clone()], 9), (hashed, 9)] {
                let clear = v1::plain_message(puppet.header(V1Exchange::Informational, id, false), &payloads);
                assert!(puppet.send(&mut endpoint, &clear, now).messages.is_empty(), "{mode}");
                assert_eq!(before, format!("{endpoint:?}"), "{mode}: {payloads:?}");
            }
        }
    }
}

// What was said before, said again, to either end: a HASH of an informational message does not say whose it is.

#[test]
fn what_was_said_before_says_nothing_when_it_comes_again_or_comes_back() {
    for ike in ALL {
        let mut scenario = scenario(ike);
        scenario.peers.iter_mut().for_each(|peer| peer.dpd.interval = Some(seconds(20)));
        let mut rig = Rig::connected(&scenario);
        // A few questions about who is alive, from either end.
        for _ in 0..6 {
            rig.tick(seconds(60));
            while rig.deliver() {}
        }
        let history = rig.history.clone();
        for wire in &history {
            let fragmentless = u32::from_be_bytes(*wire.message[20..].first_chunk().unwrap());
            // A first message makes a half-open SA: another test's matter.
            let first = wire.message[8..16] == [0; 8];
            for node in (0..2).filter(|_| !first) {
                let path = rig.path_to(node);
                let before = format!("{:?}", rig.ends[node]);
                rig.ends[node].handle_datagram(path, &wire.message, rig.now);
                let said = drain(&mut rig.ends[node]);
                assert!(said.messages.len() <= 1 && said.events.is_empty(), "{ike:?}: {said:?}");
                let after = format!("{:?}", rig.ends[node]);
                let how = if node == wire.to { "again" } else { "back" };
                let exchange = wire.message[18];
                assert!(before == after, "{ike:?}: exchange {exchange} id {fragmentless:#x} {how}\n{before}\n{after}");
            }
        }
    }
}

#[test]
fn a_question_about_liveness_that_comes_back_is_no_sign_of_life() {
    for ike in ALL {
        let mut scenario = scenario(ike);
        scenario.peers.iter_mut().for_each(|peer| {
            peer.dpd.interval = Some(seconds(20));
            peer.retry.tries = Some(1);
        });
        let mut rig = Rig::connected(&scenario);
        // The peer is gone; whoever stands between throws everything back.
        let (path, mut thrown) = (rig.path_to(0), 0);
        for _ in 0..200 {
            rig.wire.clear();
            let Some(at) = rig.ends[0].poll_timeout().filter(|_| rig.is_up(0)) else { break };
            rig.now = rig.now.max(at);
            rig.ends[0].handle_timeout(rig.now);
            for message in drain(&mut rig.ends[0]).messages {
                thrown += 1;
                rig.ends[0].handle_datagram(path, &message, rig.now);
                for answer in drain(&mut rig.ends[0]).messages {
                    rig.ends[0].handle_datagram(path, &answer, rig.now);
                    drain(&mut rig.ends[0]);
                }
            }
        }
        assert!(thrown > 1 && !rig.is_up(0), "{ike:?}: still up after {thrown} messages came back");
    }
}

#[test]
fn a_refusal_that_is_played_again_refuses_nothing_else_in_version_1() {
    let (mut endpoint, now) = responder(Ike::Main);
    let puppet = PuppetV1::connected(1, V1Exchange::MainMode, &mut endpoint, now);
    let ask = |endpoint: &mut Endpoint| {
        let done = endpoint.up(&"a.example".into(), None, now + seconds(30));
        assert_eq!(done, Ok(()));
        endpoint.handle_timeout(now + seconds(30));
        drain(endpoint).messages
    };
    assert_eq!(ask(&mut endpoint).len(), 1, "quick mode of B's own");
    let spi = vec![1, 2, 3, 4];
    let refusal = v1::Notification {
        protocol: v1::ProtocolId::Esp,
        spi,
        ty: v1::NotifyType::NO_PROPOSAL_CHOSEN,
        data: Vec::new(),
    };
    let message = puppet.protected(V1Exchange::Informational, 50, &[v1::Payload::Notification(refusal)]);
    let failed = |said: &rig::Said| said.events.iter().any(|event| matches!(event, Event::ChildFailed { .. }));
    assert!(failed(&puppet.send(&mut endpoint, &message, now + seconds(30))), "the peer's own word counts");
    endpoint.handle_timeout(now + seconds(60));
    assert!(!drain(&mut endpoint).messages.is_empty(), "asked again");
    assert!(!failed(&puppet.send(&mut endpoint, &message, now + seconds(60))), "played again");
}

// Lengths: CVE-2021-41991, 2023-41913, 2016-10396 and others.

/// A message with every pair of octets replaced by lengths that lie.
fn lying(message: &[u8], from: usize) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for at in from..message.len().saturating_sub(1) {
        let right = u16::from_be_bytes([message[at], message[at + 1]]);
        for lie in [0, 1, 3, 4, right.wrapping_sub(1), right.wrapping_add(1), 0x7fff, u16::MAX] {
            let mut mutant = message.to_vec();
            mutant[at..at + 2].copy_from_slice(&lie.to_be_bytes());
            all.push(mutant);
        }
    }
    all
}

#[test]
fn lengths_that_lie_are_found_out_in_first_messages() {
    for ike in ALL {
        let mut rig = Rig::started(&scenario(ike));
        let mut tried = 0;
        while let Some(wire) = rig.wire.front().cloned() {
            if wire.message[19] & 1 == 1 && ike != Ike::V2 {
                break;
            }
            for mutant in lying(&wire.message, 16) {
                tried += 1;
                let (mut other, now) = responder(ike);
                other.handle_datagram(wire.path, &mutant, now);
                let said = drain(&mut other);
                assert!(said.messages.len() <= 1 && !said.up(), "{ike:?}: {mutant:02x?}");
                assert!(other.half_open() <= 1);
            }
            rig.deliver();
        }
        assert!(tried > 1000, "{ike:?}: {tried}");
    }
}

#[test]
fn lengths_that_lie_are_found_out_under_the_right_keys() {
    let (mut endpoint, now) = responder(Ike::V2);
    let mut puppet = Puppet::connected(1, &mut endpoint, now);
    let (first, body) = Puppet::encode(&puppet.child_payloads(true));
    for mutant in lying(&body, 0) {
        let request = puppet.request_raw(ExchangeType::CreateChildSa, first, &mutant);
        let answered = puppet.send(&mut endpoint, &request, now).messages.len();
        assert!(answered <= 1);
        if !is_up(&endpoint) || answered == 0 || children(&endpoint) > 40 {
            (endpoint, _) = responder(Ike::V2);
            puppet = Puppet::connected(1, &mut endpoint, now);
        }
    }
    for mode in MODES {
        let (mut endpoint, now) = responder(ike_of(mode));
        let mut puppet = PuppetV1::connected(1, mode, &mut endpoint, now);
        let (first, body) = v1::encode_payloads(&puppet.quick());
        let notify = v1::encode_payloads(&[r_u_there(&puppet, 3), delete_isakmp(&puppet)]);
        let all = lying(&body, 0).into_iter().map(|mutant| (V1Exchange::QuickMode, first, mutant));
        let all = all.chain(lying(&notify.1, 0).into_iter().map(|m| (V1Exchange::Informational, notify.0, m)));
        for (id, (exchange, first, mutant)) in (1..).zip(all) {
            let message = puppet.protected_raw(exchange, id, first.to_u8(), &mutant);
            let said = puppet.send(&mut endpoint, &message, now);
            assert!(said.messages.len() <= 2, "{mode}: {said:?}");
            if !is_up(&endpoint) || children(&endpoint) > 20 {
                (endpoint, _) = responder(ike_of(mode));
                puppet = PuppetV1::connected(1, mode, &mut endpoint, now);
            }
        }
    }
}

// Credentials before the peer is verified: CVE-2015-4171.

#[test]
fn credentials_before_verification_of_the_peer_are_in_no_message() {
    for ike in ALL {
        for scenario in [scenario(ike), scenario(ike).keys_differ()] {
            let mut rig = Rig::started(&scenario);
            rig.settle();
            assert!(rig.history.len() > 2, "{ike:?}");
            for wire in &rig.history {
                let holds = |what: &[u8]| wire.message.windows(what.len()).any(|octets| octets == what);
                assert!(!holds(puppet_v1::PSK), "{ike:?}: the key");
                // Aggressive mode cannot hide identities; the others do.
                let hidden = !holds(b"a.example") && !holds(b"b.example");
                assert!(hidden || ike == Ike::Aggressive, "{ike:?}: an identity in clear");
            }
        }
    }
}

// Amplification and resources: CVE-2016-5361, CVE-2016-10396 (fragments), CVE-2021-41991.

#[test]
fn amplification_and_resources_are_bounded_under_a_flood_from_forged_addresses() {
    for ike in ALL {
        let config = EndpointConfig { half_open_limit: 2_000, ..EndpointConfig::default() };
        let limit = config.half_open_limit;
        let scenario = scenario(ike);
        let hello = Rig::started(&scenario).history[0].message.clone();
        let mut now = epoch();
        let mut victim = endpoint(&scenario, 1, config, now);
        let mut peer = scenario.peers[1].clone();
        peer.remote_addresses.clear();
        peer.local_address = None;
        victim.apply(vec![peer], now);
        drain(&mut victim);
        let here = Rig::new(&scenario).path_to(1);
        let (mut octets_in, mut octets_out, mut most) = (0, 0, 0);
        for number in 0..100_000_u32 {
            let mut message = hello.clone();
            message[..4].copy_from_slice(&number.to_be_bytes());
            let source = std::net::Ipv4Addr::from(0x0a00_0000 + number % 5_000);
            let path = Path { remote: std::net::SocketAddr::new(source.into(), 500), ..here };
            octets_in += message.len();
            victim.handle_datagram(path, &message, now);
            octets_out += drain(&mut victim).messages.iter().map(Vec::len).sum::<usize>();
            most = most.max(victim.half_open());
        }
        println!("{ike:?}: {octets_in} octets in, {octets_out} out, at most {most} half open");
        assert!(octets_out <= octets_in, "{ike:?}: {octets_out} octets out for {octets_in} in");
        assert!(most <= limit, "{ike:?}: {most}");
        assert!(victim.spis_in_use().0 <= limit);
        while let Some(at) = victim.poll_timeout() {
            now = now.max(at);
            victim.handle_timeout(now);
            drain(&mut victim);
        }
        assert_eq!((victim.half_open(), victim.spis_in_use()), (0, (0, 0)), "{ike:?}");
    }
}

#[test]
fn amplification_and_resources_of_fragments_are_bounded_in_version_1() {
    let (mut endpoint, now) = responder(Ike::Main);
    let mut puppet = PuppetV1::new(1, V1Exchange::MainMode);
    puppet.begin(&mut endpoint, now);
    let quiet = format!("{endpoint:?}").len();
    let mut most = 0;
    for id in 0..200_u16 {
        for number in 0..=u8::MAX {
            let fragment = v1::Fragment { id: id % 3, number, last: number == 17, data: vec![0xab; 1400] };
            let header = v1::Header {
                next_payload: v1::PayloadType::Fragment,
                length: (v1::Header::LEN + fragment.write().len()) as u32,
                ..puppet.header(V1Exchange::MainMode, 0, false)
            };
            let mut message = Vec::new();
            header.write(&mut message);
            message.extend_from_slice(&fragment.write());
            let said = puppet.send(&mut endpoint, &message, now);
            assert!(said.messages.is_empty(), "{said:?}");
        }
        most = most.max(format!("{endpoint:?}").len());
    }
    // An octet is at most five characters of the rendering.
    let held = (most - quiet) / 5;
    assert!(held <= 16_384, "{held} octets of fragments of somebody who proved nothing");
    puppet.send(&mut endpoint, &puppet.plain(&puppet.second()), now);
    assert_eq!(endpoint.half_open(), 1);
}

// Guessing pre-shared keys at leisure: CVE-2002-1623, CVE-2018-5389.

#[test]
fn offline_psk_guessing_gets_nothing_from_an_end_without_aggressive_mode_and_is_said_where_it_does() {
    let (mut endpoint, now) = responder(Ike::Main);
    let mut puppet = PuppetV1::new(1, V1Exchange::Aggressive);
    let said = puppet.begin(&mut endpoint, now);
    assert!(said.messages.is_empty() && endpoint.half_open() == 0, "{said:?}");
    let mismatch = |event: &Event| matches!(event, Event::Rejected { reason: DownReason::ModeMismatch { .. }, .. });
    assert!(said.events.iter().any(mismatch), "{said:?}");
    // An identity nobody expects gets no hash either.
    let (mut endpoint, now) = responder(Ike::Aggressive);
    let puppet = PuppetV1::new(1, V1Exchange::Aggressive);
    let mut payloads = puppet.first();
    *payloads.last_mut().unwrap() =
        v1::Payload::Identification(v1::IdPayload::from_identity(&ike::id::Id::Fqdn("c.example".to_owned())));
    assert!(puppet.send(&mut endpoint, &puppet.plain(&payloads), now).messages.is_empty());
    let rig = Rig::connected(&scenario(Ike::Aggressive));
    for said in &rig.said {
        assert!(said.iter().any(|event| matches!(event, Event::AggressiveMode { .. })), "{said:?}");
    }
    for ike in [Ike::V2, Ike::Main] {
        let rig = Rig::connected(&scenario(ike));
        assert!(!rig.said.iter().flatten().any(|event| matches!(event, Event::AggressiveMode { .. })));
    }
}

// Loops of crashes and tries: CVE-2024-2357 (no key for a peer).

#[test]
fn missing_psk_does_not_loop() {
    for ike in ALL {
        for (ours, theirs) in [(b"".as_slice(), b"a key".as_slice()), (b"a key", b""), (b"", b"")] {
            let mut scenario = scenario(ike).both_begin();
            scenario.peers[0].psk = ours.to_vec().into();
            scenario.peers[1].psk = theirs.to_vec().into();
            let mut rig = Rig::started(&scenario);
            let end = rig.now + minutes(60);
            let mut steps = 0;
            while rig.now < end && steps < 20_000 {
                steps += 1;
                if !rig.deliver() && !rig.tick(minutes(60)) {
                    break;
                }
            }
            assert!(steps < 20_000, "{ike:?}: it never comes to rest");
            assert_eq!(rig.is_up(0), rig.is_up(1), "{ike:?}");
            // Two equal keys are a key, however bad: formats refuses an empty one.
            assert_eq!(rig.is_up(0), ours == theirs, "{ike:?}");
            println!("{ike:?}: {} messages in an hour", rig.history.len());
            assert!(rig.history.len() < 3_000, "{ike:?}: {} messages in an hour", rig.history.len());
            assert!(rig.ends.iter().all(|end| end.half_open() < 32), "{ike:?}");
        }
    }
}

#[test]
fn error_notifications_of_the_peer_do_not_make_a_loop_either() {
    // Two ends that answer each other's errors with errors would never stop.
    for mode in MODES {
        let (mut endpoint, now) = responder(ike_of(mode));
        let puppet = PuppetV1::connected(1, mode, &mut endpoint, now);
        for (id, ty) in (1..).zip([4, 7, 9, 11, 14, 16, 18, 24, 30, 8191, 9101]) {
            let error = notification(&puppet, v1::NotifyType(ty), Vec::new());
            let said = puppet.send(&mut endpoint, &puppet.protected(V1Exchange::Informational, id, &[error]), now);
            assert!(said.messages.is_empty(), "{mode}, notification {ty}: {said:?}");
        }
    }
    let (mut endpoint, now) = responder(Ike::V2);
    let mut puppet = Puppet::connected(1, &mut endpoint, now);
    for ty in [NotifyType::INVALID_SYNTAX, NotifyType::TEMPORARY_FAILURE, NotifyType::CHILD_SA_NOT_FOUND] {
        let request = puppet.request(ExchangeType::Informational, &[v2::Payload::Notify(v2::Notify::new(ty))]);
        let said = puppet.send(&mut endpoint, &request, now);
        assert!(said.messages.len() <= 1 && puppet.open(&said.messages[0]).1.is_empty(), "{ty:?}: {said:?}");
    }
}
