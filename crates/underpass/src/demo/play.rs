//! The steps of the demo, one after another, each with what it must show.

use super::breakage::Breakage;
use super::broken;
use super::error::{StepError, io_error};
use super::lab::{Lab, Path, Site};
use super::report::{Around, Outcome, Progress, Totals};
use super::site::{CHILD, End, Files, Gateways, Pair};
use super::stranger;
use super::traffic::{self, Stream, Streamed};
use super::watch::{Seen, Watch};
use crate::table;
use serde_json::json;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

/// Echo requests from each side.
const PINGS: u16 = 20;
/// Bytes of the TCP transfer.
const TCP_BYTES: u64 = 32 << 20;
/// Bytes of the transfer that meets a cut.
const CUT_BYTES: u64 = 128 << 20;
/// Packets sent from each side while there is no tunnel.
const BLIND_PACKETS: u64 = 200;
/// Packets sent before there is a gateway, to show that the eye sees.
const CONTROL_PACKETS: u64 = 3;
/// How long anything of a gateway may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How long a packet that should not be there has to appear.
const SETTLE: Duration = Duration::from_millis(150);
/// The stream before the first rekey and after each.
pub(super) const STEADY: Duration = Duration::from_millis(300);

/// What the demo thread gets.
pub struct Stage {
    /// The processes, shared with whoever ends them.
    pub gateways: Gateways,
    /// Where files go.
    pub directory: PathBuf,
    /// Prepare for visitors.
    pub keep: bool,
    /// We are root of a user namespace alone.
    pub ordinary_user: bool,
    /// Break this, and ask the doctor.
    pub broken: Option<&'static Breakage>,
    /// strongSwan is at the far site.
    pub strongswan: bool,
    /// Who listens.
    pub progress: Sender<Progress>,
}

/// Why the play does not go on: it has been said.
pub(super) struct Stopped;

/// Says that the thread has ended, even when it panics.
struct Farewell(Sender<Progress>);

impl Drop for Farewell {
    fn drop(&mut self) {
        // Nobody listens: the process is about to end.
        let _ = self.0.send(Progress::Ended);
    }
}

/// Plays all of it. Returns after a failure alone: the gateways live no longer than the calling thread.
pub fn run(stage: Stage) {
    let _farewell = Farewell(stage.progress.clone());
    let started = Instant::now();
    if let Some(breakage) = stage.broken {
        if broken::play(&stage, breakage).is_ok() {
            let diagnosed = Progress::Diagnosed { code: breakage.code, took: started.elapsed() };
            let _ = stage.progress.send(diagnosed);
            loop {
                std::thread::park();
            }
        }
        return;
    }
    let played = if stage.strongswan { stranger::play(&stage) } else { play(&stage) };
    if let Ok((mut totals, _watch)) = played {
        totals.took = started.elapsed();
        let _ = stage.progress.send(Progress::Finished(Box::new(totals)));
        loop {
            std::thread::park();
        }
    }
}

fn play(stage: &Stage) -> Result<(Totals, Watch), Stopped> {
    let mut totals = Totals::default();
    let lab = stage.step("build", "building two sites and an internet", build)?;
    let watch = stage.step("watch", "sending without a gateway", || watch(&lab))?;
    let before = watch.seen();
    let files = stage.step("start", "starting the gateways", || start(stage, &lab))?;
    let pair = Pair { gateways: &stage.gateways, files: &files };
    let guarded = Guarded { stage, watch: &watch, before };
    guarded.step("up", "negotiating", || up(&pair))?;
    guarded.step("ping", "pinging", || ping(&lab, &mut totals))?;
    guarded.step("tcp", "sending over TCP", || tcp(&lab, &mut totals))?;
    rekeys(&guarded, &lab, &pair, &mut totals)?;
    guarded.step("cut", "cutting a path under a transfer", || cut(&lab, &pair, &mut totals))?;
    guarded.step("restore", "restoring it", || restore(&lab, &pair))?;
    guarded.step("down", "taking the tunnels down", || down(&lab, &pair, &watch))?;
    guarded.step("kill", "killing a gateway", || kill(&lab, &pair, &watch))?;
    guarded.step("recover", "starting it again", || recover(&lab, &pair, &mut totals))?;
    guarded.step("plaintext", "looking at what was seen", || {
        let seen = watch.seen().since(before);
        (totals.plaintext_packets_seen, totals.esp_packets_seen) = (seen.clear, seen.esp);
        let words = format!("in all, the internet saw {} ESP packets, {} of IKE and none in clear", seen.esp, seen.ike);
        let facts = json!({ "esp_packets": seen.esp, "ike_packets": seen.ike, "clear_packets": seen.clear,
            "missed_packets": seen.missed });
        Ok(((), Outcome::new(words, facts)))
    })?;
    if stage.keep {
        totals.around = stage.step("keep", "opening the doors", || around(stage, &lab, &files))?;
    }
    Ok((totals, watch))
}

