//! The `ipsec` command that people have in their fingers and scripts: this program, called or linked by that name, answers what
//! strongSwan's, Libreswan's and Openswan's do, in the lines that are looked for.
//!
//! ```text
//!  words ─► Action ─► start/stop (service) │ orders over the control socket ─► status ─► charon's or pluto's lines
//! ```

mod charon;
mod numbers;
mod part;
mod pluto;
mod service;
mod words;

use crate::client::{Gateway, clean};
use crate::exit::{Exit, Failure};
use crate::tunnels::{Status, Target, text};
use formats::underpass_toml::DEFAULT_SOCKET;
use numbers::{Numbered, numbered};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use words::{Action, Dialect, KNOWN, parse};

/// The name that this program must be called by.
const NAME: &str = "ipsec";
/// How long `up` waits for what it asked for, as charon's does not end by itself.
const PATIENCE: Duration = Duration::from_secs(60);
/// What was down before is no answer yet.
const SETTLES: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_millis(50);

/// Exit codes, as scripts know them (docs/ipsec-command.md).
mod code {
    pub const OK: u8 = 0;
    pub const FAILED: u8 = 1;
    pub const USAGE: u8 = 2;
    /// LSB: program is not running.
    pub const NOT_RUNNING: u8 = 3;
    /// LSB: status is unknown.
    pub const UNKNOWN: u8 = 4;
    /// LSB: program is not configured.
    pub const NOT_CONFIGURED: u8 = 6;
    /// LSB: program is not running, of everything but `status`.
    pub const NEEDS_GATEWAY: u8 = 7;
}

/// The words behind the command, if this program was called by the name `ipsec`.
pub fn called() -> Option<Vec<String>> {
    let mut words = std::env::args_os();
    let program = PathBuf::from(words.next()?);
    (program.file_name()? == NAME).then(|| words.map(|word| word.to_string_lossy().into_owned()).collect())
}

/// Does it.
pub fn run(words: &[String]) -> ExitCode {
    let mut out = io::stdout().lock();
    let done = Ipsec::of(words).and_then(|(ipsec, action)| ipsec.act(&action, &mut out));
    let code = done.unwrap_or_else(|failed| {
        for line in failed.text.lines() {
            // Nobody reads standard error: nothing to be done.
            let _ = writeln!(io::stderr(), "{}", clean(line));
        }
        failed.code
    });
    // A reader that has gone has read enough.
    let _ = out.flush();
    ExitCode::from(code)
}

/// Why it was not done.
struct Failed {
    code: u8,
    text: String,
}

