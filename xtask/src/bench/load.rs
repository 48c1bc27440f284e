//! TCP load between two namespaces: as many bytes as the path takes, counted where they arrive.

use interop::error::LabError;
use interop::world::NetNs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Bytes of one write; large enough that the sender's system calls are not what is measured.
const BLOCK: usize = 256 << 10;
/// How long a blocked read or write waits before it looks whether to stop.
const LOOK: Duration = Duration::from_millis(100);
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// Running streams; they end when this is dropped.
pub struct Load {
    received: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<(), LabError>>>,
}

impl Load {
    /// Starts `streams` TCP streams from `from` to `address` in `to`.
    pub fn start(from: &NetNs, to: &NetNs, address: Ipv4Addr, streams: u16) -> Result<Self, LabError> {
        let mut load = Load { received: Arc::default(), stop: Arc::default(), threads: Vec::new() };
        let listener = to.enter(|| TcpListener::bind((address, 0)).map_err(harness))?;
        let destination = listener.local_addr().map_err(harness)?;
        for _ in 0..streams {
            let outgoing = from.enter(|| connect(destination))?;
            let (incoming, _) = listener.accept().map_err(harness)?;
            let (stop, received) = (load.stop.clone(), load.received.clone());
            load.threads.push(to.spawn(move || receive(incoming, &stop, &received)));
            let stop = load.stop.clone();
            load.threads.push(from.spawn(move || send(outgoing, &stop)));
        }
        Ok(load)
    }

    /// Bytes arrived so far.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Ends the streams; a stream that broke before is an error.
    pub fn finish(mut self) -> Result<(), LabError> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().map_err(|_| LabError::Harness("a thread of the load panicked".to_owned()))??;
        }
        Ok(())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn connect(destination: SocketAddr) -> Result<TcpStream, LabError> {
    TcpStream::connect_timeout(&destination, CONNECT)
        .map_err(|error| LabError::Broken(format!("no TCP connection across: {error}")))
}

fn send(mut stream: TcpStream, stop: &AtomicBool) -> Result<(), LabError> {
    stream.set_write_timeout(Some(LOOK)).map_err(harness)?;
    let block = vec![0x55; BLOCK];
    while !stop.load(Ordering::Relaxed) {
        match stream.write(&block) {
            Ok(_) => {}
            Err(error) if is_pause(&error) => {}
            // The receiver may have seen the end first.
            Err(_) if stop.load(Ordering::Relaxed) => break,
            Err(error) => return Err(LabError::Broken(format!("a TCP stream broke: {error}"))),
        }
    }
    Ok(())
}

fn receive(mut stream: TcpStream, stop: &AtomicBool, received: &AtomicU64) -> Result<(), LabError> {
    stream.set_read_timeout(Some(LOOK)).map_err(harness)?;
    let mut block = vec![0; BLOCK];
    while !stop.load(Ordering::Relaxed) {
        match stream.read(&mut block) {
            Ok(0) => break,
            Ok(length) => {
                received.fetch_add(length as u64, Ordering::Relaxed);
            }
            Err(error) if is_pause(&error) => {}
            Err(_) if stop.load(Ordering::Relaxed) => break,
            Err(error) => return Err(LabError::Broken(format!("a TCP stream broke: {error}"))),
        }
    }
    Ok(())
}

fn is_pause(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn harness(error: std::io::Error) -> LabError {
    LabError::harness("TCP load", error)
}

/// What arrived in a window of time.
pub struct Window {
    /// Bytes of payload.
    pub bytes: u64,
    /// How long it was.
    pub took: Duration,
}

impl Window {
    /// Lets the load run for `length` and counts what arrives meanwhile.
    pub fn of(load: &Load, length: Duration) -> Window {
        let (before, start) = (load.received(), Instant::now());
        std::thread::sleep(length);
        Window { bytes: load.received() - before, took: start.elapsed() }
    }
}
