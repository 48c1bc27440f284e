//! One `conn` as a connection.

use super::super::finding::{Findings, shown};
use super::super::model::{
    Here, Imported, ImportedChild, ImportedConnection, ImportedPolicy, ImportedTunnel, Inside, Start, usable_name,
};
use super::super::place::{Sourced, Spot};
use super::super::values::{host, identity, refuse_placeholder};
use super::networks::{subnets, tunnel_host};
use super::resolve::Resolved;
use super::secrets::Secrets;
use super::side::{self, Ends};
use super::{Dialect, settings};
use std::net::IpAddr;

/// What all of them share.
pub(super) struct Context<'c> {
    pub(super) dialect: Dialect,
    pub(super) here: &'c Here,
    pub(super) secrets: &'c Secrets,
}

/// Adds what a `conn` comes to: a connection, a policy, a refusal, or nothing.
pub(super) fn read(conn: &Resolved, context: &Context, imported: &mut Imported, findings: &mut Findings) {
    let name = conn.name.with(usable_name(&conn.name.value));
    if conn.broken {
        return imported.refused.push(name);
    }
    if is_no_connection(conn, findings) {
        return;
    }
    if name.value != conn.name.value {
        let message = format!(
            "conn `{}` is called `{}`: names here have letters, digits, `-`, `_` and `.`",
            shown(&conn.name.value),
            name.value
        );
        findings.warning(&conn.name.at, message, "");
    }
    let before = findings.errors();
    let kind = conn.get("type").map_or("tunnel", |kind| kind.value).to_ascii_lowercase();
    let ends =
        placeholders(conn, findings).then(|| side::decide(conn, context.dialect, context.here, findings)).flatten();
    let Some(ends) = ends else { return imported.refused.push(name) };
    match kind.as_str() {
        "passthrough" | "passthru" | "pass" | "drop" | "reject" => {
            match policy(conn, &kind, &name, ends, context, findings) {
                Some(policy) if findings.errors() == before => imported.policies.push(policy),
                _ => imported.refused.push(name),
            }
            return;
        }
        "tunnel" => {}
        _ => {
            let at = conn.get("type").map_or(conn.name.at.clone(), |kind| kind.at);
            findings.error(
                &at,
                format!("`type={}`: Underpass has tunnel mode alone", shown(&kind)),
                "write `type=tunnel` at both ends",
            );
        }
    }
    let connection = connection(conn, &name, ends, context, findings);
    match connection {
        Some(connection) if findings.errors() == before => imported.connections.push(connection),
        _ => imported.refused.push(name),
    }
}

/// Whether it only holds keys for others, holds nothing, or is switched off.
fn is_no_connection(conn: &Resolved, findings: &mut Findings) -> bool {
    let ends = ["left", "right"].iter().filter(|side| conn.side(side, "host").is_some()).count();
    let auto = conn.get("auto");
    if auto.as_ref().is_some_and(|auto| auto.value == "ignore") && !conn.base {
        findings.note(
            &conn.name.at,
            format!("conn {} has `auto=ignore`: it is switched off, and left out", shown(&conn.name.value)),
            "",
        );
        return true;
    }
    if conn.base && (ends < 2 || auto.is_none_or(|auto| auto.value == "ignore")) {
        findings.note(
            &conn.name.at,
            format!("conn {} holds keys for others: no connection of its own", shown(&conn.name.value)),
            "",
        );
        return true;
    }
    if ends == 0 && !conn.values.keys().any(|(side, key)| side.is_some() && *key == "subnet") {
        findings.note(
            &conn.name.at,
            format!("conn {} says nothing about either end: left out", shown(&conn.name.value)),
            "",
        );
        return true;
    }
    false
}

/// Whether the ends hold values rather than placeholders. All are named at once.
fn placeholders(conn: &Resolved, findings: &mut Findings) -> bool {
    let before = findings.errors();
    for (key, what) in [
        ("host", "the address of this end"),
        ("id", "the identity of this end, often its public address"),
        ("subnet", "the network behind this end"),
    ] {
        for side in ["left", "right"] {
            if let Some(text) = conn.side(side, key) {
                refuse_placeholder(text.value, &text.at, what, findings);
            }
        }
    }
    findings.errors() == before
}

