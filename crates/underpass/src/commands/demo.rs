//! `underpass demo`: two sites and an internet on this machine, and a tunnel between them.

use crate::demo::{self, BREAKAGES, Breakage, Options};
use crate::exit::{Exit, Failure};
use crate::table;
use serde_json::{Value, json};
use std::io::Write;

/// Connect two sites on this machine alone, and watch the tunnel work
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  underpass demo           build two sites, an internet between them and a tunnel; a few seconds, nothing is left behind
  underpass demo --keep    leave it running until Ctrl-C, to look around
  underpass demo --json    one JSON object per step, the result last
  underpass demo --break IKE-04   break one thing, and see what the doctor says of it
  underpass demo --break list     what can be broken
  underpass demo --peer strongswan   with strongSwan at the far site

Exit codes: 0 every step passed, 1 one did not, 2 usage, 4 this machine does not let us try")]
pub struct Args {
    /// Print JSON, one object per line (schema_version 1), instead of text
    #[arg(long)]
    pub json: bool,
    /// Leave everything running until Ctrl-C, and say how to look around
    #[arg(long)]
    pub keep: bool,
    /// Break what a code of the doctor is about, instead; `list` names what can be broken
    #[arg(long = "break", value_name = "CODE", conflicts_with = "keep")]
    pub broken: Option<String>,
    /// Who is at the far site: strongSwan where it is installed (it needs root)
    #[arg(long, value_enum, value_name = "PEER", default_value = "ours", conflicts_with_all = ["broken", "keep"])]
    pub peer: Peer,
    /// No colour, even on a terminal
    #[arg(long)]
    pub no_color: bool,
}

/// Who is at the far site.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Peer {
    /// A gateway of ours
    Ours,
    /// strongSwan
    Strongswan,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let broken = match args.broken.as_deref() {
        Some("list") => return list(args, out),
        Some(code) => Some(breakage(code)?),
        None => None,
    };
    let strongswan = args.peer == Peer::Strongswan;
    if let Some(missing) = demo::missing_of_strongswan().filter(|_| strongswan) {
        let failure = Failure::new(Exit::CannotTell, "no_strongswan", format!("strongSwan is not here: no {missing}"));
        return Err(
            failure.hint("on Debian: `apt install strongswan-charon strongswan-swanctl libcharon-extra-plugins`")
        );
    }
    let terminal = !args.json && table::colour_welcome();
    demo::run(
        &Options { json: args.json, keep: args.keep, terminal: terminal && !args.no_color, broken, strongswan },
        out,
    )
}

/// What can be broken.
fn list(args: &Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    if args.json {
        let all: Vec<Value> =
            BREAKAGES.iter().map(|one| json!({ "code": one.code, "what": one.what, "needs_nft": one.nft })).collect();
        writeln!(out, "{}", json!({ "schema_version": 1, "breakages": all }))?;
        return Ok(Exit::Ok);
    }
    for one in BREAKAGES {
        writeln!(out, "{:<8} {}{}", one.code, one.what, if one.nft { " (needs nft)" } else { "" })?;
    }
    Ok(Exit::Ok)
}

/// What breaks a code; a code that cannot be broken here, or is none, is refused with what can.
fn breakage(text: &str) -> Result<&'static Breakage, Failure> {
    let refuse = |code, message: String| Failure::new(Exit::Usage, code, message);
    if let Some(found) = demo::find(text) {
        return if found.nft && !demo::has_nft() {
            let message = format!("to break {}, the command `nft` is needed", found.code);
            Err(Failure::new(Exit::CannotTell, "no_nft", message).hint("install the package nftables"))
        } else {
            Ok(found)
        };
    }
    let shown = crate::client::clean(text);
    match doctor::Code::parse(text) {
        Some(code) => Err(refuse("not_staged", format!("{code} ({}) cannot be staged here", code.entry().line))
            .hint("`underpass demo --break list` names those that can")),
        None => {
            let failure = refuse("unknown_code", format!("there is no code `{shown}`"));
            let names = doctor::catalogue::entries().map(|entry| entry.code.name());
            Err(match formats::nearest(&text.to_ascii_uppercase(), names) {
                Some(near) => failure.hint(format!("did you mean `{near}`?")),
                None => failure.hint("`underpass demo --break list` names those that can be broken"),
            })
        }
    }
}