impl Stage {
    pub(super) fn step<T>(
        &self,
        step: &'static str,
        doing: &'static str,
        work: impl FnOnce() -> Result<(T, Outcome), StepError>,
    ) -> Result<T, Stopped> {
        let start = Instant::now();
        // Nobody listens: the process is about to end.
        let say = |progress| self.progress.send(progress).map_err(|_| Stopped);
        say(Progress::Began { step, doing })?;
        let result = work();
        let took = start.elapsed();
        match result {
            Ok((value, outcome)) => say(Progress::Passed { step, took, outcome }).map(|()| value),
            Err(error) => {
                say(Progress::Failed { step, took, reason: error.to_string() })?;
                Err(Stopped)
            }
        }
    }
}

/// Steps after which nothing may have been seen in clear, whatever else came of them.
pub(super) struct Guarded<'s> {
    pub(super) stage: &'s Stage,
    pub(super) watch: &'s Watch,
    pub(super) before: Seen,
}

impl Guarded<'_> {
    pub(super) fn step<T>(
        &self,
        step: &'static str,
        doing: &'static str,
        work: impl FnOnce() -> Result<(T, Outcome), StepError>,
    ) -> Result<T, Stopped> {
        self.stage.step(step, doing, || {
            let result = work();
            let seen = self.watch.seen().since(self.before);
            if seen.clear != 0 {
                let last = self.watch.last_clear().unwrap_or_default();
                return unexpected(format!(
                    "{} packets went over the internet in clear ({} of ESP), the last from {last}",
                    seen.clear, seen.esp
                ));
            }
            result
        })
    }
}

pub(super) fn unexpected<T>(words: String) -> Result<T, StepError> {
    Err(StepError::Unexpected(words))
}

pub(super) fn build() -> Result<(Lab, Outcome), StepError> {
    let lab = Lab::build()?;
    let words = "built site-a, an internet and site-b: 5 network namespaces, 4 wires";
    Ok((lab, Outcome::new(words, json!({ "namespaces": 5 }))))
}

/// The eye must see before it may be believed that there is nothing to see.
pub(super) fn watch(lab: &Lab) -> Result<(Watch, Outcome), StepError> {
    let watch = Watch::start(&lab.internet)?;
    traffic::burst(lab, Site::A, CONTROL_PACKETS)?;
    let start = Instant::now();
    while watch.seen().clear < CONTROL_PACKETS && start.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(5));
    }
    let seen = watch.seen().clear;
    if seen != CONTROL_PACKETS {
        return unexpected(format!("of {CONTROL_PACKETS} packets in clear {seen} were seen on the internet"));
    }
    let words = format!("without a gateway, the internet reads {seen} of {CONTROL_PACKETS} packets to the other site");
    Ok((watch, Outcome::new(words, json!({ "sent": CONTROL_PACKETS, "clear_packets": seen }))))
}

fn start(stage: &Stage, lab: &Lab) -> Result<([Files; 2], Outcome), StepError> {
    let files = Files::write(&stage.directory)?;
    let pair = Pair { gateways: &stage.gateways, files: &files };
    // The one that answers first, so that the other's first message finds it.
    for index in [1, 0] {
        stage.gateways.start(lab, &files[index])?;
        pair.wait_serving(files[index].site, PATIENCE)?;
    }
    Ok((files, Outcome::new("started a gateway at each site", json!({ "gateways": 2 }))))
}

fn up(pair: &Pair<'_>) -> Result<((), Outcome), StepError> {
    let [end, _] = pair.wait(PATIENCE, "up", |a, b| a.agrees(b) && a.carries(0) && b.carries(0))?;
    let (ike, esp) = end.suites;
    let words = format!("both tunnels are up: IKEv2 {ike}, ESP {esp}; the first carries");
    Ok(((), Outcome::new(words, json!({ "ike_suite": ike, "esp_suite": esp }))))
}

pub(super) fn ping(lab: &Lab, totals: &mut Totals) -> Result<((), Outcome), StepError> {
    let mut round_trips = Duration::ZERO;
    for site in Site::BOTH {
        let pings = traffic::ping(lab, site, PINGS)?;
        totals.pings_sent += pings.sent;
        totals.pings_received += pings.received;
        round_trips += pings.round_trips;
    }
    let (sent, received) = (totals.pings_sent, totals.pings_received);
    if received != sent {
        return unexpected(format!("{received} of {sent} pings were answered"));
    }
    let mean = round_trips.as_secs_f64() * 1000.0 / received as f64;
    let words = format!("{received} of {sent} pings answered, from both sides, {mean:.2} ms each");
    let facts = json!({ "pings_sent": sent, "pings_received": received, "mean_milliseconds": mean });
    Ok(((), Outcome::new(words, facts)))
}

