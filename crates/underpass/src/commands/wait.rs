//! `underpass wait`: blocks until tunnels are up or down, for scripts.

use super::Control;
use crate::client::Gateway;
use crate::duration;
use crate::exit::{Exit, Failure};
use crate::tunnels::{Status, Target, reason, text};
use serde_json::{Value, json};
use std::io::Write;
use std::time::{Duration, Instant};

/// Wait until tunnels are up, or down
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  underpass wait --for up --timeout 30s          until every connection is up
  underpass wait --for up site-b/net             until one child is up
  underpass wait --for down site-b --timeout 5s

Exit codes: 0 it is so, 1 not within the timeout, 2 usage, 3 cannot reach the gateway, 4 cannot tell")]
pub struct Args {
    /// What to wait for
    #[arg(long = "for", value_name = "STATE", value_enum, default_value = "up")]
    pub state: State,
    /// How long, as in 500ms, 30s, 2m
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    pub timeout: Duration,
    /// Only this connection, or child as in `site-b/net`
    #[arg(value_name = "CONNECTION[/CHILD]")]
    pub connection: Option<String>,
    #[command(flatten)]
    pub control: Control,
}

/// What can be waited for.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Packets pass.
    Up,
    /// None do.
    Down,
}

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(100);

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let target = args.connection.as_deref().map(|name| Target::new(name, None)).transpose()?;
    let waited = until(&args.control.gateway(), target.as_ref(), args.state, args.timeout)?;
    waited.print(&args.control, out)
}

/// How a wait ended.
#[derive(Debug)]
pub struct Waited {
    state: State,
    took: Duration,
    /// Tunnels that are not as they should be, with the reason.
    missing: Vec<(String, String)>,
}

impl Waited {
    /// Prints it, and gives the exit code.
    pub fn print(&self, control: &Control, out: &mut dyn Write) -> Result<Exit, Failure> {
        let (ok, state) = (self.missing.is_empty(), if self.state == State::Up { "up" } else { "down" });
        if control.json {
            let not: Vec<Value> =
                self.missing.iter().map(|(name, reason)| json!({ "name": name, "reason": reason })).collect();
            let took = u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX);
            let object =
                json!({ "schema_version": 1, "ok": ok, "state": state, "waited_milliseconds": took, "not": not });
            writeln!(out, "{object}")?;
        } else if ok {
            writeln!(out, "{state} after {:.1} s", self.took.as_secs_f64())?;
        } else {
            for (name, reason) in &self.missing {
                let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
                writeln!(std::io::stderr(), "{name} is not {state} after {:.1} s{reason}", self.took.as_secs_f64())?;
            }
        }
        Ok(if ok { Exit::Ok } else { Exit::Condition })
    }
}

/// Looks until everything is as it should be, or the time is up. A gateway that is not there yet is waited for too.
pub fn until(gateway: &Gateway, target: Option<&Target>, state: State, timeout: Duration) -> Result<Waited, Failure> {
    let start = Instant::now();
    loop {
        let looked = Status::of(gateway).and_then(|status| Ok(missing(&status.select(target)?, target, state)));
        let late = start.elapsed() >= timeout;
        match looked {
            Ok(missing) if missing.is_empty() || late => return Ok(Waited { state, took: start.elapsed(), missing }),
            Err(failure) if late || failure.exit != Exit::Unreachable => return Err(failure),
            Ok(_) | Err(_) => std::thread::sleep(INTERVAL.min(timeout.saturating_sub(start.elapsed()))),
        }
    }
}

fn missing(connections: &[&Value], target: Option<&Target>, state: State) -> Vec<(String, String)> {
    let child = target.and_then(|target| target.child.as_deref());
    let as_asked = |connection: &Value| Status::is_up(connection, child) == (state == State::Up);
    // A connection that is switched off will not come up; nobody who asks for all means it.
    let asked =
        |connection: &Value| target.is_some() || text(connection, "state") != "disabled" || state == State::Down;
    connections
        .iter()
        .filter(|connection| asked(connection) && !as_asked(connection))
        .map(|connection| {
            let name = target.map_or_else(|| text(connection, "name").to_owned(), Target::name);
            (name, reason(connection).unwrap_or_else(|| crate::client::clean(text(connection, "state"))))
        })
        .collect()
}
