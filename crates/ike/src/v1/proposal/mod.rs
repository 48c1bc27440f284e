//! Algorithms in IKEv1: what a configuration means there, and what two ends agree on (RFC 2409 appendix A, RFC 2407 §4.4,
//! §4.5).
//!
//! A transform is one complete choice, so a proposal's lists become all their combinations, in order of preference. Ours
//! decides, as responder too; the answer repeats the chosen transform unchanged, numbers included (RFC 2408 §4.2).

mod phase1;
mod phase2;

pub use phase1::{Phase1Choice, Phase1Error, accept_phase1, phase1_offer, select_phase1};
pub use phase2::{Phase2Choice, Phase2Error, accept_phase2, phase2_offer, select_phase2};

use super::wire::{Attribute, Transform, parse_attributes};
use std::time::Duration;

/// Life type "seconds", in both phases.
const SECONDS: u64 = 1;
/// Life type "kilobytes", in both phases.
const KILOBYTES: u64 = 2;
/// Transforms in one offer: their count is one octet.
const MAX_TRANSFORMS: usize = 255;

/// The lifetimes among attributes: each type is followed by its duration, in any order, in either encoding. `types` are
/// the numbers of "life type" and "life duration".
fn lifetimes(attributes: &[Attribute], types: (u16, u16)) -> (Option<Duration>, Option<u64>) {
    let (mut seconds, mut kilobytes, mut ty) = (None, None, None);
    for attribute in attributes {
        if attribute.ty == types.0 {
            ty = attribute.value.as_u64();
        } else if attribute.ty == types.1 {
            let value = attribute.value.as_u64().filter(|value| *value > 0);
            match ty.take() {
                // A duration without its type is in seconds, as everybody means it.
                Some(SECONDS) | None => {
                    seconds = value.map(|value| Duration::from_secs(value.min(u64::from(u32::MAX))))
                }
                Some(KILOBYTES) => kilobytes = value,
                Some(_) => {}
            }
        }
    }
    (seconds, kilobytes)
}

/// The lifetimes in the data of a RESPONDER-LIFETIME notification, whichever phase it is about.
pub(crate) fn lifetimes_in(data: &[u8]) -> (Option<Duration>, Option<u64>) {
    let Ok(attributes) = parse_attributes(data) else { return (None, None) };
    let (seconds, kilobytes) = lifetimes(&attributes, phase2::LIFE);
    let (other_seconds, other_kilobytes) = lifetimes(&attributes, phase1::LIFE);
    (seconds.or(other_seconds), kilobytes.or(other_kilobytes))
}

/// The attribute types of a mode config payload's body.
pub(crate) fn attribute_types(body: &[u8]) -> impl Iterator<Item = u16> {
    // Message type, reserved and identifier come first.
    let attributes = body.get(4..).and_then(|rest| parse_attributes(rest).ok()).unwrap_or_default();
    attributes.into_iter().map(|attribute| attribute.ty)
}

/// An attribute that must be a small number: `None` if there is none, `Some(None)` if it is no such number.
fn small(transform: &Transform, ty: u16) -> Option<u64> {
    transform.attribute(ty)
}
