//! `underpass capture`: the packets of connections as a pcapng file, and on demand the keys that decrypt them.
//!
//! The gateway answers with lines `{"pcapng":"<base64>"}`, each the next piece of the file, `{"keys":{…}}`, and at last `{"end":{…}}`.

use super::Control;
use crate::client::clean;
use crate::duration;
use crate::exit::{Exit, Failure, HELP};
use crate::key_tables::KeyTables;
use crate::tunnels::{Status, Target, text};
use formats::encoding::base64;
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Capture packets as pcapng for Wireshark: IKE and ESP as on the wire, on demand what is inside, each with what became of it
#[derive(clap::Args, Debug)]
#[command(after_help = format!("Examples:
  underpass capture site-b -o outside.pcapng                 IKE and ESP for ten seconds; dropped packets say why
  underpass capture site-b -o both.pcapng --decrypt          with what is inside, before sealing and after opening
  underpass capture -o - --inside-only --for 1m | tcpdump -r -  only what is inside, read on the fly
  underpass capture site-b -o x.pcapng --keys keys --for 5m  with keys, so that Wireshark decrypts it: see docs/capture.md

{HELP}"))]
pub struct Args {
    /// Only this connection
    #[arg(value_name = "CONNECTION")]
    pub connection: Option<String>,
    /// Where to write; `-` is standard output
    #[arg(short, long, value_name = "FILE", required_unless_present = "keys")]
    pub output: Option<PathBuf>,
    /// Also the packets inside the tunnels, in clear
    #[arg(long, requires = "output")]
    pub decrypt: bool,
    /// Only the packets inside the tunnels, in clear
    #[arg(long, requires = "output", conflicts_with = "decrypt")]
    pub inside_only: bool,
    /// Write the keys as Wireshark's tables into this folder of yours; for root, and logged by the gateway
    #[arg(long, value_name = "DIR")]
    pub keys: Option<PathBuf>,
    /// How long
    #[arg(long = "for", value_name = "DURATION", default_value = "10s", value_parser = duration::parse)]
    pub duration: Duration,
    #[command(flatten)]
    pub control: Control,
}

impl Args {
    fn view(&self) -> &'static str {
        match (&self.output, self.decrypt, self.inside_only) {
            (None, _, _) => "none",
            (Some(_), true, _) => "both",
            (Some(_), false, true) => "inside",
            (Some(_), false, false) => "outside",
        }
    }
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let gateway = args.control.gateway();
    if let Some(name) = &args.connection {
        Status::of(&gateway)?.select(Some(&Target::new(name, None)?))?;
    }
    let to_stdout = args.output.as_deref() == Some(Path::new("-"));
    if to_stdout && io::stdout().is_terminal() {
        let failure = Failure::new(Exit::Usage, "terminal", "a capture is no text for a terminal");
        return Err(failure.hint("write it to a file with `-o FILE`, or pipe it"));
    }
    // Before anything is asked for: keys that cannot be written must not be given out.
    let mut tables = args.keys.as_deref().map(KeyTables::open).transpose()?;
    let milliseconds = u64::try_from(args.duration.as_millis()).unwrap_or(u64::MAX);
    let mut request = json!({
        "command": "capture",
        "connection": args.connection,
        "milliseconds": milliseconds,
        "view": args.view(),
    });
    if tables.is_some() {
        request["keys"] = Value::Bool(true);
    }
    let (_, mut stream) = gateway.stream(&request)?;
    let mut file = match &args.output {
        Some(path) if !to_stdout => Some(create(path)?),
        Some(_) | None => None,
    };
    let (mut bytes, mut end) = (0, Value::Null);
    while let Some(line) = stream.next_line()? {
        if let (Some(keys), Some(tables)) = (line.get("keys"), &mut tables) {
            tables.add(keys)?;
        }
        if let Some(told) = line.get("end") {
            end = told.clone();
        }
        let piece = piece_of(&line)?;
        match &mut file {
            Some(file) => file.write_all(&piece)?,
            None if to_stdout => out.write_all(&piece)?,
            None => {}
        }
        bytes += piece.len();
    }
    let summary = Summary { args, bytes, end, tables };
    if to_stdout {
        // Standard output is the capture.
        summary.write(&mut io::stderr())?;
    } else {
        summary.write(out)?;
    }
    Ok(Exit::Ok)
}

/// The piece of the file that a line has; nothing where it has none.
fn piece_of(line: &Value) -> Result<Vec<u8>, Failure> {
    base64(text(line, "pcapng")).map_err(|error| {
        Failure::new(Exit::CannotTell, "garbled", format!("a piece of the capture is damaged: {error}"))
    })
}

/// What is said at the end.
struct Summary<'a> {
    args: &'a Args,
    bytes: usize,
    end: Value,
    tables: Option<KeyTables>,
}

impl Summary<'_> {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let to_stdout = self.args.output.as_deref() == Some(Path::new("-"));
        let file = self.args.output.as_ref().filter(|_| !to_stdout).map(|path| path.display().to_string());
        let number = |name: &str| self.end.get(name).and_then(Value::as_u64);
        if self.args.control.json {
            let keys = self.tables.as_ref().map(KeyTables::to_json);
            let (packets, lost) = (number("packets"), number("lost"));
            let summary = json!({
                "schema_version": 1, "ok": true, "file": file, "bytes": self.bytes,
                "packets": packets, "lost": lost, "keys": keys,
            });
            return if to_stdout { Ok(()) } else { writeln!(out, "{summary}") };
        }
        if let Some(file) = file {
            let packets = number("packets").map_or_else(String::new, |packets| format!("{packets} packets, "));
            writeln!(out, "{}: {packets}{} bytes", clean(&file), self.bytes)?;
        }
        if let Some(lost) = number("lost").filter(|lost| *lost > 0) {
            writeln!(out, "{lost} packets came faster than they were read, and are missing")?;
        }
        self.tables.as_ref().map_or(Ok(()), |tables| tables.write_summary(out))
    }
}

/// Who talks to whom is in it, and with --decrypt what they say: for the owner alone.
fn create(path: &Path) -> Result<File, Failure> {
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    opened
        .map_err(|error| Failure::new(Exit::CannotTell, "output", format!("cannot write {}: {error}", path.display())))
}
