//! A NAT in the path (behaviours named as in RFC 4787): endpoint-independent mapping, filtering of unsolicited inbound,
//! a mapping timeout refreshed by outbound datagrams only (RFC 4787 §4.3, REQ-6), and rebinding on demand.
//!
//! ```text
//! 10.0.0.2:500 ──► [ Nat: 203.0.113.9 ] ──► 203.0.113.9:20000 ──► peer
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Mappings a NAT holds at most; beyond this, new flows are dropped and counted, as a full table does in reality.
const MAX_MAPPINGS: usize = 4096;
/// Remote endpoints remembered for one mapping.
const MAX_PERMISSIONS: usize = 256;
/// The first port handed out, above every well-known one.
const FIRST_PORT: u16 = 20_000;

/// Who may send to a mapping from outside (RFC 4787 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Filtering {
    /// Anybody, once the mapping exists.
    EndpointIndependent,
    /// Only addresses the inside has sent to.
    AddressDependent,
    /// Only the addresses and ports the inside has sent to.
    #[default]
    AddressAndPortDependent,
}

/// What a NAT has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NatCounters {
    /// Datagrams translated on their way out.
    pub outbound: u64,
    /// Datagrams translated on their way in.
    pub inbound: u64,
    /// Inbound datagrams dropped because nothing inside had asked for them.
    pub filtered: u64,
    /// Mappings forgotten because nothing was sent through them for the timeout.
    pub expired: u64,
    /// Times [`Nat::rebind`] or [`Nat::rebind_to`] was called.
    pub rebindings: u64,
    /// Outbound datagrams dropped because the table was full.
    pub table_full: u64,
}

#[derive(Debug, Clone)]
struct Mapping {
    inside: SocketAddr,
    last_outbound: Instant,
    permitted: BTreeSet<SocketAddr>,
}

/// One public address with private endpoints behind it.
#[derive(Debug, Clone)]
pub struct Nat {
    public: IpAddr,
    inside: BTreeSet<IpAddr>,
    timeout: Duration,
    filtering: Filtering,
    by_port: BTreeMap<u16, Mapping>,
    by_inside: BTreeMap<SocketAddr, u16>,
    forwards: BTreeMap<u16, SocketAddr>,
    next_port: u16,
    counters: NatCounters,
}

impl Nat {
    /// A NAT with the address `public`, nobody behind it yet, a mapping timeout of two minutes (the least RFC 4787 §4.3
    /// allows) and address-and-port-dependent filtering.
    #[must_use]
    pub fn new(public: IpAddr) -> Self {
        Self {
            public,
            inside: BTreeSet::new(),
            timeout: Duration::from_secs(120),
            filtering: Filtering::default(),
            by_port: BTreeMap::new(),
            by_inside: BTreeMap::new(),
            forwards: BTreeMap::new(),
            next_port: FIRST_PORT,
            counters: NatCounters::default(),
        }
    }

    /// Puts the private address `inside` behind this NAT.
    #[must_use]
    pub fn covering(mut self, inside: IpAddr) -> Self {
        self.inside.insert(inside);
        self
    }

    /// Forgets a mapping after `timeout` without an outbound datagram.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Filters inbound datagrams by `filtering`.
    #[must_use]
    pub fn with_filtering(mut self, filtering: Filtering) -> Self {
        self.filtering = filtering;
        self
    }

    /// Forwards the public `port` to `inside` whoever sends, as an administrator's port forwarding does.
    #[must_use]
    pub fn with_forward(mut self, port: u16, inside: SocketAddr) -> Self {
        self.forwards.insert(port, inside);
        self
    }

    /// The public address.
    #[must_use]
    pub fn public(&self) -> IpAddr {
        self.public
    }

    /// What it has done so far.
    #[must_use]
    pub fn counters(&self) -> NatCounters {
        self.counters
    }

    /// Whether `address` lies behind this NAT.
    #[must_use]
    pub fn covers(&self, address: IpAddr) -> bool {
        self.inside.contains(&address)
    }

