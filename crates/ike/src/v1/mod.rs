//! IKEv1 (RFC 2407, 2408, 2409) with pre-shared keys: one ISAKMP SA, from the first message to the last, and the IPsec SAs
//! of a peer. A tree of its own: it shares nouns with IKEv2 (identities, proposals, child SAs), no exchange.
//!
//! ```text
//!              main mode 1        3            5
//!  initiator   SaOffered ──► KeOffered ──► IdOffered ─────► Established ──► Replaced ──► Closed
//!  responder   SaChosen ───► KeAnswered ──────────────────►     │ quick modes, DPD,
//!              AggressiveOffered / AggressiveAnswered ────►     │ informationals
//! ```
//! Invariants: `Established` is reached only in `phase1`, after the peer's HASH was verified. Nothing that does not decrypt
//! to a message with a right HASH changes anything here, initialisation vectors included. IPsec SAs belong to the peer
//! (`phase2`), not to the ISAKMP SA that made them: they may outlive it (RFC 2408 §3.15).

pub(crate) mod cipher;
pub(crate) mod close;
pub(crate) mod dpd;
pub(crate) mod farewell;
pub(crate) mod fragment;
pub(crate) mod informational;
pub mod keys;
pub(crate) mod message;
pub(crate) mod message_ids;
pub(crate) mod nat;
pub(crate) mod phase1;
pub(crate) mod phase2;
pub mod proposal;
pub(crate) mod quick_mode;
pub(crate) mod timers;
pub mod vendor;
pub mod wire;

use crate::config::{Path, PeerConfig};
use crate::event::Role;
use crate::id::Id;
use crate::nat::Nat;
use crate::proposal::IkeSuite;
use crate::retransmit::Schedule;
use crate::trace::Traced;
use crate::wire::IkeSpi;
use cipher::{Iv, Phase1Cipher};
use crypto::{CryptoError, SecretBytes};
use keys::Phase1Keys;
use phase1::{Exchanged, Keying, Offered, SaChoice};
use quick_mode::Quick;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;
use vendor::Features;
use wire::SaPayload;

/// Quick modes of the peer that one ISAKMP SA carries in its life: their message IDs are remembered, so that none can be
/// played again. A rekey of phase 1 starts anew; a thousand children rekeyed hourly come to 8,000 in 8 hours.
pub(crate) const MAX_SEEN: usize = 16_384;

/// Where an ISAKMP SA stands.
#[derive(Debug)]
pub(crate) enum State {
    /// Initiator: message 1 of main mode sent.
    SaOffered(Offered),
    /// Responder: message 2 sent. Nothing was computed yet.
    SaChosen(SaChoice),
    /// Initiator: message 3 sent.
    KeOffered(Box<Keying<SaChoice>>),
    /// Responder: message 4 sent.
    KeAnswered(Box<Exchanged>),
    /// Initiator: message 5 sent.
    IdOffered(Box<Exchanged>),
    /// Initiator: message 1 of aggressive mode sent.
    AggressiveOffered(Box<Keying<SaPayload>>),
    /// Responder: message 2 of aggressive mode sent.
    AggressiveAnswered(Box<Exchanged>),
    /// Both ends proved that they know the key.
    Established,
    /// A newer ISAKMP SA took over. Exchanges under way end here.
    Replaced,
    /// Over.
    Closed,
}

/// Keys and cipher, from the end of the Diffie-Hellman exchange on.
pub(crate) struct Session {
    pub(crate) suite: IkeSuite,
    pub(crate) keys: Phase1Keys,
    pub(crate) cipher: Phase1Cipher,
    /// The chain of phase 1; once that is over, where every other exchange starts.
    pub(crate) iv: Iv,
}

impl Session {
    /// The keys that a pre-shared key makes of what was exchanged.
    pub(crate) fn new(
        exchanged: &Exchanged,
        psk: &SecretBytes,
        cookies: (IkeSpi, IkeSpi),
    ) -> Result<Session, CryptoError> {
        let suite = exchanged.choice.suite;
        let skeyid = keys::skeyid_psk(suite.prf, psk, &exchanged.ni, &exchanged.nr);
        let keys = keys::derive_phase1(suite.prf, &skeyid, &exchanged.shared, cookies.0, cookies.1);
        let cipher = Phase1Cipher::new(suite.cipher, suite.prf, &keys.e)?;
        let iv = Phase1Cipher::phase1_iv(suite.prf, &exchanged.g_xi, &exchanged.g_xr);
        Ok(Session { suite, keys, cipher, iv })
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The chain of initialisation vectors is state; it is ciphertext, so it may be seen.
        let iv = u128::from_be_bytes(self.iv);
        f.debug_struct("Session").field("suite", &self.suite).field("iv", &iv).finish_non_exhaustive()
    }
}

/// A message of phase 1 that waits for its answer.
#[derive(Debug)]
pub(crate) struct Outstanding {
    /// Which, in words.
    pub(crate) message: &'static str,
    pub(crate) datagrams: Vec<Vec<u8>>,
    pub(crate) schedule: Schedule,
    /// What an unprotected answer said: believed only when nothing better comes.
    pub(crate) hint: Option<crate::event::DownReason>,
}

/// The last message of an exchange that was received, and what was sent for it: again, when it comes again.
#[derive(Debug)]
pub(crate) struct Answered {
    /// SHA-256 of what came.
    pub(crate) received: [u8; 32],
    /// One datagram, or the fragments of one message.
    pub(crate) sent: Vec<Vec<u8>>,
}

