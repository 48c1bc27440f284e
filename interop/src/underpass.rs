//! Our own gateway as a lab runs it: the release binary, a configuration file, its control commands.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::error::LabError;
use crate::process::{Daemon, Output, run_command, wait_for};
use crate::strongswan::write;
use crate::world::{NetNs, World};

/// Names the binary to test instead of the one beside the lab's own.
pub const BINARY_VARIABLE: &str = "UNDERPASS_BIN";
/// How long the gateway may take until it answers.
const READY: Duration = Duration::from_secs(10);
/// How long a control command may take.
const CONTROL: Duration = Duration::from_secs(30);

/// A running `underpass gateway`; stopped when dropped.
#[derive(Debug)]
pub struct Underpass {
    daemon: Daemon,
    directory: PathBuf,
    binary: PathBuf,
}

impl Underpass {
    /// The binary under test: what `UNDERPASS_BIN` names, else `underpass` beside the running program.
    pub fn binary() -> Result<PathBuf, String> {
        let path = match std::env::var_os(BINARY_VARIABLE) {
            Some(path) => PathBuf::from(path),
            None => std::env::current_exe()
                .map_err(|error| error.to_string())?
                .parent()
                .map(|directory| directory.join("underpass"))
                .ok_or_else(|| "this program has no directory".to_owned())?,
        };
        if path.is_file() { Ok(path) } else { Err(format!("no {} (cargo build --release)", path.display())) }
    }

    /// What is missing for running our gateway, if anything: the binary, or one that has the `gateway` subcommand.
    pub fn missing() -> Option<String> {
        let binary = match Self::binary() {
            Ok(binary) => binary,
            Err(missing) => return Some(missing),
        };
        let mut command = Command::new(&binary);
        command.args(["gateway", "--help"]);
        let output = run_command(command, "", Duration::from_secs(10));
        let works = output.is_ok_and(|output| output.success && output.stdout.contains("--check"));
        (!works).then(|| format!("{} has no `gateway` yet", binary.display()))
    }

    /// Starts a gateway called `name` in `namespace`. In `configuration`, `@DIR@` stands for its private directory; the
    /// `secrets` and `socket` keys of `[gateway]` are the caller's to set (see [`gateway_section`]).
    pub fn start(
        world: &World,
        namespace: &NetNs,
        name: &str,
        configuration: &str,
        secrets: &str,
    ) -> Result<Self, LabError> {
        let directory = world.private_directory(name)?;
        let binary = Self::binary().map_err(LabError::Harness)?;
        let mut peer =
            Self { daemon: spawn(&directory, &binary, namespace, name, configuration, secrets)?, directory, binary };
        peer.wait_ready()?;
        Ok(peer)
    }

    /// Starts a gateway called `name` in `namespace` from these files of others, as they are.
    pub fn start_from(world: &World, namespace: &NetNs, name: &str, files: &[PathBuf]) -> Result<Self, LabError> {
        let directory = world.private_directory(name)?;
        let binary = Self::binary().map_err(LabError::Harness)?;
        let mut command = in_namespace(namespace, &binary);
        command.arg("gateway").args(files).arg("--socket").arg(directory.join("ctl.sock"));
        let daemon = Daemon::start(name, command, &directory.join("underpass.log"))?;
        let mut peer = Self { daemon, directory, binary };
        peer.wait_ready()?;
        Ok(peer)
    }

    /// Starts it again, after [`Underpass::kill9`] or [`Underpass::stop`], with the files it had.
    pub fn restart(&mut self, namespace: &NetNs) -> Result<(), LabError> {
        self.daemon.kill9();
        self.daemon = launch(&self.directory, &self.binary, namespace, "underpass")?;
        self.wait_ready()
    }

    /// The log file the gateway writes.
    #[must_use]
    pub fn log_path(world: &World, name: &str) -> PathBuf {
        world.directory().join(name).join("underpass.log")
    }

    /// Ready is who answers: from then on nothing may leave in clear, and a first packet on demand is kept.
    fn wait_ready(&mut self) -> Result<(), LabError> {
        wait_for("the gateway answering `underpass status`", READY, || {
            if !self.daemon.is_running() {
                return Err(LabError::Broken(format!("the gateway ended at its start: {}", self.log().trim())));
            }
            let answers = self.directory.join("ctl.sock").exists() && self.control(&["status", "--json"])?.success;
            Ok(answers.then_some(()))
        })
    }

    /// Runs a control command (`["status", "--json"]`, `["up", "site-b"]`…) against this gateway.
    pub fn control(&self, args: &[&str]) -> Result<Output, LabError> {
        let mut command = Command::new(&self.binary);
        command.args(args).arg("--socket").arg(self.directory.join("ctl.sock"));
        run_command(command, "", CONTROL)
    }

    /// As [`Underpass::control`], where anything but success is what the lab was to rule out.
    pub fn expect(&self, args: &[&str]) -> Result<String, LabError> {
        let output = self.control(args)?;
        if output.success {
            return Ok(output.stdout);
        }
        let code = output.code.unwrap_or(-1);
        let complaint = format!("{} {}", output.stdout.trim(), output.stderr.trim());
        Err(LabError::Broken(format!("underpass {} ended with {code}: {}", args.join(" "), complaint.trim())))
    }

    /// Brings the connection up.
    pub fn up(&self, connection: &str) -> Result<(), LabError> {
        self.expect(&["up", connection]).map(drop)
    }

