//! The managed service's tunnel activity log: its fields and its phrases, so that what people wrote for that log reads ours.
//!
//! A fold over the log's events as JSON ([`engine::record::Record`] with its time): which phase is in which state follows from
//! what happened before. What the service has no phrase for is told in our words.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What the log says of a tunnel beside its events.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct About {
    /// Liveness checks are on.
    pub dpd: bool,
    /// A NAT is between.
    pub nat: bool,
}

/// State of a phase, in the log's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    #[default]
    Down,
    Negotiating,
    Established,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            State::Down => "down",
            State::Negotiating => "negotiating",
            State::Established => "established",
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Tunnel {
    about: About,
    phase1: State,
    phase2: State,
    v1: bool,
    /// Of each child that is up: the SPI that the peer deletes it by.
    spis: BTreeMap<String, String>,
}

/// Writes the activity log of all tunnels.
#[derive(Clone, Debug, Default)]
pub struct ActivityLog {
    tunnels: BTreeMap<String, Tunnel>,
}

impl ActivityLog {
    /// A log of tunnels about which this is known.
    pub fn new(about: impl IntoIterator<Item = (String, About)>) -> ActivityLog {
        let tunnel = |(name, about)| (name, Tunnel { about, ..Tunnel::default() });
        ActivityLog { tunnels: about.into_iter().map(tunnel).collect() }
    }

    /// The entry of an event, `seconds` being its time since 1970. `None` for what concerns no tunnel that is known, and for
    /// what happens to groups of tunnels: that log has no word for them.
    pub fn entry(&mut self, event: &Value, seconds: u64) -> Option<Value> {
        let tunnel = self.tunnels.get_mut(text(event, "connection"))?;
        tunnel.take(event);
        Some(json!({
            "event_timestamp": seconds,
            "timestamp": text(event, "time"),
            "dpd_enabled": tunnel.about.dpd,
            "nat_t_detected": tunnel.about.nat,
            "ike_phase1_state": tunnel.phase1.word(),
            "ike_phase2_state": tunnel.phase2.word(),
            "details": tunnel.details(event),
        }))
    }
}

fn text<'e>(event: &'e Value, name: &str) -> &'e str {
    event.get(name).and_then(Value::as_str).unwrap_or_default()
}

impl Tunnel {
    /// The states after an event.
    fn take(&mut self, event: &Value) {
        let child = || text(event, "child").to_owned();
        match text(event, "event") {
            "connecting" => self.phase1 = State::Negotiating,
            "ike_sa_up" => {
                self.phase1 = State::Established;
                self.v1 = text(event, "version") == "ikev1";
                self.about.nat = !matches!(text(event, "nat"), "none" | "");
                if self.phase2 == State::Down {
                    self.phase2 = State::Negotiating;
                }
            }
            "connect_failed" | "ike_sa_down" => {
                self.phase1 = State::Down;
                // Children of IKEv1 outlive what made them (RFC 2409 §5.5).
                if !self.v1 || self.spis.is_empty() {
                    (self.phase2, self.spis) = (State::Down, BTreeMap::new());
                }
            }
            "child_sa_up" | "child_sa_rekeyed" => {
                self.phase2 = State::Established;
                let spi = text(event, "spi_out").trim_start_matches("0x").to_owned();
                self.spis.insert(child(), spi);
            }
            "child_sa_down" => self.phase2 = if self.spis.len() > 1 { State::Established } else { State::Down },
            "child_failed" if self.spis.is_empty() => self.phase2 = State::Down,
            _ => {}
        }
    }

    /// The service's phrase, or our message.
    fn details(&mut self, event: &Value) -> String {
        let (kind, reason) = (text(event, "event"), text(event, "reason"));
        let remote = || text(event, "remote").rsplit_once(':').map_or_else(String::new, |(host, _)| host.to_owned());
        match (kind, reason) {
            ("rejected", "no_proposal_chosen") => {
                "No Proposal Match Found. Notifying with \"No proposal chosen\"".to_owned()
            }
            ("connect_failed" | "child_failed", _) if says(event, "NO_PROPOSAL_CHOSEN") => {
                "No Proposal Match Found by AWS".to_owned()
            }
            ("connect_failed" | "child_failed", "no_proposal_chosen") => "No Proposal Match Found by AWS".to_owned(),
            ("rejected" | "connect_failed", "psk_mismatch") if !text(event, "key_of").is_empty() => {
                "AWS tunnel payload decryption was unsuccessful due to invalid Pre-shared Key".to_owned()
            }
            ("rejected", "psk_mismatch") => {
                format!("AWS tunnel detected a pre-shared key mismatch with cgw: {}", remote())
            }
            ("rejected", "identity_mismatch" | "wrong_responder") => {
                "AWS tunnel is sending AUTHENTICATION_FAILED as the response".to_owned()
            }
            ("child_failed" | "connect_failed", _) if says(event, "TS_UNACCEPTABLE") => {
                "AWS: Traffic Selector: TS_UNACCEPTABLE: received from responder".to_owned()
            }
            ("ike_sa_down", "no_answer") => "Peer is not responsive - Declaring peer dead".to_owned(),
            ("ike_sa_down", "peer_deleted") => "AWS tunnel received DELETE for IKE_SA from CGW".to_owned(),
            ("child_sa_down", "peer_deleted") => {
                let spi = self.spis.remove(text(event, "child")).unwrap_or_default();
                format!("AWS tunnel received DELETE for Phase 2 SA with SPI: {spi}")
            }
            ("child_sa_down", "redundant") => {
                "AWS tunnel (CHILD_SA) redundant SA is being deleted due to detected collision".to_owned()
            }
            ("child_failed", _) if self.phase1 == State::Established && self.phase2 != State::Established => {
                "AWS tunnel Phase 2 was unable to establish while keeping Phase 1".to_owned()
            }
            _ => {
                if kind == "child_sa_down" {
                    self.spis.remove(text(event, "child"));
                }
                text(event, "message").to_owned()
            }
        }
    }
}