    /// The public endpoint which stands for `inside` at present, if a mapping exists.
    #[must_use]
    pub fn mapped(&self, inside: SocketAddr) -> Option<SocketAddr> {
        self.by_inside.get(&inside).map(|port| SocketAddr::new(self.public, *port))
    }

    /// Forgets every mapping; the next outbound datagram of each flow gets a port never used before, as after a reboot.
    pub fn rebind(&mut self) {
        self.by_port.clear();
        self.by_inside.clear();
        self.counters.rebindings += 1;
    }

    /// As [`Nat::rebind`], and with another public address, as after a change of provider.
    pub fn rebind_to(&mut self, public: IpAddr) {
        self.rebind();
        self.public = public;
    }

    /// Translates the source of a datagram from `inside` to `remote`: the public source, or `None` if the table is full.
    pub fn outbound(&mut self, inside: SocketAddr, remote: SocketAddr, now: Instant) -> Option<SocketAddr> {
        self.expire(inside, now);
        if let Some((port, _)) = self.forwards.iter().find(|(_, target)| **target == inside) {
            self.counters.outbound += 1;
            return Some(SocketAddr::new(self.public, *port));
        }
        let port = match self.by_inside.get(&inside) {
            Some(port) => *port,
            None => self.allocate(inside, now)?,
        };
        let mapping = self.by_port.get_mut(&port)?;
        mapping.last_outbound = now;
        if mapping.permitted.len() < MAX_PERMISSIONS {
            mapping.permitted.insert(remote);
        }
        self.counters.outbound += 1;
        Some(SocketAddr::new(self.public, port))
    }

    /// Translates the destination of a datagram which `remote` sent to the public `port`: the private destination, or
    /// `None` if it is filtered.
    pub fn inbound(&mut self, remote: SocketAddr, port: u16, now: Instant) -> Option<SocketAddr> {
        if let Some(target) = self.forwards.get(&port) {
            self.counters.inbound += 1;
            return Some(*target);
        }
        if let Some(inside) = self.by_port.get(&port).map(|mapping| mapping.inside) {
            self.expire(inside, now);
        }
        let target = self
            .by_port
            .get(&port)
            .filter(|mapping| match self.filtering {
                Filtering::EndpointIndependent => true,
                Filtering::AddressDependent => mapping.permitted.iter().any(|known| known.ip() == remote.ip()),
                Filtering::AddressAndPortDependent => mapping.permitted.contains(&remote),
            })
            .map(|mapping| mapping.inside);
        match target {
            Some(_) => self.counters.inbound += 1,
            None => self.counters.filtered += 1,
        }
        target
    }

    /// Forgets the mapping of `inside` if it has been idle for the timeout.
    fn expire(&mut self, inside: SocketAddr, now: Instant) {
        let Some(port) = self.by_inside.get(&inside).copied() else {
            return;
        };
        let idle = self.by_port.get(&port).map(|mapping| now.saturating_duration_since(mapping.last_outbound));
        if idle.is_some_and(|idle| idle >= self.timeout) {
            self.by_port.remove(&port);
            self.by_inside.remove(&inside);
            self.counters.expired += 1;
        }
    }

    fn allocate(&mut self, inside: SocketAddr, now: Instant) -> Option<u16> {
        if self.by_port.len() >= MAX_MAPPINGS {
            self.by_port.retain(|_, mapping| now.saturating_duration_since(mapping.last_outbound) < self.timeout);
            self.by_inside.retain(|_, port| self.by_port.contains_key(port));
        }
        if self.by_port.len() >= MAX_MAPPINGS {
            self.counters.table_full += 1;
            return None;
        }
        while self.by_port.contains_key(&self.next_port) || self.forwards.contains_key(&self.next_port) {
            self.next_port = following(self.next_port);
        }
        let port = self.next_port;
        self.next_port = following(port);
        self.by_port.insert(port, Mapping { inside, last_outbound: now, permitted: BTreeSet::new() });
        self.by_inside.insert(inside, port);
        Some(port)
    }
}

/// The port handed out after `port`; wraps above the well-known ones.
fn following(port: u16) -> u16 {
    port.checked_add(1).unwrap_or(FIRST_PORT)
}
