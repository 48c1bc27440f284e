//! Batches of datagrams: the unit in which packets cross the border to peers.
//!
//! A [`ReceiveBatch`] holds what one `recvmmsg` brought. One message may carry up to 64 datagrams of equal length that the kernel
//! merged (UDP GRO); [`Received::segments_mut`] takes them apart again, in place, so that each can be opened where it lies.
//! A [`SendBatch`] is one contiguous buffer into which datagrams are written one after the other; neighbours with the same
//! destination, source, TOS and length become one *run*, which leaves in one piece (UDP GSO).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::BorrowedFd;

use crate::sys::message::{self, Arrival, Departure, MAX_MESSAGES, ReceiveArena};

/// A buffer of this length holds every datagram and every merged run of datagrams.
pub const DATAGRAM_MAX: usize = 65_535;
/// Most datagrams the kernel cuts from one send (`UDP_MAX_SEGMENTS` of the oldest kernels with UDP GSO).
pub const SEGMENTS_MAX: usize = 64;
/// Most payload bytes of one UDP message over IPv4: 65535 - 20 - 8.
pub const RUN_BYTES_MAX: usize = 65_507;
/// Failures reported in detail per call; all are counted.
const FAILURES_REPORTED: usize = 16;

/// What one receive call brought, in buffers that are used again by the next one.
pub struct ReceiveBatch {
    arena: ReceiveArena,
    received: Vec<Received>,
    /// Messages of the last call that were longer than a slot, and dropped.
    truncated: usize,
}

/// One received message without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Who sent it.
    pub remote: SocketAddr,
    /// The address of ours it was sent to, when the kernel told.
    pub local: Option<IpAddr>,
    /// The interface it came in by (kernel index), 0 when unknown.
    pub interface: u32,
    /// The outer TOS or traffic class byte: DSCP and ECN.
    pub tos: u8,
    /// Length of every datagram but the last one, when the kernel merged several.
    pub segment_len: Option<usize>,
    slot: usize,
    range: Range<usize>,
}

impl Received {
    /// The datagrams in `bytes`, which belong to this message: one, or as many as the kernel merged.
    pub fn segments_mut<'a>(&self, bytes: &'a mut [u8]) -> impl Iterator<Item = &'a mut [u8]> {
        let whole = bytes.len().max(1);
        bytes.chunks_mut(self.segment_len.unwrap_or(whole).max(1))
    }

    /// As [`Received::segments_mut`], for reading.
    pub fn segments<'a>(&self, bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let whole = bytes.len().max(1);
        bytes.chunks(self.segment_len.unwrap_or(whole).max(1))
    }

    /// Moves the start of the payload to `offset` (past a header that a raw socket delivers).
    pub(crate) fn skip(&mut self, offset: usize) {
        self.range.start = (self.range.start + offset).min(self.range.end);
    }
}

impl ReceiveBatch {
    /// Room for `slots` messages (1 to 64) of at most `slot_len` bytes. With UDP GRO the slots must be [`DATAGRAM_MAX`] long,
    /// because the kernel cuts off what does not fit; the memory is only touched as far as it is used.
    pub fn new(slots: usize, slot_len: usize) -> Self {
        Self {
            arena: ReceiveArena::new(slots, slot_len.clamp(1, 1 << 20)),
            received: Vec::with_capacity(slots.clamp(1, MAX_MESSAGES)),
            truncated: 0,
        }
    }

    /// How many messages the last call brought.
    pub fn len(&self) -> usize {
        self.received.len()
    }

    /// Whether the last call brought nothing.
    pub fn is_empty(&self) -> bool {
        self.received.is_empty()
    }

    /// Messages of the last call that did not fit their slot and were dropped.
    pub fn truncated(&self) -> usize {
        self.truncated
    }

    /// Each message with its bytes, which may be changed in place.
    pub fn messages_mut(&mut self) -> impl Iterator<Item = (&Received, &mut [u8])> {
        let mut received = self.received.iter().peekable();
        self.arena.slots_mut().enumerate().filter_map(move |(slot, bytes)| {
            let message = received.next_if(|message| message.slot == slot)?;
            Some((message, bytes.get_mut(message.range.clone())?))
        })
    }

    /// Each message with the range of its bytes in the one buffer that holds all of them: for work across messages.
    pub fn contiguous_mut(&mut self) -> (impl Iterator<Item = (&Received, Range<usize>)>, &mut [u8]) {
        let slot_len = self.arena.slot_len();
        let span = move |message: &Received| {
            let start = message.slot * slot_len;
            start + message.range.start..start + message.range.end
        };
        (self.received.iter().map(move |message| (message, span(message))), self.arena.bytes_mut())
    }

