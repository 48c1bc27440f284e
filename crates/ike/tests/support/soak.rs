//! Long runs over a hostile network: both ends rekey children and IKE SAs again and again, at random times or by
//! lifetime, while packets flow. In the end the network becomes perfect and both ends must agree, with nothing left over.

use super::configs::{child_config, minutes, seconds};
use super::end::{A, B, Rekeys, Totals, address};
use super::pair::{Pair, Setup};
use super::v1::legacy;
use ike::config::{Dpd, Lifetime, PeerConfig, Retransmit, StartPolicy, Version};
use sim::{Filtering, Link, Nat, NodeId, Random};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// What makes life hard, beside the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// Nothing else.
    Link,
    /// The network is cut for seconds to minutes.
    Partition,
    /// A NAT before one end, which forgets its mappings.
    NatRebinding,
    /// An end crashes and starts again.
    Restart,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// Both ends.
    pub ends: [Totals; 2],
    /// Events handled by the simulation.
    pub steps: u64,
    /// The fewest rekeys that one end began and finished.
    pub fewest_rekeys: u64,
    /// The longest time that one end sent on an SA which the other one did not have (IKEv1).
    pub longest_gap: Duration,
}

/// Simulated time of the hostile part.
pub const HOSTILE_TIME: Duration = Duration::from_secs(600);

/// Rekeys that each end begins and finishes in every seed whose only trouble is the link.
pub const LEAST_REKEYS: u64 = 20;

/// No lifetime: what rekeys is a command.
const FOR_EVER: Lifetime = Lifetime { time: None, margin: Duration::ZERO, fuzz_percent: 0, bytes: None, packets: None };

/// A lifetime whose rekey starts after 20 to 28 seconds.
const SHORT: Lifetime = Lifetime {
    time: Some(Duration::from_secs(40)),
    margin: Duration::from_secs(12),
    fuzz_percent: 66,
    bytes: None,
    packets: None,
};

/// In IKEv1 what a lost DELETE leaves behind ends by its lifetime alone.
const NOT_FOR_EVER: Lifetime = Lifetime {
    time: Some(Duration::from_secs(180)),
    margin: Duration::from_secs(20),
    fuzz_percent: 100,
    bytes: None,
    packets: None,
};

/// How a seed's rekeys come about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    Commands,
    Lifetimes,
    Both,
}

fn setup(seed: u64, trouble: Trouble, version: Version, random: &mut Random) -> (Setup, Cause) {
    let cause = match seed % 4 {
        0 => Cause::Lifetimes,
        1 => Cause::Both,
        _ => Cause::Commands,
    };
    let children = 1 + random.below(3);
    let patient = random.chance(0.5);
    let dpd = random.chance(0.5) || trouble != Trouble::Link;
    let lifetime = match (cause, version) {
        (Cause::Commands, Version::V2) => FOR_EVER,
        (Cause::Commands, Version::V1) => NOT_FOR_EVER,
        (Cause::Lifetimes | Cause::Both, _) => SHORT,
    };
    let mut setup = Setup::seeded(seed).both(|peer| {
        if !patient {
            peer.retransmit =
                Retransmit { initial: Duration::from_millis(500), factor_percent: 150, ..Retransmit::default() };
        }
        peer.dpd = Dpd { interval: dpd.then_some(seconds(10)), timeout: seconds(30) };
        peer.lifetime = lifetime;
    });
    for (node, peers) in [A, B].into_iter().zip(&mut setup.peers) {
        for peer in peers {
            let start = if node == A { StartPolicy::OnLoad } else { StartPolicy::Passive };
            let child = |net: u64| {
                let config = child_config(&format!("net{net}"), node, net as u8, start);
                ike::config::ChildConfig { lifetime, ..config }
            };
            peer.children = (0..children).map(child).collect();
            if version == Version::V1 {
                legacy(peer);
                peer.aggressive = seed.is_multiple_of(5);
            }
        }
    }
    if trouble == Trouble::NatRebinding {
        setup.addresses = [PRIVATE, address(B)];
        setup = setup.at(A, |peer| peer.local_address = Some(PRIVATE)).at(B, |peer| peer.remote_addresses = Vec::new());
    }
    (setup, cause)
}

/// The address of end A behind its NAT.
pub const PRIVATE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 99, 0, 7));

