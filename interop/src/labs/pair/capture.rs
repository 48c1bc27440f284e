//! `underpass capture` with `--decrypt` and `--keys`, read by somebody else's program: tshark decrypts the negotiation and the
//! traffic with the keys and cannot without, and every packet says what became of it, a forged one that it was dropped and why.

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{Net, PAIR, Pair, Plan, Tunnel};
use crate::error::{LabError, ensure};
use crate::labs::setup::{SITE, SOON};
use crate::process::{run_command, wait_for};
use crate::registry::{Lab, LabContext, Need, Report};
use crate::topology::address;
use crate::traffic::transfer;

/// What these labs need.
const NEEDS: &[Need] = &[PAIR[0], PAIR[1], PAIR[2], PAIR[3], Need::Tshark];

pub(super) const LABS: &[Lab] = &[
    Lab { name: "capture_ikev2_with_aes_gcm_is_read_by_tshark_with_our_keys", needs: NEEDS, run: gcm },
    Lab { name: "capture_ikev2_with_aes_cbc_is_read_by_tshark_with_our_keys", needs: NEEDS, run: cbc },
    Lab { name: "capture_ikev1_is_read_by_tshark_with_our_keys", needs: NEEDS, run: ikev1 },
];

/// The negotiation, echoes and a small transfer take a fraction of it on an idle machine.
const FOR: &str = "12s";
/// tshark loads hundreds of dissectors first.
const READING: Duration = Duration::from_secs(60);
/// An ESP packet of this length may be one of every suite here: header, IV, whole blocks, ICV.
const FORGED: usize = 8 + 16 + 32 + 16;

fn gcm(lab: &mut LabContext) -> Result<Report, LabError> {
    // Protocol 50.
    read(lab, &plan("ikev2", "aes256gcm16-prfsha256-ecp256", "aes256gcm16", "auto"))
}

fn cbc(lab: &mut LabContext) -> Result<Report, LabError> {
    read(lab, &plan("ikev2", "aes256-sha256-ecp256", "aes128-sha256", "force"))
}

fn ikev1(lab: &mut LabContext) -> Result<Report, LabError> {
    read(lab, &plan("ikev1", "aes128-sha256-modp2048", "aes256-sha256", "force"))
}

fn plan(version: &str, ike: &str, esp: &str, encapsulation: &str) -> Plan {
    let tunnel = Tunnel::site()
        .line(format!("ike_version = \"{version}\""))
        .line(format!("ike_proposals = [\"{ike}\"]"))
        .line(format!("encapsulation = \"{encapsulation}\""));
    tunnel.with(vec![Net::first().line(format!("esp_proposals = [\"{esp}\"]"))]).into()
}

fn read(lab: &mut LabContext, plan: &Plan) -> Result<Report, LabError> {
    let pair = Pair::connected(lab, plan)?;
    let config = lab.world.private_directory("with-keys")?;
    let (keys, file) = (config.join("wireshark"), config.join("capture.pcapng"));
    capture(&pair, &keys, &file)?;
    let with = Reader { config, file: file.clone() };
    let without = Reader { config: lab.world.private_directory("without-keys")?, file };

    let identity = "isakmp.id.data.fqdn == \"site.g1.test\"";
    let negotiation = with.lines(identity, "frame.comment")?;
    ensure(!negotiation.is_empty(), || "tshark shows no identity although it has the keys".to_owned())?;
    let inner = with.lines("esp && icmp", "ip.addr")?;
    let both = |line: &String| line.contains(&address::C1.to_string()) && line.contains(&address::C2.to_string());
    ensure(inner.iter().any(both), || format!("tshark shows no echo between the clients within ESP: {inner:?}"))?;
    let tcp = with.lines("esp && tcp", "frame.number")?.len();
    ensure(tcp > 0, || "tshark shows no TCP within ESP".to_owned())?;
    for filter in [identity, "esp && icmp", "esp && tcp"] {
        let shown = without.lines(filter, "frame.number")?;
        ensure(shown.is_empty(), || format!("without keys tshark shows {filter}: {shown:?}"))?;
    }
    without.ensure_comments()?;
    let log = pair.g1.log();
    ensure(log.contains("KEYS OF site are given to user 0"), || "our log does not tell of the keys".to_owned())?;
    ensure_no_key_in(&log, &keys)?;
    let packets = without.lines("frame", "frame.number")?.len();
    Ok(format!("{packets} packets; with keys {} identities, {} echoes, {tcp} of TCP", negotiation.len(), inner.len())
        .into())
}

