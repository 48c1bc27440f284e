//! Configurations of others from disk: the files named, what they include and what lies beside them, and what this machine's
//! addresses say about which end is ours.

use crate::exit::{Exit, Failure};
use formats::diagnostic::code;
use formats::import::{Finding, Format, Here, Imported, Input, Keys, LARGEST_FILE, Sources, glob, import};
use formats::underpass_toml::{self, Loaded};
use formats::{Diagnostic, Severity, SourceFile};
use host::netlink::Netlink;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// How files of others are to be read.
#[derive(clap::Args, Debug, Clone)]
pub struct Reading {
    /// What the files are: auto, aws-text, aws-xml, aws-json, openswan, libreswan, strongswan, swanctl, vyos
    #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = format)]
    pub format: Wanted,
    /// Our own address, where the files do not tell which end is this machine
    #[arg(long, value_name = "ADDRESS")]
    pub local: Option<IpAddr>,
}

/// `--format`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// What the files look like.
    Auto,
    /// This, whatever they look like.
    Only(Format),
}

fn format(word: &str) -> Result<Wanted, String> {
    if word == "auto" {
        return Ok(Wanted::Auto);
    }
    let known = || Format::NAMED.iter().map(|format| format.word());
    match Format::NAMED.into_iter().find(|format| format.word() == word) {
        Some(format) => Ok(Wanted::Only(format)),
        None => {
            let near =
                formats::nearest(word, known()).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            Err(format!("formats are auto, {}{near}", known().collect::<Vec<_>>().join(", ")))
        }
    }
}

/// Reads files as one configuration. `-` is standard input.
///
/// # Errors
/// A file that cannot be read.
pub fn read(files: &[PathBuf], reading: &Reading) -> Result<Imported, Failure> {
    let mut inputs = Vec::new();
    for path in files {
        let shown = path.display().to_string();
        let bytes =
            if shown == "-" { bounded(io::stdin()) } else { File::open(path).and_then(regular).and_then(bounded) };
        match bytes {
            Ok(bytes) => inputs.push(Input { path: if shown == "-" { "<stdin>".to_owned() } else { shown }, bytes }),
            Err(error) => {
                let failure = Failure::new(Exit::Usage, "unreadable", format!("cannot read {shown}: {error}"));
                return Err(match error.kind() {
                    io::ErrorKind::PermissionDenied => failure.hint("run as root, or as the owner of the file"),
                    io::ErrorKind::NotFound => failure.hint("give the path of the file to import"),
                    _ => failure,
                });
            }
        }
    }
    let format = match reading.format {
        Wanted::Auto => None,
        Wanted::Only(format) => Some(format),
    };
    Ok(import(&inputs, &mut Disk, format, &here(reading.local)))
}

/// Files of others as the gateway's own configuration, without writing one. Nothing is used unless everything can be.
///
/// # Errors
/// All that is wrong, with places.
pub fn load(files: &[PathBuf], reading: &Reading) -> Result<Loaded, Vec<Diagnostic>> {
    let imported = read(files, reading).map_err(|failure| {
        let file = files.first().map(|path| path.display().to_string()).unwrap_or_default();
        vec![Diagnostic::about_file(Severity::Error, code::FOREIGN, file, failure.message, failure.hint)]
    })?;
    let told: Vec<Diagnostic> = imported.findings.iter().filter_map(Finding::diagnostic).collect();
    if imported.connections.is_empty() || told.iter().any(|one| one.severity == Severity::Error) {
        if told.iter().all(|one| one.severity != Severity::Error) {
            let file = files.first().map(|path| path.display().to_string()).unwrap_or_default();
            let message = "there is no connection in it";
            let nothing = Diagnostic::about_file(Severity::Error, code::FOREIGN, file, message, None);
            return Err(told.into_iter().chain([nothing]).collect());
        }
        return Err(told);
    }
    match check(&imported) {
        Ok(loaded) => Ok(Loaded { warnings: told.into_iter().chain(loaded.warnings).collect(), ..loaded }),
        Err(found) => Err(told.into_iter().chain(found).collect()),
    }
}

/// What the gateway says to the result.
///
/// # Errors
/// What is wrong with it.
pub fn check(imported: &Imported) -> Result<Loaded, Vec<Diagnostic>> {
    let rendered = imported.to_toml(Keys::Written, None);
    let files = [SourceFile::new("underpass.toml (imported)", rendered.config)];
    let secrets = [SourceFile::new("secrets.toml (imported)", rendered.secrets.as_str())];
    underpass_toml::parse(&files, &secrets)
}

/// What this machine knows of itself. Sends nothing.
fn here(local: Option<IpAddr>) -> Here {
    let addresses = Netlink::open().and_then(|mut netlink| netlink.addresses()).ok();
    let addresses = addresses.map(|list| list.iter().map(|address| address.prefix.address()).collect());
    Here { local, addresses, default_source: default_source() }
}

/// The address that packets to elsewhere would leave from: a connected UDP socket has it, and sends nothing.
fn default_source() -> Option<IpAddr> {
    let towards = |bind: &str, elsewhere: &str| {
        let socket = UdpSocket::bind(bind).ok()?;
        socket.connect(elsewhere).ok()?;
        socket.local_addr().ok().map(|address| address.ip()).filter(|address| !address.is_loopback())
    };
    // Documentation addresses (RFC 5737, RFC 3849): nobody has them, so they go by the default route.
    towards("0.0.0.0:0", "192.0.2.1:9").or_else(|| towards("[::]:0", "[2001:db8::1]:9"))
}

/// The file system.
struct Disk;

/// Entries of one directory looked at.
const MOST_ENTRIES: usize = 10_000;

impl Sources for Disk {
    fn matching(&mut self, pattern: &str) -> Vec<String> {
        if !glob::is_pattern(pattern) {
            return if Path::new(pattern).is_file() { vec![pattern.to_owned()] } else { Vec::new() };
        }
        let mut found = vec![if pattern.starts_with('/') { "/".to_owned() } else { String::new() }];
        for part in pattern.split('/').filter(|part| !part.is_empty()) {
            let join = |base: &str, name: &str| match base {
                "" => name.to_owned(),
                base if base.ends_with('/') => format!("{base}{name}"),
                base => format!("{base}/{name}"),
            };
            found = match glob::is_pattern(part) {
                false => found.iter().map(|base| join(base, part)).collect(),
                true => found
                    .iter()
                    .flat_map(|base| names(base, part).into_iter().map(move |name| join(base, &name)))
                    .collect(),
            };
            found.truncate(MOST_ENTRIES);
        }
        found.retain(|path| Path::new(path).is_file());
        found
    }

    fn read(&mut self, path: &str) -> Result<Zeroizing<Vec<u8>>, String> {
        File::open(path).and_then(regular).and_then(bounded).map_err(|error| error.to_string())
    }
}

/// Names in a directory that fit, sorted.
fn names(directory: &str, pattern: &str) -> Vec<String> {
    let directory = if directory.is_empty() { "." } else { directory };
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let names = entries.take(MOST_ENTRIES).filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| glob::fits(pattern, name)).collect();
    names.sort();
    names
}

fn regular(file: File) -> io::Result<File> {
    match file.metadata()?.is_dir() {
        true => Err(io::Error::other("it is a directory")),
        false => Ok(file),
    }
}

/// Everything, up to one byte more than the importer takes, so that it can say so.
fn bounded(from: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    // With room for all of it the bytes never move, which would leave a copy of keys behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LARGEST_FILE + 1));
    from.take(LARGEST_FILE as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
