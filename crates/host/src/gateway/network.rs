//! What changes around a running gateway: routes and addresses of the machine, path MTUs, names of peers, the clock.
//!
//! Everything here compares what is with what should be, so it may run at any time and as often as it likes.

use super::names;
use super::serve::Gateway;
use crate::clock::Reading;
use crate::netlink::{Change, ROUTE_PROTOCOL};
use engine::desired::DesiredState;
use engine::record::Level;
use engine::routes::Routes;
use ike::config::PeerName;
use ipsec::Spi;
use std::net::{IpAddr, SocketAddr, UdpSocket as StdUdpSocket};
use std::time::{Duration, Instant};

/// How often routes and source addresses are looked at without an event.
const CHECK: Duration = Duration::from_secs(10);
/// Changes come in swarms (an interface that goes up brings addresses and routes): they are looked at once.
const SETTLE: Duration = Duration::from_millis(100);
/// A routing daemon may change thousands of routes that do not concern us.
const SETTLE_ROUTES: Duration = Duration::from_secs(1);

impl Gateway {
    /// Something changed on this machine: look soon, and at once where a route of ours may be missing.
    pub(super) fn network_changed(&mut self, change: &Change, now: Instant) {
        let pause = match change {
            Change::Route { protocol: ROUTE_PROTOCOL, gone: true } | Change::Overrun => Duration::ZERO,
            // Mostly our own doing.
            Change::Route { protocol: ROUTE_PROTOCOL, gone: false } => return,
            Change::Route { .. } => SETTLE_ROUTES,
            Change::Link(_) | Change::LinkGone(_) | Change::Address(_) | Change::AddressGone(_) => SETTLE,
        };
        self.next_check = self.next_check.min(now + pause);
    }

    /// Repairs our routes and looks up our addresses towards the peers.
    pub(super) fn check_network(&mut self, now: Instant) {
        self.next_check = now + CHECK;
        self.apply_routes();
        self.check_sources(now);
    }

    /// Makes the kernel's routes what they should be. What cannot be done now is told once and tried again.
    fn apply_routes(&mut self) {
        let wanted = Routes::of(self.engine.desired());
        match self.routes.apply(&wanted) {
            Ok(0) => {}
            Ok(changed) => {
                let plural = if changed == 1 { "route" } else { "routes" };
                self.note(
                    Level::Warn,
                    "routes_repaired",
                    &format!("{changed} {plural} had changed and are as they should be"),
                );
            }
            Err(error) => {
                let text = error.to_string();
                if self.route_trouble.as_ref() != Some(&text) {
                    self.note(Level::Warn, "routes_failed", &format!("{text}: tried again"));
                }
                self.route_trouble = Some(text);
                return;
            }
        }
        if self.route_trouble.take().is_some() {
            self.note(Level::Info, "routes_restored", "routes are as they should be again");
        }
    }

    /// Looks up which of our addresses leads to each peer, and whether those that the configuration names are there: an
    /// address that returns starts what waited for it.
    pub(super) fn check_sources(&mut self, now: Instant) {
        let ours = self.routes.local_addresses();
        let peers: Vec<(PeerName, Option<IpAddr>, Option<IpAddr>)> = self
            .engine
            .desired()
            .connections
            .values()
            .map(|connection| &connection.peer)
            .map(|peer| (peer.name.clone(), peer.local_address, peer.remote_addresses.first().copied()))
            .collect();
        for (peer, configured, remote) in peers {
            let source = match (configured, &ours) {
                // An address that cannot be looked up counts as there.
                (Some(configured), Ok(ours)) => Some(configured).filter(|address| ours.contains(address)),
                (Some(configured), Err(_)) => Some(configured),
                (None, _) => remote.and_then(|remote| self.source_towards(remote)),
            };
            self.engine.set_source(&peer, source, now);
        }
    }

