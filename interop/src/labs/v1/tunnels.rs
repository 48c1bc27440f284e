//! Main mode and quick mode in both suites and both roles, with a NAT between and without, and rekeyings of both phases
//! from both ends under a stream of 1,000 packets a second each way, of which none may be missing.
//!
//! A rekeying of phase 2 is another quick mode, one of phase 1 another main mode (RFC 2409 §5.5, §5); the SAs before them
//! stay until somebody deletes them or their time is over, so several may be there at a time, and traffic uses the youngest.

use std::time::Duration;

use super::{LEGACY, Rekeyed, STRONGER, Suite, behind_nat, for_anybody};
use crate::error::{LabError, ensure};
use crate::labs::setup::{COUPLE, Couple, NET, Ours, SITE, finish, let_flow};
use crate::registry::{Lab, LabContext, Report};
use crate::strongswan::CharonOptions;
use crate::topology::{Internet, address};

/// Rekeyings of each phase from each end.
const TIMES: usize = 3;
/// Rekeyings of each combination by both ends at once.
const CROSSINGS: usize = 3;
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
    Lab { name: "v1_rekeyings_by_both_ends_at_once_lose_nothing", needs: COUPLE, run: at_the_same_time },
    Lab { name: "v1_a_lost_third_message_of_quick_mode_costs_nothing", needs: COUPLE, run: third_lost },
    Lab { name: "v1_a_third_message_that_strongswan_ignores_costs_nothing", needs: COUPLE, run: third_ignored },
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

/// Both ends begin at the same time, each its own of these. Either may refuse its command because the other was faster.
fn at_once(
    ours: impl FnOnce() -> Result<(), LabError> + Send,
    theirs: impl FnOnce() -> Result<(), LabError> + Send,
) -> Result<(), LabError> {
    let (ours, theirs) = std::thread::scope(|scope| {
        let (ours, theirs) = (scope.spawn(ours), scope.spawn(theirs));
        let panicked = |_| Err(LabError::Harness("a thread of the lab panicked".to_owned()));
        (ours.join().unwrap_or_else(panicked), theirs.join().unwrap_or_else(panicked))
    });
    match (ours, theirs) {
        (Err(ours), Err(theirs)) => Err(LabError::Broken(format!("both refused: {ours}; {theirs}"))),
        (Ok(()) | Err(_), Ok(()) | Err(_)) => Ok(()),
    }
}

/// Quick modes and main modes of both ends meet in every combination, under a stream each way. Afterwards both ends
/// agree on one child, and it can still be begun anew by either.
fn at_the_same_time(lab: &mut LabContext) -> Result<Report, LabError> {
    let couple = couple(lab, LEGACY, Caller::We, Internet::Direct)?;
    couple.ensure_works()?;
    let streams = couple.streams()?;
    let_flow(&streams, BETWEEN)?;
    let mut rekeyed = Rekeyed::since(&couple)?;
    for round in 0..CROSSINGS * 4 {
        let (ours, swan) = (&couple.ours, &couple.swan);
        match round % 4 {
            0 => at_once(|| ours.rekey_child(SITE, NET), || swan.rekey_youngest_ike())?,
            1 => at_once(|| ours.rekey_ike(SITE), || swan.rekey_child(NET))?,
            2 => at_once(|| ours.rekey_child(SITE, NET), || swan.rekey_child(NET))?,
            _ => at_once(|| ours.rekey_ike(SITE), || swan.rekey_youngest_ike())?,
        }
        if round % 4 != 3 {
            rekeyed.child(&couple)?;
        }
        let_flow(&streams, BETWEEN)?;
    }
    for _ in 0..2 {
        couple.ours.rekey_child(SITE, NET)?;
        rekeyed.child(&couple)?;
        couple.swan.rekey_child(NET)?;
        rekeyed.child(&couple)?;
    }
    let account = finish(streams, BETWEEN * (CROSSINGS as u64 * 4 + 1), &[&couple.swan_in])?;
    couple.ensure_passes()?;
    Ok(format!("{} crossings; {account}", CROSSINGS * 4).into())
}

/// The third message of quick mode with HMAC-SHA1: the header, and HASH(3) padded to a block.
const THIRD: u16 = 28 + 32;
/// Long enough for the first two messages.
const ANSWERED: Duration = Duration::from_millis(300);

/// Our third message does not arrive until strongSwan repeats the second: up to then it has nothing installed.
fn third_lost(lab: &mut LabContext) -> Result<Report, LabError> {
    let couple = couple(lab, LEGACY, Caller::We, Internet::Direct)?;
    couple.ensure_works()?;
    let streams = couple.streams()?;
    let mut rekeyed = Rekeyed::since(&couple)?;
    for _ in 0..2 {
        let_flow(&streams, BETWEEN)?;
        couple.sites.drop_ike_of(THIRD, true)?;
        couple.ours.rekey_child(SITE, NET)?;
        std::thread::sleep(ANSWERED);
        couple.sites.drop_ike_of(THIRD, false)?;
        rekeyed.child(&couple)?;
    }
    let_flow(&streams, 3 * BETWEEN)?;
    let account = finish(streams, 4 * BETWEEN, &[&couple.swan_in])?;
    couple.ensure_works()?;
    Ok(account.into())
}

/// strongSwan has begun a main mode when our third message arrives, and ignores it: it never installs its half, and says
/// nothing of that. Traffic must stay on the SA before, until another quick mode has better luck.
fn third_ignored(lab: &mut LabContext) -> Result<Report, LabError> {
    let couple = couple(lab, LEGACY, Caller::We, Internet::Direct)?;
    couple.ensure_works()?;
    let streams = couple.streams()?;
    let mut rekeyed = Rekeyed::since(&couple)?;
    let_flow(&streams, BETWEEN)?;
    couple.sites.drop_ike_of(THIRD, true)?;
    couple.ours.rekey_child(SITE, NET)?;
    std::thread::sleep(ANSWERED);
    couple.swan.rekey_youngest_ike()?;
    rekeyed.ike(&couple)?;
    couple.sites.drop_ike_of(THIRD, false)?;
    let_flow(&streams, 8 * BETWEEN)?;
    couple.ours.rekey_child(SITE, NET)?;
    rekeyed.child(&couple)?;
    let_flow(&streams, 8 * BETWEEN)?;
    let account = finish(streams, 17 * BETWEEN, &[&couple.swan_in])?;
    couple.ensure_passes()?;
    Ok(account.into())
}
