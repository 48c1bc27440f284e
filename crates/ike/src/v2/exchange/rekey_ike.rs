//! IKE SA rekey, both roles (RFC 7296 §1.3.2, §2.18, collisions §2.8.2, refusals §2.25.2).
//!
//! ```text
//!  HDR, SK {SA, Ni, KEi} -->
//!                        <--  HDR, SK {SA, Nr, KEr}
//!  HDR, SK {D(IKE)} -->                                 over the old SA
//!                        <--  HDR, SK {}
//! ```
//! The new SA inherits the children. The responder hands them over when it answers, the initiator when it has the
//! answer. When both ends rekey at once, the old SA keeps them until its own exchange is answered; the SA made with the
//! lowest of the four nonces is deleted by its initiator, and the winner's initiator deletes the old one. An end that
//! does not know the outcome yet and is spoken to over the peer's new SA learns it from that (`IkeSa::limbo`).

use super::{Exchange, Reply};
use crate::context::{Action, Context};
use crate::event::{DownReason, Role};
use crate::keys::derive_ike_rekey;
use crate::proposal::{IkeSuite, accept_ike, ike_to_wire, select_ike};
use crate::v2::child::lower_nonce;
use crate::v2::payloads::Payloads;
use crate::v2::{IkeSa, RekeyCollision, Session, State, Task};
use crate::wire::{ExchangeType, IkeSpi, Notify, NotifyType, Payload, Proposal};
use crypto::{CryptoError, Group, KeyExchange, SecretBytes};
use std::time::Duration;

/// Wait before a refused rekey is tried again.
const REFUSED_RETRY: Duration = Duration::from_secs(10);
/// A replaced SA that the peer should delete, and does not, is deleted by us after this long.
const OVERDUE_DELETE: Duration = Duration::from_secs(120);
/// Attempts with another group after INVALID_KE_PAYLOAD.
const GROUP_ATTEMPTS: u8 = 3;

/// A rekey of ours under way.
#[derive(Debug)]
pub(crate) struct IkeOffer {
    pub(crate) spi: IkeSpi,
    nonce: Vec<u8>,
    share: Box<dyn KeyExchange>,
    attempts: u8,
}

/// What both ends need to make the new SA.
struct Agreement<'a> {
    suite: IkeSuite,
    role: Role,
    local_spi: IkeSpi,
    remote_spi: IkeSpi,
    shared: &'a SecretBytes,
    nonce_i: &'a [u8],
    nonce_r: &'a [u8],
}

impl IkeSa {
    /// Whether a rekey of this IKE SA is ours and under way.
    pub(crate) fn is_rekeying(&self) -> bool {
        matches!(self.window.outstanding.as_ref().map(|outstanding| &outstanding.exchange), Some(Exchange::RekeyIke(_)))
    }

    /// Asks for an IKE SA that takes over from this one.
    pub(crate) fn start_rekey_ike(&mut self, cx: &mut Context<'_>) {
        let Some(group) = self.session.as_ref().map(|session| session.suite.group) else { return };
        self.send_rekey_ike(group, 0, cx);
    }

    fn send_rekey_ike(&mut self, group: Group, attempts: u8, cx: &mut Context<'_>) {
        let share = match cx.provider.key_exchange(group, cx.rng) {
            Ok(share) => share,
            Err(error) => return self.child_failed(None, DownReason::Crypto(error.to_string()), true, cx),
        };
        let (spi, nonce) = (cx.spis.allocate_ike(cx.rng), cx.nonce());
        let payloads = [
            Payload::SecurityAssociation(ike_to_wire(&self.peer.proposals, Some(spi))),
            Payload::Nonce(nonce.clone()),
            Payload::KeyExchange { group: group.number(), data: share.public().to_vec() },
        ];
        let offer = IkeOffer { spi, nonce, share, attempts };
        self.request(ExchangeType::CreateChildSa, &payloads, Exchange::RekeyIke(Box::new(offer)), cx);
    }

