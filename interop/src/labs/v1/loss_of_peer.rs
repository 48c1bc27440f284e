//! Either end dies without a word: dead peer detection (RFC 3706), INITIAL-CONTACT (RFC 2407 §4.6.3.3), and nothing in
//! clear in between.

use std::time::Duration;

use super::LEGACY;
use crate::error::{LabError, ensure};
use crate::labs::setup::{COUPLE, Couple, NET, Ours, SITE, SOON};
use crate::process::wait_for;
use crate::registry::{Lab, LabContext, Report};
use crate::strongswan::{CharonOptions, SwanConnection};
use crate::topology::Internet;

/// How long detection may take with the intervals below.
const DETECTED: Duration = Duration::from_secs(30);

pub(super) const LABS: &[Lab] = &[
    Lab { name: "v1_dpd_notices_a_killed_strongswan_and_reconnects", needs: COUPLE, run: killed_peer },
    Lab { name: "v1_strongswan_notices_our_death_and_we_come_back", needs: COUPLE, run: own_crash },
    Lab { name: "v1_a_quick_restart_of_ours_leaves_one_sa_at_strongswan", needs: COUPLE, run: quick_restart },
    Lab { name: "v1_a_restarted_strongswan_is_believed", needs: COUPLE, run: restarted_peer },
    Lab { name: "v1_tunnel_comes_up_and_rekeys_at_20_percent_loss", needs: COUPLE, run: lossy },
];

fn ours() -> Ours {
    let mut ours = LEGACY.ours(Ours { dpd_seconds: 2, ..Ours::at_g1() });
    let watchful = [
        "dpd_timeout_seconds = 6",
        "retransmit_initial_milliseconds = 500",
        "retransmit_give_up_seconds = 6",
        "retry = \"forever\"",
    ];
    ours.connection.extend(watchful.map(str::to_owned));
    ours
}

/// strongSwan, which asks after two seconds of silence and gives up after six (in IKEv1 it has a timeout of its own).
fn swan() -> SwanConnection {
    let mut swan = SwanConnection { dpd_seconds: 2, ..LEGACY.swan_at_g2() };
    swan.extra.push("dpd_timeout = 6s".to_owned());
    swan
}

fn killed_peer(lab: &mut LabContext) -> Result<Report, LabError> {
    let mut couple = Couple::start(lab, &ours(), &swan())?;
    couple.ensure_works()?;
    couple.swan.kill9();
    couple.ours.wait_down(SITE, DETECTED)?;
    let reason = couple.ours.connection(SITE)?["reason"].clone();
    ensure(!reason.is_null(), || "the connection is down and status gives no reason".to_owned())?;
    couple.ensure_silent()?;
    couple.swan = lab.strongswan(&couple.sites.g2, "strongswan-again", &swan(), &CharonOptions::default())?;
    couple.ours.wait_up(SITE, 1, DETECTED)?;
    couple.ensure_works()?;
    Ok(format!("reason while down: {reason}").into())
}

fn own_crash(lab: &mut LabContext) -> Result<Report, LabError> {
    let mut couple = Couple::start(lab, &ours(), &swan())?;
    couple.ensure_works()?;
    couple.ours.kill9();
    wait_for("strongSwan noticing our death", DETECTED, || Ok(couple.swan.sas()?.is_empty().then_some(())))?;
    couple.ensure_silent()?;
    couple.ours.restart(&couple.sites.g1)?;
    couple.ensure_works()?;
    Ok(Report::default())
}

/// strongSwan has noticed nothing yet when we come back: INITIAL-CONTACT tells it to forget our former life.
fn quick_restart(lab: &mut LabContext) -> Result<Report, LabError> {
    let mut couple = Couple::start(lab, &ours(), &swan())?;
    couple.ensure_works()?;
    let before = couple.swan.sas()?.into_iter().map(|sa| sa.spis).collect::<Vec<_>>();
    couple.ours.kill9();
    couple.ours.restart(&couple.sites.g1)?;
    let after = wait_for("one other IKE SA at strongSwan", SOON, || {
        let sas = couple.swan.sas()?;
        Ok((sas.len() == 1 && !before.contains(&sas[0].spis)).then_some(sas))
    })?;
    couple.ensure_works()?;
    ensure(couple.swan.log().contains("INITIAL_CONTACT") || couple.swan.log().contains("N(INITIAL"), || {
        format!("no INITIAL-CONTACT in strongSwan's log, yet {after:?}")
    })?;
    Ok(Report::default())
}

/// strongSwan comes back and calls before we have noticed: its new SAs take over.
fn restarted_peer(lab: &mut LabContext) -> Result<Report, LabError> {
    let mut couple = Couple::start(lab, &ours().passive(), &swan())?;
    couple.swan.initiate(NET)?;
    couple.ensure_works()?;
    couple.swan.kill9();
    couple.swan = lab.strongswan(&couple.sites.g2, "strongswan-again", &swan(), &CharonOptions::default())?;
    couple.swan.initiate(NET)?;
    couple.ensure_works()?;
    Ok(Report::default())
}

fn lossy(lab: &mut LabContext) -> Result<Report, LabError> {
    let mut ours = LEGACY.ours(Ours::at_g1()).passive();
    ours.connection.extend(["retransmit_initial_milliseconds = 200", "retry = \"forever\""].map(str::to_owned));
    let options = CharonOptions { retransmit_timeout: 0.3, retransmit_tries: 12, ..CharonOptions::default() };
    let couple = Couple::start_with(lab, Internet::Direct, &ours, &LEGACY.swan_at_g2(), &options)?;
    couple.sites.lose(20)?;
    couple.ours.up(SITE)?;
    couple.ours.wait_up(SITE, 1, DETECTED)?;
    for _ in 0..3 {
        let before = super::ours_ike(&couple)?;
        couple.ours.rekey_ike(SITE)?;
        wait_for("another IKE SA of ours", DETECTED, || Ok((super::ours_ike(&couple)? != before).then_some(())))?;
        let before = super::ours_child(&couple)?;
        couple.ours.rekey_child(SITE, NET)?;
        wait_for("another child of ours", DETECTED, || Ok((super::ours_child(&couple)? != before).then_some(())))?;
    }
    couple.sites.lose(0)?;
    couple.ensure_works()?;
    Ok(Report::default())
}
