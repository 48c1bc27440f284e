//! `ipsec.conf` and `ipsec.secrets`: what becomes of them, which end is ours, what is joined.

use crate::support::*;
use formats::import::{Format, Here, Level};

/// As a guide prints it: nothing indented, remarks behind values.
const PASTED: &str = "\
conn Tunnel1
authby=secret
auto=start
left=%defaultroute
leftid=198.51.100.9       --- Elastic IP of the instance
right=203.0.113.60\t--- Public IP of the tunnel
type=tunnel
ikelifetime=8h
keylife=1h
phase2alg=aes128-sha1;modp1024
ike=aes128-sha1;modp1024
keyingtries=%forever
keyexchange=ike
leftsubnet=192.168.99.0/24  --- CIDR = ours
rightsubnet=10.0.0.0/16     --- CIDR of the VPC
dpddelay=10
dpdtimeout=30
dpdaction=restart_by_peer
";

const PASTED_AS_TOML: &str = r#"
    [connection.Tunnel1]
    remote_address = "203.0.113.60"
    local_id = "198.51.100.9"
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
"#;

#[test]
fn what_a_guide_prints_is_read_and_every_leniency_is_named() {
    let secrets = [("t.secrets", "198.51.100.9 203.0.113.60: PSK \"K7wq.Zr2mXv9TnB4pLs\"\n")];
    let imported = many(&[("t.conf", PASTED)], &secrets, None, &here(&["10.0.0.4"]));
    assert_eq!(told(&imported, Level::Error), [] as [&str; 0]);
    assert_toml(&imported, PASTED_AS_TOML);
    assert_eq!(psk(&imported, "Tunnel1", 0), "K7wq.Zr2mXv9TnB4pLs");
    assert_told(&imported, Level::Warning, &["t.conf:2:1", "not indented", "also lines 3, 4"]);
    assert_told(&imported, Level::Warning, &["t.conf:5:8", "a remark follows", "also lines 6, 14, 15"]);
    assert_told(&imported, Level::Warning, &["t.secrets:1:26", "no blank before the colon"]);
    assert_told(&imported, Level::Warning, &["Openswan begins with IKEv1"]);
    assert_told(&imported, Level::Note, &["rules of Openswan", "dpdaction=restart_by_peer", "phase2alg"]);
    let tunnel = &connection(&imported, "Tunnel1").tunnels[0];
    assert_eq!(tunnel.remote_addresses[0].at.to_string(), "t.conf:6:7");
    read_back(&imported);
}

#[test]
fn line_ends_tabs_marks_and_order_of_files_change_nothing() {
    let key = "198.51.100.9 203.0.113.60 : PSK \"K7wq.Zr2mXv9TnB4pLs\"\n";
    let crlf = PASTED.replace('\n', "\r\n");
    let tabs = PASTED.replace("\nleft", "\n\t\tleft").replace('=', "\t=\t");
    let marked = format!("\u{feff}{PASTED}");
    let residue = format!("{PASTED}~\n  ~     \n~");
    for (what, text) in [("crlf", crlf), ("tabs", tabs), ("bom", marked), ("residue", residue)] {
        for files in [[("t.conf", text.as_str()), ("k", key)], [("k", key), ("t.conf", text.as_str())]] {
            let imported = many(&files, &[], None, &here(&["10.0.0.4"]));
            assert_eq!(told(&imported, Level::Error), [] as [&str; 0], "{what}");
            assert_toml(&imported, PASTED_AS_TOML);
            assert_eq!(psk(&imported, "Tunnel1", 0), "K7wq.Zr2mXv9TnB4pLs");
        }
    }
}

const SITE: &str = "\
config setup
    charondebug=\"ike 2, knl 2\"
conn %default
    keyexchange=ikev2
    authby=secret
    ike=aes256gcm16-prfsha384-ecp384!
    esp=aes256gcm16-ecp384!
    ikelifetime=8h
    lifetime=1h
    dpdaction=restart
    dpddelay=10
conn site
    left=192.0.2.1
    leftsubnet=10.1.0.0/16
    right=192.0.2.2
    rightsubnet=10.2.0.0/16
    auto=start
include site.secrets
";
const SITE_KEY: [(&str, &str); 1] = [("site.secrets", ": PSK \"of everybody, long enough\"\n")];

fn site(here: &Here) -> formats::import::Imported {
    many(&[("site.conf", SITE)], &SITE_KEY, None, here)
}

