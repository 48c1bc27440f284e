//! Opening: the inbound SA (RFC 4303 §3.4, RFC 4301 §5.2), in this order for every packet of a batch by itself:
//!
//! ```text
//!   guess ESN ─▶ replay check ─▶ verify ICV, decrypt ─▶ replay mark ─▶ padding ─▶ inner header ─▶ selectors
//! ```
//!
//! Invariant: what is not authentic changes nothing but a counter of the caller's.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crypto::{CryptoError, Integrity, PacketKey, SecretBytes};
use packet::{FlowKey, IpVersion, IpView};

use crate::drop_reason::DropReason;
use crate::framing::{Associated, NEXT_HEADER_IPV4, NEXT_HEADER_IPV6, NEXT_HEADER_NONE, SaError, packet_key};
use crate::icmp_error;
use crate::replay::{self, ReplayWindow};
use crate::selector::{TrafficSelector, selectors};
use crate::spd::sides;
use crate::spi::Spi;
use crate::suite::{ESP_HEADER_LEN, ESP_TRAILER_LEN, EspKeys, EspSuite};

/// What was negotiated for an SA pair (RFC 7296 §2.9): the packets it may carry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SelectorPair {
    /// Our side: destination of what is received.
    pub local: Vec<TrafficSelector>,
    /// The peer's side: source of what is received.
    pub remote: Vec<TrafficSelector>,
}

impl SelectorPair {
    /// Everything of both IP versions, as a route-based tunnel has it.
    #[must_use]
    pub fn any() -> Self {
        let any = vec![TrafficSelector::any_v4(), TrafficSelector::any_v6()];
        Self { local: any.clone(), remote: any }
    }

    /// Whether a received packet of this flow is allowed.
    #[must_use]
    pub fn allows_inbound(&self, flow: &FlowKey) -> bool {
        let (source, destination) = sides(flow);
        selectors::contain(&self.remote, &source) && selectors::contain(&self.local, &destination)
    }

    /// Whether a packet of this flow may be sent.
    #[must_use]
    pub fn allows_outbound(&self, flow: &FlowKey) -> bool {
        let (source, destination) = sides(flow);
        selectors::contain(&self.local, &source) && selectors::contain(&self.remote, &destination)
    }
}

/// A packet that came through.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opened {
    /// Where in the ESP packet the decrypted IP packet now lies; padding of any kind is outside.
    pub inner: Range<usize>,
    /// 4 for IPv4, 41 for IPv6.
    pub next_header: u8,
    /// The inner packet's flow, as the selectors saw it.
    pub flow: FlowKey,
    /// Whether this is the first packet this SA delivers: the peer has switched to it (RFC 7296 §2.8).
    pub first_on_this_sa: bool,
}

/// The SA we receive with. Shared by threads; what changes is the replay window and three counters.
pub struct InboundSa {
    spi: Spi,
    suite: EspSuite,
    key: PacketKey,
    selectors: SelectorPair,
    window: Mutex<ReplayWindow>,
    /// The window's size and, never ahead of it, its top: packets beyond the top need no lock for the first check.
    window_size: u64,
    window_top: AtomicU64,
    packets: AtomicU64,
    bytes: AtomicU64,
    delivered: AtomicBool,
}

impl InboundSa {
    /// An SA which has received nothing.
    ///
    /// `replay_window` is in packets, see [`ReplayWindow::new`]. 0 switches replay protection off, which no peer needs and
    /// RFC 4303 §3.4.3 advises against; with ESN the guess of the upper half then looks 2^31 packets either way.
    ///
    /// # Errors
    /// [`SaError`] where the keys do not have the suite's lengths, or cipher and MAC do not belong together.
    pub fn new(
        spi: Spi,
        suite: EspSuite,
        keys: &EspKeys,
        replay_window: u32,
        selectors: SelectorPair,
    ) -> Result<Self, SaError> {
        let window = ReplayWindow::new(replay_window);
        Ok(Self {
            spi,
            suite,
            key: packet_key(suite, keys)?,
            selectors,
            window_size: window.size(),
            window_top: AtomicU64::new(window.top()),
            window: Mutex::new(window),
            packets: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            delivered: AtomicBool::new(false),
        })
    }

    /// Continues an SA that was in use elsewhere: everything up to sequence number `top` has been received.
    #[must_use]
    pub fn starting_after(mut self, top: u64) -> Self {
        let window = self.window.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.window = Mutex::new(window.starting_after(top));
        self.window_top = AtomicU64::new(top);
        self
    }

    /// The SPI we chose.
    #[must_use]
    pub const fn spi(&self) -> Spi {
        self.spi
    }

    /// The algorithms.
    #[must_use]
    pub const fn suite(&self) -> EspSuite {
        self.suite
    }

    /// The cipher's key with its salt, for an export that an operator asked for.
    #[must_use]
    pub const fn cipher_key(&self) -> &SecretBytes {
        self.key.cipher_key()
    }

    /// What it may carry.
    #[must_use]
    pub const fn selectors(&self) -> &SelectorPair {
        &self.selectors
    }

