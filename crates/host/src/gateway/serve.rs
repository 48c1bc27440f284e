//! The engine thread: waits for sockets, workers, clients, signals and time, feeds the engine, and does what it says.

use super::capture::{Capture, Tap};
use super::journal::Journal;
use super::names::Names;
use super::observe::Observing;
use super::routes::KernelRoutes;
use super::sockets::Sockets;
use super::sysctl::Sysctls;
use super::vici::Vici;
use super::watch::Hearing;
use super::{GatewayError, WORKER_QUEUE, WorkerMessage, io_error, outbound};
use crate::batch::ReceiveBatch;
use crate::clock::Clock;
use crate::control::{ClientId, ControlServer};
use crate::netlink::{Change, Monitor};
use crate::poll::{Interest, Poller, Ready, Token, Waker};
use crate::sd_notify::{Notifier, State};
use crate::signals::{Signal, Signals};
use arc_swap::ArcSwap;
use engine::desired::DesiredState;
use engine::record::Level;
use engine::{Engine, ForwardingTable, Output};
use ike::config::Path;
use ike::event::Event;
use ipsec::DropCounters;
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant, SystemTime};

const SIGNALS: Token = Token(0);
const WORKERS: Token = Token(1);
const NETWORK: Token = Token(2);
/// The first token of the control server.
pub(super) const CONTROL: Token = Token(16);
const IKE: u64 = 1000;
/// IKE messages are small; a slot holds the largest UDP datagram all the same.
const IKE_SLOTS: usize = 16;
/// Errors taken from a socket's queue at a time.
const ERRORS_PER_TURN: usize = 64;
/// Smallest MTU of an interface that carries IPv6 (RFC 8200 §5): below it the kernel takes IPv6 off the interface.
const LEAST_MTU_V6: u16 = 1280;
const LEAST_MTU_V4: u16 = 576;

/// A running gateway.
pub(super) struct Gateway {
    pub(super) engine: Engine,
    /// What the configuration says; the engine's desired state has the addresses of names in it, too.
    pub(super) configured: DesiredState,
    pub(super) control: ControlServer,
    pub(super) vici: Vici,
    pub(super) poller: Poller,
    pub(super) clock: Clock,
    pub(super) journal: Journal,
    pub(super) followers: Vec<ClientId>,
    pub(super) capture: Option<Capture>,
    /// The IKE message that is being handled, while a capture runs.
    pub(super) hearing: Option<Hearing>,
    pub(super) tap: Arc<Tap>,
    pub(super) observing: Observing,
    pub(super) sysctls: Option<Sysctls>,
    pub(super) waker: Waker,
    pub(super) drops: Arc<DropCounters>,
    pub(super) version: &'static str,
    pub(super) table: Arc<ArcSwap<ForwardingTable>>,
    pub(super) sockets: Arc<Sockets>,
    pub(super) routes: KernelRoutes,
    /// What was told of routes that cannot be set.
    pub(super) route_trouble: Option<String>,
    pub(super) mtu: u16,
    pub(super) names: Names,
    pub(super) injector: outbound::Injector,
    pub(super) notifier: Notifier,
    pub(super) next_watchdog: Option<Instant>,
    pub(super) next_check: Instant,
    pub(super) listen: Vec<IpAddr>,
    pub(super) reload_file: Box<dyn FnMut() -> Result<DesiredState, String>>,
    pub(super) timestamp: fn(u64, u32) -> String,
    pub(super) last_status: String,
    pub(super) stop: Arc<AtomicBool>,
}

