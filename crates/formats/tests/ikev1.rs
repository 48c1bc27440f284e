//! IKEv1 in `underpass.toml`: the keys that choose it, children split into pairs of subnets, and what it cannot say.

use formats::diagnostic::code;
use formats::underpass_toml::{Loaded, parse};
use formats::{Diagnostic, Severity, SourceFile};
use ike::config::{ChildConfig, PeerConfig, PeerName, StartPolicy, Versions};
use ike::proposal::{EspProposal, IkeProposal};
use std::time::Duration;

const LEGACY: &str = include_str!("../../../examples/ikev1-legacy.toml");
const EXAMPLE_SECRETS: &str = include_str!("../../../examples/secrets.toml");
const GOOD_KEY: &str = "4f7Qm2kT8vPz6Lr3Nd1Xw9Bs5";

/// A connection `b` with these lines, and a child `net` with those.
fn config(connection: &str, child: &str) -> String {
    let subnets = |side: &str, own: &str| {
        let given = child.lines().any(|line| line.starts_with(&format!("{side}_subnets")));
        if given { String::new() } else { format!("{side}_subnets = \"{own}\"\n") }
    };
    format!(
        "[connection.b]\nlocal_address = \"192.0.2.1\"\nremote_address = \"192.0.2.2\"\n{connection}\n\
         [connection.b.child.net]\n{child}\n{}{}",
        subnets("local", "10.1.0.0/16"),
        subnets("remote", "10.2.0.0/16"),
    )
}

fn load_with(text: &str, keys: &[(&str, &str)]) -> Result<Loaded, Vec<Diagnostic>> {
    let mut secrets = "[psk]\n".to_owned();
    for (name, key) in keys {
        secrets.push_str(&format!("{name} = \"{key}\"\n"));
    }
    parse(&[SourceFile::new("u.toml", text)], &[SourceFile::new("secrets.toml", secrets)])
}

fn load(connection: &str, child: &str) -> Result<Loaded, Vec<Diagnostic>> {
    load_with(&config(connection, child), &[("b", GOOD_KEY)])
}

fn peer(loaded: &Loaded) -> &PeerConfig {
    &loaded.state.connections[&PeerName::from("b")].peer
}

/// What both ways to load say: the errors, or the warnings.
fn told(result: Result<Loaded, Vec<Diagnostic>>) -> (bool, Vec<Diagnostic>) {
    match result {
        Ok(loaded) => (true, loaded.warnings),
        Err(found) => (false, found.into_iter().filter(|d| d.severity == Severity::Error).collect()),
    }
}

fn names(peer: &PeerConfig) -> Vec<&str> {
    peer.children.iter().map(|child| &*child.name.0).collect()
}

#[test]
fn the_legacy_example_is_what_old_peers_want_and_warns_of_nothing_but_weakness() {
    let loaded = parse(&[SourceFile::new("u.toml", LEGACY)], &[SourceFile::new("secrets.toml", EXAMPLE_SECRETS)])
        .expect("the example is sound");
    assert!(loaded.warnings.iter().all(|d| d.code == code::WEAK), "{:#?}", loaded.warnings);
    let words: Vec<bool> =
        ["sha1", "modp1024"].map(|word| loaded.warnings.iter().any(|d| d.message.contains(word))).to_vec();
    assert_eq!(words, [true, true]);
    let peer = &loaded.state.connections[&PeerName::from("old-router")].peer;
    assert_eq!((peer.versions, peer.aggressive), (Versions::V1, false));
    assert_eq!(peer.proposals, [IkeProposal::parse("aes128-sha1-modp1024").unwrap()]);
    assert_eq!(peer.lifetime.time, Some(Duration::from_secs(28_800)));
    assert_eq!(names(peer), ["net-1x1", "net-1x2"]);
    for child in &peer.children {
        assert_eq!(child.proposals, [EspProposal::parse("aes128-sha1-modp1024", false).unwrap()]);
        assert_eq!(child.lifetime.time, Some(Duration::from_secs(3600)));
    }
}

