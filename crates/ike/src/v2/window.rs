//! The message window (RFC 7296 §2.3), of size one: one request of ours outstanding, one response of ours remembered.
//!
//! A response is sent again only when the same request is seen again, byte for byte; never on a timer.

use super::exchange::Exchange;
use crate::retransmit::Schedule;
use crate::sk::Reassembly;

/// A request of ours that waits for its response.
#[derive(Debug)]
pub(crate) struct Outstanding {
    pub(crate) message_id: u32,
    /// One datagram, or the fragments of one message.
    pub(crate) datagrams: Vec<Vec<u8>>,
    pub(crate) schedule: Schedule,
    pub(crate) exchange: Exchange,
}

/// The last response of ours.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) message_id: u32,
    /// SHA-256 of the request's only or first datagram.
    pub(crate) request: [u8; 32],
    pub(crate) datagrams: Vec<Vec<u8>>,
}

/// Message IDs of one IKE SA: per direction, from 0.
#[derive(Debug, Default)]
pub(crate) struct Window {
    pub(crate) next_request: u32,
    pub(crate) outstanding: Option<Outstanding>,
    pub(crate) next_expected: u32,
    pub(crate) answered: Option<Answered>,
    pub(crate) requests: Reassembly,
    pub(crate) responses: Reassembly,
    /// Digest of fragment 1 of the request being reassembled.
    pub(crate) first_fragment: Option<[u8; 32]>,
}

/// What a received request's message ID means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RequestId {
    /// The one we wait for.
    Expected,
    /// The one we answered last.
    Answered,
    /// Neither.
    Outside,
}

impl Window {
    pub(crate) fn classify_request(&self, message_id: u32) -> RequestId {
        if message_id == self.next_expected {
            RequestId::Expected
        } else if self.answered.as_ref().is_some_and(|answered| answered.message_id == message_id) {
            RequestId::Answered
        } else {
            RequestId::Outside
        }
    }

    /// Whether a response with this ID is one we wait for.
    pub(crate) fn expects_response(&self, message_id: u32) -> bool {
        self.outstanding.as_ref().is_some_and(|outstanding| outstanding.message_id == message_id)
    }
}