impl Gateway {
    /// Serves until told to stop, and until the peers have been told, or [`FAREWELL`](super::lifecycle) is over.
    pub(super) fn serve(
        &mut self,
        signals: &Signals,
        waker: &Waker,
        workers: &Receiver<WorkerMessage>,
    ) -> Result<(), GatewayError> {
        let mut monitor = Monitor::open()?;
        self.watch(signals, waker, &monitor).map_err(io_error("watch a descriptor"))?;
        let mut batch = ReceiveBatch::new(IKE_SLOTS, 65_536);
        let mut ready: Vec<Ready> = Vec::new();
        let mut farewell: Option<Instant> = None;
        self.announce();
        loop {
            let reading = self.clock.read();
            self.check_clock(&reading);
            self.tick(reading.now);
            if let Some(until) = farewell
                && (reading.now >= until || self.engine.is_idle())
            {
                return Ok(());
            }
            if self.stop.load(Ordering::Relaxed) {
                let lost = std::io::Error::other("a packet worker ended");
                return Err(GatewayError::Io { what: "forward packets", source: lost });
            }
            let timeout = self.next_timeout(farewell).map(|at| at.saturating_duration_since(Instant::now()));
            self.poller.wait(&mut ready, timeout).map_err(io_error("wait"))?;
            let now = Instant::now();
            for event in std::mem::take(&mut ready) {
                match event.token {
                    SIGNALS => self.hear_signals(signals, &mut farewell, now)?,
                    WORKERS => {
                        waker.drain();
                        self.hear_workers(workers, now);
                        self.hear_names(now);
                        self.hear_scrapes(now);
                        self.feed_capture(now);
                    }
                    NETWORK => self.hear_network(&mut monitor, now),
                    Token(token) if token >= IKE => self.receive_ike(token - IKE, &mut batch, now),
                    token if self.control.owns(token) => {
                        for request in self.control.handle(&event, &self.poller) {
                            self.answer(&request, now);
                        }
                    }
                    token if self.vici.owns(token) => self.hear_vici(&event, now),
                    Token(_) => {}
                }
                self.carry_out(now);
                self.feed_keys();
            }
            self.settle_vici(now);
        }
    }

    fn watch(&self, signals: &Signals, waker: &Waker, monitor: &Monitor) -> std::io::Result<()> {
        self.poller.add(signals, SIGNALS, Interest::Read)?;
        self.poller.add(waker, WORKERS, Interest::Read)?;
        self.poller.add(monitor, NETWORK, Interest::Read)?;
        for (index, socket) in self.sockets.ike.iter().enumerate() {
            self.poller.add(socket.as_ref(), Token(IKE + index as u64), Interest::Read)?;
        }
        Ok(())
    }

    /// Everything that time causes.
    fn tick(&mut self, now: Instant) {
        if self.next_check <= now {
            self.check_network(now);
        }
        self.check_names(now);
        self.feed_capture(now);
        self.observe(now);
        if let Some(at) = self.next_watchdog
            && at <= now
        {
            self.notifier.notify(&State::Watchdog);
            self.next_watchdog = self.notifier.watchdog().map(|period| now + period);
        }
        if self.engine.poll_timeout().is_some_and(|at| at <= now) {
            self.engine.handle_timeout(now);
        }
        if self.journal.due().is_some_and(|at| at <= now) {
            let time = self.stamp(now);
            if let Some(line) = self.journal.turn_period(&time, now) {
                self.tell_followers(&line);
            }
        }
        self.carry_out(now);
    }

    fn next_timeout(&self, farewell: Option<Instant>) -> Option<Instant> {
        let capture = self.capture.as_ref().map(|capture| capture.until);
        let check = Some(self.next_check);
        let observe = Some(self.observing.due());
        let (journal, vici, watchdog) = (self.journal.due(), self.vici.due(), self.next_watchdog);
        let all = [self.engine.poll_timeout(), farewell, watchdog, check, capture, journal, vici, observe];
        all.into_iter().flatten().min()
    }

    fn hear_signals(
        &mut self,
        signals: &Signals,
        farewell: &mut Option<Instant>,
        now: Instant,
    ) -> Result<(), GatewayError> {
        while let Some(signal) = signals.take().map_err(io_error("read a signal"))? {
            match signal {
                Signal::Stop if farewell.is_none() => *farewell = Some(self.say_farewell(now)),
                // A second one means now.
                Signal::Stop => *farewell = Some(now),
                // The journal has what is wrong with it.
                Signal::Reload => drop(self.reload(now)),
            }
        }
        Ok(())
    }

    fn hear_workers(&mut self, workers: &Receiver<WorkerMessage>, now: Instant) {
        // Bounded by the queue: what comes meanwhile wakes us again.
        for message in workers.try_iter().take(WORKER_QUEUE) {
            match message {
                WorkerMessage::Ike(path, message) => self.hear_ike(path, &message, now),
                WorkerMessage::Feedback(feedback) => self.engine.handle_feedback(feedback, now),
                WorkerMessage::TooBig { remote, spi, mtu } => self.path_mtu(remote, spi, mtu, now),
            }
        }
    }

