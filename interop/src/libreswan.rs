//! A real Libreswan (4.10 in Debian 12) in a namespace: its configuration, its pluto, its `whack`.
//!
//! Its package conflicts with strongSwan's, so it lives in a private root which `cargo xtask` unpacked. pluto looks for its
//! helpers in /usr/libexec/ipsec whatever it is told: in the mount namespace that `ip netns exec` makes, and nowhere else,
//! the private root's /usr/libexec takes the place of the machine's.
//!
//! pluto leaves ESP to the kernel. Where the kernel has none, it gets as far as the IKE SA and then refuses the child.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::LabError;
use crate::process::{Daemon, Output, run_command, wait_for};
use crate::strongswan::write;
use crate::world::{NetNs, World};

/// Names the private root instead of the one beside the lab's own build.
pub const ROOT_VARIABLE: &str = "LIBRESWAN_ROOT";
/// How long pluto may take until it listens; its self-tests come first.
const READY: Duration = Duration::from_secs(20);
/// How long a command may take.
const CONTROL: Duration = Duration::from_secs(30);

/// A connection as pluto is told about it; always with a pre-shared key.
#[derive(Debug, Clone)]
pub struct PlutoConnection {
    /// Its name.
    pub name: String,
    /// IKEv1, else IKEv2.
    pub ikev1: bool,
    /// Local address.
    pub local_address: String,
    /// Remote address, or `%any`.
    pub remote_address: String,
    /// Local identity, a domain name.
    pub local_id: String,
    /// Remote identity, a domain name.
    pub remote_id: String,
    /// Pre-shared key.
    pub psk: String,
    /// IKE proposals, in Libreswan's notation.
    pub ike: String,
    /// ESP proposals.
    pub esp: String,
    /// Local network.
    pub local_subnet: String,
    /// Remote network.
    pub remote_subnet: String,
    /// Further lines of the connection.
    pub extra: Vec<String>,
}

impl PlutoConnection {
    fn render(&self, directory: &Path) -> String {
        let at = directory.display();
        let mut text = format!(
            "config setup\n nssdir={at}/nss\n dumpdir={at}/run\n secretsfile={at}/ipsec.secrets\n ipsecdir={at}/ipsec.d\n \
             ikev1-policy=accept\n dnssec-enable=no\n nhelpers=0\n\
             conn {}\n auto=add\n authby=secret\n ikev2={}\n left={}\n leftid=@{}\n leftsubnet={}\n leftupdown=/bin/true\n \
             right={}\n rightid=@{}\n rightsubnet={}\n ike={}\n esp={}\n",
            self.name,
            if self.ikev1 { "no" } else { "insist" },
            self.local_address,
            self.local_id,
            self.local_subnet,
            self.remote_address,
            self.remote_id,
            self.remote_subnet,
            self.ike,
            self.esp
        );
        for line in &self.extra {
            let _ = writeln!(text, " {line}");
        }
        text
    }

    fn secrets(&self) -> String {
        format!("@{} @{} : PSK \"{}\"\n", self.local_id, self.remote_id, self.psk)
    }
}

/// Where Libreswan was unpacked.
#[derive(Debug, Clone)]
pub struct PrivateRoot(PathBuf);

impl PrivateRoot {
    /// The root that [`ROOT_VARIABLE`] names, else the one `cargo xtask` made in the build folder; or what is missing.
    pub fn find() -> Result<Self, String> {
        let root = match std::env::var_os(ROOT_VARIABLE) {
            Some(path) => PathBuf::from(path),
            None => std::env::current_exe()
                .map_err(|error| error.to_string())?
                .ancestors()
                .nth(2)
                .map(|target| target.join("lab-peers/libreswan"))
                .ok_or_else(|| "this program is in no build folder".to_owned())?,
        };
        let root = Self(root);
        match ["pluto", "whack", "addconn", "cavp"]
            .map(|name| root.helper(name))
            .into_iter()
            .find(|path| !path.exists())
        {
            Some(missing) => Err(format!("no {} (`cargo xtask test --only setup` unpacks it)", missing.display())),
            None => Ok(root),
        }
    }

    /// A program of Libreswan's own folder.
    fn helper(&self, name: &str) -> PathBuf {
        self.0.join("usr/libexec/ipsec").join(name)
    }

    /// Folders of the libraries that came with it.
    fn libraries(&self) -> String {
        let folders = fs::read_dir(self.0.join("usr/lib")).map(Iterator::flatten);
        let multiarch =
            folders.map(|all| all.map(|entry| entry.path()).filter(|path| path.is_dir()).collect::<Vec<_>>());
        let all = multiarch.unwrap_or_default().into_iter().chain([self.0.join("usr/lib")]);
        all.map(|path| path.display().to_string()).collect::<Vec<_>>().join(":")
    }

