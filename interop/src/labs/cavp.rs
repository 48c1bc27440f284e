//! Keys as another implementation derives them: Libreswan's `cavp`, the program its makers have NIST's key derivation
//! tests (SP 800-135) answered by. It reads a request file of inputs and prints results; ours must be the same.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crypto::{Cipher, Group, Integrity, Prf, Rng, SecretBytes, SeededRng};
use ike::keys::{ChildKeys, IkeKeys, derive_child, derive_ike, derive_ike_rekey};
use ike::proposal::IkeSuite;
use ike::v1;
use ike::wire::IkeSpi;
use ipsec::EspSuite;

use crate::error::{LabError, ensure};
use crate::libreswan::PrivateRoot;
use crate::registry::{Lab, LabContext, Need, Report};

/// Inputs of each case: this many groups of this many, each group with other lengths.
const GROUPS: usize = 10;
const IN_GROUP: usize = 10;
/// Octets of the shared secrets: those of groups 19 and 31, 20, 21, 2, 5, 14, 15, 16, 17 and 18.
const SHARED: [usize; 10] = [32, 48, 66, 128, 192, 256, 384, 512, 768, 1024];
/// How long `cavp` may take for a case.
const PATIENCE: Duration = Duration::from_secs(30);
const SEED: u64 = 0xca7b;

/// A hash as `cavp` calls it, and what we make of it.
const HASHES: [(&str, Prf, Integrity); 4] = [
    ("SHA-1", Prf::HmacSha1, Integrity::HmacSha1_96),
    ("SHA-256", Prf::HmacSha2_256, Integrity::HmacSha2_256_128),
    ("SHA-384", Prf::HmacSha2_384, Integrity::HmacSha2_384_192),
    ("SHA-512", Prf::HmacSha2_512, Integrity::HmacSha2_512_256),
];

pub(super) const LABS: &[Lab] = &[
    Lab { name: "ikev1_keys_are_those_that_libreswan_derives", needs: &[Need::Libreswan], run: ikev1 },
    Lab { name: "ikev2_keys_are_those_that_libreswan_derives", needs: &[Need::Libreswan], run: ikev2 },
];

/// One result of `cavp`, by the names it prints.
type Answer = BTreeMap<String, Vec<u8>>;

/// Runs `cavp` on a request file; as many answers as the file has requests.
fn ask(root: &PrivateRoot, request: &str, expected: usize) -> Result<Vec<Answer>, LabError> {
    let output = root.run("cavp", &["-"], request, PATIENCE)?;
    let mut answers: Vec<Answer> = Vec::new();
    for line in output.stdout.lines() {
        let Some((name, value)) = line.split_once(" = ") else { continue };
        match answers.last_mut() {
            _ if name == "COUNT" => answers.push(Answer::new()),
            Some(answer) => {
                answer.insert(name.to_owned(), unhex(value.trim()));
            }
            None => {}
        }
    }
    ensure(output.success && answers.len() == expected, || {
        format!("cavp gave {} answers to {expected} requests: {}", answers.len(), output.stderr.trim())
    })?;
    Ok(answers)
}

/// Random inputs.
struct Inputs(SeededRng);

impl Inputs {
    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.fill(&mut bytes);
        bytes
    }

    /// A cookie or an SPI.
    fn octets(&mut self) -> [u8; 8] {
        let mut octets = [0; 8];
        self.0.fill(&mut octets);
        octets
    }

    /// A number from `least` to `most`.
    fn between(&mut self, least: usize, most: usize) -> usize {
        least + usize::from(u16::from_be_bytes([self.bytes(1)[0], self.bytes(1)[0]])) % (most - least + 1)
    }

    /// A shared secret; one in eight begins with zeros, which must not be lost.
    fn shared(&mut self, len: usize) -> Vec<u8> {
        let mut shared = self.bytes(len);
        if self.between(0, 7) == 0 {
            shared[..2].fill(0);
        }
        shared
    }
}

