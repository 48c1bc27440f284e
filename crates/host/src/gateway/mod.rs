//! A running gateway: the engine in one thread, packet workers in others, joined by a table and a bounded queue.
//!
//! ```text
//!            ┌──────────── engine thread (epoll) ────────────┐
//!  UDP 500 ──┤ Engine   control socket   signals   netlink   ├── Publish ──► ArcSwap<ForwardingTable>
//!            └───────▲───────────────────────────────────────┘                   │ read per batch
//!                    │ WorkerMessage (bounded)                                    ▼
//!            ┌───────┴── outbound workers: TUN ─► seal ─► UDP 4500 / protocol 50
//!            └────────── inbound worker:   UDP 4500 / protocol 50 ─► open ─► TUN
//! ```
//! Nothing is sent in clear: protected prefixes have an unreachable route before anything else happens, and it outlives
//! the process.

mod capture;
mod commands;
mod inbound;
mod journal;
mod key_export;
mod lifecycle;
mod names;
mod network;
mod observe;
mod outbound;
mod outer;
mod routes;
mod run;
mod serve;
mod sockets;
mod sysctl;
mod vici;
mod watch;

pub use run::run;

use crate::control::ControlError;
use crate::esp_socket::EspOpenError;
use crate::netlink::NetlinkError;
use crate::tun::TunError;
use crate::udp::UdpOpenError;
use engine::desired::DesiredState;
use engine::path::Feedback;
use ike::config::Path;
use ipsec::Spi;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// What a gateway needs to start.
pub struct Options {
    /// What the engine is to do.
    pub desired: DesiredState,
    /// Name of the TUN interface.
    pub interface: String,
    /// Local addresses; empty means every address.
    pub listen: Vec<IpAddr>,
    /// The control socket.
    pub socket: PathBuf,
    /// The socket for clients of VICI, if there is to be one.
    pub vici_socket: Option<PathBuf>,
    /// Leave the unreachable routes behind at an orderly stop, too.
    pub keep_unreachable: bool,
    /// Where metrics are served by HTTP, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// Where baselines are kept, if anywhere.
    pub state: Option<PathBuf>,
    /// Set what the gateway needs of the machine's settings, and give it back; else it is only told.
    pub manage_sysctls: bool,
    /// Write the log as JSON lines.
    pub json_log: bool,
    /// Reads the configuration again; the error is what to tell the operator.
    pub reload: Box<dyn FnMut() -> Result<DesiredState, String>>,
    /// Version of the program, for the status.
    pub version: &'static str,
    /// RFC 3339 of seconds and milliseconds since 1970.
    pub timestamp: fn(u64, u32) -> String,
}

/// Why a gateway does not run.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// No TUN device.
    #[error(transparent)]
    Tun(#[from] TunError),
    /// No UDP socket.
    #[error(transparent)]
    Udp(#[from] UdpOpenError),
    /// No protocol 50 socket.
    #[error(transparent)]
    Esp(#[from] EspOpenError),
    /// No route or address.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// No control socket.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// No place for metrics.
    #[error("cannot serve metrics at {address}: {source}; choose another address and port with `metrics` in [gateway]")]
    Metrics {
        /// The address asked for.
        address: SocketAddr,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot {what}: {source}")]
    Io {
        /// The step that failed.
        what: &'static str,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

/// What workers tell the engine thread.
#[derive(Debug)]
enum WorkerMessage {
    /// An IKE message that came in on the NAT-T port, its marker removed.
    Ike(Path, Vec<u8>),
    /// What the packet path learned.
    Feedback(Feedback),
    /// A packet to a peer was larger than a link on the way carries; unproven.
    TooBig {
        /// Whom it was for.
        remote: IpAddr,
        /// Its SPI, where the message shows it.
        spi: Option<Spi>,
        /// The link's MTU in bytes; 0 where it was not told.
        mtu: u32,
    },
}

/// Messages from workers that may wait; more are dropped, and peers send them again.
const WORKER_QUEUE: usize = 4096;

fn io_error(what: &'static str) -> impl FnOnce(io::Error) -> GatewayError {
    move |source| GatewayError::Io { what, source }
}
