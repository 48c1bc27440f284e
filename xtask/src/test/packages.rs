//! Installs what the labs need, as root on Debian, in a way that starts no service.
//!
//! Debian asks `/usr/sbin/policy-rc.d` before a package starts its daemon; where there is none, one that forbids it stands
//! there while we install. None of these packages starts a service today: the guard is for the day one does.

use crate::process::{Fallible, command, is_root, run, succeeds};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Peers and tools of the labs.
const PACKAGES: [&str; 12] = [
    "strongswan-charon",
    "strongswan-swanctl",
    "libcharon-extra-plugins",
    "libstrongswan-standard-plugins",
    "libstrongswan-extra-plugins",
    "iproute2",
    "nftables",
    "tcpdump",
    "tshark",
    "python3-scapy",
    "ike-scan",
    "iperf3",
];
const POLICY: &str = "/usr/sbin/policy-rc.d";
const POLICY_MARK: &str = "# written by cargo xtask test; safe to delete when it is not running";

/// What came of it.
pub enum Setup {
    /// Everything is there.
    Ready(String),
    /// Cannot be done here; the labs that need a peer will say so too.
    Skipped(String),
}

/// Makes the packages present where we can.
pub fn install() -> Fallible<Setup> {
    if !Path::new("/etc/debian_version").exists() {
        return Ok(Setup::Skipped("not Debian: install the lab peers yourself".to_owned()));
    }
    let missing = missing();
    if missing.is_empty() {
        return Ok(Setup::Ready(format!("{} packages present", PACKAGES.len())));
    }
    if !is_root() {
        let install = format!("apt-get install {}", missing.join(" "));
        return Ok(Setup::Skipped(format!("not root: `{install}` would bring the lab peers")));
    }
    println!("installing {}", missing.join(" "));
    let _guard = PolicyGuard::stand();
    let _asleep = StarterAsleep::new();
    if apt_install(&missing).is_err() {
        // The package lists may be missing or old: that is what an image without them looks like.
        run(apt(&["update"]).env("LC_ALL", "C"))?;
        apt_install(&missing)?;
    }
    Ok(Setup::Ready(format!("installed {}", missing.join(" "))))
}

fn missing() -> Vec<&'static str> {
    PACKAGES.into_iter().filter(|package| !is_installed(package)).collect()
}

/// `apt-get` with these words, which asks nothing and waits for other runs of it.
pub fn apt(arguments: &[&str]) -> std::process::Command {
    let mut all = vec!["-q", "-o", "DPkg::Lock::Timeout=300"];
    all.extend(arguments);
    let mut command = command("apt-get", &all);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn apt_install(packages: &[&str]) -> Fallible<()> {
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    run(&mut apt(&arguments))
}

/// Forbids packages to start services while it lives.
struct PolicyGuard {
    ours: bool,
}

impl PolicyGuard {
    fn stand() -> Self {
        let left_behind = std::fs::read_to_string(POLICY).is_ok_and(|text| text.contains(POLICY_MARK));
        if Path::new(POLICY).exists() && !left_behind {
            return PolicyGuard { ours: false };
        }
        let text = format!("#!/bin/sh\n{POLICY_MARK}\nexit 101\n");
        let written = std::fs::write(POLICY, text)
            .and_then(|()| std::fs::set_permissions(POLICY, std::fs::Permissions::from_mode(0o755)));
        if let Err(error) = written {
            println!("cannot write {POLICY} ({error}): a package may start its service");
        }
        PolicyGuard { ours: true }
    }
}

impl Drop for PolicyGuard {
    fn drop(&mut self) {
        if self.ours && std::fs::remove_file(POLICY).is_err() {
            println!("cannot remove {POLICY}: remove it yourself");
        }
    }
}

/// `strongswan-charon` brings `strongswan-starter`, whose service would start an IKE daemon at the next boot. A machine that
/// did not have it before does not get it from us.
struct StarterAsleep {
    was_there: bool,
}

const STARTER: &str = "strongswan-starter";

impl StarterAsleep {
    fn new() -> Self {
        StarterAsleep { was_there: is_installed(STARTER) }
    }
}

impl Drop for StarterAsleep {
    fn drop(&mut self) {
        if self.was_there || !is_installed(STARTER) {
            return;
        }
        let unit = format!("{STARTER}.service");
        let mut disable = command("deb-systemd-helper", &["disable", &unit]);
        // It speaks with package scripts only, and undoes what the package's own one has just done.
        disable.env("DPKG_MAINTSCRIPT_PACKAGE", STARTER);
        if !succeeds(&mut disable) {
            println!("cannot disable {unit}: `systemctl disable {unit}` keeps it from starting at the next boot");
        }
    }
}

fn is_installed(package: &str) -> bool {
    let query = ["-W", "-f=${db:Status-Status}", package];
    crate::process::capture(&mut command("dpkg-query", &query)).is_ok_and(|status| status == "installed")
}

/// Is a program in `PATH`? (Used to say early what the labs will miss.)
pub fn has_program(name: &str) -> bool {
    succeeds(&mut command("sh", &["-c", &format!("command -v {name}")]))
}
