//! The kernel's links, addresses and routes, asked for and changed over rtnetlink (RFC 3549).
//!
//! A [`Netlink`] handle belongs to the network namespace of the thread that opened it, and may be used from any thread. Calls block,
//! but only on this machine's kernel. Changes elsewhere are reported by a [`monitor::Monitor`].

use std::io;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

pub mod address;
pub mod link;
pub mod monitor;
mod prefix;
pub mod route;

pub use address::Address;
pub use link::Link;
pub use monitor::{Change, Monitor};
pub use prefix::{BadPrefix, Prefix};
pub use route::{ROUTE_PROTOCOL, Route, RouteKind, STATIC_PROTOCOL};

/// The kernel sends at most 32 KiB at once; a link with very many virtual functions may come in more.
const BUFFER_LEN: usize = 1 << 18;

/// A connection to the kernel's routing tables.
pub struct Netlink {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// The kernel refused.
    #[error("cannot {operation}: {}", explain(*errno))]
    Refused {
        /// What was asked, for people.
        operation: String,
        /// The kernel's errno, positive.
        errno: i32,
    },
    /// The conversation itself failed.
    #[error("cannot {operation}: netlink: {source}")]
    Io {
        /// What was asked, for people.
        operation: String,
        /// The system call's error.
        #[source]
        source: io::Error,
    },
    /// The kernel's answer could not be read.
    #[error("cannot {operation}: the kernel's answer is not understood: {reason}")]
    Decode {
        /// What was asked, for people.
        operation: String,
        /// The decoder's words.
        reason: String,
    },
}

impl NetlinkError {
    /// The kernel's errno, when it refused.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused { errno, .. } => Some(*errno),
            Self::Io { source, .. } => source.raw_os_error(),
            Self::Decode { .. } => None,
        }
    }
}

fn explain(errno: i32) -> String {
    let error = io::Error::from_raw_os_error(errno);
    match errno {
        libc::EPERM | libc::EACCES => {
            format!("{error}: this needs CAP_NET_ADMIN (run as root, or give the service that capability)")
        }
        _ => error.to_string(),
    }
}

impl Netlink {
    /// Opens a handle to the network namespace of the calling thread.
    pub fn open() -> Result<Self, NetlinkError> {
        let io = |source| NetlinkError::Io { operation: "open a netlink socket".to_owned(), source };
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(io)?;
        socket.bind_auto().map_err(io)?;
        socket.connect(&SocketAddr::new(0, 0)).map_err(io)?;
        // Lets the kernel filter dumps by table and protocol (since 4.20); without it we do that alone.
        let _ = socket.set_netlink_get_strict_chk(true);
        Ok(Self { socket, sequence: 0, buffer: Vec::with_capacity(BUFFER_LEN) })
    }

    /// Sends a request for a change and waits for its acknowledgement.
    fn change(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        operation: impl Fn() -> String,
    ) -> Result<(), NetlinkError> {
        self.exchange(message, flags | NLM_F_ACK, &operation, |_| {})
    }

    /// Asks for a whole table and hands each entry to `each`.
    fn dump(
        &mut self,
        message: RouteNetlinkMessage,
        operation: impl Fn() -> String,
        each: impl FnMut(RouteNetlinkMessage),
    ) -> Result<(), NetlinkError> {
        self.exchange(message, NLM_F_DUMP, &operation, each)
    }

    fn exchange(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        operation: &dyn Fn() -> String,
        mut each: impl FnMut(RouteNetlinkMessage),
    ) -> Result<(), NetlinkError> {
        let io = |source| NetlinkError::Io { operation: operation(), source };
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map_err(io)?;
        loop {
            self.buffer.clear();
            let len = self.socket.recv(&mut self.buffer, 0).map_err(io)?;
            let datagram = self.buffer.get(..len).unwrap_or(&self.buffer);
            for answer in Messages::new(datagram) {
                let answer = answer.map_err(|reason| NetlinkError::Decode { operation: operation(), reason })?;
                if answer.header.sequence_number != self.sequence {
                    continue;
                }
                match answer.payload {
                    NetlinkPayload::Done(_) => return Ok(()),
                    NetlinkPayload::Error(error) => match error.code {
                        None => return Ok(()),
                        Some(code) => {
                            return Err(NetlinkError::Refused {
                                operation: operation(),
                                errno: code.get().saturating_abs(),
                            });
                        }
                    },
                    NetlinkPayload::InnerMessage(inner) => each(inner),
                    _ => {}
                }
            }
        }
    }
}

/// The messages in one netlink datagram.
struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }
}

impl Iterator for Messages<'_> {
    type Item = Result<NetlinkMessage<RouteNetlinkMessage>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let header = self.rest.first_chunk::<16>()?;
        let len = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let Some(message) = self.rest.get(..len.max(16)) else {
            self.rest = &[];
            return Some(Err("a message longer than its datagram".to_owned()));
        };
        let next = message.len().next_multiple_of(4);
        self.rest = self.rest.get(next..).unwrap_or_default();
        Some(NetlinkMessage::deserialize(message).map_err(|error| error.to_string()))
    }
}
