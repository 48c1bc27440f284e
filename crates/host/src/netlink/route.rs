//! Routes: ours are marked by a protocol number of our own, so that they can be told from everybody else's and cleaned up.

use std::fmt;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{Netlink, NetlinkError, Prefix};

/// Who installed a route (`rtm_protocol`). Not assigned to anybody in `rtnetlink.h`, and none of the numbers that BIRD (12), FRR
/// (186 to 198) or Open/R (99) use: cleaning up ours must never take theirs.
pub const ROUTE_PROTOCOL: u8 = 211;

/// The protocol number of routes that an administrator made (`RTPROT_STATIC`).
pub const STATIC_PROTOCOL: u8 = 4;

/// The main routing table.
pub const MAIN_TABLE: u32 = 254;

/// What a route does with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouteKind {
    /// Forward to `via` or out of `link`.
    Unicast,
    /// Refuse with ICMP unreachable: what keeps protected traffic from leaving in clear when nothing else does.
    Unreachable,
    /// Drop without a word.
    Blackhole,
    /// Go on in the next table.
    Throw,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where to; host bits are ignored.
    pub destination: Prefix,
    /// What to do.
    pub kind: RouteKind,
    /// The outgoing interface's index.
    pub link: Option<u32>,
    /// The next hop.
    pub via: Option<IpAddr>,
    /// Less wins. 0 means the best for IPv4 and 1024 for IPv6.
    pub metric: u32,
    /// Routing table, [`MAIN_TABLE`] by default.
    pub table: u32,
    /// Source address for packets of this machine.
    pub source: Option<IpAddr>,
    /// Path MTU in bytes.
    pub mtu: Option<u32>,
    /// Who installed it (`rtm_protocol`): [`ROUTE_PROTOCOL`] unless said otherwise.
    pub protocol: u8,
}

impl Route {
    /// `destination` out of interface `link`.
    pub fn out_of(destination: Prefix, link: u32) -> Self {
        Self { link: Some(link), ..Self::bare(destination, RouteKind::Unicast) }
    }

    /// `destination` by way of a next hop.
    pub fn via(destination: Prefix, next_hop: IpAddr) -> Self {
        Self { via: Some(next_hop), ..Self::bare(destination, RouteKind::Unicast) }
    }

    /// `destination` refused, if no route of a metric below `metric` takes it.
    pub fn unreachable(destination: Prefix, metric: u32) -> Self {
        Self { metric, ..Self::bare(destination, RouteKind::Unreachable) }
    }

    /// Drops what goes to `destination`, and tells nobody.
    pub fn blackhole(destination: Prefix) -> Self {
        Self::bare(destination, RouteKind::Blackhole)
    }

    /// `destination` looked up in the next table.
    pub fn throw(destination: Prefix, table: u32) -> Self {
        Self { table, ..Self::bare(destination, RouteKind::Throw) }
    }

    /// With another metric.
    pub fn metric(self, metric: u32) -> Self {
        Self { metric, ..self }
    }

    /// Under another protocol number, so that it does not count as the gateway's.
    pub fn protocol(self, protocol: u8) -> Self {
        Self { protocol, ..self }
    }

    fn bare(destination: Prefix, kind: RouteKind) -> Self {
        let (table, protocol) = (MAIN_TABLE, ROUTE_PROTOCOL);
        Self { destination, kind, link: None, via: None, metric: 0, table, source: None, mtu: None, protocol }
    }

