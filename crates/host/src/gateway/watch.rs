//! The engine thread's part in a capture: who may have one, IKE messages and what came of them, the keys, and handing it all to
//! the client as it comes.

use super::capture::{self, Capture, Running, View, Whose};
use super::commands::Refusal;
use super::key_export::KeyFeed;
use super::outer::{IkeHeader, Note, Way, ike_payload, told};
use super::serve::Gateway;
use crate::capture::Direction;
use crate::control::ClientId;
use crate::sys::namespace;
use engine::record::{Level, Record};
use ike::CommandError;
use ike::config::{Path, PeerName};
use ike::event::Event;
use serde_json::{Value, json};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How long a capture lasts that does not say.
const DEFAULT: Duration = Duration::from_secs(10);
/// Bytes of a capture that may wait for its client, less than the control server's limit by what one look may add.
const BACKLOG: usize = 1 << 20;

/// An IKE message that is being handled while a capture runs: what came of it, and the answers, which follow it in the file.
#[derive(Default)]
pub(super) struct Hearing {
    outcomes: Vec<String>,
    answers: Vec<Answer>,
}

struct Answer {
    time: SystemTime,
    whose: Whose,
    path: Path,
    message: Vec<u8>,
    outcome: String,
}

impl Gateway {
    /// `{"command":"capture","connection":NAME or null,"seconds":N,"packets":N,"view":…,"keys":BOOL}`, or `"milliseconds"`;
    /// the view is `outside`, `inside`, `both` or, for keys alone, `none`. After the answer come lines `{"pcapng":"base64"}`, each
    /// the next piece of the file, and `{"keys":{…}}`, lines of Wireshark's tables, until the connection ends.
    pub(super) fn begin_capture(&mut self, client: ClientId, request: &Value, now: Instant) -> Result<Value, Refusal> {
        if self.capture.is_some() {
            return Err(Refusal::new("busy", "a capture is running already: one at a time"));
        }
        let connection = request.get("connection").and_then(Value::as_str).map(PeerName::from);
        let connections = connection.as_ref().map(|name| self.tunnels_of(name));
        let unknown = |peer: &&PeerName| !self.configured.connections.contains_key(*peer);
        if let Some(peer) = connections.iter().flatten().find(unknown) {
            return Err(CommandError::UnknownPeer(peer.clone()).into());
        }
        let view = view(request)?;
        let wants_keys = request.get("keys").and_then(Value::as_bool) == Some(true);
        let keys = if wants_keys { Some(self.allow_keys(client)?) } else { None };
        let number = |name: &str| request.get(name).and_then(Value::as_u64);
        let seconds = number("seconds").map(Duration::from_secs);
        let duration = number("milliseconds").map(Duration::from_millis).or(seconds).unwrap_or(DEFAULT);
        let packets = number("packets").unwrap_or(capture::MOST);
        let whose = connection.as_ref().map_or("all connections".to_owned(), ToString::to_string);
        let user = keys.as_ref().map(|keys| keys.user);
        let request = capture::Request { client, connections, view, keys, packets, duration };
        let started = Capture::start(request, &self.tap, &self.waker, self.version, now);
        self.capture = Some(started.map_err(|error| Refusal::new("capture", error.to_string()))?);
        let limit = duration.min(capture::LONGEST);
        // Whoever reads the log must be able to see that somebody read the traffic.
        if view.outside || view.inside {
            let what = if view.inside { "decrypted traffic" } else { "encrypted traffic" };
            let text = format!("capture of {what} of {whose} began, for {} s at most", limit.as_secs_f32());
            self.note(Level::Warn, "capture_started", &text);
        }
        if let Some(user) = user {
            let text = format!(
                "KEYS OF {whose} are given to user {user}, those there are and those made in the next {} s: whoever has them can read the captured traffic",
                limit.as_secs_f32()
            );
            self.note(Level::Warn, "keys_exported", &text);
        }
        Ok(json!({"seconds": limit.as_secs_f64(), "packets": packets.min(capture::MOST)}))
    }

