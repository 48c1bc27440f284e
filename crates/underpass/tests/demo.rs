//! The demo as a person or a script runs it: everything shown, nothing left behind.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Long enough for any machine; only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(30);
/// `Exit::CannotTell`: this machine does not let us try.
const CANNOT_TELL: i32 = 4;

/// A directory for what the demo writes, removed with the test.
struct Runtime(PathBuf);

impl Runtime {
    fn new(test: &str) -> Runtime {
        let path = std::env::temp_dir().join(format!("underpass-{test}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Runtime(path)
    }

    fn demo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_underpass"));
        command.arg("demo").args(arguments).env("XDG_RUNTIME_DIR", &self.0).stdin(Stdio::null());
        command
    }

    fn entries(&self) -> Vec<PathBuf> {
        fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    /// Runs the whole demo; its lines, or `None` where this machine does not let us.
    fn run(&self) -> Option<Vec<Value>> {
        let output = self.demo(&["--json"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        if output.status.code() == Some(CANNOT_TELL) {
            eprintln!("skipped: {}", text.trim_end());
            return None;
        }
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn two_sites_talk_through_a_tunnel_and_nothing_is_lost_readable_or_left_behind() {
    let runtime = Runtime::new("demo-whole");
    let Some(lines) = runtime.run() else { return };
    let (last, steps) = lines.split_last().unwrap();
    assert_eq!((&last["ok"], &last["schema_version"]), (&json!(true), &json!(1)), "{last}");
    assert_eq!(last["pings_sent"], last["pings_received"]);
    assert!(last["pings_sent"].as_u64().unwrap() >= 40);
    assert_eq!(last["tcp_bytes"], json!(32 << 20));
    assert_eq!(last["rekeys"], json!(4));
    assert!(last["packets_during_rekey"].as_u64().unwrap() > 500, "{last}");
    assert_eq!(last["packets_lost_during_rekey"], json!(0));
    assert_eq!(last["plaintext_packets_seen"], json!(0));
    assert!(last["esp_packets_seen"].as_u64().unwrap() > last["packets_during_rekey"].as_u64().unwrap());
    for step in steps {
        assert_eq!(step["ok"], json!(true), "{step}");
        assert!(step["seconds"].is_f64() && !step["message"].as_str().unwrap().is_empty(), "{step}");
    }
    // The eye was seen to see, before it was believed that there is nothing to see.
    let watch = steps.iter().find(|step| step["step"] == "watch").unwrap();
    assert_eq!((&watch["sent"], &watch["clear_packets"]), (&json!(3), &json!(3)));
    assert_eq!(runtime.entries(), Vec::<PathBuf>::new());
}

#[test]
fn after_kill_9_the_gateways_are_gone_and_the_next_run_removes_the_directory() {
    let runtime = Runtime::new("demo-kill");
    let mut demo = runtime.demo(&["--json", "--keep"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let kept = lines.find_map(|line| {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        (line["sockets"].is_object() || line["ok"] == json!(false)).then_some(line)
    });
    let kept = kept.unwrap();
    let Some(sockets) = kept["sockets"].as_object() else {
        assert_eq!(demo.wait().unwrap().code(), Some(CANNOT_TELL), "{kept}");
        eprintln!("skipped: {kept}");
        return;
    };
    let connect = |path: &Value| UnixStream::connect(Path::new(path.as_str().unwrap())).unwrap();
    let connections: Vec<UnixStream> = sockets.values().map(connect).collect();
    assert_eq!(connections.len(), 2);
    demo.kill().unwrap();
    demo.wait().unwrap();
    for mut connection in connections {
        // Nobody closes it but the kernel, when the gateway is no more.
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        let end = connection.read(&mut [0; 16]);
        assert!(matches!(&end, Ok(0)) || end.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));
    }
    assert_eq!(runtime.entries().len(), 1, "a killed run cannot tidy up");
    assert!(runtime.run().is_some());
    assert_eq!(runtime.entries(), Vec::<PathBuf>::new());
}

#[test]
fn an_interrupted_run_says_so_and_leaves_nothing() {
    let runtime = Runtime::new("demo-interrupt");
    let mut demo = runtime.demo(&["--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    if first["step"].is_null() {
        assert_eq!(demo.wait().unwrap().code(), Some(CANNOT_TELL), "{first}");
        eprintln!("skipped: {first}");
        return;
    }
    let killed = Command::new("sh").args(["-c", &format!("kill -INT {}", demo.id())]).status().unwrap();
    assert!(killed.success());
    let last: Value = serde_json::from_str(&lines.last().unwrap().unwrap()).unwrap();
    assert_eq!((&last["ok"], &last["reason"]), (&json!(false), &json!("interrupted")));
    assert_eq!(demo.wait().unwrap().code(), Some(1));
    assert_eq!(runtime.entries(), Vec::<PathBuf>::new());
}
