//! ESP without UDP: raw sockets for IP protocol 50 (RFC 4303).
//!
//! Used when no NAT is between the peers and UDP encapsulation is not forced. There is no segmentation offload for protocol 50, so
//! a tunnel over UDP is faster. The kernel delivers IPv4 packets with their header, which is taken off here; packets it had to
//! reassemble arrive whole.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::batch::{self, Destination, Position, ReceiveBatch, Received, SendBatch, SendReport};
use crate::sys::socket;
use crate::udp::{
    DontFragment, UdpError, change_dont_fragment, fill_past_errors, grow_buffers, send_one, set_common_options,
    take_queued_error,
};

/// Why a raw socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum EspOpenError {
    /// Raw sockets need a capability.
    #[error(
        "ESP without UDP needs CAP_NET_RAW: run as root, give the service that capability, or force UDP encapsulation"
    )]
    NotPermitted,
    /// The address does not belong to this machine (yet).
    #[error("{address} is not an address of this machine")]
    NoSuchAddress {
        /// The address asked for.
        address: IpAddr,
    },
    /// Anything else.
    #[error("cannot open raw ESP socket on {address}: {source}")]
    Io {
        /// The address asked for.
        address: IpAddr,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// A non-blocking raw socket for ESP. Ports in its addresses are 0 and mean nothing.
pub struct EspSocket {
    fd: OwnedFd,
    v6: bool,
    dropped_by_kernel: AtomicU32,
    fragmentable: AtomicBool,
}

impl EspSocket {
    /// Opens a socket for ESP packets to `local` (unspecified: to any address of this machine and of that IP version), in the
    /// network namespace of the calling thread.
    pub fn open(local: IpAddr, dont_fragment: DontFragment) -> Result<Self, EspOpenError> {
        let io = |source| EspOpenError::Io { address: local, source };
        let v6 = local.is_ipv6();
        let domain = if v6 { libc::AF_INET6 } else { libc::AF_INET };
        let fd =
            socket::open(domain, libc::SOCK_RAW, libc::IPPROTO_ESP).map_err(|source| match source.raw_os_error() {
                Some(libc::EPERM | libc::EACCES) => EspOpenError::NotPermitted,
                _ => io(source),
            })?;
        set_common_options(fd.as_fd(), v6, dont_fragment).map_err(io)?;
        grow_buffers(fd.as_fd());
        socket::bind(fd.as_fd(), SocketAddr::new(local, 0)).map_err(|source| match source.raw_os_error() {
            Some(libc::EADDRNOTAVAIL) => EspOpenError::NoSuchAddress { address: local },
            _ => io(source),
        })?;
        let fragmentable = AtomicBool::new(dont_fragment == DontFragment::Clear);
        Ok(Self { fd, v6, dropped_by_kernel: AtomicU32::new(0), fragmentable })
    }

    /// Changes the DF policy for what is sent from now on; costs nothing when it is that already.
    pub fn set_dont_fragment(&self, policy: DontFragment) -> io::Result<()> {
        change_dont_fragment(self.fd.as_fd(), self.v6, policy, &self.fragmentable)
    }

    /// Packets the kernel dropped because our receive buffer was full, since the socket was opened.
    pub fn dropped_by_kernel(&self) -> u32 {
        self.dropped_by_kernel.load(Ordering::Relaxed)
    }

    /// Receives what is there, without blocking. Each message is one ESP packet, from its SPI on.
    pub fn receive(&self, batch: &mut ReceiveBatch) -> io::Result<()> {
        let v6 = self.v6;
        let overflow =
            fill_past_errors(self.fd.as_fd(), batch, |message, bytes| v6 || strip_ipv4_header(message, bytes))?;
        if let Some(count) = overflow {
            self.dropped_by_kernel.store(count, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Sends a whole batch, packet by packet; never blocks, never gives up at one refused packet.
    pub fn send(&self, batch: &SendBatch) -> SendReport {
        self.send_from(batch, Position::default())
    }

    /// Sends a batch from where an earlier call was blocked.
    pub fn send_from(&self, batch: &SendBatch, position: Position) -> SendReport {
        let mut no_segmentation = 0;
        batch::send(self.fd.as_fd(), batch, position, &mut no_segmentation)
    }

    /// Sends one ESP packet. The port of `to.remote` must be 0.
    pub fn send_to(&self, to: &Destination, packet: &[u8]) -> io::Result<()> {
        send_one(self.fd.as_fd(), to, packet)
    }

    /// Takes one ICMP or local error about an ESP packet from the queue, if there is one; the port of its `remote` is 0. Until the
    /// queue is empty the socket counts as readable.
    pub fn take_error(&self) -> io::Result<Option<UdpError>> {
        take_queued_error(self.fd.as_fd())
    }
}

impl AsFd for EspSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Reads source, destination and TOS from the header in front of a raw IPv4 packet and skips it; `false` for what is no ESP packet.
fn strip_ipv4_header(message: &mut Received, packet: &[u8]) -> bool {
    let Some(header) = packet.first_chunk::<20>() else {
        return false;
    };
    let header_len = usize::from(header[0] & 0x0f) * 4;
    if header[0] >> 4 != 4 || header_len < 20 || header_len > packet.len() || header[9] != 50 {
        return false;
    }
    let source = Ipv4Addr::new(header[12], header[13], header[14], header[15]);
    let destination = Ipv4Addr::new(header[16], header[17], header[18], header[19]);
    message.tos = header[1];
    message.remote = SocketAddr::new(source.into(), 0);
    message.local = Some(destination.into());
    message.skip(header_len);
    true
}
