//! IKEv1 (RFC 2409) with a strongSwan: main mode, quick mode and informational exchanges, in both roles. One topic a file.

mod delete;
mod loss_of_peer;
mod quirks;
mod refusals;
mod sanity;
mod timers;
mod tunnels;
mod versions;

use std::collections::BTreeSet;

use super::setup::{Couple, Ours, SITE, SOON, swan_at_g1, swan_at_g2};
use crate::error::LabError;
use crate::process::wait_for;
use crate::registry::Lab;
use crate::strongswan::SwanConnection;
use crate::topology::address;

/// Every lab of IKEv1 with a strongSwan.
pub(super) fn labs() -> Vec<Lab> {
    [
        sanity::LABS,
        tunnels::LABS,
        timers::LABS,
        delete::LABS,
        loss_of_peer::LABS,
        refusals::LABS,
        versions::LABS,
        quirks::LABS,
    ]
    .concat()
}

/// The algorithms both ends offer and accept.
#[derive(Debug, Clone, Copy)]
struct Suite {
    /// Of phase 1.
    ike: &'static str,
    /// Of phase 2, with the group of PFS.
    esp: &'static str,
    /// What strongSwan calls those of phase 2: encryption and integrity.
    listed: (&'static str, &'static str),
}

/// What the downloads of managed services and the routers of third parties ask for.
const LEGACY: Suite =
    Suite { ike: "aes128-sha1-modp1024", esp: "aes128-sha1-modp1024", listed: ("AES_CBC-128", "HMAC_SHA1_96") };

/// The best that IKEv1's peers commonly have.
const STRONGER: Suite = Suite {
    ike: "aes256-sha256-modp2048",
    esp: "aes256-sha256-modp2048",
    listed: ("AES_CBC-256", "HMAC_SHA2_256_128"),
};

impl Suite {
    /// strongSwan's connection with this suite, in IKEv1.
    fn swan(self, mut swan: SwanConnection) -> SwanConnection {
        swan.version = 1;
        swan.proposals = self.ike.to_owned();
        for child in &mut swan.children {
            child.esp_proposals = self.esp.to_owned();
        }
        swan
    }

    /// strongSwan as gateway 2.
    fn swan_at_g2(self) -> SwanConnection {
        self.swan(swan_at_g2())
    }

    /// strongSwan as gateway 1.
    fn swan_at_g1(self) -> SwanConnection {
        self.swan(swan_at_g1())
    }

    /// Our connection with this suite, in IKEv1. (strongSwan's libipsec knows no ESP but in UDP.)
    fn ours(self, ours: Ours) -> Ours {
        let mut ours = Ours { ike: vec![self.ike], esp: vec![self.esp], ..ours };
        ours.connection.extend(["ike_version = \"ikev1\"", "encapsulation = \"force\""].map(str::to_owned));
        ours
    }
}

/// The same strongSwan behind the NAT router of site 1.
fn behind_nat(mut swan: SwanConnection) -> SwanConnection {
    swan.local_address = address::G1_PRIVATE.to_string();
    swan
}

/// The same strongSwan for a peer whose address it does not know.
fn for_anybody(mut swan: SwanConnection) -> SwanConnection {
    swan.remote_address = "%any".to_owned();
    swan
}

/// The youngest IKE SA with a child that strongSwan has: the SPIs of its initiator and responder.
fn swan_ike(couple: &Couple) -> Result<Option<String>, LabError> {
    let sas = couple.swan.sas()?.into_iter().filter(|sa| sa.state == "ESTABLISHED" && !sa.children.is_empty());
    Ok(sas.max_by_key(|sa| sa.number).map(|sa| format!("{}/{}", sa.spis.0, sa.spis.1)))
}

/// The IKE SA that we show, written as [`swan_ike`] writes it.
fn ours_ike(couple: &Couple) -> Result<Option<String>, LabError> {
    let ike = couple.ours.connection(SITE)?["ike"].clone();
    Ok(ike["spi_i"].as_str().zip(ike["spi_r"].as_str()).map(|(i, r)| format!("{i}/{r}")))
}

