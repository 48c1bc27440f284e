//! A gateway that crashes, is stopped, started again, or given another configuration: nothing leaves in clear, and what
//! does not concern a tunnel does not disturb it.

use std::time::Duration;

use super::{Net, PAIR, Pair, Plan, Tunnel, finish_complete};
use crate::error::{LabError, ensure};
use crate::labs::setup::{RATE, SITE, SOON, let_flow};
use crate::process::wait_for;
use crate::registry::{Lab, LabContext, Report};
use crate::topology::{Internet, Sites, address};
use crate::traffic::{Eavesdropper, Overheard, echo};
use crate::world::NetNs;

/// How long a tunnel may take to come back by itself.
const HEALED: Duration = Duration::from_secs(30);

pub(super) const LABS: &[Lab] = &[
    Lab { name: "pair_crash_of_the_initiator_leaks_nothing_and_heals", needs: PAIR, run: |lab| crash(lab, 0) },
    Lab { name: "pair_crash_of_the_responder_leaks_nothing_and_heals", needs: PAIR, run: |lab| crash(lab, 1) },
    Lab { name: "pair_orderly_stop_tells_the_peer_and_removes_routes", needs: PAIR, run: |lab| stop(lab, false) },
    Lab { name: "pair_orderly_stop_keeps_unreachable_routes_if_told", needs: PAIR, run: |lab| stop(lab, true) },
    Lab { name: "pair_reload_disturbs_only_what_changed", needs: PAIR, run: reload },
];

/// Two sites with a router in the middle, where somebody listens.
fn overheard(lab: &mut LabContext) -> Result<(Sites, Eavesdropper), LabError> {
    let sites = lab.sites(Internet::Routed)?;
    let ear = Eavesdropper::start(sites.router()?, None)?;
    Ok((sites, ear))
}

fn far_apart(tunnel: Tunnel) -> Tunnel {
    tunnel.between(address::G1_PRIVATE, address::G2_PRIVATE)
}

fn crash(lab: &mut LabContext, end: usize) -> Result<Report, LabError> {
    let (sites, ear) = overheard(lab)?;
    let mut pair = Pair::start_in(lab, sites, &far_apart(Tunnel::site()).watchful().into())?;
    pair.ensure_works()?;
    let streams = pair.streams()?;
    let_flow(&streams, 500)?;
    let at = [pair.sites.g1.clone(), pair.sites.g2.clone()][end].clone();
    [&mut pair.g1, &mut pair.g2][end].kill9();
    let sent = streams[end].sent();
    wait_for("a second of traffic towards the crashed gateway", SOON, || {
        Ok((streams[end].sent() > sent + u64::from(RATE)).then_some(()))
    })?;
    let protected = [address::NET2, address::NET1][end];
    ensure(blocked(&at)?.contains(protected), || format!("no unreachable route to {protected} after the crash"))?;
    [&mut pair.g1, &mut pair.g2][end].restart(&at)?;
    pair.wait_up(HEALED)?;
    let_flow(&streams, 500)?;
    let [there, back] = streams;
    let account = format!("there: {}; back: {}", there.finish()?, back.finish()?);
    pair.ensure_works()?;
    let heard = ear.ensure_nothing_in_clear()?;
    heard_at_least(&heard, 1000)?;
    Ok(format!("{heard}; across the crash {account}").into())
}

/// Whoever heard nothing has not shown that nothing was said.
fn heard_at_least(heard: &Overheard, packets: u64) -> Result<(), LabError> {
    ensure(heard.esp + heard.esp_in_udp > packets, || format!("the eavesdropper heard too little: {heard}"))
}

/// The unreachable routes.
fn blocked(at: &NetNs) -> Result<String, LabError> {
    at.run("ip", &["route", "show", "type", "unreachable"])
}