#[test]
fn which_end_is_ours_is_found_by_address_or_asked_for() {
    let remote = |imported: &formats::import::Imported| {
        connection(imported, "site").tunnels[0].remote_addresses[0].value.clone()
    };
    assert_eq!(remote(&site(&here(&["192.0.2.1"]))), "192.0.2.2");
    assert_eq!(remote(&site(&here(&["192.0.2.2"]))), "192.0.2.1");
    assert_eq!(remote(&site(&local("192.0.2.2"))), "192.0.2.1");
    for nowhere in [here(&["198.51.100.1"]), anywhere(), local("198.51.100.1")] {
        let imported = site(&nowhere);
        assert!(imported.connections.is_empty());
        assert_told(
            &imported,
            Level::Error,
            &["site.conf:13:10", "which is ours", "`--local 192.0.2.1`", "`--local 192.0.2.2`"],
        );
    }
    let both = here(&["192.0.2.1", "192.0.2.2"]);
    assert_told(&site(&both), Level::Error, &["which is ours"]);
}

#[test]
fn an_end_without_an_address_is_the_caller_or_a_peer_from_anywhere() {
    // (left, right, auto, format, peer)
    let table = [
        ("%any", "192.0.2.2", "start", Format::Openswan, "192.0.2.2"),
        ("%any", "192.0.2.2", "add", Format::Strongswan, "192.0.2.2"),
        ("192.0.2.1", "%any", "add", Format::Libreswan, "any"),
        ("192.0.2.1", "%any", "add", Format::Strongswan, "any"),
        ("%any", "192.0.2.2", "add", Format::Libreswan, "any"),
        ("192.0.2.1", "%defaultroute", "start", Format::Libreswan, "192.0.2.1"),
    ];
    for (left, right, auto, format, peer) in table {
        let text = format!(
            "conn a\n  authby=secret\n  left={left}\n  leftsubnet=10.1.0.0/16\n  right={right}\n  rightsubnet=10.2.0.0/16\n  auto={auto}\n"
        );
        let imported = many(
            &[("a.conf", &text), ("k", ": PSK \"of everybody, long enough\"\n")],
            &[],
            Some(format),
            &here(&["198.51.100.1"]),
        );
        assert_eq!(told(&imported, Level::Error), [] as [&str; 0], "{left} {right}");
        assert_eq!(connection(&imported, "a").tunnels[0].remote_addresses[0].value, peer, "{left} {right} {auto}");
        read_back(&imported);
    }
    let text = "conn a\n  authby=secret\n  left=%defaultroute\n  right=%defaultroute\n  auto=start\n";
    assert_told(&one("a.conf", text, &anywhere()), Level::Error, &["both ends are %defaultroute"]);
}

#[test]
fn an_identity_that_follows_from_the_route_must_be_known() {
    let text = "conn a\n  authby=secret\n  left=%defaultroute\n  leftsubnet=10.1.0.0/16\n  right=192.0.2.2\n  rightsubnet=10.2.0.0/16\n  auto=start\n";
    assert_told(&one("a.conf", text, &anywhere()), Level::Error, &["a.conf:3:8", "must be known", "--local ADDRESS"]);
    let imported = one("a.conf", text, &here(&["198.51.100.1"]));
    let ours = connection(&imported, "a").tunnels[0].local_address.clone();
    assert_eq!(ours.map(|at| at.value.to_string()).as_deref(), Some("198.51.100.1"));
    assert_told(&imported, Level::Warning, &["left to the route", "198.51.100.1"]);
}

#[test]
fn the_most_specific_key_counts_and_equal_ones_must_agree() {
    let key = |secrets: &str| {
        let imported = many(
            &[("site.conf", SITE.replace("include site.secrets\n", "").as_str()), ("k.secrets", secrets)],
            &[],
            None,
            &here(&["192.0.2.1"]),
        );
        let error = told(&imported, Level::Error).join("\n");
        if error.is_empty() { psk(&imported, "site", 0) } else { error }
    };
    let table = [
        ("192.0.2.1 192.0.2.2 : PSK \"both ends of it\"\n: PSK \"everybody at all\"", "both ends of it"),
        ("192.0.2.2 192.0.2.1 : PSK \"the other way\"", "the other way"),
        (": PSK \"everybody at all\"\n192.0.2.2 : PSK \"only the peer\"", "only the peer"),
        ("%any 192.0.2.2 : PSK \"peer and any\"\n%any %any : PSK \"any and any\"", "peer and any"),
        ("192.0.2.1 192.0.2.7 : PSK \"of somebody else\"", ""),
        ("192.0.2.2 : psk 0x70657072696e74", "peprint"),
        ("192.0.2.2 : PSK 0sYmFzZTY0", "base64"),
        ("192.0.2.2 : PSK 0tplain.text.of.it", "plain.text.of.it"),
        ("192.0.2.2 : PSK \"with # inside\" # and a comment", "with # inside"),
        ("192.0.2.2 : PSK \u{201c}in curly quotes\u{201d}", "in curly quotes"),
        ("192.0.2.2 : PSK not-in-quotes --- remark", "not-in-quotes"),
        ("2001:db8::1 : PSK \"of IPv6\"\n192.0.2.2 : PSK \"of IPv4 alone\"", "of IPv4 alone"),
        (": RSA {\n\tModulus: 0x00\n\t}\n192.0.2.2 : PSK \"after the RSA\"", "after the RSA"),
    ];
    for (secrets, expected) in table {
        assert_eq!(key(secrets), expected, "{secrets}");
    }
    let twice = key("192.0.2.2 : PSK \"the one of them\"\n192.0.2.2 : PSK \"the other of them\"");
    assert!(
        twice.contains("k.secrets:2:1") && twice.contains("k.secrets:1:1") && !twice.contains("of them"),
        "{twice}"
    );
    for (bad, words) in [
        ("0xabc", "odd number"),
        ("\"open", "does not close"),
        ("\"\"", "empty"),
        ("<key>", "placeholder"),
        ("0sA", "padded"),
    ] {
        let told = key(&format!("192.0.2.2 : PSK {bad}"));
        assert!(told.contains(words), "{bad}: {told}");
    }
}

