//! The command line against a gateway that is a script: exit codes, output for people and machines, suggestions.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A directory of one test, removed with it.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("underpass-cli-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Directory(path)
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Answers every request with `reply`'s lines and keeps the requests.
struct Script {
    directory: Directory,
    requests: Arc<Mutex<Vec<Value>>>,
}

impl Script {
    fn new(reply: impl Fn(&Value) -> Vec<Value> + Send + 'static) -> Script {
        let directory = Directory::new();
        let listener = UnixListener::bind(directory.0.join("ctl.sock")).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let Ok(mut socket) = socket else { return };
                let mut line = String::new();
                if BufReader::new(&socket).read_line(&mut line).is_err() {
                    continue;
                }
                let request: Value = serde_json::from_str(&line).unwrap();
                let lines: String = reply(&request).iter().map(|reply| format!("{reply}\n")).collect();
                seen.lock().unwrap().push(request);
                let _ = socket.write_all(lines.as_bytes());
            }
        });
        Script { directory, requests }
    }

    /// A gateway with `site-b` up (child `net`) and `branch` down.
    fn usual() -> Script {
        Script::new(|request| match request["command"].as_str() {
            Some("status") => vec![json!({"ok": true, "result": status()})],
            Some("rekey") if request["child"] == "net" => {
                vec![json!({"ok": false, "error": {"code": "busy", "message": "a rekey is under way", "hint": "wait"}})]
            }
            Some("log") => vec![
                json!({"ok": true, "result": {"events": [{"time": "t", "level": "info", "connection": "site-b", "child": "net", "message": "child SA up"}]}}),
                json!({"code": "bare"}),
            ],
            Some("capture") => {
                vec![json!({"ok": true, "result": null}), json!({"pcapng": "AAEC"}), json!({"pcapng": "Aw=="})]
            }
            Some(_) => vec![json!({"ok": true, "result": {"added": ["x"], "changed": [], "removed": []}})],
            None => vec![],
        })
    }

    fn run(&self, args: &[&str]) -> Output {
        underpass(args, &self.directory.0.join("ctl.sock"))
    }

    fn commands(&self) -> Vec<Value> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|request| request["command"] != "status").cloned().collect()
    }
}

fn status() -> Value {
    json!({
        "schema_version": 1, "time": "2026-11-20T18:00:00.000Z",
        "connections": [
            {"name": "site-b", "state": "up", "since": "2026-11-20T17:00:00.000Z", "local": "192.0.2.1", "remote": "192.0.2.2",
             "children": [{"name": "net", "state": "up", "suite": "aes128gcm16", "bytes_in": 1, "bytes_out": 2}]},
            {"name": "branch", "state": "down", "reason": {"code": "NET-01", "message": "no answer"}, "children": []},
        ],
    })
}

