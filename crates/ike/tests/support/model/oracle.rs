//! What must hold. None of it asks an endpoint whether it verified something: it compares what an end claims with what the
//! other end really did.
//!
//! 1. An IKE SA comes up at an end only while that end handles the message in which *the other end* proves who it is, for
//!    exactly these SPIs and these roles: not one of the attacker's making, not one of its own, not one of another SA.
//! 2. It comes up at most once, with the identity that the other end has.
//! 3. An IKE SA that is established without having come up was made by a rekey: while the end handled the other's real
//!    CREATE_CHILD_SA under an SA that was established.
//! 4. The other end spoke under the same pair of SPIs (the initiator of a rekey may still have to), and has the other role.
//! 5. A child is installed only while a real message of the other end is handled, and only at an end with an established IKE
//!    SA; whoever asked for it finds the same child, with the same keys the other way round, at the other end.
//! 6. Where the keys or the identities do not fit, nothing comes up at all.

use super::local::Message;
use super::scenario::{Allowed, Scenario};
use super::subject::{SaSeen, Seen};
use ike::wire::IkeSpi;
use std::collections::BTreeSet;

const IKE_AUTH: u8 = 35;
const CREATE_CHILD_SA: u8 = 36;
const MAIN_MODE: u8 = 2;
const AGGRESSIVE: u8 = 4;
const V2_RESPONSE: u8 = 0x20;
const V1_ENCRYPTED: u8 = 1;

/// One pair of SAs of a child, as it was installed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Child {
    inbound: u32,
    outbound: u32,
    inbound_key: [u8; 32],
    outbound_key: [u8; 32],
    /// This end asked for it.
    asked: bool,
}

/// What an end did so far, as far as the property needs it.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Facts {
    /// SPIi and SPIr of every message it sent with both.
    spoke_of: BTreeSet<(IkeSpi, IkeSpi)>,
    /// (our SPI, the peer's, whether we began) of every IKE SA that came up, or took over by a rekey.
    up: BTreeSet<(IkeSpi, IkeSpi, bool)>,
    children: BTreeSet<Child>,
    /// Message IDs of IKEv1 in which it sent something: whoever did so first asked.
    version_1: BTreeSet<u32>,
}

/// The circumstances of a step.
pub struct Moment<'a> {
    /// Whose step it is.
    pub node: usize,
    /// Of what.
    pub scenario: &'a Scenario,
    /// The message that is handled, if it is one.
    pub input: Option<&'a Message>,
    /// Its IKE SAs before.
    pub before: &'a [SaSeen],
    /// Its IKE SAs after.
    pub after: &'a [SaSeen],
}

impl Moment<'_> {
    /// The message that is handled, if the other end really sent it.
    fn genuine(&self) -> Option<&Message> {
        self.input.filter(|message| message.sender == Some(1 - self.node))
    }

    fn never(&self) -> bool {
        matches!(self.scenario.allowed, Allowed::Never(nodes) if nodes[self.node])
    }
}

impl Facts {
    /// Whether something was ever up.
    pub fn was_up(&self) -> bool {
        !self.up.is_empty()
    }

    /// Whether a child was ever installed.
    pub fn had_child(&self) -> bool {
        !self.children.is_empty()
    }

    /// Adds a step. The error says what must not be.
    pub fn note(&mut self, moment: &Moment<'_>, seen: &[Seen]) -> Result<(), String> {
        if moment.node > 1 {
            // The attacker's own endpoint may do as it likes.
            return Ok(());
        }
        for seen in seen {
            match seen {
                Seen::Up { v1, local, remote, initiator, id } => {
                    came_up(moment, *v1, (*local, *remote, *initiator))?;
                    let expected = &moment.scenario.peers[1 - moment.node].local_id;
                    if id != expected {
                        return Err(format!("the peer is taken for {id}, and is {expected}"));
                    }
                    if !self.up.insert((*local, *remote, *initiator)) {
                        return Err(format!("{local} came up twice"));
                    }
                }
                Seen::Installed { inbound, outbound, inbound_key, outbound_key } => {
                    let asked = self.installing(moment)?;
                    let (inbound_key, outbound_key) = (*inbound_key, *outbound_key);
                    let (inbound, outbound) = (*inbound, *outbound);
                    self.children.insert(Child { inbound, outbound, inbound_key, outbound_key, asked });
                }
                Seen::Sent(..) => {}
            }
        }
        for sa in moment.after.iter().filter(|sa| sa.established) {
            if !self.up.contains(&key(sa)) {
                rekeyed(moment, sa)?;
                self.up.insert(key(sa));
            }
        }
        for seen in seen {
            if let Seen::Sent(path, octets) = seen {
                let sent = Message { sender: Some(moment.node), path: *path, octets: octets.clone() };
                let (i, r) = sent.spis();
                if !r.is_zero() {
                    self.spoke_of.insert((i, r));
                }
                if sent.major() == 1 {
                    self.version_1.insert(sent.id());
                }
            }
        }
        Ok(())
    }

