//! The attributes of transforms, by class (RFC 2409 appendix A, RFC 2407 §4.5): what they say, in whatever order and form.

use std::time::Duration;

use crate::config::Lifetime;
use crate::v1::wire::{Attribute, Transform, parse_attributes};

/// Life types (RFC 2409 appendix A, RFC 2407 §4.5).
const SECONDS: u64 = 1;
const KILOBYTES: u64 = 2;

/// Durations in seconds above this (136 years) are taken as this, so that they can be added to any point in time.
const LONGEST: u64 = u32::MAX as u64;
/// Kilobytes above this are taken as this, so that they can be told in octets.
const MOST: u64 = u64::MAX / 1024;

/// The numbers of life type and life duration: they differ between the phases.
#[derive(Clone, Copy)]
pub(super) struct LifeAttributes {
    ty: u16,
    duration: u16,
}

/// Of phase 1 (RFC 2409 appendix A).
pub(super) const LIFE_OF_PHASE_1: LifeAttributes = LifeAttributes { ty: 11, duration: 12 };
/// Of phase 2 (RFC 2407 §4.5).
pub(super) const LIFE_OF_PHASE_2: LifeAttributes = LifeAttributes { ty: 1, duration: 2 };

/// How long an SA may be used; none where nothing, or zero, is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Lifetimes {
    pub(super) time: Option<Duration>,
    /// In units of 1024 octets.
    pub(super) kilobytes: Option<u64>,
}

impl LifeAttributes {
    /// Seconds and, where octets are limited, kilobytes.
    pub(super) fn of(self, lifetime: &Lifetime) -> Vec<Attribute> {
        let kilobytes = lifetime.bytes.map(|bytes| (bytes / 1024).max(1));
        let pair = |ty: u64, amount: u64| {
            // Four octets at most: there are peers that read no more.
            [Attribute::number(self.ty, ty), Attribute::number(self.duration, amount.min(u32::MAX.into()))]
        };
        let time = lifetime.time.map(|time| pair(SECONDS, time.as_secs().max(1)));
        time.into_iter().chain(kilobytes.map(|kilobytes| pair(KILOBYTES, kilobytes))).flatten().collect()
    }
}

/// Pairs life types with life durations as they come by.
pub(super) struct LifeReader {
    numbers: LifeAttributes,
    /// A type whose duration has not come yet.
    ty: Option<u64>,
    /// A duration that no type came before, against the rule.
    duration: Option<u64>,
    lifetimes: Lifetimes,
}

impl LifeReader {
    pub(super) fn new(numbers: LifeAttributes) -> Self {
        LifeReader { numbers, ty: None, duration: None, lifetimes: Lifetimes::default() }
    }

    /// Whether the attribute was one about the lifetime.
    pub(super) fn take(&mut self, attribute: &Attribute) -> bool {
        let number = attribute.value.as_u64();
        if attribute.ty == self.numbers.ty {
            self.ty = number;
        } else if attribute.ty == self.numbers.duration {
            // More than eight octets is longer than anything we could mean by it.
            let duration = Some(number.unwrap_or(u64::MAX));
            match self.ty.take() {
                Some(ty) => self.set(ty, duration),
                None => self.duration = duration,
            }
        } else {
            return false;
        }
        true
    }

    /// Of two lifetimes of one type the shorter counts. Types unknown to us are left out.
    fn set(&mut self, ty: u64, duration: Option<u64>) {
        let duration = duration.filter(|duration| *duration != 0);
        let lifetimes = &mut self.lifetimes;
        match ty {
            SECONDS => {
                let time = duration.map(|seconds| Duration::from_secs(seconds.min(LONGEST)));
                lifetimes.time = lifetimes.time.into_iter().chain(time).min();
            }
            KILOBYTES => {
                let kilobytes = duration.map(|kilobytes| kilobytes.min(MOST));
                lifetimes.kilobytes = lifetimes.kilobytes.into_iter().chain(kilobytes).min();
            }
            _ => {}
        }
    }

    pub(super) fn finish(mut self) -> Lifetimes {
        if let Some(duration) = self.duration.take() {
            // Without a type it is in seconds, as everybody means it.
            let ty = self.ty.take().unwrap_or(SECONDS);
            self.set(ty, Some(duration));
        }
        self.lifetimes
    }
}

/// The attributes of one transform of phase 1 or 2, by what they are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Said {
    /// Encryption algorithm of phase 1; the transform's own number in phase 2.
    pub(super) encryption: Option<u64>,
    pub(super) key_bits: Option<u64>,
    /// Hash of phase 1, authentication algorithm of phase 2.
    pub(super) integrity: Option<u64>,
    pub(super) group: Option<u64>,
    /// Authentication method, in phase 1.
    pub(super) authentication: Option<u64>,
    /// Encapsulation mode, in phase 2.
    pub(super) mode: Option<u64>,
    /// Extended sequence numbers are wanted (RFC 4304), in phase 2.
    pub(super) esn: bool,
    /// An attribute unknown to us, or one twice: the transform cannot be used.
    pub(super) unusable: bool,
    pub(super) lifetimes: Lifetimes,
}

