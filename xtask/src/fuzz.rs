//! `cargo xtask fuzz`: libFuzzer targets on stable Rust, no cargo-fuzz and no clang.
//!
//! rustc's own sancov pass instruments (`-Cpasses=sancov-module`), `libfuzzer-sys` brings the C++ runtime. `--target` keeps
//! build scripts and macros uninstrumented. Committed seeds in `fuzz/corpus/TARGET` are read; what a run finds is written
//! below `fuzz/target`, so that the tree stays clean. A run that shows no coverage counters fails: it would find nothing.

mod report;

use crate::process::{Fallible, cargo, root, run};
use report::{Report, read_log};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// What `cargo xtask fuzz` accepts.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask fuzz                                every target for a minute, two at a time
  cargo xtask fuzz ike_wire --seconds 3600        one target for an hour
  cargo xtask fuzz --list                         name the targets
  cargo xtask fuzz ike_wire --reproduce FILE      run one input again
  cargo xtask fuzz ike_wire --keep                add to the committed corpus what covers something new")]
pub struct FuzzArguments {
    /// Targets; all when none is named
    targets: Vec<String>,
    /// Seconds for each target
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,
    /// Targets at a time
    #[arg(long, value_name = "N", default_value_t = 2)]
    jobs: usize,
    /// Only list the targets
    #[arg(long)]
    list: bool,
    /// Instead of fuzzing, merge what earlier runs found into fuzz/corpus
    #[arg(long)]
    keep: bool,
    /// Run this input once instead of fuzzing (needs exactly one target)
    #[arg(long, value_name = "FILE")]
    reproduce: Option<PathBuf>,
}

/// The one platform the targets are built for.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";
/// Edge coverage with counters, a table of edges, and compared values, which libFuzzer then tries.
const RUSTFLAGS: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    --cfg fuzzing -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1";
/// Memory of one target, in MiB: nothing a peer sends may grow beyond it.
const MEMORY_MIB: u32 = 1024;
/// Seconds for one input before it counts as a hang.
const HANG_SECONDS: u32 = 10;
/// Bytes of an input where the target's entry in fuzz/Cargo.toml says nothing else.
const MAX_LEN: i64 = 4096;

/// Bytes of an input worth committing.
const KEPT_LEN: i64 = 2048;

/// How a set of targets ended.
pub struct Outcome {
    /// Targets that ran their time and found nothing.
    pub passed: usize,
    /// Names of targets that found something or did not work.
    pub failed: Vec<String>,
}

/// Runs the task.
pub fn main(arguments: &FuzzArguments) -> Fallible<()> {
    let all = targets()?;
    if arguments.list {
        all.iter().for_each(|target| println!("{target}"));
        return Ok(());
    }
    let chosen = choose(&all, &arguments.targets)?;
    if let Some(input) = &arguments.reproduce {
        let [target] = chosen.as_slice() else {
            return Err("--reproduce needs exactly one target".to_owned());
        };
        build(&chosen)?;
        let input = std::path::absolute(input).map_err(|error| error.to_string())?;
        return run(Command::new(binary(target)).arg(input));
    }
    if arguments.keep {
        build(&chosen)?;
        return chosen.iter().try_for_each(|target| keep(target));
    }
    let outcome = fuzz(&chosen, arguments.seconds, arguments.jobs)?;
    if outcome.failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", outcome.failed.join(", "))) }
}

/// Copies into the committed corpus the fewest of our finds that reach every edge it does not (edges, not how often:
/// a few dozen files instead of a thousand).
fn keep(target: &str) -> Fallible<()> {
    let seeds = root().join("fuzz/corpus").join(target);
    let found = root().join("fuzz/target/corpus").join(target);
    for folder in [&seeds, &found] {
        std::fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    }
    let mut command = Command::new(binary(target));
    command.current_dir(root()).args(["-set_cover_merge=1", "-use_counters=0"]);
    command.arg(format!("-max_len={KEPT_LEN}"));
    let (_, status) = logged(command.arg(&seeds).arg(&found), target)?;
    let kept = std::fs::read_dir(&seeds).map_or(0, Iterator::count);
    println!("fuzz {target}: {kept} seeds in fuzz/corpus/{target}");
    if status { Ok(()) } else { Err(format!("merging the corpus of {target} failed")) }
}

/// Every target for `seconds`, two at a time.
pub fn smoke(seconds: u32) -> Fallible<Outcome> {
    fuzz(&targets()?, seconds, 2)
}

fn choose(all: &[String], named: &[String]) -> Fallible<Vec<String>> {
    if let Some(unknown) = named.iter().find(|name| !all.contains(name)) {
        return Err(format!("no fuzz target `{unknown}`; there are: {}", all.join(", ")));
    }
    Ok(if named.is_empty() { all.to_vec() } else { named.to_vec() })
}

