//! Asking a gateway over its control socket ([`host::control`]), with what went wrong as an exit code and a hint.
//!
//! ```text
//! {"command":"up","connection":"site-b","child":null}
//!                               {"ok":true,"result":…} or {"ok":false,"error":{"code":…,"message":…,"hint":…}}
//! ```
//! `log` with `"follow":true` and `capture` are answered by further lines, one per event or piece.

use crate::exit::{Exit, Failure};
use host::control::{ControlClient, ControlError};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the gateway may take to answer: it is busy for milliseconds at most.
const ANSWER: Duration = Duration::from_secs(10);

/// A gateway's control socket.
#[derive(Clone, Debug)]
pub struct Gateway {
    path: PathBuf,
}

impl Gateway {
    /// The gateway behind the socket at `path`.
    pub fn at(path: &Path) -> Gateway {
        Gateway { path: path.to_owned() }
    }

    /// Asks for one answer: the `result` of a reply that is `ok`.
    ///
    /// # Errors
    /// The gateway is not there, does not answer, or refuses.
    pub fn ask(&self, request: &Value) -> Result<Value, Failure> {
        self.stream(request).map(|(result, _)| result)
    }

    /// Asks for an answer followed by a stream of lines.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn stream(&self, request: &Value) -> Result<(Value, Stream), Failure> {
        let mut client = ControlClient::connect(&self.path, ANSWER)?;
        let result = result_of(client.request(request)?)?;
        client.set_timeout(None)?;
        Ok((result, Stream(client)))
    }
}

/// Lines from the gateway.
#[derive(Debug)]
pub struct Stream(ControlClient);

impl Stream {
    /// The next line, or `None` when the gateway has ended the stream.
    ///
    /// # Errors
    /// The gateway is gone, or the line is no JSON.
    pub fn next_line(&mut self) -> Result<Option<Value>, Failure> {
        Ok(self.0.next_response()?)
    }
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Failure {
        let (exit, code, hint) = match &error {
            ControlError::NotRunning { .. } => (
                Exit::Unreachable,
                "unreachable",
                Some("start it with `underpass gateway -c FILE`, or give its socket with --socket"),
            ),
            // The message says what to be.
            ControlError::NotPermitted { .. } => (Exit::Unreachable, "not_permitted", None),
            ControlError::NotASocket { .. } => (Exit::Unreachable, "unreachable", None),
            ControlError::AlreadyRunning { .. } => (Exit::CannotTell, "already_running", None),
            ControlError::Timeout { .. } | ControlError::Io { .. } => (Exit::CannotTell, "no_answer", None),
            ControlError::BadResponse { .. } => {
                (Exit::CannotTell, "garbled", Some("is it another version of underpass?"))
            }
        };
        let hint = hint.map(ToOwned::to_owned);
        Failure { hint, ..Failure::new(exit, code, clean(&error.to_string())) }
    }
}

fn result_of(mut reply: Value) -> Result<Value, Failure> {
    match reply.get("ok").and_then(Value::as_bool) {
        Some(true) => Ok(reply.get_mut("result").map_or(Value::Null, Value::take)),
        Some(false) => Err(refused(&reply)),
        None => Err(Failure::new(Exit::CannotTell, "garbled", "the gateway's answer does not say whether it is ok")),
    }
}

/// What the gateway refused, in its words.
fn refused(reply: &Value) -> Failure {
    // A refused configuration has many lines.
    let lines = |text: &str| text.lines().map(clean).collect::<Vec<_>>().join("\n");
    let text = |name: &str| reply.pointer(&format!("/error/{name}")).and_then(Value::as_str).map(lines);
    let code = text("code").unwrap_or_else(|| "refused".to_owned());
    let exit = if code.starts_with("unknown_") || code == "bad_request" { Exit::Usage } else { Exit::Condition };
    let message = text("message").unwrap_or_else(|| "the gateway refuses".to_owned());
    Failure { exit, code, message, hint: text("hint").filter(|hint| !hint.is_empty()) }
}

/// Text from elsewhere, without what a terminal would take for a command.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
