//! The outbound worker: reads super-packets from its TUN queue, has them sealed into a send batch, sends the batch.
//!
//! Run to completion: a packet is read, sealed where it is sent from, and sent, by one thread and without a queue between.

use super::capture::{Running, Tap, Whose};
use super::outer::{Note, Sent, Way, told};
use super::sockets::Sockets;
use super::{WorkerMessage, io_error};
use crate::batch::{Destination, SendBatch};
use crate::capture::Direction;
use crate::poll::{Interest, Poller, Ready, Token, Waker};
use crate::tun::{TUN_PACKET_MAX, TunQueue};
use crate::udp::DontFragment;
use arc_swap::ArcSwap;
use engine::ForwardingTable;
use engine::path::{Departure, Egress, Feedback, Outgoing};
use ike::config::PeerName;
use ipsec::{Action, DropCounters, DropReason, Encapsulation, Spi};
use packet::flow_key;
use packet::offload::{Segments, VNET_HEADER_LEN, VnetHeader};
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;

/// Room for four full super-packets in ESP.
const BATCH_BYTES: usize = 320 * 1024;
/// Super-packets read before what is sealed is sent.
const READS_PER_BATCH: usize = 32;

/// SAs remembered for a capture; of more, packets are known by the peer's address alone.
const MOST_SENDERS: usize = 65_536;

/// What outbound and inbound workers share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) table: Arc<ArcSwap<ForwardingTable>>,
    pub(super) sockets: Arc<Sockets>,
    pub(super) drops: Arc<DropCounters>,
    pub(super) to_engine: SyncSender<WorkerMessage>,
    pub(super) engine_waker: Waker,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) tap: Arc<Tap>,
    pub(super) icmp_source: Option<IpAddr>,
}

impl Shared {
    /// Tells the engine what was learned; what does not fit its queue is lost.
    pub(super) fn report(&self, feedback: &mut Vec<Feedback>) {
        if feedback.is_empty() {
            return;
        }
        for feedback in feedback.drain(..) {
            let wanted = matches!(feedback, Feedback::Wanted { .. });
            if self.to_engine.try_send(WorkerMessage::Feedback(feedback)).is_err() && wanted {
                self.drops.count(DropReason::QueueFull);
            }
        }
        self.engine_waker.wake();
    }
}

/// One batch per socket; a full one is sent, never refused.
pub(super) struct Batches {
    sockets: Arc<Sockets>,
    drops: Arc<DropCounters>,
    udp: Vec<SendBatch>,
    esp: Vec<SendBatch>,
    last: Option<(bool, usize)>,
    /// DF of what is in the batches: UDP, protocol 50.
    policies: [Vec<DontFragment>; 2],
    /// The capture that runs, as of this batch.
    capture: Option<Arc<Running>>,
    /// Whose the SAs are that something was sealed with while it runs: an SPI alone is the peer's choice.
    senders: BTreeMap<(Spi, IpAddr), PeerName>,
}

impl Batches {
    pub(super) fn new(sockets: &Arc<Sockets>, drops: &Arc<DropCounters>) -> Batches {
        let batches = |count: usize| (0..count).map(|_| SendBatch::new(BATCH_BYTES)).collect();
        Batches {
            udp: batches(sockets.nat.len()),
            esp: batches(sockets.esp.len()),
            sockets: Arc::clone(sockets),
            drops: Arc::clone(drops),
            last: None,
            policies: [vec![DontFragment::Set; sockets.nat.len()], vec![DontFragment::Set; sockets.esp.len()]],
            capture: None,
            senders: BTreeMap::new(),
        }
    }

    /// Shows what is sent from now on to a capture, or no longer.
    fn show_to(&mut self, capture: Option<Arc<Running>>) {
        if capture.is_none() {
            self.senders.clear();
        }
        self.capture = capture;
    }

    /// Sends everything.
    pub(super) fn flush(&mut self) {
        for index in 0..self.udp.len() {
            self.send(true, index);
        }
        for index in 0..self.esp.len() {
            self.send(false, index);
        }
    }

