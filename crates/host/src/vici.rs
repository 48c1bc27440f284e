//! The socket that `swanctl` and other clients of VICI speak to: non-blocking, in the gateway's own event loop, every
//! buffer bounded. What it is asked is not its business.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;

use formats::vici::{EVENTS, Frames, LONGEST_PACKET, Message, Packet};

use crate::control::ControlError;
use crate::control::listening::Listening;
use crate::control::outbox::write_out;
use crate::poll::{Interest, Poller, Ready, Token};

/// Root alone: whoever may open the socket may load keys.
const MODE: u32 = 0o600;
/// Connections at a time; one more is closed at once.
pub const CLIENTS_MAX: usize = 16;
/// Bytes that wait for a slow client; beyond that it is dropped.
const BACKLOG_MAX: usize = 4 * 1024 * 1024;
/// Bytes that a client may send ahead of the answers: one whole packet, and the small ones that follow a command.
const AHEAD_MAX: usize = LONGEST_PACKET + 16 * 1024;
/// Bytes read from one client before others have their turn.
const READ_MAX: usize = 64 * 1024;

/// A connection; answering one that has gone is not an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ViciClient {
    slot: usize,
    generation: u64,
}

/// Listens on a Unix socket and speaks with up to [`CLIENTS_MAX`] clients.
pub struct ViciServer {
    listening: Listening,
    first_token: u64,
    clients: Vec<Option<Client>>,
    generation: u64,
}

struct Client {
    stream: UnixStream,
    generation: u64,
    frames: Frames,
    output: VecDeque<u8>,
    /// A command of it is being carried out: the next one has to wait.
    busy: bool,
    events: BTreeSet<&'static str>,
    watched_for_writing: bool,
}

impl ViciServer {
    /// How many tokens the server uses, counted from its first.
    pub const TOKENS: u64 = 1 + CLIENTS_MAX as u64;

    /// Listens at `path` with mode 0600 and registers with `poller` under `first_token` and the [`Self::TOKENS`] - 1 after it.
    ///
    /// # Errors
    /// Why it cannot: somebody alive listens there, or the system says no.
    pub fn bind(path: &Path, poller: &Poller, first_token: Token) -> Result<Self, ControlError> {
        let listening = Listening::open(path, MODE)?;
        listening.watch(poller, first_token)?;
        let clients = (0..CLIENTS_MAX).map(|_| None).collect();
        Ok(Self { listening, first_token: first_token.0, clients, generation: 0 })
    }

    /// Whether a token is one of this server's.
    pub fn owns(&self, token: Token) -> bool {
        (self.first_token..self.first_token + Self::TOKENS).contains(&token.0)
    }

    /// Whether a client is still there.
    pub fn is_connected(&self, client: ViciClient) -> bool {
        self.clients
            .get(client.slot)
            .and_then(Option::as_ref)
            .is_some_and(|known| known.generation == client.generation)
    }

    /// Does what there is to do for a token of this server; [`Self::take`] has what came.
    pub fn handle(&mut self, ready: &Ready, poller: &Poller) {
        let Some(offset) = ready.token.0.checked_sub(self.first_token) else { return };
        let Some(slot) = (offset as usize).checked_sub(1) else { return self.accept(poller) };
        if ready.writable {
            self.flush(slot, poller);
        }
        if (ready.readable || ready.hang_up || ready.error) && !self.read(slot) {
            self.drop_client(slot);
        }
    }

    /// The next packet of a client that waits for nothing. A client that breaks the protocol is dropped.
    pub fn take(&mut self) -> Option<(ViciClient, Packet)> {
        for slot in 0..self.clients.len() {
            let Some(Some(client)) = self.clients.get_mut(slot) else { continue };
            if client.busy {
                continue;
            }
            match client.frames.next_packet() {
                Ok(Some(packet)) => return Some((ViciClient { slot, generation: client.generation }, packet)),
                Ok(None) => {}
                Err(_) => self.drop_client(slot),
            }
        }
        None
    }

    /// Says that a command of a client is being carried out, until [`Self::send`] answers it.
    pub fn set_busy(&mut self, client: ViciClient) {
        if let Some(client) = self.client(client) {
            client.busy = true;
        }
    }

    /// Registers a client for an event, or no more. Returns whether there is such an event.
    pub fn register(&mut self, client: ViciClient, event: &str, wanted: bool) -> bool {
        let Some(known) = EVENTS.into_iter().find(|known| *known == event) else { return false };
        if let Some(client) = self.client(client) {
            if wanted {
                client.events.insert(known)
            } else {
                client.events.remove(known)
            };
        }
        true
    }