    /// The peer's answer to our rekey.
    pub(crate) fn finish_rekey_ike(&mut self, offer: IkeOffer, payloads: &Payloads, cx: &mut Context<'_>) {
        if let Some(group) = self.other_ike_group(&offer, payloads) {
            cx.spis.release_ike(offer.spi);
            return self.send_rekey_ike(group, offer.attempts + 1, cx);
        }
        let (Some(answer), Some((number, data)), Some(nonce)) = (payloads.sa(), payloads.ke(), payloads.nonce()) else {
            cx.spis.release_ike(offer.spi);
            return match payloads.error() {
                Some(error) => self.ike_rekey_refused(error.ty, cx),
                None => self.break_off("an IKE rekey answered without SA, KE or nonce", cx),
            };
        };
        let (spi, mine) = (offer.spi, offer.nonce);
        let made = match accept_ike(&self.peer.proposals, answer) {
            Ok((suite, Some(remote_spi)))
                if !remote_spi.is_zero() && suite.group == offer.share.group() && number == suite.group.number() =>
            {
                offer.share.agree(data).and_then(|shared| {
                    self.successor(
                        &Agreement {
                            suite,
                            role: Role::Initiator,
                            local_spi: spi,
                            remote_spi,
                            shared: &shared,
                            nonce_i: &mine,
                            nonce_r: nonce,
                        },
                        cx,
                    )
                })
            }
            Ok(_) | Err(_) => {
                cx.spis.release_ike(spi);
                return self.break_off("an IKE rekey's answer is not what was offered", cx);
            }
        };
        match made {
            Ok(new) => self.settle_ike_rekey(new, cx),
            Err(_) => {
                cx.spis.release_ike(spi);
                self.break_off("an IKE rekey with a key share that is no member of its group", cx);
            }
        }
    }

    fn break_off(&mut self, rule: &'static str, cx: &mut Context<'_>) {
        self.enqueue(Task::DeleteIke(DownReason::Misbehaved(rule)), cx.now);
    }

    fn other_ike_group(&self, offer: &IkeOffer, payloads: &Payloads) -> Option<Group> {
        let notify = payloads.notify(NotifyType::INVALID_KE_PAYLOAD)?;
        let number = u16::from_be_bytes(notify.data.as_slice().try_into().ok()?);
        let group = Group::from_number(number)?;
        let offered = self.peer.proposals.iter().any(|proposal| proposal.groups.contains(&group));
        (offered && group != offer.share.group() && offer.attempts < GROUP_ATTEMPTS).then_some(group)
    }

    /// Our rekey succeeded: as winner or without a collision the new SA inherits, else the peer's does.
    fn settle_ike_rekey(&mut self, mut new: IkeSa, cx: &mut Context<'_>) {
        let collision = self.rekey_collision.take();
        let wins = collision.as_ref().is_none_or(|collision| new.nonce > collision.nonce);
        self.state = State::Replaced;
        self.rekey_at = None;
        self.expires_at = Some(cx.now + OVERDUE_DELETE);
        let heir = match (&collision, wins) {
            (Some(collision), false) => collision.theirs,
            (Some(_), true) | (None, _) => new.local_spi,
        };
        if wins {
            if let Some(collision) = collision {
                cx.actions.push_back(Action::MakeRedundant { loser: collision.theirs, winner: heir });
            }
        } else {
            new.state = State::Replaced;
            new.heir = Some(heir);
            new.rekey_at = None;
            new.enqueue(Task::DeleteIke(DownReason::Redundant), cx.now);
        }
        cx.actions.push_back(Action::Add(Box::new(new)));
        cx.actions.push_back(Action::Inherit { from: self.local_spi, to: heir, delete: wins });
    }

    fn ike_rekey_refused(&mut self, notify: NotifyType, cx: &mut Context<'_>) {
        if let Some(collision) = self.rekey_collision.take() {
            // The peer's own rekey stands.
            self.state = State::Replaced;
            self.rekey_at = None;
            self.expires_at = Some(cx.now + OVERDUE_DELETE);
            return cx.actions.push_back(Action::Inherit { from: self.local_spi, to: collision.theirs, delete: false });
        }
        if notify == NotifyType::TEMPORARY_FAILURE {
            return self.try_again_later(Task::RekeyIke, cx);
        }
        self.enqueue(Task::RekeyIke, cx.now + REFUSED_RETRY);
        let reason = DownReason::Refused { notify, exchange: "CREATE_CHILD_SA (IKE rekey)", offered: None };
        self.child_failed(None, reason, true, cx);
    }

