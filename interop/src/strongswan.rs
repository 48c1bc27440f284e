//! A real strongSwan (5.9.8 in Debian 12) in a namespace: its configuration, its charon, its `swanctl`.
//!
//! charon moves ESP by its kernel-libipsec plugin: userspace, always encapsulated in UDP, without ESN. Connections with
//! it therefore force encapsulation.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::{LabError, ensure};
use crate::process::{Daemon, Output, run_command, wait_for};
use crate::vici_text::{Section, parse};
use crate::world::{NetNs, World};

const CHARON: &str = "/usr/lib/ipsec/charon";
const SWANCTL: &str = "/usr/sbin/swanctl";
/// How long charon may take until it answers.
const READY: Duration = Duration::from_secs(15);
/// How long a `swanctl` command may take.
const CONTROL: Duration = Duration::from_secs(30);
/// Directories `swanctl` looks into, all of them empty here.
const CREDENTIALS: [&str; 13] = [
    "x509", "x509ca", "x509ocsp", "x509aa", "x509ac", "x509crl", "pubkey", "private", "rsa", "ecdsa", "bliss", "pkcs8",
    "pkcs12",
];

/// A child of a [`SwanConnection`].
#[derive(Debug, Clone)]
pub struct SwanChild {
    /// Its name.
    pub name: String,
    /// Local traffic selectors, in strongSwan's notation.
    pub local_ts: String,
    /// Remote traffic selectors.
    pub remote_ts: String,
    /// ESP proposals.
    pub esp_proposals: String,
    /// Rekey time in seconds; 0 leaves rekeying to commands and to the other end.
    pub rekey_seconds: u32,
    /// Further lines of the child's section.
    pub extra: Vec<String>,
}

/// A connection as charon is told about it; always with a pre-shared key.
#[derive(Debug, Clone)]
pub struct SwanConnection {
    /// Its name.
    pub name: String,
    /// Version of IKE, 1 or 2; 0 initiates with IKEv2 and answers both.
    pub version: u8,
    /// Aggressive mode in place of main mode, where IKEv1 is spoken.
    pub aggressive: bool,
    /// Local address.
    pub local_address: String,
    /// Remote address, or `%any`.
    pub remote_address: String,
    /// Local identity.
    pub local_id: String,
    /// Remote identity.
    pub remote_id: String,
    /// Pre-shared key.
    pub psk: String,
    /// IKE proposals.
    pub proposals: String,
    /// DPD interval in seconds; 0 is off.
    pub dpd_seconds: u32,
    /// IKE rekey time in seconds; 0 leaves rekeying to commands and to the other end.
    pub rekey_seconds: u32,
    /// `yes`, `no`, `accept` or `force`.
    pub fragmentation: String,
    /// Further lines of the connection's section.
    pub extra: Vec<String>,
    /// Its children.
    pub children: Vec<SwanChild>,
}

impl SwanConnection {
    fn render(&self) -> String {
        let mut text = format!(
            "connections {{\n {} {{\n  version = {}\n  aggressive = {}\n  local_addrs = {}\n  remote_addrs = {}\n  proposals = {}\n  \
             encap = yes\n  mobike = no\n  fragmentation = {}\n  dpd_delay = {}s\n  rekey_time = {}s\n  \
             reauth_time = 0s\n  over_time = 60s\n",
            self.name,
            self.version,
            if self.aggressive { "yes" } else { "no" },
            self.local_address,
            self.remote_address,
            self.proposals,
            self.fragmentation,
            self.dpd_seconds,
            self.rekey_seconds
        );
        for line in &self.extra {
            let _ = writeln!(text, "  {line}");
        }
        let _ = writeln!(text, "  local {{\n   auth = psk\n   id = {}\n  }}", self.local_id);
        let _ = writeln!(text, "  remote {{\n   auth = psk\n   id = {}\n  }}\n  children {{", self.remote_id);
        for child in &self.children {
            let _ = writeln!(
                text,
                "   {} {{\n    local_ts = {}\n    remote_ts = {}\n    esp_proposals = {}\n    rekey_time = {}s\n    \
                 start_action = none\n    close_action = none",
                child.name, child.local_ts, child.remote_ts, child.esp_proposals, child.rekey_seconds
            );
            for line in &child.extra {
                let _ = writeln!(text, "    {line}");
            }
            text.push_str("   }\n");
        }
        let _ = writeln!(
            text,
            "  }}\n }}\n}}\nsecrets {{\n ike-{} {{\n  id-a = {}\n  id-b = {}\n  secret = \"{}\"\n }}\n}}",
            self.name, self.local_id, self.remote_id, self.psk
        );
        text
    }
}

