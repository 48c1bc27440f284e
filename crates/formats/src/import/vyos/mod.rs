//! VyOS `set` commands: `vpn ipsec` with its groups and peers, addresses of `vti` interfaces, static routes into them, BGP.

mod groups;
mod tree;

use super::finding::{Findings, shown};
use super::input::Text;
use super::ipsec_conf::Secrets;
use super::model::{
    Bgp, Here, Imported, ImportedChild, ImportedConnection, ImportedTunnel, Inside, Start, usable_name,
};
use super::place::Sourced;
use super::values::{address, host, identity, selector};
use crypto::SecretBytes;
use std::net::IpAddr;
use tree::Node;

/// Whether a text looks like `set` commands.
pub(crate) fn looks_like(text: &str) -> bool {
    text.lines().any(|line| line.contains("set vpn ipsec "))
}

/// Reads a file.
pub(crate) fn read(text: &Text, here: &Here, imported: &mut Imported, findings: &mut Findings) {
    let before = findings.errors();
    let root = tree::read(text, findings);
    let sound = findings.errors() == before;
    let mut secrets = Secrets::default();
    for (name, psk) in root.named(&["vpn", "ipsec", "authentication", "psk"]) {
        let ids = psk.values(&["id"]).into_iter().map(|id| id.map(str::to_owned)).collect();
        match psk.value(&["secret"]) {
            Some(secret) => secrets.add(ids, &secret, &name.at, findings),
            None => findings.error(&name.at, format!("psk {} has no secret", shown(&name.value)), "set its `secret`"),
        }
    }
    let peers = root.named(&["vpn", "ipsec", "site-to-site", "peer"]);
    for (name, peer) in &peers {
        let refused = name.with(usable_name(&name.value));
        let before = findings.errors();
        if peer.get(&["disable"]).is_some() {
            peer.see_all();
            findings.note(&name.at, format!("peer {} is disabled: left out", shown(&name.value)), "");
            continue;
        }
        let context = Context { root: &root, secrets: &secrets, here };
        let connection = connection(name, peer, &context, findings);
        match connection {
            Some(connection) if sound && findings.errors() == before => imported.connections.push(connection),
            _ => imported.refused.push(refused),
        }
    }
    secrets.tell_unused(findings);
    rest(&root, findings);
}

struct Context<'c> {
    root: &'c Node,
    secrets: &'c Secrets,
    here: &'c Here,
}

/// What nobody asked for: of the VPN it was not understood, of the rest it is somebody else's.
fn rest(root: &Node, findings: &mut Findings) {
    for words in [
        &["vpn", "ipsec", "interface"][..],
        &["vpn", "ipsec", "ipsec-interfaces"],
        &["vpn", "ipsec", "nat-traversal"],
        &["vpn", "ipsec", "nat-networks"],
        &["vpn", "ipsec", "log"],
        &["vpn", "ipsec", "logging"],
        &["vpn", "ipsec", "options"],
        &["vpn", "ipsec", "disable-uniqreqids"],
        &["vpn", "ipsec", "auto-update"],
    ] {
        if let Some(node) = root.get(words) {
            node.see_all();
            if let Some(at) = &node.at {
                findings.note(at, format!("`{}` has no meaning here", words.join(" ")), "");
            }
        }
    }
    let mut unseen = Vec::new();
    root.unseen("", &mut unseen);
    for (path, at) in unseen {
        if path.starts_with("vpn") {
            findings.warning(&at, format!("`set {} …` was not understood: not used", shown(&path)), "");
        } else {
            let area = path.split(' ').take(2).collect::<Vec<_>>().join(" ");
            findings.note(&at, format!("`set {} …` is not about tunnels: left out", shown(&area)), "");
        }
    }
}

