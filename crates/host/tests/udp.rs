//! UDP sockets on the loopback of a namespace of their own: offloads, marks, addresses, errors.
#![allow(clippy::unwrap_used, clippy::panic)]

mod namespace;

use std::net::SocketAddr;
use std::os::fd::AsFd;

use host::batch::{DATAGRAM_MAX, Destination, ReceiveBatch, Received, SendBatch};
use host::netlink::{Netlink, Route};
use host::netns::{NetNs, enable_forwarding};
use host::port_owner::PortOwner;
use host::udp::{DontFragment, UdpErrorKind, UdpOpenError, UdpOptions, UdpSocket};
use namespace::{in_new_namespace, wait_readable};

fn open(address: &str) -> UdpSocket {
    UdpSocket::open(&options(address)).unwrap()
}

fn options(address: &str) -> UdpOptions {
    UdpOptions { local: address.parse().unwrap(), reuse_port: false, dont_fragment: DontFragment::Set }
}

fn to(socket: &UdpSocket, tos: u8) -> Destination {
    Destination { remote: socket.local_address(), local: None, tos }
}

/// Receives until `datagrams` have come; returns each message's description with its datagrams.
fn receive(socket: &UdpSocket, datagrams: usize) -> Vec<(Received, Vec<Vec<u8>>)> {
    let mut batch = ReceiveBatch::new(16, DATAGRAM_MAX);
    let mut all: Vec<(Received, Vec<Vec<u8>>)> = Vec::new();
    while all.iter().map(|(_, parts)| parts.len()).sum::<usize>() < datagrams {
        wait_readable(socket);
        socket.receive(&mut batch).unwrap();
        assert_eq!(batch.truncated(), 0);
        for (message, bytes) in batch.messages_mut() {
            let parts = message.segments_mut(bytes).map(|part| part.to_vec());
            all.push((message.clone(), parts.collect()));
        }
    }
    all
}

fn numbered(count: usize, len: usize) -> Vec<Vec<u8>> {
    (0..count).map(|i| (0..len).map(|j| (i * 31 + j) as u8).collect()).collect()
}

#[test]
fn a_run_leaves_in_one_piece_and_arrives_merged_with_its_ecn_bits_and_addresses() {
    in_new_namespace(|_| {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (sender, receiver) = (open(address), open(address));
            assert!(sender.capabilities().segmentation_offload);
            assert!(receiver.capabilities().receive_offload);
            let datagrams = numbered(44, 1400);
            let mut batch = SendBatch::new(1 << 18);
            // DSCP EF, ECT(0).
            let destination = to(&receiver, 0xba);
            for datagram in &datagrams {
                assert!(batch.push(&destination, datagram));
            }
            let report = sender.send(&batch);
            assert_eq!((report.datagrams, report.bytes), (44, 44 * 1400));
            assert_eq!((report.failed, report.blocked_at), (0, None));
            let received = receive(&receiver, 44);
            assert_eq!(received.len(), 1, "one message for 44 datagrams ({address})");
            let (message, parts) = &received[0];
            assert_eq!(message.tos, 0xba, "the mark survives merging ({address})");
            assert_eq!(message.remote, sender.local_address());
            assert_eq!(message.local, Some(receiver.local_address().ip()));
            assert_eq!(message.segment_len, Some(1400));
            assert_eq!(parts, &datagrams);
            assert!(sender.segmentation_limit() > 1400, "offload still trusted");
        }
    });
}

#[test]
fn batches_of_mixed_lengths_marks_and_peers_arrive_complete_and_in_order() {
    in_new_namespace(|_| {
        let sender = open("127.0.0.1:0");
        let receivers = [open("127.0.0.1:0"), open("127.0.0.2:0")];
        let mut batch = SendBatch::new(1 << 20);
        let mut expected: [Vec<(u8, Vec<u8>)>; 2] = [vec![], vec![]];
        for (i, datagram) in numbered(300, 900).into_iter().enumerate() {
            let (peer, tos) = ((i / 7) % 2, [0u8, 2, 3, 0xb8][(i / 11) % 4]);
            let datagram = datagram[..if i % 13 == 0 { 1 + i } else { 900 }].to_vec();
            assert!(batch.push(&to(&receivers[peer], tos), &datagram));
            expected[peer].push((tos, datagram));
        }
        let report = sender.send(&batch);
        assert_eq!((report.datagrams, report.failed), (300, 0));
        for (receiver, expected) in receivers.iter().zip(expected) {
            let received = receive(receiver, expected.len());
            let flat: Vec<(u8, Vec<u8>)> = received
                .into_iter()
                .flat_map(|(message, parts)| parts.into_iter().map(move |part| (message.tos, part)))
                .collect();
            assert_eq!(flat, expected);
        }
    });
}

