//! RFC 7296 §2.25: what a request is answered while we are busy with something it crosses, and what a refusal makes us do.
//! The peer is a puppet, so that each answer can be looked at.

#![allow(clippy::unwrap_used)] // in the helpers too: what they unwrap is what the test is about

use crate::support::puppet::{Puppet, Reaction, proposals, reaction};
use crate::support::*;
use crypto::{Group, Provider, Rng, SeededRng, SimProvider};
use ike::Endpoint;
use ike::config::{EndpointConfig, PeerName, StartPolicy};
use ike::event::{DownReason, Event};
use ike::proposal::{IkeProposal, ike_to_wire};
use ike::wire::{Delete, ExchangeType, Header, IkeSpi, Notify, NotifyType, Payload};
use ipsec::Spi;
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Scene {
    endpoint: Endpoint,
    puppet: Puppet,
    now: Instant,
    peer: PeerName,
    /// Requests of the endpoint that were not answered.
    pending: Vec<Vec<u8>>,
}

/// What the endpoint is busy with when the puppet's request arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Busy {
    Nothing,
    RekeyingChild,
    DeletingChild,
    CreatingChild,
    RekeyingIke,
    DeletingIke,
    Liveness,
    /// Its own rekey of the child succeeded; the DELETE of the old one is on its way.
    DeletingRekeyedChild,
}

/// What the puppet asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ask {
    RekeyChild,
    DeleteChild,
    CreateChild,
    RekeyIke,
    DeleteIke,
    Liveness,
}

impl Scene {
    fn new() -> Scene {
        Scene::accepting(proposals(), 2)
    }

    /// The endpoint accepts these proposals; the puppet offers the standard one.
    fn accepting(proposals: Vec<IkeProposal>, seed: u64) -> Scene {
        let now = epoch();
        let mut endpoint =
            Endpoint::new(EndpointConfig::default(), Arc::new(SimProvider), Box::new(SeededRng::new(seed)), now);
        let mut config = site_b();
        config.proposals = proposals;
        config.children[0].proposals = vec!["aes256gcm16".parse().unwrap()];
        config.children.push(child_config("other", B, 9, StartPolicy::Passive));
        endpoint.apply(vec![config], now);
        let puppet = Puppet::connected(1, &mut endpoint, now);
        let peer = endpoint.sas().next().unwrap().peer().name.clone();
        Scene { endpoint, puppet, now, peer, pending: Vec::new() }
    }

    fn ours(&self) -> Spi {
        self.endpoint.sas().next().unwrap().children().next().unwrap().spis.inbound
    }

    /// The SPI that the puppet chose for its child.
    fn theirs(&self) -> Spi {
        self.endpoint.sas().next().unwrap().children().next().unwrap().spis.outbound
    }

    fn take(&mut self) -> Reaction {
        let reaction = reaction(&mut self.endpoint);
        for message in &reaction.messages {
            // A repetition is the same octets.
            if !Header::parse(message).unwrap().flags.response && !self.pending.contains(message) {
                self.pending.push(message.clone());
            }
        }
        reaction
    }

    /// Answers the endpoint's oldest unanswered request.
    fn answer(&mut self, payloads: &[Payload]) -> Reaction {
        let request = self.pending.remove(0);
        let header = Header::parse(&request).unwrap();
        let answer = self.puppet.header(header.exchange, header.message_id, true);
        let answer = self.puppet.seal(answer, payloads);
        self.endpoint.handle_datagram(self.puppet.path, &answer, self.now);
        self.take()
    }

