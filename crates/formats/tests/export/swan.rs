//! strongSwan, Libreswan and Openswan.
#![allow(clippy::panic)] // a test may fail

use crate::support::{ONE, TWO, assert_lines, load, refused, text, written};
use formats::export::{Export, Keys, Side, Target};

#[test]
fn strongswan_is_told_the_values_of_the_connection_with_both_ends_exchanged() {
    let text = text(ONE, "site-b", Target::Strongswan);
    assert_lines(
        &text,
        &[
            "# site-b/net: packets of 1438 bytes fit inside (TCP MSS 1398); behind a NAT 1422 (MSS 1382)",
            "conn site-b",
            "keyexchange=ikev2",
            "type=tunnel",
            "authby=secret",
            "left=198.51.100.7",
            "leftid=198.51.100.7",
            "leftsubnet=10.2.0.0/16",
            "right=192.0.2.1",
            "rightid=192.0.2.1",
            "rightsubnet=10.1.0.0/16",
            "ike=aes256-sha256-modp2048!",
            "esp=aes256-sha256-modp2048!",
            "ikelifetime=14400s",
            "lifetime=1800s",
            "margintime=180s",
            "rekeyfuzz=100%",
            "dpddelay=15s",
            "dpdtimeout=45s",
            "dpdaction=clear",
            "replay_window=1024",
            "auto=add",
            "# Verify:",
        ],
    );
}

#[test]
fn libreswan_and_openswan_have_their_own_words() {
    let libreswan = text(ONE, "site-b", Target::Libreswan);
    assert_lines(
        &libreswan,
        &[
            "conn site-b",
            "ikev2=yes",
            "left=198.51.100.7",
            "leftsubnet=10.2.0.0/16",
            "right=192.0.2.1",
            "rightsubnet=10.1.0.0/16",
            "ike=aes256-sha2_256;dh14",
            "esp=aes256-sha2_256;dh14",
            "pfs=yes",
            "ikelifetime=14400s",
            "salifetime=1800s",
            "rekeymargin=180s",
            "dpddelay=15s",
            "dpdtimeout=45s",
            "replay-window=1024",
            "mtu=1438",
            "auto=add",
        ],
    );
    assert!(!libreswan.contains("dpdaction"), "Libreswan 5 refuses a file with it");
    let openswan = text(ONE, "site-b", Target::Openswan);
    assert_lines(
        &openswan,
        &[
            "ikev2=insist",
            "ike=aes256-sha2_256;modp2048",
            "phase2=esp",
            "phase2alg=aes256-sha2_256;modp2048",
            "pfs=yes",
            "ikelifetime=14400s",
            "salifetime=1800s",
            "dpddelay=15",
            "dpdtimeout=45",
            "dpdaction=clear",
            "auto=add",
        ],
    );
}

#[test]
fn both_tunnels_are_written_with_interfaces_of_their_own() {
    for (target, mark) in [(Target::Strongswan, "mark=101"), (Target::Libreswan, "ipsec-interface=1")] {
        let text = text(TWO, "cloud", target);
        assert_lines(&text, &["conn cloud-1", "left=198.51.100.1", "leftsubnet=0.0.0.0/0", mark]);
        assert_lines(&text, &["conn cloud-2", "left=198.51.100.2", "right=192.0.2.1", "rightsubnet=0.0.0.0/0"]);
        for inside in ["169.254.10.1 peer 169.254.10.2", "169.254.10.5 peer 169.254.10.6", "mtu 1438"] {
            assert!(text.contains(inside), "{inside} in\n{text}");
        }
    }
    let told = refused(TWO, "cloud", Target::Openswan);
    assert_eq!(told.len(), 1);
    assert!(
        told[0].contains("2 tunnels to the same networks") && told[0].contains("underpass export cloud-1"),
        "{told:?}"
    );
    assert_lines(&text(TWO, "cloud-1", Target::Openswan), &["conn cloud-1", "left=198.51.100.1"]);
}

#[test]
fn our_own_end_keeps_its_side() {
    let export = Export::of(&load(TWO), "cloud", Side::Here).expect("known");
    let Ok(document) = formats::export::export(&export, Target::Strongswan, Keys::Hidden) else {
        panic!("strongSwan can say all of it");
    };
    assert_lines(&document.text, &["left=192.0.2.1", "right=198.51.100.1", "auto=start"]);
    assert!(document.text.contains("ip route add 10.0.0.0/16 dev vti1"), "{}", *document.text);
}

