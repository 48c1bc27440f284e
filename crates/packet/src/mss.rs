//! TCP maximum segment size clamping (RFC 9293 §3.7.1): a SYN that crosses the tunnel announces no more than fits it.

use crate::octets::{put, u16_at};
use crate::{IpVersion, IpView, checksum, protocol};

const SYN: u8 = 0x02;
const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const MAXIMUM_SEGMENT_SIZE: u8 = 2;

struct MssOption {
    version: IpVersion,
    value: u16,
    /// Offset of the value in the packet.
    at: usize,
    /// Offset of the TCP checksum in the packet.
    checksum_at: usize,
    /// The value straddles two checksum words.
    odd: bool,
}

/// Lowers the MSS option of a TCP SYN or SYN-ACK to `max_mss_v4` or `max_mss_v6` bytes and says whether it did.
///
/// Never raises it, never adds the option, leaves every other packet alone. A limit of zero means no limit. The TCP
/// checksum is updated incrementally, so a wrong one stays wrong; with `checksum_partial` (the packet came with
/// `NEEDS_CSUM`) the field holds only the pseudo header's sum and is left as it is.
pub fn clamp_mss(packet: &mut [u8], max_mss_v4: u16, max_mss_v6: u16, checksum_partial: bool) -> bool {
    let Some(option) = find(packet) else {
        return false;
    };
    let limit = match option.version {
        IpVersion::V4 => max_mss_v4,
        IpVersion::V6 => max_mss_v6,
    };
    if limit == 0 || option.value <= limit {
        return false;
    }
    if put(packet, option.at, &limit.to_be_bytes()).is_none() {
        return false;
    }
    if !checksum_partial && let Some(old) = u16_at(packet, option.checksum_at) {
        let new = if option.odd {
            checksum::update(old, option.value.swap_bytes(), limit.swap_bytes())
        } else {
            checksum::update(old, option.value, limit)
        };
        let _ = put(packet, option.checksum_at, &new.to_be_bytes());
    }
    true
}