impl Failed {
    fn new(code: u8, text: impl Into<String>) -> Failed {
        Failed { code, text: text.into() }
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Failed {
        Failed::new(code::FAILED, format!("cannot write: {error}"))
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Failed {
        let code = match failure.exit {
            Exit::Unreachable => code::NEEDS_GATEWAY,
            Exit::Ok => code::OK,
            Exit::Condition | Exit::Usage | Exit::CannotTell => code::FAILED,
        };
        let hint = failure.hint.map(|hint| format!("\n  {hint}")).unwrap_or_default();
        Failed::new(code, format!("{}{hint}", failure.message))
    }
}

struct Ipsec {
    socket: PathBuf,
    gateway: Gateway,
}

impl Ipsec {
    fn of(words: &[String]) -> Result<(Ipsec, Action), Failed> {
        let usage = |text| Failed::new(code::USAGE, text);
        let (socket, words) = match words {
            [option, path, rest @ ..] if option == "--socket" => (Some(PathBuf::from(path)), rest),
            words => (std::env::var_os("UNDERPASS_SOCKET").map(PathBuf::from), words),
        };
        let socket = socket.unwrap_or_else(|| PathBuf::from(DEFAULT_SOCKET));
        let action = parse(words).map_err(usage)?;
        let gateway = Gateway::at(&socket);
        Ok((Ipsec { socket, gateway }, action))
    }

    fn act(&self, action: &Action, out: &mut dyn Write) -> Result<u8, Failed> {
        let say = |out: &mut dyn Write, text: &str| writeln!(out, "{text}").map(|()| code::OK);
        match action {
            Action::Start(start) => service::start(&self.socket, start, out),
            Action::Stop => service::stop(&self.socket, out),
            Action::Restart(start) => {
                service::stop(&self.socket, out)?;
                service::start(&self.socket, start, out)
            }
            Action::Reload(said) => {
                self.gateway.ask(&json!({ "command": "reload" }))?;
                Ok(say(out, said)?)
            }
            Action::Up(name, dialect) => self.up(name, *dialect, out),
            Action::Down(name, dialect) => self.down(name, *dialect, out),
            Action::Load(name) => self.load(name, out),
            Action::Delete(name) => {
                self.order("down", name)?;
                Ok(say(
                    out,
                    &format!(
                        "002 \"{}\": terminating SAs using this connection; the configuration still has it",
                        clean(name)
                    ),
                )?)
            }
            Action::Ready => Ok(say(out, "002 listening for IKE messages")?),
            Action::Status { name, all } => {
                self.show(name.as_deref(), out, |status, shown| charon::status(status, shown, *all))
            }
            Action::PlutoStatus(name) => self.show(name.as_deref(), out, pluto::status),
            Action::Traffic(name) => self.show(name.as_deref(), out, |_, shown| pluto::traffic(shown)),
            Action::Algorithms => Ok(algorithms(out)?),
            Action::Verify(words) => service::ourselves("doctor", words),
            Action::Barf => Ok(say(
                out,
                "`underpass doctor --save FILE` keeps the evidence, without keys; `underpass doctor` judges it",
            )?),
            Action::Version => Ok(say(out, &format!("Underpass {} (its `ipsec` command)", env!("CARGO_PKG_VERSION")))?),
            Action::Help => Ok(say(out, &help())?),
            Action::Answer { text, ok: true } => Ok(say(out, text)?),
            Action::Answer { text, ok: false } => Err(Failed::new(code::FAILED, *text)),
        }
    }

    /// The connections of that name, or all, in the lines of one of them.
    fn show(
        &self,
        name: Option<&str>,
        out: &mut dyn Write,
        lines: impl Fn(&Value, &[Numbered<'_>]) -> Vec<String>,
    ) -> Result<u8, Failed> {
        let status = Status::of(&self.gateway).map_err(|failure| {
            let code = if failure.exit == Exit::Unreachable { code::NOT_RUNNING } else { code::UNKNOWN };
            Failed { code, ..Failed::from(failure) }
        })?;
        let shown =
            of_name(&status, name).map_err(|failure| Failed { code: code::UNKNOWN, ..Failed::from(failure) })?;
        for line in lines(&status.0, &shown) {
            writeln!(out, "{line}")?;
        }
        Ok(code::OK)
    }

    fn order(&self, command: &str, name: &str) -> Result<(), Failed> {
        Status::of(&self.gateway)?.select(Some(&Target::new(name, None)?))?;
        self.gateway.ask(&json!({ "command": command, "connection": name, "child": null }))?;
        Ok(())
    }

    /// Brings a connection up, and says so when it is; of several tunnels one is enough once the others had their time.
    fn up(&self, name: &str, dialect: Dialect, out: &mut dyn Write) -> Result<u8, Failed> {
        self.order("up", name)?;
        if dialect == Dialect::Charon {
            writeln!(out, "initiating IKE_SA {}", clean(name))?;
        } else {
            writeln!(out, "002 \"{}\": initiating", clean(name))?;
        }
        let start = Instant::now();
        loop {
            let status = Status::of(&self.gateway)?;
            let shown = of_name(&status, Some(name))?;
            let up = |one: &&Numbered<'_>| Status::is_up(one.value, None);
            let settled = start.elapsed() >= SETTLES && shown.iter().all(|one| !is_trying(one.value));
            let late = start.elapsed() >= PATIENCE;
            if shown.iter().all(|one| up(&one)) || (late || settled) && shown.iter().any(|one| up(&one)) {
                for one in shown.iter().filter(up) {
                    let lines = if dialect == Dialect::Charon { charon::came_up(one) } else { pluto::came_up(one) };
                    lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
                }
                return Ok(code::OK);
            }
            if late || settled {
                return not_up(name, &shown, dialect, out);
            }
            std::thread::sleep(INTERVAL);
        }
    }

    fn down(&self, name: &str, dialect: Dialect, out: &mut dyn Write) -> Result<u8, Failed> {
        let status = Status::of(&self.gateway)?;
        let numbers: Vec<usize> = of_name(&status, Some(name))?.iter().map(|one| one.number).collect();
        self.order("down", name)?;
        match dialect {
            Dialect::Charon => {
                for number in numbers {
                    writeln!(out, "IKE_SA [{number}] closed successfully")?;
                }
            }
            Dialect::Pluto => writeln!(out, "002 \"{}\": terminating SAs using this connection", clean(name))?,
        }
        Ok(code::OK)
    }

    fn load(&self, name: &str, out: &mut dyn Write) -> Result<u8, Failed> {
        self.gateway.ask(&json!({ "command": "reload" }))?;
        Status::of(&self.gateway)?.select(Some(&Target::new(name, None)?))?;
        writeln!(out, "002 \"{}\": added IKE connection", clean(name))?;
        Ok(code::OK)
    }
}

/// The connections of a status with their numbers: all, or those of that name.
fn of_name<'s>(status: &'s Status, name: Option<&str>) -> Result<Vec<Numbered<'s>>, Failure> {
    let target = name.map(|name| Target::new(name, None)).transpose()?;
    let wanted = status.select(target.as_ref())?;
    let is_wanted = |one: &Numbered<'_>| wanted.iter().any(|value| text(value, "name") == text(one.value, "name"));
    Ok(numbered(&status.0).into_iter().filter(is_wanted).collect())
}

/// Something is under way still, or has not begun.
fn is_trying(connection: &Value) -> bool {
    let code = connection.pointer("/reason/code").and_then(Value::as_str).unwrap_or_default();
    text(connection, "state") == "negotiating"
        || (text(connection, "state") != "up" && matches!(code, "" | "negotiating" | "idle"))
}

fn not_up(name: &str, shown: &[Numbered<'_>], dialect: Dialect, out: &mut dyn Write) -> Result<u8, Failed> {
    for one in shown {
        let Some(failed) = part::failed(one.value) else { continue };
        let part = failed.part.map(|part| format!(" in {part}")).unwrap_or_default();
        match dialect {
            Dialect::Charon => writeln!(out, "{}: failed{part}: {}", one.name(), failed.reason)?,
            Dialect::Pluto => writeln!(out, "036 \"{}\" #{}: failed{part}: {}", one.name(), one.serial, failed.reason)?,
        }
    }
    let words = match dialect {
        Dialect::Charon => format!("establishing connection '{}' failed", clean(name)),
        Dialect::Pluto => format!("036 \"{}\": encountered fatal error: not up", clean(name)),
    };
    writeln!(out, "{words}\n`underpass doctor {}` says what to do; the gateway goes on trying", clean(name))?;
    Ok(code::FAILED)
}

fn algorithms(out: &mut dyn Write) -> io::Result<u8> {
    let list = |names: Vec<&str>| names.join(" ");
    writeln!(out, "encryption: {}", list(crypto::Cipher::ALL.iter().map(|one| one.name()).collect()))?;
    writeln!(out, "integrity:  {}", list(crypto::Integrity::ALL.iter().map(|one| one.name()).collect()))?;
    writeln!(out, "prf:        {}", list(crypto::Prf::ALL.iter().map(|one| one.name()).collect()))?;
    writeln!(out, "dh-group:   {}", list(crypto::Group::ALL.iter().map(|one| one.name()).collect()))?;
    Ok(code::OK)
}

fn help() -> String {
    format!(
        "usage: ipsec [--socket PATH] COMMAND …\n  {}\nThis is Underpass: `underpass --help` has more, docs/ipsec-command.md what is answered here.",
        KNOWN.join(", ")
    )
}

/// Whether a gateway answers at a socket.
fn answers(socket: &Path) -> Result<Status, Failure> {
    Status::of(&Gateway::at(socket))
}
