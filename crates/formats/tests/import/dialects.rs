//! Where Openswan, Libreswan and strongSwan read the same text differently.

use crate::support::*;
use formats::import::{Format, Imported, Level};

const BASE: &str = "conn a\n authby=secret\n left=192.0.2.1\n leftsubnet=10.1.0.0/16\n right=192.0.2.2\n rightsubnet=10.2.0.0/16\n auto=start\n ike=aes256-sha256-modp2048\n esp=aes256-sha256\n";

fn read(text: &str, format: Format) -> Imported {
    many(&[("a.conf", text), ("k", ": PSK \"of everybody, long enough\"\n")], &[], Some(format), &here(&["192.0.2.1"]))
}

const ALL: [Format; 3] = [Format::Openswan, Format::Libreswan, Format::Strongswan];

/// The value of a key in the result, or `refused`.
fn value(imported: &Imported, key: &str) -> String {
    if imported.connections.is_empty() {
        return "refused".to_owned();
    }
    let line = toml(imported).into_iter().find_map(|line| line.strip_prefix(&format!("{key} = ")).map(str::to_owned));
    line.unwrap_or_else(|| "default".to_owned())
}

#[test]
fn each_rule_of_each_dialect_gives_its_own_value() {
    // (what, text added to the conn, key, Openswan, Libreswan, strongSwan)
    let table = [
        ("a key twice", " dpddelay=7\n dpddelay=9\n dpdaction=restart\n", "dpd_interval_seconds", "refused", "7", "9"),
        (
            "a conn twice",
            " dpddelay=7\n dpdaction=restart\nconn a\n dpddelay=9\n",
            "dpd_interval_seconds",
            "refused",
            "7",
            "9",
        ),
        (
            "also, twice",
            " also=b\n also=c\n dpdaction=restart\nconn b\n dpddelay=7\nconn c\n dpddelay=9\n",
            "dpd_interval_seconds",
            "7",
            "7",
            "9",
        ),
        (
            "also, own first",
            " also=b\n dpddelay=5\n dpdaction=restart\nconn b\n dpddelay=7\n",
            "dpd_interval_seconds",
            "5",
            "5",
            "5",
        ),
        (
            "%default twice",
            " dpdaction=restart\nconn %default\n dpddelay=7\nconn %default\n dpddelay=9\n",
            "dpd_interval_seconds",
            "9",
            "9",
            "9",
        ),
        ("an empty value", " dpddelay=\n dpdaction=restart\n", "dpd_interval_seconds", "refused", "30", "30"),
        ("a mistyped word", " dpddelai=7\n dpdaction=restart\n", "dpd_interval_seconds", "refused", "refused", "30"),
        ("weeks", " keylife=1w\n", "lifetime_seconds", "604800", "604800", "604800"),
        ("lifetime of IKE by default", "", "ike_lifetime_seconds", "3600", "default", "10800"),
        ("lifetime of a child by default", "", "lifetime_seconds", "28800", "28800", "default"),
        ("version by default", "", "ike_version", "\"ikev1\"", "\"ikev2\"", "\"both\""),
        ("ikev2=insist", " ikev2=insist\n", "ike_version", "\"ikev2\"", "\"ikev2\"", "\"ikev2\""),
        ("ikev2=yes", " ikev2=yes\n", "ike_version", "\"both\"", "\"ikev2\"", "\"both\""),
        ("ikev2=never", " ikev2=never\n", "ike_version", "\"ikev1\"", "\"ikev1\"", "\"ikev1\""),
        (
            "PFS by default",
            "",
            "esp_proposals",
            "[\"aes256-sha256-modp2048\"]",
            "[\"aes256-sha256-modp2048\"]",
            "[\"aes256-sha256\"]",
        ),
        ("pfs=no", " pfs=no\n", "esp_proposals", "[\"aes256-sha256\"]", "[\"aes256-sha256\"]", "[\"aes256-sha256\"]"),
        (
            "pfsgroup",
            " pfsgroup=modp3072\n",
            "esp_proposals",
            "[\"aes256-sha256-modp3072\"]",
            "[\"aes256-sha256-modp3072\"]",
            "[\"aes256-sha256\"]",
        ),
        ("DPD without an action", " dpddelay=7\n", "dpd_interval_seconds", "7", "7", "default"),
        ("tries", " keyingtries=5\n", "retry", "5", "default", "5"),
        (
            "the AWS download for Openswan",
            " auth=esp\n keyexchange=ike\n",
            "remote_address",
            "\"192.0.2.2\"",
            "\"192.0.2.2\"",
            "\"192.0.2.2\"",
        ),
    ];
    for (what, added, key, openswan, libreswan, strongswan) in table {
        for (format, expected) in ALL.into_iter().zip([openswan, libreswan, strongswan]) {
            let imported = read(&format!("{BASE}{added}"), format);
            let errors = told(&imported, Level::Error);
            assert_eq!(value(&imported, key), expected, "{what} by {format}: {errors:#?}");
            assert_eq!(errors.is_empty(), expected != "refused", "{what} by {format}: {errors:#?}");
        }
    }
}

