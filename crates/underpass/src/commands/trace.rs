//! `underpass trace`: the last messages with a peer as a sequence diagram, and what became of them.

use super::Control;
use crate::client::clean;
use crate::exit::{Exit, Failure, HELP};
use crate::sequence;
use crate::table::colour_welcome;
use crate::tunnels::{Status, Target, text};
use serde_json::{Value, json};
use std::io::Write;

/// Show the last messages of a tunnel's negotiations as a sequence diagram
///
/// Every payload is shown with what it says; of keys, nonces and proofs only the length. Where a negotiation failed, what differs is
/// marked. The gateway keeps the last 64 exchanges with each peer.
#[derive(clap::Args, Debug)]
#[command(after_help = format!("Examples:
  underpass trace site-b             the whole diagram
  underpass trace site-b --last 10   its last ten lines
  underpass trace cloud --json       each message and event as JSON

{HELP}"))]
pub struct Args {
    /// The connection, or one tunnel of it
    #[arg(value_name = "TUNNEL")]
    pub connection: String,
    /// Only the last messages and events
    #[arg(long, value_name = "N")]
    pub last: Option<usize>,
    #[command(flatten)]
    pub control: Control,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let gateway = args.control.gateway();
    let status = Status::of(&gateway)?;
    let tunnels = status.select(Some(&Target::new(&args.connection, None)?))?;
    let mut traces = Vec::new();
    for tunnel in tunnels {
        let name = text(tunnel, "name").to_owned();
        let answer = gateway.ask(&json!({ "command": "trace", "connection": name }))?;
        let mut entries = answer.as_array().cloned().unwrap_or_default();
        if let Some(last) = args.last {
            entries.drain(..entries.len().saturating_sub(last));
        }
        traces.push((name, entries));
    }
    if args.control.json {
        let traces: Vec<Value> =
            traces.iter().map(|(name, entries)| json!({ "tunnel": name, "entries": entries })).collect();
        writeln!(out, "{}", json!({ "schema_version": 1, "traces": traces }))?;
        return Ok(Exit::Ok);
    }
    for (index, (name, entries)) in traces.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}", clean(name))?;
        if entries.is_empty() {
            writeln!(out, "no message yet: `underpass up {}` begins", clean(name))?;
        }
        for line in sequence::lines(entries, colour_welcome()) {
            writeln!(out, "{line}")?;
        }
    }
    Ok(Exit::Ok)
}
