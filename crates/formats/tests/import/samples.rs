//! Real files that others wrote, where the folder with them is there: what a careful person would make of each.
//!
//! The folder is named by `UNDERPASS_SAMPLES`, or lies beside the project. Where it is not, that is said.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

use crate::support::*;
use formats::import::{Here, Imported, InMemory, Input, Level, import};
use std::path::PathBuf;

/// The folder, or a word about its absence.
fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("UNDERPASS_SAMPLES").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| PathBuf::from("../../../../shared/samples"));
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no samples in {}; UNDERPASS_SAMPLES names the folder", folder.display());
    None
}

/// Imports files of the folder; the others are (path in the folder, path at which an include finds it).
fn sample(folder: &std::path::Path, files: &[&str], others: &[(&str, &str)], here: &Here) -> Imported {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let inputs: Vec<Input> = files.iter().map(|name| Input::new(*name, read(name))).collect();
    let mut sources = InMemory::default();
    for (name, path) in others {
        sources.0.insert((*path).to_owned(), read(name));
    }
    import(&inputs, &mut sources, None, here)
}

/// The result of a two-tunnel download with the service's legacy suite.
fn legacy(name: &str, local: &str, version: &str, tunnels: [[&str; 2]; 2]) -> String {
    let [[one, one_inside], [two, two_inside]] = tunnels;
    format!(
        r#"
        [connection.{name}]
        mode = "active-standby"
        local_address = "{local}"
        ike_version = "{version}"
        ike_proposals = ["aes128-sha1-modp1024"]
        ike_lifetime_seconds = 28800
        dpd_interval_seconds = 10
        dpd_timeout_seconds = 30
        df = "clear"
        [connection.{name}.tunnel.1]
        remote_address = "{one}"
        inside_address = "{one_inside}/30"
        [connection.{name}.tunnel.2]
        remote_address = "{two}"
        inside_address = "{two_inside}/30"
        [connection.{name}.child.net]
        local_subnets = ["0.0.0.0/0"]
        remote_subnets = ["0.0.0.0/0"]
        esp_proposals = ["aes128-sha1-modp1024"]
        lifetime_seconds = 3600
        start = "on-load"
        "#
    )
}

#[test]
fn downloads_and_answers_of_the_managed_service_import_as_they_say() {
    let Some(folder) = folder() else { return };
    // (file, our address, name, version, tunnels, keys begin with, BGP of the first tunnel)
    let table = [
        (
            "aws-config/01-generic-bgp-tgw-ikev1.txt",
            "54.242.9.198",
            "vpn-07bf7ced2b7485f2e",
            "ikev1",
            [["13.248.160.57", "169.254.36.30"], ["99.83.246.199", "169.254.232.210"]],
            ["29OPD93j", "tshPuDQu"],
            Some((65_016, 64_512, "169.254.36.29", 30)),
        ),
        (
            "aws-config/02-generic-bgp-tgw-ikev1.txt",
            "54.227.70.221",
            "vpn-0dd7ee39c419c6c5a",
            "ikev1",
            [["75.2.52.204", "169.254.50.198"], ["99.83.204.187", "169.254.91.74"]],
            [".Fz4U4XX", "jkQ3nLSb"],
            Some((65_016, 64_512, "169.254.50.197", 30)),
        ),
        (
            "aws-config/08-describe-vpn-connections-bgp-2017.json",
            "147.75.69.27",
            "vpn-ba2e34a8",
            "both",
            [["52.27.166.152", "169.254.15.194"], ["52.39.121.126", "169.254.13.238"]],
            ["DGJ5kYBE", "bCpxrC5t"],
            Some((65_301, 65_401, "169.254.15.193", 30)),
        ),
        (
            "aws-config/12-customergatewayconfiguration-static.xml",
            "1.1.1.1",
            "vpn-05044757278685fd3",
            "both",
            [["3.13.210.90", "169.254.58.234"], ["18.221.157.90", "169.254.58.222"]],
            ["t3GWcQv5", ".JdafiAN"],
            None,
        ),
    ];
    for (file, address, name, version, tunnels, keys, bgp) in table {
        let imported = sample(&folder, &[file], &[], &here(&[address]));
        assert_eq!(told(&imported, Level::Error), [] as [&str; 0], "{file}");
        assert_toml(&imported, &legacy(name, address, version, tunnels));
        for (index, start) in keys.iter().enumerate() {
            let key = psk(&imported, name, index);
            assert!(key.starts_with(start) && key.len() == 32, "{file} tunnel {index}");
        }
        let found = &connection(&imported, name).tunnels[0].bgp;
        let found = found.remote_asn.as_ref().map(|remote| {
            let local = found.local_asn.as_ref().map_or(0, |asn| asn.value);
            let neighbor = found.neighbor.as_ref().map(|at| at.value.to_string()).unwrap_or_default();
            (local, remote.value, neighbor, found.hold_time_seconds.as_ref().map_or(0, |time| time.value))
        });
        assert_eq!(found, bgp.map(|(local, remote, peer, hold)| (local, remote, peer.to_owned(), hold)), "{file}");
        read_back(&imported);
        println!("{file}: imported");
    }
}

