//! `underpass doctor`: collects what is known — the files, the running gateway, the machine, what an operator saved at the
//! other end — and prints what is wrong, the lowest broken layer first.

use crate::client::Gateway;
use crate::exit::{Exit, Failure};
use crate::files;
use crate::table::colour_welcome;
use doctor::code::Code;
use doctor::evidence::{Configuration, Event, LARGEST_FILE, Live};
use doctor::page::{Style, of_code, of_report};
use doctor::{Evidence, Report, diagnose};
use formats::underpass_toml::DEFAULT_SOCKET;
use formats::{nearest, rfc3339};
use host::diagnosis::{Questions, echo, look, probe};
use ipsec::TrafficSelector;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

const DEFAULT_CONFIG: &str = "/etc/underpass/underpass.toml";
/// Peers that are sent a probe at most.
const MOST_PROBES: usize = 16;

/// Say why a tunnel is not up, and what to do about it
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  underpass doctor                            everything: files, gateway, machine
  underpass doctor site-b --json              one connection, for programs
  underpass doctor --save here.json           keep the evidence; keys are not in it
  underpass doctor --far there.json           together with what was saved at the other end
  underpass doctor --from here.json           judge saved evidence, on any machine
  underpass doctor --probe --ping 10.93.1.2   also send packets: who refuses IKE, and which sizes pass the tunnel
  underpass doctor --explain IKE-02           what a code means

Exit codes: 0 nothing found, 1 findings, 2 usage, 3 could not look")]
pub struct Args {
    /// Only this connection
    #[arg(value_name = "CONNECTION")]
    pub connection: Option<String>,
    /// The configuration
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Control socket of the gateway; as configured, unless given
    #[arg(long, value_name = "PATH", env = "UNDERPASS_SOCKET")]
    pub socket: Option<PathBuf>,
    /// Judge this evidence; look at nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "probe", "ping"])]
    pub from: Option<PathBuf>,
    /// Keep the evidence, for --from and --far
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Evidence that was saved at the other end
    #[arg(long, value_name = "FILE")]
    pub far: Option<PathBuf>,
    /// Send each peer a first message of IKE, to see who refuses it
    #[arg(long)]
    pub probe: bool,
    /// Send echoes of several sizes to this address behind the peer
    #[arg(long, value_name = "ADDRESS")]
    pub ping: Option<IpAddr>,
    /// Print the page of a code
    #[arg(long, value_name = "CODE")]
    pub explain: Option<String>,
    /// Print JSON (schema_version 1) instead of text
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, Failure> {
    if let Some(code) = &args.explain {
        return explain_code(code, args.json, out);
    }
    let mut evidence = match &args.from {
        Some(path) => saved(path)?,
        None => collect(args)?,
    };
    if let Some(path) = &args.far {
        evidence.far = Some(Box::new(saved(path)?));
    }
    if let Some(path) = &args.save {
        keep(path, &evidence)?;
    }
    known(args.connection.as_deref(), &evidence)?;
    let report = diagnose(&evidence, args.connection.as_deref());
    print(&report, args.json, out)?;
    Ok(if report.findings.is_empty() { Exit::Ok } else { Exit::Condition })
}

/// The report for people or for programs.
fn print(report: &Report, machine: bool, out: &mut dyn Write) -> Result<(), Failure> {
    if machine {
        let mut value = serde_json::to_value(report).unwrap_or(Value::Null);
        if let Some(object) = value.as_object_mut() {
            object.insert("ok".to_owned(), json!(report.findings.is_empty()));
        }
        writeln!(out, "{value}")?;
    } else {
        write!(out, "{}", of_report(report, Style { colour: colour_welcome() }))?;
    }
    Ok(())
}

fn explain_code(text: &str, machine: bool, out: &mut dyn Write) -> Result<Exit, Failure> {
    let Some(code) = Code::parse(text) else {
        let names = doctor::catalogue::entries().map(|entry| entry.code.name());
        let failure =
            Failure::new(Exit::Usage, "unknown_code", format!("there is no code `{}`", crate::client::clean(text)));
        return Err(match nearest(&text.to_ascii_uppercase(), names) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure.hint("docs/doctor.md lists all of them"),
        });
    };
    let entry = code.entry();
    if machine {
        let page = json!({
            "schema_version": 1, "code": code, "layer": entry.layer, "line": entry.line, "meaning": entry.meaning,
            "fix": entry.fix, "tell": entry.tell, "source": entry.source,
        });
        writeln!(out, "{page}")?;
    } else {
        write!(out, "{}", of_code(code))?;
    }
    Ok(Exit::Ok)
}