#[test]
fn the_version_decides_what_is_offered_when_nothing_is_written() {
    for (line, versions) in [
        ("", Versions::V2),
        ("ike_version = \"ikev2\"", Versions::V2),
        ("ike_version = \"ikev1\"", Versions::V1),
        ("ike_version = \"both\"", Versions::Both),
    ] {
        let loaded = load(line, "").unwrap();
        assert_eq!(loaded.warnings, [], "{line}");
        let peer = peer(&loaded);
        assert_eq!(peer.versions, versions);
        assert_eq!(peer.proposals, IkeProposal::defaults_for(versions));
        assert_eq!(peer.children[0].proposals, EspProposal::defaults_for(versions));
    }
    let (_, found) = told(load("ike_version = \"ikev3\"", ""));
    assert!(found[0].message.contains("`\"ikev1\"`, `\"ikev2\"` or `\"both\"`"), "{found:#?}");
}

#[test]
fn aggressive_mode_warns_and_needs_ikev1() {
    for line in ["aggressive = true", "aggressive = true\nike_version = \"ikev2\""] {
        let (loaded, found) = told(load(line, ""));
        assert!(!loaded && found.len() == 1, "{found:#?}");
        assert_eq!((found[0].code, found[0].line, found[0].column), (code::CONFLICT, 4, 14));
    }
    for version in ["ikev1", "both"] {
        let loaded = load(&format!("ike_version = \"{version}\"\naggressive = true"), "").unwrap();
        assert!(peer(&loaded).aggressive);
        let [warning] = loaded.warnings.as_slice() else { panic!("{:#?}", loaded.warnings) };
        assert_eq!((warning.code, warning.line), (code::WEAK, 5));
        assert!(warning.message.contains("hash of the pre-shared key"), "{warning}");
        assert!(warning.suggestion.as_deref().is_some_and(|help| help.contains("32 random bytes")), "{warning}");
    }
    let loaded = load("ike_version = \"ikev1\"\naggressive = false", "").unwrap();
    assert!(!peer(&loaded).aggressive && loaded.warnings.is_empty());
}

/// CVE-2002-1623, CVE-2018-5389: aggressive mode gives whoever asks a hash to try keys against.
#[test]
fn offline_psk_a_weak_key_with_aggressive_mode_is_warned_of_and_not_repeated() {
    for (key, why) in [
        ("Hush2024!", Some("fewer than 20")),
        ("hushhushhushhushhushhush", Some("one kind of characters")),
        ("20240101202401012024", Some("one kind of characters")),
        (GOOD_KEY, None),
        ("hush, a sentence of several words", None),
    ] {
        for mode in ["aggressive = true", ""] {
            let text = config(&format!("ike_version = \"ikev1\"\n{mode}"), "");
            let found = load_with(&text, &[("b", key)]).unwrap().warnings;
            let hit = found.iter().find(|d| d.code == code::SECRET);
            match why.filter(|_| !mode.is_empty()) {
                Some(why) => {
                    let hit = hit.unwrap_or_else(|| panic!("{key}: {found:#?}"));
                    assert!(hit.message.contains(why) && hit.line == 5, "{hit}");
                }
                None => assert_eq!(hit, None, "{key} {mode}"),
            }
            assert!(!format!("{found:?}").contains("hush"), "{found:#?}");
        }
    }
}

