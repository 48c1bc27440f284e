//! Ancillary data (`cmsg`) of one socket message, encoded and decoded without pointers (RFC 3542 §20).

use std::mem::size_of;

const HEADER: usize = size_of::<libc::cmsghdr>();
const ALIGN: usize = size_of::<usize>();

/// Room for the ancillary data of one message: packet info (40), TOS (24), GRO size (24) and overflow counter (24) on a 64-bit
/// machine, or an extended error with its offender (64), with half to spare. A buffer that is too small loses ECN bits.
pub(crate) const CONTROL_LEN: usize = 256;

/// An aligned buffer for one message's ancillary data.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub(crate) struct ControlBuffer {
    pub(crate) bytes: [u8; CONTROL_LEN],
    pub(crate) used: usize,
}

impl ControlBuffer {
    pub(crate) const EMPTY: Self = Self { bytes: [0; CONTROL_LEN], used: 0 };

    /// Appends one item. A buffer without room for it stays as it was (callers push a fixed, small set).
    pub(crate) fn push(&mut self, level: i32, kind: i32, data: &[u8]) {
        let len = HEADER + data.len();
        let Some(item) = self.bytes.get_mut(self.used..self.used + len.next_multiple_of(ALIGN)) else {
            debug_assert!(false, "CONTROL_LEN covers every combination we send");
            return;
        };
        item.fill(0);
        item[..ALIGN].copy_from_slice(&len.to_ne_bytes());
        item[HEADER - 8..HEADER - 4].copy_from_slice(&level.to_ne_bytes());
        item[HEADER - 4..HEADER].copy_from_slice(&kind.to_ne_bytes());
        item[HEADER..len].copy_from_slice(data);
        self.used += len.next_multiple_of(ALIGN);
    }

    /// The items the kernel wrote: `(level, type, data)`.
    pub(crate) fn items(&self) -> Items<'_> {
        Items { rest: self.bytes.get(..self.used).unwrap_or(&self.bytes) }
    }
}

/// Iterator over ancillary items; stops at the first malformed one.
pub(crate) struct Items<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Items<'a> {
    type Item = (i32, i32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let header = self.rest.get(..HEADER)?;
        let len = usize::from_ne_bytes(header.get(..ALIGN)?.try_into().ok()?);
        let level = i32_at(header, HEADER - 8)?;
        let kind = i32_at(header, HEADER - 4)?;
        let data = self.rest.get(HEADER..len)?;
        let next = len.checked_next_multiple_of(ALIGN)?.min(self.rest.len());
        self.rest = self.rest.get(next..)?;
        Some((level, kind, data))
    }
}

/// A native-endian `i32` at `offset`.
pub(crate) fn i32_at(data: &[u8], offset: usize) -> Option<i32> {
    let bytes = data.get(offset..offset.checked_add(4)?)?;
    Some(i32::from_ne_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_back_as_pushed() {
        let mut buffer = ControlBuffer::EMPTY;
        buffer.push(0, 1, &[7]);
        buffer.push(17, 103, &1400u16.to_ne_bytes());
        buffer.push(41, 67, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let items: Vec<_> = buffer.items().collect();
        assert_eq!(items[0], (0, 1, &[7u8][..]));
        assert_eq!(items[1], (17, 103, &1400u16.to_ne_bytes()[..]));
        assert_eq!(items[2], (41, 67, &[1u8, 2, 3, 4, 5, 6, 7, 8, 9][..]));
        assert_eq!(items.len(), 3);
    }

    #[test]
    fn a_lying_length_ends_the_iteration() {
        let mut buffer = ControlBuffer::EMPTY;
        buffer.push(0, 1, &[7]);
        for lie in [0usize, 1, 15, 1000, usize::MAX] {
            buffer.bytes[..ALIGN].copy_from_slice(&lie.to_ne_bytes());
            assert_eq!(buffer.items().count(), 0, "length {lie}");
        }
    }
}
