//! Random rekeys over a hostile link, a few hundred seeds; the `scenarios` program runs thousands.

use crate::support::soak::{LEAST_REKEYS, Trouble, run};
use ike::config::Version;

fn survive(version: Version, trouble: Trouble, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        match run(seed, trouble, version) {
            Ok(report) => assert!(trouble != Trouble::Link || report.fewest_rekeys >= LEAST_REKEYS, "seed {seed}"),
            Err(found) => assert_eq!(found, ""),
        }
    }
}

#[test]
fn a_link_that_loses_doubles_and_reorders_messages_never_makes_the_ends_disagree() {
    survive(Version::V2, Trouble::Link, 0..200);
}

#[test]
fn both_ends_find_each_other_again_after_partitions() {
    survive(Version::V2, Trouble::Partition, 0..50);
}

#[test]
fn a_nat_that_forgets_its_mappings_is_followed() {
    survive(Version::V2, Trouble::NatRebinding, 0..50);
}

#[test]
fn a_crash_of_either_end_is_recovered_from() {
    survive(Version::V2, Trouble::Restart, 0..50);
}

#[test]
fn in_ikev1_a_hostile_link_leaves_no_direction_unheard_for_long_and_no_sa_for_ever() {
    survive(Version::V1, Trouble::Link, 0..200);
}

#[test]
fn in_ikev1_both_ends_find_each_other_again_after_partitions() {
    survive(Version::V1, Trouble::Partition, 0..50);
}

#[test]
fn in_ikev1_a_nat_that_forgets_its_mappings_is_followed() {
    survive(Version::V1, Trouble::NatRebinding, 0..50);
}

#[test]
fn in_ikev1_a_crash_of_either_end_is_recovered_from() {
    survive(Version::V1, Trouble::Restart, 0..50);
}