    fn send(&mut self, udp: bool, index: usize) {
        let batch = if udp { self.udp.get_mut(index) } else { self.esp.get_mut(index) };
        let Some(batch) = batch.filter(|batch| !batch.is_empty()) else { return };
        let [of_udp, of_esp] = &self.policies;
        if let Some(policy) = if udp { of_udp.get(index) } else { of_esp.get(index) } {
            // DF belongs to the socket. A kernel that refuses leaves it as it was.
            let _ = self.sockets.set_dont_fragment(udp, index, *policy);
        }
        let report = if udp {
            self.sockets.nat.get(index).map(|socket| socket.send(batch))
        } else {
            self.sockets.esp.get(index).map(|(_, socket)| socket.send(batch))
        };
        let unsent = report.as_ref().map_or(batch.datagrams(), |report| batch.datagrams() - report.datagrams);
        // The path MTU is found from the socket's error queue; the reason only tells the operator why.
        let failures = report.iter().flat_map(|report| &report.failures);
        let too_big = failures.clone().any(|failure| failure.error.raw_os_error() == Some(libc::EMSGSIZE));
        let reason = if too_big { DropReason::TooBig } else { DropReason::SendFailed };
        if let Some(capture) = &self.capture {
            let port = if udp { self.sockets.nat.get(index).map(|socket| socket.local_address().port()) } else { None };
            let refused = report.as_ref().map_or(0, |report| report.failed);
            let dont_fragment = if udp { of_udp.get(index) } else { of_esp.get(index) } != Some(&DontFragment::Clear);
            let departed = Departed { unsent, refused, reason, port, dont_fragment };
            take_sealed(capture, &self.senders, batch, &departed);
        }
        for _ in 0..unsent {
            self.drops.count(reason);
        }
        batch.clear();
    }
}

impl Outgoing for Batches {
    fn room(&mut self, to: &Departure, len: usize) -> Option<&mut [u8]> {
        let (udp, index, destination) = match to.encapsulation {
            Encapsulation::Udp { local, remote } => {
                let index = self.sockets.nat_index(local.ip())?;
                (true, index, Destination { remote, local: Some(local.ip()), tos: to.tos })
            }
            Encapsulation::Plain { local, remote } => {
                let index = self.sockets.esp_index(local)?;
                (false, index, Destination { remote: SocketAddr::new(remote, 0), local: Some(local), tos: to.tos })
            }
        };
        self.last = Some((udp, index));
        let policy = if to.dont_fragment { DontFragment::Set } else { DontFragment::Clear };
        let [of_udp, of_esp] = &self.policies;
        let other = if udp { of_udp.get(index) } else { of_esp.get(index) } != Some(&policy);
        let full = |batch: &SendBatch| batch.room() < len;
        if other || if udp { self.udp.get(index).is_some_and(full) } else { self.esp.get(index).is_some_and(full) } {
            self.send(udp, index);
            let [of_udp, of_esp] = &mut self.policies;
            if let Some(place) = if udp { of_udp.get_mut(index) } else { of_esp.get_mut(index) } {
                *place = policy;
            }
        }
        let batch = if udp { self.udp.get_mut(index) } else { self.esp.get_mut(index) };
        batch?.append(&destination, len)
    }

    fn undo(&mut self) {
        if let Some((udp, index)) = self.last.take() {
            let batch = if udp { self.udp.get_mut(index) } else { self.esp.get_mut(index) };
            if let Some(batch) = batch {
                batch.undo_append();
            }
        }
    }
}

