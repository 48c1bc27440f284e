//! Two IKE endpoints on a simulated network in virtual time, each with a model of a data plane, and what must always hold
//! between them. Used by this crate's tests, by the simulation programs and by fuzz targets.

#![allow(dead_code, unused_imports)] // every test file uses a part of it

mod checks;
mod configs;
mod end;
pub mod forge;
pub mod model;
mod pair;
mod plane;
pub mod puppet;
pub mod puppet_v1;
pub mod rig;
pub mod soak;
pub mod v1;

pub use checks::{Gaps, Violation, agreement};
pub use configs::{child, child_config, ikev1, minutes, seconds, site_a, site_b};
pub use end::{A, B, ESP_PORT, End, IKE_PORT, NAT_PORT, Rekeys, Totals, address};
pub use pair::{Pair, Setup};
pub use pair::{epoch, header_of};
pub use plane::{Heard, Plane};
