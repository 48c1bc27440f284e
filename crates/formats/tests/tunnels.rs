//! Connections of several tunnels: what they become, and what only several tunnels can get wrong.

use engine::desired::GroupMode;
use formats::underpass_toml::{Loaded, parse};
use formats::{Diagnostic, Severity, SourceFile};
use ike::config::PeerName;
use ike::id::Id;
use std::time::Duration;

const EXAMPLE: &str = include_str!("../../../examples/two-tunnels.toml");
const SECRETS: &str = "\
[psk]
cloud-1 = \"the key of the first tunnel\"
cloud-2 = \"the key of the second tunnel\"
shared = \"a key that both tunnels have\"
";

fn load(config: &str) -> Result<Loaded, Vec<Diagnostic>> {
    parse(&[SourceFile::new("u.toml", config)], &[SourceFile::new("secrets.toml", SECRETS)])
}

/// The example with one text in place of another, and what it is told.
fn told(from: &str, to: &str) -> Vec<String> {
    assert!(EXAMPLE.contains(from), "{from}");
    let found = match load(&EXAMPLE.replace(from, to)) {
        Ok(loaded) => loaded.warnings,
        Err(found) => found,
    };
    let line = |found: &Diagnostic| {
        let severity = if found.severity == Severity::Error { "error" } else { "warning" };
        format!("{severity} {}:{} {}", found.line, found.column, found.message)
    };
    found.iter().map(line).collect()
}

#[test]
fn the_example_is_two_connections_that_stand_in_for_each_other() {
    let loaded = load(EXAMPLE).expect("the example is sound");
    assert_eq!(loaded.warnings, []);
    let names: Vec<String> = loaded.state.connections.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["cloud-1", "cloud-2"]);
    let group = &loaded.state.groups[&PeerName::from("cloud")];
    assert_eq!((group.mode, group.keepalive), (GroupMode::ActiveStandby, None));
    let of_group: Vec<_> = group.tunnels.iter().map(|tunnel| (tunnel.peer.to_string(), tunnel.preference)).collect();
    assert_eq!(of_group, [("cloud-1".to_owned(), 200), ("cloud-2".to_owned(), 100)]);
    let inside = group.tunnels[1].inside.expect("written");
    assert_eq!((inside.local.to_string(), inside.remote.to_string()), ("169.254.10.6".into(), "169.254.10.5".into()));
    for (name, address, key) in [
        ("cloud-1", "198.51.100.1", "the key of the first tunnel"),
        ("cloud-2", "198.51.100.2", "the key of the second tunnel"),
    ] {
        let peer = &loaded.state.connections[&PeerName::from(name)].peer;
        assert_eq!(peer.remote_addresses, [address.parse::<std::net::IpAddr>().unwrap()]);
        assert_eq!(peer.remote_id, Some(Id::from(address.parse::<std::net::IpAddr>().unwrap())));
        assert_eq!(peer.psk.expose(), key.as_bytes());
        assert_eq!(peer.dpd.interval, Some(Duration::from_secs(10)));
        assert_eq!(peer.children.len(), 1);
        assert_eq!(peer.proposals[0].to_string(), "aes128-sha256-modp2048");
    }
}

#[test]
fn what_a_tunnel_says_comes_before_what_the_connection_and_its_children_say() {
    let text = EXAMPLE
        .replace("preference = 200", "dpd_interval_seconds = 20\nesp_proposals = \"aes256gcm16\"\nstart = \"passive\"")
        .replace("mode = \"active-standby\"", "mode = \"active-active\"\nkeepalive_seconds = 30\npsk = \"shared\"");
    let loaded = load(&text).expect("sound");
    let peer = |name: &str| &loaded.state.connections[&PeerName::from(name)].peer;
    assert_eq!(peer("cloud-1").dpd.interval, Some(Duration::from_secs(20)));
    assert_eq!(peer("cloud-2").dpd.interval, Some(Duration::from_secs(10)));
    assert_eq!(peer("cloud-1").children[0].proposals[0].to_string(), "aes256gcm16");
    assert_ne!(peer("cloud-1").children[0].start, peer("cloud-2").children[0].start);
    assert_eq!(peer("cloud-2").psk.expose(), b"a key that both tunnels have");
    let group = &loaded.state.groups[&PeerName::from("cloud")];
    assert_eq!((group.mode, group.keepalive), (GroupMode::ActiveActive, Some(Duration::from_secs(30))));
    assert_eq!(group.tunnels[0].preference, 100);
}

