//! Whatever stands in a log, it is explained or called unknown: every quoted line exists, is bounded and harmless, and no
//! key that is marked as one is repeated.
#![no_main]

use doctor::explain::explain;
use doctor::page::Style;
use libfuzzer_sys::fuzz_target;

/// Stands for every secret of the seeds.
const KEY: &str = "correct-horse-battery";

fuzz_target!(|log: &str| {
    let explained = explain(log);
    assert_eq!(explained.lines, log.lines().count());
    for recognised in &explained.recognised {
        assert!(recognised.line >= 1 && recognised.line <= explained.lines);
        assert!(recognised.quote.chars().count() <= 500);
    }
    let text = explained.to_text(Style { colour: false });
    assert!(!text.contains('\u{1b}') && text.len() < 200_000);
    let marked = log.lines().filter(|line| line.contains(KEY)).all(|line| line.contains(&format!("psk={KEY}")));
    let once = log.lines().all(|line| line.matches(KEY).count() < 2);
    assert!(!marked || !once || !text.contains(KEY), "a key is quoted: {text}");
});