    /// Lets time pass, up to the next thing the endpoint does within it.
    fn wait(&mut self, time: Duration) -> Reaction {
        let until = self.now + time;
        let mut all = Reaction::default();
        while let Some(at) = self.endpoint.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.endpoint.handle_timeout(self.now);
            let reaction = self.take();
            all.messages.extend(reaction.messages);
            all.events.extend(reaction.events);
        }
        self.now = until;
        all
    }

    fn be(&mut self, busy: Busy) {
        let (peer, now) = (self.peer.clone(), self.now);
        let child = child();
        let done = match busy {
            Busy::Nothing => Ok(()),
            Busy::RekeyingChild | Busy::DeletingRekeyedChild => self.endpoint.rekey_child(&peer, Some(&child), now),
            Busy::DeletingChild => self.endpoint.down(&peer, Some(&child), now),
            Busy::CreatingChild => self.endpoint.up(&peer, Some(&"other".into()), now),
            Busy::RekeyingIke => self.endpoint.rekey_ike(&peer, now),
            Busy::DeletingIke => self.endpoint.down(&peer, None, now),
            Busy::Liveness => {
                let mut config = self.endpoint.sas().next().unwrap().peer().clone();
                config.dpd.interval = Some(seconds(10));
                self.endpoint.apply(vec![config], now);
                Ok(())
            }
        };
        assert_eq!(done, Ok(()));
        self.take();
        if matches!(busy, Busy::CreatingChild | Busy::Liveness) {
            self.wait(seconds(11));
        }
        if busy == Busy::DeletingRekeyedChild {
            let answer = self.puppet.child_payloads(true);
            self.answer(&swapped(answer));
        }
        assert_eq!(self.pending.len(), usize::from(busy != Busy::Nothing), "{busy:?}");
    }

    fn payloads(&mut self, ask: Ask) -> (ExchangeType, Vec<Payload>) {
        let spi = self.endpoint.sas().next().unwrap().children().next().map(|child| child.spis.outbound);
        let spi = spi.unwrap_or(Spi::new(0x1234).unwrap());
        match ask {
            Ask::RekeyChild => {
                let mut payloads = vec![Payload::Notify(Notify::for_child(NotifyType::REKEY_SA, spi))];
                payloads.extend(self.puppet.child_payloads(true));
                (ExchangeType::CreateChildSa, payloads)
            }
            Ask::CreateChild => (ExchangeType::CreateChildSa, self.puppet.child_payloads(true)),
            Ask::DeleteChild => (ExchangeType::Informational, vec![Payload::Delete(Delete::esp([spi]))]),
            Ask::RekeyIke => (ExchangeType::CreateChildSa, rekey_ike_payloads(&mut self.puppet.rng, Group::Curve25519)),
            Ask::DeleteIke => (ExchangeType::Informational, vec![Payload::Delete(Delete::Ike)]),
            Ask::Liveness => (ExchangeType::Informational, Vec::new()),
        }
    }

    /// Sends a request; the answer, in a word.
    fn ask(&mut self, ask: Ask) -> &'static str {
        let (exchange, payloads) = self.payloads(ask);
        let request = self.puppet.request(exchange, &payloads);
        self.endpoint.handle_datagram(self.puppet.path, &request, self.now);
        let reaction = self.take();
        let response = |message: &&Vec<u8>| Header::parse(message).unwrap().flags.response;
        let Some(answer) = reaction.messages.iter().find(response) else { return "nothing" };
        let (_, payloads) = self.puppet.open(answer);
        let word = |payload: &Payload| match payload {
            Payload::Notify(notify) if notify.ty == NotifyType::TEMPORARY_FAILURE => Some("later"),
            Payload::Notify(notify) if notify.ty == NotifyType::CHILD_SA_NOT_FOUND => Some("not found"),
            Payload::Notify(_) => Some("refused"),
            Payload::SecurityAssociation(_) => Some("made"),
            Payload::Delete(_) => Some("deleted"),
            _ => None,
        };
        payloads.iter().find_map(word).unwrap_or("empty")
    }
}

/// The same child payloads as an answer: one proposal, selectors unchanged.
fn swapped(payloads: Vec<Payload>) -> Vec<Payload> {
    payloads
        .into_iter()
        .map(|payload| match payload {
            Payload::TsInitiator(selectors) => Payload::TsResponder(selectors),
            Payload::TsResponder(selectors) => Payload::TsInitiator(selectors),
            other => other,
        })
        .collect()
}

