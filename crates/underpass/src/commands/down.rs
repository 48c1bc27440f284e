//! `underpass down`: deletes a connection's SAs, or a child's, and waits until they are gone.

use super::wait::{State, until};
use super::{Control, Which, done, order};
use crate::duration;
use crate::exit::{Exit, Failure, HELP};
use std::io::Write;
use std::time::Duration;

/// Take a connection down, or one of its children
///
/// It stays down until `underpass up`. Its traffic is dropped meanwhile, never sent in clear.
#[derive(clap::Args, Debug)]
#[command(after_help = format!("Examples:
  underpass down site-b        the IKE SA and all children
  underpass down site-b/net    one child

{HELP}"))]
pub struct Args {
    #[command(flatten)]
    pub which: Which,
    /// How long to wait until it is down; 0 does not wait
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::parse)]
    pub timeout: Duration,
    #[command(flatten)]
    pub control: Control,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let (gateway, target) = (args.control.gateway(), args.which.target()?);
    let result = order(&gateway, "down", &target)?;
    if args.timeout.is_zero() {
        return done(&args.control, &format!("{}: going down", target.name()), &result, out);
    }
    until(&gateway, Some(&target), State::Down, args.timeout)?.print(&args.control, out)
}
