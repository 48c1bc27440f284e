//! Which routes the host must keep for a desired state. Pure: the host compares with what the kernel has.
//!
//! Every protected prefix gets two: into our interface, and, of worse metric, `unreachable`. The interface goes with the
//! process; the second stays, so that nothing leaves in clear after a crash.

use crate::desired::{DesiredState, PolicyAction};
use std::net::IpAddr;

/// One prefix to route.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Prefix {
    /// Its first address.
    pub address: IpAddr,
    /// Its length in bits.
    pub length: u8,
}

/// What the host must route, without duplicates, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Routes {
    /// Into the gateway's interface, and unreachable behind it.
    pub protected: Vec<Prefix>,
    /// Left to the kernel's other routes although a protected prefix covers them: traffic to pass in clear.
    pub bypassed: Vec<Prefix>,
}

impl Routes {
    /// The routes of a desired state.
    pub fn of(desired: &DesiredState) -> Routes {
        let prefix = |(address, length): (IpAddr, u8)| Prefix { address, length };
        let mut protected: Vec<Prefix> =
            desired.connections.values().flat_map(|connection| connection.routes.iter().copied().map(prefix)).collect();
        let mut bypassed: Vec<Prefix> = desired
            .policies
            .iter()
            .filter(|policy| policy.action == PolicyAction::Bypass)
            .flat_map(|policy| policy.remote.iter().flat_map(ipsec::TrafficSelector::prefixes))
            .map(prefix)
            .collect();
        protected.sort();
        protected.dedup();
        bypassed.sort();
        bypassed.dedup();
        Routes { protected, bypassed }
    }
}
