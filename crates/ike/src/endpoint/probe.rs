//! Asking a peer at once whether it lives, before its silence has lasted for the configured interval: whoever has another
//! way to the same place wants to know soon (RFC 7296 §2.4, RFC 3706 §5.4).

use super::Endpoint;
use crate::config::PeerName;
use crate::wire::IkeSpi;
use std::time::Instant;

impl Endpoint {
    /// Sends a peer a question that it has to answer: a new liveness check, or again what still waits for an answer. How
    /// often is the caller's business; when the peer counts as dead stays that of its `dpd`. `false` where nothing can be
    /// asked: without an established SA, or of a peer of IKEv1 that does not know the question.
    pub fn probe(&mut self, peer: &PeerName, now: Instant) -> bool {
        let v2 = self.newest_established(peer);
        let asked = match v2 {
            Some(spi) => self.with_sa(spi, now, |sa, cx| sa.probe(cx)),
            None => match self.v1_live(peer) {
                Some(cookie) => self.with_v1(cookie, now, |sa, _, cx| sa.probe(cx)),
                None => None,
            },
        };
        self.carry_out(now);
        asked.unwrap_or(false)
    }

    /// When a peer was last heard on an established IKE SA, by a message or by what [`Self::esp_heard`] told.
    pub fn last_heard(&self, peer: &PeerName) -> Option<Instant> {
        let v2 = self.sas_of_v2(peer).filter(|sa| sa.is_established()).map(|sa| sa.last_heard);
        let v1 = self.v1_live(peer).and_then(|cookie| self.v1.sas.get(&cookie)).map(|sa| sa.last_heard);
        v2.chain(v1).max()
    }

    fn newest_established(&self, peer: &PeerName) -> Option<IkeSpi> {
        let established = self.sas_of_v2(peer).filter(|sa| sa.is_established());
        established.max_by_key(|sa| sa.established).map(|sa| sa.local_spi)
    }
}