#[test]
fn an_answer_with_tunnel_options_takes_what_they_allow() {
    let Some(folder) = folder() else { return };
    let file = "aws-config/09-describe-vpn-connections-tunneloptions.json";
    let imported = sample(&folder, &[file], &[], &here(&["147.75.69.27"]));
    assert_eq!(told(&imported, Level::Error), [] as [&str; 0]);
    assert_toml(
        &imported,
        r#"
        [connection.vpn-ba2e34a8]
        mode = "active-standby"
        local_address = "147.75.69.27"
        ike_version = "both"
        ike_lifetime_seconds = 28800
        dpd_interval_seconds = 10
        dpd_timeout_seconds = 30
        df = "clear"
        [connection.vpn-ba2e34a8.tunnel.1]
        remote_address = "52.27.166.152"
        ike_proposals = ["aes128gcm16-prfsha512-prfsha1-modp1024", "aes128-sha512-sha1-modp1024"]
        inside_address = "169.254.15.194/30"
        esp_proposals = ["aes128gcm16-modp4096-modp3072", "aes128-sha512-modp4096-modp3072"]
        [connection.vpn-ba2e34a8.tunnel.2]
        remote_address = "52.39.121.126"
        ike_proposals = ["aes128gcm16-prfsha512-prfsha1-modp2048s224-modp1024s160", "aes256-sha512-sha1-modp2048s224-modp1024s160"]
        inside_address = "169.254.13.238/30"
        esp_proposals = ["aes128gcm16-modp4096-modp3072-modp2048"]
        [connection.vpn-ba2e34a8.child.net]
        local_subnets = ["0.0.0.0/0"]
        remote_subnets = ["0.0.0.0/0"]
        lifetime_seconds = 3600
        start = "on-load"
        "#,
    );
    read_back(&imported);
    println!("{file}: imported");
}

#[test]
fn the_published_example_is_a_template_and_refused_for_its_placeholders() {
    let Some(folder) = folder() else { return };
    let file = "aws-config/06-generic-static-vgw-awsdocs.txt";
    let imported = sample(&folder, &[file], &[], &anywhere());
    assert!(imported.connections.is_empty());
    assert_told(
        &imported,
        Level::Error,
        &["`YOUR_UPLINK_ADDRESS` is the placeholder of a template", "your customer gateway"],
    );
    assert_told(&imported, Level::Error, &["the pre-shared key is still the placeholder"]);
    println!("{file}: refused, a template");
}

#[test]
fn strongswan_with_two_tunnels_is_one_connection_and_its_secrets_a_template() {
    let Some(folder) = folder() else { return };
    let file = "ipsec-conf/01-strongswan-bgp-aws-2tunnel.ipsec.conf";
    let secrets = "ipsec-conf/01-strongswan-bgp-aws-2tunnel.ipsec.secrets";
    let imported = sample(&folder, &[file], &[(secrets, secrets)], &here(&["192.168.0.61"]));
    assert_told(&imported, Level::Error, &[".secrets:5:1: `Local_IP` is the placeholder"]);
    assert_told(&imported, Level::Error, &[".secrets:5:26: the pre-shared key is still the placeholder"]);
    assert_toml(
        &imported,
        r#"
        [connection.wan]
        mode = "active-standby"
        local_address = "192.168.0.61"
        local_id = "39.106.86.31"
        ike_version = "ikev1"
        ike_proposals = ["aes128-sha1-modp1024"]
        ike_lifetime_seconds = 28800
        dpd_interval_seconds = 10
        dpd_timeout_seconds = 30
        [connection.wan.tunnel.1]
        remote_address = "180.232.176.219"
        [connection.wan.tunnel.2]
        remote_address = "222.127.131.66"
        [connection.wan.child.net]
        local_subnets = ["0.0.0.0/0"]
        remote_subnets = ["0.0.0.0/0"]
        esp_proposals = ["aes128-sha1-modp1024"]
        lifetime_seconds = 3600
        start = "on-load"
        "#,
    );
    println!("{file}: imported; {secrets}: refused, a template");
}

