//! The inbound worker: receives ESP in batches, opens it in place, merges what belongs together, writes to the TUN device.
//! IKE messages on the NAT-T port go to the engine.

use super::capture::{Running, Whose};
use super::outbound::Shared;
use super::outer::{Note, Way, told};
use super::{WorkerMessage, io_error};
use crate::batch::{ReceiveBatch, Received};
use crate::capture::Direction;
use crate::esp_socket::EspSocket;
use crate::poll::{Interest, Poller, Ready, Token, Waker};
use crate::tun::{TunQueue, WRITE_SLICES_MAX};
use crate::udp::{UdpError, UdpErrorKind, UdpSocket};
use engine::ForwardingTable;
use engine::path::{Feedback, Ingress};
use ike::config::Path;
use ipsec::{Demux, DropReason, Spi, demux};
use packet::offload::{Coalescer, Merging};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::Ordering;

/// Messages received at a time, each up to 64 KiB of merged datagrams. Memory is only used as far as it is written.
const SLOTS: usize = 64;
const SLOT_BYTES: usize = 65_536;
/// Batches handled before looking at the other sockets.
const BATCHES_PER_TURN: usize = 8;
/// Inner packets merged and written at a time: as many as one super-packet may hold, so that what was opened is written while
/// it is in the cache.
const DELIVERED_AT_ONCE: usize = 64;
/// Errors taken from a socket's queue at a time.
const ERRORS_PER_TURN: usize = 64;
const WAKE: Token = Token(0);

/// Runs until told to stop.
pub(super) fn work(queue: &TunQueue, shared: &Shared, wake: &Waker) -> Result<(), super::GatewayError> {
    let poller = Poller::new().map_err(io_error("make an epoll instance"))?;
    poller.add(wake, WAKE, Interest::Read).map_err(io_error("watch the waker"))?;
    let mut token = 1;
    for socket in &shared.sockets.nat {
        poller.add(socket.as_ref(), Token(token), Interest::Read).map_err(io_error("watch a socket"))?;
        token += 1;
    }
    for (_, socket) in &shared.sockets.esp {
        poller.add(socket.as_ref(), Token(token), Interest::Read).map_err(io_error("watch a socket"))?;
        token += 1;
    }
    let capabilities = queue.capabilities();
    let merging = Merging { tcp: capabilities.tcp_segmentation, udp: capabilities.udp_segmentation };
    let mut worker = Inbound {
        batch: ReceiveBatch::new(SLOTS, SLOT_BYTES),
        coalescer: Coalescer::new(merging),
        feedback: Vec::new(),
        inner: Vec::new(),
    };
    let mut ready: Vec<Ready> = Vec::new();
    while !shared.stop.load(Ordering::Relaxed) {
        poller.wait(&mut ready, None).map_err(io_error("wait"))?;
        let nat = shared.sockets.nat.len() as u64;
        for event in &ready {
            match event.token.0.checked_sub(1) {
                None => {}
                Some(index) if index < nat => {
                    if let Some(socket) = shared.sockets.nat.get(index as usize) {
                        worker.receive_udp(socket, event, queue, shared);
                    }
                }
                Some(index) => {
                    if let Some((_, socket)) = shared.sockets.esp.get((index - nat) as usize) {
                        worker.receive_esp(socket, event, queue, shared);
                    }
                }
            }
        }
    }
    Ok(())
}

struct Inbound {
    batch: ReceiveBatch,
    coalescer: Coalescer,
    feedback: Vec<Feedback>,
    /// Inner packets not written yet, as ranges of the batch's buffer.
    inner: Vec<Range<usize>>,
}

impl Inbound {
    fn receive_udp(&mut self, socket: &UdpSocket, event: &Ready, queue: &TunQueue, shared: &Shared) {
        if event.error {
            report_errors(|| socket.take_error(), shared);
        }
        let bound = socket.local_address();
        for _ in 0..BATCHES_PER_TURN {
            if socket.receive(&mut self.batch).is_err() || self.batch.is_empty() {
                break;
            }
            self.handle(Some(bound), queue, shared);
        }
        shared.report(&mut self.feedback);
    }

    fn receive_esp(&mut self, socket: &EspSocket, event: &Ready, queue: &TunQueue, shared: &Shared) {
        if event.error {
            report_errors(|| socket.take_error(), shared);
        }
        for _ in 0..BATCHES_PER_TURN {
            if socket.receive(&mut self.batch).is_err() || self.batch.is_empty() {
                break;
            }
            self.handle(None, queue, shared);
        }
        shared.report(&mut self.feedback);
    }

