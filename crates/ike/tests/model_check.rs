//! Two endpoints and an attacker who holds every datagram: every order of up to twelve steps and more, both versions of IKE.
//! What is explored and how is in `support/model`; what must hold, in `support/model/oracle.rs`.

mod support;

use ike::config::Versions;
use support::model::*;

fn check(name: &str, scenario: &Scenario) -> Explored {
    match explore::<Real>(scenario) {
        Ok(explored) => {
            println!("{name}: {explored:?}");
            explored
        }
        Err(found) => unreachable!("{name}: {}\n{}", found.what, found.steps.join("\n")),
    }
}

#[test]
fn probe() {
    for versions in [Versions::V2, Versions::V1] {
        let scenario = Scenario::new(versions);
        check("a", &scenario);
        let scenario = Scenario { timer_budget: 2, ..Scenario::new(versions) };
        check("a timers", &scenario);
        let scenario = Scenario { depth: 8, ..Scenario::new(versions).both_begin() };
        check("both", &scenario);
    }
}