#[test]
fn the_hub_with_includes_is_read_with_what_it_includes() {
    let Some(folder) = folder() else { return };
    let (main, keys) =
        ("ipsec-conf/02-zillow-linuxgateway.ipsec.conf", "ipsec-conf/02-zillow-linuxgateway.ipsec.secrets");
    let others = [
        ("ipsec-conf/02-zillow-linuxgateway-se1.ipsec.conf", "/zillow/se1-lnxgwy1.ipsec.conf"),
        ("ipsec-conf/02-zillow-linuxgateway-se1.ipsec.secrets", "/zillow/se1-lnxgwy1.ipsec.secrets"),
    ];
    let imported = sample(&folder, &[main, keys], &others, &here(&["198.51.100.7"]));
    assert_eq!(told(&imported, Level::Error), [] as [&str; 0]);
    assert_toml(
        &imported,
        r#"
        [connection.se1]
        mode = "active-standby"
        local_address = "198.51.100.7"
        ike_version = "ikev1"
        ike_proposals = ["aes128-sha1-modp1024"]
        ike_lifetime_seconds = 28800
        rekey_margin_seconds = 180
        dpd_interval_seconds = 3
        dpd_timeout_seconds = 10
        retry = "forever"
        encapsulation = "force"
        [connection.se1.tunnel.1]
        remote_address = "1.2.3.4"
        [connection.se1.tunnel.2]
        remote_address = "2.3.4.5"
        [connection.se1.child.net]
        local_subnets = ["0.0.0.0/0"]
        remote_subnets = ["0.0.0.0/0"]
        esp_proposals = ["aes128-sha1-modp1024"]
        lifetime_seconds = 3600
        start = "on-demand"
        "#,
    );
    assert_eq!(psk(&imported, "se1", 0).len(), 15);
    assert_told(&imported, Level::Warning, &["`include /vpns/*.ipsec.conf` fits no file"]);
    read_back(&imported);
    println!("{main} with {keys}, {}, {}: imported", others[0].0, others[1].0);
}

#[test]
fn files_with_placeholders_for_addresses_are_refused_with_each_of_them() {
    let Some(folder) = folder() else { return };
    let chinese = ["ipsec-conf/06-chinese-comments-idc.ipsec.conf", "ipsec-conf/06-chinese-comments-idc.ipsec.secrets"];
    let imported = sample(&folder, &chinese, &[], &here(&["10.101.0.66"]));
    assert_eq!(told(&imported, Level::Error).len(), 2);
    assert_told(&imported, Level::Error, &["idc.ipsec.conf:30:16", "`######`"]);
    assert_told(&imported, Level::Error, &["idc.ipsec.conf:36:15", "`#######`"]);
    assert!(imported.connections.is_empty());

    let main = "ipsec-conf/07-openswan-aws-cgw.ipsec.conf";
    let other = "ipsec-conf/07-openswan-aws-cgw-home-to-aws.conf";
    let imported = sample(&folder, &[main], &[(other, "/etc/ipsec.d/home-to-aws.conf")], &anywhere());
    assert_told(&imported, Level::Error, &["home-to-aws.conf:5:9", "`xxx.xxx.xxx.xxx`"]);
    assert_told(&imported, Level::Error, &["home-to-aws.conf:8:15", "`xxx.xxx.xxx.xxx/xx`"]);
    assert!(imported.connections.is_empty());

    let swanctl = ["ipsec-conf/16-swanctl-net2net-vti-moon.conf", "ipsec-conf/17-swanctl-net2net-xfrmi-moon.conf"];
    for file in swanctl {
        let imported = sample(&folder, &[file], &[], &anywhere());
        assert_told(&imported, Level::Error, &[":4:22: `PH_IP_MOON` is the placeholder"]);
        assert_told(&imported, Level::Error, &[":5:22: `PH_IP_SUN` is the placeholder"]);
        assert!(imported.connections.is_empty());
    }
    println!("{}: refused, templates", [chinese[0], chinese[1], main, other, swanctl[0], swanctl[1]].join(", "));
}