#[test]
fn tunnels_without_keys_of_their_own_share_the_one_of_the_connection() {
    let secrets = "[psk]\ncloud = \"one key for the connection\"\n";
    let loaded = parse(&[SourceFile::new("u.toml", EXAMPLE)], &[SourceFile::new("secrets.toml", secrets)]);
    let loaded = loaded.expect("sound");
    assert!(loaded.state.connections.values().all(|of| of.peer.psk.expose() == b"one key for the connection"));
    let none = parse(&[SourceFile::new("u.toml", EXAMPLE)], &[SourceFile::new("secrets.toml", "[psk]\n")]);
    let found = none.expect_err("no key at all");
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].message, "connection `cloud-1` has no pre-shared key: no entry `cloud-1` in secrets.toml");
}

#[test]
fn each_mistake_is_told_once_at_its_place() {
    let cases = [
        (
            "198.51.100.2",
            "198.51.100.1",
            "error 19:18 tunnels `cloud-1` and `cloud-2` are between the same outside addresses",
        ),
        (
            "169.254.10.6/30",
            "169.254.10.1/30",
            "error 20:18 the inside of `cloud-2` overlaps with that of `cloud-1` (169.254.10.0/30)",
        ),
        (
            "169.254.10.6/30",
            "169.254.10.7/30",
            "error 20:18 `inside_address`: 169.254.10.7 is the broadcast address of its /30",
        ),
        (
            "preference = 200",
            "preferences = 200",
            "error 16:1 unknown key `preferences` in [connection.cloud.tunnel.1]",
        ),
        ("preference = 200", "preference = 70000", "error 16:14 `preference` is 70000, but must be 0 to 65535"),
        (
            "preference = 200",
            "mode = \"active-active\"",
            "error 16:1 unknown key `mode` in [connection.cloud.tunnel.1]",
        ),
        (
            "dpd_interval_seconds = 10",
            "dpd_intervall_seconds = 10",
            "error 11:1 unknown key `dpd_intervall_seconds` in [connection.cloud]",
        ),
        (
            "dpd_interval_seconds = 10",
            "dpd_interval_seconds = 0.5",
            "error 11:24 `dpd_interval_seconds` must be an integer, found a number with a fraction",
        ),
        (
            "mode = \"active-standby\"",
            "mode = \"active-stanby\"",
            "error 9:8 `mode` must be `\"active-standby\"` or `\"active-active\"`, found `active-stanby`",
        ),
        ("remote_address = \"198.51.100.2\"\n", "", "error 18:26 [connection.cloud.tunnel.2] has no `remote_address`"),
        (
            "routes = [\"10.0.0.0/16\"]",
            "routes = [\"198.51.0.0/16\"]",
            "error 25:11 the route 198.51.0.0/16 covers 198.51.100.1, the address of the peer of `cloud-1`",
        ),
    ];
    for (from, to, expected) in cases {
        let found = told(from, to);
        assert_eq!(found.iter().filter(|line| line.as_str() == expected).count(), 1, "{to}: {found:#?}");
        assert!(found.len() <= 2, "{to}: {found:#?}");
    }
}

#[test]
fn inside_addresses_that_no_child_protects_are_pointed_out() {
    let found = told("remote_subnets = [\"0.0.0.0/0\"]", "remote_subnets = [\"10.0.0.0/16\"]");
    assert_eq!(found[0], "warning 15:18 no child protects traffic between 169.254.10.2 and 169.254.10.1");
    assert_eq!(found.len(), 2, "{found:#?}");
}

#[test]
fn names_that_tunnels_make_must_be_free() {
    let other = "\n[connection.cloud-2]\nlocal_address = \"192.0.2.1\"\nremote_address = \"203.0.113.9\"\npsk = \"shared\"\n\
                 [connection.cloud-2.child.net]\nlocal_subnets = \"10.7.0.0/16\"\nremote_subnets = \"10.8.0.0/16\"\n";
    let found = load(&format!("{EXAMPLE}{other}")).expect_err("a name twice");
    assert!(found.iter().any(|found| found.message.starts_with("two connections are called `cloud-2`")), "{found:#?}");
}

#[test]
fn a_connection_without_tunnels_has_no_mode_and_one_with_nine_is_refused() {
    let single = "[connection.b]\nmode = \"active-active\"\nlocal_address = \"192.0.2.1\"\nremote_address = \"192.0.2.2\"\npsk = \"shared\"\n\
                  [connection.b.child.net]\nlocal_subnets = \"10.1.0.0/16\"\nremote_subnets = \"10.2.0.0/16\"\n";
    let found = load(single).expect_err("one tunnel");
    assert_eq!((found.len(), found[0].message.as_str()), (1, "`mode` needs several tunnels"));
    let many: String =
        (3..=9).map(|n| format!("[connection.cloud.tunnel.{n}]\nremote_address = \"198.51.100.{n}\"\n")).collect();
    let found = load(&EXAMPLE.replace("[connection.cloud.child.net]", &format!("{many}[connection.cloud.child.net]")));
    let found = found.expect_err("nine");
    assert_eq!(found[0].message, "`connection.cloud.tunnel` has 9 tunnels; 1 to 8 are possible");
}