#[test]
fn a_key_that_is_nowhere_is_asked_for_and_the_rest_imported() {
    let imported = one("site.conf", &SITE.replace("include site.secrets\n", ""), &here(&["192.0.2.1"]));
    assert_eq!(imported.connections.len(), 1);
    assert_told(&imported, Level::Warning, &["no pre-shared key was found", "site.secrets"]);
    let rendered = imported.to_toml(formats::import::Keys::Written, None);
    assert!(rendered.secrets.contains("# site = \"…\"   # not found"), "{}", *rendered.secrets);
}

#[test]
fn two_gateways_to_the_same_networks_are_one_connection_with_two_tunnels() {
    let text = SITE.replace("conn site", "conn site1").replace(
        "include site.secrets",
        "conn site2\n also=site1\n right=192.0.2.3\n lifetime=30m\ninclude site.secrets",
    );
    let imported = many(&[("site.conf", &text)], &SITE_KEY, None, &here(&["192.0.2.1"]));
    assert_toml(
        &imported,
        r#"
        [connection.site]
        mode = "active-standby"
        local_address = "192.0.2.1"
        ike_version = "ikev2"
        ike_proposals = ["aes256gcm16-prfsha384-ecp384"]
        ike_lifetime_seconds = 28800
        dpd_interval_seconds = 10
        [connection.site.tunnel.1]
        remote_address = "192.0.2.2"
        lifetime_seconds = 3600
        [connection.site.tunnel.2]
        remote_address = "192.0.2.3"
        lifetime_seconds = 1800
        [connection.site.child.net]
        local_subnets = ["10.1.0.0/16"]
        remote_subnets = ["10.2.0.0/16"]
        esp_proposals = ["aes256gcm16-ecp384"]
        start = "on-load"
        "#,
    );
    assert_told(&imported, Level::Note, &["site1 and site2", "two tunnels of one connection, site"]);
    read_back(&imported);

    // With everything as networks, two strangers are not one connection.
    let strangers = text.replace("10.1.0.0/16", "0.0.0.0/0").replace("10.2.0.0/16", "0.0.0.0/0");
    let strangers = strangers.replace("site1", "tokyo").replace("site2", "london");
    let imported = many(&[("site.conf", &strangers)], &SITE_KEY, None, &here(&["192.0.2.1"]));
    assert_eq!(imported.connections.len(), 2);
}

#[test]
fn sections_with_the_same_ends_are_children_of_one_connection() {
    let text =
        SITE.replace("include site.secrets", "conn lab\n also=site\n rightsubnet=10.9.0.0/16\ninclude site.secrets");
    let imported = many(&[("site.conf", &text)], &SITE_KEY, None, &here(&["192.0.2.1"]));
    let found = connection(&imported, "site");
    assert_eq!(imported.connections.len(), 1);
    assert_eq!(found.children.iter().map(|child| child.name.as_str()).collect::<Vec<_>>(), ["site", "lab"]);
    assert_told(&imported, Level::Note, &["site and lab", "children of one connection"]);
    read_back(&imported);
}

