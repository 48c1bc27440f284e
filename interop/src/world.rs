//! The network namespaces of one lab, and their end.
//!
//! Every name begins with the run's own mark, `up-<pid>-<start time of that process>-<n>-`: two labs run at once without
//! meeting, and a later run recognises what a killed one left, because no process with that pid and start time lives.
//! Nothing here touches the machine's own namespace: links are created inside the lab's namespaces.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::LabError;
use crate::process::{run, run_input};
use crate::sys;

/// Where `ip netns` keeps its names.
const NAMESPACES: &str = "/run/netns";
/// Begins the name of every temporary directory of a lab.
const DIRECTORY: &str = "underpass-lab-";

static RUNS: AtomicU32 = AtomicU32::new(0);

/// The namespaces and the private directory of one lab; all of it disappears with this value.
#[derive(Debug)]
pub struct World {
    mark: String,
    directory: PathBuf,
    namespaces: Vec<NetNs>,
}

/// One network namespace of a [`World`]; ends with its world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetNs {
    name: String,
}

impl World {
    /// An empty world with a private directory (mode 0700).
    pub fn new() -> Result<Self, LabError> {
        let pid = std::process::id();
        let started = start_time(pid).ok_or_else(|| LabError::harness("/proc", "no start time of this process"))?;
        let mark = format!("{pid}-{started:x}-{}", RUNS.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(format!("{DIRECTORY}{mark}"));
        make_private(&directory)?;
        Ok(Self { mark, directory, namespaces: Vec::new() })
    }

    /// The private directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes a private directory (mode 0700) `name` inside the world's own.
    pub fn private_directory(&self, name: &str) -> Result<PathBuf, LabError> {
        let path = self.directory.join(name);
        make_private(&path)?;
        Ok(path)
    }

    /// Adds a namespace for `role`: loopback up, forwarding on, no reverse-path filter, no redirects, no limit on ICMP.
    pub fn namespace(&mut self, role: &str) -> Result<NetNs, LabError> {
        let namespace = NetNs { name: format!("up-{}-{role}", self.mark) };
        run("ip", &["netns", "add", &namespace.name])?;
        self.namespaces.push(namespace.clone());
        namespace.ip(&["link set lo up"])?;
        namespace.sysctl(&[
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/default/rp_filter", "0"),
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv6/conf/all/forwarding", "1"),
            ("net/ipv4/conf/all/send_redirects", "0"),
            ("net/ipv4/conf/default/send_redirects", "0"),
            ("net/ipv4/icmp_ratelimit", "0"),
            ("net/ipv6/conf/default/accept_dad", "0"),
        ])?;
        Ok(namespace)
    }

    /// Joins two namespaces by a veth pair with these interface names (15 characters at most), both ends up.
    pub fn join(&self, a: (&NetNs, &str), b: (&NetNs, &str)) -> Result<(), LabError> {
        a.0.ip(&[&format!("link add {} type veth peer name {} netns {}", a.1, b.1, b.0.name)])?;
        a.0.ip(&[&format!("link set {} up", a.1)])?;
        b.0.ip(&[&format!("link set {} up", b.1)])
    }

    /// Kills every process in the world's namespaces, so that whatever waits for one of them ends.
    pub fn kill_everything(mark_and_pid: &str) {
        for name in names_in(Path::new(NAMESPACES)) {
            if name.strip_prefix("up-").is_some_and(|rest| rest.starts_with(mark_and_pid)) {
                kill_members(&name);
            }
        }
    }

    /// What the names of this world's namespaces have between `up-` and the role.
    #[must_use]
    pub fn mark(&self) -> &str {
        &self.mark
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            remove_namespace(&namespace.name);
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl NetNs {
    /// Its name under `ip netns`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` commands inside, one a line, until one fails.
    pub fn ip(&self, commands: &[&str]) -> Result<(), LabError> {
        run_input("ip", &["-n", &self.name, "-batch", "-"], &commands.join("\n"))
            .map(drop)
            .map_err(|error| LabError::harness(commands.join("; "), error))
    }

    /// Runs a tool inside, which must succeed; returns its standard output.
    pub fn run(&self, program: &str, args: &[&str]) -> Result<String, LabError> {
        run("ip", &[&["netns", "exec", &self.name, program], args].concat())
    }

    /// Loads an nftables script inside.
    pub fn nft(&self, script: &str) -> Result<(), LabError> {
        run_input("ip", &["netns", "exec", &self.name, "nft", "-f", "-"], script).map(drop)
    }

    /// Writes values below `/proc/sys` inside. A file this kernel lacks is passed over.
    pub fn sysctl(&self, values: &[(&str, &str)]) -> Result<(), LabError> {
        self.enter(|| {
            for (name, value) in values {
                let path = Path::new("/proc/sys").join(name);
                if path.exists() {
                    fs::write(&path, value).map_err(|error| LabError::harness(path.display(), error))?;
                }
            }
            Ok(())
        })
    }

    /// Packets lost inside because nobody fetched them in time: full UDP sockets and full queues of TUN interfaces.
    pub fn overflowed(&self) -> Result<u64, LabError> {
        self.enter(|| {
            let read = |path: &str| fs::read_to_string(path).map_err(|error| LabError::harness(path, error));
            let (snmp, devices) = (read("/proc/thread-self/net/snmp")?, read("/proc/thread-self/net/dev")?);
            let full_sockets = column(&snmp, "Udp: ", "RcvbufErrors").unwrap_or(0);
            // Columns after the colon: eight for receiving, of which none counts here, then bytes, packets, errs, drop.
            let dropped = |line: &str| {
                let (name, columns) = line.split_once(':')?;
                let counted = !matches!(name.trim(), "lan" | "wan" | "lo");
                counted.then(|| columns.split_whitespace().nth(11)?.parse::<u64>().ok())?
            };
            Ok(full_sockets + devices.lines().filter_map(dropped).sum::<u64>())
        })
    }

    /// Times a TCP connection inside had to send its SYN again, because there was no answer to the one before.
    pub fn syn_retransmissions(&self) -> Result<u64, LabError> {
        self.enter(|| {
            let path = "/proc/thread-self/net/netstat";
            let text = fs::read_to_string(path).map_err(|error| LabError::harness(path, error))?;
            column(&text, "TcpExt: ", "TCPSynRetrans")
                .ok_or_else(|| LabError::Harness(format!("{path} has no TCPSynRetrans")))
        })
    }

    /// Runs `work` on a thread of its own which has entered this namespace: every socket it opens belongs there.
    pub fn enter<R: Send>(&self, work: impl FnOnce() -> Result<R, LabError> + Send) -> Result<R, LabError> {
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    self.enter_this_thread()?;
                    work()
                })
                .join()
                .map_err(|_| LabError::Harness("a thread of the lab panicked".to_owned()))?
        })
    }

    /// As [`NetNs::enter`], without waiting for the end.
    pub fn spawn<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<R, LabError> + Send + 'static,
    ) -> std::thread::JoinHandle<Result<R, LabError>> {
        let namespace = self.clone();
        std::thread::spawn(move || {
            namespace.enter_this_thread()?;
            work()
        })
    }

    fn enter_this_thread(&self) -> Result<(), LabError> {
        let path = Path::new(NAMESPACES).join(&self.name);
        let file = File::open(&path).map_err(|error| LabError::harness(path.display(), error))?;
        sys::enter_network_namespace(&file).map_err(|error| LabError::harness(&self.name, error))
    }
}

