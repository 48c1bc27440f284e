//! What a good citizen of the command line has: completions, manual pages, examples in every help, no colour where none is wanted.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

use std::process::{Command, Output};

fn underpass(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_underpass")).args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Every subcommand that the help lists.
fn commands() -> Vec<String> {
    let help = text(&underpass(&["--help"]));
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let lines = list.lines().take_while(|line| !line.is_empty());
    // A description that goes on in the next line is indented further.
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn every_command_has_an_example_in_its_help() {
    let commands = commands();
    assert!(commands.len() >= 15, "{commands:?}");
    for command in commands {
        let help = text(&underpass(&[&command, "--help"]));
        assert!(help.contains("Examples:") && help.contains(&format!("underpass {command}")), "{command}: {help}");
    }
}

#[test]
fn every_shell_gets_a_script_that_knows_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = text(&underpass(&["completions", shell]));
        for command in commands() {
            assert!(script.contains(&command), "{shell} does not know {command}");
        }
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let page = text(&underpass(&["man"]));
    assert!(page.contains(".TH underpass 1"), "{page}");
    let folder = std::env::temp_dir().join(format!("underpass-man-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let written = underpass(&["man", "-o", folder.to_str().unwrap()]);
    let found: Vec<bool> =
        commands().iter().map(|command| folder.join(format!("underpass-{command}.1")).is_file()).collect();
    let refused = underpass(&["man", "-o", folder.join("nowhere").to_str().unwrap()]);
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(written.status.success() && found.iter().all(|found| *found), "{written:?} {found:?}");
    assert_eq!(refused.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("cannot write"));
}

#[test]
fn a_mistyped_command_is_told_the_nearest() {
    let output = underpass(&["statsu"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("'status'"), "{output:?}");
}
