//! Message IDs after phase 1, ours and the peer's. HASH(1) says neither who said something nor how often (RFC 2409 §5.7), so
//! what we said ourselves and what was said before is told by its ID, which is unique within an ISAKMP SA (RFC 2408 §3.1).

use super::MAX_SEEN;
use std::collections::{BTreeSet, VecDeque};

/// Those of one ISAKMP SA.
#[derive(Debug, Default)]
pub(crate) struct MessageIds {
    ours: Latest,
    /// Of informational messages; those of quick modes are in `IsakmpSa::seen`, which never forgets.
    theirs: Latest,
}

impl MessageIds {
    /// Takes an ID for an exchange of ours. Says whether it is new.
    pub(crate) fn take(&mut self, id: u32) -> bool {
        !self.theirs.known.contains(&id) && self.ours.insert(id)
    }

    /// Whether it is one of ours: a message that begins an exchange with it was thrown back.
    pub(crate) fn is_ours(&self, id: u32) -> bool {
        self.ours.known.contains(&id)
    }

    /// Whether the peer said something with it.
    pub(crate) fn is_theirs(&self, id: u32) -> bool {
        self.theirs.known.contains(&id)
    }

    /// An authentic informational message came. Says whether it is new.
    pub(crate) fn came(&mut self, id: u32) -> bool {
        self.theirs.insert(id)
    }
}

/// The latest IDs: with a question about liveness every five seconds, those of a day.
#[derive(Debug, Default)]
struct Latest {
    order: VecDeque<u32>,
    known: BTreeSet<u32>,
}

impl Latest {
    fn insert(&mut self, id: u32) -> bool {
        if !self.known.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > MAX_SEEN
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_new_once_and_the_oldest_make_room() {
        let mut ids = MessageIds::default();
        assert!(ids.came(7) && !ids.came(7));
        assert!(!ids.take(7) && ids.take(8) && !ids.take(8));
        assert!(ids.is_ours(8) && !ids.is_ours(7));
        for id in 100..100 + MAX_SEEN as u32 {
            assert!(ids.came(id));
        }
        assert!(!ids.is_theirs(7) && ids.is_theirs(100));
        assert_eq!(ids.theirs.order.len(), MAX_SEEN);
    }
}
