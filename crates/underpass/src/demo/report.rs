//! What the demo says: a line per step for people, an object per step for machines.

use super::Options;
use crate::client::clean;
use crate::exit::Failure;
use serde_json::{Map, Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// What the demo thread and the signal thread say.
#[derive(Debug)]
pub enum Progress {
    /// A step has begun.
    Began {
        /// Its name for machines.
        step: &'static str,
        /// What is being done, in words.
        doing: &'static str,
    },
    /// It is done.
    Passed {
        /// Its name.
        step: &'static str,
        /// How long it took.
        took: Duration,
        /// What came of it.
        outcome: Outcome,
    },
    /// It failed, and with it the demo.
    Failed {
        /// Its name.
        step: &'static str,
        /// How long it took.
        took: Duration,
        /// Why.
        reason: String,
    },
    /// Everything passed; the numbers of the whole run.
    Finished(Box<Totals>),
    /// Something was broken, and the doctor named it.
    Diagnosed {
        /// Its code.
        code: &'static str,
        /// The whole run.
        took: Duration,
    },
    /// Ctrl-C, or another wish that we end.
    Interrupted,
    /// The demo thread is gone.
    Ended,
}

/// What came of a step.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// In words.
    pub words: String,
    /// In numbers, by name.
    pub facts: Value,
}

impl Outcome {
    /// Both.
    pub fn new(words: impl Into<String>, facts: Value) -> Outcome {
        Outcome { words: words.into(), facts }
    }
}

/// The numbers of a whole run.
#[derive(Clone, Default, Debug)]
pub struct Totals {
    /// Echo requests.
    pub pings_sent: u64,
    /// Their replies.
    pub pings_received: u64,
    /// Bytes over TCP, each compared.
    pub tcp_bytes: u64,
    /// How long they took.
    pub tcp_took: Duration,
    /// Rekeyings of child and IKE SA.
    pub rekeys: u64,
    /// Packets sent meanwhile.
    pub packets_during_rekey: u64,
    /// Those that did not arrive.
    pub packets_lost_during_rekey: u64,
    /// The longest pause of a TCP transfer whose tunnel was cut.
    pub failover_pause: Duration,
    /// Packets on the internet that could be read there.
    pub plaintext_packets_seen: u64,
    /// ESP packets on the internet.
    pub esp_packets_seen: u64,
    /// The whole run.
    pub took: Duration,
    /// How to look around while it lasts.
    pub around: Around,
}

/// How to look around a lab that is kept.
#[derive(Clone, Default, Debug)]
pub struct Around {
    /// This program.
    pub program: String,
    /// Control sockets by site.
    pub sockets: Vec<(&'static str, PathBuf)>,
    /// A thread in each namespace, whose number `nsenter -t` takes.
    pub threads: Vec<(&'static str, u32)>,
    /// The namespaces belong to an ordinary user's user namespace.
    pub ordinary_user: bool,
}

const DRAWING: &str = "
   site-a                          the internet                          site-b
  ┌───────────┐   ┌───────────┐   ┌─────────────┐   ┌──────────────┐   ┌───────────┐
  │ host      ├───┤ gateway   │   │   router    │   │ gateway      ├───┤ host      │
  │ 10.91.1.2 │   │ 192.0.2.1 ╞═══╡   tunnel 1  ╞═══╡ 198.51.100.1 │   │ 10.93.1.2 │
  │           │   │ 192.0.2.5 ╞═══╡   tunnel 2  ╞═══╡ 203.0.113.1  │   │           │
  └───────────┘   └───────────┘   └─────────────┘   └──────────────┘   └───────────┘
";

/// Writes it down.
pub struct Report<'o> {
    options: Options,
    out: &'o mut dyn Write,
    current: &'static str,
}

impl<'o> Report<'o> {
    /// Onto `out`.
    pub fn new(options: &Options, out: &'o mut dyn Write) -> Report<'o> {
        Report { options: *options, out, current: "start" }
    }

    /// What is going to be built.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn drawing(&mut self) -> Result<(), Failure> {
        if !self.options.json {
            writeln!(self.out, "{DRAWING}")?;
            self.out.flush()?;
        }
        Ok(())
    }

