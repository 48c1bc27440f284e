//! The version of IKE is a choice per connection: what the peer begins with is answered where it is allowed, what is not
//! is named, and with `both` our end falls back and says so.

use super::{LEGACY, said};
use crate::error::{LabError, ensure};
use crate::labs::setup::{COUPLE, Couple, NET, Ours, SITE, SOON};
use crate::process::wait_for;
use crate::registry::{Lab, LabContext, Report};
use crate::strongswan::{CharonOptions, SwanConnection};
use crate::topology::Internet;

pub(super) const LABS: &[Lab] = &[
    Lab { name: "v1_called_in_ikev2_says_so", needs: COUPLE, run: |lab| called(lab, "ikev1", 2) },
    Lab { name: "v2_called_in_ikev1_says_so", needs: COUPLE, run: |lab| called(lab, "ikev2", 1) },
    Lab {
        name: "v1_calling_a_peer_that_speaks_ikev2_only_is_explained",
        needs: COUPLE,
        run: |lab| calling(lab, "ikev1", 2),
    },
    Lab {
        name: "v2_calling_a_peer_that_speaks_ikev1_only_is_explained",
        needs: COUPLE,
        run: |lab| calling(lab, "ikev2", 1),
    },
    Lab { name: "both_versions_fall_back_to_ikev1_and_say_so", needs: COUPLE, run: fall_back },
    Lab { name: "both_versions_answer_what_comes", needs: COUPLE, run: answer },
];

/// Ours with this version, and algorithms that both versions know.
fn ours(version: &str) -> Ours {
    let mut ours = LEGACY.ours(Ours::at_g1());
    for line in &mut ours.connection {
        *line = line.replace("\"ikev1\"", &format!("\"{version}\""));
    }
    ours.connection.push("retransmit_give_up_seconds = 4".to_owned());
    ours
}

/// strongSwan with this version.
fn swan(version: u8) -> SwanConnection {
    SwanConnection { version, ..LEGACY.swan_at_g2() }
}

fn called(lab: &mut LabContext, ours_speaks: &str, strongswan_speaks: u8) -> Result<Report, LabError> {
    let couple = Couple::start(lab, &ours(ours_speaks).passive(), &swan(strongswan_speaks))?;
    couple.swan.initiate_in_vain(NET, 3)?;
    let line = said(&couple, &[&format!("IKEv{strongswan_speaks}"), ours_speaks])?;
    couple.ensure_silent()?;
    Ok(line.into())
}

fn calling(lab: &mut LabContext, ours_speaks: &str, strongswan_speaks: u8) -> Result<Report, LabError> {
    let couple = Couple::start(lab, &ours(ours_speaks), &swan(strongswan_speaks))?;
    let reason = wait_for("a reason in our status", SOON, || {
        let connection = couple.ours.connection(SITE)?;
        ensure(connection["state"] != "up", || "it came up".to_owned())?;
        let reason = &connection["reason"];
        let final_word = !reason.is_null() && reason["code"] != "negotiating" && reason["code"] != "idle";
        Ok(final_word.then(|| reason.to_string()))
    })?;
    couple.ensure_silent()?;
    Ok(reason.into())
}

fn fall_back(lab: &mut LabContext) -> Result<Report, LabError> {
    let couple = Couple::start(lab, &ours("both"), &swan(1))?;
    couple.ours.wait_up(SITE, 1, SOON)?;
    couple.ensure_works()?;
    let line = said(&couple, &["IKEv2", "IKEv1", "next try"])?;
    let sas = couple.swan.sas()?;
    ensure(sas.iter().all(|sa| sa.version == "1"), || format!("not IKEv1: {sas:?}"))?;
    Ok(line.into())
}

fn answer(lab: &mut LabContext) -> Result<Report, LabError> {
    let couple =
        Couple::start_with(lab, Internet::Direct, &ours("both").passive(), &swan(1), &CharonOptions::default())?;
    for version in [1, 2] {
        couple.swan.reload(&swan(version))?;
        couple.swan.initiate(NET)?;
        couple.ensure_works()?;
        let sas = couple.swan.sas()?;
        ensure(sas.iter().all(|sa| sa.version == version.to_string()), || format!("not IKEv{version}: {sas:?}"))?;
        couple.swan.terminate_ike(SITE)?;
        couple.ours.wait_down(SITE, SOON)?;
    }
    Ok("IKEv1 and IKEv2".to_owned().into())
}
