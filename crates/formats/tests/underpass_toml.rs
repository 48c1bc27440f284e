//! `underpass.toml`: what a good file asks for, and what each bad one is told.

use formats::diagnostic::code;
use formats::underpass_toml::{Loaded, UnreachableOnStop, check_secrets_mode, parse, secrets_path};
use formats::{Diagnostic, Severity, SourceFile};
use ike::config::{EncapsulationPolicy, PeerName, StartPolicy};
use ike::id::Id;
use std::time::Duration;

const EXAMPLE: &str = include_str!("../../../examples/underpass.toml");
const EXAMPLE_SECRETS: &str = include_str!("../../../examples/secrets.toml");
const SECRETS: &str = "[psk]\nb = \"a long enough secret\"\n";
const SMALL: &str = "\
[connection.b]
local_address = \"192.0.2.1\"
remote_address = \"192.0.2.2\"
[connection.b.child.net]
local_subnets = \"10.1.0.0/16\"
remote_subnets = \"10.2.0.0/16\"
";

fn load(config: &str) -> Result<Loaded, Vec<Diagnostic>> {
    parse(&[SourceFile::new("u.toml", config)], &[SourceFile::new("secrets.toml", SECRETS)])
}

fn errors(config: &str) -> Vec<Diagnostic> {
    let mut found = load(config).expect_err("the file is wrong");
    found.retain(|diagnostic| diagnostic.severity == Severity::Error);
    found
}

/// `SMALL` with lines added to the connection (before its child) and to the child.
fn small_with(connection: &str, child: &str) -> String {
    SMALL.replace("[connection.b.child.net]", &format!("{connection}\n[connection.b.child.net]\n{child}"))
}

#[test]
fn the_examples_load_without_a_warning() {
    let loaded =
        parse(&[SourceFile::new("underpass.toml", EXAMPLE)], &[SourceFile::new("secrets.toml", EXAMPLE_SECRETS)])
            .expect("the example is sound");
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.host.interface, "underpass0");
    assert_eq!(loaded.host.socket, "/run/underpass/ctl.sock");
    assert_eq!(loaded.host.unreachable_on_stop, UnreachableOnStop::Remove);
    let branch = &loaded.state.connections[&PeerName::from("branch")];
    assert_eq!(branch.peer.remote_addresses, Vec::<std::net::IpAddr>::new());
    assert_eq!(branch.peer.remote_id, Some(Id::Rfc822("branch@example.net".into())));
    assert_eq!(branch.peer.psk.expose(), b"published example, never use it");
    assert_eq!(branch.peer.lifetime.margin, Duration::from_secs(300));
    assert_eq!(branch.peer.children[0].start, StartPolicy::Passive);
    assert_eq!(branch.peer.children[0].lifetime.bytes, Some(10_000_000_000));
    let site = &loaded.state.connections[&PeerName::from("site-b")];
    assert_eq!(site.routes, [("10.93.1.0".parse().unwrap(), 24)]);
    assert_eq!(site.peer.children[0].start, StartPolicy::OnLoad);
    assert_eq!(loaded.state.policies.len(), 1);
}

#[test]
fn what_is_not_written_has_the_documented_default() {
    let loaded = load(SMALL).unwrap();
    let connection = &loaded.state.connections[&PeerName::from("b")];
    let peer = &connection.peer;
    assert_eq!(peer.local_id, Id::Ipv4("192.0.2.1".parse().unwrap()));
    assert_eq!(peer.remote_id, Some(Id::Ipv4("192.0.2.2".parse().unwrap())));
    assert_eq!(peer.psk.expose(), b"a long enough secret");
    assert_eq!(
        (peer.lifetime.time, peer.lifetime.margin),
        (Some(Duration::from_secs(28_800)), Duration::from_secs(270))
    );
    assert_eq!(peer.lifetime.fuzz_percent, 100);
    assert_eq!((peer.dpd.interval, peer.dpd.timeout), (Some(Duration::from_secs(10)), Duration::from_secs(30)));
    assert_eq!((peer.fragment_size, peer.remote_port, peer.retry.tries), (Some(1280), 500, None));
    assert_eq!((peer.encapsulation, peer.initial_contact, peer.childless), (EncapsulationPolicy::Auto, true, false));
    let child = &peer.children[0];
    assert_eq!(
        (child.lifetime.time, child.lifetime.margin),
        (Some(Duration::from_secs(3600)), Duration::from_secs(270))
    );
    assert_eq!((child.replay_window, child.start), (1024, StartPolicy::OnLoad));
    assert_eq!(connection.routes, [("10.2.0.0".parse().unwrap(), 16)]);
    assert_eq!((loaded.state.gateway.path_mtu, loaded.state.gateway.clamp_mss), (1500, true));
    assert_eq!(loaded.state.gateway.endpoint.ike_port, 500);
}