    /// Opens one ESP packet in place, from its SPI to its ICV.
    ///
    /// # Errors
    /// Why it is to be dropped. After an error the buffer's contents are not to be used.
    pub fn open(&self, esp: &mut [u8]) -> Result<Opened, DropReason> {
        let (header, body) = esp.split_first_chunk_mut::<ESP_HEADER_LEN>().ok_or(DropReason::Malformed)?;
        let [spi @ .., s0, s1, s2, s3] = *header;
        if spi != self.spi.to_be_bytes() {
            return Err(DropReason::NoSa);
        }
        let sequence = self.sequence(u32::from_be_bytes([s0, s1, s2, s3]))?;
        let around = Associated::new(self.suite, self.spi, sequence);
        let text = self.key.open(around.aad(), around.trailer(), body).map_err(|error| match error {
            CryptoError::AuthenticationFailed => DropReason::Authentication,
            _ => DropReason::Malformed,
        })?;
        self.mark(sequence)?;
        let (next_header, inner_len, flow) = inspect(text)?;
        self.check_selectors(&flow, &text[..inner_len])?;
        self.packets.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(inner_len as u64, Ordering::Relaxed);
        let start = ESP_HEADER_LEN + self.suite.cipher.iv_len();
        Ok(Opened {
            inner: start..start + inner_len,
            next_header,
            flow,
            first_on_this_sa: !self.delivered.load(Ordering::Relaxed) && !self.delivered.swap(true, Ordering::Relaxed),
        })
    }

    /// What a packet that [`Self::open`] refused was sealed with, where that is HMAC-SHA2-256 cut to another length than ours
    /// and everything else is right: 96 bits before RFC 4868, 128 since. Both have one number in IKE, so such a peer's tunnel
    /// comes up and no packet passes. The packet must be as it came; a MAC's refusal leaves it so.
    #[must_use]
    pub fn other_truncation(&self, esp: &[u8]) -> Option<Integrity> {
        let other = match self.suite.integrity? {
            Integrity::HmacSha2_256_128 => Integrity::HmacSha2_256_96,
            Integrity::HmacSha2_256_96 => Integrity::HmacSha2_256_128,
            Integrity::HmacSha1_96
            | Integrity::HmacSha2_384_192
            | Integrity::HmacSha2_512_256
            | Integrity::AesXcbc96
            | Integrity::AesCmac96 => return None,
        };
        let (header, body) = esp.split_first_chunk::<ESP_HEADER_LEN>()?;
        let [spi @ .., s0, s1, s2, s3] = *header;
        if spi != self.spi.to_be_bytes() {
            return None;
        }
        let sequence = self.sequence(u32::from_be_bytes([s0, s1, s2, s3])).ok()?;
        let around = Associated::new(self.suite, self.spi, sequence);
        let fits = self.key.is_sealed_with_icv_of(other.icv_len(), around.aad(), around.trailer(), body);
        fits.then_some(other)
    }

    /// The number of 64 bits of a packet whose replay check passes, before its ICV is looked at.
    fn sequence(&self, low: u32) -> Result<u64, DropReason> {
        let top = self.window_top.load(Ordering::Relaxed);
        let sequence = if self.suite.esn {
            replay::infer(top, self.window_size, low).ok_or(DropReason::Replay)?
        } else {
            u64::from(low)
        };
        if sequence > top || self.window().is_new(sequence) { Ok(sequence) } else { Err(DropReason::Replay) }
    }

    /// Another thread may have marked the same number since the check; one of them is the replay.
    fn mark(&self, sequence: u64) -> Result<(), DropReason> {
        let mut window = self.window();
        if !window.mark(sequence) {
            return Err(DropReason::Replay);
        }
        self.window_top.store(window.top(), Ordering::Relaxed);
        Ok(())
    }

    fn window(&self) -> std::sync::MutexGuard<'_, ReplayWindow> {
        // Nothing panics while it is held, and every state of it is a sound one.
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// RFC 4301 §5.2 step 4: an authentic peer still speaks only for the addresses it was granted. An ICMP error from a
    /// router on its side is let in when it is about a packet this SA pair carried (RFC 4301 §6.2).
    fn check_selectors(&self, flow: &FlowKey, inner: &[u8]) -> Result<(), DropReason> {
        if self.selectors.allows_inbound(flow) {
            return Ok(());
        }
        match icmp_error::offending_flow(inner) {
            Some(offending) if offending.source == flow.destination && self.selectors.allows_outbound(&offending) => {
                Ok(())
            }
            _ => Err(DropReason::Selector),
        }
    }

    /// Packets delivered.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.packets.load(Ordering::Relaxed)
    }

    /// Bytes of inner packets delivered.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The highest authentic sequence number so far; 0 before the first. It moves when the peer is alive, dummies included.
    #[must_use]
    pub fn highest_sequence(&self) -> u64 {
        self.window_top.load(Ordering::Relaxed)
    }
}

/// Next header, length of the inner packet without any padding, and its flow (RFC 4303 §2.4 to §2.7).
fn inspect(text: &[u8]) -> Result<(u8, usize, FlowKey), DropReason> {
    let (rest, [padding_len, next_header]) = text.split_last_chunk::<ESP_TRAILER_LEN>().ok_or(DropReason::Malformed)?;
    let padding_len = usize::from(*padding_len);
    let payload_len = rest.len().checked_sub(padding_len).ok_or(DropReason::Padding)?;
    let (payload, padding) = rest.split_at(payload_len);
    if *next_header == NEXT_HEADER_NONE {
        return Err(DropReason::Dummy);
    }
    if padding.iter().zip(1_u8..).any(|(byte, expected)| *byte != expected) {
        return Err(DropReason::Padding);
    }
    let version = match *next_header {
        NEXT_HEADER_IPV4 => IpVersion::V4,
        NEXT_HEADER_IPV6 => IpVersion::V6,
        _ => return Err(DropReason::NextHeader),
    };
    let inner = IpView::parse(payload).map_err(|_| DropReason::Malformed)?;
    if inner.version() != version {
        return Err(DropReason::Malformed);
    }
    Ok((*next_header, inner.total_len(), FlowKey::of(&inner)))
}

impl fmt::Debug for InboundSa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboundSa")
            .field("spi", &self.spi)
            .field("suite", &self.suite)
            .field("highest", &self.highest_sequence())
            .finish_non_exhaustive()
    }
}
