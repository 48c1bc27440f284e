//! Disturbed paths: addresses that go and come back, cables cut, packets lost; and several connections between the same
//! two addresses, of which one's trouble is not the other's.

use std::time::Duration;

use super::{Net, PAIR, Pair, Plan, Tunnel, finish_complete};
use crate::error::{LabError, ensure};
use crate::labs::setup::{NET, SITE, SOON, let_flow};
use crate::process::wait_for;
use crate::registry::{Lab, LabContext, Report};
use crate::topology::{Internet, address};
use crate::traffic::{Eavesdropper, Stream, echo};

/// How long a tunnel may take to come back by itself.
const HEALED: Duration = Duration::from_secs(30);

pub(super) const LABS: &[Lab] = &[
    Lab { name: "pair_address_gone_and_back_heals", needs: PAIR, run: |lab| address_gone(lab, true) },
    Lab { name: "pair_address_gone_for_a_moment_costs_no_tunnel", needs: PAIR, run: |lab| address_gone(lab, false) },
    Lab { name: "pair_cut_cable_is_noticed_at_both_ends_and_heals", needs: PAIR, run: cut },
    Lab { name: "pair_20_percent_loss_costs_no_more_than_that", needs: PAIR, run: lossy },
    Lab { name: "pair_taken_down_stays_down_until_told", needs: PAIR, run: taken_down },
    Lab { name: "pair_several_connections_between_two_addresses", needs: PAIR, run: several },
];

/// Gateway 1 loses its address, and with it its routes; when they are back, so is the tunnel.
fn address_gone(lab: &mut LabContext, until_noticed: bool) -> Result<Report, LabError> {
    let sites = lab.sites(Internet::Direct)?;
    let ear = Eavesdropper::start(&sites.g2, Some("wan"))?;
    let pair = Pair::start_in(lab, sites, &Tunnel::site().watchful().into())?;
    pair.ensure_works()?;
    let before = pair.agreed(SITE)?;
    let stream = Stream::start(&pair.sites.c1, &pair.sites.c2, address::C2, 5001, 1000)?;
    stream.wait_received(300, SOON)?;
    pair.sites.g1.ip(&["address del 192.0.2.1/24 dev wan"])?;
    if until_noticed {
        for gateway in [&pair.g1, &pair.g2] {
            gateway.wait_down(SITE, HEALED)?;
        }
        let reason = pair.g1.connection(SITE)?["reason"].clone();
        ensure(!reason.is_null(), || "down, and the status gives no reason".to_owned())?;
    } else {
        std::thread::sleep(Duration::from_millis(800));
    }
    pair.sites.g1.ip(&["address add 192.0.2.1/24 dev wan", "route replace default via 192.0.2.2"])?;
    stream.wait_received(500, HEALED)?;
    let account = stream.finish()?;
    pair.ensure_works()?;
    ensure(until_noticed || pair.agreed(SITE)?[0] == before[0], || "a moment cost the tunnel its IKE SA".to_owned())?;
    let heard = ear.ensure_nothing_in_clear()?;
    Ok(format!("across the loss {account}; {heard}").into())
}

fn cut(lab: &mut LabContext) -> Result<Report, LabError> {
    let sites = lab.sites(Internet::Direct)?;
    let ear = Eavesdropper::start(&sites.g2, Some("wan"))?;
    let pair = Pair::start_in(lab, sites, &Tunnel::site().watchful().into())?;
    pair.ensure_works()?;
    let streams = pair.streams()?;
    let_flow(&streams, 300)?;
    pair.sites.cut(true)?;
    for gateway in [&pair.g1, &pair.g2] {
        gateway.wait_down(SITE, HEALED)?;
    }
    pair.sites.cut(false)?;
    pair.wait_up(HEALED)?;
    let_flow(&streams, 500)?;
    let [there, back] = streams;
    let account = format!("there: {}; back: {}", there.finish()?, back.finish()?);
    pair.ensure_works()?;
    let heard = ear.ensure_nothing_in_clear()?;
    Ok(format!("across the cut {account}; {heard}").into())
}

