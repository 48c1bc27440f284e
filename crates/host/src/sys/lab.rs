//! A child's first moments, and the counters of a packet socket.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;

use super::namespace::enter_network;
use super::socket::check;

/// Between fork and exec the child enters `network`, and asks to be killed when the thread that forked it ends.
pub(crate) fn bind_child(command: &mut Command, network: Arc<File>) {
    let parent = std::process::id();
    let prepare = move || {
        enter_network(network.as_fd())?;
        die_with_parent(parent)
    };
    // SAFETY: the closure makes system calls alone (setns, prctl, getppid) and allocates nothing: io::Error from errno is a number.
    unsafe { command.pre_exec(prepare) };
}

fn die_with_parent(parent: u32) -> io::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes its argument by value.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong, 0, 0, 0) })?;
    // A parent that died before the request will not be noticed.
    // SAFETY: getppid takes nothing and always succeeds.
    if u32::try_from(unsafe { libc::getppid() }) == Ok(parent) {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::ESRCH))
    }
}

/// Packets a packet socket has seen and dropped for want of room since the last call (`PACKET_STATISTICS`, packet(7)).
pub(crate) fn packet_statistics(fd: BorrowedFd<'_>) -> io::Result<(u32, u32)> {
    // SAFETY: an all-zero tpacket_stats is a valid value.
    let mut stats: libc::tpacket_stats = unsafe { zeroed() };
    let mut len = size_of::<libc::tpacket_stats>() as libc::socklen_t;
    // SAFETY: the pointers describe `stats` and its length, and both outlive the call.
    check(unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut stats).cast::<libc::c_void>(),
            &raw mut len,
        )
    })?;
    Ok((stats.tp_packets, stats.tp_drops))
}
