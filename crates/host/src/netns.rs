//! Network namespaces without a trace: held by a descriptor, gone with the process.
//!
//! A namespace belongs to a *thread*. [`NetNs::new`] makes one on a thread of its own and keeps a descriptor of it;
//! [`NetNs::run`] and [`NetNs::spawn`] execute code inside. Sockets, TUN devices and netlink handles stay in the namespace of the thread
//! that opened them and may then be used from any thread. Nothing is mounted, so nothing is left behind, even after kill -9.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::thread;

use crate::sys::namespace;

const THREAD_NAMESPACE: &str = "/proc/thread-self/ns/net";

/// A network namespace, alive as long as this value, a thread in it or a socket in it.
#[derive(Debug, Clone)]
pub struct NetNs {
    handle: Arc<File>,
}

/// Why there is no namespace.
#[derive(Debug, thiserror::Error)]
pub enum NetNsError {
    /// Namespaces need root here.
    #[error("creating a network namespace needs root: run with sudo")]
    NotPermitted,
    /// Unprivileged user namespaces are switched off.
    #[error("this system lets only root create namespaces ({reason}): run with sudo")]
    UserNamespacesRestricted {
        /// Which setting forbids it.
        reason: &'static str,
    },
    /// A process with several threads cannot change its user namespace.
    #[error("a user namespace must be entered before any thread is started")]
    ThreadsRunning,
    /// Anything else.
    #[error("cannot {what}: {source}")]
    Io {
        /// The step that failed.
        what: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

impl NetNs {
    /// A new, empty namespace: only a loopback interface, which is down.
    pub fn new() -> Result<Self, NetNsError> {
        let make = || {
            namespace::unshare(libc::CLONE_NEWNET).map_err(|source| match source.kind() {
                io::ErrorKind::PermissionDenied => NetNsError::NotPermitted,
                _ => NetNsError::Io { what: "create a network namespace", source },
            })?;
            Self::current()
        };
        in_new_thread(make)?
    }

    /// The calling thread's namespace.
    pub fn current() -> Result<Self, NetNsError> {
        let file = File::open(THREAD_NAMESPACE)
            .map_err(|source| NetNsError::Io { what: "open this thread's network namespace", source })?;
        Ok(Self { handle: Arc::new(file) })
    }

    /// The descriptor that keeps it alive.
    pub(crate) fn handle(&self) -> Arc<File> {
        Arc::clone(&self.handle)
    }

    /// Moves the calling thread into this namespace, for good.
    pub fn enter(&self) -> Result<(), NetNsError> {
        namespace::enter_network(self.handle.as_fd()).map_err(|source| match source.kind() {
            io::ErrorKind::PermissionDenied => NetNsError::NotPermitted,
            _ => NetNsError::Io { what: "enter a network namespace", source },
        })
    }

    /// Runs `work` inside, on a thread of its own, and waits for it. A panic in `work` goes on in the caller.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NetNsError> {
        in_new_thread(|| {
            self.enter()?;
            Ok(work())
        })?
    }

    /// Starts a named thread inside. Entering may fail; then the thread ends at once with that error.
    pub fn spawn<T: Send + 'static>(
        &self,
        thread_name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<thread::JoinHandle<Result<T, NetNsError>>, NetNsError> {
        let namespace = self.clone();
        thread::Builder::new()
            .name(thread_name.to_owned())
            .spawn(move || {
                namespace.enter()?;
                Ok(work())
            })
            .map_err(|source| NetNsError::Io { what: "start a thread", source })
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

fn in_new_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, NetNsError> {
    thread::scope(|scope| {
        let handle = thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, work)
            .map_err(|source| NetNsError::Io { what: "start a thread", source })?;
        match handle.join() {
            Ok(value) => Ok(value),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Lets the calling thread's namespace forward packets between its interfaces, IPv4 and IPv6.
pub fn enable_forwarding() -> io::Result<()> {
    // The kernel resolves these files by the thread that opens them.
    fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    match fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1") {
        // A kernel without IPv6 forwards none.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Makes an ordinary user root of a new user and network namespace, in which namespaces, TUN devices and routes may be created.
/// Must be called before any thread is started. Nothing outside the namespace changes. A root process returns at once with
/// `false`: it needs no user namespace.
pub fn become_root_in_user_namespace() -> Result<bool, NetNsError> {
    let (user, group) = namespace::effective_ids();
    if user == 0 {
        return Ok(false);
    }
    namespace::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET).map_err(|source| match source.raw_os_error() {
        Some(libc::EINVAL) => NetNsError::ThreadsRunning,
        Some(libc::EPERM | libc::EACCES | libc::ENOSPC | libc::EUSERS) => {
            NetNsError::UserNamespacesRestricted { reason: restriction() }
        }
        _ => NetNsError::Io { what: "create a user namespace", source },
    })?;
    // A distribution that restricts user namespaces by AppArmor lets `unshare` succeed and takes the capabilities away, which the
    // first use of one shows.
    let restricted = |source: io::Error| match source.kind() {
        io::ErrorKind::PermissionDenied => NetNsError::UserNamespacesRestricted { reason: restriction() },
        _ => NetNsError::Io { what: "map this user to root", source },
    };
    // setgroups must be denied before an unprivileged process may write gid_map (user_namespaces(7)).
    fs::write("/proc/self/setgroups", "deny").map_err(restricted)?;
    fs::write("/proc/self/uid_map", format!("0 {user} 1")).map_err(restricted)?;
    fs::write("/proc/self/gid_map", format!("0 {group} 1")).map_err(restricted)?;
    NetNs::new().map_err(|error| match error {
        NetNsError::NotPermitted => NetNsError::UserNamespacesRestricted { reason: restriction() },
        other => other,
    })?;
    Ok(true)
}

/// Which of the known switches forbids user namespaces.
fn restriction() -> &'static str {
    let reads = |path: &str, value: &str| fs::read_to_string(path).is_ok_and(|content| content.trim() == value);
    if reads("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        "kernel.apparmor_restrict_unprivileged_userns = 1, the default of Ubuntu since 23.10"
    } else if reads("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        "kernel.unprivileged_userns_clone = 0"
    } else if reads("/proc/sys/user/max_user_namespaces", "0") {
        "user.max_user_namespaces = 0"
    } else {
        "a container or security policy forbids it"
    }
}