/// The counter `name` of one protocol in the kernel's tables of two lines each, names above values.
fn column(table: &str, protocol: &str, name: &str) -> Option<u64> {
    let mut lines = table.lines().filter_map(|line| line.strip_prefix(protocol)).map(str::split_whitespace);
    let (names, values) = (lines.next()?, lines.next()?);
    names.zip(values).find(|(column, _)| *column == name)?.1.parse().ok()
}

/// Removes namespaces and directories of runs whose process is gone. Returns how many it removed.
pub fn remove_leftovers() -> usize {
    let mut removed = 0;
    for name in names_in(Path::new(NAMESPACES)) {
        if name.strip_prefix("up-").is_some_and(is_of_a_dead_run) {
            remove_namespace(&name);
            removed += 1;
        }
    }
    let temporary = std::env::temp_dir();
    for name in names_in(&temporary) {
        if name.strip_prefix(DIRECTORY).is_some_and(is_of_a_dead_run) {
            let _ = fs::remove_dir_all(temporary.join(&name));
            removed += 1;
        }
    }
    removed
}

/// Whether `mark` (`<pid>-<start time>-<n>…`) belongs to a run that is over. Anything not exactly of that form is not ours.
fn is_of_a_dead_run(mark: &str) -> bool {
    let mut parts = mark.splitn(3, '-');
    let (Some(pid), Some(started), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let (Ok(pid), Ok(started)) = (pid.parse::<u32>(), u64::from_str_radix(started, 16)) else {
        return false;
    };
    rest.starts_with(|c: char| c.is_ascii_digit()) && start_time(pid) != Some(started)
}

/// When the process started, in clock ticks since boot: field 22 of `/proc/<pid>/stat`, counted after the command name.
/// `None` if it is gone, or dead and merely not yet waited for.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

fn remove_namespace(name: &str) {
    kill_members(name);
    let _ = run("ip", &["netns", "del", name]);
}

/// Kills what runs inside a namespace of ours.
fn kill_members(name: &str) {
    let pids = run("ip", &["netns", "pids", name]).unwrap_or_default();
    // Threads of this process that are inside show up as this process: it is spared.
    for pid in pids.lines().filter_map(|line| line.trim().parse().ok()).filter(|pid| *pid != std::process::id()) {
        let _ = sys::signal(pid, libc::SIGKILL);
    }
}

fn names_in(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn make_private(path: &Path) -> Result<(), LabError> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(path).map_err(|error| LabError::harness(path.display(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_exactly_of_our_form_and_dead_is_a_leftover() {
        let own = std::process::id();
        let started = start_time(own).unwrap();
        assert!(!is_of_a_dead_run(&format!("{own}-{started:x}-0-g1")), "a living run");
        assert!(is_of_a_dead_run(&format!("{own}-{:x}-0-g1", started + 1)), "the pid was used again");
        assert!(is_of_a_dead_run("4294967295-12ab-3-c1"), "no such process");
        for stranger in ["g1", "c1-a", "12-zz-0-c1", "x-12-0-c1", "4294967295-12ab", "4294967295-12ab-lab"] {
            assert!(!is_of_a_dead_run(stranger), "{stranger} is not ours to remove");
        }
    }
}
