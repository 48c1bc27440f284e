//! Cisco, Juniper, Fortinet, Palo Alto, pfSense, MikroTik: the values that matter, in the device's words.

use crate::support::{ONE, TWO, assert_lines, refused, text, written};
use formats::export::{Keys, Target};

/// AEAD for ESP, no PFS, names for identities.
fn modern() -> String {
    ONE.replace("esp_proposals = [\"aes256-sha256-modp2048\"]", "esp_proposals = \"aes256gcm16\"").replace(
        "dpd_interval_seconds = 15",
        "local_id = \"g1.example.net\"\nremote_id = \"ops@far.example\"\ndpd_interval_seconds = 15",
    )
}

#[test]
fn cisco_ios_has_a_tunnel_interface_for_each_tunnel() {
    let two = text(TWO, "cloud", Target::CiscoIos);
    assert_lines(
        &two,
        &[
            "crypto ikev2 proposal cloud-2",
            "encryption aes-cbc-128",
            "integrity sha256",
            "group 14",
            "match address local 198.51.100.2",
            "address 192.0.2.1",
            "pre-shared-key <pre-shared key of cloud-2>",
            "match identity remote address 192.0.2.1 255.255.255.255",
            "identity local address 198.51.100.2",
            "lifetime 28800",
            "dpd 10 6 periodic",
            "crypto ipsec transform-set cloud-2 esp-aes 128 esp-sha256-hmac",
            "set pfs group14",
            "set security-association lifetime seconds 3600",
            "responder-only",
            "interface Tunnel2",
            "ip address 169.254.10.5 255.255.255.252",
            "ip mtu 1438",
            "ip tcp adjust-mss 1398",
            "tunnel source 198.51.100.2",
            "tunnel destination 192.0.2.1",
            "!   ping 169.254.10.6 source Tunnel2",
        ],
    );
    let one = text(&modern(), "site-b", Target::CiscoIos);
    assert_lines(
        &one,
        &[
            "match identity remote fqdn g1.example.net",
            "identity local email ops@far.example",
            "crypto ipsec transform-set site-b esp-gcm 256",
            "permit ip 10.2.0.0 0.0.255.255 10.1.0.0 0.0.255.255",
            "ip mtu 1446",
            "ip tcp adjust-mss 1406",
            "tunnel protection ipsec policy ipv4 site-b",
            "ip route 10.1.0.0 255.255.0.0 Tunnel1 1",
        ],
    );
    assert!(!one.contains("set pfs"), "{one}");
}

#[test]
fn cisco_asa_has_a_crypto_map_for_networks_and_an_interface_for_everything() {
    let one = text(ONE, "site-b", Target::CiscoAsa);
    assert_lines(
        &one,
        &[
            "crypto ikev2 policy 201",
            "encryption aes-256",
            "integrity sha256",
            "group 14",
            "prf sha256",
            "lifetime seconds 14400",
            "protocol esp encryption aes-256",
            "protocol esp integrity sha-256",
            "access-list site-b-net extended permit ip 10.2.0.0 255.255.0.0 10.1.0.0 255.255.0.0",
            "crypto map OUTSIDE_map 101 set peer 192.0.2.1",
            "crypto map OUTSIDE_map 101 set pfs group14",
            "crypto map OUTSIDE_map 101 set security-association lifetime seconds 1800",
            "tunnel-group 192.0.2.1 type ipsec-l2l",
            "ikev2 remote-authentication pre-shared-key <pre-shared key of site-b>",
            "isakmp keepalive threshold 15 retry 9",
            "sysopt connection tcpmss 1398",
        ],
    );
    let told = refused(TWO, "cloud", Target::CiscoAsa);
    assert!(told[0].contains("two tunnels to one address") && told[0].contains("underpass export cloud-2"), "{told:?}");
    let tunnel = text(TWO, "cloud-2", Target::CiscoAsa);
    assert_lines(
        &tunnel,
        &["interface Tunnel1", "ip address 169.254.10.5 255.255.255.252", "tunnel destination 192.0.2.1"],
    );
}

