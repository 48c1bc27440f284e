//! Traffic selectors as text: what parses prints as a text that parses to the same, and set operations agree.
#![no_main]

use ipsec::{TrafficSelector, selectors};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let parsed: Vec<TrafficSelector> = text.split(',').take(4).filter_map(|part| part.parse().ok()).collect();
    for selector in &parsed {
        assert_eq!(selector.to_string().parse(), Ok(selector.clone()));
        assert!(selector.prefixes().len() <= 256, "a range is at most two prefixes per bit");
        assert!(selector.is_subset_of(selector));
    }
    for (a, b) in parsed.iter().zip(parsed.iter().skip(1)) {
        let both = a.intersection(b);
        assert_eq!(both, b.intersection(a));
        if let Some(both) = both {
            assert!(both.is_subset_of(a) && both.is_subset_of(b));
        }
        let narrowed = selectors::narrow(&parsed, std::slice::from_ref(b));
        assert!(selectors::is_subset(&narrowed, std::slice::from_ref(b)));
    }
});
