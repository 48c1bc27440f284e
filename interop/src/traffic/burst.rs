//! Bursts of datagrams handed to the kernel in one piece each (UDP GSO), which stay in one piece as far as the offloads
//! of the interfaces on the way carry them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::error::{LabError, ensure};
use crate::sys;
use crate::world::NetNs;

/// Datagrams in a burst.
const DATAGRAMS: usize = 40;
/// Pause after each burst.
const PAUSE: Duration = Duration::from_millis(3);
/// How long nothing may arrive before the rest counts as lost.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Bytes of the receiver's socket buffer.
const BUFFER: i32 = 32 << 20;

/// What became of the bursts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BurstReport {
    /// Datagrams sent.
    pub sent: usize,
    /// Datagrams that arrived, whole.
    pub received: usize,
}

impl std::fmt::Display for BurstReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{} datagrams of bursts", self.received, self.sent)
    }
}

/// Sends `bursts` bursts of 40 datagrams of `size` bytes from `from` to `to`, whose address is `address`; every one must
/// arrive once, as it was sent.
pub fn burst(
    from: &NetNs,
    to: &NetNs,
    address: impl Into<IpAddr>,
    port: u16,
    bursts: usize,
    size: u16,
) -> Result<BurstReport, LabError> {
    let destination = SocketAddr::new(address.into(), port);
    let harness = |error| LabError::harness("a burst", error);
    let receiver = to.enter(|| {
        let socket = UdpSocket::bind(destination).map_err(harness)?;
        sys::force_receive_buffer(&socket, BUFFER).map_err(harness)?;
        socket.set_read_timeout(Some(PATIENCE)).map_err(harness)?;
        Ok(socket)
    })?;
    let sender = from.spawn(move || {
        let any =
            if destination.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).map_err(harness)?;
        sys::segment(&socket, size).map_err(harness)?;
        for number in 0..bursts {
            let datagrams = (number * DATAGRAMS..(number + 1) * DATAGRAMS).flat_map(|index| datagram(index, size));
            socket.send_to(&datagrams.collect::<Vec<u8>>(), destination).map_err(harness)?;
            std::thread::sleep(PAUSE);
        }
        Ok(())
    });
    let sent = bursts * DATAGRAMS;
    let mut seen = vec![false; sent];
    let mut buffer = vec![0; 65_536];
    let mut received = 0;
    let end = Instant::now() + Duration::from_secs(30);
    while received < sent && Instant::now() < end {
        let Ok(len) = receiver.recv(&mut buffer) else { break };
        let index = buffer[..len].first_chunk::<4>().map_or(usize::MAX, |bytes| u32::from_be_bytes(*bytes) as usize);
        let whole = seen.get(index) == Some(&false) && buffer[..len] == datagram(index, size);
        ensure(whole, || format!("a datagram of a burst came twice or changed: {len} bytes, number {index}"))?;
        seen[index] = true;
        received += 1;
    }
    sender.join().map_err(|_| LabError::Harness("the sender of bursts panicked".to_owned()))??;
    Ok(BurstReport { sent, received })
}

/// A datagram with its number and a pattern that follows from it.
fn datagram(index: usize, size: u16) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..usize::from(size)).map(|at| (at * 7 + index) as u8).collect();
    bytes[..4].copy_from_slice(&(index as u32).to_be_bytes());
    bytes
}
