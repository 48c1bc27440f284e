//! Deleting either phase from either end (RFC 2408 §3.15): the other end has nothing left, and nothing passes.

use super::{LEGACY, Rekeyed};
use crate::error::LabError;
use crate::labs::setup::{COUPLE, Couple, NET, Ours, SITE, SOON};
use crate::process::wait_for;
use crate::registry::{Lab, LabContext, Report};

pub(super) const LABS: &[Lab] = &[
    Lab { name: "v1_delete_by_us_leaves_nothing_at_strongswan", needs: COUPLE, run: by_us },
    Lab { name: "v1_delete_by_strongswan_leaves_nothing_here", needs: COUPLE, run: by_strongswan },
    Lab { name: "v1_delete_child_by_either_end_and_create_another", needs: COUPLE, run: child },
    Lab { name: "v1_an_orderly_stop_deletes_the_sas_at_strongswan", needs: COUPLE, run: stop },
];

fn waiting_couple(lab: &mut LabContext) -> Result<Couple, LabError> {
    let couple = Couple::start(lab, &LEGACY.ours(Ours::at_g1()).passive(), &LEGACY.swan_at_g2())?;
    couple.swan.initiate(NET)?;
    couple.ensure_works()?;
    Ok(couple)
}

fn nothing_at_strongswan(couple: &Couple) -> Result<(), LabError> {
    wait_for("strongSwan having no SA", SOON, || Ok(couple.swan.sas()?.is_empty().then_some(())))
}

/// Neither the connection, nor an SA of either phase that was there before; what takes in packets under way goes soon.
fn nothing_here(couple: &Couple) -> Result<(), LabError> {
    couple.ours.wait_down(SITE, SOON)?;
    wait_for("nothing being left here", SOON, || {
        let connection = couple.ours.connection(SITE)?;
        let children = connection["children"].as_array().cloned().unwrap_or_default();
        let sas: u64 = children.iter().filter_map(|child| child["sas"].as_u64()).sum();
        Ok((connection["ike"].is_null() && sas == 0).then_some(()))
    })
}

fn by_us(lab: &mut LabContext) -> Result<Report, LabError> {
    let couple = waiting_couple(lab)?;
    // With SAs about that were replaced.
    let mut rekeyed = Rekeyed::since(&couple)?;
    couple.ours.rekey_child(SITE, NET)?;
    rekeyed.child(&couple)?;
    couple.ours.rekey_ike(SITE)?;
    rekeyed.ike(&couple)?;
    couple.ours.down(SITE)?;
    nothing_at_strongswan(&couple)?;
    nothing_here(&couple)?;
    couple.ensure_silent()?;
    couple.ours.up(SITE)?;
    couple.ensure_works()?;
    Ok(Report::default())
}

fn by_strongswan(lab: &mut LabContext) -> Result<Report, LabError> {
    let couple = waiting_couple(lab)?;
    let mut rekeyed = Rekeyed::since(&couple)?;
    couple.swan.rekey_child(NET)?;
    rekeyed.child(&couple)?;
    couple.swan.rekey_youngest_ike()?;
    rekeyed.ike(&couple)?;
    couple.swan.terminate_ike(SITE)?;
    nothing_here(&couple)?;
    couple.ensure_silent()?;
    couple.swan.initiate(NET)?;
    couple.ensure_works()?;
    Ok(Report::default())
}

fn child(lab: &mut LabContext) -> Result<Report, LabError> {
    let couple = waiting_couple(lab)?;
    couple.ours.down_child(SITE, NET)?;
    wait_for("strongSwan having no child", SOON, || Ok(couple.swan.installed()?.is_empty().then_some(())))?;
    wait_for("the child being gone at our end", SOON, || Ok(couple.ours.installed(SITE)?.is_empty().then_some(())))?;
    couple.ensure_silent()?;
    couple.ours.up(SITE)?;
    couple.ensure_works()?;
    couple.swan.terminate_child(NET)?;
    wait_for("the child being gone at our end", SOON, || Ok(couple.ours.installed(SITE)?.is_empty().then_some(())))?;
    couple.ensure_silent()?;
    couple.swan.initiate(NET)?;
    couple.ensure_works()?;
    Ok(Report::default())
}

fn stop(lab: &mut LabContext) -> Result<Report, LabError> {
    let mut couple = waiting_couple(lab)?;
    couple.ours.stop()?;
    nothing_at_strongswan(&couple)?;
    Ok(Report::default())
}
