//! Fragments back into a message (RFC 7383 §2.6).
//!
//! Every fragment added was authenticated on its own. One message at a time is put together per direction; a message with
//! a higher ID replaces it, since the peer has then given the older one up. Memory is bounded by [`MAX_REASSEMBLED`].

use crate::wire::PayloadType;

/// Fragments accepted for one message, and sent. Common peers accept 29 to 64.
pub const MAX_FRAGMENTS: u16 = 64;
/// Octets accepted for one message.
pub const MAX_REASSEMBLED: usize = 65_535;

/// One authenticated fragment of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// Fragment Number, from 1 to `total`.
    pub number: u16,
    /// Total Fragments. May grow when the peer cuts the message anew, smaller.
    pub total: u16,
    /// Type of the message's first payload; only fragment 1 knows it.
    pub first: PayloadType,
    /// This part of the payloads.
    pub body: Vec<u8>,
}

/// Why a fragment was not taken. All of them can happen to an honest peer's message only if it is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReassemblyError {
    /// A message that was cut into too many.
    #[error("{0} fragments: more than {MAX_FRAGMENTS}")]
    TooMany(u16),
    /// The fragments together are too large; what there was of the message is dropped.
    #[error("more than {MAX_REASSEMBLED} octets")]
    TooLarge,
    /// The number is zero or beyond the total.
    #[error("fragment {number} of {total}")]
    Number {
        /// Fragment Number.
        number: u16,
        /// Total Fragments.
        total: u16,
    },
    /// A fragment of a message older than the one being put together.
    #[error("message ID {0} is older than the one in progress")]
    Stale(u32),
}

/// The fragments of one message so far.
#[derive(Debug)]
struct Partial {
    message_id: u32,
    total: u16,
    octets: usize,
    first: PayloadType,
    parts: Vec<Option<Vec<u8>>>,
}

/// Puts one message at a time together, of one direction.
#[derive(Debug, Default)]
pub struct Reassembly {
    partial: Option<Partial>,
}

impl Partial {
    fn new(message_id: u32, total: u16) -> Self {
        let parts = vec![None; usize::from(total)];
        Partial { message_id, total, octets: 0, first: PayloadType::None, parts }
    }

    fn put(&mut self, fragment: Fragment) -> Result<(), ReassemblyError> {
        let index = usize::from(fragment.number.saturating_sub(1));
        let Some(slot @ None) = self.parts.get_mut(index) else {
            // A duplicate.
            return Ok(());
        };
        self.octets = self.octets.saturating_add(fragment.body.len());
        if self.octets > MAX_REASSEMBLED {
            return Err(ReassemblyError::TooLarge);
        }
        if fragment.number == 1 {
            self.first = fragment.first;
        }
        *slot = Some(fragment.body);
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.parts.iter().all(Option::is_some)
    }
}

impl Reassembly {
    /// Nothing received yet.
    #[must_use]
    pub fn new() -> Self {
        Reassembly::default()
    }

    /// Forgets what there is of a message.
    pub fn reset(&mut self) {
        self.partial = None;
    }

    /// Takes a fragment; the message if this was the last one missing. A larger total than before replaces all that was
    /// there, fragments with a smaller one and duplicates are ignored (RFC 7383 §2.6).
    ///
    /// Whether `message_id` is within the window is the caller's to know before.
    ///
    /// # Errors
    /// [`ReassemblyError`]; the message in progress survives all but [`ReassemblyError::TooLarge`].
    pub fn add(
        &mut self,
        message_id: u32,
        fragment: Fragment,
    ) -> Result<Option<(PayloadType, Vec<u8>)>, ReassemblyError> {
        let Fragment { number, total, .. } = fragment;
        if total > MAX_FRAGMENTS {
            return Err(ReassemblyError::TooMany(total));
        }
        if number == 0 || number > total {
            return Err(ReassemblyError::Number { number, total });
        }
        match &self.partial {
            Some(partial) if message_id < partial.message_id => {
                return Err(ReassemblyError::Stale(message_id));
            }
            Some(partial) if message_id == partial.message_id && total < partial.total => {
                return Ok(None);
            }
            Some(partial) if message_id == partial.message_id && total == partial.total => {}
            Some(_) | None => self.partial = Some(Partial::new(message_id, total)),
        }
        let Some(partial) = &mut self.partial else {
            return Ok(None);
        };
        if let Err(error) = partial.put(fragment) {
            self.reset();
            return Err(error);
        }
        if !partial.is_complete() {
            return Ok(None);
        }
        let Some(partial) = self.partial.take() else {
            return Ok(None);
        };
        Ok(Some((partial.first, partial.parts.into_iter().flatten().flatten().collect())))
    }
}
