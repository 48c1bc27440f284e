//! Labs of the labs: two strongSwan gateways speak IKEv1. What fails here is no fault of our gateway.
//!
//! strongSwan as initiator of quick mode sends on the new SA when it sends the third message, and as responder installs
//! it when it has that message: some packets are lost between the two. Our gateway must do better, and the labs with it
//! allow none.

use std::time::Duration;

use super::{LEGACY, STRONGER, Suite, behind_nat, for_anybody};
use crate::error::{LabError, ensure};
use crate::labs::setup::{self, NET, SOON};
use crate::process::wait_for;
use crate::registry::{Lab, LabContext, Need, Report};
use crate::strongswan::{CharonOptions, StrongSwan};
use crate::topology::{Internet, Sites, address};
use crate::traffic::{Stream, StreamReport, echo};

const NEEDS: &[Need] = &[Need::Root, Need::Tun, Need::Nftables, Need::StrongSwan];
/// Packets strongSwan may lose at each quick mode.
const LOST_AT_QUICK_MODE: u64 = 50;

pub(super) const LABS: &[Lab] = &[
    Lab {
        name: "strongswan_pair_v1_rekeys_phase_1_without_loss",
        needs: NEEDS,
        run: |lab| pair(lab, LEGACY, Internet::Direct),
    },
    Lab {
        name: "strongswan_pair_v1_behind_nat_rekeys_phase_1_without_loss",
        needs: NEEDS,
        run: |lab| pair(lab, STRONGER, Internet::Nat),
    },
];

fn pair(lab: &mut LabContext, suite: Suite, internet: Internet) -> Result<Report, LabError> {
    let sites = lab.sites(internet)?;
    let (mut one, mut two) = (suite.swan_at_g1(), suite.swan_at_g2());
    if internet == Internet::Nat {
        (one, two) = (behind_nat(one), for_anybody(two));
    }
    let g2 = lab.strongswan(&sites.g2, "g2", &two, &CharonOptions::default())?;
    let g1 = lab.strongswan(&sites.g1, "g1", &one, &CharonOptions::default())?;
    let before = echo(&sites.c1, address::C2, 1, Duration::from_millis(200))?;
    ensure(before.received == 0, || "the clients reach each other without a tunnel".to_owned())?;
    g1.initiate(NET)?;
    wait_for("the responder having installed the child", SOON, || Ok((g2.installed()?.len() == 1).then_some(())))?;
    let pings = echo(&sites.c1, address::C2, 3, Duration::from_secs(2))?;
    ensure(pings.received == 3, || pings.to_string())?;
    let children = g1.installed()?;
    ensure(
        children.len() == 1 && (children[0].encryption.as_str(), children[0].integrity.as_str()) == suite.listed,
        || format!("{children:?}"),
    )?;
    let phase_2 = rekeyed(&sites, || g1.rekey_child(NET).and_then(|()| g2.rekey_child(NET)))?;
    for report in phase_2 {
        ensure(report.lost() <= 2 * LOST_AT_QUICK_MODE, || format!("two rekeyings of phase 2: {report}"))?;
    }
    let phase_1 = rekeyed(&sites, || g1.rekey_youngest_ike().and_then(|()| g2.rekey_youngest_ike()))?;
    let adopted = |g: &StrongSwan| g.log().matches("detected reauth of existing IKE_SA, adopting").count();
    ensure(adopted(&g1) + adopted(&g2) >= 2, || "the children did not move to the new IKE SAs".to_owned())?;
    let [there, back] = phase_1;
    let overflowed = sites.g1.overflowed()? + sites.g2.overflowed()?;
    if there.lost() + back.lost() > 0 && there.lost() + back.lost() <= overflowed {
        return Err(LabError::Busy(format!("strongSwan's queues overflowed by {overflowed}")));
    }
    there.ensure_complete(1500)?;
    back.ensure_complete(1500)?;
    let lost = phase_2.map(|report| report.lost());
    Ok(format!("phase 1: none of {} lost; phase 2: {lost:?} lost", there.sent + back.sent).into())
}

/// What became of a stream each way during these rekeyings.
fn rekeyed(sites: &Sites, rekey: impl Fn() -> Result<(), LabError>) -> Result<[StreamReport; 2], LabError> {
    let streams = [
        Stream::start(&sites.c1, &sites.c2, address::C2, 5001, setup::RATE)?,
        Stream::start(&sites.c2, &sites.c1, address::C1, 5001, setup::RATE)?,
    ];
    setup::let_flow(&streams, 500)?;
    rekey()?;
    setup::let_flow(&streams, 1000)?;
    let [there, back] = streams;
    Ok([there.finish()?, back.finish()?])
}