    fn hear_network(&mut self, monitor: &mut Monitor, now: Instant) {
        // A monitor that cannot be read is made up for by looking every few seconds anyway.
        let changes = monitor.changes().unwrap_or_default();
        let ours =
            |change: &Change| matches!(change, Change::Link(link) if self.routes.is_ours(link.index) && !link.up);
        if changes.iter().any(ours) && self.routes.set_up().is_ok() {
            self.note(Level::Warn, "interface_up", "somebody set our interface down: it is up again");
        }
        for change in &changes {
            self.network_changed(change, now);
        }
    }

    fn receive_ike(&mut self, index: u64, batch: &mut ReceiveBatch, now: Instant) {
        let Some(socket) = self.sockets.ike.get(index as usize).cloned() else { return };
        // ICMP errors tell nothing that can be believed.
        for _ in 0..ERRORS_PER_TURN {
            if !matches!(socket.take_error(), Ok(Some(_))) {
                break;
            }
        }
        if socket.receive(batch).is_err() {
            return;
        }
        let bound = socket.local_address();
        for (received, bytes) in batch.messages_mut() {
            let local = SocketAddr::new(received.local.unwrap_or(bound.ip()), bound.port());
            let path = Path { local, remote: received.remote };
            for datagram in received.segments(bytes) {
                self.hear_ike(path, datagram, now);
            }
        }
    }

    /// Does what the engine says, in its order.
    pub(super) fn carry_out(&mut self, now: Instant) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                // A message that cannot be sent is a message lost: it is sent again.
                Output::Ike(transmit) => {
                    let sent = self.sockets.send_ike(&transmit.path, &transmit.message);
                    self.told_ike(transmit.path, &transmit.message, &sent);
                }
                Output::Keepalive(path) => {
                    drop(self.sockets.send_keepalive(&path));
                    self.told_keepalive(&path);
                }
                Output::Publish(table) => self.publish(table),
                Output::Inject(packets) => self.injector.inject(&self.table.load(), packets),
                Output::Event(event) => self.event(&event, now),
                Output::Failover(event) => {
                    self.observing.tally.failover(&event);
                    let time = self.stamp(now);
                    let line = self.journal.failover(&event, &time);
                    self.tell_followers(&line);
                }
            }
        }
    }

    fn publish(&mut self, table: Arc<ForwardingTable>) {
        let mtu = table.slots.iter().flat_map(engine::table::Slot::outbound).map(|entry| entry.inner_mtu).min();
        let routes = self.configured.connections.values().flat_map(|connection| &connection.routes);
        let least = if routes.clone().any(|(address, _)| address.is_ipv6()) { LEAST_MTU_V6 } else { LEAST_MTU_V4 };
        // What does not fit one tunnel or another is found packet by packet.
        if let Some(mtu) = mtu.map(|mtu| mtu.max(least))
            && mtu != self.mtu
            && self.routes.set_mtu(u32::from(mtu)).is_ok()
        {
            self.mtu = mtu;
        }
        let up = table.slots.iter().filter(|slot| slot.is_up()).count();
        let status = format!("{up}/{} tunnels up", table.slots.len());
        if status != self.last_status {
            self.notifier.notify(&State::Status(&status));
            self.last_status = status;
        }
        self.table.store(table);
    }

    fn event(&mut self, event: &Event, now: Instant) {
        self.told_event(event);
        if let Event::ConnectFailed { peer, .. } = event
            && let Some(connection) = self.configured.connections.get(peer)
        {
            // The peer may have moved.
            self.names.ask(connection, now);
        }
        self.count(event);
        self.vici_event(event, now);
        let time = self.stamp(now);
        for line in self.journal.event(event, &time, now) {
            self.tell_followers(&line);
        }
    }

    pub(super) fn note(&mut self, level: Level, event: &'static str, message: &str) {
        let time = self.stamp(Instant::now());
        let line = self.journal.note(level, event, message, &time);
        self.tell_followers(&line);
    }

    fn tell_followers(&mut self, line: &Value) {
        self.vici_log(line);
        let (control, poller) = (&mut self.control, &self.poller);
        self.followers.retain(|client| control.is_connected(*client));
        for client in &self.followers {
            control.respond(*client, line, poller);
        }
    }

    /// RFC 3339 of a moment, by the wall clock as it is now.
    pub(super) fn stamp(&self, at: Instant) -> String {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let then = match at.checked_duration_since(now) {
            Some(ahead) => wall.checked_add(ahead),
            None => wall.checked_sub(now.saturating_duration_since(at)),
        };
        let since: Duration =
            then.and_then(|then| then.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default();
        (self.timestamp)(since.as_secs(), since.subsec_millis())
    }
}
