//! Starting and stopping the gateway: as systemd's unit where that is how it runs, else as a process of its own.

use super::words::Start;
use super::{Failed, answers, code};
use crate::client::clean;
use crate::exit::Exit;
use crate::tunnels::text;
use formats::underpass_toml::DEFAULT_SOCKET;
use host::control::Owner;
use serde_json::Value;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Our unit.
const UNIT: &str = "underpass.service";
const OWN: &str = "/etc/underpass/underpass.toml";
const OTHERS: [&str; 2] = ["/etc/ipsec.conf", "/etc/ipsec.secrets"];
/// How long a gateway may take to answer after its start, and to end.
const PATIENCE: Duration = Duration::from_secs(15);
const INTERVAL: Duration = Duration::from_millis(50);

/// Starts a gateway where none answers.
pub(super) fn start(socket: &Path, start: &Start, out: &mut dyn Write) -> Result<u8, Failed> {
    if answers(socket).is_ok() {
        writeln!(out, "Underpass is running already")?;
        return Ok(code::OK);
    }
    if !start.foreground && start.configuration.is_none() && is_units(socket) {
        writeln!(out, "Starting Underpass... (systemctl start {UNIT})")?;
        return systemctl("start");
    }
    let mut command = gateway(socket, start)?;
    writeln!(out, "Starting Underpass {} IPsec...", env!("CARGO_PKG_VERSION"))?;
    out.flush()?;
    if start.foreground {
        return Err(Failed::new(code::FAILED, format!("cannot start: {}", command.exec())));
    }
    detached(&mut command, socket)
}

/// The gateway's command line: what was named, our own configuration, or that of others.
fn gateway(socket: &Path, start: &Start) -> Result<Command, Failed> {
    let configuration: Vec<PathBuf> = match &start.configuration {
        Some(file) => {
            // The secrets of `ipsec.conf` lie beside it.
            let secrets = file.with_extension("secrets");
            let beside =
                (file.extension().is_some_and(|extension| extension == "conf") && secrets.exists()).then_some(secrets);
            [file.clone()].into_iter().chain(beside).collect()
        }
        None if Path::new(OWN).exists() => vec![OWN.into()],
        None if Path::new(OTHERS[0]).exists() => {
            OTHERS.iter().map(PathBuf::from).filter(|path| path.exists()).collect()
        }
        None => {
            let text = format!("nothing to start from: there is no {OWN} and no {}", OTHERS[0]);
            return Err(Failed::new(code::NOT_CONFIGURED, text));
        }
    };
    let mut command = this_program();
    command.arg("gateway").args(configuration).arg("--socket").arg(socket);
    Ok(command)
}

/// Starts it, and waits until it answers or has ended.
fn detached(command: &mut Command, socket: &Path) -> Result<u8, Failed> {
    let cannot = |error| Failed::new(code::FAILED, format!("cannot start: {error}"));
    if let Some(folder) = socket.parent() {
        fs::create_dir_all(folder).map_err(cannot)?;
    }
    let path = socket.with_extension("log");
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(cannot)?;
    let before = log.metadata().map_err(cannot)?.len();
    command.stdin(Stdio::null()).stdout(log.try_clone().map_err(cannot)?).stderr(log).process_group(0);
    let mut child = command.spawn().map_err(cannot)?;
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if answers(socket).is_ok() {
            return Ok(code::OK);
        }
        if let Ok(Some(status)) = child.try_wait() {
            let said = fs::read(&path).unwrap_or_default();
            let said = said.get(usize::try_from(before).unwrap_or(usize::MAX)..).unwrap_or_default();
            let said = String::from_utf8_lossy(said);
            let said: Vec<String> = said.lines().map(clean).collect();
            let text = format!("the gateway ended at once ({status}):\n{}", said.join("\n"));
            return Err(Failed::new(code::FAILED, text));
        }
        std::thread::sleep(INTERVAL);
    }
    let text = format!("the gateway does not answer after {} s: see {}", PATIENCE.as_secs(), path.display());
    Err(Failed::new(code::FAILED, text))
}

/// Stops the gateway that answers, and no other process.
pub(super) fn stop(socket: &Path, out: &mut dyn Write) -> Result<u8, Failed> {
    let status = match answers(socket) {
        Ok(status) => status,
        Err(failure) if failure.exit == Exit::Unreachable && failure.code != "not_permitted" => {
            writeln!(out, "Underpass is not running")?;
            return Ok(code::OK);
        }
        Err(failure) => return Err(failure.into()),
    };
    writeln!(out, "Stopping Underpass IPsec...")?;
    if is_units(socket) {
        return systemctl("stop");
    }
    let cannot = |error| Failed::new(code::FAILED, format!("cannot stop it: {error}"));
    let owner = Owner::of(socket).map_err(cannot)?;
    let gateway = status.0.get("gateway").unwrap_or(&Value::Null);
    if gateway.get("pid").and_then(Value::as_u64) != Some(u64::from(owner.pid())) {
        let told = format!("process {} listens there, and says it is another: it is not stopped", owner.pid());
        return Err(Failed::new(code::FAILED, format!("{told} (version {})", clean(text(gateway, "version")))));
    }
    if owner.stop(PATIENCE).map_err(cannot)? {
        Ok(code::OK)
    } else {
        let text = format!("process {} was told to stop, and has not after {} s", owner.pid(), PATIENCE.as_secs());
        Err(Failed::new(code::FAILED, text))
    }
}

/// Whether the gateway of this socket is, or would be, systemd's.
fn is_units(socket: &Path) -> bool {
    let known = || {
        let mut asked = Command::new("systemctl");
        asked.args(["cat", UNIT]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        asked.status().is_ok_and(|status| status.success())
    };
    socket == Path::new(DEFAULT_SOCKET) && Path::new("/run/systemd/system").is_dir() && known()
}

fn systemctl(verb: &str) -> Result<u8, Failed> {
    let ran = Command::new("systemctl").args([verb, UNIT]).status();
    match ran {
        Ok(status) if status.success() => Ok(code::OK),
        Ok(status) => Err(Failed::new(code::FAILED, format!("systemctl {verb} {UNIT}: {status}"))),
        Err(error) => Err(Failed::new(code::FAILED, format!("systemctl cannot be started: {error}"))),
    }
}

/// This program by its own name, whatever it was called by.
fn this_program() -> Command {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
    let mut command = Command::new(program);
    command.arg0("underpass");
    command
}

/// Runs a subcommand of ours in this one's place.
pub(super) fn ourselves(subcommand: &str, words: &[String]) -> Result<u8, Failed> {
    let status = this_program().arg(subcommand).args(words).status();
    let status = status.map_err(|error| Failed::new(code::FAILED, format!("cannot start: {error}")))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(code::FAILED))
}
