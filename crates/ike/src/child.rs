//! A child SA as others see it, whichever version of IKE made it: RFC 7296's CHILD_SA, RFC 2409's pair of IPsec SAs.

use crate::config::{ChildConfig, ChildName, Lifetime};
use crate::event::{ChildId, Role};
use crate::proposal::EspChoice;
use crate::retransmit::jittered;
use crypto::{Integrity, Rng};
use ipsec::{SpiPair, TrafficSelector};
use std::time::{Duration, Instant};

/// How long a replaced child's inbound SA still accepts packets that were under way.
pub(crate) const LINGER: Duration = Duration::from_secs(5);

/// One CHILD_SA pair.
#[derive(Clone, Debug)]
pub struct ChildSa {
    /// Its handle.
    pub id: ChildId,
    /// Its configuration.
    pub name: ChildName,
    /// SPIs of the two directions.
    pub spis: SpiPair,
    /// Algorithms and the group of its key exchange.
    pub choice: EspChoice,
    /// Our side of the traffic, as negotiated.
    pub local: Vec<TrafficSelector>,
    /// The peer's side of the traffic, as negotiated.
    pub remote: Vec<TrafficSelector>,
    /// What is to become of it.
    pub state: ChildState,
    /// When it was installed.
    pub installed: Instant,
    /// When a rekey starts.
    pub rekey_at: Option<Instant>,
    /// When it is deleted whatever happens.
    pub expires_at: Option<Instant>,
    /// Who began the exchange that made it.
    pub role: Role,
    /// Lower of the two nonces of that exchange (RFC 7296 §2.8.1).
    pub(crate) nonce: Vec<u8>,
    /// The peer asked for it and may not have our answer yet: until then we assume that it has not.
    pub(crate) unconfirmed: Option<Instant>,
}

/// What is to become of a child.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChildState {
    /// It carries traffic.
    Installed,
    /// This one took over; a DELETE follows.
    Replaced(ChildId),
    /// It lost a collision; whoever made it deletes it.
    Redundant,
}

/// What was agreed on, as the peer means it: in the draft before RFC 4868 the number of HMAC-SHA2-256 stood for 96 bits, so
/// only the configuration can tell.
pub(crate) fn as_meant(mut choice: EspChoice, config: Option<&ChildConfig>) -> EspChoice {
    let truncated = config.is_some_and(|config| config.sha256_96);
    if truncated && choice.suite.integrity == Some(Integrity::HmacSha2_256_128) {
        choice.suite.integrity = Some(Integrity::HmacSha2_256_96);
    }
    choice
}

/// When to rekey and when to give up on an SA made at `now`: (rekey, expiry).
pub(crate) fn lifetime_ends(
    lifetime: &Lifetime,
    now: Instant,
    rng: &mut dyn Rng,
) -> (Option<Instant>, Option<Instant>) {
    let Some(time) = lifetime.time else { return (None, None) };
    let margin = jittered(lifetime.margin, u32::from(lifetime.fuzz_percent), rng);
    // A margin that eats the whole lifetime is refused by the configuration; half of it is the floor here.
    let rekey = time.saturating_sub(margin).max(time / 2);
    (Some(now + rekey), Some(now + time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto::SeededRng;

    #[test]
    fn a_rekey_starts_within_margin_and_fuzz_and_before_expiry() {
        let now = crate::tests_clock();
        let lifetime = Lifetime {
            time: Some(Duration::from_secs(3600)),
            margin: Duration::from_secs(270),
            fuzz_percent: 100,
            bytes: None,
            packets: None,
        };
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..500 {
            let (rekey, expiry) = lifetime_ends(&lifetime, now, &mut SeededRng::new(seed));
            let rekey = rekey.unwrap() - now;
            assert!(rekey <= Duration::from_secs(3330) && rekey >= Duration::from_secs(3060), "{rekey:?}");
            assert_eq!(expiry.unwrap() - now, Duration::from_secs(3600));
            seen.insert(rekey);
        }
        assert!(seen.len() > 400, "rekey times must differ from seed to seed");
    }
}