    /// The `index`th message with its bytes.
    pub fn message_mut(&mut self, index: usize) -> Option<(&Received, &mut [u8])> {
        let message = self.received.get(index)?;
        let bytes = self.arena.slot_mut(message.slot);
        Some((message, bytes.get_mut(message.range.clone())?))
    }

    /// Fills the batch from a socket; returns the kernel's latest count of datagrams dropped for want of buffer, if it said so.
    /// `keep` may look at each message (and its bytes) and adjust or refuse it.
    pub(crate) fn fill(
        &mut self,
        fd: BorrowedFd<'_>,
        keep: impl Fn(&mut Received, &[u8]) -> bool,
    ) -> io::Result<Option<u32>> {
        self.received.clear();
        self.truncated = 0;
        let (received, truncated) = (&mut self.received, &mut self.truncated);
        let mut overflow = None;
        self.arena.receive(fd, |slot, arrival| {
            overflow = arrival.overflow.or(overflow);
            // Lost ancillary data may be a lost ECN mark or a lost segment length: such a message is not worth having.
            if arrival.truncated || arrival.control_truncated {
                *truncated += 1;
            } else if let Some(message) = received_from(slot, &arrival) {
                received.push(message);
            }
        })?;
        let arena = &mut self.arena;
        self.received.retain_mut(|message| {
            let range = message.range.clone();
            let bytes = arena.slot_mut(message.slot).get(range).unwrap_or_default();
            keep(message, bytes)
        });
        Ok(overflow)
    }
}

fn received_from(slot: usize, arrival: &Arrival) -> Option<Received> {
    Some(Received {
        remote: arrival.remote?,
        local: arrival.local,
        interface: arrival.interface,
        tos: arrival.tos,
        segment_len: arrival.segment_len.map(usize::from).filter(|&len| len > 0),
        slot,
        range: 0..arrival.len,
    })
}

/// Where a datagram goes and how it is marked: what the datagrams of one run have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// The peer.
    pub remote: SocketAddr,
    /// Our address to send from; `None` leaves the choice to the kernel's routing.
    pub local: Option<IpAddr>,
    /// Outer TOS or traffic class: DSCP and ECN.
    pub tos: u8,
}

#[derive(Debug, Clone)]
struct Run {
    to: Destination,
    start: usize,
    len: usize,
    segment_len: usize,
    segments: usize,
}

/// Datagrams to send, in one contiguous buffer.
pub struct SendBatch {
    data: Vec<u8>,
    used: usize,
    runs: Vec<Run>,
}

/// How far into a [`SendBatch`] sending has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    run: usize,
    segment: usize,
}

/// What became of a [`SendBatch`].
#[derive(Debug, Default)]
pub struct SendReport {
    /// Datagrams handed to the kernel.
    pub datagrams: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Datagrams the kernel refused; they are skipped.
    pub failed: usize,
    /// The first few refusals.
    pub failures: Vec<SendFailure>,
    /// The socket's buffer is full: everything from here on is unsent. Drop it, or go on from here once
    /// the socket is writable.
    pub blocked_at: Option<Position>,
}

/// A datagram (or run) that the kernel refused.
#[derive(Debug)]
pub struct SendFailure {
    /// Where it was going.
    pub to: Destination,
    /// Why. `EMSGSIZE` means that it is larger than the path allows and must not be fragmented.
    pub error: io::Error,
}

impl SendBatch {
    /// A buffer of `capacity` bytes; 256 KiB holds four full TUN super-packets.
    pub fn new(capacity: usize) -> Self {
        Self { data: vec![0; capacity], used: 0, runs: Vec::with_capacity(MAX_MESSAGES) }
    }

    /// Forgets all datagrams.
    pub fn clear(&mut self) {
        self.used = 0;
        self.runs.clear();
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Datagrams waiting to be sent.
    pub fn datagrams(&self) -> usize {
        self.runs.iter().map(|run| run.segments).sum()
    }

    /// Bytes that still fit.
    pub fn room(&self) -> usize {
        self.data.len() - self.used
    }

    /// Room for one datagram of exactly `len` bytes, to be written by the caller (its old content is arbitrary); `None` when the
    /// buffer is full (send and clear it) or `len` is 0 or more than [`RUN_BYTES_MAX`].
    pub fn append(&mut self, to: &Destination, len: usize) -> Option<&mut [u8]> {
        if len == 0 || len > RUN_BYTES_MAX || len > self.room() {
            return None;
        }
        let start = self.used;
        match self.runs.last_mut() {
            Some(run) if run.takes(to, len) => {
                run.len += len;
                run.segments += 1;
            }
            _ => self.runs.push(Run { to: *to, start, len, segment_len: len, segments: 1 }),
        }
        self.used += len;
        self.data.get_mut(start..start + len)
    }

    /// Copies one datagram in; `false` when it does not fit.
    pub fn push(&mut self, to: &Destination, bytes: &[u8]) -> bool {
        match self.append(to, bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                true
            }
            None => false,
        }
    }

