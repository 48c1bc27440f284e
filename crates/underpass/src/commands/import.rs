//! `underpass import`: somebody else's configuration becomes `underpass.toml` and `secrets.toml`.

use crate::exit::{Exit, Failure, HELP};
use crate::foreign::{self, Reading};
use formats::import::{Finding, Imported, Keys, Level, Rendered};
use formats::{Diagnostic, Severity};
use serde_json::{Value, json};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Turn a configuration you were given into underpass.toml and secrets.toml
///
/// Reads the AWS download "Generic", its CustomerGatewayConfiguration XML, the answer of describe-vpn-connections, ipsec.conf with
/// ipsec.secrets (Openswan, Libreswan, strongSwan), swanctl.conf and VyOS set commands. Several files are read as one, and so
/// is what they include. Every value says in a comment where it was read; what was read leniently, changed or not understood is told.
#[derive(clap::Args, Debug)]
#[command(after_help = format!("Examples:
  underpass import vpn-0a1b2c3d.txt --dry-run          show what would be written; keys are not shown
  underpass import /etc/ipsec.conf                     ipsec.secrets beside it is read too
  underpass import a.conf --local 192.0.2.1            say which end is this machine
  aws ec2 describe-vpn-connections | underpass import - -o /etc/underpass/underpass.toml

{HELP}"))]
pub struct Args {
    /// Files to read, as one configuration; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub reading: Reading,
    /// Print what would be written, with keys as `…`, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Where to write; the keys go to secrets.toml beside it, or to secrets.d beside conf.d
    #[arg(short, long, value_name = "PATH", default_value = "underpass.toml")]
    pub output: PathBuf,
    /// Replace files that are there
    #[arg(long)]
    pub force: bool,
    /// Print JSON (schema_version 1) instead of text
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let places = Places::beside(&args.output);
    if !args.dry_run && !args.force {
        places.refuse_existing()?;
    }
    let imported = foreign::read(&args.files, &args.reading)?;
    let errors = imported.findings.iter().filter(|finding| finding.level == Level::Error).count();
    let usable = !imported.connections.is_empty() || !imported.policies.is_empty();
    let checked = if usable { foreign::check(&imported) } else { Err(Vec::new()) };
    let complaints = match &checked {
        Ok(loaded) => loaded.warnings.as_slice(),
        Err(found) => found.as_slice(),
    };
    if !args.json {
        complain(&imported.findings, complaints);
    }
    let written = usable && !args.dry_run;
    if written {
        let rendered = imported.to_toml(Keys::Written, None);
        places.write(&rendered)?;
    }
    if args.json {
        writeln!(out, "{}", machine(&imported, complaints, errors, args, written.then_some(&places)))?;
    } else {
        if args.dry_run && usable {
            show(&imported, &places, out)?;
        }
        summary(&imported, &checked, args, &places, out)?;
    }
    Ok(if errors == 0 && usable { Exit::Ok } else { Exit::Condition })
}

/// Where the two files go.
struct Places {
    config: PathBuf,
    secrets: PathBuf,
}

impl Places {
    fn beside(config: &Path) -> Places {
        let directory = config.parent().unwrap_or(Path::new(""));
        let stem = config.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        // A fragment of a configuration has a fragment of secrets.
        let secrets = if directory.file_name().is_some_and(|name| name == "conf.d") {
            directory.parent().unwrap_or(Path::new("")).join("secrets.d").join(format!("{stem}.toml"))
        } else {
            directory.join("secrets.toml")
        };
        Places { config: config.to_owned(), secrets }
    }

    fn refuse_existing(&self) -> Result<(), Failure> {
        let Some(path) = [&self.config, &self.secrets].into_iter().find(|path| path.exists()) else { return Ok(()) };
        let message = format!("{} is there already: nothing was written", path.display());
        let hint = "look with `--dry-run`, write elsewhere with `-o PATH`, or replace both files with `--force`";
        Err(Failure::new(Exit::Condition, "exists", message).hint(hint))
    }

    /// Writes both. The secrets, which come first, are for their owner alone.
    fn write(&self, rendered: &Rendered) -> Result<(), Failure> {
        if let Some(directory) = self.secrets.parent().filter(|directory| directory.ends_with("secrets.d")) {
            fs::create_dir_all(directory).map_err(|error| unwritable(directory, &error))?;
        }
        put(&self.secrets, rendered.secrets.as_bytes(), 0o600).map_err(|error| unwritable(&self.secrets, &error))?;
        put(&self.config, rendered.config.as_bytes(), 0o644).map_err(|error| unwritable(&self.config, &error))
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::CannotTell, "unwritable", format!("cannot write {}: {error}", path.display()))
}