/// `SA, N, KE` of an IKE rekey, from either end.
fn rekey_ike_payloads(rng: &mut SeededRng, group: Group) -> Vec<Payload> {
    let share = SimProvider.key_exchange(group, rng).unwrap();
    let mut nonce = vec![0; 32];
    rng.fill(&mut nonce);
    let mut spi = [0; 8];
    rng.fill(&mut spi);
    let proposals = if group == Group::Modp2048 { proposal_with("modp2048") } else { proposals() };
    vec![
        Payload::SecurityAssociation(ike_to_wire(&proposals, Some(IkeSpi(spi)))),
        Payload::Nonce(nonce),
        Payload::KeyExchange { group: share.group().number(), data: share.public().to_vec() },
    ]
}

/// The standard proposal with these groups.
fn proposal_with(groups: &str) -> Vec<IkeProposal> {
    vec![format!("aes256gcm16-prfsha256-{groups}").parse().unwrap()]
}

/// The peer wants MODP 2048.
fn other_group() -> Vec<Payload> {
    let wanted = Group::Modp2048.number().to_be_bytes().to_vec();
    vec![Payload::Notify(Notify::with_data(NotifyType::INVALID_KE_PAYLOAD, wanted))]
}

#[test]
fn every_request_that_crosses_something_of_ours_is_answered_as_rfc_7296_2_25_says() {
    use Ask::*;
    let cases: [(Busy, [(Ask, &str); 6]); 8] = [
        (
            Busy::Nothing,
            [
                (RekeyChild, "made"),
                (DeleteChild, "deleted"),
                (CreateChild, "made"),
                (RekeyIke, "made"),
                (DeleteIke, "empty"),
                (Liveness, "empty"),
            ],
        ),
        (
            // §2.25.1: "If a peer receives a request to rekey a Child SA that it is currently rekeying: reply as usual".
            Busy::RekeyingChild,
            [
                (RekeyChild, "made"),
                (DeleteChild, "deleted"),
                (CreateChild, "made"),
                (RekeyIke, "later"),
                (DeleteIke, "empty"),
                (Liveness, "empty"),
            ],
        ),
        (
            // "… to rekey a Child SA that it is currently trying to close: TEMPORARY_FAILURE"; "… to delete a Child SA
            // that it is currently trying to close: reply without a Delete payload".
            Busy::DeletingChild,
            [
                (RekeyChild, "later"),
                (DeleteChild, "empty"),
                (CreateChild, "made"),
                (RekeyIke, "later"),
                (DeleteIke, "empty"),
                (Liveness, "empty"),
            ],
        ),
        (
            // §2.25.2: "… to rekey the IKE SA, and it is currently creating, rekeying, or closing a Child SA".
            Busy::CreatingChild,
            [
                (RekeyChild, "made"),
                (DeleteChild, "deleted"),
                (CreateChild, "made"),
                (RekeyIke, "later"),
                (DeleteIke, "empty"),
                (Liveness, "empty"),
            ],
        ),
        (
            // "… to create or rekey a Child SA when it is currently rekeying the IKE SA: TEMPORARY_FAILURE"; "… to delete
            // a Child SA …: reply as usual"; "… to rekey the IKE SA that it is currently rekeying: reply as usual".
            Busy::RekeyingIke,
            [
                (RekeyChild, "later"),
                (DeleteChild, "deleted"),
                (CreateChild, "later"),
                (RekeyIke, "made"),
                (DeleteIke, "empty"),
                (Liveness, "empty"),
            ],
        ),
        (
            // "… that it is currently trying to close".
            Busy::DeletingIke,
            [
                (RekeyChild, "later"),
                (DeleteChild, "empty"),
                (CreateChild, "later"),
                (RekeyIke, "later"),
                (DeleteIke, "empty"),
                (Liveness, "empty"),
            ],
        ),
        (
            Busy::Liveness,
            [
                (RekeyChild, "made"),
                (DeleteChild, "deleted"),
                (CreateChild, "made"),
                (RekeyIke, "made"),
                (DeleteIke, "empty"),
                (Liveness, "empty"),
            ],
        ),
        (
            // The first child in the table is the old one, which its DELETE is on its way for.
            Busy::DeletingRekeyedChild,
            [
                (RekeyChild, "later"),
                (DeleteChild, "empty"),
                (CreateChild, "made"),
                (RekeyIke, "later"),
                (DeleteIke, "empty"),
                (Liveness, "empty"),
            ],
        ),
    ];
    let mut checked = 0;
    for (busy, row) in cases {
        for (ask, expected) in row {
            let mut scene = Scene::new();
            scene.be(busy);
            assert_eq!(scene.ask(ask), expected, "{ask:?} while {busy:?}");
            checked += 1;
        }
    }
    assert_eq!(checked, 48);
}

