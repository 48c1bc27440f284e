//! What the managed service hands out.

use crate::support::*;
use formats::import::{Format, Level};

/// The download, with the blanks and tabs of real ones.
fn download(tunnels: &[(&str, &str, &str, &str)]) -> String {
    let mut text = String::from(
        "Amazon Web Services\nVirtual Private Cloud\n\nVPN Connection Configuration\n\
         Your VPN Connection ID\t\t         : vpn-0a1b2c3d\nYour Virtual Private Gateway ID          : \n\
         Your Customer Gateway ID    \t\t : cgw-1\n",
    );
    for (index, (psk, outside, ours, theirs)) in tunnels.iter().enumerate() {
        text.push_str(&format!(
            "\t\t\nIPSec Tunnel #{}\n====\n#1: Internet Key Exchange Configuration\n\nConfigure the IKE SA as follows:\n\
             NOTE: prose with a colon: not a value.\n  - IKE version              : IKEv1 \n\
             \x20 - Authentication Method    : Pre-Shared Key \n  - Pre-Shared Key           : {psk}\n\
             \x20 - Authentication Algorithm : sha1\n  - Encryption Algorithm     : aes-128-cbc\n\
             \x20 - Lifetime                 : 28800 seconds\n  - Phase 1 Negotiation Mode : main\n\
             \x20 - Diffie-Hellman           : Group 2\n\n#2: IPSec Configuration\n  - Protocol                 : esp\n\
             \x20 - Authentication Algorithm : hmac-sha1-96\n  - Encryption Algorithm     : aes-128-cbc\n\
             \x20 - Lifetime                 : 3600 seconds\n  - Mode                     : tunnel\n\
             \x20 - Perfect Forward Secrecy  : Diffie-Hellman Group 2\n\t\n  - DPD Interval             : 10\n\
             \x20 - DPD Retries              : 3\n  - TCP MSS Adjustment       : 1379 bytes\n\
             \x20 - Clear Don't Fragment Bit : enabled\n  - Fragmentation            : Before encryption\n\
             #3: Tunnel Interface Configuration\nOutside IP Addresses:\n  - Customer Gateway \t\t        : 198.51.100.9 \n\
             \x20 - Virtual Private Gateway\t        : {outside}\n\t\t\nInside IP Addresses\n\
             \x20 - Customer Gateway         \t\t: {ours}\n  - Virtual Private Gateway             : {theirs}\n\
             Configure your tunnel to fragment at the optimal size:\n  - Tunnel interface MTU     : 1436 bytes\n\
             #4: Border Gateway Protocol (BGP) Configuration:\nBGP Configuration Options:\n\
             \x20 - Customer Gateway ASN\t          : 65016 \n  - Virtual Private  Gateway ASN          : 64512\n\
             \x20 - Neighbor IP Address     \t\t  : 169.254.36.29\n  - Neighbor Hold Time       : 30\n",
            index + 1
        ));
    }
    text + "\nAdditional Notes and Questions\n====\n  - A Guide: \n      http://docs.example/\n"
}

const TWO: [(&str, &str, &str, &str); 2] = [
    (".Kq8mZr2wXv7TnB4pLs9Yd3Hc6Gf1JaEe", "203.0.113.1", "169.254.36.30/30", "169.254.36.29/30"),
    ("Vb5Nx1Qe9_Rt3Wy7Uz.Po2Mk8Jh4Gf6Ds", "203.0.113.2", "169.254.232.210/30", "169.254.232.209/30"),
];

const TWO_AS_TOML: &str = r#"
    [connection.vpn-0a1b2c3d]
    mode = "active-standby"
    local_address = "198.51.100.9"
    ike_version = "ikev1"
    ike_proposals = ["aes128-sha1-modp1024"]
    ike_lifetime_seconds = 28800
    dpd_interval_seconds = 10
    dpd_timeout_seconds = 30
    df = "clear"
    [connection.vpn-0a1b2c3d.tunnel.1]
    remote_address = "203.0.113.1"
    inside_address = "169.254.36.30/30"
    [connection.vpn-0a1b2c3d.tunnel.2]
    remote_address = "203.0.113.2"
    inside_address = "169.254.232.210/30"
    [connection.vpn-0a1b2c3d.child.net]
    local_subnets = ["0.0.0.0/0"]
    remote_subnets = ["0.0.0.0/0"]
    esp_proposals = ["aes128-sha1-modp1024"]
    lifetime_seconds = 3600
    start = "on-load"