fn connection(
    name: &Sourced<String>,
    peer: &Node,
    context: &Context,
    findings: &mut Findings,
) -> Option<ImportedConnection> {
    let mut tunnel = ImportedTunnel::new(name.clone());
    authentication(name, peer, findings);
    addresses(name, peer, context, &mut tunnel, findings);
    let ike = groups::ike(name, peer, context.root, &mut tunnel, findings);
    if let Some(force) = peer.get(&["force-udp-encapsulation"]) {
        let off = force.next.contains_key("disable");
        force.see_all();
        tunnel.force_encapsulation = force.at.as_ref().filter(|_| !off).map(|at| Sourced::new(true, at));
    }
    let start = start(name, peer, &tunnel, findings);
    let mut children = tunnels(peer, ike.as_deref(), context, findings);
    if let Some(child) = vti(peer, ike.as_deref(), context, &mut tunnel, findings) {
        children.push(child);
    }
    if children.is_empty() {
        findings.error(
            &name.at,
            format!("peer {} has neither `tunnel` nor `vti`", shown(&name.value)),
            "set the networks of both ends",
        );
    }
    for child in &mut children {
        child.start = Some(start.clone());
    }
    tunnel.psk = key(name, peer, &tunnel, context, findings);
    for known in [&["description"][..], &["ikev2-reauth"], &["virtual-address"], &["replay-window"]] {
        if let Some(node) = peer.get(known) {
            node.see_all();
        }
    }
    Some(ImportedConnection { name: name.with(usable_name(&name.value)), tunnels: vec![tunnel], children })
}

fn authentication(name: &Sourced<String>, peer: &Node, findings: &mut Findings) {
    match peer.value(&["authentication", "mode"]) {
        Some(mode) if mode.value == "pre-shared-secret" => {}
        Some(mode) => {
            let message = format!(
                "`authentication mode {}`: Underpass authenticates with pre-shared keys alone",
                shown(mode.value)
            );
            findings.error(&mode.at, message, "agree on a key with the other end, and set `pre-shared-secret`");
        }
        None => findings.note(
            &name.at,
            format!("peer {} says no mode of authentication: pre-shared-secret", shown(&name.value)),
            "",
        ),
    }
}

fn addresses(
    name: &Sourced<String>,
    peer: &Node,
    context: &Context,
    tunnel: &mut ImportedTunnel,
    findings: &mut Findings,
) {
    let id = |word: &str, findings: &mut Findings| {
        let text = peer.value(&["authentication", word])?;
        identity(&text, "the identity of this end", findings)
    };
    let named = peer.values(&["remote-address"]);
    let own = [name.with(name.value.as_str())];
    // Before 1.4 the name of a peer is its address.
    let remotes = if named.is_empty() { &own[..] } else { named.as_slice() };
    for remote in remotes {
        match remote.value {
            "any" | "0.0.0.0" => tunnel.remote_addresses = vec![remote.with("any".to_owned())],
            text if text.starts_with('@') => {
                tunnel.remote_id = identity(remote, "the peer's identity", findings);
                tunnel.remote_addresses = vec![remote.with("any".to_owned())];
            }
            _ => tunnel.remote_addresses.extend(host(remote, "the peer's address", findings)),
        }
    }
    let only = if let [only] = tunnel.remote_addresses.as_slice() { Some(only.value.clone()) } else { None };
    if let Some(remote_id) = id("remote-id", findings).filter(|id| Some(&id.value) != only.as_ref()) {
        tunnel.remote_id = Some(remote_id);
    }
    let local_id = id("local-id", findings).or_else(|| id("id", findings));
    let local = peer.value(&["local-address"]).filter(|text| !matches!(text.value, "any" | "0.0.0.0"));
    if let Some(node) = peer.get(&["dhcp-interface"]) {
        node.see_all();
    }
    tunnel.local_address = match (local, context.here.local, context.here.default_source) {
        (Some(text), _, _) => {
            let local = address(&text, "our address", findings);
            if let Some(local) =
                local.as_ref().filter(|local| context.here.addresses.is_some() && !context.here.has(local.value))
            {
                let message = format!("{} is no address of this machine", local.value);
                findings.warning(
                    &local.at,
                    message,
                    "import on the gateway, or take `local_address` out to let the route choose",
                );
            }
            local
        }
        (None, Some(local), _) => Some(Sourced::implied(local, &name.at)),
        (None, None, Some(source)) if local_id.is_none() => {
            let message = format!(
                "our address is left to the route, and is our identity too: {source}, from which packets leave now"
            );
            findings.warning(&name.at, message, "say another with `--local ADDRESS`");
            Some(Sourced::implied(source, &name.at))
        }
        (None, None, None) if local_id.is_none() => {
            findings.error(
                &name.at,
                "our address is left to the route, and is our identity too: it must be known",
                "say it with `--local ADDRESS`",
            );
            None
        }
        (None, None, _) => None,
    };
    let own = tunnel.local_address.as_ref().map(|at| at.value.to_string());
    tunnel.local_id = local_id.filter(|id| Some(&id.value) != own.as_ref());
}

