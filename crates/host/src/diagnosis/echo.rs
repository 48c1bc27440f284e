//! Up to which size echoes with the don't-fragment bit come back, only when an operator asks for it.

use crate::batch::{Destination, ReceiveBatch};
use crate::sys::socket;
use crate::udp::{DontFragment, UdpErrorKind, fill_past_errors, send_one, set_common_options, take_queued_error};
use doctor::evidence::Probe;
use packet::checksum::checksum;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// Sizes of IP packets in bytes that are tried, the small one first.
const SIZES: [u32; 9] = [64, 576, 1200, 1280, 1340, 1380, 1400, 1420, 1438];
/// Headers of IPv4 (RFC 791) and of an echo (RFC 792).
const IP_HEADER: u32 = 20;
const ECHO_HEADER: usize = 8;
/// Tries of one size, and how long each may take.
const TRIES: u16 = 3;
const PATIENCE: Duration = Duration::from_millis(700);
const LOOK: Duration = Duration::from_millis(10);
/// Our echoes among those of others on this host.
const IDENTIFIER: u16 = 0x7570;

/// What became of an echo.
enum Answer {
    Came,
    /// Somebody says that it is too big.
    TooBig,
    Silence,
}

/// Sends echoes of several sizes to an IPv4 address, from `source` if it is given, and says which came back.
///
/// # Errors
/// No raw socket may be opened, the source is no address of this host, or the address is IPv6.
pub fn sizes(to: IpAddr, source: Option<IpAddr>) -> io::Result<Probe> {
    if to.is_ipv6() {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "sizes are tried over IPv4 alone"));
    }
    let fd = socket::open(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)?;
    // DF set, and what the kernel believes of the path left aside.
    set_common_options(fd.as_fd(), false, DontFragment::Set)?;
    if let Some(source) = source.filter(IpAddr::is_ipv4) {
        socket::bind(fd.as_fd(), SocketAddr::new(source, 0))?;
    }
    let (mut largest_answered, mut sequence) = (None, 0);
    for size in SIZES {
        let mut answer = Answer::Silence;
        for _ in 0..TRIES {
            sequence += 1;
            answer = echo(&fd, to, size, sequence)?;
            if !matches!(answer, Answer::Silence) {
                break;
            }
        }
        let told = match answer {
            Answer::Came => {
                largest_answered = Some(size);
                continue;
            }
            Answer::TooBig => true,
            Answer::Silence => false,
        };
        return Ok(Probe::Sizes { to: to.to_string(), largest_answered, smallest_lost: Some(size), told });
    }
    Ok(Probe::Sizes { to: to.to_string(), largest_answered, smallest_lost: None, told: false })
}

fn echo(fd: &OwnedFd, to: IpAddr, size: u32, sequence: u16) -> io::Result<Answer> {
    let remote = SocketAddr::new(to, 0);
    match send_one(fd.as_fd(), &Destination { remote, local: None, tos: 0 }, &request(size, sequence)) {
        Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => return Ok(Answer::TooBig),
        sent => sent?,
    }
    let end = Instant::now() + PATIENCE;
    let mut batch = ReceiveBatch::new(8, 2048);
    while Instant::now() < end {
        while let Some(error) = take_queued_error(fd.as_fd())? {
            if error.remote.ip() == to && matches!(error.kind, UdpErrorKind::TooBig { .. }) {
                return Ok(Answer::TooBig);
            }
        }
        fill_past_errors(fd.as_fd(), &mut batch, |_, _| true)?;
        if batch.messages_mut().any(|(_, packet)| is_reply(packet, sequence)) {
            return Ok(Answer::Came);
        }
        std::thread::sleep(LOOK);
    }
    Ok(Answer::Silence)
}

/// An echo request that makes an IP packet of this size.
fn request(size: u32, sequence: u16) -> Vec<u8> {
    let length = usize::try_from(size.saturating_sub(IP_HEADER)).unwrap_or(0).max(ECHO_HEADER);
    let mut message = vec![8, 0, 0, 0];
    message.extend(IDENTIFIER.to_be_bytes());
    message.extend(sequence.to_be_bytes());
    message.resize(length, 0x55);
    let sum = checksum(&message);
    if let Some(field) = message.get_mut(2..4) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
    message
}

/// Whether an IPv4 packet is the answer to our echo of this number.
fn is_reply(packet: &[u8], sequence: u16) -> bool {
    let header = usize::from(packet.first().copied().unwrap_or(0) & 0x0f) * 4;
    let Some(message) = packet.get(header..).and_then(|message| message.first_chunk::<8>()) else { return false };
    let [kind, _, _, _, id @ .., high, low] = message;
    *kind == 0 && *id == IDENTIFIER.to_be_bytes() && [*high, *low] == sequence.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_its_size_and_a_checksum_that_adds_up() {
        let message = request(1400, 7);
        assert_eq!(message.len(), 1380);
        assert_eq!(checksum(&message), 0);
        let mut reply = vec![0x45; 20];
        reply.extend(&message);
        assert!(!is_reply(&reply, 7), "a request is no reply");
        reply[20] = 0;
        assert!(is_reply(&reply, 7) && !is_reply(&reply, 8) && !is_reply(&reply[..24], 7));
    }
}
