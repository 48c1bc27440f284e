//! Sizes: what the outside interface takes, and what passes through the tunnel.

use super::{TunnelRule, host};
use crate::catalogue::*;
use crate::evidence::Probe;
use crate::finding::{Confidence, Finding};
use crate::tunnel::{Tunnel, ip_of};

/// The least that ESP costs: IPv4, SPI and sequence number, IV, trailer, ICV of AES-GCM (RFC 4303, RFC 4106).
const LEAST_OVERHEAD: u64 = 54;

pub(super) const TUNNEL: &[TunnelRule] = &[outside, black_hole];

fn outside(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let configured = u32::from(tunnel.evidence.configuration.as_ref()?.path_mtu?);
    let peers = &tunnel.config?.remote_addresses;
    let route = host(tunnel)?.outside.iter().find(|route| {
        let to_peer = ip_of(&route.prefix).is_some_and(|address| peers.contains(&address));
        to_peer && route.mtu.is_some_and(|mtu| mtu < configured)
    })?;
    let mtu = route.mtu?;
    // A gateway that has learned it makes no larger packets.
    let live = tunnel.live.filter(|live| live.state == "up");
    let inner = live.and_then(|live| live.children.iter().filter_map(|child| child.mtu).max());
    if inner.is_some_and(|inner| inner + LEAST_OVERHEAD <= u64::from(mtu)) {
        return None;
    }
    let name = route.interface.as_deref().unwrap_or("the interface");
    let finding =
        Finding::new(MTU_02)
            .of(tunnel.name)
            .shown_by(format!("{name}, which leads to {}, takes {mtu} bytes; path_mtu is {configured}", route.prefix))
            .shown_by_all(inner.map(|inner| {
                format!("the tunnel takes packets of {inner} bytes, which are larger with ESP around them")
            }))
            .fix(format!("set path_mtu = {mtu} in [gateway]"));
    Some(if inner.is_some() { finding } else { finding.advice() })
}

fn black_hole(tunnel: &Tunnel<'_>) -> Option<Finding> {
    let mtu = tunnel.live.and_then(|live| live.children.iter().filter_map(|child| child.mtu).min());
    tunnel.evidence.probes.iter().find_map(|probe| match probe {
        Probe::Sizes { to, largest_answered: Some(passed), smallest_lost: Some(lost), told: false } => {
            // Of what does not fit into the tunnel, its sender is told; silence below that is the black hole.
            let fits = mtu.is_none_or(|mtu| u64::from(*lost) <= mtu);
            fits.then(|| {
                Finding::new(MTU_01)
                    .of(tunnel.name)
                    .confidence(Confidence::Certain)
                    .shown_by(format!(
                        "echoes to {to}: {passed} bytes are answered, {lost} are lost, and nobody says why"
                    ))
                    .shown_by_all(mtu.map(|mtu| format!("the tunnel takes {mtu} bytes")))
            })
        }
        Probe::Sizes { .. } | Probe::Ike { .. } => None,
    })
}
