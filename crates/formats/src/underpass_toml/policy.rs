//! `[policy.NAME]`: traffic that passes in clear or is dropped, before any connection is asked (RFC 4301 §4.4.1).

use super::document::Named;
use super::values::selectors;
use crate::diagnostic::Report;
use engine::desired::{Policy, PolicyAction};

pub(crate) fn read(named: Named, report: &mut Report) -> Policy {
    let mut section = named.section;
    let action = match section.take_word_or_require("action", "\"bypass\"", report) {
        Some("bypass") => PolicyAction::Bypass,
        // An unreadable action is an error anyway; until then the safe one.
        _ => PolicyAction::Discard,
    };
    let local = selectors(&mut section, "local", "[\"10.1.0.0/16\"]", report).values();
    let remote = selectors(&mut section, "remote", "[\"10.2.0.0/16\"]", report).values();
    section.finish(report);
    Policy { name: named.name.to_string(), action, local, remote }
}
