//! Rekeying from either end, and from both at once, under a stream of 1,000 packets a second each way: nothing is lost
//! (RFC 7296 §2.8, §1.3.2, §1.3.3). Nor when both ends' requests collide.

use std::collections::BTreeSet;
use std::time::Duration;

use super::setup::{COUPLE, Couple, NET, Ours, SITE, SOON, finish, let_flow, swan_at_g2};
use crate::error::{LabError, ensure};
use crate::process::wait_for;
use crate::registry::{Lab, LabContext, Report};
use crate::topology::{Hold, Sites};

/// Rekeyings in each lab.
const TIMES: usize = 3;
/// How long both ends take to send their request.
const BOTH_BEGUN: Duration = Duration::from_millis(400);
/// How long after that both retransmit it, with the initial time-outs of one second that both have here.
const BOTH_RETRANSMITTED: Duration = Duration::from_millis(1100);
/// How long strongSwan may keep an IKE SA that lost a collision: its half-open timeout, and some.
const FORGOTTEN: Duration = Duration::from_secs(45);
/// Packets each way between two rekeyings.
const BETWEEN: u64 = 800;

pub(super) const LABS: &[Lab] = &[
    Lab { name: "rekey_child_by_us_loses_nothing", needs: COUPLE, run: child_by_us },
    Lab { name: "rekey_child_by_strongswan_loses_nothing", needs: COUPLE, run: child_by_strongswan },
    Lab { name: "rekey_child_by_both_at_once_survives", needs: COUPLE, run: child_by_both },
    Lab { name: "rekey_child_with_pfs_by_both_ends_loses_nothing", needs: COUPLE, run: child_with_pfs },
    Lab { name: "rekey_ike_by_us_loses_nothing", needs: COUPLE, run: ike_by_us },
    Lab { name: "rekey_ike_by_strongswan_loses_nothing", needs: COUPLE, run: ike_by_strongswan },
    Lab { name: "rekey_ike_by_both_at_once_survives", needs: COUPLE, run: ike_by_both },
];

fn child_by_us(lab: &mut LabContext) -> Result<Report, LabError> {
    let couple = Couple::connected(lab)?;
    under_traffic(&couple, child_spis, |couple, _| couple.ours.rekey_child(SITE, NET))
}

fn child_by_strongswan(lab: &mut LabContext) -> Result<Report, LabError> {
    let couple = Couple::connected(lab)?;
    under_traffic(&couple, child_spis, |couple, _| couple.swan.rekey_child(NET))
}

fn child_by_both(lab: &mut LabContext) -> Result<Report, LabError> {
    let couple = Couple::connected(lab)?;
    let report = under_traffic(&couple, child_spis, |couple, _| {
        at_once(&couple.sites, || couple.ours.rekey_child(SITE, NET), || couple.swan.rekey_child(NET))
    })?;
    with_collisions(&couple, &report)
}

fn child_with_pfs(lab: &mut LabContext) -> Result<Report, LabError> {
    // strongSwan accepts the second group only: our first guess costs an INVALID_KE_PAYLOAD (RFC 7296 §1.3).
    let ours = Ours { esp: vec!["aes128gcm16-ecp384-modp2048"], ..Ours::at_g1() };
    let mut swan = swan_at_g2();
    for child in &mut swan.children {
        child.esp_proposals = "aes128gcm16-modp2048".to_owned();
    }
    let couple = Couple::start(lab, &ours, &swan)?;
    couple.ours.wait_up(SITE, 1, SOON)?;
    under_traffic(&couple, child_spis, |couple, round| match round % 2 {
        0 => couple.ours.rekey_child(SITE, NET),
        _ => couple.swan.rekey_child(NET),
    })
}

fn ike_by_us(lab: &mut LabContext) -> Result<Report, LabError> {
    let couple = Couple::connected(lab)?;
    under_traffic(&couple, ike_spis, |couple, _| couple.ours.rekey_ike(SITE))
}

fn ike_by_strongswan(lab: &mut LabContext) -> Result<Report, LabError> {
    let couple = Couple::connected(lab)?;
    under_traffic(&couple, ike_spis, |couple, _| couple.swan.rekey_ike(SITE))
}

