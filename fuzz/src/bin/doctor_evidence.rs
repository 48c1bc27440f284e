//! Whatever stands in a file of evidence, there is an error or a report: bounded, harmless to a terminal, the same after the
//! evidence was written and read again.
#![no_main]

use doctor::page::{Style, of_report};
use doctor::{Evidence, diagnose};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let evidence = match Evidence::from_json(text) {
        Ok(evidence) => evidence,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let report = diagnose(&evidence, None);
    let again = Evidence::from_json(&evidence.to_json()).expect("what was written can be read");
    assert_eq!(diagnose(&again, None), report);
    for finding in &report.findings {
        assert!(finding.evidence.len() <= 8 && !finding.fix.is_empty());
        assert!(finding.evidence.iter().all(|line| line.chars().count() <= 401));
    }
    assert!(!of_report(&report, Style { colour: false }).contains('\u{1b}'));
    for tunnel in &report.tunnels {
        let alone = diagnose(&evidence, Some(&tunnel.tunnel));
        assert!(alone.tunnels.len() <= report.tunnels.len());
    }
});