    /// Whether a child may be installed now. Says whether this end asked for it.
    fn installing(&self, moment: &Moment<'_>) -> Result<bool, String> {
        if moment.never() {
            return Err("a child was installed, though the ends have no key or identity in common".to_owned());
        }
        let established = |sas: &[SaSeen]| sas.iter().any(|sa| sa.established);
        if !established(moment.before) && !established(moment.after) {
            return Err("a child was installed at an end without an established IKE SA".to_owned());
        }
        let Some(message) = moment.genuine() else {
            return Err("a child was installed, and the other end sent nothing for it".to_owned());
        };
        Ok(match message.major() {
            1 => self.version_1.contains(&message.id()),
            _ => message.flags() & V2_RESPONSE != 0,
        })
    }
}

fn key(sa: &SaSeen) -> (IkeSpi, IkeSpi, bool) {
    (sa.local, sa.remote, sa.initiator)
}

/// Rule 1.
fn came_up(moment: &Moment<'_>, v1: bool, (local, remote, initiator): (IkeSpi, IkeSpi, bool)) -> Result<(), String> {
    let what = format!("{local} with {remote} came up");
    if moment.never() {
        return Err(format!("{what}, though the ends have no key or identity in common"));
    }
    let Some(message) = moment.input else { return Err(format!("{what} without a message")) };
    let Some(message) = moment.genuine().filter(|genuine| std::ptr::eq(*genuine, message)) else {
        return Err(format!("{what} by {}, which the other end did not send", message.words()));
    };
    let spis = if initiator { (local, remote) } else { (remote, local) };
    if message.spis() != spis {
        return Err(format!("{what} by {}, which is about another SA", message.words()));
    }
    let proves = match (v1, message.exchange()) {
        (false, IKE_AUTH) => message.major() == 2 && (message.flags() & V2_RESPONSE != 0) == initiator,
        // Messages 5 and 6 are the encrypted ones.
        (true, MAIN_MODE) => message.major() == 1 && message.flags() & V1_ENCRYPTED != 0,
        // The responder's proof is in clear, the initiator's encrypted as we send it.
        (true, AGGRESSIVE) => message.major() == 1 && (message.flags() & V1_ENCRYPTED == 0) == initiator,
        _ => false,
    };
    if proves { Ok(()) } else { Err(format!("{what} by {}, which proves nothing", message.words())) }
}

/// Rule 3.
fn rekeyed(moment: &Moment<'_>, sa: &SaSeen) -> Result<(), String> {
    let what = format!("{} with {} is established and never came up", sa.local, sa.remote);
    let Some(message) = moment.genuine() else {
        return Err(format!("{what}, and nothing of the other end was handled"));
    };
    let (i, r) = message.spis();
    let known = |old: &&SaSeen| old.established && [(old.local, old.remote), (old.remote, old.local)].contains(&(i, r));
    if message.major() != 2 || message.exchange() != CREATE_CHILD_SA || !moment.before.iter().any(|old| known(&old)) {
        return Err(format!("{what}; {} is no rekey of an established one", message.words()));
    }
    Ok(())
}

/// Rules 4 and 5, about both ends in one state.
pub fn agree(ends: [&Facts; 2]) -> Result<(), String> {
    for (own, other, name) in [(ends[0], ends[1], "A"), (ends[1], ends[0], "B")] {
        for (local, remote, initiator) in &own.up {
            // The successor made by a rekey stands at the responder before its initiator has the answer.
            let spis = if *initiator { (*local, *remote) } else { (*remote, *local) };
            // A successor stands at both ends, at the responder first, before anybody speaks under its SPIs.
            let rekey = !initiator && own.up.len() > 1;
            let has_it = other.spoke_of.contains(&spis) || other.up.contains(&(*remote, *local, !initiator));
            if !has_it && !rekey {
                return Err(format!("{name} has {local} with {remote}, and the other end never spoke of it"));
            }
            if other.up.contains(&(*remote, *local, *initiator)) {
                return Err(format!("both ends have the same role in {local} with {remote}"));
            }
        }
        for child in &own.children {
            let theirs = other
                .children
                .iter()
                .find(|theirs| (theirs.inbound, theirs.outbound) == (child.outbound, child.inbound));
            match theirs {
                Some(theirs) => {
                    let crossed = (theirs.outbound_key, theirs.inbound_key);
                    if crossed != (child.inbound_key, child.outbound_key) {
                        return Err(format!("the two ends have other keys for {:#x}", child.inbound));
                    }
                }
                None if child.asked => {
                    return Err(format!("{name} has a child {:#x} that the other end never had", child.inbound));
                }
                None => {}
            }
        }
    }
    Ok(())
}