/// A pair for one seed, connected over a perfect link, its rekeys and packets about to start.
fn prepare(seed: u64, trouble: Trouble, version: Version, random: &mut Random) -> Result<Pair, String> {
    let (setup, cause) = setup(seed, trouble, version, random);
    let mut pair = setup.build();
    if trouble == Trouble::NatRebinding {
        let nat = Nat::new(address(A)).covering(PRIVATE).with_filtering(Filtering::AddressAndPortDependent);
        pair.lab.network.add_nat(nat);
    }
    pair.start();
    pair.try_run(seconds(5))?;
    let now = pair.now();
    pair.lab.network.set_link(Link::HOSTILE);
    for node in [A, B] {
        let mut random = random.fork();
        let end = pair.lab.node_mut(node);
        end.send_every(Some(Duration::from_millis(1000)), now);
        if cause != Cause::Lifetimes {
            let (min, max, one_ike_in) = (seconds(10), seconds(24), 2 + random.below(3));
            let next = now + random.between(Duration::ZERO, max);
            end.rekeys = Some(Rekeys { random, min, max, one_ike_in, next });
        }
    }
    // A hard lifetime may end an SA before its rekey got through: then packets are lost, by order. In IKEv1 a DELETE that is
    // lost may cost packets too, within the bound that `agreement_in_time` has.
    pair.strict = trouble == Trouble::Link && cause == Cause::Commands && version == Version::V2;
    pair.disturbed = trouble != Trouble::Link;
    Ok(pair)
}

/// The rekeys that the less busy end began and finished.
fn rekeys(pair: &Pair) -> u64 {
    let of = |node| pair.end(node).totals.child_rekeys + pair.end(node).totals.ike_rekeys;
    of(A).min(of(B))
}

fn endure(pair: &mut Pair, trouble: Trouble, random: &mut Random) -> Result<(), String> {
    let end = pair.now() + HOSTILE_TIME;
    if trouble == Trouble::Link {
        pair.try_run(HOSTILE_TIME)?;
        // Few seeds need longer for as many rekeys.
        for _ in 0..20 {
            if rekeys(pair) < LEAST_REKEYS {
                pair.try_run(seconds(30))?;
            }
        }
        return Ok(());
    }
    while pair.now() < end {
        pair.try_run(random.between(seconds(5), seconds(60)))?;
        let node = NodeId(random.below(2) as usize);
        match trouble {
            Trouble::Link => {}
            Trouble::Partition => {
                let (from, to) = (address(node), address(NodeId(1 - node.0)));
                for port in [super::IKE_PORT, super::NAT_PORT, super::ESP_PORT] {
                    let (from, to) = ((from, port).into(), (to, port).into());
                    if random.chance(0.5) {
                        pair.lab.network.cut_both(from, to);
                    } else {
                        pair.lab.network.cut(from, to);
                    }
                }
                pair.try_run(random.between(seconds(1), seconds(100)))?;
                pair.lab.network.heal_all();
            }
            Trouble::NatRebinding => {
                if let Some(nat) = pair.lab.network.nat_mut(0) {
                    nat.rebind();
                }
            }
            Trouble::Restart => pair.restart(node),
        }
        pair.disturbed = true;
    }
    Ok(())
}

/// The end of the run: no more rekeys, no more packets, no more losses. In IKEv1 only a packet shows that an SA has been
/// taken over, so that what it replaced may go: there they go on for a while.
fn calm(pair: &mut Pair, version: Version) -> Result<(), String> {
    pair.lab.network.set_link(Link::PERFECT);
    pair.lab.network.heal_all();
    for node in [A, B] {
        let end = pair.lab.node_mut(node);
        end.rekeys = None;
        end.traffic = end.traffic.filter(|_| version == Version::V1);
    }
    // Without a liveness check an end that heard nothing would never learn that the other one gave up.
    reconfigure(pair, |peer| {
        peer.lifetime = FOR_EVER;
        peer.dpd.interval = Some(seconds(10));
        peer.children.iter_mut().for_each(|child| child.lifetime = FOR_EVER);
    });
    pair.try_run(minutes(4))?;
    for node in [A, B] {
        pair.lab.node_mut(node).traffic = None;
    }
    reconfigure(pair, |peer| peer.dpd.interval = None);
    pair.try_run(minutes(1))?;
    pair.disturbed = false;
    pair.try_run(minutes(4))?;
    pair.converged(pair.setup.peers[0][0].children.len())
}

fn reconfigure(pair: &mut Pair, change: impl Fn(&mut PeerConfig)) {
    pair.setup = pair.setup.clone().both(change);
    pair.start();
}

/// Runs one seed. The error says what was wrong, with messages and tables.
pub fn run(seed: u64, trouble: Trouble, version: Version) -> Result<Report, String> {
    let mut random = Random::seeded(seed ^ 0x5eed_0f50_ac00);
    let mut pair = prepare(seed, trouble, version, &mut random).map_err(|found| format!("seed {seed}: {found}"))?;
    let found = endure(&mut pair, trouble, &mut random);
    let fewest_rekeys = rekeys(&pair);
    let found = found.and_then(|()| calm(&mut pair, version));
    found.map_err(|found| format!("seed {seed}, {trouble:?}, {version}: {found}\n{}", pair.dump()))?;
    let (ends, longest_gap) = ([pair.end(A).totals, pair.end(B).totals], pair.gaps.longest);
    Ok(Report { ends, steps: pair.lab.events(), fewest_rekeys, longest_gap })
}
