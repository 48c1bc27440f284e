//! Keeps the kernel's routes as the desired state wants them, by comparison with what there is of ours.
//!
//! Order: the unreachable route of a prefix comes before the one into our interface and goes after it. Traffic that bypasses the
//! tunnels takes the route it would have without us: a copy of that route, under our protocol number, for each bypassed
//! prefix, made again whenever the original changes.

use crate::netlink::{Netlink, NetlinkError, Prefix, ROUTE_PROTOCOL, Route, RouteKind};
use engine::routes::Routes;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Metric of the routes into our interface: better than what people configure by hand rarely, worse than connected.
const METRIC: u32 = 50;
/// Metric of routes around our interface: better than into it, for a bypass may be as wide as what it bypasses.
const BYPASS_METRIC: u32 = 49;
/// Metric of the unreachable routes: worse than any other.
const UNREACHABLE_METRIC: u32 = 4_278_198_272;

/// The kernel's routes that are ours.
pub(super) struct KernelRoutes {
    netlink: Netlink,
    link: u32,
    /// Addresses that we gave our interface; others on it are somebody else's.
    inside: Vec<Prefix>,
}

fn prefixes(routes: &[engine::routes::Prefix]) -> Vec<Prefix> {
    routes.iter().filter_map(|prefix| Prefix::new(prefix.address, prefix.length)).collect()
}

/// The best of `routes` for the whole of `prefix`: the longest, then that of least metric.
fn route_without_us<'a>(routes: &'a [Route], prefix: &Prefix) -> Option<&'a Route> {
    let covers = |route: &&Route| {
        let len = route.destination.prefix_len();
        let cut = Prefix::new(prefix.address(), len).map(|prefix| prefix.network());
        len <= prefix.prefix_len() && cut == Some(route.destination.network())
    };
    let better = |route: &&Route| (std::cmp::Reverse(route.destination.prefix_len()), route.metric);
    routes.iter().filter(covers).min_by_key(better)
}

fn bypass(routes: &[Route], prefix: Prefix) -> Option<Route> {
    let original = route_without_us(routes, &prefix).filter(|route| route.kind == RouteKind::Unicast)?;
    Some(Route { destination: prefix, metric: BYPASS_METRIC, protocol: ROUTE_PROTOCOL, ..original.clone() })
}

/// Routes that the kernel keeps in one place: a new one replaces an old one.
fn same_place(a: &Route, b: &Route) -> bool {
    (a.destination, a.metric, a.table) == (b.destination, b.metric, b.table)
}

impl KernelRoutes {
    pub(super) fn new(netlink: Netlink, link: u32) -> KernelRoutes {
        KernelRoutes { netlink, link, inside: Vec::new() }
    }

    /// Whether an interface is the gateway's own.
    pub(super) fn is_ours(&self, link: u32) -> bool {
        self.link == link
    }

