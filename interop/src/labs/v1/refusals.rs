//! What must be refused, and what our log or status then says: with both values, and what to do (RFC 2409 §5, RFC 2408
//! §3.14.1).

use super::{LEGACY, STRONGER, said};
use crate::error::{LabError, ensure};
use crate::labs::setup::{COUPLE, Couple, NET, Ours, SITE};
use crate::registry::{Lab, LabContext, Report};
use crate::strongswan::{CharonOptions, SwanConnection};
use crate::topology::{Internet, address};

pub(super) const LABS: &[Lab] = &[
    Lab { name: "v1_a_wrong_key_is_refused_and_said_by_the_caller", needs: COUPLE, run: wrong_key_by_us },
    Lab { name: "v1_a_wrong_key_is_refused_and_said_by_the_called", needs: COUPLE, run: wrong_key_by_strongswan },
    Lab { name: "v1_a_wrong_identity_is_refused_and_said", needs: COUPLE, run: wrong_identity },
    Lab { name: "v1_no_phase_1_suite_in_common_is_refused_and_said", needs: COUPLE, run: wrong_suite },
    Lab { name: "v1_no_phase_2_suite_in_common_is_refused_and_said", needs: COUPLE, run: wrong_child_suite },
    Lab { name: "v1_other_networks_are_refused_and_said", needs: COUPLE, run: wrong_networks },
    Lab { name: "v1_aggressive_mode_that_is_off_is_refused_and_said", needs: COUPLE, run: other_mode },
    Lab { name: "v1_aggressive_mode_that_is_off_there_is_said", needs: COUPLE, run: other_mode_there },
    Lab { name: "v1_xauth_is_refused_and_said", needs: COUPLE, run: xauth },
];

/// Ours calls, or waits for strongSwan which calls; whoever it is has no success. Returns what our end says.
fn refused(
    lab: &mut LabContext,
    ours: &Ours,
    swan: &SwanConnection,
    options: &CharonOptions,
    words: &[&str],
) -> Result<String, LabError> {
    let couple = Couple::start_with(lab, Internet::Direct, ours, swan, options)?;
    if ours.start == "passive" {
        couple.swan.initiate_in_vain(NET, 2)?;
    }
    let line = said(&couple, words)?;
    ensure(couple.swan.installed()?.is_empty(), || "strongSwan has a child".to_owned())?;
    couple.ensure_silent()?;
    Ok(line)
}

/// The same both ways in worlds of their own.
fn refused_both_ways(
    lab: &mut LabContext,
    ours: &Ours,
    swan: &SwanConnection,
    options: &CharonOptions,
    words: [&[&str]; 2],
) -> Result<Report, LabError> {
    let couple = Couple::start_with(lab, Internet::Direct, &ours.clone().passive(), swan, options)?;
    couple.swan.initiate_in_vain(NET, 2)?;
    let answering = said(&couple, words[1])?;
    couple.ours.expect(&["up", SITE, "--timeout", "0"])?;
    let calling = said(&couple, words[0])?;
    ensure(couple.swan.installed()?.is_empty(), || "strongSwan has a child".to_owned())?;
    couple.ensure_silent()?;
    Ok(format!("called: {answering}; calling: {calling}").into())
}

fn wrong_key_by_us(lab: &mut LabContext) -> Result<Report, LabError> {
    let ours = Ours { psk: "a key nobody else has", ..LEGACY.ours(Ours::at_g1()) };
    let words = ["message 5", "pre-shared key of site", "192.0.2.2"];
    Ok(refused(lab, &ours, &LEGACY.swan_at_g2(), &CharonOptions::default(), &words)?.into())
}

fn wrong_key_by_strongswan(lab: &mut LabContext) -> Result<Report, LabError> {
    let ours = LEGACY.ours(Ours { psk: "a key nobody else has", ..Ours::at_g1() }).passive();
    let words = ["message 5", "pre-shared key of site", "192.0.2.2"];
    Ok(refused(lab, &ours, &LEGACY.swan_at_g2(), &CharonOptions::default(), &words)?.into())
}