/// The targets are the programs of the fuzz crate: one file, one target.
fn targets() -> Fallible<Vec<String>> {
    let folder = root().join("fuzz/src/bin");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".rs").map(str::to_owned))
        .collect();
    names.sort();
    if names.is_empty() {
        return Err(format!("no fuzz target in {}", folder.display()));
    }
    Ok(names)
}

fn build(targets: &[String]) -> Fallible<()> {
    let mut command = cargo(&[
        "build",
        "--release",
        "--manifest-path",
        "fuzz/Cargo.toml",
        "--target",
        PLATFORM,
        "--target-dir",
        "fuzz/target",
    ]);
    for target in targets {
        command.args(["--bin", target]);
    }
    // The caller's flags would either be lost or break the pass: ours are the whole set.
    command.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTFLAGS", RUSTFLAGS);
    run(&mut command)
}

fn binary(target: &str) -> PathBuf {
    root().join("fuzz/target").join(PLATFORM).join("release").join(target)
}

fn fuzz(targets: &[String], seconds: u32, jobs: usize) -> Fallible<Outcome> {
    build(targets)?;
    let limits = max_lens()?;
    let jobs = jobs.clamp(1, targets.len().max(1));
    println!("fuzz: {} targets, {seconds} s each, {jobs} at a time", targets.len());
    let waiting: Mutex<VecDeque<&String>> = Mutex::new(targets.iter().collect());
    let reports: Mutex<Vec<Report>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    // In a statement of its own: a guard in the head of `while let` would be held for the whole turn.
                    let next = lock(&waiting).pop_front();
                    let Some(target) = next else { break };
                    let max_len = limits.iter().find(|(name, _)| name == target).map_or(MAX_LEN, |(_, len)| *len);
                    let report = one(target, seconds, max_len);
                    println!("{report}");
                    lock(&reports).push(report);
                }
            });
        }
    });
    let reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut failed: Vec<String> =
        reports.iter().filter(|report| report.problem.is_some()).map(|report| report.target.clone()).collect();
    failed.sort();
    Ok(Outcome { passed: reports.len() - failed.len(), failed })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `[package.metadata.max_len]` of the fuzz crate: target to bytes.
fn max_lens() -> Fallible<Vec<(String, i64)>> {
    let path = root().join("fuzz/Cargo.toml");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let manifest: toml::Table = text.parse().map_err(|error| format!("fuzz/Cargo.toml: {error}"))?;
    let table = manifest
        .get("package")
        .and_then(|package| package.get("metadata"))
        .and_then(|metadata| metadata.get("max_len"))
        .and_then(toml::Value::as_table);
    let entries = table.into_iter().flatten();
    Ok(entries.filter_map(|(name, value)| Some((name.clone(), value.as_integer()?))).collect())
}

/// Runs one target to its end and reads its log.
fn one(target: &str, seconds: u32, max_len: i64) -> Report {
    let (log, status) = match start(target, seconds, max_len) {
        Ok(ended) => ended,
        Err(why) => return Report::broken(target, why),
    };
    let text = std::fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    read_log(target, &text, status, &log)
}

fn start(target: &str, seconds: u32, max_len: i64) -> Fallible<(PathBuf, bool)> {
    let found = root().join("fuzz/target/corpus").join(target);
    let artifacts = root().join("fuzz/target/artifacts").join(target);
    for folder in [&found, &artifacts] {
        std::fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    }
    let mut command = Command::new(binary(target));
    command
        .current_dir(root())
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={max_len}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
        .arg(format!("-timeout={HANG_SECONDS}"))
        .arg(format!("-artifact_prefix=fuzz/target/artifacts/{target}/"))
        .args(["-print_final_stats=1", "-use_value_profile=1"])
        .arg(&found);
    let seeds = root().join("fuzz/corpus").join(target);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    logged(&mut command, target)
}

/// Runs a target with its output in a file; the path of the file and whether it succeeded.
fn logged(command: &mut Command, target: &str) -> Fallible<(PathBuf, bool)> {
    let logs = root().join("fuzz/target/logs");
    let log = logs.join(format!("{target}.log"));
    let output = std::fs::create_dir_all(&logs)
        .and_then(|()| std::fs::File::create(&log))
        .map_err(|error| format!("cannot write {}: {error}", log.display()))?;
    let status = command
        // Targets end without destructors: what they leave stays in the build folder. Relative, because the path of a
        // Unix socket has to be short.
        .env("TMPDIR", "fuzz/target/logs")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(output)
        .status()
        .map_err(|error| format!("cannot start {target}: {error}"))?;
    Ok((log, status.success()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_target_is_named_together_with_the_known_ones() {
        let all = ["a".to_owned(), "b".to_owned()];
        assert_eq!(choose(&all, &[]).unwrap(), all);
        assert_eq!(choose(&all, &all[1..]).unwrap(), ["b"]);
        let why = choose(&all, &["c".to_owned()]).unwrap_err();
        assert!(why.contains("`c`") && why.contains("a, b"));
    }
}
