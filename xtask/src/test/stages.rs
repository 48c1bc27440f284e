//! What each stage runs.

use super::counts::Counts;
use super::packages::{self, Setup};
use super::{Ended, StageName, TestArguments};
use super::{private_root, python_module};
use crate::process::{Fallible, capture, cargo, command, is_root, run, run_lines, target_dir};
use crate::{deny, fuzz, lab, tidy};
use serde_json::Value;
use std::process::Command;

/// Runs one stage. `built` is false when the build stage failed.
pub fn perform(name: StageName, arguments: &TestArguments, built: bool) -> Ended {
    match name {
        StageName::Setup => setup(arguments),
        StageName::Fmt => check(fmt()),
        StageName::Tidy => check(tidy::main()),
        StageName::Deny => check(deny::main()),
        StageName::Clippy => check(clippy(arguments)),
        StageName::Doc => check(doc(arguments)),
        StageName::Build => check(run(&mut workspace(arguments, &["build", "--release", "--workspace", "--bins"]))),
        StageName::Tests => counted(&mut workspace(
            arguments,
            &["test", "--release", "--workspace", "--exclude", "scenarios", "--no-fail-fast"],
        )),
        StageName::Simulation => simulation(arguments),
        StageName::Fuzz => fuzz_smoke(arguments),
        StageName::Labs => labs(built),
        StageName::Demo => demo(built),
    }
}

/// A stage without tests of its own.
fn check(outcome: Fallible<()>) -> Ended {
    match outcome {
        Ok(()) => Ended::Ran(Counts::default()),
        Err(why) => Ended::Failed(Counts::default(), why),
    }
}

/// A stage whose runner prints results; a runner that prints none counts as one test.
fn counted(command: &mut Command) -> Ended {
    let mut counts = Counts::default();
    let mut failures = Failures::default();
    let status = run_lines(command, |line| {
        failures.look_at(line);
        if let Some(read) = Counts::read(line) {
            counts += read;
        }
    });
    let status = failures.named_in(status);
    match status.and_then(|ended| ended) {
        Ok(()) if counts.failed > 0 => Ended::Failed(counts, "the runner hid its failures".to_owned()),
        Ok(()) if counts == Counts::default() => Ended::Ran(Counts::ONE),
        Ok(()) => Ended::Ran(counts),
        Err(why) => Ended::Failed(counts, why),
    }
}

/// The lines of a runner that name what failed, to be said again where the run is summed up: whoever reads only the end
/// of a long run learns from it what to look at.
#[derive(Default)]
struct Failures(Vec<String>);

impl Failures {
    /// Failures that are said again at most.
    const MOST: usize = 10;
    /// Characters of each.
    const LENGTH: usize = 600;

    fn look_at(&mut self, line: &str) {
        let test = line.starts_with("test ") && line.ends_with("... FAILED");
        let lab = line.starts_with("lab ") && line.contains(" … FAILED");
        if (test || lab) && self.0.len() < Self::MOST {
            self.0.push(line.chars().take(Self::LENGTH).collect());
        }
    }

    /// The exit status with the failures in it.
    fn named_in(&self, status: Fallible<Fallible<()>>) -> Fallible<Fallible<()>> {
        let name = |why| if self.0.is_empty() { why } else { format!("{why}: {}", self.0.join("; ")) };
        status.map(|ended| ended.map_err(name))
    }
}

fn workspace(arguments: &TestArguments, words: &[&str]) -> Command {
    let mut command = cargo(words);
    if arguments.ci {
        command.arg("--locked");
    }
    command
}

fn setup(arguments: &TestArguments) -> Ended {
    if arguments.no_install {
        return Ended::Skipped("--no-install".to_owned());
    }
    let mut skipped = Vec::new();
    for made in [packages::install(), private_root::prepare(), python_module::prepare()] {
        match made {
            Ok(Setup::Ready(what)) => println!("{what}"),
            Ok(Setup::Skipped(why)) => skipped.push(why),
            // No network is no reason to test nothing: the labs will say what they miss.
            Err(why) => skipped.push(format!("could not get the lab peers: {why}")),
        }
    }
    if skipped.is_empty() { Ended::Ran(Counts::default()) } else { Ended::Skipped(skipped.join("; ")) }
}

