//! From an ESP packet to a packet for the protected network: SA, replay, integrity, selectors (all in `ipsec`), then ECN
//! and MSS.

use super::Feedback;
use crate::table::{ForwardingTable, InboundEntry};
use ike::config::Path;
use ipsec::{Demux, DropCounters, DropReason, Encapsulation, demux_esp};
use packet::clamp_mss;
use std::ops::Range;
use std::sync::atomic::Ordering;

/// Packets of one SA that are held against another truncation at most: somebody who guesses an SPI costs no more than that.
const MOST_LOOKS: u32 = 16;

/// Opens packets by one table.
pub struct Ingress<'a> {
    /// What to do with packets.
    pub table: &'a ForwardingTable,
    /// Counts what goes no further.
    pub drops: &'a DropCounters,
    /// What the engine must know.
    pub feedback: &'a mut Vec<Feedback>,
}

impl Ingress<'_> {
    /// Opens one ESP packet in place; returns where in `esp` the inner packet is. `path` is where it came in, `None` for
    /// plain ESP; `tos` is the outer header's.
    pub fn handle(&mut self, esp: &mut [u8], path: Option<Path>, tos: u8) -> Option<Range<usize>> {
        self.judge(esp, path, tos).ok()
    }

    /// As [`Self::handle`], for whoever wants to know what became of it.
    ///
    /// # Errors
    /// Why it was dropped; it is counted.
    pub fn judge(&mut self, esp: &mut [u8], path: Option<Path>, tos: u8) -> Result<Range<usize>, DropReason> {
        self.try_handle(esp, path, tos).inspect_err(|reason| self.drops.count(*reason))
    }

    fn try_handle(&mut self, esp: &mut [u8], path: Option<Path>, tos: u8) -> Result<Range<usize>, DropReason> {
        let spi = match demux_esp(esp) {
            Demux::Esp(spi) => spi,
            Demux::ReservedSpi(_) => return Err(DropReason::NoSa),
            Demux::Ike(_) | Demux::Keepalive | Demux::TooShort => return Err(DropReason::Malformed),
        };
        let entry = self.table.inbound.get(&spi).ok_or(DropReason::NoSa)?;
        let sequence = sequence_low(esp);
        let opened = entry.sa.open(esp).inspect_err(|reason| self.look_at_truncation(entry, esp, *reason))?;
        // Authentic from here on, whatever becomes of the packet.
        entry.heard.fetch_add(1, Ordering::Relaxed);
        if opened.first_on_this_sa {
            self.feedback.push(Feedback::FirstHeard(entry.child));
        }
        if let (Some(path), Encapsulation::Udp { remote, .. }) = (path, entry.encapsulation)
            && path.remote != remote
            && sequence == Some(entry.sa.highest_sequence() as u32)
        {
            self.feedback.push(Feedback::Moved { peer: entry.peer.clone(), child: entry.child, path });
        }
        let inner = esp.get_mut(opened.inner.clone()).ok_or(DropReason::Malformed)?;
        entry.tunnel.decapsulate(inner, tos)?;
        if self.table.clamp_mss {
            clamp_mss(inner, entry.mss.0, entry.mss.1, false);
        }
        Ok(opened.inner)
    }
}

impl Ingress<'_> {
    /// On an SA that never delivered anything, a packet that does not open may come from a peer that means another length by
    /// HMAC-SHA2-256: with a block cipher its length is wrong already. Looked at a few times and told once.
    fn look_at_truncation(&mut self, entry: &InboundEntry, esp: &[u8], reason: DropReason) {
        let refused = matches!(reason, DropReason::Authentication | DropReason::Malformed);
        if !refused || entry.sa.highest_sequence() > 0 || entry.looks.load(Ordering::Relaxed) >= MOST_LOOKS {
            return;
        }
        entry.looks.fetch_add(1, Ordering::Relaxed);
        if let Some(theirs) = entry.sa.other_truncation(esp) {
            entry.looks.store(MOST_LOOKS, Ordering::Relaxed);
            self.feedback.push(Feedback::Truncation { peer: entry.peer.clone(), child: entry.child, theirs });
        }
    }
}

fn sequence_low(esp: &[u8]) -> Option<u32> {
    let bytes: [u8; 4] = esp.get(4..8)?.try_into().ok()?;
    Some(u32::from_be_bytes(bytes))
}
