//! `underpass log`: the gateway's latest events, and with `-f` those to come.

use super::Control;
use crate::client::{Gateway, clean};
use crate::exit::{Exit, Failure, HELP};
use crate::tunnels::{Status, Target, items, text};
use formats::parse_rfc3339;
use observe::activity::{About, ActivityLog};
use serde_json::{Value, json};
use std::io::Write;

/// Show what happened: negotiations, rekeys, failures, drops
///
/// `--activity` writes it as the tunnel activity log of AWS Site-to-Site VPN, a line of JSON each, for what reads that.
#[derive(clap::Args, Debug)]
#[command(after_help = format!("Examples:
  underpass log              the latest events
  underpass log -f           go on until Ctrl-C
  underpass log -f --json    one JSON object per line
  underpass log cloud -f     of one connection
  underpass log --activity   as AWS's tunnel activity log

{HELP}"))]
pub struct Args {
    /// Only this connection, or one tunnel of it
    #[arg(value_name = "CONNECTION")]
    pub connection: Option<String>,
    /// As the tunnel activity log of AWS Site-to-Site VPN
    #[arg(long)]
    pub activity: bool,
    /// Go on with new events as they come
    #[arg(short, long)]
    pub follow: bool,
    #[command(flatten)]
    pub control: Control,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let gateway = args.control.gateway();
    let mut lines = Lines::new(args, &gateway)?;
    let (first, mut stream) = gateway.stream(&json!({ "command": "log", "follow": args.follow }))?;
    let listed = first.as_array().or_else(|| first.get("events").and_then(Value::as_array));
    for event in listed.into_iter().flatten() {
        lines.print(event, out)?;
    }
    if !args.follow {
        return Ok(Exit::Ok);
    }
    loop {
        out.flush()?;
        let Some(event) = stream.next_line()? else {
            return Err(Failure::new(Exit::Unreachable, "ended", "the gateway has ended"));
        };
        lines.print(&event, out)?;
    }
}

/// How events become lines, and which.
struct Lines {
    json: bool,
    /// Only of these, where some were asked for.
    wanted: Option<Vec<String>>,
    activity: Option<ActivityLog>,
}

impl Lines {
    fn new(args: &Args, gateway: &Gateway) -> Result<Lines, Failure> {
        let status = (args.activity || args.connection.is_some()).then(|| Status::of(gateway)).transpose()?;
        let target = args.connection.as_deref().map(|name| Target::new(name, None)).transpose()?;
        let wanted = match (&status, &target, &args.connection) {
            (Some(status), Some(target), Some(name)) => {
                let tunnels = status.select(Some(target))?.into_iter().map(|found| text(found, "name").to_owned());
                Some(tunnels.chain([name.clone()]).collect())
            }
            _ => None,
        };
        let about = |connection: &Value| {
            let dpd = connection.get("dpd_enabled").and_then(Value::as_bool).unwrap_or_default();
            let nat = !matches!(text(connection, "nat"), "" | "none");
            (text(connection, "name").to_owned(), About { dpd, nat })
        };
        let activity = status.filter(|_| args.activity);
        let activity = activity.map(|status| ActivityLog::new(items(&status.0, "connections").into_iter().map(about)));
        Ok(Lines { json: args.control.json, wanted, activity })
    }

    fn print(&mut self, event: &Value, out: &mut dyn Write) -> Result<(), Failure> {
        if self.wanted.as_ref().is_some_and(|wanted| !wanted.iter().any(|name| name == text(event, "connection"))) {
            return Ok(());
        }
        match &mut self.activity {
            Some(log) => {
                let seconds = parse_rfc3339(text(event, "time")).unwrap_or_default();
                if let Some(entry) = log.entry(event, seconds) {
                    writeln!(out, "{entry}")?;
                }
                Ok(())
            }
            None => print(event, self.json, out),
        }
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
