//! HMAC-SHA2-256 of 96 bits, as the draft before RFC 4868 had it and old peers still do: where both ends say so traffic
//! passes, and where one does not know of it our log says what is wrong at each end. (strongSwan's libipsec lacks it.)

use std::time::Duration;

use super::{Net, PAIR, Pair, Plan, Tunnel};
use crate::error::{LabError, ensure};
use crate::labs::setup::{SITE, SOON};
use crate::process::wait_for;
use crate::registry::{Lab, LabContext, Report};
use crate::topology::{Internet, address};
use crate::traffic::{echo, transfer};
use crate::underpass::Underpass;

pub(super) const LABS: &[Lab] = &[
    Lab { name: "pair_sha256_of_96_bits_where_both_say_so", needs: PAIR, run: both },
    Lab { name: "pair_sha256_of_96_bits_at_one_end_is_diagnosed", needs: PAIR, run: one },
];

/// This version of IKE, and 96 bits or 128.
fn plan(version: &str, truncated: bool) -> Plan {
    let child = Net::first().line("esp_proposals = [\"aes128-sha256\"]").line(format!("sha256_96 = {truncated}"));
    let tunnel = Tunnel::site().line(format!("ike_version = \"{version}\""));
    tunnel.line("ike_proposals = [\"aes128-sha256-modp2048\"]").with(vec![child]).into()
}

fn both(lab: &mut LabContext) -> Result<Report, LabError> {
    let mut pair = Pair::connected(lab, &plan("ikev1", true))?;
    let mut accounts = Vec::new();
    for version in ["ikev1", "ikev2"] {
        if version == "ikev2" {
            for (end, gateway) in [&mut pair.g1, &mut pair.g2].into_iter().enumerate() {
                gateway.rewrite(&plan(version, true).render(end))?;
                gateway.expect(&["reload"])?;
            }
            wait_for("IKEv2 at both ends", SOON, || {
                let ike = pair.g1.connection(SITE)?["ike"].clone();
                Ok((ike["version"] == "ikev2").then_some(()))
            })?;
        }
        pair.ensure_works()?;
        let tcp = transfer(&pair.sites.c1, &pair.sites.c2, address::C2, 5002, 1 << 20, SOON)?;
        accounts.push(format!("{version}: {tcp}"));
    }
    Ok(accounts.join("; ").into())
}

fn one(lab: &mut LabContext) -> Result<Report, LabError> {
    let sites = lab.sites(Internet::Direct)?;
    let (old, new) = (plan("ikev1", true), plan("ikev1", false));
    let g2 = lab.underpass(&sites.g2, "g2", &old.render(1), &old.secrets())?;
    let g1 = lab.underpass(&sites.g1, "g1", &new.render(0), &new.secrets())?;
    let pair = Pair { g1, g2, sites };
    pair.wait_up(SOON)?;
    for (from, to) in [(&pair.sites.c1, address::C2), (&pair.sites.c2, address::C1)] {
        let pings = echo(from, to, 2, Duration::from_millis(300))?;
        ensure(pings.received == 0, || format!("{pings} to {to} although the ends truncate to other lengths"))?;
    }
    // Each end is told what to do at that end.
    let said = [diagnosis(&pair.g1, "set sha256_96 = true")?, diagnosis(&pair.g2, "leave sha256_96 out")?];
    Ok(said.join("; ").into())
}

fn diagnosis(gateway: &Underpass, remedy: &str) -> Result<String, LabError> {
    wait_for(&format!("our log saying {remedy}"), SOON, || {
        let log = gateway.log();
        let line = log.lines().find(|line| line.contains("96") && line.contains(remedy));
        Ok(line.map(|line| line.get(25..).unwrap_or(line).to_owned()))
    })
}
