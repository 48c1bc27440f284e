//! Times with units, numbers, and yes or no, as the dialects write them.

use super::super::finding::{Findings, shown};
use super::super::place::Sourced;
use super::Dialect;

/// Longest time that `underpass.toml` takes, in seconds: one year.
const YEAR: f64 = 31_536_000.0;

/// A time in whole seconds, at least one unless it is zero.
pub(crate) fn seconds(text: &Sourced<&str>, dialect: Dialect, findings: &mut Findings) -> Option<Sourced<u64>> {
    let value = text.value.trim();
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = value.get(digits.len()..).unwrap_or_default();
    let factor = match unit {
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        "w" if dialect != Dialect::Strongswan => 604_800.0,
        "w" => {
            findings.warning(
                &text.at,
                format!("strongSwan has no weeks: `{}` is read as weeks all the same", shown(value)),
                "",
            );
            604_800.0
        }
        "ms" => 0.001,
        "us" => 0.000_001,
        _ => return refuse(text, findings),
    };
    let plain = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let Some(number) = digits.parse::<f64>().ok().filter(|_| plain && !digits.is_empty()) else {
        return refuse(text, findings);
    };
    let time = number * factor;
    if time > YEAR {
        let message = format!("`{}` is longer than a year: a year is taken", shown(value));
        findings.warning(&text.at, message, "");
        return Some(text.with(31_536_000));
    }
    let whole = time.ceil();
    if (whole - time).abs() > 1e-9 {
        findings.warning(&text.at, format!("`{}` is rounded up to {whole} s", shown(value)), "");
    }
    // Between 0 and a year: the conversion is exact.
    Some(text.with(whole as u64))
}

fn refuse(text: &Sourced<&str>, findings: &mut Findings) -> Option<Sourced<u64>> {
    let message = format!("`{}` is no time", shown(text.value));
    findings.error(&text.at, message, "write a number with s, m, h or d, as in `8h`");
    None
}

/// A whole number.
pub(super) fn number(text: &Sourced<&str>, findings: &mut Findings) -> Option<Sourced<u64>> {
    match text.value.trim().parse::<u64>() {
        Ok(number) => Some(text.with(number)),
        Err(_) => {
            findings.error(&text.at, format!("`{}` is no whole number", shown(text.value)), "");
            None
        }
    }
}

/// Yes or no.
pub(super) fn boolean(text: &Sourced<&str>, dialect: Dialect, findings: &mut Findings) -> Option<Sourced<bool>> {
    let folded = text.value.to_ascii_lowercase();
    let (value, plain) = match folded.as_str() {
        "yes" => (true, true),
        "no" => (false, true),
        "y" | "true" | "on" | "1" => (true, false),
        "n" | "false" | "off" | "0" => (false, false),
        _ => {
            findings.error(&text.at, format!("`{}` is neither yes nor no", shown(text.value)), "write `yes` or `no`");
            return None;
        }
    };
    if !plain && dialect == Dialect::Strongswan {
        let message = format!(
            "strongSwan knows `yes` and `no` alone: `{}` is read as `{}`",
            shown(text.value),
            if value { "yes" } else { "no" }
        );
        findings.warning(&text.at, message, "");
    }
    Some(text.with(value))
}

#[cfg(test)]
mod tests {
    use super::super::super::place::Spot;
    use super::*;

    #[test]
    fn times_have_the_units_of_their_dialect() {
        let at = Spot { file: "f".into(), line: 1, column: 1 };
        // (text, seconds, findings)
        let table = [
            ("8h", Some(28_800), 0),
            ("3600", Some(3600), 0),
            ("28800s", Some(28_800), 0),
            ("60m", Some(3600), 0),
            ("1d", Some(86_400), 0),
            ("0", Some(0), 0),
            ("1.5h", Some(5400), 0),
            ("500ms", Some(1), 1),
            ("100w", Some(31_536_000), 2),
            ("8 h", None, 1),
            ("h", None, 1),
            ("-3s", None, 1),
            ("8x", None, 1),
            ("", None, 1),
            ("1e9", None, 1),
        ];
        for (text, expected, told) in table {
            let mut findings = Findings::default();
            let read = seconds(&Sourced::new(text, &at), Dialect::Strongswan, &mut findings);
            assert_eq!(read.map(|read| read.value), expected, "{text}");
            assert_eq!(findings.into_list().len(), told, "{text}");
        }
    }
}