fn underpass(args: &[&str], socket: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_underpass"));
    command.args(args).env("UNDERPASS_SOCKET", socket).env_remove("NO_COLOR").output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

#[test]
fn status_lists_what_is_down_with_its_reason_and_without_colour_in_a_pipe() {
    let gateway = Script::usual();
    let output = gateway.run(&["status"]);
    let text = stdout(&output);
    assert_eq!(code(&output), 0);
    assert!(text.contains("site-b/net") && text.contains("1 h 0 min") && text.contains("NET-01: no answer"), "{text}");
    assert!(!text.contains('\u{1b}'));
    assert_eq!(code(&gateway.run(&["status", "--exit-code"])), 1);
    assert_eq!(code(&gateway.run(&["status", "--exit-code", "site-b"])), 0);
    let machine: Value = serde_json::from_str(&stdout(&gateway.run(&["status", "--json", "branch"]))).unwrap();
    assert_eq!((machine["schema_version"].as_u64(), machine["connections"].as_array().unwrap().len()), (Some(1), 1));
}

#[test]
fn unknown_names_are_usage_errors_with_a_suggestion() {
    let gateway = Script::usual();
    // (arguments, part of the message)
    let table: [(&[&str], &str); 6] = [
        (&["status", "site_b"], "did you mean `site-b`"),
        (&["up", "brnach"], "did you mean `branch`"),
        (&["rekey", "site-b/nte"], "did you mean `net`"),
        (&["down", "zzzzzzzz"], "known: site-b, branch"),
        (&["up", "site-b/net", "--child", "other"], "two children"),
        (&["statsu"], "'status'"),
    ];
    for (args, message) in table {
        let output = gateway.run(args);
        assert_eq!(code(&output), 2, "{args:?}");
        assert!(stderr(&output).contains(message), "{args:?}: {}", stderr(&output));
    }
    assert_eq!(gateway.commands(), Vec::<Value>::new());
}

#[test]
fn orders_reach_the_gateway_as_asked_and_wait_for_their_effect() {
    let gateway = Script::usual();
    assert_eq!(code(&gateway.run(&["up", "site-b"])), 0);
    assert_eq!(code(&gateway.run(&["up", "branch", "--timeout", "0"])), 0);
    assert_eq!(code(&gateway.run(&["down", "site-b", "--child", "net", "--timeout", "0"])), 0);
    assert_eq!(code(&gateway.run(&["rekey", "site-b"])), 0);
    assert_eq!(stdout(&gateway.run(&["reload"])), "reloaded: added x\n");
    let refused = gateway.run(&["rekey", "site-b/net"]);
    assert_eq!((code(&refused), stderr(&refused).as_str()), (1, "error: a rekey is under way\n  help: wait\n"));
    assert_eq!(
        gateway.commands(),
        [
            json!({"command": "up", "connection": "site-b", "child": null}),
            json!({"command": "up", "connection": "branch", "child": null}),
            json!({"command": "down", "connection": "site-b", "child": "net"}),
            json!({"command": "rekey", "connection": "site-b", "child": null}),
            json!({"command": "reload"}),
            json!({"command": "rekey", "connection": "site-b", "child": "net"}),
        ]
    );
}

#[test]
fn wait_tells_by_its_exit_code_and_names_what_is_not_as_asked() {
    let gateway = Script::usual();
    assert_eq!(code(&gateway.run(&["wait", "--for", "up", "site-b/net"])), 0);
    assert_eq!(code(&gateway.run(&["wait", "--for", "down", "branch", "--timeout", "0s"])), 0);
    let output = gateway.run(&["wait", "--for", "up", "--timeout", "1ms"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("branch is not up") && stderr(&output).contains("NET-01"), "{}", stderr(&output));
    let output = gateway.run(&["wait", "--timeout", "1ms", "--json"]);
    let machine: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((machine["ok"].as_bool(), machine["not"][0]["name"].as_str()), (Some(false), Some("branch")));
    assert_eq!(code(&gateway.run(&["wait", "--timeout", "soon"])), 2);
}

#[test]
fn a_gateway_that_is_not_there_or_talks_nonsense_has_its_own_exit_code() {
    let directory = Directory::new();
    let absent = underpass(&["status"], &directory.0.join("none.sock"));
    assert_eq!(code(&absent), 3);
    assert!(stderr(&absent).contains("underpass gateway -c FILE"), "{}", stderr(&absent));
    assert_eq!(code(&underpass(&["wait", "--timeout", "1ms"], &directory.0.join("none.sock"))), 3);
    let machine = underpass(&["up", "x", "--json"], &directory.0.join("none.sock"));
    let object: Value = serde_json::from_str(&stdout(&machine)).unwrap();
    assert_eq!((code(&machine), object["error"]["code"].as_str()), (3, Some("unreachable")));
    for nonsense in [vec![], vec![json!("hello")], vec![json!({"ok": "yes"})]] {
        let gateway = Script::new(move |_| nonsense.clone());
        assert_eq!(code(&gateway.run(&["status"])), 4);
    }
}

#[test]
fn log_and_capture_pass_on_what_the_gateway_streams() {
    let gateway = Script::usual();
    assert_eq!(stdout(&gateway.run(&["log"])), "t info  site-b/net: child SA up\n");
    let followed = gateway.run(&["log", "-f"]);
    assert_eq!(
        (code(&followed), stdout(&followed).as_str()),
        (3, "t info  site-b/net: child SA up\n{\"code\":\"bare\"}\n")
    );
    let file = gateway.directory.0.join("x.pcapng");
    let output = gateway.run(&["capture", "-o", file.to_str().unwrap(), "--for", "2s", "--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(fs::read(&file).unwrap(), [0, 1, 2, 3]);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(gateway.run(&["capture", "-o", "-"]).stdout, [0, 1, 2, 3]);
    assert_eq!(
        gateway.commands()[2],
        json!({"command": "capture", "connection": null, "milliseconds": 2000, "view": "outside"})
    );
}

#[test]
fn a_capture_takes_what_was_asked_for_and_keys_only_into_a_folder_that_is_safe() {
    let gateway = Script::new(|request| match request["command"].as_str() {
        Some("capture") => vec![
            json!({"ok": true, "result": null}),
            json!({"keys": {"esp_sa": ["a line", "another"], "ikev2_decryption_table": ["x,y"], "not_written": ["one SA"]}}),
            json!({"keys": {"esp_sa": ["a line", "a\nforged line"]}}),
            json!({"end": {"packets": 7, "lost": 1}}),
        ],
        _ => vec![json!({"ok": true, "result": status()})],
    });
    let (file, folder) = (gateway.directory.0.join("x.pcapng"), gateway.directory.0.join("keys"));
    let (file, keys) = (file.to_str().unwrap(), folder.to_str().unwrap());
    let views = [("--decrypt", "both"), ("--inside-only", "inside")];
    for (index, (option, view)) in views.into_iter().enumerate() {
        assert_eq!(code(&gateway.run(&["capture", "-o", file, option])), 0);
        assert_eq!(gateway.commands()[index]["view"], view);
        assert!(gateway.commands()[index].get("keys").is_none(), "keys are asked for only when wanted");
    }
    let output = gateway.run(&["capture", "--keys", keys, "--json"]);
    let summary: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&summary["packets"], &summary["lost"], &summary["file"]), (&json!(7), &json!(1), &Value::Null));
    assert_eq!(summary["keys"], json!({"directory": keys, "lines": 3, "not_written": ["one SA"]}));
    let last = gateway.commands().pop().unwrap();
    assert_eq!((&last["view"], &last["keys"]), (&json!("none"), &json!(true)));
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join("esp_sa"))), (0o700, 0o600));
    assert_eq!(fs::read_to_string(folder.join("esp_sa")).unwrap(), "a line\nanother\n");
    let said = stdout(&gateway.run(&["capture", "--keys", keys]));
    assert!(said.contains("0 lines of keys") && said.contains("no key written: one SA"), "{said}");

    let asked = gateway.commands().len();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o770)).unwrap();
    let refused = gateway.run(&["capture", "--keys", keys]);
    assert_eq!(code(&refused), 2);
    assert!(stderr(&refused).contains("others may change"), "{}", stderr(&refused));
    assert_eq!(code(&gateway.run(&["capture", "--keys", file])), 2);
    assert_eq!(gateway.commands().len(), asked, "nothing is asked for that cannot be written");
    assert_eq!(code(&gateway.run(&["capture"])), 2, "neither a file nor keys");
}

