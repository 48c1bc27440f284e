//! `underpass.toml` and its file of secrets: texts in, the gateway's whole desired state out, or every error at once.
//!
//! Several files may be given (`conf.d`): they are read as one, and what two of them both say is an error that names both
//! places. Everything is checked here; nobody behind [`parse`] checks again. The reference of the format is
//! `docs/underpass.toml.md`, the table it goes by is [`keys`].

mod child;
mod conflicts;
mod connection;
mod document;
mod gateway;
mod ikev1;
pub mod keys;
mod policy;
mod secrets;
mod section;
mod split;
mod tunnels;
mod values;

use crate::diagnostic::{Diagnostic, Report, Severity, code};
use crate::source::SourceFile;
use connection::Draft;
use document::Document;
use engine::desired::DesiredState;
use std::net::{IpAddr, SocketAddr};
use toml::de::{DeTable, DeValue};

/// What the files ask for.
#[derive(Clone, PartialEq, Debug)]
pub struct Loaded {
    /// For the engine.
    pub state: DesiredState,
    /// For the host.
    pub host: HostSettings,
    /// What is accepted but deserves a look.
    pub warnings: Vec<Diagnostic>,
}

/// What only the host needs to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostSettings {
    /// Name of the TUN interface.
    pub interface: String,
    /// Local addresses to listen on; empty means every address.
    pub listen: Vec<IpAddr>,
    /// Path of the control socket.
    pub socket: String,
    /// Path of the socket for clients of VICI, if there is to be one.
    pub vici_socket: Option<String>,
    /// What an orderly stop does with the unreachable routes.
    pub unreachable_on_stop: UnreachableOnStop,
    /// Where metrics are served, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// Where is kept what survives a restart, where the file says so.
    pub state_directory: Option<String>,
    /// Set the machine's settings that connections need.
    pub manage_sysctls: bool,
}

/// What an orderly stop does with the routes that keep protected traffic from leaving in clear.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnreachableOnStop {
    /// They go: traffic takes whatever other route there is.
    Remove,
    /// They stay, as after a crash: nothing leaves in clear.
    Keep,
}

/// Interface name without a word in the file.
pub const DEFAULT_INTERFACE: &str = "underpass0";
/// Control socket without a word in the file.
pub const DEFAULT_SOCKET: &str = "/run/underpass/ctl.sock";
/// File of secrets without a word in the file, beside it.
pub const DEFAULT_SECRETS: &str = "secrets.toml";

/// Reads the files as one, with the pre-shared keys from `secrets`. When `secrets` is empty, a missing key is reported as
/// missing from the file that [`secrets_path`] names.
///
/// # Errors
/// Every error and warning found, in the order of the files.
pub fn parse(files: &[SourceFile], secrets: &[SourceFile]) -> Result<Loaded, Vec<Diagnostic>> {
    let mut report = Report::new(files, secrets);
    let tables: Vec<_> = report.sources().to_vec();
    let tables: Vec<_> = tables.iter().enumerate().map(|(file, source)| read_toml(file, source, &mut report)).collect();
    let (config, keys) = tables.split_at(report.first_secret());

    let names: Vec<&str> = secrets.iter().map(|source| source.path.as_str()).collect();
    let expected = secrets_path(files);
    let secrets = secrets::Secrets::read(keys, report.first_secret(), &names, &expected, &mut report);

    let mut document = Document::gather(config, &mut report);
    let (mut gateway, host) = gateway::read(document.gateway.take(), &mut report);
    let policies = document.policies.into_iter().map(|named| policy::read(named, &mut report)).collect::<Vec<_>>();
    let (singles, groups) = tunnels::expand(document.connections, &mut report);
    let drafts: Vec<Draft> =
        singles.into_iter().map(|single| connection::read(single, &host.listen, &secrets, &mut report)).collect();
    conflicts::check(&drafts, &policies, &mut report);
    let groups = tunnels::finish(groups, &drafts, &mut report);

    gateway.icmp_source = None;
    let connections = drafts.into_iter().map(|draft| (draft.connection.peer.name.clone(), draft.connection)).collect();
    let state = DesiredState { gateway, connections, groups, policies };
    if report.has_errors() {
        return Err(report.into_diagnostics());
    }
    Ok(Loaded { state, host, warnings: report.into_diagnostics() })
}

/// The path of the file of secrets as the first of `files` that names one has it, else [`DEFAULT_SECRETS`]. It is relative
/// to the directory of the main file. For whoever reads files, before [`parse`]; errors are left to that.
pub fn secrets_path(files: &[SourceFile]) -> String {
    let named = files.iter().filter(|source| source.text.len() <= LARGEST_FILE).find_map(|source| {
        let (document, _) = DeTable::parse_recoverable(&source.text);
        let DeValue::Table(gateway) = document.get_ref().get("gateway")?.get_ref() else {
            return None;
        };
        let DeValue::String(path) = gateway.get("secrets")?.get_ref() else {
            return None;
        };
        (!path.is_empty()).then(|| path.to_string())
    });
    named.unwrap_or_else(|| DEFAULT_SECRETS.to_owned())
}

/// An error when `mode` (of `stat`) lets group or others read, write or run the file of secrets at `path`.
pub fn check_secrets_mode(path: &str, mode: u32) -> Option<Diagnostic> {
    (mode & 0o077 != 0).then(|| {
        Diagnostic::about_file(
            Severity::Error,
            code::SECRET_EXPOSED,
            path,
            format!("the secrets in this file are open to group or others (mode {:04o})", mode & 0o7777),
            Some(format!("`chmod 600 {path}`, and change the keys if anybody else may have read them")),
        )
    })
}

/// Largest file read. 1 MiB is several thousand connections.
const LARGEST_FILE: usize = 1 << 20;

fn read_toml<'t>(file: usize, source: &'t SourceFile, report: &mut Report) -> DeTable<'t> {
    use crate::source::Place;
    if source.text.len() > LARGEST_FILE {
        let message = format!("the file has {} bytes; at most {LARGEST_FILE} are read", source.text.len());
        report.syntax(Place::new(file, 0..0), message, None);
        return DeTable::new();
    }
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    for error in errors {
        let place = Place::new(file, error.span().unwrap_or(0..0));
        report.syntax(place, error.message().to_owned(), None);
    }
    table.into_inner()
}
