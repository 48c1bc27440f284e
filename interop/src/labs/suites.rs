//! Every suite the two implementations share, with either end as initiator (RFC 7296 §1.2, pre-shared key).

use super::setup::{COUPLE, Couple, NET, Ours, SITE, SOON, swan_at_g2};
use crate::error::{LabError, ensure};
use crate::process::wait_for;
use crate::registry::{Lab, LabContext, Report};
use crate::topology::address;
use crate::traffic::transfer;

struct Suite {
    ike: &'static str,
    esp: &'static str,
    /// What strongSwan calls the ESP algorithms: encryption and integrity.
    listed: (&'static str, &'static str),
}

const SUITES: [Suite; 8] = [
    Suite { ike: "aes128gcm16-prfsha256-x25519", esp: "aes128gcm16", listed: ("AES_GCM_16-128", "") },
    Suite { ike: "aes256gcm16-prfsha384-ecp384", esp: "aes256gcm16", listed: ("AES_GCM_16-256", "") },
    Suite { ike: "aes128-sha1-modp2048", esp: "aes128-sha1", listed: ("AES_CBC-128", "HMAC_SHA1_96") },
    Suite { ike: "aes256-sha256-ecp256", esp: "aes256-sha256", listed: ("AES_CBC-256", "HMAC_SHA2_256_128") },
    Suite { ike: "aes192-sha384-modp3072", esp: "aes192-sha384", listed: ("AES_CBC-192", "HMAC_SHA2_384_192") },
    Suite { ike: "aes256-sha512-ecp521", esp: "aes256-sha512", listed: ("AES_CBC-256", "HMAC_SHA2_512_256") },
    Suite { ike: "chacha20poly1305-prfsha256-x25519", esp: "chacha20poly1305", listed: ("CHACHA20_POLY1305", "") },
    Suite { ike: "aes128-sha1-modp1024", esp: "aes128-sha1-modp1024", listed: ("AES_CBC-128", "HMAC_SHA1_96") },
];

pub(super) const LABS: &[Lab] = &[
    Lab { name: "psk_aes128gcm16_x25519_both_roles", needs: COUPLE, run: both_roles::<0> },
    Lab { name: "psk_aes256gcm16_ecp384_both_roles", needs: COUPLE, run: both_roles::<1> },
    Lab { name: "psk_aes128_sha1_modp2048_both_roles", needs: COUPLE, run: both_roles::<2> },
    Lab { name: "psk_aes256_sha256_ecp256_both_roles", needs: COUPLE, run: both_roles::<3> },
    Lab { name: "psk_aes192_sha384_modp3072_both_roles", needs: COUPLE, run: both_roles::<4> },
    Lab { name: "psk_aes256_sha512_ecp521_both_roles", needs: COUPLE, run: both_roles::<5> },
    Lab { name: "psk_chacha20poly1305_x25519_both_roles", needs: COUPLE, run: both_roles::<6> },
    Lab { name: "psk_aes128_sha1_modp1024_legacy_both_roles", needs: COUPLE, run: both_roles::<7> },
];

/// strongSwan initiates first, then goes; then ours initiates.
fn both_roles<const SUITE: usize>(lab: &mut LabContext) -> Result<Report, LabError> {
    let Suite { ike, esp, listed } = &SUITES[SUITE];
    let ours = Ours { ike: vec![ike], esp: vec![esp], ..Ours::at_g1().passive() };
    let mut swan = swan_at_g2();
    swan.proposals = (*ike).to_owned();
    for child in &mut swan.children {
        child.esp_proposals = (*esp).to_owned();
    }
    let couple = Couple::start(lab, &ours, &swan)?;
    couple.swan.initiate(NET)?;
    let child = couple.ensure_works()?;
    ensure((child.encryption.as_str(), child.integrity.as_str()) == *listed, || format!("another suite: {child:?}"))?;
    couple.swan.terminate_ike(SITE)?;
    couple.ours.wait_down(SITE, SOON)?;
    couple.ours.up(SITE)?;
    couple.ensure_works()?;
    let tcp = transfer(&couple.sites.c1, &couple.sites.c2, address::C2, 5002, 2 << 20, SOON)?;
    couple.ours.down(SITE)?;
    wait_for("strongSwan having no SA", SOON, || Ok(couple.swan.sas()?.is_empty().then_some(())))?;
    Ok(format!("IKE {ike}, ESP {esp}; {tcp}").into())
}
