//! Gateways as processes in network namespaces of their own: what they do when something is wrong, and when it is right again.
//!
//! The program runs itself again as a gateway, so that signals and kill -9 meet a whole process. Without root it says so and
//! passes.
#![allow(clippy::unwrap_used, clippy::panic)]

mod lab;
mod life;
mod metrics;
mod network;
mod start;
mod traffic;

use host::netns::NetNs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Tests that run at a time: they mostly wait.
const AT_A_TIME: usize = 4;

type Test = (&'static str, fn());

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, config, rest @ ..] = arguments.as_slice()
        && command == lab::RUN_GATEWAY
    {
        return lab::run_gateway(config, rest);
    }
    let all: Vec<Test> = [start::TESTS, life::TESTS, metrics::TESTS, network::TESTS, traffic::TESTS].concat();
    if arguments.iter().any(|argument| argument == "--list") {
        all.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let chosen: Vec<Test> = all
        .into_iter()
        .filter(|(name, _)| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str())))
        .collect();
    println!("\nrunning {} tests", chosen.len());
    if let Err(error) = NetNs::new() {
        eprintln!("skipped: {error}");
        println!("\ntest result: ok. 0 passed; 0 failed; {} ignored; 0 measured; 0 filtered out\n", chosen.len());
        return ExitCode::SUCCESS;
    }
    let failed = run_all(&chosen);
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    let passed = chosen.len() - failed;
    println!("\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out\n");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_all(tests: &[Test]) -> usize {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(0));
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some((name, test)) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
                    println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
                    *failed.lock().unwrap() += usize::from(!passed);
                }
            });
        }
    });
    failed.into_inner().unwrap()
}
