//! What strangers do: aggressive mode, one pair of subnets per SA, fragments.

use std::time::Duration;

use super::refusals::with_aggressive;
use super::{LEGACY, STRONGER, Suite, said};
use crate::error::{LabError, ensure};
use crate::labs::setup::{COUPLE, Couple, NET, Ours, SITE, SOON};
use crate::process::wait_for;
use crate::registry::{Lab, LabContext, Report};
use crate::strongswan::{CharonOptions, SwanConnection};
use crate::topology::{Internet, address};
use crate::traffic::echo;

pub(super) const LABS: &[Lab] = &[
    Lab { name: "v1_aggressive_mode_works_when_on_and_warns", needs: COUPLE, run: aggressive },
    Lab { name: "v1_several_subnets_make_one_child_per_pair", needs: COUPLE, run: several_subnets },
    Lab { name: "v1_fragments_pass_in_both_directions", needs: COUPLE, run: fragments },
];

/// Ours as called, and strongSwan with the same suite.
fn ends(suite: Suite) -> (Ours, SwanConnection) {
    (suite.ours(Ours::at_g1()).passive(), suite.swan_at_g2())
}

/// Both roles after each other.
fn both_roles(couple: &Couple) -> Result<(), LabError> {
    couple.swan.initiate(NET)?;
    couple.ensure_works()?;
    couple.swan.terminate_ike(SITE)?;
    couple.ours.wait_down(SITE, SOON)?;
    couple.ours.up(SITE)?;
    couple.ensure_works().map(drop)
}

fn aggressive(lab: &mut LabContext) -> Result<Report, LabError> {
    let (mut ours, mut swan) = ends(LEGACY);
    ours.connection.push("aggressive = true".to_owned());
    swan.aggressive = true;
    let couple = Couple::start_with(lab, Internet::Direct, &ours, &swan, &with_aggressive())?;
    both_roles(&couple)?;
    let exchanges = couple.swan.log().matches("AGGRESSIVE").count();
    ensure(exchanges >= 6, || format!("{exchanges} messages of aggressive mode in strongSwan's log"))?;
    Ok(said(&couple, &["warn", "aggressive mode"])?.into())
}

fn several_subnets(lab: &mut LabContext) -> Result<Report, LabError> {
    let (mut ours, mut swan) = ends(LEGACY);
    ours.local_subnets.push(address::MORE1.to_owned());
    ours.remote_subnets.push(address::MORE2.to_owned());
    for child in &mut swan.children {
        child.local_ts = format!("{},{}", address::NET2, address::MORE2);
        child.remote_ts = format!("{},{}", address::NET1, address::MORE1);
    }
    let couple = Couple::start(lab, &ours, &swan)?;
    couple.sites.add_second_networks()?;
    couple.ours.up(SITE)?;
    couple.ours.wait_up(SITE, 4, SOON)?;
    let pairs = wait_for("four children at strongSwan", SOON, || {
        let children = couple.swan.installed()?;
        let mut pairs: Vec<_> = children
            .iter()
            .map(|child| format!("{} to {}", child.local_ts.join("+"), child.remote_ts.join("+")))
            .collect();
        pairs.sort();
        Ok((pairs.len() == 4).then_some(pairs))
    })?;
    let mut expected = Vec::new();
    for local in [address::NET2, address::MORE2] {
        expected.extend([address::NET1, address::MORE1].map(|remote| format!("{local} to {remote}")));
    }
    expected.sort();
    ensure(pairs == expected, || format!("strongSwan has {pairs:?}"))?;
    for (from, to) in [
        (&couple.sites.c1, address::C2),
        (&couple.sites.c1, address::C2_MORE),
        (&couple.sites.c2, address::C1),
        (&couple.sites.c2, address::C1_MORE),
    ] {
        let pings = echo(from, to, 2, Duration::from_secs(2))?;
        ensure(pings.received == pings.sent, || format!("{pings} to {to}"))?;
    }
    couple.ensure_no_plaintext()?;
    couple.ours.down(SITE)?;
    wait_for("strongSwan having no SA", SOON, || Ok(couple.swan.sas()?.is_empty().then_some(())))?;
    Ok(pairs.join(", ").into())
}

fn fragments(lab: &mut LabContext) -> Result<Report, LabError> {
    // A public value of 512 octets makes the third message of main mode and the first of quick mode too long.
    let long = Suite { ike: "aes256-sha256-modp4096", esp: "aes256-sha256-modp4096", ..STRONGER };
    let (mut ours, swan) = ends(long);
    ours.connection.push("fragmentation_bytes = 576".to_owned());
    let options = CharonOptions { fragment_size: 576, ..CharonOptions::default() };
    let couple = Couple::start_with(lab, Internet::Direct, &ours, &swan, &options)?;
    couple.swan.initiate(NET)?;
    couple.ensure_works()?;
    for text in ["received fragment #", "splitting IKE message"] {
        ensure(couple.swan.log().contains(text), || format!("strongSwan never said {text:?}"))?;
    }
    couple.swan.terminate_ike(SITE)?;
    couple.ours.wait_down(SITE, SOON)?;
    couple.ours.up(SITE)?;
    couple.ensure_works()?;
    Ok(Report::default())
}