fn start(name: &Sourced<String>, peer: &Node, tunnel: &ImportedTunnel, findings: &mut Findings) -> Sourced<Start> {
    let start = match peer.value(&["connection-type"]) {
        Some(text) => match text.value {
            "initiate" => text.with(Start::OnLoad),
            "trap" => text.with(Start::OnDemand),
            "respond" | "none" => text.with(Start::Passive),
            other => {
                findings.error(
                    &text.at,
                    format!("`connection-type {}` is unknown", shown(other)),
                    "set initiate, respond or none",
                );
                text.with(Start::Passive)
            }
        },
        None => {
            findings.note(&name.at, "no `connection-type`: we call", "");
            Sourced::implied(Start::OnLoad, &name.at)
        }
    };
    let open = tunnel.remote_addresses.iter().any(|at| at.value == "any");
    if open && start.value != Start::Passive {
        findings.warning(&start.at, "the peer may be anywhere, so it cannot be called: we answer", "");
        return start.with(Start::Passive);
    }
    start
}

/// `tunnel N`: pairs of networks.
fn tunnels(peer: &Node, ike_group: Option<&str>, context: &Context, findings: &mut Findings) -> Vec<ImportedChild> {
    let mut found = Vec::new();
    for (number, node) in peer.named(&["tunnel"]) {
        if node.get(&["disable"]).is_some() {
            node.see_all();
            findings.note(&number.at, format!("tunnel {} is disabled: left out", shown(&number.value)), "");
            continue;
        }
        let mut child = ImportedChild::new(format!("tunnel-{}", usable_name(&number.value)));
        let protocol = node.value(&["protocol"]).filter(|protocol| protocol.value != "all");
        let mut side = |which: &str, what: &str| {
            let port = node.value(&[which, "port"]);
            let service = match (&protocol, &port) {
                (Some(protocol), Some(port)) => format!("[{}/{}]", protocol.value, port.value),
                (Some(protocol), None) => format!("[{}]", protocol.value),
                (None, Some(port)) => {
                    findings.error(&port.at, "a port without a protocol", "set `protocol` too");
                    String::new()
                }
                (None, None) => String::new(),
            };
            let mut prefixes = node.values(&[which, "prefix"]);
            prefixes.extend(node.values(&[which, "subnet"]));
            if prefixes.is_empty() {
                findings.error(
                    &number.at,
                    format!("tunnel {} has no `{which} prefix`", shown(&number.value)),
                    "set the networks of both ends",
                );
            }
            let read = |prefix: Sourced<&str>| {
                selector(&prefix.with(format!("{}{service}", prefix.value).as_str()), what, findings)
            };
            prefixes.into_iter().filter_map(read).collect::<Vec<_>>()
        };
        child.local_subnets = side("local", "our network");
        child.remote_subnets = side("remote", "the peer's network");
        let group = node.value(&["esp-group"]).or_else(|| peer.value(&["default-esp-group"]));
        groups::esp(group, ike_group, &number, context.root, &mut child, findings);
        for known in [&["allow-nat-networks"][..], &["allow-public-networks"], &["priority"]] {
            if let Some(node) = node.get(known) {
                node.see_all();
            }
        }
        found.push(child);
    }
    found
}

/// `vti`: everything, with an address inside and routes into the interface.
fn vti(
    peer: &Node,
    ike_group: Option<&str>,
    context: &Context,
    tunnel: &mut ImportedTunnel,
    findings: &mut Findings,
) -> Option<ImportedChild> {
    let node = peer.get(&["vti"])?;
    let bind = node.value(&["bind"]);
    let at = bind.as_ref().map(|bind| bind.at.clone()).or_else(|| node.at.clone())?;
    let mut child = ImportedChild::new("net");
    let everything = Sourced::implied("0.0.0.0/0".to_owned(), &at);
    child.local_subnets = vec![everything.clone()];
    child.remote_subnets = vec![everything];
    for (which, list) in [("local", &mut child.local_subnets), ("remote", &mut child.remote_subnets)] {
        let named = node.values(&["traffic-selector", which, "prefix"]);
        if !named.is_empty() {
            *list = named.into_iter().filter_map(|prefix| selector(&prefix, "a network", findings)).collect();
        }
    }
    let group = node.value(&["esp-group"]).or_else(|| peer.value(&["default-esp-group"]));
    groups::esp(group, ike_group, &Sourced::new("vti".to_owned(), &at), context.root, &mut child, findings);
    let Some(bind) = bind else {
        findings.warning(&at, "`vti` without `bind`: no address inside", "");
        return Some(child);
    };
    tunnel.inside = inside(bind.value, context.root, findings);
    let peer_inside = tunnel.inside.as_ref().and_then(|inside| inside.value.peer());
    child.routes = routes(bind.value, peer_inside.map(IpAddr::V4), context.root, findings);
    tunnel.bgp = bgp(peer_inside.map(IpAddr::V4), context.root);
    Some(child)
}

