//! VyOS `set` commands (1.4). A child that protects everything is a `vti`, others are `tunnel N`.

use super::device::{Device, Local, NO_LOCAL, Phase, VENDOR, words};
use super::model::Export;
use super::refusal::Findings;
use crypto::{Cipher, Group, Integrity};
use ipsec::TrafficSelector;

type Words<T> = super::device::Words<T>;

const CIPHERS: Words<Cipher> = words!(Cipher: AesCbc128 = "aes128", AesCbc192 = "aes192", AesCbc256 = "aes256",
    AesGcm16_128 = "aes128gcm128", AesGcm16_192 = "aes192gcm128", AesGcm16_256 = "aes256gcm128",
    ChaCha20Poly1305 = "chacha20poly1305");
const INTEGRITIES: Words<Integrity> = words!(Integrity: HmacSha1_96 = "sha1", HmacSha2_256_128 = "sha256",
    HmacSha2_384_192 = "sha384", HmacSha2_512_256 = "sha512", AesXcbc96 = "aesxcbc", AesCmac96 = "aescmac");
const GROUPS: Words<Group> = words!(Group: Modp1024 = "2", Modp1536 = "5", Modp2048 = "14", Modp3072 = "15", Modp4096 = "16",
    Modp6144 = "17", Modp8192 = "18", Ecp256 = "19", Ecp384 = "20", Ecp521 = "21", Modp1024S160 = "22", Modp2048S224 = "23",
    Modp2048S256 = "24", Curve25519 = "31");

/// A `vti` holds one child, and needs an address.
fn vti(export: &Export, findings: &mut Findings) {
    for tunnel in &export.tunnels {
        let everything = |list: &[TrafficSelector]| list == [TrafficSelector::any_v4()];
        let vti = tunnel.children.iter().any(|child| everything(&child.local) && everything(&child.remote));
        if vti && tunnel.children.len() > 1 {
            let near = "the nearest it can is a connection of its own for each";
            findings.refuse(&tunnel.name, "child", "everything beside another child", near);
        }
    }
}

pub(super) static VYOS: Device = Device {
    title: "VyOS",
    ike: Phase { ciphers: CIPHERS, integrities: INTEGRITIES, groups: GROUPS },
    prfs: words!(Prf: HmacSha1 = "prfsha1", HmacSha2_256 = "prfsha256", HmacSha2_384 = "prfsha384", HmacSha2_512 = "prfsha512"),
    esp: Phase { ciphers: CIPHERS, integrities: INTEGRITIES, groups: GROUPS },
    both: true,
    aggressive: true,
    names: true,
    v6_outside: true,
    local: Local { volume: true, ..NO_LOCAL },
    extra: vti,
    template: include_str!("templates/vyos.jinja"),
    ..VENDOR
};