fn find(packet: &[u8]) -> Option<MssOption> {
    let view = IpView::parse(packet).ok()?;
    if view.protocol() != protocol::TCP || view.fragment_offset() != 0 {
        return None;
    }
    let tcp = view.payload();
    let fixed = tcp.first_chunk::<20>()?;
    if fixed[13] & SYN == 0 {
        return None;
    }
    let header_len = usize::from(fixed[12] >> 4) * 4;
    let mut at = 20;
    // At most 40 steps: a header is at most 60 bytes.
    while at < header_len {
        let length = match *tcp.get(at)? {
            END => return None,
            NO_OPERATION => 1,
            kind => {
                let length = usize::from(*tcp.get(at + 1)?);
                if length < 2 || at + length > header_len {
                    return None;
                }
                if kind == MAXIMUM_SEGMENT_SIZE && length == 4 {
                    return Some(MssOption {
                        version: view.version(),
                        value: u16_at(tcp, at + 2)?,
                        at: view.transport_offset() + at + 2,
                        checksum_at: view.transport_offset() + 16,
                        odd: at % 2 == 1,
                    });
                }
                length
            }
        };
        at += length;
    }
    None
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::build::{self, IpHeader, TcpHeader};
    use crate::checksum::{Verdict, verify_transport};

    const ACK: u8 = 0x10;

    fn segment(address: IpAddr, flags: u8, options: &[u8]) -> Vec<u8> {
        let fields = TcpHeader {
            source_port: 40_000,
            destination_port: 443,
            sequence: 7,
            acknowledgement: 0,
            flags,
            window: 64_240,
            options,
        };
        let mut packet = Vec::new();
        let header = IpHeader::new(address, address, protocol::TCP);
        build::tcp(&header, &fields, b"", &mut packet).unwrap();
        packet
    }

    fn addresses() -> [IpAddr; 2] {
        [IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3)), IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 9))]
    }

    #[test]
    fn a_syn_or_syn_ack_is_clamped_at_any_position_of_the_option() {
        let layouts: [(&[u8], &[u8]); 4] = [
            (&[2, 4, 0x05, 0xb4], &[2, 4, 0x05, 0x00]),
            (&[1, 2, 4, 0x05, 0xb4], &[1, 2, 4, 0x05, 0x00]),
            (&[3, 3, 7, 2, 4, 0xff, 0xff, 1], &[3, 3, 7, 2, 4, 0x05, 0x00, 1]),
            (&[4, 2, 1, 1, 2, 4, 0x05, 0x01, 0], &[4, 2, 1, 1, 2, 4, 0x05, 0x00, 0]),
        ];
        for address in addresses() {
            for flags in [SYN, SYN | ACK] {
                for (before, after) in layouts {
                    let mut packet = segment(address, flags, before);
                    assert!(clamp_mss(&mut packet, 1280, 1280, false));
                    assert_eq!(packet, segment(address, flags, after), "{before:?}");
                    assert_eq!(verify_transport(&IpView::parse(&packet).unwrap()), Verdict::Valid);
                }
            }
        }
    }

    #[test]
    fn each_version_has_its_own_limit() {
        let [v4, v6] = addresses();
        for (address, expected) in [(v4, 1398_u16), (v6, 1378)] {
            let mut packet = segment(address, SYN, &[2, 4, 0x05, 0xb4]);
            assert!(clamp_mss(&mut packet, 1398, 1378, false));
            assert_eq!(packet, segment(address, SYN, &[&[2, 4][..], &expected.to_be_bytes()].concat()));
        }
    }

    #[test]
    fn the_mss_is_never_raised_nor_added_and_other_packets_stay() {
        for address in addresses() {
            let unchanged: [(u8, &[u8], u16); 8] = [
                (SYN, &[2, 4, 0x05, 0x00], 1280),
                (SYN, &[2, 4, 0x02, 0x18], 1280),
                (SYN, &[], 1280),
                (ACK, &[2, 4, 0x05, 0xb4], 1280),
                (SYN, &[2, 4, 0x05, 0xb4], 0),
                (SYN, &[0, 2, 4, 0x05, 0xb4, 0, 0, 0], 1280),
                (SYN, &[2, 3, 0x05, 0xb4], 1280),
                (SYN, &[3, 0, 2, 4, 0x05, 0xb4, 0, 0], 1280),
            ];
            for (flags, options, limit) in unchanged {
                let before = segment(address, flags, options);
                let mut packet = before.clone();
                assert!(!clamp_mss(&mut packet, limit, limit, false), "{options:?}");
                assert_eq!(packet, before);
            }
        }
    }

    #[test]
    fn a_partial_checksum_and_a_wrong_one_stay_what_they_are() {
        for address in addresses() {
            let mut packet = segment(address, SYN, &[2, 4, 0x05, 0xb4]);
            let at = IpView::parse(&packet).unwrap().transport_offset() + 16;
            let before = packet[at..at + 2].to_vec();
            assert!(clamp_mss(&mut packet, 1000, 1000, true));
            assert_eq!(packet[at..at + 2], before[..]);

            let mut packet = segment(address, SYN, &[2, 4, 0x05, 0xb4]);
            packet[at] ^= 0x40;
            assert!(clamp_mss(&mut packet, 1000, 1000, false));
            assert_eq!(verify_transport(&IpView::parse(&packet).unwrap()), Verdict::Invalid);
        }
    }

    #[test]
    fn the_middle_of_a_datagram_is_not_taken_for_a_syn() {
        let mut packet = segment(addresses()[0], SYN, &[2, 4, 0x05, 0xb4]);
        packet[6..8].copy_from_slice(&[0, 1]);
        let before = packet.clone();
        assert!(!clamp_mss(&mut packet, 1000, 1000, false));
        assert_eq!(packet, before);
    }
}
