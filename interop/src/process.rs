//! Programs a lab runs: tools which end by themselves within a bound, and daemons which are stopped by their pid.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::LabError;
use crate::sys;

/// The longest a tool may take unless the caller says otherwise.
pub const TOOL: Duration = Duration::from_secs(20);
/// How often something waited for is looked at.
const POLL: Duration = Duration::from_millis(10);
/// Bytes of a tool's output kept; the rest is read and thrown away.
const MAX_OUTPUT: u64 = 4 << 20;

/// What a tool that ended left behind.
#[derive(Debug, Clone)]
pub struct Output {
    /// Whether it ended with status 0.
    pub success: bool,
    /// Its exit status; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs `program` with `args` and `input` on its standard input, for at most `bound`.
pub fn run_with_input(program: &str, args: &[&str], input: &str, bound: Duration) -> Result<Output, LabError> {
    let mut command = Command::new(program);
    command.args(args);
    run_command(command, input, bound)
}

/// Runs `command` with `input` on its standard input, for at most `bound`; it is killed then.
pub fn run_command(mut command: Command, input: &str, bound: Duration) -> Result<Output, LabError> {
    let name = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    sys::die_with_this_thread(&mut command);
    let mut child = command.spawn().map_err(|error| LabError::harness(&name, error))?;
    let stdin = child.stdin.take();
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    if let Some(mut pipe) = stdin {
        // A tool that ends without reading its input is judged by its exit status.
        let _ = pipe.write_all(input.as_bytes());
    }
    let Some(status) = wait_exit(&mut child, bound) else {
        // The child is ours and not yet waited for, so its pid cannot have been reused.
        let _ = child.kill();
        let _ = child.wait();
        return Err(LabError::TimedOut(format!("{name} ran longer than {bound:?}")));
    };
    let text = |reader: std::thread::JoinHandle<String>| reader.join().unwrap_or_default();
    Ok(Output { success: status.success(), code: status.code(), stdout: text(stdout), stderr: text(stderr) })
}

/// Runs `program`, which must succeed; returns its standard output.
pub fn run(program: &str, args: &[&str]) -> Result<String, LabError> {
    run_input(program, args, "")
}

/// As [`run`], with `input` on its standard input.
pub fn run_input(program: &str, args: &[&str], input: &str) -> Result<String, LabError> {
    let output = run_with_input(program, args, input, TOOL)?;
    if output.success {
        return Ok(output.stdout);
    }
    let complaint = format!("{}{}", output.stdout, output.stderr);
    Err(LabError::harness(format!("{program} {}", args.join(" ")), complaint.trim()))
}

/// A program that runs until it is stopped; killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
}

impl Daemon {
    /// Starts `command` with its output appended to the file `log`.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Result<Self, LabError> {
        let open = || File::options().create(true).append(true).open(log);
        let out = open().map_err(|error| LabError::harness(log.display(), error))?;
        let err = open().map_err(|error| LabError::harness(log.display(), error))?;
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        sys::die_with_this_thread(&mut command);
        let child = command.spawn().map_err(|error| LabError::harness(format!("starting {name}"), error))?;
        Ok(Self { name: name.to_owned(), child })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills it as a crash would (SIGKILL), and waits for its end.
    pub fn kill9(&mut self) {
        if self.is_running() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }

    /// Asks it to stop (SIGTERM) and waits for at most `bound`; then kills it and says so. Its exit code is returned.
    pub fn stop(&mut self, bound: Duration) -> Result<Option<i32>, LabError> {
        if self.is_running() {
            sys::signal(self.pid(), libc::SIGTERM).map_err(|error| LabError::harness(&self.name, error))?;
        }
        match wait_exit(&mut self.child, bound) {
            Some(status) => Ok(status.code()),
            None => {
                self.kill9();
                Err(LabError::TimedOut(format!("{} did not stop within {bound:?} of SIGTERM", self.name)))
            }
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.is_running() {
            let _ = sys::signal(self.pid(), libc::SIGTERM);
            if wait_exit(&mut self.child, Duration::from_secs(1)).is_some() {
                return;
            }
        }
        self.kill9();
    }
}

/// Looks at `condition` until it gives a value, for at most `bound`; `what` names it when it does not.
pub fn wait_for<T>(
    what: &str,
    bound: Duration,
    mut condition: impl FnMut() -> Result<Option<T>, LabError>,
) -> Result<T, LabError> {
    let end = Instant::now() + bound;
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if Instant::now() >= end {
            return Err(LabError::TimedOut(format!("{what} did not come about within {bound:?}")));
        }
        std::thread::sleep(POLL);
    }
}

fn wait_exit(child: &mut Child, bound: Duration) -> Option<std::process::ExitStatus> {
    let end = Instant::now() + bound;
    let mut pause = Duration::from_micros(500);
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(POLL);
    }
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.by_ref().take(MAX_OUTPUT).read_to_end(&mut kept);
            let _ = std::io::copy(&mut pipe, &mut std::io::sink());
        }
        String::from_utf8_lossy(&kept).into_owned()
    })
}
