//! Settings of this process: core dumps, the monotonic clock in the kernel's own units.
#![allow(unsafe_code)]

use std::io;
use std::mem::zeroed;

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
