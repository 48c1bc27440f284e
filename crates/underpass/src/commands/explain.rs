//! `underpass explain`: what a log says, whoever wrote it.

use crate::exit::{Exit, Failure};
use crate::table::colour_welcome;
use doctor::explain::{LARGEST_LOG, explain};
use doctor::page::Style;
use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;

/// Say what a log means: charon, pluto, Cisco, FortiOS, PAN-OS, Junos, AWS tunnel logs, and ours
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  journalctl -u strongswan | underpass explain   what charon complains about, and what to do
  underpass explain router.log                   a file that somebody sent
  underpass explain --json < tunnel-1-IKE.log    for programs

Lines are quoted with their number; what may be a key is hidden.
Exit codes: 0 nothing found, 1 findings, 2 usage, 3 could not look, 4 an unknown log")]
pub struct Args {
    /// The log; standard input unless given
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Print JSON (schema_version 1) instead of text
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let log = read(args)?;
    // Old programs write their logs in whatever encoding they have.
    let explained = explain(&String::from_utf8_lossy(&log));
    if args.json {
        let mut value = serde_json::to_value(&explained).unwrap_or_default();
        if let Some(object) = value.as_object_mut() {
            object.insert("schema_version".to_owned(), 1.into());
        }
        writeln!(out, "{value}")?;
    } else {
        write!(out, "{}", explained.to_text(Style { colour: colour_welcome() }))?;
    }
    Ok(match (explained.dialect, explained.report.findings.is_empty()) {
        (None, _) => Exit::CannotTell,
        (Some(_), true) => Exit::Ok,
        (Some(_), false) => Exit::Condition,
    })
}

fn read(args: &Args) -> Result<Vec<u8>, Failure> {
    let mut log = Vec::new();
    // The end of a longer log counts, which a stream does not show before it ends: a little more is read, the rest is left.
    let limit = u64::try_from(LARGEST_LOG).unwrap_or(u64::MAX).saturating_mul(2);
    let (name, result) = match &args.file {
        Some(path) => {
            let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut log));
            (path.display().to_string(), read)
        }
        None => ("standard input".to_owned(), std::io::stdin().lock().take(limit).read_to_end(&mut log)),
    };
    result.map_err(|error| Failure::new(Exit::Unreachable, "unreadable", format!("cannot read {name}: {error}")))?;
    Ok(log)
}
