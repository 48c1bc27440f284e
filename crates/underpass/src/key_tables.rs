//! Keys in Wireshark's tables, in a folder that only its owner can change, in files that only the owner can read.
//!
//! Lines are appended, so that the folder may be Wireshark's own; a line that is there already is not written again.

use crate::client::clean;
use crate::exit::{Exit, Failure};
use serde_json::{Value, json};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Wireshark's names of the files.
const TABLES: [&str; 3] = ["ikev1_decryption_table", "ikev2_decryption_table", "esp_sa"];
/// Group and others may not make or rename files.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Tables that are being written.
pub struct KeyTables {
    directory: PathBuf,
    lines: usize,
    not_written: Vec<String>,
}

impl KeyTables {
    /// Makes the folder, for its owner alone, or looks whether it is safe.
    ///
    /// # Errors
    /// It cannot be made, is somebody else's, or others may change what is in it.
    pub fn open(directory: &Path) -> Result<KeyTables, Failure> {
        let shown = clean(&directory.display().to_string());
        let refuse = |what: String| {
            let failure = Failure::new(Exit::Usage, "key_folder", format!("keys do not go into {shown}: {what}"));
            failure.hint("name a folder that does not exist yet: it is made for you alone")
        };
        match DirBuilder::new().mode(0o700).create(directory) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(refuse(format!("it cannot be made: {error}"))),
        }
        let about = fs::metadata(directory).map_err(|error| refuse(error.to_string()))?;
        let own = own_user(directory).map_err(|error| refuse(format!("nothing can be written there: {error}")))?;
        if !about.is_dir() {
            return Err(refuse("it is no folder".to_owned()));
        }
        if about.uid() != own {
            return Err(refuse(format!("it belongs to user {}, and you are user {own}", about.uid())));
        }
        if about.mode() & WRITABLE_BY_OTHERS != 0 {
            let mode = about.mode() & 0o7777;
            return Err(refuse(format!("others may change what is in it (mode {mode:03o}; `chmod go-w` ends that)")));
        }
        Ok(KeyTables { directory: directory.to_owned(), lines: 0, not_written: Vec::new() })
    }

    /// Adds what a gateway sent.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn add(&mut self, keys: &Value) -> Result<(), Failure> {
        let texts =
            |name: &str| keys.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        for table in TABLES {
            let lines: Vec<&str> = texts(table).collect();
            if !lines.is_empty() {
                let path = self.directory.join(table);
                self.lines += append(&path, &lines).map_err(|error| {
                    Failure::new(Exit::CannotTell, "output", format!("cannot write {}: {error}", path.display()))
                })?;
            }
        }
        self.not_written.extend(texts("not_written").map(clean));
        Ok(())
    }

    /// What was written where, without any of it.
    pub fn to_json(&self) -> Value {
        let directory = self.directory.display().to_string();
        json!({ "directory": directory, "lines": self.lines, "not_written": self.not_written })
    }

    /// The same for people.
    ///
    /// # Errors
    /// As `out` has them.
    pub fn write_summary(&self, out: &mut dyn Write) -> io::Result<()> {
        let directory = clean(&self.directory.display().to_string());
        writeln!(out, "{directory}: {} lines of keys; delete them when you are done", self.lines)?;
        for what in &self.not_written {
            writeln!(out, "no key written: {what}")?;
        }
        Ok(())
    }
}

/// Who owns what we make.
fn own_user(directory: &Path) -> io::Result<u32> {
    let path = directory.join(format!(".underpass-{}", std::process::id()));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    let user = file.metadata().map(|about| about.uid());
    fs::remove_file(&path)?;
    user
}

fn append(path: &Path, lines: &[&str]) -> io::Result<usize> {
    if fs::symlink_metadata(path).is_ok_and(|about| !about.is_file()) {
        return Err(io::Error::other("it is no file"));
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    // Wireshark may have made it, for everybody to read.
    file.set_permissions(Permissions::from_mode(0o600))?;
    let there = read(&mut file)?;
    let mut written = 0;
    if !there.is_empty() && !there.ends_with('\n') {
        file.write_all(b"\n")?;
    }
    for line in lines.iter().filter(|line| !there.lines().any(|other| other == **line)) {
        // A table has one line an entry, whatever the gateway sent.
        if !line.contains(['\n', '\r']) {
            writeln!(file, "{line}")?;
            written += 1;
        }
    }
    Ok(written)
}

fn read(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