fn wrong_identity(lab: &mut LabContext) -> Result<Report, LabError> {
    let swan = SwanConnection { local_id: "somebody.test".to_owned(), ..LEGACY.swan_at_g2() };
    let words: [&[&str]; 2] = [&["not up", "g2.test", "somebody.test"], &["refused", "g2.test", "somebody.test"]];
    refused_both_ways(lab, &LEGACY.ours(Ours::at_g1()), &swan, &CharonOptions::default(), words)
}

fn wrong_suite(lab: &mut LabContext) -> Result<Report, LabError> {
    // As the called, we know both ends' suites; as the caller, only ours and that it was refused.
    let words: [&[&str]; 2] = [&["NO-PROPOSAL-CHOSEN", "aes128-sha1-modp1024"], &["aes256", "modp2048", "modp1024"]];
    let (ours, swan) = (LEGACY.ours(Ours::at_g1()), STRONGER.swan_at_g2());
    refused_both_ways(lab, &ours, &swan, &CharonOptions::default(), words)
}

fn wrong_child_suite(lab: &mut LabContext) -> Result<Report, LabError> {
    let mut swan = LEGACY.swan_at_g2();
    for child in &mut swan.children {
        child.esp_proposals = STRONGER.esp.to_owned();
    }
    let words: [&[&str]; 2] = [&["NO-PROPOSAL-CHOSEN", "aes128-sha1-modp1024"], &["aes256", "modp2048", "modp1024"]];
    refused_both_ways(lab, &LEGACY.ours(Ours::at_g1()), &swan, &CharonOptions::default(), words)
}

fn wrong_networks(lab: &mut LabContext) -> Result<Report, LabError> {
    let mut swan = LEGACY.swan_at_g2();
    for child in &mut swan.children {
        child.remote_ts = address::MORE1.to_owned();
    }
    let words: [&[&str]; 2] = [&["INVALID-ID-INFORMATION", address::NET1], &[address::NET1, address::MORE1]];
    refused_both_ways(lab, &LEGACY.ours(Ours::at_g1()), &swan, &CharonOptions::default(), words)
}

fn other_mode(lab: &mut LabContext) -> Result<Report, LabError> {
    let mut swan = LEGACY.swan_at_g2();
    swan.aggressive = true;
    let words: &[&str] = &["aggressive mode", "main mode"];
    let line = refused(lab, &LEGACY.ours(Ours::at_g1()).passive(), &swan, &with_aggressive(), words)?;
    Ok(line.into())
}

/// Ours calls in aggressive mode, which strongSwan has off: it gives a reason that we hand on.
fn other_mode_there(lab: &mut LabContext) -> Result<Report, LabError> {
    let mut ours = LEGACY.ours(Ours::at_g1());
    ours.connection.extend(["aggressive = true", "retransmit_give_up_seconds = 4"].map(str::to_owned));
    let words = ["not up", "aggressive mode"];
    Ok(refused(lab, &ours, &LEGACY.swan_at_g2(), &CharonOptions::default(), &words)?.into())
}

/// strongSwan demands a second authentication: as the caller it proposes the method that stands for it, and as the called
/// it does not accept ours.
fn xauth(lab: &mut LabContext) -> Result<Report, LabError> {
    let mut swan = LEGACY.swan_at_g2();
    swan.extra.extend(["local-x {", " round = 2", " auth = xauth", " xauth_id = somebody", "}"].map(str::to_owned));
    let ours = LEGACY.ours(Ours::at_g1()).passive();
    Ok(refused(lab, &ours, &swan, &CharonOptions::default(), &["XAUTH"])?.into())
}

/// charon answers aggressive mode with a pre-shared key only when it is told in so many words.
pub(super) fn with_aggressive() -> CharonOptions {
    let extra = vec!["i_dont_care_about_security_and_use_aggressive_mode_psk = yes".to_owned()];
    CharonOptions { extra, ..CharonOptions::default() }
}
