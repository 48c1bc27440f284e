//! IKE_SA_INIT, the initiator's side (RFC 7296 §1.2, §2.6, §2.7). The responder's side needs no SA until it answers: it
//! is in `endpoint::responder`.
//!
//! ```text
//!  HDR, [N(COOKIE),] SAi1, KEi, Ni, N(NAT…)  -->
//!                                            <--  HDR, SAr1, KEr, Nr, N(NAT…)
//!                                            <--  HDR, N(COOKIE) | N(INVALID_KE_PAYLOAD) | N(error)
//! ```
//! Nothing here is authenticated. An error notify is therefore a hint: the request goes on for a while, in case the real
//! peer answers too. COOKIE and INVALID_KE_PAYLOAD restart the exchange, in either order, five times at most.

use super::Exchange;
use crate::config::{ChildName, EncapsulationPolicy, Path};
use crate::context::Context;
use crate::event::{DownReason, IgnoredReason, Role};
use crate::keys::derive_ike;
use crate::nat;
use crate::proposal::{accept_ike, ike_to_wire};
use crate::v2::child::lower_nonce;
use crate::v2::payloads::Payloads;
use crate::v2::{Features, IkeSa, Session, State};
use crate::wire::{Header, IkeSpi, Notify, NotifyType, Payload, parse_payloads};
use crypto::{Group, KeyExchange};

/// Restarts by COOKIE and INVALID_KE_PAYLOAD in one negotiation.
const RESTARTS: u8 = 5;

/// What IKE_SA_INIT was sent with.
#[derive(Debug)]
pub(crate) struct InitRequest {
    pub(crate) nonce: Vec<u8>,
    pub(crate) share: Box<dyn KeyExchange>,
    pub(crate) cookie: Option<Vec<u8>>,
    pub(crate) restarts: u8,
    /// What an unauthenticated error said.
    pub(crate) hint: Option<DownReason>,
    /// The message itself, which AUTH signs.
    pub(crate) message: Vec<u8>,
    /// The child that IKE_AUTH is to bring along.
    pub(crate) child: Option<ChildName>,
}

impl IkeSa {
    /// Sends the first message, with the key share of our most preferred group.
    pub(crate) fn connect(&mut self, child: Option<ChildName>, cx: &mut Context<'_>) {
        let group = self.peer.proposals.iter().find_map(|proposal| proposal.groups.first().copied());
        let Some(group) = group else {
            return self.close(DownReason::Misbehaved("no key exchange group is configured"), cx);
        };
        let nonce = cx.nonce();
        self.offer_group(group, nonce, None, 0, child, cx);
    }

    fn offer_group(
        &mut self,
        group: Group,
        nonce: Vec<u8>,
        cookie: Option<Vec<u8>>,
        restarts: u8,
        child: Option<ChildName>,
        cx: &mut Context<'_>,
    ) {
        match cx.provider.key_exchange(group, cx.rng) {
            Ok(share) => {
                let request = InitRequest { nonce, share, cookie, restarts, hint: None, message: Vec::new(), child };
                self.send_init(request, cx);
            }
            Err(error) => self.close(DownReason::Crypto(error.to_string()), cx),
        }
    }

    fn send_init(&mut self, mut request: InitRequest, cx: &mut Context<'_>) {
        let mut payloads = Vec::new();
        if let Some(cookie) = &request.cookie {
            payloads.push(Payload::Notify(Notify::with_data(NotifyType::COOKIE, cookie.clone())));
        }
        payloads.push(Payload::SecurityAssociation(ike_to_wire(&self.peer.proposals, None)));
        payloads.push(Payload::KeyExchange {
            group: request.share.group().number(),
            data: request.share.public().to_vec(),
        });
        payloads.push(Payload::Nonce(request.nonce.clone()));
        payloads.extend(nat::payloads(self.local_spi, IkeSpi::ZERO, self.path, self.peer.encapsulation, cx.rng));
        if self.peer.fragment_size.is_some() {
            payloads.push(Payload::Notify(Notify::new(NotifyType::FRAGMENTATION_SUPPORTED)));
        }
        if !cx.config.vendor_id.is_empty() {
            payloads.push(Payload::VendorId(cx.config.vendor_id.clone()));
        }
        request.message = Vec::new();
        let message = self.request_init(&payloads, Exchange::Init(Box::new(request)), cx);
        if let Some(outstanding) = &mut self.window.outstanding
            && let Exchange::Init(request) = &mut outstanding.exchange
        {
            request.message = message;
        }
    }

