//! Starting, running and stopping a gateway. This thread owns the engine; workers own the packets.

use super::journal::Journal;
use super::outbound::Shared;
use super::routes::KernelRoutes;
use super::sockets::Sockets;
use super::{GatewayError, Options, WORKER_QUEUE, WorkerMessage, inbound, io_error, outbound};
use crate::batch::ReceiveBatch;
use crate::control::{ClientId, ControlServer};
use crate::harden::refuse_core_dumps;
use crate::netlink::{Monitor, Netlink};
use crate::poll::{Interest, Poller, Ready, Token, Waker};
use crate::rng::OsRng;
use crate::sd_notify::{Notifier, State};
use crate::signals::{Signal, Signals};
use crate::tun::{TunOptions, TunQueue};
use arc_swap::ArcSwap;
use crypto::RealProvider;
use engine::desired::DesiredState;
use engine::record::Level;
use engine::routes::Routes;
use engine::{Engine, ForwardingTable, Output};
use ike::config::{Path, PeerName};
use ike::event::Event;
use ipsec::DropCounters;
use serde_json::Value;
use std::net::{IpAddr, SocketAddr, UdpSocket as StdUdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

const SIGNALS: Token = Token(0);
const WORKERS: Token = Token(1);
const NETWORK: Token = Token(2);
const CONTROL: Token = Token(16);
const IKE: u64 = 1000;
/// How long an orderly stop waits for peers to answer our DELETE.
const FAREWELL: Duration = Duration::from_secs(2);
/// IKE messages are small; a slot holds the largest UDP datagram all the same.
const IKE_SLOTS: usize = 16;
/// How much smaller than the path MTU the interface starts: what AES-GCM in UDP costs (RFC 4106, RFC 3948).
const INITIAL_OVERHEAD: u16 = 62;
/// How often the source addresses towards the peers are looked up without an event.
const SOURCE_CHECK: Duration = Duration::from_secs(10);

/// A running gateway.
pub(super) struct Gateway {
    pub(super) engine: Engine,
    pub(super) control: ControlServer,
    pub(super) poller: Poller,
    pub(super) journal: Journal,
    pub(super) followers: Vec<ClientId>,
    pub(super) drops: Arc<DropCounters>,
    pub(super) version: &'static str,
    table: Arc<ArcSwap<ForwardingTable>>,
    sockets: Arc<Sockets>,
    routes: KernelRoutes,
    mtu: u16,
    injector: outbound::Injector,
    notifier: Notifier,
    next_watchdog: Option<Instant>,
    next_source_check: Instant,
    listen: Vec<IpAddr>,
    reload_file: Box<dyn FnMut() -> Result<DesiredState, String>>,
    timestamp: fn(u64, u32) -> String,
    last_status: String,
    stop: Arc<AtomicBool>,
}

/// Runs a gateway in the calling thread's network namespace until SIGTERM or SIGINT.
///
/// # Errors
/// What keeps it from starting, with what to do about it; nothing is left behind then but the unreachable routes, and
/// those only if they had been set.
pub fn run(options: Options) -> Result<(), GatewayError> {
    let signals = Signals::new().map_err(io_error("receive signals"))?;
    // No secret in a core dump. A kernel that refuses this is no reason not to serve.
    let _ = refuse_core_dumps();
    let settings = options.desired.gateway.clone();
    let (sockets, mut warnings) = Sockets::open(&options.listen, &options.desired, &settings)?;
    let sockets = Arc::new(sockets);
    let queue = Arc::new(TunQueue::open(&TunOptions::new(&options.interface))?);
    let mut netlink = Netlink::open()?;
    let link = netlink.link_by_name(queue.name())?.map(|link| link.index);
    let link = link
        .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))
        .map_err(io_error("find our interface"))?;
    let mtu = settings.path_mtu.saturating_sub(INITIAL_OVERHEAD).max(576);
    netlink.set_mtu(link, u32::from(mtu))?;
    netlink.set_up(link, true)?;
    let poller = Poller::new().map_err(io_error("make an epoll instance"))?;
    let control = ControlServer::bind(&options.socket, &poller, CONTROL)?;
    let (to_engine, from_workers) = sync_channel(WORKER_QUEUE);
    let shared = Shared {
        table: Arc::default(),
        sockets: Arc::clone(&sockets),
        drops: Arc::default(),
        to_engine,
        engine_waker: Waker::new().map_err(io_error("make a waker"))?,
        stop: Arc::default(),
        icmp_source: settings.icmp_source,
    };
    let now = Instant::now();
    let provider = Arc::new(RealProvider);
    let engine = Engine::new(&options.desired, provider, Box::new(OsRng), Box::new(OsRng), now);
    let notifier = Notifier::from_environment();
    let mut gateway = Gateway {
        engine,
        control,
        poller,
        journal: Journal::new(options.json_log, now),
        followers: Vec::new(),
        drops: Arc::clone(&shared.drops),
        version: options.version,
        table: Arc::clone(&shared.table),
        sockets,
        routes: KernelRoutes::new(netlink, link),
        mtu,
        injector: outbound::Injector::new(&shared),
        next_watchdog: notifier.watchdog().map(|period| now + period),
        notifier,
        next_source_check: now,
        listen: options.listen.clone(),
        reload_file: options.reload,
        timestamp: options.timestamp,
        last_status: String::new(),
        stop: Arc::clone(&shared.stop),
    };
    for warning in warnings.drain(..) {
        gateway.note(Level::Warn, "limited", &warning);
    }
    gateway.adopt(options.desired, now)?;
    let wakers = [Waker::new().map_err(io_error("make a waker"))?, Waker::new().map_err(io_error("make a waker"))?];
    let workers = start_workers(&queue, &shared, &wakers)?;
    let result = gateway.serve(&signals, &shared.engine_waker, &from_workers);
    shared.stop.store(true, Ordering::Relaxed);
    wakers.iter().for_each(Waker::wake);
    for worker in workers {
        // A worker that failed has said so in the log.
        let _ = worker.join();
    }
    gateway.routes.remove(options.keep_unreachable)?;
    result
}