    /// An IKE rekey from the peer.
    pub(crate) fn answer_rekey_ike(&mut self, payloads: &Payloads, cx: &mut Context<'_>) -> Reply {
        let busy_with_child = matches!(
            self.window.outstanding.as_ref().map(|outstanding| &outstanding.exchange),
            Some(Exchange::CreateChild(_) | Exchange::RekeyChild(_) | Exchange::DeleteChildren(_))
        );
        if busy_with_child || self.rekey_collision.is_some() || self.limbo.is_some() {
            return Reply::notify(NotifyType::TEMPORARY_FAILURE);
        }
        let (Some(offer), Some((number, data)), Some(nonce)) = (payloads.sa(), payloads.ke(), payloads.nonce()) else {
            return Reply::notify(NotifyType::INVALID_SYNTAX);
        };
        let selected = match select_ike(&self.peer.proposals, offer, Group::from_number(number)) {
            Ok(selected) => selected,
            Err(diff) => {
                self.child_failed(None, DownReason::NoProposalChosen(Box::new(diff)), true, cx);
                return Reply::notify(NotifyType::NO_PROPOSAL_CHOSEN);
            }
        };
        let Some(remote_spi) = selected.spi.filter(|spi| !spi.is_zero()) else {
            return Reply::notify(NotifyType::INVALID_SYNTAX);
        };
        let group = selected.suite.group;
        if number != group.number() {
            let wanted = group.number().to_be_bytes().to_vec();
            return Reply::only(Notify::with_data(NotifyType::INVALID_KE_PAYLOAD, wanted));
        }
        let (local_spi, own_nonce) = (cx.spis.allocate_ike(cx.rng), cx.nonce());
        let made = cx.provider.key_exchange(group, cx.rng).and_then(|share| {
            let public = share.public().to_vec();
            let shared = share.agree(data)?;
            let agreement = Agreement {
                suite: selected.suite,
                role: Role::Responder,
                local_spi,
                remote_spi,
                shared: &shared,
                nonce_i: nonce,
                nonce_r: &own_nonce,
            };
            Ok((self.successor(&agreement, cx)?, public))
        });
        let Ok((new, public)) = made else {
            cx.spis.release_ike(local_spi);
            return Reply::notify(NotifyType::INVALID_SYNTAX);
        };
        self.adopt_theirs(new, cx);
        let proposal = Proposal { spi: local_spi.0.to_vec(), ..selected.wire };
        Reply::with(vec![
            Payload::SecurityAssociation(vec![proposal]),
            Payload::Nonce(own_nonce),
            Payload::KeyExchange { group: number, data: public },
        ])
    }

    /// The peer's rekey made an SA: it inherits at once, or after ours under way is settled.
    fn adopt_theirs(&mut self, mut new: IkeSa, cx: &mut Context<'_>) {
        let theirs = new.local_spi;
        if self.is_rekeying() {
            new.limbo = Some(self.local_spi);
            self.rekey_collision = Some(RekeyCollision { theirs, nonce: new.nonce.clone() });
            return cx.actions.push_back(Action::Add(Box::new(new)));
        }
        self.state = State::Replaced;
        self.rekey_at = None;
        self.expires_at = Some(cx.now + OVERDUE_DELETE);
        cx.actions.push_back(Action::Add(Box::new(new)));
        cx.actions.push_back(Action::Inherit { from: self.local_spi, to: theirs, delete: false });
    }

    /// The SA that a rekey of this one makes (RFC 7296 §2.18): new keys from the old SK_d, message IDs from 0, everything
    /// else as here.
    fn successor(&self, agreed: &Agreement<'_>, cx: &mut Context<'_>) -> Result<IkeSa, CryptoError> {
        let old = self.session.as_ref().ok_or(CryptoError::AuthenticationFailed)?;
        let (spi_i, spi_r) = match agreed.role {
            Role::Initiator => (agreed.local_spi, agreed.remote_spi),
            Role::Responder => (agreed.remote_spi, agreed.local_spi),
        };
        let keys = derive_ike_rekey(
            old.suite.prf,
            &old.derive,
            &agreed.suite,
            agreed.shared,
            agreed.nonce_i,
            agreed.nonce_r,
            spi_i,
            spi_r,
        )?;
        let session = Session::new(agreed.suite, keys, agreed.role, cx.rng)?;
        let peer = std::sync::Arc::clone(&self.peer);
        let mut new = IkeSa::new(agreed.local_spi, agreed.role, peer, self.path, State::Established, cx.now);
        new.remote_spi = agreed.remote_spi;
        new.session = Some(session);
        new.nat = self.nat;
        new.features = self.features;
        new.remote_id = self.remote_id.clone();
        new.nonce = lower_nonce(agreed.nonce_i, agreed.nonce_r);
        new.mark_established(cx);
        Ok(new)
    }
}
