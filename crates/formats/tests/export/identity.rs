//! What we write we read: export, then import, changes nothing that the format can carry.
#![allow(clippy::unwrap_used, clippy::panic)] // a helper of a test may fail the test

use engine::desired::InsideAddresses;
use formats::SourceFile;
use formats::export::{Export, Keys, Side, Target, esp_suites, export, ike_suites};
use formats::import::{Format, Here, InMemory, Input, import};
use formats::underpass_toml::{Loaded, parse};
use ike::config::{ChildName, PeerConfig, PeerName};
use proptest::prelude::*;
use proptest::test_runner::Config;

/// What a format can carry; everything else has our default in the generated connections.
#[derive(Clone, Copy)]
struct Carries {
    target: Target,
    format: Format,
    /// Rekey margin and fuzz.
    margin: bool,
    volume: bool,
    replay: bool,
    /// Whether fragmentation of IKE is on.
    fragmentation: bool,
    /// Networks other than everything.
    networks: bool,
    /// Protocols, ports and several networks.
    services: bool,
    ids: bool,
    /// Who starts.
    start: bool,
    /// Both versions of IKE.
    both: bool,
    /// AEAD and elliptic curves.
    modern: bool,
    /// Several suites, ESN.
    lists: bool,
    force: bool,
}

const ALL: Carries = Carries {
    target: Target::Strongswan,
    format: Format::Strongswan,
    margin: true,
    volume: true,
    replay: true,
    fragmentation: true,
    networks: true,
    services: true,
    ids: true,
    start: true,
    both: true,
    modern: true,
    lists: true,
    force: true,
};
const LIBRESWAN: Carries =
    Carries { target: Target::Libreswan, format: Format::Libreswan, services: false, both: false, lists: false, ..ALL };
const OPENSWAN: Carries = Carries {
    target: Target::Openswan,
    format: Format::Openswan,
    volume: false,
    replay: false,
    fragmentation: false,
    services: false,
    modern: false,
    lists: false,
    ..ALL
};
const VYOS: Carries = Carries {
    target: Target::Vyos,
    format: Format::Vyos,
    margin: false,
    replay: false,
    fragmentation: false,
    services: false,
    lists: false,
    ..ALL
};
const GENERIC: Carries = Carries {
    target: Target::Generic,
    format: Format::AwsText,
    margin: false,
    volume: false,
    replay: false,
    fragmentation: false,
    networks: false,
    services: false,
    ids: false,
    start: false,
    lists: false,
    force: false,
    ..ALL
};
const XML: Carries = Carries { target: Target::AwsXml, format: Format::AwsXml, ..GENERIC };

/// Keys and values of a connection, and of its child.
type Rows = (Vec<String>, Vec<String>, bool);

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    proptest::sample::select(words).prop_map(str::to_owned)
}

fn suites(carries: Carries, esp: bool) -> BoxedStrategy<String> {
    let classic = (
        one_of(&["aes128", "aes256"]),
        one_of(if carries.modern { &["sha1", "sha256", "sha384", "sha512"] } else { &["sha1", "sha256"] }),
        one_of(if carries.modern { &["modp2048", "modp4096", "ecp256", "ecp384"] } else { &["modp1536", "modp2048"] }),
    );
    let classic = classic.prop_map(|(cipher, hash, group)| format!("{cipher}-{hash}-{group}"));
    let prf = if esp { "" } else { "-prfsha384" };
    let modern = (one_of(&["aes128gcm16", "aes256gcm16"]), one_of(&["ecp384", "curve25519", "modp3072"]));
    let modern = modern.prop_map(move |(cipher, group)| format!("{cipher}{prf}-{group}"));
    let lists = if esp {
        one_of(&[
            "aes256gcm16-aes128gcm16-ecp384-modp2048-esn-noesn",
            "aes128-sha256-sha512-modp2048, aes256gcm16",
            "chacha20poly1305-esn",
        ])
    } else {
        one_of(&[
            "aes256gcm16-aes128gcm16-prfsha256-prfsha512-ecp384-modp2048",
            "aes128-sha256-sha512-modp2048, aes256gcm16-x25519",
            "aes256-sha256-prfsha512-modp4096",
        ])
    };
    match (carries.modern, carries.lists) {
        (false, _) => classic.boxed(),
        (true, false) => prop_oneof![classic, modern].boxed(),
        (true, true) => prop_oneof![classic, modern, lists.boxed()].boxed(),
    }
}

