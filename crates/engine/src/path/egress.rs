//! From a packet of the protected network to ESP packets: policy, MSS, size, sequence numbers, seal.
//!
//! A super-packet (TSO, USO) is looked up once, split, and each segment written and sealed where it is sent from. All its
//! sequence numbers are reserved at once.

use super::{Departure, Feedback, Outgoing};
use crate::table::{ForwardingTable, OutboundEntry, Slot};
use ipsec::{Action, DropCounters, DropReason, Fit, LifetimeState};
use packet::offload::{Segments, VnetHeader};
use packet::{clamp_mss, flow_key, fragment_v4, icmp};
use std::net::IpAddr;
use std::sync::atomic::Ordering;

/// Seals packets by one table. Lives as long as a worker; the table may change between packets.
pub struct Egress<'a> {
    /// What to do with packets.
    pub table: &'a ForwardingTable,
    /// Counts what goes no further.
    pub drops: &'a DropCounters,
    /// What the engine must know.
    pub feedback: &'a mut Vec<Feedback>,
    /// Packets for the protected network's side: ICMP errors.
    pub replies: &'a mut Vec<Vec<u8>>,
    /// Our address in ICMP errors; `None` uses the unreachable destination's.
    pub icmp_source: Option<IpAddr>,
}

impl Egress<'_> {
    /// Handles one packet as a TUN device gives it. Its TCP MSS option may be changed.
    pub fn handle(&mut self, header: &VnetHeader, packet: &mut [u8], out: &mut impl Outgoing) {
        // Whoever only forwards needs no more than the counter.
        let _ = self.judge(header, packet, out);
    }

    /// As [`Self::handle`], for whoever wants to know what became of it. `Ok` is sealed, or kept until its tunnel is up.
    ///
    /// # Errors
    /// Why it was dropped; it is counted.
    pub fn judge(&mut self, header: &VnetHeader, packet: &mut [u8], out: &mut impl Outgoing) -> Result<(), DropReason> {
        self.try_handle(header, packet, out).inspect_err(|reason| self.drops.count(*reason))
    }

    fn try_handle(
        &mut self,
        header: &VnetHeader,
        packet: &mut [u8],
        out: &mut impl Outgoing,
    ) -> Result<(), DropReason> {
        let flow = flow_key(packet).map_err(|_| DropReason::Malformed)?;
        let table = self.table;
        let slot = match table.spd.lookup_outbound(&flow) {
            // Traffic to pass in clear is never routed here; what comes all the same must not leave as it is.
            Action::Bypass | Action::Discard => return Err(DropReason::Policy),
            Action::Protect(slot) => table.slots.get(*slot).ok_or(DropReason::NoTunnel)?,
        };
        let Some(entry) = slot.entry_for(&flow) else { return self.want(slot, header, packet) };
        if table.clamp_mss {
            clamp_mss(packet, entry.mss.0, entry.mss.1, header.checksum_partial());
        }
        let segments = Segments::new(header, packet).map_err(|_| DropReason::Malformed)?;
        if entry.armed.load(Ordering::Relaxed) && entry.armed.swap(false, Ordering::Relaxed) {
            self.feedback.push(Feedback::Sending(entry.peer.clone()));
        }
        self.seal_segments(entry, &segments, packet, out)
    }

    fn seal_segments(
        &mut self,
        entry: &OutboundEntry,
        segments: &Segments<'_>,
        packet: &[u8],
        out: &mut impl Outgoing,
    ) -> Result<(), DropReason> {
        let mtu = usize::from(entry.inner_mtu);
        if segments.segment_len(0) > mtu {
            return self.oversized(entry, segments, packet, out);
        }
        self.seal_each_segment(entry, segments, &departure(entry, packet), out)
    }

    fn seal_each_segment(
        &mut self,
        entry: &OutboundEntry,
        segments: &Segments<'_>,
        to: &Departure,
        out: &mut impl Outgoing,
    ) -> Result<(), DropReason> {
        self.seal_each(entry, segments.count(), |egress, index, sequence| {
            let inner_len = segments.segment_len(index);
            egress.seal_into(entry, to, sequence, inner_len, out, |room| segments.write(index, room) == inner_len)
        })
    }

    /// Seals `count` packets under sequence numbers reserved at once; at the end of an SA's life, one by one, so that a
    /// burst longer than what is left uses it up and is not dropped whole, again and again.
    fn seal_each(
        &mut self,
        entry: &OutboundEntry,
        count: usize,
        mut seal: impl FnMut(&Self, usize, u64) -> Result<(), DropReason>,
    ) -> Result<(), DropReason> {
        let mut index = 0;
        while index < count {
            let (first, granted) = self.reserve(entry, (count - index) as u64)?;
            for sequence in first..first.saturating_add(granted) {
                seal(self, index, sequence)?;
                index += 1;
            }
        }
        Ok(())
    }

    /// Takes `count` sequence numbers, or one; returns the first and how many.
    fn reserve(&mut self, entry: &OutboundEntry, count: u64) -> Result<(u64, u64), DropReason> {
        let take = |count| entry.sa.reserve(count).map(|first| (first, count));
        let reserved = take(count).or_else(|_| take(1));
        let state = entry.sa.lifetime_state();
        if state != LifetimeState::Within {
            let hard = reserved.is_err();
            if !entry.soft_reported.swap(true, Ordering::Relaxed) || hard {
                let (peer, child) = (entry.peer.clone(), entry.child);
                self.feedback.push(Feedback::Limit { peer, child, hard });
            }
        }
        reserved
    }

    fn seal_into(
        &self,
        entry: &OutboundEntry,
        to: &Departure,
        sequence: u64,
        inner_len: usize,
        out: &mut impl Outgoing,
        write: impl FnOnce(&mut [u8]) -> bool,
    ) -> Result<(), DropReason> {
        let offset = entry.sa.inner_offset();
        let room = out.room(to, entry.sa.sealed_len(inner_len)).ok_or(DropReason::TooBig)?;
        let written = room.get_mut(offset..).is_some_and(write);
        let sealed =
            if written { entry.sa.seal_in_place(sequence, inner_len, room) } else { Err(DropReason::Malformed) };
        match sealed {
            Ok(_) => Ok(()),
            Err(reason) => {
                out.undo();
                Err(reason)
            }
        }
    }

    /// A packet longer than the tunnel carries: fragmented before encryption, or its sender told (RFC 4301 §8).
    fn oversized(
        &mut self,
        entry: &OutboundEntry,
        segments: &Segments<'_>,
        packet: &[u8],
        out: &mut impl Outgoing,
    ) -> Result<(), DropReason> {
        let mut first = vec![0; segments.segment_len(0)];
        segments.write(0, &mut first);
        match ipsec::fit(&first, usize::from(entry.inner_mtu)) {
            Fit::TooBigDf(mtu) => {
                let source = self.icmp_source.or_else(|| flow_key(&first).ok().map(|flow| flow.destination));
                let mut reply = Vec::new();
                if let Some(source) = source
                    && icmp::too_big(&first, mtu, source, &mut reply).is_ok()
                {
                    self.replies.push(reply);
                }
                Err(DropReason::TooBig)
            }
            Fit::FragmentFirst => self.seal_fragments(entry, segments, packet, out),
            Fit::Ok => self.seal_each_segment(entry, segments, &departure(entry, packet), out),
            // IPv6 inside may not be made smaller than 1,280 bytes: the outer packet is fragmented instead.
            Fit::FragmentOuter => {
                let to = Departure { dont_fragment: false, ..departure(entry, packet) };
                self.seal_each_segment(entry, segments, &to, out)
            }
        }
    }

    fn seal_fragments(
        &mut self,
        entry: &OutboundEntry,
        segments: &Segments<'_>,
        packet: &[u8],
        out: &mut impl Outgoing,
    ) -> Result<(), DropReason> {
        let to = departure(entry, packet);
        let mut pieces = Vec::new();
        for index in 0..segments.count() {
            let mut whole = vec![0; segments.segment_len(index)];
            segments.write(index, &mut whole);
            fragment_v4(&whole, usize::from(entry.inner_mtu), |piece| pieces.push(piece.to_vec()))
                .map_err(|_| DropReason::TooBig)?;
        }
        self.seal_each(entry, pieces.len(), |egress, index, sequence| {
            let Some(piece) = pieces.get(index) else { return Ok(()) };
            egress.seal_into(entry, &to, sequence, piece.len(), out, |room| copy(piece, room))
        })
    }

    /// Nothing can carry the packet now: it asks for its child where that is on demand, and waits; else it is dropped.
    fn want(&mut self, slot: &Slot, header: &VnetHeader, packet: &[u8]) -> Result<(), DropReason> {
        // A tunnel that is up, but narrower than this packet, is not helped by another request.
        if slot.is_up() {
            return Err(DropReason::Selector);
        }
        let member = slot.members.iter().find(|member| member.on_demand).ok_or(DropReason::NoTunnel)?;
        let segments = Segments::new(header, packet).map_err(|_| DropReason::Malformed)?;
        for index in 0..segments.count() {
            let mut whole = vec![0; segments.segment_len(index)];
            segments.write(index, &mut whole);
            let (peer, child) = (member.peer.clone(), member.child.clone());
            self.feedback.push(Feedback::Wanted { peer, child, packet: whole });
        }
        Ok(())
    }
}

fn departure(entry: &OutboundEntry, packet: &[u8]) -> Departure {
    let dont_fragment = entry.sa.tunnel().outer_df(packet);
    Departure { encapsulation: entry.encapsulation, tos: entry.sa.outer_tos(packet), dont_fragment }
}

fn copy(from: &[u8], to: &mut [u8]) -> bool {
    to.get_mut(..from.len()).is_some_and(|to| {
        to.copy_from_slice(from);
        true
    })
}
