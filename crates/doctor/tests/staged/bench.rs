//! Collects evidence from a gateway of a simulation and asks the doctor.

use crate::support::*;
use doctor::evidence::{Configuration, Event, Live};
use doctor::{Code, Evidence, Report, diagnose};
use engine::desired::DesiredState;
use engine::record::Record;
use engine::status::StatusContext;
use formats::rfc3339;
use serde_json::{Value, json};
use sim::{Link, NodeId};
use std::time::Instant;

/// Virtual time begins at 2026-11-20T10:00:00Z.
const EPOCH: u64 = 1_795_168_800;

fn stamp(pair: &Pair, at: Instant) -> String {
    let start = pair.now() - pair.lab.elapsed();
    let since = at.saturating_duration_since(start);
    rfc3339(EPOCH + since.as_secs(), since.subsec_millis())
}

/// The status as the control socket serves it.
pub fn status(pair: &Pair, node: NodeId) -> Value {
    let gateway = pair.gateway(node);
    let stamp = |at: Instant| stamp(pair, at);
    let context = StatusContext { stamp: &stamp, version: "1.2.3", pid: 42, drops: &gateway.drops };
    serde_json::to_value(gateway.engine.status(pair.now(), &context)).unwrap()
}

/// The log as the control socket serves it.
pub fn log(pair: &Pair, node: NodeId) -> Vec<Value> {
    let line = |(at, event): &(Instant, ike::event::Event)| {
        let mut line = json!({"schema_version": 1, "time": stamp(pair, *at)});
        let record = serde_json::to_value(Record::from(event)).unwrap();
        line.as_object_mut().unwrap().extend(record.as_object().unwrap().clone());
        line
    };
    pair.gateway(node).events.iter().map(line).collect()
}

/// Everything that can be known at one end, through a file as `--save` and `--from` would.
pub fn evidence(pair: &Pair, node: NodeId) -> Evidence {
    let evidence = Evidence {
        schema_version: 1,
        taken: Some(stamp(pair, pair.now())),
        configuration: Some(Configuration::of(&pair.desired[node.0])),
        running: Some(true),
        live: Live::from_status(&status(pair, node)),
        events: log(pair, node).iter().filter_map(Event::from_log).collect(),
        ..Evidence::default()
    };
    let file = evidence.to_json();
    assert!(!file.contains("battery staple"), "a pre-shared key in the evidence");
    let read = Evidence::from_json(&file).unwrap();
    assert_eq!(read, evidence);
    read
}

/// As [`evidence`], with what the far end saved.
pub fn with_far(pair: &Pair, node: NodeId) -> Evidence {
    let far = Box::new(evidence(pair, NodeId(1 - node.0)));
    Evidence { far: Some(far), ..evidence(pair, node) }
}

/// The doctor's opinion of these, which must begin with `code`.
#[track_caller]
pub fn expect(pair: &Pair, evidence: &Evidence, code: Code) -> Report {
    let report = diagnose(evidence, None);
    if report.first() != Some(code) {
        let page = doctor::page::of_report(&report, doctor::page::Style { colour: false });
        let events: String = evidence.events.iter().map(|event| format!("{event:?}\n")).collect();
        let live = serde_json::to_string_pretty(&evidence.live).unwrap();
        panic!("expected {code} first, found:\n{page}\n{events}\n{live}\n{}", pair.dump());
    }
    report
}

/// The same of one end alone.
#[track_caller]
pub fn expect_at(pair: &Pair, node: NodeId, code: Code) -> Report {
    expect(pair, &evidence(pair, node), code)
}

/// A pair that begins to negotiate, with what `change` makes of their configurations.
pub fn begun(change: impl Fn(NodeId, &mut DesiredState)) -> Pair {
    let mut pair = Pair::new(1, Link::PERFECT, false, change);
    pair.apply(B);
    pair.apply(A);
    pair
}

/// The same, after so many seconds.
pub fn after(time: u64, change: impl Fn(NodeId, &mut DesiredState)) -> Pair {
    let mut pair = begun(change);
    pair.run(seconds(time));
    pair
}

/// What a finding says, all of it.
pub fn words(report: &Report) -> String {
    report.findings.first().map(|first| format!("{}\n{}", first.line, first.evidence.join("\n"))).unwrap_or_default()
}
