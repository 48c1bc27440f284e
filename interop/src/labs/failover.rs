//! Two tunnels to the same place: what becomes of connections when one of them goes. What is asserted is survival and loss; how
//! long an interruption takes is measured by `cargo xtask bench failover`.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::setup::{SOON, let_flow};
use crate::error::{LabError, ensure};
use crate::process::wait_for;
use crate::registry::{Lab, LabContext, Need, Report};
use crate::topology::address;
use crate::traffic::{Eavesdropper, StreamReport, echo};
use crate::two_paths::{Connected, Cut, Far, TUNNELS, TwoPaths, finish};
use crate::underpass::Underpass;

const NEEDS: &[Need] = &[Need::Root, Need::Tun, Need::Nftables, Need::Underpass];
/// Packets of a stream that a black hole may cost: twice the time that the design gives it, for a machine that hesitates.
const MOST_LOST: u64 = 1000;

pub(super) const LABS: &[Lab] = &[
    Lab { name: "failover_black_hole_costs_no_connection", needs: NEEDS, run: black_hole },
    Lab { name: "failover_orderly_delete_loses_nothing", needs: NEEDS, run: orderly },
    Lab { name: "failover_killed_far_endpoint_costs_no_connection", needs: NEEDS, run: killed },
    Lab { name: "failover_inside_addresses_answer_through_their_own_tunnel", needs: NEEDS, run: inside },
    Lab { name: "failover_killed_gateway_leaves_nothing_in_clear", needs: NEEDS, run: own_crash },
];

/// Gateways of ours at every end: at the far side one, or one at each cable.
fn start(lab: &mut LabContext, far_gateways: usize) -> Result<Connected, LabError> {
    let paths = TwoPaths::build(&mut lab.world, far_gateways)?;
    log(lab);
    Connected::ours(&lab.world, paths, far_gateways)
}

fn log(lab: &LabContext) {
    for name in ["g1", "g2", "g3"] {
        lab.log_file(&format!("underpass {name}"), Underpass::log_path(&lab.world, name));
    }
}

fn far(connected: &mut Connected) -> Result<&mut Underpass, LabError> {
    match &mut connected.far {
        Far::Ours(gateways) => gateways.first_mut().ok_or_else(|| LabError::Harness("no far gateway".to_owned())),
        Far::StrongSwan(_) => Err(LabError::Harness("the far gateways are not ours".to_owned())),
    }
}

fn ensure_short(report: &StreamReport, which: &str) -> Result<(), LabError> {
    ensure(report.lost() + report.refused <= MOST_LOST, || format!("{which}: {report}"))
}

/// The cable of the tunnel that carries swallows everything, under streams and a transfer.
fn black_hole(lab: &mut LabContext) -> Result<Report, LabError> {
    let both = start(lab, 1)?;
    let streams = both.streams()?;
    let by_tcp = both.transfer(|| both.paths.cut(0, Cut::Both))?;
    both.wait_roles(["suspect", "active"], SOON)?;
    let_flow(&streams, 500)?;
    let connection = both.g1.connection(TUNNELS[0])?;
    ensure(connection["state"] == "up", || format!("suspect is not dead, but its SAs are gone: {connection}"))?;
    both.paths.cut(0, Cut::Nothing)?;
    both.wait_roles(["held", "active"], SOON)?;
    let_flow(&streams, 500)?;
    let [there, back] = finish(streams)?;
    ensure_short(&there, "there")?;
    ensure_short(&back, "back")?;
    Ok(format!("{by_tcp}; there: {there}; back: {back}").into())
}