#[test]
fn a_child_of_ikev1_is_split_into_pairs_and_its_routes_are_not_doubled() {
    let child = "local_subnets = [\"10.1.0.0/16\", \"10.9.0.0/16\"]\nstart = \"on-demand\"\nlifetime_seconds = 1200\n\
                 lifetime_bytes = 1000000\nreplay_window = 128\nsha256_96 = true";
    let loaded = load("ike_version = \"ikev1\"", child).unwrap();
    let peer = peer(&loaded);
    assert_eq!(names(peer), ["net-1x1", "net-2x1"]);
    for (child, local) in peer.children.iter().zip(["10.1.0.0/16", "10.9.0.0/16"]) {
        let words = |list: &[ipsec::TrafficSelector]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            (words(&child.local), words(&child.remote)),
            (vec![local.to_owned()], vec!["10.2.0.0/16".to_owned()])
        );
        assert_eq!((child.start, child.replay_window, child.sha256_96), (StartPolicy::OnDemand, 128, true));
        assert_eq!((child.lifetime.time, child.lifetime.bytes), (Some(Duration::from_secs(1200)), Some(1_000_000)));
    }
    let connection = &loaded.state.connections[&PeerName::from("b")];
    assert_eq!(connection.routes, [("10.2.0.0".parse().unwrap(), 16)]);
}

#[test]
fn children_are_split_where_it_is_asked_for_or_ikev1_may_be_spoken() {
    let several = "remote_subnets = [\"10.2.0.0/16\", \"10.3.0.0/16\", \"fd00:2::/64\"]\n\
                   local_subnets = [\"fd00:1::/64\", \"10.1.0.0/16\"]";
    let split = ["net-1x3", "net-2x1", "net-2x2"];
    // (connection, child, names): pairs of two families match no packet, and are not made.
    for (connection, child, expected) in [
        ("", "", &["net"][..]),
        ("", "split_selectors = true", &split),
        ("ike_version = \"ikev1\"", "", &split),
        ("ike_version = \"both\"", "", &split),
        ("ike_version = \"both\"", "split_selectors = true", &split),
    ] {
        let loaded = load(connection, &format!("{several}\n{child}")).unwrap();
        assert_eq!(names(peer(&loaded)), expected, "{connection} {child}");
        assert_eq!(loaded.warnings, [], "{connection} {child}");
    }
    for version in ["ikev1", "both"] {
        let connection = format!("ike_version = \"{version}\"");
        let one = load(&connection, "split_selectors = false").unwrap();
        assert_eq!((names(peer(&one)), one.warnings.len()), (vec!["net"], 0), "one pair needs no splitting");
        let (loaded, found) = told(load(&connection, &format!("split_selectors = false\n{several}")));
        assert_eq!(loaded, version == "both", "{found:#?}");
        assert!(found.len() == 1 && found[0].message.contains("3 pairs of subnets"), "{found:#?}");
        assert_eq!((found[0].line, found[0].column), (6, 19));
    }
    let protocols = "local_subnets = [\"10.1.0.0/16[tcp/443]\", \"10.1.0.0/16[udp/53]\"]\n\
                     remote_subnets = [\"10.2.0.0/16[tcp]\", \"10.2.0.0/16\"]";
    let loaded = load("ike_version = \"ikev1\"", protocols).unwrap();
    assert_eq!(names(peer(&loaded)), ["net-1x1", "net-1x2", "net-2x2"]);
}

#[test]
fn a_name_that_splitting_makes_twice_is_refused() {
    for order in [["net", "net-2x1"], ["net-2x1", "net"]] {
        let child = |name: &str| {
            let local = if name == "net" { "[\"10.1.0.0/16\", \"10.9.0.0/16\"]" } else { "\"10.8.0.0/16\"" };
            format!("[connection.b.child.{name}]\nlocal_subnets = {local}\nremote_subnets = \"10.2.0.0/16\"\n")
        };
        let text = format!(
            "[connection.b]\nlocal_address = \"192.0.2.1\"\nremote_address = \"192.0.2.2\"\nike_version = \"ikev1\"\n{}{}",
            child(order[0]),
            child(order[1])
        );
        let (loaded, found) = told(load_with(&text, &[("b", GOOD_KEY)]));
        assert!(!loaded && found.len() == 1, "{found:#?}");
        assert!(
            found[0].message.contains("`net` has several pairs") && found[0].message.contains("`net-2x1`"),
            "{found:#?}"
        );
    }
}

