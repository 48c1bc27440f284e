//! `[gateway]`: what the engine and the host share as one gateway.

use super::section::{Section, shown};
use super::values::address;
use super::{DEFAULT_INTERFACE, DEFAULT_SOCKET, HostSettings, UnreachableOnStop};
use crate::diagnostic::{Report, code};
use crate::source::At;
use engine::desired::GatewaySettings;
use std::net::{IpAddr, SocketAddr};

/// Longest name of a Linux interface (IFNAMSIZ less the final zero).
const LONGEST_INTERFACE: usize = 15;
/// Longest path of a unix socket (`sun_path` less the final zero).
const LONGEST_SOCKET: usize = 107;

pub(crate) fn read(section: Option<Section>, report: &mut Report) -> (GatewaySettings, HostSettings) {
    let mut settings = GatewaySettings::default();
    let mut host = HostSettings {
        interface: DEFAULT_INTERFACE.to_owned(),
        listen: Vec::new(),
        socket: DEFAULT_SOCKET.to_owned(),
        vici_socket: None,
        unreachable_on_stop: UnreachableOnStop::Remove,
        metrics: None,
        state_directory: None,
        manage_sysctls: false,
    };
    let Some(mut section) = section else {
        return (settings, host);
    };
    if let Some(name) = section.text("interface", report) {
        host.interface = interface(name, report);
    }
    host.listen = listen(&mut section, report);
    ports(&mut section, &mut settings, report);
    // Read before the rest by `secrets_path`.
    if let Some(path) = section.text("secrets", report).filter(|path| path.value.is_empty()) {
        report.error(
            code::INVALID,
            path.place,
            "`secrets` is empty".into(),
            Some("leave it out for secrets.toml".into()),
        );
    }
    if let Some(path) = section.text("socket", report) {
        host.socket = socket("socket", path, report);
    }
    if let Some(path) = section.text("vici_socket", report) {
        if path.value == host.socket {
            let message = "`socket` and `vici_socket` are the same path".into();
            let help = "give `vici_socket` one of its own; \"/run/charon.vici\" is where its clients look";
            report.error(code::CONFLICT, path.place, message, Some(help.into()));
        }
        host.vici_socket = Some(socket("vici_socket", path, report));
    }
    host.metrics = section.text("metrics", report).and_then(|at| metrics(at, report));
    host.state_directory = section.text("state_directory", report).and_then(|at| state_directory(at, report));
    if let Some(mtu) = section.integer("path_mtu", report) {
        settings.path_mtu = u16::try_from(mtu.value).unwrap_or(u16::MAX);
    }
    if let Some(clamp) = section.boolean("clamp_mss", report) {
        settings.clamp_mss = clamp;
    }
    if let Some(word) = section.word("key_export", report) {
        settings.key_export = word.value != "off";
    }
    if let Some(word) = section.word("unreachable_on_stop", report) {
        host.unreachable_on_stop =
            if word.value == "keep" { UnreachableOnStop::Keep } else { UnreachableOnStop::Remove };
    }
    host.manage_sysctls = section.word("sysctls", report).is_some_and(|word| word.value == "manage");
    section.finish(report);
    (settings, host)
}

fn socket(key: &str, path: At<&str>, report: &mut Report) -> String {
    if path.value.is_empty() || path.value.len() > LONGEST_SOCKET || path.value.contains('\0') {
        let message = format!("`{key}` has {} bytes; a path of 1 to {LONGEST_SOCKET} is possible", path.value.len());
        report.error(code::INVALID, path.place, message, Some("choose a shorter directory".into()));
    }
    path.value.to_owned()
}

fn interface(name: At<&str>, report: &mut Report) -> String {
    let text = name.value;
    let good = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | ':' | '%');
    if text.is_empty()
        || text.len() > LONGEST_INTERFACE
        || !text.chars().all(good)
        || matches!(text, "." | ".." | "all" | "default")
    {
        let message = format!("`{}` cannot be the name of an interface", shown(text));
        let help = format!("1 to {LONGEST_INTERFACE} letters, digits, `-`, `_` and `.`, as in `{DEFAULT_INTERFACE}`");
        report.error(code::INVALID, name.place, message, Some(help));
    }
    text.to_owned()
}

fn metrics(at: At<&str>, report: &mut Report) -> Option<SocketAddr> {
    let address: Option<SocketAddr> = at.value.parse().ok().filter(|address: &SocketAddr| address.port() != 0);
    if address.is_none() {
        let message = format!("`metrics` is `{}`, which is no address with a port", shown(at.value));
        let help = "an address, a colon and a port, as in `127.0.0.1:9754` or `[::1]:9754`";
        report.error(code::INVALID, at.place, message, Some(help.into()));
    }
    address
}

fn state_directory(at: At<&str>, report: &mut Report) -> Option<String> {
    let usable = at.value.starts_with('/') && !at.value.contains('\0');
    if !usable {
        let message = format!("`state_directory` is `{}`, which is no absolute path", shown(at.value));
        report.error(code::INVALID, at.place, message, Some("a folder that exists, as in `/var/lib/underpass`".into()));
    }
    usable.then(|| at.value.to_owned())
}

fn listen(section: &mut Section, report: &mut Report) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for text in section.texts("listen", report).unwrap_or_default() {
        match address(text, "listen", report) {
            Some(address) if addresses.contains(&address) => {
                report.warning(code::CONFLICT, text.place, format!("`listen`: {address} is listed twice"), None);
            }
            Some(address) => addresses.push(address),
            None => {}
        }
    }
    addresses
}

fn ports(section: &mut Section, settings: &mut GatewaySettings, report: &mut Report) {
    let ike = section.integer("ike_port", report);
    let nat = section.integer("nat_port", report);
    let port = |at: Option<At<u64>>| at.and_then(|at| u16::try_from(at.value).ok());
    let endpoint = &mut settings.endpoint;
    endpoint.ike_port = port(ike).unwrap_or(endpoint.ike_port);
    endpoint.nat_port = port(nat).unwrap_or(endpoint.nat_port);
    if let Some(at) = nat.or(ike).filter(|_| endpoint.ike_port == endpoint.nat_port) {
        let message = format!("`ike_port` and `nat_port` are both {}", endpoint.ike_port);
        report.error(code::CONFLICT, at.place, message, Some("give them two ports; 500 and 4500 are usual".into()));
    }
}
