//! Keeps the kernel's routes as the desired state wants them, by comparison with what there is of ours.
//!
//! Order: the unreachable route of a prefix comes before the one into our interface and goes after it.

use crate::netlink::{Netlink, NetlinkError, Prefix, Route};
use engine::routes::Routes;

/// Metric of the routes into our interface: better than what people configure by hand rarely, worse than connected.
const METRIC: u32 = 50;
/// Metric of the unreachable routes: worse than any other.
const UNREACHABLE_METRIC: u32 = 4_278_198_272;

/// The kernel's routes that are ours.
pub(super) struct KernelRoutes {
    netlink: Netlink,
    link: u32,
}

fn prefixes(routes: &[engine::routes::Prefix]) -> Vec<Prefix> {
    routes.iter().filter_map(|prefix| Prefix::new(prefix.address, prefix.length)).collect()
}

impl KernelRoutes {
    pub(super) fn new(netlink: Netlink, link: u32) -> KernelRoutes {
        KernelRoutes { netlink, link }
    }

    /// Adds what is missing and removes what is no longer wanted; what stays is not touched.
    pub(super) fn apply(&mut self, wanted: &Routes) -> Result<(), NetlinkError> {
        let protected = prefixes(&wanted.protected);
        let present = self.netlink.our_routes()?;
        let unreachable: Vec<Route> =
            protected.iter().map(|prefix| Route::unreachable(*prefix, UNREACHABLE_METRIC)).collect();
        let through: Vec<Route> =
            protected.iter().map(|prefix| Route::out_of(*prefix, self.link).metric(METRIC)).collect();
        for route in unreachable.iter().chain(&through) {
            self.netlink.replace_route(route)?;
        }
        let same = |a: &Route, b: &Route| a.destination == b.destination && a.kind == b.kind && a.link == b.link;
        let stale = |route: &&Route| !unreachable.iter().chain(&through).any(|wanted| same(wanted, route));
        // Routes into the interface first: their prefixes must not lose the unreachable one before.
        let (through, blocked): (Vec<&Route>, Vec<&Route>) =
            present.iter().filter(stale).partition(|route| route.link.is_some());
        for route in through.into_iter().chain(blocked) {
            self.netlink.delete_route(route)?;
        }
        Ok(())
    }

    /// Removes all our routes, the unreachable ones unless they are to stay.
    pub(super) fn remove(&mut self, keep_unreachable: bool) -> Result<(), NetlinkError> {
        let (through, blocked): (Vec<Route>, Vec<Route>) =
            self.netlink.our_routes()?.into_iter().partition(|route| route.link.is_some());
        for route in &through {
            self.netlink.delete_route(route)?;
        }
        if !keep_unreachable {
            for route in &blocked {
                self.netlink.delete_route(route)?;
            }
        }
        Ok(())
    }

    /// The MTU of our interface.
    pub(super) fn set_mtu(&mut self, mtu: u32) -> Result<(), NetlinkError> {
        self.netlink.set_mtu(self.link, mtu)
    }
}
