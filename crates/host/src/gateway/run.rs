//! Starting and stopping a gateway: what is opened, in which order, and what is left behind.

use super::capture::Tap;
use super::journal::Journal;
use super::names::{Names, system_lookup};
use super::observe::Observing;
use super::outbound::Shared;
use super::routes::KernelRoutes;
use super::serve::{CONTROL, Gateway};
use super::sockets::Sockets;
use super::sysctl::{self, Sysctls};
use super::vici::Vici;
use super::{GatewayError, Options, WORKER_QUEUE, inbound, io_error, outbound};
use crate::clock::Clock;
use crate::control::ControlServer;
use crate::harden::refuse_core_dumps;
use crate::metrics::{self, Scrapes};
use crate::netlink::Netlink;
use crate::poll::{Poller, Waker};
use crate::rng::OsRng;
use crate::sd_notify::Notifier;
use crate::signals::Signals;
use crate::tun::{TunOptions, TunQueue};
use crypto::RealProvider;
use engine::Engine;
use engine::desired::{DesiredState, GatewaySettings};
use engine::record::Level;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Instant;

/// How much smaller than the path MTU the interface starts: what AES-GCM in UDP costs (RFC 4106, RFC 3948).
const INITIAL_OVERHEAD: u16 = 62;
/// Smallest MTU of the interface: what every IPv4 host takes.
const LEAST_MTU: u16 = 576;

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
    let (sockets, warnings) = Sockets::open(&options.listen, &settings)?;
    let sockets = Arc::new(sockets);
    let queue = Arc::new(TunQueue::open(&TunOptions::new(&options.interface))?);
    let mtu = settings.path_mtu.saturating_sub(INITIAL_OVERHEAD).max(LEAST_MTU);
    let routes = interface(&queue, mtu)?;
    let poller = Poller::new().map_err(io_error("make an epoll instance"))?;
    let control = ControlServer::bind(&options.socket, &poller, CONTROL)?;
    let vici = Vici::open(options.vici_socket.as_deref(), &poller)?;
    let (to_engine, from_workers) = sync_channel(WORKER_QUEUE);
    let shared = Shared {
        table: Arc::default(),
        sockets: Arc::clone(&sockets),
        drops: Arc::default(),
        to_engine,
        engine_waker: Waker::new().map_err(io_error("make a waker"))?,
        stop: Arc::default(),
        tap: Arc::new(Tap::default()),
        icmp_source: settings.icmp_source,
    };
    let keep_unreachable = options.keep_unreachable;
    let scrapes = match options.metrics {
        Some(address) => Some(serve_metrics(address, &shared)?),
        None => None,
    };
    let (observing, trouble) = Observing::start(options.state.clone(), scrapes, Instant::now());
    let failed = sysctl::set_own(&options.interface);
    let ears = (poller, control, vici);
    let (mut gateway, desired) = build(options, &shared, &settings, (routes, mtu), ears, observing)?;
    for warning in warnings.iter().chain(&trouble).chain(&failed) {
        gateway.note(Level::Warn, "limited", warning);
    }
    let now = gateway.clock.read().now;
    gateway.adopt(desired, now)?;
    let wakers = [Waker::new().map_err(io_error("make a waker"))?, Waker::new().map_err(io_error("make a waker"))?];
    let workers = start_workers(&queue, &shared, &wakers)?;
    let result = gateway.serve(&signals, &shared.engine_waker, &from_workers);
    gateway.save_baselines();
    gateway.sysctls.iter_mut().for_each(Sysctls::restore);
    shared.stop.store(true, Ordering::Relaxed);
    wakers.iter().for_each(Waker::wake);
    for worker in workers {
        // A worker that failed has said so in the log.
        let _ = worker.join();
    }
    // Whoever did not mean to stop keeps the wall up: traffic goes nowhere until the gateway is back.
    gateway.routes.remove(keep_unreachable || result.is_err())?;
    result
}

fn serve_metrics(address: SocketAddr, shared: &Shared) -> Result<Scrapes, GatewayError> {
    metrics::serve(address, shared.engine_waker.clone()).map_err(|source| GatewayError::Metrics { address, source })
}

/// Sets the interface up, and whose routes lead there.
fn interface(queue: &TunQueue, mtu: u16) -> Result<KernelRoutes, GatewayError> {
    let mut netlink = Netlink::open()?;
    let link = netlink.link_by_name(queue.name())?.map(|link| link.index);
    let link = link
        .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))
        .map_err(io_error("find our interface"))?;
    netlink.set_mtu(link, u32::from(mtu))?;
    netlink.set_up(link, true)?;
    Ok(KernelRoutes::new(netlink, link))
}

fn build(
    options: Options,
    shared: &Shared,
    settings: &GatewaySettings,
    (routes, mtu): (KernelRoutes, u16),
    (poller, control, vici): (Poller, ControlServer, Vici),
    observing: Observing,
) -> Result<(Gateway, DesiredState), GatewayError> {
    let mut clock = Clock::new();
    let now = clock.read().now;
    let nothing = DesiredState { gateway: settings.clone(), ..DesiredState::default() };
    let engine = Engine::new(&nothing, Arc::new(RealProvider), Box::new(OsRng), Box::new(OsRng), now);
    let names =
        Names::start(system_lookup, shared.engine_waker.clone(), now).map_err(io_error("start the resolver"))?;
    let notifier = Notifier::from_environment();
    let gateway = Gateway {
        engine,
        configured: nothing,
        control,
        vici,
        poller,
        clock,
        journal: Journal::new(options.json_log, now),
        followers: Vec::new(),
        capture: None,
        hearing: None,
        tap: Arc::clone(&shared.tap),
        observing,
        sysctls: options.manage_sysctls.then(|| Sysctls::start(options.state.as_deref())),
        waker: shared.engine_waker.clone(),
        drops: Arc::clone(&shared.drops),
        version: options.version,
        table: Arc::clone(&shared.table),
        sockets: Arc::clone(&shared.sockets),
        routes,
        route_trouble: None,
        mtu,
        names,
        injector: outbound::Injector::new(shared),
        next_watchdog: notifier.watchdog().map(|period| now + period),
        notifier,
        next_check: now,
        listen: options.listen,
        reload_file: options.reload,
        timestamp: options.timestamp,
        last_status: String::new(),
        stop: Arc::clone(&shared.stop),
    };
    Ok((gateway, options.desired))
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
