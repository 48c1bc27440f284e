//! Waiting for descriptors and for time: a small layer over epoll, level-triggered.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use crate::sys::event;

/// What the owner of a descriptor called it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Something to read (errors and hang-ups are always reported).
    Read,
    /// Room to write.
    Write,
    /// Both.
    ReadWrite,
}

/// A descriptor that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// Whose it is.
    pub token: Token,
    /// There is something to read, or the end of it.
    pub readable: bool,
    /// There is room to write.
    pub writable: bool,
    /// An error is pending (for a UDP socket: look at its error queue).
    pub error: bool,
    /// The other side hung up.
    pub hang_up: bool,
}

/// An epoll instance.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
}

impl Poller {
    /// A poller that watches nothing yet.
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: event::epoll()? })
    }

    /// Watches a descriptor until it is removed or closed.
    pub fn add(&self, fd: impl AsFd, token: Token, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd.as_fd(), token, interest)
    }

    /// Changes what a watched descriptor is watched for.
    pub fn modify(&self, fd: impl AsFd, token: Token, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd.as_fd(), token, interest)
    }

    /// Stops watching.
    pub fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd.as_fd(), Token(0), Interest::Read)
    }

    /// Waits until something is ready or `timeout` has passed (`None`: for ever), and replaces the content of `ready`. A timeout is
    /// rounded up to whole milliseconds, so that nobody wakes too early. A signal ends the wait with nothing ready.
    pub fn wait(&self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        ready.clear();
        let milliseconds = timeout.map_or(-1, |timeout| {
            let rounded = timeout.as_nanos().div_ceil(1_000_000);
            i32::try_from(rounded).unwrap_or(i32::MAX)
        });
        let result = event::epoll_wait(self.epoll.as_fd(), milliseconds, |token, events| {
            let has = |flag: libc::c_int| events & flag as u32 != 0;
            ready.push(Ready {
                token: Token(token),
                readable: has(libc::EPOLLIN | libc::EPOLLRDHUP),
                writable: has(libc::EPOLLOUT),
                error: has(libc::EPOLLERR),
                hang_up: has(libc::EPOLLHUP),
            });
        });
        match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            result => result,
        }
    }

    fn control(&self, operation: libc::c_int, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        let events = match interest {
            Interest::Read => libc::EPOLLIN | libc::EPOLLRDHUP,
            Interest::Write => libc::EPOLLOUT,
            Interest::ReadWrite => libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLOUT,
        };
        event::epoll_control(self.epoll.as_fd(), operation, fd, events as u32, token.0)
    }
}

/// Wakes a thread that waits in a [`Poller`]. Watch it for reading, and [`Waker::drain`] it when it is ready.
#[derive(Debug, Clone)]
pub struct Waker {
    file: Arc<File>,
}

impl Waker {
    /// A waker, not yet watched by anybody.
    pub fn new() -> io::Result<Self> {
        Ok(Self { file: Arc::new(event::eventfd()?) })
    }

    /// Wakes the waiting thread, now or when it waits next. Many calls are one wake-up.
    pub fn wake(&self) {
        // The only failure is a counter that is full, and then the thread is about to wake anyway.
        let _ = (&*self.file).write(&1u64.to_ne_bytes());
    }

    /// Forgets the wake-ups so far.
    pub fn drain(&self) {
        // The only failure is that there is nothing to forget.
        let _ = (&*self.file).read(&mut [0; 8]);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_up_before_the_wait_is_not_lost_and_many_are_one() {
        let poller = Poller::new().unwrap();
        let waker = Waker::new().unwrap();
        poller.add(&waker, Token(7), Interest::Read).unwrap();
        let mut ready = Vec::new();
        poller.wait(&mut ready, Some(Duration::ZERO)).unwrap();
        assert!(ready.is_empty());
        let other = waker.clone();
        std::thread::spawn(move || (0..3).for_each(|_| other.wake())).join().unwrap();
        poller.wait(&mut ready, None).unwrap();
        assert_eq!((ready[0].token, ready[0].readable), (Token(7), true));
        waker.drain();
        poller.wait(&mut ready, Some(Duration::ZERO)).unwrap();
        assert!(ready.is_empty());
    }
}