/// What both ends of a main mode with a pre-shared key know.
struct RequestV1 {
    prf: Prf,
    psk: Vec<u8>,
    ni: Vec<u8>,
    nr: Vec<u8>,
    shared: Vec<u8>,
    cky_i: [u8; 8],
    cky_r: [u8; 8],
}

fn ikev1(_: &mut LabContext) -> Result<Report, LabError> {
    let root = PrivateRoot::find().map_err(LabError::Harness)?;
    let mut inputs = Inputs(SeededRng::new(SEED));
    let (mut cases, mut compared) = (0, 0);
    for (hash, prf, _) in HASHES {
        for len in SHARED {
            let (text, requests) = ikev1_requests(hash, prf, len, &mut inputs);
            let answers = ask(&root, &text, requests.len())?;
            for (number, (request, answer)) in requests.iter().zip(&answers).enumerate() {
                let what = format!("{hash} with {len} octets shared, seed {SEED:#x}, input {number}");
                compare(&what, &ikev1_results(request, answer)?)?;
                compared += 1;
            }
            let mut other = requests.into_iter().next().ok_or_else(|| LabError::Harness("no requests".to_owned()))?;
            other.psk[0] ^= 1;
            differs(&ikev1_results(&other, &answers[0])?)?;
            cases += 1;
        }
    }
    Ok(format!("{compared} inputs in {cases} cases, four results each").into())
}

fn ikev1_requests(hash: &str, prf: Prf, len: usize, inputs: &mut Inputs) -> (String, Vec<RequestV1>) {
    let mut text = "# CAVS 16.2\n# 'IKE v1 Pre-shared Key Authentication' information for 'interop'\n".to_owned();
    let mut requests = Vec::new();
    for _ in 0..GROUPS {
        // Keys shorter and longer than a block of the hash, which HMAC treats in another way.
        let (psk, ni, nr) = (inputs.between(1, 200), inputs.between(8, 256), inputs.between(8, 256));
        let lengths = [("Ni", ni), ("Nr", nr), ("pre-shared-key", psk), ("g^xy", len)];
        section(&mut text, hash, &lengths);
        for count in 0..IN_GROUP {
            let request = RequestV1 {
                prf,
                psk: inputs.bytes(psk),
                ni: inputs.bytes(ni),
                nr: inputs.bytes(nr),
                shared: inputs.shared(len),
                cky_i: inputs.octets(),
                cky_r: inputs.octets(),
            };
            let values = [
                ("CKY_I", request.cky_i.as_slice()),
                ("CKY_R", &request.cky_r),
                ("Ni", &request.ni),
                ("Nr", &request.nr),
                ("pre-shared-key", &request.psk),
                ("g^xy", &request.shared),
            ];
            entry(&mut text, count, &values);
            requests.push(request);
        }
    }
    (text, requests)
}

fn ikev1_results(request: &RequestV1, answer: &Answer) -> Result<Vec<Derived>, LabError> {
    let RequestV1 { prf, psk, ni, nr, shared, cky_i, cky_r } = request;
    let skeyid = v1::keys::skeyid_psk(*prf, &SecretBytes::from(psk.as_slice()), ni, nr);
    let shared = SecretBytes::from(shared.as_slice());
    let keys = v1::keys::derive_phase1(*prf, &skeyid, &shared, IkeSpi(*cky_i), IkeSpi(*cky_r));
    let derived = |name, ours: &SecretBytes| {
        Ok::<_, LabError>(Derived { name, theirs: printed(answer, name)?, ours: ours.expose().to_vec() })
    };
    Ok(vec![
        derived("SKEYID", &skeyid)?,
        derived("SKEYID_d", &keys.d)?,
        derived("SKEYID_a", &keys.a)?,
        derived("SKEYID_e", &keys.e)?,
    ])
}

/// The beginning of a group of requests: the hash, and the lengths of what follows.
fn section(text: &mut String, hash: &str, lengths: &[(&str, usize)]) {
    let _ = writeln!(text, "\n[{hash}]");
    for (what, len) in lengths {
        let _ = writeln!(text, "[{what} length = {}]", len * 8);
    }
}

