//! Two sites on one machine: who dies with whom, and what an eye on a link sees.

mod namespace;

use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use host::lab::{IcmpSocket, LinkTap, spawn_bound};
use host::netns::NetNs;
use namespace::in_new_namespace;

/// Long enough for any machine; only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn a_child_runs_in_the_namespace_and_is_killed_when_the_thread_that_started_it_ends() {
    in_new_namespace(|namespace| {
        let inside = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        let (started, child) = mpsc::channel();
        let namespace: NetNs = namespace.clone();
        let spawner = std::thread::spawn(move || {
            // `cat` waits on a pipe that nobody writes to, for ever.
            let child = spawn_bound(Command::new("cat").stdin(Stdio::piped()), &namespace).unwrap();
            let link = std::fs::read_link(format!("/proc/{}/ns/net", child.id())).unwrap();
            started.send((child, link)).unwrap();
        });
        let (mut child, link) = child.recv_timeout(PATIENCE).unwrap();
        assert_eq!(link, inside);
        spawner.join().unwrap();
        let stdin = child.stdin.take();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
        drop(stdin);
    });
}

#[test]
fn a_tap_sees_every_packet_once_and_echo_requests_are_answered() {
    in_new_namespace(|_| {
        let tap = LinkTap::open().unwrap();
        let mut buffer = [0; 2048];
        assert_eq!(tap.next(&mut buffer, Duration::from_millis(1)).unwrap(), None);
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"in clear", "127.0.0.1:4000").unwrap();
        let packet = tap.next(&mut buffer, PATIENCE).unwrap().unwrap();
        assert_eq!((packet[0], packet[9]), (0x45, 17));
        assert_eq!(&packet[28..], b"in clear");
        assert_eq!(tap.missed().unwrap(), 0);

        let socket = IcmpSocket::open().unwrap();
        let home = Ipv4Addr::LOCALHOST;
        let mut request = Vec::new();
        packet::icmp::echo_request(home.into(), home.into(), 7, 1, b"hello", &mut request).unwrap();
        socket.send_to(home, &request[20..]).unwrap();
        let reply = loop {
            let packet = socket.next(&mut buffer, PATIENCE).unwrap().unwrap();
            let echo = packet::icmp::parse_echo(packet).unwrap();
            if echo.is_reply {
                break (echo.identifier, echo.sequence, echo.payload.to_vec());
            }
        };
        assert_eq!(reply, (7, 1, b"hello".to_vec()));
    });
}
