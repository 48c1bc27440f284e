//! Two gateways on a network.

use super::config::{A, B, desired, other, outer, seconds};
use super::gateway::{ESP_PORT, Gateway, IKE_PORT, NAT_PORT, Wire};
use super::packets::udp;
use engine::ForwardingTable;
use engine::desired::DesiredState;
use packet::offload::VnetHeader;
use sim::{Lab, Link, NodeId, Stop};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The start of virtual time: any instant will do.
#[allow(clippy::disallowed_methods)]
pub fn epoch() -> Instant {
    Instant::now()
}

/// Two gateways on a network.
pub struct Pair {
    /// Network, clock and gateways.
    pub lab: Lab<Gateway>,
    /// What each is asked for.
    pub desired: [DesiredState; 2],
    outer_v6: bool,
    seed: u64,
    restarts: u64,
}

impl Pair {
    /// Two gateways that are asked for nothing yet, with what `change` makes of their desired states.
    pub fn new(seed: u64, link: Link, v6: bool, change: impl Fn(NodeId, &mut DesiredState)) -> Pair {
        let start = epoch();
        let mut lab = Lab::new(seed, link, start);
        let desired = [A, B].map(|node| {
            let mut desired = desired(node, v6);
            change(node, &mut desired);
            desired
        });
        let mut pair = Pair { lab: Lab::new(seed, link, start), desired, outer_v6: v6, seed, restarts: 0 };
        for node in [A, B] {
            let engine = Gateway::engine(&pair.desired[node.0], pair.chance(node), start);
            let address = outer(node, v6);
            let ports = [IKE_PORT, NAT_PORT, ESP_PORT].map(|port| SocketAddr::new(address, port));
            lab.add(Gateway::new(engine), &ports);
        }
        pair.lab = lab;
        pair
    }

    /// Connected over a perfect link, outer IPv4.
    pub fn connected(change: impl Fn(NodeId, &mut DesiredState)) -> Pair {
        Self::new(1, Link::PERFECT, false, change).up()
    }

    fn chance(&self, node: NodeId) -> u64 {
        self.seed * 1000 + self.restarts * 2 + node.0 as u64
    }

    /// Applies both desired states and waits until a tunnel is up.
    pub fn up(mut self) -> Pair {
        self.apply(B);
        self.apply(A);
        for _ in 0..600 {
            self.run(Duration::from_millis(100));
            if [A, B].iter().all(|node| self.is_up(*node)) {
                return self;
            }
        }
        unreachable!("no tunnel after a minute\n{}", self.dump());
    }

    /// Gives a gateway what it is asked for.
    pub fn apply(&mut self, node: NodeId) {
        let desired = self.desired[node.0].clone();
        self.command(node, |engine, now| engine.apply(desired, now));
    }

    /// A gateway crashes and starts again with nothing but its desired state.
    pub fn restart(&mut self, node: NodeId) {
        self.restarts += 1;
        let engine = Gateway::engine(&self.desired[node.0], self.chance(node), self.now());
        let gateway = self.lab.node_mut(node);
        gateway.engine = engine;
        gateway.table = Arc::new(ForwardingTable::default());
        self.apply(node);
    }

    /// Whether every child of a gateway can be sent on.
    pub fn is_up(&self, node: NodeId) -> bool {
        let slots = &self.gateway(node).table.slots;
        !slots.is_empty() && slots.iter().all(|slot| slot.is_up())
    }

    /// The outer address of a gateway.
    pub fn address(&self, node: NodeId) -> IpAddr {
        outer(node, self.outer_v6)
    }

    /// The present.
    pub fn now(&self) -> Instant {
        self.lab.now()
    }

    /// A gateway.
    pub fn gateway(&self, node: NodeId) -> &Gateway {
        self.lab.node(node)
    }

    /// A gateway to act on.
    pub fn gateway_mut(&mut self, node: NodeId) -> &mut Gateway {
        self.lab.node_mut(node)
    }

    /// Acts on an engine.
    pub fn command<R>(&mut self, node: NodeId, act: impl FnOnce(&mut engine::Engine, Instant) -> R) -> R {
        self.lab.act(node, |gateway, now| gateway.command(now, |engine| act(engine, now)))
    }

    /// Takes the connection of a gateway down.
    pub fn take_down(&mut self, node: NodeId) {
        let done = self.command(node, |engine, now| engine.down(&other(node), None, now));
        assert_eq!(done, Ok(()), "{}", self.dump());
    }

    /// Brings the connection of a gateway up.
    pub fn bring_up(&mut self, node: NodeId) {
        let done = self.command(node, |engine, now| engine.up(&other(node), None, now));
        assert_eq!(done, Ok(()), "{}", self.dump());
    }

    /// Rekeys the child from one end.
    pub fn rekey_child(&mut self, node: NodeId) {
        let done = self.command(node, |engine, now| engine.rekey_child(&other(node), None, now));
        assert_eq!(done, Ok(()), "{}", self.dump());
    }

