//! How a command ends: the exit codes scripts rely on, and failures with what to do about them.

use serde_json::{Value, json};
use std::io;
use std::process::ExitCode;

/// The exit codes of every subcommand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// Done, or the condition asked for holds.
    Ok = 0,
    /// The condition asked for does not hold: tunnel down, findings present, refused.
    Condition = 1,
    /// The command line is wrong, or names something that does not exist.
    Usage = 2,
    /// The gateway cannot be reached.
    Unreachable = 3,
    /// No answer that could be judged.
    CannotTell = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// The exit codes in the help texts.
pub const HELP: &str = "Exit codes: 0 ok, 1 condition not met, 2 usage, 3 cannot reach the gateway, 4 cannot tell";

/// Why a command could not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// For machines: snake_case.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(exit: Exit, code: &str, message: impl Into<String>) -> Failure {
        Failure { exit, code: code.to_owned(), message: message.into(), hint: None }
    }

    /// The same with what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// As one JSON object.
    pub fn json(&self) -> Value {
        json!({
            "schema_version": 1,
            "ok": false,
            "error": { "code": self.code, "message": self.message, "hint": self.hint },
        })
    }
}

impl From<io::Error> for Failure {
    /// An error of our own output. A reader that has read enough is no failure.
    fn from(error: io::Error) -> Failure {
        let exit = if error.kind() == io::ErrorKind::BrokenPipe { Exit::Ok } else { Exit::CannotTell };
        Failure::new(exit, "output", format!("cannot write: {error}"))
    }
}