#[test]
fn keys_are_words_unless_they_are_asked_for() {
    for target in [Target::Strongswan, Target::Libreswan, Target::Openswan] {
        let hidden = written(ONE, "site-b", target, Keys::Hidden);
        let secrets = hidden.secrets.expect("a file of its own");
        assert_lines(&secrets, &["198.51.100.7 192.0.2.1 : PSK \"<pre-shared key of site-b>\""]);
        assert!(!hidden.text.contains("Abcdefgh") && !secrets.contains("Abcdefgh"));
        let shown = written(ONE, "site-b", target, Keys::Shown);
        assert!(!shown.text.contains("Abcdefgh"));
        assert_lines(
            &shown.secrets.expect("as above"),
            &["198.51.100.7 192.0.2.1 : PSK \"Abcdefgh1234567890_site.b\""],
        );
    }
}

#[test]
fn who_waits_is_called_and_whoever_calls_needs_an_address() {
    let passive = ONE.replace("lifetime_seconds = 1800", "lifetime_seconds = 1800\nstart = \"passive\"");
    assert_lines(&text(&passive, "site-b", Target::Strongswan), &["dpdaction=restart", "auto=start"]);
    let nowhere = passive.replace("local_address = \"192.0.2.1\"", "local_id = \"g1.example.net\"");
    let told = refused(&nowhere, "site-b", Target::Strongswan);
    assert_eq!(
        told,
        [
            "site-b: `local_address`: strongSwan cannot say an end that is called and has no address; write `local_address`"
        ]
    );
}

#[test]
fn what_cannot_be_said_is_refused_with_the_option_the_device_and_the_nearest() {
    let with = |from: &str, to: &str| ONE.replace(from, to);
    let ike = "ike_proposals = [\"aes256-sha256-modp2048\"]";
    let table = [
        (
            Target::Openswan,
            with(ike, "ike_proposals = \"aes256gcm16-x25519\""),
            "site-b: `ike_proposals`: Openswan cannot say aes256gcm16; the nearest it can is aes256",
        ),
        (
            Target::Openswan,
            with(ike, "ike_proposals = \"aes256-sha512-modp2048\""),
            "site-b: `ike_proposals`: Openswan cannot say sha512; the nearest it can is sha256",
        ),
        (
            Target::Libreswan,
            with(ike, "ike_proposals = \"aes256-sha256-modp1024\""),
            "site-b: `ike_proposals`: Libreswan cannot say modp1024; the nearest it can is modp1536",
        ),
        (
            Target::Libreswan,
            with("10.1.0.0/16", "10.1.0.0/16[tcp/443]"),
            "site-b/net: `local_subnets and remote_subnets`: Libreswan cannot say 10.1.0.0/16[tcp/443]; the nearest it can is 10.1.0.0/16",
        ),
        (
            Target::Strongswan,
            with("10.1.0.0/16", "10.1.0.1-10.1.0.2"),
            "site-b/net: `local_subnets and remote_subnets`: strongSwan cannot say the range 10.1.0.1-10.1.0.2; the nearest it can is 10.1.0.1/32, 10.1.0.2/32",
        ),
        (
            Target::Strongswan,
            with("= 14400", "= 0"),
            "site-b: `ike_lifetime_seconds`: strongSwan cannot say an SA that never ends; the nearest it can is 86400",
        ),
        (
            Target::Openswan,
            with("ike_lifetime", "remote_port = 4500\nike_lifetime"),
            "site-b: `remote_port`: Openswan cannot say UDP port 4500; the nearest it can is 500",
        ),
    ];
    for (target, config, expected) in table {
        let told = refused(&config, "site-b", target);
        assert!(told.iter().any(|line| line.starts_with(expected)), "{expected}\n{told:#?}");
    }
}

#[test]
fn alternatives_that_a_device_cannot_say_are_left_out_aloud() {
    let config =
        ONE.replace("[\"aes256-sha256-modp2048\"]\nike", "[\"aes256gcm16-x25519\", \"aes128-sha256-modp2048\"]\nike");
    let document = written(&config, "site-b", Target::Openswan, Keys::Hidden);
    assert_lines(&document.text, &["ike=aes128-sha2_256;modp2048"]);
    let told = "site-b: `ike_proposals` allows 2 suites, Openswan is told 1: 1 of them it cannot say; our end takes any of them";
    assert!(document.notes.iter().any(|note| note == told), "{:?}", document.notes);
    assert!(document.text.contains(&format!("# note: {told}")));
}

#[test]
fn one_margin_for_both_is_the_smaller_for_the_larger_would_eat_a_short_lifetime() {
    let short = ONE.replace("lifetime_seconds = 1800", "lifetime_seconds = 500");
    for (target, line) in [(Target::Strongswan, "margintime=50s"), (Target::Libreswan, "rekeymargin=50s")] {
        assert_lines(&text(&short, "site-b", target), &[line]);
    }
}