"#;

#[test]
fn the_text_download_becomes_one_connection_with_two_tunnels() {
    let imported = one("vpn.txt", &download(&TWO), &here(&["198.51.100.9"]));
    assert_eq!(told(&imported, Level::Error), [] as [&str; 0]);
    assert_toml(&imported, TWO_AS_TOML);
    assert_eq!(psk(&imported, "vpn-0a1b2c3d", 0), TWO[0].0);
    assert_eq!(psk(&imported, "vpn-0a1b2c3d", 1), TWO[1].0);
    let tunnel = &connection(&imported, "vpn-0a1b2c3d").tunnels[1];
    assert_eq!(tunnel.bgp.remote_asn.as_ref().map(|asn| asn.value), Some(64_512));
    assert_eq!(tunnel.bgp.hold_time_seconds.as_ref().map(|time| time.value), Some(30));
    assert_eq!(tunnel.remote_addresses[0].at.to_string(), "vpn.txt:85:39");
    assert_told(&imported, Level::Warning, &["nothing is routed", "routes = ["]);
}

#[test]
fn line_ends_wrapped_values_lost_headings_and_markdown_do_no_harm() {
    let text = download(&TWO);
    let crlf = text.replace('\n', "\r\n");
    let wrapped = text.replace(": 203.0.113.2", ":\n203.0.113.2");
    let markdown =
        text.replace("#2: IPSec", "![\\[Image NOT FOUND\\]](http://docs.example/images/IPsec.png)\n#2: IPSec");
    let marked = format!("\u{feff}{text}");
    let tight = text.replace("  - ", "- ");
    for (what, text) in
        [("crlf", crlf), ("wrapped", wrapped), ("markdown", markdown), ("bom", marked), ("tight", tight)]
    {
        let imported = one("vpn.txt", &text, &here(&["198.51.100.9"]));
        assert_eq!(told(&imported, Level::Error), [] as [&str; 0], "{what}");
        assert_toml(&imported, TWO_AS_TOML);
    }
}

#[test]
fn behind_nat_the_customer_gateways_address_is_who_we_are() {
    let imported = one("vpn.txt", &download(&TWO), &here(&["10.0.0.5"]));
    let tunnel = &connection(&imported, "vpn-0a1b2c3d").tunnels[0];
    assert_eq!(tunnel.local_address, None);
    assert_eq!(tunnel.local_id.as_ref().map(|id| id.value.as_str()), Some("198.51.100.9"));
    assert_told(&imported, Level::Warning, &["no address of this machine", "198.51.100.9"]);

    let imported = one("vpn.txt", &download(&TWO), &local("10.0.0.5"));
    let tunnel = &connection(&imported, "vpn-0a1b2c3d").tunnels[0];
    assert_eq!(tunnel.local_address.as_ref().map(|at| at.value.to_string()).as_deref(), Some("10.0.0.5"));
    assert_eq!(tunnel.local_id.as_ref().map(|id| id.value.as_str()), Some("198.51.100.9"));
}

