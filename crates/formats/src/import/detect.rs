//! What a file is, by what stands in it.

use super::aws;
use super::finding::Findings;
use super::input::Text;
use super::ipsec_conf;
use super::model::Format;
use super::place::Spot;
use super::swanctl;
use super::vyos;

/// The format of a text, or an error that lists those there are. The dialect of an `ipsec.conf` is found later, over all files.
pub(crate) fn detect(text: &Text, forced: Option<Format>, findings: &mut Findings) -> Option<Format> {
    // A file of secrets goes with whatever dialect is named.
    let secrets = || ipsec_conf::looks_like_secrets(&text.text).then_some(Format::Secrets);
    let format = match forced {
        Some(Format::Openswan | Format::Libreswan | Format::Strongswan) => secrets().or(forced),
        Some(_) => forced,
        None => secrets().filter(|_| text.file.ends_with(".secrets")).or_else(|| guess(text)).or_else(secrets),
    };
    if format.is_none() {
        let words: Vec<&str> = Format::NAMED.iter().map(|format| format.word()).collect();
        let at = Spot::start(&text.file);
        let help = format!("say what it is with `--format`: {}", words.join(", "));
        findings.error(&at, "this is no configuration that Underpass knows", help);
    }
    format
}

fn guess(text: &Text) -> Option<Format> {
    let body = text.text.trim_start();
    if body.starts_with('<') && (body.contains("<vpn_connection") || body.starts_with("<?xml")) {
        return Some(Format::AwsXml);
    }
    if body.starts_with(['{', '[']) && (body.contains("\"VpnConnection") || body.contains("\"TunnelOptions\"")) {
        return Some(Format::AwsJson);
    }
    if aws::looks_like_text(&text.text) {
        return Some(Format::AwsText);
    }
    if swanctl::looks_like(&text.text) {
        return Some(Format::Swanctl);
    }
    if vyos::looks_like(&text.text) {
        return Some(Format::Vyos);
    }
    if ipsec_conf::looks_like(&text.text) {
        return Some(Format::Strongswan);
    }
    // With nothing but comments and includes in it, a file is what it is called.
    let bare = text.text.lines().map(str::trim).all(|line| {
        line.is_empty()
            || line.starts_with('#')
            || line.starts_with("include ")
            || line.starts_with("version ")
            || line.starts_with('~')
    });
    if bare && text.file.ends_with(".secrets") {
        return Some(Format::Secrets);
    }
    if bare && text.file.ends_with(".conf") && text.text.lines().any(|line| line.trim_start().starts_with("include ")) {
        return Some(Format::Strongswan);
    }
    None
}