    /// Rekeys the IKE SA from one end.
    pub fn rekey_ike(&mut self, node: NodeId) {
        let done = self.command(node, |engine, now| engine.rekey_ike(&other(node), now));
        assert_eq!(done, Ok(()), "{}", self.dump());
    }

    /// The host behind `node` sends a packet as it is.
    pub fn send(&mut self, node: NodeId, packet: &[u8]) {
        self.send_super(node, &VnetHeader::NONE, packet);
    }

    /// The host behind `node` sends a super-packet.
    pub fn send_super(&mut self, node: NodeId, header: &VnetHeader, packet: &[u8]) {
        self.lab.act(node, |gateway, now| gateway.offer(header, packet, now));
    }

    /// Sends from `from`, lets it arrive and returns what the other end delivered since the last time.
    pub fn pass(&mut self, from: NodeId, header: &VnetHeader, packet: &[u8]) -> Vec<Vec<u8>> {
        self.send_super(from, header, packet);
        self.run(Duration::from_millis(100));
        std::mem::take(&mut self.gateway_mut(NodeId(1 - from.0)).delivered)
    }

    /// As [`Self::pass`], and what was on the wire meanwhile, from `from`.
    pub fn pass_watched(&mut self, from: NodeId, header: &VnetHeader, packet: &[u8]) -> (Vec<Vec<u8>>, Wire) {
        self.gateway_mut(from).wire = Some(Vec::new());
        let delivered = self.pass(from, header, packet);
        (delivered, self.gateway_mut(from).wire.take().unwrap_or_default())
    }

    /// Packets of both IP versions get through in both directions.
    pub fn assert_works(&mut self) {
        for (from, v6) in [(A, false), (B, false), (A, true), (B, true)] {
            let packet = udp(from, v6, 100);
            assert_eq!(self.pass(from, &VnetHeader::NONE, &packet), [packet], "{}", self.dump());
        }
    }

    /// As [`Self::assert_works`], whatever was delivered before.
    pub fn assert_works_again(&mut self) {
        for node in [A, B] {
            self.gateway_mut(node).delivered.clear();
        }
        self.assert_works();
    }

    /// Runs for a time; the gateways' checks must hold throughout.
    pub fn run(&mut self, time: Duration) {
        let found = self.try_run(time);
        assert_eq!(found, Ok(()), "seed {}\n{}", self.seed, self.dump());
    }

    /// As [`Self::run`]; a fault is the caller's to report.
    pub fn try_run(&mut self, time: Duration) -> Result<(), String> {
        let deadline = self.now() + time;
        let stop = self.lab.run_until_with(deadline, |lab, _| {
            match lab.nodes().iter().find_map(|gateway| gateway.broken.clone()) {
                None => Ok(()),
                Some(broken) => Err(broken),
            }
        });
        match stop {
            Stop::Deadline | Stop::Quiet => Ok(()),
            Stop::Violation(found) => Err(found),
            Stop::Livelock(node) => Err(format!("gateway {} never comes to rest", node.0)),
        }
    }

    /// Both hosts send `rate` packets each second.
    pub fn start_streams(&mut self, rate: u32) {
        for node in [A, B] {
            let start = |gateway: &mut Gateway, now| gateway.stream.start(node, seconds(1) / rate, now);
            self.lab.act(node, start);
        }
    }

    /// Stops the streams and lets what is under way arrive; returns what did not arrive: from A, from B.
    pub fn finish_streams(&mut self) -> [Vec<u64>; 2] {
        for node in [A, B] {
            self.gateway_mut(node).stream.stop();
        }
        self.run(seconds(1));
        [A, B].map(|from| {
            let sent = self.gateway(from).stream.sent;
            self.gateway(NodeId(1 - from.0)).stream.missing(sent)
        })
    }

    /// The last datagrams, and each gateway's drops and last events.
    pub fn dump(&self) -> String {
        let mut text = self.lab.dump();
        for (index, gateway) in self.lab.nodes().iter().enumerate() {
            text.push_str(&format!("gateway {index}: {:?}\n", gateway.drops.nonzero().collect::<Vec<_>>()));
            for slot in &gateway.table.slots {
                for member in &slot.members {
                    let spis: Vec<_> = member.outbound.iter().map(|entry| entry.sa.spi()).collect();
                    text.push_str(&format!("  slot {}/{} sends on {spis:?}\n", member.peer, member.child));
                }
            }
            for (at, event) in gateway.failover.iter().rev().take(16).rev() {
                let at = at.saturating_duration_since(self.now() - self.lab.elapsed());
                text.push_str(&format!("  {:>10.4}s {event:?}\n", at.as_secs_f64()));
            }
            let inbound: Vec<_> = gateway.table.inbound.keys().collect();
            text.push_str(&format!("  receives on {inbound:?}\n"));
            let from = gateway.events.len().saturating_sub(16);
            for (at, event) in gateway.events.iter().skip(from) {
                let at = at.saturating_duration_since(self.now() - self.lab.elapsed());
                text.push_str(&format!("  {:>10.4}s {event:?}\n", at.as_secs_f64()));
            }
        }
        text
    }
}
