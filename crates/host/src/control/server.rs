//! The answering side: non-blocking, inside the gateway's own event loop, every buffer bounded.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

use super::listening::Listening;
use super::outbox::write_out;
use super::{BACKLOG_MAX, CLIENTS_MAX, ControlError, REQUEST_MAX};
use crate::poll::{Interest, Poller, Ready, Token};
use crate::sys::socket;

/// Owner and group may control the gateway.
const MODE: u32 = 0o660;

/// A connection; answering one that has gone is not an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId {
    slot: usize,
    generation: u64,
}

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Who asks.
    pub client: ClientId,
    /// What.
    pub value: Value,
}

/// Listens on a Unix socket and speaks with up to [`CLIENTS_MAX`] clients.
#[derive(Debug)]
pub struct ControlServer {
    listening: Listening,
    first_token: u64,
    clients: Vec<Option<Client>>,
    generation: u64,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    generation: u64,
    input: Vec<u8>,
    output: VecDeque<u8>,
    closing: bool,
    watched_for_writing: bool,
}

impl ControlServer {
    /// How many tokens the server uses, counted from its first.
    pub const TOKENS: u64 = 1 + CLIENTS_MAX as u64;

    /// Listens at `path` with mode 0660 and registers with `poller` under `first_token` and the [`Self::TOKENS`] - 1 after it. The file
    /// of a gateway that has died is replaced; that of a living one is not.
    pub fn bind(path: &Path, poller: &Poller, first_token: Token) -> Result<Self, ControlError> {
        let listening = Listening::open(path, MODE)?;
        listening.watch(poller, first_token)?;
        Ok(Self {
            listening,
            first_token: first_token.0,
            clients: (0..CLIENTS_MAX).map(|_| None).collect(),
            generation: 0,
        })
    }

    /// Whether a token is one of this server's.
    pub fn owns(&self, token: Token) -> bool {
        (self.first_token..self.first_token + Self::TOKENS).contains(&token.0)
    }

    /// Clients connected now.
    pub fn clients(&self) -> usize {
        self.clients.iter().flatten().count()
    }

    /// Whether a client is still there (one that follows a log may have gone).
    pub fn is_connected(&self, client: ClientId) -> bool {
        self.clients
            .get(client.slot)
            .and_then(Option::as_ref)
            .is_some_and(|found| found.generation == client.generation)
    }

    /// The user that connected, as the kernel tells; `None` when the client has gone.
    pub fn user(&self, client: ClientId) -> Option<u32> {
        let found = self.clients.get(client.slot)?.as_ref().filter(|found| found.generation == client.generation)?;
        socket::peer_process(found.stream.as_fd()).ok().map(|peer| peer.user)
    }

    /// Does what there is to do for a token of this server, and returns the requests that came. Lines that are no JSON have been
    /// refused by then, so that a refusal may overtake the answer to a request before it.
    pub fn handle(&mut self, ready: &Ready, poller: &Poller) -> Vec<Request> {
        let Some(offset) = ready.token.0.checked_sub(self.first_token) else {
            return Vec::new();
        };
        let Some(slot) = (offset as usize).checked_sub(1) else {
            self.accept(poller);
            return Vec::new();
        };
        if ready.writable {
            self.flush(slot, poller);
        }
        if ready.readable || ready.hang_up || ready.error {
            return self.read(slot, poller);
        }
        Vec::new()
    }

    /// Bytes that wait for a client to read them: whoever has much to say looks here first.
    pub fn backlog(&self, client: ClientId) -> usize {
        let found = self.clients.get(client.slot).and_then(Option::as_ref);
        found.filter(|found| found.generation == client.generation).map_or(0, |found| found.output.len())
    }

    /// Sends one response line. A client that does not read is dropped when [`BACKLOG_MAX`] bytes wait for it.
    pub fn respond(&mut self, client: ClientId, response: &Value, poller: &Poller) {
        if !self.is_connected(client) {
            return;
        }
        let line = format!("{response}\n");
        if let Some(Some(found)) = self.clients.get_mut(client.slot) {
            if found.output.len() + line.len() > BACKLOG_MAX && !found.output.is_empty() {
                self.drop_client(client.slot);
                return;
            }
            found.output.extend(line.as_bytes());
        }
        self.flush(client.slot, poller);
    }

    /// Ends a connection once everything for it has been written.
    pub fn close(&mut self, client: ClientId, poller: &Poller) {
        if !self.is_connected(client) {
            return;
        }
        if let Some(Some(found)) = self.clients.get_mut(client.slot) {
            found.closing = true;
        }
        self.flush(client.slot, poller);
    }

    fn accept(&mut self, poller: &Poller) {
        for _ in 0..CLIENTS_MAX {
            let Ok((stream, _)) = self.listening.listener.accept() else {
                return;
            };
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
            if let Some(place) = self.clients.get_mut(slot) {
                *place = Some(Client {
                    stream,
                    generation: self.generation,
                    input: Vec::new(),
                    output: VecDeque::new(),
                    closing: false,
                    watched_for_writing: false,
                });
            }
        }
    }

    fn read(&mut self, slot: usize, poller: &Poller) -> Vec<Request> {
        let Some(Some(client)) = self.clients.get_mut(slot) else {
            return Vec::new();
        };
        let id = ClientId { slot, generation: client.generation };
        let mut chunk = [0; 4096];
        let ended = loop {
            if client.input.len() >= REQUEST_MAX {
                break false;
            }
            match client.stream.read(&mut chunk) {
                Ok(0) => break true,
                Ok(len) => client.input.extend(chunk.iter().take(len)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break true,
            }
        };
        let (requests, refusals) = client.take_lines(id);
        let too_long = client.input.len() >= REQUEST_MAX;
        for reason in refusals {
            self.respond(id, &json!({ "error": reason }), poller);
        }
        if too_long {
            let reason = format!("a request may have {REQUEST_MAX} bytes");
            self.respond(id, &json!({ "error": reason }), poller);
            self.close(id, poller);
        } else if ended {
            // Nobody is left to read an answer: a client that only half closed has no business here.
            self.drop_client(slot);
        }
        requests
    }

    fn flush(&mut self, slot: usize, poller: &Poller) {
        let Some(Some(client)) = self.clients.get_mut(slot) else {
            return;
        };
        let alive = write_out(&mut client.stream, &mut client.output);
        let waiting = !client.output.is_empty();
        if !alive || (client.closing && !waiting) {
            self.drop_client(slot);
            return;
        }
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

impl Client {
    /// Takes the complete lines from the input; what is no JSON becomes a refusal.
    fn take_lines(&mut self, id: ClientId) -> (Vec<Request>, Vec<String>) {
        let (mut requests, mut refusals) = (Vec::new(), Vec::new());
        let Some(end) = self.input.iter().rposition(|&byte| byte == b'\n') else {
            return (requests, refusals);
        };
        let lines: Vec<u8> = self.input.drain(..=end).collect();
        for line in lines.split(|&byte| byte == b'\n') {
            match serde_json::from_slice(line) {
                Ok(value) => requests.push(Request { client: id, value }),
                Err(_) if line.trim_ascii().is_empty() => {}
                Err(error) => refusals.push(format!("not a JSON request: {error}")),
            }
        }
        (requests, refusals)
    }
}