#[test]
fn a_refused_datagram_does_not_hold_back_the_others() {
    in_new_namespace(|_| {
        let (sender, receiver) = (open("127.0.0.1:0"), open("127.0.0.1:0"));
        let nowhere = Destination { remote: "192.0.2.1:4500".parse().unwrap(), local: None, tos: 0 };
        let not_ours = Destination { local: Some("192.0.2.77".parse().unwrap()), ..to(&receiver, 0) };
        let mut batch = SendBatch::new(1 << 16);
        for destination in [to(&receiver, 0), nowhere, not_ours, to(&receiver, 0)] {
            assert!(batch.push(&destination, &[1; 100]));
            assert!(batch.push(&destination, &[2; 100]));
        }
        let report = sender.send(&batch);
        assert_eq!((report.datagrams, report.failed), (4, 4));
        assert_eq!(report.failures[0].to, nowhere);
        let errno = report.failures[0].error.raw_os_error();
        assert_eq!(errno, Some(libc::ENETUNREACH));
        assert!(
            report.failures.iter().any(|failure| failure.to == not_ours),
            "an address that is not ours is refused, not replaced"
        );
        assert_eq!(sender.segmentation_limit(), 9_216, "that says nothing about the offload");
        assert_eq!(receive(&receiver, 4).len(), 2);
    });
}

#[test]
fn the_chosen_source_address_is_used() {
    in_new_namespace(|_| {
        let (sender, receiver) = (open("0.0.0.0:0"), open("127.0.0.1:0"));
        let port = sender.local_address().port();
        let destination = Destination { local: Some("127.0.0.9".parse().unwrap()), ..to(&receiver, 0) };
        sender.send_to(&destination, b"hello").unwrap();
        let received = receive(&receiver, 1);
        assert_eq!(received[0].0.remote, SocketAddr::from(([127, 0, 0, 9], port)));
    });
}

#[test]
fn datagrams_longer_than_the_mtu_fail_alone_and_leave_the_offload_on_for_shorter_ones() {
    in_new_namespace(|_| {
        Netlink::open().unwrap().set_mtu(1, 1500).unwrap();
        let (sender, receiver) = (open("127.0.0.1:0"), open("127.0.0.1:0"));
        let mut batch = SendBatch::new(1 << 16);
        for len in [1473, 1473, 1472, 1472] {
            let destination = to(&receiver, if len == 1473 { 0 } else { 4 });
            assert!(batch.push(&destination, &vec![7; len]));
        }
        let report = sender.send(&batch);
        assert_eq!((report.datagrams, report.failed), (2, 2));
        let errno = report.failures[0].error.raw_os_error();
        assert_eq!(errno, Some(libc::EMSGSIZE));
        assert_eq!(receive(&receiver, 2).len(), 1, "still one run");
        sender.set_dont_fragment(DontFragment::Clear).unwrap();
        let report = sender.send(&batch);
        assert_eq!((report.datagrams, report.failed), (4, 0), "fragments may go");
        let lengths: Vec<usize> =
            receive(&receiver, 4).iter().flat_map(|(_, parts)| parts.iter().map(Vec::len)).collect();
        assert_eq!(lengths, [1473, 1473, 1472, 1472]);
        assert_eq!(sender.segmentation_limit(), 1472, "longer ones go singly from now on");
    });
}

#[test]
fn a_closed_port_is_reported_by_the_error_queue_and_stops_nothing() {
    in_new_namespace(|_| {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let sender = open(address);
            let closed = open(address).local_address();
            let destination = Destination { remote: closed, local: None, tos: 0 };
            sender.send_to(&destination, b"anybody there?").unwrap();
            sender.send_to(&destination, b"hello?").unwrap();
            wait_readable(&sender);
            let mut batch = ReceiveBatch::new(4, 2048);
            sender.receive(&mut batch).unwrap();
            assert!(batch.is_empty());
            let error = sender.take_error().unwrap().unwrap();
            assert_eq!(error.remote, closed);
            assert_eq!(error.kind, UdpErrorKind::PortUnreachable);
            assert_eq!(error.offender, Some(closed.ip()));
            assert_eq!(error.payload, b"anybody there?");
            wait_readable(&sender);
            assert_eq!(sender.take_error().unwrap().unwrap().payload, b"hello?");
            assert_eq!(sender.take_error().unwrap(), None);
        }
    });
}

#[test]
fn a_taken_port_names_the_process_that_has_it() {
    in_new_namespace(|_| {
        let _owner = open("127.0.0.1:500");
        let Err(UdpOpenError::PortTaken { port, owner }) = UdpSocket::open(&options("127.0.0.1:500")) else {
            panic!("the port must be taken");
        };
        assert_eq!(port, 500);
        let PortOwner::Process { pid, name } = owner else {
            panic!("the owner must be found");
        };
        assert_eq!(pid, std::process::id());
        assert!(!name.is_empty());
    });
}

#[test]
fn an_address_that_is_not_ours_is_named() {
    in_new_namespace(|_| {
        let error = UdpSocket::open(&options("192.0.2.1:500")).err().unwrap();
        assert!(matches!(error, UdpOpenError::NoSuchAddress { .. }), "{error}");
    });
}

