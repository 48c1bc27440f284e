//! `underpass export`: a connection in the words of the device at its other end.

use crate::exit::{Exit, Failure, HELP};
use crate::files;
use clap::ValueEnum;
use clap::builder::PossibleValue;
use formats::export::{Document, Export, Keys, Refusal, Side, Target, export};
use formats::nearest;
use formats::underpass_toml::Loaded;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const DEFAULT_CONFIG: &str = "/etc/underpass/underpass.toml";

/// Say a connection in the words of the device at its other end
///
/// Addresses, identities, algorithms, lifetimes, networks and tunnel addresses are those of the connection, MTU and MSS those of its
/// suite; the last lines say how to verify it on that device. What the device cannot say is refused, with the nearest it can.
#[derive(clap::Args, Debug)]
#[command(after_help = format!("Examples:
  underpass export site-b --for strongswan               to read; keys are shown as <pre-shared key of site-b>
  underpass export cloud --for libreswan -o cloud.conf   both tunnels; the keys' file is cloud.secrets
  underpass export cloud-2 --for openswan                one tunnel of a connection
  underpass export site-b --for strongswan --side here   this end, to run it with something else
  underpass export site-b --for strongswan --show-secrets -o b.conf   with the keys; files of mode 0600

{HELP}"))]
pub struct Args {
    /// Connection, or one tunnel of it
    #[arg(value_name = "CONNECTION")]
    pub connection: String,
    /// The device
    #[arg(long = "for", value_name = "DEVICE")]
    pub target: Word,
    /// The configuration
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
    /// Which end is to be configured
    #[arg(long, value_enum, value_name = "END", default_value_t = End::There)]
    pub side: End,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write the pre-shared keys too
    #[arg(long)]
    pub show_secrets: bool,
    /// Replace files that are there
    #[arg(long, requires = "output")]
    pub force: bool,
    /// Print JSON (schema_version 1) instead of text
    #[arg(long)]
    pub json: bool,
}

/// A device, by its word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Word(Target);

/// [`Target::ALL`] as clap wants it.
const WORDS: [Word; Target::ALL.len()] = {
    let mut words = [Word(Target::Strongswan); Target::ALL.len()];
    let mut index = 0;
    while index < words.len() {
        words[index] = Word(Target::ALL[index]);
        index += 1;
    }
    words
};

impl ValueEnum for Word {
    fn value_variants<'a>() -> &'a [Self] {
        &WORDS
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.word()).help(self.0.title()))
    }
}

/// An end of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum End {
    /// The device at the other end
    There,
    /// Our own end
    Here,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let loaded = load(args)?;
    let side = match args.side {
        End::There => Side::There,
        End::Here => Side::Here,
    };
    let model = Export::of(&loaded, &args.connection, side).ok_or_else(|| unknown(&args.connection, &loaded))?;
    let keys = if args.show_secrets { Keys::Shown } else { Keys::Hidden };
    let document = match export(&model, args.target.0, keys) {
        Ok(document) => document,
        Err(refused) => return refuse(args, &refused, out),
    };
    if !args.json {
        tell(args, &document);
    }
    let written = match &args.output {
        Some(path) => put(args, path, &document)?,
        None => Vec::new(),
    };
    if args.json {
        let shown: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
        let text = args.output.is_none().then_some(document.text.as_str());
        let secrets = args.output.is_none().then_some(document.secrets.as_ref().map(|text| text.as_str())).flatten();
        writeln!(
            out,
            "{}",
            json!({ "schema_version": 1, "ok": true, "device": args.target.0.word(), "written": shown,
                "text": text, "secrets": secrets, "notes": document.notes })
        )?;
    } else if args.output.is_none() {
        print(&document, out)?;
    } else {
        let names: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
        writeln!(out, "wrote {}", names.join(" and "))?;
    }
    Ok(Exit::Ok)
}

fn load(args: &Args) -> Result<Loaded, Failure> {
    files::load(&args.config).map_err(|found| {
        let mut to = io::stderr().lock();
        for diagnostic in found.iter().filter(|_| !args.json) {
            // Nobody reads standard error: nothing to be done.
            let _ = writeln!(to, "{diagnostic}");
        }
        let message = format!("{} cannot be used", args.config.display());
        Failure::new(Exit::Condition, "configuration", message)
            .hint(format!("`underpass gateway --check -c {}` says what is wrong", args.config.display()))
    })
}

/// A connection that the configuration does not have is a slip of the hand.
fn unknown(asked: &str, loaded: &Loaded) -> Failure {
    let names = Export::names(loaded);
    let message = format!("there is no connection `{}`", crate::client::clean(asked));
    let failure = Failure::new(Exit::Usage, "unknown_connection", message);
    match nearest(asked, names.iter().map(String::as_str)) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint(format!("known: {}", names.join(", "))),
    }
}

/// Everything the device cannot say, at once.
fn refuse(args: &Args, refused: &[Refusal], out: &mut dyn Write) -> Result<Exit, Failure> {
    if args.json {
        let error: Value = json!({ "code": "cannot_say", "message": "the device cannot say it", "refused": refused });
        writeln!(out, "{}", json!({ "schema_version": 1, "ok": false, "error": error }))?;
        return Ok(Exit::Condition);
    }
    let mut to = io::stderr().lock();
    for refusal in refused {
        let Refusal { place, option, value, device, nearest } = refusal;
        // As above.
        let _ = writeln!(to, "error: {place}: `{option}`: {device} cannot say {value}\n  help: {nearest}");
    }
    let _ = writeln!(to, "nothing was written: both ends must agree on these");
    Ok(Exit::Condition)
}

fn tell(args: &Args, document: &Document) {
    let mut to = io::stderr().lock();
    for note in &document.notes {
        // As above.
        let _ = writeln!(to, "note: {note}");
    }
    if args.show_secrets {
        let _ = writeln!(
            to,
            "warning: the pre-shared keys stand in what is written: whoever reads it can be either end of the tunnel"
        );
    }
}

fn print(document: &Document, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(document.text.as_bytes())?;
    if let Some(secrets) = &document.secrets {
        out.write_all(b"\n# ---- the second file, ipsec.secrets ----\n")?;
        out.write_all(secrets.as_bytes())?;
    }
    Ok(())
}

/// Writes the file and, beside it, that of the keys.
fn put(args: &Args, path: &Path, document: &Document) -> Result<Vec<PathBuf>, Failure> {
    let mut files = vec![(path.to_owned(), document.text.as_bytes())];
    if let Some(secrets) = &document.secrets {
        files.push((path.with_extension("secrets"), secrets.as_bytes()));
    }
    if let [(first, _), (second, _)] = files.as_slice()
        && first == second
    {
        let message = format!("{} is the name of the keys' file", first.display());
        return Err(Failure::new(Exit::Usage, "name", message).hint("end the name in `.conf`"));
    }
    if let Some((there, _)) = files.iter().find(|(path, _)| !args.force && path.exists()) {
        let message = format!("{} is there already: nothing was written", there.display());
        return Err(Failure::new(Exit::Condition, "exists", message)
            .hint("write elsewhere with `-o FILE`, or replace it with `--force`"));
    }
    for (index, (path, bytes)) in files.iter().enumerate() {
        // What holds keys, or will, is for its owner alone.
        let secret = args.show_secrets || index > 0;
        super::import::put(path, bytes, if secret { 0o600 } else { 0o644 }).map_err(|error| {
            Failure::new(Exit::CannotTell, "unwritable", format!("cannot write {}: {error}", path.display()))
        })?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}