#[test]
fn a_bad_download_is_refused_with_place_and_reason() {
    let text = download(&TWO);
    let (first_half, _) = text.split_once("Inside IP").unwrap_or_default();
    let half_second = text.rsplit_once("Outside IP").map(|(before, _)| before).unwrap_or_default();
    let same_outside = text.replace("203.0.113.2", "203.0.113.1");
    let same_inside = text
        .replace("169.254.232.2", "169.254.36.")
        .replace("169.254.36.10", "169.254.36.30")
        .replace("169.254.36.09", "169.254.36.29");
    let table = [
        (
            "a template",
            text.replace("198.51.100.9", "YOUR_UPLINK_ADDRESS"),
            vec!["vpn.txt:39:34", "`YOUR_UPLINK_ADDRESS`", "customer gateway"],
        ),
        (
            "a template's key",
            text.replace(TWO[0].0, "PRE-SHARED-KEY-IN-PLAIN-TEXT"),
            vec!["vpn.txt:17:32", "placeholder"],
        ),
        ("half a tunnel", half_second.to_owned(), vec!["vpn.txt:82:1", "tunnel #2 has no outside address", "cut off"]),
        (
            "same outside address",
            same_outside,
            vec!["vpn.txt:85:39", "same outside address 203.0.113.1", "vpn.txt:40:"],
        ),
        ("inside network twice", same_inside, vec!["169.254.36.28/30 is in use twice", "vpn.txt:43:"]),
        (
            "reserved",
            text.replace("169.254.36.", "169.254.5.").replace(".5.30/", ".5.2/").replace(".5.29/", ".5.1/"),
            vec!["169.254.5.0/30 is reserved"],
        ),
        (
            "two ends of two networks",
            text.replace("169.254.36.29/30", "169.254.36.33/30"),
            vec!["not the two hosts", "vpn.txt:43:"],
        ),
        ("an unknown cipher", text.replace("aes-128-cbc", "rot13"), vec!["`rot13` is no encryption algorithm"]),
        ("certificates", text.replace("Pre-Shared Key \n", "RSA Signature\n"), vec!["pre-shared keys alone"]),
        ("not a number", text.replace("28800 seconds", "8 hours"), vec!["`8 hours` is no number of seconds"]),
        (
            "nothing",
            first_half.split_once("IPSec Tunnel").map_or(String::new(), |(head, _)| head.to_owned()),
            vec!["ends before the first tunnel"],
        ),
    ];
    for (what, text, words) in table {
        let imported = one("vpn.txt", &text, &here(&["198.51.100.9"]));
        let errors = told(&imported, Level::Error);
        assert!(
            errors.iter().any(|text| words.iter().all(|word| text.contains(word))),
            "{what}: {words:?} not in {errors:#?}"
        );
        assert!(imported.connections.is_empty(), "{what} is imported");
        assert_eq!(imported.refused.len(), 1, "{what}");
        assert!(!errors.iter().any(|text| text.contains(TWO[1].0)), "{what} shows a key");
    }
}

#[test]
fn a_key_that_the_service_could_not_hold_is_taken_with_a_warning_that_hides_it() {
    let imported = one("vpn.txt", &download(&TWO).replace(TWO[0].0, "0bad key!"), &here(&["198.51.100.9"]));
    assert_eq!(psk(&imported, "vpn-0a1b2c3d", 0), "0bad key!");
    assert_told(&imported, Level::Warning, &["breaks a rule", "begins with 0"]);
    assert!(!told(&imported, Level::Warning).iter().any(|text| text.contains("0bad")));
}

#[test]
fn lines_that_mean_nothing_are_listed() {
    let text = download(&TWO).replace("- DPD Interval  ", "- DPD Intervall ");
    let imported = one("vpn.txt", &text, &here(&["198.51.100.9"]));
    assert_told(&imported, Level::Warning, &["`dpd intervall` was not understood", "did you mean `dpd interval`?"]);
}

fn xml_tunnel(psk: &str, outside: &str, ours: &str, theirs: &str, bgp: &str) -> String {
    let end = |outside: &str, inside: &str, asn: &str| {
        let bgp = if bgp.is_empty() {
            String::new()
        } else {
            format!("<bgp><asn>{asn}</asn><hold_time>{bgp}</hold_time></bgp>")
        };
        format!(
            "<tunnel_outside_address>\n<ip_address>{outside}</ip_address></tunnel_outside_address><tunnel_inside_address>\
             <ip_address>{inside}</ip_address><network_mask>255.255.255.252</network_mask><network_cidr>30</network_cidr>\
             </tunnel_inside_address>{bgp}"
        )
    };
    format!(
        "<ipsec_tunnel><customer_gateway>{}</customer_gateway><vpn_gateway>{}</vpn_gateway>\n<ike>\
         <authentication_protocol>sha1</authentication_protocol><encryption_protocol>aes-128-cbc</encryption_protocol>\
         <lifetime>28800</lifetime><perfect_forward_secrecy>group2</perfect_forward_secrecy><mode>main</mode>\n\
         <pre_shared_key>{psk}</pre_shared_key></ike><ipsec><protocol>esp</protocol>\
         <authentication_protocol>hmac-sha1-96</authentication_protocol><encryption_protocol>aes-128-cbc</encryption_protocol>\
         <lifetime>3600</lifetime><perfect_forward_secrecy>group2</perfect_forward_secrecy><mode>tunnel</mode>\
         <clear_df_bit>true</clear_df_bit><fragmentation_before_encryption>true</fragmentation_before_encryption>\
         <tcp_mss_adjustment>1379</tcp_mss_adjustment><dead_peer_detection><interval>10</interval><retries>3</retries>\
         </dead_peer_detection></ipsec></ipsec_tunnel>\n",
        end("198.51.100.9", ours, "65016"),
        end(outside, theirs, "64512")
    )
}