#[test]
fn juniper_srx_has_an_interface_with_mtu_and_traffic_selectors() {
    let two = text(TWO, "cloud", Target::JuniperSrx);
    assert_lines(
        &two,
        &[
            "set security ike proposal cloud-2 dh-group group14",
            "set security ike proposal cloud-2 authentication-algorithm sha-256",
            "set security ike proposal cloud-2 encryption-algorithm aes-128-cbc",
            "set security ike proposal cloud-2 lifetime-seconds 28800",
            "set security ike policy cloud-2 pre-shared-key ascii-text \"<pre-shared key of cloud-2>\"",
            "set security ike gateway cloud-2 address 192.0.2.1",
            "set security ike gateway cloud-2 local-address 198.51.100.2",
            "set security ike gateway cloud-2 remote-identity inet 192.0.2.1",
            "set security ike gateway cloud-2 version v2-only",
            "set security ike gateway cloud-2 dead-peer-detection interval 10",
            "set security ike gateway cloud-2 dead-peer-detection threshold 3",
            "set security ipsec proposal cloud-2-net authentication-algorithm hmac-sha-256-128",
            "set security ipsec proposal cloud-2-net lifetime-seconds 3600",
            "set security ipsec policy cloud-2-net perfect-forward-secrecy keys group14",
            "set interfaces st0 unit 201 family inet address 169.254.10.5/30",
            "set interfaces st0 unit 201 family inet mtu 1438",
            "set security flow tcp-mss ipsec-vpn mss 1398",
        ],
    );
    let one = text(&modern(), "site-b", Target::JuniperSrx);
    assert_lines(
        &one,
        &[
            "set security ike gateway site-b local-identity user-at-hostname ops@far.example",
            "set security ike gateway site-b remote-identity hostname g1.example.net",
            "set security ipsec proposal site-b-net encryption-algorithm aes-256-gcm",
            "set security ipsec vpn site-b-net traffic-selector net local-ip 10.2.0.0/16 remote-ip 10.1.0.0/16",
        ],
    );
    assert!(!one.contains("perfect-forward-secrecy"), "{one}");
}

#[test]
fn fortinet_has_phases_interface_and_routes() {
    let two = text(TWO, "cloud", Target::Fortinet);
    assert_lines(
        &two,
        &[
            "edit \"cloud-2\"",
            "set ike-version 2",
            "set local-gw 198.51.100.2",
            "set remote-gw 192.0.2.1",
            "set psksecret \"<pre-shared key of cloud-2>\"",
            "set peerid \"192.0.2.1\"",
            "set proposal aes128-sha256",
            "set dhgrp 14",
            "set keylife 28800",
            "set dpd-retryinterval 10",
            "set dpd-retrycount 3",
            "set phase1name \"cloud-2\"",
            "set proposal aes128-sha256",
            "set dhgrp 14",
            "set keylifeseconds 3600",
            "set src-subnet 0.0.0.0 0.0.0.0",
            "set ip 169.254.10.5 255.255.255.255",
            "set remote-ip 169.254.10.6 255.255.255.252",
            "set mtu 1438",
            "set tcp-mss 1398",
        ],
    );
    let one = text(&modern(), "site-b", Target::Fortinet);
    assert_lines(
        &one,
        &[
            "set localid \"ops@far.example\"",
            "set localid-type user-fqdn",
            "set proposal aes256gcm",
            "set pfs disable",
            "set src-subnet 10.2.0.0 255.255.0.0",
            "set dst-subnet 10.1.0.0 255.255.0.0",
            "set dst 10.1.0.0 255.255.0.0",
        ],
    );
    let long = ONE.replace("site-b", "a-site-with-a-long-name");
    let long = long.replace("dpd_int", "psk = \"site-b\"\ndpd_int");
    let told = refused(&long, "a-site-with-a-long-name", Target::Fortinet);
    assert!(told[0].contains("FortiOS cannot say a name of 23 characters; the nearest it can is 15"), "{told:?}");
}

