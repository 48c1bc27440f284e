//! Juniper SRX, FortiOS, PAN-OS, pfSense, MikroTik. The tables hold what the vendors' manuals name; where the PRF beside an AEAD
//! cipher of IKE cannot be told to a device, it is not offered AEAD there.

use super::device::{Device, Phase, VENDOR, Words, words};
use super::model::Export;
use super::refusal::Findings;
use crypto::{Group, Integrity};

const BY_GROUP_NAME: Words<Group> = words!(Group: Modp1024 = "group2", Modp1536 = "group5", Modp2048 = "group14",
    Modp3072 = "group15", Modp4096 = "group16", Ecp256 = "group19", Ecp384 = "group20", Ecp521 = "group21",
    Modp2048S256 = "group24");

pub(super) static JUNIPER: Device = Device {
    title: "Juniper SRX",
    ike: Phase {
        ciphers: words!(Cipher: AesCbc128 = "aes-128-cbc", AesCbc192 = "aes-192-cbc", AesCbc256 = "aes-256-cbc"),
        integrities: words!(Integrity: HmacSha1_96 = "sha1", HmacSha2_256_128 = "sha-256", HmacSha2_384_192 = "sha-384",
            HmacSha2_512_256 = "sha-512"),
        groups: BY_GROUP_NAME,
    },
    esp: Phase {
        ciphers: words!(Cipher: AesCbc128 = "aes-128-cbc", AesCbc192 = "aes-192-cbc", AesCbc256 = "aes-256-cbc",
            AesGcm16_128 = "aes-128-gcm", AesGcm16_192 = "aes-192-gcm", AesGcm16_256 = "aes-256-gcm"),
        integrities: words!(Integrity: HmacSha1_96 = "hmac-sha1-96", HmacSha2_256_128 = "hmac-sha-256-128",
            HmacSha2_384_192 = "hmac-sha-384", HmacSha2_512_256 = "hmac-sha-512"),
        groups: BY_GROUP_NAME,
    },
    aggressive: true,
    dpd: (10, 60, 5),
    ike_lifetime: (180, 86_400),
    esp_lifetime: (180, 86_400),
    template: include_str!("templates/juniper-srx.jinja"),
    ..VENDOR
};

const SHA: Words<Integrity> = words!(Integrity: HmacSha1_96 = "sha1", HmacSha2_256_128 = "sha256",
    HmacSha2_384_192 = "sha384", HmacSha2_512_256 = "sha512");
const FORTINET_GROUPS: Words<Group> = words!(Group: Modp1024 = "2", Modp1536 = "5", Modp2048 = "14", Modp3072 = "15",
    Modp4096 = "16", Modp6144 = "17", Modp8192 = "18", Ecp256 = "19", Ecp384 = "20", Ecp521 = "21", Curve25519 = "31");

/// The name of a tunnel is that of an interface.
fn short_names(export: &Export, findings: &mut Findings) {
    for tunnel in export.tunnels.iter().filter(|tunnel| tunnel.name.len() > 15) {
        let value = format!("a name of {} characters", tunnel.name.len());
        findings.refuse(
            &tunnel.name,
            "connection",
            value,
            "the nearest it can is 15, a tunnel's `-1` and `-2` included",
        );
    }
}

pub(super) static FORTINET: Device = Device {
    title: "FortiOS",
    ike: Phase {
        ciphers: words!(Cipher: AesCbc128 = "aes128", AesCbc192 = "aes192", AesCbc256 = "aes256", AesGcm16_128 = "aes128gcm",
            AesGcm16_256 = "aes256gcm", ChaCha20Poly1305 = "chacha20poly1305"),
        integrities: SHA,
        groups: FORTINET_GROUPS,
    },
    prfs: words!(Prf: HmacSha1 = "prfsha1", HmacSha2_256 = "prfsha256", HmacSha2_384 = "prfsha384", HmacSha2_512 = "prfsha512"),
    esp: Phase {
        ciphers: words!(Cipher: AesCbc128 = "aes128", AesCbc192 = "aes192", AesCbc256 = "aes256", AesGcm16_128 = "aes128gcm",
            AesGcm16_256 = "aes256gcm", ChaCha20Poly1305 = "chacha20poly1305"),
        integrities: SHA,
        groups: FORTINET_GROUPS,
    },
    aggressive: true,
    dpd: (1, 3600, 10),
    ike_lifetime: (120, 172_800),
    esp_lifetime: (120, 172_800),
    extra: short_names,
    template: include_str!("templates/fortinet.jinja"),
    ..VENDOR
};

const PALO_ALTO_GROUPS: Words<Group> = words!(Group: Modp1024 = "group2", Modp1536 = "group5", Modp2048 = "group14",
    Ecp256 = "group19", Ecp384 = "group20");

