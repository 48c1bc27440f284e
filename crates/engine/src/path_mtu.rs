//! Path MTUs that routers on the way told of by ICMP (RFC 1191, RFC 8201), and how far that is believed (RFC 4301 §8.2).
//!
//! ICMP proves nothing: whoever can guess an address may send it. So it only ever lowers the MTU, never below what every path
//! carries, only towards peers there is an SA with, and it is forgotten after ten minutes (RFC 1191 §6.3), when larger
//! packets are tried again.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long a path MTU is believed.
const BELIEVED: Duration = Duration::from_secs(600);
/// Smallest path MTU over IPv4: every host takes datagrams of this size (RFC 791 §3.1).
const FLOOR_V4: u16 = 576;
/// Smallest path MTU over IPv6 (RFC 8200 §5).
const FLOOR_V6: u16 = 1280;

/// Path MTUs by remote gateway. Bounded by the number of SAs: nothing is kept for strangers.
#[derive(Debug, Default)]
pub(crate) struct PathMtus(BTreeMap<IpAddr, Learned>);

#[derive(Debug)]
struct Learned {
    mtu: u16,
    until: Instant,
}

impl PathMtus {
    /// Takes what a router said about the path to `remote`; returns the MTU that holds from now on when that is news.
    /// `configured` is the MTU without any such word.
    pub(crate) fn learn(&mut self, remote: IpAddr, mtu: u32, configured: u16, now: Instant) -> Option<u16> {
        let floor = if remote.is_ipv4() { FLOOR_V4 } else { FLOOR_V6 };
        let mtu = u16::try_from(mtu).unwrap_or(u16::MAX).max(floor.min(configured));
        if mtu >= configured {
            return None;
        }
        let until = now + BELIEVED;
        let before = self.0.get(&remote).map(|learned| learned.mtu);
        match before {
            // Something that was under way when a smaller one was learned.
            Some(before) if before < mtu => None,
            _ => {
                self.0.insert(remote, Learned { mtu, until });
                (before != Some(mtu)).then_some(mtu)
            }
        }
    }

    /// The MTU of the path to `remote`, bytes of IP packet.
    pub(crate) fn towards(&self, remote: IpAddr, configured: u16) -> u16 {
        self.0.get(&remote).map_or(configured, |learned| learned.mtu.min(configured))
    }

    /// Forgets what is too old, and what concerns nobody any more; returns whether there was any.
    pub(crate) fn expire(&mut self, now: Instant, concerned: impl Fn(IpAddr) -> bool) -> bool {
        let before = self.0.len();
        self.0.retain(|remote, learned| learned.until > now && concerned(*remote));
        self.0.len() != before
    }

    /// When the next one is too old.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.0.values().map(|learned| learned.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failover::Failover;
    use crate::Engine;
    use crate::desired::DesiredState;
    use crate::tests::{connection, selector};
    use crypto::{Cipher, SeededRng, SimProvider};
    use ike::config::Lifetime;
    use ike::event::{ChildId, ChildInstall};
    use ipsec::{Encapsulation, EspKeys, EspSuite, Spi, SpiPair, TunnelPolicy};
    use std::sync::Arc;

