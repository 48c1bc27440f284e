//! TUN devices end to end: super-packets out of one kernel stack and into another, TCP and UDP, with and without offloads.
#![allow(clippy::unwrap_used, clippy::panic)]

mod namespace;

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use host::batch::{DATAGRAM_MAX, Destination, ReceiveBatch, SendBatch};
use host::netlink::Netlink;
use host::netns::NetNs;
use host::poll::{Interest, Poller, Token, Waker};
use host::tun::{TUN_PACKET_MAX, TunError, TunOptions, TunQueue, VNET_HEADER_LEN};
use host::udp::{DontFragment, UdpOptions, UdpSocket};
use namespace::{in_new_namespace, wait_readable};

const MTU: u32 = 1400;

fn tun(options: &TunOptions, address: &str) -> TunQueue {
    let queue = TunQueue::open(options).unwrap();
    let mut netlink = Netlink::open().unwrap();
    let link = netlink.link_by_name(queue.name()).unwrap().unwrap().index;
    netlink.set_mtu(link, MTU).unwrap();
    netlink.add_address(link, address.parse().unwrap()).unwrap();
    netlink.set_up(link, true).unwrap();
    queue
}

/// A wire made of two TUN devices in two namespaces, 10.9.0.1 and 10.9.0.2, and a thread that carries packets.
struct Wire {
    left: NetNs,
    right: NetNs,
    queues: [TunQueue; 2],
    waker: Waker,
    stop: AtomicBool,
    super_packets: AtomicUsize,
}

impl Wire {
    fn new(offloads: bool) -> Self {
        let options = TunOptions { offloads, ..TunOptions::new("tun%d") };
        let (left, right) = (NetNs::new().unwrap(), NetNs::new().unwrap());
        let queues =
            [left.run(|| tun(&options, "10.9.0.1/24")).unwrap(), right.run(|| tun(&options, "10.9.0.2/24")).unwrap()];
        Self {
            left,
            right,
            queues,
            waker: Waker::new().unwrap(),
            stop: AtomicBool::new(false),
            super_packets: AtomicUsize::new(0),
        }
    }

    /// Runs `test` while packets are carried in both directions; returns how many were longer than the MTU.
    fn carry(&self, test: impl FnOnce()) -> usize {
        std::thread::scope(|scope| {
            scope.spawn(|| self.relay());
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(test));
            self.stop.store(true, Ordering::Relaxed);
            self.waker.wake();
            if let Err(panic) = outcome {
                std::panic::resume_unwind(panic);
            }
        });
        self.super_packets.load(Ordering::Relaxed)
    }

    fn relay(&self) {
        let poller = Poller::new().unwrap();
        poller.add(&self.waker, Token(9), Interest::Read).unwrap();
        for (i, queue) in self.queues.iter().enumerate() {
            poller.add(queue, Token(i as u64), Interest::Read).unwrap();
        }
        let (mut ready, mut packet) = (Vec::new(), vec![0; TUN_PACKET_MAX]);
        let mut header = [0; VNET_HEADER_LEN];
        while !self.stop.load(Ordering::Relaxed) {
            poller.wait(&mut ready, None).unwrap();
            for (from, to) in [(0, 1), (1, 0)] {
                while let Ok(len) = self.queues[from].read(&mut header, &mut packet) {
                    self.super_packets.fetch_add(usize::from(len > MTU as usize), Ordering::Relaxed);
                    // In pieces, as a merged packet is written.
                    let (head, tail) = packet[..len].split_at(20);
                    let (middle, end) = tail.split_at(tail.len() / 2);
                    let pieces = [head, middle, end].map(IoSlice::new);
                    match self.queues[to].write(&header, &pieces) {
                        Ok(()) => {}
                        Err(error) => panic!("write of {len} bytes with {header:?}: {error}"),
                    }
                }
            }
        }
    }
}

/// Carries 8 MiB over TCP from left to right and compares them.
fn transfer(wire: &Wire) {
    const LEN: usize = 8 << 20;
    let data: Vec<u8> = (0..LEN).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect();
    let listener = wire.right.run(|| TcpListener::bind("10.9.0.2:80").unwrap()).unwrap();
    let mut sender = wire
        .left
        .run(|| TcpStream::connect_timeout(&"10.9.0.2:80".parse().unwrap(), Duration::from_secs(10)))
        .unwrap()
        .unwrap();
    let (mut receiver, _) = listener.accept().unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            sender.write_all(&data).unwrap();
            drop(sender);
        });
        let mut got = Vec::with_capacity(LEN);
        receiver.read_to_end(&mut got).unwrap();
        assert!(got == data, "{} of {LEN} bytes, or others", got.len());
    });
}

#[test]
fn tcp_crosses_in_super_packets() {
    in_new_namespace(|_| {
        let wire = Wire::new(true);
        let capabilities = wire.queues[0].capabilities();
        if !capabilities.tcp_segmentation {
            eprintln!("skipped: this kernel granted {capabilities:?}");
            return;
        }
        let super_packets = wire.carry(|| transfer(&wire));
        assert!(super_packets > 100, "only {super_packets} super-packets");
    });
}

#[test]
fn tcp_crosses_without_offloads_in_ordinary_packets() {
    in_new_namespace(|_| {
        let wire = Wire::new(false);
        assert_eq!(
            wire.queues[0].capabilities(),
            host::tun::TunCapabilities { multi_queue: true, ..Default::default() }
        );
        assert_eq!(wire.carry(|| transfer(&wire)), 0);
    });
}

