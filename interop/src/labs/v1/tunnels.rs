//! Main mode and quick mode in both suites and both roles, with a NAT between and without, and rekeyings of both phases
//! from both ends under a stream of 1,000 packets a second each way, of which none may be missing.
//!
//! A rekeying of phase 2 is another quick mode, one of phase 1 another main mode (RFC 2409 §5.5, §5); the SAs before them
//! stay until somebody deletes them or their time is over, so several may be there at a time, and traffic uses the youngest.

use std::collections::BTreeSet;

use super::{LEGACY, STRONGER, Suite, behind_nat, for_anybody, ours_child, swan_child, swan_ike};
use crate::error::{LabError, ensure};
use crate::labs::setup::{COUPLE, Couple, NET, Ours, SITE, SOON, finish, let_flow};
use crate::process::wait_for;
use crate::registry::{Lab, LabContext, Report};
use crate::strongswan::CharonOptions;
use crate::topology::{Internet, address};

/// Rekeyings of each phase from each end.
const TIMES: usize = 3;
/// Packets each way between two rekeyings.
const BETWEEN: u64 = 500;

pub(super) const LABS: &[Lab] = &[
    Lab {
        name: "v1_legacy_by_us_rekeys_lose_nothing",
        needs: COUPLE,
        run: |lab| tunnel(lab, LEGACY, Caller::We, Internet::Direct),
    },
    Lab {
        name: "v1_legacy_by_strongswan_rekeys_lose_nothing",
        needs: COUPLE,
        run: |lab| tunnel(lab, LEGACY, Caller::StrongSwan, Internet::Direct),
    },
    Lab {
        name: "v1_legacy_by_us_behind_nat_rekeys_lose_nothing",
        needs: COUPLE,
        run: |lab| tunnel(lab, LEGACY, Caller::We, Internet::Nat),
    },
    Lab {
        name: "v1_legacy_by_strongswan_behind_nat_rekeys_lose_nothing",
        needs: COUPLE,
        run: |lab| tunnel(lab, LEGACY, Caller::StrongSwan, Internet::Nat),
    },
    Lab {
        name: "v1_aes256_sha256_modp2048_by_us_rekeys_lose_nothing",
        needs: COUPLE,
        run: |lab| tunnel(lab, STRONGER, Caller::We, Internet::Direct),
    },
    Lab {
        name: "v1_aes256_sha256_modp2048_by_strongswan_rekeys_lose_nothing",
        needs: COUPLE,
        run: |lab| tunnel(lab, STRONGER, Caller::StrongSwan, Internet::Direct),
    },
    Lab {
        name: "v1_aes256_sha256_modp2048_by_us_behind_nat_rekeys_lose_nothing",
        needs: COUPLE,
        run: |lab| tunnel(lab, STRONGER, Caller::We, Internet::Nat),
    },
    Lab {
        name: "v1_aes256_sha256_modp2048_by_strongswan_behind_nat_rekeys_lose_nothing",
        needs: COUPLE,
        run: |lab| tunnel(lab, STRONGER, Caller::StrongSwan, Internet::Nat),
    },
];

/// Who begins, and sits behind the NAT router where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    We,
    StrongSwan,
}

/// Both ends with this suite, and the tunnel begun.
fn couple(lab: &mut LabContext, suite: Suite, caller: Caller, internet: Internet) -> Result<Couple, LabError> {
    let (ours, swan) = match (caller, internet) {
        (Caller::We, Internet::Nat) => {
            let ours = Ours::at_g1().with_local_address(address::G1_PRIVATE);
            (suite.ours(ours), for_anybody(suite.swan_at_g2()))
        }
        (Caller::We, _) => (suite.ours(Ours::at_g1()), suite.swan_at_g2()),
        (Caller::StrongSwan, Internet::Nat) => (suite.ours(Ours::at_g2()), behind_nat(suite.swan_at_g1())),
        (Caller::StrongSwan, _) => (suite.ours(Ours::at_g1().passive()), suite.swan_at_g2()),
    };
    let couple = Couple::start_with(lab, internet, &ours, &swan, &CharonOptions::default())?;
    if caller == Caller::StrongSwan {
        couple.swan.initiate(NET)?;
    }
    Ok(couple)
}

fn tunnel(lab: &mut LabContext, suite: Suite, caller: Caller, internet: Internet) -> Result<Report, LabError> {
    let couple = couple(lab, suite, caller, internet)?;
    let child = couple.ensure_works()?;
    ensure((child.encryption.as_str(), child.integrity.as_str()) == suite.listed, || {
        format!("another suite: {child:?}")
    })?;
    let sas = couple.swan.sas()?;
    ensure(sas.iter().all(|sa| sa.version == "1"), || format!("not IKEv1: {sas:?}"))?;
    let streams = couple.streams()?;
    let_flow(&streams, BETWEEN)?;
    let mut rekeyed = Rekeyed::since(&couple)?;
    for round in 0..TIMES * 4 {
        match round % 4 {
            0 => couple.ours.rekey_child(SITE, NET)?,
            1 => couple.swan.rekey_child(NET)?,
            2 => couple.ours.rekey_ike(SITE)?,
            _ => couple.swan.rekey_youngest_ike()?,
        }
        if round % 4 < 2 {
            rekeyed.child(&couple)?
        } else {
            rekeyed.ike(&couple)?
        }
        let_flow(&streams, BETWEEN)?;
    }
    let account = finish(streams, BETWEEN * (TIMES as u64 * 4 + 1), &[&couple.swan_in])?;
    couple.ensure_works()?;
    Ok(format!("{TIMES} rekeyings of each phase from each end; {account}").into())
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
            let (theirs, ours) = (swan_ike(couple)?, super::ours_ike(couple)?);
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
