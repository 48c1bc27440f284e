//! Captures of decrypted traffic: inner packets as they enter and leave tunnels, as pcapng, to one client of the control
//! socket at a time.
//!
//! Workers look at one pointer per batch; only while a capture runs do they copy packets, into a bounded queue. A capture ends
//! after its time or its packets, whichever is first, or when the client hangs up, and the log tells of both ends.

use crate::capture::{CaptureInterface, CaptureWriter, Direction};
use crate::control::ClientId;
use crate::poll::Waker;
use arc_swap::ArcSwapOption;
use ike::config::PeerName;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime};

/// Packets that may wait for the engine thread; more are counted and lost, for the traffic does not wait.
const QUEUE: usize = 1024;
/// Bytes of pcapng in one answer line, about: the client reads as they come.
const PIECE: usize = 256 * 1024;
/// Pieces at a time, so that they fit what may wait for a client.
const PIECES: usize = 8;
/// Longest capture.
pub(super) const LONGEST: Duration = Duration::from_secs(3600);
/// Most packets of a capture.
pub(super) const MOST: u64 = 10_000_000;

/// What workers hand packets to while a capture runs.
#[derive(Debug, Default)]
pub(super) struct Tap(ArcSwapOption<Running>);

/// A capture that runs, as workers see it.
#[derive(Debug)]
pub(super) struct Running {
    /// Of these connections; `None`: of all.
    connections: Option<Vec<PeerName>>,
    sender: SyncSender<Captured>,
    waker: Waker,
    /// The engine thread has been woken and has not looked yet: one wake-up is enough for many packets.
    woken: AtomicBool,
    /// Packets that found the queue full.
    lost: AtomicU64,
}

/// A packet on its way into the file.
#[derive(Debug)]
struct Captured {
    peer: PeerName,
    direction: Direction,
    time: SystemTime,
    packet: Vec<u8>,
}

impl Tap {
    /// The capture that runs now, if any.
    pub(super) fn running(&self) -> Option<Arc<Running>> {
        self.0.load_full()
    }
}

impl Running {
    /// Whether packets of a connection are wanted.
    pub(super) fn wants(&self, peer: &PeerName) -> bool {
        self.connections.as_ref().is_none_or(|wanted| wanted.contains(peer))
    }

    /// Takes a copy of an inner packet.
    pub(super) fn take(&self, peer: &PeerName, direction: Direction, packet: &[u8]) {
        let captured = Captured { peer: peer.clone(), direction, time: SystemTime::now(), packet: packet.to_vec() };
        if self.sender.try_send(captured).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        } else if !self.woken.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }
}

/// What a client asked for.
pub(super) struct Request {
    pub(super) client: ClientId,
    /// Of these connections; `None`: of all.
    pub(super) connections: Option<Vec<PeerName>>,
    pub(super) packets: u64,
    pub(super) duration: Duration,
}

/// A capture that runs, as the engine thread sees it.
pub(super) struct Capture {
    pub(super) client: ClientId,
    pub(super) until: Instant,
    pub(super) taken: u64,
    left: u64,
    writer: CaptureWriter<Vec<u8>>,
    interfaces: BTreeMap<PeerName, CaptureInterface>,
    packets: Receiver<Captured>,
    running: Arc<Running>,
    tap: Arc<Tap>,
}

impl Capture {
    /// Begins; from now on workers copy packets.
    pub(super) fn start(
        request: Request,
        tap: &Arc<Tap>,
        waker: &Waker,
        version: &str,
        now: Instant,
    ) -> io::Result<Capture> {
        let (sender, packets) = sync_channel(QUEUE);
        let writer = CaptureWriter::new(Vec::new(), &format!("underpass {version}"))?;
        let running = Arc::new(Running {
            connections: request.connections,
            sender,
            waker: waker.clone(),
            woken: AtomicBool::new(false),
            lost: AtomicU64::new(0),
        });
        tap.0.store(Some(Arc::clone(&running)));
        Ok(Capture {
            client: request.client,
            until: now + request.duration.min(LONGEST),
            taken: 0,
            left: request.packets.min(MOST),
            writer,
            interfaces: BTreeMap::new(),
            packets,
            running,
            tap: Arc::clone(tap),
        })
    }

    /// The next pieces of the file, in base64, from what has come meanwhile.
    pub(super) fn pieces(&mut self) -> Vec<String> {
        let mut pieces = Vec::new();
        // Before looking: a packet that comes from now on wakes us again.
        self.running.woken.store(false, Ordering::Release);
        // Bounded by the queue: what comes meanwhile wakes the thread again.
        for _ in 0..QUEUE {
            if self.left == 0 || pieces.len() >= PIECES {
                break;
            }
            let Ok(captured) = self.packets.try_recv() else { break };
            self.left -= 1;
            self.taken += 1;
            // Writing to memory does not fail.
            let _ = self.write(&captured);
            if self.writer.out_mut().len() >= PIECE {
                pieces.push(self.piece());
            }
        }
        if !self.writer.out_mut().is_empty() {
            pieces.push(self.piece());
        }
        pieces
    }

    /// Packets that came faster than the client reads.
    pub(super) fn lost(&self) -> u64 {
        self.running.lost.load(Ordering::Relaxed)
    }

    /// Whether it has all it was asked for.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.left == 0 || self.until <= now
    }

    fn write(&mut self, captured: &Captured) -> io::Result<()> {
        let interface = match self.interfaces.get(&captured.peer) {
            Some(interface) => *interface,
            None => {
                let name = format!("{} inside", captured.peer);
                let made = self.writer.add_interface(&name, "before encryption, after decryption")?;
                self.interfaces.insert(captured.peer.clone(), made);
                made
            }
        };
        self.writer.packet(interface, captured.time, captured.direction, &captured.packet, "")
    }

    fn piece(&mut self) -> String {
        base64(&std::mem::take(self.writer.out_mut()))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.tap.0.store(None);
    }
}

/// RFC 4648 §4, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().enumerate().fold(0, |word, (index, byte)| word | u32::from(*byte) << (16 - 8 * index));
        for index in 0..4 {
            let digit = (word >> (18 - 6 * index) & 63) as usize;
            let letter = ALPHABET.get(digit).filter(|_| index <= chunk.len());
            text.push(letter.map_or('=', |letter| char::from(*letter)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        // §10
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }
}
