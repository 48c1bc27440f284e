//! Signals as something to read, not as something that interrupts.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};

use crate::sys::event;

/// A signal that the gateway acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// `SIGTERM` or `SIGINT`: stop in good order.
    Stop,
    /// `SIGHUP`: load the configuration again.
    Reload,
}

/// Receives `SIGTERM`, `SIGINT` and `SIGHUP`.
#[derive(Debug)]
pub struct Signals {
    file: File,
}

impl Signals {
    /// Blocks the signals in this thread and delivers them here. Call it in the main thread before any other is started: threads
    /// inherit the block, and a thread without it would be killed instead.
    pub fn new() -> io::Result<Self> {
        let file = event::signalfd(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP])?;
        Ok(Self { file })
    }

    /// The next signal, without blocking.
    pub fn take(&self) -> io::Result<Option<Signal>> {
        let mut record = [0; event::SIGNAL_RECORD_LEN];
        match (&self.file).read(&mut record) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        let number = i32::from_ne_bytes([record[0], record[1], record[2], record[3]]);
        Ok(Some(match number {
            libc::SIGHUP => Signal::Reload,
            _ => Signal::Stop,
        }))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_delivered_by_name_instead_of_killing() {
        std::thread::spawn(|| {
            let signals = Signals::new().unwrap();
            assert_eq!(signals.take().unwrap(), None);
            for (number, expected) in
                [(libc::SIGHUP, Signal::Reload), (libc::SIGTERM, Signal::Stop), (libc::SIGINT, Signal::Stop)]
            {
                event::raise(number);
                assert_eq!(signals.take().unwrap(), Some(expected));
            }
        })
        .join()
        .unwrap();
    }
}