/// A connection that nothing speaks of is a slip of the hand.
fn known(connection: Option<&str>, evidence: &Evidence) -> Result<(), Failure> {
    let Some(asked) = connection else { return Ok(()) };
    let mut names: Vec<&str> = Vec::new();
    let configured = evidence.configuration.iter().flat_map(|configuration| &configuration.connections);
    for connection in configured {
        names.push(&connection.name);
        names.extend(connection.group.as_deref());
    }
    names.extend(evidence.live.iter().flat_map(|live| &live.connections).map(|connection| connection.name.as_str()));
    // Of a configuration that cannot be read, no name is known.
    if names.is_empty() || names.contains(&asked) {
        return Ok(());
    }
    let failure = Failure::new(
        Exit::Usage,
        "unknown_connection",
        format!("there is no connection `{}`", crate::client::clean(asked)),
    );
    Err(match nearest(asked, names.iter().copied()) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint(format!("known: {}", names.join(", "))),
    })
}

fn saved(path: &Path) -> Result<Evidence, Failure> {
    let failed = |what: String| Failure::new(Exit::Unreachable, "evidence", format!("{}: {what}", path.display()));
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    let mut text = String::new();
    let limit = u64::try_from(LARGEST_FILE).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
    Evidence::from_json(&text).map_err(|error| failed(format!("no evidence: {error}")))
}

fn keep(path: &Path, evidence: &Evidence) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(Exit::CannotTell, "save", format!("cannot write {}: {error}", path.display()))
    };
    std::fs::write(path, evidence.to_json() + "\n").map_err(failed)
}

/// Everything that can be looked at.
fn collect(args: &Args) -> Result<Evidence, Failure> {
    let mut evidence = Evidence { schema_version: 1, taken: Some(now()), ..Evidence::default() };
    let (configuration, socket) = configuration(args, &mut evidence.not_known);
    evidence.configuration = configuration;
    let socket = args.socket.clone().or(socket).unwrap_or_else(|| DEFAULT_SOCKET.into());
    ask(&Gateway::at(&socket), &mut evidence);
    if evidence.configuration.is_none() && evidence.live.is_none() {
        let message = format!("no configuration, and no gateway at {}", socket.display());
        return Err(Failure::new(Exit::Unreachable, "nothing_to_look_at", message)
            .hint("give the configuration with `-c FILE`, or the gateway's socket with `--socket PATH`"));
    }
    let questions = questions(&evidence);
    evidence.host = Some(look(&questions, &mut evidence.not_known));
    if args.probe {
        send_probes(&questions, &mut evidence);
    }
    if let Some(target) = args.ping {
        match echo::sizes(target, protected_source(target, &evidence)) {
            Ok(found) => evidence.probes.push(found),
            Err(error) => evidence.not_known.push(format!("which sizes pass: {error}")),
        }
    }
    Ok(evidence)
}

fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    rfc3339(since.as_secs(), since.subsec_millis())
}

