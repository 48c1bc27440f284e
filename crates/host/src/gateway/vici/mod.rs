//! The commands of VICI, joined to the engine. What is not done is refused with a reason, never passed over in silence.

mod control;
mod events;
mod load;

use super::serve::Gateway;
use crate::control::ControlError;
use crate::poll::{Poller, Ready, Token};
use crate::vici::{ViciClient, ViciServer};
use control::Waiting;
use engine::view::IkeView;
use formats::vici::{Message, Numbers, Packet, Value};
use ike::config::StartPolicy;
use std::path::Path;
use std::time::Instant;

/// The first token of the server.
const TOKENS: Token = Token(128);

/// What a gateway keeps for clients of VICI.
pub(super) struct Vici {
    server: Option<ViciServer>,
    numbers: Numbers,
    waiting: Vec<Waiting>,
    /// The SAs as they were last seen, to tell of when they are gone. Empty while nobody listens.
    known: Vec<IkeView>,
    loaded: load::Loaded,
}

/// What became of a command.
enum Answer {
    /// This.
    Now(Message),
    /// It is answered when it is done.
    Later(Waiting),
    /// There is no such command.
    Unknown,
}

impl Vici {
    /// Listens at `path`, if there is one.
    pub(super) fn open(path: Option<&Path>, poller: &Poller) -> Result<Vici, ControlError> {
        let server = path.map(|path| ViciServer::bind(path, poller, TOKENS)).transpose()?;
        Ok(Vici {
            server,
            numbers: Numbers::default(),
            waiting: Vec::new(),
            known: Vec::new(),
            loaded: load::Loaded::default(),
        })
    }

    /// Whether a token is of its server.
    pub(super) fn owns(&self, token: Token) -> bool {
        self.server.as_ref().is_some_and(|server| server.owns(token))
    }

    /// When a command has to be answered, done or not.
    pub(super) fn due(&self) -> Option<Instant> {
        self.waiting.iter().map(|waiting| waiting.until).min()
    }
}

impl Gateway {
    /// Does what there is to do for a token of the VICI socket.
    pub(super) fn hear_vici(&mut self, ready: &Ready, now: Instant) {
        if let Some(server) = &mut self.vici.server {
            server.handle(ready, &self.poller);
        }
        self.answer_vici(now);
    }

    /// Answers what clients have asked and nothing else keeps from its turn.
    fn answer_vici(&mut self, now: Instant) {
        while let Some((client, packet)) = self.vici.server.as_mut().and_then(ViciServer::take) {
            let answer = match packet {
                Packet::Register(event) => self.vici_register(client, &event, true),
                Packet::Unregister(event) => self.vici_register(client, &event, false),
                Packet::Request(command, request) => match self.vici_command(client, &command, &request, now) {
                    Answer::Now(message) => Packet::Response(message),
                    Answer::Unknown => Packet::UnknownCommand,
                    Answer::Later(waiting) => {
                        if let Some(server) = &mut self.vici.server {
                            server.set_busy(client);
                        }
                        self.vici.waiting.push(waiting);
                        self.carry_out(now);
                        self.settle_vici(now);
                        continue;
                    }
                },
                // A gateway's own packets, from a client: there is nothing to answer.
                Packet::Response(_)
                | Packet::UnknownCommand
                | Packet::Confirm
                | Packet::UnknownEvent
                | Packet::Event(..) => continue,
            };
            self.vici_send(client, &answer);
        }
    }

    fn vici_register(&mut self, client: ViciClient, event: &str, wanted: bool) -> Packet {
        let known = self.vici.server.as_mut().is_some_and(|server| server.register(client, event, wanted));
        self.remember_sas();
        if known { Packet::Confirm } else { Packet::UnknownEvent }
    }

    fn vici_send(&mut self, client: ViciClient, packet: &Packet) {
        if let Some(server) = &mut self.vici.server {
            server.send(client, packet, &self.poller);
        }
    }

    fn vici_command(&mut self, client: ViciClient, command: &str, request: &Message, now: Instant) -> Answer {
        let none = || Message::new();
        Answer::Now(match command {
            "version" => self.vici_version(),
            "stats" => self.vici_stats(now),
            "list-sas" => {
                let sas = self.sas(request, now);
                self.list(client, "list-sa", &sas)
            }
            "list-conns" => self.list(client, "list-conn", &self.conns(request)),
            "list-policies" => self.list(client, "list-policy", &self.policies(request)),
            // There are none: pre-shared keys alone are spoken here.
            "list-certs" | "list-authorities" | "get-pools" => none(),
            "get-keys" => none().with_list::<&str>("keys", []),
            "get-authorities" => none().with_list::<&str>("authorities", []),
            "get-algorithms" => Message::algorithms(),
            "get-counters" => Message::failure("counters are not kept by VICI's names: see `underpass status --json`"),
            "reload-settings" => match self.reload(now) {
                Ok(_) => Message::success(),
                Err(error) => Message::failure(error),
            },
            "initiate" => return self.vici_initiate(client, request, now),
            "terminate" => return self.vici_terminate(client, request, now),
            "rekey" => self.vici_rekey(request, now),
            _ => return self.vici_load(command, request, now),
        })
    }

