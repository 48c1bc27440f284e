//! An eye on the internet: what passes between the gateways, and whether anything of it is readable.

use super::error::{StepError, io_error};
use super::lab::Site;
use super::traffic::MARKER;
use host::lab::LinkTap;
use host::netns::NetNs;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Bytes looked at of each packet: every header, and where a payload begins.
const LOOK: usize = 256;
/// Between two looks at nothing, in which the thread notices that it is no longer wanted.
const PATIENCE: Duration = Duration::from_millis(100);

/// What a packet on the internet is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// ESP, plain or in UDP (RFC 4303, RFC 3948).
    Esp,
    /// IKE.
    Ike,
    /// An inner address in its header, or our payload for anybody to read.
    Clear,
    /// Anything else, as a router's ICMP.
    Other,
}

/// How many of each kind there were.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Seen {
    /// ESP.
    pub esp: u64,
    /// IKE.
    pub ike: u64,
    /// In clear.
    pub clear: u64,
    /// Packets that came too fast for us to see.
    pub missed: u64,
}

impl Seen {
    /// What has been seen since `earlier`.
    pub fn since(self, earlier: Seen) -> Seen {
        Seen {
            esp: self.esp.saturating_sub(earlier.esp),
            ike: self.ike.saturating_sub(earlier.ike),
            clear: self.clear.saturating_sub(earlier.clear),
            missed: self.missed.saturating_sub(earlier.missed),
        }
    }
}

#[derive(Default, Debug)]
struct Tally {
    esp: AtomicU64,
    ike: AtomicU64,
    clear: AtomicU64,
    missed: AtomicU64,
    last_clear: Mutex<Option<String>>,
}

/// The eye. It looks until it is dropped.
#[derive(Debug)]
pub struct Watch {
    tap: Arc<LinkTap>,
    tally: Arc<Tally>,
}

impl Watch {
    /// Starts looking in `internet`.
    ///
    /// # Errors
    /// The kernel refuses the socket or the thread.
    pub fn start(internet: &NetNs) -> Result<Watch, StepError> {
        let tap = internet.run(LinkTap::open)?.map_err(io_error("watch the internet"))?;
        let watch = Watch { tap: Arc::new(tap), tally: Arc::default() };
        let (tap, tally) = (Arc::downgrade(&watch.tap), Arc::clone(&watch.tally));
        let look = move || {
            let mut buffer = [0; LOOK];
            while let Some(tap) = tap.upgrade() {
                if let Ok(Some(packet)) = tap.next(&mut buffer, PATIENCE) {
                    tally.count(packet);
                }
            }
        };
        std::thread::Builder::new().name("watch".to_owned()).spawn(look).map_err(io_error("start a thread"))?;
        Ok(watch)
    }

    /// What has been seen so far.
    pub fn seen(&self) -> Seen {
        let tally = &self.tally;
        if let Ok(missed) = self.tap.missed() {
            tally.missed.fetch_add(missed.into(), Ordering::Relaxed);
        }
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Seen { esp: read(&tally.esp), ike: read(&tally.ike), clear: read(&tally.clear), missed: read(&tally.missed) }
    }

    /// The last packet in clear, in words.
    pub fn last_clear(&self) -> Option<String> {
        self.tally.last_clear.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Tally {
    fn count(&self, packet: &[u8]) {
        let counter = match kind(packet) {
            Kind::Esp => &self.esp,
            Kind::Ike => &self.ike,
            Kind::Clear => {
                *self.last_clear.lock().unwrap_or_else(PoisonError::into_inner) = Some(words(packet));
                &self.clear
            }
            Kind::Other => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// What counts of an IPv4 packet whose end may be cut off.
struct Glance<'p> {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    payload: &'p [u8],
}

impl<'p> Glance<'p> {
    fn at(packet: &'p [u8]) -> Option<Glance<'p>> {
        let fixed = packet.first_chunk::<20>()?;
        let payload = packet.get(usize::from(fixed[0] & 15) * 4..)?;
        let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *fixed;
        let (source, destination) = (Ipv4Addr::new(s0, s1, s2, s3), Ipv4Addr::new(d0, d1, d2, d3));
        Some(Glance { source, destination, protocol: fixed[9], payload })
    }
}

fn kind(packet: &[u8]) -> Kind {
    let Some(glance) = Glance::at(packet) else { return Kind::Other };
    let inner = |address| Site::BOTH.iter().any(|site| site.owns(address));
    let readable = packet.windows(MARKER.len()).any(|window| window == MARKER);
    if inner(glance.source) || inner(glance.destination) || readable {
        return Kind::Clear;
    }
    match (glance.protocol, glance.payload) {
        (packet::protocol::ESP, _) => Kind::Esp,
        (packet::protocol::UDP, [_, _, 0x01, 0xf4, ..]) => Kind::Ike,
        // On port 4500 four zero bytes tell IKE from ESP (RFC 3948 §2.2); a keepalive is neither.
        (packet::protocol::UDP, [_, _, 0x11, 0x94, _, _, _, _, 0, 0, 0, 0, ..]) => Kind::Ike,
        (packet::protocol::UDP, [_, _, 0x11, 0x94, _, _, _, _, _, _, _, _, ..]) => Kind::Esp,
        _ => Kind::Other,
    }
}

fn words(packet: &[u8]) -> String {
    match Glance::at(packet) {
        Some(Glance { source, destination, protocol, .. }) => format!("{source} to {destination}, protocol {protocol}"),
        None => "a packet without a header".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use packet::build::{IpHeader, udp};
    use std::net::SocketAddr;

    fn datagram(source: &str, destination: &str, payload: &[u8]) -> Vec<u8> {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let mut out = Vec::new();
        udp(at(source), at(destination), payload, &mut out).unwrap();
        out
    }

    #[test]
    fn nothing_readable_passes_for_protected() {
        let (a, b) = ("192.0.2.1", "198.51.100.1");
        let mut esp = Vec::new();
        IpHeader::new(a.parse().unwrap(), b.parse().unwrap(), 50).append(40, &mut esp).unwrap();
        esp.extend_from_slice(&[7; 40]);
        let mut null = esp.clone();
        null[36..36 + MARKER.len()].copy_from_slice(&MARKER);
        let on = |port: u16| (format!("{a}:{port}"), format!("{b}:{port}"));
        let between = |port: u16, payload: &[u8]| datagram(&on(port).0, &on(port).1, payload);
        let table: [(&str, Vec<u8>, Kind); 9] = [
            ("ESP", esp, Kind::Esp),
            ("ESP that encrypts nothing", null, Kind::Clear),
            ("IKE", between(500, &[1; 40]), Kind::Ike),
            ("IKE on port 4500", between(4500, &[0, 0, 0, 0, 1, 1]), Kind::Ike),
            ("ESP in UDP", between(4500, &[1, 0, 0, 0, 1, 1]), Kind::Esp),
            ("a keepalive", between(4500, &[0xff]), Kind::Other),
            ("our payload on port 4500", between(4500, &[&[1; 8], &MARKER[..]].concat()), Kind::Clear),
            ("an inner source", datagram("10.91.1.2:9", "198.51.100.1:9", b"x"), Kind::Clear),
            ("an inner destination", datagram("192.0.2.1:9", "10.93.1.77:9", b"x"), Kind::Clear),
        ];
        for (name, packet, expected) in table {
            assert_eq!(kind(&packet), expected, "{name}");
        }
        assert_eq!(kind(&[0x45; 7]), Kind::Other);
        assert_eq!(words(&datagram("10.91.1.2:9", "10.93.1.2:9", b"")), "10.91.1.2 to 10.93.1.2, protocol 17");
    }
}
