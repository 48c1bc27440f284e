//! Runs other programs from the repository root: streamed, captured or quiet, and says exactly which command failed.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a task returns: the text is shown to the developer as it is.
pub type Fallible<T> = Result<T, String>;

/// The repository root: the folder above this crate's manifest.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let compiled = manifest.parent().unwrap_or(manifest).to_path_buf();
    // A target folder may outlive a moved checkout: the folder the alias was called in then knows better.
    if compiled.join("xtask").is_dir() {
        return compiled;
    }
    let here = std::env::current_dir().unwrap_or_default();
    let found = here.ancestors().find(|folder| folder.join("xtask").is_dir());
    found.map_or(here.clone(), Path::to_path_buf)
}

/// A command that will run in the repository root.
pub fn command<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// The `cargo` that called us, or the one in `PATH`.
pub fn cargo<S: AsRef<OsStr>>(arguments: &[S]) -> Command {
    let program = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    command(&program, arguments)
}

/// The words of a command as one would type them.
pub fn words(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program());
    std::iter::once(name)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs to the end, output straight to the terminal.
pub fn run(command: &mut Command) -> Fallible<()> {
    let status = command.status().map_err(|error| format!("cannot start `{}`: {error}", words(command)))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` ended with {status}", words(command))) }
}

/// Runs to the end, shows each line of standard output as it comes and hands it to `each` as well.
/// The inner result is the exit status; the outer one says whether the program could be run at all.
pub fn run_lines(command: &mut Command, mut each: impl FnMut(&str)) -> Fallible<Fallible<()>> {
    let shown = words(command);
    let mut child =
        command.stdout(Stdio::piped()).spawn().map_err(|error| format!("cannot start `{shown}`: {error}"))?;
    if let Some(output) = child.stdout.take() {
        let mut reader = BufReader::new(output);
        let mut line = Vec::new();
        // Bytes, not `lines()`: a test may print what is not UTF-8.
        while matches!(reader.read_until(b'\n', &mut line), Ok(read) if read > 0) {
            let text = String::from_utf8_lossy(&line);
            println!("{}", text.trim_end_matches('\n'));
            each(text.trim_end());
            line.clear();
        }
    }
    let status = child.wait().map_err(|error| format!("lost track of `{shown}`: {error}"))?;
    Ok(if status.success() { Ok(()) } else { Err(format!("`{shown}` ended with {status}")) })
}

/// Standard output of a command that must succeed.
pub fn capture(command: &mut Command) -> Fallible<String> {
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| format!("cannot start `{}`: {error}", words(command)))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{}` ended with {}: {}", words(command), output.status, complaint.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Does this command run and succeed, saying nothing?
pub fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The workspace's build folder, wherever the configuration put it.
pub fn target_dir() -> Fallible<PathBuf> {
    let metadata = capture(&mut cargo(&["metadata", "--no-deps", "--format-version", "1"]))?;
    let parsed: serde_json::Value =
        serde_json::from_str(&metadata).map_err(|error| format!("cargo metadata is not JSON: {error}"))?;
    parsed["target_directory"]
        .as_str()
        .map(PathBuf::from)
        .ok_or_else(|| "cargo metadata names no target_directory".to_owned())
}

/// Are we root? (The owner of our own entry in /proc.)
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|entry| entry.uid() == 0)
}