    /// Handles a batch; `bound` is the UDP socket's address, `None` for plain ESP.
    fn handle(&mut self, bound: Option<SocketAddr>, queue: &TunQueue, shared: &Shared) {
        let table = shared.table.load();
        let capture = shared.tap.running();
        let mut told = false;
        let (messages, arena) = self.batch.contiguous_mut();
        for (received, span) in messages {
            let path = bound.map(|bound| {
                let local = SocketAddr::new(received.local.unwrap_or(bound.ip()), bound.port());
                Path { local, remote: received.remote }
            });
            let step = received.segment_len.unwrap_or(span.len()).max(1);
            let mut start = span.start;
            // One message may hold many datagrams, and IKE among ESP: each is looked at by itself.
            while start < span.end {
                let end = (start + step).min(span.end);
                let Some(datagram) = arena.get_mut(start..end) else { break };
                match (path, demux(datagram)) {
                    (Some(path), Demux::Keepalive) => {
                        if let Some(capture) = &capture {
                            let (whose, way) = (Whose::Address(path.remote.ip()), Way::inbound(&path, received.tos));
                            take_out(capture, whose, &way, datagram, Note::Keepalive);
                        }
                    }
                    (Some(path), Demux::Ike(message)) => {
                        told |= shared.to_engine.try_send(WorkerMessage::Ike(path, message.to_vec())).is_ok();
                    }
                    (_, Demux::Ike(_) | Demux::Keepalive | Demux::Esp(_) | Demux::ReservedSpi(_) | Demux::TooShort) => {
                        // It is opened in place: what is to be seen as it came is copied first.
                        let before = capture.as_ref().map(|capture| Before::of(capture, &table, received, datagram));
                        let mut ingress = Ingress { table: &table, drops: &shared.drops, feedback: &mut self.feedback };
                        let outcome = ingress.judge(datagram, path, received.tos);
                        if let (Some(capture), Some(before)) = (&capture, before) {
                            before.take(capture, received, path, datagram, &outcome);
                        }
                        if let Ok(inner) = outcome {
                            self.inner.push(start + inner.start..start + inner.end);
                        }
                    }
                }
                start = end;
            }
            if self.inner.len() >= DELIVERED_AT_ONCE {
                deliver(&mut self.coalescer, arena, &mut self.inner, queue, shared);
            }
        }
        deliver(&mut self.coalescer, arena, &mut self.inner, queue, shared);
        if told {
            shared.engine_waker.wake();
        }
    }
}

/// What a capture needs of an ESP packet from before it is opened.
struct Before {
    whose: Whose,
    spi: Option<Spi>,
    /// The packet as it came, where outer packets are wanted.
    outer: Option<Vec<u8>>,
}

impl Before {
    fn of(capture: &Running, table: &ForwardingTable, received: &Received, datagram: &[u8]) -> Before {
        let spi = datagram.first_chunk().and_then(|bytes| Spi::from_be_bytes(*bytes));
        let entry = spi.and_then(|spi| table.inbound.get(&spi));
        let address = || Whose::Address(received.remote.ip());
        let whose = entry.map_or_else(address, |entry| Whose::Peer(entry.peer.clone()));
        let outer = capture.wants_outside(&whose).then(|| datagram.to_vec());
        Before { whose, spi, outer }
    }

    /// Hands the capture the packet as it came, and what was in it.
    fn take(
        self,
        capture: &Running,
        received: &Received,
        path: Option<Path>,
        datagram: &[u8],
        outcome: &Result<Range<usize>, DropReason>,
    ) {
        if let Some(outer) = self.outer {
            let local = SocketAddr::new(told(received.local, received.remote.ip()), 0);
            let plain = Path { local, remote: received.remote };
            let way = Way { udp: path.is_some(), ..Way::inbound(&path.unwrap_or(plain), received.tos) };
            let verdict = outcome.as_ref().map(|_| ()).map_err(|reason| *reason);
            let note = Note::EspIn { start: Note::start(&outer), verdict };
            capture.take_outside(self.whose.clone(), Direction::Inbound, &way, &outer, note);
        }
        if let Ok(inner) = outcome
            && capture.wants_inside(&self.whose)
        {
            let inner = datagram.get(inner.clone()).unwrap_or_default();
            capture.take_inside(self.whose, Direction::Inbound, inner, Note::InnerIn { spi: self.spi });
        }
    }
}

/// Hands a capture what came from outside and is not ESP.
fn take_out(capture: &Running, whose: Whose, way: &Way, datagram: &[u8], note: Note) {
    if capture.wants_outside(&whose) {
        capture.take_outside(whose, Direction::Inbound, way, datagram, note);
    }
}

/// Tells the engine of packets that were too big. All other ICMP errors concern single packets and prove nothing.
fn report_errors(take_error: impl Fn() -> io::Result<Option<UdpError>>, shared: &Shared) {
    let mut told = false;
    for _ in 0..ERRORS_PER_TURN {
        let Ok(Some(error)) = take_error() else { break };
        if let UdpErrorKind::TooBig { mtu } = error.kind {
            // Our own kernel shows no payload, some routers show too little, and raw IPv6 sockets begin before the SPI.
            let spi = error.payload.first_chunk().and_then(|bytes| Spi::from_be_bytes(*bytes));
            let spi = spi.filter(|_| error.remote.port() != 0 || error.remote.is_ipv4());
            let message = WorkerMessage::TooBig { remote: error.remote.ip(), spi, mtu };
            told |= shared.to_engine.try_send(message).is_ok();
        }
    }
    if told {
        shared.engine_waker.wake();
    }
}

/// Merges inner packets and writes them to the TUN device.
fn deliver(
    coalescer: &mut Coalescer,
    arena: &mut [u8],
    inner: &mut Vec<Range<usize>>,
    queue: &TunQueue,
    shared: &Shared,
) {
    coalescer.coalesce(arena, inner, |arena, header, ranges| {
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
        for (slice, range) in slices.iter_mut().zip(ranges) {
            *slice = IoSlice::new(arena.get(range.clone()).unwrap_or_default());
        }
        let slices = slices.get(..ranges.len()).unwrap_or_default();
        if let Err(error) = queue.write(&header.encode(), slices) {
            shared.drops.count(match error.kind() {
                io::ErrorKind::WouldBlock => DropReason::QueueFull,
                _ => DropReason::SendFailed,
            });
        }
    });
    inner.clear();
}
