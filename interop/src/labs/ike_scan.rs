//! A scanner before the gateway: `ike-scan`, which guesses algorithms, fingerprints implementations by what they send of
//! their own accord and by how they repeat it, and asks aggressive mode for the hash of a key.
//!
//! It may learn that its guess was right, for a peer has to. It learns no more, and the tunnel that is up stays up.

use std::fs;
use std::time::Duration;

use super::setup::{Couple, NET, Ours, SITE, swan_at_g2};
use crate::error::{LabError, ensure};
use crate::process::run_with_input;
use crate::registry::{Lab, LabContext, Need, Report};
use crate::strongswan::SwanConnection;
use crate::topology::address;

const NEEDS: &[Need] = &[Need::Root, Need::Tun, Need::Nftables, Need::StrongSwan, Need::Underpass, Need::IkeScan];
/// How long a scan may take: `--showbackoff` waits for a minute unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) const LABS: &[Lab] = &[
    Lab { name: "ike_scan_v1_learns_only_what_it_guesses", needs: NEEDS, run: main_mode },
    Lab { name: "ike_scan_v1_gets_no_hash_of_a_key", needs: NEEDS, run: aggressive },
    Lab { name: "ike_scan_v2_learns_only_what_it_guesses", needs: NEEDS, run: ikev2 },
];

/// The suite of the gateway, as a custom transform: AES of 128 bits, SHA-1, a pre-shared key, group 2.
const RIGHT: &str = "--trans=(1=7,14=128,2=2,3=1,4=2)";
/// Others, each wrong in one attribute: key length, hash, method, group; and the scanner's own list, which ends in DES.
const WRONG: [&str; 4] = [
    "--trans=(1=7,14=256,2=2,3=1,4=2)",
    "--trans=(1=7,14=128,2=1,3=1,4=2)",
    "--trans=(1=7,14=128,2=2,3=3,4=2)",
    "--trans=(1=7,14=128,2=2,3=1,4=5)",
];
/// Octets of vendor IDs that would name a product or what it can do: dead peer detection, Cisco's fragments, RFC 3947.
const CAPABILITIES: [&str; 3] = [
    "--vendor=afcad71368a1f1c96b8696fc77570100",
    "--vendor=4048b7d56ebce88525e7de7f00d6c2d380000000",
    "--vendor=4a131c81070358455c5728f20e95452f",
];

/// What a scan printed.
struct Scan {
    text: String,
    handshakes: u32,
    notifies: u32,
}

impl Scan {
    /// Whether nothing came back.
    fn silent(&self) -> bool {
        self.handshakes + self.notifies == 0
    }

    /// How many packets the table of back-off times has: lines of address, number, time and difference.
    fn packets(&self) -> usize {
        let numbered = |line: &&str| line.split('\t').nth(1).is_some_and(|number| number.parse::<u32>().is_ok());
        self.text.lines().filter(numbered).count()
    }

    /// The vendor IDs that came back, in hexadecimal.
    fn vendor_ids(&self) -> Vec<&str> {
        let ids = self.text.split("VID=").skip(1);
        ids.map(|rest| rest.split(|c: char| !c.is_ascii_hexdigit()).next().unwrap_or_default()).collect()
    }
}

/// Scans our gateway from where its peer lives, from a port that is not the peer's.
fn scan(couple: &Couple, args: &[&str]) -> Result<Scan, LabError> {
    let target = address::G1.to_string();
    let always = ["netns", "exec", couple.sites.g2.name(), "ike-scan", "--sport=0", "--nodns", "--retry=1", "-M"];
    let output = run_with_input("ip", &[&always[..], args, &[&target]].concat(), "", PATIENCE)?;
    let last = output.stdout.lines().rev().find(|line| line.contains("returned handshake")).unwrap_or_default();
    let count = |what: &str| {
        let before = last.split(what).next().unwrap_or_default();
        before.split_whitespace().last().and_then(|word| word.parse().ok())
    };
    match (count("returned handshake"), count("returned notify")) {
        (Some(handshakes), Some(notifies)) => Ok(Scan { text: output.stdout, handshakes, notifies }),
        _ => Err(LabError::harness("ike-scan", output.stdout + &output.stderr)),
    }
}

/// Our gateway with a tunnel in this version of IKE to a strongSwan, in whose place the scanner stands.
fn couple(lab: &mut LabContext, version: u8) -> Result<Couple, LabError> {
    let mut ours = Ours { ike: vec!["aes128-sha1-modp1024"], esp: vec!["aes128-sha1"], ..Ours::at_g1().passive() };
    ours.connection.extend([format!("ike_version = \"ikev{version}\""), "encapsulation = \"force\"".to_owned()]);
    let mut swan = SwanConnection { version, proposals: "aes128-sha1-modp1024".to_owned(), ..swan_at_g2() };
    for child in &mut swan.children {
        child.esp_proposals = "aes128-sha1".to_owned();
    }
    let couple = Couple::start(lab, &ours, &swan)?;
    couple.swan.initiate(NET)?;
    couple.ensure_works()?;
    Ok(couple)
}