/// Runs until `stop`; `wake` ends a wait.
pub(super) fn work(queue: &TunQueue, shared: &Shared, wake: &Waker) -> Result<(), super::GatewayError> {
    let poller = Poller::new().map_err(io_error("make an epoll instance"))?;
    poller.add(queue, Token(0), Interest::Read).map_err(io_error("watch the TUN device"))?;
    poller.add(wake, Token(1), Interest::Read).map_err(io_error("watch the waker"))?;
    let mut worker = Outbound {
        batches: Batches::new(&shared.sockets, &shared.drops),
        packet: vec![0; TUN_PACKET_MAX],
        feedback: Vec::new(),
        replies: Vec::new(),
    };
    let mut ready: Vec<Ready> = Vec::new();
    while !shared.stop.load(Ordering::Relaxed) {
        let more = worker.drain(queue, shared).map_err(io_error("read from the TUN device"))?;
        if !more {
            poller.wait(&mut ready, None).map_err(io_error("wait"))?;
        }
    }
    Ok(())
}

struct Outbound {
    batches: Batches,
    packet: Vec<u8>,
    feedback: Vec<Feedback>,
    replies: Vec<Vec<u8>>,
}

impl Outbound {
    /// Handles what the queue has, up to a batch; returns whether there may be more.
    fn drain(&mut self, queue: &TunQueue, shared: &Shared) -> io::Result<bool> {
        let table = shared.table.load();
        let capture = shared.tap.running();
        self.batches.show_to(capture.clone());
        let mut more = true;
        for _ in 0..READS_PER_BATCH {
            let mut header = [0; VNET_HEADER_LEN];
            let len = match queue.read(&mut header, &mut self.packet) {
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    more = false;
                    break;
                }
                // The interface is down: nothing comes until it is up, which is an event.
                Err(error) if error.raw_os_error() == Some(libc::EIO) => {
                    more = false;
                    break;
                }
                Err(error) => return Err(error),
            };
            let Some(packet) = self.packet.get_mut(..len) else { continue };
            let Ok((header, _)) = VnetHeader::parse(&header) else { continue };
            let before = capture.as_ref().and_then(|capture| Before::of(capture, &table, &header, packet));
            let mut egress = Egress {
                table: &table,
                drops: &shared.drops,
                feedback: &mut self.feedback,
                replies: &mut self.replies,
                icmp_source: shared.icmp_source,
            };
            if let Some(before) = &before {
                self.batches.remember(before.sender.as_ref());
            }
            let outcome = egress.judge(&header, packet, &mut self.batches);
            if let (Some(capture), Some(before)) = (&capture, before) {
                before.take(capture, outcome);
            }
        }
        self.batches.flush();
        for reply in self.replies.drain(..) {
            // The stack not taking an ICMP error is no reason to stop.
            let _ = queue.write(&VnetHeader::NONE.encode(), &[IoSlice::new(&reply)]);
        }
        shared.report(&mut self.feedback);
        Ok(more)
    }
}

/// What is known of sealed packets that were handed to the kernel.
struct Departed {
    /// Not taken by it, of these `refused` and the rest, the last ones, for want of room.
    unsent: usize,
    refused: usize,
    reason: DropReason,
    /// Of the UDP socket; none for protocol 50.
    port: Option<u16>,
    dont_fragment: bool,
}

/// Hands a capture what was sent, or was not.
fn take_sealed(capture: &Running, senders: &BTreeMap<(Spi, IpAddr), PeerName>, batch: &SendBatch, departed: &Departed) {
    let count = batch.datagrams();
    let Departed { unsent, refused, reason, .. } = *departed;
    for (index, (to, datagram)) in batch.iter().enumerate() {
        let remote = to.remote.ip();
        let spi = datagram.first_chunk().and_then(|bytes| Spi::from_be_bytes(*bytes));
        let peer = spi.and_then(|spi| senders.get(&(spi, remote)));
        let whose = peer.map_or(Whose::Address(remote), |peer| Whose::Peer(peer.clone()));
        if !capture.wants_outside(&whose) {
            continue;
        }
        let verdict = match (unsent, refused) {
            (0, _) => Sent::Yes,
            (unsent, _) if unsent == count => Sent::No(reason),
            (unsent, 0) if index >= count.saturating_sub(unsent) => Sent::No(reason),
            (_, 0) => Sent::Yes,
            (_, refused) => Sent::Some { refused, of: count, reason },
        };
        let source = SocketAddr::new(told(to.local, remote), departed.port.unwrap_or(0));
        let Departed { port, dont_fragment, .. } = *departed;
        let way = Way { source, destination: to.remote, udp: port.is_some(), tos: to.tos, dont_fragment };
        let note = Note::EspOut { start: Note::start(datagram), verdict };
        capture.take_outside(whose, Direction::Outbound, &way, datagram, note);
    }
}