fn connection(
    conn: &Resolved,
    name: &Sourced<String>,
    ends: Ends,
    context: &Context,
    findings: &mut Findings,
) -> Option<ImportedConnection> {
    let mut tunnel = ImportedTunnel::new(conn.name.clone());
    remote(conn, ends, &mut tunnel, findings);
    local(conn, ends, context, &mut tunnel, findings);
    identities(conn, ends, context, &mut tunnel, findings);
    authentication(conn, ends, context, findings);
    settings::ike(conn, context.dialect, &mut tunnel, findings);
    if let Some(port) = conn.side(ends.remote, "port") {
        tunnel.remote_port = super::lifetimes::number(&port, findings);
    }
    let mut child = ImportedChild::new("net");
    child.start = start(conn, context.dialect, findings);
    child.local_subnets = subnets(conn, ends.local, &tunnel_host(&tunnel, true), context.dialect, findings);
    child.remote_subnets = subnets(conn, ends.remote, &tunnel_host(&tunnel, false), context.dialect, findings);
    settings::child(conn, context.dialect, &tunnel, &mut child, findings);
    open_peer(&tunnel, &mut child, findings);
    tunnel.inside = conn.side(ends.local, "vti").and_then(|text| inside(&text, findings));
    ignored(conn, ends, findings);
    tunnel.psk = key(&tunnel, conn, ends, context, findings);
    Some(ImportedConnection { name: name.clone(), tunnels: vec![tunnel], children: vec![child] })
}

fn is_open(text: &str) -> bool {
    matches!(text, "%any" | "%any4" | "%any6" | "0.0.0.0" | "::")
}

fn remote(conn: &Resolved, ends: Ends, tunnel: &mut ImportedTunnel, findings: &mut Findings) {
    match conn.side(ends.remote, "host") {
        Some(text) if is_open(text.value) => tunnel.remote_addresses = vec![text.with("any".to_owned())],
        Some(text) => {
            for part in text.value.split(',') {
                let part = text.with(part.trim().trim_start_matches('%'));
                tunnel.remote_addresses.extend(host(&part, "the peer's address", findings));
            }
        }
        None => tunnel.remote_addresses = vec![Sourced::implied("any".to_owned(), &conn.name.at)],
    }
}

/// Our address: the file's where it is one of this machine, else chosen by route.
fn local(conn: &Resolved, ends: Ends, context: &Context, tunnel: &mut ImportedTunnel, findings: &mut Findings) {
    let text = conn.side(ends.local, "host");
    let at = text.as_ref().map_or(&conn.name.at, |text| &text.at);
    let address =
        text.as_ref().and_then(|text| text.value.parse::<IpAddr>().ok()).filter(|address| !address.is_unspecified());
    tunnel.local_address = match (address, context.here.local) {
        (Some(address), _) => Some(Sourced::new(address, at)),
        (None, Some(local)) => Some(Sourced::new(local, at)),
        // The route chooses. Whoever has no identity of his own needs the address now.
        (None, None) if conn.side(ends.local, "id").is_none() => match context.here.default_source {
            Some(source) => {
                let message = format!(
                    "our address is left to the route, and is our identity too: {source}, from which packets leave now"
                );
                findings.warning(at, message, "say another with `--local ADDRESS`");
                Some(Sourced::new(source, at))
            }
            None => {
                let message = "our address is left to the route, and is our identity too: it must be known";
                findings.error(at, message, "say it with `--local ADDRESS`");
                None
            }
        },
        (None, None) => None,
    };
    if let (Some(text), None) = (text, address)
        && !is_open(text.value)
        && text.value != "%defaultroute"
    {
        let message = format!("`{}` is our end: the route chooses the address packets leave from", shown(text.value));
        findings.warning(&text.at, message, "say our address with `--local ADDRESS`");
    }
}