#[test]
fn all_errors_of_a_file_come_at_once_with_their_places() {
    let config = "\
[gateway]
ike_prot = 500
path_mtu = 70000
clamp_mss = \"yes\"
[connection.b]
local_address = \"192.0.2.256\"
remote_adress = \"192.0.2.2\"
retry = \"never\"
[connection.b.child.net]
local_subnets = [\"10.1.0.0/16\", 7]
remote_subnets = \"10.2.3.4/16\"
esp_proposals = \"aes128gmc16\"
start = \"onload\"
[conection.c]
";
    let found = errors(config);
    let places: Vec<(usize, usize, &str)> = found.iter().map(|d| (d.line, d.column, d.message.as_str())).collect();
    // (line, column, a word of the message, a word of the suggestion)
    let table = [
        (2, 1, "unknown key `ike_prot`", "`ike_port`"),
        (3, 12, "70000", "65535"),
        (4, 13, "`clamp_mss` must be `true` or `false`, found a string", ""),
        (6, 17, "192.0.2.256", ""),
        (7, 1, "unknown key `remote_adress`", "`remote_address`"),
        (8, 9, "`retry` must be", ""),
        (10, 33, "must hold strings, found an integer", ""),
        (11, 18, "10.2.0.0/16", ""),
        (12, 17, "aes128gcm16", ""),
        (13, 9, "`start` must be", "`on-load`"),
        (14, 2, "`conection`", "`connection`"),
    ];
    for (line, column, message, suggestion) in table {
        let hit = found.iter().find(|d| (d.line, d.column) == (line, column) && d.message.contains(message));
        let hit = hit.unwrap_or_else(|| panic!("{line}:{column} {message}\n{places:#?}"));
        let told = hit.suggestion.as_deref().unwrap_or_default();
        assert!(told.contains(suggestion), "{line}: {told}");
    }
    assert_eq!(found.len(), table.len(), "{places:#?}");
}

#[test]
fn numbers_out_of_range_are_told_value_and_range() {
    // (line of the connection, line of the child, value, bounds in the message)
    let table = [
        ("dpd_timeout_seconds = 0", "", "is 0", "1 to 86400"),
        ("fragmentation_bytes = 100", "", "is 100", "576 to 65535, or 0: off"),
        ("dscp = 64", "", "is 64", "0 to 63"),
        ("remote_port = 65536", "", "is 65536", "1 to 65535"),
        ("retry = 0", "", "is 0", "1 to 1000000"),
        ("remote_port = 0x1ffff", "", "is 0x1ffff", "1 to 65535"),
        ("ike_lifetime_seconds = -5", "", "is -5", "or 0: for ever"),
        ("dpd_interval_seconds = 99999999999999999999", "", "99999", ""),
        ("", "replay_window = 63", "is 63", "64 to 8192, or 0"),
        ("", "replay_window = 8193", "is 8193", "64 to 8192, or 0"),
        ("", "lifetime_packets = 1", "is 1", "100 to"),
    ];
    for (connection, child, value, bounds) in table {
        let found = errors(&small_with(connection, child));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].message.contains(value) && found[0].message.contains(bounds), "{}", found[0].message);
    }
    for sound in
        ["fragmentation_bytes = 0", "dscp = 0", "dscp = 63", "dscp = \"copy\"", "retry = 3", "dpd_interval_seconds = 0"]
    {
        assert!(load(&small_with(sound, "")).is_ok(), "{sound}");
    }
}