#[test]
fn more_children_than_possible_are_refused_with_both_numbers() {
    let subnets = |count: usize| {
        let list: Vec<String> = (0..count).map(|n| format!("\"10.{n}.0.0/16\"")).collect();
        list.join(", ")
    };
    let split = |local: usize, remote: usize| {
        let text = format!("local_subnets = [{}]\nremote_subnets = [{}]", subnets(local), subnets(remote));
        told(load("ike_version = \"ikev1\"", &text.replace("remote_subnets = [\"10.", "remote_subnets = [\"11.")))
    };
    let (loaded, found) = split(16, 16);
    assert!(loaded, "{found:#?}");
    let (loaded, found) = split(17, 16);
    assert!(!loaded && found[0].message.contains("272") && found[0].message.contains("256"), "{found:#?}");
    // As many as a file can say: counted, not made.
    let (loaded, found) = split(255, 255);
    assert!(!loaded && found[0].message.contains("65025"), "{found:#?}");
}

#[test]
fn selectors_that_ikev1_cannot_carry_are_an_error_and_with_both_a_warning() {
    for (child, message, column) in [
        ("local_subnets = \"10.1.0.0/16[tcp/1000-2000]\"", "[tcp/1000-2000]", 17),
        ("remote_subnets = [\"10.2.0.0/16\", \"10.3.0.0/16[icmp/8]\"]", "[icmp/8]", 34),
        ("remote_subnets = \"10.2.0.0/16[tcp/opaque]\"", "one port, or all", 18),
        ("local_subnets = \"10.1.0.0/16[tcp]\"\nremote_subnets = \"10.2.0.0/16[udp]\"", "one protocol", 18),
    ] {
        let (loaded, found) = told(load("", child));
        assert!(loaded && found.is_empty(), "IKEv2 takes {child}: {found:#?}");
        for version in ["ikev1", "both"] {
            let (loaded, found) = told(load(&format!("ike_version = \"{version}\""), child));
            assert_eq!(loaded, version == "both", "{found:#?}");
            let [told] = found.as_slice() else { panic!("{child}: {found:#?}") };
            assert!(told.message.contains(message) && told.column == column, "{told}");
            assert_eq!((told.code, told.suggestion.is_some()), (code::CONFLICT, true));
            assert_eq!(told.message.contains("only IKEv2 will work"), version == "both", "{told}");
        }
    }
    for child in [
        "local_subnets = \"10.1.0.0/16[tcp/443]\"\nremote_subnets = \"10.2.0.0/16[tcp]\"",
        "local_subnets = \"10.1.0.5-10.1.0.9[udp]\"",
        "local_subnets = \"10.1.0.5\"",
    ] {
        let (loaded, found) = told(load("ike_version = \"ikev1\"", child));
        assert!(loaded && found.is_empty(), "{child}: {found:#?}");
    }
}

