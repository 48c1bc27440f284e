//! What waits for a client of a Unix socket.

use std::collections::VecDeque;
use std::io::{self, Write};

/// Writes what the socket takes; `false` when the client has gone.
pub(crate) fn write_out(stream: &mut impl Write, waiting: &mut VecDeque<u8>) -> bool {
    while !waiting.is_empty() {
        let (front, _) = waiting.as_slices();
        match stream.write(front) {
            Ok(0) => return false,
            Ok(length) => drop(waiting.drain(..length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
    true
}
