//! One VICI packet: its type, the name some types carry, the message some types carry.

use super::message::{put_name, take_name};
use super::{LONGEST_PACKET, Message, ViciError};

/// A packet, in either direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// 0: a client asks for a command.
    Request(String, Message),
    /// 1: the answer to it.
    Response(Message),
    /// 2: there is no such command.
    UnknownCommand,
    /// 3: a client wants to hear of an event.
    Register(String),
    /// 4: and no more.
    Unregister(String),
    /// 5: so be it.
    Confirm,
    /// 6: there is no such event.
    UnknownEvent,
    /// 7: an event.
    Event(String, Message),
}

impl Packet {
    /// Bytes with their length before them, ready to be sent.
    ///
    /// # Errors
    /// What the protocol has no room for.
    pub fn encode(&self) -> Result<Vec<u8>, ViciError> {
        let (kind, name, message) = match self {
            Packet::Request(name, message) => (0, Some(name), Some(message)),
            Packet::Response(message) => (1, None, Some(message)),
            Packet::UnknownCommand => (2, None, None),
            Packet::Register(name) => (3, Some(name), None),
            Packet::Unregister(name) => (4, Some(name), None),
            Packet::Confirm => (5, None, None),
            Packet::UnknownEvent => (6, None, None),
            Packet::Event(name, message) => (7, Some(name), Some(message)),
        };
        let mut out = vec![0, 0, 0, 0, kind];
        if let Some(name) = name {
            put_name(name, &mut out)?;
        }
        if let Some(message) = message {
            message.encode(&mut out)?;
        }
        let length = out.len() - 4;
        let field = u32::try_from(length).ok().filter(|_| length <= LONGEST_PACKET);
        let field = field.ok_or(ViciError::Length(length))?;
        out.splice(..4, field.to_be_bytes());
        Ok(out)
    }

    /// Reads a packet without its length.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, ViciError> {
        let (kind, mut rest) = match bytes.split_first() {
            Some((kind, rest)) if bytes.len() <= LONGEST_PACKET => (*kind, rest),
            Some(_) | None => return Err(ViciError::Length(bytes.len())),
        };
        let packet = match kind {
            0 => return Ok(Packet::Request(take_name(&mut rest)?, Message::decode(rest)?)),
            1 => return Ok(Packet::Response(Message::decode(rest)?)),
            7 => return Ok(Packet::Event(take_name(&mut rest)?, Message::decode(rest)?)),
            2 => Packet::UnknownCommand,
            3 => Packet::Register(take_name(&mut rest)?),
            4 => Packet::Unregister(take_name(&mut rest)?),
            5 => Packet::Confirm,
            6 => Packet::UnknownEvent,
            other => return Err(ViciError::PacketType(other)),
        };
        if rest.is_empty() { Ok(packet) } else { Err(ViciError::Trailing(rest.len())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_packet_is_written_and_read_as_the_protocol_lays_it_out() {
        let message = || Message::new().with("k", "v");
        let table: [(Packet, &[u8]); 8] = [
            (Packet::Request("version".to_owned(), Message::new()), b"\0\0\0\x09\x00\x07version"),
            (Packet::Response(message()), b"\0\0\0\x07\x01\x03\x01k\0\x01v"),
            (Packet::UnknownCommand, b"\0\0\0\x01\x02"),
            (Packet::Register("log".to_owned()), b"\0\0\0\x05\x03\x03log"),
            (Packet::Unregister("log".to_owned()), b"\0\0\0\x05\x04\x03log"),
            (Packet::Confirm, b"\0\0\0\x01\x05"),
            (Packet::UnknownEvent, b"\0\0\0\x01\x06"),
            (Packet::Event("log".to_owned(), message()), b"\0\0\0\x0b\x07\x03log\x03\x01k\0\x01v"),
        ];
        for (packet, bytes) in table {
            assert_eq!(packet.encode().as_deref(), Ok(bytes));
            assert_eq!(Packet::decode(&bytes[4..]), Ok(packet));
        }
    }

    #[test]
    fn a_packet_of_no_known_type_or_with_something_behind_it_is_refused() {
        assert_eq!(Packet::decode(b""), Err(ViciError::Length(0)));
        assert_eq!(Packet::decode(b"\x08"), Err(ViciError::PacketType(8)));
        assert_eq!(Packet::decode(b"\x05\x00"), Err(ViciError::Trailing(1)));
        assert_eq!(Packet::decode(b"\x03\x04log"), Err(ViciError::Truncated { announced: 4, left: 3 }));
    }

    #[test]
    fn a_packet_longer_than_the_protocol_allows_is_not_written() {
        let big = (0..9).fold(Message::new(), |message, _| message.with("k", vec![0; 65_535]));
        assert!(matches!(Packet::Response(big).encode(), Err(ViciError::Length(_))));
    }
}
