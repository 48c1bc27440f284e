//! SPIs that are ours to choose: IKE SPIs (RFC 7296 §2.6) and inbound ESP SPIs (RFC 4303 §2.1), unique in an endpoint.

use crate::wire::IkeSpi;
use crypto::Rng;
use ipsec::Spi;
use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

/// Hands out SPIs at random and remembers those in use.
#[derive(Debug, Default)]
pub(crate) struct SpiAllocator {
    ike: BTreeSet<IkeSpi>,
    child: BTreeSet<Spi>,
    /// Given back, but packets may still be under way to them until then.
    retired: VecDeque<(Instant, Spi)>,
}

impl SpiAllocator {
    /// A non-zero IKE SPI that no SA of ours has, half-open ones included.
    pub(crate) fn allocate_ike(&mut self, rng: &mut dyn Rng) -> IkeSpi {
        loop {
            let mut bytes = [0; 8];
            rng.fill(&mut bytes);
            let spi = IkeSpi(bytes);
            if !spi.is_zero() && self.ike.insert(spi) {
                return spi;
            }
        }
    }

    /// Gives an IKE SPI back.
    pub(crate) fn release_ike(&mut self, spi: IkeSpi) {
        self.ike.remove(&spi);
    }

    /// An inbound ESP SPI that no child of ours has; never zero or reserved.
    pub(crate) fn allocate_child(&mut self, rng: &mut dyn Rng, now: Instant) -> Spi {
        while let Some((until, spi)) = self.retired.front().copied()
            && until <= now
        {
            self.child.remove(&spi);
            self.retired.pop_front();
        }
        loop {
            if let Some(spi) = Spi::new(rng.next_u32())
                && self.child.insert(spi)
            {
                return spi;
            }
        }
    }

    /// Gives an inbound ESP SPI back; it is not handed out again before `until`.
    pub(crate) fn release_child(&mut self, spi: Spi, until: Instant) {
        self.retired.push_back((until, spi));
    }

    /// SPIs in use: IKE, child (without those given back).
    pub(crate) fn in_use(&self) -> (usize, usize) {
        (self.ike.len(), self.child.len().saturating_sub(self.retired.len()))
    }
}
