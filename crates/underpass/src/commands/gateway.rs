//! `underpass gateway`: checks the configuration, and runs the gateway with it.

use crate::exit::{Exit, Failure};
use crate::files;
use formats::underpass_toml::Loaded;
use formats::{Diagnostic, Severity};
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;

/// Run a gateway, or check its configuration
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  underpass gateway --check -c underpass.toml   report every error with its place and a suggestion; change nothing
  underpass gateway -c underpass.toml           run until SIGTERM; SIGHUP or `underpass reload` applies a changed file")]
pub struct Args {
    /// The configuration; conf.d/*.toml and secrets.d/*.toml beside it are read too
    #[arg(short, long, value_name = "FILE", default_value = "/etc/underpass/underpass.toml")]
    pub config: PathBuf,
    /// Only say what is wrong with the configuration
    #[arg(long)]
    pub check: bool,
    /// Print JSON (schema_version 1) instead of text
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    let loaded = files::load(&args.config);
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

/// Runs the gateway until it is told to stop.
fn serve(_args: &Args, _loaded: Loaded) -> Result<Exit, Failure> {
    Err(Failure::new(Exit::CannotTell, "not_built", "this build checks configurations, but cannot run a gateway"))
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
        let path = args.config.display();
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