#[test]
fn palo_alto_has_profiles_gateway_and_tunnel() {
    let two = text(TWO, "cloud", Target::PaloAlto);
    assert_lines(
        &two,
        &[
            "set network ike crypto-profiles ike-crypto-profiles cloud-2 dh-group group14",
            "set network ike crypto-profiles ike-crypto-profiles cloud-2 hash sha256",
            "set network ike crypto-profiles ike-crypto-profiles cloud-2 encryption aes-128-cbc",
            "set network ike crypto-profiles ike-crypto-profiles cloud-2 lifetime seconds 28800",
            "set network ike gateway cloud-2 protocol version ikev2",
            "set network ike gateway cloud-2 protocol ikev2 dpd enable yes interval 10",
            "set network ike gateway cloud-2 authentication pre-shared-key key <pre-shared key of cloud-2>",
            "set network ike gateway cloud-2 local-address ip 198.51.100.2",
            "set network ike gateway cloud-2 peer-address ip 192.0.2.1",
            "set network ike crypto-profiles ipsec-crypto-profiles cloud-2-net esp authentication sha256",
            "set network ike crypto-profiles ipsec-crypto-profiles cloud-2-net dh-group group14",
            "set network ike crypto-profiles ipsec-crypto-profiles cloud-2-net lifetime seconds 3600",
            "set network interface tunnel units tunnel.201 ip 169.254.10.5/30",
            "set network interface tunnel units tunnel.201 mtu 1438",
            "set network interface tunnel units tunnel.201 adjust-tcp-mss ipv4-mss-adjustment 40",
        ],
    );
    let one = text(&modern(), "site-b", Target::PaloAlto);
    assert_lines(
        &one,
        &[
            "set network ike gateway site-b peer-id type fqdn id g1.example.net",
            "set network ike crypto-profiles ipsec-crypto-profiles site-b-net esp authentication none",
            "set network ike crypto-profiles ipsec-crypto-profiles site-b-net dh-group no-pfs",
            "set network tunnel ipsec site-b-net auto-key proxy-id net local 10.2.0.0/16 remote 10.1.0.0/16 protocol any",
        ],
    );
    let told = refused(&ONE.replace("= 14400", "= 86400"), "site-b", Target::PaloAlto);
    assert!(told[0].contains("PAN-OS cannot say 86400 s; the nearest it can is 65535"), "{told:?}");
}

#[test]
fn pfsense_is_told_what_to_type_where() {
    let two = text(TWO, "cloud", Target::Pfsense);
    assert_lines(
        &two,
        &[
            "Description              : cloud-2",
            "Key Exchange version     : IKEv2",
            "Interface                : the one with address 198.51.100.2",
            "Remote Gateway           : 192.0.2.1",
            "Peer identifier          : Peer IP address",
            "Pre-Shared Key           : <pre-shared key of cloud-2>",
            "Algorithm, Key length    : AES, 128 bits",
            "Hash                     : SHA256",
            "DH Group                 : 14 (2048 bit)",
            "Life Time                : 28800",
            "Delay                    : 10",
            "Max failures             : 3",
            "Mode                     : Routed (VTI)",
            "Local Network            : Address, 169.254.10.5/30",
            "Remote Network           : Address, 169.254.10.6",
            "PFS key group            : 14 (2048 bit)",
            "Life Time                : 3600",
            "Maximum MSS              : 1398",
        ],
    );
    let one = text(&modern(), "site-b", Target::Pfsense);
    assert_lines(
        &one,
        &[
            "My identifier            : User Fully qualified domain name, ops@far.example",
            "Mode                     : Tunnel IPv4",
            "Local Network            : Network, 10.2.0.0/16",
            "Remote Network           : Network, 10.1.0.0/16",
            "Encryption Algorithms    : AES256-GCM, 128 bits",
            "PFS key group            : off",
        ],
    );
}

#[test]
fn mikrotik_has_one_tunnel_with_policy_and_clamping() {
    let one = text(ONE, "site-b", Target::Mikrotik);
    assert_lines(
        &one,
        &[
            "/ip ipsec profile add name=site-b enc-algorithm=aes-256 hash-algorithm=sha256 dh-group=modp2048 lifetime=14400s nat-traversal=yes dpd-interval=15s dpd-maximum-failures=3",
            "/ip ipsec peer add name=site-b address=192.0.2.1/32 local-address=198.51.100.7 profile=site-b exchange-mode=ike2 passive=yes",
            "/ip ipsec identity add peer=site-b auth-method=pre-shared-key secret=\"<pre-shared key of site-b>\" my-id=address:198.51.100.7 remote-id=address:192.0.2.1",
            "/ip ipsec proposal add name=site-b-net enc-algorithms=aes-256-cbc auth-algorithms=sha256 pfs-group=modp2048 lifetime=1800s",
            "/ip ipsec policy add peer=site-b tunnel=yes action=encrypt level=unique ipsec-protocols=esp proposal=site-b-net src-address=10.2.0.0/16 dst-address=10.1.0.0/16",
        ],
    );
    assert!(one.contains("new-mss=1398"), "{one}");
    let told = refused(TWO, "cloud", Target::Mikrotik);
    assert!(told[0].contains("2 tunnels to the same networks"), "{told:?}");
    let inside = text(TWO, "cloud-1", Target::Mikrotik);
    assert_lines(&inside, &["/ip address add address=169.254.10.1/30 interface=inside-cloud-1"]);
}

