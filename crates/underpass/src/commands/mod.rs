//! One file per subcommand. Data goes to standard output, messages to standard error.

pub mod capture;
pub mod completions;
pub mod demo;
pub mod doctor;
pub mod down;
pub mod explain;
pub mod export;
pub mod gateway;
pub mod import;
pub mod ipsec;
pub mod log;
pub mod man;
pub mod metrics;
pub mod rekey;
pub mod reload;
pub mod status;
pub mod trace;
pub mod up;
pub mod wait;

use crate::client::Gateway;
use crate::exit::{Exit, Failure};
use crate::tunnels::{Status, Target};
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;

/// Options of every command that speaks to a running gateway.
#[derive(clap::Args, Debug)]
pub struct Control {
    /// Control socket of the gateway
    #[arg(long, value_name = "PATH", env = "UNDERPASS_SOCKET", default_value = formats::underpass_toml::DEFAULT_SOCKET)]
    pub socket: PathBuf,
    /// Print JSON (schema_version 1) instead of text
    #[arg(long)]
    pub json: bool,
}

impl Control {
    fn gateway(&self) -> Gateway {
        Gateway::at(&self.socket)
    }
}

/// A connection or one of its children on the command line.
#[derive(clap::Args, Debug)]
pub struct Which {
    /// Connection, or connection and child as in `site-b/net`
    #[arg(value_name = "CONNECTION[/CHILD]")]
    pub connection: String,
    /// Child of the connection
    #[arg(long, value_name = "NAME")]
    pub child: Option<String>,
}

impl Which {
    fn target(&self) -> Result<Target, Failure> {
        Target::new(&self.connection, self.child.as_deref())
    }
}

/// Sends `command` for a target that is known to exist, and returns the gateway's result.
fn order(gateway: &Gateway, command: &str, target: &Target) -> Result<Value, Failure> {
    Status::of(gateway)?.select(Some(target))?;
    gateway.ask(&json!({ "command": command, "connection": target.connection, "child": target.child }))
}

/// Prints that something was done: `words` for people, the gateway's result for machines.
fn done(control: &Control, words: &str, result: &Value, out: &mut dyn Write) -> Result<Exit, Failure> {
    if control.json {
        writeln!(out, "{}", json!({ "schema_version": 1, "ok": true, "result": result }))?;
    } else {
        writeln!(out, "{words}")?;
    }
    Ok(Exit::Ok)
}
