//! UDP to and from peers, many datagrams per call.
//!
//! Sending uses UDP GSO (`UDP_SEGMENT`) and receiving UDP GRO where the kernel has them; both fall back without a word to the
//! caller. Every received datagram comes with its destination address (a gateway may have several) and its TOS byte
//! (RFC 6040 needs the outer ECN bits); ICMP errors arrive as typed [`UdpError`]s from the socket's error queue.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use crate::batch::{self, Destination, Position, ReceiveBatch, SendBatch, SendReport};
use crate::port_owner::{PortOwner, find_udp_port_owner};
use crate::sys::message::{self, Departure};
use crate::sys::socket;

/// Socket buffers asked for: a burst of 46 datagrams must not be dropped while a worker is busy.
const BUFFER_LEN: i32 = 8 << 20;
/// Longest datagram that is sent with `UDP_SEGMENT`; everything a tunnel produces is shorter.
const GSO_DATAGRAM_MAX: usize = 9_216;
/// Bytes of the failed datagram kept in a [`UdpError`]: enough for a UDP-encapsulated ESP header or an IKE header.
pub const ERROR_PAYLOAD_LEN: usize = 64;

/// Whether datagrams that are too long may be fragmented on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DontFragment {
    /// DF set and the path MTU left to us (`IP_PMTUDISC_PROBE`): ICMP "too big" comes as [`UdpErrorKind::TooBig`].
    #[default]
    Set,
    /// DF clear: routers (IPv4), or this host, may fragment (`IP_PMTUDISC_DONT`).
    Clear,
}

/// How to open a [`UdpSocket`].
#[derive(Debug, Clone, Copy)]
pub struct UdpOptions {
    /// Local address and port; port 0 lets the kernel choose.
    pub local: SocketAddr,
    /// Several sockets on this address, one per worker (`SO_REUSEPORT`); the kernel spreads flows over them.
    pub reuse_port: bool,
    /// DF policy.
    pub dont_fragment: DontFragment,
}

/// Why a UDP socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum UdpOpenError {
    /// Another process has the port.
    #[error("UDP port {port} is taken by {owner}; stop it, or choose another port or address")]
    PortTaken {
        /// The port.
        port: u16,
        /// Who has it.
        owner: PortOwner,
    },
    /// The address does not belong to this machine (yet).
    #[error("{address} is not an address of this machine")]
    NoSuchAddress {
        /// The address asked for.
        address: SocketAddr,
    },
    /// Ports below 1024 need a capability.
    #[error("UDP port {port} needs CAP_NET_BIND_SERVICE: run as root or give the service that capability")]
    NotPermitted {
        /// The port.
        port: u16,
    },
    /// Anything else.
    #[error("cannot open UDP socket on {address}: {source}")]
    Io {
        /// The address asked for.
        address: SocketAddr,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// What the kernel granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpCapabilities {
    /// `UDP_SEGMENT` is known to the kernel.
    pub segmentation_offload: bool,
    /// `UDP_GRO` is on.
    pub receive_offload: bool,
    /// Receive buffer in bytes (the kernel's doubled figure).
    pub receive_buffer: usize,
    /// Send buffer in bytes (the kernel's doubled figure).
    pub send_buffer: usize,
}

/// A non-blocking UDP socket. Shared by reference between threads.
pub struct UdpSocket {
    fd: OwnedFd,
    local: SocketAddr,
    capabilities: UdpCapabilities,
    gso_limit: AtomicUsize,
    dropped_by_kernel: AtomicU32,
    fragmentable: AtomicBool,
}

/// An ICMP error (or a local one) about a datagram sent earlier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UdpError {
    /// Where the datagram was going.
    pub remote: SocketAddr,
    /// What happened to it.
    pub kind: UdpErrorKind,
    /// Who said so; `None` for this machine itself.
    pub offender: Option<IpAddr>,
    /// The first bytes of the datagram's payload as sent, at most [`ERROR_PAYLOAD_LEN`]. ICMP is not authenticated: use it to
    /// find which tunnel is meant, never to tear one down.
    pub payload: Vec<u8>,
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UdpErrorKind {
    /// Larger than the next link's MTU, which is this many bytes of IP packet.
    TooBig {
        /// Bytes, IP header included; 0 when the router did not tell.
        mtu: u32,
    },
    /// Nobody listens on the peer's port (ICMP port unreachable).
    PortUnreachable,
    /// Network, host or protocol unreachable, or prohibited, with ICMP type and code.
    Unreachable {
        /// ICMP type.
        icmp_type: u8,
        /// ICMP code.
        icmp_code: u8,
    },
    /// Anything else, by errno.
    Other {
        /// The errno.
        errno: i32,
    },
}

