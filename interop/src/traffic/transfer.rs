//! A TCP transfer whose every byte is checked.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::error::{LabError, ensure};
use crate::process::wait_for;
use crate::world::NetNs;

/// What a transfer took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferReport {
    /// Bytes that arrived, all of them as they were sent.
    pub bytes: u64,
    /// From the connection's start to its orderly end.
    pub took: Duration,
}

impl TransferReport {
    /// Bits a second of payload.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.took.as_secs_f64().max(1e-9)
    }
}

impl std::fmt::Display for TransferReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} KiB by TCP in {} ms", self.bytes >> 10, self.took.as_millis())
    }
}

/// Sends `bytes` from `from` to `to`, whose address is `address`, within `bound`.
pub fn transfer(
    from: &NetNs,
    to: &NetNs,
    address: impl Into<IpAddr>,
    port: u16,
    bytes: u64,
    bound: Duration,
) -> Result<TransferReport, LabError> {
    transfer_through(from, to, address, port, bytes, bound, || Ok(()))
}

/// As [`transfer`], where `midway` happens when half of it is on its way.
pub fn transfer_through(
    from: &NetNs,
    to: &NetNs,
    address: impl Into<IpAddr>,
    port: u16,
    bytes: u64,
    bound: Duration,
    midway: impl FnOnce() -> Result<(), LabError> + Send,
) -> Result<TransferReport, LabError> {
    let destination = SocketAddr::new(address.into(), port);
    let end = Instant::now() + bound;
    let listener = to.enter(|| {
        let listener = TcpListener::bind(destination).map_err(harness)?;
        listener.set_nonblocking(true).map_err(harness)?;
        Ok(listener)
    })?;
    let receiver = std::thread::spawn(move || receive(&listener, end));
    let start = Instant::now();
    let sent = from.enter(|| send(destination, bytes, end, midway));
    let received = receiver.join().map_err(|_| LabError::Harness("the TCP receiver panicked".to_owned()))?;
    sent?;
    let received = received?;
    ensure(received == bytes, || format!("{received} of {bytes} bytes arrived by TCP"))?;
    Ok(TransferReport { bytes, took: start.elapsed() })
}

fn send(
    destination: SocketAddr,
    bytes: u64,
    end: Instant,
    midway: impl FnOnce() -> Result<(), LabError>,
) -> Result<(), LabError> {
    let mut stream = TcpStream::connect_timeout(&destination, left(end)?).map_err(broken)?;
    let mut at = 0;
    let mut block = vec![0; 64 << 10];
    let mut midway = Some(midway);
    while at < bytes {
        if let Some(midway) = midway.take_if(|_| at >= bytes / 2) {
            midway()?;
        }
        let len = block.len().min(usize::try_from(bytes - at).unwrap_or(usize::MAX));
        fill(&mut block[..len], at);
        stream.set_write_timeout(Some(left(end)?)).map_err(harness)?;
        stream.write_all(&block[..len]).map_err(broken)?;
        at += len as u64;
    }
    stream.shutdown(std::net::Shutdown::Write).map_err(broken)?;
    stream.set_read_timeout(Some(left(end)?)).map_err(harness)?;
    // The receiver closes when it has everything: its end of file is the confirmation.
    stream.read(&mut [0]).map_err(broken).map(drop)
}

fn receive(listener: &TcpListener, end: Instant) -> Result<u64, LabError> {
    let (mut stream, _) = wait_for("a TCP connection", left(end)?, || Ok(listener.accept().ok()))?;
    stream.set_nonblocking(false).map_err(harness)?;
    let (mut at, mut block, mut expected) = (0, vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        stream.set_read_timeout(Some(left(end)?)).map_err(harness)?;
        let len = stream.read(&mut block).map_err(broken)?;
        if len == 0 {
            return Ok(at);
        }
        fill(&mut expected[..len], at);
        ensure(block[..len] == expected[..len], || format!("TCP data changed under way near byte {at}"))?;
        at += len as u64;
    }
}

/// The stream's bytes from position `at`: a pattern which repeats at no power of two.
fn fill(block: &mut [u8], at: u64) {
    for (byte, position) in block.iter_mut().zip(at..) {
        *byte = (position % 251) as u8;
    }
}

fn left(end: Instant) -> Result<Duration, LabError> {
    end.checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
        .ok_or_else(|| LabError::TimedOut("the TCP transfer".to_owned()))
}

fn harness(error: std::io::Error) -> LabError {
    LabError::harness("TCP transfer", error)
}

fn broken(error: std::io::Error) -> LabError {
    LabError::Broken(format!("the TCP transfer broke: {error}"))
}
