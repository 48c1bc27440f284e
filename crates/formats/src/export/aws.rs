//! What the managed service hands out, for devices without a format of their own: its text and its XML, as `import` reads
//! them. The customer gateway is the device that is configured, the private gateway the end it speaks to.

use super::device::{Device, Phase, Selectors, VENDOR, words};
use super::model::Export;
use super::refusal::Findings;
use crypto::{Cipher, Group, Integrity};

type Words<T> = super::device::Words<T>;

const CIPHERS: Words<Cipher> = words!(Cipher: AesCbc128 = "aes-128-cbc", AesCbc192 = "aes-192-cbc", AesCbc256 = "aes-256-cbc",
    AesGcm16_128 = "aes-128-gcm-16", AesGcm16_256 = "aes-256-gcm-16");
const INTEGRITIES: Words<Integrity> = words!(Integrity: HmacSha1_96 = "sha1", HmacSha2_256_128 = "sha2-256",
    HmacSha2_384_192 = "sha2-384", HmacSha2_512_256 = "sha2-512");
const ESP_INTEGRITIES: Words<Integrity> = words!(Integrity: HmacSha1_96 = "hmac-sha1-96",
    HmacSha2_256_128 = "hmac-sha2-256-128", HmacSha2_384_192 = "hmac-sha2-384-192", HmacSha2_512_256 = "hmac-sha2-512-256");
const GROUPS: Words<Group> = words!(Group: Modp1024 = "group2", Modp1536 = "group5", Modp2048 = "group14",
    Modp3072 = "group15", Modp4096 = "group16", Modp6144 = "group17", Modp8192 = "group18", Ecp256 = "group19",
    Ecp384 = "group20", Ecp521 = "group21", Modp1024S160 = "group22", Modp2048S224 = "group23", Modp2048S256 = "group24",
    Curve25519 = "group31");

/// Text without what ends a line.
fn key(key: &[u8]) -> Result<String, &'static str> {
    match std::str::from_utf8(key) {
        Ok(text) if !text.is_empty() && text.trim() == text && !text.contains(char::is_control) => Ok(text.to_owned()),
        _ => Err("a key with blanks at an end, control characters, or what is no text"),
    }
}

fn xml_key(octets: &[u8]) -> Result<String, &'static str> {
    key(octets).map(|text| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"))
}

fn slash_30(export: &Export, findings: &mut Findings) {
    for tunnel in &export.tunnels {
        match tunnel.inside {
            Some(inside) if inside.local.is_ipv4() && inside.prefix_length == 30 => {}
            Some(inside) => {
                let value = format!("{}/{}", inside.local, inside.prefix_length);
                findings.refuse(&tunnel.name, "inside_address", value, "the nearest it can is an IPv4 /30");
            }
            None => {
                let near = "write one of a /30 in 169.254.0.0/16";
                findings.refuse(&tunnel.name, "inside_address", "a tunnel without addresses inside", near);
            }
        }
    }
}

const PHASES: Device = Device {
    ike: Phase { ciphers: CIPHERS, integrities: INTEGRITIES, groups: GROUPS },
    // Beside AEAD the authentication algorithm names the PRF.
    prfs: words!(Prf: HmacSha1 = "sha1", HmacSha2_256 = "sha2-256", HmacSha2_384 = "sha2-384", HmacSha2_512 = "sha2-512"),
    esp: Phase { ciphers: CIPHERS, integrities: ESP_INTEGRITIES, groups: GROUPS },
    both: true,
    aggressive: true,
    one_child: true,
    ..VENDOR
};

pub(super) static GENERIC: Device = Device {
    title: "the generic text",
    v6_outside: true,
    any_id: true,
    selectors: Selectors { only_everything: false, many: true, services: true, port_ranges: true, v6: true },
    key,
    template: include_str!("templates/generic.jinja"),
    ..PHASES
};

pub(super) static AWS_XML: Device = Device {
    title: "CustomerGatewayConfiguration XML",
    address_ids: true,
    any_id: false,
    selectors: Selectors { only_everything: true, many: false, services: false, port_ranges: false, v6: false },
    extra: slash_30,
    key: xml_key,
    template: include_str!("templates/aws-xml.jinja"),
    ..PHASES
};