    fn source_towards(&self, remote: IpAddr) -> Option<IpAddr> {
        let mut served =
            self.listen.iter().filter(|address| address.is_ipv4() == remote.is_ipv4() && !address.is_unspecified());
        if let (Some(only), None) = (served.next(), served.next()) {
            return Some(*only);
        }
        let any: SocketAddr = if remote.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
        // Connecting a UDP socket sends nothing; it only asks the routing table.
        let socket = StdUdpSocket::bind(any).ok()?;
        socket.connect(SocketAddr::new(remote, 500)).ok()?;
        let local = socket.local_addr().ok()?.ip();
        (!local.is_unspecified()).then_some(local)
    }

    /// A router or this machine could not pass on a packet to a peer.
    pub(super) fn path_mtu(&mut self, remote: IpAddr, spi: Option<Spi>, mtu: u32, now: Instant) {
        if let Some(mtu) = self.engine.handle_path_mtu(remote, spi, mtu, now) {
            self.note(Level::Info, "path_mtu", &format!("the path to {remote} carries {mtu} bytes"));
        }
    }

    /// Says so when the clock was set, and asks all peers whether they live when it went ahead: the machine may have slept.
    pub(super) fn check_clock(&mut self, reading: &Reading) {
        if let Some(ahead) = reading.jumped_ahead {
            let text = format!("the clock went ahead by {:.1} s: set, or this machine slept", ahead.as_secs_f32());
            self.note(Level::Warn, "clock_jump", &text);
            let connections = self.engine.desired().connections.values();
            let patience = connections.filter_map(|connection| connection.peer.dpd.interval).min();
            if patience.is_some_and(|interval| ahead > interval) {
                self.engine.suspect_all(reading.now);
            }
        }
        if let Some(back) = reading.jumped_back {
            let text = format!("the clock was set back by {:.1} s", back.as_secs_f32());
            self.note(Level::Warn, "clock_jump", &text);
        }
    }

    /// Asks for the names of connections that are down, when it is time.
    pub(super) fn check_names(&mut self, now: Instant) {
        if !self.names.due(&self.configured, now) {
            return;
        }
        for connection in self.configured.connections.values() {
            if self.address_in_use(&connection.peer.name).is_none() {
                self.names.ask(connection, now);
            }
        }
    }

    /// Takes in what the resolver said.
    pub(super) fn hear_names(&mut self, now: Instant) {
        let mut news = false;
        while let Ok(answer) = self.names.answers.try_recv() {
            match self.names.learn(answer) {
                Ok(new) => news |= new,
                Err(text) => self.note(Level::Warn, "name_unresolved", &text),
            }
        }
        if !news {
            return;
        }
        let filled = self.with_addresses(self.configured.clone());
        let old = self.engine.desired();
        let changed: Vec<_> =
            names::changed(old, &filled, |peer| self.address_in_use(peer)).into_iter().cloned().collect();
        if changed.is_empty() {
            return;
        }
        let mut desired = old.clone();
        for connection in changed {
            let addresses: Vec<String> = connection.peer.remote_addresses.iter().map(IpAddr::to_string).collect();
            let text = format!("{} is at {}", connection.peer.name, addresses.join(", "));
            self.note(Level::Info, "name_resolved", &text);
            desired.connections.insert(connection.peer.name.clone(), connection);
        }
        self.engine.apply(desired, now);
        self.check_sources(now);
    }

    /// The configuration with what is known of its names.
    pub(super) fn with_addresses(&self, mut desired: DesiredState) -> DesiredState {
        for connection in desired.connections.values_mut() {
            self.names.fill(connection);
        }
        desired
    }

    /// The address of a peer with whom an IKE SA is up.
    pub(super) fn address_in_use(&self, peer: &PeerName) -> Option<IpAddr> {
        let mut sas = self.engine.endpoint().sas_of(peer);
        sas.find(|sa| sa.is_established()).map(|sa| sa.path().remote.ip())
    }
}
