//! Checksums completed, and offload headers refused.

use packet::IpView;
use packet::offload::{GSO_NONE, GSO_TCPV6, GSO_UDP_L4, NEEDS_CSUM, Segments, VnetHeader};

use crate::packets::{ALL, Spec, merge, split};

#[test]
fn a_plain_packet_that_wants_its_checksum_gets_it_and_others_pass_unchanged() {
    for (v6, udp) in [(false, false), (false, true), (true, false), (true, true)] {
        let spec = Spec::plain(v6, udp, 333);
        let complete = spec.bytes();
        let segments = Segments::new(&VnetHeader::NONE, &complete).unwrap();
        assert_eq!(segments.unchanged(), Some(&complete[..]));
        assert_eq!(split(&VnetHeader::NONE, &complete), std::slice::from_ref(&complete));

        let header = VnetHeader { gso_type: GSO_NONE, gso_size: 0, ..spec.vnet(0) };
        let mut partial = complete.clone();
        let at = usize::from(header.csum_start + header.csum_offset);
        let view = IpView::parse(&complete).unwrap();
        let upper = u32::try_from(view.payload().len()).unwrap();
        let pseudo = packet::checksum::pseudo_header(view.source(), view.destination(), view.protocol(), upper);
        partial[at..at + 2].copy_from_slice(&packet::checksum::fold(pseudo).to_be_bytes());
        assert_eq!(Segments::new(&header, &partial).unwrap().unchanged(), None);
        assert_eq!(split(&header, &partial), [complete]);
    }
}

#[test]
fn contradicting_offload_headers_are_refused() {
    use packet::PacketError::Offload;
    use packet::offload::{GSO_UDP, OffloadError};

    let tcp = Spec::plain(false, false, 3000);
    let good = tcp.vnet(1000);
    let refuse = |header: VnetHeader, bytes: &[u8]| match Segments::new(&header, bytes) {
        Err(Offload(error)) => error,
        other => panic!("{other:?}"),
    };
    let with = |change: fn(&mut VnetHeader)| {
        let mut header = good;
        change(&mut header);
        refuse(header, &tcp.bytes())
    };
    assert_eq!(with(|header| header.gso_type = GSO_TCPV6), OffloadError::Protocol);
    assert_eq!(with(|header| header.gso_type = GSO_UDP_L4), OffloadError::Protocol);
    assert_eq!(with(|header| header.gso_type = GSO_UDP), OffloadError::GsoType(GSO_UDP));
    assert_eq!(with(|header| header.gso_type = 0x77), OffloadError::GsoType(0x77));
    assert_eq!(with(|header| header.gso_size = 0), OffloadError::SegmentSize);
    let position = |start, offset| OffloadError::ChecksumPosition { start, offset };
    assert_eq!(with(|header| header.csum_start = 21), position(21, 16));
    assert_eq!(with(|header| header.csum_offset = 6), position(20, 6));
    for (start, offset) in [(0, 10), (19, 16), (20, 0xffff), (0xffff, 0xffff), (3040, 0)] {
        let plain = VnetHeader { gso_type: GSO_NONE, csum_start: start, csum_offset: offset, ..good };
        let small = Spec::plain(false, false, 2988 - 12).bytes();
        assert_eq!(refuse(plain, &small), position(start, offset));
    }
    let mut fragment = tcp.bytes();
    fragment[6] = 0x20;
    assert_eq!(refuse(good, &fragment), OffloadError::Fragment);
    let mut short_header = tcp.bytes();
    short_header[32] = 0x40;
    assert_eq!(refuse(good, &short_header), OffloadError::TransportHeader);
    let mut cut = tcp.bytes();
    cut[2..4].copy_from_slice(&[0, 45]);
    assert_eq!(refuse(good, &cut), OffloadError::TransportHeader);
}

#[test]
fn a_checksum_inside_an_ipv6_extension_header_is_refused() {
    // IPv6, hop-by-hop options of 8 bytes (PadN), UDP of 8 bytes.
    let mut packet = vec![0x60, 0, 0, 0, 0, 16, 0, 64];
    packet.extend_from_slice(&[0xfd; 32]);
    packet.extend_from_slice(&[17, 0, 1, 4, 0, 0, 0, 0]);
    packet.extend_from_slice(&[0, 53, 0, 53, 0, 8, 0, 0]);
    let plain = |start, offset| VnetHeader {
        flags: NEEDS_CSUM,
        gso_type: GSO_NONE,
        csum_start: start,
        csum_offset: offset,
        ..VnetHeader::NONE
    };
    for start in 40..48 {
        let refused =
            packet::PacketError::Offload(packet::offload::OffloadError::ChecksumPosition { start, offset: 0 });
        assert_eq!(Segments::new(&plain(start, 0), &packet).err(), Some(refused));
    }
    assert!(Segments::new(&plain(48, 6), &packet).is_ok());
}

#[test]
fn an_offload_header_survives_its_encoding() {
    let header = Spec::plain(true, false, 1).vnet(1440);
    let mut bytes = header.encode().to_vec();
    assert_eq!(bytes[..2], [NEEDS_CSUM, GSO_TCPV6]);
    assert_eq!(bytes[4..6], 1440_u16.to_ne_bytes());
    bytes.extend_from_slice(b"packet");
    assert_eq!(VnetHeader::parse(&bytes), Ok((header, &b"packet"[..])));
    for length in 0..10 {
        assert!(VnetHeader::parse(&bytes[..length]).is_err());
    }
}

#[test]
fn a_checksum_of_zero_is_restored_as_the_sender_wrote_it() {
    for udp in [false, true] {
        let first = Spec::plain(false, udp, 100);
        let mut second = first.next(100, 2);
        // Two bytes of payload chosen so that the checksum comes out as zero, which UDP writes as 0xffff.
        second.payload[..2].fill(0);
        let at = if udp { 26 } else { 36 };
        let checksum = second.bytes()[at..at + 2].to_vec();
        second.payload[..2].copy_from_slice(&checksum);
        let expected = if udp { [0xff, 0xff] } else { [0, 0] };
        assert_eq!(second.bytes()[at..at + 2], expected);
        let packets = [first.bytes(), second.bytes()];
        let emitted = merge(ALL, &packets);
        assert_eq!(emitted.len(), 1);
        assert_eq!(split(&emitted[0].0, &emitted[0].1), packets);
    }
}
