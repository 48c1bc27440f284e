//! The demo's directory: configuration, control sockets and logs of the two gateways, for this user alone.
//!
//! It is removed at the end. What a `kill -9` leaves is removed by the next run, which knows a dead run by two signs: nobody holds
//! the lock in the directory, and the process in its name is gone (a run that has not locked its directory yet is alive).

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

const PREFIX: &str = "underpass-demo-";
const LOCK: &str = "lock";
/// Longest base directory, in bytes: the path of a Unix socket has 107 (unix(7)).
const LONGEST_BASE: usize = 64;

/// The directory; removed when dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    /// Held as long as this run lives.
    _lock: File,
}

impl Scratch {
    /// Removes what dead runs left, and makes a directory for this one: in `$XDG_RUNTIME_DIR` where there is one, else in `/tmp`.
    ///
    /// # Errors
    /// Neither takes it.
    pub fn new() -> io::Result<Scratch> {
        let bases = bases();
        bases.iter().for_each(|base| sweep(base));
        let mut result = Err(io::ErrorKind::NotFound.into());
        for base in &bases {
            result = Scratch::within(base);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    fn within(base: &Path) -> io::Result<Scratch> {
        let path = base.join(format!("{PREFIX}{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&path)?;
        let lock = File::create_new(path.join(LOCK)).and_then(|file| match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        });
        match lock {
            Ok(lock) => Ok(Scratch { path, _lock: lock }),
            Err(error) => {
                // It is ours and useless; that it cannot be removed changes nothing about the error.
                let _ = fs::remove_dir_all(&path);
                Err(error)
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next run.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn bases() -> Vec<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let usable = |path: &PathBuf| {
        path.is_absolute() && path.is_dir() && path.to_str().is_some_and(|text| text.len() <= LONGEST_BASE)
    };
    runtime.into_iter().chain([PathBuf::from("/tmp")]).filter(usable).collect()
}

/// Removes the directories of dead runs of this user.
fn sweep(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|pid| pid.parse::<u32>().ok());
        if let Some(pid) = pid
            && is_dead(pid, &entry.path())
        {
            // Somebody else's, or another run was faster.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_dead(pid: u32, path: &Path) -> bool {
    let ours = |metadata: &fs::Metadata| {
        metadata.is_dir() && fs::metadata("/proc/self").is_ok_and(|me| me.uid() == metadata.uid())
    };
    // Not followed: a link is nothing of ours.
    if !fs::symlink_metadata(path).is_ok_and(|metadata| ours(&metadata)) {
        return false;
    }
    // A process number that came round to us names a run before us.
    let gone = pid == std::process::id() || !Path::new("/proc").join(pid.to_string()).exists();
    let unlocked = match File::open(path.join(LOCK)) {
        Ok(file) => file.try_lock().is_ok(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    gone && unlocked
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than any kernel counts processes (`pid_max` is at most 2^22).
    const NOBODY: u32 = u32::MAX;

    #[test]
    fn a_dead_run_is_swept_and_a_living_one_is_not() {
        let base = std::env::temp_dir().join(format!("underpass-scratch-test-{}", std::process::id()));
        fs::create_dir(&base).unwrap();
        let dead = base.join(format!("{PREFIX}{NOBODY}"));
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        fs::write(dead.join("secrets.toml"), "").unwrap();
        let foreign = base.join(format!("{PREFIX}backup"));
        fs::create_dir(&foreign).unwrap();
        let living = Scratch::within(&base).unwrap();
        assert_eq!(fs::metadata(living.path()).unwrap().mode() & 0o777, 0o700);
        sweep(&base);
        assert!(!dead.exists(), "a dead run's directory is removed");
        assert!(foreign.exists() && living.path().exists());
        let path = living.path().to_owned();
        drop(living);
        assert!(!path.exists());
        fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn a_lock_that_is_held_keeps_the_directory_of_a_process_we_cannot_see() {
        let base = std::env::temp_dir().join(format!("underpass-scratch-lock-{}", std::process::id()));
        let elsewhere = base.join(format!("{PREFIX}{NOBODY}"));
        fs::create_dir_all(&elsewhere).unwrap();
        let lock = File::create(elsewhere.join(LOCK)).unwrap();
        lock.lock().unwrap();
        sweep(&base);
        assert!(elsewhere.exists(), "another PID namespace's run lives");
        drop(lock);
        sweep(&base);
        assert!(!elsewhere.exists());
        fs::remove_dir_all(&base).unwrap();
    }
}