    /// Runs one of Libreswan's programs, with its libraries.
    pub fn run(&self, helper: &str, args: &[&str], input: &str, bound: Duration) -> Result<Output, LabError> {
        let mut command = Command::new(self.helper(helper));
        command.args(args).env("LD_LIBRARY_PATH", self.libraries());
        run_command(command, input, bound)
    }

    /// Makes an empty database of keys for NSS in `directory`.
    fn make_nss(&self, directory: &Path) -> Result<(), LabError> {
        fs::create_dir(directory).map_err(|error| LabError::harness(directory.display(), error))?;
        let mut command = Command::new(self.0.join("usr/bin/certutil"));
        command.args(["-N", "--empty-password", "-d"]).arg(format!("sql:{}", directory.display()));
        command.env("LD_LIBRARY_PATH", self.libraries());
        let output = run_command(command, "", CONTROL)?;
        if output.success { Ok(()) } else { Err(LabError::harness("certutil -N", output.stderr)) }
    }
}

/// A running pluto; stopped when dropped.
#[derive(Debug)]
pub struct Libreswan {
    daemon: Daemon,
    root: PrivateRoot,
    directory: PathBuf,
}

impl Libreswan {
    /// Starts a pluto called `name` in `namespace` and loads `connection`.
    pub fn start(world: &World, namespace: &NetNs, name: &str, connection: &PlutoConnection) -> Result<Self, LabError> {
        let root = PrivateRoot::find().map_err(LabError::Harness)?;
        let directory = world.private_directory(name)?;
        for folder in ["run", "ipsec.d", "ipsec.d/policies"] {
            fs::create_dir(directory.join(folder)).map_err(|error| LabError::harness(folder, error))?;
        }
        root.make_nss(&directory.join("nss"))?;
        write(&directory.join("ipsec.conf"), &connection.render(&directory))?;
        write(&directory.join("ipsec.secrets"), &connection.secrets())?;
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", namespace.name(), "sh", "-c"])
            .arg("mount --bind \"$0\" /usr/libexec && exec nice -n -10 /usr/libexec/ipsec/pluto \"$@\"")
            .arg(root.0.join("usr/libexec"))
            .args(["--nofork", "--stderrlog", "--use-xfrm", "--config"])
            .arg(directory.join("ipsec.conf"))
            .arg("--rundir")
            .arg(directory.join("run"))
            .env("LD_LIBRARY_PATH", root.libraries());
        let daemon = Daemon::start(name, command, &directory.join("pluto.log"))?;
        let mut peer = Self { daemon, root, directory };
        peer.wait_ready(&connection.name)?;
        Ok(peer)
    }

    /// The log file pluto writes.
    #[must_use]
    pub fn log_path(world: &World, name: &str) -> PathBuf {
        world.directory().join(name).join("pluto.log")
    }

    /// Ready is who has read its configuration and listens.
    fn wait_ready(&mut self, connection: &str) -> Result<(), LabError> {
        let (added, listening) = (format!("\"{connection}\": added"), "listening for IKE messages");
        wait_for("pluto listening", READY, || {
            if !self.daemon.is_running() {
                return Err(LabError::Harness("pluto ended at its start".to_owned()));
            }
            let log = self.log();
            Ok((log.contains(&added) && log.contains(listening)).then_some(()))
        })
    }

    /// Runs `whack` with these arguments.
    pub fn whack(&self, args: &[&str]) -> Result<Output, LabError> {
        let run = self.directory.join("run").display().to_string();
        self.root.run("whack", &[&["--rundir", &run], args].concat(), "", CONTROL)
    }

    /// Lets pluto initiate the connection, and does not wait for what comes of it.
    pub fn initiate(&self, connection: &str) -> Result<(), LabError> {
        let output = self.whack(&["--name", connection, "--initiate", "--asynchronous"])?;
        if output.success { Ok(()) } else { Err(LabError::harness("whack --initiate", output.stdout + &output.stderr)) }
    }

    /// Lets pluto take the connection down.
    pub fn terminate(&self, connection: &str) -> Result<(), LabError> {
        self.whack(&["--name", connection, "--terminate"]).map(drop)
    }

    /// Every state pluto has, a line each.
    pub fn states(&self) -> Result<Vec<String>, LabError> {
        let output = self.whack(&["--showstates"])?;
        Ok(output.stdout.lines().filter(|line| line.contains("STATE_")).map(str::to_owned).collect())
    }

    /// What pluto has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("pluto.log")).unwrap_or_default()
    }

    /// Waits until pluto has logged one of these texts; returns the line.
    pub fn wait_log(&self, texts: &[&str], bound: Duration) -> Result<String, LabError> {
        wait_for(&format!("Libreswan logging {}", texts.join(" or ")), bound, || {
            let log = self.log();
            Ok(log.lines().find(|line| texts.iter().any(|text| line.contains(text))).map(str::to_owned))
        })
    }

    /// Process id of pluto.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }
}
