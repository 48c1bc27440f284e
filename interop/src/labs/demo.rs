//! `underpass demo --break CODE`: whatever it can break, the doctor names first.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::error::{LabError, ensure};
use crate::process::run_command;
use crate::registry::{Lab, LabContext, Need, Report};
use crate::underpass::Underpass;

const NEEDS: &[Need] = &[Need::Root, Need::Tun, Need::Nftables, Need::Underpass];

const WITH_STRONGSWAN: &[Need] = &[Need::Root, Need::Tun, Need::StrongSwan, Need::Underpass];

pub(super) const LABS: &[Lab] = &[
    Lab { name: "demo_breaks_each_thing_that_it_lists_and_the_doctor_names_it", needs: NEEDS, run: breaks },
    Lab { name: "demo_with_strongswan_shows_what_applies_to_it", needs: WITH_STRONGSWAN, run: strongswan },
];

/// How long one breakage may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The last line of what the demo prints, and all of it.
fn demo(arguments: &[&str]) -> Result<(Value, String), LabError> {
    let mut command = Command::new(Underpass::binary().map_err(LabError::Harness)?);
    command.arg("demo").args(arguments).arg("--json");
    let output = run_command(command, "", PATIENCE)?;
    let last = output.stdout.lines().last().unwrap_or_default();
    let parsed = serde_json::from_str(last);
    let parsed = parsed.map_err(|error| LabError::Broken(format!("{error}: {} {}", output.stdout, output.stderr)))?;
    Ok((parsed, output.stdout))
}

fn strongswan(_lab: &mut LabContext) -> Result<Report, LabError> {
    let (end, all) = demo(&["--peer", "strongswan"])?;
    ensure(end["ok"] == true && end["plaintext_packets_seen"] == 0, || all.clone())?;
    ensure(end["rekeys"] == 4 && end["packets_lost_during_rekey"] == 0, || all.clone())?;
    Ok(format!("{} packets while rekeying, none lost", end["packets_during_rekey"]).into())
}

fn breaks(_lab: &mut LabContext) -> Result<Report, LabError> {
    let (list, _) = demo(&["--break", "list"])?;
    let all = list["breakages"].as_array().cloned().unwrap_or_default();
    let codes: Vec<&str> = all.iter().filter_map(|one| one["code"].as_str()).collect();
    ensure(codes.len() >= 25, || format!("only {codes:?}"))?;
    for code in &codes {
        let (end, all) = demo(&["--break", code])?;
        ensure(end["ok"] == true && end["code"] == *code, || format!("{code}: {all}"))?;
    }
    Ok(format!("{} things broken and named", codes.len()).into())
}