#[test]
fn with_ikev1_strongswan_uses_the_first_network_alone() {
    let text = BASE.replace("10.1.0.0/16", "10.1.0.0/16,10.3.0.0/16") + " keyexchange=ikev1\n";
    let imported = read(&text, Format::Strongswan);
    assert_eq!(value(&imported, "local_subnets"), "[\"10.1.0.0/16\"]");
    assert_told(&imported, Level::Warning, &["first network", "10.3.0.0/16 is left out"]);
    let imported = read(&text, Format::Libreswan);
    assert_eq!(value(&imported, "local_subnets"), "[\"10.1.0.0/16\", \"10.3.0.0/16\"]");
}

#[test]
fn pairs_of_networks_are_split_as_leftsubnets_has_it() {
    let text = BASE.replace("leftsubnet=10.1.0.0/16", "leftsubnets={10.1.0.0/16 10.3.0.0/16}");
    let imported = read(&text, Format::Libreswan);
    assert_eq!(value(&imported, "local_subnets"), "[\"10.1.0.0/16\", \"10.3.0.0/16\"]");
    assert_eq!(value(&imported, "split_selectors"), "true");
    read_back(&imported);
}

#[test]
fn words_of_another_dialect_are_used_and_named() {
    let imported = read(&format!("{BASE} reauth=no\n"), Format::Openswan);
    assert_told(
        &imported,
        Level::Warning,
        &["a.conf:10:2", "`reauth` is a word of another dialect", "Openswan would refuse the file"],
    );
    let imported = read(&BASE.replace(" esp=", " phase2alg="), Format::Strongswan);
    assert_told(&imported, Level::Warning, &["`phase2alg`", "strongSwan would not use it"]);
    assert_eq!(value(&imported, "esp_proposals"), "[\"aes256-sha256\"]");
    let imported = read(&format!("{BASE} dpdaction=restart_by_peer\n"), Format::Strongswan);
    assert_told(&imported, Level::Warning, &["strongSwan would leave the conn out"]);
    let imported = read(&format!("{BASE} x-comment=whatever\n"), Format::Libreswan);
    assert!(!told(&imported, Level::Warning).iter().any(|text| text.contains("x-comment")));
}

#[test]
fn the_dialect_is_found_by_evidence() {
    let table = [
        ("# /etc/ipsec.conf - Libreswan IPsec configuration file\nconn a\n left=192.0.2.1\n", Format::Libreswan),
        ("config setup\n nat_traversal=yes\n oe=off\nconn a\n", Format::Openswan),
        ("conn a\n phase2alg=aes128-sha1;modp1024\n dpdaction=restart_by_peer\n", Format::Openswan),
        ("conn a\n ikev2=insist\n retransmit-timeout=5s\n", Format::Libreswan),
        ("conn a\n ike=aes128-sha1-modp1024!\n", Format::Strongswan),
        ("conn a\n leftauth=psk\n closeaction=restart\n", Format::Strongswan),
        ("conn a\n", Format::Strongswan),
    ];
    for (text, expected) in table {
        assert_eq!(one("a.conf", text, &anywhere()).files[0].1, expected, "{text}");
    }
    assert_told(
        &one("a.conf", "conn a\n", &anywhere()),
        Level::Warning,
        &["nothing tells the dialect", "--format openswan"],
    );
}