/// `key = value`, or nothing where the format has no place for it.
fn row<T: std::fmt::Display + std::fmt::Debug + 'static>(
    can: bool,
    key: &'static str,
    value: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Option<String>> {
    if !can {
        return Just(None).boxed();
    }
    proptest::option::of(value.prop_map(move |value| format!("{key} = {value}"))).boxed()
}

fn quoted(words: &'static [&'static str]) -> BoxedStrategy<String> {
    one_of(words).prop_map(|word| format!("\"{word}\"")).boxed()
}

/// Selectors with protocols and ports.
fn services_of() -> &'static [&'static str] {
    &["\"10.1.0.0/16[tcp/443]\"", "[\"10.1.0.0/24\", \"10.1.2.0/24[udp]\"]", "\"10.1.0.0/16[tcp/1000-2000]\""]
}

fn rows(carries: Carries) -> BoxedStrategy<Rows> {
    let versions: &[&str] = match (carries.both, carries.modern) {
        (true, true) => &["ikev2", "both"],
        // Without AEAD everything can be said in IKEv1 too.
        (true, false) => &["ikev1", "ikev2", "both"],
        (false, _) => &["ikev2"],
    };
    // Below 2700 s our default margin of a child is smaller than that of IKE, and these formats have one for both.
    // The retries of these formats are whole intervals.
    let dpd = (1u64..60, 1u64..10).prop_map(|(interval, times)| {
        format!("dpd_interval_seconds = {interval}\ndpd_timeout_seconds = {}", interval * times)
    });
    let connection = (
        suites(carries, false).prop_map(|suites| Some(format!("ike_proposals = \"{suites}\""))),
        quoted(versions).prop_map(|version| Some(format!("ike_version = {version}"))),
        row(true, "ike_lifetime_seconds", 2700u64..86_400),
        row(carries.margin, "rekey_margin_seconds", 60u64..600),
        row(carries.margin, "rekey_fuzz_percent", 0u64..=100),
        dpd.prop_map(Some),
        row(carries.fragmentation, "fragmentation_bytes", Just("0")),
        row(carries.force, "encapsulation", quoted(&["force", "auto"])),
        row(carries.ids, "local_id", quoted(&["g1.example.net", "ops@example.net", "203.0.113.4"])),
        row(carries.ids, "remote_id", quoted(&["g2.example.net", "far@example.net", "203.0.113.5"])),
    );
    let connection = connection.prop_map(|(a, b, c, d, e, f, g, h, i, j)| {
        [a, b, c, d, e, f, g, h, i, j].into_iter().flatten().collect::<Vec<String>>()
    });
    let networks: &'static [&'static str] = &["\"10.1.0.0/16\"", "\"10.1.7.0/24\"", "\"10.1.0.9/32\""];
    let side = move |services: bool| match (carries.networks, services) {
        (false, _) => Just("\"0.0.0.0/0\"".to_owned()).boxed(),
        (true, false) => one_of(networks).boxed(),
        (true, true) => prop_oneof![one_of(networks), one_of(services_of())].boxed(),
    };
    let child = (
        side(carries.services).prop_map(|text| Some(format!("local_subnets = {text}"))),
        side(false).prop_map(|text| Some(format!("remote_subnets = {}", text.replace("10.1.", "10.2.")))),
        suites(carries, true).prop_map(|suites| Some(format!("esp_proposals = \"{suites}\""))),
        row(true, "lifetime_seconds", 2700u64..40_000),
        row(carries.volume, "lifetime_bytes", 10_000u64..1_000_000_000_000),
        row(carries.volume, "lifetime_packets", 1000u64..1_000_000_000),
        row(carries.replay, "replay_window", prop_oneof![Just(64u64), Just(1024), Just(4096)]),
        row(carries.start, "start", quoted(&["on-load", "on-demand", "passive"])),
    );
    let child = child
        .prop_map(|(a, b, c, d, e, f, g, h)| [a, b, c, d, e, f, g, h].into_iter().flatten().collect::<Vec<String>>());
    (connection, child, any::<bool>()).boxed()
}

