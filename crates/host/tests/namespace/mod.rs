//! Tests that need the kernel's network stack get one of their own.
#![allow(dead_code, clippy::unwrap_used)]

use std::os::fd::AsFd;
use std::time::Duration;

use host::netlink::Netlink;
use host::netns::NetNs;
use host::poll::{Interest, Poller, Token};

/// Long enough for any machine; only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a test in a new network namespace whose loopback is up, or says why it cannot.
pub fn in_new_namespace(test: impl FnOnce(&NetNs) + Send) {
    let namespace = match NetNs::new() {
        Ok(namespace) => namespace,
        Err(error) => {
            eprintln!("skipped: {error}");
            return;
        }
    };
    namespace
        .run(|| {
            Netlink::open().unwrap().set_loopback_up().unwrap();
            test(&namespace);
        })
        .unwrap();
}

/// Waits until there is something to read.
pub fn wait_readable(fd: impl AsFd) {
    let poller = Poller::new().unwrap();
    poller.add(fd, Token(0), Interest::Read).unwrap();
    let mut ready = Vec::new();
    poller.wait(&mut ready, Some(PATIENCE)).unwrap();
    assert!(!ready.is_empty(), "nothing arrived");
}
