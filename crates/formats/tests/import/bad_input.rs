//! What is wrong with a file is said with line, column, reason and what to do; what is right beside it is imported.

use crate::support::*;
use formats::import::{Format, Here, InMemory, Input, Level, import};

const CONN: &str = "conn a\n authby=secret\n left=192.0.2.1\n leftsubnet=10.1.0.0/16\n right=192.0.2.2\n rightsubnet=10.2.0.0/16\n auto=start\n ike=aes256-sha256-modp2048\n esp=aes256-sha256\n";

#[test]
fn errors_of_an_ipsec_conf_have_place_reason_and_advice() {
    // (what, text, words of the one error)
    let with = |from: &str, to: &str| CONN.replace(from, to);
    let table = [
        (
            "a template's address",
            with("192.0.2.2", "<peer>"),
            vec!["a.conf:5:8", "`<peer>` is the placeholder", "address of this end"],
        ),
        (
            "a template's network",
            with("10.2.0.0/16", "xxx.xxx.xxx.xxx/xx"),
            vec!["a.conf:6:14", "placeholder", "network behind"],
        ),
        (
            "half a line",
            with(" esp=aes256-sha256\n", " esp"),
            vec!["a.conf:9:2", "ends in the middle of a line", "fetch it again"],
        ),
        ("half a suite", with(" esp=aes256-sha256\n", " esp=aes256-sha2"), vec![]),
        (
            "no such address",
            with("192.0.2.2", "192.0.2.256"),
            vec!["a.conf:5:8", "`192.0.2.256` is not the address of a host"],
        ),
        ("no such network", with("10.2.0.0/16", "10.2.0.0/99"), vec!["a.conf:6:14", "is no network"]),
        (
            "no such algorithm",
            with("aes256-sha256-modp2048", "blowfish-md5-modp768"),
            vec!["a.conf:8:6", "no proposal that Underpass has", "blowfish"],
        ),
        ("no such time", format!("{CONN} ikelifetime=8 hours\n"), vec!["a.conf:10:14", "`8 hours` is no time"]),
        (
            "no such start",
            with("auto=start", "auto=strat"),
            vec!["a.conf:7:7", "`auto=strat` is unknown", "did you mean `start`?"],
        ),
        (
            "neither yes nor no",
            format!("{CONN} aggressive=perhaps\n keyexchange=ikev1\n"),
            vec!["a.conf:10:13", "neither yes nor no"],
        ),
        ("certificates", with("authby=secret", "authby=rsasig"), vec!["a.conf:2:9", "pre-shared keys alone"]),
        ("nothing about keys", with(" authby=secret\n", ""), vec!["a.conf:1:6", "does not say `authby=secret`"]),
        ("transport mode", format!("{CONN} type=transport\n"), vec!["a.conf:10:7", "tunnel mode alone"]),
        ("AH", format!("{CONN} ah=sha1\n"), vec!["a.conf:10:5", "ESP alone"]),
        ("XAUTH", format!("{CONN} xauth=client\n"), vec!["a.conf:10:8", "XAUTH"]),
        (
            "a reference to nothing",
            format!("{CONN} also=bsae\nconn base\n dpddelay=1\n"),
            vec!["a.conf:10:7", "no conn bsae", "did you mean `base`?"],
        ),
        (
            "a loop of references",
            format!("{CONN} also=b\nconn b\n also=a\n"),
            vec!["`also` is a loop", "a refers to b"],
        ),
        ("an open quote", with("192.0.2.2", "\"192.0.2.2"), vec!["a.conf:5:8", "does not close"]),
        (
            "a distinguished name",
            format!("{CONN} leftid=\"C=CH, O=Example\"\n"),
            vec!["a.conf:10:9", "distinguished name"],
        ),
        (
            "a loop of includes",
            format!("{CONN}include b.inc\n"),
            vec!["b.inc:1:9", "includes are a loop", "a.conf includes b.inc"],
        ),
        (
            "a missing gateway",
            with(" right=192.0.2.2\n", "").replace("192.0.2.1", "%defaultroute"),
            vec!["must be known"],
        ),
    ];
    for (what, text, words) in table {
        let others = [("b.inc", "include a.conf\n"), ("a.conf", "conn z\n")];
        let here = if what == "a missing gateway" { anywhere() } else { here(&["192.0.2.1"]) };
        let imported = many(
            &[("a.conf", &text), ("k", ": PSK \"of everybody, long enough\"\n")],
            &others,
            Some(Format::Strongswan),
            &here,
        );
        let errors = told(&imported, Level::Error);
        if words.is_empty() {
            assert_eq!(errors, [] as [&str; 0], "{what}");
            continue;
        }
        assert!(
            errors.iter().any(|text| words.iter().all(|word| text.contains(word))),
            "{what}: {words:?} not in {errors:#?}"
        );
        if !what.contains("includes") {
            assert!(imported.connections.is_empty(), "{what} is imported");
            assert!(imported.refused.iter().any(|name| name.value == "a"), "{what}");
        }
    }
}

