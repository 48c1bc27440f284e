//! A fragment of a message, in the form that Cisco gave it and everybody took over: payload 132.

use super::{Cursor, WireError, length16};

/// One fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// The message it is of.
    pub id: u16,
    /// From 1.
    pub number: u8,
    /// No fragment has a higher number.
    pub last: bool,
    /// This part of the message, ISAKMP header included.
    pub data: Vec<u8>,
}

impl Fragment {
    const LAST: u8 = 1;

    /// Reads the only payload of a message: `body` is what follows the ISAKMP header.
    ///
    /// # Errors
    /// A length that lies, another payload behind it, number 0, or no data.
    pub fn parse(body: &[u8]) -> Result<Fragment, WireError> {
        let mut outer = Cursor::new(body, "fragment");
        outer.u16()?;
        let length = outer.u16()?;
        let mut cursor = outer.nested(length, 4, "fragment")?;
        outer.finish()?;
        let id = cursor.u16()?;
        let number = cursor.u8()?;
        let last = cursor.u8()? & Self::LAST != 0;
        if number == 0 {
            return Err(cursor.malformed("its number is zero"));
        }
        if cursor.is_empty() {
            return Err(cursor.malformed("no data in it"));
        }
        Ok(Fragment { id, number, last, data: cursor.remaining().to_vec() })
    }

    /// The payload, generic header included.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut out = vec![0, 0];
        out.extend_from_slice(&length16(self.data.len().saturating_add(8)).to_be_bytes());
        out.extend_from_slice(&self.id.to_be_bytes());
        out.extend_from_slice(&[self.number, if self.last { Self::LAST } else { 0 }]);
        out.extend_from_slice(&self.data);
        out
    }
}