/// The gateway runs as before, its tunnel is the one it was, and it has said nothing but what it must.
fn ensure_unharmed(couple: &mut Couple, before: &serde_json::Value) -> Result<(), LabError> {
    ensure(couple.ours.is_running(), || "the gateway ended".to_owned())?;
    couple.ensure_works()?;
    let now = couple.ours.connection(SITE)?["ike"]["spi_i"].clone();
    ensure(now == *before, || format!("the tunnel's IKE SA was {before}, and is {now}"))?;
    ensure(!couple.ours.log().contains("panicked"), || "the gateway panicked".to_owned())
}

fn main_mode(lab: &mut LabContext) -> Result<Report, LabError> {
    let mut couple = couple(lab, 1)?;
    let before = couple.ours.connection(SITE)?["ike"]["spi_i"].clone();
    let right = scan(&couple, &[RIGHT])?;
    let named = ["Enc=AES", "KeyLength=128", "Hash=SHA1", "Group=2:modp1024", "Auth=PSK"];
    ensure(right.handshakes == 1 && named.iter().all(|name| right.text.contains(name)), || right.text.clone())?;
    ensure(right.vendor_ids().is_empty(), || format!("vendor IDs that nobody asked for: {}", right.text))?;
    for guess in WRONG {
        let wrong = scan(&couple, &[guess])?;
        ensure(wrong.handshakes == 0, || format!("{guess}: {}", wrong.text))?;
        ensure(wrong.silent() || wrong.text.contains("NO-PROPOSAL-CHOSEN"), || format!("{guess}: {}", wrong.text))?;
        ensure(wrong.vendor_ids().is_empty(), || format!("{guess}: {}", wrong.text))?;
    }
    // Whoever names an extension is answered with that extension alone: nothing tells of others, or of the product.
    for asked in CAPABILITIES {
        let answered = scan(&couple, &[RIGHT, asked])?;
        let known = asked.trim_start_matches("--vendor=");
        ensure(answered.vendor_ids().iter().all(|id| *id == known), || format!("{asked}: {}", answered.text))?;
    }
    let backoff = scan(&couple, &[RIGHT, "--showbackoff=6"])?;
    ensure(backoff.packets() == 1, || format!("not one packet of its own accord: {}", backoff.text))?;
    for odd in ["--headerlen=9999", "--headerlen=20", "--mbz=255", "--headerver=0xff", "--hdrflags=255"] {
        scan(&couple, &[RIGHT, odd])?;
    }
    for odd in ["--doi=77", "--situation=9", "--protocol=4", "--spisize=200", "--exchange=99", "--nextpayload=77"] {
        scan(&couple, &[RIGHT, odd])?;
    }
    ensure_unharmed(&mut couple, &before)?;
    Ok(Report::default())
}

fn aggressive(lab: &mut LabContext) -> Result<Report, LabError> {
    let mut couple = couple(lab, 1)?;
    let before = couple.ours.connection(SITE)?["ike"]["spi_i"].clone();
    let file = lab.world.directory().join("hashes");
    let into = format!("--pskcrack={}", file.display());
    for id in ["g2.test", "somebody.test"] {
        for ty in ["--idtype=2", "--idtype=3"] {
            let asked = scan(&couple, &["--aggressive", &format!("--id={id}"), ty, "--dhgroup=2", RIGHT, &into])?;
            ensure(asked.handshakes == 0, || format!("aggressive mode was answered: {}", asked.text))?;
        }
    }
    let hashes = fs::read_to_string(&file).unwrap_or_default();
    ensure(hashes.trim().is_empty(), || format!("a hash of the key was given away: {hashes}"))?;
    ensure_unharmed(&mut couple, &before)?;
    Ok(Report::default())
}

fn ikev2(lab: &mut LabContext) -> Result<Report, LabError> {
    let mut couple = couple(lab, 2)?;
    let before = couple.ours.connection(SITE)?["ike"]["spi_i"].clone();
    // Its proposal is one list of everything: the answer picks ours out of it.
    let right = scan(&couple, &["--ikev2"])?;
    let suite = "Encr=AES_CBC,KeyLength=128 Prf=HMAC_SHA1 Integ=HMAC_SHA1_96 DH_Group=2:modp1024";
    ensure(right.handshakes == 1 && right.text.contains(suite), || right.text.clone())?;
    ensure(right.vendor_ids().is_empty() && !right.text.to_lowercase().contains("underpass"), || right.text.clone())?;
    let group = scan(&couple, &["--ikev2", "--dhgroup=14"])?;
    ensure(group.handshakes == 0 && group.text.contains("INVALID_KE_PAYLOAD"), || group.text.clone())?;
    let other_version = scan(&couple, &[RIGHT])?;
    let refused = other_version.silent() || other_version.text.contains("INVALID-MAJOR-VERSION");
    ensure(other_version.handshakes == 0 && refused, || format!("IKEv1 was answered: {}", other_version.text))?;
    let backoff = scan(&couple, &["--ikev2", "--showbackoff=6"])?;
    ensure(backoff.packets() == 1, || format!("not one packet of its own accord: {}", backoff.text))?;
    for odd in ["--headerlen=9999", "--headerlen=20", "--mbz=255", "--headerver=0xff", "--hdrflags=255"] {
        scan(&couple, &["--ikev2", odd])?;
    }
    ensure_unharmed(&mut couple, &before)?;
    Ok(Report::default())
}
