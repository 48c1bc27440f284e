//! epoll, eventfd, signalfd.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::null_mut;

use super::socket::check;

/// A new epoll instance.
pub(crate) fn epoll() -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
    // SAFETY: the kernel just gave us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `EPOLL_CTL_ADD`, `_MOD` or `_DEL` of `fd`.
pub(crate) fn epoll_control(
    epoll: BorrowedFd<'_>,
    operation: libc::c_int,
    fd: BorrowedFd<'_>,
    events: u32,
    token: u64,
) -> io::Result<()> {
    let mut event = libc::epoll_event { events, u64: token };
    // SAFETY: the event outlives the call; both descriptors are open for its duration.
    check(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), operation, fd.as_raw_fd(), &raw mut event) })?;
    Ok(())
}

/// Waits for events; `timeout_ms` of -1 waits for ever. Calls `ready(token, events)` for each.
pub(crate) fn epoll_wait(
    epoll: BorrowedFd<'_>,
    timeout_ms: libc::c_int,
    mut ready: impl FnMut(u64, u32),
) -> io::Result<()> {
    const MAX_EVENTS: usize = 64;
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; MAX_EVENTS];
    // SAFETY: the kernel writes at most MAX_EVENTS entries into the array, which outlives the call.
    let count = check(unsafe {
        libc::epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr(), MAX_EVENTS as libc::c_int, timeout_ms)
    })?;
    for event in events.iter().take(count as usize) {
        ready(event.u64, event.events);
    }
    Ok(())
}

/// A non-blocking eventfd: another thread's knock on the door.
pub(crate) fn eventfd() -> io::Result<File> {
    // SAFETY: no pointers are passed.
    let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
    // SAFETY: the kernel just gave us this descriptor.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// Blocks `signals` in the calling thread (threads started later inherit that) and returns a descriptor that delivers them.
pub(crate) fn signalfd(signals: &[libc::c_int]) -> io::Result<File> {
    // SAFETY: an all-zero sigset_t is a valid value; sigemptyset and sigaddset write only to it.
    let mut set: libc::sigset_t = unsafe { zeroed() };
    // SAFETY: as above.
    check(unsafe { libc::sigemptyset(&raw mut set) })?;
    for &signal in signals {
        // SAFETY: as above.
        check(unsafe { libc::sigaddset(&raw mut set, signal) })?;
    }
    // SAFETY: pthread_sigmask reads the set, which outlives the call.
    let error = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, null_mut()) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    // SAFETY: signalfd reads the set, which outlives the call.
    let fd = check(unsafe { libc::signalfd(-1, &raw const set, flags) })?;
    // SAFETY: the kernel just gave us this descriptor.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// How many bytes one delivered signal takes; its number is the first native-endian `u32`.
pub(crate) const SIGNAL_RECORD_LEN: usize = size_of::<libc::signalfd_siginfo>();

/// Sends a signal to the calling thread.
#[cfg(test)]
pub(crate) fn raise(signal: libc::c_int) {
    // SAFETY: raise takes no pointers.
    unsafe { libc::raise(signal) };
}
