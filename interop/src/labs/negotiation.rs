//! Negotiations that take a second attempt or end smaller than they began: INVALID_KE_PAYLOAD (RFC 7296 §1.2),
//! narrowing (§2.9), fragmentation (RFC 7383); and refusals that must say why.

use std::net::UdpSocket;
use std::time::Duration;

use super::setup::{COUPLE, Couple, NET, Ours, SITE, SOON, swan_at_g2};
use crate::error::{LabError, ensure};
use crate::process::wait_for;
use crate::registry::{Lab, LabContext, Report};
use crate::strongswan::{CharonOptions, SwanIkeSa};
use crate::topology::{Internet, address};
use crate::traffic::echo;

pub(super) const LABS: &[Lab] = &[
    Lab { name: "invalid_ke_from_strongswan_leads_to_its_group", needs: COUPLE, run: invalid_ke_to_us },
    Lab { name: "invalid_ke_from_us_leads_to_our_group", needs: COUPLE, run: invalid_ke_from_us },
    Lab { name: "a_cookie_from_strongswan_is_returned", needs: COUPLE, run: cookie },
    Lab { name: "narrowing_by_strongswan_is_accepted", needs: COUPLE, run: narrowed_by_strongswan },
    Lab { name: "narrowing_by_us_is_accepted", needs: COUPLE, run: narrowed_by_us },
    Lab { name: "ike_fragments_pass_in_both_directions", needs: COUPLE, run: fragments },
    Lab { name: "the_first_packet_on_demand_is_delivered", needs: COUPLE, run: on_demand },
    Lab { name: "a_wrong_key_is_refused_and_said", needs: COUPLE, run: wrong_key },
    Lab { name: "no_proposal_in_common_is_refused_and_said", needs: COUPLE, run: no_proposal },
];

fn invalid_ke_to_us(lab: &mut LabContext) -> Result<Report, LabError> {
    let ours = Ours { ike: vec!["aes128gcm16-prfsha256-x25519-ecp256-modp3072"], ..Ours::at_g1() };
    let mut swan = swan_at_g2();
    swan.proposals = "aes128gcm16-prfsha256-modp3072".to_owned();
    let couple = Couple::start(lab, &ours, &swan)?;
    couple.ensure_works()?;
    expect_group(&couple, "MODP_3072")
}

fn invalid_ke_from_us(lab: &mut LabContext) -> Result<Report, LabError> {
    let ours = Ours { ike: vec!["aes128gcm16-prfsha256-ecp384"], ..Ours::at_g1().passive() };
    let mut swan = swan_at_g2();
    swan.proposals = "aes128gcm16-prfsha256-x25519-modp2048-ecp384".to_owned();
    let couple = Couple::start(lab, &ours, &swan)?;
    couple.swan.initiate(NET)?;
    couple.ensure_works()?;
    expect_group(&couple, "ECP_384")
}

fn expect_group(couple: &Couple, group: &str) -> Result<Report, LabError> {
    let groups: Vec<_> = established(couple)?.into_iter().map(|sa| sa.group).collect();
    ensure(groups == [group], || format!("groups in use: {groups:?}, expected {group}"))?;
    Ok(group.to_owned().into())
}

fn established(couple: &Couple) -> Result<Vec<SwanIkeSa>, LabError> {
    let sas = couple.swan.sas()?.into_iter();
    Ok(sas.filter(|sa| sa.state == "ESTABLISHED").collect())
}

fn cookie(lab: &mut LabContext) -> Result<Report, LabError> {
    // From the first half-open SA on, charon wants a cookie; and our first guess of the group is wrong besides.
    let extra = ["cookie_threshold = 1", "cookie_threshold_ip = 1"].map(str::to_owned).to_vec();
    let options = CharonOptions { extra, ..CharonOptions::default() };
    let ours = Ours { ike: vec!["aes128gcm16-prfsha256-x25519-modp3072"], ..Ours::at_g1().passive() };
    let mut swan = swan_at_g2();
    swan.proposals = "aes128gcm16-prfsha256-modp3072".to_owned();
    let couple = Couple::start_with(lab, Internet::Direct, &ours, &swan, &options)?;
    couple.sites.g1.enter(|| {
        let harness = |error| LabError::harness("a stranger's IKE_SA_INIT", error);
        let stranger = UdpSocket::bind((address::G1, 0)).map_err(harness)?;
        stranger.send_to(&strangers_ike_sa_init(), (address::G2, 500)).map_err(harness)
    })?;
    couple.swan.wait_log("generating IKE_SA_INIT response", SOON)?;
    couple.ours.up(SITE)?;
    couple.ensure_works()?;
    ensure(couple.swan.log().contains("N(COOKIE)"), || "strongSwan never asked for a cookie".to_owned())?;
    expect_group(&couple, "MODP_3072")
}

/// An IKE_SA_INIT request (RFC 7296 §1.2) for AES-GCM-16-128, HMAC-SHA2-256 and group 15, by somebody who will not be
/// heard of again: it leaves a half-open SA at the responder.
fn strangers_ike_sa_init() -> Vec<u8> {
    let payload = |next: u8, body: &[u8]| {
        let len = (body.len() as u16 + 4).to_be_bytes();
        [&[next, 0, len[0], len[1]], body].concat()
    };
    let encryption: &[u8] = &[3, 0, 0, 12, 1, 0, 0, 20, 0x80, 14, 0, 128];
    let prf_and_group: &[u8] = &[3, 0, 0, 8, 2, 0, 0, 5, 0, 0, 0, 8, 4, 0, 0, 15];
    let proposal = [&[0, 0, 0, 36, 1, 1, 0, 3], encryption, prf_and_group].concat();
    let key_exchange = [&[0, 15, 0, 0], [0x5a; 384].as_slice()].concat();
    let payloads = [payload(34, &proposal), payload(40, &key_exchange), payload(0, &[0x77; 32])].concat();
    let len = (payloads.len() as u32 + 28).to_be_bytes();
    // SPIs, first payload (SA), version 2.0, IKE_SA_INIT, initiator's request, Message ID 0, length.
    [b"stranger".as_slice(), &[0; 8], &[33, 0x20, 34, 0x08, 0, 0, 0, 0], &len, &payloads].concat()
}

