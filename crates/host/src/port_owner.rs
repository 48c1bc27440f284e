//! Who has a UDP port: "address in use" is only useful with a name.

use std::fmt;
use std::fs;
use std::net::SocketAddr;

/// The process that holds a socket, as far as `/proc` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortOwner {
    /// A process whose descriptors we may look at.
    Process {
        /// Process id, in our pid namespace.
        pid: u32,
        /// Its name (`/proc/PID/comm`).
        name: String,
    },
    /// Some process: it belongs to another user or another pid namespace.
    Unknown,
}

impl fmt::Display for PortOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { pid, name } => write!(f, "{name} (pid {pid})"),
            Self::Unknown => f.write_str("another process (run as root to see which)"),
        }
    }
}

/// Finds the owner of the UDP socket that is in the way of binding `address`, in the calling thread's network namespace.
pub fn find_udp_port_owner(address: SocketAddr) -> PortOwner {
    // /proc/net would be the main thread's namespace, which need not be ours.
    for table in ["/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"] {
        let Ok(text) = fs::read_to_string(table) else {
            continue;
        };
        for inode in inodes_on_port(&text, address.port()) {
            if let Some(owner) = process_with_socket(inode) {
                return owner;
            }
        }
    }
    PortOwner::Unknown
}

/// Inodes of the sockets on `port` in a `/proc/net/udp` table: `sl local_address rem_address st queues timer retrnsmt uid timeout inode …`.
fn inodes_on_port(table: &str, port: u16) -> Vec<u64> {
    let on_port = |line: &str| {
        let mut fields = line.split_whitespace();
        let (_, local_port) = fields.nth(1)?.split_once(':')?;
        let inode = fields.nth(7)?.parse().ok()?;
        (u16::from_str_radix(local_port, 16).ok()? == port).then_some(inode)
    };
    table.lines().skip(1).filter_map(on_port).collect()
}

fn process_with_socket(inode: u64) -> Option<PortOwner> {
    let wanted = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let holds = descriptors.flatten().any(|descriptor| {
            fs::read_link(descriptor.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str())
        });
        if holds {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(PortOwner::Process { pid, name: name.trim().to_owned() });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read_by_port() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
                     \u{20} 12: 00000000:01F4 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 0\n\
                     \u{20} 13: 0100007F:1194 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0000000000000000 0\n\
                     garbage\n";
        assert_eq!(inodes_on_port(table, 500), [4711]);
        assert_eq!(inodes_on_port(table, 4500), [4712]);
        assert!(inodes_on_port(table, 53).is_empty());
    }
}
