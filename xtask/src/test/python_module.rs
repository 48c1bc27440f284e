//! The `vici` module of Python's package index, in a folder of its own under `target/`: the system's Python stays as it is.

use super::packages::{Setup, has_program};
use crate::process::{Fallible, command, run, target_dir};
use std::fs;

const MODULE: &str = "vici";
/// The one the labs were written with.
const VERSION: &str = "6.0.3";
/// Where labs look for it, below the build folder.
const FOLDER: &str = "lab-peers/python-vici";

/// Makes the module present where we can.
pub fn prepare() -> Fallible<Setup> {
    let folder = target_dir()?.join(FOLDER);
    if folder.join(MODULE).is_dir() {
        return Ok(Setup::Ready(format!("Python's {MODULE} is in {}", folder.display())));
    }
    if !has_program("pip3") {
        return Ok(Setup::Skipped(format!(
            "no pip3: no Python module {MODULE} for its lab (apt-get install python3-pip)"
        )));
    }
    // Built beside its place and moved there whole: one that was interrupted is no module.
    let half = folder.with_extension("half");
    let _ = fs::remove_dir_all(&half);
    let wanted = format!("{MODULE}=={VERSION}");
    let target = half.display().to_string();
    let words =
        ["install", "--quiet", "--no-deps", "--no-input", "--root-user-action=ignore", "--target", &target, &wanted];
    let made = run(&mut command("pip3", &words)).and_then(|()| {
        let _ = fs::remove_dir_all(&folder);
        fs::rename(&half, &folder).map_err(|error| format!("{}: {error}", folder.display()))
    });
    let _ = fs::remove_dir_all(&half);
    made.map(|()| Setup::Ready(format!("installed {wanted} into {}", folder.display())))
}
