//! `cargo xtask bench`: throughput, and CPU seconds per Gbit, of a raw routed path, our tunnel and strongSwan's userspace
//! ESP, in one run.
//!
//! ```text
//!   client ─ gateway ═══ gateway ─ client        four network namespaces, veth, MTU 1500
//! ```
//! Absolute figures of a machine where everything shares the cores are noisy. So the variants take turns within a round,
//! there are at least three rounds, medians are reported with minimum and maximum, and ratios within one run are what to
//! read. A variant whose peer is missing is skipped, and then the run fails unless `--allow-missing`.

mod cpu;
mod failover;
mod load;
mod table;
mod variant;

use crate::process::{Fallible, cargo, run, target_dir};
use serde_json::json;
use std::time::Duration;
use table::{Measurement, Table};
use variant::{Tunnel, Variant};

/// What `cargo xtask bench` accepts.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:
  cargo xtask bench                              every variant, 3 rounds of 4 s, 1 and 8 streams
  cargo xtask bench --rounds 5 --seconds 8       calmer figures
  cargo xtask bench --variant underpass          ours alone
  cargo xtask bench --allow-missing              where strongSwan is not installed
  cargo xtask bench failover                     how long an interruption takes when one of two tunnels goes",
    args_conflicts_with_subcommands = true
)]
pub struct BenchArguments {
    #[command(subcommand)]
    other: Option<Other>,
    /// Rounds; in each one every variant has its turn
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds of each measurement
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// TCP streams at a time (may be given several times) [default: 1 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    streams: Vec<u16>,
    /// Only this variant (may be given several times)
    #[arg(long, value_enum, value_name = "NAME")]
    variant: Vec<Variant>,
    /// Measure the binaries as they are
    #[arg(long)]
    no_build: bool,
    /// A missing peer is no failure
    #[arg(long)]
    allow_missing: bool,
}

/// What else is measured.
#[derive(clap::Subcommand)]
enum Other {
    /// How long traffic is interrupted when one of two tunnels goes
    Failover(failover::FailoverArguments),
}

/// A variant that cannot run here, and why.
type Missing = (Variant, String);

/// Runs the task.
pub fn main(arguments: &BenchArguments) -> Fallible<()> {
    if let Some(Other::Failover(arguments)) = &arguments.other {
        return failover::main(arguments);
    }
    if !arguments.no_build {
        run(&mut cargo(&["build", "--release", "--workspace", "--bins"]))?;
    }
    let streams = if arguments.streams.is_empty() { vec![1, 8] } else { arguments.streams.clone() };
    let (variants, missing) = choose(&arguments.variant)?;
    interop::world::remove_leftovers();
    let mut table = Table::default();
    for round in 1..=arguments.rounds {
        for variant in &variants {
            for measured in turn(*variant, &streams, arguments.seconds)? {
                println!("round {round}/{}  {variant:<14} {measured}", arguments.rounds);
                table.add(*variant, measured);
            }
        }
    }
    println!("\n{table}");
    for (variant, why) in &missing {
        println!("skipped {variant}: {why}");
    }
    save(&table, arguments, &missing)?;
    if missing.is_empty() || arguments.allow_missing {
        Ok(())
    } else {
        Err(format!("{} variants skipped (--allow-missing to accept that)", missing.len()))
    }
}

/// The variants that can run here, and why the others cannot.
fn choose(wanted: &[Variant]) -> Fallible<(Vec<Variant>, Vec<Missing>)> {
    // Nothing at all can be measured without namespaces.
    if let Some(why) = interop::registry::Need::Root.missing() {
        return Err(why);
    }
    let wanted = if wanted.is_empty() { Variant::ALL.to_vec() } else { wanted.to_vec() };
    let mut possible = Vec::new();
    let mut missing = Vec::new();
    for variant in wanted {
        match variant.missing() {
            None => possible.push(variant),
            Some(why) => missing.push((variant, why)),
        }
    }
    if possible.is_empty() {
        let whys: Vec<_> = missing.iter().map(|(variant, why)| format!("{variant}: {why}")).collect();
        return Err(format!("nothing to measure: {}", whys.join("; ")));
    }
    Ok((possible, missing))
}

/// One variant's turn in a round: its tunnel built once, then one measurement for each number of streams.
fn turn(variant: Variant, streams: &[u16], seconds: u64) -> Fallible<Vec<Measurement>> {
    let failed = |error: interop::error::LabError| format!("{variant}: {error}");
    let tunnel = Tunnel::build(variant).map_err(failed)?;
    tunnel.prove().map_err(failed)?;
    streams.iter().map(|&count| tunnel.measure(count, Duration::from_secs(seconds)).map_err(failed)).collect()
}

fn save(table: &Table, arguments: &BenchArguments, missing: &[Missing]) -> Fallible<()> {
    let folder = target_dir()?.join("bench");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let skipped: Vec<_> =
        missing.iter().map(|(variant, why)| json!({ "variant": variant.to_string(), "reason": why })).collect();
    let value = json!({
        "schema_version": 1,
        "unix_seconds": now,
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
        "cpus": std::thread::available_parallelism().map_or(0, usize::from),
        "kernel": std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        "results": table.json(),
        "skipped": skipped,
    });
    let text = format!("{value:#}\n");
    std::fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    for name in [format!("{now}.json"), "latest.json".to_owned()] {
        let path = folder.join(name);
        std::fs::write(&path, &text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        println!("written {}", path.display());
    }
    Ok(())
}
