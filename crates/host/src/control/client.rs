//! The asking side: blocking, with a timeout.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::{ControlError, RESPONSE_MAX};

/// A connection to a running gateway.
#[derive(Debug)]
pub struct ControlClient {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

impl ControlClient {
    /// Connects; `timeout` holds for each later read and write.
    pub fn connect(path: &Path, timeout: Duration) -> Result<Self, ControlError> {
        let stream = UnixStream::connect(path).map_err(|source| {
            let path = path.to_owned();
            match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ControlError::NotRunning { path },
                io::ErrorKind::PermissionDenied => ControlError::NotPermitted { path },
                _ => ControlError::Io { what: "connect to", path, source },
            }
        })?;
        let client = Self { path: path.to_owned(), stream: BufReader::new(stream) };
        client.set_timeout(Some(timeout))?;
        Ok(client)
    }

    /// Changes the timeout; `None` waits for ever (`log -f`).
    pub fn set_timeout(&self, timeout: Option<Duration>) -> Result<(), ControlError> {
        let stream = self.stream.get_ref();
        stream
            .set_read_timeout(timeout)
            .and_then(|()| stream.set_write_timeout(timeout))
            .map_err(|source| self.io_error("set a timeout for", source))
    }

    /// Sends one request and waits for the first response.
    pub fn request(&mut self, request: &Value) -> Result<Value, ControlError> {
        let line = format!("{request}\n");
        self.stream.get_mut().write_all(line.as_bytes()).map_err(|source| self.io_error("write to", source))?;
        self.next_response()?
            .ok_or_else(|| ControlError::BadResponse { reason: "the connection ended instead".to_owned() })
    }

    /// The next response; `None` when the gateway has ended the connection.
    pub fn next_response(&mut self) -> Result<Option<Value>, ControlError> {
        let mut line = Vec::new();
        let limit = RESPONSE_MAX as u64;
        (&mut self.stream)
            .take(limit)
            .read_until(b'\n', &mut line)
            .map_err(|source| self.io_error("read from", source))?;
        if line.is_empty() {
            return Ok(None);
        }
        let bad = |reason: String| ControlError::BadResponse { reason };
        if line.last() != Some(&b'\n') {
            return Err(bad("it is too long, or its end is missing".to_owned()));
        }
        serde_json::from_slice(&line).map(Some).map_err(|error| bad(error.to_string()))
    }

    fn io_error(&self, what: &'static str, source: io::Error) -> ControlError {
        let path = self.path.clone();
        match source.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ControlError::Timeout { path },
            _ => ControlError::Io { what, path, source },
        }
    }
}
