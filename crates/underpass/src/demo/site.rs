//! The two gateways: child processes of this very program, with a configuration as anybody would write it, asked over their control
//! sockets as anybody would ask.

use super::error::{StepError, io_error};
use super::lab::{Lab, NETWORK_BITS, Path as Way, Site};
use crate::client::Gateway;
use crate::tunnels::{Status, items, reason, text};
use crypto::Rng;
use host::lab::spawn_bound;
use host::rng::OsRng;
use serde_json::{Value, json};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Name of the connection and of its child, at both ends.
pub const CONNECTION: &str = "demo";
/// Name of the child.
pub const CHILD: &str = "net";
/// Between two looks at a gateway.
const INTERVAL: Duration = Duration::from_millis(10);
/// Random bytes in the pre-shared key.
const PSK_LEN: usize = 32;

/// The running gateways.
#[derive(Clone, Default, Debug)]
pub struct Gateways(Arc<Mutex<Vec<(Site, Child)>>>);

impl Gateways {
    /// Starts a site's gateway. The kernel kills it when the calling thread ends.
    ///
    /// # Errors
    /// Its log cannot be written, or the program not be started.
    pub fn start(&self, lab: &Lab, files: &Files) -> Result<(), StepError> {
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&files.log);
        let log = log.map_err(io_error("write a gateway's log"))?;
        let mut command = Command::new(program());
        command.args(["gateway", "-c"]).arg(&files.config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        // What belongs to a service that started us is not for our children; Ctrl-C is ours to handle.
        command.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID").process_group(0);
        let child = spawn_bound(&mut command, &lab.at(files.site).gateway).map_err(io_error("start a gateway"))?;
        self.with(|running| running.push((files.site, child)));
        Ok(())
    }

    /// Takes in a process that was started otherwise, to be ended with the others.
    pub fn adopt(&self, site: Site, child: Child) {
        self.with(|running| running.push((site, child)));
    }

    /// `kill -9` of a site's gateway.
    pub fn kill(&self, site: Site) {
        self.with(|running| {
            for (_, child) in running.iter_mut().filter(|(at, _)| *at == site) {
                end(child);
            }
            running.retain(|(at, _)| *at != site);
        });
    }

    /// The same of all.
    pub fn kill_all(&self) {
        Site::BOTH.into_iter().for_each(|site| self.kill(site));
    }

    /// Whether a site's gateway has ended by itself.
    pub(super) fn has_ended(&self, site: Site) -> bool {
        let ended = |child: &mut Child| child.try_wait().is_ok_and(|status| status.is_some());
        self.with(|running| running.iter_mut().any(|(at, child)| *at == site && ended(child)))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Vec<(Site, Child)>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn end(child: &mut Child) {
    // It may have ended by itself; then there is only its memory to free.
    let _ = child.kill();
    let _ = child.wait();
}

/// This program. A file that was replaced while it runs is still behind `/proc/self/exe`.
pub(super) fn program() -> PathBuf {
    std::env::current_exe().ok().filter(|path| path.exists()).unwrap_or_else(|| "/proc/self/exe".into())
}

/// What is otherwise in a configuration.
#[derive(Clone, Copy, Debug)]
pub enum Edit {
    /// Lines of the connection.
    Connection(&'static str),
    /// A line of the child.
    Child(&'static str),
    /// Something in the place of something else.
    Swap(&'static str, &'static str),
    /// Another pre-shared key.
    Psk,
}

impl Edit {
    fn apply(self, config: &mut String, psk: &mut String) -> Result<(), StepError> {
        let heading = format!("[connection.{CONNECTION}]\n");
        let replace = |config: &mut String, from: &str, to: &str| {
            let found = config.contains(from);
            *config = config.replacen(from, to, 1);
            let missing = || StepError::Unexpected(format!("`{from}` is not in the demo's configuration"));
            found.then_some(()).ok_or_else(missing)
        };
        match self {
            Edit::Connection(lines) => replace(config, &heading, &format!("{heading}{lines}\n")),
            Edit::Child(line) => {
                config.push_str(line);
                config.push('\n');
                Ok(())
            }
            Edit::Swap(from, to) => replace(config, from, to),
            Edit::Psk => {
                psk.insert_str(0, "another-");
                Ok(())
            }
        }
    }
}

/// Where a gateway's files are.
#[derive(Clone, Debug)]
pub struct Files {
    /// Whose.
    pub site: Site,
    /// The configuration.
    pub config: PathBuf,
    /// The control socket.
    pub socket: PathBuf,
    log: PathBuf,
}

impl Files {
    /// Writes configuration and secrets of both gateways below `directory`.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn write(directory: &Path) -> Result<[Files; 2], StepError> {
        Self::write_edited(directory, &[])
    }

    /// Writes those of site-a alone, for one tunnel to a peer that is not ours; and the key.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn write_alone(directory: &Path) -> Result<(Files, String), StepError> {
        let site = Site::A;
        let psk = new_key();
        let home = directory.join(site.name());
        DirBuilder::new().mode(0o700).create(&home).map_err(io_error("make a directory"))?;
        let files = Files::at(site, &home);
        write(&files.config, &single(site, &files.socket))?;
        write(&files.secrets(), &format!("[psk]\n{CONNECTION} = \"{psk}\"\n"))?;
        Ok((files, psk))
    }

    fn at(site: Site, home: &Path) -> Files {
        Files { site, config: home.join("underpass.toml"), socket: home.join("ctl.sock"), log: home.join("log") }
    }

    /// The same with something otherwise.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn write_edited(directory: &Path, edits: &[(Site, Edit)]) -> Result<[Files; 2], StepError> {
        let psk = new_key();
        let of = |site: Site| -> Result<Files, StepError> {
            let home = directory.join(site.name());
            DirBuilder::new().mode(0o700).create(&home).map_err(io_error("make a directory"))?;
            let files = Files::at(site, &home);
            let mut config = configuration(site, &files.socket);
            let mut psk = psk.clone();
            for (_, edit) in edits.iter().filter(|(of, _)| *of == site) {
                edit.apply(&mut config, &mut psk)?;
            }
            write(&files.config, &config)?;
            write(&files.secrets(), &format!("[psk]\n{CONNECTION} = \"{psk}\"\n"))?;
            Ok(files)
        };
        Ok([of(Site::A)?, of(Site::B)?])
    }

    /// The file of pre-shared keys.
    pub fn secrets(&self) -> PathBuf {
        self.config.with_file_name("secrets.toml")
    }

    /// Why the gateway is not as it should be: the last line of its log.
    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().last().map_or_else(String::new, |line| format!(": {}", crate::client::clean(line)))
    }
}

