//! scapy as an independent implementation of ESP (RFC 4303, RFC 3948): it opens what ours seals, ours opens what it seals, in
//! every suite it knows, and each refuses what was damaged. Library against library: a gateway gives its keys to nobody.
//!
//! scapy does not authenticate the upper half of an extended sequence number where a MAC stands apart from the cipher
//! (RFC 4303 §2.2.1), so ESN is tried with AEADs only.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use crypto::{CbcIv, Cipher, Integrity, Rng, SecretBytes, SeededRng};
use ipsec::{Demux, EspKeys, EspSuite, InboundSa, OutboundSa, SaLimits, SelectorPair, Spi, TunnelPolicy, demux};
use packet::build::{self, IpHeader};
use packet::{IpView, protocol};
use serde_json::{Value, json};

use crate::error::{LabError, ensure};
use crate::process::run_command;
use crate::registry::{Lab, LabContext, Need, Report, SYSTEM_PYTHON};

pub(super) const LABS: &[Lab] = &[Lab { name: "scapy_esp", needs: &[Need::Scapy], run }];

const SCRIPT: &str = include_str!("../../scapy/esp.py");
/// Importing scapy takes seconds on a busy machine.
const BOUND: Duration = Duration::from_secs(90);
/// Payload sizes: every padding of every block length, and full packets.
const SIZES: std::ops::Range<usize> = 0..36;
const LARGE: [usize; 3] = [255, 1024, 1400];
/// Upper half of the sequence numbers with ESN.
const HIGH: u32 = 5;

struct Vector {
    suite: EspSuite,
    /// scapy's names of cipher and MAC.
    names: (&'static str, Option<&'static str>),
    spi: Spi,
    keys: EspKeys,
}

fn run(_: &mut LabContext) -> Result<Report, LabError> {
    let vectors = vectors();
    let (mut input, mut sealed) = (Vec::new(), 0);
    for vector in &vectors {
        let packets = seal_all(vector)?;
        sealed += packets.len();
        input.push(vector.describe(&packets));
    }
    let mut command = Command::new(SYSTEM_PYTHON);
    command.args(["-c", SCRIPT]);
    let output = run_command(command, &Value::from(input).to_string(), BOUND)?;
    ensure(output.success, || format!("scapy's side ended: {}", output.stderr.trim()))?;
    let results: Vec<Value> =
        serde_json::from_str(&output.stdout).map_err(|error| LabError::harness("the script's answer", error))?;
    ensure(results.len() == vectors.len(), || format!("{} of {} suites answered", results.len(), vectors.len()))?;
    let mut opened = 0;
    for (vector, result) in vectors.iter().zip(&results) {
        opened += judge(vector, result)?;
    }
    Ok(format!("{} suites, {sealed} packets to scapy, {opened} from scapy", vectors.len()).into())
}

/// What both know.
fn vectors() -> Vec<Vector> {
    let ciphers = [
        (Cipher::AesGcm16_128, "AES-GCM"),
        (Cipher::AesGcm16_192, "AES-GCM"),
        (Cipher::AesGcm16_256, "AES-GCM"),
        (Cipher::ChaCha20Poly1305, "CHACHA20-POLY1305"),
        (Cipher::AesCbc128, "AES-CBC"),
        (Cipher::AesCbc192, "AES-CBC"),
        (Cipher::AesCbc256, "AES-CBC"),
    ];
    let macs = [
        (Integrity::HmacSha1_96, "HMAC-SHA1-96"),
        (Integrity::HmacSha2_256_128, "SHA2-256-128"),
        (Integrity::HmacSha2_384_192, "SHA2-384-192"),
        (Integrity::HmacSha2_512_256, "SHA2-512-256"),
        (Integrity::AesCmac96, "AES-CMAC-96"),
    ];
    let mut suites = Vec::new();
    for (cipher, name) in ciphers {
        if cipher.is_aead() {
            suites.push((EspSuite::aead(cipher), (name, None)));
            suites.push((EspSuite::aead(cipher).with_esn(), (name, None)));
        } else {
            suites.extend(macs.map(|(mac, auth)| (EspSuite::with_mac(cipher, mac), (name, Some(auth)))));
        }
    }
    let mut rng = SeededRng::new(0x5ca9);
    let mut vectors = Vec::new();
    for (suite, names) in suites {
        let mut secret = |length: usize| {
            let mut bytes = vec![0; length];
            rng.fill(&mut bytes);
            SecretBytes::from(bytes)
        };
        let keys =
            EspKeys { encryption: secret(suite.encryption_key_len()), integrity: secret(suite.integrity_key_len()) };
        let spi = ipsec::random_spi(&mut rng, |_| false);
        vectors.push(Vector { suite, names, spi, keys });
    }
    vectors
}

/// An inner packet and the outer one that carries it.
struct Packet {
    inner: Vec<u8>,
    outer: Vec<u8>,
}

impl Vector {
    fn broken(&self, what: impl std::fmt::Display) -> LabError {
        LabError::Broken(format!("{}: {what}", self.suite))
    }

    fn high(&self) -> u32 {
        if self.suite.esn { HIGH } else { 0 }
    }

    fn describe(&self, packets: &[Packet]) -> Value {
        let packets: Vec<Value> = packets
            .iter()
            .map(|packet| json!({ "high": self.high(), "outer": hex(&packet.outer), "inner": hex(&packet.inner) }))
            .collect();
        json!({
            "suite": self.suite.to_string(),
            "crypt": self.names.0,
            "auth": self.names.1,
            "crypt_key": hex(self.keys.encryption.expose()),
            "auth_key": hex(self.keys.integrity.expose()),
            "spi": self.spi.get(),
            "esn": self.suite.esn,
            "packets": packets,
        })
    }
}

