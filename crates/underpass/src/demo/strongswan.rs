//! A strongSwan at the far site (`--peer strongswan`), where it is installed: charon with its ESP in userspace, in the namespace
//! of that site's gateway, with a mount namespace of its own, so that nothing of the machine's is touched.

use super::error::{StepError, io_error};
use super::lab::{Lab, NETWORK_BITS, Path as Way, Site};
use super::site::{CHILD, CONNECTION, Gateways};
use host::lab::spawn_bound;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const CHARON: &str = "/usr/lib/ipsec/charon";
const SWANCTL: &str = "/usr/sbin/swanctl";
const PLUGIN: &str = "/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so";
/// How long charon may take until it answers.
const READY: Duration = Duration::from_secs(15);
/// Folders that `swanctl` looks into.
const CREDENTIALS: [&str; 13] = [
    "x509", "x509ca", "x509ocsp", "x509aa", "x509ac", "x509crl", "pubkey", "private", "rsa", "ecdsa", "bliss", "pkcs8",
    "pkcs12",
];

/// What is missing of it on this machine.
pub fn missing() -> Option<&'static str> {
    [CHARON, SWANCTL, PLUGIN].into_iter().find(|path| !Path::new(path).exists())
}

/// A running charon.
pub(super) struct StrongSwan {
    folder: PathBuf,
}

impl StrongSwan {
    /// Starts it at site-b and tells it of the connection. The kernel kills it when the calling thread ends.
    pub(super) fn start(lab: &Lab, gateways: &Gateways, directory: &Path, psk: &str) -> Result<StrongSwan, StepError> {
        let folder = directory.join("strongswan");
        let make = |path: &Path| DirBuilder::new().mode(0o700).create(path).map_err(io_error("make a directory"));
        make(&folder)?;
        for name in CREDENTIALS.iter().chain(&["run"]) {
            make(&folder.join(name))?;
        }
        let peer = StrongSwan { folder };
        peer.write("strongswan.conf", &settings(&peer.folder))?;
        peer.write("swanctl.conf", &connection(psk))?;
        // A copy: a profile that confines the installed one would keep it from our folder.
        let charon = peer.folder.join("charon");
        fs::copy(CHARON, &charon).map_err(io_error("copy charon"))?;
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(peer.folder.join("out"));
        let log = log.map_err(io_error("write charon's log"))?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", "mount --bind \"$0\" /run && exec \"$1\""]);
        command.arg(peer.folder.join("run")).arg(&charon).env("STRONGSWAN_CONF", peer.folder.join("strongswan.conf"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = spawn_bound(&mut command, &lab.at(Site::B).gateway).map_err(io_error("start charon"))?;
        gateways.adopt(Site::B, child);
        let begun = Instant::now();
        while UnixStream::connect(peer.socket()).is_err() {
            if begun.elapsed() >= READY || gateways.has_ended(Site::B) {
                let said = fs::read_to_string(peer.folder.join("out")).unwrap_or_default();
                let said = crate::client::clean(said.lines().last().unwrap_or_default());
                return Err(StepError::Unexpected(format!("charon does not answer: {said}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        peer.control(&["--load-all"])?;
        Ok(peer)
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("charon.vici")
    }

    fn write(&self, name: &str, text: &str) -> Result<(), StepError> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.folder.join(name));
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(io_error("write strongSwan's configuration"))
    }

    /// Runs `swanctl`.
    pub(super) fn control(&self, arguments: &[&str]) -> Result<(), StepError> {
        let mut command = Command::new(SWANCTL);
        command.args(arguments).arg("--uri").arg(format!("unix://{}", self.socket().display()));
        command.env("STRONGSWAN_CONF", self.folder.join("strongswan.conf")).env("SWANCTL_DIR", &self.folder);
        let output = command.stdin(Stdio::null()).output().map_err(io_error("run swanctl"))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let last = crate::client::clean(said.lines().last().unwrap_or_default());
        Err(StepError::Unexpected(format!("swanctl {}: {last}", arguments.join(" "))))
    }
}

fn settings(folder: &Path) -> String {
    let at = folder.display();
    format!(
        "charon {{\n load = aesni aes openssl gcm ctr sha1 sha2 hmac kdf gmp curve25519 random nonce drbg pem pkcs1 pkcs8 \
         x509 pubkey cmac xcbc kernel-libipsec kernel-netlink socket-default vici updown\n \
         filelog {{\n  log {{\n   path = {at}/charon.log\n   default = 1\n   append = no\n  }}\n }}\n plugins {{\n  \
         vici {{\n   socket = unix://{at}/charon.vici\n  }}\n }}\n}}\nswanctl {{\n load = openssl random nonce pem pkcs1 \
         x509 pubkey\n}}\n"
    )
}

fn connection(psk: &str) -> String {
    let (own, peer) = (Site::B, Site::A);
    format!(
        "connections {{\n {CONNECTION} {{\n  version = 2\n  local_addrs = {}\n  remote_addrs = {}\n  encap = yes\n  \
         proposals = aes256gcm16-prfsha256-curve25519\n  local {{\n   auth = psk\n   id = {}.example\n  }}\n  remote {{\n   \
         auth = psk\n   id = {}.example\n  }}\n  children {{\n   {CHILD} {{\n    local_ts = {}/{NETWORK_BITS}\n    \
         remote_ts = {}/{NETWORK_BITS}\n    esp_proposals = aes256gcm16\n   }}\n  }}\n }}\n}}\nsecrets {{\n ike-demo {{\n  \
         secret = \"{psk}\"\n }}\n}}\n",
        own.outside(Way::First),
        peer.outside(Way::First),
        own.name(),
        peer.name(),
        own.network(),
        peer.network()
    )
}
