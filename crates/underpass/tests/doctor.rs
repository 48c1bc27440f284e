//! `underpass doctor` and `underpass explain` as an operator runs them: what is wrong with files, ports, privileges and the
//! clock is staged here, each fault alone, and the doctor names it first.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

const SECRETS: &str = "[psk]\nsite-b = \"correct horse battery staple, said twice\"\n";

/// A directory of one test with a configuration in it, removed with it.
struct Site(PathBuf);

impl Site {
    /// A configuration that is right, with ports that nobody has.
    fn new() -> Site {
        Site::with(&config(&free_ports()))
    }

    fn with(config: &str) -> Site {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("underpass-doctor-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let site = Site(std::env::temp_dir().join(name));
        fs::create_dir(&site.0).unwrap();
        site.write("underpass.toml", config, 0o644);
        site.write("secrets.toml", SECRETS, 0o600);
        site
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// A gateway that answers `status` with one connection that is up, and has logged nothing.
    fn answers(self) -> Site {
        let listener = UnixListener::bind(self.0.join("ctl.sock")).unwrap();
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let Ok(mut socket) = socket else { return };
                let mut line = String::new();
                if BufReader::new(&socket).read_line(&mut line).is_err() {
                    continue;
                }
                let result = if line.contains("\"log\"") { json!([]) } else { status() };
                let _ = writeln!(socket, "{}", json!({"ok": true, "result": result}));
            }
        });
        self
    }

    fn doctor(&self, more: &[&str]) -> Output {
        let (config, socket) = (self.path("underpass.toml"), self.path("ctl.sock"));
        underpass(&[&["doctor", "-c", &config, "--socket", &socket], more].concat())
    }

    /// The code that comes first.
    fn first(&self) -> String {
        first(&self.doctor(&["--json"]))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn status() -> Value {
    json!({
        "schema_version": 1, "time": "2026-11-20T18:00:00.000Z", "gateway": {"half_open": 0},
        "connections": [{"name": "site-b", "state": "up", "local": "127.0.0.1:500", "remote": "127.0.0.2:500",
            "ike": {"established": "2026-11-20T17:00:00.000Z"},
            "children": [{"name": "net", "state": "up", "packets_in": 9, "packets_out": 9}]}],
        "drops": {},
    })
}

/// Two ports that nobody has now.
fn free_ports() -> [u16; 2] {
    let sockets = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    sockets.map(|socket| socket.local_addr().unwrap().port())
}

/// Between addresses of this host: one address is a network that needs no forwarding.
fn config(ports: &[u16; 2]) -> String {
    format!(
        "[gateway]\nlisten = \"127.0.0.1\"\nike_port = {}\nnat_port = {}\n\
         [connection.site-b]\nlocal_address = \"127.0.0.1\"\nremote_address = \"127.0.0.2\"\n\
         [connection.site-b.child.net]\nlocal_subnets = [\"127.0.0.1/32\"]\nremote_subnets = [\"10.93.1.0/24\"]\nroutes = []\n",
        ports[0], ports[1]
    )
}

fn underpass(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_underpass")).args(args).env_remove("NO_COLOR").output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

#[track_caller]
fn first(output: &Output) -> String {
    let text = stdout(output);
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    report["findings"][0]["code"].as_str().unwrap_or_default().to_owned()
}

/// A site whose configuration is changed in one place.
fn changed(from: &str, to: &str) -> Site {
    let right = config(&free_ports());
    let wrong = right.replace(from, to);
    assert_ne!(right, wrong, "{from} is not in the configuration");
    Site::with(&wrong)
}

#[test]
fn a_configuration_that_cannot_be_loaded_is_cfg_01() {
    let site = changed("remote_address", "remote_adress");
    let output = site.doctor(&[]);
    let text = stdout(&output);
    assert_eq!(code(&output), 1);
    assert!(
        text.starts_with("✗ CFG-01") && text.contains("underpass.toml:7:1") && text.contains("did you mean"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "no colour in a pipe");
}

#[test]
fn a_port_that_another_program_has_is_cfg_02_with_its_owner() {
    let site = Site::new();
    let text = fs::read_to_string(site.0.join("underpass.toml")).unwrap();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let line = text.lines().find(|line| line.starts_with("ike_port")).unwrap();
    site.write("underpass.toml", &text.replace(line, &format!("ike_port = {port}")), 0o644);
    let output = site.doctor(&["--json"]);
    assert_eq!(first(&output), "CFG-02", "{}", stdout(&output));
    assert!(stdout(&output).contains(&format!("pid {}", std::process::id())), "{}", stdout(&output));
}

#[test]
fn without_the_right_to_make_interfaces_it_is_cfg_03() {
    let site = Site::new();
    let (config, socket) = (site.path("underpass.toml"), site.path("ctl.sock"));
    let binary = env!("CARGO_BIN_EXE_underpass");
    let doctor =
        ["--bounding-set", "-net_admin,-net_raw", binary, "doctor", "--json", "-c", &config, "--socket", &socket];
    let run = |program: &str, before: &[&str]| {
        Command::new(program).args(before).args(doctor).stdin(Stdio::null()).output().unwrap()
    };
    // An ordinary user is root in a user namespace of its own.
    let is_root = fs::read_to_string("/proc/self/status").unwrap().lines().any(|line| line.starts_with("Uid:\t0\t0"));
    let output = if is_root { run("setpriv", &[]) } else { run("unshare", &["-r", "setpriv"]) };
    assert_eq!(first(&output), "CFG-03", "{output:?}");
}

#[test]
fn an_own_address_that_this_host_does_not_have_is_cfg_04() {
    let wrong = config(&free_ports())
        .replace("listen = \"127.0.0.1\"", "listen = [\"127.0.0.1\", \"192.0.2.77\"]")
        .replace("local_address = \"127.0.0.1\"", "local_address = \"192.0.2.77\"");
    let site = Site::with(&wrong);
    let output = site.doctor(&["--json"]);
    assert_eq!(first(&output), "CFG-04", "{}", stdout(&output));
    assert!(stdout(&output).contains("192.0.2.77"));
}

#[test]
fn a_gateway_that_does_not_run_is_cfg_07() {
    assert_eq!(Site::new().first(), "CFG-07");
}

#[test]
fn secrets_that_are_missing_are_cfg_10_and_those_open_to_others_cfg_11_and_none_is_shown() {
    let site = Site::new();
    site.write("secrets.toml", "[psk]\n", 0o600);
    assert_eq!(site.first(), "CFG-10");
    site.write("secrets.toml", SECRETS, 0o644);
    let output = site.doctor(&["--json"]);
    assert_eq!(first(&output), "CFG-11");
    assert!(!stdout(&output).contains("battery"));
}

#[test]
fn two_connections_for_the_same_traffic_are_cfg_13() {
    let right = config(&free_ports());
    let connection = right.split_once("[connection").map(|(_, rest)| format!("[connection{rest}")).unwrap();
    let twin = connection.replace("site-b", "twin").replace("127.0.0.2", "127.0.0.3");
    let site = Site::with(&(right + &twin));
    site.write("secrets.toml", &format!("{SECRETS}twin = \"correct horse battery staple, said thrice\"\n"), 0o600);
    let site = site.answers();
    let output = site.doctor(&["--json"]);
    assert_eq!(first(&output), "CFG-13", "{}", stdout(&output));
}

#[test]
fn a_route_that_leads_the_tunnel_into_itself_is_cfg_14() {
    let site = changed("routes = []", "routes = [\"127.0.0.0/8\"]");
    let output = site.doctor(&["--json"]);
    assert_eq!(first(&output), "CFG-14", "{}", stdout(&output));
}

#[test]
fn values_that_do_not_fit_together_are_cfg_15() {
    let site = changed(
        "remote_address = \"127.0.0.2\"",
        "remote_address = \"127.0.0.2\"\nike_lifetime_seconds = 100\nrekey_margin_seconds = 200",
    );
    let output = site.doctor(&["--json"]);
    assert_eq!(first(&output), "CFG-15", "{}", stdout(&output));
}

#[test]
fn a_clock_that_is_behind_its_own_files_is_net_08() {
    let site = Site::new().answers();
    let file = fs::File::options().write(true).open(site.0.join("underpass.toml")).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(7200)).unwrap();
    let output = site.doctor(&["--json"]);
    assert_eq!(first(&output), "NET-08", "{}", stdout(&output));
}

#[test]
fn a_gateway_that_works_has_no_finding_and_its_evidence_can_be_kept_and_judged_again() {
    let site = Site::new().answers();
    let file = site.path("evidence.json");
    let output = site.doctor(&["--save", &file]);
    assert_eq!((code(&output), stdout(&output).lines().next()), (0, Some("● site-b: up; nothing found")), "{output:?}");
    let saved = fs::read_to_string(&file).unwrap();
    assert!(!saved.contains("battery") && saved.contains("\"schema_version\": 1"));
    let again = underpass(&["doctor", "--from", &file, "--json"]);
    let report: Value = serde_json::from_str(&stdout(&again)).unwrap();
    assert_eq!(
        (code(&again), report["ok"].as_bool(), report["tunnels"][0]["tunnel"].as_str()),
        (0, Some(true), Some("site-b"))
    );
    let other = saved.replacen("\"state\": \"up\"", "\"state\": \"disabled\"", 1);
    let changed = site.write("other.json", &other, 0o600).display().to_string();
    assert_eq!(first(&underpass(&["doctor", "--from", &changed, "--far", &file, "--json"])), "CFG-08");
}

#[test]
fn what_cannot_be_looked_at_and_what_does_not_exist_have_their_own_exit_codes() {
    let site = Site::new().answers();
    let nothing = underpass(&["doctor", "--socket", "/nonexistent/ctl.sock", "--from", "/nonexistent/evidence.json"]);
    assert_eq!(code(&nothing), 3);
    let broken = site.write("broken.json", "{", 0o600).display().to_string();
    assert_eq!(code(&underpass(&["doctor", "--from", &broken])), 3);
    let typo = site.doctor(&["site_b"]);
    assert_eq!(code(&typo), 2);
    assert!(String::from_utf8_lossy(&typo.stderr).contains("did you mean `site-b`?"));
    let unknown = underpass(&["doctor", "--explain", "IKE-2"]);
    assert!(code(&unknown) == 2 && String::from_utf8_lossy(&unknown.stderr).contains("did you mean"), "{unknown:?}");
}

#[test]
fn every_code_has_a_page() {
    let page = stdout(&underpass(&["doctor", "--explain", "ike-02"]));
    assert!(page.starts_with("IKE-02  No algorithm in common for phase 1") && page.contains("RFC 7296"), "{page}");
    let machine: Value =
        serde_json::from_str(&stdout(&underpass(&["doctor", "--explain", "BGP-02", "--json"]))).unwrap();
    assert_eq!(machine["layer"], "bgp");
}

#[test]
fn a_log_is_explained_from_a_file_or_from_standard_input() {
    let site = Site::new();
    let log = "08[IKE] received NO_PROPOSAL_CHOSEN notify error\n";
    let file = site.write("charon.log", log, 0o600).display().to_string();
    let output = underpass(&["explain", &file]);
    assert!(
        code(&output) == 1 && stdout(&output).contains("IKE-02") && stdout(&output).contains("line 1:"),
        "{output:?}"
    );
    let mut child = Command::new(env!("CARGO_BIN_EXE_underpass"))
        .args(["explain", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"\xff\xfe nothing here\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let explained: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((code(&output), explained["dialect"].is_null(), explained["lines"].as_u64()), (4, true, Some(1)));
    assert_eq!(code(&underpass(&["explain", "/nonexistent/x.log"])), 3);
}

#[test]
fn both_commands_have_help_with_examples() {
    for command in ["doctor", "explain"] {
        let output = underpass(&[command, "--help"]);
        let text = stdout(&output);
        assert!(
            code(&output) == 0 && text.contains("Examples:") && text.contains(&format!("underpass {command}")),
            "{text}"
        );
    }
}