#[test]
fn a_number_in_quotes_is_told_how_to_write_it() {
    let found = errors(&small_with("dpd_timeout_seconds = \"30s\"", ""));
    assert_eq!(found[0].suggestion.as_deref(), Some("write `dpd_timeout_seconds = 30`"));
    assert!(found[0].to_string().contains("^^^^^"), "{}", found[0]);
}

#[test]
fn a_key_in_the_wrong_table_is_told_where_it_belongs() {
    let found = errors(&small_with("clamp_mss = true", ""));
    assert_eq!(found[0].suggestion.as_deref(), Some("`clamp_mss` belongs in [gateway]"));
    let found = errors(&format!("interface = \"x\"\n{SMALL}"));
    assert_eq!(found[0].suggestion.as_deref(), Some("`interface` belongs in [gateway]"));
    let found = errors(&format!("{SMALL}\n[psk]\nb = \"hush hush hush\""));
    assert!(found[0].suggestion.as_deref().is_some_and(|help| help.contains("secrets file")));
}

#[test]
fn a_missing_secret_names_entry_file_and_the_nearest_entry() {
    let secrets = SourceFile::new("keys.toml", "[psk]\nsite-b = \"a long enough secret\"\n");
    let config = small_with("psk = \"siteb\"", "");
    let found = parse(&[SourceFile::new("u.toml", config)], &[secrets]).unwrap_err();
    assert_eq!((found[0].code, found[0].line, found[0].column), (code::SECRET, 4, 7));
    assert!(found[0].message.contains("no entry `siteb` in keys.toml"), "{}", found[0].message);
    assert_eq!(found[0].suggestion.as_deref(), Some("did you mean `psk = \"site-b\"`?"));
    let alone = parse(&[SourceFile::new("u.toml", SMALL)], &[]).unwrap_err();
    assert!(alone[0].message.contains("no entry `b` in secrets.toml (which was not found)"), "{}", alone[0].message);
    let elsewhere = format!("[gateway]\nsecrets = \"keys/all.toml\"\n{SMALL}");
    assert_eq!(secrets_path(&[SourceFile::new("u.toml", elsewhere.clone())]), "keys/all.toml");
    let alone = parse(&[SourceFile::new("u.toml", elsewhere)], &[]).unwrap_err();
    assert!(alone[0].message.contains("keys/all.toml"), "{}", alone[0].message);
}

#[test]
fn secrets_are_read_as_text_hex_and_base64_and_never_repeated() {
    let read = |value: &str| {
        let secrets = SourceFile::new("secrets.toml", format!("[psk]\nb = {value}\n"));
        parse(&[SourceFile::new("u.toml", SMALL)], &[secrets])
    };
    for (value, expected) in [
        ("\"tunnel key 1\"", "tunnel key 1".as_bytes()),
        ("{ hex = \"0x74756e6e656c206b65792031\" }", b"tunnel key 1"),
        ("{ base64 = \"dHVubmVsIGtleSAx\" }", b"tunnel key 1"),
        ("\"schlüssel\"", "schlüssel".as_bytes()),
    ] {
        let loaded = read(value).unwrap();
        assert_eq!(loaded.state.connections[&PeerName::from("b")].peer.psk.expose(), expected);
        assert_eq!(loaded.warnings, [], "{value}");
        assert!(!format!("{loaded:?}").contains("tunnel key"));
    }
    for value in [
        "\"\"",
        "7",
        "{ hex = \"hushhush\" }",
        "{ hushhush = \"00\" }",
        "{ base64 = \"hush!hush\" }",
        "{ heks = \"hushhush\" }",
        "{ hex = \"00\", base64 = \"hushhush\" }",
        "{ hex = 7 }",
        "{}",
        "[\"hushhush\"]",
        "\"hushhush",
        "\"hush\\qhush\"",
        "hushhush",
    ] {
        let found = read(value).unwrap_err();
        assert!(found.iter().any(|d| d.severity == Severity::Error && d.line == 2), "{value}: {found:?}");
        for diagnostic in &found {
            assert!(diagnostic.file == "secrets.toml" && diagnostic.snippet.is_none(), "{diagnostic}");
            assert!(!format!("{diagnostic:?}{diagnostic}").contains("hush"), "{diagnostic}");
        }
    }
    let misplaced = [SourceFile::new("secrets.toml", "hushhush = 1\n[psk]\nb = \"long enough key\"\nhushhush = 7\n")];
    let found = parse(&[SourceFile::new("u.toml", SMALL)], &misplaced).unwrap_err();
    assert_eq!(found.iter().map(|d| d.line).collect::<Vec<_>>(), [1, 4], "{found:#?}");
    assert!(!format!("{found:?}").contains("hush"), "{found:#?}");
    let pasted = errors(&small_with("psk = \"hushhush/hushhush+hushhush==\"\npreshared_key = \"hushhush\"", ""));
    assert_eq!(pasted.iter().map(|d| d.line).collect::<Vec<_>>(), [4, 5], "{pasted:#?}");
    assert!(!format!("{pasted:?}").contains("hush"), "{pasted:#?}");
    let short = read("\"hush\"").unwrap();
    assert_eq!((short.warnings[0].code, short.warnings[0].line), (code::SECRET, 2));
    assert!(short.warnings[0].message.contains("only 4 bytes") && !short.warnings[0].to_string().contains("hush"));
    assert!(read("\" hush hush \"").unwrap().warnings[0].message.contains("blank"));
}