fn identities(conn: &Resolved, ends: Ends, context: &Context, tunnel: &mut ImportedTunnel, findings: &mut Findings) {
    let mut read = |side: &'static str| {
        let text = conn.side(side, "id")?;
        if is_open(text.value) {
            return Some(text.with("any".to_owned()));
        }
        let bare = text.value.trim_start_matches('%');
        if bare != text.value {
            let message = format!("`{}`: the `%` (do not ask the peer for it) has no meaning here", shown(text.value));
            findings.warning(&text.at, message, "");
        }
        let id = identity(&text.with(bare), "the identity of this end", findings)?;
        let name = id.value.parse::<IpAddr>().is_err() && !id.value.contains(['@', ':']);
        if name && context.dialect != Dialect::Strongswan {
            let message = format!(
                "{} would look `{}` up and take its address: here the name is the identity",
                context.dialect.name(),
                shown(&id.value)
            );
            findings.warning(
                &text.at,
                message,
                format!("write the address, or `@{}` to keep the name", shown(&id.value)),
            );
        }
        Some(id)
    };
    let (local, remote) = (read(ends.local), read(ends.remote));
    // What follows from the address anyway is left out.
    let own = tunnel.local_address.as_ref().map(|at| at.value.to_string());
    tunnel.local_id = local.filter(|id| Some(&id.value) != own.as_ref() && id.value != "any");
    let only = match tunnel.remote_addresses.as_slice() {
        [only] => Some(only.value.clone()),
        _ => None,
    };
    tunnel.remote_id = remote.filter(|id| Some(&id.value) != only.as_ref());
    if tunnel.remote_id.is_none() && only.is_none() {
        tunnel.remote_id = tunnel.remote_addresses.first().map(|at| at.with("any".to_owned()));
    }
}

/// Pre-shared keys at both ends, or an error.
fn authentication(conn: &Resolved, ends: Ends, context: &Context, findings: &mut Findings) {
    let is_psk = |text: &str| text.split(['|', ',', ' ']).all(|word| matches!(word, "secret" | "psk"));
    let help = "agree on a pre-shared key with the other end, and write `authby=secret`";
    let mut said = false;
    for side in [ends.local, ends.remote] {
        for (text, what) in [(conn.side(side, "auth"), "auth"), (conn.side(side, "auth2"), "auth2")] {
            let Some(text) = text else { continue };
            said |= what == "auth";
            if !is_psk(text.value) || what == "auth2" {
                findings.error(
                    &text.at,
                    format!(
                        "`{side}{what}={}`: Underpass authenticates with one pre-shared key alone",
                        shown(text.value)
                    ),
                    help,
                );
            }
        }
    }
    match conn.get("authby") {
        Some(text) if !is_psk(text.value) => {
            findings.error(
                &text.at,
                format!("`authby={}`: Underpass authenticates with pre-shared keys alone", shown(text.value)),
                help,
            );
        }
        None if !said => {
            let default = if context.dialect == Dialect::Strongswan { "pubkey" } else { "rsasig" };
            let message = format!(
                "conn {} does not say `authby=secret`, so {} takes certificates or raw keys ({default})",
                shown(&conn.name.value),
                context.dialect.name()
            );
            findings.error(&conn.name.at, message, help);
        }
        _ => {}
    }
    if let Some(text) = conn.get("xauth") {
        findings.error(
            &text.at,
            "XAUTH: Underpass authenticates gateways, not users",
            "use IKEv2, or a plain pre-shared key",
        );
    }
}

fn start(conn: &Resolved, dialect: Dialect, findings: &mut Findings) -> Option<Sourced<Start>> {
    let Some(auto) = conn.get("auto") else {
        let message = format!(
            "no `auto=`: {} would not load this conn by itself; here it answers and does not call",
            dialect.name()
        );
        findings.warning(
            &conn.name.at,
            message,
            "to call, write `start = \"on-load\"` or `\"on-demand\"` into the child",
        );
        return Some(Sourced::implied(Start::Passive, &conn.name.at));
    };
    let start = match auto.value {
        "start" | "up" | "keep" => Start::OnLoad,
        "route" | "ondemand" => Start::OnDemand,
        "add" => Start::Passive,
        other => {
            let near = crate::nearest::nearest(other, ["start", "route", "add", "ondemand", "up", "keep", "ignore"]);
            let help =
                near.map_or_else(|| "write start, route or add".to_owned(), |near| format!("did you mean `{near}`?"));
            findings.error(&auto.at, format!("`auto={}` is unknown", shown(other)), help);
            return None;
        }
    };
    if let Some(action) = conn.get("dpdaction")
        && matches!(action.value, "clear" | "none")
        && start == Start::OnLoad
    {
        let message = format!(
            "`dpdaction={}`: Underpass calls a dead peer again all the same, as `auto={}` wants",
            action.value, auto.value
        );
        findings.note(&action.at, message, "");
    }
    Some(auto.with(start))
}

