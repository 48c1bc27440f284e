//! The generic text, the managed service's XML, VyOS, Terraform.

use crate::support::{ONE, TWO, assert_lines, model, refused, text, written};
use formats::export::{Keys, Side, Target, export};

#[test]
fn the_generic_text_has_every_value_under_the_headings_people_know() {
    let text = text(TWO, "cloud", Target::Generic);
    for (number, theirs, inside) in [(1, "198.51.100.1", "169.254.10.1/30"), (2, "198.51.100.2", "169.254.10.5/30")] {
        let part = text.split(&format!("IPSec Tunnel #{number}")).nth(1).expect("there is such a tunnel");
        assert_lines(
            part,
            &[
                "- IKE version              : ikev2",
                &format!("- Pre-Shared Key           : <pre-shared key of cloud-{number}>"),
                "- Authentication Algorithm : sha2-256",
                "- Encryption Algorithm     : aes-128-cbc",
                "- Diffie-Hellman           : group14",
                "- Lifetime                 : 28800 seconds",
                "- Authentication Algorithm : hmac-sha2-256-128",
                "- Encryption Algorithm     : aes-128-cbc",
                "- Perfect Forward Secrecy  : group14",
                "- Lifetime                 : 3600 seconds",
                "- DPD Interval             : 10 seconds",
                "- DPD Retries              : 3",
                "- TCP MSS Adjustment       : 1398 bytes",
                &format!("- Customer Gateway         : {theirs}"),
                "- Virtual Private Gateway  : 192.0.2.1",
                &format!("- Customer Gateway         : {inside}"),
                "- Tunnel interface MTU     : 1438 bytes",
            ],
        );
    }
    let narrow = self::text(ONE, "site-b", Target::Generic);
    assert_lines(&narrow, &["- Networks of this device  : 10.2.0.0/16", "- Networks of the peer     : 10.1.0.0/16"]);
}

#[test]
fn the_xml_has_both_tunnels_and_refuses_what_it_has_no_element_for() {
    let text = text(TWO, "cloud", Target::AwsXml);
    assert_lines(
        &text,
        &[
            "<vpn_connection id=\"cloud\">",
            "<ip_address>198.51.100.1</ip_address>",
            "<ip_address>169.254.10.1</ip_address>",
            "<network_mask>255.255.255.252</network_mask>",
            "<network_cidr>30</network_cidr>",
            "<ip_address>192.0.2.1</ip_address>",
            "<ip_address>169.254.10.2</ip_address>",
            "<encryption_protocol>aes-128-cbc</encryption_protocol>",
            "<lifetime>28800</lifetime>",
            "<perfect_forward_secrecy>group14</perfect_forward_secrecy>",
            "<pre_shared_key>&lt;pre-shared key of cloud-1&gt;</pre_shared_key>",
            "<lifetime>3600</lifetime>",
            "<tcp_mss_adjustment>1398</tcp_mss_adjustment>",
            "<interval>10</interval>",
            "<retries>3</retries>",
            "<ip_address>198.51.100.2</ip_address>",
            "<ip_address>169.254.10.5</ip_address>",
        ],
    );
    let told = refused(ONE, "site-b", Target::AwsXml);
    assert!(
        told.iter().any(|line| line.contains("`local_subnets`") && line.contains("0.0.0.0/0 on both sides")),
        "{told:?}"
    );
    assert!(told.iter().any(|line| line.contains("`inside_address`")), "{told:?}");
    let named = TWO.replace("mode = \"active-standby\"", "mode = \"active-standby\"\nlocal_id = \"g1.example.net\"");
    let told = refused(&named, "cloud", Target::AwsXml);
    assert!(told[0].contains("`local_id`") && told[0].contains("the nearest it can is 192.0.2.1"), "{told:?}");
}

#[test]
fn vyos_has_an_interface_per_tunnel_or_pairs_of_networks() {
    let two = text(TWO, "cloud", Target::Vyos);
    assert_lines(
        &two,
        &[
            "set vpn ipsec ike-group cloud-2 key-exchange 'ikev2'",
            "set vpn ipsec ike-group cloud-2 lifetime '28800'",
            "set vpn ipsec ike-group cloud-2 dead-peer-detection interval '10'",
            "set vpn ipsec ike-group cloud-2 dead-peer-detection timeout '30'",
            "set vpn ipsec ike-group cloud-2 proposal 1 encryption 'aes128'",
            "set vpn ipsec ike-group cloud-2 proposal 1 hash 'sha256'",
            "set vpn ipsec ike-group cloud-2 proposal 1 dh-group '14'",
            "set vpn ipsec esp-group cloud-2-net lifetime '3600'",
            "set vpn ipsec esp-group cloud-2-net pfs 'dh-group14'",
            "set vpn ipsec site-to-site peer cloud-2 connection-type 'respond'",
            "set vpn ipsec site-to-site peer cloud-2 local-address '198.51.100.2'",
            "set vpn ipsec site-to-site peer cloud-2 remote-address '192.0.2.1'",
            "set vpn ipsec site-to-site peer cloud-2 vti bind 'vti2'",
            "set interfaces vti vti2 address '169.254.10.5/30'",
            "set interfaces vti vti2 mtu '1438'",
            "set interfaces vti vti2 ip adjust-mss '1398'",
        ],
    );
    let one = text(ONE, "site-b", Target::Vyos);
    assert_lines(
        &one,
        &[
            "set vpn ipsec site-to-site peer site-b tunnel 1 local prefix '10.2.0.0/16'",
            "set vpn ipsec site-to-site peer site-b tunnel 1 remote prefix '10.1.0.0/16'",
        ],
    );
    let told = refused(&ONE.replace("10.1.0.0/16", "10.1.0.0/16[tcp/443]"), "site-b", Target::Vyos);
    assert!(told[0].contains("VyOS cannot say 10.1.0.0/16[tcp/443]; the nearest it can is 10.1.0.0/16"), "{told:?}");
}

