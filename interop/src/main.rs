//! `interop`: lists and runs the labs.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use interop::labs::labs;
use interop::registry::{Lab, Outcome, Run, run_lab};
use interop::world::remove_leftovers;
use serde_json::json;

const HELP: &str = "\
Runs Underpass against real peers in network namespaces of its own (root).

Usage: interop list [--json]
       interop run [NAME…] [--json] [--one-by-one]
                                         NAME may be a part of a name; none is all; two run side by side
       interop clean                     removes what killed runs left behind

Exit status: 0 all passed or were skipped · 1 a lab failed · 2 usage
Examples: interop run                    interop run rekey nat
          UNDERPASS_BIN=./underpass interop run strongswan_pair_sanity
";

/// Labs that run at a time: they mostly wait, and their worlds never meet.
const SIDE_BY_SIDE: usize = 2;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let json = args.iter().any(|arg| arg == "--json");
    let side_by_side = if args.iter().any(|arg| arg == "--one-by-one") { 1 } else { SIDE_BY_SIDE };
    let words: Vec<&str> =
        args.iter().map(String::as_str).filter(|arg| !matches!(*arg, "--json" | "--one-by-one")).collect();
    match words.as_slice() {
        ["list"] => list(json),
        ["run", names @ ..] if !names.iter().any(|name| name.starts_with('-')) => {
            return run(names, json, side_by_side);
        }
        ["clean"] => println!("{} leftovers removed", remove_leftovers()),
        ["help" | "--help" | "-h"] => print!("{HELP}"),
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn list(json: bool) {
    for lab in labs() {
        if json {
            println!("{}", json!({ "lab": lab.name, "needs": format!("{:?}", lab.needs) }));
        } else {
            println!("{:<60} {:?}", lab.name, lab.needs);
        }
    }
}

fn run(names: &[&str], json: bool, side_by_side: usize) -> ExitCode {
    let all = labs();
    if let Some(unknown) = names.iter().find(|name| !all.iter().any(|lab| lab.name.contains(**name))) {
        eprintln!("no lab is called {unknown}; `interop list` names them");
        return ExitCode::from(2);
    }
    remove_leftovers();
    let chosen = all.iter().filter(|lab| names.is_empty() || names.iter().any(|name| lab.name.contains(name)));
    let (waiting, sum) = (Mutex::new(chosen), Mutex::new(Sum::default()));
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    std::thread::scope(|scope| {
        for _ in 0..side_by_side {
            scope.spawn(|| {
                while let Some(lab) = next() {
                    let start = Instant::now();
                    let run = run_lab(lab);
                    sum.lock().unwrap_or_else(PoisonError::into_inner).add(lab, &run, start.elapsed(), json);
                }
            });
        }
    });
    let Sum { passed, failed, skipped, repeated } = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    if json {
        let sum = json!({
            "ok": failed == 0, "passed": passed, "failed": failed, "skipped": skipped, "repeated": repeated,
        });
        println!("{sum}");
    } else {
        println!("{passed} passed, {failed} failed, {skipped} skipped");
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The labs so far.
#[derive(Default)]
struct Sum {
    passed: u32,
    failed: u32,
    skipped: u32,
    /// Attempts that were repeated.
    repeated: usize,
}

impl Sum {
    /// Counts a lab and prints how it went, all in one piece.
    fn add(&mut self, lab: &Lab, run: &Run, took: Duration, json: bool) {
        let (word, details, logs) = match &run.outcome {
            Outcome::Passed(report) => ("ok", report.details.clone(), ""),
            Outcome::Failed { error, logs } => ("FAILED", error.to_string(), logs.as_str()),
            Outcome::Skipped(why) => ("skipped", why.clone(), ""),
        };
        match &run.outcome {
            Outcome::Passed(_) => self.passed += 1,
            Outcome::Failed { .. } => self.failed += 1,
            Outcome::Skipped(_) => self.skipped += 1,
        }
        self.repeated += run.repeated.len();
        let seconds = took.as_secs_f64();
        let mut out = std::io::stdout().lock();
        if json {
            let line = json!({
                "lab": lab.name, "outcome": word.to_lowercase(), "details": details, "seconds": seconds,
                "repeated": run.repeated, "logs": logs,
            });
            let _ = writeln!(out, "{line}");
            return;
        }
        for why in &run.repeated {
            let _ = writeln!(out, "repeated: {} ({why})", lab.name);
        }
        let details = if details.is_empty() { String::new() } else { format!("{details}; ") };
        let _ = writeln!(out, "lab {} … {word} ({details}{seconds:.1} s)", lab.name);
        if !logs.is_empty() {
            let _ = writeln!(out, "{logs}");
        }
    }
}
