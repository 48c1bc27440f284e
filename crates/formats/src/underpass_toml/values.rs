//! Readers of values that several tables hold: addresses, selectors, lifetimes.

use super::section::{Section, shown};
use crate::diagnostic::{Report, code};
use crate::source::{At, Place};
use ike::config::Lifetime;
use ipsec::TrafficSelector;
use std::net::IpAddr;
use std::time::Duration;

/// Selectors on one side at most: the traffic selector payload counts them in one octet (RFC 7296 §3.13).
const MOST_SELECTORS: usize = 255;

/// An address that a host can have.
pub(crate) fn address(text: At<&str>, name: &str, report: &mut Report) -> Option<IpAddr> {
    let place = text.place;
    let Ok(address) = text.value.trim().parse::<IpAddr>() else {
        let message = format!("`{name}`: `{}` is not an IP address", shown(text.value));
        report.error(code::INVALID, place, message, Some("write it as in `192.0.2.1` or `2001:db8::1`".into()));
        return None;
    };
    host_address(address, place, name, report)
}

/// Refuses addresses that no single host has.
pub(crate) fn host_address(address: IpAddr, place: Place, name: &str, report: &mut Report) -> Option<IpAddr> {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    if address.is_unspecified() || address.is_multicast() || broadcast {
        let message = format!("`{name}`: {address} is not the address of a host");
        let help = match name {
            "listen" => "leave `listen` out to receive on every address",
            "remote_address" => "write `any` to accept a peer from any address",
            _ => "leave it out to let the route choose",
        };
        report.error(code::INVALID, place, message, Some(help.into()));
        return None;
    }
    Some(address)
}

/// The selectors of a key. Empty when there is an error, which is reported.
pub(crate) struct Selectors {
    pub(crate) list: Vec<At<TrafficSelector>>,
    /// Where the first stands.
    pub(crate) place: Place,
}

impl Selectors {
    /// The selectors without their places.
    pub(crate) fn values(self) -> Vec<TrafficSelector> {
        self.list.into_iter().map(|at| at.value).collect()
    }
}

/// Reads the selectors of a key.
pub(crate) fn selectors(section: &mut Section, name: &'static str, example: &str, report: &mut Report) -> Selectors {
    let mut found: Vec<At<TrafficSelector>> = Vec::new();
    let Some(texts) = section.take_texts_or_require(name, example, report) else {
        return Selectors { list: found, place: section.place };
    };
    let place = texts.first().map_or(section.place, |text| text.place);
    for text in &texts {
        match text.value.parse::<TrafficSelector>() {
            Ok(selector) if found.iter().any(|at| at.value == selector) => {
                let message = format!("`{name}`: {selector} is listed twice");
                report.warning(code::CONFLICT, text.place, message, Some("leave one out".into()));
            }
            Ok(value) => found.push(At { value, place: text.place }),
            Err(error) => report.error(code::INVALID, text.place, format!("`{name}`: {}", shown_long(&error)), None),
        }
    }
    if found.len() > MOST_SELECTORS {
        let message = format!("`{name}` has {} selectors; IKE can say {MOST_SELECTORS}", found.len());
        report.error(
            code::INVALID,
            place,
            message,
            Some("merge neighbouring prefixes, or use several children".into()),
        );
    }
    Selectors { list: found, place }
}

/// A prefix for a route.
pub(crate) fn prefix(text: At<&str>, name: &str, report: &mut Report) -> Option<(IpAddr, u8)> {
    let parsed = text.value.parse::<TrafficSelector>();
    let message = match parsed {
        Ok(selector) => match selector.as_prefix() {
            Some(prefix) if selector.protocol == 0 && !text.value.contains('[') => {
                return Some(prefix);
            }
            _ => format!("`{name}`: {selector} is not a prefix: routes go by address alone"),
        },
        Err(error) => format!("`{name}`: {}", shown_long(&error)),
    };
    report.error(code::INVALID, text.place, message, Some("write it as in `10.1.0.0/16`".into()));
    None
}