pub(super) static PALO_ALTO: Device = Device {
    title: "PAN-OS",
    ike: Phase {
        ciphers: words!(Cipher: AesCbc128 = "aes-128-cbc", AesCbc192 = "aes-192-cbc", AesCbc256 = "aes-256-cbc"),
        integrities: SHA,
        groups: PALO_ALTO_GROUPS,
    },
    esp: Phase {
        ciphers: words!(Cipher: AesCbc128 = "aes-128-cbc", AesCbc192 = "aes-192-cbc", AesCbc256 = "aes-256-cbc",
            AesGcm16_128 = "aes-128-gcm", AesGcm16_256 = "aes-256-gcm"),
        integrities: SHA,
        groups: PALO_ALTO_GROUPS,
    },
    aggressive: true,
    ike_lifetime: (180, 65_535),
    esp_lifetime: (180, 65_535),
    template: include_str!("templates/palo-alto.jinja"),
    ..VENDOR
};

const PFSENSE_GROUPS: Words<Group> = words!(Group: Modp1024 = "2 (1024 bit)", Modp1536 = "5 (1536 bit)",
    Modp2048 = "14 (2048 bit)", Modp3072 = "15 (3072 bit)", Modp4096 = "16 (4096 bit)", Modp6144 = "17 (6144 bit)",
    Modp8192 = "18 (8192 bit)", Ecp256 = "19 (nist ecp256)", Ecp384 = "20 (nist ecp384)", Ecp521 = "21 (nist ecp521)",
    Modp1024S160 = "22 (1024(sub 160) bit)", Modp2048S224 = "23 (2048(sub 224) bit)",
    Modp2048S256 = "24 (2048(sub 256) bit)", Curve25519 = "31 (Elliptic Curve 25519, 256 bit)");
const UPPER_SHA: Words<Integrity> = words!(Integrity: HmacSha1_96 = "SHA1", HmacSha2_256_128 = "SHA256",
    HmacSha2_384_192 = "SHA384", HmacSha2_512_256 = "SHA512", AesXcbc96 = "AES-XCBC");

pub(super) static PFSENSE: Device = Device {
    title: "pfSense",
    ike: Phase {
        ciphers: words!(Cipher: AesCbc128 = "AES, 128 bits", AesCbc192 = "AES, 192 bits", AesCbc256 = "AES, 256 bits",
            AesGcm16_128 = "AES128-GCM, 128 bits", AesGcm16_192 = "AES192-GCM, 128 bits",
            AesGcm16_256 = "AES256-GCM, 128 bits", ChaCha20Poly1305 = "CHACHA20-POLY1305"),
        integrities: UPPER_SHA,
        groups: PFSENSE_GROUPS,
    },
    prfs: words!(Prf: HmacSha1 = "SHA1", HmacSha2_256 = "SHA256", HmacSha2_384 = "SHA384", HmacSha2_512 = "SHA512"),
    esp: Phase {
        ciphers: words!(Cipher: AesCbc128 = "AES, 128 bits", AesCbc192 = "AES, 192 bits", AesCbc256 = "AES, 256 bits",
            AesGcm16_128 = "AES128-GCM, 128 bits", AesGcm16_192 = "AES192-GCM, 128 bits",
            AesGcm16_256 = "AES256-GCM, 128 bits", ChaCha20Poly1305 = "CHACHA20-POLY1305"),
        integrities: UPPER_SHA,
        groups: PFSENSE_GROUPS,
    },
    both: true,
    aggressive: true,
    template: include_str!("templates/pfsense.jinja"),
    ..VENDOR
};

const MIKROTIK_GROUPS: Words<Group> = words!(Group: Modp1024 = "modp1024", Modp1536 = "modp1536", Modp2048 = "modp2048",
    Modp3072 = "modp3072", Modp4096 = "modp4096", Modp6144 = "modp6144", Modp8192 = "modp8192", Ecp256 = "ecp256",
    Ecp384 = "ecp384", Ecp521 = "ecp521");

pub(super) static MIKROTIK: Device = Device {
    title: "MikroTik RouterOS",
    ike: Phase {
        ciphers: words!(Cipher: AesCbc128 = "aes-128", AesCbc192 = "aes-192", AesCbc256 = "aes-256"),
        integrities: SHA,
        groups: MIKROTIK_GROUPS,
    },
    esp: Phase {
        ciphers: words!(Cipher: AesCbc128 = "aes-128-cbc", AesCbc192 = "aes-192-cbc", AesCbc256 = "aes-256-cbc",
            AesGcm16_128 = "aes-128-gcm", AesGcm16_192 = "aes-192-gcm", AesGcm16_256 = "aes-256-gcm"),
        integrities: words!(Integrity: HmacSha1_96 = "sha1", HmacSha2_256_128 = "sha256", HmacSha2_512_256 = "sha512"),
        groups: MIKROTIK_GROUPS,
    },
    aggressive: true,
    // Its policies are asked in order, so that a second to the same networks never has a turn.
    several: false,
    template: include_str!("templates/mikrotik.jinja"),
    ..VENDOR
};
