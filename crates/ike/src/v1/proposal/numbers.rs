//! Algorithms and their numbers in IKEv1 (IANA: IPsec registry, ISAKMP registry), and words for those of others.

use crypto::{Cipher, Group, Integrity};

/// A number's word if it is one of `known`, else the number with what it is a number of.
fn word(known: &[(u64, &str)], number: u64, of: &str) -> String {
    match known.iter().find(|(other, _)| *other == number) {
        Some((_, word)) => (*word).to_owned(),
        None => format!("{of}{number}"),
    }
}

/// Encryption algorithm of phase 1, with the key length that goes with it (RFC 3602 §5.2).
pub(super) fn phase1_cipher(cipher: Cipher) -> Option<(u16, u16)> {
    const AES_CBC: u16 = 7;
    match cipher {
        Cipher::AesCbc128 => Some((AES_CBC, 128)),
        Cipher::AesCbc192 => Some((AES_CBC, 192)),
        Cipher::AesCbc256 => Some((AES_CBC, 256)),
        Cipher::Null
        | Cipher::AesGcm16_128
        | Cipher::AesGcm16_192
        | Cipher::AesGcm16_256
        | Cipher::ChaCha20Poly1305 => None,
    }
}

/// Hash of phase 1 (RFC 2409 appendix A, RFC 4868 §4).
pub(super) fn phase1_hash(integrity: Integrity) -> Option<u16> {
    match integrity {
        Integrity::HmacSha1_96 => Some(2),
        Integrity::HmacSha2_256_128 => Some(4),
        Integrity::HmacSha2_384_192 => Some(5),
        Integrity::HmacSha2_512_256 => Some(6),
        Integrity::HmacSha2_256_96 | Integrity::AesXcbc96 | Integrity::AesCmac96 => None,
    }
}

/// The transform of ESP, with the key length attribute that goes with it (RFC 2410, RFC 3602 §5.3, RFC 4106 §8.2).
pub(super) fn esp_cipher(cipher: Cipher) -> Option<(u8, Option<u16>)> {
    const NULL: u8 = 11;
    const AES_CBC: u8 = 12;
    const AES_GCM_16: u8 = 20;
    match cipher {
        Cipher::Null => Some((NULL, None)),
        Cipher::AesCbc128 => Some((AES_CBC, Some(128))),
        Cipher::AesCbc192 => Some((AES_CBC, Some(192))),
        Cipher::AesCbc256 => Some((AES_CBC, Some(256))),
        Cipher::AesGcm16_128 => Some((AES_GCM_16, Some(128))),
        Cipher::AesGcm16_192 => Some((AES_GCM_16, Some(192))),
        Cipher::AesGcm16_256 => Some((AES_GCM_16, Some(256))),
        Cipher::ChaCha20Poly1305 => None,
    }
}

/// Authentication algorithm of ESP (RFC 2407 §4.5, RFC 4868 §4, RFC 3566).
pub(super) fn esp_integrity(integrity: Integrity) -> Option<u16> {
    match integrity {
        Integrity::HmacSha1_96 => Some(2),
        Integrity::HmacSha2_256_128 => Some(5),
        Integrity::HmacSha2_384_192 => Some(6),
        Integrity::HmacSha2_512_256 => Some(7),
        Integrity::AesXcbc96 => Some(9),
        Integrity::HmacSha2_256_96 | Integrity::AesCmac96 => None,
    }
}

pub(super) fn cipher_of_phase1(encryption: u64, key_bits: Option<u64>) -> Option<Cipher> {
    Cipher::ALL.into_iter().find(|cipher| {
        phase1_cipher(*cipher)
            .is_some_and(|(number, bits)| encryption == u64::from(number) && key_bits == Some(u64::from(bits)))
    })
}

pub(super) fn hash_of_phase1(number: u64) -> Option<Integrity> {
    Integrity::ALL.into_iter().find(|integrity| phase1_hash(*integrity).is_some_and(|hash| u64::from(hash) == number))
}

/// Group description, of both phases. The numbers are those of IKEv2, which went on counting (RFC 7296 §3.3.2).
pub(super) fn group_of(number: u64) -> Option<Group> {
    u16::try_from(number).ok().and_then(Group::from_number)
}

