//! `underpass man`: our manual pages, one for each command.

use crate::exit::{Exit, Failure};
use clap::CommandFactory;
use clap_mangen::Man;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Print the manual page, or write one for each command
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  underpass man | man -l -                          read it
  underpass man -o /usr/local/share/man/man1        underpass.1, underpass-gateway.1, …")]
pub struct Args {
    /// Write a page for each command into this folder
    #[arg(short, long, value_name = "FOLDER")]
    pub output: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut all = crate::Cli::command();
    all.build();
    let Some(folder) = &args.output else {
        Man::new(all).render(out)?;
        return Ok(Exit::Ok);
    };
    for command in all.get_subcommands().filter(|command| command.get_name() != "help") {
        // The name of a page is that of the command as `man` looks it up.
        let name = format!("underpass-{}", command.get_name());
        page(folder, &name, &command.clone().display_name(name.clone()))?;
    }
    page(folder, "underpass", &all)?;
    writeln!(out, "{}", folder.display())?;
    Ok(Exit::Ok)
}

fn page(folder: &Path, name: &str, command: &clap::Command) -> Result<(), Failure> {
    let mut text = Vec::new();
    Man::new(command.clone()).render(&mut text)?;
    let path = folder.join(format!("{name}.1"));
    fs::write(&path, text).map_err(|error| {
        Failure::new(Exit::CannotTell, "write", format!("cannot write {}: {error}", path.display()))
            .hint("the folder must be there, and ours to write into")
    })
}