/// Whether the peer answered with this notify.
fn says(event: &Value, notify: &str) -> bool {
    text(event, "notify") == notify
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, more: Value) -> Value {
        let mut event =
            json!({"time": "2026-11-26T10:00:00.000Z", "event": kind, "connection": "cloud-1", "message": "our words"});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    }

    fn log() -> ActivityLog {
        ActivityLog::new([("cloud-1".to_owned(), About { dpd: true, nat: false })])
    }

    /// Phase 1, phase 2, details after the last of these.
    fn told(events: &[Value]) -> (String, String, String) {
        let mut log = log();
        let last = events.iter().filter_map(|event| log.entry(event, 1_764_547_200)).last().unwrap();
        let part = |name: &str| last[name].as_str().unwrap().to_owned();
        (part("ike_phase1_state"), part("ike_phase2_state"), part("details"))
    }

    fn up() -> Vec<Value> {
        vec![
            event("connecting", json!({"remote": "203.0.113.7:500"})),
            event("ike_sa_up", json!({"version": "ikev2", "nat": "local"})),
            event("child_sa_up", json!({"child": "net", "spi_in": "0x1001", "spi_out": "0xc1a2b3c4"})),
        ]
    }

    #[test]
    fn the_fields_are_those_of_the_service() {
        let mut log = log();
        let entries: Vec<Value> = up().iter().filter_map(|event| log.entry(event, 1_764_547_200)).collect();
        assert_eq!(
            entries[2],
            json!({"event_timestamp": 1_764_547_200, "timestamp": "2026-11-26T10:00:00.000Z", "dpd_enabled": true,
                "nat_t_detected": true, "ike_phase1_state": "established", "ike_phase2_state": "established", "details": "our words"})
        );
        assert_eq!(entries[0]["ike_phase1_state"], "negotiating");
        assert_eq!(entries[1]["ike_phase2_state"], "negotiating");
        assert_eq!(log.entry(&json!({"event": "started", "connection": null}), 0), None);
    }

    #[test]
    fn what_the_service_has_a_phrase_for_is_said_in_it() {
        let with = |more: Value| [up(), vec![more]].concat();
        let of = |kind: &str, more: Value| event(kind, more);
        let (down, up) = ("down", "established");
        let rows = [
            (
                with(of("ike_sa_down", json!({"reason": "no_answer"}))),
                down,
                down,
                "Peer is not responsive - Declaring peer dead",
            ),
            (
                with(of("ike_sa_down", json!({"reason": "peer_deleted"}))),
                down,
                down,
                "AWS tunnel received DELETE for IKE_SA from CGW",
            ),
            (
                with(of("child_sa_down", json!({"child": "net", "reason": "peer_deleted"}))),
                up,
                down,
                "AWS tunnel received DELETE for Phase 2 SA with SPI: c1a2b3c4",
            ),
            (
                vec![of("connect_failed", json!({"reason": "refused", "notify": "NO_PROPOSAL_CHOSEN"}))],
                down,
                down,
                "No Proposal Match Found by AWS",
            ),
            (
                vec![of("rejected", json!({"reason": "psk_mismatch", "remote": "203.0.113.7:500"}))],
                down,
                down,
                "AWS tunnel detected a pre-shared key mismatch with cgw: 203.0.113.7",
            ),
            (
                vec![
                    self::up()[1].clone(),
                    of("child_failed", json!({"reason": "refused", "notify": "TS_UNACCEPTABLE"})),
                ],
                up,
                down,
                "AWS: Traffic Selector: TS_UNACCEPTABLE: received from responder",
            ),
            (
                vec![self::up()[1].clone(), of("child_failed", json!({"reason": "no_answer"}))],
                up,
                down,
                "AWS tunnel Phase 2 was unable to establish while keeping Phase 1",
            ),
        ];
        for (events, phase1, phase2, details) in rows {
            assert_eq!(told(&events), (phase1.to_owned(), phase2.to_owned(), details.to_owned()));
        }
    }

    #[test]
    fn an_event_of_odd_content_is_told_and_does_no_harm() {
        for odd in [json!({"connection": "cloud-1"}), json!({"connection": "cloud-1", "event": 7, "reason": {}})] {
            assert!(log().entry(&odd, 0).is_some());
        }
        assert!(log().entry(&json!([]), 0).is_none());
    }
}
