//! Cisco: IOS XE and ASA, both with IKEv2.

use super::device::{Device, Phase, VENDOR, words};
use super::model::Export;
use super::refusal::Findings;

/// A tunnel interface of IOS has one profile: one suite and one lifetime for all its children.
fn one_profile(export: &Export, findings: &mut Findings) {
    for tunnel in &export.tunnels {
        let Some(first) = tunnel.children.first() else { continue };
        for child in tunnel.children.iter().skip(1) {
            let place = format!("{}/{}", tunnel.name, child.name);
            let near = format!("the nearest it can is that of {}, for all", first.name);
            if child.proposals != first.proposals {
                findings.refuse(&place, "esp_proposals", "a suite of its own for each child", near);
            } else if child.lifetime.time != first.lifetime.time {
                findings.refuse(&place, "lifetime_seconds", "a lifetime of its own for each child", near);
            }
            let everything = |one: &ipsec::TrafficSelector| one.as_prefix().is_some_and(|(_, length)| length == 0);
            if [first, child].iter().any(|one| one.local.iter().chain(&one.remote).all(everything)) {
                let near = "the nearest it can is a connection of its own for each";
                findings.refuse(&place, "child", "everything beside another child", near);
            }
        }
    }
}

/// An ASA knows a peer, and its key, by its address alone.
fn one_peer_each(export: &Export, findings: &mut Findings) {
    for (index, tunnel) in export.tunnels.iter().enumerate() {
        if export.tunnels.iter().take(index).any(|other| other.peer.host == tunnel.peer.host) {
            let near = format!("export one of them, as in `underpass export {}`, for an ASA each", tunnel.name);
            findings.refuse(&tunnel.name, "tunnel", "two tunnels to one address", near);
        }
    }
}

pub(super) static IOS: Device = Device {
    title: "Cisco IOS XE (IKEv2)",
    ike: Phase {
        ciphers: words!(Cipher: AesCbc128 = "aes-cbc-128", AesCbc192 = "aes-cbc-192", AesCbc256 = "aes-cbc-256",
            AesGcm16_128 = "aes-gcm-128", AesGcm16_256 = "aes-gcm-256"),
        integrities: words!(Integrity: HmacSha1_96 = "sha1", HmacSha2_256_128 = "sha256", HmacSha2_384_192 = "sha384",
            HmacSha2_512_256 = "sha512"),
        groups: words!(Group: Modp1024 = "2", Modp1536 = "5", Modp2048 = "14", Modp3072 = "15", Modp4096 = "16",
            Ecp256 = "19", Ecp384 = "20", Ecp521 = "21", Modp2048S256 = "24"),
    },
    prfs: words!(Prf: HmacSha1 = "sha1", HmacSha2_256 = "sha256", HmacSha2_384 = "sha384", HmacSha2_512 = "sha512"),
    prf_apart: true,
    esp: Phase {
        ciphers: words!(Cipher: AesCbc128 = "esp-aes 128", AesCbc192 = "esp-aes 192", AesCbc256 = "esp-aes 256",
            AesGcm16_128 = "esp-gcm 128", AesGcm16_192 = "esp-gcm 192", AesGcm16_256 = "esp-gcm 256"),
        integrities: words!(Integrity: HmacSha1_96 = "esp-sha-hmac", HmacSha2_256_128 = "esp-sha256-hmac",
            HmacSha2_384_192 = "esp-sha384-hmac", HmacSha2_512_256 = "esp-sha512-hmac"),
        groups: words!(Group: Modp1024 = "group2", Modp1536 = "group5", Modp2048 = "group14", Modp3072 = "group15",
            Modp4096 = "group16", Ecp256 = "group19", Ecp384 = "group20", Ecp521 = "group21", Modp2048S256 = "group24"),
    },
    v1: false,
    dpd: (10, 3600, u64::MAX),
    extra: one_profile,
    template: include_str!("templates/cisco-ios.jinja"),
    ..VENDOR
};

pub(super) static ASA: Device = Device {
    title: "Cisco ASA (IKEv2)",
    ike: Phase {
        ciphers: words!(Cipher: AesCbc128 = "aes", AesCbc192 = "aes-192", AesCbc256 = "aes-256", AesGcm16_128 = "aes-gcm",
            AesGcm16_192 = "aes-gcm-192", AesGcm16_256 = "aes-gcm-256"),
        integrities: words!(Integrity: HmacSha1_96 = "sha", HmacSha2_256_128 = "sha256", HmacSha2_384_192 = "sha384",
            HmacSha2_512_256 = "sha512"),
        groups: words!(Group: Modp2048 = "14", Modp3072 = "15", Modp4096 = "16", Ecp256 = "19", Ecp384 = "20", Ecp521 = "21"),
    },
    prfs: words!(Prf: HmacSha1 = "sha", HmacSha2_256 = "sha256", HmacSha2_384 = "sha384", HmacSha2_512 = "sha512"),
    prf_apart: true,
    esp: Phase {
        ciphers: words!(Cipher: AesCbc128 = "aes", AesCbc192 = "aes-192", AesCbc256 = "aes-256", AesGcm16_128 = "aes-gcm",
            AesGcm16_192 = "aes-gcm-192", AesGcm16_256 = "aes-gcm-256"),
        integrities: words!(Integrity: HmacSha1_96 = "sha-1", HmacSha2_256_128 = "sha-256", HmacSha2_384_192 = "sha-384",
            HmacSha2_512_256 = "sha-512"),
        groups: words!(Group: Modp2048 = "group14", Modp3072 = "group15", Modp4096 = "group16", Ecp256 = "group19",
            Ecp384 = "group20", Ecp521 = "group21"),
    },
    v1: false,
    dpd: (10, 3600, u64::MAX),
    address_ids: true,
    extra: one_peer_each,
    template: include_str!("templates/cisco-asa.jinja"),
    ..VENDOR
};