#[test]
fn a_temporary_failure_is_tried_again_soon_and_not_at_once() {
    for busy in [Busy::RekeyingChild, Busy::RekeyingIke, Busy::CreatingChild] {
        let mut scene = Scene::new();
        scene.be(busy);
        for _ in 0..5 {
            scene.answer(&[Payload::Notify(Notify::new(NotifyType::TEMPORARY_FAILURE))]);
            assert!(scene.pending.is_empty(), "{busy:?}: not at once");
            scene.wait(Duration::from_millis(299));
            assert!(scene.pending.is_empty(), "{busy:?}: after a pause");
            scene.wait(Duration::from_millis(1701));
            assert_eq!(scene.pending.len(), 1, "{busy:?}: but soon");
            let header = Header::parse(&scene.pending[0]).unwrap();
            assert_eq!(header.exchange, ExchangeType::CreateChildSa);
        }
    }
}

#[test]
fn a_child_that_the_peer_lost_is_removed_and_made_anew_without_a_pause() {
    let mut scene = Scene::new();
    let (old, spi) = (scene.ours(), scene.theirs());
    scene.be(Busy::RekeyingChild);
    let notify = Notify::for_child(NotifyType::CHILD_SA_NOT_FOUND, spi);
    let reaction = scene.answer(&[Payload::Notify(notify)]);
    assert!(reaction.others.iter().any(|output| output.starts_with("RemoveChild")), "{reaction:?}");
    let (header, payloads) = scene.puppet.open(&scene.pending[0]);
    assert_eq!(header.exchange, ExchangeType::CreateChildSa);
    assert!(!payloads.iter().any(|payload| matches!(payload, Payload::Notify(_))), "a new child, no rekey");
    let answer = scene.puppet.child_payloads(true);
    scene.answer(&swapped(answer));
    assert_ne!(scene.ours(), old);
}

#[test]
fn a_group_that_was_not_offered_fails_the_rekey_and_keeps_what_there_is() {
    for busy in [Busy::RekeyingChild, Busy::RekeyingIke] {
        let mut scene = Scene::new();
        scene.be(busy);
        let reaction = scene.answer(&other_group());
        assert!(scene.pending.is_empty(), "{busy:?}");
        assert!(reaction.events.iter().any(|event| matches!(event, Event::ChildFailed { rekey: true, .. })));
        assert_eq!(scene.endpoint.sas().next().unwrap().children().count(), 1);
        scene.wait(seconds(11));
        assert_eq!(scene.pending.len(), 1, "{busy:?}: tried again");
    }
}

