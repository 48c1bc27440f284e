//! An IKE endpoint: all peers and IKE SAs of one gateway. Datagrams, time and commands in; [`Output`]s out.
//!
//! The endpoint finds the SA a datagram belongs to, keeps what is wanted up, and carries out what one SA asks of
//! another. Everything inside one SA is in `v2`.
//!
//! Slow work: a key exchange of a large MODP group takes milliseconds. An `IkeSa` is a plain value, so a host that must
//! not wait can hand a whole endpoint to a thread of its own; nothing here blocks on anything else.

mod actions;
mod commands;
mod key_export;
mod peers;
mod probe;
mod receive;
mod responder;
mod timers;
mod v1;
mod view;

pub use commands::CommandError;
pub use key_export::{IkeCipherKeys, IkeKeyExport};

use crate::config::{EndpointConfig, PeerConfig, PeerName};
use crate::context::{Action, Context};
use crate::cookie::CookieJar;
use crate::event::{DownReason, Output};
use crate::spi::SpiAllocator;
use crate::v2::IkeSa;
use crate::wire::IkeSpi;
use crypto::{Provider, Rng};
use peers::PeerState;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use timers::Timers;
pub use view::SaView;

/// All peers and IKE SAs of one gateway.
pub struct Endpoint {
    config: EndpointConfig,
    provider: Arc<dyn Provider>,
    rng: Box<dyn Rng>,
    peers: BTreeMap<PeerName, Arc<PeerConfig>>,
    states: BTreeMap<PeerName, PeerState>,
    /// Peers that an operator took down.
    disabled: BTreeSet<PeerName>,
    sas: BTreeMap<IkeSpi, IkeSa>,
    /// Everything of IKEv1.
    v1: v1::V1,
    /// Answered IKE_SA_INIT requests: a repeated one must not make a second SA.
    initiators: BTreeMap<(SocketAddr, IkeSpi), IkeSpi>,
    /// The same by our SPI, to find what to forget.
    answered: BTreeMap<IkeSpi, (SocketAddr, IkeSpi)>,
    /// Those of them that never proved who they are, until they are forgotten.
    half_open: BTreeSet<IkeSpi>,
    timers: Timers,
    spis: SpiAllocator,
    next_child: u64,
    cookies: CookieJar,
    demanding_cookies: bool,
    outputs: VecDeque<Output>,
    actions: VecDeque<Action>,
}

impl Endpoint {
    /// An endpoint without peers.
    pub fn new(config: EndpointConfig, provider: Arc<dyn Provider>, mut rng: Box<dyn Rng>, now: Instant) -> Endpoint {
        let cookies = CookieJar::new(rng.as_mut(), now);
        Endpoint {
            config,
            provider,
            rng,
            peers: BTreeMap::new(),
            states: BTreeMap::new(),
            disabled: BTreeSet::new(),
            sas: BTreeMap::new(),
            v1: v1::V1::default(),
            initiators: BTreeMap::new(),
            answered: BTreeMap::new(),
            half_open: BTreeSet::new(),
            timers: Timers::default(),
            spis: SpiAllocator::default(),
            next_child: 0,
            cookies,
            demanding_cookies: false,
            outputs: VecDeque::new(),
            actions: VecDeque::new(),
        }
    }

    /// The next thing to do; in order, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// The IKEv2 SAs of one peer that are not over.
    fn sas_of_v2<'a>(&'a self, peer: &PeerName) -> impl Iterator<Item = &'a IkeSa> {
        let spis = self.states.get(peer).map(|state| &state.sas);
        spis.into_iter().flatten().filter_map(|spi| self.sas.get(spi)).filter(|sa| !sa.is_closed())
    }

    /// Why a peer is not up, and the attempts since it was.
    pub fn peer_reason(&self, peer: &PeerName) -> Option<(DownReason, u32)> {
        let state = self.states.get(peer)?;
        Some((state.reason.clone(), state.attempts))
    }

    /// SPIs in use (IKE, child): for leak checks and metrics.
    pub fn spis_in_use(&self) -> (usize, usize) {
        self.spis.in_use()
    }

    /// Half-open IKE SAs (RFC 7296 §2.6), those refused a moment ago included: they hold memory too.
    pub fn half_open(&self) -> usize {
        self.half_open.len() + self.v1.half_open()
    }

    /// Runs `work` on an SA with everything it may use, then carries out what it asked for.
    fn with_sa<R>(
        &mut self,
        spi: IkeSpi,
        now: Instant,
        work: impl FnOnce(&mut IkeSa, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let sa = self.sas.get_mut(&spi)?;
        let mut cx = Context {
            now,
            rng: self.rng.as_mut(),
            provider: self.provider.as_ref(),
            config: &self.config,
            peers: &self.peers,
            disabled: &self.disabled,
            spis: &mut self.spis,
            next_child: &mut self.next_child,
            outputs: &mut self.outputs,
            actions: &mut self.actions,
        };
        let result = work(sa, &mut cx);
        self.after(spi, now);
        self.carry_out(now);
        Some(result)
    }

    /// Brings the indexes in line with what became of an SA.
    fn after(&mut self, spi: IkeSpi, _now: Instant) {
        let Some(sa) = self.sas.get(&spi) else { return };
        if sa.established.is_some() {
            self.half_open.remove(&spi);
        }
        let due = sa.poll_timeout(self.config.half_open_timeout);
        self.timers.set_sa(spi, due);
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Everything that an input may change, secrets excepted: tests compare it before and after.
        f.debug_struct("Endpoint")
            .field("sas", &self.sas)
            .field("v1", &self.v1)
            .field("states", &self.states)
            .field("disabled", &self.disabled)
            .field("initiators", &self.initiators)
            .field("half_open", &self.half_open)
            .field("timers", &self.timers)
            .field("spis", &self.spis)
            .field("next_child", &self.next_child)
            .finish_non_exhaustive()
    }
}
