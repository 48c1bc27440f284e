//! `underpass demo`: two sites and an internet on this machine, and a tunnel between them.

use crate::demo::{self, Options};
use crate::exit::{Exit, Failure};
use crate::table;
use std::io::Write;

/// Connect two sites on this machine alone, and watch the tunnel work
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  underpass demo           build two sites, an internet between them and a tunnel; a few seconds, nothing is left behind
  underpass demo --keep    leave it running until Ctrl-C, to look around
  underpass demo --json    one JSON object per step, the result last

Exit codes: 0 every step passed, 1 one did not, 2 usage, 4 this machine does not let us try")]
pub struct Args {
    /// Print JSON, one object per line (schema_version 1), instead of text
    #[arg(long)]
    pub json: bool,
    /// Leave everything running until Ctrl-C, and say how to look around
    #[arg(long)]
    pub keep: bool,
    /// No colour, even on a terminal
    #[arg(long)]
    pub no_color: bool,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let terminal = !args.json && table::colour_welcome();
    demo::run(&Options { json: args.json, keep: args.keep, terminal: terminal && !args.no_color }, out)
}