    /// Handles a message that claims to answer IKE_SA_INIT.
    pub(crate) fn handle_init_response(
        &mut self,
        header: &Header,
        message: &[u8],
        path: Path,
        cx: &mut Context<'_>,
    ) -> Result<(), IgnoredReason> {
        if !matches!(self.state, State::Connecting) || header.message_id != 0 {
            return Err(IgnoredReason::Window);
        }
        let body = message.get(Header::LEN..).ok_or(IgnoredReason::Malformed)?;
        let payloads = parse_payloads(header.next_payload, body).map_err(|_| IgnoredReason::Malformed)?;
        self.trace(header, path, false, &payloads, cx);
        let payloads = Payloads::new(payloads).map_err(|_| IgnoredReason::Malformed)?;
        if let (Some(cookie), None) = (payloads.notify(NotifyType::COOKIE), payloads.sa()) {
            return self.restart_with_cookie(cookie.data.clone(), cx);
        }
        if let Some(notify) = payloads.notify(NotifyType::INVALID_KE_PAYLOAD) {
            return self.restart_with_group(&notify.data.clone(), cx);
        }
        if let Some(error) = payloads.error() {
            let offered = (error.ty == NotifyType::NO_PROPOSAL_CHOSEN).then(|| words(&self.peer.proposals));
            self.hint(DownReason::Refused { notify: error.ty, exchange: "IKE_SA_INIT", offered }, cx);
            return Ok(());
        }
        if header.responder_spi.is_zero() {
            return Err(IgnoredReason::Malformed);
        }
        self.accept_init(header.responder_spi, message, &payloads, path, cx)
    }

    fn accept_init(
        &mut self,
        remote_spi: IkeSpi,
        message: &[u8],
        payloads: &Payloads,
        path: Path,
        cx: &mut Context<'_>,
    ) -> Result<(), IgnoredReason> {
        let (Some(answer), Some((group, public)), Some(nonce)) = (payloads.sa(), payloads.ke(), payloads.nonce())
        else {
            return Err(IgnoredReason::Malformed);
        };
        let (suite, _) = match accept_ike(&self.peer.proposals, answer) {
            Ok(accepted) => accepted,
            Err(diff) => {
                self.hint(DownReason::NoProposalChosen(Box::new(diff)), cx);
                return Ok(());
            }
        };
        let Some(Exchange::Init(sent)) = self.window.outstanding.as_ref().map(|outstanding| &outstanding.exchange)
        else {
            return Err(IgnoredReason::Window);
        };
        if suite.group != sent.share.group() || group != suite.group.number() {
            return Err(IgnoredReason::Malformed);
        }
        let Some(outstanding) = self.window.outstanding.take() else { return Err(IgnoredReason::Window) };
        let Exchange::Init(sent) = outstanding.exchange else { return Err(IgnoredReason::Window) };
        self.window.next_request = 1;
        self.remote_spi = remote_spi;
        let policy = self.peer.encapsulation;
        self.nat = nat::detect(self.local_spi, remote_spi, path, policy, payloads.all());
        self.features = Features {
            fragmentation: self.peer.fragment_size.is_some()
                && payloads.notify(NotifyType::FRAGMENTATION_SUPPORTED).is_some(),
            childless: payloads.notify(NotifyType::CHILDLESS_IKEV2_SUPPORTED).is_some(),
        };
        let session = sent.share.agree(public).and_then(|shared| {
            let keys = derive_ike(&suite, &shared, &sent.nonce, nonce, self.local_spi, remote_spi)?;
            Session::new(suite, keys, Role::Initiator, cx.rng)
        });
        match session {
            Ok(session) => self.session = Some(session),
            Err(error) => {
                self.close(DownReason::Crypto(error.to_string()), cx);
                return Ok(());
            }
        }
        self.nonce = lower_nonce(&sent.nonce, nonce);
        self.float(cx);
        self.state = State::Authenticating;
        self.start_auth(sent.message, message.to_vec(), sent.nonce, nonce.to_vec(), sent.child, cx);
        Ok(())
    }

