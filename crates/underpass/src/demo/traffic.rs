//! The traffic of the demo: echo requests, a TCP transfer whose every byte is checked, a UDP stream whose every packet is counted.

use super::error::{StepError, io_error};
use super::lab::{Lab, Site};
use crypto::Rng;
use host::lab::{IcmpSocket, deepen_buffers};
use host::rng::OsRng;
use packet::icmp::{echo_request, parse_echo};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What every payload begins with: readable on the internet if anything is.
pub const MARKER: [u8; 16] = *b"underpass: clear";
/// Where the hosts listen.
const PORT: u16 = 5001;
/// How long a packet may be on its way before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(1);
/// Echo requests without an answer after which there will be none.
const UNANSWERED: u16 = 3;
/// How long a TCP connection may make no progress.
const TCP_PATIENCE: Duration = Duration::from_secs(5);
/// Between two packets of a stream.
const INTERVAL: Duration = Duration::from_millis(1);
/// A stream that is later than this skips what it has not sent, rather than send a burst.
const LATE: Duration = Duration::from_millis(20);
/// Silence after which a stream's last packet has arrived.
const SILENCE: Duration = Duration::from_millis(250);
/// Between two looks at whether a stream has been stopped.
const LOOK: Duration = Duration::from_millis(25);
/// Packets of a stream that are told apart: more than a minute of it.
const NUMBERED: usize = 1 << 16;
const IPV4_HEADER: usize = 20;

/// How a series of echo requests went.
#[derive(Clone, Copy, Default, Debug)]
pub struct Pings {
    /// Requests.
    pub sent: u64,
    /// Replies, each to its request.
    pub received: u64,
    /// Of all replies together.
    pub round_trips: Duration,
}

/// Sends `count` echo requests from one host to the other, one after another; fewer when [`UNANSWERED`] in a row are not answered.
///
/// # Errors
/// A socket cannot be opened. What is not answered is not an error.
pub fn ping(lab: &Lab, from: Site, count: u16) -> Result<Pings, StepError> {
    lab.at(from).host.run(|| -> Result<Pings, StepError> {
        let socket = IcmpSocket::open().map_err(io_error("open an ICMP socket"))?;
        let identifier = OsRng.next_u32().to_be_bytes();
        let identifier = u16::from_be_bytes([identifier[0], identifier[1]]);
        let (mut pings, mut unanswered) = (Pings::default(), 0);
        for sequence in 1..=count {
            pings.sent += 1;
            if let Some(round_trip) = ping_once(&socket, from, identifier, sequence)? {
                pings.received += 1;
                pings.round_trips += round_trip;
                unanswered = 0;
            } else {
                unanswered += 1;
                if unanswered == UNANSWERED {
                    break;
                }
            }
        }
        Ok(pings)
    })?
}

fn ping_once(socket: &IcmpSocket, from: Site, id: u16, sequence: u16) -> Result<Option<Duration>, StepError> {
    let (here, there) = (from.host(), from.other().host());
    let mut request = Vec::new();
    echo_request(here.into(), there.into(), id, sequence, &MARKER, &mut request)
        .map_err(|error| StepError::Unexpected(error.to_string()))?;
    let start = Instant::now();
    // What cannot be sent is not answered.
    let _ = socket.send_to(there, request.get(IPV4_HEADER..).unwrap_or_default());
    let mut buffer = [0; 2048];
    while let Some(left) = PATIENCE.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
        let packet = socket.next(&mut buffer, left).map_err(io_error("receive an echo reply"))?;
        let ours = packet
            .and_then(parse_echo)
            .filter(|echo| echo.is_reply && echo.source == there && (echo.identifier, echo.sequence) == (id, sequence));
        if ours.is_some_and(|echo| echo.payload == MARKER) {
            return Ok(Some(start.elapsed()));
        }
    }
    Ok(None)
}

/// How a TCP transfer went.
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    /// Bytes received, all as they were sent.
    pub bytes: u64,
    /// From the first to the last.
    pub took: Duration,
    /// The longest time in which none came.
    pub longest_pause: Duration,
}

/// Sends `bytes` from one host to the other and compares each that arrives.
///
/// # Errors
/// No connection, no progress, or a byte that is not what was sent.
pub fn transfer(lab: &Lab, from: Site, bytes: u64) -> Result<Transfer, StepError> {
    transfer_through(lab, from, bytes, || Ok(()))
}