#[test]
fn a_file_of_secrets_open_to_others_is_refused() {
    for mode in [0o100_640, 0o100_604, 0o100_660, 0o100_622, 0o644] {
        let refused = check_secrets_mode("secrets.toml", mode).expect("refused");
        assert_eq!((refused.severity, refused.code), (Severity::Error, code::SECRET_EXPOSED));
        assert!(refused.suggestion.is_some_and(|help| help.contains("chmod 600 secrets.toml")));
    }
    for mode in [0o100_600, 0o100_400, 0o600, 0o700] {
        assert_eq!(check_secrets_mode("secrets.toml", mode), None);
    }
}

#[test]
fn weak_algorithms_are_named_but_accepted() {
    let config = small_with("ike_proposals = [\"aes128-sha1-modp1024\"]", "esp_proposals = [\"aes128-sha1\"]");
    let loaded = load(&config).unwrap();
    let messages: Vec<&str> = loaded.warnings.iter().map(|d| d.message.as_str()).collect();
    assert!(loaded.warnings.iter().all(|d| d.code == code::WEAK && d.severity == Severity::Warning));
    for (key, word, line) in [("ike", "modp1024", 4), ("ike", "sha1", 4), ("esp", "sha1", 6)] {
        let hit = loaded.warnings.iter().any(|d| d.line == line && d.message.contains(word) && d.message.contains(key));
        assert!(hit, "{word}: {messages:#?}");
    }
}

#[test]
fn null_encryption_has_to_be_asked_for() {
    let found = errors(&small_with("", "esp_proposals = \"null-sha256\""));
    assert!(found[0].suggestion.as_deref().is_some_and(|help| help.contains("allow_null_encryption")), "{found:#?}");
    let loaded = load(&small_with("", "allow_null_encryption = true\nesp_proposals = \"null-sha256\"")).unwrap();
    assert_eq!(loaded.warnings.len(), 1, "{:#?}", loaded.warnings);
    assert!(
        !errors(&small_with("ike_proposals = \"null-sha256-modp2048\"", "allow_null_encryption = true")).is_empty()
    );
}

