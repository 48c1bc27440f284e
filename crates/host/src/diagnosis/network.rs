//! Addresses, interfaces and the routes that decide.

use super::Questions;
use crate::netlink::{Link, Netlink, NetlinkError, Prefix, Route, RouteKind};
use doctor::evidence::{Host, Interface, PrefixRoute};
use std::cmp::Reverse;
use std::fs;
use std::net::IpAddr;

/// Interfaces listed; a host with more of them has others to ask.
const MOST_INTERFACES: usize = 256;
/// Routes listed inside one prefix.
const MOST_INSIDE: usize = 8;

/// Fills in what the kernel says.
pub(super) fn fill(host: &mut Host, questions: &Questions) -> Result<(), NetlinkError> {
    let mut netlink = Netlink::open()?;
    let links = netlink.links()?;
    let addresses = netlink.addresses()?;
    let mut routes = netlink.others_routes()?;
    routes.extend(netlink.our_routes()?.into_iter().filter(|route| route.table == crate::netlink::route::MAIN_TABLE));
    host.addresses = Some(addresses.iter().map(|address| address.prefix.address()).collect());
    let of = |link: &Link| {
        let own = addresses.iter().filter(|address| address.link == link.index);
        // Link-local addresses of IPv6 are on every interface.
        let own = own.map(|address| address.prefix).filter(|prefix| !is_link_local(prefix.address()));
        Interface {
            name: link.name.clone(),
            mtu: Some(link.mtu),
            running: Some(link.running),
            networks: own.map(|prefix| prefix.to_string()).collect(),
            rp_filter: rp_filter(&link.name),
        }
    };
    host.interfaces = links.iter().take(MOST_INTERFACES).map(of).collect();
    let table = Table { links: &links, routes: &routes };
    let own = |peer: &IpAddr| peer.is_loopback() || addresses.iter().any(|address| address.prefix.address() == *peer);
    for (address, length) in &questions.prefixes {
        if let Some(prefix) = Prefix::new(*address, *length) {
            host.routes.push(table.lookup(&prefix));
            host.routes.extend(table.inside(&prefix, &questions.interface));
        }
    }
    // What is this host's own the kernel keeps in a table of its own.
    let lo = links.iter().find(|link| link.loopback);
    let towards = |peer: &IpAddr| match lo.filter(|_| own(peer)) {
        Some(lo) => PrefixRoute {
            prefix: peer.to_string(),
            interface: Some(lo.name.clone()),
            route: Some(format!("local {peer}")),
            mtu: Some(lo.mtu),
        },
        None => table.lookup(&Prefix::host(*peer)),
    };
    host.outside = questions.peers.iter().map(towards).collect();
    Ok(())
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// The reverse-path filter in force: the larger of the interface's own and that of all (ip-sysctl.rst).
fn rp_filter(name: &str) -> Option<u8> {
    let read = |of: &str| -> Option<u8> {
        fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{of}/rp_filter")).ok()?.trim().parse().ok()
    };
    Some(read("all")?.max(read(name)?))
}

struct Table<'a> {
    links: &'a [Link],
    routes: &'a [Route],
}