pub(super) fn cipher_of_esp(id: u64, key_bits: Option<u64>) -> Option<Cipher> {
    Cipher::ALL.into_iter().find(|cipher| {
        esp_cipher(*cipher).is_some_and(|(number, bits)| id == u64::from(number) && key_bits == bits.map(u64::from))
    })
}

pub(super) fn integrity_of_esp(number: u64) -> Option<Integrity> {
    let is_it = |integrity: &Integrity| esp_integrity(*integrity).is_some_and(|other| u64::from(other) == number);
    Integrity::ALL.into_iter().find(is_it)
}

/// An encryption algorithm of phase 1 in the words of a configuration.
pub(super) fn describe_phase1_cipher(encryption: Option<u64>, key_bits: Option<u64>) -> String {
    const FOREIGN: [(u64, &str); 8] =
        [(1, "des"), (2, "idea"), (3, "blowfish"), (4, "rc5"), (5, "3des"), (6, "cast"), (AES, "aes"), (8, "camellia")];
    const AES: u64 = 7;
    let Some(encryption) = encryption else { return "nocipher".to_owned() };
    match cipher_of_phase1(encryption, key_bits) {
        Some(cipher) => cipher.name().to_owned(),
        None => with_key(word(&FOREIGN, encryption, "encr"), key_bits, encryption == AES),
    }
}

/// A transform of ESP in the words of a configuration.
pub(super) fn describe_esp_cipher(id: u64, key_bits: Option<u64>) -> String {
    const FOREIGN: [(u64, &str); 19] = [
        (1, "desiv64"),
        (2, "des"),
        (3, "3des"),
        (4, "rc5"),
        (5, "idea"),
        (6, "cast"),
        (7, "blowfish"),
        (9, "desiv32"),
        (11, "null"),
        (12, "aes"),
        (13, "aesctr"),
        (14, "aesccm8"),
        (15, "aesccm12"),
        (16, "aesccm16"),
        (18, "aesgcm8"),
        (19, "aesgcm12"),
        (20, "aesgcm16"),
        (22, "camellia"),
        (23, "aesgmac"),
    ];
    match cipher_of_esp(id, key_bits) {
        Some(cipher) => cipher.name().to_owned(),
        None => with_key(word(&FOREIGN, id, "encr"), key_bits, matches!(id, 12..=20)),
    }
}

fn with_key(word: String, key_bits: Option<u64>, needs_one: bool) -> String {
    match key_bits {
        Some(bits) => format!("{word}({bits} bits)"),
        None if needs_one => format!("{word}(no key length)"),
        None => word,
    }
}

/// A hash of phase 1 in the words of a configuration.
pub(super) fn describe_hash(hash: Option<u64>) -> String {
    const FOREIGN: [(u64, &str); 2] = [(1, "md5"), (3, "tiger")];
    let Some(hash) = hash else { return "nohash".to_owned() };
    match hash_of_phase1(hash) {
        Some(integrity) => integrity.name().to_owned(),
        None => word(&FOREIGN, hash, "hash"),
    }
}

/// An authentication algorithm of ESP or AH in the words of a configuration.
pub(super) fn describe_esp_integrity(number: u64) -> String {
    const FOREIGN: [(u64, &str); 5] = [(1, "md5"), (3, "desmac"), (4, "kpdk"), (8, "ripemd160"), (11, "aesgmac")];
    match integrity_of_esp(number) {
        Some(integrity) => integrity.name().to_owned(),
        None => word(&FOREIGN, number, "integ"),
    }
}

/// A group in the words of a configuration.
pub(super) fn describe_group(number: u64) -> String {
    const FOREIGN: [(u64, &str); 9] = [
        (1, "modp768"),
        (3, "ec2n155"),
        (4, "ec2n185"),
        (25, "ecp192"),
        (26, "ecp224"),
        (27, "brainpool224"),
        (28, "brainpool256"),
        (29, "brainpool384"),
        (30, "brainpool512"),
    ];
    match group_of(number) {
        Some(group) => group.name().to_owned(),
        None => word(&FOREIGN, number, "group"),
    }
}
