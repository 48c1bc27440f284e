//! What a laboratory of namespaces needs beside them ([`crate::netns`]): processes inside that end with their maker, an eye on
//! what passes through, echo requests.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command};
use std::time::Duration;

use crate::netns::NetNs;
use crate::sys;
use crate::udp::grow_buffers;

/// Starts a process inside `namespace`. The kernel kills it when the *calling thread* ends, however that happens: call this in a thread
/// that lives as long as the process is to live.
///
/// # Errors
/// The program cannot be started, or the namespace may not be entered.
pub fn spawn_bound(command: &mut Command, namespace: &NetNs) -> io::Result<Child> {
    sys::lab::bind_child(command, namespace.handle());
    command.spawn()
}

/// Gives a socket buffers for bursts, as far as this user may have them.
pub fn deepen_buffers(socket: &impl AsFd) {
    grow_buffers(socket.as_fd());
}

/// Sees every IPv4 packet that comes *into* the namespace of the thread that opened it, from the IP header on, each once. Nothing is
/// taken away from whoever it is for. IPv4 alone, and not what the namespace itself sends.
#[derive(Debug)]
pub struct LinkTap {
    socket: UdpSocket,
}

impl LinkTap {
    /// Opens it in the calling thread's namespace.
    ///
    /// # Errors
    /// `PermissionDenied` without `CAP_NET_RAW`.
    pub fn open() -> io::Result<Self> {
        let protocol = libc::c_int::from((libc::ETH_P_IP as u16).to_be());
        let fd = sys::socket::open(libc::AF_PACKET, libc::SOCK_DGRAM, protocol)?;
        grow_buffers(fd.as_fd());
        Ok(Self { socket: blocking(fd)? })
    }

    /// The next packet, its first `buffer.len()` bytes at most; `None` when none comes within `timeout`.
    ///
    /// # Errors
    /// The system's.
    pub fn next<'b>(&self, buffer: &'b mut [u8], timeout: Duration) -> io::Result<Option<&'b [u8]>> {
        self.socket.set_read_timeout(Some(timeout))?;
        // `recv`, because the sender's address is none of the Internet's.
        let len = none_in_time(self.socket.recv(buffer))?;
        Ok(len.and_then(|len| buffer.get(..len)))
    }

    /// Packets missed since the last call, because nobody read fast enough.
    ///
    /// # Errors
    /// The system's.
    pub fn missed(&self) -> io::Result<u32> {
        sys::lab::packet_statistics(self.socket.as_fd()).map(|(_, dropped)| dropped)
    }
}

/// Sends and receives ICMP messages (RFC 792) in the namespace of the thread that opened it.
#[derive(Debug)]
pub struct IcmpSocket {
    socket: UdpSocket,
}

impl IcmpSocket {
    /// Opens it in the calling thread's namespace.
    ///
    /// # Errors
    /// `PermissionDenied` without `CAP_NET_RAW`.
    pub fn open() -> io::Result<Self> {
        let fd = sys::socket::open(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)?;
        Ok(Self { socket: blocking(fd)? })
    }

    /// Sends one ICMP message, without its IP header.
    ///
    /// # Errors
    /// The system's; no route is one of them.
    pub fn send_to(&self, remote: Ipv4Addr, message: &[u8]) -> io::Result<()> {
        self.socket.send_to(message, SocketAddr::new(remote.into(), 0)).map(drop)
    }

    /// The next ICMP packet to this namespace, from the IP header on; `None` when none comes within `timeout`.
    ///
    /// # Errors
    /// The system's.
    pub fn next<'b>(&self, buffer: &'b mut [u8], timeout: Duration) -> io::Result<Option<&'b [u8]>> {
        self.socket.set_read_timeout(Some(timeout))?;
        let len = none_in_time(self.socket.recv(buffer))?;
        Ok(len.and_then(|len| buffer.get(..len)))
    }
}

/// The standard library's timeouts and calls work for any socket, not only for UDP.
fn blocking(fd: OwnedFd) -> io::Result<UdpSocket> {
    let socket = UdpSocket::from(fd);
    socket.set_nonblocking(false)?;
    Ok(socket)
}

fn none_in_time(received: io::Result<usize>) -> io::Result<Option<usize>> {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    match received {
        Ok(len) => Ok(Some(len)),
        Err(error) if matches!(error.kind(), WouldBlock | TimedOut | Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}
