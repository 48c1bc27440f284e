//! ESP as an IP protocol of its own, on the loopback of a namespace.
#![allow(clippy::unwrap_used, clippy::panic)]

mod namespace;

use std::net::{IpAddr, SocketAddr};

use host::batch::{Destination, ReceiveBatch, SendBatch};
use host::esp_socket::{EspOpenError, EspSocket};
use host::udp::DontFragment;
use namespace::{in_new_namespace, wait_readable};

#[test]
fn packets_arrive_without_ip_header_but_with_its_addresses_and_mark() {
    in_new_namespace(|_| {
        for (ours, theirs) in [("127.0.0.1", "127.0.0.2"), ("::1", "::1")] {
            let (ours, theirs): (IpAddr, IpAddr) = (ours.parse().unwrap(), theirs.parse().unwrap());
            let sender = EspSocket::open(ours, DontFragment::Set).unwrap();
            let receiver = EspSocket::open(theirs, DontFragment::Set).unwrap();
            let to = |tos| Destination { remote: SocketAddr::new(theirs, 0), local: Some(ours), tos };
            let packets: Vec<Vec<u8>> = (0..20u8).map(|i| vec![i; 60 + usize::from(i)]).collect();
            let mut batch = SendBatch::new(1 << 16);
            for packet in &packets {
                assert!(batch.push(&to(packet[0] % 4), packet));
            }
            let report = sender.send(&batch);
            assert_eq!((report.datagrams, report.failed), (20, 0));
            sender.send_to(&to(0xb8), b"the last packet").unwrap();
            let mut received = Vec::new();
            let mut batch = ReceiveBatch::new(8, 2048);
            while received.len() < 21 {
                wait_readable(&receiver);
                receiver.receive(&mut batch).unwrap();
                for (message, bytes) in batch.messages_mut() {
                    assert_eq!(message.remote, SocketAddr::new(ours, 0));
                    assert_eq!(message.local, Some(theirs));
                    received.push((message.tos, bytes.to_vec()));
                }
            }
            for (packet, (tos, bytes)) in packets.iter().zip(&received) {
                assert_eq!((packet[0] % 4, packet), (*tos, bytes));
            }
            assert_eq!(received[20], (0xb8, b"the last packet".to_vec()));
        }
    });
}

#[test]
fn an_address_that_is_not_ours_is_named() {
    in_new_namespace(|_| {
        let address = "192.0.2.1".parse().unwrap();
        let error = EspSocket::open(address, DontFragment::Set).err().unwrap();
        assert!(matches!(error, EspOpenError::NoSuchAddress { .. }), "{error}");
    });
}