/// Packets of both IP versions and all sizes, in each of three outer forms in turn.
fn seal_all(vector: &Vector) -> Result<Vec<Packet>, LabError> {
    let iv = CbcIv::new(&mut SeededRng::new(11));
    let (limits, tunnel) = (SaLimits::default(), TunnelPolicy::default());
    let sa = OutboundSa::new(vector.spi, vector.suite, &vector.keys, iv, limits, tunnel)
        .map_err(|error| vector.broken(error))?
        .starting_at((u64::from(vector.high()) << 32) + 1);
    let mut packets = Vec::new();
    for (index, size) in SIZES.chain(LARGE).enumerate() {
        for v6 in [false, true] {
            let inner = inner(v6, size).map_err(|error| vector.broken(error))?;
            let sequence = sa.reserve(1).map_err(|reason| vector.broken(reason))?;
            let mut esp = vec![0; sa.sealed_len(inner.len())];
            sa.seal(sequence, &inner, &mut esp).map_err(|reason| vector.broken(reason))?;
            let outer = outer(index % 3, &esp).map_err(|error| vector.broken(error))?;
            packets.push(Packet { inner, outer });
        }
    }
    Ok(packets)
}

fn inner(v6: bool, size: usize) -> Result<Vec<u8>, packet::PacketError> {
    let (source, destination) =
        if v6 { ("[fd00:1::5]:4000", "[fd00:2::9]:5000") } else { ("10.1.0.5:4000", "10.2.0.9:5000") };
    let socket = |text: &str| text.parse::<SocketAddr>().expect("a constant address");
    let payload: Vec<u8> = (0_u8..=255).cycle().take(size).collect();
    let mut packet = Vec::new();
    build::udp(socket(source), socket(destination), &payload, &mut packet)?;
    Ok(packet)
}

/// Protocol 50 in IPv4, the same in IPv6, or UDP in IPv4.
fn outer(form: usize, esp: &[u8]) -> Result<Vec<u8>, packet::PacketError> {
    let (source, destination) = if form == 1 { ("2001:db8::1", "2001:db8::2") } else { ("192.0.2.1", "192.0.2.2") };
    let address = |text: &str| text.parse::<IpAddr>().expect("a constant address");
    let mut packet = Vec::new();
    let header = IpHeader::new(address(source), address(destination), protocol::ESP);
    if form == 2 {
        build::udp_with(&header, 4500, 4500, esp, &mut packet)?;
    } else {
        header.append(esp.len(), &mut packet)?;
        packet.extend_from_slice(esp);
    }
    Ok(packet)
}

/// Whether scapy opened all, and what it sealed; returns how many packets of scapy's were opened.
fn judge(vector: &Vector, result: &Value) -> Result<usize, LabError> {
    let faults: Vec<&str> = list(result, "faults").iter().filter_map(Value::as_str).take(3).collect();
    ensure(faults.is_empty(), || format!("{}: scapy says: {}", vector.suite, faults.join("; ")))?;
    let expected = 2 * (SIZES.len() + LARGE.len());
    let count = |name: &str| result.get(name).and_then(Value::as_u64).unwrap_or(0) as usize;
    ensure(count("opened") == expected && count("refused") == 1, || {
        format!("{}: scapy opened {} of {expected} and refused {}", vector.suite, count("opened"), count("refused"))
    })?;
    let sealed = list(result, "sealed");
    ensure(sealed.len() == expected, || format!("{}: scapy sealed {} packets", vector.suite, sealed.len()))?;
    let sa = InboundSa::new(vector.spi, vector.suite, &vector.keys, 64, SelectorPair::any())
        .map_err(|error| vector.broken(error))?
        .starting_after(u64::from(vector.high()) << 32);
    for (number, packet) in sealed.iter().enumerate() {
        open(vector, &sa, packet).map_err(|what| vector.broken(format!("scapy's packet {number}: {what}")))?;
    }
    Ok(sealed.len())
}

/// Opens one packet of scapy's; before that refuses it damaged, and after that a second time.
fn open(vector: &Vector, sa: &InboundSa, packet: &Value) -> Result<(), String> {
    let field = |name: &str| packet.get(name).and_then(Value::as_str).and_then(unhex).ok_or(format!("no {name}"));
    let (outer, inner) = (field("outer")?, field("inner")?);
    let view = IpView::parse(&outer).map_err(|error| error.to_string())?;
    let esp = if view.protocol() == protocol::UDP { view.payload().get(8..) } else { Some(view.payload()) };
    let esp = esp.ok_or("no ESP in it")?;
    if demux(esp) != Demux::Esp(vector.spi) {
        return Err(format!("taken for {:?}", demux(esp)));
    }
    for at in [8, esp.len() / 2, esp.len() - 1] {
        let mut damaged = esp.to_vec();
        damaged[at] ^= 0x10;
        if sa.open(&mut damaged).is_ok() {
            return Err(format!("accepted although octet {at} is damaged"));
        }
    }
    let mut buffer = esp.to_vec();
    let opened = sa.open(&mut buffer).map_err(|reason| format!("refused: {reason}"))?;
    if buffer.get(opened.inner.clone()) != Some(inner.as_slice()) {
        return Err(format!("opened as {}", hex(&buffer[opened.inner])));
    }
    match sa.open(&mut esp.to_vec()) {
        Err(ipsec::DropReason::Replay) => Ok(()),
        other => Err(format!("the second time: {other:?}")),
    }
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    digits.chunks(2).map(|pair| u8::try_from(pair.first()? << 4 | pair.get(1)?).ok()).collect()
}
