//! IPsec SAs that the peer was told are gone (RFC 2408 §3.15). Nobody acknowledges a DELETE, and one that is lost leaves the
//! peer with an SA into nowhere; but a peer that deletes its half says so in turn, which is as good. Until then it is told a
//! few times more.

use crate::id::Id;
use ipsec::{Spi, SpiPair};
use std::time::{Duration, Instant};

/// A DELETE is said again after this long, then after twice as long, and so on.
const AGAIN: Duration = Duration::from_secs(1);
/// So often: at a loss of one in five, one of 600 DELETEs gets lost every time.
const TIMES: u32 = 3;
/// SAs of one peer that are remembered: more than it has at a time are hardly deleted within seconds.
const MOST: usize = 256;

#[derive(Debug)]
struct Farewell {
    remote_id: Id,
    spis: SpiPair,
    next: Instant,
    said_again: u32,
}

/// Farewells to one peer without an answer.
#[derive(Debug, Default)]
pub(crate) struct Farewells(Vec<Farewell>);

impl Farewells {
    /// The peer is being told now.
    pub(crate) fn add(&mut self, remote_id: Id, spis: SpiPair, now: Instant) {
        if self.0.len() == MOST {
            self.0.remove(0);
        }
        self.0.push(Farewell { remote_id, spis, next: now + AGAIN, said_again: 0 });
    }

    /// The peer says that its half, whose SPI this is, is gone.
    pub(crate) fn answered(&mut self, remote_id: &Id, spi: &[u8]) {
        let same = |one: &Farewell| one.spis.outbound.to_be_bytes() == spi && one.remote_id.same_as(remote_id);
        self.0.retain(|one| !same(one));
    }

    /// When the next one is said again.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.iter().map(|one| one.next).min()
    }

    /// Those to say again now: to whom, and the SPI of our half.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<(Id, Spi)> {
        let mut due = Vec::new();
        for one in self.0.iter_mut().filter(|one| one.next <= now) {
            due.push((one.remote_id.clone(), one.spis.inbound));
            one.said_again += 1;
            one.next = now + AGAIN * (1 << one.said_again);
        }
        self.0.retain(|one| one.said_again < TIMES);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_farewell_is_repeated_until_it_is_answered_or_was_said_often_enough() {
        let start = crate::tests_clock();
        let id = Id::KeyId(vec![1]);
        let spi = |number| Spi::new(number).unwrap();
        let mut farewells = Farewells::default();
        farewells.add(id.clone(), SpiPair { inbound: spi(1000), outbound: spi(2000) }, start);
        farewells.add(id.clone(), SpiPair { inbound: spi(1001), outbound: spi(2001) }, start);
        farewells.answered(&id, &2001_u32.to_be_bytes());
        farewells.answered(&Id::KeyId(vec![2]), &2000_u32.to_be_bytes());
        let mut said = Vec::new();
        while let Some(at) = farewells.next() {
            for (to, inbound) in farewells.due(at) {
                assert_eq!(to, id);
                said.push(((at - start).as_secs(), inbound.get()));
            }
        }
        assert_eq!(said, [(1, 1000), (3, 1000), (7, 1000)]);
    }
}
