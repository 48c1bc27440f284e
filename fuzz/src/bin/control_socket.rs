//! The control socket's server with clients that send anything, in pieces, hang up in the middle, and never read: requests
//! come out line by line, the server keeps its bounds, and it goes on serving.
#![no_main]

use host::control::{CLIENTS_MAX, ControlServer, Request};
use host::poll::{Poller, Token};
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use std::cell::RefCell;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;
use underpass_fuzz::Bytes;

struct Gateway {
    poller: Poller,
    server: ControlServer,
    path: PathBuf,
}

thread_local! {
    static GATEWAY: RefCell<Gateway> = RefCell::new(Gateway::start());
}

fuzz_target!(|data: &[u8]| {
    GATEWAY.with_borrow_mut(|gateway| {
        let mut bytes = Bytes(data);
        let mut clients = [const { None }; 4];
        while !bytes.is_empty() {
            let what = bytes.u8();
            let slot: &mut Option<UnixStream> = &mut clients[usize::from(what & 3)];
            match what >> 6 {
                0 => *slot = None,
                1 => *slot = Some(gateway.connect()),
                _ => {
                    let client = slot.get_or_insert_with(|| gateway.connect());
                    // A client that was dropped, for good reason, cannot write.
                    let _ = client.write_all(bytes.chunk());
                }
            }
            gateway.serve();
        }
        drop(clients);
        gateway.serve();
        assert_eq!(gateway.server.clients(), 0, "all of them hung up");
    });
});

impl Gateway {
    fn start() -> Self {
        let path = std::env::temp_dir().join(format!("underpass-fuzz-{}.sock", std::process::id()));
        let poller = Poller::new().expect("epoll");
        let server = ControlServer::bind(&path, &poller, Token(0)).expect("a socket of our own");
        Gateway { poller, server, path }
    }

    fn connect(&self) -> UnixStream {
        let client = UnixStream::connect(&self.path).expect("the server listens");
        client.set_nonblocking(true).expect("a socket");
        client
    }

    /// Serves until nothing is ready; answers every request, which nobody reads.
    fn serve(&mut self) {
        let mut ready = Vec::new();
        loop {
            self.poller.wait(&mut ready, Some(Duration::ZERO)).expect("epoll");
            if ready.is_empty() {
                break;
            }
            for event in &ready {
                assert!(self.server.owns(Token(event.token.0)));
                for Request { client, value } in self.server.handle(event, &self.poller) {
                    self.server.respond(client, &json!({ "echo": value }), &self.poller);
                }
            }
            assert!(self.server.clients() <= CLIENTS_MAX);
        }
    }
}