    /// The datagrams in the order in which they are sent, each with where it goes.
    pub fn iter(&self) -> impl Iterator<Item = (&Destination, &[u8])> {
        self.runs.iter().flat_map(|run| {
            let bytes = self.data.get(run.start..run.start + run.len).unwrap_or_default();
            bytes.chunks(run.segment_len.max(1)).map(|datagram| (&run.to, datagram))
        })
    }

    /// Takes back the datagram appended last (its sealing failed).
    pub fn undo_append(&mut self) {
        let Some(run) = self.runs.last_mut() else {
            return;
        };
        let last = run.len - run.segment_len * (run.segments - 1);
        run.len -= last;
        run.segments -= 1;
        self.used -= last;
        if run.segments == 0 {
            self.runs.pop();
        }
    }

    /// The messages from `position` on; runs with datagrams longer than `gso_limit` are sent one by one.
    fn departures(&self, position: Position, gso_limit: usize) -> Departures<'_> {
        Departures { batch: self, position, gso_limit }
    }
}

impl Run {
    /// Whether a datagram of `len` bytes may join: all are equally long, but for a shorter last one.
    fn takes(&self, to: &Destination, len: usize) -> bool {
        let full = self.len == self.segment_len * self.segments;
        full && self.to == *to
            && len <= self.segment_len
            && self.segments < SEGMENTS_MAX
            && self.len + len <= RUN_BYTES_MAX
    }
}

struct Departures<'a> {
    batch: &'a SendBatch,
    position: Position,
    gso_limit: usize,
}

impl<'a> Departures<'a> {
    /// The next message, and the position after it.
    fn step(&self) -> Option<(Departure<'a>, Position)> {
        let run = self.batch.runs.get(self.position.run)?;
        let offset = run.segment_len * self.position.segment;
        let left = run.segments - self.position.segment;
        let whole = left > 1 && run.segment_len <= self.gso_limit;
        let len = if whole { run.len - offset } else { run.segment_len.min(run.len - offset) };
        let start = run.start + offset;
        let next = if whole || left == 1 {
            Position { run: self.position.run + 1, segment: 0 }
        } else {
            Position { segment: self.position.segment + 1, ..self.position }
        };
        let departure = Departure {
            remote: run.to.remote,
            local: run.to.local,
            tos: run.to.tos,
            bytes: self.batch.data.get(start..start + len)?,
            segment_len: if whole { u16::try_from(run.segment_len).ok() } else { None },
        };
        Some((departure, next))
    }
}

impl<'a> Iterator for Departures<'a> {
    type Item = Departure<'a>;

    fn next(&mut self) -> Option<Departure<'a>> {
        let (departure, next) = self.step()?;
        self.position = next;
        Some(departure)
    }
}

/// Sends a batch from `position` on. `gso_limit` is the longest datagram the socket segments (0: it does not); it is lowered when
/// the kernel or the device turns out not to.
pub(crate) fn send(fd: BorrowedFd<'_>, batch: &SendBatch, position: Position, gso_limit: &mut usize) -> SendReport {
    let mut report = SendReport::default();
    let mut pending = batch.departures(position, *gso_limit);
    // A run that was refused as a whole is tried again as single datagrams before anything is concluded from that.
    let mut singly: Option<usize> = None;
    let mut retried = false;
    loop {
        let alone = singly == Some(pending.position.run);
        pending.gso_limit = if alone { 0 } else { *gso_limit };
        let Some((first, after)) = pending.step() else {
            return report;
        };
        let run = pending.position.run;
        let result = if alone {
            let one = Departures { batch, position: pending.position, gso_limit: 0 };
            message::send(fd, one.take(1))
        } else {
            let rest = batch.departures(pending.position, *gso_limit);
            message::send(fd, rest)
        };
        match result {
            Ok(sent) => {
                retried = false;
                for departure in pending.by_ref().take(sent) {
                    report.bytes += departure.bytes.len();
                    report.datagrams += departure.datagrams();
                }
                if alone && sent > 0 {
                    let refused = batch.runs.get(run).map_or(0, |run| run.segment_len);
                    *gso_limit = (*gso_limit).min(refused.saturating_sub(1));
                    singly = None;
                }
            }
            Err(error) => match verdict(&error, first.segment_len.is_some() && !alone, retried) {
                Verdict::Again => retried = error.kind() != io::ErrorKind::Interrupted || retried,
                Verdict::Blocked => {
                    report.blocked_at = Some(pending.position);
                    return report;
                }
                Verdict::NoOffload => *gso_limit = 0,
                Verdict::TrySingly => singly = Some(run),
                Verdict::Skip => {
                    retried = false;
                    report.failed += first.datagrams();
                    if report.failures.len() < FAILURES_REPORTED {
                        let to = batch.runs.get(run).map(|run| run.to);
                        let failure = to.map(|to| SendFailure { to, error });
                        report.failures.extend(failure);
                    }
                    pending.position = after;
                }
            },
        }
    }
}