/// As [`transfer`], where `midway` happens when half of it has arrived.
///
/// # Errors
/// As [`transfer`], and what `midway` says.
pub fn transfer_through(
    lab: &Lab,
    from: Site,
    bytes: u64,
    midway: impl FnOnce() -> Result<(), StepError>,
) -> Result<Transfer, StepError> {
    let to = from.other();
    let address = SocketAddr::new(to.host().into(), PORT);
    let open = || TcpListener::bind(address);
    let listener = lab.at(to).host.run(open)?.map_err(io_error("listen for TCP"))?;
    let (tell, hear) = channel();
    let sender = lab.at(from).host.spawn("tcp", move || send_all(address, bytes))?;
    // A connection that never comes leaves this thread waiting with the listener; the sender's failure is what counts.
    let receiver =
        std::thread::Builder::new().name("tcp".to_owned()).spawn(move || receive_all(&listener, bytes, &tell));
    let receiver = receiver.map_err(io_error("start a thread"))?;
    // Silence: it failed before that, and says why at its end.
    if hear.recv().is_ok() {
        midway()?;
    }
    join(sender)???;
    join(receiver)?
}

fn join<T>(thread: JoinHandle<T>) -> Result<T, StepError> {
    thread.join().map_err(|_| StepError::Unexpected("a thread of ours has failed".to_owned()))
}

fn send_all(address: SocketAddr, bytes: u64) -> Result<(), StepError> {
    let failed = || io_error("send over TCP");
    let mut stream =
        TcpStream::connect_timeout(&address, TCP_PATIENCE).map_err(io_error("connect to the other host"))?;
    stream.set_write_timeout(Some(TCP_PATIENCE)).map_err(failed())?;
    let (mut pattern, mut piece, mut left) = (Pattern::default(), [0; 16_384], bytes);
    while left > 0 {
        let piece = pattern.next(&mut piece, left);
        stream.write_all(piece).map_err(failed())?;
        left -= piece.len() as u64;
    }
    Ok(())
}

fn receive_all(listener: &TcpListener, bytes: u64, halfway: &Sender<()>) -> Result<Transfer, StepError> {
    let failed = || io_error("receive over TCP");
    let (mut stream, _) = listener.accept().map_err(failed())?;
    stream.set_read_timeout(Some(TCP_PATIENCE)).map_err(failed())?;
    let start = Instant::now();
    let (mut pattern, mut expected, mut piece) = (Pattern::default(), [0; 16_384], [0; 16_384]);
    let (mut received, mut last, mut longest_pause, mut half_told) = (0, start, Duration::ZERO, false);
    while received < bytes {
        if !half_told && received >= bytes / 2 {
            half_told = true;
            // Nobody listens: the transfer goes on all the same.
            let _ = halfway.send(());
        }
        let expected = pattern.next(&mut expected, bytes - received);
        let piece = piece.get_mut(..expected.len()).unwrap_or_default();
        stream.read_exact(piece).map_err(failed())?;
        if piece != expected {
            return Err(StepError::Unexpected(format!("bytes after the first {received} are not what was sent")));
        }
        received += expected.len() as u64;
        let now = Instant::now();
        longest_pause = longest_pause.max(now.saturating_duration_since(std::mem::replace(&mut last, now)));
    }
    Ok(Transfer { bytes: received, took: start.elapsed(), longest_pause })
}

/// Bytes that both ends know and that do not repeat (Steele, Lea, Flood: SplitMix64).
#[derive(Default)]
struct Pattern(u64);

impl Pattern {
    /// The next of them, as many as fit and at most `left`.
    fn next<'b>(&mut self, buffer: &'b mut [u8], left: u64) -> &'b [u8] {
        for word in buffer.chunks_exact_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
        }
        let len = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        buffer.get(..len).unwrap_or_default()
    }
}

/// How a stream went.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Streamed {
    /// Packets sent.
    pub sent: u64,
    /// Different packets received.
    pub received: u64,
}

/// 1,000 packets a second from one host to the other, until it is stopped.
#[derive(Debug)]
pub struct Stream {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<u64>,
    receiver: JoinHandle<u64>,
}