/// Settings of charon itself.
#[derive(Debug, Clone)]
pub struct CharonOptions {
    /// First retransmission timeout in seconds.
    pub retransmit_timeout: f64,
    /// Retransmissions before a peer counts as dead.
    pub retransmit_tries: u32,
    /// Largest IKE datagram in bytes before fragments, IP header included; 0 keeps charon's 1280.
    pub fragment_size: u32,
    /// Further lines of the `charon` section.
    pub extra: Vec<String>,
}

impl Default for CharonOptions {
    fn default() -> Self {
        Self { retransmit_timeout: 1.0, retransmit_tries: 3, fragment_size: 0, extra: Vec::new() }
    }
}

/// A child SA as charon lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwanChildSa {
    /// Name in the configuration.
    pub name: String,
    /// The number charon gave it; later ones have higher numbers.
    pub number: u64,
    /// `INSTALLED`, `REKEYED`, `DELETED`…
    pub state: String,
    /// SPI of the inbound SA, as eight hexadecimal digits.
    pub spi_in: String,
    /// SPI of the outbound SA.
    pub spi_out: String,
    /// Encryption and key size, e.g. `AES_GCM_16-128`.
    pub encryption: String,
    /// Integrity, empty with an AEAD.
    pub integrity: String,
    /// Local traffic selectors.
    pub local_ts: Vec<String>,
    /// Remote traffic selectors.
    pub remote_ts: Vec<String>,
    /// Packets received.
    pub packets_in: u64,
    /// Packets sent.
    pub packets_out: u64,
}

/// An IKE SA as charon lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwanIkeSa {
    /// Name of the connection.
    pub connection: String,
    /// The number charon gave it; later ones have higher numbers.
    pub number: u64,
    /// Version of IKE.
    pub version: String,
    /// `ESTABLISHED`, `REKEYING`, `CONNECTING`…
    pub state: String,
    /// SPIs of initiator and responder, in hexadecimal.
    pub spis: (String, String),
    /// Remote address and port.
    pub remote: (String, u16),
    /// Key exchange method, e.g. `CURVE_25519`.
    pub group: String,
    /// Its children.
    pub children: Vec<SwanChildSa>,
}

/// A running charon; stopped when dropped.
#[derive(Debug)]
pub struct StrongSwan {
    daemon: Daemon,
    directory: PathBuf,
    swanctl: PathBuf,
}

impl StrongSwan {
    /// Whether strongSwan is installed; else what is missing.
    pub fn missing() -> Option<String> {
        let plugin = "/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so";
        [CHARON, SWANCTL, plugin].into_iter().find(|path| !Path::new(path).exists()).map(|path| format!("no {path}"))
    }

    /// Starts a charon called `name` in `namespace` and loads `connection`.
    pub fn start(
        world: &World,
        namespace: &NetNs,
        name: &str,
        connection: &SwanConnection,
        options: &CharonOptions,
    ) -> Result<Self, LabError> {
        let directory = world.private_directory(name)?;
        write_configuration(&directory, connection, options)?;
        let charon = program(CHARON, &directory)?;
        let swanctl = program(SWANCTL, &directory)?;
        let mut command = Command::new("ip");
        // Labs are no test of the scheduler: the gateways come before whatever else the machine is busy with.
        // `ip netns exec` gives a mount namespace of its own: a private /run keeps pid files of several charons apart.
        command
            .args([
                "netns",
                "exec",
                namespace.name(),
                "sh",
                "-c",
                "mount --bind \"$0\" /run && exec nice -n -10 \"$1\"",
            ])
            .arg(directory.join("run"))
            .arg(charon)
            .env("STRONGSWAN_CONF", directory.join("strongswan.conf"));
        let daemon = Daemon::start(name, command, &directory.join("charon.out"))?;
        let mut peer = Self { daemon, directory, swanctl };
        peer.wait_ready()?;
        peer.load()?;
        Ok(peer)
    }

    /// The log file charon writes.
    #[must_use]
    pub fn log_path(world: &World, name: &str) -> PathBuf {
        world.directory().join(name).join("charon.log")
    }

    fn wait_ready(&mut self) -> Result<(), LabError> {
        let socket = self.directory.join("charon.vici");
        wait_for("charon's control socket", READY, || {
            if !self.daemon.is_running() {
                return Err(LabError::Harness("charon ended at its start".to_owned()));
            }
            Ok(std::os::unix::net::UnixStream::connect(&socket).ok().map(drop))
        })
    }