#[test]
fn terraform_has_the_tunnel_options_of_the_service_within_its_bounds() {
    let two = text(TWO, "cloud", Target::Terraform);
    assert_lines(
        &two,
        &[
            "ip_address = \"192.0.2.1\"",
            "local_ipv4_network_cidr  = \"0.0.0.0/0\"",
            "tunnel1_inside_cidr = \"169.254.10.0/30\"",
            "tunnel1_preshared_key = \"<pre-shared key of cloud-1>\"",
            "tunnel1_ike_versions = [\"ikev2\"]",
            "tunnel1_phase1_encryption_algorithms = [\"AES128\"]",
            "tunnel1_phase1_integrity_algorithms = [\"SHA2-256\"]",
            "tunnel1_phase1_dh_group_numbers = [14]",
            "tunnel1_phase1_lifetime_seconds = 28800",
            "tunnel1_phase2_lifetime_seconds = 3600",
            "tunnel1_replay_window_size = 1024",
            "tunnel1_startup_action = \"add\"",
            "tunnel1_rekey_margin_time_seconds = 270",
            "tunnel1_dpd_timeout_seconds = 30",
            "tunnel2_inside_cidr = \"169.254.10.4/30\"",
        ],
    );
    let shown = written(TWO, "cloud", Target::Terraform, Keys::Shown);
    assert!(shown.text.contains("tunnel2_preshared_key = \"Key.of_the_second_tunnel2\""));
    let with = |from: &str, to: &str| refused(&TWO.replace(from, to), "cloud", Target::Terraform);
    let dpd = "dpd_interval_seconds = 10";
    for (from, to, expected) in [
        ("169.254.10.2/30", "169.254.10.1/30", "cannot say 169.254.10.1/30; the nearest it can is 169.254.10.2/30"),
        ("169.254.10.2/30", "169.254.1.2/30", "cannot say 169.254.1.2/30; the nearest it can is another /30"),
        ("169.254.10.2/30", "10.0.0.2/30", "cannot say 10.0.0.2/30; the nearest it can is another /30"),
        (dpd, "ike_lifetime_seconds = 86400", "cannot say 86400 s; the nearest it can is 28800"),
        (dpd, "dpd_timeout_seconds = 20", "cannot say 20 s; the nearest it can is 30"),
        (dpd, "rekey_margin_seconds = 30", "cannot say 30 s; the nearest it can is 60"),
        ("aes128-sha256-modp2048\"]\nd", "aes128-sha256-modp1536\"]\nd", "cannot say modp1536; the nearest it can is"),
        (
            "esp_proposals = [\"aes128-sha256-modp2048\"]",
            "esp_proposals = \"aes128-sha256\"",
            "cannot say ESP without a group",
        ),
    ] {
        let told = with(from, to);
        assert!(told.iter().any(|line| line.contains(expected)), "{to}: {told:#?}");
    }
    let Err(told) = export(&model(TWO, "cloud", Side::Here), Target::Terraform, Keys::Hidden) else {
        unreachable!("our own end is not the managed service");
    };
    assert!(told[0].to_string().contains("leave out `--side here`"), "{told:?}");
}

#[test]
fn a_service_address_that_is_not_known_yet_is_no_obstacle() {
    let one = "[connection.c]\nlocal_address = \"192.0.2.1\"\nremote_address = \"any\"\npsk = \"site-b\"\n\
        ike_proposals = \"aes256-sha256-modp2048\"\n[connection.c.child.n]\nlocal_subnets = \"10.1.0.0/16\"\n\
        remote_subnets = \"10.2.0.0/16\"\nesp_proposals = \"aes256gcm16-ecp384\"\n";
    let text = text(one, "c", Target::Terraform);
    assert_lines(
        &text,
        &[
            "local_ipv4_network_cidr  = \"10.1.0.0/16\"",
            "remote_ipv4_network_cidr = \"10.2.0.0/16\"",
            "tunnel1_phase2_encryption_algorithms = [\"AES256-GCM-16\"]",
            "tunnel1_startup_action = \"start\"",
            "destination_cidr_block = \"10.1.0.0/16\"",
        ],
    );
}

#[test]
fn an_unusual_rekey_margin_is_a_note_where_the_device_has_no_place_for_it() {
    let notes = |config: &str| written(config, "site-b", Target::Vyos, Keys::Hidden).notes;
    assert_eq!(notes(ONE), Vec::<String>::new());
    let told = notes(&ONE.replace("dpd_interval", "rekey_margin_seconds = 90\ndpd_interval"));
    assert_eq!(told, ["site-b: when a rekey starts before the end of a lifetime is VyOS's own matter"]);
}
