//! The inbound worker: receives ESP in batches, opens it in place, merges what belongs together, writes to the TUN device.
//! IKE messages on the NAT-T port go to the engine.

use super::outbound::Shared;
use super::{WorkerMessage, io_error};
use crate::batch::ReceiveBatch;
use crate::poll::{Interest, Poller, Ready, Token, Waker};
use crate::tun::TunQueue;
use crate::udp::UdpSocket;
use engine::path::{Feedback, Ingress};
use ike::config::Path;
use ipsec::{Demux, DropReason, demux};
use packet::offload::{Coalescer, Merging};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::Ordering;

/// Messages received at a time, each up to 64 KiB of merged datagrams.
const SLOTS: usize = 32;
const SLOT_BYTES: usize = 65_536;
/// Batches handled before looking at the other sockets.
const BATCHES_PER_TURN: usize = 8;
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
                        worker.from_udp(socket, queue, shared);
                    }
                }
                Some(index) => {
                    if let Some((_, socket)) = shared.sockets.esp.get((index - nat) as usize) {
                        worker.from_esp(socket, queue, shared);
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
    /// Inner packets of one message, as ranges of its bytes.
    inner: Vec<Range<usize>>,
}

impl Inbound {
    fn from_udp(&mut self, socket: &UdpSocket, queue: &TunQueue, shared: &Shared) {
        // Errors reported by routers concern single packets; the path MTU is the engine thread's to watch.
        while let Ok(Some(_)) = socket.take_error() {}
        for _ in 0..BATCHES_PER_TURN {
            if socket.receive(&mut self.batch).is_err() || self.batch.is_empty() {
                break;
            }
            self.handle_udp(socket.local_address(), queue, shared);
        }
        shared.report(&mut self.feedback);
    }

    fn handle_udp(&mut self, bound: SocketAddr, queue: &TunQueue, shared: &Shared) {
        let table = shared.table.load();
        let mut told = false;
        for (received, bytes) in self.batch.messages_mut() {
            let local = SocketAddr::new(received.local.unwrap_or(bound.ip()), bound.port());
            let path = Path { local, remote: received.remote };
            let step = received.segment_len.unwrap_or(bytes.len()).max(1);
            self.inner.clear();
            let mut start = 0;
            // One message may hold many datagrams, and IKE among ESP: each is looked at by itself.
            while start < bytes.len() {
                let end = (start + step).min(bytes.len());
                let Some(datagram) = bytes.get_mut(start..end) else { break };
                match demux(datagram) {
                    Demux::Keepalive => {}
                    Demux::Ike(message) => {
                        told |= shared.to_engine.try_send(WorkerMessage::Ike(path, message.to_vec())).is_ok();
                    }
                    Demux::Esp(_) | Demux::ReservedSpi(_) | Demux::TooShort => {
                        let mut ingress = Ingress { table: &table, drops: &shared.drops, feedback: &mut self.feedback };
                        if let Some(inner) = ingress.handle(datagram, Some(path), received.tos) {
                            self.inner.push(start + inner.start..start + inner.end);
                        }
                    }
                }
                start = end;
            }
            deliver(&mut self.coalescer, bytes, &self.inner, queue, shared);
        }
        if told {
            shared.engine_waker.wake();
        }
    }

    fn from_esp(&mut self, socket: &crate::esp_socket::EspSocket, queue: &TunQueue, shared: &Shared) {
        for _ in 0..BATCHES_PER_TURN {
            if socket.receive(&mut self.batch).is_err() || self.batch.is_empty() {
                break;
            }
            let table = shared.table.load();
            for (received, bytes) in self.batch.messages_mut() {
                let mut ingress = Ingress { table: &table, drops: &shared.drops, feedback: &mut self.feedback };
                self.inner.clear();
                self.inner.extend(ingress.handle(bytes, None, received.tos));
                deliver(&mut self.coalescer, bytes, &self.inner, queue, shared);
            }
        }
        shared.report(&mut self.feedback);
    }
}

/// Merges inner packets and writes them to the TUN device.
fn deliver(coalescer: &mut Coalescer, bytes: &mut [u8], inner: &[Range<usize>], queue: &TunQueue, shared: &Shared) {
    if inner.is_empty() {
        return;
    }
    coalescer.coalesce(bytes, inner, |arena, header, ranges| {
        let slices: Vec<IoSlice<'_>> =
            ranges.iter().filter_map(|range| arena.get(range.clone())).map(IoSlice::new).collect();
        match queue.write(&header.encode(), &slices) {
            Ok(()) => {}
            Err(error) => {
                let reason = match error.kind() {
                    io::ErrorKind::WouldBlock => DropReason::QueueFull,
                    _ => DropReason::SendFailed,
                };
                shared.drops.count(reason);
            }
        }
    });
}