/// One ISAKMP SA.
#[derive(Debug)]
pub(crate) struct IsakmpSa {
    pub(crate) local_cookie: IkeSpi,
    pub(crate) remote_cookie: IkeSpi,
    pub(crate) role: Role,
    pub(crate) peer: Arc<PeerConfig>,
    pub(crate) path: Path,
    pub(crate) nat: Nat,
    pub(crate) features: Features,
    pub(crate) state: State,
    pub(crate) session: Option<Session>,
    pub(crate) remote_id: Option<Id>,
    /// Lower nonce of phase 1.
    pub(crate) nonce: Vec<u8>,
    pub(crate) created: Instant,
    pub(crate) established: Option<Instant>,
    pub(crate) rekey_at: Option<Instant>,
    pub(crate) expires_at: Option<Instant>,
    /// Last authentic sign of life of the peer, ESP included.
    pub(crate) last_heard: Instant,
    /// Last datagram to the peer (for NAT keepalives).
    pub(crate) last_sent: Instant,
    pub(crate) outstanding: Option<Outstanding>,
    pub(crate) answered: Option<Answered>,
    pub(crate) quick: BTreeMap<u32, Quick>,
    /// Quick modes that ended, as long as their last message may be asked for again.
    pub(crate) finished: VecDeque<quick_mode::Finished>,
    /// Message IDs of quick modes that the peer began here.
    pub(crate) seen: BTreeSet<u32>,
    /// Message IDs of all exchanges after phase 1.
    pub(crate) ids: message_ids::MessageIds,
    pub(crate) dpd: dpd::Dpd,
    pub(crate) fragments: fragment::Reassembly,
    pub(crate) next_fragment_id: u16,
    /// We know of nothing with the peer, and may say so.
    pub(crate) initial_contact: bool,
    /// The peer was told once that its message 5 does not decrypt.
    pub(crate) complained: bool,
    /// Who the initiator of aggressive mode says it is, with the payload's body, until it proves it.
    pub(crate) claimed: Option<(Id, Vec<u8>)>,
    /// Messages that were made and are still to be told.
    pub(crate) traced: Vec<Traced>,
}

impl IsakmpSa {
    pub(crate) fn new(
        local_cookie: IkeSpi,
        role: Role,
        peer: Arc<PeerConfig>,
        path: Path,
        state: State,
        now: Instant,
    ) -> IsakmpSa {
        IsakmpSa {
            local_cookie,
            remote_cookie: IkeSpi::ZERO,
            role,
            peer,
            path,
            nat: Nat::default(),
            features: Features::default(),
            state,
            session: None,
            remote_id: None,
            nonce: Vec::new(),
            created: now,
            established: None,
            rekey_at: None,
            expires_at: None,
            last_heard: now,
            last_sent: now,
            outstanding: None,
            answered: None,
            quick: BTreeMap::new(),
            finished: VecDeque::new(),
            seen: BTreeSet::new(),
            ids: message_ids::MessageIds::default(),
            dpd: dpd::Dpd::default(),
            fragments: fragment::Reassembly::default(),
            next_fragment_id: 0,
            initial_contact: false,
            complained: false,
            claimed: None,
            traced: Vec::new(),
        }
    }

    /// CKY-I and CKY-R.
    pub(crate) fn cookies(&self) -> (IkeSpi, IkeSpi) {
        match self.role {
            Role::Initiator => (self.local_cookie, self.remote_cookie),
            Role::Responder => (self.remote_cookie, self.local_cookie),
        }
    }

    /// Authenticated, and neither replaced nor over.
    pub(crate) fn is_established(&self) -> bool {
        matches!(self.state, State::Established)
    }

    /// Authenticated and not over: messages of phase 2 may pass.
    pub(crate) fn is_usable(&self) -> bool {
        matches!(self.state, State::Established | State::Replaced)
    }

    /// Begun by us and not authenticated yet.
    pub(crate) fn is_connecting(&self) -> bool {
        use State::{AggressiveOffered, IdOffered, KeOffered, SaOffered};
        matches!(self.state, SaOffered(_) | KeOffered(_) | IdOffered(_) | AggressiveOffered(_))
    }

    /// Begun by the peer and not authenticated yet.
    pub(crate) fn is_half_open(&self) -> bool {
        matches!(self.state, State::SaChosen(_) | State::KeAnswered(_) | State::AggressiveAnswered(_))
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// An authentic message came, or an ESP packet.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.last_heard = self.last_heard.max(now);
        self.dpd.answered();
    }
}

/// The first message under the keys of phase 1.
pub(crate) const MESSAGE_5: &str = "message 5 of main mode";
/// The answer to a quick mode of the peer.
pub(crate) const QUICK_MESSAGE_2: &str = "message 2 of quick mode";

/// What may be the matter when this is not answered.
pub(crate) fn remedy_of_silence(exchange: &str) -> &'static str {
    match exchange {
        // Whoever cannot read it may say nothing: Libreswan does not.
        MESSAGE_5 => "the pre-shared keys may differ: compare both; or UDP 4500 does not pass both ways",
        QUICK_MESSAGE_2 => "the peer asked and then had no use for the answer: its log says why",
        _ => "check that UDP 500 and 4500 pass both ways",
    }
}