#[test]
fn exceptions_become_policies_and_switched_off_or_helping_sections_nothing() {
    let more = "conn local-net\n type=passthrough\n authby=never\n left=192.0.2.1\n right=192.0.2.2\n leftsubnet=10.1.0.0/16\n rightsubnet=10.1.0.0/16\n auto=route\n\
                conn off\n also=site\n auto=ignore\nconn empty\nconn base\n dpddelay=3\nconn user\n also=base\n also=site\n right=192.0.2.9\n rightsubnet=10.8.0.0/16\n";
    let imported = many(&[("site.conf", &format!("{SITE}{more}"))], &SITE_KEY, None, &here(&["192.0.2.1"]));
    assert_eq!(told(&imported, Level::Error), [] as [&str; 0]);
    assert_eq!(imported.policies.len(), 1);
    assert!(imported.policies[0].bypass && imported.policies[0].name.value == "local-net");
    assert_eq!(imported.connections.iter().map(|one| one.name.value.as_str()).collect::<Vec<_>>(), ["site", "user"]);
    assert_told(&imported, Level::Note, &["conn off", "switched off"]);
    assert_told(&imported, Level::Note, &["conn empty", "nothing about either end"]);
    assert_told(&imported, Level::Note, &["conn base", "keys for others"]);
    read_back(&imported);
}

#[test]
fn includes_are_followed_relative_to_their_file_and_missing_ones_told() {
    let main = "config setup\nconn %default\n authby=secret\n left=%defaultroute\n leftid=@us\ninclude ipsec.d/*.conf\ninclude /nowhere/*.conf\n";
    let others = [
        (
            "/etc/ipsec.d/b.conf",
            "conn b\n right=192.0.2.2\n leftsubnet=10.1.0.0/16\n rightsubnet=10.2.0.0/16\n auto=start\n",
        ),
        ("/etc/ipsec.d/.hidden.conf", "conn hidden\n"),
        ("/etc/ipsec.secrets", "include ipsec.d/*.secrets\n"),
        ("/etc/ipsec.d/b.secrets", "@us 192.0.2.2 : PSK \"included twice over\"\n"),
    ];
    let imported = many(&[("/etc/ipsec.conf", main)], &others, None, &anywhere());
    assert_eq!(told(&imported, Level::Error), [] as [&str; 0]);
    assert_eq!(psk(&imported, "b", 0), "included twice over");
    assert_told(&imported, Level::Warning, &["/etc/ipsec.conf:7:9", "`include /nowhere/*.conf` fits no file"]);
    let files: Vec<&str> = imported.files.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(files, ["/etc/ipsec.conf", "/etc/ipsec.d/b.conf", "/etc/ipsec.secrets", "/etc/ipsec.d/b.secrets"]);
}

#[test]
fn values_have_the_units_and_forms_that_people_write() {
    // (line of the conn, line of the result)
    let table = [
        ("ikelifetime=90m", "ike_lifetime_seconds = 5400"),
        ("forceencaps=yes", "encapsulation = \"force\""),
        ("fragmentation=no", "fragmentation_bytes = 0"),
        ("rekeymargin=3m", "rekey_margin_seconds = 180"),
        ("rekeyfuzz=50%", "rekey_fuzz_percent = 50"),
        ("dpdtimeout=2m", "dpd_timeout_seconds = 120"),
        ("keyingtries=3", "retry = 3"),
        ("leftsubnet=10.3.0.0/255.255.0.0", "local_subnets = [\"10.3.0.0/16\"]"),
        ("leftsubnet=10.3.0.5/16", "local_subnets = [\"10.3.0.0/16\"]"),
        ("leftsubnet=10.3.0.0/16,10.4.0.0/16", "local_subnets = [\"10.3.0.0/16\", \"10.4.0.0/16\"]"),
        ("leftprotoport=17/1701", "local_subnets = [\"10.1.0.0/16[17/1701]\"]"),
        ("leftsubnet=", "local_subnets = [\"192.0.2.1\"]"),
        ("leftid=@us.example", "local_id = \"@us.example\""),
        ("rightid=%any", "remote_id = \"any\""),
        ("replay_window=32", "replay_window = 64"),
        ("sha256_96=yes", "sha256_96 = true"),
        ("lifebytes=1000000", "lifetime_bytes = 1000000"),
        ("auto=route", "start = \"on-demand\""),
        ("auto=add", "start = \"passive\""),
        ("keyexchange=ike", "ike_version = \"both\""),
    ];
    for (written, expected) in table {
        let text = SITE.replace("    auto=start", &format!("    auto=start\n    {written}"));
        let imported = many(&[("site.conf", &text)], &SITE_KEY, Some(Format::Strongswan), &here(&["192.0.2.1"]));
        assert_eq!(told(&imported, Level::Error), [] as [&str; 0], "{written}");
        assert!(toml(&imported).iter().any(|line| line == expected), "{written}: {:#?}", toml(&imported));
        read_back(&imported);
    }
}
