//! The anti-replay window and the guess of an extended sequence number's upper half (RFC 4303 §3.4.3, appendix A2).
//!
//! ```text
//!      too old      |<------------- size ------------->|      new: moves the window
//!  ─────────────────┼──────────────────────────────────┼──────────────────────────────▶ sequence number
//!                top - size + 1                        top
//! ```
//!
//! The window is a ring of 64-bit words, so moving it clears words and shifts nothing. Who uses it checks before the ICV is
//! verified and marks after (trap of every batch implementation: marking first lets a forged packet move the window).

/// The smallest window, in packets.
pub const MIN_WINDOW: u32 = 64;
/// The largest window, in packets; 1 KiB of memory for each SA.
pub const MAX_WINDOW: u32 = 8192;

/// Half of the sequence space of 32 bits: how far the guess looks back where no window bounds it.
const HALF_SPACE: u64 = 1 << 31;

/// Which sequence numbers have been received. Numbers are of 64 bits throughout; without ESN the upper half stays 0.
#[derive(Clone, Debug)]
pub struct ReplayWindow {
    /// Highest number marked; 0 before the first.
    top: u64,
    /// Packets the window looks back; 0 when replay protection is off.
    size: u64,
    /// Bit `n % 64` of word `n / 64 % words.len()` says that `n` was marked. One word more than the size asks for.
    words: Box<[u64]>,
}

impl ReplayWindow {
    /// A window of `size` packets before any packet. 0 switches replay protection off; other sizes are brought into
    /// [`MIN_WINDOW`]..=[`MAX_WINDOW`] and rounded up to whole 64-bit words.
    #[must_use]
    pub fn new(size: u32) -> Self {
        let words = match size {
            0 => 0,
            size => size.clamp(MIN_WINDOW, MAX_WINDOW).div_ceil(u64::BITS),
        };
        let ring = if words == 0 { 0 } else { (words + 1).next_power_of_two() };
        Self { top: 0, size: u64::from(words) * u64::from(u64::BITS), words: vec![0; ring as usize].into_boxed_slice() }
    }

    /// The same window, of an SA that has been in use: numbers up to `top` have all been seen.
    #[must_use]
    pub fn starting_after(mut self, top: u64) -> Self {
        self.top = top;
        self.words.fill(u64::MAX);
        // Of the word that holds the top, what lies beyond it is still to come.
        if let Some(word) = self.word_of(top) {
            self.words[word] = u64::MAX >> (63 - top % 64);
        }
        self
    }

    /// The highest number marked; 0 before the first.
    #[must_use]
    pub const fn top(&self) -> u64 {
        self.top
    }

    /// How many packets the window looks back; 0 when replay protection is off.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Whether a packet of this number is new: right of the window, or inside and not yet marked. Never 0, which no sender
    /// uses (RFC 4303 §2.2). Where replay protection is off, every number but 0 is.
    #[must_use]
    pub fn is_new(&self, sequence: u64) -> bool {
        if sequence == 0 {
            return false;
        }
        if self.size == 0 || sequence > self.top {
            return true;
        }
        if self.top - sequence >= self.size {
            return false;
        }
        self.word_of(sequence).is_some_and(|word| self.words[word] & bit(sequence) == 0)
    }

    /// Records an authenticated packet; `false`, and nothing changed, where it was not new.
    pub fn mark(&mut self, sequence: u64) -> bool {
        if !self.is_new(sequence) {
            return false;
        }
        if sequence > self.top {
            self.advance(sequence);
        }
        if let Some(word) = self.word_of(sequence) {
            self.words[word] |= bit(sequence);
        }
        true
    }

    /// The number of 64 bits behind the 32 bits of a packet (RFC 4303 appendix A2.2), `None` where it would be before the
    /// first or behind the last of the SA.
    #[must_use]
    pub fn infer(&self, low: u32) -> Option<u64> {
        infer(self.top, self.size, low)
    }

    fn advance(&mut self, sequence: u64) {
        let (from, to) = (self.top / 64, sequence / 64);
        self.top = sequence;
        if self.words.is_empty() {
            return;
        }
        let steps = (to - from).min(self.words.len() as u64);
        for step in 1..=steps {
            let word = self.ring_index(from + step);
            self.words[word] = 0;
        }
    }

    fn word_of(&self, sequence: u64) -> Option<usize> {
        (!self.words.is_empty()).then(|| self.ring_index(sequence / 64))
    }

    /// The ring's length is a power of two, so this is a mask.
    fn ring_index(&self, word: u64) -> usize {
        (word % self.words.len() as u64) as usize
    }
}

/// [`ReplayWindow::infer`] for a window of `size` packets whose highest number is `top`.
#[must_use]
pub fn infer(top: u64, size: u64, low: u32) -> Option<u64> {
    let size = if size == 0 { HALF_SPACE } else { size };
    let low = u64::from(low);
    let (top_high, top_low) = (top >> 32, top & 0xffff_ffff);
    let high = if top_low >= size - 1 {
        // Case A: the window lies in one subspace; what is left of it belongs to the next.
        if low >= top_low + 1 - size { top_high } else { top_high + 1 }
    } else if low >= (1 << 32) + top_low + 1 - size {
        // Case B: the window reaches into the previous subspace.
        top_high.checked_sub(1)?
    } else {
        top_high
    };
    (high <= u64::from(u32::MAX)).then_some((high << 32) | low)
}

const fn bit(sequence: u64) -> u64 {
    1 << (sequence % 64)
}