/// A peer from anywhere cannot be called.
fn open_peer(tunnel: &ImportedTunnel, child: &mut ImportedChild, findings: &mut Findings) {
    let open = tunnel.remote_addresses.iter().any(|at| at.value == "any");
    if let Some(start) = child.start.as_mut().filter(|start| open && start.value != Start::Passive) {
        findings.warning(&start.at, "the peer may be anywhere, so it cannot be called: we answer", "");
        start.value = Start::Passive;
    }
}

fn inside(text: &Sourced<&str>, findings: &mut Findings) -> Option<Sourced<Inside>> {
    let parsed = Inside::parse(text.value);
    if parsed.is_none() {
        findings.warning(&text.at, format!("`{}` is no IPv4 address of a /30 or /31: not used", shown(text.value)), "");
    }
    parsed.map(|inside| text.with(inside))
}

/// What is understood, and said by something else here.
fn ignored(conn: &Resolved, ends: Ends, findings: &mut Findings) {
    for side in [ends.local, ends.remote] {
        if let Some(text) = conn.side(side, "nexthop") {
            findings.note(
                &text.at,
                format!("`{side}nexthop` has no meaning here: the routing table knows the way"),
                "",
            );
        }
        if let Some(text) = conn.side(side, "sourceip") {
            findings.note(&text.at, format!("`{side}sourceip` has no meaning here: the address packets of the gateway itself leave from is not set"), "");
        }
        if let Some(text) =
            conn.side(side, "updown").filter(|text| !matches!(text.value, "/bin/true" | "/usr/bin/true" | "%disabled"))
        {
            findings.warning(
                &text.at,
                format!("the script of `{side}updown` is not run: Underpass sets routes and its interface itself"),
                "what else the script does has to be done elsewhere",
            );
        }
    }
}

/// The key of a connection, from the files of secrets.
fn key(
    tunnel: &ImportedTunnel,
    conn: &Resolved,
    ends: Ends,
    context: &Context,
    findings: &mut Findings,
) -> Option<Sourced<crypto::SecretBytes>> {
    let mut local: Vec<String> = tunnel.local_id.iter().map(|id| id.value.clone()).collect();
    local.extend(tunnel.local_address.iter().map(|at| at.value.to_string()));
    local.extend(conn.side(ends.local, "host").iter().map(|text| text.value.to_owned()));
    let mut remote: Vec<String> = tunnel.remote_id.iter().map(|id| id.value.clone()).collect();
    remote.extend(tunnel.remote_addresses.iter().map(|at| at.value.clone()));
    let before = findings.errors();
    let found = context.secrets.find(&local, &remote, findings);
    if found.is_none() && findings.errors() == before {
        let (message, help) = missing(&conn.name.at, context.secrets.is_absent(), &local, &remote);
        findings.warning(&conn.name.at, message, help);
    }
    found
}

fn missing(at: &Spot, none: bool, local: &[String], remote: &[String]) -> (String, String) {
    let first = |names: &[String]| names.first().map_or("%any".to_owned(), |name| shown(name));
    let line = format!("{} {} : PSK \"…\"", first(local), first(remote));
    let stem = at.file.strip_suffix(".conf").unwrap_or(&at.file);
    if none {
        (
            "no pre-shared key was found: no file of secrets was read".to_owned(),
            format!(
                "give ipsec.secrets on the command line too, or put {stem}.secrets beside it; or write the key into secrets.toml"
            ),
        )
    } else {
        (
            format!("no pre-shared key fits {} and {}", first(local), first(remote)),
            format!("write `{line}` into ipsec.secrets, or the key into secrets.toml"),
        )
    }
}

fn policy(
    conn: &Resolved,
    kind: &str,
    name: &Sourced<String>,
    ends: Ends,
    context: &Context,
    findings: &mut Findings,
) -> Option<ImportedPolicy> {
    let at = |side| {
        let text: Option<Sourced<&str>> = conn.side(side, "host");
        text.filter(|text| text.value.parse::<IpAddr>().is_ok()).map(|text| text.map(str::to_owned))
    };
    let local = subnets(conn, ends.local, &at(ends.local), context.dialect, findings);
    let remote = subnets(conn, ends.remote, &at(ends.remote), context.dialect, findings);
    let bypass = kind.starts_with("pass");
    (!local.is_empty() && !remote.is_empty()).then(|| ImportedPolicy { name: name.clone(), bypass, local, remote })
}
