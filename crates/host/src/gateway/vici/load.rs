//! Loading and unloading. Nothing is passed over in silence: what is not taken is refused with what to do instead.
//!
//! A connection that the configuration has is never changed from here: loading it succeeds when it says the same, and is
//! refused when it does not. One that it has not becomes a connection of the running gateway, until it is unloaded or the
//! gateway ends.

use super::Answer;
use crate::gateway::serve::Gateway;
use engine::desired::{Connection, DesiredState};
use engine::record::Level;
use formats::vici::{Message, SharedKey, Value, differences, load_conn};
use ike::config::PeerName;
use std::collections::BTreeMap;
use std::time::Instant;

/// Keys that clients may have loaded at a time.
const MOST_KEYS: usize = 500;
/// Connections that clients may have loaded at a time.
const MOST_CONNECTIONS: usize = 500;

/// What clients loaded.
#[derive(Default)]
pub(super) struct Loaded {
    keys: BTreeMap<String, SharedKey>,
    connections: BTreeMap<PeerName, Connection>,
}

impl Gateway {
    pub(super) fn vici_load(&mut self, command: &str, request: &Message, now: Instant) -> Answer {
        let loaded = &self.vici.loaded;
        let done = match command {
            "get-conns" => {
                let names = loaded.connections.keys().map(ToString::to_string);
                return Answer::Now(Message::new().with_list("conns", names));
            }
            "get-shared" => return Answer::Now(Message::new().with_list("keys", loaded.keys.keys())),
            "load-conn" => self.vici_load_conn(request, now),
            "unload-conn" => self.vici_unload_conn(request, now),
            "load-shared" => self.vici_load_key(request),
            "unload-shared" => self.vici_unload_key(request),
            // The keys of connections that are loaded stay with them.
            "clear-creds" => {
                self.vici.loaded.keys.clear();
                Ok(())
            }
            "flush-certs" => Ok(()),
            "load-cert" | "load-key" | "load-token" | "load-authority" => {
                Err("pre-shared keys alone are used here: no certificates, no private keys".to_owned())
            }
            "load-pool" => Err("no addresses are handed out here: take the pool out".to_owned()),
            "unload-key" | "unload-authority" | "unload-pool" => {
                Err(format!("{command}: `{}` is not loaded", said(request)))
            }
            "install" | "uninstall" => {
                Err("policies follow the configuration: set `start = \"on-demand\"` for the child".to_owned())
            }
            "redirect" => Err("redirecting (RFC 5685) is not done here".to_owned()),
            "reset-counters" => Err("counters are not kept by VICI's names".to_owned()),
            _ => return Answer::Unknown,
        };
        Answer::Now(done.map_or_else(Message::failure, |()| Message::success()))
    }

    fn vici_load_key(&mut self, request: &Message) -> Result<(), String> {
        let (name, key) = SharedKey::of(request)?;
        let keys = &mut self.vici.loaded.keys;
        if keys.len() >= MOST_KEYS && !keys.contains_key(&name) {
            return Err(format!("{MOST_KEYS} keys are loaded already: write them into the secrets file"));
        }
        keys.insert(name, key);
        Ok(())
    }

    fn vici_unload_key(&mut self, request: &Message) -> Result<(), String> {
        let name = request.text("id").unwrap_or_default();
        let gone = self.vici.loaded.keys.remove(name);
        gone.map(drop).ok_or_else(|| format!("key `{}` is not loaded", name.escape_debug()))
    }