fn stop(lab: &mut LabContext, keep: bool) -> Result<Report, LabError> {
    let (sites, ear) = overheard(lab)?;
    let setting = if keep { "keep" } else { "remove" };
    let plan = Plan::from(far_apart(Tunnel::site())).gateway_line(format!("unreachable_on_stop = \"{setting}\""));
    let mut pair = Pair::start_in(lab, sites, &plan)?;
    pair.ensure_works()?;
    let code = pair.g1.stop()?;
    ensure(code == Some(0), || format!("SIGTERM ended it with {code:?}"))?;
    wait_for("the peer having no SA", Duration::from_secs(3), || {
        Ok((pair.g2.connection(SITE)?["ike"].is_null()).then_some(()))
    })?;
    let left = pair.sites.g1.run("ip", &["link", "show"])?;
    ensure(!left.contains("underpass0"), || format!("the interface is still there: {left}"))?;
    ensure(blocked(&pair.sites.g1)?.contains(address::NET2) == keep, || {
        format!("told to {setting} unreachable routes, and has {:?}", blocked(&pair.sites.g1))
    })?;
    if keep {
        let none = echo(&pair.sites.c1, address::C2, 3, Duration::from_millis(200))?;
        ensure(none.received == 0, || format!("{none} without a gateway"))?;
    }
    // The other end still runs, and still blocks.
    let none = echo(&pair.sites.c2, address::C1, 3, Duration::from_millis(200))?;
    ensure(none.received == 0, || format!("{none} without a tunnel"))?;
    let at = pair.sites.g1.clone();
    pair.g1.restart(&at)?;
    pair.ensure_works()?;
    let heard = ear.ensure_nothing_in_clear()?;
    Ok(heard.to_string().into())
}

/// Of two connections one gets other networks and lifetimes; the streams of the other lose nothing, and its SAs stay.
fn reload(lab: &mut LabContext) -> Result<Report, LabError> {
    let (sites, ear) = overheard(lab)?;
    sites.add_second_networks()?;
    let other = |nets: [&'static str; 2]| Tunnel {
        name: "other",
        ..far_apart(Tunnel::site()).with(vec![Net::between("more", nets[0], nets[1])])
    };
    let plan = |other| Plan { gateway: Vec::new(), tunnels: vec![far_apart(Tunnel::site()), other] };
    let before = plan(other([address::MORE1, address::MORE2]));
    let pair = Pair::start_in(lab, sites, &before)?;
    pair.ensure_works()?;
    let site = pair.agreed(SITE)?;
    let replaced = pair.agreed("other")?;
    pair.ensure_echoes(address::C1_MORE, address::C2_MORE)?;
    let streams = pair.streams()?;
    let_flow(&streams, 500)?;

    // The peer first, then we: one by the signal, one by the command.
    let after = plan(other(["10.91.2.0/25", "10.93.2.0/25"]).line("ike_lifetime_seconds = 3000"));
    pair.g2.rewrite(&after.render(1))?;
    pair.g2.hang_up()?;
    pair.g1.rewrite(&after.render(0))?;
    let told = pair.g1.expect(&["reload"])?;
    ensure(told.contains("other"), || format!("reload does not name what changed: {told}"))?;
    wait_for("the changed connection being up with its new networks", SOON, || {
        let children = pair.g1.connection("other")?["children"].to_string();
        Ok((children.contains("10.93.2.0/25") && pair.agreed("other")? != replaced).then_some(()))
    })?;
    pair.ensure_echoes(address::C1_MORE, address::C2_MORE)?;
    let_flow(&streams, 500)?;

    // A file that cannot be read changes nothing at all.
    pair.g1.rewrite("[connection.site]\nremote_adress = \"192.0.2.2\"\n")?;
    pair.g1.hang_up()?;
    wait_for("the refusal in the log", SOON, || Ok(pair.g1.log().contains("remote_adress").then_some(())))?;
    let_flow(&streams, 500)?;
    let account = finish_complete(streams, 1500)?;
    ensure(pair.agreed(SITE)? == site, || "the connection that did not change got other SAs".to_owned())?;
    let heard = ear.ensure_nothing_in_clear()?;
    Ok(format!("streams beside the change, {account}; {heard}").into())
}
