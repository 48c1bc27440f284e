//! Whether what we send reaches a peer: for whoever has another way to it, or wants to know how long the way is.

use std::time::Duration;

/// A sign of whether what we send reaches a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sign {
    /// It answered a question of ours.
    Answered {
        /// How long that took, where the question was sent once only: of several it cannot be told which one an answer
        /// belongs to (RFC 6298 §3).
        after: Option<Duration>,
    },
    /// It repeats a request that was answered: our answers do not reach it, or its repeats were under way already. Anybody may
    /// have recorded the request and send it again, so this is a hint and proves nothing.
    AskedAgain,
}