    fn load(&self) -> Result<(), LabError> {
        let output = self.swanctl(&["--load-all"])?;
        if output.success {
            Ok(())
        } else {
            Err(LabError::harness("swanctl --load-all", format!("{}{}", output.stdout, output.stderr)))
        }
    }

    /// Replaces the configuration and loads it; existing SAs stay.
    pub fn reload(&self, connection: &SwanConnection) -> Result<(), LabError> {
        write(&self.directory.join("swanctl.conf"), &connection.render())?;
        self.load()
    }

    /// Process id of charon.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// Runs `swanctl` with these arguments.
    pub fn swanctl(&self, args: &[&str]) -> Result<Output, LabError> {
        let mut command = Command::new(&self.swanctl);
        command
            .args(args)
            .arg("--uri")
            .arg(format!("unix://{}", self.directory.join("charon.vici").display()))
            .env("STRONGSWAN_CONF", self.directory.join("strongswan.conf"))
            .env("SWANCTL_DIR", &self.directory);
        run_command(command, "", CONTROL)
    }

    fn expect(&self, args: &[&str]) -> Result<(), LabError> {
        let output = self.swanctl(args)?;
        if output.success {
            return Ok(());
        }
        let complaint = format!("{}{}", output.stdout, output.stderr);
        let last: Vec<_> = complaint.lines().rev().take(6).collect();
        let last: Vec<_> = last.into_iter().rev().collect();
        Err(LabError::Broken(format!("strongSwan: swanctl {}: {}", args.join(" "), last.join(" | "))))
    }

    /// Lets charon initiate the child, and waits until it is up.
    pub fn initiate(&self, child: &str) -> Result<(), LabError> {
        self.expect(&["--initiate", "--child", child, "--timeout", "20"])
    }

    /// Lets charon initiate the child, which must come to nothing within `seconds`: it may be refused, or still be asking.
    pub fn initiate_in_vain(&self, child: &str, seconds: u32) -> Result<(), LabError> {
        let output = self.swanctl(&["--initiate", "--child", child, "--timeout", &seconds.to_string()])?;
        ensure(!output.success, || "strongSwan's call was answered".to_owned())
    }

    /// Lets charon rekey the child.
    pub fn rekey_child(&self, child: &str) -> Result<(), LabError> {
        self.expect(&["--rekey", "--child", child])
    }

    /// Lets charon rekey the IKE SA.
    pub fn rekey_ike(&self, connection: &str) -> Result<(), LabError> {
        self.expect(&["--rekey", "--ike", connection])
    }

    /// Lets charon rekey the youngest IKE SA. In IKEv1 that is a new main mode, and the SA before it stays for a while:
    /// all of them have the connection's name.
    pub fn rekey_youngest_ike(&self) -> Result<(), LabError> {
        let sas = self.sas()?.into_iter().filter(|sa| sa.state == "ESTABLISHED");
        let youngest = sas.map(|sa| sa.number).max();
        let number = youngest.ok_or_else(|| LabError::Broken("strongSwan has no IKE SA to rekey".to_owned()))?;
        self.expect(&["--rekey", "--ike-id", &number.to_string()])
    }

    /// Lets charon delete the child.
    pub fn terminate_child(&self, child: &str) -> Result<(), LabError> {
        self.expect(&["--terminate", "--child", child, "--timeout", "20"])
    }

    /// Lets charon delete the IKE SA and everything under it.
    pub fn terminate_ike(&self, connection: &str) -> Result<(), LabError> {
        self.expect(&["--terminate", "--ike", connection, "--timeout", "20"])
    }

    /// All IKE SAs charon has.
    pub fn sas(&self) -> Result<Vec<SwanIkeSa>, LabError> {
        let output = self.swanctl(&["--list-sas", "--raw"])?;
        Ok(output.stdout.lines().filter_map(|line| line.strip_prefix("list-sa event ")).flat_map(read_sa).collect())
    }

    /// All children in state `INSTALLED`.
    pub fn installed(&self) -> Result<Vec<SwanChildSa>, LabError> {
        let children = self.sas()?.into_iter().flat_map(|sa| sa.children);
        Ok(children.filter(|child| child.state == "INSTALLED").collect())
    }

