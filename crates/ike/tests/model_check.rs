//! Two endpoints and an attacker who holds every datagram: every order of twelve steps and more, in both versions of IKE.
//! How it is explored is in `support/model`; what must hold, in `support/model/oracle.rs`.
//!
//! That the checker finds what it looks for is shown in two ways. The endpoint that ships is given an attacker who stole the
//! key: then what must not be can be reached, by code without a change, and only because the oracle compares with what the
//! other end really did is it found. And endpoints with a flaw of a known class stand in for the real one; the flaw is put
//! around the real endpoint, so that all else about them is as it ships.

use crate::support::model::*;
use crate::support::rig::{ALL, Ike, scenario};

/// Explores, and says how much that was.
fn holds(name: &str, ike: Ike, scenario: &Scenario) -> Explored {
    match explore::<Real>(scenario) {
        Ok(explored) => {
            println!("{ike:?}, {name}: {explored:?}");
            explored
        }
        Err(found) => unreachable!("{ike:?}, {name}: {}\n{}", found.what, found.steps.join("\n")),
    }
}

/// Twelve steps, or as many as there are.
fn deep(explored: &Explored) -> bool {
    explored.depth >= 12 || explored.complete
}

/// The shortest way to what must not be.
fn found<S: Subject>(name: &str, ike: Ike, scenario: &Scenario) -> Counterexample {
    match explore::<S>(scenario) {
        Ok(explored) => unreachable!("{ike:?}: {name} was not found: {explored:?}"),
        Err(found) => {
            println!(
                "{ike:?}, {name}, after {} steps: {}\n  {}",
                found.steps.len(),
                found.what,
                found.steps.join("\n  ")
            );
            *found
        }
    }
}

#[test]
fn one_end_connects_and_only_what_the_other_end_proved_comes_up() {
    for ike in ALL {
        let quiet = holds("deliveries alone", ike, &Scenario { depth: 40, ..scenario(ike) });
        assert!(quiet.complete && quiet.both > 0, "{quiet:?}");
        let clocks = holds("and clocks", ike, &Scenario { timer_budget: 2, depth: 13, ..scenario(ike) });
        assert!(deep(&clocks) && clocks.both > 0, "{clocks:?}");
    }
}

#[test]
fn both_ends_connect_at_once_and_only_what_the_other_end_proved_comes_up() {
    for ike in ALL {
        let both = holds("both begin", ike, &Scenario { depth: 12, ..scenario(ike).both_begin() });
        assert!(deep(&both) && both.both > 0, "{both:?}");
    }
}

#[test]
fn rekeys_of_both_ends_cross_and_everything_established_stems_from_what_was_proved() {
    for ike in ALL {
        let rekeys = vec![Command::RekeyChild, Command::RekeyIke];
        let connected = Scenario { connected: true, commands: rekeys, ..scenario(ike) };
        let one = holds("a rekey", ike, &Scenario { command_budget: 1, depth: 13, ..connected.clone() });
        assert!(deep(&one), "{one:?}");
        // Two of them in main mode are 30,000 states after twelve steps; each step less is half of that.
        let depth = if matches!(ike, Ike::Main) { 10 } else { 12 };
        let crossing = holds("two rekeys", ike, &Scenario { command_budget: 2, depth, ..connected });
        assert!(crossing.depth >= depth || crossing.complete, "{crossing:?}");
    }
}

#[test]
fn one_end_goes_down_and_comes_up_again_while_old_messages_are_played() {
    for ike in ALL {
        let commands = vec![Command::Down, Command::Up];
        // In IKEv2 twelve steps are 80,000 states; each step less is half of that.
        let depth = if matches!(ike, Ike::V2) { 10 } else { 12 };
        let scenario = Scenario { connected: true, commands, command_budget: 2, depth, ..scenario(ike) };
        let again = holds("down and up", ike, &scenario);
        assert!(again.depth >= depth, "{again:?}");
    }
}

#[test]
fn spis_of_other_messages_in_a_header_bring_nothing_up() {
    for ike in ALL {
        let scenario = Scenario { transplant_budget: 2, depth: 12, ..scenario(ike) };
        let mixed = holds("other SPIs", ike, &scenario);
        assert!(mixed.both > 0, "{mixed:?}");
    }
}

#[test]
fn ends_with_different_keys_never_come_up() {
    for ike in ALL {
        let clocks = Scenario { timer_budget: 2, depth: 12, ..scenario(ike).keys_differ() };
        let clocks = holds("other keys, clocks", ike, &clocks);
        assert!(deep(&clocks) && clocks.up == 0, "{clocks:?}");
        let differ = holds("other keys, both begin", ike, &scenario(ike).both_begin().keys_differ());
        assert!(deep(&differ) && differ.up == 0, "{differ:?}");
    }
}

#[test]
fn an_end_that_expects_somebody_else_never_comes_up() {
    for ike in ALL {
        let scenario = Scenario { timer_budget: 1, depth: 12, ..scenario(ike) };
        holds("A expects another", ike, &scenario.clone().a_expects_another());
        let neither = holds("B expects another", ike, &scenario.b_expects_another());
        assert_eq!(neither.up, 0);
    }
}

#[test]
fn an_attacker_who_stole_the_key_is_found_to_come_up_where_the_peer_sent_nothing() {
    for ike in ALL {
        let scenario = Scenario { stolen_key: true, ..scenario(ike) };
        let found = found::<Real>("a stolen key", ike, &scenario);
        assert!(found.what.contains("which the other end did not send"), "{}", found.what);
        assert!(found.steps.len() >= 2, "{found:?}");
    }
}

#[test]
fn an_end_that_believes_in_its_peer_too_early_is_found() {
    for ike in ALL {
        let found = found::<Flawed<BelievesEarly>>("believing early", ike, &scenario(ike));
        let caught = ["proves nothing", "though the ends", "did not send", "about another SA"];
        assert!(caught.iter().any(|words| found.what.contains(words)), "{}", found.what);
    }
}

#[test]
fn a_child_before_anybody_is_authenticated_is_found() {
    for ike in ALL {
        let found = found::<Flawed<InstallsEarly>>("a child before its time", ike, &scenario(ike));
        assert!(found.what.contains("without an established IKE SA"), "{}", found.what);
    }
}

#[test]
fn keys_of_a_child_that_differ_at_the_two_ends_are_found() {
    for ike in ALL {
        let found = found::<Flawed<CrossesKeys>>("other keys for a child", ike, &scenario(ike));
        assert!(found.what.contains("other keys for"), "{}", found.what);
    }
}