#[test]
fn a_route_over_the_peer_itself_is_refused_unless_a_policy_takes_the_peer_out() {
    let looped =
        small_with("", "routes = [\"192.0.0.0/8\", \"10.2.0.0/16\"]").replace("10.2.0.0/16\"\n", "0.0.0.0/0\"\n");
    let found = errors(&looped.replace("192.0.0.0/8", "0.0.0.0/0"));
    assert_eq!((found[0].code, found[0].line, found[0].column), (code::ROUTE_LOOP, 6, 11));
    assert!(found[0].message.contains("192.0.2.2") && found[0].message.contains("`b`"), "{}", found[0].message);
    let bypass = "[policy.peer]\naction = \"bypass\"\nlocal = \"0.0.0.0/0\"\nremote = \"192.0.2.2\"\n";
    let loaded = load(&format!("{}{bypass}", looped.replace("192.0.0.0/8", "0.0.0.0/0"))).unwrap();
    let routes = &loaded.state.connections[&PeerName::from("b")].routes;
    assert_eq!(routes, &[("0.0.0.0".parse().unwrap(), 0), ("10.2.0.0".parse().unwrap(), 16)]);
}

#[test]
fn default_routes_are_never_made_from_selectors() {
    let routed = SMALL
        .replace("\"10.2.0.0/16\"", "[\"0.0.0.0/0\", \"::/0\", \"10.2.0.1-10.2.0.2\"]")
        .replace("\"10.1.0.0/16\"", "\"0.0.0.0/0\"");
    let loaded = load(&routed).unwrap();
    let routes = &loaded.state.connections[&PeerName::from("b")].routes;
    assert_eq!(routes, &[("10.2.0.1".parse().unwrap(), 32), ("10.2.0.2".parse().unwrap(), 32)]);
}

#[test]
fn traffic_claimed_twice_is_an_error_and_overlap_a_warning() {
    let second = |local: &str, remote: &str| {
        let other =
            SMALL.replace("connection.b", "connection.c").replace("10.1.0.0/16", local).replace("10.2.0.0/16", remote);
        format!(
            "{SMALL}{}",
            other.replace("192.0.2.2", "192.0.2.3").replace("[connection.c]", "[connection.c]\npsk = \"b\"")
        )
    };
    let found = errors(&second("10.1.0.0/16", "10.2.0.0/16"));
    assert_eq!((found[0].code, found[0].line), (code::OVERLAP, 13));
    assert!(found[0].message.contains("`c/net`") && found[0].message.contains("`b/net`"), "{}", found[0].message);
    assert!(found[0].suggestion.as_deref().is_some_and(|help| help.contains("u.toml:6:18")), "{found:#?}");
    let warned = load(&second("10.1.0.0/16", "10.2.8.0/24")).unwrap().warnings;
    assert_eq!((warned.len(), warned[0].code), (1, code::OVERLAP), "{warned:#?}");
    for (local, remote) in
        [("10.1.0.0/16", "10.3.0.0/16"), ("10.9.0.0/16", "10.2.0.0/16"), ("10.1.0.0/16[tcp]", "10.3.0.0/16")]
    {
        assert_eq!(load(&second(local, remote)).unwrap().warnings, [], "{local} {remote}");
    }
    assert_eq!(load(&second("10.1.0.0/16", "10.2.0.0/16[tcp]")).unwrap().warnings.len(), 1);
}

#[test]
fn connections_a_peer_cannot_tell_apart_are_pointed_out() {
    let twin = SMALL
        .replace("connection.b", "connection.c")
        .replace("10.2.0.0", "10.3.0.0")
        .replace("[connection.c]", "[connection.c]\npsk = \"b\"");
    let warned = load(&format!("{SMALL}{twin}")).unwrap().warnings;
    assert!(warned.len() == 1 && warned[0].message.contains("same peer"), "{warned:#?}");
}

#[test]
fn several_files_are_one_and_what_two_of_them_say_names_both_places() {
    let secrets = [SourceFile::new("secrets.toml", SECRETS)];
    let gateway = SourceFile::new("underpass.toml", "[gateway]\npath_mtu = 1400\n");
    let split = parse(&[gateway.clone(), SourceFile::new("conf.d/b.toml", SMALL)], &secrets).unwrap();
    assert_eq!((split.state.gateway.path_mtu, split.state.connections.len()), (1400, 1));
    let more = SourceFile::new("conf.d/c.toml", format!("[gateway]\nclamp_mss = false\npath_mtu = 1300\n{SMALL}"));
    let found = parse(&[gateway, SourceFile::new("conf.d/b.toml", SMALL), more], &secrets).unwrap_err();
    let told: Vec<(&str, usize, bool)> =
        found.iter().map(|d| (d.file.as_str(), d.line, d.message.contains("first at"))).collect();
    assert_eq!(told, [("conf.d/c.toml", 3, true), ("conf.d/c.toml", 4, true)], "{found:#?}");
    assert!(found[0].message.contains("underpass.toml:2:1") && found[1].message.contains("conf.d/b.toml:1:13"));
}

