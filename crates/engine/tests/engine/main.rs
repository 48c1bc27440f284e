//! The engine: two gateways, packets through them, in virtual time. One topic a file.

mod support;

mod limits;
mod nat;
mod on_demand;
mod rekey;
mod tunnels;
