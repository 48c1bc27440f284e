//! `underpass log`: the gateway's latest events, and with `-f` those to come.

use super::Control;
use crate::client::clean;
use crate::exit::{Exit, Failure, HELP};
use crate::tunnels::text;
use serde_json::{Value, json};
use std::io::Write;

/// Show what happened: negotiations, rekeys, failures, drops
#[derive(clap::Args, Debug)]
#[command(after_help = format!("Examples:
  underpass log              the latest events
  underpass log -f           go on until Ctrl-C
  underpass log -f --json    one JSON object per line

{HELP}"))]
pub struct Args {
    /// Go on with new events as they come
    #[arg(short, long)]
    pub follow: bool,
    #[command(flatten)]
    pub control: Control,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let gateway = args.control.gateway();
    let (first, mut stream) = gateway.stream(&json!({ "command": "log", "follow": args.follow }))?;
    let listed = first.as_array().or_else(|| first.get("events").and_then(Value::as_array));
    for event in listed.into_iter().flatten() {
        print(event, args.control.json, out)?;
    }
    if !args.follow {
        return Ok(Exit::Ok);
    }
    loop {
        out.flush()?;
        let Some(event) = stream.next_line()? else {
            return Err(Failure::new(Exit::Unreachable, "ended", "the gateway has ended"));
        };
        print(&event, args.control.json, out)?;
    }
}

fn print(event: &Value, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    if json || text(event, "message").is_empty() {
        writeln!(out, "{event}")?;
        return Ok(());
    }
    let part = |name: &str| clean(text(event, name));
    let subject = match (part("connection"), part("child")) {
        (connection, _) if connection.is_empty() => String::new(),
        (connection, child) if child.is_empty() => format!("{connection}: "),
        (connection, child) => format!("{connection}/{child}: "),
    };
    // A refused configuration has many lines.
    let message = text(event, "message").lines().map(clean).collect::<Vec<_>>().join("\n");
    writeln!(out, "{} {:5} {subject}{message}", part("time"), part("level"))?;
    Ok(())
}
