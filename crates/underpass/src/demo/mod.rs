//! `underpass demo`: two sites, an internet between them and a gateway at each, all on this machine and gone with this process.
//!
//! ```text
//!  main thread ── prints, waits ◄──┬── demo thread: builds, starts gateways, plays the steps ([`play`])
//!                                  └── signal thread: Ctrl-C
//! ```
//! Nothing is named: namespaces are held by descriptors, gateways are killed by the kernel when the demo thread ends, and what a
//! `kill -9` leaves of the directory is removed by the next run ([`scratch`]).

mod breakage;
mod broken;
mod error;
mod lab;
mod play;
mod report;
mod scratch;
mod site;
mod stranger;
mod strongswan;
mod traffic;
mod watch;

use crate::exit::{Exit, Failure};
use host::netns::{NetNs, NetNsError, become_root_in_user_namespace, enable_forwarding};
use host::poll::{Interest, Poller, Token};
use host::signals::{Signal, Signals};
use host::tun::{TunOptions, TunQueue};
use report::{Progress, Report};
use scratch::Scratch;
use site::Gateways;
use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, channel};

/// What the command line asked for.
#[derive(Clone, Copy)]
pub struct Options {
    /// One JSON object per line.
    pub json: bool,
    /// Stay until Ctrl-C.
    pub keep: bool,
    /// Standard output is a terminal that takes colour.
    pub terminal: bool,
    /// Break this, and ask the doctor.
    pub broken: Option<&'static Breakage>,
    /// strongSwan at the far site.
    pub strongswan: bool,
}

pub use strongswan::missing as missing_of_strongswan;

pub use breakage::{BREAKAGES, Breakage, find, has_nft};

/// Runs the whole demo. Must be called before any thread is started.
///
/// # Errors
/// This machine does not let us try ([`Exit::CannotTell`]), or our output cannot be written. A step that fails is no error, but
/// [`Exit::Condition`].
pub fn run(options: &Options, out: &mut dyn Write) -> Result<Exit, Failure> {
    let ordinary_user = become_root_in_user_namespace().map_err(|error| not_permitted(&error))?;
    if options.strongswan && ordinary_user {
        let failure =
            Failure::new(Exit::CannotTell, "not_permitted", "strongSwan's charon wants to be started by root");
        return Err(failure.hint("use sudo"));
    }
    let signals = Signals::new().map_err(|error| cannot("receive signals", &error.to_string()))?;
    probe()?;
    let scratch = Scratch::new().map_err(|error| cannot("make a directory", &error.to_string()))?;
    let gateways = Gateways::default();
    let (progress, inbox) = channel();
    watch_signals(signals, progress.clone())?;
    let stage = play::Stage {
        gateways: gateways.clone(),
        directory: scratch.path().to_owned(),
        keep: options.keep,
        ordinary_user,
        broken: options.broken,
        strongswan: options.strongswan,
        progress: progress.clone(),
    };
    thread("demo", move || play::run(stage))?;
    let result = follow(options, &inbox, out);
    gateways.kill_all();
    // Kept until here: the gateways' sockets are in it.
    drop(scratch);
    result
}

/// Prints what comes, until the end of it.
fn follow(options: &Options, inbox: &Receiver<Progress>, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut report = Report::new(options, out);
    report.drawing()?;
    let mut exit = None;
    // The signal thread holds the other end as long as the process lives.
    while let Ok(progress) = inbox.recv() {
        match (&progress, exit) {
            (Progress::Interrupted, Some(exit)) => return Ok(exit),
            (Progress::Finished(_) | Progress::Diagnosed { .. }, _) => exit = Some(Exit::Ok),
            (Progress::Failed { .. } | Progress::Interrupted | Progress::Ended, None) => exit = Some(Exit::Condition),
            (Progress::Ended, Some(_)) => continue,
            _ => {}
        }
        report.show(progress)?;
        if let Some(exit) = exit
            && (exit != Exit::Ok || !options.keep)
        {
            return Ok(exit);
        }
    }
    Ok(Exit::Condition)
}

/// Finds out at once, and with a hint, whether this machine lets us.
fn probe() -> Result<(), Failure> {
    let namespace = NetNs::new().map_err(|error| not_permitted(&error))?;
    let attempt = || {
        enable_forwarding().map_err(|error| {
            cannot("let a namespace forward packets", &error.to_string())
                .hint("/proc/sys/net must be writable; in a container that takes --privileged")
        })?;
        TunQueue::open(&TunOptions::new("probe0"))
            .map(drop)
            .map_err(|error| Failure::new(Exit::CannotTell, "no_tun", error.to_string()))
    };
    namespace.run(attempt).map_err(|error| not_permitted(&error))?
}

fn not_permitted(error: &NetNsError) -> Failure {
    Failure::new(Exit::CannotTell, "not_permitted", error.to_string())
        .hint("use sudo; in a container, start it with --privileged")
}

fn cannot(what: &str, why: &str) -> Failure {
    Failure::new(Exit::CannotTell, "system", format!("cannot {what}: {why}"))
}

fn watch_signals(signals: Signals, progress: Sender<Progress>) -> Result<(), Failure> {
    let poller = Poller::new().map_err(|error| cannot("wait for signals", &error.to_string()))?;
    poller.add(&signals, Token(0), Interest::Read).map_err(|error| cannot("wait for signals", &error.to_string()))?;
    thread("signals", move || {
        let mut ready = Vec::new();
        while poller.wait(&mut ready, None).is_ok() {
            while let Ok(Some(signal)) = signals.take() {
                // A terminal that is closed says SIGHUP: there is nothing to load again here.
                let (Signal::Stop | Signal::Reload) = signal;
                if progress.send(Progress::Interrupted).is_err() {
                    return;
                }
            }
        }
    })
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    started.map(drop).map_err(|error| cannot("start a thread", &error.to_string()))
}
