//! x
use super::setup::Ours;
use crate::error::LabError;
use crate::registry::{Lab, LabContext, Need, Report};
use crate::topology::Internet;

const NEEDS: &[Need] = &[Need::Root, Need::Tun, Need::IkeScan, Need::Underpass];
pub(super) const LABS: &[Lab] = &[Lab { name: "tmp_scan", needs: NEEDS, run: tmp }];

fn tmp(lab: &mut LabContext) -> Result<Report, LabError> {
    let sites = lab.sites(Internet::Direct)?;
    let ours = Ours { ike: vec!["aes128-sha1-modp1024"], ..Ours::at_g1().passive() };
    let _ours = ours.start(lab, &sites.g1)?;
    for args in [
        &["--ikev2"][..],
        &["--ikev2", "--trans=(1=12,14=128,2=2,3=2,4=2)"],
        &["--ikev2", "--dhgroup=14"],
        &["--ikev2", "--vendor=afcad71368a1f1c96b8696fc77570100"],
        &["--trans=(1=7,14=128,2=2,3=1,4=2)"],
        &["--aggressive", "--id=g2.test", "--pskcrack"],
        &["--ikev2", "--headerlen=9999"],
        &["--ikev2", "--mbz=255"],
        &["--ikev2", "--showbackoff=4"],
    ] {
        let text = sites.g2.run("ike-scan", &[args, &["-M", "-r", "1", "192.0.2.1"]].concat());
        eprintln!("{args:?}\n{}", text.unwrap_or_else(|e| e.to_string()));
    }
    Err(LabError::Broken("x".to_owned()))
}