#[test]
fn one_bad_section_does_not_take_the_good_one_with_it() {
    let text = format!("{CONN}\nconn b\n also=a\n right=YOUR_PEER\n");
    let imported =
        many(&[("a.conf", &text), ("k", ": PSK \"of everybody, long enough\"\n")], &[], None, &here(&["192.0.2.1"]));
    assert_eq!(imported.connections.iter().map(|one| one.name.value.as_str()).collect::<Vec<_>>(), ["a"]);
    assert_eq!(imported.refused.iter().map(|one| one.value.as_str()).collect::<Vec<_>>(), ["b"]);
    assert_told(&imported, Level::Error, &["a.conf:13:8", "`YOUR_PEER`"]);
}

#[test]
fn bytes_that_are_no_text_are_refused_by_line_and_column() {
    let mut bytes = CONN.as_bytes().to_vec();
    bytes.extend(b" # M\xfcnchen\n");
    let imported = import(&[Input::new("a.conf", bytes)], &mut InMemory::default(), None, &Here::default());
    assert!(imported.connections.is_empty());
    assert_told(&imported, Level::Error, &["a.conf:10:5", "0xfc is not UTF-8", "iconv"]);
}

#[test]
fn includes_that_never_end_are_cut_at_ten() {
    let mut others = Vec::new();
    let names: Vec<String> = (0..20).map(|number| format!("{number}.inc")).collect();
    let texts: Vec<String> = (0..20).map(|number| format!("include {}.inc\n", number + 1)).collect();
    for (name, text) in names.iter().zip(&texts) {
        others.push((name.as_str(), text.as_str()));
    }
    let imported = many(&[("a.conf", &format!("{CONN}include 0.inc\n"))], &others, None, &here(&["192.0.2.1"]));
    assert_told(&imported, Level::Error, &["more than 10 deep", "0.inc includes 1.inc"]);
}

#[test]
fn unknown_words_are_listed_with_what_was_meant() {
    let text = format!("{CONN} rightsubent=10.9.0.0/16\n frobnicate=yes\nthis is prose\n");
    let imported = many(
        &[("a.conf", &text), ("k", ": PSK \"of everybody, long enough\"\n")],
        &[],
        Some(Format::Strongswan),
        &here(&["192.0.2.1"]),
    );
    assert_eq!(imported.connections.len(), 1);
    assert_told(&imported, Level::Warning, &["a.conf:10:2", "`rightsubent`", "did you mean `rightsubnet`?"]);
    assert_told(&imported, Level::Warning, &["a.conf:11:2", "`frobnicate`"]);
    assert_told(&imported, Level::Warning, &["a.conf:12:1", "`this is prose` was not understood"]);
}

#[test]
fn two_sections_of_one_peer_with_different_settings_are_told_apart_by_name() {
    let text = format!(
        "{CONN}\nconn a.b\n also=a\n right=192.0.2.3\n rightsubnet=10.3.0.0/16\n\nconn 'a b'\n also=a\n right=192.0.2.4\n rightsubnet=10.4.0.0/16\n"
    );
    let imported = many(
        &[("a.conf", &text), ("k", ": PSK \"of everybody, long enough\"\n")],
        &[],
        Some(Format::Strongswan),
        &here(&["192.0.2.1"]),
    );
    let names: Vec<&str> = imported.connections.iter().map(|one| one.name.value.as_str()).collect();
    assert_eq!(names, ["a", "a.b", "a-b"]);
    read_back(&imported);
}
