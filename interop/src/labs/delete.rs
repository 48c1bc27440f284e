//! Deleting children and IKE SAs from either end (RFC 7296 §1.4.1), and new children under an old IKE SA (§1.3.1).

use super::setup::{COUPLE, Couple, NET, Ours, SITE, SOON, swan_at_g2};
use crate::error::LabError;
use crate::process::wait_for;
use crate::registry::{Lab, LabContext, Report};

pub(super) const LABS: &[Lab] = &[
    Lab { name: "delete_ike_by_us", needs: COUPLE, run: ike_by_us },
    Lab { name: "delete_ike_by_strongswan", needs: COUPLE, run: ike_by_strongswan },
    Lab { name: "delete_child_by_us_and_create_another", needs: COUPLE, run: child_by_us },
    Lab { name: "delete_child_by_strongswan_and_create_another", needs: COUPLE, run: child_by_strongswan },
];

fn waiting_couple(lab: &mut LabContext) -> Result<Couple, LabError> {
    let couple = Couple::start(lab, &Ours::at_g1().passive(), &swan_at_g2())?;
    couple.swan.initiate(NET)?;
    couple.ensure_works()?;
    Ok(couple)
}

fn ike_by_us(lab: &mut LabContext) -> Result<Report, LabError> {
    let couple = waiting_couple(lab)?;
    couple.ours.down(SITE)?;
    wait_for("strongSwan having no SA", SOON, || Ok(couple.swan.sas()?.is_empty().then_some(())))?;
    couple.ours.wait_down(SITE, SOON)?;
    couple.ensure_silent()?;
    Ok(Report::default())
}

fn ike_by_strongswan(lab: &mut LabContext) -> Result<Report, LabError> {
    let couple = waiting_couple(lab)?;
    couple.swan.terminate_ike(SITE)?;
    couple.ours.wait_down(SITE, SOON)?;
    couple.ensure_silent()?;
    couple.swan.initiate(NET)?;
    couple.ours.wait_up(SITE, 1, SOON)?;
    Ok(Report::default())
}

fn child_by_us(lab: &mut LabContext) -> Result<Report, LabError> {
    let couple = waiting_couple(lab)?;
    let ike = only_ike(&couple)?;
    couple.ours.down_child(SITE, NET)?;
    wait_for("strongSwan having no child", SOON, || Ok(couple.swan.installed()?.is_empty().then_some(())))?;
    wait_for("the child being gone at our end", SOON, || Ok(couple.ours.installed(SITE)?.is_empty().then_some(())))?;
    couple.ours.up(SITE)?;
    couple.ensure_works()?;
    same_ike(&couple, &ike)
}

fn child_by_strongswan(lab: &mut LabContext) -> Result<Report, LabError> {
    let couple = waiting_couple(lab)?;
    let ike = only_ike(&couple)?;
    couple.swan.terminate_child(NET)?;
    wait_for("the child being gone at our end", SOON, || Ok(couple.ours.installed(SITE)?.is_empty().then_some(())))?;
    couple.swan.initiate(NET)?;
    couple.ensure_works()?;
    same_ike(&couple, &ike)
}

fn only_ike(couple: &Couple) -> Result<(String, String), LabError> {
    let mut sas = couple.swan.sas()?;
    match (sas.pop(), sas.pop()) {
        (Some(sa), None) => Ok(sa.spis),
        (first, second) => Err(LabError::Broken(format!("not exactly one IKE SA: {first:?} {second:?}"))),
    }
}

fn same_ike(couple: &Couple, before: &(String, String)) -> Result<Report, LabError> {
    let now = only_ike(couple)?;
    crate::error::ensure(now == *before, || "the IKE SA did not survive its child".to_owned())?;
    Ok(Report::default())
}
