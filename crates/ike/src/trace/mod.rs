//! Messages as an operator can read them: which exchange, which way, and what every payload says. No key, nonce or proof is in
//! it: of those only the length.

mod v1;
mod v2;

use crate::config::{Path, PeerName, Version};
use std::borrow::Cow;
use std::fmt;

/// Characters of one payload's text.
const LONGEST: usize = 300;
/// Payloads of a message that are told.
const MOST: usize = 32;

/// What a message is in its exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It asks.
    Request,
    /// It answers.
    Response,
    /// One of several, or alone: IKEv1 has no requests.
    Message,
}

impl Kind {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Request => "request",
            Kind::Response => "response",
            Kind::Message => "message",
        }
    }
}

/// A message that was sent, or received and understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Traced {
    /// Whose it is.
    pub peer: PeerName,
    /// Which version of IKE.
    pub version: Version,
    /// From and to, as we see it.
    pub path: Path,
    /// We sent it.
    pub sent: bool,
    /// By its registered name.
    pub exchange: Cow<'static, str>,
    /// The Message ID.
    pub message_id: u32,
    /// What it is in its exchange.
    pub kind: Kind,
    /// Under the keys of an SA: nobody else can have written it (in IKEv1: if its hash is right, which comes later).
    pub protected: bool,
    /// What it says, payload by payload.
    pub payloads: Vec<Said>,
}

/// What a payload says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    /// Its usual name: `SA`, `KE`, `N`.
    pub name: Cow<'static, str>,
    /// Its content, bounded and without control characters; may be empty.
    pub text: String,
}

impl Said {
    fn new(name: impl Into<Cow<'static, str>>, text: impl fmt::Display) -> Said {
        let text = text.to_string();
        let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
        let mut shown: String = text.chars().take(LONGEST).map(clean).collect();
        if text.chars().nth(LONGEST).is_some() {
            shown.push('…');
        }
        Said { name: name.into(), text: shown }
    }
}

/// What all payloads say, or the first of them.
fn say<P>(payloads: &[P], said: impl Fn(&P) -> Said) -> Vec<Said> {
    let mut all: Vec<Said> = payloads.iter().take(MOST).map(said).collect();
    if payloads.len() > MOST {
        all.push(Said::new("…", format!("{} more", payloads.len() - MOST)));
    }
    all
}

fn octets(data: &[u8]) -> String {
    format!("{} octets", data.len())
}

/// An SPI, or several, as they are written.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) use v1::said as said_v1;
pub(crate) use v2::said as said_v2;