#[test]
fn an_answer_that_is_not_to_what_was_offered_ends_the_ike_sa_by_a_delete() {
    let spoils: [fn(&mut Vec<Payload>); 4] = [
        |answer| answer.retain(|payload| !matches!(payload, Payload::TsInitiator(_))),
        |answer| answer.retain(|payload| !matches!(payload, Payload::Nonce(_))),
        |answer| {
            for payload in answer {
                if let Payload::TsResponder(selectors) = payload {
                    *selectors = vec![ipsec::TrafficSelector::any_v4()];
                }
            }
        },
        |answer| {
            for payload in answer {
                if let Payload::SecurityAssociation(proposals) = payload {
                    proposals[0].transforms[0].key_bits = Some(128);
                }
            }
        },
    ];
    for (number, spoil) in spoils.into_iter().enumerate() {
        let mut scene = Scene::new();
        scene.be(Busy::RekeyingChild);
        let mut answer = swapped(scene.puppet.child_payloads(true));
        spoil(&mut answer);
        scene.answer(&answer);
        let (_, payloads) = scene.puppet.open(&scene.pending[0]);
        assert_eq!(payloads, [Payload::Delete(Delete::Ike)], "number {number}");
        let reaction = scene.answer(&[]);
        let ended = |event: &Event| matches!(event, Event::IkeSaDown { reason: DownReason::Misbehaved(_), .. });
        assert!(reaction.events.iter().any(ended), "number {number}: {reaction:?}");
    }
}

#[test]
fn our_rekey_of_a_child_the_peer_deletes_meanwhile_comes_to_nothing() {
    let mut scene = Scene::new();
    scene.be(Busy::RekeyingChild);
    assert_eq!(scene.ask(Ask::DeleteChild), "deleted");
    let reaction = scene.answer(&[Payload::Notify(Notify::new(NotifyType::CHILD_SA_NOT_FOUND))]);
    assert!(reaction.events.is_empty(), "{reaction:?}");
    assert_eq!(scene.endpoint.sas().next().unwrap().children().count(), 0);
    assert_eq!(scene.endpoint.spis_in_use(), (1, 0));
}

#[test]
fn a_delete_of_the_ike_sa_during_our_rekey_of_it_forgets_the_rekey() {
    let mut scene = Scene::new();
    scene.be(Busy::RekeyingIke);
    assert_eq!(scene.ask(Ask::DeleteIke), "empty");
    assert_eq!(scene.endpoint.sas().count(), 0);
    scene.wait(minutes(2));
    assert_eq!(scene.endpoint.spis_in_use(), (0, 0));
}

#[test]
fn a_delete_of_the_old_ike_sa_after_the_peers_rekey_leaves_the_children_with_the_new_one() {
    // The peer did not see our rekey: it answers ours with nothing, and deletes the old SA (§2.25.2).
    let mut scene = Scene::new();
    scene.be(Busy::RekeyingIke);
    assert_eq!(scene.ask(Ask::RekeyIke), "made");
    assert_eq!(scene.ask(Ask::DeleteIke), "empty");
    let sas: Vec<_> = scene.endpoint.sas().collect();
    assert_eq!(sas.len(), 1);
    assert!(sas[0].is_established() && sas[0].children().count() == 1);
}

#[test]
fn a_refusal_of_our_ike_rekey_after_the_peers_own_leaves_the_children_with_the_peers() {
    let mut scene = Scene::new();
    scene.be(Busy::RekeyingIke);
    assert_eq!(scene.ask(Ask::RekeyIke), "made");
    scene.answer(&[Payload::Notify(Notify::new(NotifyType::TEMPORARY_FAILURE))]);
    let with_children: Vec<_> = scene.endpoint.sas().filter(|sa| sa.children().count() == 1).collect();
    assert_eq!(with_children.len(), 1);
    assert!(with_children[0].is_established());
}