/// The youngest child that strongSwan uses: the SPIs of its inbound and outbound SA. Those it has replaced are there
/// besides; and where both ends began a main mode at once, one under each of their IKE SAs may be in use.
fn swan_child(couple: &Couple) -> Result<Option<String>, LabError> {
    let youngest = couple.swan.installed()?.into_iter().max_by_key(|child| child.number);
    Ok(youngest.map(|child| format!("{}/{}", child.spi_in, child.spi_out)))
}

/// The child in use here, written as [`swan_child`] writes it: what is inbound here is outbound there.
fn ours_child(couple: &Couple) -> Result<Option<String>, LabError> {
    let mut children = couple.ours.installed(SITE)?;
    let one = children.pop().filter(|_| children.is_empty());
    let spi =
        |child: &serde_json::Value, name: &str| child[name].as_str().map(|spi| spi.trim_start_matches("0x").to_owned());
    Ok(one.and_then(|child| Some(format!("{}/{}", spi(&child, "spi_out")?, spi(&child, "spi_in")?))))
}

/// Waits until our log, or the reason of the connection in our status, says all of `words` in one line. Returns that.
fn said(couple: &Couple, words: &[&str]) -> Result<String, LabError> {
    let mut last = String::new();
    let found = wait_for("our log or status saying it", SOON, || {
        let connection = couple.ours.connection(SITE)?;
        last = connection["reason"].to_string();
        let log = couple.ours.log();
        let lines = log.lines().chain([last.as_str()]);
        let all = |line: &str| words.iter().all(|word| line.to_lowercase().contains(&word.to_lowercase()));
        Ok(lines.into_iter().find(|line| all(line)).map(str::to_owned))
    });
    found.map_err(|error| match error {
        LabError::TimedOut(_) => {
            LabError::Broken(format!("nothing says {}; the reason is {last}", words.join(" and ")))
        }
        LabError::Harness(_) | LabError::Broken(_) | LabError::Busy(_) => error,
    })
}

/// The SAs there were so far.
#[derive(Debug, Default)]
struct Rekeyed {
    children: BTreeSet<String>,
    ikes: BTreeSet<String>,
}

impl Rekeyed {
    fn since(couple: &Couple) -> Result<Self, LabError> {
        let mut rekeyed = Self::default();
        rekeyed.children.extend(swan_child(couple)?);
        rekeyed.ikes.extend(swan_ike(couple)?);
        Ok(rekeyed)
    }

    /// Waits until both ends use a child that was not there before.
    fn child(&mut self, couple: &Couple) -> Result<(), LabError> {
        let mut last = String::new();
        let new = wait_for("both ends using one new child", SOON, || {
            let (theirs, ours) = (swan_child(couple)?, ours_child(couple)?);
            last = format!("strongSwan has {theirs:?}, we have {ours:?}");
            Ok(theirs.filter(|child| !self.children.contains(child) && Some(child) == ours.as_ref()))
        });
        self.children.insert(new.map_err(|error| explain(error, &last))?);
        Ok(())
    }

    /// Waits until both ends have an IKE SA that was not there before.
    fn ike(&mut self, couple: &Couple) -> Result<(), LabError> {
        let mut last = String::new();
        let new = wait_for("both ends using one new IKE SA", SOON, || {
            let (theirs, ours) = (swan_ike(couple)?, ours_ike(couple)?);
            last = format!("strongSwan has {theirs:?}, we have {ours:?}");
            Ok(theirs.filter(|ike| !self.ikes.contains(ike) && Some(ike) == ours.as_ref()))
        });
        self.ikes.insert(new.map_err(|error| explain(error, &last))?);
        Ok(())
    }
}

fn explain(error: LabError, last: &str) -> LabError {
    match error {
        LabError::TimedOut(what) => LabError::Broken(format!("{what}; at last {last}")),
        LabError::Harness(_) | LabError::Broken(_) | LabError::Busy(_) => error,
    }
}
