//! Keys to decrypt a capture with, as lines of Wireshark's tables (`ikev2_decryption_table`, `ikev1_decryption_table`, `esp_sa`).
//!
//! They are read from the SAs when somebody who may asks, and go to that client alone: never into the log, the status or a file
//! of ours. Keys of MACs are not exported; Wireshark is told not to check them.

use crypto::{Cipher, Integrity, SecretBytes};
use engine::{EspKeyExport, KeyExport};
use ike::endpoint::{IkeCipherKeys, IkeKeyExport};
use ipsec::Spi;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;
use zeroize::Zeroizing;

/// SAs whose keys one export gives out; a year of a thousand children rekeyed hourly would pass it, an hour of any gateway will not.
const MOST: usize = 100_000;

/// An export that runs.
pub(super) struct KeyFeed {
    /// Who gets them.
    pub(super) user: u32,
    given: BTreeSet<Sa>,
    /// Lines given out.
    pub(super) lines: usize,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Sa {
    Ike([u8; 8], [u8; 8]),
    Esp(Spi, IpAddr, IpAddr),
}

/// Lines of the three tables, and what there is no line for.
#[derive(Default)]
struct Tables {
    ikev1: Vec<Zeroizing<String>>,
    ikev2: Vec<Zeroizing<String>>,
    esp: Vec<Zeroizing<String>>,
    not_written: Vec<String>,
}

impl KeyFeed {
    /// Nothing is given out yet.
    pub(super) fn new(user: u32) -> KeyFeed {
        KeyFeed { user, given: BTreeSet::new(), lines: 0 }
    }

    /// What is new, as an answer to the client; `None` where nothing is.
    pub(super) fn news(&mut self, export: &KeyExport) -> Option<Value> {
        let mut tables = Tables::default();
        for sa in &export.ike {
            if self.is_new(Sa::Ike(sa.initiator_spi.0, sa.responder_spi.0)) {
                tables.add_ike(sa);
            }
        }
        for sa in &export.esp {
            if self.is_new(Sa::Esp(sa.spi, sa.source, sa.destination)) {
                tables.add_esp(sa);
            }
        }
        let Tables { ikev1, ikev2, esp, not_written } = &tables;
        let lines = ikev1.len() + ikev2.len() + esp.len();
        self.lines += lines;
        let text = |lines: &[Zeroizing<String>]| lines.iter().map(|line| line.to_string()).collect::<Vec<String>>();
        (lines + not_written.len() > 0).then(|| {
            json!({
                "ikev1_decryption_table": text(ikev1),
                "ikev2_decryption_table": text(ikev2),
                "esp_sa": text(esp),
                "not_written": not_written,
            })
        })
    }

    fn is_new(&mut self, sa: Sa) -> bool {
        self.given.len() < MOST && self.given.insert(sa)
    }
}

impl Tables {
    fn add_ike(&mut self, sa: &IkeKeyExport) {
        let (initiator, responder) = (hex(&sa.initiator_spi.0), hex(&sa.responder_spi.0));
        match &sa.keys {
            IkeCipherKeys::V1(key) => {
                self.ikev1.push(Zeroizing::new(format!("{},{}", *initiator, *hex(key.expose()))));
            }
            IkeCipherKeys::V2 { initiator: ei, responder: er } => {
                let integrity = ike_integrity(sa.suite.integrity);
                let Some(cipher) = ike_cipher(sa.suite.cipher) else {
                    let (name, peer) = (sa.suite.cipher.name(), &sa.peer);
                    self.not_written.push(format!("IKE SA {} of {peer}: Wireshark knows no {name} in IKE", *initiator));
                    return;
                };
                let (ei, er) = (hex(ei.expose()), hex(er.expose()));
                let line = format!("{},{},{},{},\"{cipher}\",,,\"{integrity}\"", *initiator, *responder, *ei, *er);
                self.ikev2.push(Zeroizing::new(line));
            }
        }
    }