    fn addresses() -> (IpAddr, IpAddr, Instant) {
        (IpAddr::from([192, 0, 2, 2]), IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 2]), crate::tests::moment())
    }

    #[test]
    fn a_path_mtu_only_shrinks_and_never_below_what_every_path_carries() {
        let (v4, v6, now) = addresses();
        let mut paths = PathMtus::default();
        assert_eq!(paths.learn(v4, 1400, 1500, now), Some(1400));
        assert_eq!(paths.learn(v4, 1400, 1500, now), None, "no news");
        assert_eq!(paths.learn(v4, 1450, 1500, now), None, "late word of a larger one");
        assert_eq!(paths.learn(v4, 9000, 1500, now), None, "larger than configured");
        assert_eq!(paths.towards(v4, 1500), 1400);
        assert_eq!(paths.learn(v4, 68, 1500, now), Some(576));
        assert_eq!(paths.learn(v6, 0, 1500, now), Some(1280));
        assert_eq!((paths.towards(v4, 1500), paths.towards(v6, 1500)), (576, 1280));
        assert_eq!(paths.towards(v4, 560), 560, "what is configured is never exceeded");
        assert_eq!(paths.learn(v4, 68, 570, now), None, "a configured MTU below the floor stays");
    }

    #[test]
    fn it_is_forgotten_after_ten_minutes_and_when_the_last_sa_with_the_peer_goes() {
        let (v4, v6, now) = addresses();
        let minutes = |minutes: u64| now + Duration::from_secs(60 * minutes);
        let mut paths = PathMtus::default();
        paths.learn(v4, 1400, 1500, now);
        paths.learn(v6, 1400, 1500, minutes(5));
        assert_eq!(paths.next_expiry(), Some(minutes(10)));
        assert!(!paths.expire(minutes(9), |_| true));
        assert!(paths.expire(minutes(10), |_| true));
        assert_eq!((paths.towards(v4, 1500), paths.towards(v6, 1500)), (1500, 1400));
        assert!(paths.expire(minutes(11), |remote| remote == v4));
        assert_eq!(paths.next_expiry(), None);
    }

    #[test]
    fn a_too_big_message_shrinks_the_tunnels_of_its_path_alone_and_only_if_it_names_an_sa_of_ours() {
        let (v4, v6, now) = addresses();
        let mut lab = lab(now);
        for (number, remote) in [(1, v4), (2, v6)] {
            install(&mut lab, number, remote, now);
        }
        let mss = |lab: &Engine, number: u32| {
            let table = lab.children.table(&lab.desired, &lab.paths, &Failover::default(), 0);
            table.inbound[&spi(number)].mss.0
        };
        let before = (mss(&lab, 1), mss(&lab, 2));
        let stranger = IpAddr::from([198, 51, 100, 1]);
        assert_eq!(lab.handle_path_mtu(stranger, None, 1300, now), None, "no SA with it");
        assert_eq!(lab.handle_path_mtu(v4, Some(spi(9999)), 1300, now), None, "not an SPI of ours");
        assert_eq!((mss(&lab, 1), mss(&lab, 2)), before);
        while lab.poll_output().is_some() {}
        assert_eq!(lab.handle_path_mtu(v4, Some(spi(1)), 1300, now), Some(1300));
        assert!(matches!(lab.poll_output(), Some(crate::Output::Publish(_))), "workers learn it at once");
        assert_eq!((mss(&lab, 1), mss(&lab, 2)), (before.0 - 200, before.1));
        assert_eq!(lab.path_mtu(v4), 1300);
        let later = now + BELIEVED;
        assert!(lab.poll_timeout().is_some_and(|at| at <= later));
        lab.handle_timeout(later);
        assert_eq!(mss(&lab, 1), before.0, "larger packets are tried again");
    }

    fn spi(number: u32) -> Spi {
        Spi::new(1000 + number).unwrap()
    }

    fn lab(now: Instant) -> Engine {
        let mut desired = DesiredState::default();
        let connection = connection("site-b", "10.91.0.0/16", "10.93.0.0/16");
        desired.connections.insert(connection.peer.name.clone(), connection);
        let rng = |seed| Box::new(SeededRng::new(seed));
        let mut engine = Engine::new(&desired, Arc::new(SimProvider), rng(1), rng(2), now);
        engine.apply(desired, now);
        engine
    }

    /// A child in plain ESP, of the same SPI both ways.
    fn install(lab: &mut Engine, number: u32, remote: IpAddr, now: Instant) {
        let suite = EspSuite::aead(Cipher::AesGcm16_128);
        let keys = || EspKeys { encryption: vec![7; 20].into(), integrity: Vec::new().into() };
        let install = ChildInstall {
            child: ChildId(u64::from(number)),
            peer: "site-b".into(),
            name: "net".into(),
            suite,
            spis: SpiPair { inbound: spi(number), outbound: spi(number) },
            outbound_keys: keys(),
            inbound_keys: keys(),
            local: vec![selector("10.91.0.0/16")],
            remote: vec![selector("10.93.0.0/16")],
            encapsulation: Encapsulation::Plain { local: remote, remote },
            replay_window: 64,
            lifetime: Lifetime::of(Duration::from_secs(3600)),
            replaces: None,
            outbound_active: true,
        };
        lab.children.install(install, TunnelPolicy::default(), false, &mut SeededRng::new(3), now).unwrap();
    }
}
