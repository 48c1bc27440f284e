//! Why datagrams are dropped before anything is believed of them.

/// Why a datagram was dropped without a trace in any state. Counted; logged at a bounded rate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum IgnoredReason {
    /// Not an IKE message.
    Malformed,
    /// An IKE version we do not speak.
    Version,
    /// No SA with these SPIs.
    UnknownSpi,
    /// The integrity check failed.
    Integrity,
    /// Outside the message window.
    Window,
    /// A plain message where a protected one belongs, or the reverse.
    Unexpected,
    /// Too many half-open SAs.
    HalfOpenLimit,
    /// No configured peer fits the addresses.
    NoPeer,
    /// Could not be reassembled.
    Fragment,
}

impl IgnoredReason {
    /// All of them, in the order of their counters.
    pub const ALL: [IgnoredReason; 9] = [
        IgnoredReason::Malformed,
        IgnoredReason::Version,
        IgnoredReason::UnknownSpi,
        IgnoredReason::Integrity,
        IgnoredReason::Window,
        IgnoredReason::Unexpected,
        IgnoredReason::HalfOpenLimit,
        IgnoredReason::NoPeer,
        IgnoredReason::Fragment,
    ];

    /// A stable word for metrics.
    pub fn name(self) -> &'static str {
        match self {
            IgnoredReason::Malformed => "malformed",
            IgnoredReason::Version => "version",
            IgnoredReason::UnknownSpi => "unknown_spi",
            IgnoredReason::Integrity => "integrity",
            IgnoredReason::Window => "window",
            IgnoredReason::Unexpected => "unexpected",
            IgnoredReason::HalfOpenLimit => "half_open_limit",
            IgnoredReason::NoPeer => "no_peer",
            IgnoredReason::Fragment => "fragment",
        }
    }
}
