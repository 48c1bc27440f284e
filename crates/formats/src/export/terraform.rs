//! Terraform for the managed service, which is the end that is configured: its VPN connection with the options of both tunnels.
//! The service finds its outside addresses itself and has the first host of each inside network.

use super::device::{Device, Local, Phase, Selectors, VENDOR, words};
use super::model::{Export, Host, Side};
use super::refusal::Findings;
use crypto::{Cipher, Integrity};
use std::net::IpAddr;

type Words<T> = super::device::Words<T>;

const CIPHERS: Words<Cipher> = words!(Cipher: AesCbc128 = "AES128", AesCbc256 = "AES256", AesGcm16_128 = "AES128-GCM-16",
    AesGcm16_256 = "AES256-GCM-16");
const INTEGRITIES: Words<Integrity> = words!(Integrity: HmacSha1_96 = "SHA1", HmacSha2_256_128 = "SHA2-256",
    HmacSha2_384_192 = "SHA2-384", HmacSha2_512_256 = "SHA2-512");

/// Inside networks that the service keeps for itself, by the third octet of 169.254, and the last one.
const RESERVED: [u8; 6] = [0, 1, 2, 3, 4, 5];

/// The rules of the EC2 API for keys (`PreSharedKey`).
fn key(key: &[u8]) -> Result<String, &'static str> {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_');
    match std::str::from_utf8(key) {
        Ok(text) if (8..=64).contains(&key.len()) && key.iter().all(allowed) && !text.starts_with('0') => {
            Ok(text.to_owned())
        }
        _ => Err("a key that is not 8 to 64 letters, digits, `.` and `_`, the first of them no 0"),
    }
}

fn rules(export: &Export, findings: &mut Findings) {
    if export.side == Side::Here {
        let near = "leave out `--side here`: the service is the other end";
        findings.refuse(&export.name, "local_address", "our own end", near);
    }
    if export.tunnels.len() > 2 {
        let value = format!("{} tunnels", export.tunnels.len());
        findings.refuse(&export.name, "tunnel", value, "the nearest it can is two");
    }
    let hosts: Vec<&Host> = export.tunnels.iter().map(|tunnel| &tunnel.peer.host).collect();
    if hosts.windows(2).any(|pair| pair.first() != pair.last()) {
        let near = "the nearest it can is one address for both tunnels";
        findings.refuse(&export.name, "local_address", "tunnels to different customer gateways", near);
    }
    for tunnel in &export.tunnels {
        let name = tunnel.name.as_str();
        inside(export, name, tunnel.inside.as_ref(), findings);
        let timeout = tunnel.dpd.timeout.as_secs();
        if tunnel.dpd.interval.is_some() && timeout < 30 {
            findings.refuse(name, "dpd_timeout_seconds", format!("{timeout} s"), "the nearest it can is 30");
        }
        let margins = tunnel.children.iter().map(|child| child.lifetime.margin);
        let margin = margins.fold(tunnel.lifetime.margin, std::cmp::min).as_secs();
        let shortest = tunnel.children.iter().filter_map(|child| child.lifetime.time).min();
        let most = shortest.map_or(1800, |time| time.as_secs() / 2);
        if margin < 60 || margin > most {
            let near = format!("the nearest it can is {}", margin.clamp(60, most.max(60)));
            findings.refuse(name, "rekey_margin_seconds", format!("{margin} s"), near);
        }
        if tunnel.lifetime.fuzz_percent > 100 {
            let value = format!("{} %", tunnel.lifetime.fuzz_percent);
            findings.refuse(name, "rekey_fuzz_percent", value, "the nearest it can is 100");
        }
        for child in &tunnel.children {
            if !(64..=2048).contains(&child.replay_window) {
                let near = format!("the nearest it can is {}", child.replay_window.clamp(64, 2048));
                findings.refuse(name, "replay_window", child.replay_window.to_string(), near);
            }
        }
    }
}

fn inside(export: &Export, name: &str, inside: Option<&engine::desired::InsideAddresses>, findings: &mut Findings) {
    let Some(inside) = inside else {
        let near = "write one of a /30 in 169.254.0.0/16, or take what the service chooses into the configuration";
        if export.is_group {
            findings.refuse(name, "inside_address", "a tunnel without addresses inside", near);
        }
        return;
    };
    let shown = format!("{}/{}", inside.remote, inside.prefix_length);
    let IpAddr::V4(theirs) = inside.local else {
        return findings.refuse(name, "inside_address", shown, "the nearest it can is an IPv4 /30");
    };
    let [a, b, c, d] = theirs.octets();
    let reserved = (RESERVED.contains(&c) && d < 4) || (c == 169 && d >= 252);
    if inside.prefix_length != 30 || (a, b) != (169, 254) || reserved {
        let near = "the nearest it can is another /30 in 169.254.0.0/16 (it keeps 169.254.0.0/30 to 169.254.5.0/30 and 169.254.169.252/30)";
        findings.refuse(name, "inside_address", shown, near);
    } else if d & 3 != 1 {
        let near = format!("the nearest it can is {theirs}/30: the service has the first host");
        findings.refuse(name, "inside_address", shown, near);
    }
}

pub(super) static TERRAFORM: Device = Device {
    title: "the managed service",
    ike: Phase {
        ciphers: CIPHERS,
        integrities: INTEGRITIES,
        groups: words!(Group: Modp1024 = "2", Modp2048 = "14", Modp3072 = "15", Modp4096 = "16", Modp6144 = "17",
            Modp8192 = "18", Ecp256 = "19", Ecp384 = "20", Ecp521 = "21", Modp1024S160 = "22", Modp2048S224 = "23",
            Modp2048S256 = "24"),
    },
    prfs: words!(Prf: HmacSha1 = "SHA1", HmacSha2_256 = "SHA2-256", HmacSha2_384 = "SHA2-384", HmacSha2_512 = "SHA2-512"),
    esp: Phase {
        ciphers: CIPHERS,
        integrities: INTEGRITIES,
        groups: words!(Group: Modp1024 = "2", Modp1536 = "5", Modp2048 = "14", Modp3072 = "15", Modp4096 = "16",
            Modp6144 = "17", Modp8192 = "18", Ecp256 = "19", Ecp384 = "20", Ecp521 = "21", Modp1024S160 = "22",
            Modp2048S224 = "23", Modp2048S256 = "24"),
    },
    pfs_required: true,
    both: true,
    open_ends: true,
    one_child: true,
    address_ids: true,
    ike_lifetime: (900, 28_800),
    esp_lifetime: (900, 3600),
    selectors: Selectors { only_everything: false, many: false, services: false, port_ranges: false, v6: false },
    local: Local { margin: true, volume: false, replay: true, fragmentation: false },
    extra: rules,
    key,
    template: include_str!("templates/terraform.jinja"),
    ..VENDOR
};
