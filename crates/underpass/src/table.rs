//! Aligned columns, sizes and ages for people, and colour where it is welcome.

use std::io::IsTerminal;

/// Whether standard output takes colour: a terminal, and nobody said `NO_COLOR` (no-color.org).
pub fn colour_welcome() -> bool {
    let asked_not_to = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && !asked_not_to && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// One cell: what is shown, and in which colour.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cell {
    /// Text.
    pub text: String,
    /// SGR colour number (32 green, 33 yellow, 31 red, 90 grey); `None` leaves the terminal's.
    pub colour: Option<u8>,
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell { text, colour: None }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        text.to_owned().into()
    }
}

/// Lines of `rows` with columns as wide as their widest cell, two blanks between, nothing behind the last.
pub fn align(rows: &[Vec<Cell>], colour: bool) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut lines = Vec::new();
    for row in rows {
        let mut line = String::new();
        for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let last = row.iter().skip(index + 1).all(|cell| cell.text.is_empty());
            let shown = match cell.colour.filter(|_| colour && !cell.text.is_empty()) {
                Some(number) => format!("\u{1b}[{number}m{}\u{1b}[0m", cell.text),
                None => cell.text.clone(),
            };
            line.push_str(&shown);
            if last {
                break;
            }
            line.extend(std::iter::repeat_n(' ', width - cell.text.chars().count() + 2));
        }
        lines.push(line);
    }
    lines
}

/// Bytes in the largest unit that leaves at least one: `512 B`, `1.5 KiB`, `23.1 GiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    // Tenths, so that no float is needed.
    let mut tenths = u128::from(count) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// A duration in its two largest units: `41 s`, `2 h 13 min`, `5 d 3 h`.
pub fn age(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_whatever_the_colour() {
        let green = |text: &str| Cell { text: text.into(), colour: Some(32) };
        let rows = [vec!["NAME".into(), "STATE".into(), "x".into()], vec!["ü".into(), green("up"), "".into()]];
        assert_eq!(align(&rows, false), ["NAME  STATE  x", "ü     up"]);
        assert_eq!(align(&rows, true)[1], "ü     \u{1b}[32mup\u{1b}[0m");
        assert_eq!(align(&[], true), Vec::<String>::new());
    }

    #[test]
    fn sizes_and_ages_are_short_and_right() {
        for (count, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1 << 30, "1.0 GiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(bytes(count), expected);
        }
        for (seconds, expected) in [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7999, "2 h 13 min"), (442_800, "5 d 3 h")]
        {
            assert_eq!(age(seconds), expected);
        }
    }
}
