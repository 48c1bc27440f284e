//! Counts of tests, and reading them from what the runners print.

use std::fmt;
use std::ops::AddAssign;

/// Tests that passed, failed, or were skipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ran and held.
    pub passed: usize,
    /// Ran and did not hold.
    pub failed: usize,
    /// Did not run.
    pub skipped: usize,
}

impl Counts {
    /// One test that passed.
    pub const ONE: Counts = Counts { passed: 1, failed: 0, skipped: 0 };

    /// A line of cargo's test runner (`test result: ok. 3 passed; 0 failed; 1 ignored; …`), or our own runners' last line
    /// (`3 passed, 0 failed, 1 skipped`); `None` for every other line.
    pub fn read(line: &str) -> Option<Counts> {
        let line = line.trim();
        if let Some(result) = line.strip_prefix("test result: ") {
            let (_, numbers) = result.split_once(". ")?;
            return Counts::numbers(numbers.split(';'));
        }
        let parts: Vec<&str> = line.split(", ").collect();
        if parts.len() == 3 { Counts::numbers(parts.into_iter()) } else { None }
    }

    fn numbers<'a>(parts: impl Iterator<Item = &'a str>) -> Option<Counts> {
        let mut counts = Counts::default();
        let mut seen = 0;
        for part in parts {
            let Some((number, word)) = part.trim().split_once(' ') else {
                continue;
            };
            let slot = match word {
                "passed" => &mut counts.passed,
                "failed" => &mut counts.failed,
                "ignored" | "skipped" => &mut counts.skipped,
                _ => continue,
            };
            *slot = number.parse().ok()?;
            seen += 1;
        }
        (seen == 3).then_some(counts)
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_result_lines_are_read_and_nothing_else() {
        let cases = [
            (
                "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.00s",
                Some((3, 0, 1)),
            ),
            ("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out", Some((3, 2, 0))),
            ("12 passed, 1 failed, 4 skipped", Some((12, 1, 4))),
            ("test a::b ... ok", None),
            ("lab x ok, 3 passed, 4", None),
            ("many passed, 1 failed, 4 skipped", None),
            ("", None),
        ];
        for (line, expected) in cases {
            let expected = expected.map(|(passed, failed, skipped)| Counts { passed, failed, skipped });
            assert_eq!(Counts::read(line), expected, "{line}");
        }
    }

    #[test]
    fn our_own_last_line_can_be_read_back() {
        let counts = Counts { passed: 5, failed: 6, skipped: 7 };
        assert_eq!(Counts::read(&counts.to_string()), Some(counts));
    }
}
