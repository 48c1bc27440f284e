//! A piece of a message cut by the scheme that Cisco introduced for IKEv1 and others took up: no RFC, payload type 132.
//!
//! ```text
//! ISAKMP header (next payload 132, the exchange of the whole message)
//! | next payload, reserved, length | fragment ID (2) | number, from 1 | flags: bit 0 is "last" | data … |
//! ```
//! All data, in order of number, is the whole message, its own ISAKMP header included.

use super::{Cursor, WireError, length16};

/// One fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// The same in all fragments of a message.
    pub id: u16,
    /// Counted from 1.
    pub number: u8,
    /// Whether none follows.
    pub last: bool,
    /// A piece of the message; never empty when parsed.
    pub data: Vec<u8>,
}

impl Fragment {
    /// Octets around the data: the generic header and the fragment's own. With the ISAKMP header it is 36.
    pub const OVERHEAD: usize = 8;

    const LAST: u8 = 0x01;

    /// Reads what follows the ISAKMP header, whose next payload was [`Fragment`](super::PayloadType::Fragment).
    ///
    /// # Errors
    /// What is wrong with it: a length that is not that of all octets, number 0, no data.
    pub fn parse(body_of_message_after_header: &[u8]) -> Result<Fragment, WireError> {
        let mut chain = Cursor::new(body_of_message_after_header, "fragment");
        chain.u16()?;
        let length = chain.u16()?;
        let mut cursor = chain.nested(length, 4, "fragment")?;
        // A fragment is alone in its message, whatever its next payload field says.
        chain.finish()?;
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

    /// The payload with its generic header, to follow an ISAKMP header. Data beyond what 16 bits can count is cut.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut out = vec![0, 0];
        let most = usize::from(u16::MAX).saturating_sub(Self::OVERHEAD);
        let data = self.data.get(..most).unwrap_or(&self.data);
        out.extend_from_slice(&length16(data.len().saturating_add(Self::OVERHEAD)).to_be_bytes());
        out.extend_from_slice(&self.id.to_be_bytes());
        out.extend_from_slice(&[self.number, if self.last { Self::LAST } else { 0 }]);
        out.extend_from_slice(data);
        out
    }
}