fn xml(bgp: &str) -> String {
    let tunnels: String = TWO
        .iter()
        .map(|(psk, outside, ours, theirs)| {
            xml_tunnel(psk, outside, &ours.replace("/30", ""), &theirs.replace("/30", ""), bgp)
        })
        .collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<vpn_connection id=\"vpn-0a1b2c3d\">\n<customer_gateway_id>cgw-1</customer_gateway_id>\
         <vpn_gateway_id></vpn_gateway_id><vpn_connection_type>ipsec.1</vpn_connection_type>\n{tunnels}</vpn_connection>"
    )
}

#[test]
fn the_xml_says_the_same_as_the_text_except_for_the_version_of_ike() {
    let imported = one("vpn.xml", &xml("30"), &here(&["198.51.100.9"]));
    assert_eq!(told(&imported, Level::Error), [] as [&str; 0]);
    assert_toml(&imported, &TWO_AS_TOML.replace("\"ikev1\"", "\"both\""));
    assert_told(&imported, Level::Note, &["does not say which version of IKE"]);
    let tunnel = &connection(&imported, "vpn-0a1b2c3d").tunnels[0];
    assert_eq!(tunnel.bgp.neighbor.as_ref().map(|at| at.value.to_string()).as_deref(), Some("169.254.36.29"));
    assert_eq!(tunnel.psk.as_ref().map(|psk| psk.at.to_string()).as_deref(), Some("vpn.xml:8:17"));
    let imported = one("vpn.xml", &xml(""), &here(&["198.51.100.9"]));
    assert!(connection(&imported, "vpn-0a1b2c3d").tunnels[0].bgp.is_empty());
}

#[test]
fn xml_that_is_cut_off_is_refused_where_it_ends() {
    let text = xml("30");
    let half = &text[..text.len() / 2];
    let imported = one("vpn.xml", half, &anywhere());
    assert!(imported.connections.is_empty());
    assert_told(&imported, Level::Error, &["vpn.xml:8:", "the XML cannot be read", "download it again"]);
}

fn json(xml: Option<&str>, options: &str, routes: &str) -> String {
    let xml = xml.map_or(String::new(), |xml| {
        format!(
            "\"CustomerGatewayConfiguration\": \"{}\",",
            xml.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
        )
    });
    format!(
        "{{\n\"VpnConnections\": [\n{{\n{xml}\n\"Options\": {{{options}}},\n\"Routes\": [{routes}], \"State\": \"available\",\n\"VpnConnectionId\": \"vpn-0a1b2c3d\"}}]}}"
    )
}

fn options(outside: [&str; 2], psk: [&str; 2]) -> String {
    let one = |outside: &str, psk: &str, cidr: &str| {
        format!(
            "{{\"OutsideIpAddress\": \"{outside}\", \"TunnelInsideCidr\": \"{cidr}\", \"PreSharedKey\": \"{psk}\",
               \"Phase1EncryptionAlgorithms\": [{{\"Value\": \"AES128\"}}, {{\"Value\": \"AES256-GCM-16\"}}],
               \"Phase1IntegrityAlgorithms\": [{{\"Value\": \"SHA2-256\"}}], \"Phase1DHGroupNumbers\": [{{\"Value\": 14}}, {{\"Value\": 20}}],
               \"Phase2EncryptionAlgorithms\": [{{\"Value\": \"AES256-GCM-16\"}}], \"Phase2IntegrityAlgorithms\": [{{\"Value\": \"SHA2-256\"}}],
               \"Phase2DHGroupNumbers\": [{{\"Value\": 20}}], \"IkeVersions\": [{{\"Value\": \"ikev2\"}}], \"Phase1LifetimeSeconds\": 7200,
               \"StartupAction\": \"add\"}}"
        )
    };
    format!(
        "\"StaticRoutesOnly\": true, \"TunnelOptions\": [{}, {}]",
        one(outside[0], psk[0], "169.254.36.28/30"),
        one(outside[1], psk[1], "169.254.232.208/30")
    )
}

