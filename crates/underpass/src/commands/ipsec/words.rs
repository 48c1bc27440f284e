//! What people type after `ipsec`, in the forms of strongSwan, Libreswan and Openswan, as what is to be done. Pure.

use crate::client::clean;
use formats::nearest;
use std::path::PathBuf;

/// Whose lines are expected as an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// strongSwan's: `ipsec up`, `ipsec status`.
    Charon,
    /// Libreswan's and Openswan's: `ipsec auto`, `ipsec whack`.
    Pluto,
}

/// How a gateway is to be started.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Start {
    /// Stay in the foreground.
    pub foreground: bool,
    /// This configuration, not the one in `/etc`.
    pub configuration: Option<PathBuf>,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Start the gateway.
    Start(Start),
    /// Stop the gateway.
    Stop,
    /// Stop it where it runs, and start it.
    Restart(Start),
    /// Read the configuration again; in which words it was asked for.
    Reload(&'static str),
    /// Bring a connection up.
    Up(String, Dialect),
    /// Take it down.
    Down(String, Dialect),
    /// Read the configuration again, where it should have this connection.
    Load(String),
    /// Take it down, and say that the file still has it.
    Delete(String),
    /// Say that we listen.
    Ready,
    /// Every SA, or those of one connection; with everything known.
    Status {
        /// Only this connection.
        name: Option<String>,
        /// As `statusall`.
        all: bool,
    },
    /// The same in pluto's lines.
    PlutoStatus(Option<String>),
    /// What passed, in pluto's lines.
    Traffic(Option<String>),
    /// Which algorithms there are.
    Algorithms,
    /// Our doctor.
    Verify(Vec<String>),
    /// Where to find what `barf` collected.
    Barf,
    /// Which program this is.
    Version,
    /// What can be typed.
    Help,
    /// The answer to what we do not do, or need not do.
    Answer {
        /// In words.
        text: &'static str,
        /// Whether what was wanted holds anyway.
        ok: bool,
    },
}

/// Subcommands that are answered, for suggestions and for the help.
pub const KNOWN: &[&str] = &[
    "start",
    "stop",
    "restart",
    "reload",
    "update",
    "up",
    "down",
    "status",
    "statusall",
    "rereadsecrets",
    "rereadall",
    "version",
    "--version",
    "--status",
    "listalgs",
    "auto",
    "whack",
    "setup",
    "verify",
    "barf",
    "trafficstatus",
    "look",
    "briefstatus",
    "help",
];

/// Options of `ipsec auto`, for suggestions.
const AUTO: &[&str] = &[
    "--up",
    "--down",
    "--start",
    "--add",
    "--delete",
    "--replace",
    "--ready",
    "--rereadsecrets",
    "--rereadall",
    "--status",
    "--route",
    "--unroute",
    "--ondemand",
];

const NO_KEYS: &str = "certificates and key files are not supported: Underpass authenticates with pre-shared keys";
const ROUTED: &str = "nothing to do: routes are set as long as the gateway runs, and a connection with auto=route \
                      (start = \"on-demand\") comes up with its first packet";
const UNROUTE: &str = "routes stay as long as the gateway runs, so that nothing leaves in clear: take the connection out of \
                       the configuration and `ipsec reload`";