#[test]
fn several_workers_may_share_a_port_only_when_they_say_so() {
    in_new_namespace(|_| {
        let shared = UdpOptions { reuse_port: true, ..options("127.0.0.1:4500") };
        let _first = UdpSocket::open(&shared).unwrap();
        let _second = UdpSocket::open(&shared).unwrap();
        assert!(UdpSocket::open(&options("127.0.0.1:4500")).is_err());
    });
}

#[test]
fn a_full_receive_buffer_is_counted() {
    in_new_namespace(|_| {
        let (sender, receiver) = (open("127.0.0.1:0"), open("127.0.0.1:0"));
        let mut batch = SendBatch::new(1 << 20);
        let destination = to(&receiver, 0);
        while batch.push(&destination, &[0; 1400]) {}
        let rounds = 2 * receiver.capabilities().receive_buffer / (1 << 20) + 2;
        for _ in 0..rounds {
            sender.send(&batch);
        }
        let mut received = ReceiveBatch::new(64, DATAGRAM_MAX);
        receiver.receive(&mut received).unwrap();
        while !received.is_empty() {
            receiver.receive(&mut received).unwrap();
        }
        // The count travels with the next datagram that finds room.
        sender.send_to(&destination, b"after the flood").unwrap();
        while receiver.dropped_by_kernel() == 0 {
            wait_readable(&receiver);
            receiver.receive(&mut received).unwrap();
        }
    });
}

/// Two wires and a router: 1 is we, 2 and 3 are the router, 4 is behind a link of 1280 bytes.
fn behind_a_narrow_link() -> [NetNs; 3] {
    let [we, router, far] = [(); 3].map(|()| NetNs::new().unwrap());
    let configure = |name: &str, mtu: u32, addresses: [&str; 2], gateway: Option<[&str; 2]>| {
        let mut netlink = Netlink::open().unwrap();
        let link = netlink.link_by_name(name).unwrap().unwrap().index;
        netlink.set_mtu(link, mtu).unwrap();
        for address in addresses {
            netlink.add_address(link, address.parse().unwrap()).unwrap();
        }
        netlink.set_up(link, true).unwrap();
        for (everywhere, gateway) in ["0.0.0.0/0", "::/0"].iter().zip(gateway.into_iter().flatten()) {
            let route = Route::via(everywhere.parse().unwrap(), gateway.parse().unwrap());
            netlink.add_route(&route).unwrap();
        }
    };
    router
        .run(|| {
            let mut netlink = Netlink::open().unwrap();
            netlink.create_veth("near", "up", Some(we.as_fd())).unwrap();
            netlink.create_veth("narrow", "up", Some(far.as_fd())).unwrap();
            configure("near", 1500, ["10.1.0.2/24", "2001:db8:1::2/64"], None);
            configure("narrow", 1280, ["10.2.0.3/24", "2001:db8:2::3/64"], None);
            enable_forwarding().unwrap();
        })
        .unwrap();
    we.run(|| configure("up", 1500, ["10.1.0.1/24", "2001:db8:1::1/64"], Some(["10.1.0.2", "2001:db8:1::2"]))).unwrap();
    far.run(|| configure("up", 1280, ["10.2.0.4/24", "2001:db8:2::4/64"], Some(["10.2.0.3", "2001:db8:2::3"])))
        .unwrap();
    [we, router, far]
}

#[test]
fn a_router_with_a_narrow_link_tells_its_mtu_and_the_next_datagrams_still_go() {
    in_new_namespace(|_| {
        let [we, _router, far] = behind_a_narrow_link();
        for (ours, theirs, router) in [
            ("10.1.0.1:4500", "10.2.0.4:4500", "10.1.0.2"),
            ("[2001:db8:1::1]:4500", "[2001:db8:2::4]:4500", "2001:db8:1::2"),
        ] {
            let receiver = far.run(|| open(theirs)).unwrap();
            let sender = we.run(|| open(ours)).unwrap();
            let mut batch = SendBatch::new(1 << 16);
            for _ in 0..3 {
                assert!(batch.push(&to(&receiver, 0), &[5; 1400]));
            }
            assert_eq!(sender.send(&batch).datagrams, 3, "our own link is wide enough");
            wait_readable(&sender);
            let error = sender.take_error().unwrap().unwrap();
            assert_eq!(error.kind, UdpErrorKind::TooBig { mtu: 1280 });
            assert_eq!(error.remote, receiver.local_address());
            assert_eq!(error.offender, Some(router.parse().unwrap()));
            assert!(error.payload.starts_with(&[5; 8]));
            batch.clear();
            for i in 0..40 {
                assert!(batch.push(&to(&receiver, 0), &[i; 1200]));
            }
            let report = sender.send(&batch);
            assert_eq!((report.datagrams, report.failed), (40, 0));
            let datagrams: Vec<Vec<u8>> = receive(&receiver, 40).into_iter().flat_map(|(_, parts)| parts).collect();
            assert_eq!(datagrams, (0..40).map(|i| vec![i; 1200]).collect::<Vec<_>>());
            assert_eq!(sender.segmentation_limit(), 9_216, "a pending error says nothing about the offload");
        }
    });
}