fn start_workers(
    queue: &Arc<TunQueue>,
    shared: &Shared,
    wakers: &[Waker; 2],
) -> Result<Vec<JoinHandle<()>>, GatewayError> {
    type Work = fn(&TunQueue, &Shared, &Waker) -> Result<(), GatewayError>;
    let work: [(&str, Work, &Waker); 2] =
        [("outbound", outbound::work, &wakers[0]), ("inbound", inbound::work, &wakers[1])];
    let mut threads = Vec::new();
    for (name, work, waker) in work {
        let (queue, shared, waker) = (Arc::clone(queue), shared.clone(), waker.clone());
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            if let Err(error) = work(&queue, &shared, &waker) {
                use std::io::Write;
                // Without its worker the gateway forwards nothing: it stops, and whoever watches it starts it again.
                let _ = writeln!(std::io::stderr().lock(), "{name} worker: {error}");
                shared.stop.store(true, Ordering::Relaxed);
                shared.engine_waker.wake();
            }
        });
        threads.push(thread.map_err(io_error("start a worker"))?);
    }
    Ok(threads)
}

impl Gateway {
    fn serve(
        &mut self,
        signals: &Signals,
        waker: &Waker,
        workers: &Receiver<WorkerMessage>,
    ) -> Result<(), GatewayError> {
        let mut monitor = Monitor::open()?;
        let watch = io_error("watch a descriptor");
        let watched = || -> std::io::Result<()> {
            self.poller.add(signals, SIGNALS, Interest::Read)?;
            self.poller.add(waker, WORKERS, Interest::Read)?;
            self.poller.add(&monitor, NETWORK, Interest::Read)?;
            for (index, socket) in self.sockets.ike.iter().enumerate() {
                self.poller.add(socket.as_ref(), Token(IKE + index as u64), Interest::Read)?;
            }
            Ok(())
        };
        watched().map_err(watch)?;
        let mut batch = ReceiveBatch::new(IKE_SLOTS, 65_536);
        let mut ready: Vec<Ready> = Vec::new();
        let mut farewell: Option<Instant> = None;
        self.note(Level::Info, "started", "serving");
        self.notifier.notify(&State::Ready);
        loop {
            let now = Instant::now();
            self.tick(now);
            if let Some(until) = farewell
                && (now >= until || self.engine.is_idle())
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
                    SIGNALS => {
                        while let Some(signal) = signals.take().map_err(io_error("read a signal"))? {
                            match signal {
                                Signal::Stop if farewell.is_none() => farewell = Some(self.say_farewell(now)),
                                // A second one means now.
                                Signal::Stop => farewell = Some(now),
                                Signal::Reload => {
                                    // The journal has what is wrong with it.
                                    let _ = self.reload(now);
                                }
                            }
                        }
                    }
                    WORKERS => {
                        waker.drain();
                        self.hear_workers(workers, now);
                    }
                    NETWORK => {
                        if monitor.changes().is_ok_and(|changes| !changes.is_empty()) {
                            self.next_source_check = now;
                        }
                    }
                    Token(token) if token >= IKE => self.receive_ike(token - IKE, &mut batch, now),
                    token if self.control.owns(token) => {
                        for request in self.control.handle(&event, &self.poller) {
                            self.answer(&request, now);
                        }
                    }
                    Token(_) => {}
                }
                self.carry_out(now);
            }
        }
    }

    /// Everything that time causes.
    fn tick(&mut self, now: Instant) {
        if self.next_source_check <= now {
            self.next_source_check = now + SOURCE_CHECK;
            self.check_sources(now);
        }
        if let Some(at) = self.next_watchdog
            && at <= now
        {
            self.notifier.notify(&State::Watchdog);
            self.next_watchdog = self.notifier.watchdog().map(|period| now + period);
        }
        if self.engine.poll_timeout().is_some_and(|at| at <= now) {
            self.engine.handle_timeout(now);
        }
        self.carry_out(now);
    }

    fn next_timeout(&self, farewell: Option<Instant>) -> Option<Instant> {
        [self.engine.poll_timeout(), farewell, self.next_watchdog, Some(self.next_source_check)]
            .into_iter()
            .flatten()
            .min()
    }

    fn say_farewell(&mut self, now: Instant) -> Instant {
        self.notifier.notify(&State::Stopping);
        self.note(Level::Info, "stopping", "stopping: telling the peers");
        self.engine.shutdown(now);
        now + FAREWELL
    }

    fn hear_workers(&mut self, workers: &Receiver<WorkerMessage>, now: Instant) {
        // Bounded by the queue: what comes meanwhile wakes us again.
        for message in workers.try_iter().take(WORKER_QUEUE) {
            match message {
                WorkerMessage::Ike(path, message) => self.engine.handle_ike(path, &message, now),
                WorkerMessage::Feedback(feedback) => self.engine.handle_feedback(feedback, now),
            }
        }
    }

    fn receive_ike(&mut self, index: u64, batch: &mut ReceiveBatch, now: Instant) {
        let Some(socket) = self.sockets.ike.get(index as usize).cloned() else { return };
        while let Ok(Some(_)) = socket.take_error() {}
        if socket.receive(batch).is_err() {
            return;
        }
        let bound = socket.local_address();
        for (received, bytes) in batch.messages_mut() {
            let local = SocketAddr::new(received.local.unwrap_or(bound.ip()), bound.port());
            let path = Path { local, remote: received.remote };
            for datagram in received.segments(bytes) {
                self.engine.handle_ike(path, datagram, now);
            }
        }
    }

    /// Does what the engine says, in its order.
    fn carry_out(&mut self, now: Instant) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                // A message that cannot be sent is a message lost: it is sent again.
                Output::Ike(transmit) => drop(self.sockets.send_ike(&transmit.path, &transmit.message)),
                Output::Keepalive(path) => drop(self.sockets.send_keepalive(&path)),
                Output::Publish(table) => self.publish(table),
                Output::Inject(packets) => self.injector.inject(&self.table.load(), packets),
                Output::Event(event) => self.event(&event, now),
            }
        }
    }

    fn publish(&mut self, table: Arc<ForwardingTable>) {
        let mtu = table.slots.iter().flat_map(|slot| &slot.outbound).map(|entry| entry.inner_mtu).min();
        if let Some(mtu) = mtu
            && mtu != self.mtu
            && self.routes.set_mtu(u32::from(mtu.max(576))).is_ok()
        {
            self.mtu = mtu;
        }
        let up = table.slots.iter().filter(|slot| !slot.outbound.is_empty()).count();
        let status = format!("{up}/{} tunnels up", table.slots.len());
        if status != self.last_status {
            self.notifier.notify(&State::Status(&status));
            self.last_status = status;
        }
        self.table.store(table);
    }

    fn event(&mut self, event: &Event, now: Instant) {
        let time = self.stamp(now);
        if let Some(line) = self.journal.event(event, &time, now) {
            self.tell_followers(&line);
        }
    }

    fn note(&mut self, level: Level, event: &'static str, message: &str) {
        let time = self.stamp(Instant::now());
        let line = self.journal.note(level, event, message, &time);
        self.tell_followers(&line);
    }

    fn tell_followers(&mut self, line: &Value) {
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
        let since = then.and_then(|then| then.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default();
        (self.timestamp)(since.as_secs(), since.subsec_millis())
    }

    /// Reads the configuration again and applies what changed.
    pub(super) fn reload(&mut self, now: Instant) -> Result<Value, String> {
        self.notifier.notify(&State::Reloading);
        let result = self.reload_now(now);
        if let Err(error) = &result {
            self.note(Level::Warn, "reload_failed", &format!("not reloaded: {error}"));
        }
        self.notifier.notify(&State::Ready);
        result
    }

    fn reload_now(&mut self, now: Instant) -> Result<Value, String> {
        let desired = (self.reload_file)()?;
        let old = self.engine.desired().clone();
        if desired.gateway != old.gateway {
            self.note(Level::Warn, "restart_needed", "changes in [gateway] take effect when the gateway is restarted");
        }
        let names = |state: &DesiredState| state.connections.keys().cloned().collect::<Vec<PeerName>>();
        let (before, after) = (names(&old), names(&desired));
        let list = |names: Vec<&PeerName>| names.iter().map(|name| Value::from(name.to_string())).collect::<Vec<_>>();
        let added = list(after.iter().filter(|name| !before.contains(name)).collect());
        let removed = list(before.iter().filter(|name| !after.contains(name)).collect());
        let differs = |name: &&PeerName| {
            old.connections.get(*name).is_some_and(|old| Some(old) != desired.connections.get(*name))
        };
        let changed = list(after.iter().filter(differs).collect());
        let kept = DesiredState { gateway: old.gateway, ..desired };
        self.adopt(kept, now).map_err(|error| error.to_string())?;
        self.note(Level::Info, "reloaded", "configuration reloaded");
        Ok(serde_json::json!({"added": added, "changed": changed, "removed": removed}))
    }

    /// Routes first, so that nothing leaves in clear while tunnels come up.
    fn adopt(&mut self, mut desired: DesiredState, now: Instant) -> Result<(), GatewayError> {
        self.routes.apply(&Routes::of(&desired))?;
        for connection in desired.connections.values_mut() {
            super::resolve::fill_addresses(connection);
        }
        self.engine.apply(desired, now);
        self.check_sources(now);
        self.carry_out(now);
        Ok(())
    }

    /// Looks up which of our addresses leads to each peer that may begin anywhere.
    fn check_sources(&mut self, now: Instant) {
        let peers: Vec<(PeerName, Option<IpAddr>)> = self
            .engine
            .desired()
            .connections
            .values()
            .filter(|connection| connection.peer.local_address.is_none())
            .map(|connection| (connection.peer.name.clone(), connection.peer.remote_addresses.first().copied()))
            .collect();
        for (peer, remote) in peers {
            let source = remote.and_then(|remote| self.source_towards(remote));
            self.engine.set_source(&peer, source, now);
        }
    }

    fn source_towards(&self, remote: IpAddr) -> Option<IpAddr> {
        let mut served =
            self.listen.iter().filter(|address| address.is_ipv4() == remote.is_ipv4() && !address.is_unspecified());
        if let (Some(only), None) = (served.next(), served.next()) {
            return Some(*only);
        }
        let any: SocketAddr = if remote.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
        // Connecting a UDP socket sends nothing; it only asks the routing table.
        let socket = StdUdpSocket::bind(any).ok()?;
        socket.connect(SocketAddr::new(remote, 500)).ok()?;
        let local = socket.local_addr().ok()?.ip();
        (!local.is_unspecified()).then_some(local)
    }
}