/// Captures at gateway 1 while the connection comes up anew, carries traffic, and is sent forged packets.
fn capture(pair: &Pair, keys: &Path, file: &Path) -> Result<(), LabError> {
    let (keys, file) = (keys.display().to_string(), file.display().to_string());
    std::thread::scope(|scope| {
        let arguments = ["capture", SITE, "-o", &file, "--decrypt", "--keys", &keys, "--for", FOR, "--json"];
        let capturing = scope.spawn(move || pair.g1.expect(&arguments));
        let done = disturb(pair);
        let said = capturing.join().map_err(|_| LabError::Harness("the capture's thread panicked".to_owned()))??;
        done?;
        ensure(said.contains("\"lost\":0") && said.contains("\"not_written\":[]"), || {
            format!("the capture says {said}")
        })
    })
}

fn disturb(pair: &Pair) -> Result<(), LabError> {
    wait_for("the capture's beginning", SOON, || Ok(pair.g1.log().contains("KEYS OF site").then_some(())))?;
    pair.g1.down(SITE)?;
    pair.g1.up(SITE)?;
    pair.wait_up(SOON)?;
    pair.agreed(SITE)?;
    pair.ensure_echoes(address::C1, address::C2)?;
    transfer(&pair.sites.c1, &pair.sites.c2, address::C2, 5002, 100_000, SOON)?;
    let children = pair.g1.installed(SITE)?;
    let spi = children.first().and_then(|child| child["spi_in"].as_str()).unwrap_or_default().to_owned();
    let known = u32::from_str_radix(spi.trim_start_matches("0x"), 16)
        .map_err(|error| LabError::harness(format!("the SPI {spi:?} of our status"), error))?;
    for spi in [known, !known] {
        let mut forged = [0x5a; FORGED];
        forged[..4].copy_from_slice(&spi.to_be_bytes());
        forged[4..8].copy_from_slice(&77_777_u32.to_be_bytes());
        pair.sites.g2.enter(|| {
            let sent = UdpSocket::bind((address::G2, 0))
                .and_then(|socket| socket.send_to(&forged, SocketAddr::from((address::G1, 4500))));
            sent.map(drop).map_err(|error| LabError::harness("sending a forged packet", error))
        })?;
    }
    Ok(())
}

/// tshark with a configuration of its own, which may have keys.
struct Reader {
    config: PathBuf,
    file: PathBuf,
}

impl Reader {
    /// One field of the packets that a filter lets through, a line each.
    fn lines(&self, filter: &str, field: &str) -> Result<Vec<String>, LabError> {
        let mut command = Command::new("tshark");
        command.env("HOME", &self.config).env("XDG_CONFIG_HOME", &self.config).env("LC_ALL", "C.UTF-8");
        command.arg("-n").arg("-2").arg("-r").arg(&self.file).args(["-o", "esp.enable_encryption_decode:TRUE"]);
        command.args(["-Y", filter, "-T", "fields", "-e", field]);
        let output = run_command(command, "", READING)?;
        ensure(output.success, || format!("tshark ended: {}", output.stderr.trim()))?;
        Ok(output.stdout.lines().map(str::to_owned).collect())
    }

    /// Every packet has a comment, and those of the forged ones say why they were dropped.
    fn ensure_comments(&self) -> Result<(), LabError> {
        let bare = self.lines("!frame.comment", "frame.number")?;
        ensure(bare.is_empty(), || format!("no comment on packets {bare:?}"))?;
        let outside = self.lines("frame.interface_name == \"site outside\"", "frame.comment")?;
        let words = [
            "sequence 77777 in: dropped: authentication",
            "sequence 77777 in: dropped: no_sa",
            "in: decrypted",
            "out: sent",
        ];
        for word in words {
            ensure(outside.iter().any(|line| line.contains(word)), || format!("no packet outside says {word:?}"))?;
        }
        ensure(outside.iter().any(|line| line.starts_with("IKEv")), || "no comment on an IKE message".to_owned())?;
        let inside = self.lines("frame.interface_name == \"site inside\"", "frame.comment")?;
        for word in ["inner in from SPI 0x", "inner out into SPI 0x"] {
            ensure(inside.iter().any(|line| line.contains(word)), || format!("no packet inside says {word:?}"))?;
        }
        let checksums =
            self.lines("ip.checksum.status == \"Bad\" || udp.checksum.status == \"Bad\"", "frame.number")?;
        ensure(checksums.is_empty(), || format!("wrong checksums in packets {checksums:?}"))
    }
}

/// No word of the tables that is long enough to be a key stands in the log.
fn ensure_no_key_in(log: &str, tables: &Path) -> Result<(), LabError> {
    let mut keys = 0;
    for table in ["ikev1_decryption_table", "ikev2_decryption_table", "esp_sa"] {
        let Ok(text) = std::fs::read_to_string(tables.join(table)) else { continue };
        let words = text.split([',', '"', '\n']).map(|word| word.trim_start_matches("0x"));
        for key in words.filter(|word| word.len() >= 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            keys += 1;
            ensure(!log.contains(key), || format!("a key of {table} is in our log"))?;
        }
    }
    ensure(keys >= 4, || format!("only {keys} keys were written"))
}