/// A tunnel taken down at either end: its traffic is in the other before the last packet arrives.
fn orderly(lab: &mut LabContext) -> Result<Report, LabError> {
    let mut both = start(lab, 1)?;
    let streams = both.streams()?;
    let by_tcp = both.transfer(|| both.g1.down(TUNNELS[0]))?;
    both.wait_roles(["down", "active"], SOON)?;
    both.g1.up(TUNNELS[0])?;
    both.wait_roles(["active", "standby"], SOON)?;
    let_flow(&streams, 500)?;
    far(&mut both)?.down(TUNNELS[0])?;
    both.wait_roles(["down", "active"], SOON)?;
    let_flow(&streams, 500)?;
    let [there, back] = finish(streams)?;
    there.ensure_complete(2000)?;
    back.ensure_complete(2000)?;
    Ok(format!("{by_tcp}; there: {there}; back: {back}").into())
}

/// One of two far gateways dies; the far site's router sends through the other as soon as it knows.
fn killed(lab: &mut LabContext) -> Result<Report, LabError> {
    let mut both = start(lab, 2)?;
    let streams = both.streams()?;
    let Far::Ours(gateways) = &mut both.far else { return Err(LabError::Harness("gateways of ours".to_owned())) };
    let mut dying = gateways.remove(0);
    let by_tcp = both.transfer(|| {
        dying.kill9();
        both.paths.far_client_uses(1)
    })?;
    both.wait_roles(["suspect", "active"], SOON)?;
    let_flow(&streams, 500)?;
    let [there, back] = finish(streams)?;
    ensure_short(&there, "there")?;
    ensure_short(&back, "back")?;
    Ok(format!("{by_tcp}; there: {there}; back: {back}").into())
}

/// The inside addresses answer ping from either end, also while the tunnel is not the one that carries.
fn inside(lab: &mut LabContext) -> Result<Report, LabError> {
    let both = start(lab, 1)?;
    let mut told = Vec::new();
    for tunnel in 0..2u8 {
        for (from, last) in [(&both.paths.g1, 1), (&both.paths.far[0], 2)] {
            let far = Ipv4Addr::new(169, 254, 10, 4 * tunnel + last);
            let pings = echo(from, far, 3, Duration::from_secs(2))?;
            ensure(pings.received == pings.sent, || format!("{pings} from inside address {far}"))?;
            told.push(far.to_string());
        }
        let connection = both.g1.connection(TUNNELS[usize::from(tunnel)])?;
        let packets = connection["children"][0]["packets_in"].as_u64().unwrap_or_default();
        ensure(packets >= 6, || format!("{packets} packets came through tunnel {}", tunnel + 1))?;
    }
    let addresses = both.paths.g1.run("ip", &["-4", "-o", "address", "show", "dev", "underpass0"])?;
    ensure(addresses.matches("169.254.10.").count() == 2, || format!("addresses of the interface: {addresses}"))?;
    Ok(format!("answered: {}", told.join(", ")).into())
}

/// Our own gateway is killed under traffic: the outside sees not one packet of the sites in clear, until it is back.
fn own_crash(lab: &mut LabContext) -> Result<Report, LabError> {
    let paths = TwoPaths::build(&mut lab.world, 1)?;
    let ears = [Eavesdropper::start(&paths.far[0], Some("wan1"))?, Eavesdropper::start(&paths.far[0], Some("wan2"))?];
    log(lab);
    let mut both = Connected::ours(&lab.world, paths, 1)?;
    let streams = both.streams()?;
    both.g1.kill9();
    let refused = wait_for("traffic without a gateway", SOON, || {
        let out = echo(&both.paths.c1, address::C2, 3, Duration::from_millis(300))?;
        Ok((out.received == 0).then_some(out.sent))
    })?;
    both.g1.restart(&both.paths.g1)?;
    both.wait_roles(["active", "standby"], SOON)?;
    let_flow(&streams, 500)?;
    let [there, back] = finish(streams)?;
    let mut heard = Vec::new();
    for ear in ears {
        heard.push(ear.ensure_nothing_in_clear()?.to_string());
    }
    Ok(format!("{refused} pings answered by nobody; there: {there}; back: {back}; {}", heard.join("; ")).into())
}