/// What the words after `ipsec` ask for.
///
/// # Errors
/// Nothing we answer, with a suggestion.
pub fn parse(words: &[String]) -> Result<Action, String> {
    let mut words = words.iter().map(String::as_str);
    let Some(first) = words.next() else { return Ok(Action::Help) };
    let rest: Vec<&str> = words.collect();
    match first {
        "start" => start(&rest).map(Action::Start),
        "restart" => start(&rest).map(Action::Restart),
        "stop" => Ok(Action::Stop),
        "reload" | "force-reload" => Ok(Action::Reload("Reloading IPsec configuration...")),
        "update" => Ok(Action::Reload("Updating IPsec configuration...")),
        "rereadsecrets" => Ok(Action::Reload("Rereading secrets...")),
        "rereadall" => Ok(Action::Reload("Rereading everything...")),
        "up" => name(first, &rest).map(|name| Action::Up(name, Dialect::Charon)),
        "down" => name(first, &rest).map(|name| Action::Down(name, Dialect::Charon)),
        "status" | "statusall" => Ok(Action::Status { name: optional(first, &rest)?, all: first == "statusall" }),
        "look" => Ok(Action::Status { name: optional(first, &rest)?, all: true }),
        "--status" | "briefstatus" => Ok(Action::PlutoStatus(optional(first, &rest)?)),
        "trafficstatus" | "--trafficstatus" => Ok(Action::Traffic(optional(first, &rest)?)),
        "listalgs" | "listalg" => Ok(Action::Algorithms),
        "version" | "--version" | "--versioncode" => Ok(Action::Version),
        "help" | "--help" | "-h" => Ok(Action::Help),
        "verify" | "checkconfig" => Ok(Action::Verify(rest.iter().map(|&word| word.to_owned()).collect())),
        "barf" => Ok(Action::Barf),
        "setup" => match rest.first() {
            Some(&("start" | "stop" | "restart" | "status" | "reload" | "force-reload")) => {
                parse(&rest.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
            }
            _ => Err("`ipsec setup` takes start, stop, restart, reload or status".to_owned()),
        },
        "auto" => auto(&rest),
        "whack" => whack(&rest),
        "route" | "unroute" => Ok(routes(first == "route")),
        "pki" | "scepclient" | "listcerts" | "listcacerts" | "listpubkeys" | "listcrls" | "rereadcacerts"
        | "rereadcrls" | "rereadaacerts" | "rereadocspcerts" | "rereadacerts" | "newhostkey" | "showhostkey"
        | "rsasigkey" | "initnss" | "import" | "certutil" => Ok(Action::Answer { text: NO_KEYS, ok: false }),
        other => Err(unknown("ipsec", other, KNOWN)),
    }
}

fn routes(wanted: bool) -> Action {
    if wanted { Action::Answer { text: ROUTED, ok: true } } else { Action::Answer { text: UNROUTE, ok: false } }
}

fn start(words: &[&str]) -> Result<Start, String> {
    let mut start = Start::default();
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        match word {
            "--nofork" => start.foreground = true,
            "--conf" | "--config" => match words.next() {
                Some(&path) => start.configuration = Some(path.into()),
                None => return Err(format!("`{word}` takes a file")),
            },
            // How loud others are: our log has one measure.
            "--debug" | "--debug-more" | "--debug-all" | "--nolog" | "--auto-update" => {}
            seconds if seconds.parse::<u32>().is_ok() => {}
            other => return Err(unknown("ipsec start", other, &["--nofork", "--conf", "--debug"])),
        }
    }
    Ok(start)
}

fn auto(words: &[&str]) -> Result<Action, String> {
    // `--asynchronous` and `--verbose` change nothing of what is done.
    let told = |word: &&&str| !matches!(**word, "--asynchronous" | "--verbose" | "--showonly");
    let words: Vec<&str> = words.iter().filter(told).copied().collect();
    let Some((&first, rest)) = words.split_first() else {
        return Err(format!("`ipsec auto` takes one of {}", AUTO.join(", ")));
    };
    let named = || name(&format!("auto {first}"), rest);
    match first {
        "--up" | "--start" => named().map(|name| Action::Up(name, Dialect::Pluto)),
        "--down" => named().map(|name| Action::Down(name, Dialect::Pluto)),
        "--add" | "--replace" => named().map(Action::Load),
        "--delete" => named().map(Action::Delete),
        "--ready" => Ok(Action::Ready),
        "--rereadsecrets" => Ok(Action::Reload("002 rereading secrets")),
        "--rereadall" => Ok(Action::Reload("002 rereading everything")),
        "--status" => Ok(Action::PlutoStatus(optional("auto --status", rest)?)),
        "--route" | "--ondemand" => Ok(routes(true)),
        "--unroute" => Ok(routes(false)),
        other => Err(unknown("ipsec auto", other, AUTO)),
    }
}