/// The address of a `vti` interface.
fn inside(interface: &str, root: &Node, findings: &mut Findings) -> Option<Sourced<Inside>> {
    let node = root.get(&["interfaces", "vti", interface])?;
    let addresses = node.values(&["address"]);
    let found = addresses.iter().find_map(|text| Some(text.with(Inside::parse(text.value)?)));
    if let (None, Some(first)) = (&found, addresses.first()) {
        findings.warning(
            &first.at,
            format!("`{}` is no IPv4 address of a /30 or /31: not used", shown(first.value)),
            "",
        );
    }
    if let Some(mtu) = node.value(&["mtu"]) {
        findings.note(&mtu.at, "the MTU is not taken from the file: it follows from the suite and `path_mtu`", "");
    }
    node.see_all();
    found
}

/// Static routes into the interface, or by the peer's inside address.
fn routes(interface: &str, peer: Option<IpAddr>, root: &Node, findings: &mut Findings) -> Vec<Sourced<String>> {
    let mut found = Vec::new();
    let next_hop = peer.map(|peer| peer.to_string()).unwrap_or_default();
    for (table, way) in [("route", "interface"), ("interface-route", "next-hop-interface"), ("route", "next-hop")] {
        for (prefix, node) in root.named(&["protocols", "static", table]) {
            let word = if way == "next-hop" { next_hop.as_str() } else { interface };
            if !word.is_empty() && node.next.get(way).is_some_and(|ways| ways.next.contains_key(word)) {
                if let Some(way) = node.get(&[way, word]) {
                    way.see_all();
                }
                found.extend(selector(&prefix.with(prefix.value.as_str()), "a network", findings));
            }
        }
    }
    found
}

/// What is said about the neighbour at the peer's inside address.
fn bgp(peer: Option<IpAddr>, root: &Node) -> Bgp {
    let Some(peer) = peer else { return Bgp::default() };
    let number = |text: Option<Sourced<&str>>| text.and_then(|text| Some(text.with(text.value.parse::<u32>().ok()?)));
    let word = peer.to_string();
    // Before 1.4 our number stands between `bgp` and the rest.
    let older =
        root.named(&["protocols", "bgp"]).into_iter().find(|(word, _)| word.value.bytes().all(|b| b.is_ascii_digit()));
    let (own, node) = match &older {
        Some((own, node)) => (number(Some(own.with(own.value.as_str()))), Some(*node)),
        None => (number(root.value(&["protocols", "bgp", "system-as"])), root.get(&["protocols", "bgp"])),
    };
    let Some(neighbor) = node.and_then(|node| node.get(&["neighbor", &word])) else { return Bgp::default() };
    let remote_asn = number(neighbor.value(&["remote-as"]));
    let hold = neighbor.value(&["timers", "holdtime"]);
    neighbor.see_all();
    Bgp {
        local_asn: own,
        remote_asn,
        neighbor: neighbor.at.as_ref().map(|at| Sourced::new(peer, at)),
        hold_time_seconds: hold.and_then(|text| Some(text.with(text.value.parse().ok()?))),
    }
}

fn key(
    name: &Sourced<String>,
    peer: &Node,
    tunnel: &ImportedTunnel,
    context: &Context,
    findings: &mut Findings,
) -> Option<Sourced<SecretBytes>> {
    if let Some(text) = peer.value(&["authentication", "pre-shared-secret"]) {
        return super::psk::accept(text.value, &text.at, false, findings);
    }
    let mut local: Vec<String> = tunnel.local_id.iter().map(|id| id.value.clone()).collect();
    local.extend(tunnel.local_address.iter().map(|at| at.value.to_string()));
    let mut remote: Vec<String> = tunnel.remote_id.iter().map(|id| id.value.clone()).collect();
    remote.extend(tunnel.remote_addresses.iter().map(|at| at.value.clone()));
    let before = findings.errors();
    let found = context.secrets.find(&local, &remote, findings);
    if found.is_none() && findings.errors() == before {
        let message = format!("no pre-shared key fits peer {}", shown(&name.value));
        findings.warning(
            &name.at,
            message,
            "set `vpn ipsec authentication psk NAME id` and `secret`, or write it into secrets.toml",
        );
    }
    found
}
