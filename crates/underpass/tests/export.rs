//! `underpass export` as a command: what it prints and writes, and what it says to a slip of the hand.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

const CONFIG: &str = include_str!("../../../examples/two-tunnels.toml");
const SECRETS: &str = "[psk]\ncloud-1 = \"Key.of_the_first_tunnel1\"\ncloud-2 = \"Key.of_the_second_tunnel2\"\n";

/// A directory of one test with a configuration in it, removed with the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("underpass-export-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = Directory(std::env::temp_dir().join(name));
        fs::create_dir(&directory.0).unwrap();
        fs::write(directory.path("underpass.toml"), CONFIG).unwrap();
        fs::write(directory.path("secrets.toml"), SECRETS).unwrap();
        fs::set_permissions(directory.path("secrets.toml"), fs::Permissions::from_mode(0o600)).unwrap();
        directory
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn export(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_underpass"));
        command.current_dir(&self.0).arg("export").args(words).args(["-c", "underpass.toml"]).output().unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_connection_is_printed_without_its_keys() {
    let directory = Directory::new();
    let output = directory.export(&["cloud", "--for", "strongswan"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let text = out(&output);
    assert!(text.contains("conn cloud-1") && text.contains("conn cloud-2"), "{text}");
    assert!(text.contains("<pre-shared key of cloud-2>") && !text.contains("Key.of"), "{text}");
    assert!(!err(&output).contains("warning"));
}

#[test]
fn files_with_keys_are_for_their_owner_alone_and_nothing_is_replaced_unasked() {
    let directory = Directory::new();
    let words = ["cloud", "--for", "libreswan", "-o", "cloud.conf", "--show-secrets"];
    let output = directory.export(&words);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert_eq!(out(&output), "wrote cloud.conf and cloud.secrets\n");
    assert!(err(&output).contains("warning: the pre-shared keys stand in what is written"));
    let (conf, secrets) = (directory.path("cloud.conf"), directory.path("cloud.secrets"));
    assert_eq!((mode(&conf), mode(&secrets)), (0o600, 0o600));
    assert!(fs::read_to_string(&secrets).unwrap().contains("PSK \"Key.of_the_second_tunnel2\""));
    let again = directory.export(&words);
    assert_eq!(again.status.code(), Some(1));
    assert!(err(&again).contains("cloud.conf is there already"), "{}", err(&again));
    assert_eq!(directory.export(&[&words[..], &["--force"]].concat()).status.code(), Some(0));
}

#[test]
fn a_slip_of_the_hand_is_told_what_was_meant() {
    let directory = Directory::new();
    let output = directory.export(&["cluod", "--for", "strongswan"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("did you mean `cloud`?"), "{}", err(&output));
    let output = directory.export(&["cloud", "--for", "strongswn"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("strongswan"), "{}", err(&output));
}

#[test]
fn a_refusal_names_option_device_and_nearest_for_people_and_programs() {
    let directory = Directory::new();
    let output = directory.export(&["cloud", "--for", "openswan"]);
    assert_eq!((output.status.code(), out(&output)), (Some(1), String::new()));
    let told = err(&output);
    assert!(told.contains("error: cloud: `tunnel`: Openswan cannot say 2 tunnels to the same networks"), "{told}");
    assert!(told.contains("help: export one of them"), "{told}");
    let output = directory.export(&["cloud", "--for", "openswan", "--json"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["ok"], false);
    assert_eq!(value["error"]["refused"][0]["option"], "tunnel");
}
