//! What a lab is, what it needs, and how it is run: in a world of its own, with a bound on its time, its peers' logs
//! shown when it fails.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::error::LabError;
use crate::libreswan::{Libreswan, PlutoConnection, PrivateRoot};
use crate::process::run;
use crate::strongswan::{CharonOptions, StrongSwan, SwanConnection};
use crate::sys;
use crate::topology::{Internet, Sites};
use crate::underpass::Underpass;
use crate::world::World;

/// The longest a lab may take.
pub const BOUND: Duration = Duration::from_secs(120);
/// Attempts at a lab on a machine that is too busy for it.
const ATTEMPTS: u32 = 3;
/// How long a lab whose processes were all killed may take to end.
const AFTERMATH: Duration = Duration::from_secs(15);
/// Lines of each log shown on failure.
const LOG_LINES: usize = 60;

/// Something a lab cannot run without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Root, network namespaces and iproute2.
    Root,
    /// nftables with NAT.
    Nftables,
    /// /dev/net/tun.
    Tun,
    /// strongSwan's charon with kernel-libipsec, and swanctl.
    StrongSwan,
    /// Libreswan, unpacked into a private root.
    Libreswan,
    /// ike-scan.
    IkeScan,
    /// The system's Python with scapy.
    Scapy,
    /// tshark, which reads our captures.
    Tshark,
    /// Our own binary with its `gateway` subcommand.
    Underpass,
    /// Files that others wrote, beside the project.
    Samples,
    /// The module `vici` of Python's package index, in a folder of its own.
    PythonVici,
}

/// Names the folder of samples.
const SAMPLES_VARIABLE: &str = "UNDERPASS_SAMPLES";

/// Where the samples are: what `UNDERPASS_SAMPLES` names, else `shared/samples` beside the project.
#[must_use]
pub fn samples() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/samples");
    let folder = std::env::var_os(SAMPLES_VARIABLE).map_or_else(beside, PathBuf::from);
    folder.join("seeds").is_dir().then_some(folder)
}

impl Need {
    /// What is missing, if anything.
    #[must_use]
    pub fn missing(self) -> Option<String> {
        let fails = |program: &str, args: &[&str]| run(program, args).is_err();
        match self {
            Self::Root if !sys::is_root() => Some("needs root (sudo)".to_owned()),
            Self::Root => fails("ip", &["-V"]).then(|| "no `ip` (apt-get install iproute2)".to_owned()),
            Self::Nftables => fails("nft", &["--version"]).then(|| "no `nft` (apt-get install nftables)".to_owned()),
            Self::Tun => (!Path::new("/dev/net/tun").exists()).then(|| "no /dev/net/tun".to_owned()),
            Self::StrongSwan => StrongSwan::missing().map(|what| format!("strongSwan is not installed: {what}")),
            Self::Libreswan => PrivateRoot::find().err().map(|what| format!("Libreswan is not unpacked: {what}")),
            Self::IkeScan => {
                fails("ike-scan", &["--version"]).then(|| "no `ike-scan` (apt-get install ike-scan)".to_owned())
            }
            Self::Scapy => fails(SYSTEM_PYTHON, &["-c", "import scapy.layers.ipsec"])
                .then(|| "no scapy (apt-get install python3-scapy)".to_owned()),
            Self::Tshark => fails("tshark", &["--version"]).then(|| "no `tshark` (apt-get install tshark)".to_owned()),
            Self::Underpass => Underpass::missing(),
            Self::PythonVici => python_vici().err(),
            Self::Samples => samples().is_none().then(|| format!("no samples ({SAMPLES_VARIABLE} names their folder)")),
        }
    }
}

/// The folder that `cargo xtask` put the module `vici` into; or what is missing.
///
/// # Errors
/// There is none.
pub fn python_vici() -> Result<PathBuf, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let folder = program.ancestors().nth(2).map(|target| target.join("lab-peers/python-vici"));
    let folder = folder.ok_or_else(|| "this program is in no build folder".to_owned())?;
    let hint = "`cargo xtask test --only setup` fetches it";
    let there = folder.join("vici").is_dir();
    if there { Ok(folder) } else { Err(format!("no module `vici` in {} ({hint})", folder.display())) }
}

/// The Python whose packages the distribution installs.
pub const SYSTEM_PYTHON: &str = "/usr/bin/python3";

/// What a lab that passed has to say.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Figures in a few words.
    pub details: String,
}

impl From<String> for Report {
    fn from(details: String) -> Self {
        Self { details }
    }
}

/// A lab.
#[derive(Debug, Clone, Copy)]
pub struct Lab {
    /// Its name, which is its promise.
    pub name: &'static str,
    /// What it cannot run without.
    pub needs: &'static [Need],
    /// Runs it.
    pub run: fn(&mut LabContext) -> Result<Report, LabError>,
}

/// How a lab ended.
#[derive(Debug)]
pub enum Outcome {
    /// What it promises held.
    Passed(Report),
    /// It did not, or the lab broke; with the logs of those involved.
    Failed {
        /// Why.
        error: LabError,
        /// The ends of the logs.
        logs: String,
    },
    /// Something it needs is missing.
    Skipped(String),
}

