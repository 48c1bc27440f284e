//! VICI, the protocol in which `swanctl` and the `vici` libraries talk to a gateway: messages ⇄ bytes, and what a gateway
//! has to say as messages.
//!
//! A stream carries packets, each behind its length (32 bits, big endian); [`Frames`] cuts them, [`Packet`] is one,
//! [`Message`] is the tree of sections, lists and values that some of them carry.
//!
//! Invariants: what does not parse is refused whole, and a stream that broke its framing is never trusted again; a
//! client can make nothing grow beyond [`LONGEST_PACKET`], [`MOST_ELEMENTS`] and [`DEEPEST`].

mod answer;
mod conns;
mod frame;
mod load;
mod message;
mod packet;
mod sas;
mod suite;

pub use answer::EVENTS;
pub use frame::Frames;
pub use load::{LoadedConnection, SharedKey, differences, load_conn};
pub use message::{Message, Value};
pub use packet::Packet;
pub use sas::{Numbers, SectionName};

/// Bytes of a packet, its length not counted: the protocol's own limit.
pub const LONGEST_PACKET: usize = 512 * 1024;
/// Elements of a message. The largest that clients send, a connection with all its children, has some hundreds; without
/// a limit half a megabyte of empty sections would become ten in memory.
pub const MOST_ELEMENTS: usize = 16_384;
/// Sections inside sections. Configurations nest four deep; decoding recurses.
pub const DEEPEST: usize = 16;

/// Why bytes are not a packet, or a packet cannot become bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViciError {
    /// Something ends before its length says.
    #[error("the packet ends inside an element that announces {announced} bytes and has {left}")]
    Truncated {
        /// Bytes it should have.
        announced: usize,
        /// Bytes there are.
        left: usize,
    },
    /// Longer than [`LONGEST_PACKET`], or empty.
    #[error("a packet has 1 to {LONGEST_PACKET} bytes, this one {0}")]
    Length(usize),
    /// No such packet type.
    #[error("packet type {0} is not one of 0 to 7")]
    PacketType(u8),
    /// No such element, or not one that may stand there.
    #[error("element type {0} may not stand here")]
    Element(u8),
    /// Bytes behind a packet that carries no message.
    #[error("{0} bytes follow a packet that carries no message")]
    Trailing(usize),
    /// Sections or a list that nobody ended.
    #[error("a section or list is not ended")]
    NotEnded,
    /// A name that is not text.
    #[error("a name is not UTF-8")]
    Name,
    /// A name too long to be written.
    #[error("a name has at most 255 bytes, this one {0}")]
    LongName(usize),
    /// A value too long to be written.
    #[error("a value has at most 65535 bytes, this one {0}")]
    LongValue(usize),
    /// Deeper than [`DEEPEST`].
    #[error("sections nest deeper than {DEEPEST}")]
    TooDeep,
    /// More than [`MOST_ELEMENTS`].
    #[error("a message has at most {MOST_ELEMENTS} elements")]
    TooMany,
}
