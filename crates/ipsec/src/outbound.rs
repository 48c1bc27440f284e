//! Sealing: the outbound SA (RFC 4303 §3.3, tunnel mode).
//!
//! ```text
//!  | SPI | sequence | IV | inner packet | padding 1,2,3… | pad length | next header | ICV |
//!                        |<------------ encrypted ------------------------------->|
//!  |<------------------- authenticated ------------------------------------------>|
//! ```
//!
//! Invariant: a sequence number, and so the IV of an AEAD, is handed out once and never again, by however many threads.
//! The counter does not wrap; it ends.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crypto::{CbcIv, PacketKey, SecretBytes};
use packet::IpVersion;

use crate::drop_reason::DropReason;
use crate::framing::{Associated, NEXT_HEADER_IPV4, NEXT_HEADER_IPV6, SaError, halves, packet_key};
use crate::spi::Spi;
use crate::suite::{ESP_HEADER_LEN, ESP_TRAILER_LEN, EspKeys, EspSuite};
use crate::tunnel::TunnelPolicy;

/// The last sequence number without ESN (RFC 4303 §3.3.3).
const LAST_WITHOUT_ESN: u64 = u32::MAX as u64;
/// An SA is due for rekeying when less than one part in this many of its sequence numbers is left: 268 million of 2^32,
/// minutes at a million packets each second.
const SOFT_SEQUENCE_PART: u64 = 16;

/// Lifetime of an SA by what it carried (RFC 4301 §4.4.2.1). `None` is no limit; sequence numbers always limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SaLimits {
    /// Packets after which to rekey.
    pub soft_packets: Option<u64>,
    /// Packets after which nothing more is sent.
    pub hard_packets: Option<u64>,
    /// Bytes of inner packets after which to rekey.
    pub soft_bytes: Option<u64>,
    /// Bytes of inner packets after which nothing more is sent. Bursts under way may pass it a little.
    pub hard_bytes: Option<u64>,
}

/// Where an SA is in its lifetime by packets and bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LifetimeState {
    /// Nothing to do.
    Within,
    /// Time to rekey; packets still flow.
    Soft,
    /// Nothing more is sent.
    Hard,
}

/// The SA we send with. Shared by threads; what changes is two counters.
pub struct OutboundSa {
    spi: Spi,
    suite: EspSuite,
    key: PacketKey,
    cbc_iv: CbcIv,
    limits: SaLimits,
    tunnel: TunnelPolicy,
    first: u64,
    /// The last sequence number that may be used.
    last: u64,
    /// The next sequence number.
    next: AtomicU64,
    bytes: AtomicU64,
}

impl OutboundSa {
    /// An SA which has sent nothing.
    ///
    /// # Errors
    /// [`SaError`] where the keys do not have the suite's lengths, or cipher and MAC do not belong together.
    pub fn new(
        spi: Spi,
        suite: EspSuite,
        keys: &EspKeys,
        cbc_iv: CbcIv,
        limits: SaLimits,
        tunnel: TunnelPolicy,
    ) -> Result<Self, SaError> {
        let sa = Self {
            spi,
            suite,
            key: packet_key(suite, keys)?,
            cbc_iv,
            limits,
            tunnel,
            first: 1,
            last: 0,
            next: AtomicU64::new(1),
            bytes: AtomicU64::new(0),
        };
        Ok(sa.starting_at(1))
    }

    /// Continues the numbering of an SA that was in use elsewhere: `first`, at least 1, is its next sequence number.
    #[must_use]
    pub fn starting_at(mut self, first: u64) -> Self {
        let space = match self.suite.esn {
            true => u64::MAX - 1,
            false => LAST_WITHOUT_ESN,
        };
        self.first = first.max(1);
        let allowed = self.limits.hard_packets.unwrap_or(u64::MAX);
        self.last = space.min((self.first - 1).saturating_add(allowed));
        self.next = AtomicU64::new(self.first);
        self
    }

    /// The SPI the peer chose.
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

    /// What the outer header says.
    #[must_use]
    pub const fn tunnel(&self) -> &TunnelPolicy {
        &self.tunnel
    }

    /// The outer TOS or traffic class of the packet that carries `inner`.
    #[must_use]
    pub fn outer_tos(&self, inner: &[u8]) -> u8 {
        self.tunnel.outer_tos(inner)
    }

