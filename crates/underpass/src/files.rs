//! Reads the configuration from disk: the file, `conf.d/*.toml` beside it, the secrets and `secrets.d/*.toml`. Who may read
//! the secrets is checked on the very file that is read.

use formats::diagnostic::code;
use formats::underpass_toml::{self, Loaded};
use formats::{Diagnostic, Severity, SourceFile};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bytes read of one file; more than the parser takes, so that it can say so.
const LARGEST: u64 = 2 << 20;

/// Reads and checks everything behind the configuration file at `path`.
///
/// # Errors
/// All that is wrong, with places.
pub fn load(path: &Path) -> Result<Loaded, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let directory = path.parent().unwrap_or(Path::new(""));
    let mut files = Vec::new();
    for file in [path.to_owned()].into_iter().chain(fragments(&directory.join("conf.d"), &mut problems)) {
        match read(&file) {
            Ok((text, _)) => files.push(SourceFile::new(shown(&file), text)),
            Err(error) => problems.push(unreadable(&file, &error)),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let named = directory.join(underpass_toml::secrets_path(&files));
    let mut secrets = Vec::new();
    for file in [named.clone()].into_iter().chain(fragments(&directory.join("secrets.d"), &mut problems)) {
        match read(&file) {
            Ok((text, mode)) => {
                problems.extend(underpass_toml::check_secrets_mode(&shown(&file), mode));
                secrets.push(SourceFile::new(shown(&file), text));
            }
            // Nothing may need it; the parser knows.
            Err(error) if error.kind() == io::ErrorKind::NotFound && file == named => {}
            Err(error) => problems.push(unreadable(&file, &error)),
        }
    }
    match underpass_toml::parse(&files, &secrets) {
        Ok(loaded) if problems.is_empty() => Ok(loaded),
        Ok(loaded) => Err(problems.into_iter().chain(loaded.warnings).collect()),
        Err(found) => Err(problems.into_iter().chain(found).collect()),
    }
}

/// The `*.toml` files of a directory by name; none when there is no such directory.
fn fragments(directory: &Path, problems: &mut Vec<Diagnostic>) -> Vec<PathBuf> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Vec::new();
        }
        Err(error) => {
            problems.push(unreadable(directory, &error));
            return Vec::new();
        }
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    files
}

/// Text and mode of a file.
fn read(path: &Path) -> io::Result<(String, u32)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::Error::other("it is a directory"));
    }
    // With room for all of it the text never moves, which would leave a copy of secrets behind.
    let room = metadata.len().min(LARGEST) + 1;
    let mut text = String::with_capacity(usize::try_from(room).unwrap_or(0));
    file.take(LARGEST).read_to_string(&mut text)?;
    Ok((text, metadata.mode()))
}

fn unreadable(path: &Path, error: &io::Error) -> Diagnostic {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => Some("give the path of the configuration with `-c FILE`".to_owned()),
        io::ErrorKind::PermissionDenied => Some("run as root, or as the owner of the file".to_owned()),
        _ => None,
    };
    let message = format!("cannot read {}: {error}", shown(path));
    Diagnostic::about_file(Severity::Error, code::INVALID, shown(path), message, hint)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
