//! Reads hostile octets: every step is checked, nothing is indexed.

use super::WireError;

/// The octets not read yet of one structure, which names itself in errors.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Cursor { rest: bytes, what }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(self.truncated())?;
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, WireError> {
        self.array::<1>().map(|[octet]| octet)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(self.truncated())?;
        self.rest = rest;
        Ok(head)
    }

    /// A structure whose own length field (`total`, which counts the `read` octets before) has just been read.
    pub(crate) fn nested(&mut self, total: u16, read: usize, what: &'static str) -> Result<Cursor<'a>, WireError> {
        let left = usize::from(total)
            .checked_sub(read)
            .ok_or(WireError::Malformed { what, rule: "its length is smaller than its own header" })?;
        let bytes = self.take(left).map_err(|_| WireError::Truncated { what })?;
        Ok(Cursor::new(bytes, what))
    }

    /// Everything left, to the end.
    pub(crate) fn remaining(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Nothing may be left.
    pub(crate) fn finish(&self) -> Result<(), WireError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.malformed("octets left over at its end")) }
    }

    pub(crate) fn truncated(&self) -> WireError {
        WireError::Truncated { what: self.what }
    }

    pub(crate) fn malformed(&self, rule: &'static str) -> WireError {
        WireError::Malformed { what: self.what, rule }
    }
}
