//! Libreswan's IKE, in both versions and both roles: another implementation than strongSwan's, with algorithms of its own
//! (NSS) and an order of its own.
//!
//! Its ESP is the kernel's. Where the kernel has none, the child comes to nothing at its end, each time in another way:
//! what our gateway says of that is part of the lab. Where the kernel has ESP, the tunnel must work.

use std::time::Duration;

use super::setup::{Ours, PSK, SITE, SOON};
use crate::error::{LabError, ensure};
use crate::libreswan::{Libreswan, PlutoConnection};
use crate::process::wait_for;
use crate::registry::{Lab, LabContext, Need, Report};
use crate::topology::{Internet, Sites, address};
use crate::traffic::echo;
use crate::underpass::Underpass;

const NEEDS: &[Need] = &[Need::Root, Need::Tun, Need::Nftables, Need::Libreswan, Need::Underpass];

pub(super) const LABS: &[Lab] = &[
    Lab { name: "libreswan_v1_main_mode_by_us", needs: NEEDS, run: |lab| by_us(lab, 1, Internet::Direct) },
    Lab { name: "libreswan_v1_main_mode_by_us_behind_nat", needs: NEEDS, run: |lab| by_us(lab, 1, Internet::Nat) },
    Lab { name: "libreswan_v1_main_mode_by_libreswan", needs: NEEDS, run: |lab| by_libreswan(lab, 1) },
    Lab { name: "libreswan_v1_refusals_are_said", needs: NEEDS, run: |lab| refusals(lab, 1) },
    Lab { name: "libreswan_v2_by_us", needs: NEEDS, run: |lab| by_us(lab, 2, Internet::Direct) },
    Lab { name: "libreswan_v2_by_us_behind_nat", needs: NEEDS, run: |lab| by_us(lab, 2, Internet::Nat) },
    Lab { name: "libreswan_v2_by_libreswan", needs: NEEDS, run: |lab| by_libreswan(lab, 2) },
    Lab { name: "libreswan_v2_refusals_are_said", needs: NEEDS, run: |lab| refusals(lab, 2) },
];

/// What pluto logs when the kernel refuses its ESP.
const NO_ESP: &str = "Protocol not supported";
/// What it logs when an IKE SA is up, in IKEv1 and as either end in IKEv2.
const ESTABLISHED: [&str; 3] = ["IKE SA established", "responder established IKE SA", "initiator established IKE SA"];

/// Libreswan as gateway 2. (Debian builds it without the group of 1024 bits.)
fn pluto_at_g2(version: u8) -> PlutoConnection {
    PlutoConnection {
        name: SITE.to_owned(),
        ikev1: version == 1,
        local_address: address::G2.to_string(),
        remote_address: address::G1.to_string(),
        local_id: "g2.test".to_owned(),
        remote_id: "g1.test".to_owned(),
        psk: PSK.to_owned(),
        ike: "aes128-sha1;modp1536".to_owned(),
        esp: "aes128-sha1".to_owned(),
        local_subnet: address::NET2.to_owned(),
        remote_subnet: address::NET1.to_owned(),
        extra: vec!["pfs=no".to_owned()],
    }
}

/// Ours as gateway 1.
fn ours_at_g1(version: u8) -> Ours {
    let mut ours = Ours { ike: vec!["aes128-sha1-modp1536"], esp: vec!["aes128-sha1"], ..Ours::at_g1() };
    ours.connection.push(format!("ike_version = \"ikev{version}\""));
    ours.connection.extend(
        ["dpd_timeout_seconds = 3", "retransmit_initial_milliseconds = 300", "retransmit_give_up_seconds = 4"]
            .map(str::to_owned),
    );
    ours
}

/// Our gateway and a Libreswan.
struct Couple {
    // Dropped in this order: the gateways before the namespaces they live in.
    ours: Underpass,
    pluto: Libreswan,
    sites: Sites,
}

impl Couple {
    fn start(lab: &mut LabContext, internet: Internet, ours: &Ours, pluto: &PlutoConnection) -> Result<Self, LabError> {
        let sites = lab.sites(internet)?;
        sites.watch_for_plaintext()?;
        let pluto = lab.libreswan(&sites.g2, "libreswan", pluto)?;
        let ours = ours.start(lab, &sites.g1)?;
        Ok(Self { ours, pluto, sites })
    }

    /// Both ends have an IKE SA that both proved. Returns its SPIs.
    fn authenticated(&self, version: u8) -> Result<String, LabError> {
        said(&self.ours, &[&format!("IKEv{version} SA up with g2.test")])?;
        self.pluto.wait_log(&ESTABLISHED, SOON)?;
        let ike = self.ours.connection(SITE)?["ike"].clone();
        Ok(format!("{}/{}", ike["spi_i"], ike["spi_r"]))
    }

    /// Replaces the IKE SA; both ends must have the new one.
    fn rekey_ike(&self, before: &str) -> Result<(), LabError> {
        let established = |log: &str| log.matches(ESTABLISHED[0]).count() + log.matches(ESTABLISHED[1]).count();
        let had = established(&self.pluto.log());
        self.ours.rekey_ike(SITE)?;
        wait_for("another IKE SA", SOON, || {
            let ike = self.ours.connection(SITE)?["ike"].clone();
            Ok((!ike.is_null() && format!("{}/{}", ike["spi_i"], ike["spi_r"]) != before).then_some(()))
        })?;
        wait_for("another IKE SA at Libreswan", SOON, || {
            let log = self.pluto.log();
            // In IKEv2 it is another line: the new SA is made under the old one.
            let rekeyed = established(&log) > had || log.contains("rekeyed IKE SA") || log.contains("rekeyed #");
            Ok(rekeyed.then_some(()))
        })
    }

