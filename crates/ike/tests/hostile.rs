//! Random rekeys over a hostile link, a few hundred seeds; the `scenarios` program runs thousands.

mod support;

use support::soak::{LEAST_REKEYS, Trouble, run};

fn survive(trouble: Trouble, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        match run(seed, trouble) {
            Ok(report) => assert!(trouble != Trouble::Link || report.fewest_rekeys >= LEAST_REKEYS, "seed {seed}"),
            Err(found) => assert_eq!(found, ""),
        }
    }
}

#[test]
fn a_link_that_loses_doubles_and_reorders_messages_never_makes_the_ends_disagree() {
    survive(Trouble::Link, 0..200);
}

#[test]
fn both_ends_find_each_other_again_after_partitions() {
    survive(Trouble::Partition, 0..50);
}

#[test]
fn a_nat_that_forgets_its_mappings_is_followed() {
    survive(Trouble::NatRebinding, 0..50);
}

#[test]
fn a_crash_of_either_end_is_recovered_from() {
    survive(Trouble::Restart, 0..50);
}
