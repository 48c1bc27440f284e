//! Why a packet went no further: one vocabulary for counters, traces and `doctor`.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! drop_reasons {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal,)+) => {
        /// Why a packet was dropped. Every reason has a counter in [`DropCounters`].
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum DropReason { $($(#[$doc])+ $variant,)+ }

        impl DropReason {
            /// Every reason, in the order of the counters.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$variant,)+];
            /// How many reasons there are.
            pub const COUNT: usize = [$($name,)+].len();

            /// The name in metrics and JSON, in snake_case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

drop_reasons! {
    /// The sequence number was seen before or lies left of the replay window (RFC 4303 §3.4.3).
    Replay = "replay",
    /// The ICV is wrong: another key, a damaged or a forged packet (RFC 4303 §3.4.4).
    Authentication = "authentication",
    /// No inbound SA has this SPI (RFC 4303 §3.4.2).
    NoSa = "no_sa",
    /// The decrypted packet is outside the SA's traffic selectors (RFC 4301 §5.2 step 4).
    Selector = "selector",
    /// The SPD discards it: a policy says so, or no policy matches.
    Policy = "policy",
    /// The padding after decryption is not 1, 2, 3, … (RFC 4303 §2.4).
    Padding = "padding",
    /// Too short, or its own length fields contradict it.
    Malformed = "malformed",
    /// An authentic packet that carries no tunnelled IPv4 or IPv6 packet: a peer in transport mode, say.
    NextHeader = "next_header",
    /// Larger than the tunnel carries and not to be fragmented; its sender is told.
    TooBig = "too_big",
    /// The SA has used up its sequence numbers (RFC 4303 §3.3.3).
    SequenceExhausted = "sequence_exhausted",
    /// The SA has carried the bytes of its hard lifetime (RFC 4301 §4.4.2.1).
    LifetimeExpired = "lifetime_expired",
    /// A dummy packet of the peer's traffic flow confidentiality (RFC 4303 §2.6); no fault.
    Dummy = "dummy",
    /// The tunnel it belongs to is down.
    NoTunnel = "no_tunnel",
    /// The time to live or hop limit ran out here.
    TtlExceeded = "ttl_exceeded",
    /// Congestion was marked outside on a packet whose sender does not know ECN (RFC 6040 §4.2).
    Congestion = "congestion",
    /// A queue that bounds our memory is full.
    QueueFull = "queue_full",
    /// The operating system refused to take it.
    SendFailed = "send_failed",
}

impl DropReason {
    /// The place of this reason's counter.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for DropReason {}

/// A counter for each [`DropReason`]; any thread may count.
#[derive(Debug, Default)]
pub struct DropCounters([AtomicU64; DropReason::COUNT]);

impl DropCounters {
    /// All zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One more packet.
    pub fn count(&self, reason: DropReason) {
        self.add(reason, 1);
    }

    /// `packets` more.
    pub fn add(&self, reason: DropReason, packets: u64) {
        self.0[reason.index()].fetch_add(packets, Ordering::Relaxed);
    }

    /// Packets dropped for this reason so far.
    #[must_use]
    pub fn get(&self, reason: DropReason) -> u64 {
        self.0[reason.index()].load(Ordering::Relaxed)
    }

    /// The reasons that occurred, with their counts.
    pub fn nonzero(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.into_iter().map(|reason| (reason, self.get(reason))).filter(|(_, count)| *count != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_reason_has_its_own_counter_and_name() {
        let counters = DropCounters::new();
        for (index, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index);
            counters.add(reason, index as u64);
        }
        for (index, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(counters.get(reason), index as u64);
        }
        assert_eq!(counters.nonzero().count(), DropReason::COUNT - 1);
        let names: BTreeSet<_> = DropReason::ALL.map(DropReason::name).into();
        assert_eq!(names.len(), DropReason::COUNT);
        let is_snake = |name: &&str| name.bytes().all(|b| b == b'_' || b.is_ascii_lowercase());
        assert!(names.iter().all(is_snake));
    }
}