fn fmt() -> Fallible<()> {
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    run(&mut cargo(&["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]))
}

fn clippy(arguments: &TestArguments) -> Fallible<()> {
    let mut command = workspace(arguments, &["clippy", "--release", "--workspace", "--all-targets", "--keep-going"]);
    run(command.args(["--", "-D", "warnings"]))
}

fn doc(arguments: &TestArguments) -> Fallible<()> {
    let mut command = workspace(arguments, &["doc", "--release", "--workspace", "--no-deps"]);
    run(command.env("RUSTDOCFLAGS", "-D warnings"))
}

/// The tests of `scenarios`, showing what they print (seeds, exchanges), then every simulation program it has.
fn simulation(arguments: &TestArguments) -> Ended {
    let tests = workspace(arguments, &["test", "--release", "--package", "scenarios", "--no-fail-fast"]);
    let mut commands = vec![tests];
    match scenario_programs() {
        Ok(programs) => commands.extend(
            programs
                .iter()
                .map(|program| workspace(arguments, &["run", "--release", "--package", "scenarios", "--bin", program])),
        ),
        Err(why) => return Ended::Failed(Counts::default(), why),
    }
    let mut total = Counts::default();
    let mut problems = Vec::new();
    for (index, command) in commands.iter_mut().enumerate() {
        if index == 0 {
            command.args(["--", "--nocapture"]);
        }
        match counted(command) {
            Ended::Ran(counts) => total += counts,
            Ended::Failed(counts, why) => {
                total += counts;
                problems.push(why);
            }
            Ended::Skipped(why) => problems.push(why),
        }
    }
    if problems.is_empty() { Ended::Ran(total) } else { Ended::Failed(total, problems.join("; ")) }
}

fn scenario_programs() -> Fallible<Vec<String>> {
    let text = capture(&mut cargo(&["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value =
        serde_json::from_str(&text).map_err(|error| format!("cargo metadata is not JSON: {error}"))?;
    let none = Vec::new();
    let packages = metadata["packages"].as_array().unwrap_or(&none);
    let scenarios = packages.iter().find(|package| package["name"] == "scenarios");
    let targets = scenarios.and_then(|package| package["targets"].as_array());
    Ok(targets
        .unwrap_or(&none)
        .iter()
        .filter(|target| target["kind"][0] == "bin")
        .filter_map(|target| target["name"].as_str().map(str::to_owned))
        .collect())
}

fn fuzz_smoke(arguments: &TestArguments) -> Ended {
    if !packages::has_program("g++") {
        return Ended::Skipped("no g++: libFuzzer's runtime is C++ (apt-get install g++)".to_owned());
    }
    match fuzz::smoke(arguments.fuzz_seconds) {
        Ok(outcome) => {
            let counts = Counts { passed: outcome.passed, failed: outcome.failed.len(), skipped: 0 };
            if outcome.failed.is_empty() {
                Ended::Ran(counts)
            } else {
                Ended::Failed(counts, outcome.failed.join(", "))
            }
        }
        Err(why) => Ended::Failed(Counts::default(), why),
    }
}

fn labs(built: bool) -> Ended {
    if !built {
        return Ended::Skipped("the build failed".to_owned());
    }
    match lab::interop(&["run".to_owned()]) {
        Ok(mut command) => last_line_counts(&mut command),
        Err(why) => Ended::Failed(Counts::default(), why),
    }
}

/// A runner whose last line alone is its sum; lines before it may quote the sums of others.
fn last_line_counts(command: &mut Command) -> Ended {
    let mut counts = None;
    let mut failures = Failures::default();
    let status = run_lines(command, |line| {
        failures.look_at(line);
        counts = Counts::read(line).or(counts);
    });
    let status = failures.named_in(status);
    let counts = counts.unwrap_or_default();
    match status.and_then(|ended| ended) {
        Ok(()) if counts == Counts::default() => Ended::Failed(counts, "it printed no result".to_owned()),
        Ok(()) if counts.failed == 0 => Ended::Ran(counts),
        Ok(()) => Ended::Failed(counts, "the runner hid its failures".to_owned()),
        Err(why) => Ended::Failed(counts, why),
    }
}

/// `underpass demo --json` must end with a line of JSON that says `"ok": true`.
fn demo(built: bool) -> Ended {
    if !built {
        return Ended::Skipped("the build failed".to_owned());
    }
    let binary = match target_dir() {
        Ok(folder) => folder.join("release/underpass"),
        Err(why) => return Ended::Failed(Counts::default(), why),
    };
    let mut last = String::new();
    let status = run_lines(&mut command(&binary.to_string_lossy(), &["demo", "--json"]), |line| {
        if !line.trim().is_empty() {
            last = line.to_owned();
        }
    });
    let outcome = status.and_then(|ended| ended).and_then(|()| said_ok(&last));
    match outcome {
        Ok(()) => Ended::Ran(Counts::ONE),
        // Without root the demo needs unprivileged user namespaces; where they are shut off it says to use sudo.
        Err(_) if !is_root() && last.contains("sudo") => Ended::Skipped(last),
        Err(why) => Ended::Failed(Counts::default(), why),
    }
}

fn said_ok(last: &str) -> Fallible<()> {
    let value: Value = serde_json::from_str(last).map_err(|_| format!("the demo's last line is not JSON: {last}"))?;
    if value["ok"] == Value::Bool(true) { Ok(()) } else { Err(format!("the demo's last line does not say ok: {last}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        command("sh", &["-c", script])
    }

    #[test]
    fn a_runner_that_fails_without_a_failing_test_still_fails_the_stage() {
        let ended = counted(&mut shell("echo '3 passed, 0 failed, 0 skipped'; exit 1"));
        assert!(matches!(ended, Ended::Failed(Counts { passed: 3, .. }, _)));
        let ended = counted(&mut shell("echo '3 passed, 1 failed, 0 skipped'"));
        assert!(matches!(ended, Ended::Failed(..)));
        let ended = counted(&mut shell("echo '3 passed, 0 failed, 0 skipped'"));
        assert!(matches!(ended, Ended::Ran(Counts { passed: 3, .. })));
    }

    #[test]
    fn a_lab_runner_is_believed_by_its_last_sum_only() {
        let ended =
            last_line_counts(&mut shell("echo '9 passed, 9 failed, 9 skipped'; echo '3 passed, 0 failed, 1 skipped'"));
        let expected = Counts { passed: 3, failed: 0, skipped: 1 };
        assert!(matches!(ended, Ended::Ran(counts) if counts == expected));
        let silent = last_line_counts(&mut shell("true"));
        assert!(matches!(silent, Ended::Failed(..)));
    }

    #[test]
    fn what_failed_is_named_where_the_run_is_summed_up() {
        let script = "echo 'lab a … ok (1 s)'; echo 'lab b … FAILED (0 lost of 3; 2 s)'; echo '1 passed, 1 failed, 0 skipped'; exit 1";
        let Ended::Failed(counts, why) = last_line_counts(&mut shell(script)) else { panic!("it failed") };
        assert_eq!(counts.failed, 1);
        assert!(why.ends_with(": lab b … FAILED (0 lost of 3; 2 s)"), "{why}");
        let ended = counted(&mut shell("echo 'test a::b ... FAILED'; exit 1"));
        assert!(matches!(ended, Ended::Failed(_, why) if why.ends_with(": test a::b ... FAILED")));
    }

    #[test]
    fn only_a_last_line_that_says_ok_is_a_demo_that_worked() {
        assert!(said_ok(r#"{"ok":true,"pings":5}"#).is_ok());
        for line in ["", "ok", r#"{"ok":false}"#, r#"{"ok":"true"}"#, "[]"] {
            assert!(said_ok(line).is_err(), "{line}");
        }
    }
}