/// One request.
fn entry(text: &mut String, count: usize, values: &[(&str, &[u8])]) {
    let _ = writeln!(text, "\nCOUNT={count}");
    for (name, value) in values {
        let _ = writeln!(text, "{name} = {}", hex(value));
    }
}

/// What `cavp` printed under this name.
fn printed(answer: &Answer, name: &str) -> Result<Vec<u8>, LabError> {
    let value = answer.get(name).cloned();
    value.ok_or_else(|| LabError::Broken(format!("cavp printed no {name}")))
}

/// Results for another input than `cavp` had: a comparison that cannot fail proves nothing.
fn differs(results: &[Derived]) -> Result<(), LabError> {
    let same = results.iter().filter(|result| result.same()).count();
    ensure(same == 0, || format!("another input left {same} of {} results as they were", results.len()))
}

/// What both ends of an IKE_SA_INIT and of a later exchange know.
struct Request {
    ni: Vec<u8>,
    nr: Vec<u8>,
    shared: Vec<u8>,
    shared_new: Vec<u8>,
    spi_i: [u8; 8],
    spi_r: [u8; 8],
    ike: IkeSuite,
    esp: EspSuite,
}

fn ikev2(_: &mut LabContext) -> Result<Report, LabError> {
    let root = PrivateRoot::find().map_err(LabError::Harness)?;
    let mut inputs = Inputs(SeededRng::new(SEED));
    let (mut cases, mut compared) = (0, 0);
    for hash in HASHES {
        for len in SHARED {
            let (text, requests) = ikev2_requests(hash, len, &mut inputs);
            let answers = ask(&root, &text, requests.len())?;
            for (number, (request, answer)) in requests.iter().zip(&answers).enumerate() {
                let what = format!("{} with {len} octets shared, seed {SEED:#x}, input {number}", hash.0);
                compare(&what, &ikev2_results(request, answer)?)?;
                compared += 1;
            }
            let mut other = requests.into_iter().next().ok_or_else(|| LabError::Harness("no requests".to_owned()))?;
            other.nr[0] ^= 1;
            differs(&ikev2_results(&other, &answers[0])?)?;
            cases += 1;
        }
    }
    Ok(format!("{compared} inputs in {cases} cases, four results each").into())
}

/// A request file for one case, and what it asks.
fn ikev2_requests(hash: (&str, Prf, Integrity), len: usize, inputs: &mut Inputs) -> (String, Vec<Request>) {
    let (name, prf, integrity) = hash;
    let mut text = "# CAVS 16.2\n# 'IKE v2' information for 'interop'\n".to_owned();
    let mut requests = Vec::new();
    for group in 0..GROUPS {
        let (ni, nr) = (inputs.between(16, 256), inputs.between(16, 256));
        let (ike, esp) = suites(group, prf, integrity);
        let [dkm, child] = [ike_key_len(&ike), 2 * (esp.encryption_key_len() + esp.integrity_key_len())];
        let lengths = [("g^ir", len), ("Ni", ni), ("Nr", nr), ("DKM", dkm), ("Child SA DKM", child)];
        section(&mut text, name, &lengths);
        for count in 0..IN_GROUP {
            let request = Request {
                ni: inputs.bytes(ni),
                nr: inputs.bytes(nr),
                shared: inputs.shared(len),
                shared_new: inputs.shared(len),
                spi_i: inputs.octets(),
                spi_r: inputs.octets(),
                ike,
                esp,
            };
            let values = [
                ("Ni", request.ni.as_slice()),
                ("Nr", &request.nr),
                ("g^ir", &request.shared),
                ("g^ir (new)", &request.shared_new),
                ("SPIi", &request.spi_i),
                ("SPIr", &request.spi_r),
            ];
            entry(&mut text, count, &values);
            requests.push(request);
        }
    }
    (text, requests)
}