    /// Moves to the NAT-T ports once a NAT was seen (RFC 7296 §2.23). A peer that is addressed on another port than
    /// 500 is there already.
    fn float(&mut self, cx: &Context<'_>) {
        if !self.nat.found() && self.peer.encapsulation != EncapsulationPolicy::Force {
            return;
        }
        if self.path.local.port() == cx.config.ike_port {
            self.path.local.set_port(cx.config.nat_port);
            if self.path.remote.port() == 500 {
                self.path.remote.set_port(4500);
            }
        }
    }

    /// RFC 7296 §2.6: the same request, with the cookie first; SPI and nonce stay.
    fn restart_with_cookie(&mut self, cookie: Vec<u8>, cx: &mut Context<'_>) -> Result<(), IgnoredReason> {
        if cookie.is_empty() || cookie.len() > 64 {
            return Err(IgnoredReason::Malformed);
        }
        let mut request = self.take_init(|sent| sent.cookie.as_ref() != Some(&cookie))?;
        request.cookie = Some(cookie);
        request.restarts += 1;
        self.send_init(*request, cx);
        Ok(())
    }

    /// RFC 7296 §1.2, §2.6.1: the same proposals with a key share of the group the peer wants, if we offered it. A cookie
    /// stays; the peer may ask for another one, since it may bind the message.
    fn restart_with_group(&mut self, data: &[u8], cx: &mut Context<'_>) -> Result<(), IgnoredReason> {
        let number = <[u8; 2]>::try_from(data).map(u16::from_be_bytes).map_err(|_| IgnoredReason::Malformed)?;
        let offered = |group: &Group| self.peer.proposals.iter().any(|proposal| proposal.groups.contains(group));
        let Some(group) = Group::from_number(number).filter(offered) else {
            let offered = Some(words(&self.peer.proposals));
            let notify = NotifyType::INVALID_KE_PAYLOAD;
            self.hint(DownReason::Refused { notify, exchange: "IKE_SA_INIT", offered }, cx);
            return Ok(());
        };
        let request = self.take_init(|sent| sent.share.group() != group)?;
        self.offer_group(group, request.nonce, request.cookie, request.restarts + 1, request.child, cx);
        Ok(())
    }

    /// Takes the outstanding request in order to send another one, if it is worth it and not too often.
    fn take_init(&mut self, worth: impl Fn(&InitRequest) -> bool) -> Result<Box<InitRequest>, IgnoredReason> {
        let Some(outstanding) = self.window.outstanding.take() else { return Err(IgnoredReason::Window) };
        match outstanding.exchange {
            Exchange::Init(sent) if sent.restarts < RESTARTS && worth(&sent) => Ok(sent),
            exchange => {
                self.window.outstanding = Some(super::super::window::Outstanding { exchange, ..outstanding });
                Err(IgnoredReason::Unexpected)
            }
        }
    }

    /// Remembers what an unauthenticated error says, and waits only a little longer for something better.
    pub(crate) fn hint(&mut self, reason: DownReason, cx: &Context<'_>) {
        let patience = self.peer.retransmit.initial * 2;
        if let Some(outstanding) = &mut self.window.outstanding
            && let Exchange::Init(init) = &mut outstanding.exchange
        {
            init.hint = Some(reason);
            outstanding.schedule.deadline = outstanding.schedule.deadline.min(cx.now + patience);
        }
    }
}

/// Proposals as an operator writes them.
pub(crate) fn words<T: std::fmt::Display>(proposals: &[T]) -> String {
    proposals.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
