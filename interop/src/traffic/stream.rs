//! A numbered UDP stream at a steady rate, and an exact account of what arrived.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::{LabError, ensure};
use crate::sys;
use crate::world::NetNs;

/// How long the receiver waits for stragglers after the last packet was sent.
const STRAGGLERS: Duration = Duration::from_millis(1500);
/// The longest stream, in packets: bounds the receiver's memory.
const MAX_PACKETS: u64 = 10_000_000;
/// The receiver's socket buffer in bytes: three seconds of a slow machine's hesitation at the usual rate and size.
const RECEIVE_BUFFER: i32 = 8 << 20;
/// The first bytes of every packet.
pub(super) const MAGIC: [u8; 8] = *b"upstream";

/// What became of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamReport {
    /// Packets handed to the kernel.
    pub sent: u64,
    /// Different packets that arrived.
    pub received: u64,
    /// Packets that arrived more than once.
    pub duplicated: u64,
    /// Packets that arrived after a later one.
    pub reordered: u64,
    /// Packets the kernel refused to send (no route, unreachable); not among `sent`.
    pub refused: u64,
    /// The longest time in which nothing arrived, between the first and the last packet.
    pub largest_gap: Duration,
}

impl StreamReport {
    /// Packets that were sent and never arrived.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.sent - self.received
    }

    /// Nothing lost, nothing refused, and at least `least` packets sent.
    pub fn ensure_complete(&self, least: u64) -> Result<(), LabError> {
        ensure(self.sent >= least, || format!("the stream was shorter than {least} packets: {self}"))?;
        ensure(self.lost() + self.refused == 0, || format!("packets were lost: {self}"))
    }
}

impl std::fmt::Display for StreamReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { sent, received, duplicated, reordered, refused, largest_gap } = self;
        write!(
            f,
            "{sent} sent, {received} received, {} lost, {duplicated} duplicated, {reordered} reordered, {refused} refused, \
             largest gap {} ms",
            self.lost(),
            largest_gap.as_millis()
        )
    }
}

/// What the two threads share.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    sent: AtomicU64,
    received: AtomicU64,
    sender_done: AtomicBool,
}

/// A stream that runs until [`Stream::finish`].
#[derive(Debug)]
pub struct Stream {
    shared: Arc<Shared>,
    sender: JoinHandle<Result<u64, LabError>>,
    receiver: JoinHandle<Result<Arrivals, LabError>>,
}

#[derive(Debug, Default)]
struct Arrivals {
    seen: Vec<u64>,
    different: u64,
    duplicated: u64,
    reordered: u64,
    highest: Option<u64>,
    last: Option<Instant>,
    largest_gap: Duration,
}

impl Stream {
    /// The usual packet size in bytes of UDP payload.
    pub const SIZE: usize = 200;

    /// Starts `rate` packets a second from `from` to `to`, whose address is `address`, on UDP `port`.
    pub fn start(from: &NetNs, to: &NetNs, address: impl Into<IpAddr>, port: u16, rate: u32) -> Result<Self, LabError> {
        let destination = SocketAddr::new(address.into(), port);
        let shared = Arc::new(Shared::default());
        let socket = to.enter(|| {
            let socket = UdpSocket::bind(destination).map_err(|error| LabError::harness("stream receiver", error))?;
            sys::force_receive_buffer(&socket, RECEIVE_BUFFER)
                .map_err(|error| LabError::harness("stream receive buffer", error))?;
            Ok(socket)
        })?;
        let receiver = {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || receive(&socket, &shared))
        };
        let sender = {
            let shared = Arc::clone(&shared);
            from.spawn(move || {
                let result = send(destination, rate, &shared);
                shared.sender_done.store(true, Ordering::Release);
                result
            })
        };
        Ok(Self { shared, sender, receiver })
    }

    /// Packets sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Different packets received so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.shared.received.load(Ordering::Relaxed)
    }

    /// Lets the stream run until `more` further packets have arrived, for at most `bound`.
    pub fn wait_received(&self, more: u64, bound: Duration) -> Result<(), LabError> {
        let goal = self.received() + more;
        crate::process::wait_for(&format!("{more} more packets of the stream"), bound, || {
            Ok((self.received() >= goal).then_some(()))
        })
    }

    /// Stops sending, waits for stragglers, and gives the account.
    pub fn finish(self) -> Result<StreamReport, LabError> {
        self.shared.stop.store(true, Ordering::Release);
        let join = |_| LabError::Harness("a stream thread panicked".to_owned());
        let sent = self.sender.join().map_err(join);
        self.shared.sender_done.store(true, Ordering::Release);
        let arrivals = self.receiver.join().map_err(|_| LabError::Harness("a stream thread panicked".to_owned()))??;
        let refused = sent??;
        Ok(StreamReport {
            sent: self.shared.sent.load(Ordering::Relaxed),
            received: arrivals.different,
            duplicated: arrivals.duplicated,
            reordered: arrivals.reordered,
            refused,
            largest_gap: arrivals.largest_gap,
        })
    }
}