    /// Whether the kernel let pluto have its ESP; pluto has tried when this is asked.
    fn kernel_has_esp(&self) -> bool {
        !self.pluto.log().contains(NO_ESP)
    }

    fn ensure_echoes(&self) -> Result<(), LabError> {
        self.ours.wait_up(SITE, 1, SOON)?;
        let pings = echo(&self.sites.c1, address::C2, 3, Duration::from_secs(2))?;
        ensure(pings.received == pings.sent, || format!("{pings} through the tunnel"))
    }

    fn ensure_nothing_in_clear(&self) -> Result<(), LabError> {
        let clear = self.sites.plaintext_packets()?;
        ensure(clear == 0, || format!("{clear} packets crossed the path in clear"))
    }
}

/// We call; then the IKE SA is used: rekeyed by us, asked whether it lives, deleted.
fn by_us(lab: &mut LabContext, version: u8, internet: Internet) -> Result<Report, LabError> {
    let (mut ours, mut pluto) = (ours_at_g1(version), pluto_at_g2(version));
    ours.dpd_seconds = 1;
    pluto.extra.extend(["dpddelay=2", "dpdtimeout=10"].map(str::to_owned));
    if internet == Internet::Nat {
        ours = ours.with_local_address(address::G1_PRIVATE);
        pluto.remote_address = "%any".to_owned();
    }
    let couple = Couple::start(lab, internet, &ours, &pluto)?;
    let first = couple.authenticated(version)?;
    couple.rekey_ike(&first)?;
    couple.pluto.wait_log(&[NO_ESP, "established Child SA", "IPsec SA established"], SOON)?;
    let child = if couple.kernel_has_esp() {
        couple.ensure_echoes()?;
        "the kernel has ESP: echoes pass".to_owned()
    } else {
        // In IKEv2 the child is refused; in IKEv1 pluto ends quick mode without a word.
        said(&couple.ours, &["site/net: child SA not up"])?
    };
    couple.ensure_nothing_in_clear()?;
    couple.ours.down(SITE)?;
    couple.pluto.wait_log(
        &["received Delete SA payload: self-deleting ISAKMP", "deleting state (STATE_V2_ESTABLISHED_IKE_SA)"],
        SOON,
    )?;
    Ok(child.into())
}

/// Libreswan calls.
fn by_libreswan(lab: &mut LabContext, version: u8) -> Result<Report, LabError> {
    let ours = Ours { dpd_seconds: 1, ..ours_at_g1(version).passive() };
    let couple = Couple::start(lab, Internet::Direct, &ours, &pluto_at_g2(version))?;
    couple.pluto.initiate(SITE)?;
    couple.authenticated(version)?;
    couple.pluto.wait_log(&[NO_ESP, "established Child SA", "IPsec SA established"], SOON)?;
    let child = if couple.kernel_has_esp() {
        couple.ensure_echoes()?;
        "the kernel has ESP: echoes pass".to_owned()
    } else {
        // pluto forgets what it could not install, and says nothing of it: only that it is silent tells.
        let words: &[&str] =
            if version == 1 { &["child SA not up", "message 2"] } else { &["IKE SA down", "liveness"] };
        said(&couple.ours, words)?
    };
    couple.ensure_nothing_in_clear()?;
    Ok(child.into())
}

/// What Libreswan refuses, or we refuse of it, and what we then say: another key, other algorithms, another identity.
fn refusals(lab: &mut LabContext, version: u8) -> Result<Report, LabError> {
    let right = ours_at_g1(version);
    let (key, suite): (&[&str], &[&str]) = match version {
        1 => (
            &["not up", "message 5 of main mode", "pre-shared keys may differ"],
            &["NO-PROPOSAL-CHOSEN", "aes256-sha256-modp2048"],
        ),
        _ => (&["not up", "AUTHENTICATION_FAILED"], &["NO_PROPOSAL_CHOSEN", "aes256-sha256-modp2048"]),
    };
    let stranger = [right.remote[0].clone(), "somebody.test".to_owned()];
    let cases: [(&str, Ours, &[&str]); 3] = [
        ("key", Ours { psk: "a key nobody else has", ..right.clone() }, key),
        ("suite", Ours { ike: vec!["aes256-sha256-modp2048"], ..right.clone() }, suite),
        ("identity", Ours { remote: stranger, ..right }, &["not up", "g2.test", "somebody.test"]),
    ];
    let sites = lab.sites(Internet::Direct)?;
    sites.watch_for_plaintext()?;
    let _pluto = lab.libreswan(&sites.g2, "libreswan", &pluto_at_g2(version))?;
    let mut lines = Vec::new();
    for (name, ours, words) in cases {
        let gateway = lab.underpass(&sites.g1, name, &ours.configuration(), &ours.secrets())?;
        lines.push(said(&gateway, words)?);
    }
    let clear = sites.plaintext_packets()?;
    ensure(clear == 0, || format!("{clear} packets crossed the path in clear"))?;
    Ok(lines.join("; ").into())
}

/// Waits until a gateway's log has a line with all of `words`; returns the last one, without its time.
fn said(gateway: &Underpass, words: &[&str]) -> Result<String, LabError> {
    wait_for(&format!("our log saying {}", words.join(" and ")), SOON, || {
        let log = gateway.log();
        let line = log.lines().rev().find(|line| words.iter().all(|word| line.contains(word)));
        Ok(line.map(|line| line.get(25..).unwrap_or(line).to_owned()))
    })
}
