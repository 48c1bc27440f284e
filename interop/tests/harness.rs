//! The harness itself: labs that hang, panic or lack something end in order and leave nothing behind.

use std::path::Path;
use std::time::Duration;

use interop::error::LabError;
use interop::registry::{Lab, LabContext, Need, Outcome, Report, run_lab, run_lab_within};
use interop::world::{World, remove_leftovers};

/// Says why and gives false where namespaces cannot be made.
fn possible() -> bool {
    match Need::Root.missing() {
        None => true,
        Some(why) => {
            eprintln!("skipped: {why}");
            false
        }
    }
}

fn namespaces_of(prefix: &str) -> usize {
    let entries = std::fs::read_dir("/run/netns").map(Iterator::flatten);
    entries.map_or(0, |all| all.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)).count())
}

fn own_prefix() -> String {
    format!("up-{}-", std::process::id())
}

#[test]
fn labs_that_hang_or_panic_fail_within_their_bound_and_leave_nothing() {
    if !possible() {
        return;
    }
    let hanging = |lab: &mut LabContext| {
        let namespace = lab.world.namespace("hung")?;
        namespace.run("sleep", &["15"])?;
        Ok(Report::default())
    };
    let lab = Lab { name: "hanging", needs: &[Need::Root], run: hanging };
    let outcome = run_lab_within(&lab, Duration::from_millis(500)).outcome;
    assert!(matches!(outcome, Outcome::Failed { error: LabError::TimedOut(_), .. }), "{outcome:?}");

    let panicking = |lab: &mut LabContext| {
        lab.world.namespace("panicked")?;
        panic!("on purpose");
    };
    let lab = Lab { name: "panicking", needs: &[Need::Root], run: panicking };
    let outcome = run_lab(&lab).outcome;
    assert!(matches!(outcome, Outcome::Failed { error: LabError::Harness(_), .. }), "{outcome:?}");
    assert_eq!(namespaces_of(&own_prefix()), 0);
}

#[test]
fn a_failing_lab_shows_the_end_of_its_logs() {
    if !possible() {
        return;
    }
    let failing = |lab: &mut LabContext| {
        let path = lab.world.directory().join("peer.log");
        std::fs::write(&path, "first line\nlast words\n").map_err(|error| LabError::harness("log", error))?;
        lab.log_file("the peer", path);
        Err(LabError::Broken("it did not hold".to_owned()))
    };
    let outcome = run_lab(&Lab { name: "failing", needs: &[Need::Root], run: failing }).outcome;
    let Outcome::Failed { error, logs } = outcome else { panic!("{outcome:?}") };
    assert_eq!(error.to_string(), "it did not hold");
    assert!(logs.contains("the peer (2 lines)") && logs.contains("last words"), "{logs}");
}

#[test]
fn the_directory_of_a_world_is_private_and_ends_with_it() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new().unwrap();
    let path = world.directory().to_owned();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    remove_leftovers();
    assert!(path.exists(), "the directory of a living run is no leftover");
    drop(world);
    assert!(!Path::new(&path).exists());
}

#[test]
fn an_attempt_that_proved_nothing_is_repeated_and_told() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static ATTEMPTS: AtomicU32 = AtomicU32::new(0);
    if !possible() {
        return;
    }
    let busy = |_: &mut LabContext| match ATTEMPTS.fetch_add(1, Ordering::Relaxed) {
        0 => Err(LabError::Busy("queues overflowed by 7".to_owned())),
        _ => Ok(Report::default()),
    };
    let run = run_lab(&Lab { name: "busy", needs: &[Need::Root], run: busy });
    assert!(matches!(run.outcome, Outcome::Passed(_)), "{run:?}");
    assert_eq!(run.repeated, ["queues overflowed by 7"]);

    let always = |_: &mut LabContext| Err(LabError::Busy("again".to_owned()));
    let run = run_lab(&Lab { name: "busy for ever", needs: &[Need::Root], run: always });
    assert!(matches!(run.outcome, Outcome::Failed { error: LabError::Busy(_), .. }), "{run:?}");
    assert_eq!(run.repeated.len(), 2);
}