    /// What charon has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("charon.log")).unwrap_or_default()
    }

    /// Waits until charon has logged `text`.
    pub fn wait_log(&self, text: &str, bound: Duration) -> Result<(), LabError> {
        wait_for(&format!("strongSwan logging {text:?}"), bound, || Ok(self.log().contains(text).then_some(())))
    }

    /// Kills charon as a crash would.
    pub fn kill9(&mut self) {
        self.daemon.kill9();
    }

    /// Stops charon in order; it deletes its SAs.
    pub fn stop(&mut self) -> Result<(), LabError> {
        self.daemon.stop(Duration::from_secs(10)).map(drop)
    }
}

/// The program to start. Where AppArmor confines strongSwan's programs to /etc and /run, a private copy, which its
/// profiles do not name, takes their place.
fn program(installed: &str, directory: &Path) -> Result<PathBuf, LabError> {
    let confined =
        fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with('Y'));
    let installed = Path::new(installed);
    let Some(name) = installed.file_name().filter(|_| confined) else {
        return Ok(installed.to_owned());
    };
    let copy = directory.join(name);
    fs::copy(installed, &copy).map_err(|error| LabError::harness(installed.display(), error))?;
    Ok(copy)
}

fn write_configuration(directory: &Path, connection: &SwanConnection, options: &CharonOptions) -> Result<(), LabError> {
    for name in CREDENTIALS.iter().chain(&["run"]) {
        fs::create_dir(directory.join(name)).map_err(|error| LabError::harness(name, error))?;
    }
    let at = directory.display();
    let mut extra = options.extra.join("\n ");
    if options.fragment_size > 0 {
        let _ = write!(extra, "\n fragment_size = {}", options.fragment_size);
    }
    // kernel-libipsec stands before kernel-netlink: the first plugin that offers an IPsec backend is the one used, and
    // kernel-netlink still manages addresses and routes.
    let settings = format!(
        "charon {{\n load = aesni aes openssl gcm ctr sha1 sha2 hmac kdf gmp curve25519 random nonce drbg pem pkcs1 pkcs8 \
         x509 pubkey chapoly cmac xcbc kernel-libipsec kernel-netlink socket-default vici updown\n \
         retransmit_timeout = {}\n retransmit_tries = {}\n half_open_timeout = 30\n threads = 16\n {extra}\n \
         filelog {{\n  log {{\n   path = {at}/charon.log\n   default = 1\n   net = 0\n   time_format = %H:%M:%S\n   \
         time_add_ms = yes\n   append = no\n   flush_line = yes\n  }}\n }}\n plugins {{\n  vici {{\n   \
         socket = unix://{at}/charon.vici\n  }}\n }}\n}}\nswanctl {{\n load = openssl random nonce pem pkcs1 x509 pubkey\n}}\n",
        options.retransmit_timeout, options.retransmit_tries
    );
    write(&directory.join("strongswan.conf"), &settings)?;
    write(&directory.join("swanctl.conf"), &connection.render())
}

/// Writes a file only its owner may read.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), LabError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt;
    fs::File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| LabError::harness(path.display(), error))
}

fn read_sa(line: &str) -> Vec<SwanIkeSa> {
    let Some(event) = parse(line) else {
        return Vec::new();
    };
    let sas = event.sections();
    sas.map(|(name, sa)| SwanIkeSa {
        connection: name.to_owned(),
        number: sa.text("uniqueid").parse().unwrap_or(0),
        version: sa.text("version"),
        state: sa.text("state"),
        spis: (sa.text("initiator-spi"), sa.text("responder-spi")),
        remote: (sa.text("remote-host"), sa.text("remote-port").parse().unwrap_or(0)),
        group: sa.text("dh-group"),
        children: sa.section("child-sas").map(|all| all.sections().map(read_child).collect()).unwrap_or_default(),
    })
    .collect()
}

fn read_child((_, child): (&str, &Section)) -> SwanChildSa {
    let algorithm = |name: &str, size: &str| match (child.text(name), child.text(size)) {
        (name, size) if size.is_empty() => name,
        (name, size) => format!("{name}-{size}"),
    };
    SwanChildSa {
        name: child.text("name"),
        number: child.text("uniqueid").parse().unwrap_or(0),
        state: child.text("state"),
        spi_in: child.text("spi-in"),
        spi_out: child.text("spi-out"),
        encryption: algorithm("encr-alg", "encr-keysize"),
        integrity: algorithm("integ-alg", "integ-keysize"),
        local_ts: child.list("local-ts"),
        remote_ts: child.list("remote-ts"),
        packets_in: child.text("packets-in").parse().unwrap_or(0),
        packets_out: child.text("packets-out").parse().unwrap_or(0),
    }
}