#[test]
fn every_device_is_told_how_to_verify_and_keeps_keys_to_itself() {
    for target in Target::ALL {
        let document = written(TWO, "cloud-1", target, Keys::Hidden);
        let whole = format!("{}{}", *document.text, document.secrets.as_ref().map_or("", |text| text.as_str()));
        assert!(whole.contains("erify"), "{}", target.word());
        assert!(!whole.contains("Key.of"), "{}", target.word());
        assert!(whole.contains("pre-shared key of cloud-1"), "{}", target.word());
        assert!(!whole.contains(['\u{e000}', '\u{e001}']), "{}", target.word());
        let shown = written(TWO, "cloud-1", target, Keys::Shown);
        let whole = format!("{}{}", *shown.text, shown.secrets.as_ref().map_or("", |text| text.as_str()));
        assert!(whole.contains("Key.of_the_first_tunnel1"), "{}", target.word());
    }
}

#[test]
fn what_no_vendor_has_is_refused_by_each_with_the_nearest() {
    let ports = ONE.replace("10.1.0.0/16", "10.1.0.0/16[tcp/443]");
    let v1 = ONE.replace("dpd_interval", "ike_version = \"ikev1\"\ndpd_interval");
    for target in [
        Target::CiscoIos,
        Target::CiscoAsa,
        Target::JuniperSrx,
        Target::Fortinet,
        Target::PaloAlto,
        Target::Pfsense,
        Target::Mikrotik,
    ] {
        let told = refused(&ports, "site-b", target);
        let expected = format!("{} cannot say 10.1.0.0/16[tcp/443]; the nearest it can is 10.1.0.0/16", target.title());
        assert!(told.iter().any(|line| line.ends_with(&expected)), "{told:?}");
        if matches!(target, Target::CiscoIos | Target::CiscoAsa) {
            let told = refused(&v1, "site-b", target);
            assert!(told.iter().any(|line| line.contains("cannot say IKEv1; the nearest it can is IKEv2")), "{told:?}");
        } else {
            text(&v1, "site-b", target);
        }
        let sha = ONE.replace("lifetime_seconds = 1800", "lifetime_seconds = 1800\nsha256_96 = true");
        assert!(refused(&sha, "site-b", target)[0].contains("`sha256_96`"));
    }
}

#[test]
fn a_key_that_a_device_would_read_otherwise_is_refused_without_being_shown() {
    let secrets = "[psk]\nsite-b = \"with a blank and \\\"quotes\\\" in it\"\n";
    let files = [formats::SourceFile::new("u.toml", ONE)];
    let loaded = formats::underpass_toml::parse(&files, &[formats::SourceFile::new("secrets.toml", secrets)]);
    let loaded = loaded.expect("sound");
    let model = formats::export::Export::of(&loaded, "site-b", Default::default()).expect("known");
    for target in [Target::CiscoIos, Target::Fortinet, Target::Mikrotik, Target::Vyos] {
        let Err(refused) = formats::export::export(&model, target, Keys::Hidden) else {
            unreachable!("{} cannot hold this key", target.word());
        };
        let told = refused.iter().map(ToString::to_string).collect::<String>();
        assert!(told.contains("`psk`") && !told.contains("with a blank and"), "{told}");
    }
}

#[test]
fn checks_of_the_peer_beyond_a_devices_bounds_are_a_note() {
    let fast = ONE.replace("dpd_interval_seconds = 15", "dpd_interval_seconds = 3");
    let document = written(&fast, "site-b", Target::JuniperSrx, Keys::Hidden);
    let told =
        "site-b: Juniper SRX asks whether our end lives every 10 s and 5 times, the nearest it can to 3 s and 45 s";
    assert!(document.notes.iter().any(|note| note == told), "{:?}", document.notes);
}
