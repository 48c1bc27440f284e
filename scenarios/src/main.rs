//! Runs simulations over many seeds on every core and prints what they did.
//!
//! ```text
//! scenarios                                       everything that CI runs: 10,000 seeds of `soak`, 500 of each other, in
//!                                                 either version of IKE
//! scenarios soak --seeds 10000 [--from 0]         a link that loses 20 %, doubles 20 %, reorders
//! scenarios soak --scenario partition|nat-rebinding|restart --seeds 500
//! scenarios soak --ike-version ikev1|ikev2        one version of IKE; both unless said
//! scenarios soak --seed 4711                      one seed, to look at
//! ```
//! Exit status: 0 all converged, 1 a seed failed (its number, messages and tables are printed), 2 wrong arguments.

use ike::config::Version;
use scenarios::ike_pair::soak::{HOSTILE_TIME, Report, Trouble, run};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What the arguments ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Request {
    version: Version,
    trouble: Trouble,
    from: u64,
    seeds: u64,
}

/// Sums over seeds.
#[derive(Default)]
struct Sums {
    exchanges: u64,
    messages: u64,
    child_rekeys: u64,
    ike_rekeys: u64,
    packets: u64,
    heard: u64,
    ups: u64,
    downs: u64,
    steps: u64,
    fewest_rekeys: Option<u64>,
    longest_gap: Duration,
    failure: Option<(u64, String)>,
}

impl Sums {
    fn add(&mut self, report: &Report) {
        for end in &report.ends {
            self.exchanges += end.exchanges;
            self.messages += end.messages;
            self.child_rekeys += end.child_rekeys;
            self.ike_rekeys += end.ike_rekeys;
            self.packets += end.packets;
            self.heard += end.heard;
            self.ups += end.ups;
            self.downs += end.downs;
        }
        self.steps += report.steps;
        let fewest = self.fewest_rekeys.map_or(report.fewest_rekeys, |fewest| fewest.min(report.fewest_rekeys));
        self.fewest_rekeys = Some(fewest);
        self.longest_gap = self.longest_gap.max(report.longest_gap);
    }

    fn fail(&mut self, seed: u64, found: String) {
        if self.failure.as_ref().is_none_or(|(first, _)| seed < *first) {
            self.failure = Some((seed, found));
        }
    }
}

fn name_of(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Link => "link",
        Trouble::Partition => "partition",
        Trouble::NatRebinding => "nat-rebinding",
        Trouble::Restart => "restart",
    }
}

/// Runs all seeds of a request on every core. Says whether all converged.
fn soak(request: Request) -> bool {
    let started = Instant::now();
    let next = AtomicU64::new(request.from);
    let end = request.from.saturating_add(request.seeds);
    let sums = Mutex::new(Sums::default());
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| work(request, &next, end, &sums));
        }
    });
    let Ok(sums) = sums.into_inner() else {
        println!("{} {}: a worker panicked", request.version, name_of(request.trouble));
        return false;
    };
    print(request, &sums, started);
    sums.failure.is_none()
}

/// Takes seeds until there are none, or one failed.
fn work(request: Request, next: &AtomicU64, end: u64, sums: &Mutex<Sums>) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return;
        }
        let outcome = run(seed, request.trouble, request.version);
        let Ok(mut sums) = sums.lock() else { return };
        match outcome {
            Ok(report) => sums.add(&report),
            Err(found) => sums.fail(seed, found),
        }
        if sums.failure.is_some() {
            return;
        }
    }
}

