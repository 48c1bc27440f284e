//! `cargo xtask lab`: builds the product and the lab runner, then runs the named labs (all when none is named).

use crate::process::{Fallible, cargo, command, run, target_dir};
use crate::test::{Setup, prepare_private_root, prepare_python_module};
use std::process::Command;

/// What `cargo xtask lab` accepts.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask lab --list              name every lab and what it needs
  cargo xtask lab strongswan_psk_gcm  run one lab
  cargo xtask lab                     run them all")]
pub struct LabArguments {
    /// Labs to run; all when none is named
    names: Vec<String>,
    /// Only list the labs
    #[arg(long)]
    list: bool,
    /// Results as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the task.
pub fn main(arguments: &LabArguments) -> Fallible<()> {
    run(&mut cargo(&["build", "--release", "--workspace", "--bins"]))?;
    let mut words = if arguments.list {
        vec!["list".to_owned()]
    } else {
        prepare_peers();
        let mut words = vec!["run".to_owned()];
        words.extend(arguments.names.iter().cloned());
        words
    };
    if arguments.json {
        words.push("--json".to_owned());
    }
    run(&mut interop(&words)?)
}

/// Fetches what a lab may need and no installed package brings; the labs say what they miss.
fn prepare_peers() {
    for made in [prepare_private_root(), prepare_python_module()] {
        match made {
            Ok(Setup::Ready(_)) => {}
            Ok(Setup::Skipped(why)) | Err(why) => println!("{why}"),
        }
    }
}

/// The lab runner, pointed at the freshly built product.
pub fn interop(words: &[String]) -> Fallible<Command> {
    let release = target_dir()?.join("release");
    let runner = release.join("interop");
    if !runner.exists() {
        return Err(format!("{} is not built", runner.display()));
    }
    let mut command = command(&runner.to_string_lossy(), words);
    command.env("UNDERPASS_BIN", release.join("underpass"));
    Ok(command)
}
