//! VyOS `set` commands.

use crate::support::*;
use formats::import::Level;

const GROUPS: &str = "\
set vpn ipsec esp-group AWS lifetime '3600'
set vpn ipsec esp-group AWS mode 'tunnel'
set vpn ipsec esp-group AWS pfs 'enable'
set vpn ipsec esp-group AWS proposal 1 encryption 'aes128'
set vpn ipsec esp-group AWS proposal 1 hash 'sha1'
set vpn ipsec ike-group AWS dead-peer-detection action 'restart'
set vpn ipsec ike-group AWS dead-peer-detection interval '15'
set vpn ipsec ike-group AWS dead-peer-detection timeout '30'
set vpn ipsec ike-group AWS key-exchange 'ikev1'
set vpn ipsec ike-group AWS lifetime '28800'
set vpn ipsec ike-group AWS proposal 1 dh-group '2'
set vpn ipsec ike-group AWS proposal 1 encryption 'aes128'
set vpn ipsec ike-group AWS proposal 1 hash 'sha1'
set vpn ipsec interface 'eth0'
";

fn route_based() -> String {
    let mut text = GROUPS.to_owned();
    for (peer, vti, ours, theirs, key) in [
        ("203.0.113.46", "vti0", "169.254.44.234", "169.254.44.233", "Kq8mZr2wXv7TnB4pLs9Yd3"),
        ("203.0.114.33", "vti1", "169.254.46.178", "169.254.46.177", "Vb5Nx1Qe9Rt3Wy7UzPo2Mk"),
    ] {
        text.push_str(&format!(
            "set vpn ipsec site-to-site peer {peer} authentication mode 'pre-shared-secret'\n\
             set vpn ipsec site-to-site peer {peer} authentication pre-shared-secret '{key}'\n\
             set vpn ipsec site-to-site peer {peer} description 'VPC tunnel'\n\
             set vpn ipsec site-to-site peer {peer} connection-type 'initiate'\n\
             set vpn ipsec site-to-site peer {peer} ike-group 'AWS'\n\
             set vpn ipsec site-to-site peer {peer} local-address '198.51.100.9'\n\
             set vpn ipsec site-to-site peer {peer} vti bind '{vti}'\n\
             set vpn ipsec site-to-site peer {peer} vti esp-group 'AWS'\n\
             set interfaces vti {vti} address '{ours}/30'\nset interfaces vti {vti} mtu '1436'\n\
             set protocols static route 10.20.0.0/16 next-hop {theirs}\n\
             set protocols bgp 65000 neighbor {theirs} remote-as '64512'\n\
             set protocols bgp 65000 neighbor {theirs} timers holdtime '30'\n"
        ));
    }
    text + "set interfaces ethernet eth0 address dhcp\nset vpn ipsec frobnicate 'yes'\n"
}

#[test]
fn two_route_based_peers_of_the_managed_service_are_one_connection() {
    let imported = one("vyos.txt", &route_based(), &here(&["198.51.100.9"]));
    assert_eq!(told(&imported, Level::Error), [] as [&str; 0]);
    assert_toml(
        &imported,
        r#"
        [connection."203.0.113.46"]
        mode = "active-standby"
        local_address = "198.51.100.9"
        ike_version = "ikev1"
        ike_proposals = ["aes128-sha1-modp1024"]
        ike_lifetime_seconds = 28800
        dpd_interval_seconds = 15
        dpd_timeout_seconds = 30
        [connection."203.0.113.46".tunnel.1]
        remote_address = "203.0.113.46"
        inside_address = "169.254.44.234/30"
        [connection."203.0.113.46".tunnel.2]
        remote_address = "203.0.114.33"
        inside_address = "169.254.46.178/30"
        [connection."203.0.113.46".child.net]
        local_subnets = ["0.0.0.0/0"]
        remote_subnets = ["0.0.0.0/0"]
        routes = ["10.20.0.0/16"]
        esp_proposals = ["aes128-sha1-modp1024"]
        lifetime_seconds = 3600
        start = "on-load"
        "#,
    );
    assert_eq!(psk(&imported, "203.0.113.46", 1), "Vb5Nx1Qe9Rt3Wy7UzPo2Mk");
    let bgp = &connection(&imported, "203.0.113.46").tunnels[1].bgp;
    assert_eq!(
        (bgp.local_asn.as_ref().map(|at| at.value), bgp.remote_asn.as_ref().map(|at| at.value)),
        (Some(65_000), Some(64_512))
    );
    assert_told(&imported, Level::Warning, &["`set vpn ipsec frobnicate …` was not understood"]);
    assert_told(&imported, Level::Note, &["`set interfaces ethernet …` is not about tunnels"]);
    read_back(&imported);
}