/// A connection of one tunnel, or of two with addresses inside where the format wants those.
fn config(carries: Carries, (connection, child, two): &Rows) -> String {
    let connection = connection.join("\n");
    let mut text = format!("[connection.a]\nlocal_address = \"192.0.2.1\"\npsk = \"k\"\n{connection}\n");
    if carries.networks {
        text.push_str("remote_address = \"198.51.100.1\"\n");
    } else {
        text.push_str(
            "[connection.a.tunnel.1]\nremote_address = \"198.51.100.1\"\ninside_address = \"169.254.10.2/30\"\n",
        );
        if *two {
            text.push_str(
                "[connection.a.tunnel.2]\nremote_address = \"198.51.100.2\"\ninside_address = \"169.254.10.6/30\"\n",
            );
        }
    }
    text + &format!("[connection.a.child.net]\nroutes = []\n{}\n", child.join("\n"))
}

fn load(config: &str) -> Loaded {
    let secrets = "[psk]\nk = \"Some_long.key0123456789\"\n";
    let loaded = parse(&[SourceFile::new("u.toml", config)], &[SourceFile::new("secrets.toml", secrets)]);
    loaded.unwrap_or_else(|found| panic!("{}\n{config}", found.iter().map(ToString::to_string).collect::<String>()))
}

/// What of a peer counts: names aside, and proposals as the suites they stand for.
fn bare(peer: &PeerConfig) -> PeerConfig {
    let mut peer = peer.clone();
    peer.name = PeerName::from("");
    peer.proposals.clear();
    for child in &mut peer.children {
        child.name = ChildName::from("");
        child.proposals.clear();
    }
    peer
}

fn inside(loaded: &Loaded) -> Vec<Option<InsideAddresses>> {
    loaded.state.groups.values().flat_map(|group| &group.tunnels).map(|tunnel| tunnel.inside).collect()
}

fn there_and_back(carries: Carries, rows: &Rows) {
    let config = config(carries, rows);
    let before = load(&config);
    let model = Export::of(&before, "a", Side::Here).unwrap();
    let document =
        export(&model, carries.target, Keys::Shown).unwrap_or_else(|refused| panic!("{refused:#?}\n{config}"));
    let mut inputs = vec![Input::new("a.conf", document.text.as_bytes())];
    inputs.extend(document.secrets.iter().map(|text| Input::new("a.secrets", text.as_bytes())));
    let here = Here { local: Some("192.0.2.1".parse().unwrap()), ..Here::default() };
    let imported = import(&inputs, &mut InMemory(Default::default()), Some(carries.format), &here);
    let text = document.text.as_str();
    assert_eq!(imported.refused, [], "{:#?}\n{text}", imported.findings);
    let rendered = imported.to_toml(formats::import::Keys::Written, None);
    let files = [SourceFile::new("u.toml", rendered.config.clone())];
    let after = parse(&files, &[SourceFile::new("secrets.toml", rendered.secrets.as_str())]);
    let after = after.unwrap_or_else(|found| panic!("{found:#?}\n{}", rendered.config));
    let told = format!("{config}\n---- {}\n{text}\n---- back\n{}", carries.target.word(), rendered.config);
    assert_eq!(after.state.connections.len(), before.state.connections.len(), "{told}");
    assert_eq!(inside(&after), inside(&before), "{told}");
    for (one, other) in before.state.connections.values().zip(after.state.connections.values()) {
        assert_eq!(bare(&other.peer), bare(&one.peer), "{told}");
        assert_eq!(ike_suites(&other.peer.proposals), ike_suites(&one.peer.proposals), "{told}");
        for (child, again) in one.peer.children.iter().zip(&other.peer.children) {
            assert_eq!(esp_suites(&again.proposals), esp_suites(&child.proposals), "{told}");
        }
    }
}

macro_rules! identity {
    ($($name:ident: $carries:expr),* $(,)?) => {
        proptest! {
            #![proptest_config(Config { cases: 256, failure_persistence: None, ..Config::default() })]
            $(#[test]
            fn $name(rows in rows($carries)) {
                there_and_back($carries, &rows);
            })*
        }
    };
}

identity! {
    strongswan_is_read_back_as_it_was: ALL,
    libreswan_is_read_back_as_it_was: LIBRESWAN,
    openswan_is_read_back_as_it_was: OPENSWAN,
    vyos_is_read_back_as_it_was: VYOS,
    the_generic_text_is_read_back_as_it_was: GENERIC,
    the_xml_is_read_back_as_it_was: XML,
}
