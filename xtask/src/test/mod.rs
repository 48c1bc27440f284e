//! `cargo xtask test`: the stages that decide whether a change may go in, in the order of what they cost.
//!
//! A stage that cannot run here is skipped aloud with its reason and counts as one skipped test; a stage that fails
//! without a test of its own failing counts as one failed. The last line is the sum: `N passed, N failed, N skipped`.

mod counts;
mod packages;
mod private_root;
mod python_module;
mod stages;

pub use packages::Setup;
pub use private_root::prepare as prepare_private_root;
pub use python_module::prepare as prepare_python_module;

use crate::process::Fallible;
use counts::Counts;
use std::fmt;
use std::time::{Duration, Instant};

/// What `cargo xtask test` accepts.
#[derive(clap::Args)]
#[command(after_help = "Stages, in order: setup fmt tidy deny clippy doc build tests simulation fuzz labs demo

Examples:
  cargo xtask test                    everything; as root on Debian it installs the lab peers first
  cargo xtask test --quick            everything but the fuzz targets and the labs
  cargo xtask test --only tests       one stage
  cargo xtask test --skip fuzz        all stages but one
  cargo xtask test --ci               as CI runs it: Cargo.lock must be up to date")]
pub struct TestArguments {
    /// As CI runs it: --locked everywhere
    #[arg(long)]
    ci: bool,
    /// Leave out the fuzz targets and the labs
    #[arg(long)]
    quick: bool,
    /// Run only this stage (may be given several times)
    #[arg(long, value_name = "STAGE", value_enum, hide_possible_values = true)]
    only: Vec<StageName>,
    /// Leave out this stage (may be given several times)
    #[arg(long, value_name = "STAGE", value_enum, hide_possible_values = true)]
    skip: Vec<StageName>,
    /// Seconds for each fuzz target
    #[arg(long, value_name = "N", default_value_t = 30)]
    fuzz_seconds: u32,
    /// Install nothing, even as root
    #[arg(long)]
    no_install: bool,
}

/// The stages, in the order they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum StageName {
    /// Install the peers that labs need (as root on Debian)
    Setup,
    /// rustfmt
    Fmt,
    /// The project's own rules
    Tidy,
    /// Licences, bans, sources
    Deny,
    /// clippy with warnings as errors
    Clippy,
    /// rustdoc with warnings as errors
    Doc,
    /// The product and its tools
    Build,
    /// Unit and integration tests
    Tests,
    /// Whole-product simulations
    Simulation,
    /// Every fuzz target for a while
    Fuzz,
    /// Labs against real peers
    Labs,
    /// The demo, as a person would run it
    Demo,
}

impl StageName {
    const ALL: [StageName; 12] = [
        StageName::Setup,
        StageName::Fmt,
        StageName::Tidy,
        StageName::Deny,
        StageName::Clippy,
        StageName::Doc,
        StageName::Build,
        StageName::Tests,
        StageName::Simulation,
        StageName::Fuzz,
        StageName::Labs,
        StageName::Demo,
    ];
}

impl fmt::Display for StageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Padded by the caller, so write through `pad`.
        f.pad(&format!("{self:?}").to_lowercase())
    }
}

/// How a stage ended.
pub enum Ended {
    /// It ran; its tests, if it has any of its own.
    Ran(Counts),
    /// It ran and failed.
    Failed(Counts, String),
    /// It could not run here, or was not asked for.
    Skipped(String),
}

struct Row {
    name: StageName,
    ended: Ended,
    took: Duration,
}

