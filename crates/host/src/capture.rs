//! Packet captures that Wireshark reads: pcapng (draft-ietf-opsawg-pcapng) with named interfaces and a comment per packet.
//!
//! Blocks used: Section Header, one Interface Description per interface, Enhanced Packet with direction and comment. Times are in
//! nanoseconds.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const OPTION_COMMENT: u16 = 1;
const SECTION_APPLICATION: u16 = 4;
const INTERFACE_NAME: u16 = 2;
const INTERFACE_TEXT: u16 = 3;
const INTERFACE_RESOLUTION: u16 = 9;
const PACKET_FLAGS: u16 = 2;
/// Packets begin with an IPv4 or IPv6 header (`LINKTYPE_RAW`).
const LINK_TYPE_RAW_IP: u16 = 101;
/// Longest comment or name in bytes: an option's length is 16 bits.
const TEXT_MAX: usize = 4096;

/// Which way a packet went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Into this machine or out of the tunnel.
    Inbound,
    /// Out of this machine or into the tunnel.
    Outbound,
}

/// An interface of this capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaptureInterface(u32);

/// Writes one capture. Nothing is buffered here: hand it a `BufWriter` and flush that.
pub struct CaptureWriter<W: Write> {
    out: W,
    interfaces: u32,
    block: Vec<u8>,
}

impl<W: Write> CaptureWriter<W> {
    /// Begins a capture; `application` is who made it, with version.
    pub fn new(out: W, application: &str) -> io::Result<Self> {
        let mut writer = Self { out, interfaces: 0, block: Vec::new() };
        writer.begin(SECTION_HEADER);
        writer.block.extend(BYTE_ORDER_MAGIC.to_le_bytes());
        writer.block.extend(1u16.to_le_bytes());
        writer.block.extend(0u16.to_le_bytes());
        // The section's length is not known beforehand.
        writer.block.extend(u64::MAX.to_le_bytes());
        writer.text(SECTION_APPLICATION, application);
        writer.end()?;
        Ok(writer)
    }

    /// Declares an interface; every packet belongs to one.
    pub fn add_interface(&mut self, name: &str, description: &str) -> io::Result<CaptureInterface> {
        let interface = CaptureInterface(self.interfaces);
        self.begin(INTERFACE_DESCRIPTION);
        self.block.extend(LINK_TYPE_RAW_IP.to_le_bytes());
        self.block.extend([0; 2]);
        self.block.extend(0u32.to_le_bytes());
        self.text(INTERFACE_NAME, name);
        self.text(INTERFACE_TEXT, description);
        self.option(INTERFACE_RESOLUTION, &[9]);
        self.end()?;
        self.interfaces += 1;
        Ok(interface)
    }

    /// Writes one IP packet; an empty comment is left out.
    pub fn packet(
        &mut self,
        interface: CaptureInterface,
        time: SystemTime,
        direction: Direction,
        packet: &[u8],
        comment: &str,
    ) -> io::Result<()> {
        let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let nanoseconds = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
        let len = u32::try_from(packet.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.begin(ENHANCED_PACKET);
        self.block.extend(interface.0.to_le_bytes());
        self.block.extend(((nanoseconds >> 32) as u32).to_le_bytes());
        self.block.extend((nanoseconds as u32).to_le_bytes());
        self.block.extend(len.to_le_bytes());
        self.block.extend(len.to_le_bytes());
        self.block.extend(packet);
        self.pad();
        let flags: u32 = match direction {
            Direction::Inbound => 1,
            Direction::Outbound => 2,
        };
        self.option(PACKET_FLAGS, &flags.to_le_bytes());
        if !comment.is_empty() {
            self.text(OPTION_COMMENT, comment);
        }
        self.end()
    }

    /// Flushes what was written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// The writer underneath, to take out of it what it holds.
    pub fn out_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// The writer underneath.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn begin(&mut self, kind: u32) {
        self.block.clear();
        self.block.extend(kind.to_le_bytes());
        self.block.extend([0; 4]);
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        self.block.extend(code.to_le_bytes());
        self.block.extend((value.len() as u16).to_le_bytes());
        self.block.extend(value);
        self.pad();
    }

    fn text(&mut self, code: u16, text: &str) {
        let end = text.floor_char_boundary(TEXT_MAX);
        self.option(code, text.get(..end).unwrap_or_default().as_bytes());
    }

    fn pad(&mut self) {
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }

    /// Ends the options, writes the block's length before and behind, and hands the block over in one write.
    fn end(&mut self) -> io::Result<()> {
        self.block.extend([0; 4]);
        let len = u32::try_from(self.block.len() + 4).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.block.extend(len.to_le_bytes());
        if let Some(field) = self.block.get_mut(4..8) {
            field.copy_from_slice(&len.to_le_bytes());
        }
        self.out.write_all(&self.block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    #[test]
    fn blocks_chain_and_the_packet_comes_back_with_interface_time_and_comment() {
        let mut writer = CaptureWriter::new(Vec::new(), "test 1").unwrap();
        let _outside = writer.add_interface("eth0", "outside").unwrap();
        let inside = writer.add_interface("tun0", "after decryption").unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(0x0123_4567_89ab_cdef);
        let packet: Vec<u8> = (0..61).collect();
        writer.packet(inside, time, Direction::Outbound, &packet, "replayed").unwrap();
        let bytes = writer.into_inner();
        let (mut at, mut blocks) = (0, Vec::new());
        while at < bytes.len() {
            let len = word(&bytes, at + 4) as usize;
            assert_eq!(len % 4, 0);
            assert_eq!(word(&bytes, at + len - 4) as usize, len, "length before and behind");
            blocks.push(&bytes[at..at + len]);
            at += len;
        }
        let kinds: Vec<u32> = blocks.iter().map(|block| word(block, 0)).collect();
        assert_eq!(kinds, [SECTION_HEADER, 1, 1, 6]);
        assert_eq!(word(blocks[0], 8), BYTE_ORDER_MAGIC);
        let block = blocks[3];
        assert_eq!((word(block, 8), word(block, 12), word(block, 16)), (1, 0x0123_4567, 0x89ab_cdef));
        assert_eq!((word(block, 20), word(block, 24)), (61, 61));
        assert_eq!(block[28..89], packet);
        assert_eq!(word(block, 92), 0x0004_0002, "flags, four bytes");
        assert_eq!(word(block, 96), 2, "outbound");
        assert_eq!(&block[104..112], b"replayed");
    }

    #[test]
    fn an_overlong_comment_is_cut_between_characters() {
        let mut writer = CaptureWriter::new(Vec::new(), "test").unwrap();
        let interface = writer.add_interface("tun0", "").unwrap();
        let comment = "é".repeat(TEXT_MAX);
        let time = SystemTime::UNIX_EPOCH;
        writer.packet(interface, time, Direction::Inbound, &[0x45], &comment).unwrap();
        let bytes = writer.into_inner();
        assert!(bytes.len() < TEXT_MAX + 256);
    }
}