impl UdpSocket {
    /// Opens and binds a socket in the network namespace of the calling thread.
    pub fn open(options: &UdpOptions) -> Result<Self, UdpOpenError> {
        let address = options.local;
        let io = |source| UdpOpenError::Io { address, source };
        let domain = match address {
            SocketAddr::V4(_) => libc::AF_INET,
            SocketAddr::V6(_) => libc::AF_INET6,
        };
        let fd = socket::open(domain, libc::SOCK_DGRAM, 0).map_err(io)?;
        set_common_options(fd.as_fd(), address.is_ipv6(), options.dont_fragment).map_err(io)?;
        if address.is_ipv6() {
            // IPv4 has sockets of its own (a raw IPv6 socket never sees IPv4, and refuses this option).
            socket::set_option(fd.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1).map_err(io)?;
        }
        if options.reuse_port {
            socket::set_option(fd.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEPORT, 1).map_err(io)?;
        }
        let receive_offload = socket::set_option(fd.as_fd(), libc::SOL_UDP, libc::UDP_GRO, 1).is_ok();
        let segmentation_offload = socket::set_option(fd.as_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, 0).is_ok();
        let (receive_buffer, send_buffer) = grow_buffers(fd.as_fd());
        socket::bind(fd.as_fd(), address).map_err(|source| bind_error(address, source))?;
        let local = socket::local_address(fd.as_fd()).map_err(io)?;
        let gso_limit = if segmentation_offload { GSO_DATAGRAM_MAX } else { 0 };
        Ok(Self {
            fd,
            local,
            capabilities: UdpCapabilities { segmentation_offload, receive_offload, receive_buffer, send_buffer },
            gso_limit: AtomicUsize::new(gso_limit),
            dropped_by_kernel: AtomicU32::new(0),
            fragmentable: AtomicBool::new(options.dont_fragment == DontFragment::Clear),
        })
    }

    /// The address the socket is bound to.
    pub fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// What the kernel granted when the socket was opened.
    pub fn capabilities(&self) -> UdpCapabilities {
        self.capabilities
    }

    /// The longest datagram still sent with `UDP_SEGMENT`; 0 once a device has refused it.
    pub fn segmentation_limit(&self) -> usize {
        self.gso_limit.load(Ordering::Relaxed)
    }

    /// Messages the kernel dropped because our receive buffer was full, since the socket was opened. One message may be up to 64
    /// merged datagrams, so this is a lower bound of packets.
    pub fn dropped_by_kernel(&self) -> u32 {
        self.dropped_by_kernel.load(Ordering::Relaxed)
    }

    /// Changes the DF policy for what is sent from now on; costs nothing when it is that already.
    pub fn set_dont_fragment(&self, policy: DontFragment) -> io::Result<()> {
        change_dont_fragment(self.fd.as_fd(), self.local.is_ipv6(), policy, &self.fragmentable)
    }

