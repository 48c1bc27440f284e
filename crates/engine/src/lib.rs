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

mod children;
pub mod desired;
mod engine;
pub mod path;
pub mod record;
pub mod routes;
pub mod status;
pub mod table;

pub use engine::{Engine, Output};
pub use table::ForwardingTable;