fn new_key() -> String {
    let mut key = [0; PSK_LEN];
    OsRng.fill(&mut key);
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One tunnel on the first path, in UDP: strongSwan's ESP in userspace takes no other.
fn single(site: Site, socket: &Path) -> String {
    let other = site.other();
    let socket = Value::from(socket.to_string_lossy());
    format!(
        "[gateway]
interface = \"underpass0\"
listen = [\"{own}\"]
socket = {socket}

[connection.{CONNECTION}]
local_address = \"{own}\"
remote_address = \"{peer}\"
local_id = \"{name}.example\"
remote_id = \"{other_name}.example\"
encapsulation = \"force\"
retransmit_initial_milliseconds = 250

[connection.{CONNECTION}.child.{CHILD}]
local_subnets = [\"{network}/{NETWORK_BITS}\"]
remote_subnets = [\"{other_network}/{NETWORK_BITS}\"]
start = \"on-load\"
",
        own = site.outside(Way::First),
        peer = other.outside(Way::First),
        name = site.name(),
        other_name = other.name(),
        network = site.network(),
        other_network = other.network(),
    )
}

fn write(path: &Path, text: &str) -> Result<(), StepError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file: File| file.write_all(text.as_bytes())).map_err(io_error("write a configuration"))
}

fn configuration(site: Site, socket: &Path) -> String {
    let other = site.other();
    let start = match site {
        Site::A => "on-load",
        Site::B => "passive",
    };
    let tunnel = |number: usize, way: Way| {
        format!(
            "[connection.{CONNECTION}.tunnel.{number}]
local_address = \"{}\"
remote_address = \"{}\"
preference = {}
",
            site.outside(way),
            other.outside(way),
            300 - 100 * number,
        )
    };
    let [first, second] = Way::BOTH.map(|way| site.outside(way));
    // A JSON string is a TOML string.
    let socket = Value::from(socket.to_string_lossy());
    format!(
        "[gateway]
interface = \"underpass0\"
listen = [\"{first}\", \"{second}\"]
socket = {socket}

[connection.{CONNECTION}]
local_id = \"{name}.example\"
remote_id = \"{other_name}.example\"
retransmit_initial_milliseconds = 250

{one}
{two}
[connection.{CONNECTION}.child.{CHILD}]
local_subnets = [\"{network}/{NETWORK_BITS}\"]
remote_subnets = [\"{other_network}/{NETWORK_BITS}\"]
start = \"{start}\"
",
        one = tunnel(1, Way::First),
        two = tunnel(2, Way::Second),
        name = site.name(),
        other_name = other.name(),
        network = site.network(),
        other_network = other.network(),
    )
}

/// One end of the tunnels as its gateway sees it; SPIs and algorithms are those of the first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct End {
    /// Both tunnels are there.
    pub up: bool,
    /// None is.
    pub down: bool,
    /// What each is to its gateway: `active`, `standby`, `suspect`, …
    pub roles: Vec<String>,
    /// SPIs of the IKE SA: initiator's, responder's.
    pub ike: (String, String),
    /// SPIs of the child: inbound, outbound.
    pub child: (String, String),
    /// Algorithms of the IKE SA and of the child.
    pub suites: (String, String),
    /// Why it is not up.
    pub reason: Option<String>,
}

impl End {
    pub(super) fn read(status: &Status) -> End {
        let connections = items(&status.0, "connections");
        let connection = connections.first().copied().unwrap_or(&Value::Null);
        let children = items(connection, "children");
        let child = children.first().copied().unwrap_or(&Value::Null);
        let ike = connection.get("ike").unwrap_or(&Value::Null);
        let words = |value: &Value, name: &str| text(value, name).to_owned();
        let up = |connection: &&Value| Status::is_up(connection, None);
        let groups = items(&status.0, "groups");
        let tunnels = groups.first().map(|group| items(group, "tunnels")).unwrap_or_default();
        End {
            up: !connections.is_empty() && connections.iter().all(up),
            down: !connections.iter().any(up),
            roles: tunnels.iter().map(|tunnel| words(tunnel, "role")).collect(),
            ike: (words(ike, "spi_i"), words(ike, "spi_r")),
            child: (words(child, "spi_in"), words(child, "spi_out")),
            suites: (words(ike, "suite"), words(child, "suite")),
            reason: reason(connection),
        }
    }

    /// Whether its traffic goes through this tunnel.
    pub fn carries(&self, tunnel: usize) -> bool {
        self.roles.get(tunnel).is_some_and(|role| role == "active")
    }

    /// Whether two ends are of one tunnel: the same IKE SA, and each sends on the SA that the other receives on.
    pub fn agrees(&self, other: &End) -> bool {
        let crossed = self.child.0 == other.child.1 && self.child.1 == other.child.0;
        self.up && other.up && self.ike == other.ike && crossed
    }
}

/// Both gateways, asked together.
#[derive(Debug)]
pub struct Pair<'p> {
    /// The processes.
    pub gateways: &'p Gateways,
    /// Their files.
    pub files: &'p [Files; 2],
}

impl Pair<'_> {
    fn of(&self, site: Site) -> &Files {
        match site {
            Site::A => &self.files[0],
            Site::B => &self.files[1],
        }
    }

    /// Gives a gateway an order.
    ///
    /// # Errors
    /// It does not answer, or refuses.
    pub fn order(&self, site: Site, command: &str, child: Option<&str>) -> Result<(), StepError> {
        let request = json!({ "command": command, "connection": CONNECTION, "child": child });
        Gateway::at(&self.of(site).socket).ask(&request)?;
        Ok(())
    }

    /// Waits until a gateway answers.
    ///
    /// # Errors
    /// It ends instead, or not within `patience`.
    pub fn wait_serving(&self, site: Site, patience: Duration) -> Result<(), StepError> {
        self.until(patience, "serving", |_| true, &[site]).map(drop)
    }

    /// Waits until both ends are as they should be; `what` says how, for the error.
    ///
    /// # Errors
    /// They are not within `patience`.
    pub fn wait(
        &self,
        patience: Duration,
        what: &str,
        holds: impl Fn(&End, &End) -> bool,
    ) -> Result<[End; 2], StepError> {
        let both = |ends: &[End]| matches!(ends, [a, b] if holds(a, b));
        let ends = self.until(patience, what, both, &Site::BOTH)?;
        ends.try_into().map_err(|_| StepError::Unexpected("two gateways have two ends".to_owned()))
    }

    fn until(
        &self,
        patience: Duration,
        what: &str,
        holds: impl Fn(&[End]) -> bool,
        sites: &[Site],
    ) -> Result<Vec<End>, StepError> {
        let start = Instant::now();
        loop {
            let ask = |site: &Site| Status::of(&Gateway::at(&self.of(*site).socket)).map(|status| End::read(&status));
            let asked: Result<Vec<End>, _> = sites.iter().map(ask).collect();
            if let Ok(ends) = &asked
                && holds(ends)
            {
                return Ok(asked?);
            }
            if let Some(site) = sites.iter().find(|site| self.gateways.has_ended(**site)) {
                let words = self.of(*site).last_words();
                return Err(StepError::Unexpected(format!("the gateway of {} has ended{words}", site.name())));
            }
            if start.elapsed() >= patience {
                let why = match asked {
                    Ok(ends) => ends.iter().find_map(|end| end.reason.clone()).unwrap_or_default(),
                    Err(failure) => failure.message,
                };
                let words = sites.iter().map(|site| format!("\n  {}{}", site.name(), self.of(*site).last_words()));
                let words: String = words.collect();
                let seconds = patience.as_secs();
                return Err(StepError::Unexpected(format!("not {what} within {seconds} s: {why}{words}")));
            }
            std::thread::sleep(INTERVAL);
        }
    }
}