    /// Receives what is there, without blocking. An empty batch means that nothing is.
    pub fn receive(&self, batch: &mut ReceiveBatch) -> io::Result<()> {
        let overflow = receive_past_errors(self.fd.as_fd(), batch)?;
        if let Some(count) = overflow {
            self.dropped_by_kernel.store(count, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Sends a whole batch; never blocks, never gives up at one refused datagram.
    pub fn send(&self, batch: &SendBatch) -> SendReport {
        self.send_from(batch, Position::default())
    }

    /// Sends a batch from where an earlier call was blocked.
    pub fn send_from(&self, batch: &SendBatch, position: Position) -> SendReport {
        let before = self.gso_limit.load(Ordering::Relaxed);
        let mut limit = before;
        let report = batch::send(self.fd.as_fd(), batch, position, &mut limit);
        if limit < before {
            self.gso_limit.fetch_min(limit, Ordering::Relaxed);
        }
        report
    }

    /// Sends one datagram.
    pub fn send_to(&self, to: &Destination, bytes: &[u8]) -> io::Result<()> {
        send_one(self.fd.as_fd(), to, bytes)
    }

    /// Takes one ICMP or local error from the queue, if there is one. Poll until `None` when the socket reports an error.
    pub fn take_error(&self) -> io::Result<Option<UdpError>> {
        take_queued_error(self.fd.as_fd())
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// One entry of a UDP or raw socket's error queue.
pub(crate) fn take_queued_error(fd: BorrowedFd<'_>) -> io::Result<Option<UdpError>> {
    let mut payload = [0; ERROR_PAYLOAD_LEN];
    while let Some(queued) = message::take_error(fd, &mut payload)? {
        let Some(remote) = queued.remote else {
            continue;
        };
        let len = queued.payload_len.min(payload.len());
        return Ok(Some(UdpError {
            remote,
            kind: error_kind(&queued),
            offender: queued.offender.filter(|_| queued.origin > 1),
            payload: payload.get(..len).unwrap_or_default().to_vec(),
        }));
    }
    Ok(None)
}

fn error_kind(queued: &message::QueuedError) -> UdpErrorKind {
    let icmp = matches!(queued.origin, libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6);
    match queued.errno {
        libc::EMSGSIZE => UdpErrorKind::TooBig { mtu: queued.info },
        libc::ECONNREFUSED if icmp => UdpErrorKind::PortUnreachable,
        _ if icmp => UdpErrorKind::Unreachable { icmp_type: queued.icmp_type, icmp_code: queued.icmp_code },
        errno => UdpErrorKind::Other { errno },
    }
}

fn bind_error(address: SocketAddr, source: io::Error) -> UdpOpenError {
    let port = address.port();
    match source.raw_os_error() {
        Some(libc::EADDRINUSE) => UdpOpenError::PortTaken { port, owner: find_udp_port_owner(address) },
        Some(libc::EADDRNOTAVAIL) => UdpOpenError::NoSuchAddress { address },
        Some(libc::EACCES) => UdpOpenError::NotPermitted { port },
        _ => UdpOpenError::Io { address, source },
    }
}

/// Options that UDP and raw ESP sockets share: TOS and destination of every datagram, overflow count, error queue, DF policy.
pub(crate) fn set_common_options(fd: BorrowedFd<'_>, v6: bool, dont_fragment: DontFragment) -> io::Result<()> {
    if v6 {
        socket::set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, 1)?;
        socket::set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
        socket::set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1)?;
    } else {
        socket::set_option(fd, libc::IPPROTO_IP, libc::IP_RECVTOS, 1)?;
        socket::set_option(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
        socket::set_option(fd, libc::IPPROTO_IP, libc::IP_RECVERR, 1)?;
    }
    socket::set_option(fd, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)?;
    set_dont_fragment(fd, v6, dont_fragment)
}

/// As [`set_dont_fragment`], unless `fragmentable` says that it is so already.
pub(crate) fn change_dont_fragment(
    fd: BorrowedFd<'_>,
    v6: bool,
    policy: DontFragment,
    fragmentable: &AtomicBool,
) -> io::Result<()> {
    let clear = policy == DontFragment::Clear;
    if fragmentable.swap(clear, Ordering::Relaxed) == clear {
        return Ok(());
    }
    set_dont_fragment(fd, v6, policy)
}

fn set_dont_fragment(fd: BorrowedFd<'_>, v6: bool, policy: DontFragment) -> io::Result<()> {
    if v6 {
        let value = match policy {
            DontFragment::Set => libc::IPV6_PMTUDISC_PROBE,
            DontFragment::Clear => libc::IPV6_PMTUDISC_DONT,
        };
        socket::set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, value)
    } else {
        let value = match policy {
            DontFragment::Set => libc::IP_PMTUDISC_PROBE,
            DontFragment::Clear => libc::IP_PMTUDISC_DONT,
        };
        socket::set_option(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, value)
    }
}

/// Grows both buffers past the system's limit where we may, up to it where we may not. Returns what they are.
pub(crate) fn grow_buffers(fd: BorrowedFd<'_>) -> (usize, usize) {
    let grow = |force, plain, name| {
        if socket::set_option(fd, libc::SOL_SOCKET, force, BUFFER_LEN).is_err() {
            // Without CAP_NET_ADMIN the system's limit holds; a smaller buffer is no reason to fail.
            let _ = socket::set_option(fd, libc::SOL_SOCKET, plain, BUFFER_LEN);
        }
        let len = socket::option(fd, libc::SOL_SOCKET, name).unwrap_or(0);
        usize::try_from(len).unwrap_or(0)
    };
    (
        grow(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, libc::SO_RCVBUF),
        grow(libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, libc::SO_SNDBUF),
    )
}

/// Receives; a pending ICMP error makes one call fail, which is not a failure to receive (the error queue has it).
pub(crate) fn receive_past_errors(fd: BorrowedFd<'_>, batch: &mut ReceiveBatch) -> io::Result<Option<u32>> {
    fill_past_errors(fd, batch, |_, _| true)
}

pub(crate) fn fill_past_errors(
    fd: BorrowedFd<'_>,
    batch: &mut ReceiveBatch,
    keep: impl Fn(&mut batch::Received, &[u8]) -> bool,
) -> io::Result<Option<u32>> {
    /// Errors read past in one call, so that a flood of ICMP cannot hold a worker.
    const PENDING_ERRORS: usize = 4;
    for _ in 0..PENDING_ERRORS {
        match batch.fill(fd, &keep) {
            Ok(overflow) => return Ok(overflow),
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN) => return Ok(None),
                Some(
                    libc::EINTR
                    | libc::ECONNREFUSED
                    | libc::EHOSTUNREACH
                    | libc::ENETUNREACH
                    | libc::EMSGSIZE
                    | libc::EPROTO
                    | libc::EACCES
                    | libc::EOPNOTSUPP
                    | libc::ENOPROTOOPT
                    | libc::EHOSTDOWN
                    | libc::ENONET,
                ) => {}
                _ => return Err(error),
            },
        }
    }
    Ok(None)
}

/// Sends one datagram; an ICMP error pending from an earlier one is no reason to fail.
pub(crate) fn send_one(fd: BorrowedFd<'_>, to: &Destination, bytes: &[u8]) -> io::Result<()> {
    let departure = Departure { remote: to.remote, local: to.local, tos: to.tos, bytes, segment_len: None };
    let once = || message::send(fd, std::iter::once(departure));
    match once() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
        Err(_) => once().map(|_| ()),
    }
}
