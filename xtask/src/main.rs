//! Developer tasks: `cargo xtask test`, `tidy`, `deny`, `fuzz`, `lab`, `bench`.

mod bench;
mod deny;
mod fuzz;
mod lab;
mod process;
mod test;
mod tidy;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer tasks of Underpass")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run everything that decides whether a change may go in
    Test(test::TestArguments),
    /// Check the project's own rules over tracked files
    Tidy,
    /// Check licences, banned crates and sources of every dependency
    Deny,
    /// Build the fuzz targets on stable and run them
    Fuzz(fuzz::FuzzArguments),
    /// Measure throughput and CPU per Gbit: raw, ours, strongSwan
    Bench(bench::BenchArguments),
    /// Run labs against real peers in network namespaces
    Lab(lab::LabArguments),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Test(arguments) => test::main(&arguments),
        Task::Tidy => tidy::main(),
        Task::Deny => deny::main(),
        Task::Fuzz(arguments) => fuzz::main(&arguments),
        Task::Bench(arguments) => bench::main(&arguments),
        Task::Lab(arguments) => lab::main(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}