#[test]
fn proposals_that_ikev1_cannot_say_are_an_error_when_nothing_else_is_there() {
    // (key and value, words of the message, whether something is left)
    for (line, words, left) in [
        ("ike_proposals = \"aes256gcm16-prfsha384-ecp384\"", "aes256gcm16", false),
        ("ike_proposals = \"aes256-aesxcbc-modp2048\"", "aesxcbc", false),
        ("ike_proposals = \"aes256-sha256-x25519\"", "curve25519", false),
        ("ike_proposals = \"aes256-sha256-prfaescmac-modp2048\"", "prfaescmac", false),
        ("ike_proposals = [\"aes256gcm16-prfsha384-ecp384\", \"aes256-sha256-modp2048\"]", "aes256gcm16", true),
        ("esp_proposals = \"chacha20poly1305\"", "chacha20poly1305", false),
        ("esp_proposals = \"aes256gcm16-esn\"", "esn", false),
        ("esp_proposals = \"aes256-aescmac\"", "aescmac", false),
        ("esp_proposals = [\"aes256gcm16-x25519\", \"aes256gcm16\"]", "curve25519", true),
    ] {
        let place = |version: &str| {
            let version = format!("ike_version = \"{version}\"");
            if line.starts_with("ike") { load(&format!("{version}\n{line}"), "") } else { load(&version, line) }
        };
        let (loaded, found) = told(place("ikev1"));
        assert_eq!(loaded, left, "{line}: {found:#?}");
        let [told_of] = found.as_slice() else { panic!("{line}: {found:#?}") };
        assert!(told_of.message.contains(words) && told_of.code == code::CONFLICT, "{told_of}");
        assert!(told_of.suggestion.is_some() && told_of.line >= 5, "{told_of}");
        let (loaded, found) = told(place("both"));
        assert!(loaded, "{line}: {found:#?}");
        assert_eq!(found.len(), usize::from(!left), "{line}: {found:#?}");
        let (_, found) = told(place("ikev2"));
        assert!(found.is_empty(), "{line}: {found:#?}");
    }
    for line in ["esp_proposals = \"aes256gcm16-esn-noesn\"", "esp_proposals = \"aes128-sha256-aescmac\""] {
        let (loaded, found) = told(load("ike_version = \"ikev1\"", line));
        assert!(loaded && found.is_empty(), "{line}: {found:#?}");
    }
}

#[test]
fn truncation_to_96_bits_without_sha256_is_pointed_out() {
    let (loaded, found) = told(load("", "sha256_96 = true\nesp_proposals = \"aes128gcm16\""));
    assert!(loaded && found.len() == 1 && found[0].message.contains("`sha256_96`"), "{found:#?}");
    assert_eq!((found[0].line, found[0].column), (6, 13));
    for proposals in ["esp_proposals = \"aes128-sha384-sha256\"", ""] {
        let loaded = load("", &format!("sha256_96 = true\n{proposals}")).unwrap();
        assert_eq!(loaded.warnings, []);
        assert!(peer(&loaded).children.iter().all(|child: &ChildConfig| child.sha256_96));
    }
}

#[test]
fn more_connections_at_one_address_than_main_mode_tries_keys_for_are_pointed_out() {
    let connections = |count: usize, remote: &str, extra: &str| {
        let mut text = String::new();
        for n in 0..count {
            text.push_str(&format!(
                "[connection.c{n:02}]\nlocal_address = \"192.0.2.1\"\nremote_address = \"{remote}\"\nremote_id = \"{n}.example\"\n\
                 psk = \"b\"\n{extra}\n[connection.c{n:02}.child.net]\nlocal_subnets = \"10.1.0.0/16\"\n\
                 remote_subnets = \"10.2.{n}.0/24\"\n"
            ));
        }
        let (loaded, found) = told(load_with(&text, &[("b", GOOD_KEY)]));
        assert!(loaded, "{found:#?}");
        found.into_iter().filter(|d| d.code == code::OVERLAP).collect::<Vec<_>>()
    };
    for remote in ["any", "192.0.2.2", "vpn.example.net"] {
        for version in ["ikev1", "both"] {
            let extra = format!("ike_version = \"{version}\"");
            assert_eq!(connections(16, remote, &extra), []);
            let found = connections(18, remote, &extra);
            assert_eq!(found.len(), 2, "{found:#?}");
            assert!(
                found[0].message.contains("`c16` is number 17") && found[0].message.contains("of 16"),
                "{found:#?}"
            );
        }
        assert_eq!(connections(18, remote, ""), [], "IKEv2 goes by identity");
        let found = connections(18, remote, "ike_version = \"ikev1\"\naggressive = true");
        assert_eq!(found, [], "so does aggressive mode");
    }
}