    /// Takes `count` sequence numbers, for a burst; returns the first. All or none. A `count` of 0 counts as 1.
    ///
    /// They are spent, whether the packets get sent or not: a number is never reused after a failed send.
    ///
    /// # Errors
    /// [`DropReason::SequenceExhausted`] where fewer are left (RFC 4303 §3.3.3), the packets of the hard lifetime included;
    /// [`DropReason::LifetimeExpired`] when its bytes are spent.
    pub fn reserve(&self, count: u64) -> Result<u64, DropReason> {
        let bytes_left = self.limits.hard_bytes.is_none_or(|limit| self.bytes.load(Ordering::Relaxed) < limit);
        if !bytes_left {
            return Err(DropReason::LifetimeExpired);
        }
        let count = count.max(1);
        self.next
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
                let after = next.checked_add(count)?;
                (after - 1 <= self.last).then_some(after)
            })
            .map_err(|_| DropReason::SequenceExhausted)
    }

    /// Bytes of the ESP packet that carries `inner_len` bytes.
    #[must_use]
    pub fn sealed_len(&self, inner_len: usize) -> usize {
        self.suite.sealed_len(inner_len)
    }

    /// Where in the ESP packet the inner packet starts: for [`Self::seal_in_place`].
    #[must_use]
    pub fn inner_offset(&self) -> usize {
        ESP_HEADER_LEN + self.suite.cipher.iv_len()
    }

    /// Writes the ESP packet that carries `inner` to the start of `out` and returns its length.
    ///
    /// # Errors
    /// As [`Self::seal_in_place`].
    pub fn seal(&self, sequence: u64, inner: &[u8], out: &mut [u8]) -> Result<usize, DropReason> {
        let start = self.inner_offset();
        let room = out.get_mut(start..).and_then(|rest| rest.get_mut(..inner.len())).ok_or(DropReason::TooBig)?;
        room.copy_from_slice(inner);
        self.seal_in_place(sequence, inner.len(), out)
    }

    /// Builds the ESP packet around the inner packet which already stands at [`Self::inner_offset`] of `buffer`, and
    /// returns its length. `sequence` is of [`Self::reserve`] and used this once.
    ///
    /// # Errors
    /// [`DropReason::TooBig`] where [`Self::sealed_len`] exceeds the buffer, [`DropReason::Malformed`] where there is no IP
    /// packet, [`DropReason::SequenceExhausted`] for a number that was never reserved.
    pub fn seal_in_place(&self, sequence: u64, inner_len: usize, buffer: &mut [u8]) -> Result<usize, DropReason> {
        if !(self.first..self.next.load(Ordering::Relaxed)).contains(&sequence) {
            return Err(DropReason::SequenceExhausted);
        }
        let sealed_len = self.sealed_len(inner_len);
        let packet = buffer.get_mut(..sealed_len).ok_or(DropReason::TooBig)?;
        let start = self.inner_offset();
        let next_header = match IpVersion::of(&packet[start..start + inner_len]) {
            Some(IpVersion::V4) => NEXT_HEADER_IPV4,
            Some(IpVersion::V6) => NEXT_HEADER_IPV6,
            None => return Err(DropReason::Malformed),
        };
        self.finish(sequence, inner_len, next_header, packet)?;
        self.bytes.fetch_add(inner_len as u64, Ordering::Relaxed);
        Ok(sealed_len)
    }

    /// Header, padding, trailer, encryption. `packet` has exactly the sealed length.
    fn finish(&self, sequence: u64, inner_len: usize, next_header: u8, packet: &mut [u8]) -> Result<(), DropReason> {
        let (header, body) = packet.split_at_mut(ESP_HEADER_LEN);
        header[..4].copy_from_slice(&self.spi.to_be_bytes());
        header[4..].copy_from_slice(&halves(sequence)[1]);
        let padding = self.suite.padding_len(inner_len);
        let text_end = self.suite.cipher.iv_len() + inner_len;
        let tail = &mut body[text_end..text_end + padding + ESP_TRAILER_LEN];
        let padding_byte = u8::try_from(padding).expect("padding is shorter than a cipher block");
        for (byte, value) in tail.iter_mut().zip(1..=padding_byte) {
            *byte = value;
        }
        tail[padding] = padding_byte;
        tail[padding + 1] = next_header;
        let iv = self.iv(sequence);
        let around = Associated::new(self.suite, self.spi, sequence);
        self.key
            .seal(&iv[..self.suite.cipher.iv_len()], around.aad(), around.trailer(), body)
            .map_err(|_| DropReason::Malformed)
    }

    /// The sequence number is the IV of an AEAD (RFC 4106 §3.1: any unique value); CBC needs an unpredictable one.
    fn iv(&self, sequence: u64) -> [u8; 16] {
        if self.suite.cipher.iv_len() == 16 {
            return self.cbc_iv.at(sequence);
        }
        let mut iv = [0; 16];
        iv[..8].copy_from_slice(&sequence.to_be_bytes());
        iv
    }

    /// Sequence numbers spent: packets sent, and those given up after [`Self::reserve`].
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.next.load(Ordering::Relaxed) - self.first
    }

    /// Bytes of inner packets sealed.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The sequence number the next packet gets, were there one.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Whether to rekey, or to stop, by packets, bytes and sequence numbers.
    #[must_use]
    pub fn lifetime_state(&self) -> LifetimeState {
        let (next, packets, bytes) = (self.next_sequence(), self.packets(), self.bytes());
        let reached = |limit: Option<u64>, value: u64| limit.is_some_and(|limit| value >= limit);
        if next > self.last || reached(self.limits.hard_bytes, bytes) {
            return LifetimeState::Hard;
        }
        let space = if self.suite.esn { u64::MAX } else { LAST_WITHOUT_ESN };
        let few_left = space - next < space / SOFT_SEQUENCE_PART;
        if few_left || reached(self.limits.soft_packets, packets) || reached(self.limits.soft_bytes, bytes) {
            return LifetimeState::Soft;
        }
        LifetimeState::Within
    }
}

impl fmt::Debug for OutboundSa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundSa")
            .field("spi", &self.spi)
            .field("suite", &self.suite)
            .field("next", &self.next_sequence())
            .finish_non_exhaustive()
    }
}