    /// What happened.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn show(&mut self, progress: Progress) -> Result<(), Failure> {
        match progress {
            Progress::Began { step, doing } => {
                self.current = step;
                if self.options.terminal {
                    write!(self.out, "  \u{1b}[90m…         {doing}\u{1b}[0m")?;
                }
            }
            Progress::Passed { step, took, outcome } => {
                self.step(step, took, &outcome.words, true, outcome.facts)?;
            }
            Progress::Failed { step, took, reason } => {
                self.step(step, took, &reason, false, Value::Null)?;
                self.end_failed(step, &reason)?;
            }
            Progress::Interrupted => self.end_failed(self.current, "interrupted")?,
            Progress::Ended => self.end_failed(self.current, "the demo has ended unexpectedly: this is a defect")?,
            Progress::Diagnosed { code, took } => self.diagnosed(code, took)?,
            Progress::Finished(totals) => self.finished(&totals)?,
        }
        Ok(self.out.flush()?)
    }

    fn step(&mut self, step: &str, took: Duration, words: &str, ok: bool, facts: Value) -> Result<(), Failure> {
        if self.options.json {
            let mut object = Map::new();
            object.insert("step".to_owned(), step.into());
            object.insert("ok".to_owned(), ok.into());
            object.insert("seconds".to_owned(), seconds(took));
            object.insert("message".to_owned(), words.into());
            if let Value::Object(facts) = facts {
                object.extend(facts);
            }
            writeln!(self.out, "{}", Value::Object(object))?;
            return Ok(());
        }
        let (mark, colour) = if ok { ('✓', 32) } else { ('✗', 31) };
        let took = format!("{:5.2} s", took.as_secs_f64());
        let words = words.lines().map(clean).collect::<Vec<_>>().join("\n             ");
        match self.options.terminal {
            true => {
                writeln!(self.out, "\r\u{1b}[K  \u{1b}[{colour}m{mark}\u{1b}[0m \u{1b}[90m{took}\u{1b}[0m  {words}")?
            }
            false => writeln!(self.out, "  {mark} {took}  {words}")?,
        }
        Ok(())
    }

    fn end_failed(&mut self, step: &str, reason: &str) -> Result<(), Failure> {
        if self.options.json {
            let object = json!({ "ok": false, "schema_version": 1, "failed_step": step, "reason": reason });
            writeln!(self.out, "{object}")?;
        } else {
            let clear = if self.options.terminal { "\r\u{1b}[K" } else { "" };
            let reason = clean(reason.lines().next().unwrap_or_default());
            writeln!(self.out, "{clear}\nNot shown, stopped at `{step}`: {reason}")?;
        }
        Ok(())
    }

    fn diagnosed(&mut self, code: &str, took: Duration) -> Result<(), Failure> {
        if self.options.json {
            let object = json!({ "ok": true, "schema_version": 1, "code": code, "seconds": seconds(took) });
            writeln!(self.out, "{object}")?;
            return Ok(());
        }
        let took = took.as_secs_f64();
        writeln!(
            self.out,
            "\nBroken and named in {took:.1} s; nothing is left behind. `underpass doctor --explain {code}` says more."
        )?;
        Ok(())
    }

    fn finished(&mut self, totals: &Totals) -> Result<(), Failure> {
        if self.options.json {
            if self.options.keep {
                writeln!(self.out, "{}", totals.around.json())?;
            }
            writeln!(self.out, "{}", totals.json())?;
            return Ok(());
        }
        let took = totals.took.as_secs_f64();
        if self.options.keep {
            writeln!(self.out, "\nAll shown in {took:.1} s.\n\n{}", totals.around.words())?;
        } else {
            writeln!(self.out, "\nAll shown in {took:.1} s; nothing is left behind.")?;
        }
        Ok(())
    }
}

impl Totals {
    fn json(&self) -> Value {
        json!({
            "ok": true,
            "schema_version": 1,
            "pings_sent": self.pings_sent,
            "pings_received": self.pings_received,
            "tcp_bytes": self.tcp_bytes,
            "tcp_seconds": seconds(self.tcp_took),
            "rekeys": self.rekeys,
            "packets_during_rekey": self.packets_during_rekey,
            "packets_lost_during_rekey": self.packets_lost_during_rekey,
            "failover_pause_seconds": seconds(self.failover_pause),
            "plaintext_packets_seen": self.plaintext_packets_seen,
            "esp_packets_seen": self.esp_packets_seen,
            "seconds": seconds(self.took),
        })
    }
}

