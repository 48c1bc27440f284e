//! The engine: two gateways, packets through them, in virtual time. One topic a file.

mod support;

mod tunnels;
