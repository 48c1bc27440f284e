//! Times as RFC 3339 §5.6 writes them, in UTC with milliseconds: `2026-11-20T17:45:27.012Z`.

/// `unix_seconds` since 1970-01-01T00:00:00Z and `millis` within the second (more than 999 count as 999). Past the year
/// 9999, which RFC 3339 cannot write, the last moment of that year is returned.
pub fn rfc3339(unix_seconds: u64, millis: u32) -> String {
    /// 9999-12-31T23:59:59Z.
    const LAST: u64 = 253_402_300_799;
    let (seconds, millis) = if unix_seconds > LAST { (LAST, 999) } else { (unix_seconds, millis.min(999)) };
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Date of a day counted from 1970-01-01, in the Gregorian calendar. Years are counted from 1 March, so that the leap day
/// is the last of its year and months have fixed offsets; 400 years have 146,097 days.
fn civil(days: u64) -> (u64, u64, u64) {
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    // Leap days before this day of the era: one in 4 years, none in 100, one in 400.
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Five months from March have 153 days, and so have the next five.
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year_of_era + carry, month, day)
}

/// Seconds since 1970 of a time as [`rfc3339`] writes it; `None` for anything else, other offsets than `Z` included.
pub fn parse_rfc3339(text: &str) -> Option<u64> {
    let digits = |range: std::ops::Range<usize>| -> Option<u64> {
        let part = text.get(range)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let (year, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
    let (hour, minute, second) = (digits(11..13)?, digits(14..16)?, digits(17..19)?);
    if year < 1970 || !(1..=12).contains(&month) || day == 0 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // The day is sought by the inverse, which is the one place that knows the calendar: a year has at most 366 days, so
    // that the guess is never past the date, and at most a month of a day per leap year short.
    let shortest = (year - 1970) * 365 + (month - 1) * 28;
    let days = (shortest..shortest + 2100).find(|days| civil(*days) == (year, month, day))?;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    // Written again, it must be the same text but for the fraction.
    let written = rfc3339(seconds, 0);
    let fraction = text.get(19..)?.strip_suffix('Z')?;
    let whole = fraction.is_empty()
        || fraction.strip_prefix('.').is_some_and(|f| !f.is_empty() && f.bytes().all(|b| b.is_ascii_digit()));
    (whole && text.get(..19) == written.get(..19)).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_nothing_else_is_read() {
        for seconds in (0..253_402_300_799_u64).step_by(86_400 * 997 + 12_345) {
            assert_eq!(parse_rfc3339(&rfc3339(seconds, 7)), Some(seconds));
        }
        assert_eq!(parse_rfc3339("2026-11-20T17:45:27Z"), Some(1_795_196_727));
        for text in [
            "",
            "2026-11-20",
            "2026-11-20 17:45:27Z",
            "2026-02-30T00:00:00Z",
            "2026-11-20T17:45:27",
            "1969-12-31T23:59:59Z",
            "2026-11-20T17:45:27+01:00",
            "2026-11-20T24:00:00Z",
            "2026-11-20T17:45:27.Z",
            "+026-11-20T17:45:27Z",
            "ü026-11-20T17:45:27Z",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn known_times_are_written_right() {
        // Computed with `date -u -d @N`.
        let table = [
            (0, 0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, 7, "2000-02-29T00:00:00.007Z"),
            (951_868_799, 999, "2000-02-29T23:59:59.999Z"),
            (951_868_800, 5000, "2000-03-01T00:00:00.999Z"),
            (1_795_196_727, 12, "2026-11-20T17:45:27.012Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799, 0, "9999-12-31T23:59:59.000Z"),
            (u64::MAX, 0, "9999-12-31T23:59:59.999Z"),
        ];
        for (seconds, millis, expected) in table {
            assert_eq!(rfc3339(seconds, millis), expected);
        }
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let leap = |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..146_097 {
            assert_eq!(civil(days), (year, month, day));
            let length = match month {
                2 if leap(year) => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }
}