fn print(request: Request, sums: &Sums, started: Instant) {
    let name = name_of(request.trouble);
    if let Some((seed, found)) = &sums.failure {
        let again = format!("scenarios soak --ike-version {} --scenario {name} --seed {seed}", request.version.name());
        println!("{found}\n{} {name}: seed {seed} FAILED; again with: {again}", request.version);
        return;
    }
    println!(
        "{} {name}: {} seeds of {} simulated seconds each converged in {:.1} s",
        request.version,
        request.seeds,
        HOSTILE_TIME.as_secs(),
        started.elapsed().as_secs_f64()
    );
    println!(
        "  {} exchanges in {} messages; {} child rekeys, {} IKE rekeys, at least {} per end and seed",
        sums.exchanges,
        sums.messages,
        sums.child_rekeys,
        sums.ike_rekeys,
        sums.fewest_rekeys.unwrap_or(0)
    );
    println!(
        "  {} packets sent, {} received; IKE SAs up {} times, down {} times; {} simulation steps",
        sums.packets, sums.heard, sums.ups, sums.downs, sums.steps
    );
    if request.version == Version::V1 {
        println!("  longest time that one end sent on an SA which the other one did not have: {:?}", sums.longest_gap);
    }
}

/// Both versions of IKE.
const VERSIONS: [Version; 2] = [Version::V2, Version::V1];

/// Every program run that CI does.
fn everything() -> Vec<Request> {
    let of = |(version, trouble)| {
        let seeds = if trouble == Trouble::Link { 10_000 } else { 500 };
        Request { version, trouble, from: 0, seeds }
    };
    let all = [Trouble::Link, Trouble::Partition, Trouble::NatRebinding, Trouble::Restart];
    VERSIONS.into_iter().flat_map(|version| all.map(|trouble| (version, trouble))).map(of).collect()
}

/// What the command line asks for, or why it makes no sense.
fn requests(arguments: &[String]) -> Result<Vec<Request>, String> {
    let Some((command, options)) = arguments.split_first() else { return Ok(everything()) };
    if command != "soak" {
        return Err(format!("unknown command {command:?}: there is `soak`"));
    }
    let mut request = Request { version: Version::V2, trouble: Trouble::Link, from: 0, seeds: 10_000 };
    let mut versions = VERSIONS.to_vec();
    for pair in options.chunks(2) {
        let [option, value] = pair else { return Err(format!("{} needs a value", pair.concat())) };
        let number = || value.parse::<u64>().map_err(|error| format!("{option} {value}: {error}"));
        match option.as_str() {
            "--seeds" => request.seeds = number()?,
            "--from" => request.from = number()?,
            "--seed" => (request.from, request.seeds) = (number()?, 1),
            "--ike-version" => {
                versions.retain(|version| version.name() == value);
                if versions.is_empty() {
                    return Err(format!("unknown version {value:?}: {}", VERSIONS.map(Version::name).join(", ")));
                }
            }
            "--scenario" => {
                let all = [Trouble::Link, Trouble::Partition, Trouble::NatRebinding, Trouble::Restart];
                let known = all.into_iter().find(|trouble| name_of(*trouble) == value);
                request.trouble =
                    known.ok_or_else(|| format!("unknown scenario {value:?}: {}", all.map(name_of).join(", ")))?;
            }
            _ => return Err(format!("unknown option {option:?}: --seeds, --from, --seed, --scenario, --ike-version")),
        }
    }
    Ok(versions.into_iter().map(|version| Request { version, ..request }).collect())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match requests(&arguments) {
        Ok(requests) => {
            let converged = requests.into_iter().all(soak);
            if converged { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<Vec<Request>, String> {
        requests(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn the_command_line_says_which_seeds_of_which_scenario() {
        assert_eq!(asked("").map(|all| all.len()), Ok(8));
        let one = |version| Request { version, trouble: Trouble::Restart, from: 7, seeds: 1 };
        let both = vec![one(Version::V2), one(Version::V1)];
        assert_eq!(asked("soak --scenario restart --seed 7"), Ok(both));
        let old = asked("soak --scenario restart --ike-version ikev1 --seed 7");
        assert_eq!(old, Ok(vec![one(Version::V1)]));
        assert!(asked("soak --ike-version ikev3").is_err());
        assert!(asked("soak --seeds").is_err());
        assert!(asked("soak --seeds many").is_err());
        assert!(asked("soak --scenario weather").is_err());
        assert!(asked("sing").is_err());
    }
}
