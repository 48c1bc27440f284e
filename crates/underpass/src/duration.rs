//! Durations on the command line: `500ms`, `30s`, `2m`, `1h`; a number alone is seconds.

use std::time::Duration;

/// Reads one; a day at most.
///
/// # Errors
/// What would be right.
pub fn parse(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let wrong = || format!("`{text}` is no duration; write it as in 500ms, 30s, 2m or 1h");
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let milliseconds = match unit.trim() {
        "ms" => Some(number),
        "" | "s" => number.checked_mul(1000),
        "m" | "min" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => return Err(wrong()),
    };
    let duration = milliseconds.map(Duration::from_millis).filter(|duration| *duration <= Duration::from_secs(86_400));
    duration.ok_or_else(|| format!("`{text}` is more than a day"))
}

#[cfg(test)]
mod tests {
    use super::parse;
    use std::time::Duration;

    #[test]
    fn durations_carry_their_unit() {
        for (text, seconds) in [("30s", 30), ("30", 30), ("2m", 120), ("1h", 3600), ("24h", 86_400), ("0", 0)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        for text in ["", "s", "-1s", "1.5s", "3 weeks", "25h", "99999999999999999999s", "18446744073709551615h"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