/// What the attribute types of a phase mean, beside the lifetime's.
pub(super) enum Meaning {
    Encryption,
    KeyBits,
    Integrity,
    Group,
    Authentication,
    Mode,
    Esn,
    /// Says nothing that changes anything.
    Redundant,
    Unknown,
}

impl Said {
    pub(super) fn by(transform: &Transform, life: LifeAttributes, meaning: impl Fn(&Attribute) -> Meaning) -> Said {
        let mut said = Said::default();
        let mut reader = LifeReader::new(life);
        for attribute in &transform.attributes {
            if reader.take(attribute) {
                continue;
            }
            let place = match meaning(attribute) {
                Meaning::Encryption => &mut said.encryption,
                Meaning::KeyBits => &mut said.key_bits,
                Meaning::Integrity => &mut said.integrity,
                Meaning::Group => &mut said.group,
                Meaning::Authentication => &mut said.authentication,
                Meaning::Mode => &mut said.mode,
                Meaning::Esn => {
                    said.esn = true;
                    continue;
                }
                Meaning::Redundant => continue,
                Meaning::Unknown => {
                    said.unusable = true;
                    continue;
                }
            };
            // A number that long is none of ours; it must not pass for an attribute that is absent.
            let number = attribute.value.as_u64().unwrap_or(u64::MAX);
            let twice = place.is_some();
            place.get_or_insert(number);
            said.unusable |= twice;
        }
        said.lifetimes = reader.finish();
        said
    }

    /// Everything but the lifetimes, in which an answer may differ.
    pub(super) fn is_same(&self, other: &Said) -> bool {
        Said { lifetimes: Lifetimes::default(), ..*self } == Said { lifetimes: Lifetimes::default(), ..*other }
    }
}

/// The lifetimes in the data of a RESPONDER-LIFETIME notification (RFC 2407 §4.6.3.1), whichever phase it is about: about an
/// ISAKMP SA, the RFC does not say whose numbers they are.
pub(crate) fn lifetimes_in(data: &[u8]) -> (Option<Duration>, Option<u64>) {
    let attributes = parse_attributes(data).unwrap_or_default();
    let read = |numbers: LifeAttributes| {
        let mut reader = LifeReader::new(numbers);
        for attribute in &attributes {
            reader.take(attribute);
        }
        reader.finish()
    };
    let (phase2, phase1) = (read(LIFE_OF_PHASE_2), read(LIFE_OF_PHASE_1));
    (phase2.time.or(phase1.time), phase2.kilobytes.or(phase1.kilobytes))
}

/// The attribute types of a mode config payload's body.
pub(crate) fn attribute_types(body: &[u8]) -> impl Iterator<Item = u16> {
    // Message type, reserved and identifier come first.
    let attributes = body.get(4..).and_then(|rest| parse_attributes(rest).ok()).unwrap_or_default();
    attributes.into_iter().map(|attribute| attribute.ty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_responders_lifetime_is_read_by_the_numbers_of_either_phase() {
        let (hour, gigabyte) = (Some(Duration::from_secs(3600)), Some(1 << 20));
        let table: [(&[u8], _, _); 7] = [
            (b"\x80\x01\x00\x01\x80\x02\x0e\x10", hour, None),
            (b"\x80\x0b\x00\x01\x80\x0c\x0e\x10", hour, None),
            (b"\x80\x01\x00\x01\x00\x02\x00\x04\x00\x00\x0e\x10", hour, None),
            (b"\x80\x01\x00\x02\x00\x02\x00\x04\x00\x10\x00\x00\x80\x01\x00\x01\x80\x02\x0e\x10", hour, gigabyte),
            (b"\x80\x01\x00\x01\x80\x02\x0e", None, None),
            (b"\x80\x01\x00\x01\x80\x02\x00\x00", None, None),
            (b"", None, None),
        ];
        for (data, time, kilobytes) in table {
            assert_eq!(lifetimes_in(data), (time, kilobytes), "{data:x?}");
        }
    }

    #[test]
    fn the_types_in_a_mode_config_payload_are_listed() {
        let body = b"\x01\x00\x00\x07\x00\x01\x00\x00\xc0\x88\x00\x00";
        assert_eq!(attribute_types(body).collect::<Vec<_>>(), [1, 0x4088]);
        assert_eq!(attribute_types(&body[..3]).count(), 0);
    }
}