impl Table<'_> {
    fn link(&self, index: u32) -> Option<&Link> {
        self.links.iter().find(|link| link.index == index)
    }

    /// The interface a route leads out of: by its next hop where it names no other.
    fn link_of(&self, route: &Route) -> Option<&Link> {
        match (route.link, route.via) {
            (Some(index), _) => self.link(index),
            (None, Some(via)) => self.best(&Prefix::host(via)).and_then(|route| self.link(route.link?)),
            (None, None) => None,
        }
    }

    /// The best route for the whole of a prefix: the longest, then that of least metric.
    fn best(&self, prefix: &Prefix) -> Option<&Route> {
        let covers = |route: &&Route| holds(&route.destination, prefix);
        self.routes.iter().filter(covers).min_by_key(|route| (Reverse(route.destination.prefix_len()), route.metric))
    }

    fn lookup(&self, prefix: &Prefix) -> PrefixRoute {
        let route = self.best(prefix);
        self.told(prefix.network(), route)
    }

    fn told(&self, prefix: Prefix, route: Option<&Route>) -> PrefixRoute {
        let leads = route.filter(|route| route.kind == RouteKind::Unicast);
        let link = leads.and_then(|route| self.link_of(route));
        let mtu = leads.and_then(|route| route.mtu).or(link.map(|link| link.mtu));
        let host = prefix == Prefix::host(prefix.address());
        PrefixRoute {
            prefix: if host { prefix.address().to_string() } else { prefix.to_string() },
            interface: link.map(|link| link.name.clone()),
            route: route.map(|route| words(route, link)),
            mtu,
        }
    }

    /// Routes for parts of a prefix that lead elsewhere.
    fn inside(&self, prefix: &Prefix, interface: &str) -> Vec<PrefixRoute> {
        let part = |route: &&Route| {
            route.kind == RouteKind::Unicast
                && route.destination.prefix_len() > prefix.prefix_len()
                && holds(prefix, &route.destination)
                && self.link_of(route).is_some_and(|link| link.name != interface)
        };
        self.routes
            .iter()
            .filter(part)
            .take(MOST_INSIDE)
            .map(|route| self.told(route.destination.network(), Some(route)))
            .collect()
    }
}

/// As `ip route` would take it.
fn words(route: &Route, link: Option<&Link>) -> String {
    let mut text = format!("{}", route.destination.network());
    if let Some(via) = route.via {
        text.push_str(&format!(" via {via}"));
    }
    if let Some(link) = link {
        text.push_str(&format!(" dev {}", link.name));
    }
    if route.metric != 0 {
        text.push_str(&format!(" metric {}", route.metric));
    }
    text
}

/// Whether one prefix holds all of another.
fn holds(outer: &Prefix, inner: &Prefix) -> bool {
    let cut = Prefix::new(inner.address(), outer.prefix_len()).map(|prefix| prefix.network());
    outer.prefix_len() <= inner.prefix_len() && cut == Some(outer.network())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    fn link(index: u32, name: &str) -> Link {
        Link { index, name: name.to_owned(), mtu: 1400, up: true, running: true, loopback: false }
    }

    #[test]
    fn the_longest_route_of_least_metric_decides_and_parts_that_lead_elsewhere_are_found() {
        let links = [link(2, "wan"), link(3, "underpass0")];
        let routes = [
            Route::via(prefix("0.0.0.0/0"), "192.0.2.254".parse().unwrap()),
            Route::out_of(prefix("192.0.2.0/24"), 2),
            Route::out_of(prefix("10.93.0.0/16"), 3).metric(50),
            Route::unreachable(prefix("10.93.0.0/16"), 4_000_000_000),
            Route::via(prefix("10.93.1.0/25"), "192.0.2.9".parse().unwrap()),
        ];
        let table = Table { links: &links, routes: &routes };
        let found = table.lookup(&prefix("10.93.0.0/16"));
        assert_eq!((found.interface.as_deref(), found.mtu), (Some("underpass0"), Some(1400)));
        let inside = table.inside(&prefix("10.93.0.0/16"), "underpass0");
        assert_eq!(inside.len(), 1);
        assert_eq!(inside[0].route.as_deref(), Some("10.93.1.0/25 via 192.0.2.9 dev wan"));
        let peer = table.lookup(&prefix("203.0.113.1/32"));
        assert_eq!((peer.prefix.as_str(), peer.interface.as_deref()), ("203.0.113.1", Some("wan")));
        assert_eq!(table.lookup(&prefix("2001:db8::/32")).interface, None);
        let blocked = Table { links: &links, routes: &routes[3..4] };
        assert_eq!(blocked.lookup(&prefix("10.93.0.0/16")).interface, None, "refused is nowhere");
    }
}