impl Stream {
    /// Starts it.
    ///
    /// # Errors
    /// A socket cannot be opened.
    pub fn start(lab: &Lab, from: Site) -> Result<Stream, StepError> {
        let to = from.other();
        let receiver = udp_socket(lab, to, PORT)?;
        let sender = udp_socket(lab, from, 0)?;
        receiver.set_read_timeout(Some(LOOK)).map_err(io_error("wait for packets"))?;
        let remote = SocketAddr::new(to.host().into(), PORT);
        let stop = Arc::new(AtomicBool::new(false));
        let (stop_sending, sent_all) = (Arc::clone(&stop), Arc::clone(&stop));
        let start = |work: Box<dyn FnOnce() -> u64 + Send>| {
            std::thread::Builder::new().name("stream".to_owned()).spawn(work).map_err(io_error("start a thread"))
        };
        let receiver = start(Box::new(move || count_arrivals(&receiver, &sent_all)))?;
        let sender = start(Box::new(move || send_until(&sender, remote, &stop_sending)))?;
        Ok(Stream { stop, sender, receiver })
    }

    /// Sends no more.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Stops it, and waits for what is on its way.
    ///
    /// # Errors
    /// A thread of ours has failed.
    pub fn finish(self) -> Result<Streamed, StepError> {
        self.stop();
        Ok(Streamed { sent: join(self.sender)?, received: join(self.receiver)? })
    }
}

fn udp_socket(lab: &Lab, site: Site, port: u16) -> Result<UdpSocket, StepError> {
    let open = || UdpSocket::bind(SocketAddr::new(site.host().into(), port));
    let socket = lab.at(site).host.run(open)?.map_err(io_error("open a UDP socket"))?;
    deepen_buffers(&socket);
    Ok(socket)
}

fn numbered(number: u64) -> Vec<u8> {
    [&MARKER[..], &number.to_be_bytes()].concat()
}

fn send_until(socket: &UdpSocket, remote: SocketAddr, stop: &AtomicBool) -> u64 {
    let (mut sent, mut next) = (0, Instant::now());
    while !stop.load(Ordering::Relaxed) && sent < NUMBERED as u64 {
        // What the kernel refuses to send is a packet lost.
        let _ = socket.send_to(&numbered(sent), remote);
        sent += 1;
        next += INTERVAL;
        let now = Instant::now();
        if now.saturating_duration_since(next) > LATE {
            next = now;
        }
        std::thread::sleep(next.saturating_duration_since(now));
    }
    sent
}

fn count_arrivals(socket: &UdpSocket, sent_all: &AtomicBool) -> u64 {
    let mut seen = vec![false; NUMBERED];
    let mut buffer = [0; 2048];
    let mut quiet_since = Instant::now();
    loop {
        // While packets are sent there is no silence to speak of: only what follows the last of them counts.
        if !sent_all.load(Ordering::Relaxed) {
            quiet_since = Instant::now();
        }
        match socket.recv(&mut buffer) {
            Ok(len) => {
                quiet_since = Instant::now();
                let number = buffer.get(..len).and_then(|payload| payload.strip_prefix(&MARKER));
                let number = number.and_then(|rest| rest.try_into().ok()).map(u64::from_be_bytes);
                let slot = number.and_then(|number| seen.get_mut(usize::try_from(number).ok()?));
                if let Some(slot) = slot {
                    *slot = true;
                }
            }
            Err(_) if quiet_since.elapsed() >= SILENCE => break,
            Err(_) => {}
        }
    }
    seen.iter().filter(|&&seen| seen).count() as u64
}

/// Sends `count` packets from one host to the other at once, whatever becomes of them.
///
/// # Errors
/// A socket cannot be opened.
pub fn burst(lab: &Lab, from: Site, count: u64) -> Result<(), StepError> {
    let socket = udp_socket(lab, from, 0)?;
    let remote = SocketAddr::new(from.other().host().into(), PORT);
    for number in 0..count {
        // "Unreachable" is the right answer to most of them.
        let _ = socket.send_to(&numbered(number), remote);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_know_the_same_bytes_however_they_are_cut_at_the_end() {
        let (mut one, mut other) = ([0; 64], [0; 64]);
        let (mut sender, mut receiver) = (Pattern::default(), Pattern::default());
        let first = sender.next(&mut one, 1000).to_vec();
        assert_eq!(receiver.next(&mut other, 1000), first);
        assert_eq!((first.len(), sender.next(&mut one, 3).len()), (64, 3));
        assert_ne!(receiver.next(&mut other, 64), first);
    }
}
