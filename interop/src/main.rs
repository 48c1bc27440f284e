//! `interop`: lists and runs the labs.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use interop::labs::labs;
use interop::registry::{Lab, Outcome, run_lab};
use interop::world::remove_leftovers;
use serde_json::json;

const HELP: &str = "\
Runs Underpass against real peers in network namespaces of its own (root).

Usage: interop list [--json]
       interop run [NAME…] [--json]      NAME may be a part of a name; none is all
       interop clean                     removes what killed runs left behind

Exit status: 0 all passed or were skipped · 1 a lab failed · 2 usage
Examples: interop run                    interop run rekey nat
          UNDERPASS_BIN=./underpass interop run strongswan_pair_sanity
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let json = args.iter().any(|arg| arg == "--json");
    let words: Vec<&str> = args.iter().map(String::as_str).filter(|arg| *arg != "--json").collect();
    match words.as_slice() {
        ["list"] => list(json),
        ["run", names @ ..] if !names.iter().any(|name| name.starts_with('-')) => {
            return run(names, json);
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

fn run(names: &[&str], json: bool) -> ExitCode {
    let all = labs();
    if let Some(unknown) = names.iter().find(|name| !all.iter().any(|lab| lab.name.contains(**name))) {
        eprintln!("no lab is called {unknown}; `interop list` names them");
        return ExitCode::from(2);
    }
    remove_leftovers();
    let chosen = all.iter().filter(|lab| names.is_empty() || names.iter().any(|name| lab.name.contains(name)));
    let (mut passed, mut failed, mut skipped) = (0u32, 0u32, 0u32);
    for lab in chosen {
        let start = Instant::now();
        if !json {
            print!("lab {} … ", lab.name);
            let _ = std::io::stdout().flush();
        }
        let outcome = run_lab(lab);
        match &outcome {
            Outcome::Passed(_) => passed += 1,
            Outcome::Failed { .. } => failed += 1,
            Outcome::Skipped(_) => skipped += 1,
        }
        show(lab, &outcome, start.elapsed().as_secs_f64(), json);
    }
    if json {
        println!("{}", json!({ "ok": failed == 0, "passed": passed, "failed": failed, "skipped": skipped }));
    } else {
        println!("{passed} passed, {failed} failed, {skipped} skipped");
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn show(lab: &Lab, outcome: &Outcome, seconds: f64, json: bool) {
    let (word, details, logs) = match outcome {
        Outcome::Passed(report) => ("ok", report.details.clone(), ""),
        Outcome::Failed { error, logs } => ("FAILED", error.to_string(), logs.as_str()),
        Outcome::Skipped(why) => ("skipped", why.clone(), ""),
    };
    if json {
        println!(
            "{}",
            json!({ "lab": lab.name, "outcome": word.to_lowercase(), "details": details, "seconds": seconds, "logs": logs })
        );
    } else {
        let details = if details.is_empty() { String::new() } else { format!("{details}; ") };
        println!("{word} ({details}{seconds:.1} s)");
        if !logs.is_empty() {
            println!("{logs}");
        }
    }
}
