//! `underpass import` and `underpass gateway FILE`: what is written where, for whom, and what is said.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

const KEY: &str = "K7wq.Zr2mXv9TnB4pLs8Yd3Hc";

/// A directory of one test with an `ipsec.conf` and its keys, removed with it.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("underpass-import-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(path.join("ipsec.d")).unwrap();
        let directory = Directory(path);
        directory.write(
            "ipsec.conf",
            "conn %default\n authby=secret\n keyexchange=ikev2\n left=%defaultroute\n leftid=@us\n\
             \x20leftsubnet=10.1.0.0/16\n ike=aes256-sha256-modp2048!\n esp=aes256-sha256!\ninclude ipsec.d/*.conf\n",
        );
        directory.write("ipsec.d/b.conf", "conn site-b\n right=192.0.2.2\n rightsubnet=10.2.0.0/16\n auto=start\n");
        directory.write("ipsec.secrets", &format!("@us 192.0.2.2 : PSK \"{KEY}\"\n"));
        directory
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_underpass"));
        command.args(args).current_dir(&self.0).env_remove("NO_COLOR").output().unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_file_its_includes_and_its_secrets_become_two_files_that_the_gateway_takes() {
    let directory = Directory::new();
    let output = directory.run(&["import", "ipsec.conf"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).starts_with("wrote underpass.toml and secrets.toml: 1 connection, 1 tunnel\n"));
    let config = directory.read("underpass.toml");
    assert!(config.contains("remote_address = \"192.0.2.2\"") && config.contains("# from b.conf:2"), "{config}");
    assert!(!config.contains(KEY) && !stderr(&output).contains(KEY));
    assert!(directory.read("secrets.toml").contains(KEY));
    let mode = fs::metadata(directory.0.join("secrets.toml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let check = directory.run(&["gateway", "--check", "-c", "underpass.toml"]);
    assert_eq!((code(&check), stdout(&check).as_str()), (0, "underpass.toml: ok, 1 connection, 1 child, 0 warnings\n"));
}

#[test]
fn a_dry_run_shows_everything_but_the_keys_and_writes_nothing() {
    let directory = Directory::new();
    let output = directory.run(&["import", "ipsec.conf", "--dry-run"]);
    assert_eq!(code(&output), 0);
    assert!(stdout(&output).contains("[connection.site-b]") && stdout(&output).contains("site-b = \"…\""));
    assert!(!stdout(&output).contains(KEY) && !stderr(&output).contains(KEY));
    assert!(!directory.0.join("underpass.toml").exists() && !directory.0.join("secrets.toml").exists());
}

#[test]
fn files_that_are_there_are_kept_unless_told_otherwise() {
    let directory = Directory::new();
    directory.write("secrets.toml", "precious");
    let output = directory.run(&["import", "ipsec.conf"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("secrets.toml is there already") && stderr(&output).contains("--force"));
    assert_eq!(directory.read("secrets.toml"), "precious");
    assert!(!directory.0.join("underpass.toml").exists());
    assert_eq!(code(&directory.run(&["import", "ipsec.conf", "--force"])), 0);
    assert!(directory.read("secrets.toml").contains(KEY));
}

#[test]
fn a_fragment_of_a_configuration_gets_a_fragment_of_secrets() {
    let directory = Directory::new();
    fs::create_dir(directory.0.join("conf.d")).unwrap();
    assert_eq!(code(&directory.run(&["import", "ipsec.conf", "-o", "conf.d/b.toml"])), 0);
    assert!(directory.read("secrets.d/b.toml").contains(KEY));
    directory.write("underpass.toml", "");
    assert_eq!(code(&directory.run(&["gateway", "--check", "-c", "underpass.toml"])), 0);
}

#[test]
fn what_is_refused_is_said_with_its_place_and_the_exit_code_and_json_says_it_too() {
    let directory = Directory::new();
    directory.write("ipsec.d/c.conf", "conn site-c\n right=YOUR_PEER_ADDRESS\n rightsubnet=10.3.0.0/16\n auto=start\n");
    let output = directory.run(&["import", "ipsec.conf"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("error: ipsec.d/c.conf:2:8: `YOUR_PEER_ADDRESS` is the placeholder"));
    assert!(stderr(&output).contains("refused, for the errors above: site-c"));
    assert!(
        directory.read("underpass.toml").contains("site-b") && !directory.read("underpass.toml").contains("site-c")
    );
    let output = directory.run(&["import", "ipsec.conf", "--json", "--dry-run"]);
    let machine: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((machine["ok"].as_bool(), machine["schema_version"].as_u64()), (Some(false), Some(1)));
    assert_eq!(machine["refused"][0]["name"], "site-c");
    assert_eq!(machine["connections"][0]["tunnels"][0]["has_key"], true);
    assert_eq!(machine["findings"][0]["level"], "error");
    assert!(!stdout(&output).contains(KEY));
}

#[test]
fn standard_input_formats_by_name_and_missing_files_behave() {
    let directory = Directory::new();
    let output = directory.run(&["import", "nowhere.conf"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("cannot read nowhere.conf"));
    let output = directory.run(&["import", "ipsec.conf", "--format", "strongswna"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("did you mean `strongswan`?"), "{}", stderr(&output));
    let output = directory.run(&["import", "-", "--dry-run"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("<stdin>:1:1"));
}

#[test]
fn the_gateway_checks_files_of_others_as_its_own() {
    let directory = Directory::new();
    let output = directory.run(&["gateway", "--check", "ipsec.conf"]);
    assert_eq!((code(&output), stdout(&output).as_str()), (0, "ipsec.conf: ok, 1 connection, 1 child, 1 warning\n"));
    directory.write("ipsec.d/c.conf", "conn site-c\n right=<peer>\n rightsubnet=10.3.0.0/16\n auto=start\n");
    let output = directory.run(&["gateway", "ipsec.conf"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("error[CFG-16]: `<peer>` is the placeholder"), "{}", stderr(&output));
    assert!(stderr(&output).contains("--> ipsec.d/c.conf:2:8"));
    let both = directory.run(&["gateway", "-c", "underpass.toml", "ipsec.conf"]);
    assert_eq!(code(&both), 2);
}
