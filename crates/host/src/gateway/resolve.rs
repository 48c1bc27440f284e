//! Names of peers to addresses, by the system's resolver.

use engine::desired::Connection;
use std::net::{IpAddr, ToSocketAddrs};

/// Adds the addresses that the connection's remote names stand for now, those that are there already first.
pub(super) fn fill_addresses(connection: &mut Connection) {
    for name in &connection.remote_names {
        let Ok(found) = (name.as_str(), connection.peer.remote_port).to_socket_addrs() else { continue };
        let mut found: Vec<IpAddr> = found.map(|address| address.ip()).collect();
        // The order of answers rotates; a reload must not take that for a change.
        found.sort();
        for address in found {
            if !connection.peer.remote_addresses.contains(&address) {
                connection.peer.remote_addresses.push(address);
            }
        }
    }
}
