//! What a device cannot say, and the nearest thing it can.

use std::fmt;

/// One option of the connection that the device has no words for.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Refusal {
    /// The tunnel or child concerned.
    pub place: String,
    /// The key of `underpass.toml`.
    pub option: &'static str,
    /// What the device cannot say.
    pub value: String,
    /// The device.
    pub device: &'static str,
    /// What to do instead.
    pub nearest: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal { place, option, value, device, nearest } = self;
        write!(f, "{place}: `{option}`: {device} cannot say {value}; {nearest}")
    }
}

/// Collects refusals and remarks over a whole connection.
pub(super) struct Findings {
    pub(super) device: &'static str,
    pub(super) refused: Vec<Refusal>,
    /// What both ends need not agree on, and the device does not say.
    pub(super) notes: Vec<String>,
}

impl Findings {
    pub(super) fn refuse(
        &mut self,
        place: &str,
        option: &'static str,
        value: impl Into<String>,
        nearest: impl Into<String>,
    ) {
        let (value, nearest) = (value.into(), nearest.into());
        let refusal = Refusal { place: place.to_owned(), option, value, device: self.device, nearest };
        if !self.refused.contains(&refusal) {
            self.refused.push(refusal);
        }
    }

    pub(super) fn note(&mut self, text: String) {
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }
}
