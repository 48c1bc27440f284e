//! Another implementation's IKE: Libreswan.

use std::time::Duration;

use super::setup::{NET, Ours, PSK, SITE, SOON};
use crate::error::{LabError, ensure};
use crate::libreswan::PlutoConnection;
use crate::process::wait_for;
use crate::registry::{Lab, LabContext, Need, Report};
use crate::topology::{Internet, address};

const NEEDS: &[Need] = &[Need::Root, Need::Tun, Need::Nftables, Need::Libreswan, Need::Underpass];

pub(super) const LABS: &[Lab] = &[
    Lab { name: "libreswan_v2_answers_us", needs: NEEDS, run: v2_by_us },
    Lab { name: "libreswan_v2_calls_us", needs: NEEDS, run: v2_by_libreswan },
];

fn pluto_at_g2() -> PlutoConnection {
    PlutoConnection {
        name: SITE.to_owned(),
        ikev1: false,
        local_address: address::G2.to_string(),
        remote_address: address::G1.to_string(),
        local_id: "g2.test".to_owned(),
        remote_id: "g1.test".to_owned(),
        psk: PSK.to_owned(),
        ike: "aes256-sha2_256;modp2048".to_owned(),
        esp: "aes128-sha1".to_owned(),
        local_subnet: address::NET2.to_owned(),
        remote_subnet: address::NET1.to_owned(),
        extra: Vec::new(),
    }
}

fn v2_by_us(lab: &mut LabContext) -> Result<Report, LabError> {
    let sites = lab.sites(Internet::Direct)?;
    let pluto = lab.libreswan(&sites.g2, "libreswan", &pluto_at_g2())?;
    let ours = Ours { ike: vec!["aes256-sha256-modp2048"], esp: vec!["aes128-sha1"], ..Ours::at_g1() };
    let ours = ours.start(lab, &sites.g1)?;
    std::thread::sleep(Duration::from_secs(8));
    eprintln!("{:?}", pluto.states());
    eprintln!("{:?}", ours.status());
    Err(LabError::Broken("x".to_owned()))
}

fn v2_by_libreswan(lab: &mut LabContext) -> Result<Report, LabError> {
    let sites = lab.sites(Internet::Direct)?;
    let pluto = lab.libreswan(&sites.g2, "libreswan", &pluto_at_g2())?;
    let ours = Ours { ike: vec!["aes256-sha256-modp2048"], esp: vec!["aes128-sha1"], ..Ours::at_g1().passive() };
    let ours = ours.start(lab, &sites.g1)?;
    pluto.initiate(SITE)?;
    std::thread::sleep(Duration::from_secs(8));
    eprintln!("{:?}", pluto.states());
    eprintln!("{:?}", ours.status());
    Err(LabError::Broken("x".to_owned()))
}