    fn add_esp(&mut self, sa: &EspKeyExport) {
        let Some(cipher) = esp_cipher(sa.suite.cipher) else {
            let (name, spi, peer) = (sa.suite.cipher.name(), sa.spi, &sa.peer);
            self.not_written.push(format!("ESP SA {spi} of {peer}: Wireshark knows no {name} in ESP"));
            return;
        };
        let version = if sa.destination.is_ipv4() { "IPv4" } else { "IPv6" };
        let (source, destination) = (address(sa.source), address(sa.destination));
        let (spi, integrity) = (sa.spi, esp_integrity(sa.suite.integrity));
        let key = key(&sa.key);
        let line = format!(
            "\"{version}\",\"{source}\",\"{destination}\",\"{spi}\",\"{cipher}\",\"{}\",\"{integrity}\",\"\"",
            *key
        );
        self.esp.push(Zeroizing::new(line));
    }
}

/// As Wireshark calls it in IKEv2; `None` for what it does not know.
fn ike_cipher(cipher: Cipher) -> Option<&'static str> {
    match cipher {
        Cipher::Null => Some("NULL [RFC2410]"),
        Cipher::AesCbc128 => Some("AES-CBC-128 [RFC3602]"),
        Cipher::AesCbc192 => Some("AES-CBC-192 [RFC3602]"),
        Cipher::AesCbc256 => Some("AES-CBC-256 [RFC3602]"),
        Cipher::AesGcm16_128 => Some("AES-GCM-128 with 16 octet ICV [RFC5282]"),
        Cipher::AesGcm16_192 => Some("AES-GCM-192 with 16 octet ICV [RFC5282]"),
        Cipher::AesGcm16_256 => Some("AES-GCM-256 with 16 octet ICV [RFC5282]"),
        Cipher::ChaCha20Poly1305 => None,
    }
}

/// The length of the ICV, which is all that Wireshark needs to know in order to read.
fn ike_integrity(integrity: Option<Integrity>) -> &'static str {
    match integrity.map(Integrity::icv_len) {
        None => "NONE [RFC4306]",
        Some(12) => "ANY 96-bits of Authentication [No Checking]",
        Some(16) => "ANY 128-bits of Authentication [No Checking]",
        Some(24) => "ANY 192-bits of Authentication [No Checking]",
        Some(_) => "ANY 256-bits of Authentication [No Checking]",
    }
}

/// As Wireshark calls it in ESP; `None` for what it does not know.
fn esp_cipher(cipher: Cipher) -> Option<&'static str> {
    match cipher {
        Cipher::Null => Some("NULL"),
        Cipher::AesCbc128 | Cipher::AesCbc192 | Cipher::AesCbc256 => Some("AES-CBC [RFC3602]"),
        Cipher::AesGcm16_128 | Cipher::AesGcm16_192 | Cipher::AesGcm16_256 => {
            Some("AES-GCM with 16 octet ICV [RFC4106]")
        }
        Cipher::ChaCha20Poly1305 => None,
    }
}

fn esp_integrity(integrity: Option<Integrity>) -> &'static str {
    match integrity.map(Integrity::icv_len) {
        None => "NULL",
        Some(12) => "ANY 96 bit authentication [no checking]",
        Some(16) => "ANY 128 bit authentication [no checking]",
        Some(24) => "ANY 192 bit authentication [no checking]",
        Some(_) => "ANY 256 bit authentication [no checking]",
    }
}

/// An end of an SA; any, where it is not known.
fn address(address: IpAddr) -> String {
    if address.is_unspecified() { "*".to_owned() } else { address.to_string() }
}

fn key(key: &SecretBytes) -> Zeroizing<String> {
    if key.is_empty() { Zeroizing::default() } else { Zeroizing::new(format!("0x{}", *hex(key.expose()))) }
}

