//! The two ends of an exchange.

/// Which end of an exchange or SA we are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// We sent the request.
    Initiator,
    /// We answered it.
    Responder,
}
