//! `underpass explain`: whole logs of others, quoted with line numbers, without their secrets; unknown ones say so.

use doctor::catalogue::*;
use doctor::explain::explain;
use doctor::page::Style;
use serde_json::json;

const PLAIN: Style = Style { colour: false };

#[test]
fn a_log_of_charon_is_explained_by_its_lines_with_their_numbers() {
    let log = "\
Nov 20 10:00:00 gw charon: 05[NET] sending packet: from 192.0.2.1[500] to 198.51.100.7[500] (464 bytes)
Nov 20 10:00:00 gw charon: 06[NET] received packet: from 198.51.100.7[500] to 192.0.2.1[500] (36 bytes)
Nov 20 10:00:00 gw charon: 06[ENC] parsed IKE_SA_INIT response 0 [ N(NO_PROP) ]
Nov 20 10:00:00 gw charon: 06[IKE] received NO_PROPOSAL_CHOSEN notify error
";
    let explained = explain(log);
    assert_eq!((explained.lines, explained.dialect), (4, Some("charon (strongSwan)")));
    assert_eq!(explained.report.first(), Some(IKE_02));
    let text = explained.to_text(PLAIN);
    assert!(text.contains("line 4: Nov 20 10:00:00 gw charon: 06[IKE] received NO_PROPOSAL_CHOSEN"), "{text}");
}

#[test]
fn the_lowest_layer_comes_first_and_many_lines_of_one_kind_are_counted() {
    let mut log = String::new();
    for index in 0..50 {
        log.push_str(&format!("AWS: Traffic Selector: TS_UNACCEPTABLE: received from responder ({index})\n"));
        log.push_str("AWS tunnel detected a pre-shared key mismatch with cgw: 203.0.113.7\n");
    }
    let explained = explain(&log);
    let codes: Vec<_> = explained.report.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [IKE_04, CHD_03]);
    let text = explained.to_text(PLAIN);
    assert!(text.contains("line 100:") && text.contains("and 47 lines more, from line 2 on"), "{text}");
}

#[test]
fn our_own_log_in_json_is_judged_by_the_rules() {
    let line = |event: &str, reason: &str, fields: serde_json::Value| {
        let mut line = json!({"schema_version": 1, "time": "2026-11-20T10:00:00.000Z", "level": "warn", "event": event,
            "message": "something happened", "connection": "site-b", "reason": reason});
        line.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        format!("{line}\n")
    };
    let log = line("connecting", "", json!({}))
        + &line("rejected", "identity_mismatch", json!({"expected_id": "b.example", "received_id": "10.0.0.4"}));
    let explained = explain(&log);
    assert_eq!((explained.dialect, explained.report.first()), (Some("underpass"), Some(IKE_05)));
    assert!(explained.to_text(PLAIN).contains("sent by the peer 10.0.0.4"));
}

#[test]
fn an_unknown_log_says_so_and_nothing_is_guessed() {
    for log in ["", "hello\nworld\n", "Nov 20 kernel: eth0: link up\n", "{\"event\": 3}\n{}\n"] {
        let explained = explain(log);
        assert_eq!((explained.dialect, explained.report.findings.len()), (None, 0), "{log:?}");
        assert!(explained.to_text(PLAIN).contains("none of them known"));
    }
}

#[test]
fn keys_and_commands_to_the_terminal_in_a_log_are_not_repeated() {
    let log = "05[IKE] received AUTHENTICATION_FAILED notify error psk=correct-horse-battery\u{1b}[2J\n";
    let text = explain(log).to_text(PLAIN);
    assert!(text.contains("IKE-04") && !text.contains("correct-horse") && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn an_endless_line_and_a_log_of_many_lines_end() {
    let endless = format!("{} received NO_PROPOSAL_CHOSEN notify error", "x".repeat(5_000_000));
    assert_eq!(explain(&endless).report.first(), None, "only the head of a line is looked at");
    let many = "08[IKE] received NO_PROPOSAL_CHOSEN notify error\n".repeat(100_000);
    let explained = explain(&many);
    assert_eq!((explained.lines, explained.recognised.len()), (100_000, 3));
}