#[test]
fn an_answer_of_the_api_is_read_with_the_xml_inside_and_its_places() {
    let imported =
        one("answer.json", &json(Some(&xml("30")), "\"StaticRoutesOnly\": false", ""), &here(&["198.51.100.9"]));
    assert_eq!(told(&imported, Level::Error), [] as [&str; 0]);
    assert_toml(&imported, &TWO_AS_TOML.replace("\"ikev1\"", "\"both\""));
    let remote = &connection(&imported, "vpn-0a1b2c3d").tunnels[0].remote_addresses[0];
    let text = json(Some(&xml("30")), "", "");
    let line = text.lines().nth(remote.at.line - 1).unwrap_or_default();
    assert!(line.get(remote.at.column - 1..).is_some_and(|rest| rest.starts_with("203.0.113.1<")), "{}", remote.at);
}

#[test]
fn tunnel_options_count_where_they_differ_from_the_xml_and_suffice_without_it() {
    let options = options(["203.0.113.1", "203.0.113.2"], [TWO[0].0, TWO[1].0]);
    let expected_ike = ["aes256gcm16-prfsha256-ecp384-modp2048", "aes128-sha256-ecp384-modp2048"];
    let with_xml = one("answer.json", &json(Some(&xml("30")), &options, ""), &here(&["198.51.100.9"]));
    assert_eq!(told(&with_xml, Level::Error), [] as [&str; 0]);
    assert_told(&with_xml, Level::Warning, &["aes128-sha1-modp1024", "the options count", "answer.json:4:1009"]);
    let bare = one("answer.json", &json(None, &options, ""), &local("198.51.100.9"));
    assert_eq!(told(&bare, Level::Error), [] as [&str; 0]);
    for imported in [&with_xml, &bare] {
        let found = connection(imported, "vpn-0a1b2c3d");
        let tunnel = &found.tunnels[1];
        assert_eq!(tunnel.ike_proposals.iter().map(|text| text.value.as_str()).collect::<Vec<_>>(), expected_ike);
        assert_eq!(found.children[0].esp_proposals[0].value, "aes256gcm16-ecp384");
        assert_eq!(tunnel.ike_lifetime.as_ref().map(|at| at.value), Some(7200));
        assert_eq!(tunnel.inside.as_ref().map(|at| at.value.to_string()).as_deref(), Some("169.254.232.210/30"));
        assert_eq!(psk(imported, "vpn-0a1b2c3d", 1), TWO[1].0);
    }
    assert!(one("answer.json", &json(None, &options, ""), &anywhere()).connections.is_empty());
}

#[test]
fn an_answer_that_contradicts_itself_is_cut_off_or_hides_the_key_is_refused() {
    let good = ["203.0.113.1", "203.0.113.2"];
    let keys = [TWO[0].0, TWO[1].0];
    let whole = json(Some(&xml("30")), "", "");
    let table = [
        (
            json(Some(&xml("30")), &options(["203.0.113.1", "203.0.113.7"], keys), ""),
            vec!["203.0.113.7", "does not have"],
        ),
        (
            json(Some(&xml("30")), &options(good, [TWO[0].0, "AnotherKey12345"]), ""),
            vec!["not the one in the XML", "answer.json:4:"],
        ),
        (json(None, &options(good, [TWO[0].0, "REDACTED"]), ""), vec!["REDACTED"]),
        (json(None, "\"StaticRoutesOnly\": true", ""), vec!["neither CustomerGatewayConfiguration nor"]),
        (whole[..whole.len() / 2].to_owned(), vec!["the JSON cannot be read", "a string that never ends"]),
        ("{\"VpnConnections\": []}".to_owned(), vec!["no VPN connection"]),
    ];
    for (text, words) in table {
        let imported = one("answer.json", &text, &local("198.51.100.9"));
        let errors = told(&imported, Level::Error);
        assert!(errors.iter().any(|text| words.iter().all(|word| text.contains(word))), "{words:?} not in {errors:#?}");
        assert!(imported.connections.is_empty());
    }
}

#[test]
fn what_no_importer_knows_is_refused_with_the_formats_there_are() {
    let imported = one("shopping.txt", "milk\nbread\n", &anywhere());
    assert_told(&imported, Level::Error, &["shopping.txt:1:1", "--format", "aws-text", "vyos"]);
    let forced = many(&[("x", "milk")], &[], Some(Format::AwsText), &anywhere());
    assert_told(&forced, Level::Error, &["ends before the first tunnel"]);
}
