//! NAT before both gateways, and tunnels that only their first packet brings up: none of them is lost.

use std::time::Duration;

use super::{Net, PAIR, Pair, Tunnel, finish_complete};
use crate::error::{LabError, ensure};
use crate::labs::setup::{NET, SITE, SOON, let_flow};
use crate::process::wait_for;
use crate::registry::{Lab, LabContext, Report};
use crate::topology::{Internet, address};
use crate::traffic::{Eavesdropper, echo, transfer};

pub(super) const LABS: &[Lab] = &[
    Lab { name: "pair_behind_nat_at_both_ends", needs: PAIR, run: both_ends },
    Lab { name: "pair_behind_nat_rebinding_is_followed", needs: PAIR, run: rebinding },
    Lab { name: "pair_on_demand_first_ping_is_answered", needs: PAIR, run: first_ping },
    Lab { name: "pair_on_demand_first_tcp_connection_works", needs: PAIR, run: first_connection },
];

/// Gateway 1 behind one NAT, gateway 2 behind another which forwards IKE's ports to it.
fn behind_both() -> Tunnel {
    Tunnel { local: [address::G1_PRIVATE, address::G2_PRIVATE].map(|address| address.to_string()), ..Tunnel::site() }
}

fn both_ends(lab: &mut LabContext) -> Result<Report, LabError> {
    let sites = lab.sites(Internet::NatBoth)?;
    let ear = Eavesdropper::start(sites.router()?, None)?;
    let pair = Pair::start_in(lab, sites, &behind_both().into())?;
    pair.ensure_works()?;
    for gateway in [&pair.g1, &pair.g2] {
        let nat = gateway.connection(SITE)?["nat"].clone();
        ensure(nat == "both", || format!("a NAT at both ends, and the status says {nat}"))?;
    }
    let streams = pair.streams()?;
    let_flow(&streams, 400)?;
    let mut before = pair.agreed(SITE)?;
    for round in 0..4 {
        let gateway = [&pair.g1, &pair.g2][round % 2];
        if round < 2 {
            gateway.rekey_child(SITE, NET)?
        } else {
            gateway.rekey_ike(SITE)?
        }
        before = wait_for("new SAs", SOON, || Ok(Some(pair.agreed(SITE)?).filter(|now| *now != before)))?;
        let_flow(&streams, 300)?;
    }
    let account = finish_complete(streams, 1600)?;
    pair.ensure_works()?;
    let heard = ear.ensure_nothing_in_clear()?;
    ensure(heard.esp == 0 && heard.esp_in_udp > 0, || format!("plain ESP through a NAT: {heard}"))?;
    Ok(format!("{account}; {heard}").into())
}

/// The NAT before gateway 1 forgets its mapping, and then gets another address; gateway 2 follows, with the same SAs.
fn rebinding(lab: &mut LabContext) -> Result<Report, LabError> {
    let mut tunnel = Tunnel::site().watchful();
    tunnel.local[0] = address::G1_PRIVATE.to_string();
    let pair = Pair::start(lab, Internet::Nat, &tunnel.into())?;
    pair.ensure_works()?;
    let before = pair.agreed(SITE)?;
    let streams = pair.streams()?;
    let_flow(&streams, 300)?;
    for rebind in [crate::topology::Sites::rebind_port, crate::topology::Sites::rebind_address] {
        rebind(&pair.sites)?;
        let_flow(&streams, 500)?;
    }
    let [there, back] = streams;
    let account = format!("there: {}; back: {}", there.finish()?, back.finish()?);
    pair.ensure_works()?;
    let remote = pair.g2.connection(SITE)?["remote"].to_string();
    ensure(remote.contains(&address::G1_MOVED.to_string()), || format!("the peer is still {remote}"))?;
    ensure(pair.agreed(SITE)? == before, || "the rebinding cost the tunnel its SAs".to_owned())?;
    Ok(format!("across two rebindings {account}").into())
}

/// A tunnel that waits for traffic, at both ends.
fn on_demand() -> Tunnel {
    let child = Net { start: ["on-demand", "on-demand"], ..Net::first() };
    Tunnel::site().with(vec![child])
}

/// No tunnel, and nobody makes one as long as nobody sends.
fn waiting(lab: &mut LabContext) -> Result<Pair, LabError> {
    let pair = Pair::start(lab, Internet::Direct, &on_demand().into())?;
    for gateway in [&pair.g1, &pair.g2] {
        ensure(gateway.connection(SITE)?["ike"].is_null(), || "there is a tunnel without demand".to_owned())?;
    }
    Ok(pair)
}

fn first_ping(lab: &mut LabContext) -> Result<Report, LabError> {
    let pair = waiting(lab)?;
    let first = echo(&pair.sites.c1, address::C2, 1, Duration::from_secs(5))?;
    ensure(first.received == 1, || format!("the first ping: {first}"))?;
    pair.ensure_works()?;
    Ok(first.to_string().into())
}

fn first_connection(lab: &mut LabContext) -> Result<Report, LabError> {
    let pair = waiting(lab)?;
    // From the side of gateway 2: either end may be the one with traffic.
    let report = transfer(&pair.sites.c2, &pair.sites.c1, address::C1, 5002, 1 << 20, SOON)?;
    pair.ensure_works()?;
    let again = pair.sites.c2.syn_retransmissions()?;
    ensure(again == 0, || format!("the first SYN was lost, and sent again {again} times: {report}"))?;
    Ok(report.to_string().into())
}
