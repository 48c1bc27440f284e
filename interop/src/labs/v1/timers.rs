//! Both phases end and are begun anew by the timers of both ends, under a stream each way, of which no packet may be
//! missing. The lifetimes a managed service names are 28800 and 3600 seconds; here they are some seconds long. Of each
//! phase one end's timer comes first, and in the other role it is the other way round.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{LEGACY, said, swan_child, swan_ike};
use crate::error::{LabError, ensure};
use crate::labs::setup::{COUPLE, Couple, NET, Ours, finish, let_flow};
use crate::registry::{Lab, LabContext, Report};
use crate::strongswan::{CharonOptions, SwanConnection};
use crate::topology::Internet;

/// How long the streams run.
const LONG: Duration = Duration::from_secs(24);

pub(super) const LABS: &[Lab] = &[
    Lab { name: "v1_timers_rekey_phase_2_by_us_and_phase_1_by_strongswan", needs: COUPLE, run: by_us },
    Lab { name: "v1_timers_rekey_phase_2_by_strongswan_and_phase_1_by_us", needs: COUPLE, run: by_strongswan },
];

/// Ours with these lifetimes.
fn ours(ike: u32, child: u32) -> Ours {
    let mut ours = LEGACY.ours(Ours::at_g1());
    ours.connection.push(format!("ike_lifetime_seconds = {ike}"));
    ours.connection.extend(["rekey_margin_seconds = 3", "rekey_fuzz_percent = 30"].map(str::to_owned));
    ours.child.push(format!("lifetime_seconds = {child}"));
    ours
}

/// strongSwan with rekeyings after these times; its lifetimes are longer by as much as its jitter and some.
fn swan(ike: u32, child: u32) -> SwanConnection {
    let mut swan = LEGACY.swan_at_g2();
    swan.rekey_seconds = ike;
    swan.extra.push("rand_time = 1s".to_owned());
    for net in &mut swan.children {
        net.rekey_seconds = child;
        net.extra.extend(["rand_time = 1s".to_owned(), format!("life_time = {}s", child + 5)]);
    }
    swan
}

fn by_us(lab: &mut LabContext) -> Result<Report, LabError> {
    let options = CharonOptions::default();
    let couple = Couple::start_with(lab, Internet::Direct, &ours(60, 9), &swan(8, 60), &options)?;
    run(&couple)
}

fn by_strongswan(lab: &mut LabContext) -> Result<Report, LabError> {
    let options = CharonOptions::default();
    let couple = Couple::start_with(lab, Internet::Direct, &ours(12, 60).passive(), &swan(60, 6), &options)?;
    couple.swan.initiate(NET)?;
    run(&couple)
}

fn run(couple: &Couple) -> Result<Report, LabError> {
    couple.ensure_works()?;
    let (mut children, mut ikes) = (BTreeSet::new(), BTreeSet::new());
    let streams = couple.streams()?;
    let start = Instant::now();
    while start.elapsed() < LONG {
        children.extend(swan_child(couple)?);
        ikes.extend(swan_ike(couple)?);
        let_flow(&streams, 200)?;
    }
    let account = finish(streams, 10_000, &[&couple.swan_in])?;
    ensure(children.len() > 2, || format!("phase 2 was not begun anew twice: {children:?}"))?;
    ensure(ikes.len() > 1, || format!("phase 1 was not begun anew: {ikes:?}"))?;
    couple.ensure_works()?;
    // The two ends were configured with other lifetimes; who is called hears the caller's.
    said(couple, &["lifetime of the IKE SA", "the shorter counts"])?;
    Ok(format!("{} children, {} IKE SAs in use; {account}", children.len(), ikes.len()).into())
}
