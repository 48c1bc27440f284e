//! IKE_SA_INIT, the responder's side (RFC 7296 §1.2, §2.6, §2.7): stateless until there is something to agree on.
//!
//! Order: repeated request → cookie → a peer that fits → proposal → group → key exchange → a half-open SA.

use super::Endpoint;
use crate::config::Path;
use crate::config::{PeerConfig, Version};
use crate::event::{DownReason, Event, IgnoredReason, Output, Role, Transmit};
use crate::keys::derive_ike;
use crate::nat;
use crate::proposal::{SelectedIke, select_ike};
use crate::v2::child::lower_nonce;
use crate::v2::exchange::auth::HalfOpen;
use crate::v2::exchange::create_child::Nonces;
use crate::v2::message::traced;
use crate::v2::payloads::Payloads;
use crate::v2::select_peer::{Peers, by_address};
use crate::v2::{Features, IkeSa, Session, State};
use crate::wire::{
    Flags, Header, IkeSpi, Notify, NotifyType, Payload, PayloadType, Proposal, parse_payloads, plain_message,
};
use crypto::Group;
use std::sync::Arc;
use std::time::Instant;

/// What a responder needs of a request.
struct Request<'a> {
    header: &'a Header,
    message: &'a [u8],
    payloads: &'a Payloads,
    nonce: &'a [u8],
    offer: &'a [Proposal],
    /// Group and public value.
    share: (u16, &'a [u8]),
    path: Path,
}

impl Endpoint {
    pub(super) fn answer_init(&mut self, header: &Header, message: &[u8], path: Path, now: Instant) {
        if header.initiator_spi.is_zero() {
            return self.ignore(path, IgnoredReason::Malformed);
        }
        if let Some(spi) = self.initiators.get(&(path.remote, header.initiator_spi)).copied() {
            // Byte for byte the same gets the same answer; anything else with these SPIs is none of ours.
            let again = self.with_sa(spi, now, |sa, cx| sa.answer_again(message, path, cx));
            if let Some(Err(reason)) = again {
                self.ignore(path, reason);
            }
            return;
        }
        let payloads = parse_payloads(header.next_payload, message.get(Header::LEN..).unwrap_or_default());
        let Some(payloads) = payloads.ok().and_then(|payloads| Payloads::new(payloads).ok()) else {
            return self.ignore(path, IgnoredReason::Malformed);
        };
        // A message without these is none, and so short that a cookie would be a longer answer.
        let (Some(nonce), Some(offer), Some(share)) = (payloads.nonce(), payloads.sa(), payloads.ke()) else {
            return self.ignore(path, IgnoredReason::Malformed);
        };
        let request = Request { header, message, payloads: &payloads, nonce, offer, share, path };
        if !self.cookie_in_order(&request, now) {
            return;
        }
        self.negotiate(&request, now);
    }

    /// Demands a cookie while too many SAs are half open (RFC 7296 §2.6). Nothing is remembered of who has none.
    fn cookie_in_order(&mut self, request: &Request<'_>, now: Instant) -> bool {
        if !self.under_load() {
            return true;
        }
        self.load_changed();
        let (from, spi) = (request.path.remote, request.header.initiator_spi);
        let rng = self.rng.as_mut();
        // The cookie must be the first payload.
        let first = request.payloads.all().first();
        if let Some(Payload::Notify(notify)) = first
            && notify.ty == NotifyType::COOKIE
            && self.cookies.verify(&notify.data, request.nonce, from, spi, rng, now)
        {
            return true;
        }
        let cookie = self.cookies.issue(request.nonce, from, spi, rng, now);
        self.refuse(request, Notify::with_data(NotifyType::COOKIE, cookie));
        false
    }

    /// An error in clear, or a cookie. Never longer than the request, whose sender may have made up its address: no honest
    /// one is so short.
    fn refuse(&mut self, request: &Request<'_>, notify: Notify) {
        let header = answer_header(request.header, IkeSpi::ZERO);
        let message = plain_message(header, &[Payload::Notify(notify)]);
        if message.len() > request.message.len() {
            return self.ignore(request.path, IgnoredReason::Malformed);
        }
        self.outputs.push_back(Output::Transmit(Transmit { path: request.path, message }));
    }

    /// Tells of a request and what it is answered with, where it is known whose it would have been.
    fn trace(&mut self, request: &Request<'_>, peer: &PeerConfig, answer: &[Payload]) {
        let (header, response) = (request.header, answer_header(request.header, IkeSpi::ZERO));
        for (header, sent, payloads) in [(header, false, request.payloads.all()), (&response, true, answer)] {
            let traced = traced(peer.name.clone(), header, request.path, sent, payloads);
            self.outputs.push_back(Output::Trace(Box::new(traced)));
        }
    }

    fn reject(&mut self, request: &Request<'_>, peer: Option<&PeerConfig>, reason: DownReason) {
        if let Some(peer) = peer {
            self.trace(request, peer, &[Payload::Notify(Notify::new(NotifyType::NO_PROPOSAL_CHOSEN))]);
        }
        let peer = peer.map(|peer| peer.name.clone());
        self.outputs.push_back(Output::Event(Event::Rejected { path: request.path, peer, reason }));
    }

