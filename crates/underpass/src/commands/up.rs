//! `underpass up`: starts a connection or a child, and waits until it is up.

use super::wait::{State, until};
use super::{Control, Which, done, order};
use crate::duration;
use crate::exit::{Exit, Failure, HELP};
use std::io::Write;
use std::time::Duration;

/// Bring a connection up, or one of its children
#[derive(clap::Args, Debug)]
#[command(after_help = format!("Examples:
  underpass up site-b                with all its children, waiting until it is up
  underpass up site-b/net            one child
  underpass up site-b --timeout 0    start it and do not wait

{HELP}"))]
pub struct Args {
    #[command(flatten)]
    pub which: Which,
    /// How long to wait until it is up; 0 does not wait
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = duration::parse)]
    pub timeout: Duration,
    #[command(flatten)]
    pub control: Control,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let (gateway, target) = (args.control.gateway(), args.which.target()?);
    let result = order(&gateway, "up", &target)?;
    if args.timeout.is_zero() {
        return done(&args.control, &format!("{}: starting", target.name()), &result, out);
    }
    until(&gateway, Some(&target), State::Up, args.timeout)?.print(&args.control, out)
}