/// Rekeying goes on while every fifth packet is lost; the streams lose what the path loses and no more.
fn lossy(lab: &mut LabContext) -> Result<Report, LabError> {
    let tunnel = Tunnel::site().line("retransmit_initial_milliseconds = 200");
    let pair = Pair::connected(lab, &tunnel.into())?;
    pair.ensure_works()?;
    pair.sites.lose(20)?;
    let stream = Stream::start(&pair.sites.c1, &pair.sites.c2, address::C2, 5001, 1000)?;
    let mut before = pair.agreed(SITE)?;
    for round in 0..6 {
        match round % 3 {
            0 => pair.g1.rekey_child(SITE, NET)?,
            1 => pair.g2.rekey_child(SITE, NET)?,
            _ => pair.g1.rekey_ike(SITE)?,
        }
        before = wait_for("new SAs in spite of the losses", HEALED, || {
            let now = pair.agreed(SITE)?;
            Ok((now != before).then_some(now))
        })?;
        stream.wait_received(400, SOON)?;
    }
    pair.sites.lose(0)?;
    let report = stream.finish()?;
    pair.ensure_works()?;
    let share = report.lost() as f64 / report.sent as f64;
    ensure((0.15..0.25).contains(&share), || {
        format!("the path loses a fifth, the stream lost more or less: {report}")
    })?;
    Ok(format!("6 rekeyings; {report}").into())
}

/// What an operator took down, neither traffic nor the peer's operator brings up again.
fn taken_down(lab: &mut LabContext) -> Result<Report, LabError> {
    let child = Net { start: ["on-demand", "on-demand"], ..Net::first() };
    let sites = lab.sites(Internet::Direct)?;
    let ear = Eavesdropper::start(&sites.g2, Some("wan"))?;
    let pair = Pair::start_in(lab, sites, &Tunnel::site().with(vec![child]).into())?;
    pair.g1.up(SITE)?;
    pair.ensure_works()?;
    pair.g1.down(SITE)?;
    wait_for("the tunnel being gone at the other end", SOON, || {
        Ok(pair.g2.connection(SITE)?["ike"].is_null().then_some(()))
    })?;
    let none = echo(&pair.sites.c1, address::C2, 2, Duration::from_millis(300))?;
    ensure(none.received == 0, || format!("{none} through what was taken down"))?;
    // The peer may ask.
    pair.g2.control(&["up", SITE, "--timeout", "0"])?;
    wait_for("the refusal being told at the peer", SOON, || {
        Ok((!pair.g2.connection(SITE)?["reason"].is_null()).then_some(()))
    })?;
    let state = pair.g1.connection(SITE)?["state"].clone();
    ensure(state == "disabled", || format!("taken down, asked by the peer, and now {state}"))?;
    pair.g1.up(SITE)?;
    pair.ensure_works()?;
    let heard = ear.ensure_nothing_in_clear()?;
    Ok(heard.to_string().into())
}

/// Two connections with identities and keys of their own between the same two addresses. One is taken down and brought up
/// again, and rekeyed; the other's streams lose nothing.
fn several(lab: &mut LabContext) -> Result<Report, LabError> {
    let sites = lab.sites(Internet::Direct)?;
    sites.add_second_networks()?;
    let other =
        Tunnel { name: "other", ..Tunnel::site().with(vec![Net::between("more", address::MORE1, address::MORE2)]) };
    let plan = Plan { gateway: Vec::new(), tunnels: vec![Tunnel::site(), other] };
    let pair = Pair::start_in(lab, sites, &plan)?;
    pair.ensure_works()?;
    let site = pair.agreed(SITE)?;
    pair.agreed("other")?;
    pair.ensure_echoes(address::C1_MORE, address::C2_MORE)?;
    let streams = pair.streams()?;
    let_flow(&streams, 300)?;
    pair.g1.down("other")?;
    wait_for("the other connection being gone at both ends", SOON, || {
        let gone =
            |gateway: &crate::underpass::Underpass| Ok::<_, LabError>(gateway.connection("other")?["ike"].is_null());
        Ok((gone(&pair.g1)? && gone(&pair.g2)?).then_some(()))
    })?;
    let none = echo(&pair.sites.c1, address::C2_MORE, 2, Duration::from_millis(300))?;
    ensure(none.received == 0, || format!("{none} without the other connection"))?;
    pair.g1.up("other")?;
    pair.agreed("other")?;
    pair.ensure_echoes(address::C1_MORE, address::C2_MORE)?;
    pair.g2.rekey_ike("other")?;
    pair.g1.rekey_child("other", "more")?;
    let_flow(&streams, 300)?;
    let account = finish_complete(streams, 600)?;
    pair.agreed("other")?;
    ensure(pair.agreed(SITE)? == site, || "the undisturbed connection got other SAs".to_owned())?;
    Ok(account.into())
}