pub(super) fn tcp(lab: &Lab, totals: &mut Totals) -> Result<((), Outcome), StepError> {
    let transfer = traffic::transfer(lab, Site::A, TCP_BYTES)?;
    (totals.tcp_bytes, totals.tcp_took) = (transfer.bytes, transfer.took);
    let seconds = transfer.took.as_secs_f64();
    let megabits = transfer.bytes as f64 * 8.0 / 1e6 / seconds.max(1e-9);
    let size = table::bytes(transfer.bytes);
    let words = format!("{size} over TCP in {seconds:.2} s, {megabits:.0} Mbit/s, every byte right");
    Ok(((), Outcome::new(words, json!({ "tcp_bytes": transfer.bytes, "tcp_seconds": seconds }))))
}

/// Rekeys both SAs from both sides under a stream in both directions.
fn rekeys(stage: &Guarded<'_>, lab: &Lab, pair: &Pair<'_>, totals: &mut Totals) -> Result<(), Stopped> {
    const REKEYS: [(&str, Site, Option<&str>); 4] = [
        ("rekey_child_from_a", Site::A, Some(CHILD)),
        ("rekey_child_from_b", Site::B, Some(CHILD)),
        ("rekey_ike_from_a", Site::A, None),
        ("rekey_ike_from_b", Site::B, None),
    ];
    let streams = stage.step("stream", "sending 1,000 packets a second each way", || {
        let streams = [Stream::start(lab, Site::A)?, Stream::start(lab, Site::B)?];
        std::thread::sleep(STEADY);
        Ok((streams, Outcome::new("streaming 1,000 packets a second each way", json!({}))))
    })?;
    for (step, site, child) in REKEYS {
        stage.step(step, "rekeying under the stream", || rekey(pair, site, child))?;
        std::thread::sleep(STEADY);
        totals.rekeys += 1;
    }
    stage.step("rekey_loss", "counting what arrived", || {
        streams.iter().for_each(Stream::stop);
        let mut all = Streamed::default();
        for stream in streams {
            let one = stream.finish()?;
            all = Streamed { sent: all.sent + one.sent, received: all.received + one.received };
        }
        let lost = all.sent.saturating_sub(all.received);
        (totals.packets_during_rekey, totals.packets_lost_during_rekey) = (all.sent, lost);
        if lost != 0 {
            return unexpected(format!("{lost} of {} packets were lost while rekeying", all.sent));
        }
        let words = format!("{} packets sent while rekeying, none lost", all.sent);
        let facts = json!({ "packets_during_rekey": all.sent, "packets_lost_during_rekey": lost });
        Ok(((), Outcome::new(words, facts)))
    })
}

fn rekey(pair: &Pair<'_>, site: Site, child: Option<&str>) -> Result<((), Outcome), StepError> {
    let [old, _] = pair.wait(PATIENCE, "of one mind before the rekey", End::agrees)?;
    pair.order(site, "rekey", child)?;
    let renewed = |end: &End| match child {
        Some(_) => end.child.0 != old.child.0 && end.child.1 != old.child.1,
        None => end.ike != old.ike,
    };
    let [new, _] = pair.wait(PATIENCE, "rekeyed", |a, b| renewed(a) && a.agrees(b))?;
    let (what, spi) = match child {
        Some(_) => ("ESP", &new.child.0),
        None => ("IKE", &new.ike.0),
    };
    let words = format!("new {what} keys, asked for by {}", site.name());
    Ok(((), Outcome::new(words, json!({ "spi": spi }))))
}

/// The path of the tunnel that carries becomes a black hole while a TCP transfer uses it.
fn cut(lab: &Lab, pair: &Pair<'_>, totals: &mut Totals) -> Result<((), Outcome), StepError> {
    let transfer = traffic::transfer_through(lab, Site::A, CUT_BYTES, || lab.cut(Path::First, true))?;
    pair.wait(PATIENCE, "using the second tunnel", |a, b| a.carries(1) && b.carries(1))?;
    let pause = transfer.longest_pause;
    totals.failover_pause = pause;
    let size = table::bytes(transfer.bytes);
    let words = format!(
        "the first tunnel's path cut under a TCP transfer: {size} arrived, every byte right, after a pause of {:.2} s",
        pause.as_secs_f64()
    );
    let facts = json!({ "tcp_bytes": transfer.bytes, "pause_seconds": pause.as_secs_f64() });
    Ok(((), Outcome::new(words, facts)))
}