/// The configuration and the control socket it names. One that was not asked for need not be there.
fn configuration(args: &Args, not_known: &mut Vec<String>) -> (Option<Configuration>, Option<PathBuf>) {
    let path = args.config.clone().unwrap_or_else(|| DEFAULT_CONFIG.into());
    if args.config.is_none() && !path.exists() {
        not_known.push(format!("the configuration: there is no {}", path.display()));
        return (None, None);
    }
    let shown = Some(path.display().to_string());
    match files::load(&path) {
        Ok(loaded) => {
            let socket = PathBuf::from(&loaded.host.socket);
            let configuration = Configuration {
                path: shown,
                interface: Some(loaded.host.interface),
                listen: loaded.host.listen,
                ..Configuration::of(&loaded.state)
            };
            (Some(configuration.with_diagnostics(&loaded.warnings)), Some(socket))
        }
        Err(found) => {
            let configuration = Configuration { path: shown, ..Configuration::default() };
            (Some(configuration.with_diagnostics(&found)), None)
        }
    }
}

/// What the running gateway says, if there is one.
fn ask(gateway: &Gateway, evidence: &mut Evidence) {
    match gateway.ask(&json!({ "command": "status" })) {
        Ok(status) => {
            evidence.running = Some(true);
            evidence.live = Live::from_status(&status);
        }
        Err(failure) if failure.code == "unreachable" => evidence.running = Some(false),
        Err(failure) => evidence.not_known.push(format!("the gateway: {}", failure.message)),
    }
    if evidence.running != Some(true) {
        return;
    }
    match gateway.ask(&json!({ "command": "log" })) {
        Ok(log) => {
            let lines = log.as_array().map(Vec::as_slice).unwrap_or_default();
            evidence.events = lines.iter().filter_map(Event::from_log).collect();
        }
        Err(failure) => evidence.not_known.push(format!("the gateway's log: {}", failure.message)),
    }
}

/// What to ask of the machine, by what is configured.
fn questions(evidence: &Evidence) -> Questions {
    let Some(configuration) = &evidence.configuration else {
        return Questions { running: evidence.running == Some(true), ..Questions::default() };
    };
    let prefix = |text: &String| {
        let (address, length) = text.split_once('/')?;
        Some((address.parse().ok()?, length.parse().ok()?))
    };
    let connections = &configuration.connections;
    Questions {
        running: evidence.running != Some(false),
        listen: configuration.listen.clone(),
        ports: [configuration.ike_port, configuration.nat_port].into_iter().flatten().collect(),
        interface: configuration.interface.clone().unwrap_or_default(),
        prefixes: connections.iter().flat_map(|one| &one.routes).filter_map(prefix).collect(),
        peers: connections.iter().flat_map(|one| one.remote_addresses.clone()).collect(),
        names: connections.iter().flat_map(|one| one.remote_names.clone()).collect(),
        files: configuration.path.iter().map(PathBuf::from).collect(),
    }
}

/// An address of this host in the network that the tunnel to `target` protects: from another one nothing passes.
fn protected_source(target: IpAddr, evidence: &Evidence) -> Option<IpAddr> {
    let holds = |selectors: &[String], address: IpAddr| {
        let parsed = selectors.iter().filter_map(|text| text.parse::<TrafficSelector>().ok());
        parsed.into_iter().any(|selector| selector.contains_address(address))
    };
    let children = evidence.configuration.iter().flat_map(|all| &all.connections).flat_map(|one| &one.children);
    let child = children.into_iter().find(|child| holds(&child.remote, target))?;
    let own = evidence.host.as_ref()?.addresses.as_ref()?;
    own.iter().copied().find(|address| holds(&child.local, *address))
}

fn send_probes(questions: &Questions, evidence: &mut Evidence) {
    for peer in questions.peers.iter().take(MOST_PROBES) {
        for port in [500, 4500] {
            match probe::ike(SocketAddr::new(*peer, port), None) {
                Ok(found) => evidence.probes.push(found),
                Err(error) => evidence.not_known.push(format!("a probe of {peer} port {port}: {error}")),
            }
        }
    }
}
