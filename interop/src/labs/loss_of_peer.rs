//! Either end dies without a word, or restarts: dead peer detection (RFC 7296 §2.4), INITIAL_CONTACT, and nothing in
//! clear in between.

use std::time::Duration;

use super::setup::{COUPLE, Couple, Ours, SITE, SOON, swan_at_g2};
use crate::error::{LabError, ensure};
use crate::process::wait_for;
use crate::registry::{Lab, LabContext, Report};
use crate::strongswan::{CharonOptions, SwanIkeSa};
use crate::topology::{Internet, address};
use crate::traffic::{Stream, echo};

/// How long detection may take with the intervals below.
const DETECTED: Duration = Duration::from_secs(30);

pub(super) const LABS: &[Lab] = &[
    Lab { name: "dpd_notices_a_killed_strongswan_and_reconnects", needs: COUPLE, run: killed_peer },
    Lab { name: "our_own_crash_leaks_nothing_and_heals", needs: COUPLE, run: own_crash },
    Lab { name: "a_cut_path_is_noticed_and_heals", needs: COUPLE, run: cut_path },
    Lab { name: "tunnel_comes_up_and_rekeys_at_20_percent_loss", needs: COUPLE, run: lossy },
    Lab { name: "an_orderly_stop_deletes_the_sa_at_the_peer", needs: COUPLE, run: orderly_stop },
];

fn watchful() -> Ours {
    let connection = [
        "dpd_timeout_seconds = 8",
        "retransmit_initial_milliseconds = 500",
        "retransmit_give_up_seconds = 8",
        "retry = \"forever\"",
    ];
    Ours { dpd_seconds: 2, connection: connection.map(str::to_owned).to_vec(), ..Ours::at_g1() }
}

fn killed_peer(lab: &mut LabContext) -> Result<Report, LabError> {
    let mut couple = Couple::start(lab, &watchful(), &swan_at_g2())?;
    couple.ensure_works()?;
    couple.swan.kill9();
    couple.ours.wait_down(SITE, DETECTED)?;
    let reason = couple.ours.connection(SITE)?["reason"].clone();
    ensure(!reason.is_null(), || "the connection is down and status gives no reason".to_owned())?;
    couple.ensure_no_plaintext_of_ours()?;
    couple.swan = lab.strongswan(&couple.sites.g2, "strongswan-again", &swan_at_g2(), &CharonOptions::default())?;
    couple.ours.wait_up(SITE, 1, DETECTED)?;
    couple.ensure_works()?;
    Ok(format!("reason while down: {reason}").into())
}

fn own_crash(lab: &mut LabContext) -> Result<Report, LabError> {
    let mut couple = Couple::start(lab, &watchful(), &swan_at_g2())?;
    couple.ensure_works()?;
    let stream = Stream::start(&couple.sites.c1, &couple.sites.c2, address::C2, 5001, 1000)?;
    stream.wait_received(500, SOON)?;
    couple.ours.kill9();
    let sent = stream.sent();
    wait_for("a second of traffic after the crash", SOON, || Ok((stream.sent() > sent + 300).then_some(()))).or_else(
        // The unreachable route makes the kernel tell the sender, which then counts refusals instead of packets.
        |error| {
            if matches!(error, LabError::TimedOut(_)) { Ok(()) } else { Err(error) }
        },
    )?;
    couple.ensure_no_plaintext_of_ours()?;
    let silent = echo(&couple.sites.c1, address::C2, 2, Duration::from_millis(300))?;
    ensure(silent.received == 0, || format!("{silent} with our gateway dead"))?;
    couple.ours.restart(&couple.sites.g1)?;
    couple.ours.wait_up(SITE, 1, DETECTED)?;
    let report = stream.finish()?;
    couple.ensure_works()?;
    // INITIAL_CONTACT: strongSwan forgets the SAs of our former life.
    wait_for("one IKE SA at strongSwan", SOON, || Ok((couple.swan.sas()?.len() == 1).then_some(())))?;
    Ok(format!("no packet in clear; stream across the crash: {report}").into())
}

fn cut_path(lab: &mut LabContext) -> Result<Report, LabError> {
    let mut swan = swan_at_g2();
    swan.dpd_seconds = 2;
    let couple = Couple::start(lab, &watchful(), &swan)?;
    couple.ensure_works()?;
    couple.sites.cut(true)?;
    couple.ours.wait_down(SITE, DETECTED)?;
    couple.sites.cut(false)?;
    couple.ours.wait_up(SITE, 1, DETECTED)?;
    couple.ensure_works()?;
    Ok(Report::default())
}

fn lossy(lab: &mut LabContext) -> Result<Report, LabError> {
    let ours = Ours {
        connection: vec!["retransmit_initial_milliseconds = 200".to_owned(), "retry = \"forever\"".to_owned()],
        ..Ours::at_g1().passive()
    };
    let options = CharonOptions { retransmit_timeout: 0.3, retransmit_tries: 12, ..CharonOptions::default() };
    let couple = Couple::start_with(lab, Internet::Direct, &ours, &swan_at_g2(), &options)?;
    couple.sites.lose(20)?;
    couple.ours.up(SITE)?;
    couple.ours.wait_up(SITE, 1, DETECTED)?;
    let ids = |sas: Vec<SwanIkeSa>| sas.into_iter().map(|sa| sa.spis).collect::<Vec<_>>();
    for _ in 0..3 {
        let before = ids(couple.swan.sas()?);
        couple.ours.rekey_ike(SITE)?;
        wait_for("a new IKE SA alone", DETECTED, || {
            let now = ids(couple.swan.sas()?);
            Ok((now.len() == 1 && now != before).then_some(()))
        })?;
        couple.ours.rekey_child(SITE, super::setup::NET)?;
    }
    couple.sites.lose(0)?;
    couple.ensure_works()?;
    Ok(Report::default())
}

fn orderly_stop(lab: &mut LabContext) -> Result<Report, LabError> {
    let mut couple = Couple::connected(lab)?;
    couple.ensure_works()?;
    couple.ours.stop()?;
    wait_for("strongSwan having no SA", SOON, || Ok(couple.swan.sas()?.is_empty().then_some(())))?;
    Ok(Report::default())
}