fn restore(lab: &Lab, pair: &Pair<'_>) -> Result<((), Outcome), StepError> {
    lab.cut(Path::First, false)?;
    let back = |end: &End| end.roles == ["held", "active"];
    let [end, _] = pair.wait(PATIENCE, "hearing from the first tunnel again", |a, b| back(a) && back(b))?;
    let words = "path restored: the first tunnel answers again, and is held back for a while in case it flaps";
    Ok(((), Outcome::new(words, json!({ "roles": end.roles }))))
}

/// Sends from `sites` and returns how many ESP packets went over the internet meanwhile.
fn send_blind(lab: &Lab, watch: &Watch, sites: &[Site]) -> Result<u64, StepError> {
    let before = watch.seen();
    for site in sites {
        traffic::burst(lab, *site, BLIND_PACKETS)?;
    }
    std::thread::sleep(SETTLE);
    let seen = watch.seen().since(before);
    if seen.missed != 0 {
        return unexpected(format!("{} packets on the internet could not be looked at", seen.missed));
    }
    Ok(seen.esp)
}

fn down(lab: &Lab, pair: &Pair<'_>, watch: &Watch) -> Result<((), Outcome), StepError> {
    pair.order(Site::A, "down", None)?;
    pair.wait(PATIENCE, "down", |a, b| a.down && b.down)?;
    let esp = send_blind(lab, watch, &Site::BOTH)?;
    if esp != 0 {
        return unexpected(format!("{esp} ESP packets were sent through a tunnel that is down"));
    }
    pair.order(Site::A, "up", None)?;
    pair.wait(PATIENCE, "up again", End::agrees)?;
    let sent = 2 * BLIND_PACKETS;
    let words = format!("tunnels down: of {sent} packets none left in clear; up again");
    Ok(((), Outcome::new(words, json!({ "sent": sent, "clear_packets": 0 }))))
}

fn kill(lab: &Lab, pair: &Pair<'_>, watch: &Watch) -> Result<((), Outcome), StepError> {
    pair.gateways.kill(Site::A);
    let esp = send_blind(lab, watch, &[Site::A])?;
    if esp != 0 {
        return unexpected(format!("{esp} ESP packets came from a gateway that is dead"));
    }
    let words = format!("gateway of site-a killed with kill -9: of {BLIND_PACKETS} packets none left in clear");
    Ok(((), Outcome::new(words, json!({ "sent": BLIND_PACKETS, "clear_packets": 0 }))))
}

fn recover(lab: &Lab, pair: &Pair<'_>, totals: &mut Totals) -> Result<((), Outcome), StepError> {
    pair.gateways.start(lab, &pair.files[0])?;
    pair.wait(PATIENCE, "up again", End::agrees)?;
    let pings = traffic::ping(lab, Site::A, PINGS)?;
    totals.pings_sent += pings.sent;
    totals.pings_received += pings.received;
    if pings.received != pings.sent {
        return unexpected(format!("{} of {} pings were answered", pings.received, pings.sent));
    }
    let words = format!("started again: the tunnels are back, {} of {} pings answered", pings.received, pings.sent);
    Ok(((), Outcome::new(words, json!({ "pings_sent": pings.sent, "pings_received": pings.received }))))
}

/// A thread in every namespace, for `nsenter` to find it by.
fn around(stage: &Stage, lab: &Lab, files: &[Files; 2]) -> Result<(Around, Outcome), StepError> {
    let mut threads = Vec::new();
    for (name, namespace) in lab.spaces() {
        let (tell, hear) = channel();
        let reside = move || {
            // It is `PID/task/TID`.
            let link = std::fs::read_link("/proc/thread-self").unwrap_or_default();
            let number = link.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
            // Whoever waits knows from silence that there was none.
            let _ = tell.send(number.unwrap_or(0));
            loop {
                std::thread::park();
            }
        };
        namespace.spawn("resident", reside)?;
        let number = hear.recv().map_err(|_| io_error("enter a namespace")(std::io::ErrorKind::Other.into()))?;
        threads.push((name, number));
    }
    let program = std::env::current_exe().map_or_else(|_| "underpass".into(), |path| path.display().to_string());
    let sockets = files.iter().map(|files| (files.site.name(), files.socket.clone())).collect();
    let around = Around { program, sockets, threads, ordinary_user: stage.ordinary_user };
    Ok((around, Outcome::new("everything stays as it is", json!({}))))
}