    fn negotiate(&mut self, request: &Request<'_>, now: Instant) {
        if self.half_open.len() >= self.config.half_open_limit {
            return self.ignore(request.path, IgnoredReason::HalfOpenLimit);
        }
        let (offer, (number, public)) = (request.offer, request.share);
        let peers = Peers { all: &self.peers, disabled: &self.disabled };
        let (local, remote) = (request.path.local.ip(), request.path.remote.ip());
        let peers: Vec<Arc<PeerConfig>> = by_address(peers, local, remote).into_iter().cloned().collect();
        let Some(nearest) = peers.first().cloned() else {
            self.ignore(request.path, IgnoredReason::NoPeer);
            return self.refuse(request, Notify::new(NotifyType::NO_PROPOSAL_CHOSEN));
        };
        let peers: Vec<Arc<PeerConfig>> = peers.into_iter().filter(|peer| peer.versions.allow(Version::V2)).collect();
        if peers.is_empty() {
            let reason = DownReason::VersionMismatch { ours: nearest.versions, theirs: Version::V2 };
            self.reject(request, Some(&nearest), reason);
            return self.refuse(request, Notify::new(NotifyType::NO_PROPOSAL_CHOSEN));
        }
        let preferred = Group::from_number(number);
        let mut diff = None;
        let mut selected = None;
        for peer in peers {
            match select_ike(&peer.proposals, offer, preferred) {
                Ok(choice) => {
                    selected = Some((peer, choice));
                    break;
                }
                Err(difference) => diff = diff.or(Some(difference)),
            }
        }
        let Some((peer, selected)) = selected else {
            if let Some(diff) = diff {
                self.reject(request, Some(&nearest), DownReason::NoProposalChosen(Box::new(diff)));
            }
            return self.refuse(request, Notify::new(NotifyType::NO_PROPOSAL_CHOSEN));
        };
        let group = selected.suite.group;
        if number != group.number() {
            let wanted = group.number().to_be_bytes().to_vec();
            let notify = Notify::with_data(NotifyType::INVALID_KE_PAYLOAD, wanted);
            self.trace(request, &peer, &[Payload::Notify(notify.clone())]);
            return self.refuse(request, notify);
        }
        self.agree(request, peer, selected, public, now);
    }

    fn agree(
        &mut self,
        request: &Request<'_>,
        peer: Arc<PeerConfig>,
        selected: SelectedIke,
        public: &[u8],
        now: Instant,
    ) {
        let remote_spi = request.header.initiator_spi;
        let local_spi = self.spis.allocate_ike(self.rng.as_mut());
        let mut nonce = vec![0; 32];
        self.rng.fill(&mut nonce);
        let made = self.provider.key_exchange(selected.suite.group, self.rng.as_mut()).and_then(|share| {
            let own_public = share.public().to_vec();
            let shared = share.agree(public)?;
            let keys = derive_ike(&selected.suite, &shared, request.nonce, &nonce, remote_spi, local_spi)?;
            Ok((own_public, Session::new(selected.suite, keys, Role::Responder, self.rng.as_mut())?))
        });
        let (own_public, session) = match made {
            Ok(made) => made,
            Err(error) => {
                self.spis.release_ike(local_spi);
                return self.reject(request, Some(&peer), DownReason::Crypto(error.to_string()));
            }
        };
        let mut answer = vec![
            Payload::SecurityAssociation(vec![selected.wire]),
            Payload::KeyExchange { group: selected.suite.group.number(), data: own_public },
            Payload::Nonce(nonce.clone()),
        ];
        let policy = peer.encapsulation;
        let found = nat::detect(remote_spi, IkeSpi::ZERO, request.path, policy, request.payloads.all());
        if found.supported {
            answer.extend(nat::payloads(remote_spi, local_spi, request.path, policy, self.rng.as_mut()));
        }
        let fragmentation =
            peer.fragment_size.is_some() && request.payloads.notify(NotifyType::FRAGMENTATION_SUPPORTED).is_some();
        if fragmentation {
            answer.push(Payload::Notify(Notify::new(NotifyType::FRAGMENTATION_SUPPORTED)));
        }
        answer.push(Payload::Notify(Notify::new(NotifyType::CHILDLESS_IKEV2_SUPPORTED)));
        if !self.config.vendor_id.is_empty() {
            answer.push(Payload::VendorId(self.config.vendor_id.clone()));
        }
        self.trace(request, &peer, &answer);
        let response = plain_message(answer_header(request.header, local_spi), &answer);
        let half_open = HalfOpen {
            init_request: request.message.to_vec(),
            init_response: response.clone(),
            nonces: Nonces { initiator: request.nonce.to_vec(), responder: nonce.clone() },
        };
        let state = State::HalfOpen(Box::new(half_open));
        let mut sa = IkeSa::new(local_spi, Role::Responder, peer, request.path, state, now);
        sa.remote_spi = remote_spi;
        sa.session = Some(session);
        sa.nat = found;
        sa.features = Features { fragmentation, childless: true };
        sa.nonce = lower_nonce(request.nonce, &nonce);
        sa.answered_init(request.message, response.clone());
        self.sas.insert(local_spi, sa);
        let key = (request.path.remote, remote_spi);
        self.half_open.insert(local_spi);
        self.initiators.insert(key, local_spi);
        self.answered.insert(local_spi, key);
        self.outputs.push_back(Output::Transmit(Transmit { path: request.path, message: response }));
        self.after(local_spi, now);
    }
}

fn answer_header(request: &Header, responder_spi: IkeSpi) -> Header {
    Header {
        responder_spi,
        next_payload: PayloadType::None,
        major: 2,
        minor: 0,
        flags: Flags { initiator: false, version: false, response: true },
        length: 0,
        ..*request
    }
}