/// Suites whose keys are of different lengths, in turn.
fn suites(group: usize, prf: Prf, integrity: Integrity) -> (IkeSuite, EspSuite) {
    let (ike, esp) = match group % 4 {
        0 => ((Cipher::AesCbc128, Some(integrity)), EspSuite::aead(Cipher::AesGcm16_128)),
        1 => ((Cipher::AesCbc256, Some(integrity)), EspSuite::with_mac(Cipher::AesCbc256, integrity)),
        2 => ((Cipher::AesGcm16_256, None), EspSuite::with_mac(Cipher::AesCbc128, integrity)),
        _ => ((Cipher::ChaCha20Poly1305, None), EspSuite::aead(Cipher::ChaCha20Poly1305)),
    };
    (IkeSuite { cipher: ike.0, integrity: ike.1, prf, group: Group::Modp2048 }, esp)
}

/// Octets of all keys of an IKE SA (RFC 7296 §2.14).
fn ike_key_len(suite: &IkeSuite) -> usize {
    let integrity = suite.integrity.map_or(0, Integrity::key_len);
    3 * suite.prf.preferred_key_len() + 2 * (integrity + suite.cipher.key_material_len())
}

/// A value as both derive it.
struct Derived {
    name: &'static str,
    theirs: Vec<u8>,
    ours: Vec<u8>,
}

impl Derived {
    fn same(&self) -> bool {
        self.theirs == self.ours && !self.ours.is_empty()
    }
}

fn ikev2_results(request: &Request, answer: &Answer) -> Result<Vec<Derived>, LabError> {
    let derived = |name, ours| Ok::<_, LabError>(Derived { name, theirs: printed(answer, name)?, ours });
    let broken = |error| LabError::Broken(format!("our derivation: {error}"));
    let Request { ni, nr, ike, esp, .. } = request;
    let prf = ike.prf;
    let shared = SecretBytes::from(request.shared.as_slice());
    let new = SecretBytes::from(request.shared_new.as_slice());
    let (spi_i, spi_r) = (IkeSpi(request.spi_i), IkeSpi(request.spi_r));
    let keys = derive_ike(ike, &shared, ni, nr, spi_i, spi_r).map_err(broken)?;
    let child = derive_child(prf, &keys.d, esp, None, ni, nr).map_err(broken)?;
    let child_with_pfs = derive_child(prf, &keys.d, esp, Some(&new), ni, nr).map_err(broken)?;
    let rekeyed = derive_ike_rekey(prf, &keys.d, ike, &new, ni, nr, spi_i, spi_r).map_err(broken)?;
    // `cavp` ends with the seed of the rekeyed SA, and our function with the keys: compared is what comes of its seed.
    let mut expanded = vec![0; ike_key_len(ike)];
    prf.plus(&printed(answer, "SKEYSEED(Rekey)")?, &[ni, nr, &spi_i.0, &spi_r.0], &mut expanded).map_err(broken)?;
    Ok(vec![
        derived("DKM", all(&keys))?,
        derived("DKM(Child SA)", both(&child))?,
        derived("DKM(Child SA D-H)", both(&child_with_pfs))?,
        Derived { name: "the keys of the rekeyed SA", theirs: expanded, ours: all(&rekeyed) },
    ])
}

fn all(keys: &IkeKeys) -> Vec<u8> {
    let IkeKeys { d, ai, ar, ei, er, pi, pr } = keys;
    [d, ai, ar, ei, er, pi, pr].map(SecretBytes::expose).concat()
}

fn both(keys: &ChildKeys) -> Vec<u8> {
    let ChildKeys { initiator, responder } = keys;
    [&initiator.encryption, &initiator.integrity, &responder.encryption, &responder.integrity]
        .map(SecretBytes::expose)
        .concat()
}

fn compare(what: &str, results: &[Derived]) -> Result<(), LabError> {
    results.iter().try_for_each(|result| {
        let Derived { name, theirs, ours } = result;
        ensure(result.same(), || format!("{what}: {name} is {} by cavp and {} by us", hex(theirs), hex(ours)))
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The octets of a hexadecimal number; empty if it is none.
fn unhex(text: &str) -> Vec<u8> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let pairs = digits.unwrap_or_default();
    pairs.chunks_exact(2).filter_map(|pair| u8::try_from(pair[0] << 4 | pair[1]).ok()).collect()
}