    /// Takes the connection down: its children and its IKE SA are deleted.
    pub fn down(&self, connection: &str) -> Result<(), LabError> {
        self.expect(&["down", connection]).map(drop)
    }

    /// Deletes one child.
    pub fn down_child(&self, connection: &str, child: &str) -> Result<(), LabError> {
        self.expect(&["down", connection, "--child", child]).map(drop)
    }

    /// Rekeys the IKE SA of the connection.
    pub fn rekey_ike(&self, connection: &str) -> Result<(), LabError> {
        self.expect(&["rekey", connection]).map(drop)
    }

    /// Rekeys one child.
    pub fn rekey_child(&self, connection: &str, child: &str) -> Result<(), LabError> {
        self.expect(&["rekey", connection, "--child", child]).map(drop)
    }

    /// `underpass status --json`, parsed.
    pub fn status(&self) -> Result<Value, LabError> {
        let text = self.control(&["status", "--json"])?.stdout;
        serde_json::from_str(&text)
            .map_err(|error| LabError::Broken(format!("`underpass status --json` printed no JSON ({error}): {text}")))
    }

    /// The connection `name` in the status.
    pub fn connection(&self, name: &str) -> Result<Value, LabError> {
        let status = self.status()?;
        // Other commands wrap their answer in `result`; status may be read either way.
        let list = status.pointer("/connections").or_else(|| status.pointer("/result/connections"));
        list.and_then(Value::as_array)
            .and_then(|all| all.iter().find(|connection| connection["name"] == name))
            .cloned()
            .ok_or_else(|| LabError::Broken(format!("`underpass status` does not list {name}: {status}")))
    }

    /// The children of the connection that are installed.
    pub fn installed(&self, connection: &str) -> Result<Vec<Value>, LabError> {
        let connection = self.connection(connection)?;
        let children = connection["children"].as_array().cloned().unwrap_or_default();
        Ok(children.into_iter().filter(|child| child["state"] == "up").collect())
    }

    /// Waits until the connection is up with `children` installed children.
    pub fn wait_up(&self, connection: &str, children: usize, bound: Duration) -> Result<(), LabError> {
        wait_for(&format!("{connection} being up at our end"), bound, || {
            let up = self.connection(connection)?["state"] == "up" && self.installed(connection)?.len() == children;
            Ok(up.then_some(()))
        })
    }

    /// Waits until the connection is down.
    pub fn wait_down(&self, connection: &str, bound: Duration) -> Result<(), LabError> {
        wait_for(&format!("{connection} being down at our end"), bound, || {
            Ok((self.connection(connection)?["state"] != "up").then_some(()))
        })
    }

    /// Process id of the gateway.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> bool {
        self.daemon.is_running()
    }

    /// What it has printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("underpass.log")).unwrap_or_default()
    }

    /// Kills it as a crash would.
    pub fn kill9(&mut self) {
        self.daemon.kill9();
    }

    /// Stops it in order (SIGTERM), and returns its exit code.
    pub fn stop(&mut self) -> Result<Option<i32>, LabError> {
        self.daemon.stop(Duration::from_secs(10))
    }

    /// Replaces the configuration file; a running gateway learns of it by [`Underpass::hang_up`] or `reload`.
    pub fn rewrite(&self, configuration: &str) -> Result<(), LabError> {
        let configuration = configuration.replace("@DIR@", &self.directory.display().to_string());
        write(&self.directory.join("underpass.toml"), &configuration)
    }

    /// Its configuration file.
    #[must_use]
    pub fn configuration(&self) -> PathBuf {
        self.directory.join("underpass.toml")
    }

    /// Sends SIGHUP: read the configuration again.
    pub fn hang_up(&self) -> Result<(), LabError> {
        crate::sys::signal(self.pid(), libc::SIGHUP).map_err(|error| LabError::harness("SIGHUP", error))
    }
}

/// The `[gateway]` section of a gateway in a lab: its secrets and control socket in its private directory.
#[must_use]
pub fn gateway_section() -> &'static str {
    "[gateway]\ninterface = \"underpass0\"\nsecrets = \"secrets.toml\"\nsocket = \"@DIR@/ctl.sock\"\n"
}

fn spawn(
    directory: &Path,
    binary: &Path,
    namespace: &NetNs,
    name: &str,
    configuration: &str,
    secrets: &str,
) -> Result<Daemon, LabError> {
    let configuration = configuration.replace("@DIR@", &directory.display().to_string());
    write(&directory.join("underpass.toml"), &configuration)?;
    write(&directory.join("secrets.toml"), secrets)?;
    let mut check = Command::new(binary);
    check.args(["gateway", "--check", "-c"]).arg(directory.join("underpass.toml"));
    let checked = run_command(check, "", CONTROL)?;
    if !checked.success {
        let complaint = format!("{}{}", checked.stdout, checked.stderr);
        return Err(LabError::harness("the lab's own configuration is refused", complaint));
    }
    launch(directory, binary, namespace, name)
}

fn in_namespace(namespace: &NetNs, binary: &Path) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace.name(), "nice", "-n", "-10"]).arg(binary);
    command
}

fn launch(directory: &Path, binary: &Path, namespace: &NetNs, name: &str) -> Result<Daemon, LabError> {
    let mut command = in_namespace(namespace, binary);
    command.args(["gateway", "-c"]).arg(directory.join("underpass.toml"));
    Daemon::start(name, command, &directory.join("underpass.log"))
}
