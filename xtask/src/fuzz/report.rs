//! Reads what libFuzzer printed: did it really see coverage, how much did it run, and how is a crash run again?

use std::fmt;
use std::path::Path;

/// How one target ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Report {
    /// Its name.
    pub target: String,
    /// Edges covered at the end.
    pub covered: Option<u64>,
    /// Inputs run.
    pub runs: Option<u64>,
    /// What went wrong, with the command that shows it again.
    pub problem: Option<String>,
}

impl Report {
    /// A target that could not be run at all.
    pub fn broken(target: &str, why: String) -> Self {
        Report { target: target.to_owned(), covered: None, runs: None, problem: Some(why) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |value: Option<u64>| value.map_or("?".to_owned(), |value| value.to_string());
        let (covered, runs) = (number(self.covered), number(self.runs));
        let verdict = if self.problem.is_some() { "FAILED" } else { "ok" };
        write!(f, "fuzz {} … {verdict} (cov: {covered}, {runs} runs)", self.target)?;
        match &self.problem {
            Some(problem) => write!(f, "\n{problem}"),
            None => Ok(()),
        }
    }
}

/// Reads a target's log. `success` is its exit status.
pub fn read_log(target: &str, text: &str, success: bool, log: &Path) -> Report {
    let covered = text.lines().filter_map(|line| word_after(line, "cov:")).next_back();
    let runs = text.lines().filter_map(|line| word_after(line, "stat::number_of_executed_units:")).next_back();
    let problem = if !success {
        Some(crash(target, text, log))
    } else if covered.is_none_or(|edges| edges == 0) {
        Some(format!("  no coverage counters: the instrumentation did not work (log: {})", log.display()))
    } else {
        None
    };
    Report { target: target.to_owned(), covered, runs, problem }
}

fn word_after(line: &str, key: &str) -> Option<u64> {
    let (_, rest) = line.split_once(key)?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Says what broke in a few lines and how to see it again.
fn crash(target: &str, text: &str, log: &Path) -> String {
    let mut lines: Vec<String> = text
        .lines()
        .skip_while(|line| !line.contains("panicked at"))
        .take(2)
        .chain(text.lines().filter(|line| line.starts_with("SUMMARY:")))
        .map(|line| format!("  {line}"))
        .collect();
    let artifact = text.lines().filter_map(|line| line.split_once("Test unit written to ")).next_back();
    if let Some((_, path)) = artifact {
        lines.push(format!("  reproduce: cargo xtask fuzz {target} --reproduce {}", path.trim()));
    }
    lines.push(format!("  log: {}", log.display()));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEALTHY: &str = "INFO: Loaded 1 modules   (219 inline 8-bit counters): 219\n\
        #2\tINITED cov: 3 ft: 4 corp: 1/1b exec/s: 0 rss: 40Mb\n\
        #900\tNEW    cov: 12 ft: 40 corp: 9/100b lim: 8 exec/s: 900 rss: 41Mb\n\
        stat::number_of_executed_units: 1234567\n";

    #[test]
    fn a_healthy_run_tells_its_last_coverage_and_its_runs() {
        let report = read_log("a", HEALTHY, true, Path::new("a.log"));
        assert_eq!((report.covered, report.runs), (Some(12), Some(1_234_567)));
        assert_eq!(report.problem, None);
    }

    #[test]
    fn a_run_without_counters_fails_even_though_it_found_nothing() {
        let report = read_log("a", "Done 5 runs\n", true, Path::new("a.log"));
        assert!(report.problem.unwrap().contains("no coverage counters"));
        let zero = HEALTHY.replace("cov: 12", "cov: 0");
        assert!(read_log("a", &zero, true, Path::new("a.log")).problem.is_some());
    }

    #[test]
    fn a_crash_prints_the_panic_and_the_command_that_shows_it_again() {
        let text = format!(
            "{HEALTHY}thread '<unnamed>' panicked at crates/ike/src/a.rs:3:5:\nindex out of bounds\n\
             SUMMARY: libFuzzer: deadly signal\nartifact_prefix='x/'; Test unit written to x/crash-12ab\n"
        );
        let problem = read_log("ike_wire", &text, false, Path::new("a.log")).problem.unwrap();
        for part in
            ["crates/ike/src/a.rs:3:5", "index out of bounds", "cargo xtask fuzz ike_wire --reproduce x/crash-12ab"]
        {
            assert!(problem.contains(part), "{problem}");
        }
    }
}
