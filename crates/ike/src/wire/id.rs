//! The body of IDi and IDr (RFC 7296 §3.5), kept as received because AUTH signs it (§2.15).

use super::{Cursor, WireError};
use crate::id::Id;

/// An identification payload: what it names, and its octets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdPayload {
    /// Who is meant.
    pub id: Id,
    /// The body as on the wire: ID type, three reserved octets *as received*, data. AUTH covers exactly these (§2.15).
    pub octets: Vec<u8>,
}

impl IdPayload {
    pub(super) fn parse(body: &[u8]) -> Result<Self, WireError> {
        let mut cursor = Cursor::new(body, "ID payload");
        let ty = cursor.u8()?;
        cursor.array::<3>()?;
        let id = Id::from_wire(ty, cursor.remaining())
            .ok_or(WireError::Malformed { what: "ID payload", rule: "an address of the wrong length" })?;
        Ok(IdPayload { id, octets: body.to_vec() })
    }
}

impl From<Id> for IdPayload {
    fn from(id: Id) -> Self {
        let mut octets = vec![id.wire_type(), 0, 0, 0];
        octets.extend_from_slice(&id.wire_data());
        IdPayload { id, octets }
    }
}