    /// Keys are for root and for the user the gateway runs as, who can read its memory anyway; not for the socket's group.
    fn allow_keys(&mut self, client: ClientId) -> Result<KeyFeed, Refusal> {
        let user = self.control.user(client);
        let own = namespace::effective_ids().0;
        let refusal = if !self.configured.gateway.key_export {
            Refusal::new("forbidden", "the configuration forbids it: key_export = \"off\" in [gateway]")
        } else {
            match user {
                Some(user) if user == 0 || user == own => return Ok(KeyFeed::new(user)),
                _ => Refusal::new(
                    "not_permitted",
                    format!("keys are for root and for user {own}, whom the gateway runs as"),
                ),
            }
        };
        let whom = user.map_or("a client that is gone".to_owned(), |user| format!("user {user}"));
        self.note(Level::Warn, "keys_refused", &format!("{whom} asked for keys and was refused"));
        Err(refusal)
    }

    /// Hands the client of a capture what has come, and ends the capture when it is over.
    pub(super) fn feed_capture(&mut self, now: Instant) {
        let Some(capture) = &mut self.capture else { return };
        let client = capture.client;
        // A client that reads slowly gets less, not nothing: what it has no time for is lost and counted.
        if self.control.backlog(client) <= BACKLOG {
            let (engine, configured) = (&self.engine, self.engine.desired());
            let at = |address: IpAddr| {
                let by_sa = engine.endpoint().sas().filter(|sa| sa.path().remote.ip() == address);
                let named =
                    configured.connections.iter().filter(|(_, one)| one.peer.remote_addresses.contains(&address));
                by_sa.map(|sa| sa.peer().name.clone()).chain(named.map(|(name, _)| name.clone())).collect()
            };
            for piece in capture.pieces(at) {
                self.control.respond(client, &json!({ "pcapng": piece }), &self.poller);
            }
        }
        if capture.is_over(now) || !self.control.is_connected(client) {
            let (taken, lost) = (capture.taken, capture.lost());
            let mut text = format!("capture ended after {taken} packets, {lost} lost");
            if let Some(keys) = &capture.keys {
                text = format!("{text}; {} lines of keys were given to user {}", keys.lines, keys.user);
            }
            self.capture = None;
            self.control.respond(client, &json!({ "end": { "packets": taken, "lost": lost } }), &self.poller);
            self.control.close(client, &self.poller);
            self.note(Level::Warn, "capture_ended", &text);
        }
    }

    /// Hands the client the keys of SAs that are new.
    pub(super) fn feed_keys(&mut self) {
        let Some(capture) = self.capture.as_mut().filter(|capture| capture.keys.is_some()) else { return };
        let export = self.engine.export_keys(|peer| capture.wants(peer));
        let client = capture.client;
        if let Some(news) = capture.keys.as_mut().and_then(|keys| keys.news(&export)) {
            self.control.respond(client, &json!({ "keys": news }), &self.poller);
        }
    }

    /// The capture that runs, if it takes outer packets at all.
    fn outside_capture(&self) -> Option<Arc<Running>> {
        self.capture.as_ref()?;
        self.tap.running().filter(|running| running.wants_outside(&Whose::Address(IpAddr::from([0; 4]))))
    }

    /// An IKE message came in. While a capture runs, what the engine makes of it is carried out at once, so that it is known what
    /// belongs to it.
    pub(super) fn hear_ike(&mut self, path: Path, message: &[u8], now: Instant) {
        let Some(running) = self.outside_capture() else { return self.engine.handle_ike(path, message, now) };
        self.carry_out(now);
        let time = SystemTime::now();
        let before = self.whose_ike(&path, message);
        self.hearing = Some(Hearing::default());
        self.engine.handle_ike(path, message, now);
        self.carry_out(now);
        let Hearing { mut outcomes, answers } = self.hearing.take().unwrap_or_default();
        let whose = before.or_else(|| self.whose_ike(&path, message)).unwrap_or(Whose::Address(path.remote.ip()));
        if outcomes.is_empty() {
            outcomes.push(if answers.is_empty() { "taken" } else { "answered" }.to_owned());
        }
        let outcome = outcomes.join("; ");
        self.take_ike(&running, time, whose.clone(), &path, message, (Direction::Inbound, outcome));
        for Answer { time, whose: of, path, message, outcome } in answers {
            let of = if matches!(of, Whose::Peer(_)) { of } else { whose.clone() };
            self.take_ike(&running, time, of, &path, &message, (Direction::Outbound, outcome));
        }
    }