#[test]
fn an_old_child_that_the_peer_deletes_before_it_answers_our_rekey_leaves_the_new_one() {
    // Some peers delete what was rekeyed although that is for the rekey's initiator to do (§2.8).
    for collision in [false, true] {
        let mut scene = Scene::new();
        let old = scene.ours();
        scene.be(Busy::RekeyingChild);
        if collision {
            assert_eq!(scene.ask(Ask::RekeyChild), "made");
        }
        let sa = scene.endpoint.sas().next().unwrap();
        let theirs: Vec<Spi> = sa.children().map(|child| child.spis.outbound).collect();
        assert_eq!(theirs.len(), 1 + usize::from(collision));
        let request = scene.puppet.request(ExchangeType::Informational, &[Payload::Delete(Delete::esp(theirs))]);
        scene.endpoint.handle_datagram(scene.puppet.path, &request, scene.now);
        scene.take();
        let answer = swapped(scene.puppet.child_payloads(true));
        scene.answer(&answer);
        assert_eq!(scene.endpoint.sas().next().unwrap().children().count(), 1, "collision: {collision}");
        assert_ne!(scene.ours(), old);
        scene.wait(minutes(2));
        assert!(scene.pending.is_empty(), "nothing is left to delete");
    }
}

/// An endpoint whose rekey of the IKE SA the puppet refused in favour of another group: the second attempt is pending.
fn second_attempt(seed: u64, collision: bool) -> Scene {
    let mut scene = Scene::accepting(proposal_with("x25519-modp2048"), seed);
    scene.be(Busy::RekeyingIke);
    if collision {
        assert_eq!(scene.ask(Ask::RekeyIke), "made");
    }
    let reaction = scene.answer(&other_group());
    assert!(reaction.events.is_empty(), "it is no failure: {reaction:?}");
    let (header, payloads) = scene.puppet.open(&scene.pending[0]);
    assert_eq!(header.exchange, ExchangeType::CreateChildSa);
    let group = |payload: &Payload| match payload {
        Payload::KeyExchange { group, .. } => Some(*group),
        _ => None,
    };
    assert_eq!(payloads.iter().find_map(group), Some(Group::Modp2048.number()));
    scene
}

#[test]
fn an_ike_rekey_takes_the_group_that_the_peer_asks_for() {
    let mut scene = second_attempt(2, false);
    let answer = rekey_ike_payloads(&mut scene.puppet.rng, Group::Modp2048);
    scene.answer(&answer);
    let successors: Vec<_> = scene.endpoint.sas().filter(|sa| sa.children().count() == 1).collect();
    assert_eq!(successors.len(), 1);
    assert_eq!(successors[0].suite().unwrap().group, Group::Modp2048);
}

#[test]
fn an_ike_collision_in_which_we_must_take_another_group_is_settled_by_the_nonces() {
    let mut wins = [0, 0];
    for seed in 0..64 {
        let mut scene = second_attempt(seed, true);
        let answer = rekey_ike_payloads(&mut scene.puppet.rng, Group::Modp2048);
        scene.answer(&answer);
        let with_child: Vec<_> = scene.endpoint.sas().filter(|sa| sa.children().count() == 1).collect();
        assert_eq!(with_child.len(), 1, "the child is with one of the three");
        let ours = with_child[0].suite().unwrap().group == Group::Modp2048;
        wins[usize::from(ours)] += 1;
    }
    assert!(wins.iter().all(|wins| *wins > 0), "{wins:?}");
}

#[test]
fn a_second_attempt_that_the_peer_refuses_after_its_own_rekey_comes_to_nothing() {
    let mut scene = second_attempt(2, true);
    scene.answer(&[Payload::Notify(Notify::new(NotifyType::TEMPORARY_FAILURE))]);
    assert_eq!(scene.ask(Ask::DeleteIke), "empty");
    let sas: Vec<_> = scene.endpoint.sas().collect();
    assert_eq!(sas.len(), 1);
    assert!(sas[0].is_established() && sas[0].children().count() == 1);
    scene.wait(minutes(2));
    assert_eq!(scene.endpoint.spis_in_use(), (1, 1));
}

#[test]
fn a_delete_of_the_ike_sa_during_the_second_attempt_forgets_the_rekey() {
    let mut scene = second_attempt(2, false);
    assert_eq!(scene.ask(Ask::DeleteIke), "empty");
    scene.wait(minutes(2));
    assert_eq!((scene.endpoint.sas().count(), scene.endpoint.spis_in_use()), (0, (0, 0)));
}