    fn vici_load_conn(&mut self, request: &Message, now: Instant) -> Result<(), String> {
        let [(name, Value::Section(section))] = request.entries() else {
            return Err("one section, the connection, is expected".to_owned());
        };
        let peer = PeerName::from(name.as_str());
        let own = self.vici.loaded.connections.contains_key(&peer);
        let configured = self.configured.connections.get(&peer).filter(|_| !own);
        if self.configured.groups.contains_key(&peer) {
            return Err(format!("`{name}` is a connection of several tunnels in underpass.toml: change it there"));
        }
        let known = configured.map(|connection| &connection.peer.psk);
        let loaded = load_conn(name, section, self.vici.loaded.keys.values(), known)?;
        let connection = loaded.connection;
        if let Some(configured) = configured {
            let differ = differences(&configured.peer, &connection.peer);
            if differ.is_empty() {
                return Ok(());
            }
            return Err(format!(
                "`{name}` in underpass.toml has another {}: change it there (`underpass import` reads swanctl.conf) and \
                 reload, or take it out",
                differ.join(", ")
            ));
        }
        if !own && self.vici.loaded.connections.len() >= MOST_CONNECTIONS {
            return Err(format!("{MOST_CONNECTIONS} connections are loaded already: use `underpass import`"));
        }
        if let Some(other) = claimed(&connection, &self.configured) {
            return Err(format!("its traffic is also that of {other}: one of the two must be narrower"));
        }
        for warning in loaded.warnings {
            self.note(Level::Warn, "vici_load", &format!("{name}: {warning}"));
        }
        let before = self.vici.loaded.connections.insert(peer.clone(), connection.clone());
        let mut desired = self.configured.clone();
        desired.connections.insert(peer.clone(), connection);
        let adopted = self.adopt(desired, now).map_err(|error| error.to_string());
        if adopted.is_err() {
            // It stays as it was, here as in the engine.
            match before {
                Some(before) => drop(self.vici.loaded.connections.insert(peer, before)),
                None => drop(self.vici.loaded.connections.remove(&peer)),
            }
        } else {
            self.note(Level::Info, "vici_loaded", &format!("connection {name} loaded by VICI, until the gateway ends"));
        }
        adopted
    }

    fn vici_unload_conn(&mut self, request: &Message, now: Instant) -> Result<(), String> {
        let name = request.text("name").unwrap_or_default();
        let peer = PeerName::from(name);
        if !self.vici.loaded.connections.contains_key(&peer) {
            return Err(match self.configured.connections.contains_key(&peer) {
                true => format!("`{name}` is in underpass.toml: take it out there and reload"),
                false => format!("connection `{}` is not loaded", name.escape_debug()),
            });
        }
        let mut desired = self.configured.clone();
        desired.connections.remove(&peer);
        self.adopt(desired, now).map_err(|error| error.to_string())?;
        self.vici.loaded.connections.remove(&peer);
        self.note(Level::Info, "vici_unloaded", &format!("connection {name} unloaded by VICI"));
        Ok(())
    }

    /// What the file asks for now, and what clients loaded. The file comes first: a loaded connection that is in its way goes.
    pub(in crate::gateway) fn with_loaded(&mut self, mut desired: DesiredState) -> DesiredState {
        let mut gone = Vec::new();
        for (name, connection) in &self.vici.loaded.connections {
            if desired.connections.contains_key(name) || claimed(connection, &desired).is_some() {
                gone.push(name.clone());
            } else {
                desired.connections.insert(name.clone(), connection.clone());
            }
        }
        for name in gone {
            self.vici.loaded.connections.remove(&name);
            let text = format!("connection {name}, loaded by VICI, gives way to the configuration");
            self.note(Level::Warn, "vici_unloaded", &text);
        }
        desired
    }
}

/// A child of another connection that claims some of this one's traffic.
fn claimed(connection: &Connection, state: &DesiredState) -> Option<String> {
    let others = state.connections.values().filter(|other| other.peer.name != connection.peer.name);
    let mut theirs = others.flat_map(|other| other.peer.children.iter().map(move |child| (&other.peer.name, child)));
    let meet = |ours: &[ipsec::TrafficSelector], theirs: &[ipsec::TrafficSelector]| {
        ours.iter().any(|ours| theirs.iter().any(|theirs| ours.intersection(theirs).is_some()))
    };
    let found = theirs.find(|(_, theirs)| {
        let ours = &connection.peer.children;
        ours.iter().any(|ours| meet(&ours.local, &theirs.local) && meet(&ours.remote, &theirs.remote))
    });
    found.map(|(peer, child)| format!("{peer}/{}", child.name))
}

/// What a request to unload names.
fn said(request: &Message) -> String {
    request.text("name").or(request.text("id")).unwrap_or_default().escape_debug().to_string()
}