impl Departure<'_> {
    fn datagrams(&self) -> usize {
        self.segment_len.map_or(1, |len| self.bytes.len().div_ceil(usize::from(len).max(1)))
    }
}

enum Verdict {
    Again,
    Blocked,
    NoOffload,
    TrySingly,
    Skip,
}

fn verdict(error: &io::Error, segmented: bool, retried: bool) -> Verdict {
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::ENOBUFS) => Verdict::Blocked,
        Some(libc::EINTR) => Verdict::Again,
        // The device cannot checksum, so the kernel refuses to segment for it.
        Some(libc::EIO) if segmented => Verdict::NoOffload,
        // An ICMP error for an *earlier* datagram is reported by the next call, once (IP_RECVERR): it says nothing about this one.
        Some(libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EPROTO | libc::EMSGSIZE)
            if !retried =>
        {
            Verdict::Again
        }
        // No UDP GSO in this kernel, a datagram longer than the path's MTU, or nothing to do with segmentation at all.
        Some(libc::EINVAL | libc::EMSGSIZE) if segmented => Verdict::TrySingly,
        _ => Verdict::Skip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(port: u16) -> Destination {
        Destination { remote: SocketAddr::from(([192, 0, 2, 1], port)), local: None, tos: 0 }
    }

    fn shape(batch: &SendBatch, gso_limit: usize) -> Vec<(usize, Option<u16>)> {
        batch
            .departures(Position::default(), gso_limit)
            .map(|departure| (departure.bytes.len(), departure.segment_len))
            .collect()
    }

    #[test]
    fn equal_neighbours_form_a_run_and_a_short_one_closes_it() {
        let mut batch = SendBatch::new(65_536);
        for len in [100, 100, 60, 100, 100] {
            assert!(batch.push(&to(1), &vec![1; len]));
        }
        assert_eq!(
            shape(&batch, 1500),
            [(260, Some(100)), (200, Some(100))],
            "the short datagram is the last of its run"
        );
        assert_eq!(shape(&batch, 0), [(100, None), (100, None), (60, None), (100, None), (100, None)]);
        assert_eq!(batch.datagrams(), 5);
    }

    #[test]
    fn runs_never_mix_destinations_tos_or_sources() {
        let mut batch = SendBatch::new(65_536);
        let marked = Destination { tos: 2, ..to(1) };
        let sourced = Destination { local: Some(IpAddr::from([192, 0, 2, 9])), ..to(1) };
        for destination in [to(1), to(2), marked, sourced, to(1)] {
            assert!(batch.push(&destination, &[0; 50]));
        }
        assert_eq!(shape(&batch, 1500), [(50, None); 5]);
    }

    #[test]
    fn a_run_ends_at_64_datagrams_and_at_65507_bytes() {
        let mut batch = SendBatch::new(300_000);
        for _ in 0..65 {
            assert!(batch.push(&to(1), &[0; 100]));
        }
        assert_eq!(shape(&batch, 1500), [(6400, Some(100)), (100, None)]);
        batch.clear();
        for _ in 0..46 {
            assert!(batch.push(&to(1), &[0; 1472]));
        }
        assert_eq!(shape(&batch, 1500), [(44 * 1472, Some(1472)), (2 * 1472, Some(1472))]);
    }

    #[test]
    fn a_full_buffer_and_an_empty_datagram_are_refused() {
        let mut batch = SendBatch::new(150);
        assert!(batch.append(&to(1), 0).is_none());
        assert!(batch.push(&to(1), &[0; 100]));
        assert!(!batch.push(&to(1), &[0; 51]));
        assert!(batch.push(&to(1), &[0; 50]));
        assert_eq!(batch.room(), 0);
    }

    #[test]
    fn undo_takes_back_exactly_the_last_datagram() {
        let mut batch = SendBatch::new(1000);
        for len in [100, 100, 60] {
            assert!(batch.push(&to(1), &vec![1; len]));
        }
        batch.undo_append();
        assert_eq!(shape(&batch, 1500), [(200, Some(100))]);
        batch.undo_append();
        batch.undo_append();
        assert!(batch.is_empty());
        batch.undo_append();
        assert_eq!(batch.room(), 1000);
    }
}