impl Around {
    fn json(&self) -> Value {
        let sockets: Map<String, Value> =
            self.sockets.iter().map(|(site, path)| ((*site).to_owned(), path.to_string_lossy().into())).collect();
        let threads: Map<String, Value> =
            self.threads.iter().map(|(name, thread)| ((*name).to_owned(), (*thread).into())).collect();
        json!({ "step": "keep", "ok": true, "sockets": sockets, "namespace_threads": threads })
    }

    fn words(&self) -> String {
        let program = clean(&self.program);
        let mut lines = vec!["It stays until Ctrl-C. Look around from another terminal:".to_owned()];
        for (site, path) in &self.sockets {
            let socket = clean(&path.to_string_lossy());
            lines.push(format!("\n  # {site}"));
            lines.push(format!("  {program} status --socket {socket}"));
            lines.push(format!("  {program} log -f --socket {socket}"));
            lines.push(format!("  {program} capture -o {site}.pcapng --decrypt --for 10s --socket {socket}"));
        }
        let user = if self.ordinary_user { " -U --preserve-credentials" } else { "" };
        lines.push("\n  # a shell in each place, for ping, ip, tcpdump …".to_owned());
        for (name, thread) in &self.threads {
            lines.push(format!("  nsenter -t {thread}{user} -n    # {name}"));
        }
        lines.join("\n")
    }
}

/// Seconds with three decimals.
fn seconds(duration: Duration) -> Value {
    let milliseconds = u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
    (f64::from(milliseconds) / 1000.0).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(options: Options, all: Vec<Progress>) -> String {
        let mut out = Vec::new();
        let mut report = Report::new(&options, &mut out);
        report.drawing().unwrap();
        for progress in all {
            report.show(progress).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    fn steps() -> Vec<Progress> {
        let took = Duration::from_millis(120);
        let outcome = Outcome::new("20 of 20 answered", json!({ "pings_sent": 20 }));
        vec![
            Progress::Began { step: "ping", doing: "pinging" },
            Progress::Passed { step: "ping", took, outcome },
            Progress::Began { step: "tcp", doing: "sending" },
        ]
    }

    #[test]
    fn for_machines_every_line_is_an_object_and_the_last_says_whether_it_is_ok() {
        let options = Options { json: true, keep: false, terminal: false, broken: None, strongswan: false };
        let mut all = steps();
        all.push(Progress::Failed { step: "tcp", took: Duration::ZERO, reason: "no\nroute".to_owned() });
        let text = shown(options, all);
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let ping =
            json!({"step": "ping", "ok": true, "seconds": 0.12, "message": "20 of 20 answered", "pings_sent": 20});
        assert_eq!(lines[0], ping);
        assert_eq!(lines[1]["ok"], json!(false));
        let last = json!({"ok": false, "schema_version": 1, "failed_step": "tcp", "reason": "no\nroute"});
        assert_eq!(lines[2], last);
        let mut all = steps();
        all.push(Progress::Interrupted);
        let text = shown(options, all);
        let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!((&last["failed_step"], &last["reason"]), (&json!("tcp"), &json!("interrupted")));
        let text = shown(options, vec![Progress::Finished(Box::default())]);
        let last: Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!((&last["ok"], &last["packets_lost_during_rekey"]), (&json!(true), &json!(0)));
    }

    #[test]
    fn for_people_a_step_is_a_line_without_colour_where_none_is_welcome() {
        let mut all = steps();
        all.push(Progress::Failed { step: "tcp", took: Duration::from_secs(5), reason: "no route".to_owned() });
        let text = shown(Options { json: false, keep: false, terminal: false, broken: None, strongswan: false }, all);
        assert!(!text.contains('\u{1b}'));
        let lines: Vec<&str> = text.lines().filter(|line| line.contains(['✓', '✗'])).collect();
        assert_eq!(lines, ["  ✓  0.12 s  20 of 20 answered", "  ✗  5.00 s  no route"]);
        assert!(text.ends_with("Not shown, stopped at `tcp`: no route\n"));
    }
}
