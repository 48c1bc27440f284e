//! Somebody who sees every frame on a link, and what they can make of it.
//!
//! The clients' traffic carries patterns that no ciphertext shows by chance (they are 16 octets long): whoever finds one
//! has seen plaintext, in whatever packet it was.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::stream::MAGIC;
use crate::error::{LabError, ensure};
use crate::sys;
use crate::world::NetNs;

/// Frames that may wait to be looked at, in bytes.
const BUFFER: i32 = 32 << 20;
/// Octets of an Ethernet header.
const LINK_HEADER: usize = 14;
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
const ESP: u8 = 50;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// What was overheard, in frames.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Overheard {
    /// ESP of its own protocol (50).
    pub esp: u64,
    /// ESP in UDP.
    pub esp_in_udp: u64,
    /// IKE.
    pub ike: u64,
    /// Frames with the sites' own addresses or data in them.
    pub clear: u64,
    /// Anything else: neighbour discovery, ICMP, keepalives.
    pub other: u64,
}

impl std::fmt::Display for Overheard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { esp, esp_in_udp, ike, clear, other } = self;
        write!(f, "on the wire {esp} ESP, {esp_in_udp} ESP in UDP, {ike} IKE, {other} other, {clear} in clear")
    }
}

/// A listener on a link; it listens until [`Eavesdropper::finish`].
#[derive(Debug)]
pub struct Eavesdropper {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Overheard>,
}

impl Eavesdropper {
    /// Listens to `interface` of `at`, or to every interface there.
    pub fn start(at: &NetNs, interface: Option<&str>) -> Result<Self, LabError> {
        let harness = |error| LabError::harness("listening to a link", error);
        let socket = at.enter(|| {
            let socket = sys::frame_socket(interface).map_err(harness)?;
            sys::force_receive_buffer(&socket, BUFFER).map_err(harness)?;
            socket.set_read_timeout(Some(Duration::from_millis(50))).map_err(harness)?;
            Ok(socket)
        })?;
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        Ok(Self { stop, thread: std::thread::spawn(move || listen(&socket, &until)) })
    }

    /// What was overheard until now.
    pub fn finish(self) -> Result<Overheard, LabError> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().map_err(|_| LabError::Harness("the eavesdropper panicked".to_owned()))
    }

    /// As [`Eavesdropper::finish`], where nothing may have been in clear.
    pub fn ensure_nothing_in_clear(self) -> Result<Overheard, LabError> {
        let heard = self.finish()?;
        ensure(heard.clear == 0, || format!("{} packets crossed the internet in clear: {heard}", heard.clear))?;
        Ok(heard)
    }
}

fn listen(socket: &UdpSocket, stop: &AtomicBool) -> Overheard {
    let mut heard = Overheard::default();
    let mut frame = vec![0u8; 128 << 10];
    loop {
        match socket.recv(&mut frame) {
            Ok(len) => *heard.kind(&frame[..len]) += 1,
            // Everything that had arrived has been looked at.
            Err(_) if stop.load(Ordering::Acquire) => return heard,
            Err(_) => {}
        }
    }
}

impl Overheard {
    /// The counter `frame` belongs to.
    fn kind(&mut self, frame: &[u8]) -> &mut u64 {
        let Some((link, packet)) = frame.split_at_checked(LINK_HEADER) else { return &mut self.other };
        let Some((protocol, payload, inner)) = network(&link[12..], packet) else { return &mut self.other };
        if inner || shows_data(packet) {
            return &mut self.clear;
        }
        let ports = payload.first_chunk::<4>().map(|ports| {
            let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
            [port(0), port(2)]
        });
        let marked = payload.get(8..12) == Some(&[0; 4]);
        match (protocol, ports) {
            (ESP, _) => &mut self.esp,
            (UDP, Some(ports)) if ports.contains(&500) => &mut self.ike,
            (UDP, Some(ports)) if ports.contains(&4500) && marked => &mut self.ike,
            // A keepalive is a single octet.
            (UDP, Some(ports)) if ports.contains(&4500) && payload.len() > 9 => &mut self.esp_in_udp,
            (_, _) => &mut self.other,
        }
    }
}

/// Protocol, payload, and whether an address is one of the sites' own. Neighbour discovery has none of them.
fn network<'a>(kind: &[u8], packet: &'a [u8]) -> Option<(u8, &'a [u8], bool)> {
    if kind == IPV4 {
        let header = usize::from(packet.first()? & 0x0f) * 4;
        let ours = |at: usize| packet.get(at..at + 2).is_some_and(|net| matches!(net, [10, 91 | 93]));
        return Some((*packet.get(9)?, packet.get(header..)?, ours(12) || ours(16)));
    }
    if kind != IPV6 || *packet.get(6)? == ICMPV6 && packet.get(8) == Some(&0xfe) {
        return None;
    }
    let ours =
        |at: usize| packet.get(at..at + 6).is_some_and(|net| matches!(net, [0x20, 0x01, 0x0d, 0xb8, 0, 0x91 | 0x93]));
    Some((*packet.get(6)?, packet.get(40..)?, ours(8) || ours(24)))
}

/// Whether the pattern of a stream, an echo or a transfer is in it.
fn shows_data(packet: &[u8]) -> bool {
    let counting = |window: &[u8]| window.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1));
    let mut found = packet.windows(MAGIC.len() + 4).any(|window| window.starts_with(&MAGIC) && window[8..] == [0; 4]);
    // Looking at every sixteenth octet finds any run of 32.
    found |= packet.chunks_exact(16).any(counting);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(source: [u8; 4], protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend(IPV4);
        frame.extend([0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0]);
        frame.extend(source);
        frame.extend([192, 0, 2, 2]);
        frame.extend(payload);
        frame
    }

    #[test]
    fn every_frame_is_counted_as_what_it_is() {
        let gateway = [192, 0, 2, 1];
        let udp = |port: u16, payload: &[u8]| {
            let port = port.to_be_bytes();
            frame(gateway, UDP, &[&port[..], &port, &[0; 4], payload].concat())
        };
        let esp = [1, 2, 3, 5, 8, 13, 21, 34, 55];
        let stream = [&MAGIC[..], &[0; 8]].concat();
        let run: Vec<u8> = (100..150).collect();
        let mut heard = Overheard::default();
        for (frame, expected) in [
            (frame(gateway, ESP, &esp), "esp"),
            (udp(4500, &esp), "esp_in_udp"),
            (udp(4500, &[0; 30]), "ike"),
            (udp(500, &esp), "ike"),
            (udp(4500, &[0xff]), "other"),
            (frame([10, 91, 1, 2], ESP, &esp), "clear"),
            (frame(gateway, ESP, &stream), "clear"),
            (frame(gateway, ESP, &run), "clear"),
            (vec![0; 5], "other"),
        ] {
            let before = heard;
            *heard.kind(&frame) += 1;
            let counted = [
                ("esp", heard.esp - before.esp),
                ("esp_in_udp", heard.esp_in_udp - before.esp_in_udp),
                ("ike", heard.ike - before.ike),
                ("clear", heard.clear - before.clear),
                ("other", heard.other - before.other),
            ];
            let kinds: Vec<_> = counted.into_iter().filter(|(_, count)| *count == 1).collect();
            assert_eq!(kinds, [(expected, 1)], "{frame:02x?}");
        }
    }
}
