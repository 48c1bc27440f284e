//! Peers whose packages cannot be installed beside strongSwan's, unpacked into a folder of their own under `target/`.
//!
//! Debian's Libreswan conflicts with strongSwan: `apt-get` resolves and downloads what it would take to install it here,
//! and installs nothing; `dpkg` unpacks that. No script of a package runs, nothing outside the folder changes.

use super::packages::{Setup, apt};
use crate::process::{Fallible, command, is_root, run, target_dir};
use std::fs;
use std::path::{Path, PathBuf};

/// The package, and a program of it.
const PACKAGE: &str = "libreswan";
const PROGRAM: &str = "usr/libexec/ipsec/pluto";
/// Where labs look for it, below the build folder.
const FOLDER: &str = "lab-peers/libreswan";

/// Makes Libreswan's private root present where we can.
pub fn prepare() -> Fallible<Setup> {
    let root = target_dir()?.join(FOLDER);
    if root.join(PROGRAM).exists() {
        return Ok(Setup::Ready(format!("{PACKAGE} is in {}", root.display())));
    }
    if !Path::new("/etc/debian_version").exists() {
        return Ok(Setup::Skipped(format!("not Debian: no {PACKAGE} for its labs")));
    }
    // Built beside its place and moved there whole: one that was interrupted is no root.
    let half = root.with_extension("half");
    let made = fill(&half).and_then(|()| {
        let _ = fs::remove_dir_all(&root);
        fs::rename(&half, &root).map_err(|error| format!("{}: {error}", root.display()))
    });
    let _ = fs::remove_dir_all(&half);
    made.map(|()| Setup::Ready(format!("unpacked {PACKAGE} into {}", root.display())))
}

fn fill(root: &Path) -> Fallible<()> {
    let _ = fs::remove_dir_all(root);
    let archives = root.join("archives");
    fs::create_dir_all(archives.join("partial")).map_err(|error| format!("{}: {error}", archives.display()))?;
    if download(&archives).is_err() {
        if !is_root() {
            return Err(format!("apt-get knows no {PACKAGE}: its lists may be missing (apt-get update)"));
        }
        run(apt(&["update"]).env("LC_ALL", "C"))?;
        download(&archives)?;
    }
    for package in packages_in(&archives)? {
        let words = ["-x".as_ref(), package.as_os_str(), root.as_os_str()];
        run(&mut command("dpkg", &words))?;
    }
    let _ = fs::remove_dir_all(&archives);
    if root.join(PROGRAM).exists() { Ok(()) } else { Err(format!("{PACKAGE} brought no {PROGRAM}")) }
}

/// Downloads the package and whatever it needs that this machine lacks.
fn download(archives: &Path) -> Fallible<()> {
    let into = format!("Dir::Cache::archives={}", archives.display());
    // Nothing is installed, so the lock is not needed, nor is root; and what is installed already is fetched as well.
    let words = ["install", "-y", "--download-only", "--reinstall", "--no-install-recommends", PACKAGE];
    run(apt(&words).args(["-o", &into, "-o", "Debug::NoLocking=1"]))
}

fn packages_in(archives: &Path) -> Fallible<Vec<PathBuf>> {
    let entries = fs::read_dir(archives).map_err(|error| format!("{}: {error}", archives.display()))?;
    let paths = entries.flatten().map(|entry| entry.path());
    Ok(paths.filter(|path| path.extension().is_some_and(|extension| extension == "deb")).collect())
}