fn narrowed_by_strongswan(lab: &mut LabContext) -> Result<Report, LabError> {
    let ours = Ours { remote_subnets: vec!["10.93.0.0/16".to_owned()], ..Ours::at_g1() };
    let couple = Couple::start(lab, &ours, &swan_at_g2())?;
    expect_selectors(&couple)
}

fn narrowed_by_us(lab: &mut LabContext) -> Result<Report, LabError> {
    let mut swan = swan_at_g2();
    for child in &mut swan.children {
        child.remote_ts = "10.91.0.0/16".to_owned();
    }
    let couple = Couple::start(lab, &Ours::at_g1().passive(), &swan)?;
    couple.swan.initiate(NET)?;
    expect_selectors(&couple)
}

/// Whatever was proposed, the two sites' networks are what came out, at both ends.
fn expect_selectors(couple: &Couple) -> Result<Report, LabError> {
    let child = couple.ensure_works()?;
    ensure(child.local_ts == [address::NET2] && child.remote_ts == [address::NET1], || {
        format!("strongSwan has {child:?}")
    })?;
    let ours = couple.ours.installed(SITE)?;
    let text = format!("{} {}", ours[0]["local"], ours[0]["remote"]);
    ensure(text.contains(address::NET1) && text.contains(address::NET2), || format!("ours has {text}"))?;
    Ok(Report::default())
}

fn fragments(lab: &mut LabContext) -> Result<Report, LabError> {
    // Forty networks more on each side make IKE_AUTH about 1,500 bytes long.
    let subnets = |site: u8| (0..40).map(move |net| format!("10.{site}.{net}.0/24"));
    let with = |net: &str, site| std::iter::once(net.to_owned()).chain(subnets(site)).collect::<Vec<_>>();
    let ours = Ours {
        local_subnets: with(address::NET1, 101),
        remote_subnets: with(address::NET2, 103),
        connection: vec!["fragmentation_bytes = 600".to_owned()],
        ..Ours::at_g1().passive()
    };
    let mut swan = swan_at_g2();
    for child in &mut swan.children {
        child.local_ts = with(address::NET2, 103).join(",");
        child.remote_ts = with(address::NET1, 101).join(",");
    }
    let options = CharonOptions { fragment_size: 600, ..CharonOptions::default() };
    let couple = Couple::start_with(lab, Internet::Direct, &ours, &swan, &options)?;
    // Each gateway has an address in each of its networks: strongSwan's routes need one.
    for (namespace, site) in [(&couple.sites.g1, 101), (&couple.sites.g2, 103)] {
        let addresses: Vec<_> = (0..40).map(|net| format!("address add 10.{site}.{net}.1/32 dev lo")).collect();
        namespace.ip(&addresses.iter().map(String::as_str).collect::<Vec<_>>())?;
    }
    couple.ours.up(SITE)?;
    couple.ensure_works()?;
    for said in ["received fragment #", "splitting IKE message"] {
        ensure(couple.swan.log().contains(said), || format!("strongSwan never said {said:?}"))?;
    }
    couple.swan.terminate_ike(SITE)?;
    couple.ours.wait_down(SITE, SOON)?;
    couple.swan.initiate(NET)?;
    couple.ensure_works()?;
    Ok(Report::default())
}

fn on_demand(lab: &mut LabContext) -> Result<Report, LabError> {
    let ours = Ours { start: "on-demand", ..Ours::at_g1() };
    let couple = Couple::start(lab, &ours, &swan_at_g2())?;
    ensure(couple.swan.sas()?.is_empty(), || "something came up before there was demand".to_owned())?;
    let first = echo(&couple.sites.c1, address::C2, 1, Duration::from_secs(5))?;
    ensure(first.received == 1, || "the packet that brought the tunnel up was not delivered".to_owned())?;
    couple.ensure_works()?;
    Ok(Report::default())
}

fn wrong_key(lab: &mut LabContext) -> Result<Report, LabError> {
    let ours = Ours { psk: "a key nobody else has", ..Ours::at_g1() };
    refused(lab, &ours, "AUTHENTICATION_FAILED")
}

fn no_proposal(lab: &mut LabContext) -> Result<Report, LabError> {
    let ours = Ours { ike: vec!["aes256gcm16-prfsha384-ecp384"], ..Ours::at_g1() };
    refused(lab, &ours, "NO_PROPOSAL_CHOSEN")
}

/// The connection stays down, status names the peer's refusal, and nothing leaves in clear.
fn refused(lab: &mut LabContext, ours: &Ours, named: &str) -> Result<Report, LabError> {
    let couple = Couple::start(lab, ours, &swan_at_g2())?;
    let mut last = String::new();
    let reason = wait_for(&format!("status giving {named} as the reason"), SOON, || {
        let connection = couple.ours.connection(SITE)?;
        ensure(connection["state"] != "up", || "it came up".to_owned())?;
        last = connection["reason"].to_string();
        Ok(last.contains(named).then(|| last.clone()))
    });
    let reason = reason.map_err(|error| LabError::Broken(format!("{error}; the last one was {last}")))?;
    couple.ensure_silent()?;
    Ok(reason.into())
}