fn whack(words: &[&str]) -> Result<Action, String> {
    let named = words.iter().position(|word| *word == "--name").and_then(|at| words.get(at + 1));
    let named = named.map(|&name| name.to_owned());
    let known = [
        "--status",
        "--trafficstatus",
        "--briefstatus",
        "--shutdown",
        "--initiate",
        "--terminate",
        "--listen",
        "--rereadsecrets",
        "--rereadall",
    ];
    let asked = words.iter().find(|word| known.contains(word));
    let with_name = |action: fn(String, Dialect) -> Action| match named.clone() {
        Some(name) => Ok(action(name, Dialect::Pluto)),
        None => Err("`ipsec whack` needs `--name CONNECTION` for that".to_owned()),
    };
    match asked.copied() {
        Some("--status" | "--briefstatus") => Ok(Action::PlutoStatus(named)),
        Some("--trafficstatus") => Ok(Action::Traffic(named)),
        Some("--shutdown") => Ok(Action::Stop),
        Some("--initiate") => with_name(Action::Up),
        Some("--terminate") => with_name(Action::Down),
        Some("--listen") => Ok(Action::Ready),
        Some("--rereadsecrets" | "--rereadall") => Ok(Action::Reload("002 rereading secrets")),
        _ => Err(unknown("ipsec whack", words.first().copied().unwrap_or_default(), &known)),
    }
}

/// The one connection that must be named.
fn name(command: &str, rest: &[&str]) -> Result<String, String> {
    optional(command, rest)?.ok_or_else(|| format!("`ipsec {command}` takes the name of a connection"))
}

fn optional(command: &str, rest: &[&str]) -> Result<Option<String>, String> {
    match rest {
        [] => Ok(None),
        [name] if !name.starts_with('-') => Ok(Some((*name).to_owned())),
        ["--name", name] => Ok(Some((*name).to_owned())),
        _ => Err(format!("`ipsec {command}` takes the name of one connection, not `{}`", clean(&rest.join(" ")))),
    }
}

fn unknown(command: &str, word: &str, known: &[&str]) -> String {
    let near = nearest(word, known.iter().copied()).map(|near| format!("; did you mean `{command} {near}`?"));
    let near = near.unwrap_or_default();
    format!("`{command}` does not know `{}`{near}\n  it answers: {}", clean(word), known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Action, String> {
        parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn what_people_type_is_understood_in_every_dialect() {
        let site = || "site".to_owned();
        let table = [
            ("start", Action::Start(Start::default())),
            ("start --nofork --debug", Action::Start(Start { foreground: true, configuration: None })),
            ("restart", Action::Restart(Start::default())),
            ("setup restart", Action::Restart(Start::default())),
            ("up site", Action::Up(site(), Dialect::Charon)),
            ("auto --up site", Action::Up(site(), Dialect::Pluto)),
            ("auto --asynchronous --up site", Action::Up(site(), Dialect::Pluto)),
            ("whack --name site --initiate", Action::Up(site(), Dialect::Pluto)),
            ("down site", Action::Down(site(), Dialect::Charon)),
            ("auto --delete site", Action::Delete(site())),
            ("auto --replace site", Action::Load(site())),
            ("auto --status", Action::PlutoStatus(None)),
            ("--status", Action::PlutoStatus(None)),
            ("whack --trafficstatus", Action::Traffic(None)),
            ("status site", Action::Status { name: Some(site()), all: false }),
            ("statusall", Action::Status { name: None, all: true }),
            ("whack --shutdown", Action::Stop),
            ("", Action::Help),
        ];
        for (text, action) in table {
            assert_eq!(of(text), Ok(action), "{text}");
        }
    }

    #[test]
    fn what_is_mistyped_gets_a_suggestion_and_what_is_missing_is_asked_for() {
        let table = [
            ("statsu", "did you mean `ipsec status`"),
            ("auto --pu x", "did you mean `ipsec auto --up`"),
            ("up", "takes the name of a connection"),
            ("up a b", "name of one connection"),
            ("whack --initiate", "--name CONNECTION"),
            ("start --nofrok", "did you mean `ipsec start --nofork`"),
            ("bl\u{1b}[2J", "\u{fffd}"),
        ];
        for (text, part) in table {
            let complaint = of(text).unwrap_err();
            assert!(complaint.contains(part) && !complaint.contains('\u{1b}'), "{text}: {complaint}");
        }
    }
}
