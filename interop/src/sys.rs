//! The few system calls the standard library has no name for: entering a namespace, signals, raw ICMP sockets and
//! socket buffers. The only unsafe code of this crate.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Moves the calling thread, and nothing else, into the network namespace `file` refers to.
pub fn enter_network_namespace(file: &File) -> io::Result<()> {
    // SAFETY: setns takes a descriptor, which `file` keeps open during the call, and a flag; it touches no memory.
    check(unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) })
}

/// Sends `signal` to the process `pid`.
pub fn signal(pid: u32, signal: i32) -> io::Result<()> {
    let pid = i32::try_from(pid).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    if pid <= 1 {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: kill takes two integers and touches no memory; pid is positive, so it names one process.
    check(unsafe { libc::kill(pid, signal) })
}

/// Lets the kernel kill the command's process when the thread that started it ends, however it ends.
pub fn die_with_this_thread(command: &mut Command) {
    // SAFETY: the closure runs between fork and exec and makes a single async-signal-safe call, which touches no memory.
    unsafe {
        command.pre_exec(|| check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0)));
    }
}

/// A raw ICMPv4 socket (needs CAP_NET_RAW), wrapped as a [`UdpSocket`] for its `send_to`, `recv_from` and timeouts; what
/// is received begins with the IP header, and ports mean nothing.
pub fn raw_icmp_socket() -> io::Result<UdpSocket> {
    // SAFETY: socket takes three integers and touches no memory.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::IPPROTO_ICMP) };
    check(fd)?;
    // SAFETY: fd was just returned by the kernel and has no other owner.
    Ok(UdpSocket::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Sets the receive buffer of `socket` to `bytes`, beyond the system's limit (needs CAP_NET_ADMIN).
pub fn force_receive_buffer(socket: &UdpSocket, bytes: i32) -> io::Result<()> {
    let len = libc::socklen_t::try_from(size_of::<i32>()).unwrap_or(4);
    // SAFETY: the option's value is an int which lives on this stack during the call, and `len` is its size.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            (&raw const bytes).cast::<libc::c_void>(),
            len,
        )
    })
}

/// Whether this process runs as root.
pub fn is_root() -> bool {
    // SAFETY: geteuid has no argument and always succeeds.
    unsafe { libc::geteuid() == 0 }
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