const CONFIG: &str = include_str!("../../../examples/underpass.toml");
const SECRETS: &str = include_str!("../../../examples/secrets.toml");

fn check(directory: &Directory, more: &[&str]) -> Output {
    let config = directory.0.join("underpass.toml");
    let mut args = vec!["gateway", "--check", "-c", config.to_str().unwrap()];
    args.extend(more);
    underpass(&args, Path::new("unused"))
}

#[test]
fn check_accepts_the_example_and_reports_every_error_with_its_place() {
    let directory = Directory::new();
    let config = directory.write("underpass.toml", CONFIG, 0o644);
    directory.write("secrets.toml", SECRETS, 0o600);
    let output = check(&directory, &[]);
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
    assert!(stdout(&output).contains("ok, 2 connections, 2 children, 0 warnings"), "{}", stdout(&output));
    let wrong =
        CONFIG.replace("interface =", "interfaec =").replace("dpd_timeout_seconds = 45", "dpd_timeout_seconds = 0");
    directory.write("underpass.toml", &wrong, 0o644);
    let output = check(&directory, &[]);
    let text = stderr(&output);
    assert_eq!(code(&output), 1);
    for part in
        [format!("{}:5:1", config.display()), "did you mean `interface`?".into(), "^^^^^^^^^".into(), "2 errors".into()]
    {
        assert!(text.contains(&part), "{part}: {text}");
    }
    let machine: Value = serde_json::from_str(&stdout(&check(&directory, &["--json"]))).unwrap();
    assert_eq!((machine["ok"].as_bool(), machine["errors"].as_u64()), (Some(false), Some(2)));
    assert_eq!(
        (machine["diagnostics"][0]["line"].as_u64(), machine["diagnostics"][0]["code"].as_str()),
        (Some(5), Some("CFG-01"))
    );
}

#[test]
fn secrets_open_to_others_or_missing_and_files_that_are_not_there_are_errors() {
    let directory = Directory::new();
    let absent = check(&directory, &[]);
    assert!(code(&absent) == 1 && stderr(&absent).contains("cannot read"), "{}", stderr(&absent));
    directory.write("underpass.toml", CONFIG, 0o644);
    let output = check(&directory, &[]);
    assert!(code(&output) == 1 && stderr(&output).contains("no entry `site-b` in secrets.toml"), "{}", stderr(&output));
    directory.write("secrets.toml", SECRETS, 0o640);
    let output = check(&directory, &[]);
    assert!(code(&output) == 1 && stderr(&output).contains("CFG-11"), "{}", stderr(&output));
    assert!(!stderr(&output).contains("4Jw0Qm2kT8"));
}

#[test]
fn fragments_beside_the_file_are_part_of_it() {
    let directory = Directory::new();
    directory.write("underpass.toml", "[gateway]\nsecrets = \"keys/main.toml\"\n", 0o644);
    directory.write("conf.d/a.toml", CONFIG.split("[gateway]").next().unwrap(), 0o644);
    directory.write("conf.d/b.toml", &CONFIG[CONFIG.find("# The other site").unwrap()..], 0o644);
    directory.write("conf.d/ignored.txt", "not toml", 0o644);
    let (first, second) = SECRETS.split_at(SECRETS.find("branch-2026").unwrap());
    directory.write("keys/main.toml", first, 0o400);
    directory.write("secrets.d/more.toml", &format!("[psk]\n{second}"), 0o600);
    let output = check(&directory, &[]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("2 connections"));
}

#[test]
fn every_subcommand_has_help_with_examples() {
    for command in ["gateway", "status", "up", "down", "rekey", "wait", "log", "reload", "capture"] {
        let output = underpass(&[command, "--help"], Path::new("unused"));
        let text = stdout(&output);
        assert!(code(&output) == 0 && text.contains("Examples:") && text.contains("--json"), "{command}: {text}");
        assert!(text.contains(&format!("underpass {command}")), "{command}");
    }
}
