//! The three dialects of `ipsec.conf`. strongSwan has our words; Libreswan joins algorithms of a kind with `+`; Openswan has one
//! of each kind per proposal and neither AEAD nor elliptic curves.

use super::device::{ANY_DPD, Device, Local, NO_LOCAL, Phase, Selectors, Suites, no_more, plain_id, words};
use ike::id::Id;
use std::fmt::Write as _;

/// A day: longer lifetimes are refused by all three.
const DAY: u64 = 86_400;

/// `@name` for a name, `@#hex` for octets.
fn id(id: &Id) -> Option<String> {
    match id {
        Id::Fqdn(_) => plain_id(id).map(|name| format!("@{name}")),
        Id::KeyId(octets) if !octets.is_empty() => {
            let mut text = "@#".to_owned();
            for octet in octets {
                let _ = write!(text, "{octet:02x}");
            }
            Some(text)
        }
        Id::Ipv4(_) | Id::Ipv6(_) | Id::Rfc822(_) | Id::KeyId(_) | Id::Unknown { .. } => plain_id(id),
    }
}

/// In quotes, or in hexadecimal where quotes would not hold it.
fn key(key: &[u8]) -> Result<String, &'static str> {
    let plain = |text: &&str| !text.is_empty() && !text.contains(|c: char| c.is_control() || matches!(c, '"' | '\\'));
    if let Some(text) = std::str::from_utf8(key).ok().filter(plain) {
        return Ok(format!("\"{text}\""));
    }
    let mut hex = String::with_capacity(2 + 2 * key.len());
    hex.push_str("0x");
    for octet in key {
        let _ = write!(hex, "{octet:02x}");
    }
    Ok(hex)
}

const SELECTORS: Selectors =
    Selectors { only_everything: false, many: true, services: true, port_ranges: true, v6: true };

pub(super) static STRONGSWAN: Device = Device {
    title: "strongSwan",
    ike: Phase {
        ciphers: words!(Cipher: AesCbc128 = "aes128", AesCbc192 = "aes192", AesCbc256 = "aes256", AesGcm16_128 = "aes128gcm16",
            AesGcm16_192 = "aes192gcm16", AesGcm16_256 = "aes256gcm16", ChaCha20Poly1305 = "chacha20poly1305"),
        integrities: words!(Integrity: HmacSha1_96 = "sha1", HmacSha2_256_128 = "sha256", HmacSha2_384_192 = "sha384",
            HmacSha2_512_256 = "sha512", AesXcbc96 = "aesxcbc", AesCmac96 = "aescmac"),
        groups: ALL_GROUPS,
    },
    prfs: words!(Prf: HmacSha1 = "prfsha1", HmacSha2_256 = "prfsha256", HmacSha2_384 = "prfsha384", HmacSha2_512 = "prfsha512",
        AesXcbc128 = "prfaesxcbc", AesCmac128 = "prfaescmac"),
    prf_apart: true,
    esp: Phase {
        ciphers: words!(Cipher: Null = "null", AesCbc128 = "aes128", AesCbc192 = "aes192", AesCbc256 = "aes256",
            AesGcm16_128 = "aes128gcm16", AesGcm16_192 = "aes192gcm16", AesGcm16_256 = "aes256gcm16",
            ChaCha20Poly1305 = "chacha20poly1305"),
        integrities: words!(Integrity: HmacSha1_96 = "sha1", HmacSha2_256_128 = "sha256", HmacSha2_384_192 = "sha384",
            HmacSha2_512_256 = "sha512", AesXcbc96 = "aesxcbc", AesCmac96 = "aescmac"),
        groups: ALL_GROUPS,
    },
    suites: Suites::All,
    pfs_required: false,
    v1: true,
    v2: true,
    both: true,
    aggressive: true,
    esn: true,
    sha256_96: true,
    ports: true,
    open_ends: true,
    names: true,
    v6_outside: true,
    several: true,
    ike_lifetime: (60, DAY),
    esp_lifetime: (60, DAY),
    selectors: SELECTORS,
    local: Local { margin: true, volume: true, replay: true, fragmentation: true },
    dpd: ANY_DPD,
    one_child: false,
    address_ids: false,
    any_id: true,
    extra: no_more,
    id,
    key,
    template: include_str!("templates/strongswan.jinja"),
    secrets: Some(include_str!("templates/ipsec-secrets.jinja")),
};

const ALL_GROUPS: super::device::Words<crypto::Group> = words!(Group: Modp1024 = "modp1024", Modp1536 = "modp1536",
    Modp2048 = "modp2048", Modp3072 = "modp3072", Modp4096 = "modp4096", Modp6144 = "modp6144", Modp8192 = "modp8192",
    Ecp256 = "ecp256", Ecp384 = "ecp384", Ecp521 = "ecp521", Modp1024S160 = "modp1024s160", Modp2048S224 = "modp2048s224",
    Modp2048S256 = "modp2048s256", Curve25519 = "curve25519");

