//! Packets out of a stream: bytes come as they like, each packet stands behind its length (32 bits, big endian).

use super::{LONGEST_PACKET, Packet, ViciError};
use zeroize::Zeroize;

/// What of a stream was received and is not a whole packet yet.
#[derive(Default)]
pub struct Frames {
    waiting: Vec<u8>,
    broken: Option<ViciError>,
}

impl Frames {
    /// Of a stream that begins.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes that wait. At most a packet and what the caller adds at a time, if it takes all packets between.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Adds what was received. After an error there is nothing to add to: it is dropped.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.broken.is_none() {
            self.waiting.extend_from_slice(bytes);
        }
    }

    /// The next packet, if it has come whole.
    ///
    /// # Errors
    /// What is wrong with it, now and ever after: where the next packet begins cannot be known, so the stream is over.
    pub fn next_packet(&mut self) -> Result<Option<Packet>, ViciError> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        let taken = self.take();
        if let Err(error) = &taken {
            self.broken = Some(*error);
            self.waiting.zeroize();
        }
        taken
    }

    fn take(&mut self) -> Result<Option<Packet>, ViciError> {
        let Some((field, rest)) = self.waiting.split_first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*field)).unwrap_or(usize::MAX);
        if length == 0 || length > LONGEST_PACKET {
            return Err(ViciError::Length(length));
        }
        let Some(bytes) = rest.get(..length) else { return Ok(None) };
        let packet = Packet::decode(bytes)?;
        // What is taken out may have held a secret: it must not stay behind the end of the buffer.
        self.waiting.rotate_left(4 + length);
        let left = self.waiting.len() - 4 - length;
        self.waiting.iter_mut().skip(left).for_each(|byte| *byte = 0);
        self.waiting.truncate(left);
        Ok(Some(packet))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vici::Message;

    #[test]
    fn packets_come_out_whole_however_the_stream_is_cut() {
        let packets = [
            Packet::Register("list-sa".to_owned()),
            Packet::Request("list-sas".to_owned(), Message::new().with("ike", "office")),
            Packet::Unregister("list-sa".to_owned()),
        ];
        let stream: Vec<u8> = packets.iter().flat_map(|packet| packet.encode().unwrap_or_default()).collect();
        for size in 1..=stream.len() {
            let mut frames = Frames::new();
            let mut seen = Vec::new();
            for piece in stream.chunks(size) {
                frames.push(piece);
                while let Ok(Some(packet)) = frames.next_packet() {
                    seen.push(packet);
                }
            }
            assert_eq!(seen, packets, "pieces of {size}");
            assert_eq!(frames.waiting(), 0);
        }
    }

    #[test]
    fn a_stream_that_broke_its_framing_stays_broken_and_keeps_nothing() {
        for (bytes, error) in [
            (&b"\0\0\0\0"[..], ViciError::Length(0)),
            (b"\x00\x08\x00\x01", ViciError::Length(LONGEST_PACKET + 1)),
            (b"\0\0\0\x01\x09", ViciError::PacketType(9)),
        ] {
            let mut frames = Frames::new();
            frames.push(bytes);
            assert_eq!(frames.next_packet(), Err(error));
            frames.push(b"\0\0\0\x01\x05");
            assert_eq!(frames.next_packet(), Err(error));
            assert_eq!(frames.waiting(), 0);
        }
    }

    #[test]
    fn a_packet_is_waited_for_until_its_last_byte() {
        let mut frames = Frames::new();
        for byte in b"\0\0\0\x05\x03\x03lo" {
            frames.push(&[*byte]);
            assert_eq!(frames.next_packet(), Ok(None));
        }
        frames.push(b"g");
        assert_eq!(frames.next_packet(), Ok(Some(Packet::Register("log".to_owned()))));
    }
}