    /// Streams a list to the client that asked for it.
    fn list(&mut self, client: ViciClient, event: &str, messages: &[Message]) -> Message {
        if let Some(server) = &mut self.vici.server {
            for message in messages {
                server.tell(client, event, message, &self.poller);
            }
        }
        Message::new()
    }

    fn vici_version(&self) -> Message {
        let kernel = |file: &str| {
            let text = std::fs::read_to_string(Path::new("/proc/sys/kernel").join(file)).unwrap_or_default();
            text.trim().to_owned()
        };
        Message::new()
            .with("daemon", "underpass")
            .with("version", self.version)
            .with("sysname", kernel("ostype"))
            .with("release", kernel("osrelease"))
            .with("machine", std::env::consts::ARCH)
    }

    fn vici_stats(&self, now: Instant) -> Message {
        let started = self.engine.started();
        let running = now.saturating_duration_since(started).as_secs();
        let none =
            || ["critical", "high", "medium", "low"].iter().fold(Message::new(), |all, name| all.with(name, "0"));
        let total = self.engine.endpoint().sas().count();
        let workers = Message::new().with("total", "3").with("idle", "3").with_section("active", none());
        Message::new()
            .with_section(
                "uptime",
                Message::new().with("running", format!("{running} seconds")).with("since", self.stamp(started)),
            )
            .with_section("workers", workers)
            .with_section("queues", none())
            .with("scheduled", "0")
            .with_section(
                "ikesas",
                Message::new()
                    .with("total", total.to_string())
                    .with("half-open", self.engine.endpoint().half_open().to_string()),
            )
            .with_list("plugins", ["underpass", "vici"])
    }

    /// The IKE SAs as they are now, each with a number.
    fn numbered_sas(&mut self) -> Vec<IkeView> {
        let views = self.engine.ike_views();
        self.vici.numbers.refresh(&views);
        views
    }

    fn sas(&mut self, request: &Message, now: Instant) -> Vec<Message> {
        let views = self.numbered_sas();
        let wanted = control::Filter::of(request, self);
        let numbers = &self.vici.numbers;
        let chosen = views.iter().filter(|view| wanted.ike(view, numbers));
        let chosen =
            chosen.filter(|view| !wanted.names_child() || view.children.iter().any(|child| wanted.child(child)));
        chosen.map(|view| Message::list_sa(view, |child| wanted.child(child), numbers, now)).collect()
    }

    fn conns(&self, request: &Message) -> Vec<Message> {
        let wanted = request.text("ike").map(|name| self.tunnels_of(&name.into()));
        let connections = self.engine.desired().connections.iter();
        let connections = connections.filter(|(name, _)| wanted.as_ref().is_none_or(|wanted| wanted.contains(name)));
        connections.map(|(_, connection)| Message::list_conn(connection)).collect()
    }

    fn policies(&self, request: &Message) -> Vec<Message> {
        let asked = |kind: &str| request.text(kind) == Some("yes");
        let every = !["trap", "pass", "drop"].into_iter().any(asked);
        let named = |name: &str| request.text("child").is_none_or(|wanted| wanted == name);
        let ike = |name: &str| request.text("ike").is_none_or(|wanted| wanted == name);
        let mut found = Vec::new();
        let desired = self.engine.desired();
        for peer in desired.connections.values().map(|connection| &connection.peer) {
            let traps = peer.children.iter().filter(|child| child.start == StartPolicy::OnDemand);
            let traps = traps.filter(|child| (every || asked("trap")) && named(&child.name.0) && ike(&peer.name.0));
            found.extend(traps.map(|child| Message::list_trap(peer, child)));
        }
        let of_kind = |message: &Message| {
            let mode = message.entries().iter().find_map(|(_, value)| match value {
                Value::Section(section) => section.text("mode").map(str::to_lowercase),
                Value::Bytes(_) | Value::List(_) => None,
            });
            every || mode.is_some_and(|mode| asked(&mode))
        };
        let policies = desired.policies.iter().filter(|policy| named(&policy.name) && request.text("ike").is_none());
        found.extend(policies.map(Message::list_policy).filter(of_kind));
        found
    }
}
