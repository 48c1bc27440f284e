//! Exporting connections, and asking what came of it.
#![allow(clippy::unwrap_used, clippy::panic)] // a helper of a test may fail the test

use formats::SourceFile;
use formats::export::{Document, Export, Keys, Refusal, Side, Target, export};
use formats::underpass_toml::{Loaded, parse};

/// Two tunnels to a cloud.
pub const TWO: &str = include_str!("../../../../examples/two-tunnels.toml");
/// One tunnel between two sites.
pub const ONE: &str = "\
[connection.site-b]
local_address = \"192.0.2.1\"
remote_address = \"198.51.100.7\"
ike_proposals = [\"aes256-sha256-modp2048\"]
ike_lifetime_seconds = 14400
dpd_interval_seconds = 15
dpd_timeout_seconds = 45
[connection.site-b.child.net]
local_subnets = [\"10.1.0.0/16\"]
remote_subnets = [\"10.2.0.0/16\"]
esp_proposals = [\"aes256-sha256-modp2048\"]
lifetime_seconds = 1800
";
const SECRETS: &str = "\
[psk]
site-b = \"Abcdefgh1234567890_site.b\"
cloud-1 = \"Key.of_the_first_tunnel1\"
cloud-2 = \"Key.of_the_second_tunnel2\"
";

pub fn load(config: &str) -> Loaded {
    let loaded = parse(&[SourceFile::new("u.toml", config)], &[SourceFile::new("secrets.toml", SECRETS)]);
    loaded.unwrap_or_else(|found| panic!("{}", found.iter().map(ToString::to_string).collect::<String>()))
}

pub fn model(config: &str, name: &str, side: Side) -> Export {
    Export::of(&load(config), name, side).unwrap_or_else(|| panic!("no connection {name}"))
}

pub fn written(config: &str, name: &str, target: Target, keys: Keys) -> Document {
    export(&model(config, name, Side::There), target, keys).unwrap_or_else(|refused| panic!("{refused:#?}"))
}

pub fn text(config: &str, name: &str, target: Target) -> String {
    written(config, name, target, Keys::Hidden).text.to_string()
}

pub fn refused(config: &str, name: &str, target: Target) -> Vec<String> {
    let refused: Vec<Refusal> = match export(&model(config, name, Side::There), target, Keys::Hidden) {
        Ok(document) => panic!("written all the same:\n{}", *document.text),
        Err(refused) => refused,
    };
    refused.iter().map(ToString::to_string).collect()
}

/// Asserts that each of the lines stands in the text, blanks around it aside, in this order.
pub fn assert_lines(text: &str, expected: &[&str]) {
    let mut lines = text.lines().map(str::trim);
    for wanted in expected {
        assert!(lines.any(|line| line == *wanted), "no line {wanted:?} (in this order) in:\n{text}");
    }
}
