//! The process behind a control socket, so that it alone is told to stop.
//!
//! Who listens is asked of the kernel, not of a file of process ids that may be old. The process is then held by a descriptor,
//! and asked for once more: what is signalled is what answered, even where numbers are given out again in between.

use crate::poll::{Interest, Poller, Token};
use crate::sys::process::{hold, terminate};
use crate::sys::socket::peer_process;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// A process that listens at a control socket.
#[derive(Debug)]
pub struct Owner {
    pid: u32,
    process: OwnedFd,
}

impl Owner {
    /// Whoever listens at `path` now.
    ///
    /// # Errors
    /// Nobody does, we may not connect, or the process is not one of our pid namespace (`NotFound`).
    pub fn of(path: &Path) -> io::Result<Owner> {
        let listener = || {
            let peer = peer_process(UnixStream::connect(path)?.as_fd())?;
            peer.pid.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        };
        let pid = listener()?;
        let process = hold(pid)?;
        if listener()? != pid {
            return Err(io::Error::other("another process took the socket over just now: try again"));
        }
        Ok(Owner { pid, process })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Asks it to stop in order, and waits until it has ended: `false` when it has not after `patience`.
    ///
    /// # Errors
    /// We may not signal it.
    pub fn stop(&self, patience: Duration) -> io::Result<bool> {
        terminate(self.process.as_fd())?;
        let poller = Poller::new()?;
        poller.add(&self.process, Token(0), Interest::Read)?;
        let mut ready = Vec::new();
        poller.wait(&mut ready, Some(patience))?;
        Ok(!ready.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn the_owner_of_a_socket_is_who_listens_there() {
        let path = std::env::temp_dir().join(format!("underpass-owner-{}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(Owner::of(&path).unwrap().pid(), std::process::id());
        drop(listener);
        assert_eq!(Owner::of(&path).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(Owner::of(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
