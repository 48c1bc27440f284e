//! `underpass gateway`: checks the configuration, and runs the gateway with it.

use crate::exit::{Exit, Failure};
use crate::files;
use crate::foreign::{self, Reading};
use engine::desired::DesiredState;
use formats::underpass_toml::{HostSettings, Loaded, UnreachableOnStop};
use formats::{Diagnostic, Severity, rfc3339};
use host::gateway::Options;
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;

/// Run a gateway, or check its configuration
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  underpass gateway --check -c underpass.toml   report every error with its place and a suggestion; change nothing
  underpass gateway -c underpass.toml           run until SIGTERM; SIGHUP or `underpass reload` applies a changed file
  underpass gateway /etc/ipsec.conf             run what `underpass import` would make of it, without writing a file")]
pub struct Args {
    /// Files of others to run from, as `underpass import` reads them, in place of a configuration
    #[arg(value_name = "FILE", conflicts_with = "config")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub reading: Reading,
    /// The configuration; conf.d/*.toml and secrets.d/*.toml beside it are read too
    #[arg(short, long, value_name = "FILE", default_value = "/etc/underpass/underpass.toml")]
    pub config: PathBuf,
    /// Control socket, in place of the configured one
    #[arg(long, value_name = "PATH", env = "UNDERPASS_SOCKET")]
    pub socket: Option<PathBuf>,
    /// Only say what is wrong with the configuration
    #[arg(long)]
    pub check: bool,
    /// Print JSON (schema_version 1) instead of text
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let loaded = Origin::of(args).load();
    if args.check {
        return report(args, &loaded, out);
    }
    match loaded {
        Ok(loaded) => {
            complain(&loaded.warnings);
            serve(args, loaded)
        }
        Err(_) => report(args, &loaded, out),
    }
}

/// Where the desired state comes from, now and at each reload.
enum Origin {
    /// `underpass.toml` and what lies beside it.
    Own(PathBuf),
    /// Files of others, imported each time.
    Foreign(Vec<PathBuf>, Reading),
}

impl Origin {
    fn of(args: &Args) -> Origin {
        let own = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "toml");
        match args.files.as_slice() {
            [] => Origin::Own(args.config.clone()),
            [only] if own(only) => Origin::Own(only.clone()),
            files => Origin::Foreign(files.to_vec(), args.reading.clone()),
        }
    }

    fn load(&self) -> Result<Loaded, Vec<Diagnostic>> {
        match self {
            Origin::Own(path) => files::load(path),
            Origin::Foreign(files, reading) => foreign::load(files, reading),
        }
    }

    fn shown(&self) -> String {
        match self {
            Origin::Own(path) => path.display().to_string(),
            Origin::Foreign(files, _) => {
                files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
            }
        }
    }
}

/// Runs the gateway until it is told to stop.
fn serve(args: &Args, loaded: Loaded) -> Result<Exit, Failure> {
    let (origin, running) = (Origin::of(args), loaded.host.clone());
    let options = Options {
        desired: loaded.state,
        interface: loaded.host.interface,
        listen: loaded.host.listen,
        socket: args.socket.clone().unwrap_or_else(|| loaded.host.socket.into()),
        vici_socket: loaded.host.vici_socket.map(PathBuf::from),
        keep_unreachable: loaded.host.unreachable_on_stop == UnreachableOnStop::Keep,
        metrics: loaded.host.metrics,
        state: state(loaded.host.state_directory),
        manage_sysctls: loaded.host.manage_sysctls,
        json_log: args.json,
        reload: Box::new(move || reload(&origin, &running)),
        version: env!("CARGO_PKG_VERSION"),
        timestamp: rfc3339,
    };
    host::gateway::run(options)
        .map(|()| Exit::Ok)
        .map_err(|error| Failure::new(Exit::Condition, "gateway", error.to_string()))
}

/// Where is kept what survives a restart: where the configuration says, else where systemd does.
fn state(configured: Option<String>) -> Option<PathBuf> {
    let of_systemd = || {
        let folders = std::env::var_os("STATE_DIRECTORY")?;
        std::env::split_paths(&folders).next()
    };
    configured.map(PathBuf::from).or_else(of_systemd)
}

/// Reads the configuration again. What belongs to the host stays as it is while it runs.
fn reload(origin: &Origin, running: &HostSettings) -> Result<DesiredState, String> {
    let loaded = origin.load().map_err(|found| {
        let texts: String = found.iter().map(ToString::to_string).collect();
        format!("the configuration is not usable\n{}", texts.trim_end())
    })?;
    complain(&loaded.warnings);
    if loaded.host != *running {
        let keys = "interface, listen, socket, vici_socket, metrics, state_directory, sysctls and unreachable_on_stop";
        // Nobody reads standard error: nothing to be done.
        let _ = writeln!(std::io::stderr(), "warning: changes of {keys} take effect when the gateway is restarted");
    }
    Ok(loaded.state)
}

fn report(args: &Args, loaded: &Result<Loaded, Vec<Diagnostic>>, out: &mut dyn Write) -> Result<Exit, Failure> {
    let (diagnostics, connections) = match loaded {
        Ok(loaded) => (&loaded.warnings, loaded.state.connections.values().collect()),
        Err(found) => (found, Vec::new()),
    };
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
    let warnings = diagnostics.len() - errors;
    if args.json {
        let names: Vec<String> = connections.iter().map(|connection| connection.peer.name.to_string()).collect();
        let object = json!({
            "schema_version": 1, "ok": errors == 0, "errors": errors, "warnings": warnings,
            "connections": names, "diagnostics": diagnostics,
        });
        writeln!(out, "{object}")?;
    } else {
        complain(diagnostics);
        let children: usize = connections.iter().map(|connection| connection.peer.children.len()).sum();
        let path = Origin::of(args).shown();
        match errors {
            0 => writeln!(
                out,
                "{path}: ok, {}, {}, {}",
                count(connections.len(), "connection", "connections"),
                count(children, "child", "children"),
                count(warnings, "warning", "warnings")
            )?,
            _ => writeln!(
                std::io::stderr(),
                "{path}: not usable, {}, {}",
                count(errors, "error", "errors"),
                count(warnings, "warning", "warnings")
            )?,
        }
    }
    Ok(if errors == 0 { Exit::Ok } else { Exit::Condition })
}

fn complain(diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        // Nobody reads standard error: nothing to be done.
        let _ = writeln!(std::io::stderr(), "{diagnostic}");
    }
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