#[test]
fn a_udp_run_crosses_as_one_super_packet_with_its_ecn_bits() {
    in_new_namespace(|_| {
        let wire = Wire::new(true);
        let capabilities = wire.queues[0].capabilities();
        if !capabilities.udp_segmentation {
            eprintln!("skipped: this kernel granted {capabilities:?}");
            return;
        }
        let open = |namespace: &NetNs, address: &str| {
            let options =
                UdpOptions { local: address.parse().unwrap(), reuse_port: false, dont_fragment: DontFragment::Set };
            namespace.run(|| UdpSocket::open(&options).unwrap()).unwrap()
        };
        let sender = open(&wire.left, "10.9.0.1:5000");
        let receiver = open(&wire.right, "10.9.0.2:5000");
        let to = Destination { remote: receiver.local_address(), local: None, tos: 1 };
        let mut batch = SendBatch::new(1 << 16);
        let datagrams: Vec<Vec<u8>> = (0..40u8).map(|i| vec![i; 1300]).collect();
        for datagram in &datagrams {
            assert!(batch.push(&to, datagram));
        }
        let super_packets = wire.carry(|| {
            assert_eq!(sender.send(&batch).datagrams, 40);
            wait_readable(&receiver);
            let mut received = ReceiveBatch::new(1, DATAGRAM_MAX);
            receiver.receive(&mut received).unwrap();
            let (message, bytes) = received.message_mut(0).unwrap();
            assert_eq!((message.tos, message.segment_len), (1, Some(1300)));
            assert_eq!(bytes.len(), 40 * 1300, "all in one message");
            for (segment, datagram) in message.segments(bytes).zip(&datagrams) {
                assert_eq!(segment, datagram);
            }
        });
        assert_eq!(super_packets, 1);
    });
}

#[test]
fn a_read_super_packet_says_how_to_cut_it() {
    in_new_namespace(|_| {
        let queue = tun(&TunOptions::new("up0"), "10.9.0.1/24");
        if !queue.capabilities().udp_segmentation {
            eprintln!("skipped: this kernel granted {:?}", queue.capabilities());
            return;
        }
        let options =
            UdpOptions { local: "10.9.0.1:5000".parse().unwrap(), reuse_port: false, dont_fragment: DontFragment::Set };
        let socket = UdpSocket::open(&options).unwrap();
        let to = Destination { remote: "10.9.0.2:5000".parse().unwrap(), local: None, tos: 0 };
        let mut batch = SendBatch::new(1 << 16);
        for _ in 0..10 {
            assert!(batch.push(&to, &[1; 1300]));
        }
        assert_eq!(socket.send(&batch).datagrams, 10);
        let (mut header, mut packet) = ([0; VNET_HEADER_LEN], vec![0; TUN_PACKET_MAX]);
        let len = loop {
            wait_readable(&queue);
            let len = queue.read(&mut header, &mut packet).unwrap();
            // The stack also talks IPv6 to itself on a new interface.
            if packet[0] >> 4 == 4 {
                break len;
            }
        };
        assert_eq!(len, 20 + 8 + 13_000);
        // flags NEEDS_CSUM, type UDP_L4, header length, segment length, checksum start and offset.
        let field = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        assert_eq!((header[0], header[1]), (1, 5));
        assert_eq!((field(4), field(6), field(8)), (1300, 20, 6));
        // Nothing else of it follows, only what the stack says to itself in IPv6.
        let end = loop {
            match queue.read(&mut header, &mut packet) {
                Ok(_) => assert_eq!(packet[0] >> 4, 6),
                Err(error) => break error,
            }
        };
        assert_eq!(end.kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn names_queues_and_refusals() {
    in_new_namespace(|_| {
        let first = TunQueue::open(&TunOptions::new("up0")).unwrap();
        assert_eq!(first.name(), "up0");
        let second = first.add_queue().unwrap();
        assert_eq!(second.capabilities(), first.capabilities());
        let taken = TunQueue::open(&TunOptions::new("up0")).unwrap_err();
        assert!(matches!(&taken, TunError::NameTaken { name } if name == "up0"), "{taken}");
        Netlink::open().unwrap().create_veth("v0", "v1", None).unwrap();
        let taken = TunQueue::open(&TunOptions::new("v0")).unwrap_err();
        assert!(matches!(&taken, TunError::NameTaken { .. }), "{taken}");
        for name in ["sixteen-bytes-xx", "a/b", "a b", ".."] {
            let bad = TunQueue::open(&TunOptions::new(name)).unwrap_err();
            assert!(matches!(&bad, TunError::BadName { .. }), "{bad}");
        }
        let unnamed = TunQueue::open(&TunOptions::new("")).unwrap();
        assert!(!unnamed.name().is_empty());
        drop((first, second));
        assert_eq!(Netlink::open().unwrap().link_by_name("up0").unwrap(), None);
    });
}

#[test]
fn headers_that_were_not_granted_are_refused_before_the_kernel_sees_them() {
    in_new_namespace(|_| {
        let options = TunOptions { offloads: false, multi_queue: false, ..TunOptions::new("up0") };
        let queue = TunQueue::open(&options).unwrap();
        let mut header = [0; VNET_HEADER_LEN];
        header[0] = 1;
        let refused = queue.write(&header, &[IoSlice::new(&[0x45; 40])]);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
        let empty = queue.write(&[0; VNET_HEADER_LEN], &[]);
        assert_eq!(empty.unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}