    /// Adds what is missing and removes what is no longer wanted; what stays is not touched. Returns how many routes and addresses
    /// changed.
    /// A route that cannot be set does not keep the others from being set.
    pub(super) fn apply(&mut self, wanted: &Routes) -> Result<usize, NetlinkError> {
        let inside = &wanted.inside;
        let wanted = self.wanted(wanted)?;
        let present = self.netlink.our_routes()?;
        let (mut changed, mut failure) = (0, None);
        for route in wanted.iter().filter(|route| !present.contains(route)) {
            match self.netlink.replace_route(route) {
                Ok(()) => changed += 1,
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        let stale = |route: &&Route| !wanted.iter().any(|wanted| same_place(wanted, route));
        // Routes into the interface first: their prefixes must not lose the unreachable one before.
        let (through, blocked): (Vec<&Route>, Vec<&Route>) =
            present.iter().filter(stale).partition(|route| route.link.is_some());
        for route in through.into_iter().chain(blocked) {
            changed += usize::from(self.netlink.delete_route(route)?);
        }
        // After the routes: an address that cannot be set must not keep the wall from being built.
        match self.address(inside) {
            Ok(readdressed) => changed += readdressed,
            Err(error) => failure = failure.or(Some(error)),
        }
        failure.map_or(Ok(changed), Err)
    }

    /// Gives our interface the inside addresses of tunnels, and takes those of before from it. Returns how many changed.
    fn address(&mut self, inside: &[engine::routes::Prefix]) -> Result<usize, NetlinkError> {
        let wanted = prefixes(inside);
        if wanted.is_empty() && self.inside.is_empty() {
            return Ok(0);
        }
        let present: Vec<Prefix> =
            self.netlink.addresses()?.into_iter().filter(|at| at.link == self.link).map(|at| at.prefix).collect();
        let mut changed = 0;
        for prefix in wanted.iter().filter(|prefix| !present.contains(prefix)) {
            self.netlink.add_address(self.link, *prefix)?;
            changed += 1;
        }
        let old = std::mem::replace(&mut self.inside, wanted);
        for prefix in old.iter().filter(|prefix| !self.inside.contains(prefix)) {
            changed += usize::from(self.netlink.delete_address(self.link, *prefix)?);
        }
        Ok(changed)
    }

    /// All routes there should be, in the order of setting them.
    fn wanted(&mut self, wanted: &Routes) -> Result<Vec<Route>, NetlinkError> {
        let protected = prefixes(&wanted.protected);
        let mut routes: Vec<Route> =
            protected.iter().map(|prefix| Route::unreachable(*prefix, UNREACHABLE_METRIC)).collect();
        if !wanted.bypassed.is_empty() {
            let mut others = self.netlink.others_routes()?;
            others.retain(|route| route.link != Some(self.link));
            routes.extend(prefixes(&wanted.bypassed).into_iter().filter_map(|prefix| bypass(&others, prefix)));
        }
        routes.extend(protected.iter().map(|prefix| Route::out_of(*prefix, self.link).metric(METRIC)));
        Ok(routes)
    }

    /// Protected prefixes that somebody else's route of better metric takes away from us, to be told to the operator.
    pub(super) fn overridden(&mut self, wanted: &Routes) -> Result<Vec<Route>, NetlinkError> {
        let (protected, bypassed) = (prefixes(&wanted.protected), prefixes(&wanted.bypassed));
        let mut others = self.netlink.others_routes()?;
        others.retain(|route| {
            let prefix = route.destination.network();
            let leaves = route.kind == RouteKind::Unicast && route.link != Some(self.link) && route.metric <= METRIC;
            leaves && protected.contains(&prefix) && !bypassed.contains(&prefix)
        });
        Ok(others)
    }

    /// Removes all our routes, the unreachable ones unless they are to stay.
    pub(super) fn remove(&mut self, keep_unreachable: bool) -> Result<(), NetlinkError> {
        let (through, blocked): (Vec<Route>, Vec<Route>) =
            self.netlink.our_routes()?.into_iter().partition(|route| route.link.is_some());
        // Those into the interface last: until then nothing finds its way out in clear.
        let (around, through): (Vec<Route>, Vec<Route>) =
            through.into_iter().partition(|route| route.link != Some(self.link));
        for route in around.iter().chain(&through) {
            self.netlink.delete_route(route)?;
        }
        if !keep_unreachable {
            for route in &blocked {
                self.netlink.delete_route(route)?;
            }
        }
        Ok(())
    }

    /// The addresses of this machine.
    pub(super) fn local_addresses(&mut self) -> Result<BTreeSet<IpAddr>, NetlinkError> {
        Ok(self.netlink.addresses()?.into_iter().map(|address| address.prefix.address()).collect())
    }

    /// The MTU of our interface.
    pub(super) fn set_mtu(&mut self, mtu: u32) -> Result<(), NetlinkError> {
        self.netlink.set_mtu(self.link, mtu)
    }

    /// Sets our interface up, which somebody may have set down.
    pub(super) fn set_up(&mut self) -> Result<(), NetlinkError> {
        self.netlink.set_up(self.link, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn a_bypass_copies_the_longest_route_of_least_metric_that_holds_all_of_it() {
        let routes = [
            Route::via(prefix("0.0.0.0/0"), "192.0.2.254".parse().unwrap()).metric(100),
            Route::out_of(prefix("10.0.0.0/8"), 3).metric(20),
            Route::out_of(prefix("10.0.0.0/8"), 2).metric(10),
            Route::out_of(prefix("10.93.1.9/32"), 4),
            Route::unreachable(prefix("10.94.0.0/16"), 7),
        ];
        let link = |wanted: &str| bypass(&routes, prefix(wanted)).map(|route| (route.link, route.via.is_some()));
        assert_eq!(link("10.93.1.0/24"), Some((Some(2), false)));
        assert_eq!(link("10.93.1.9/32"), Some((Some(4), false)));
        assert_eq!(link("203.0.113.0/24"), Some((None, true)));
        assert_eq!(link("10.94.1.0/24"), None, "somebody wants it refused");
        assert_eq!(link("2001:db8::/32"), None, "there is no way");
        let copy = bypass(&routes, prefix("10.93.1.0/24")).unwrap();
        assert_eq!((copy.destination, copy.metric), (prefix("10.93.1.0/24"), BYPASS_METRIC));
    }
}
