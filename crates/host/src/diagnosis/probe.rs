//! Whether anything on the way refuses IKE, found out by sending a message of it, only when an operator asks for that.

use crate::batch::{Destination, ReceiveBatch};
use crate::udp::{DontFragment, UdpError, UdpErrorKind, UdpOptions, UdpSocket};
use doctor::evidence::Probe;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

/// How long an answer, or a refusal, may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often is looked.
const LOOK: Duration = Duration::from_millis(20);

/// Sends a first message of IKE without an SA payload, which nobody keeps a state for, and waits for an answer or for
/// ICMP. Silence proves nothing: a peer need not answer it.
pub fn ike(to: SocketAddr, source: Option<IpAddr>) -> io::Result<Probe> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let local = SocketAddr::new(source.unwrap_or(any), 0);
    let options = UdpOptions { local, reuse_port: false, dont_fragment: DontFragment::Clear };
    let socket = UdpSocket::open(&options).map_err(io::Error::other)?;
    let mut message = Vec::new();
    if to.port() == 4500 {
        message.extend([0; 4]);
    }
    // Header of RFC 7296 §3.1: SPIs, next payload 0, version 2.0, IKE_SA_INIT, initiator, message 0, 28 bytes.
    message.extend(0x756e_6465_7270_6173_u64.to_be_bytes());
    message.extend([0; 8]);
    message.extend([0, 0x20, 34, 0x08, 0, 0, 0, 0, 0, 0, 0, 28]);
    socket.send_to(&Destination { remote: to, local: None, tos: 0 }, &message)?;
    let end = Instant::now() + PATIENCE;
    let mut batch = ReceiveBatch::new(1, 2048);
    while Instant::now() < end {
        if let Some(error) = socket.take_error()? {
            let (refused_by, refusal) = words(&error);
            return Ok(Probe::Ike {
                to: to.to_string(),
                answered: false,
                refused_by: Some(refused_by),
                refusal: Some(refusal),
            });
        }
        if socket.receive(&mut batch).is_ok() && !batch.is_empty() {
            return Ok(Probe::Ike { to: to.to_string(), answered: true, refused_by: None, refusal: None });
        }
        std::thread::sleep(LOOK);
    }
    Ok(Probe::Ike { to: to.to_string(), answered: false, refused_by: None, refusal: None })
}

/// Who refuses, and in which words (RFC 792, RFC 1812 §5.2.7.1, RFC 4443 §3.1).
fn words(error: &UdpError) -> (String, String) {
    let by = error.offender.map_or_else(|| "this host".to_owned(), |offender| offender.to_string());
    let v4 = error.remote.is_ipv4();
    let refusal = match error.kind {
        UdpErrorKind::PortUnreachable => "port unreachable: nothing listens there".to_owned(),
        UdpErrorKind::TooBig { mtu } => format!("too big for a link of {mtu} bytes"),
        UdpErrorKind::Unreachable { icmp_code: 9 | 10 | 13, .. } if v4 => "administratively prohibited".to_owned(),
        UdpErrorKind::Unreachable { icmp_code: 1 | 5, .. } if !v4 => "administratively prohibited".to_owned(),
        UdpErrorKind::Unreachable { icmp_code: 0, .. } => "network unreachable".to_owned(),
        UdpErrorKind::Unreachable { icmp_code, .. } => format!("unreachable (code {icmp_code})"),
        UdpErrorKind::Other { errno } => io::Error::from_raw_os_error(errno).to_string(),
    };
    (by, refusal)
}