/// Groups of 1024 bits and those of RFC 5114 are not built into Libreswan any more.
const LIBRESWAN_GROUPS: super::device::Words<crypto::Group> = words!(Group: Modp1536 = "dh5", Modp2048 = "dh14",
    Modp3072 = "dh15", Modp4096 = "dh16", Modp6144 = "dh17", Modp8192 = "dh18", Ecp256 = "dh19", Ecp384 = "dh20",
    Ecp521 = "dh21", Curve25519 = "dh31");

pub(super) static LIBRESWAN: Device = Device {
    title: "Libreswan",
    ike: Phase {
        ciphers: words!(Cipher: AesCbc128 = "aes128", AesCbc192 = "aes192", AesCbc256 = "aes256", AesGcm16_128 = "aes_gcm128",
            AesGcm16_192 = "aes_gcm192", AesGcm16_256 = "aes_gcm256"),
        integrities: words!(Integrity: HmacSha1_96 = "sha1", HmacSha2_256_128 = "sha2_256", HmacSha2_384_192 = "sha2_384",
            HmacSha2_512_256 = "sha2_512"),
        groups: LIBRESWAN_GROUPS,
    },
    prfs: words!(Prf: HmacSha1 = "sha1", HmacSha2_256 = "sha2_256", HmacSha2_384 = "sha2_384", HmacSha2_512 = "sha2_512"),
    prf_apart: false,
    esp: Phase {
        ciphers: words!(Cipher: AesCbc128 = "aes128", AesCbc192 = "aes192", AesCbc256 = "aes256", AesGcm16_128 = "aes_gcm128",
            AesGcm16_192 = "aes_gcm192", AesGcm16_256 = "aes_gcm256"),
        integrities: words!(Integrity: HmacSha1_96 = "sha1", HmacSha2_256_128 = "sha2_256", HmacSha2_384_192 = "sha2_384",
            HmacSha2_512_256 = "sha2_512"),
        groups: LIBRESWAN_GROUPS,
    },
    suites: Suites::First,
    pfs_required: false,
    v1: true,
    v2: true,
    both: false,
    aggressive: true,
    esn: false,
    sha256_96: true,
    ports: true,
    open_ends: true,
    names: true,
    v6_outside: true,
    several: true,
    ike_lifetime: (60, DAY),
    esp_lifetime: (60, DAY),
    selectors: Selectors { many: false, services: false, port_ranges: false, ..SELECTORS },
    local: Local { margin: true, volume: true, replay: true, fragmentation: true },
    dpd: ANY_DPD,
    one_child: false,
    address_ids: false,
    any_id: true,
    extra: no_more,
    id,
    key,
    template: include_str!("templates/libreswan.jinja"),
    secrets: Some(include_str!("templates/ipsec-secrets.jinja")),
};

const OPENSWAN_GROUPS: super::device::Words<crypto::Group> = words!(Group: Modp1024 = "modp1024", Modp1536 = "modp1536",
    Modp2048 = "modp2048", Modp3072 = "modp3072", Modp4096 = "modp4096", Modp6144 = "modp6144", Modp8192 = "modp8192");

pub(super) static OPENSWAN: Device = Device {
    title: "Openswan",
    ike: Phase {
        ciphers: words!(Cipher: AesCbc128 = "aes128", AesCbc192 = "aes192", AesCbc256 = "aes256"),
        integrities: words!(Integrity: HmacSha1_96 = "sha1", HmacSha2_256_128 = "sha2_256"),
        groups: OPENSWAN_GROUPS,
    },
    prfs: &[],
    prf_apart: false,
    esp: Phase {
        ciphers: words!(Cipher: AesCbc128 = "aes128", AesCbc192 = "aes192", AesCbc256 = "aes256"),
        integrities: words!(Integrity: HmacSha1_96 = "sha1", HmacSha2_256_128 = "sha2_256"),
        groups: OPENSWAN_GROUPS,
    },
    suites: Suites::First,
    pfs_required: false,
    v1: true,
    v2: true,
    both: true,
    aggressive: true,
    esn: false,
    sha256_96: true,
    ports: false,
    open_ends: true,
    names: true,
    v6_outside: true,
    several: false,
    ike_lifetime: (60, DAY),
    esp_lifetime: (60, DAY),
    selectors: Selectors { many: false, services: false, port_ranges: false, ..SELECTORS },
    local: Local { margin: true, ..NO_LOCAL },
    dpd: ANY_DPD,
    one_child: false,
    address_ids: false,
    any_id: true,
    extra: no_more,
    id,
    key,
    template: include_str!("templates/openswan.jinja"),
    secrets: Some(include_str!("templates/ipsec-secrets.jinja")),
};