    /// Whether anybody wants to hear of an event.
    pub fn is_wanted(&self, event: &str) -> bool {
        self.clients.iter().flatten().any(|client| client.events.contains(event))
    }

    /// Answers a client. One that does not read is dropped when too much waits for it.
    pub fn send(&mut self, client: ViciClient, packet: &Packet, poller: &Poller) {
        let Some(found) = self.client(client) else { return };
        found.busy = false;
        // What has no room in the protocol is a defect of ours, which the client sees as an answer that says so.
        let bytes = packet.encode().or_else(|error| Packet::Response(Message::failure(error.to_string())).encode());
        self.put(client, &bytes.unwrap_or_default(), poller);
    }

    /// Tells one client of an event, if it wants to hear.
    pub fn tell(&mut self, client: ViciClient, event: &str, message: &Message, poller: &Poller) {
        if self.client(client).is_some_and(|client| client.events.contains(event)) {
            // An event that has no room is left out; its command is answered all the same.
            let bytes = Packet::Event(event.to_owned(), message.clone()).encode().unwrap_or_default();
            self.put(client, &bytes, poller);
        }
    }

    /// Tells everybody who wants to hear.
    pub fn tell_all(&mut self, event: &str, message: &Message, poller: &Poller) {
        let clients = self.clients.iter().enumerate();
        let all: Vec<ViciClient> = clients
            .filter_map(|(slot, client)| Some(ViciClient { slot, generation: client.as_ref()?.generation }))
            .collect();
        for client in all {
            self.tell(client, event, message, poller);
        }
    }

    fn client(&mut self, client: ViciClient) -> Option<&mut Client> {
        let found = self.clients.get_mut(client.slot)?.as_mut()?;
        (found.generation == client.generation).then_some(found)
    }

    fn put(&mut self, client: ViciClient, bytes: &[u8], poller: &Poller) {
        let Some(found) = self.client(client) else { return };
        if found.output.len() + bytes.len() > BACKLOG_MAX {
            return self.drop_client(client.slot);
        }
        found.output.extend(bytes);
        self.flush(client.slot, poller);
    }

    fn accept(&mut self, poller: &Poller) {
        for _ in 0..CLIENTS_MAX {
            let Ok((stream, _)) = self.listening.listener.accept() else { return };
            let Some(slot) = self.clients.iter().position(Option::is_none) else {
                // Dropping the stream tells the client.
                continue;
            };
            let token = Token(self.first_token + 1 + slot as u64);
            let watched = stream.set_nonblocking(true).and_then(|()| poller.add(&stream, token, Interest::Read));
            if watched.is_err() {
                continue;
            }
            self.generation += 1;
            let client = Client {
                stream,
                generation: self.generation,
                frames: Frames::new(),
                output: VecDeque::new(),
                busy: false,
                events: BTreeSet::new(),
                watched_for_writing: false,
            };
            if let Some(place) = self.clients.get_mut(slot) {
                *place = Some(client);
            }
        }
    }

    /// Reads what came; `false` when the client has gone or sends too much.
    fn read(&mut self, slot: usize) -> bool {
        let Some(Some(client)) = self.clients.get_mut(slot) else { return true };
        let mut chunk = [0; 4096];
        for _ in 0..READ_MAX / chunk.len() {
            match client.stream.read(&mut chunk) {
                Ok(0) => return false,
                Ok(length) => client.frames.push(chunk.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
            if client.frames.waiting() > AHEAD_MAX {
                // Without a packet in half a megabyte there is none, and whoever waits for an answer has no more to say.
                return false;
            }
        }
        true
    }

    fn flush(&mut self, slot: usize, poller: &Poller) {
        let Some(Some(client)) = self.clients.get_mut(slot) else { return };
        if !write_out(&mut client.stream, &mut client.output) {
            return self.drop_client(slot);
        }
        let waiting = !client.output.is_empty();
        if waiting != client.watched_for_writing {
            let interest = if waiting { Interest::ReadWrite } else { Interest::Read };
            let token = Token(self.first_token + 1 + slot as u64);
            client.watched_for_writing = waiting;
            if poller.modify(&client.stream, token, interest).is_err() {
                self.drop_client(slot);
            }
        }
    }

    /// Closing the descriptor takes it out of every poller.
    fn drop_client(&mut self, slot: usize) {
        if let Some(place) = self.clients.get_mut(slot) {
            *place = None;
        }
    }
}
