//! The engine: composes IKE, ESP and the tables of a gateway. Desired state in; events, observations and an immutable
//! forwarding table out. Decides everything, touches nothing.
//!
//! ```text
//!  DesiredState ─► apply ─┐                        ┌─► Ike, Keepalive      datagrams to send
//!  IKE datagrams ─────────┤                        ├─► Publish(table)      to the packet workers
//!  Feedback of workers ───┼─► Engine ─ poll_output ┼─► Inject              packets that waited
//!  time ──────────────────┘                        └─► Event               log, metrics, status
//!
//!  workers: path::Egress (TUN → ESP), path::Ingress (ESP → TUN), by the table they hold
//! ```

mod asking;
mod children;
pub mod choice;
pub mod desired;
mod engine;
pub mod failover;
mod key_export;
pub mod path;
mod path_mtu;
pub mod reason;
pub mod record;
pub mod routes;
mod slots;
pub mod status;
pub mod table;
pub mod trace;
pub mod traffic;
pub mod view;

pub use engine::{Engine, Output};
pub use key_export::{EspKeyExport, KeyExport};
pub use table::ForwardingTable;

#[cfg(test)]
mod tests {
    use crate::desired::{Connection, TunnelOptions};
    use ike::config::{ChildConfig, Dpd, EncapsulationPolicy, Lifetime, PeerConfig, Retransmit, Retry, StartPolicy};
    use ike::id::Id;
    use ipsec::{DfPolicy, DscpPolicy, TrafficSelector};
    use std::time::{Duration, Instant};

    /// Some moment: what counts is how far others are from it.
    #[allow(clippy::disallowed_methods)]
    pub(crate) fn moment() -> Instant {
        Instant::now()
    }

    pub(crate) fn selector(prefix: &str) -> TrafficSelector {
        let (address, length) = prefix.split_once('/').unwrap();
        TrafficSelector::from_prefix(address.parse().unwrap(), length.parse().unwrap())
    }

    /// A passive connection with one child, whose remote side is routed.
    pub(crate) fn connection(name: &str, local: &str, remote: &str) -> Connection {
        let lifetime = Lifetime::of(Duration::from_secs(3600));
        let child = ChildConfig {
            name: "net".into(),
            local: vec![selector(local)],
            remote: vec![selector(remote)],
            proposals: Vec::new(),
            lifetime,
            start: StartPolicy::Passive,
            replay_window: 64,
            sha256_96: false,
        };
        let peer = PeerConfig {
            name: name.into(),
            local_address: None,
            remote_addresses: Vec::new(),
            local_id: Id::Fqdn("here.example".to_owned()),
            remote_id: None,
            psk: b"not a secret"[..].into(),
            proposals: Vec::new(),
            lifetime,
            dpd: Dpd { interval: None, timeout: Duration::from_secs(30) },
            retransmit: Retransmit::default(),
            retry: Retry::default(),
            fragment_size: None,
            encapsulation: EncapsulationPolicy::Auto,
            remote_port: 500,
            initial_contact: true,
            childless: false,
            versions: ike::config::Versions::V2,
            aggressive: false,
            children: vec![child],
        };
        let tunnel = TunnelOptions { dscp: DscpPolicy::Copy, df: DfPolicy::Copy };
        let routes = selector(remote).prefixes();
        Connection { peer, remote_names: Vec::new(), routes, tunnel }
    }
}