    fn message(&self) -> RouteMessage {
        let destination = self.destination.network();
        let mut message = RouteMessage::default();
        message.header = RouteHeader {
            address_family: match destination.address() {
                IpAddr::V4(_) => AddressFamily::Inet,
                IpAddr::V6(_) => AddressFamily::Inet6,
            },
            destination_prefix_length: destination.prefix_len(),
            // Numbers above 255 live in the RTA_TABLE attribute alone.
            table: u8::try_from(self.table).unwrap_or(0),
            protocol: RouteProtocol::from(self.protocol),
            scope: match (self.kind, self.via) {
                (RouteKind::Unicast, None) => RouteScope::Link,
                _ => RouteScope::Universe,
            },
            kind: match self.kind {
                RouteKind::Unicast => RouteType::Unicast,
                RouteKind::Unreachable => RouteType::Unreachable,
                RouteKind::Blackhole => RouteType::BlackHole,
                RouteKind::Throw => RouteType::Throw,
            },
            ..RouteHeader::default()
        };
        let attributes = &mut message.attributes;
        attributes.push(RouteAttribute::Table(self.table));
        if destination.prefix_len() > 0 {
            let address = RouteAddress::from(destination.address());
            attributes.push(RouteAttribute::Destination(address));
        }
        if let Some(via) = self.via {
            attributes.push(RouteAttribute::Gateway(via.into()));
        }
        attributes.extend(self.link.map(RouteAttribute::Oif));
        if self.metric != 0 {
            attributes.push(RouteAttribute::Priority(self.metric));
        }
        if let Some(source) = self.source {
            attributes.push(RouteAttribute::PrefSource(source.into()));
        }
        if let Some(mtu) = self.mtu {
            attributes.push(RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)]));
        }
        message
    }

    fn from_message(message: &RouteMessage) -> Option<Self> {
        let header = &message.header;
        let kind = match header.kind {
            RouteType::Unicast => RouteKind::Unicast,
            RouteType::Unreachable => RouteKind::Unreachable,
            RouteType::BlackHole => RouteKind::Blackhole,
            RouteType::Throw => RouteKind::Throw,
            _ => return None,
        };
        let unspecified = match header.address_family {
            AddressFamily::Inet => IpAddr::from([0; 4]),
            AddressFamily::Inet6 => IpAddr::from([0; 16]),
            _ => return None,
        };
        let mut route = Self::bare(Prefix::host(unspecified), kind);
        route.table = u32::from(header.table);
        route.protocol = u8::from(header.protocol);
        let mut destination = unspecified;
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Destination(address) => destination = ip(address)?,
                RouteAttribute::Gateway(address) => route.via = ip(address),
                RouteAttribute::PrefSource(address) => route.source = ip(address),
                RouteAttribute::Oif(link) => route.link = Some(*link),
                RouteAttribute::Priority(metric) => route.metric = *metric,
                RouteAttribute::Table(table) => route.table = *table,
                // Of several next hops the first: all of them lead there.
                RouteAttribute::MultiPath(hops) => {
                    if let Some(hop) = hops.first() {
                        route.link = Some(hop.interface_index);
                        route.via = hop.attributes.iter().find_map(|attribute| match attribute {
                            RouteAttribute::Gateway(address) => ip(address),
                            _ => None,
                        });
                    }
                }
                RouteAttribute::Metrics(metrics) => {
                    route.mtu = metrics.iter().find_map(|metric| match metric {
                        RouteMetric::Mtu(mtu) => Some(*mtu),
                        _ => None,
                    });
                }
                _ => {}
            }
        }
        // The kernel says that IPv6 unreachable routes leave by `lo`, which is not ours to repeat.
        if kind != RouteKind::Unicast {
            route.link = None;
        }
        route.destination = Prefix::new(destination, header.destination_prefix_length)?;
        Some(route)
    }
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some((*v4).into()),
        RouteAddress::Inet6(v6) => Some((*v6).into()),
        _ => None,
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            RouteKind::Unicast => {}
            RouteKind::Unreachable => f.write_str("unreachable ")?,
            RouteKind::Blackhole => f.write_str("blackhole ")?,
            RouteKind::Throw => f.write_str("throw ")?,
        }
        write!(f, "{}", self.destination.network())?;
        if let Some(via) = self.via {
            write!(f, " via {via}")?;
        }
        if let Some(link) = self.link {
            write!(f, " dev #{link}")?;
        }
        if self.metric != 0 {
            write!(f, " metric {}", self.metric)?;
        }
        if self.table != MAIN_TABLE {
            write!(f, " table {}", self.table)?;
        }
        Ok(())
    }
}

impl Netlink {
    /// Adds a route; `EEXIST` when one of the same destination, table and metric is there.
    pub fn add_route(&mut self, route: &Route) -> Result<(), NetlinkError> {
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        self.change(RouteNetlinkMessage::NewRoute(route.message()), flags, || format!("add route {route}"))
    }

    /// Adds a route as an administrator would: it is nobody's to clean up, and no gateway takes it for its own.
    pub fn add_administrators_route(&mut self, route: &Route) -> Result<(), NetlinkError> {
        let mut message = route.message();
        message.header.protocol = RouteProtocol::Boot;
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        self.change(RouteNetlinkMessage::NewRoute(message), flags, || format!("add route {route}"))
    }

    /// Adds a route, in the place of one of the same destination, table and metric if there is one.
    pub fn replace_route(&mut self, route: &Route) -> Result<(), NetlinkError> {
        let flags = NLM_F_CREATE | NLM_F_REPLACE;
        self.change(RouteNetlinkMessage::NewRoute(route.message()), flags, || format!("replace route {route}"))
    }

    /// Deletes a route of ours; `false` when it was not there (or its interface is gone).
    pub fn delete_route(&mut self, route: &Route) -> Result<bool, NetlinkError> {
        let result = self.change(RouteNetlinkMessage::DelRoute(route.message()), 0, || format!("delete route {route}"));
        match result {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.errno(), Some(libc::ESRCH | libc::ENODEV)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// All routes of [`ROUTE_PROTOCOL`], in every table.
    pub fn our_routes(&mut self) -> Result<Vec<Route>, NetlinkError> {
        let ours = RouteProtocol::from(ROUTE_PROTOCOL);
        self.list_routes(ours, |header| u8::from(header.protocol) == ROUTE_PROTOCOL)
    }

    /// The routes of the main table that are not ours: where packets would go without us.
    pub fn others_routes(&mut self) -> Result<Vec<Route>, NetlinkError> {
        let mut routes =
            self.list_routes(RouteProtocol::Unspec, |header| u8::from(header.protocol) != ROUTE_PROTOCOL)?;
        routes.retain(|route| route.table == MAIN_TABLE);
        Ok(routes)
    }

    fn list_routes(
        &mut self,
        protocol: RouteProtocol,
        wanted: impl Fn(&RouteHeader) -> bool,
    ) -> Result<Vec<Route>, NetlinkError> {
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut request = RouteMessage::default();
            request.header.address_family = family;
            request.header.protocol = protocol;
            self.dump(
                RouteNetlinkMessage::GetRoute(request),
                || "list routes".to_owned(),
                |answer| {
                    if let RouteNetlinkMessage::NewRoute(message) = answer
                        && wanted(&message.header)
                    {
                        routes.extend(Route::from_message(&message));
                    }
                },
            )?;
        }
        Ok(routes)
    }
}
