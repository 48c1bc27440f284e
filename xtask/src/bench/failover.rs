//! `cargo xtask bench failover`: for how long traffic is interrupted when one of two tunnels goes.
//!
//! A stream of 1,000 packets a second each way; the longest time in which nothing arrived is the interruption, so about a
//! millisecond of it is the stream's own. Every run starts with fresh gateways: a tunnel that failed lately is in hold-down.
//! With strongSwan at the far side the peer's own direction moves when its dead peer detection does: that is measured once.

use crate::process::{Fallible, cargo, run, target_dir};
use interop::error::LabError;
use interop::process::wait_for;
use interop::registry::Need;
use interop::strongswan::StrongSwan;
use interop::two_paths::{Connected, Cut, Far, TwoPaths, finish};
use interop::world::World;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// What `cargo xtask bench failover` accepts.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask bench failover                     every trouble, 100 runs each
  cargo xtask bench failover --runs 10           sooner
  cargo xtask bench failover --trouble there     what the near site sends is lost")]
pub struct FailoverArguments {
    /// Runs of each trouble
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Only this trouble (may be given several times)
    #[arg(long, value_enum, value_name = "NAME")]
    trouble: Vec<Trouble>,
    /// Measure the binaries as they are
    #[arg(long)]
    no_build: bool,
    /// A missing peer is no failure
    #[arg(long)]
    allow_missing: bool,
}

/// What happens to the tunnel that carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Trouble {
    /// Its path becomes a black hole
    BlackHole,
    /// What the near site sends is lost
    There,
    /// What the far site sends is lost
    Back,
    /// The far endpoint is killed with kill -9
    Killed,
    /// An operator takes it down
    Deleted,
    /// Its path becomes a black hole, and strongSwan is at the far side
    Strongswan,
}

impl Trouble {
    const ALL: [Trouble; 6] =
        [Trouble::BlackHole, Trouble::There, Trouble::Back, Trouble::Killed, Trouble::Deleted, Trouble::Strongswan];

