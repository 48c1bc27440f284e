//! The gateway's sockets: per local address UDP 500 and UDP 4500, and protocol 50 where we may open it.

use super::GatewayError;
use crate::batch::Destination;
use crate::esp_socket::EspSocket;
use crate::udp::{DontFragment, UdpOptions, UdpSocket};
use engine::desired::GatewaySettings;
use ike::config::Path;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// The non-ESP marker (RFC 3948 §2.2).
const MARKER: [u8; 4] = [0; 4];

/// All sockets of a gateway, by the local address they are bound to.
pub(super) struct Sockets {
    pub(super) ike: Vec<Arc<UdpSocket>>,
    pub(super) nat: Vec<Arc<UdpSocket>>,
    pub(super) esp: Vec<(IpAddr, Arc<EspSocket>)>,
    nat_port: u16,
}

impl Sockets {
    /// Opens the sockets in the calling thread's network namespace. Returns what could not be opened and is not needed by
    /// everybody: IPv6 where there is none, protocol 50 without the privilege.
    pub(super) fn open(listen: &[IpAddr], settings: &GatewaySettings) -> Result<(Sockets, Vec<String>), GatewayError> {
        let everywhere = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        let addresses = if listen.is_empty() { &everywhere[..] } else { listen };
        // Workers change it with the packets they send.
        let dont_fragment = DontFragment::Set;
        let (ike_port, nat_port) = (settings.endpoint.ike_port, settings.endpoint.nat_port);
        let mut sockets = Sockets { ike: Vec::new(), nat: Vec::new(), esp: Vec::new(), nat_port };
        let mut warnings = Vec::new();
        for address in addresses {
            let open = |port| {
                let local = SocketAddr::new(*address, port);
                UdpSocket::open(&UdpOptions { local, reuse_port: false, dont_fragment })
            };
            match (open(ike_port), open(nat_port)) {
                (Ok(ike), Ok(nat)) => {
                    sockets.ike.push(Arc::new(ike));
                    sockets.nat.push(Arc::new(nat));
                }
                (Err(error), _) | (_, Err(error)) => {
                    if listen.is_empty() && address.is_ipv6() {
                        warnings.push(format!("IPv6 is not served: {error}"));
                        continue;
                    }
                    return Err(error.into());
                }
            }
            match EspSocket::open(*address, dont_fragment) {
                Ok(esp) => sockets.esp.push((*address, Arc::new(esp))),
                Err(error) => warnings.push(format!("plain ESP (protocol 50) is not served at {address}: {error}")),
            }
        }
        Ok((sockets, warnings))
    }

    fn udp(&self, local: SocketAddr) -> Option<&Arc<UdpSocket>> {
        let of_port = if local.port() == self.nat_port { &self.nat } else { &self.ike };
        serving(of_port.iter().map(|socket| (socket.local_address().ip(), socket)), local.ip())
    }

    /// The NAT-T socket that sends for a local address.
    pub(super) fn nat_index(&self, local: IpAddr) -> Option<usize> {
        serving(self.nat.iter().enumerate().map(|(index, socket)| (socket.local_address().ip(), index)), local)
    }

    /// The protocol 50 socket that sends for a local address.
    pub(super) fn esp_index(&self, local: IpAddr) -> Option<usize> {
        serving(self.esp.iter().enumerate().map(|(index, (address, _))| (*address, index)), local)
    }

    /// Sets DF for what the socket at `index` sends from now on.
    pub(super) fn set_dont_fragment(&self, udp: bool, index: usize, policy: DontFragment) -> io::Result<()> {
        match (udp, self.nat.get(index), self.esp.get(index)) {
            (true, Some(socket), _) => socket.set_dont_fragment(policy),
            (false, _, Some((_, socket))) => socket.set_dont_fragment(policy),
            (true, None, _) | (false, _, None) => Ok(()),
        }
    }

    /// Sends an IKE message, with the marker where the port wants it.
    pub(super) fn send_ike(&self, path: &Path, message: &[u8]) -> io::Result<()> {
        let socket = self.udp(path.local).ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
        if path.local.port() == self.nat_port {
            return socket.send_to(&destination(path), &[&MARKER, message].concat());
        }
        socket.send_to(&destination(path), message)
    }

    /// Sends a NAT keepalive (RFC 3948 §2.3).
    pub(super) fn send_keepalive(&self, path: &Path) -> io::Result<()> {
        let socket = self.udp(path.local).ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
        socket.send_to(&destination(path), &[0xFF])
    }
}

fn destination(path: &Path) -> Destination {
    let local = Some(path.local.ip()).filter(|address| !address.is_unspecified());
    Destination { remote: path.remote, local, tos: 0 }
}

/// The socket bound to `address`, else the one bound to every address of its family.
fn serving<T>(sockets: impl Iterator<Item = (IpAddr, T)>, address: IpAddr) -> Option<T> {
    let mut fallback = None;
    for (bound, socket) in sockets {
        if bound == address {
            return Some(socket);
        }
        if bound.is_unspecified() && bound.is_ipv4() == address.is_ipv4() {
            fallback = Some(socket);
        }
    }
    fallback
}