/// What a running lab builds with.
#[derive(Debug)]
pub struct LabContext {
    /// Its namespaces.
    pub world: World,
    logs: Arc<Mutex<Vec<(String, PathBuf)>>>,
}

impl LabContext {
    /// Two sites with this between them.
    pub fn sites(&mut self, internet: Internet) -> Result<Sites, LabError> {
        Sites::build(&mut self.world, internet)
    }

    /// Starts a strongSwan called `name` in `namespace`.
    pub fn strongswan(
        &self,
        namespace: &crate::world::NetNs,
        name: &str,
        connection: &SwanConnection,
        options: &CharonOptions,
    ) -> Result<StrongSwan, LabError> {
        self.log_file(&format!("strongSwan {name}"), StrongSwan::log_path(&self.world, name));
        StrongSwan::start(&self.world, namespace, name, connection, options)
    }

    /// Starts a Libreswan called `name` in `namespace`.
    pub fn libreswan(
        &self,
        namespace: &crate::world::NetNs,
        name: &str,
        connection: &PlutoConnection,
    ) -> Result<Libreswan, LabError> {
        self.log_file(&format!("Libreswan {name}"), Libreswan::log_path(&self.world, name));
        Libreswan::start(&self.world, namespace, name, connection)
    }

    /// Starts our gateway, called `name`, in `namespace`.
    pub fn underpass(
        &self,
        namespace: &crate::world::NetNs,
        name: &str,
        configuration: &str,
        secrets: &str,
    ) -> Result<Underpass, LabError> {
        self.log_file(&format!("underpass {name}"), Underpass::log_path(&self.world, name));
        Underpass::start(&self.world, namespace, name, configuration, secrets)
    }

    /// Names a file whose end is shown when the lab fails.
    pub fn log_file(&self, title: &str, path: PathBuf) {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).push((title.to_owned(), path));
    }
}

/// How a lab went.
#[derive(Debug)]
pub struct Run {
    /// How its last attempt ended.
    pub outcome: Outcome,
    /// Why attempts before were no answer and were repeated: each time the peer's own queues overflowed.
    pub repeated: Vec<String>,
}

/// Labs run side by side; one that is repeated because the machine was too busy runs alone.
static ALONE: RwLock<()> = RwLock::new(());

/// Runs one lab in a world of its own, for at most [`BOUND`].
pub fn run_lab(lab: &Lab) -> Run {
    run_lab_within(lab, BOUND)
}

/// As [`run_lab`], with another bound on each attempt.
pub fn run_lab_within(lab: &Lab, bound: Duration) -> Run {
    let first = {
        let _beside_others = ALONE.read().unwrap_or_else(PoisonError::into_inner);
        attempt(lab, bound)
    };
    let mut run = Run { outcome: first, repeated: Vec::new() };
    for _ in 1..ATTEMPTS {
        let Outcome::Failed { error: LabError::Busy(why), .. } = &run.outcome else { break };
        run.repeated.push(why.clone());
        let _alone = ALONE.write().unwrap_or_else(PoisonError::into_inner);
        run.outcome = attempt(lab, bound);
    }
    run
}

fn attempt(lab: &Lab, bound: Duration) -> Outcome {
    if let Some(missing) = lab.needs.iter().find_map(|need| need.missing()) {
        return Outcome::Skipped(missing);
    }
    let world = match World::new() {
        Ok(world) => world,
        Err(error) => {
            return Outcome::Failed { error, logs: String::new() };
        }
    };
    let mark = format!("{}-", world.mark());
    let logs = Arc::new(Mutex::new(Vec::new()));
    let mut context = LabContext { world, logs: Arc::clone(&logs) };
    let (done, ended) = channel();
    let run = lab.run;
    let thread = std::thread::spawn(move || {
        let result = run(&mut context);
        let logs = render(&context.logs);
        let _ = done.send((result, logs));
        // The world ends here, after its logs were read.
    });
    let start = Instant::now();
    let (result, logs) = match ended.recv_timeout(bound) {
        Ok((result, logs)) => (result, logs),
        Err(RecvTimeoutError::Timeout) => {
            // What waits for a peer fails now, and the lab's own clean-up runs.
            let so_far = render(&logs);
            World::kill_everything(&mark);
            let _ = ended.recv_timeout(AFTERMATH);
            (Err(LabError::TimedOut(format!("stopped by the watchdog after {:?}", start.elapsed()))), so_far)
        }
        Err(RecvTimeoutError::Disconnected) => (Err(LabError::Harness("the lab panicked".to_owned())), render(&logs)),
    };
    if !matches!(result, Err(LabError::TimedOut(_))) || thread.is_finished() {
        let _ = thread.join();
    }
    match result {
        Ok(report) => Outcome::Passed(report),
        Err(error) => Outcome::Failed { error, logs },
    }
}

/// The last lines of every log.
fn render(logs: &Mutex<Vec<(String, PathBuf)>>) -> String {
    let mut text = String::new();
    for (title, path) in logs.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        let content = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let lines: Vec<_> = content.lines().collect();
        let _ = writeln!(text, "  --- {title} ({} lines)", lines.len());
        for line in lines.iter().skip(lines.len().saturating_sub(LOG_LINES)) {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}
