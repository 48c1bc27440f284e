//! `underpass metrics`: what Prometheus would read, for scripts, for the textfile collector, and to look at.

use super::Control;
use crate::client::clean;
use crate::exit::{Exit, Failure, HELP};
use serde_json::{Value, json};
use std::io::Write;

/// Print the gateway's metrics as Prometheus reads them
///
/// With `metrics = "127.0.0.1:9754"` in the gateway's table it serves the same by HTTP.
#[derive(clap::Args, Debug)]
#[command(after_help = format!("Examples:
  underpass metrics                          the text format of Prometheus
  underpass metrics --json                   the same as JSON
  underpass metrics > /var/lib/prometheus/node-exporter/underpass.prom.$$

{HELP}"))]
pub struct Args {
    #[command(flatten)]
    pub control: Control,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let request = json!({ "command": "metrics", "json": args.control.json });
    match args.control.gateway().ask(&request)? {
        Value::String(text) => {
            for line in text.lines() {
                writeln!(out, "{}", clean(line))?;
            }
        }
        metrics => writeln!(out, "{}", json!({ "schema_version": 1, "metrics": metrics }))?,
    }
    Ok(Exit::Ok)
}
