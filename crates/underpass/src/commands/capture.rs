//! `underpass capture`: the packets inside the tunnels, as a pcapng file.
//!
//! The gateway answers with lines `{"pcapng":"<base64>"}`, each the next piece of the file.

use super::Control;
use crate::client::clean;
use crate::duration;
use crate::exit::{Exit, Failure, HELP};
use crate::tunnels::{Status, Target, text};
use formats::encoding::base64;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Capture the packets inside the tunnels (before sealing, after opening), in pcapng for Wireshark
#[derive(clap::Args, Debug)]
#[command(after_help = format!("Examples:
  underpass capture -o tunnel.pcapng --for 10s           everything for ten seconds
  underpass capture site-b -o - --for 1m | tcpdump -r -  one connection, read on the fly

{HELP}"))]
pub struct Args {
    /// Only this connection
    #[arg(value_name = "CONNECTION")]
    pub connection: Option<String>,
    /// Where to write; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// How long
    #[arg(long = "for", value_name = "DURATION", default_value = "10s", value_parser = duration::parse)]
    pub duration: Duration,
    #[command(flatten)]
    pub control: Control,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let gateway = args.control.gateway();
    if let Some(name) = &args.connection {
        Status::of(&gateway)?.select(Some(&Target::new(name, None)?))?;
    }
    let to_stdout = args.output == Path::new("-");
    if to_stdout && io::stdout().is_terminal() {
        let failure = Failure::new(Exit::Usage, "terminal", "a capture is no text for a terminal");
        return Err(failure.hint("write it to a file with `-o FILE`, or pipe it"));
    }
    let milliseconds = u64::try_from(args.duration.as_millis()).unwrap_or(u64::MAX);
    let request = json!({ "command": "capture", "connection": args.connection, "milliseconds": milliseconds });
    let (_, mut stream) = gateway.stream(&request)?;
    let mut file = if to_stdout { None } else { Some(create(&args.output)?) };
    let mut written = 0;
    while let Some(piece) = stream.next_line()? {
        let bytes = base64(text(&piece, "pcapng")).map_err(|error| {
            Failure::new(Exit::CannotTell, "garbled", format!("a piece of the capture is damaged: {error}"))
        })?;
        match &mut file {
            Some(file) => file.write_all(&bytes)?,
            None => out.write_all(&bytes)?,
        }
        written += bytes.len();
    }
    if args.control.json && !to_stdout {
        let path = args.output.display().to_string();
        writeln!(out, "{}", json!({ "schema_version": 1, "ok": true, "file": path, "bytes": written }))?;
    } else if !to_stdout {
        writeln!(out, "{}: {written} bytes", clean(&args.output.display().to_string()))?;
    }
    Ok(Exit::Ok)
}

/// Traffic in clear is in it: for the owner alone.
fn create(path: &Path) -> Result<std::fs::File, Failure> {
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    opened
        .map_err(|error| Failure::new(Exit::CannotTell, "output", format!("cannot write {}: {error}", path.display())))
}
