//! The engine: two gateways, packets through them, in virtual time. One topic a file.

mod support;

mod failover;
mod fails_closed;
mod ikev1;
mod limits;
mod nat;
mod on_demand;
mod reference;
mod rekey;
mod routes;
mod status;
mod trace;
mod traffic;
mod truncation;
mod tunnels;
