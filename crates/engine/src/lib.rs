//! The engine: composes IKE, ESP and the tables of a gateway. Desired state in; events, observations and an immutable
//! forwarding table out. Decides everything, touches nothing.

pub mod desired;
