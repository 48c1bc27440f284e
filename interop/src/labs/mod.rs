//! All labs, one topic a file.

mod sanity;
mod setup;

use crate::registry::Lab;

/// Every lab, in the order they are run.
#[must_use]
pub fn labs() -> Vec<Lab> {
    [sanity::LABS].concat()
}
