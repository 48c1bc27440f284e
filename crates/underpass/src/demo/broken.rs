//! The demo with one thing broken: build, start, break, and ask the doctor, who must name it first.

use super::breakage::{Act, Breakage, Stage as Broken};
use super::error::{StepError, io_error};
use super::lab::{Lab, Site};
use super::play::{PATIENCE, Stage, Stopped, build};
use super::report::Outcome;
use super::site::{Files, Pair, program};
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a fault may take to show.
const SHOWS: Duration = Duration::from_secs(40);
/// Between two visits of the doctor.
const INTERVAL: Duration = Duration::from_millis(250);

/// Plays it; the outcome of the last step is what the doctor says.
pub(super) fn play(stage: &Stage, breakage: &'static Breakage) -> Result<(), Stopped> {
    let lab = stage.step("build", "building two sites and an internet", build)?;
    let what = breakage.what;
    let files = stage.step("break", "breaking one thing", || {
        let files = Files::write_edited(&stage.directory, breakage.edits)?;
        let outcome =
            Outcome::new(format!("{}: {what}", breakage.code), json!({ "code": breakage.code, "what": what }));
        Ok((files, outcome))
    })?;
    let pair = Pair { gateways: &stage.gateways, files: &files };
    let broken = Broken { lab: &lab, pair: &pair, files: &files, gateways: &stage.gateways };
    stage.step("start", "starting the gateways", || start(stage, &broken, breakage))?;
    stage.step("doctor", "asking the doctor", || {
        let report = ask(&lab, &files, breakage)?;
        let said = page(&lab, &files, breakage)?;
        let words = format!("`underpass doctor` at {} names {} first:\n\n{said}", breakage.at.name(), breakage.code);
        Ok(((), Outcome::new(words, json!({ "code": breakage.code, "report": report }))))
    })
}

fn start(stage: &Stage, broken: &Broken<'_>, breakage: &Breakage) -> Result<((), Outcome), StepError> {
    if let Act::Before(act) = breakage.act {
        act(broken)?;
    }
    // The one that answers first, so that the other's first message finds it.
    for index in [1, 0] {
        stage.gateways.start(broken.lab, &broken.files[index])?;
        broken.pair.wait_serving(broken.files[index].site, PATIENCE)?;
    }
    if let Act::Up(act) = breakage.act {
        broken.pair.wait(PATIENCE, "up", |a, b| a.agrees(b))?;
        act(broken)?;
    }
    Ok(((), Outcome::new("started a gateway at each site", json!({ "gateways": 2 }))))
}

/// Asks until the doctor's first finding is the one that was staged.
fn ask(lab: &Lab, files: &[Files; 2], breakage: &Breakage) -> Result<Value, StepError> {
    let start = Instant::now();
    loop {
        let report = visit(lab, files, breakage, true)?;
        let report: Value = serde_json::from_str(&report).unwrap_or(Value::Null);
        let first = report.pointer("/findings/0/code").and_then(Value::as_str).unwrap_or("nothing").to_owned();
        if first == breakage.code {
            return Ok(report);
        }
        if start.elapsed() >= SHOWS {
            let words = format!("the doctor names {first} first, and not {}: {report}", breakage.code);
            return Err(StepError::Unexpected(words));
        }
        std::thread::sleep(INTERVAL);
    }
}

/// What it says to people.
fn page(lab: &Lab, files: &[Files; 2], breakage: &Breakage) -> Result<String, StepError> {
    Ok(visit(lab, files, breakage, false)?.trim_end().to_owned())
}

fn visit(lab: &Lab, files: &[Files; 2], breakage: &Breakage, machine: bool) -> Result<String, StepError> {
    let at = match breakage.at {
        Site::A => &files[0],
        Site::B => &files[1],
    };
    let mut command = Command::new(program());
    command.args(["doctor", "-c"]).arg(&at.config).args(breakage.doctor);
    command.args(machine.then_some("--json")).stdin(Stdio::null()).stderr(Stdio::null());
    let ran = lab.at(breakage.at).gateway.run(|| command.output())?;
    Ok(String::from_utf8_lossy(&ran.map_err(io_error("run the doctor"))?.stdout).into_owned())
}
