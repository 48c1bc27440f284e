//! `underpass reload`: lets the gateway read its configuration again and apply what changed.

use super::{Control, done};
use crate::client::clean;
use crate::exit::{Exit, Failure, HELP};
use crate::tunnels::items;
use serde_json::{Value, json};
use std::io::Write;

/// Apply a changed configuration; tunnels it says nothing new about are not touched
///
/// With an error in the files, nothing is applied and the old configuration stays in force.
#[derive(clap::Args, Debug)]
#[command(after_help = format!("Examples:
  underpass gateway --check -c underpass.toml && underpass reload

{HELP}"))]
pub struct Args {
    #[command(flatten)]
    pub control: Control,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let result = args.control.gateway().ask(&json!({ "command": "reload" }))?;
    let names = |what: &str| {
        let list: Vec<String> = items(&result, what).iter().filter_map(|name| name.as_str()).map(clean).collect();
        (!list.is_empty()).then(|| format!("{what} {}", list.join(", ")))
    };
    let changes: Vec<String> = ["added", "changed", "removed"].into_iter().filter_map(names).collect();
    let words = match (changes.is_empty(), result.get("added").and_then(Value::as_array)) {
        (false, _) => format!("reloaded: {}", changes.join("; ")),
        (true, Some(_)) => "reloaded: nothing changed".to_owned(),
        (true, None) => "reloaded".to_owned(),
    };
    done(&args.control, &words, &result, out)
}
