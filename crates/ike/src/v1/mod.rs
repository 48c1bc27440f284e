//! IKEv1 (RFC 2407, RFC 2408, RFC 2409): the version of the peers that are already out there.

pub mod proposal;
pub mod vendor;
pub mod wire;