    /// An IKE message was sent, or was not.
    pub(super) fn told_ike(&mut self, path: Path, message: &[u8], result: &io::Result<()>) {
        let Some(running) = self.outside_capture() else { return };
        let outcome = result.as_ref().map_or_else(|error| format!("not sent: {error}"), |()| "sent".to_owned());
        let whose = self.whose_ike(&path, message).unwrap_or(Whose::Address(path.remote.ip()));
        let time = SystemTime::now();
        match &mut self.hearing {
            Some(hearing) => {
                hearing.answers.push(Answer { time, whose, path, message: message.to_vec(), outcome });
            }
            None => self.take_ike(&running, time, whose, &path, message, (Direction::Outbound, outcome)),
        }
    }

    /// A NAT keepalive was sent.
    pub(super) fn told_keepalive(&self, path: &Path) {
        let Some(running) = self.outside_capture() else { return };
        let whose = Whose::Address(path.remote.ip());
        running.take_outside(whose, Direction::Outbound, &Way::outbound(path), &[0xFF], Note::Keepalive);
    }

    /// What an event says belongs to the message that is being handled.
    pub(super) fn told_event(&mut self, event: &Event) {
        if let Some(hearing) = &mut self.hearing {
            hearing.outcomes.push(match event {
                Event::Ignored { reason, .. } => format!("dropped: {}", reason.name()),
                event => Record::from(event).message,
            });
        }
    }

    fn take_ike(
        &self,
        running: &Running,
        time: SystemTime,
        whose: Whose,
        path: &Path,
        message: &[u8],
        (direction, outcome): (Direction, String),
    ) {
        if !running.wants_outside(&whose) {
            return;
        }
        let nat_port = path.local.port() == self.configured.gateway.endpoint.nat_port;
        let local = Some(path.local.ip()).filter(|address| !address.is_unspecified());
        let local = SocketAddr::new(told(local, path.remote.ip()), path.local.port());
        let path = Path { local, remote: path.remote };
        let inbound = direction == Direction::Inbound;
        let way = if inbound { Way::inbound(&path, 0) } else { Way::outbound(&path) };
        let header = IkeHeader::of(message).unwrap_or(IkeHeader::NONE);
        let note = Note::Ike { header, inbound, outcome };
        running.take_outside_of(time, whose, direction, &way, &ike_payload(nat_port, message), note);
    }

    /// The connection of the IKE SA that a message belongs to.
    fn whose_ike(&self, path: &Path, message: &[u8]) -> Option<Whose> {
        let header = IkeHeader::of(message)?;
        let spis = [header.initiator_spi, header.responder_spi].map(u64::to_be_bytes);
        // Our own SPI is never zero, and nobody else chose it.
        let ours = |sa: &ike::SaView<'_>| spis.contains(&sa.local_spi().0) && sa.path().remote.ip() == path.remote.ip();
        self.engine.endpoint().sas().find(ours).map(|sa| Whose::Peer(sa.peer().name.clone()))
    }
}

fn view(request: &Value) -> Result<View, Refusal> {
    match request.get("view").and_then(Value::as_str).unwrap_or("outside") {
        "outside" => Ok(View { outside: true, inside: false }),
        "inside" => Ok(View { outside: false, inside: true }),
        "both" => Ok(View { outside: true, inside: true }),
        "none" => Ok(View { outside: false, inside: false }),
        other => {
            let words = "`outside`, `inside`, `both` or `none`";
            Err(Refusal::new("bad_request", format!("there is no view `{other}`: say {words}")))
        }
    }
}
