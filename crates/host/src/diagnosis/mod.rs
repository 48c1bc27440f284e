//! What the doctor wants to know of the machine, in the calling thread's network namespace: ports, privileges, routes,
//! interfaces, filters, names, the clock; and, when asked, what it finds out by sending packets ([`probe`], [`echo`]).
//!
//! Looks and decides nothing. What cannot be read is left unknown, and said so.

pub mod echo;
mod filters;
mod network;
pub mod probe;

use crate::udp::{DontFragment, UdpOpenError, UdpOptions, UdpSocket};
use doctor::evidence::{Capabilities, Host, PortConflict, ResolvedName};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Names of peers that are asked for; each may take the resolver seconds.
const MOST_NAMES: usize = 16;
/// `CAP_NET_ADMIN` and `CAP_NET_RAW` (capability.h).
const NET_ADMIN: u32 = 12;
const NET_RAW: u32 = 13;

/// What is asked of the machine.
#[derive(Debug, Clone, Default)]
pub struct Questions {
    /// Whether a gateway runs already: then its ports are its own.
    pub running: bool,
    /// Addresses that it listens on, or would; empty is every one.
    pub listen: Vec<IpAddr>,
    /// UDP ports that it needs.
    pub ports: Vec<u16>,
    /// Name of the tunnel interface.
    pub interface: String,
    /// Prefixes that should lead into it.
    pub prefixes: Vec<(IpAddr, u8)>,
    /// Addresses of peers.
    pub peers: Vec<IpAddr>,
    /// Names of peers.
    pub names: Vec<String>,
    /// Files that were written on this machine.
    pub files: Vec<PathBuf>,
}

/// Looks at the machine. What could not be looked at is added to `not_known`.
pub fn look(questions: &Questions, not_known: &mut Vec<String>) -> Host {
    let mut host = Host {
        port_conflicts: if questions.running { Vec::new() } else { port_conflicts(questions, not_known) },
        capabilities: capabilities(),
        tun: tun(questions.running),
        ip_forward: flag("/proc/sys/net/ipv4/ip_forward"),
        ip6_forward: flag("/proc/sys/net/ipv6/conf/all/forwarding"),
        names: questions.names.iter().take(MOST_NAMES).map(|name| resolve(name)).collect(),
        ..Host::default()
    };
    clock(&questions.files, &mut host);
    if let Err(error) = network::fill(&mut host, questions) {
        not_known.push(format!("addresses and routes: {error}"));
    }
    match filters::read() {
        Ok(found) => host.filters = found,
        Err(why) => not_known.push(format!("the firewall's rules: {why}")),
    }
    host
}

/// Ports that somebody else has.
fn port_conflicts(questions: &Questions, not_known: &mut Vec<String>) -> Vec<PortConflict> {
    let everywhere = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let addresses = if questions.listen.is_empty() { &everywhere[..] } else { &questions.listen };
    let mut conflicts: Vec<PortConflict> = Vec::new();
    for local in
        addresses.iter().flat_map(|address| questions.ports.iter().map(|port| SocketAddr::new(*address, *port)))
    {
        let options = UdpOptions { local, reuse_port: false, dont_fragment: DontFragment::Clear };
        match UdpSocket::open(&options) {
            Err(UdpOpenError::PortTaken { owner, .. }) => {
                conflicts.push(PortConflict { address: local.to_string(), owner: Some(owner.to_string()) });
            }
            Err(UdpOpenError::NotPermitted { port }) => {
                not_known.push(format!("whether UDP {port} is free: this user may not open it"));
            }
            // An address that is not here is the network's matter; IPv6 may be missing altogether.
            Ok(_) | Err(_) => {}
        }
    }
    conflicts
}

/// The effective capabilities of this process (`CapEff` in /proc/self/status).
fn capabilities() -> Option<Capabilities> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let hex = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let set = u64::from_str_radix(hex.trim(), 16).ok()?;
    let has = |bit: u32| set >> bit & 1 == 1;
    // Real, effective, saved, file system.
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:")).and_then(|ids| ids.split_whitespace().nth(1));
    Some(Capabilities { net_admin: has(NET_ADMIN), net_raw: has(NET_RAW), root: user == Some("0") })
}

/// Whether the TUN device can be opened; a running gateway has it.
fn tun(running: bool) -> Option<bool> {
    (!running).then(|| fs::File::options().read(true).write(true).open("/dev/net/tun").is_ok())
}

/// A setting of the kernel that is 0 or not.
fn flag(path: &str) -> Option<bool> {
    fs::read_to_string(path).ok().map(|text| text.trim() != "0")
}

fn resolve(name: &str) -> ResolvedName {
    let found = (name, 0).to_socket_addrs().map(|found| found.map(|address| address.ip()).collect());
    ResolvedName { name: name.to_owned(), addresses: found.unwrap_or_default() }
}

/// A file from the future shows that the clock is wrong.
fn clock(files: &[PathBuf], host: &mut Host) {
    let now = SystemTime::now();
    let ahead = |path: &Path| {
        let written = fs::metadata(path).and_then(|metadata| metadata.modified()).ok()?;
        written.duration_since(now).ok()
    };
    let latest = files.iter().filter_map(|path| Some((ahead(path)?, path))).max();
    if let Some((ahead, path)) = latest {
        host.clock_behind_seconds = Some(ahead.as_secs());
        host.clock_witness = Some(path.display().to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_somebody_has_is_found_with_its_owner() {
        let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let questions =
            Questions { listen: vec!["127.0.0.1".parse().unwrap()], ports: vec![port], ..Questions::default() };
        let found = port_conflicts(&questions, &mut Vec::new());
        assert_eq!(found.len(), 1);
        let owner = found[0].owner.clone().unwrap();
        assert!(owner.contains(&std::process::id().to_string()), "{owner}");
        drop(taken);
        assert_eq!(port_conflicts(&questions, &mut Vec::new()), []);
    }

    #[test]
    fn what_this_process_may_do_is_known() {
        assert!(capabilities().is_some());
    }
}
