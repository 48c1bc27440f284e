//! Templates filled in. Keys never pass through them: a mark stands in a template's output until the end.

use super::device::Device;
use super::model::Export;
use super::sheet::Sheet;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior};
use zeroize::Zeroizing;

/// What stands for the key of tunnel `index`. No device's words hold these characters.
pub(super) fn key_mark(index: usize) -> String {
    format!("\u{e000}{index}\u{e001}")
}

/// Fills `template`.
pub(super) fn fill(template: &str, sheet: &Sheet) -> Result<String, String> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true);
    environment.set_syntax(syntax.build().map_err(|error| error.to_string())?);
    environment.add_filter("join", minijinja::filters::join);
    environment.add_filter("length", minijinja::filters::length);
    environment.add_filter("replace", minijinja::filters::replace);
    environment.add_filter("upper", minijinja::filters::upper);
    environment.add_function("range", minijinja::functions::range);
    environment.add_test("none", minijinja::tests::is_none);
    environment.render_str(template, Value::from(Serde(sheet))).map_err(|error| format!("{error:#}"))
}

/// Puts the keys, or words for them, in place of their marks.
pub(super) fn with_keys(text: &str, export: &Export, device: &Device, shown: bool) -> Zeroizing<String> {
    let keys: Vec<(String, Zeroizing<String>)> = export
        .tunnels
        .iter()
        .enumerate()
        .map(|(index, tunnel)| {
            let words = format!("<pre-shared key of {}>", tunnel.name);
            let key = if shown { (device.key)(tunnel.psk.expose()).ok() } else { None };
            (key_mark(index), Zeroizing::new(key.unwrap_or_else(|| (device.key)(words.as_bytes()).unwrap_or(words))))
        })
        .collect();
    // With room for all of it the text never moves, which would leave a copy of keys behind.
    let longest = keys.iter().map(|(_, key)| key.len()).max().unwrap_or(0);
    let mut out = Zeroizing::new(String::with_capacity(text.len() + longest * text.matches('\u{e000}').count()));
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\u{e000}') {
        out.push_str(before);
        let (index, after) = after.split_once('\u{e001}').unwrap_or(("", after));
        let mark = format!("\u{e000}{index}\u{e001}");
        if let Some((_, key)) = keys.iter().find(|(known, _)| *known == mark) {
            out.push_str(key);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}
