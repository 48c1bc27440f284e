//! The last datagrams and what became of each: what a failing seed prints. Recording copies a few words and formats
//! nothing; text is made only when somebody asks for it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Instant;

/// Bytes of each payload kept for [`Trace::render`]'s describer: enough for a protocol's header.
pub const PREFIX: usize = 40;

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Arrived at its destination.
    Delivered,
    /// The link lost it.
    Lost,
    /// The link made a second copy of it (the copies arrive, or not, on their own).
    Duplicated,
    /// The two ends were cut off from each other.
    Cut,
    /// It was longer than the link carries.
    TooBig,
    /// The link's rate or the simulation's queue was exhausted.
    Overflow,
    /// A script dropped it.
    Dropped,
    /// A script put it aside.
    Held,
    /// A script let it go on.
    Released,
    /// A NAT filtered it.
    Filtered,
    /// Nobody has the destination address.
    Unreachable,
}

impl Fate {
    /// The word the diagram uses.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Lost => "LOST",
            Self::Duplicated => "duplicated",
            Self::Cut => "CUT OFF",
            Self::TooBig => "TOO BIG",
            Self::Overflow => "OVERFLOW",
            Self::Dropped => "DROPPED by the script",
            Self::Held => "HELD by the script",
            Self::Released => "released",
            Self::Filtered => "FILTERED by NAT",
            Self::Unreachable => "UNREACHABLE",
        }
    }
}

/// One line of the trace.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// When.
    pub at: Instant,
    /// Source as seen at this point of the path.
    pub from: SocketAddr,
    /// Destination as seen at this point of the path.
    pub to: SocketAddr,
    /// Payload length in bytes.
    pub len: usize,
    /// What became of it.
    pub fate: Fate,
    prefix: [u8; PREFIX],
    prefix_len: u8,
}

impl Entry {
    /// The first bytes of the payload, at most [`PREFIX`].
    #[must_use]
    pub fn prefix(&self) -> &[u8] {
        &self.prefix[..usize::from(self.prefix_len)]
    }
}

/// A ring of the last entries, and a digest of all there ever were.
#[derive(Debug, Clone)]
pub struct Trace {
    start: Instant,
    entries: VecDeque<Entry>,
    capacity: usize,
    recorded: u64,
    digest: u64,
}

impl Trace {
    /// An empty trace which keeps the last `capacity` entries; times are shown relative to `start`.
    #[must_use]
    pub fn new(start: Instant, capacity: usize) -> Self {
        Self { start, entries: VecDeque::with_capacity(capacity), capacity, recorded: 0, digest: 0xcbf2_9ce4_8422_2325 }
    }

    /// The entries kept, oldest first.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// How many entries there ever were.
    #[must_use]
    pub fn recorded(&self) -> u64 {
        self.recorded
    }

    /// A number which is equal for two runs whose traces (times, ends, lengths, payload prefixes, fates) are equal.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }

    pub(crate) fn record(&mut self, at: Instant, from: SocketAddr, to: SocketAddr, payload: &[u8], fate: Fate) {
        let mut prefix = [0; PREFIX];
        let kept = payload.len().min(PREFIX);
        prefix[..kept].copy_from_slice(&payload[..kept]);
        self.recorded += 1;
        self.mix(at, from, to, payload.len(), fate, &prefix);
        if self.capacity == 0 {
            return;
        }
        if self.entries.len() == self.capacity {
            self.entries.pop_front();
        }
        let prefix_len = u8::try_from(kept).unwrap_or(u8::MAX);
        self.entries.push_back(Entry { at, from, to, len: payload.len(), fate, prefix, prefix_len });
    }

    fn mix(&mut self, at: Instant, from: SocketAddr, to: SocketAddr, len: usize, fate: Fate, prefix: &[u8; PREFIX]) {
        let nanos = at.saturating_duration_since(self.start).as_nanos() as u64;
        let mut hash = self.digest;
        let mut add = |word: u64| hash = (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        add(nanos);
        add(u64::from(from.port()) << 32 | u64::from(to.port()) << 16 | fate as u64);
        add(low_bits(from) << 32 ^ low_bits(to));
        add(len as u64);
        for word in prefix.as_chunks::<8>().0 {
            add(u64::from_le_bytes(*word));
        }
        self.digest = hash;
    }

    /// The kept entries as a sequence diagram in text, one line each. `describe` names a datagram from its first bytes
    /// (at most [`PREFIX`]); an empty answer leaves the name away.
    pub fn render(&self, describe: impl Fn(&[u8]) -> String) -> String {
        let mut columns = BTreeMap::new();
        for entry in &self.entries {
            let next = columns.len();
            columns.entry(entry.from.ip()).or_insert(next);
            let next = columns.len();
            columns.entry(entry.to.ip()).or_insert(next);
        }
        let omitted = self.recorded.saturating_sub(self.entries.len() as u64);
        let mut out = format!("{} datagram events, {omitted} earlier ones not kept\n", self.recorded);
        for entry in &self.entries {
            let seconds = entry.at.saturating_duration_since(self.start).as_secs_f64();
            let arrow = if columns.get(&entry.from.ip()) <= columns.get(&entry.to.ip()) { "-->" } else { "<--" };
            let (left, right) = if arrow == "-->" { (entry.from, entry.to) } else { (entry.to, entry.from) };
            let name = describe(entry.prefix());
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "{seconds:>12.6}s  {left:>21} {arrow} {right:<21} {:>5} B  {}  {name}",
                entry.len,
                entry.fate.word()
            );
        }
        out
    }
}

/// The low 32 bits of an address: enough to tell two runs apart.
fn low_bits(address: SocketAddr) -> u64 {
    match address {
        SocketAddr::V4(v4) => u64::from(v4.ip().to_bits()),
        SocketAddr::V6(v6) => v6.ip().to_bits() as u64 & 0xffff_ffff,
    }
}