/// Grows nowhere, so that no copy of a key stays behind.
fn hex(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 2));
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(*text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use ike::proposal::IkeSuite;
    use ike::wire::IkeSpi;
    use ipsec::EspSuite;

    fn ike(suite: IkeSuite, keys: IkeCipherKeys) -> IkeKeyExport {
        let (initiator_spi, responder_spi) = (IkeSpi([1; 8]), IkeSpi([2; 8]));
        IkeKeyExport { peer: "x".into(), initiator_spi, responder_spi, suite, keys }
    }

    fn suite(cipher: Cipher, integrity: Option<Integrity>) -> IkeSuite {
        IkeSuite { cipher, integrity, prf: crypto::Prf::HmacSha2_256, group: crypto::Group::Ecp256 }
    }

    fn esp(suite: EspSuite, key: &[u8]) -> EspKeyExport {
        let (source, destination) = ("192.0.2.1".parse().unwrap(), "0.0.0.0".parse().unwrap());
        EspKeyExport { peer: "x".into(), spi: Spi::new(0xc0de).unwrap(), source, destination, suite, key: key.into() }
    }

    #[test]
    fn lines_are_those_of_wiresharks_tables_and_each_sa_is_given_once() {
        let keys = IkeCipherKeys::V2 { initiator: [0xaa; 20][..].into(), responder: [0xbb; 20][..].into() };
        let gcm = ike(suite(Cipher::AesGcm16_128, None), keys);
        let mut export = KeyExport { ike: vec![gcm], esp: Vec::new() };
        export.esp.push(esp(EspSuite::with_mac(Cipher::AesCbc128, Integrity::HmacSha2_256_128), &[0xcc; 16]));
        let mut feed = KeyFeed::new(0);
        let news = feed.news(&export).unwrap();
        let (ei, er) = ("aa".repeat(20), "bb".repeat(20));
        let expected = format!(
            "0101010101010101,0202020202020202,{ei},{er},\"AES-GCM-128 with 16 octet ICV [RFC5282]\",,,\"NONE [RFC4306]\""
        );
        assert_eq!(news["ikev2_decryption_table"], json!([expected]));
        let expected = format!(
            "\"IPv4\",\"192.0.2.1\",\"*\",\"0x0000c0de\",\"AES-CBC [RFC3602]\",\"0x{}\",\"ANY 128 bit authentication [no checking]\",\"\"",
            "cc".repeat(16)
        );
        assert_eq!(news["esp_sa"], json!([expected]));
        assert!(feed.news(&export).is_none());
        assert_eq!(feed.lines, 2);
    }

    #[test]
    fn ikev1_has_the_initiators_cookie_and_one_key() {
        let keys = IkeCipherKeys::V1([0xdd; 16][..].into());
        let main = ike(suite(Cipher::AesCbc128, Some(Integrity::HmacSha1_96)), keys);
        let news = KeyFeed::new(0).news(&KeyExport { ike: vec![main], esp: Vec::new() }).unwrap();
        assert_eq!(news["ikev1_decryption_table"], json!([format!("0101010101010101,{}", "dd".repeat(16))]));
    }

    #[test]
    fn what_wireshark_does_not_know_is_named_without_its_key() {
        let cipher = Cipher::ChaCha20Poly1305;
        let keys = IkeCipherKeys::V2 { initiator: [0xaa; 36][..].into(), responder: [0xbb; 36][..].into() };
        let export = KeyExport {
            ike: vec![ike(suite(cipher, None), keys)],
            esp: vec![esp(EspSuite::aead(cipher), &[0xcc; 36])],
        };
        let news = KeyFeed::new(0).news(&export).unwrap().to_string();
        assert!(news.contains("ESP SA 0x0000c0de of x") && news.contains("IKE SA 0101010101010101 of x"), "{news}");
        assert!(!news.contains("aaaa") && !news.contains("cccc"), "{news}");
        assert!(!format!("{export:?}").contains("170"), "a Debug shows no octet");
    }
}
