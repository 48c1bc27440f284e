//! `underpass completions`: a script for a shell that completes our commands and options.

use crate::exit::{Exit, Failure};
use clap::CommandFactory;
use clap_complete::{Shell, generate};
use std::io::Write;

/// Print a completion script for a shell
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  underpass completions bash > /etc/bash_completion.d/underpass
  underpass completions zsh > /usr/local/share/zsh/site-functions/_underpass
  underpass completions fish > ~/.config/fish/completions/underpass.fish")]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    // The generator panics where it cannot write: it writes into memory.
    let mut script = Vec::new();
    generate(args.shell, &mut crate::Cli::command(), "underpass", &mut script);
    out.write_all(&script)?;
    Ok(Exit::Ok)
}
