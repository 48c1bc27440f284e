//! A model of a data plane: which SAs are installed, which one is sent on, and toy packets that carry SPI, sequence number
//! and a tag only the holder of the right key can make.
//!
//! The contract it models: send on the newest child whose outbound SA is active; `RemoveChild` removes the outbound SA at
//! once and the inbound one after `linger`; the first authentic packet on a child whose outbound SA is not active
//! activates it.

use ike::ChildId;
use ike::config::{ChildName, PeerName};
use ike::event::{ChildInstall, Output};
use ipsec::{Encapsulation, EspKeys, SpiPair};
use std::collections::BTreeMap;
use std::time::Instant;

/// Octets of a toy packet.
const PACKET: usize = 20;

/// A number that stands for keys: equal only if they are equal.
fn digest(keys: &EspKeys) -> u64 {
    let hash = crypto::sha256(&[keys.encryption.expose(), b"|", keys.integrity.expose()]);
    hash.first_chunk().map_or(0, |head| u64::from_be_bytes(*head))
}

fn tag(key: u64, sequence: u64) -> u64 {
    let mixed = (key ^ sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 32)
}

/// One installed child.
#[derive(Clone, Debug)]
pub struct Installed {
    /// Whose it is.
    pub peer: PeerName,
    /// Its configuration.
    pub name: ChildName,
    /// Its SPIs.
    pub spis: SpiPair,
    /// Stands for the keys of what we send.
    pub outbound_key: u64,
    /// Stands for the keys of what we receive.
    pub inbound_key: u64,
    /// Where packets go.
    pub encapsulation: Encapsulation,
    /// Whether packets are sent on it.
    pub active: bool,
    sequence: u64,
    highest: u64,
}

/// What became of a received packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// On a child; `newest`: its sequence number is the highest so far.
    On {
        /// Which.
        child: ChildId,
        /// Newer than all before.
        newest: bool,
    },
    /// On one that was removed, within its time of grace.
    Lingering,
    /// Nobody has this SPI.
    Unknown(u32),
    /// The key is another.
    Forged(u32),
}

/// What is installed.
#[derive(Clone, Debug, Default)]
pub struct Plane {
    /// By child.
    pub children: BTreeMap<ChildId, Installed>,
    lingering: Vec<(u32, u64, Instant)>,
}

impl Plane {
    /// Carries out an output that concerns SAs; others are given back. An error is an output that makes no sense.
    pub fn carry_out(&mut self, output: Output, now: Instant) -> Result<Option<Output>, String> {
        match output {
            Output::InstallChild(install) => self.install(*install)?,
            Output::ActivateOutbound(child) => {
                self.children.get_mut(&child).ok_or(format!("activated {child:?}, which is not installed"))?.active =
                    true;
            }
            Output::RemoveChild { child, linger } => {
                let gone = self.children.remove(&child).ok_or(format!("removed {child:?}, which is not installed"))?;
                self.lingering.retain(|(_, _, until)| *until > now);
                self.lingering.push((gone.spis.inbound.get(), gone.inbound_key, now + linger));
            }
            Output::MoveChild { child, encapsulation } => {
                self.children
                    .get_mut(&child)
                    .ok_or(format!("moved {child:?}, which is not installed"))?
                    .encapsulation = encapsulation;
            }
            other => return Ok(Some(other)),
        }
        Ok(None)
    }

    fn install(&mut self, install: ChildInstall) -> Result<(), String> {
        if self.children.values().any(|other| other.spis.inbound == install.spis.inbound) {
            return Err(format!("two children share the inbound SPI {}", install.spis.inbound));
        }
        let installed = Installed {
            peer: install.peer,
            name: install.name,
            spis: install.spis,
            outbound_key: digest(&install.outbound_keys),
            inbound_key: digest(&install.inbound_keys),
            encapsulation: install.encapsulation,
            active: install.outbound_active,
            sequence: 0,
            highest: 0,
        };
        self.children.insert(install.child, installed);
        Ok(())
    }

    /// The children that are sent on: the newest active one of each name.
    pub fn current(&self) -> BTreeMap<(PeerName, ChildName), ChildId> {
        let active = self.children.iter().filter(|(_, child)| child.active);
        active.map(|(id, child)| ((child.peer.clone(), child.name.clone()), *id)).collect()
    }

    /// What stands for the key that opens packets with this SPI now.
    pub fn inbound(&self, spi: u32, now: Instant) -> Option<u64> {
        let installed = self.children.values().find(|child| child.spis.inbound.get() == spi);
        let lingering = || self.lingering.iter().find(|(known, _, until)| *known == spi && *until > now);
        installed.map(|child| child.inbound_key).or_else(|| lingering().map(|(_, key, _)| *key))
    }

    /// The next packet on a child.
    pub fn seal(&mut self, child: ChildId) -> Option<(Encapsulation, Vec<u8>)> {
        let child = self.children.get_mut(&child)?;
        child.sequence += 1;
        let mut packet = Vec::with_capacity(PACKET);
        packet.extend_from_slice(&child.spis.outbound.to_be_bytes());
        packet.extend_from_slice(&child.sequence.to_be_bytes());
        packet.extend_from_slice(&tag(child.outbound_key, child.sequence).to_be_bytes());
        Some((child.encapsulation, packet))
    }

    /// Takes a packet from the network. Activates a child that is heard for the first time.
    pub fn open(&mut self, packet: &[u8], now: Instant) -> Heard {
        let word =
            |at: usize| packet.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u64::from_be_bytes(*word));
        let spi = packet.first_chunk().map_or(0, |spi| u32::from_be_bytes(*spi));
        let (sequence, sent_tag) = (word(4), word(12));
        if let Some((id, child)) = self.children.iter_mut().find(|(_, child)| child.spis.inbound.get() == spi) {
            if tag(child.inbound_key, sequence) != sent_tag {
                return Heard::Forged(spi);
            }
            child.active = true;
            let newest = sequence > child.highest;
            child.highest = child.highest.max(sequence);
            return Heard::On { child: *id, newest };
        }
        match self.inbound(spi, now) {
            Some(key) if tag(key, sequence) == sent_tag => Heard::Lingering,
            Some(_) => Heard::Forged(spi),
            None => Heard::Unknown(spi),
        }
    }
}
