//! A NAT between the gateways (RFC 7296 §2.23, RFC 3948), and one that changes its mind: whoever is not behind it follows
//! the authenticated peer to its new address and port.

use std::time::Duration;

use super::setup::{COUPLE, Couple, NET, Ours, RATE, SITE, SOON, swan_at_g1, swan_at_g2};
use crate::error::{LabError, ensure};
use crate::process::wait_for;
use crate::registry::{Lab, LabContext, Report};
use crate::strongswan::CharonOptions;
use crate::topology::{Internet, Sites, address};
use crate::traffic::{Stream, echo};

/// How long a rebinding may interrupt: the longest of the two ends' DPD intervals and a retransmission.
const FOLLOWED: Duration = Duration::from_secs(15);

pub(super) const LABS: &[Lab] = &[
    Lab { name: "nat_before_us", needs: COUPLE, run: before_us },
    Lab { name: "nat_before_strongswan", needs: COUPLE, run: before_strongswan },
    Lab { name: "nat_rebinding_before_us_heals", needs: COUPLE, run: rebinding_before_us },
    Lab { name: "nat_rebinding_of_the_port_is_followed", needs: COUPLE, run: |lab| followed(lab, Sites::rebind_port) },
    Lab {
        name: "nat_rebinding_of_the_address_is_followed",
        needs: COUPLE,
        run: |lab| followed(lab, Sites::rebind_address),
    },
];

/// Ours as gateway 1 behind the NAT, strongSwan as gateway 2 in the open.
fn ours_inside(lab: &mut LabContext) -> Result<Couple, LabError> {
    let ours = Ours { dpd_seconds: 2, ..Ours::at_g1().with_local_address(address::G1_PRIVATE) };
    let mut swan = swan_at_g2();
    swan.remote_address = "%any".to_owned();
    Couple::start_with(lab, Internet::Nat, &ours, &swan, &CharonOptions::default())
}

/// strongSwan as gateway 1 behind the NAT, ours as gateway 2 in the open, waiting.
fn strongswan_inside(lab: &mut LabContext) -> Result<Couple, LabError> {
    let ours = Ours::at_g2();
    let mut swan = swan_at_g1();
    swan.local_address = address::G1_PRIVATE.to_string();
    swan.dpd_seconds = 2;
    let couple = Couple::start_with(lab, Internet::Nat, &ours, &swan, &CharonOptions::default())?;
    couple.swan.initiate(NET)?;
    Ok(couple)
}

fn before_us(lab: &mut LabContext) -> Result<Report, LabError> {
    let couple = ours_inside(lab)?;
    couple.ensure_works()?;
    let sas = couple.swan.sas()?;
    let (host, port) = &sas[0].remote;
    let translated = *host == address::G1.to_string() && (40_000..41_000).contains(port);
    ensure(translated, || format!("strongSwan sees {host}:{port}"))?;
    Ok(format!("strongSwan sees {host}:{port}").into())
}

fn before_strongswan(lab: &mut LabContext) -> Result<Report, LabError> {
    let couple = strongswan_inside(lab)?;
    couple.ensure_works()?;
    let remote = couple.ours.connection(SITE)?["remote"].to_string();
    ensure(remote.contains(&address::G1.to_string()), || format!("status has {remote} as the remote address"))?;
    Ok(format!("ours sees {remote}").into())
}

fn rebinding_before_us(lab: &mut LabContext) -> Result<Report, LabError> {
    let couple = ours_inside(lab)?;
    couple.ensure_works()?;
    heals(&couple, Sites::rebind_port)
}

fn followed(lab: &mut LabContext, rebind: fn(&Sites) -> Result<(), LabError>) -> Result<Report, LabError> {
    let couple = strongswan_inside(lab)?;
    couple.ensure_works()?;
    heals(&couple, rebind)
}

/// Traffic from behind the NAT goes on while it rebinds; soon traffic passes in both directions again, under the
/// same IKE SA. (strongSwan's libipsec cannot move a child to another address and replaces it.)
fn heals(couple: &Couple, rebind: fn(&Sites) -> Result<(), LabError>) -> Result<Report, LabError> {
    couple.ensure_works()?;
    let before = ike_spis(couple)?;
    let stream = Stream::start(&couple.sites.c1, &couple.sites.c2, address::C2, 5001, RATE)?;
    stream.wait_received(500, SOON)?;
    rebind(&couple.sites)?;
    wait_for("echoes passing from outside after the rebinding", FOLLOWED, || {
        let pings = echo(&couple.sites.c2, address::C1, 1, Duration::from_millis(500))?;
        Ok((pings.received == 1).then_some(()))
    })?;
    stream.wait_received(500, SOON)?;
    let report = stream.finish()?;
    couple.ensure_works()?;
    ensure(ike_spis(couple)? == before, || "the rebinding cost the tunnel its IKE SA".to_owned())?;
    Ok(format!("{report}").into())
}

fn ike_spis(couple: &Couple) -> Result<Vec<(String, String)>, LabError> {
    Ok(couple.swan.sas()?.into_iter().map(|sa| sa.spis).collect())
}