/// Sends at the times the rate gives, counted from the start, so that a late wake-up is caught up with. Returns how many
/// packets the kernel refused.
fn send(destination: SocketAddr, rate: u32, shared: &Shared) -> Result<u64, LabError> {
    let any = match destination {
        SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0)).map_err(|error| LabError::harness("stream sender", error))?;
    let start = Instant::now();
    let interval = Duration::from_secs(1) / rate.max(1);
    let mut packet = [0u8; Stream::SIZE];
    packet[..8].copy_from_slice(&MAGIC);
    let (mut number, mut refused, mut tick) = (0u64, 0u64, 0u32);
    while !shared.stop.load(Ordering::Acquire) && number < MAX_PACKETS {
        if let Some(wait) = (start + interval * tick).checked_duration_since(Instant::now()) {
            std::thread::sleep(wait);
        }
        tick += 1;
        packet[8..16].copy_from_slice(&number.to_be_bytes());
        match socket.send_to(&packet, destination) {
            Ok(_) => {
                number += 1;
                shared.sent.store(number, Ordering::Relaxed);
            }
            Err(_) => refused += 1,
        }
    }
    Ok(refused)
}

fn receive(socket: &UdpSocket, shared: &Shared) -> Result<Arrivals, LabError> {
    socket
        .set_read_timeout(Some(Duration::from_millis(50)))
        .map_err(|error| LabError::harness("stream receiver", error))?;
    let mut arrivals = Arrivals::default();
    let mut packet = [0u8; 2048];
    let mut end = None;
    loop {
        if let Ok(len) = socket.recv(&mut packet) {
            arrivals.note(&packet[..len]);
            shared.received.store(arrivals.different, Ordering::Relaxed);
        }
        if shared.sender_done.load(Ordering::Acquire) {
            let end = *end.get_or_insert_with(|| Instant::now() + STRAGGLERS);
            let complete = arrivals.different == shared.sent.load(Ordering::Relaxed);
            if complete || Instant::now() >= end {
                return Ok(arrivals);
            }
        }
    }
}

impl Arrivals {
    fn note(&mut self, packet: &[u8]) {
        let Some(number) = packet
            .strip_prefix(&MAGIC)
            .and_then(|rest| rest.first_chunk::<8>())
            .map(|bytes| u64::from_be_bytes(*bytes))
            .filter(|number| *number < MAX_PACKETS)
        else {
            return;
        };
        let now = Instant::now();
        if let Some(last) = self.last.replace(now) {
            self.largest_gap = self.largest_gap.max(now - last);
        }
        let (word, bit) = ((number / 64) as usize, 1u64 << (number % 64));
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        if self.seen[word] & bit != 0 {
            self.duplicated += 1;
            return;
        }
        self.seen[word] |= bit;
        self.different += 1;
        if self.highest.is_some_and(|highest| number < highest) {
            self.reordered += 1;
        }
        self.highest = self.highest.max(Some(number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(number: u64) -> Vec<u8> {
        [&MAGIC[..], &number.to_be_bytes(), &[0; 100]].concat()
    }

    #[test]
    fn every_packet_is_counted_once_whatever_the_order() {
        let mut arrivals = Arrivals::default();
        for number in [0, 1, 3, 2, 3, 200, 1] {
            arrivals.note(&packet(number));
        }
        arrivals.note(b"something else");
        arrivals.note(&packet(u64::MAX));
        assert_eq!((arrivals.different, arrivals.duplicated, arrivals.reordered), (5, 2, 1));
    }

    #[test]
    fn a_stream_with_a_loss_is_not_complete() {
        let report = StreamReport {
            sent: 1000,
            received: 999,
            duplicated: 0,
            reordered: 0,
            refused: 0,
            largest_gap: Duration::ZERO,
        };
        assert_eq!(report.lost(), 1);
        assert!(report.ensure_complete(1000).is_err());
        assert!(StreamReport { received: 1000, ..report }.ensure_complete(1000).is_ok());
        assert!(
            StreamReport { received: 1000, ..report }.ensure_complete(1001).is_err(),
            "too short to prove anything"
        );
        assert!(StreamReport { received: 1000, refused: 1, ..report }.ensure_complete(1000).is_err());
    }
}