/// Runs the task.
pub fn main(arguments: &TestArguments) -> Fallible<()> {
    let mut rows: Vec<Row> = Vec::new();
    for (index, name) in StageName::ALL.into_iter().enumerate() {
        if !arguments.only.is_empty() && !arguments.only.contains(&name) {
            continue; // one stage was asked for: the others are not news
        }
        println!("\n[{:>2}/{}] {name} …", index + 1, StageName::ALL.len());
        let started = Instant::now();
        let ended = match left_out(arguments, name) {
            Some(why) => Ended::Skipped(why),
            None => stages::perform(name, arguments, built(&rows)),
        };
        let row = Row { name, ended, took: started.elapsed() };
        println!("[{:>2}/{}] {}", index + 1, StageName::ALL.len(), line(&row));
        rows.push(row);
    }
    summary(&rows)
}

fn left_out(arguments: &TestArguments, name: StageName) -> Option<String> {
    let quick = arguments.quick && matches!(name, StageName::Setup | StageName::Fuzz | StageName::Labs);
    if quick {
        Some("--quick".to_owned())
    } else if arguments.skip.contains(&name) {
        Some(format!("--skip {name}"))
    } else {
        None
    }
}

/// Whether the build stage, if it ran, succeeded: labs and demo of a stale binary would prove nothing.
fn built(rows: &[Row]) -> bool {
    !rows.iter().any(|row| row.name == StageName::Build && matches!(row.ended, Ended::Failed(..)))
}

fn line(row: &Row) -> String {
    let seconds = row.took.as_secs_f64();
    let (verdict, counts, why) = match &row.ended {
        Ended::Ran(counts) => ("ok", *counts, String::new()),
        Ended::Failed(counts, why) => ("FAILED", *counts, why.clone()),
        Ended::Skipped(why) => ("skipped", Counts::default(), why.clone()),
    };
    let counted = if counts == Counts::default() { String::new() } else { counts.to_string() };
    let detail = [counted, why].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ");
    format!("{:<11} {verdict:<8} {seconds:>7.1} s  {detail}", row.name).trim_end().to_owned()
}

fn summary(rows: &[Row]) -> Fallible<()> {
    println!("\nStages");
    let mut total = Counts::default();
    let mut failed = Vec::new();
    for row in rows {
        println!("  {}", line(row));
        total += whole(&row.ended);
        if matches!(row.ended, Ended::Failed(..)) {
            failed.push(row.name.to_string());
        }
    }
    let took: Duration = rows.iter().map(|row| row.took).sum();
    println!("  {:<11} {:<8} {:>7.1} s", "all", "", took.as_secs_f64());
    if !failed.is_empty() {
        println!("FAILED: {}", failed.join(", "));
    }
    println!("{total}");
    if failed.is_empty() {
        Ok(())
    } else {
        std::process::exit(1) // the sum is the last line: no error text after it
    }
}

/// A stage's counts with the stage itself where no test of its own speaks for it.
fn whole(ended: &Ended) -> Counts {
    match ended {
        Ended::Ran(counts) => *counts,
        Ended::Failed(counts, _) => Counts { failed: counts.failed.max(1), ..*counts },
        Ended::Skipped(_) => Counts { skipped: 1, ..Counts::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_failure_and_no_skip_is_lost_in_the_sum() {
        let passed = Counts { passed: 3, failed: 0, skipped: 1 };
        let cases = [
            (Ended::Ran(passed), (3, 0, 1)),
            (Ended::Failed(passed, "did not build".to_owned()), (3, 1, 1)),
            (Ended::Failed(Counts { failed: 2, ..passed }, String::new()), (3, 2, 1)),
            (Ended::Skipped("no root".to_owned()), (0, 0, 1)),
        ];
        for (ended, (passed, failed, skipped)) in cases {
            assert_eq!(whole(&ended), Counts { passed, failed, skipped });
        }
    }

    #[test]
    fn a_line_says_stage_verdict_time_counts_and_reason() {
        let row = Row {
            name: StageName::Labs,
            ended: Ended::Failed(Counts { passed: 1, failed: 2, skipped: 0 }, "see above".to_owned()),
            took: Duration::from_millis(1500),
        };
        assert_eq!(line(&row), "labs        FAILED       1.5 s  1 passed, 2 failed, 0 skipped; see above");
    }
}