#[test]
fn a_plain_site_to_site_is_read_with_the_defaults_of_strongswan() {
    let Some(folder) = folder() else { return };
    let files = ["ipsec-conf/12-site-to-site.ipsec.conf", "ipsec-conf/12-site-to-site.ipsec.secrets"];
    let imported = sample(&folder, &files, &[], &here(&["10.0.0.1"]));
    assert_eq!(told(&imported, Level::Error), [] as [&str; 0]);
    assert_toml(
        &imported,
        r#"
        [connection.site-to-site]
        local_address = "10.0.0.1"
        remote_address = "10.0.0.2"
        ike_version = "both"
        ike_proposals = ["aes256-sha256-modp2048"]
        ike_lifetime_seconds = 10800
        dpd_interval_seconds = 30
        dpd_timeout_seconds = 120
        retry = "forever"
        [connection.site-to-site.child.net]
        local_subnets = ["192.168.1.0/24"]
        remote_subnets = ["192.168.2.0/24"]
        esp_proposals = ["aes256-sha256"]
        start = "on-load"
        "#,
    );
    assert_eq!(psk(&imported, "site-to-site", 0).len(), 12);
    read_back(&imported);
    println!("{}: imported", files.join(", "));
}

#[test]
fn libreswan_with_two_gateways_to_one_network_is_one_connection() {
    let Some(folder) = folder() else { return };
    let (file, keys) =
        ("ipsec-conf/18-libreswan-aws-updown-north.conf", "ipsec-conf/18-libreswan-aws-updown-north.secrets");
    let imported = sample(&folder, &[file], &[(keys, keys)], &here(&["192.1.3.33"]));
    assert_eq!(told(&imported, Level::Error), [] as [&str; 0]);
    assert_toml(
        &imported,
        r#"
        [connection.eastnet-northnet]
        mode = "active-standby"
        local_address = "192.1.3.33"
        local_id = "@north"
        ike_version = "ikev2"
        dpd_interval_seconds = 5
        retransmit_give_up_seconds = 5
        [connection.eastnet-northnet.tunnel.1]
        remote_address = "192.1.2.23"
        remote_id = "@east"
        [connection.eastnet-northnet.tunnel.2]
        remote_address = "192.1.2.45"
        remote_id = "@west"
        [connection.eastnet-northnet.child.net]
        local_subnets = ["198.18.66.0/24"]
        remote_subnets = ["192.1.4.0/24"]
        lifetime_seconds = 28800
        start = "passive"
        "#,
    );
    assert_eq!(psk(&imported, "eastnet-northnet", 1).len(), 36);
    read_back(&imported);
    println!("{file}, {keys}: imported");
}

#[test]
fn the_seeds_import_verbatim() {
    let Some(folder) = folder() else { return };
    let (file, keys) = ("seeds/openswan-tunnel1.conf", "seeds/openswan-tunnel1.secrets");
    let imported = sample(&folder, &[file], &[(keys, keys)], &here(&["10.0.0.4"]));
    assert_eq!(told(&imported, Level::Error), [] as [&str; 0]);
    assert_toml(
        &imported,
        r#"
        [connection.Tunnel1]
        remote_address = "13.236.192.60"
        local_id = "13.237.83.228"
        ike_version = "ikev1"
        ike_proposals = ["aes128-sha1-modp1024"]
        ike_lifetime_seconds = 28800
        dpd_interval_seconds = 10
        dpd_timeout_seconds = 30
        retry = "forever"
        [connection.Tunnel1.child.net]
        local_subnets = ["192.168.99.0/24"]
        remote_subnets = ["10.0.0.0/16"]
        esp_proposals = ["aes128-sha1-modp1024"]
        lifetime_seconds = 3600
        start = "on-load"
        "#,
    );
    assert_eq!(psk(&imported, "Tunnel1", 0).len(), 34);
    for words in ["not indented", "a remark follows the value", "no blank before the colon"] {
        assert_told(&imported, Level::Warning, &[words]);
    }
    read_back(&imported);

    let (file, keys) = ("seeds/strongswan-ipsec.conf", "seeds/ipsec.conf.inc");
    let imported = sample(&folder, &[file], &[(keys, keys)], &here(&["172.50.0.10"]));
    assert_eq!(told(&imported, Level::Error), [] as [&str; 0]);
    assert_toml(
        &imported,
        r#"
        [connection.name_of_connection]
        local_address = "172.50.0.10"
        remote_address = "87.238.85.42"
        local_id = "name_of_connection"
        ike_version = "ikev2"
        ike_lifetime_seconds = 28800
        rekey_margin_seconds = 180
        dpd_interval_seconds = 30
        retry = 3
        [connection.name_of_connection.child.net]
        local_subnets = ["172.50.0.0/16"]
        remote_subnets = ["172.60.0.0/16"]
        lifetime_seconds = 3600
        start = "on-demand"
        "#,
    );
    assert_eq!(psk(&imported, "name_of_connection", 0), "put_your_psk_here");
    assert_told(&imported, Level::Warning, &["a line of ipsec.secrets in a configuration file"]);
    read_back(&imported);
    println!("seeds/*: imported");
}
