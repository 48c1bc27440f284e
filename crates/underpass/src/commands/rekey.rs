//! `underpass rekey`: replaces an IKE SA or a child by a new one with new keys; traffic goes on.

use super::{Control, Which, done, order};
use crate::exit::{Exit, Failure, HELP};
use std::io::Write;

/// Replace the keys of a connection's IKE SA, or of one of its children
#[derive(clap::Args, Debug)]
#[command(after_help = format!("Examples:
  underpass rekey site-b        the IKE SA
  underpass rekey site-b/net    one child

{HELP}"))]
pub struct Args {
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub control: Control,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let target = args.which.target()?;
    let result = order(&args.control.gateway(), "rekey", &target)?;
    let what = if target.child.is_some() { "child" } else { "IKE SA" };
    done(&args.control, &format!("{}: rekeying the {what}", target.name()), &result, out)
}