/// An error's text, without control characters and of bounded length.
pub(crate) fn shown_long(error: &impl std::fmt::Display) -> String {
    const LONGEST: usize = 300;
    error.to_string().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(LONGEST).collect()
}

/// What is written about rekeying, each optional.
#[derive(Clone, Copy, Default)]
pub(crate) struct Rekeying {
    pub(crate) margin: Option<At<u64>>,
    pub(crate) fuzz: Option<At<u64>>,
}

impl Rekeying {
    pub(crate) fn read(section: &mut Section, report: &mut Report) -> Rekeying {
        Rekeying {
            margin: section.integer("rekey_margin_seconds", report),
            fuzz: section.integer("rekey_fuzz_percent", report),
        }
    }

    /// What is written here, else what is written there.
    pub(crate) fn or(self, other: Rekeying) -> Rekeying {
        Rekeying { margin: self.margin.or(other.margin), fuzz: self.fuzz.or(other.fuzz) }
    }

    /// The lifetime by time. The rekey must have a moment to start at: `margin * (1 + fuzz)` is less than the lifetime.
    pub(crate) fn lifetime(self, seconds: Option<At<u64>>, default: u64, what: &str, report: &mut Report) -> Lifetime {
        let time = seconds.map_or(default, |at| at.value);
        let fuzz = self.fuzz.map_or(DEFAULT_FUZZ, |at| at.value);
        let margin = match self.margin {
            Some(at) => Duration::from_secs(at.value),
            None => Duration::from_secs(DEFAULT_MARGIN).min(Duration::from_secs(time) / 10),
        };
        let longest = margin.as_millis() * u128::from(100 + fuzz) / 100;
        if time > 0 && longest >= u128::from(time) * 1000 {
            let place = self.margin.or(self.fuzz).or(seconds).map(|at| at.place);
            let message = format!(
                "the rekey of {what} may start {} s before the end of a lifetime of {time} s \
                 (rekey_margin_seconds = {}, rekey_fuzz_percent = {fuzz})",
                longest / 1000,
                margin.as_secs()
            );
            let most = (time - 1) * 100 / (100 + fuzz);
            let help = format!("margin * (1 + fuzz) must be less than the lifetime: a margin of at most {most}");
            if let Some(place) = place {
                report.error(code::CONFLICT, place, message, Some(help));
            }
        }
        let time = (time > 0).then(|| Duration::from_secs(time));
        Lifetime { time, margin, fuzz_percent: u8::try_from(fuzz).unwrap_or(u8::MAX), bytes: None, packets: None }
    }
}

/// Margin in seconds unless the file says otherwise: a negotiation with all its retransmissions fits four times.
const DEFAULT_MARGIN: u64 = 270;
const DEFAULT_FUZZ: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SourceFile;

    fn at(value: u64) -> Option<At<u64>> {
        Some(At { value, place: Place::new(0, 0..1) })
    }

    #[test]
    fn a_rekey_always_starts_within_the_lifetime_or_is_refused() {
        let files = [SourceFile::new("u.toml", "x")];
        // (lifetime, margin, fuzz, sound)
        let table = [
            (None, None, None, true),
            (at(4), None, at(255), true),
            (at(540), at(270), at(100), false),
            (at(541), at(270), at(100), true),
            (at(270), at(270), at(0), false),
            (at(271), at(270), at(0), true),
            (at(0), at(31_536_000), at(255), true),
            (at(28_800), at(31_536_000), None, false),
        ];
        for (time, margin, fuzz, sound) in table {
            let mut report = Report::new(&files, &[]);
            let lifetime = Rekeying { margin, fuzz }.lifetime(time, 3600, "it", &mut report);
            assert_eq!(!report.has_errors(), sound, "{time:?} {margin:?} {fuzz:?}");
            if let (true, Some(time)) = (sound, lifetime.time) {
                assert!(lifetime.margin * (100 + u32::from(lifetime.fuzz_percent)) / 100 < time);
            }
        }
    }
}