fn ike_by_both(lab: &mut LabContext) -> Result<Report, LabError> {
    let couple = Couple::connected(lab)?;
    let report = under_traffic(&couple, ike_spis, |couple, _| {
        at_once(&couple.sites, || couple.ours.rekey_ike(SITE), || couple.swan.rekey_ike(SITE))
    })?;
    with_collisions(&couple, &report)
}

/// What strongSwan says of collisions it saw; there must have been one, or the lab has shown nothing.
fn with_collisions(couple: &Couple, report: &Report) -> Result<Report, LabError> {
    let collisions = couple.swan.log().lines().filter(|line| line.contains("collision")).count();
    ensure(collisions > 0, || "the two ends' requests never met".to_owned())?;
    wait_for("strongSwan having one IKE SA in all", FORGOTTEN, || Ok((couple.swan.sas()?.len() == 1).then_some(())))?;
    Ok(format!("{collisions} lines about collisions in strongSwan's log; {}", report.details).into())
}

/// Rekeys several times while streams run both ways, which lose nothing. `identity` names the SA in question: after every
/// rekeying it must be one that was not there before, and the only one.
fn under_traffic(
    couple: &Couple,
    identity: fn(&Couple) -> Result<Vec<String>, LabError>,
    rekey: impl Fn(&Couple, usize) -> Result<(), LabError>,
) -> Result<Report, LabError> {
    couple.ensure_works()?;
    let mut used: BTreeSet<String> = identity(couple)?.into_iter().collect();
    let streams = couple.streams()?;
    let_flow(&streams, BETWEEN)?;
    for round in 0..TIMES {
        rekey(couple, round)?;
        let new = wait_for("one new SA at strongSwan, the old one gone", SOON, || {
            let mut now = identity(couple)?;
            Ok(now.pop().filter(|sa| now.is_empty() && !used.contains(sa)))
        })?;
        used.insert(new);
        let_flow(&streams, BETWEEN)?;
    }
    let account = finish(streams, BETWEEN * (TIMES as u64 + 1), &[&couple.swan_in])?;
    couple.ensure_works()?;
    Ok(format!("{TIMES} rekeyings; {account}").into())
}

/// The SPIs of every child strongSwan has, but for those it keeps after their deletion to receive what is under way.
fn child_spis(couple: &Couple) -> Result<Vec<String>, LabError> {
    let children = couple.swan.sas()?.into_iter().flat_map(|sa| sa.children);
    let children = children.filter(|child| child.state != "DELETED");
    Ok(children.map(|child| format!("{}/{}", child.spi_in, child.spi_out)).collect())
}

/// The SPIs of every IKE SA strongSwan has with a child under it. (Of a collision it won, it keeps the redundant SA,
/// childless, until we delete it; and until its own timer ends where the answer that named it to us was lost.)
fn ike_spis(couple: &Couple) -> Result<Vec<String>, LabError> {
    let sas = couple.swan.sas()?.into_iter().filter(|sa| !sa.children.is_empty());
    Ok(sas.map(|sa| format!("{}/{}", sa.spis.0, sa.spis.1)).collect())
}

/// Makes the two ends' exchanges collide: both send a request while nothing passes, then each sees the other's request
/// (retransmitted) while it still waits for the answer to its own, and only then do answers pass. An end may refuse its
/// own command because the other was faster; not both.
fn at_once(
    sites: &Sites,
    ours: impl FnOnce() -> Result<(), LabError> + Send,
    theirs: impl FnOnce() -> Result<(), LabError> + Send,
) -> Result<(), LabError> {
    sites.hold_up_ike(Hold::Everything)?;
    let (held, ours, theirs) = std::thread::scope(|scope| {
        let (ours, theirs) = (scope.spawn(ours), scope.spawn(theirs));
        std::thread::sleep(BOTH_BEGUN);
        let responses = sites.hold_up_ike(Hold::Responses);
        std::thread::sleep(BOTH_RETRANSMITTED);
        let held = responses.and(sites.hold_up_ike(Hold::Nothing));
        let panicked = |_| Err(LabError::Harness("a thread of the lab panicked".to_owned()));
        (held, ours.join().unwrap_or_else(panicked), theirs.join().unwrap_or_else(panicked))
    });
    held?;
    match (ours, theirs) {
        (Err(ours), Err(theirs)) => Err(LabError::Broken(format!("both refused: {ours}; {theirs}"))),
        (Ok(()) | Err(_), Ok(()) | Err(_)) => Ok(()),
    }
}
