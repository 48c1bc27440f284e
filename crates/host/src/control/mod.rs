//! The control socket: how `underpass status`, `up`, `down` and the rest talk to a running gateway.
//!
//! A Unix stream socket; each line is one JSON value. A request gets one response, or, for `log -f`, as many as there are until
//! either side hangs up. Whoever may open the socket (owner and group) may control the gateway.

use std::io;
use std::path::PathBuf;

mod client;
pub(crate) mod listening;
pub(crate) mod outbox;
mod owner;
mod server;

pub use client::ControlClient;
pub use owner::Owner;
pub use server::{ClientId, ControlServer, Request};

/// Longest request line in bytes, its end included.
pub const REQUEST_MAX: usize = 64 * 1024;
/// Longest response line that a client takes.
pub const RESPONSE_MAX: usize = 64 * 1024 * 1024;
/// Connections at a time; one more is closed at once.
pub const CLIENTS_MAX: usize = 32;
/// Responses waiting for one slow client; beyond that it is dropped.
pub const BACKLOG_MAX: usize = 4 * 1024 * 1024;

/// What goes wrong with a control socket.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Somebody answers on this socket already.
    #[error("another gateway already answers at {}", path.display())]
    AlreadyRunning {
        /// The socket.
        path: PathBuf,
    },
    /// There is a file of that name which is no socket.
    #[error("{} exists and is no socket: remove it, or choose another path", path.display())]
    NotASocket {
        /// The file.
        path: PathBuf,
    },
    /// Nobody answers.
    #[error("no gateway is running at {}", path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
    },
    /// The socket's permissions do not let us in.
    #[error("no permission for {}: be root or a member of its group", path.display())]
    NotPermitted {
        /// The socket.
        path: PathBuf,
    },
    /// No answer in time.
    #[error("the gateway at {} does not answer", path.display())]
    Timeout {
        /// The socket.
        path: PathBuf,
    },
    /// The answer is no JSON, or too long, or the connection ended within it.
    #[error("the gateway's answer is not understood: {reason}")]
    BadResponse {
        /// What is wrong with it.
        reason: String,
    },
    /// Anything else.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// The step that failed.
        what: &'static str,
        /// The socket.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}
