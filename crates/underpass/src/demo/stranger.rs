//! The demo with strongSwan at the far site: one tunnel, and what of the steps applies to a peer that is not ours.

use super::error::StepError;
use super::lab::{Lab, Site};
use super::play::{self, Guarded, PATIENCE, STEADY, Stage, Stopped, build, unexpected};
use super::report::{Outcome, Totals};
use super::site::{CHILD, CONNECTION, End, Files};
use super::strongswan::StrongSwan;
use super::traffic::{Stream, Streamed};
use super::watch::Watch;
use crate::client::Gateway;
use crate::tunnels::Status;
use serde_json::json;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(20);

/// Our end.
struct Near {
    gateway: Gateway,
}

impl Near {
    fn look(&self) -> Result<End, StepError> {
        Ok(End::read(&Status::of(&self.gateway)?))
    }

    fn order(&self, command: &str, child: Option<&str>) -> Result<(), StepError> {
        self.gateway.ask(&json!({ "command": command, "connection": CONNECTION, "child": child }))?;
        Ok(())
    }

    fn wait(&self, what: &str, holds: impl Fn(&End) -> bool) -> Result<End, StepError> {
        let start = Instant::now();
        loop {
            let looked = self.look();
            match looked {
                Ok(end) if holds(&end) => return Ok(end),
                Ok(end) if start.elapsed() >= PATIENCE => {
                    return unexpected(format!("not {what}: {}", end.reason.unwrap_or_default()));
                }
                Err(error) if start.elapsed() >= PATIENCE => return Err(error),
                Ok(_) | Err(_) => std::thread::sleep(INTERVAL),
            }
        }
    }
}

pub(super) fn play(stage: &Stage) -> Result<(Totals, Watch), Stopped> {
    let mut totals = Totals::default();
    let lab = stage.step("build", "building two sites and an internet", build)?;
    let watch = stage.step("watch", "sending without a gateway", || play::watch(&lab))?;
    let before = watch.seen();
    let (near, peer) = stage.step("start", "starting strongSwan and our gateway", || start(stage, &lab))?;
    let guarded = Guarded { stage, watch: &watch, before };
    guarded.step("up", "negotiating", || up(&near))?;
    guarded.step("ping", "pinging", || play::ping(&lab, &mut totals))?;
    guarded.step("tcp", "sending over TCP", || play::tcp(&lab, &mut totals))?;
    guarded.step("rekey", "rekeying from both sides under a stream", || rekeys(&lab, &near, &peer, &mut totals))?;
    guarded.step("down", "strongSwan closes the tunnel", || down(&near, &peer))?;
    guarded.step("plaintext", "looking at what was seen", || {
        let seen = watch.seen().since(before);
        (totals.plaintext_packets_seen, totals.esp_packets_seen) = (seen.clear, seen.esp);
        let words = format!("in all, the internet saw {} ESP packets, {} of IKE and none in clear", seen.esp, seen.ike);
        let facts = json!({ "esp_packets": seen.esp, "ike_packets": seen.ike, "clear_packets": seen.clear,
            "missed_packets": seen.missed });
        Ok(((), Outcome::new(words, facts)))
    })?;
    stage.step("skipped", "", || {
        let words = "not shown with strongSwan: a second tunnel and its failover (its ESP in userspace takes one tunnel for these \
                     networks), kill -9";
        Ok(((), Outcome::new(words, json!({ "skipped": ["cut", "restore", "kill", "recover"] }))))
    })?;
    Ok((totals, watch))
}

fn start(stage: &Stage, lab: &Lab) -> Result<((Near, StrongSwan), Outcome), StepError> {
    let (files, psk) = Files::write_alone(&stage.directory)?;
    let peer = StrongSwan::start(lab, &stage.gateways, &stage.directory, &psk)?;
    stage.gateways.start(lab, &files)?;
    let near = Near { gateway: Gateway::at(&files.socket) };
    near.wait("serving", |_| true)?;
    let words = "started strongSwan at site-b and our gateway at site-a";
    Ok(((near, peer), Outcome::new(words, json!({ "peer": "strongswan" }))))
}

fn up(near: &Near) -> Result<((), Outcome), StepError> {
    let (ike, esp) = near.wait("up", |end| end.up)?.suites;
    let words = format!("the tunnel is up: IKEv2 {ike}, ESP {esp}");
    Ok(((), Outcome::new(words, json!({ "ike_suite": ike, "esp_suite": esp }))))
}

/// Child and IKE SA, asked for by us and by strongSwan.
fn rekeys(lab: &Lab, near: &Near, peer: &StrongSwan, totals: &mut Totals) -> Result<((), Outcome), StepError> {
    let streams = [Stream::start(lab, Site::A)?, Stream::start(lab, Site::B)?];
    std::thread::sleep(STEADY);
    let child = |end: &End| end.child.clone();
    let ike = |end: &End| end.ike.clone();
    renewed(near, child, || near.order("rekey", Some(CHILD)))?;
    renewed(near, child, || peer.control(&["--rekey", "--child", CHILD]))?;
    renewed(near, ike, || near.order("rekey", None))?;
    renewed(near, ike, || peer.control(&["--rekey", "--ike", CONNECTION]))?;
    totals.rekeys = 4;
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
    let words =
        format!("new keys of both SAs, asked for by both sides: {} packets sent meanwhile, none lost", all.sent);
    let facts = json!({ "rekeys": 4, "packets_during_rekey": all.sent, "packets_lost_during_rekey": lost });
    Ok(((), Outcome::new(words, facts)))
}

fn renewed<T: PartialEq>(
    near: &Near,
    of: impl Fn(&End) -> T,
    order: impl FnOnce() -> Result<(), StepError>,
) -> Result<(), StepError> {
    let old = of(&near.wait("up before a rekey", |end| end.up)?);
    order()?;
    near.wait("rekeyed", |end| end.up && of(end) != old)?;
    std::thread::sleep(STEADY);
    Ok(())
}

fn down(near: &Near, peer: &StrongSwan) -> Result<((), Outcome), StepError> {
    let old = near.look()?.ike;
    peer.control(&["--terminate", "--ike", CONNECTION])?;
    near.wait("up again", |end| end.up && end.ike != old)?;
    Ok(((), Outcome::new("strongSwan closed the tunnel, and we brought it up again", json!({}))))
}
