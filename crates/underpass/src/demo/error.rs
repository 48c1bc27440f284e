//! Why a step of the demo fails.

use crate::exit::Failure;
use host::netlink::NetlinkError;
use host::netns::NetNsError;
use std::io;

/// Why a step fails.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// A namespace cannot be made or entered.
    #[error(transparent)]
    Namespace(#[from] NetNsError),
    /// A link, an address or a route cannot be made.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// A system call.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// What was to be shown is not so.
    #[error("{0}")]
    Unexpected(String),
}

impl From<Failure> for StepError {
    /// A gateway does not answer, or refuses.
    fn from(failure: Failure) -> StepError {
        StepError::Unexpected(failure.message)
    }
}

/// For `map_err`: what was tried.
pub fn io_error(what: &'static str) -> impl FnOnce(io::Error) -> StepError {
    move |source| StepError::Io { what, source }
}
