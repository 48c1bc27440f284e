//! A Unix socket that listens: replaced when its gateway has died, removed with its owner.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::ControlError;
use crate::poll::{Interest, Poller, Token};

/// A listening socket and the file that it is.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) listener: UnixListener,
    path: PathBuf,
    /// Device and inode of our socket file: another process's file of the same name is not ours to remove.
    file: (u64, u64),
}

impl Listening {
    /// Listens at `path`. The file of a gateway that has died is replaced; that of a living one is not.
    pub(crate) fn open(path: &Path, mode: u32) -> Result<Self, ControlError> {
        let io = |what| {
            let path = path.to_owned();
            move |source| ControlError::Io { what, path, source }
        };
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                remove_stale(path)?;
                UnixListener::bind(path)
            }
            result => result,
        }
        .map_err(io("listen at"))?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(io("set the permissions of"))?;
        let metadata = fs::symlink_metadata(path).map_err(io("look at"))?;
        listener.set_nonblocking(true).map_err(io("prepare"))?;
        Ok(Self { listener, path: path.to_owned(), file: (metadata.dev(), metadata.ino()) })
    }

    /// Has it watched for clients.
    pub(crate) fn watch(&self, poller: &Poller, token: Token) -> Result<(), ControlError> {
        let failed = |source| ControlError::Io { what: "watch", path: self.path.clone(), source };
        poller.add(&self.listener, token, Interest::Read).map_err(failed)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.file);
        if ours {
            // A file that stays is recognised as stale by the next gateway.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes the socket of a gateway that has died.
fn remove_stale(path: &Path) -> Result<(), ControlError> {
    let path_buf = path.to_owned();
    let is_socket = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    if !is_socket {
        return Err(ControlError::NotASocket { path: path_buf });
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(ControlError::AlreadyRunning { path: path_buf }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)
            .map_err(|source| ControlError::Io { what: "replace the stale socket", path: path_buf, source }),
        // Its queue is full, which only happens to the living.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(ControlError::AlreadyRunning { path: path_buf }),
        Err(source) => Err(ControlError::Io { what: "see who answers at", path: path_buf, source }),
    }
}