#[test]
fn syntax_errors_hide_what_follows_from_them_and_nothing_else() {
    let config =
        SMALL.replace("remote_address = \"192.0.2.2\"", "remote_address = \"192.0.2.2") + "[gateway]\nike_prot = 1\n";
    let found = errors(&config);
    let lines: Vec<usize> = found.iter().map(|d| d.line).collect();
    assert_eq!(lines, [3, 8], "{found:#?}");
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    // (line of the connection, line of the child, part of the message)
    let table = [
        ("remote_id = \"any\"\nrekey_margin_seconds = 2000", "", "lifetime of 3600 s"),
        ("retransmit_initial_milliseconds = 5000\nretransmit_give_up_seconds = 5", "", "second time"),
        ("", "routes = \"10.2.0.0/16[tcp]\"", "routes go by address alone"),
        ("", "routes = \"10.2.0.1/16\"", "10.2.0.0/16"),
    ];
    for (connection, child, message) in table {
        let found = errors(&small_with(connection, child));
        assert!(found.len() == 1 && found[0].message.contains(message), "{message}: {found:#?}");
    }
    let any = SMALL.replace("192.0.2.2", "any");
    assert!(load(&any).is_ok());
    let called = any.replace("[connection.b.child.net]", "[connection.b.child.net]\nstart = \"on-demand\"");
    assert!(errors(&called)[0].message.contains("somebody to call"));
    for (from, to, message) in [
        ("\"192.0.2.2\"", "\"192.0.2.1\"", "both 192.0.2.1"),
        ("\"192.0.2.2\"", "\"2001:db8::1\"", "one is IPv4"),
        ("\"192.0.2.2\"", "[\"any\", \"192.0.2.2\"]", "stands alone"),
        ("\"192.0.2.2\"", "[\"192.0.2.3\", \"192.0.2.2\"]", "`remote_id` cannot"),
        ("\"192.0.2.2\"", "\"192.0.2.2/32\"", "neither"),
        ("\"192.0.2.2\"", "\"0.0.0.0\"", "not the address of a host"),
        ("\"192.0.2.2\"", "[]", "empty list"),
        ("\"10.2.0.0/16\"", "\"2001:db8::/32\"", "no address family"),
        ("[connection.b]\n", "[gateway]\nlisten = \"192.0.2.9\"\n[connection.b]\n", "not among"),
        ("[connection.b]\n", "[gateway]\nike_port = 4500\n[connection.b]\n", "both 4500"),
        ("[connection.b]\n", "[gateway]\ninterface = \"much-too-long-name\"\n[connection.b]\n", "name of an interface"),
        ("local_address = \"192.0.2.1\"\n", "", "no `local_id`"),
        ("connection.b", "connection.\"a b\"", "cannot be a name"),
        ("[connection.b.child.net]\n", "[policy.x]\naction = \"bypas\"\n", "`action` must be"),
    ] {
        let found = errors(&SMALL.replace(from, to));
        assert!(found.iter().any(|d| d.message.contains(message)), "{message}: {found:#?}");
    }
}

#[test]
fn names_become_names_to_resolve_and_identities() {
    let loaded = load(&SMALL.replace("\"192.0.2.2\"", "\"vpn.example.net\"")).unwrap();
    let connection = &loaded.state.connections[&PeerName::from("b")];
    assert_eq!(connection.remote_names, ["vpn.example.net"]);
    assert_eq!(connection.peer.remote_id, Some(Id::Fqdn("vpn.example.net".into())));
    let any = load(&small_with("remote_id = \"any\"", "")).unwrap();
    assert_eq!(any.state.connections[&PeerName::from("b")].peer.remote_id, None);
}
