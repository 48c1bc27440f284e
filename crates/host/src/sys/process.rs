//! Settings of this process: core dumps, the monotonic clock in the kernel's own units. Other processes, held by a descriptor.
#![allow(unsafe_code)]

use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::socket::check;

/// No core file, and no attaching by other processes of the same user (`PR_SET_DUMPABLE`, `RLIMIT_CORE`).
pub(crate) fn refuse_core_dumps() -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: setrlimit reads one rlimit, which outlives the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) })?;
    let not_dumpable: libc::c_ulong = 0;
    // SAFETY: PR_SET_DUMPABLE takes its argument by value.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, not_dumpable, 0, 0, 0) })?;
    Ok(())
}

/// Whether this process may be dumped (`PR_GET_DUMPABLE`).
#[cfg(test)]
pub(crate) fn is_dumpable() -> io::Result<bool> {
    // SAFETY: PR_GET_DUMPABLE takes no argument.
    Ok(check(unsafe { libc::prctl(libc::PR_GET_DUMPABLE, 0, 0, 0, 0) })? != 0)
}

/// `CLOCK_MONOTONIC` in microseconds, as systemd compares it.
pub(crate) fn monotonic_microseconds() -> u64 {
    // SAFETY: an all-zero timespec is a valid value.
    let mut time: libc::timespec = unsafe { zeroed() };
    // SAFETY: clock_gettime writes one timespec, which outlives the call. CLOCK_MONOTONIC always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    (time.tv_sec as u64) * 1_000_000 + (time.tv_nsec as u64) / 1_000
}

/// A descriptor of a process (`pidfd_open`): it stays that process whatever becomes of its number.
pub(crate) fn hold(pid: u32) -> io::Result<OwnedFd> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: both arguments are passed by value.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = check(result as libc::c_int)?;
    // SAFETY: the kernel just gave us this descriptor, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends SIGTERM to a process that [`hold`] holds.
pub(crate) fn terminate(process: BorrowedFd<'_>) -> io::Result<()> {
    let no_information: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: a null siginfo is allowed, everything else is passed by value.
    let result =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), libc::SIGTERM, no_information, 0) };
    check(result as libc::c_int).map(drop)
}