#[test]
fn the_newer_form_with_named_peers_and_networks_is_read() {
    let text = format!(
        "{}\
         set vpn ipsec authentication psk site-b id '192.0.2.1'\n\
         set vpn ipsec authentication psk site-b id '192.0.2.2'\n\
         set vpn ipsec authentication psk site-b secret 'a key of two ends'\n\
         set vpn ipsec site-to-site peer site-b authentication mode 'pre-shared-secret'\n\
         set vpn ipsec site-to-site peer site-b authentication local-id '192.0.2.1'\n\
         vyos@gw# set vpn ipsec site-to-site peer site-b connection-type 'respond'\n\
         set vpn ipsec site-to-site peer site-b ike-group 'AWS'\n\
         set vpn ipsec site-to-site peer site-b default-esp-group 'AWS'\n\
         set vpn ipsec site-to-site peer site-b local-address '192.0.2.1'\n\
         set vpn ipsec site-to-site peer site-b remote-address '192.0.2.2'\n\
         set vpn ipsec site-to-site peer site-b tunnel 1 local prefix '10.1.0.0/16'\n\
         set vpn ipsec site-to-site peer site-b tunnel 1 remote prefix '10.2.0.0/16'\n",
        GROUPS
            .replace("'ikev1'", "'ikev2'")
            .replace("'aes128'", "'aes256gcm128'")
            .replace("'sha1'", "'sha384'")
            .replace("dh-group '2'", "dh-group '20'")
    );
    let imported = one("vyos.txt", &text, &here(&["192.0.2.1"]));
    assert_eq!(told(&imported, Level::Error), [] as [&str; 0]);
    let lines = toml(&imported);
    for line in [
        "remote_address = \"192.0.2.2\"",
        "ike_version = \"ikev2\"",
        "ike_proposals = [\"aes256gcm128-sha384-ecp384\"]",
        "local_subnets = [\"10.1.0.0/16\"]",
        "start = \"passive\"",
    ] {
        assert!(lines.iter().any(|found| found == line), "{line} not in {lines:#?}");
    }
    assert_eq!(psk(&imported, "site-b", 0), "a key of two ends");
    assert_told(&imported, Level::Note, &["`dead-peer-detection action` of an ike-group has no meaning"]);
    read_back(&imported);
}

#[test]
fn commands_that_refer_to_nothing_or_break_off_are_refused() {
    let table = [
        (
            "no such group",
            route_based().replace("ike-group 'AWS'", "ike-group 'AWZ'"),
            vec!["no ike-group AWZ", "did you mean `AWS`?"],
        ),
        (
            "an open quote",
            format!("{}set vpn ipsec site-to-site peer 203.0.113.46 local-address '198.51", route_based()),
            vec!["does not close"],
        ),
        ("certificates", route_based().replace("'pre-shared-secret'\n", "'x509'\n"), vec!["pre-shared keys alone"]),
        ("a template", route_based().replace("'198.51.100.9'", "'<your address>'"), vec!["placeholder"]),
        (
            "no networks",
            route_based().replace(" vti bind", " xti bind").replace(" vti esp-group", " xti esp-group"),
            vec!["neither `tunnel` nor `vti`"],
        ),
    ];
    for (what, text, words) in table {
        let imported = one("vyos.txt", &text, &here(&["198.51.100.9"]));
        let errors = told(&imported, Level::Error);
        assert!(
            errors.iter().any(|text| words.iter().all(|word| text.contains(word))),
            "{what}: {words:?} not in {errors:#?}"
        );
        assert!(imported.connections.is_empty(), "{what}");
    }
}