    fn name(self) -> String {
        clap::ValueEnum::to_possible_value(&self).map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Which directions our own design answers for: the far one of a strongSwan is strongSwan's.
    fn measured(self) -> [bool; 2] {
        match self {
            Trouble::BlackHole | Trouble::Deleted => [true, true],
            // What arrives is not interrupted; the far site's router is the lab's own.
            Trouble::There | Trouble::Killed | Trouble::Strongswan => [true, false],
            Trouble::Back => [false, true],
        }
    }

    fn far_gateways(self) -> usize {
        match self {
            Trouble::Killed | Trouble::Strongswan => 2,
            Trouble::BlackHole | Trouble::There | Trouble::Back | Trouble::Deleted => 1,
        }
    }
}

/// One direction's interruptions over all runs, in milliseconds.
struct Direction {
    name: &'static str,
    gaps: Vec<u128>,
    lost: u64,
}

impl Direction {
    /// The smallest value that `percent` of all do not exceed.
    fn percentile(&self, percent: usize) -> u128 {
        let mut sorted = self.gaps.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
        sorted.get(rank).copied().unwrap_or_default()
    }
}

/// Runs the task.
pub fn main(arguments: &FailoverArguments) -> Fallible<()> {
    if !arguments.no_build {
        run(&mut cargo(&["build", "--release", "--workspace", "--bins"]))?;
    }
    if let Some(why) = Need::Root.missing() {
        return Err(why);
    }
    let wanted = if arguments.trouble.is_empty() { Trouble::ALL.to_vec() } else { arguments.trouble.clone() };
    interop::world::remove_leftovers();
    println!(
        "{:<12} {:<6} {:>5} {:>8} {:>8} {:>8} {:>8}   interruption in ms",
        "trouble", "way", "runs", "p50", "p99", "most", "lost"
    );
    let (mut rows, mut skipped) = (Vec::new(), Vec::new());
    for trouble in wanted {
        if let Some(why) = StrongSwan::missing().filter(|_| trouble == Trouble::Strongswan) {
            println!("{:<12} skipped: {why}", trouble.name());
            skipped.push(json!({ "trouble": trouble.name(), "reason": why }));
            continue;
        }
        rows.extend(measure(trouble, arguments.runs).map_err(|error| format!("{}: {error}", trouble.name()))?);
    }
    save(&rows, &skipped, arguments.runs)?;
    if skipped.is_empty() || arguments.allow_missing {
        Ok(())
    } else {
        Err(format!("{} troubles skipped (--allow-missing to accept that)", skipped.len()))
    }
}

fn measure(trouble: Trouble, runs: u32) -> Result<Vec<Value>, LabError> {
    let mut world = World::new()?;
    let paths = TwoPaths::build(&mut world, trouble.far_gateways())?;
    let mut connected = match trouble {
        Trouble::Strongswan => Connected::strongswan(&world, paths)?,
        _ => Connected::ours(&world, paths, trouble.far_gateways())?,
    };
    let mut directions = ["there", "back"].map(|name| Direction { name, gaps: Vec::new(), lost: 0 });
    for index in 0..runs {
        if index > 0 {
            connected.paths.cut(0, Cut::Nothing)?;
            connected.paths.far_client_uses(0)?;
            connected.start_over()?;
        }
        let reports = once(trouble, &mut connected)?;
        for (direction, report) in directions.iter_mut().zip(&reports) {
            direction.gaps.push(report.largest_gap.as_millis());
            direction.lost += report.lost() + report.refused;
        }
    }
    let mut rows = Vec::new();
    for (direction, measured) in directions.iter().zip(trouble.measured()) {
        if !measured {
            continue;
        }
        let (p50, p99, most) = (direction.percentile(50), direction.percentile(99), direction.percentile(100));
        let (name, lost) = (trouble.name(), direction.lost);
        println!("{name:<12} {:<6} {runs:>5} {p50:>8} {p99:>8} {most:>8} {lost:>8}", direction.name);
        rows.push(json!({
            "trouble": name, "direction": direction.name, "runs": runs, "lost": lost,
            "milliseconds": { "p50": p50, "p99": p99, "most": most, "all": direction.gaps },
        }));
    }
    if trouble == Trouble::Strongswan {
        rows.push(peers_own(&mut connected)?);
    }
    Ok(rows)
}

/// Streams both ways, the trouble in their middle, and what became of them.
fn once(trouble: Trouble, connected: &mut Connected) -> Result<[interop::traffic::StreamReport; 2], LabError> {
    let streams = connected.streams()?;
    match trouble {
        Trouble::BlackHole | Trouble::Strongswan => connected.paths.cut(0, Cut::Both)?,
        Trouble::There => connected.paths.cut(0, Cut::There)?,
        Trouble::Back => connected.paths.cut(0, Cut::Back)?,
        Trouble::Deleted => connected.g1.down("vpn-1")?,
        Trouble::Killed => {
            if let Far::Ours(gateways) = &mut connected.far
                && let Some(first) = gateways.first_mut()
            {
                first.kill9();
            }
            connected.paths.far_client_uses(1)?;
        }
    }
    // The peer's direction may be another's business: only what is ours is waited for.
    for (stream, measured) in streams.iter().zip(trouble.measured()) {
        if measured {
            stream.wait_received(600, Duration::from_secs(20))?;
        }
    }
    finish(streams)
}

/// For how long a strongSwan goes on sending into the black hole: until its dead peer detection has given up the SA, and a
/// router of its site could know.
fn peers_own(connected: &mut Connected) -> Result<Value, LabError> {
    connected.paths.cut(0, Cut::Nothing)?;
    connected.paths.far_client_uses(0)?;
    connected.start_over()?;
    let streams = connected.streams()?;
    connected.paths.cut(0, Cut::Both)?;
    let start = Instant::now();
    let Far::StrongSwan(swans) = &connected.far else { return Ok(Value::Null) };
    let Some(first) = swans.first() else { return Ok(Value::Null) };
    wait_for("strongSwan giving up", Duration::from_secs(200), || Ok(first.installed()?.is_empty().then_some(())))?;
    let took = start.elapsed().as_millis();
    finish(streams)?;
    println!(
        "{:<12} {:<6} {:>5} {took:>8}   strongSwan's own direction, with dpd_delay 10 s and 3 retransmissions from 1 s",
        "", "back", 1
    );
    Ok(json!({ "trouble": "strongswan", "direction": "back", "runs": 1, "milliseconds": { "all": [took] } }))
}

fn save(rows: &[Value], skipped: &[Value], runs: u32) -> Fallible<()> {
    let folder = target_dir()?.join("bench");
    let value = json!({ "schema_version": 1, "runs": runs, "results": rows, "skipped": skipped });
    std::fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let path = folder.join("failover.json");
    std::fs::write(&path, format!("{value:#}\n"))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    println!("written {}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_value_that_so_many_do_not_exceed() {
        let direction = Direction { name: "there", gaps: (1..=100).rev().collect(), lost: 0 };
        assert_eq!([50, 99, 100].map(|percent| direction.percentile(percent)), [50, 99, 100]);
        let few = Direction { name: "there", gaps: vec![7, 3], lost: 0 };
        assert_eq!([50, 99].map(|percent| few.percentile(percent)), [3, 7]);
    }
}