/// A whole new file in place of what is there: never half of one, never readable by others for a moment.
fn put(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::other("it has no name"))?.to_string_lossy().into_owned();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    let done = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&beside, path));
    if done.is_err() {
        let _ = fs::remove_file(&beside);
    }
    done
}

/// Findings, and what the gateway would say to the result. Nobody reads standard error: nothing to be done.
fn complain(findings: &[Finding], complaints: &[Diagnostic]) {
    let mut to = io::stderr().lock();
    for finding in findings {
        let _ = writeln!(to, "{finding}");
    }
    for complaint in complaints.iter().filter(|complaint| !is_missing_key(complaint)) {
        let (file, line, column) = (&complaint.file, complaint.line, complaint.column);
        let _ = writeln!(to, "{}: {file}:{line}:{column}: {}", complaint.severity, complaint.message);
        // Of weak algorithms the advice is always the same.
        let help = complaint.suggestion.as_ref().filter(|_| complaint.severity == Severity::Error);
        if let Some(help) = help {
            let _ = writeln!(to, "  help: {help}");
        }
    }
}

/// A key that was not found is told by the importer already.
fn is_missing_key(complaint: &Diagnostic) -> bool {
    complaint.code == formats::diagnostic::code::SECRET && complaint.message.contains("no pre-shared key")
}

fn show(imported: &Imported, places: &Places, out: &mut dyn Write) -> io::Result<()> {
    let rendered = imported.to_toml(Keys::Hidden, None);
    writeln!(out, "# ---- {} ----\n{}", places.config.display(), rendered.config)?;
    writeln!(out, "# ---- {} ----\n{}", places.secrets.display(), *rendered.secrets)
}

fn summary(
    imported: &Imported,
    checked: &Result<formats::underpass_toml::Loaded, Vec<Diagnostic>>,
    args: &Args,
    places: &Places,
    out: &mut dyn Write,
) -> io::Result<()> {
    let tunnels: usize = imported.connections.iter().map(|connection| connection.tunnels.len()).sum();
    let refused: Vec<&str> = imported.refused.iter().map(|name| name.value.as_str()).collect();
    let mut to = io::stderr().lock();
    if !refused.is_empty() {
        // As above.
        let _ = writeln!(to, "refused, for the errors above: {}", refused.join(", "));
    }
    if imported.connections.is_empty() && imported.policies.is_empty() {
        let _ = writeln!(to, "nothing was imported, and nothing written");
        return Ok(());
    }
    let what = format!("{}, {}", count(imported.connections.len(), "connection"), count(tunnels, "tunnel"));
    if args.dry_run {
        let _ = writeln!(to, "{what}; nothing was written");
        return Ok(());
    }
    writeln!(out, "wrote {} and {}: {what}", places.config.display(), places.secrets.display())?;
    let next = match checked {
        Ok(_) => format!("next: read it, then `underpass gateway -c {}`", places.config.display()),
        Err(_) => format!(
            "next: put right what is told above, then `underpass gateway --check -c {}`",
            places.config.display()
        ),
    };
    writeln!(out, "{next}")
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn machine(
    imported: &Imported,
    complaints: &[Diagnostic],
    errors: usize,
    args: &Args,
    written: Option<&Places>,
) -> Value {
    let files: Vec<Value> =
        imported.files.iter().map(|(path, format)| json!({ "path": path, "format": format })).collect();
    let place = |name: &formats::import::Sourced<String>| json!({ "name": name.value, "file": &*name.at.file, "line": name.at.line });
    let connections: Vec<Value> = imported
        .connections
        .iter()
        .map(|connection| {
            let tunnels = connection.tunnels.iter().map(|tunnel| {
                let remote: Vec<&str> = tunnel.remote_addresses.iter().map(|at| at.value.as_str()).collect();
                json!({
                    "name": tunnel.name.value, "local_address": tunnel.local_address.as_ref().map(|at| at.value),
                    "remote_addresses": remote, "has_key": tunnel.psk.is_some(),
                })
            });
            let children: Vec<&str> = connection.children.iter().map(|child| child.name.as_str()).collect();
            json!({
                "name": connection.name.value, "file": &*connection.name.at.file, "line": connection.name.at.line,
                "tunnels": tunnels.collect::<Vec<_>>(), "children": children,
            })
        })
        .collect();
    let dry = args.dry_run.then(|| imported.to_toml(Keys::Hidden, None).config);
    json!({
        "schema_version": 1, "ok": errors == 0 && !connections.is_empty(), "files": files, "connections": connections,
        "refused": imported.refused.iter().map(place).collect::<Vec<_>>(), "findings": imported.findings, "diagnostics": complaints,
        "written": written.map(|places| json!({ "config": places.config, "secrets": places.secrets })), "config": dry,
    })
}
