//! The control socket's commands: one JSON object in, one out (`underpass status`, `up`, `down`, …).

use super::capture::{self, Capture};
use super::serve::Gateway;
use crate::control::{ClientId, Request};
use engine::Engine;
use engine::record::Level;
use engine::status::StatusContext;
use ike::CommandError;
use ike::config::{ChildName, PeerName};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long a capture lasts that does not say.
const DEFAULT_CAPTURE: Duration = Duration::from_secs(10);

/// What is wrong with a request.
struct Refusal {
    code: &'static str,
    message: String,
    hint: Option<String>,
}

impl Refusal {
    fn new(code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into(), hint: None }
    }
}

impl From<CommandError> for Refusal {
    fn from(error: CommandError) -> Refusal {
        let code = match error {
            CommandError::UnknownPeer(_) => "unknown_connection",
            CommandError::UnknownChild(..) => "unknown_child",
            CommandError::NotUp(_) => "not_up",
            CommandError::NoAddress(_) => "no_address",
        };
        Refusal::new(code, error.to_string())
    }
}

/// Which connection, and which of its children.
struct Target {
    peer: PeerName,
    child: Option<ChildName>,
}

fn target(request: &Value) -> Result<Target, Refusal> {
    let text = |name: &str| request.get(name).and_then(Value::as_str);
    let peer = text("connection").ok_or_else(|| Refusal::new("bad_request", "`connection` is missing"))?;
    Ok(Target { peer: peer.into(), child: text("child").map(ChildName::from) })
}

impl Gateway {
    pub(super) fn answer(&mut self, request: &Request, now: Instant) {
        let client = request.client;
        let answer = match self.command(client, &request.value, now) {
            Ok(result) => json!({"ok": true, "result": result}),
            Err(refusal) => {
                let error = json!({"code": refusal.code, "message": refusal.message, "hint": refusal.hint});
                json!({"ok": false, "error": error})
            }
        };
        self.control.respond(client, &answer, &self.poller);
    }

    fn command(&mut self, client: ClientId, request: &Value, now: Instant) -> Result<Value, Refusal> {
        let command = request.get("command").and_then(Value::as_str).unwrap_or_default();
        match command {
            "status" => Ok(self.status(now)),
            "up" => {
                self.for_each_tunnel(request, |engine, Target { peer, child }| engine.up(peer, child.as_ref(), now))
            }
            "down" => {
                self.for_each_tunnel(request, |engine, Target { peer, child }| engine.down(peer, child.as_ref(), now))
            }
            "rekey" => self.for_each_tunnel(request, |engine, Target { peer, child }| match child {
                Some(child) => engine.rekey_child(peer, Some(child), now),
                None => engine.rekey_ike(peer, now),
            }),
            "log" => {
                if request.get("follow").and_then(Value::as_bool) == Some(true) {
                    self.followers.push(client);
                }
                Ok(Value::Array(self.journal.kept().cloned().collect()))
            }
            "reload" => self.reload(now).map_err(|message| Refusal {
                code: "configuration",
                message,
                hint: Some("the old configuration stays in force".to_owned()),
            }),
            "capture" => self.begin_capture(client, request, now),
            other => Err(Refusal::new("bad_request", format!("there is no command `{other}`"))),
        }
    }

    /// The tunnels of a connection that has several; of any other, itself.
    pub(super) fn tunnels_of(&self, name: &PeerName) -> Vec<PeerName> {
        let group = self.configured.groups.get(name);
        group.map_or_else(|| vec![name.clone()], |group| group.peers().cloned().collect())
    }

    /// Carries a command out for a connection, or for every tunnel of one that has several; all of them, even where one of them
    /// cannot, which is then what is answered.
    fn for_each_tunnel(
        &mut self,
        request: &Value,
        order: impl Fn(&mut Engine, &Target) -> Result<(), CommandError>,
    ) -> Result<Value, Refusal> {
        let Target { peer, child } = target(request)?;
        let mut result = Ok(());
        for peer in self.tunnels_of(&peer) {
            let done = order(&mut self.engine, &Target { peer, child: child.clone() });
            result = result.and(done);
        }
        result?;
        Ok(json!({"asked": peer.to_string()}))
    }

    /// `{"command":"capture","connection":NAME or null,"seconds":N,"packets":N}`, or `"milliseconds"`. After the answer come lines
    /// `{"pcapng":"base64"}`, each the next piece of the file, until the connection ends.
    fn begin_capture(&mut self, client: ClientId, request: &Value, now: Instant) -> Result<Value, Refusal> {
        if self.capture.is_some() {
            return Err(Refusal::new("busy", "a capture is running already: one at a time"));
        }
        let connection = request.get("connection").and_then(Value::as_str).map(PeerName::from);
        let connections = connection.as_ref().map(|name| self.tunnels_of(name));
        let unknown = |peer: &&PeerName| !self.configured.connections.contains_key(*peer);
        if let Some(peer) = connections.iter().flatten().find(unknown) {
            return Err(CommandError::UnknownPeer(peer.clone()).into());
        }
        let number = |name: &str| request.get(name).and_then(Value::as_u64);
        let seconds = number("seconds").map(Duration::from_secs);
        let duration = number("milliseconds").map(Duration::from_millis).or(seconds).unwrap_or(DEFAULT_CAPTURE);
        let packets = number("packets").unwrap_or(capture::MOST);
        let whose = connection.as_ref().map_or("all connections".to_owned(), ToString::to_string);
        let request = capture::Request { client, connections, packets, duration };
        let started = Capture::start(request, &self.tap, &self.waker, self.version, now);
        self.capture = Some(started.map_err(|error| Refusal::new("capture", error.to_string()))?);
        let limit = duration.min(capture::LONGEST);
        // Whoever reads the log must be able to see that somebody read the traffic.
        let text = format!("capture of decrypted traffic of {whose} began, for {} s at most", limit.as_secs_f32());
        self.note(Level::Warn, "capture_started", &text);
        Ok(json!({"seconds": limit.as_secs_f64(), "packets": packets.min(capture::MOST)}))
    }

    fn status(&self, now: Instant) -> Value {
        let stamp = |at: Instant| self.stamp(at);
        let context =
            StatusContext { stamp: &stamp, version: self.version, pid: std::process::id(), drops: &self.drops };
        serde_json::to_value(self.engine.status(now, &context)).unwrap_or(Value::Null)
    }
}