/// What a capture needs of an inner packet from before it is sealed.
struct Before {
    whose: Whose,
    /// The SA it should take.
    sender: Option<((Spi, IpAddr), PeerName)>,
    /// The packet, cut as the tunnel will cut it; none where inner packets are not wanted.
    inner: Vec<Vec<u8>>,
}

impl Before {
    fn of(capture: &Running, table: &ForwardingTable, header: &VnetHeader, packet: &[u8]) -> Option<Before> {
        let flow = flow_key(packet).ok()?;
        let slot = match table.spd.lookup_outbound(&flow) {
            Action::Protect(slot) => table.slots.get(*slot),
            Action::Bypass | Action::Discard => None,
        };
        let entry = slot.and_then(|slot| slot.entry_for(&flow));
        let sender = entry.map(|entry| ((entry.sa.spi(), entry.encapsulation.remote_address()), entry.peer.clone()));
        let waiting = slot.and_then(|slot| slot.members.first()).map(|member| member.peer.clone());
        let peer = entry.map(|entry| entry.peer.clone()).or(waiting);
        let whose = peer.map_or(Whose::Nobody, Whose::Peer);
        let mut inner = Vec::new();
        if capture.wants_inside(&whose) {
            let segments = Segments::new(header, packet).ok()?;
            for index in 0..segments.count() {
                let mut copy = vec![0; segments.segment_len(index)];
                segments.write(index, &mut copy);
                inner.push(copy);
            }
        }
        Some(Before { whose, sender, inner })
    }

    /// Hands the capture the packet as it was, and what became of it.
    fn take(self, capture: &Running, verdict: Result<(), DropReason>) {
        let spi = self.sender.map(|((spi, _), _)| spi);
        for packet in &self.inner {
            let note = Note::InnerOut { spi, verdict };
            capture.take_inside(self.whose.clone(), Direction::Outbound, packet, note);
        }
    }
}

impl Batches {
    /// An SA that something is about to be sealed with.
    fn remember(&mut self, sender: Option<&((Spi, IpAddr), PeerName)>) {
        if let Some((sa, peer)) = sender
            && self.senders.len() < MOST_SENDERS
            && !self.senders.contains_key(sa)
        {
            self.senders.insert(*sa, peer.clone());
        }
    }
}

/// Sends packets that waited for a tunnel as if they had just arrived.
pub(super) struct Injector {
    batches: Batches,
    drops: Arc<DropCounters>,
    tap: Arc<Tap>,
}

impl Injector {
    pub(super) fn new(shared: &Shared) -> Injector {
        let batches = Batches::new(&shared.sockets, &shared.drops);
        Injector { batches, drops: Arc::clone(&shared.drops), tap: Arc::clone(&shared.tap) }
    }

    pub(super) fn inject(&mut self, table: &ForwardingTable, packets: Vec<Vec<u8>>) {
        // What does not get through now is not kept a second time.
        let (mut feedback, mut replies) = (Vec::new(), Vec::new());
        let capture = self.tap.running();
        self.batches.show_to(capture.clone());
        for mut packet in packets {
            let header = VnetHeader::NONE;
            let before = capture.as_ref().and_then(|capture| Before::of(capture, table, &header, &packet));
            if let Some(before) = &before {
                self.batches.remember(before.sender.as_ref());
            }
            let mut egress =
                Egress { table, drops: &self.drops, feedback: &mut feedback, replies: &mut replies, icmp_source: None };
            let outcome = egress.judge(&header, &mut packet, &mut self.batches);
            if let (Some(capture), Some(before)) = (&capture, before) {
                before.take(capture, outcome);
            }
        }
        self.batches.flush();
    }
}
