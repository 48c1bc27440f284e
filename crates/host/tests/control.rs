//! The control socket: requests and answers, strangers, floods, stale files.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{env, fs, process, thread};

use host::control::{CLIENTS_MAX, ControlClient, ControlError, ControlServer, REQUEST_MAX};
use host::poll::{Interest, Poller, Token, Waker};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(10);
const WAKER: Token = Token(1);
const CONTROL: Token = Token(100);

fn socket_path() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    env::temp_dir().join(format!("underpass-control-{}-{number}.sock", process::id()))
}

/// Runs `test` against a server that echoes requests; `{"follow": n}` gets n answers and the end.
fn with_server(path: &Path, test: impl FnOnce()) {
    let poller = Poller::new().unwrap();
    let waker = Waker::new().unwrap();
    poller.add(&waker, WAKER, Interest::Read).unwrap();
    let mut server = ControlServer::bind(path, &poller, CONTROL).unwrap();
    let stop = waker.clone();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut ready = Vec::new();
            loop {
                poller.wait(&mut ready, Some(PATIENCE)).unwrap();
                for event in ready.clone() {
                    if !server.owns(event.token) {
                        return;
                    }
                    for request in server.handle(&event, &poller) {
                        if let Some(count) = request.value["follow"].as_u64() {
                            for i in 0..count {
                                server.respond(request.client, &json!({ "line": i }), &poller);
                            }
                            server.close(request.client, &poller);
                        } else {
                            let answer = json!({ "echo": request.value });
                            server.respond(request.client, &answer, &poller);
                        }
                        assert!(server.clients() <= CLIENTS_MAX);
                    }
                }
            }
        });
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(test));
        stop.wake();
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
}

fn connect(path: &Path) -> ControlClient {
    ControlClient::connect(path, PATIENCE).unwrap()
}

#[test]
fn requests_are_answered_in_order_and_the_file_is_private_and_removed() {
    let path = socket_path();
    with_server(&path, || {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        let mut client = connect(&path);
        for i in 0..100 {
            let answer = client.request(&json!({ "number": i })).unwrap();
            assert_eq!(answer, json!({ "echo": { "number": i } }));
        }
    });
    assert!(!path.exists());
    let error = ControlClient::connect(&path, PATIENCE).unwrap_err();
    assert!(matches!(error, ControlError::NotRunning { .. }));
}

#[test]
fn a_follower_gets_every_line_and_then_the_end() {
    let path = socket_path();
    with_server(&path, || {
        let mut client = connect(&path);
        let first = client.request(&json!({ "follow": 20_000 })).unwrap();
        assert_eq!(first, json!({ "line": 0 }));
        let mut count = 1;
        while let Some(line) = client.next_response().unwrap() {
            assert_eq!(line, json!({ "line": count }));
            count += 1;
        }
        assert_eq!(count, 20_000);
    });
}

#[test]
fn a_follower_that_never_reads_is_dropped_and_others_are_served() {
    let path = socket_path();
    with_server(&path, || {
        let mut lazy = UnixStream::connect(&path).unwrap();
        lazy.write_all(b"{\"follow\": 1000000}\n").unwrap();
        connect(&path).request(&json!("still there?")).unwrap();
        let mut bytes = Vec::new();
        // What had been written before it was dropped, and then the end: never the whole.
        let _ = lazy.read_to_end(&mut bytes);
        assert!(bytes.len() < 12_000_000, "{}", bytes.len());
    });
}

#[test]
fn garbage_is_refused_by_line_and_the_connection_lives() {
    let path = socket_path();
    with_server(&path, || {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"{\n\xff\xfe\n\n[1]\n").unwrap();
        let mut lines = BufReader::new(stream).lines();
        let mut next = || lines.next().unwrap().unwrap();
        for _ in 0..2 {
            let refusal = next();
            assert!(refusal.starts_with("{\"error\":\"not a JSON request"), "{refusal}");
        }
        assert_eq!(next(), "{\"echo\":[1]}");
    });
}

#[test]
fn an_endless_request_is_cut_off() {
    let path = socket_path();
    with_server(&path, || {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // The server may have hung up before everything is written.
        let _ = stream.write_all(&vec![b'['; 2 * REQUEST_MAX]);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.is_empty() || answer.contains("65536 bytes"), "{answer}");
        connect(&path).request(&json!("still there?")).unwrap();
    });
}

#[test]
fn more_clients_than_allowed_are_sent_away_until_one_leaves() {
    let path = socket_path();
    with_server(&path, || {
        let mut clients: Vec<_> = (0..CLIENTS_MAX).map(|_| connect(&path)).collect();
        for client in &mut clients {
            client.request(&json!(1)).unwrap();
        }
        assert!(connect(&path).request(&json!(1)).is_err());
        for client in &mut clients {
            client.request(&json!(2)).unwrap();
        }
        clients.pop();
        // The server notices the end before it looks at the next connection.
        connect(&path).request(&json!(3)).unwrap();
    });
}

#[test]
fn a_dead_gateways_socket_is_replaced_but_not_a_living_ones_nor_a_file() {
    let poller = Poller::new().unwrap();
    let path = socket_path();
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "stale");
    let server = ControlServer::bind(&path, &poller, CONTROL).unwrap();
    let error = ControlServer::bind(&path, &poller, Token(200)).unwrap_err();
    assert!(matches!(error, ControlError::AlreadyRunning { .. }), "{error}");
    drop(server);
    fs::write(&path, "precious").unwrap();
    let error = ControlServer::bind(&path, &poller, CONTROL).unwrap_err();
    assert!(matches!(error, ControlError::NotASocket { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    fs::remove_file(&path).unwrap();
}

#[test]
fn a_silent_gateway_is_a_timeout() {
    let path = socket_path();
    let _listener = UnixListener::bind(&path).unwrap();
    let mut client = ControlClient::connect(&path, Duration::from_millis(20)).unwrap();
    let error = client.request(&json!(1)).unwrap_err();
    assert!(matches!(error, ControlError::Timeout { .. }), "{error}");
    fs::remove_file(&path).unwrap();
}
