//! The inbound worker: receives ESP in batches, opens it in place, merges what belongs together, writes to the TUN device.
//! IKE messages on the NAT-T port go to the engine.

use super::capture::Running;
use super::outbound::Shared;
use super::{WorkerMessage, io_error};
use crate::batch::ReceiveBatch;
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
                    (Some(_), Demux::Keepalive) => {}
                    (Some(path), Demux::Ike(message)) => {
                        told |= shared.to_engine.try_send(WorkerMessage::Ike(path, message.to_vec())).is_ok();
                    }
                    (_, Demux::Ike(_) | Demux::Keepalive | Demux::Esp(_) | Demux::ReservedSpi(_) | Demux::TooShort) => {
                        let spi = datagram.first_chunk().and_then(|bytes| Spi::from_be_bytes(*bytes));
                        let mut ingress = Ingress { table: &table, drops: &shared.drops, feedback: &mut self.feedback };
                        if let Some(inner) = ingress.handle(datagram, path, received.tos) {
                            if let Some(capture) = &capture {
                                copy_in(capture, &table, spi, datagram.get(inner.clone()).unwrap_or_default());
                            }
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

/// Hands a capture what came out of a tunnel.
fn copy_in(capture: &Running, table: &ForwardingTable, spi: Option<Spi>, inner: &[u8]) {
    let entry = spi.and_then(|spi| table.inbound.get(&spi));
    if let Some(entry) = entry.filter(|entry| capture.wants(&entry.peer)) {
        capture.take(&entry.peer, Direction::Inbound, inner);
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
