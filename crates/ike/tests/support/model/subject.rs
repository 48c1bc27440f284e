//! What is checked: an endpoint, seen from outside only. And endpoints with a planted flaw, which the checker must find.

use super::local::Message;
use super::scenario::{Command, Scenario};
use crypto::{Rng, SeededRng, SimProvider};
use ike::Endpoint;
use ike::config::{Path, PeerConfig, Version};
use ike::event::{ChildInstall, Event, Output, Role};
use ike::id::Id;
use ike::wire::IkeSpi;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// What happens to an endpoint.
#[derive(Clone, Debug)]
pub enum Input {
    /// It gets its configuration, and begins if that says so.
    Start,
    /// A datagram.
    Datagram(Path, Vec<u8>),
    /// Its own clock.
    Timer,
    /// An operator.
    Command(Command),
}

/// An IKE SA as seen from outside.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SaSeen {
    /// Our SPI.
    pub local: IkeSpi,
    /// The peer's, zero while unknown.
    pub remote: IkeSpi,
    /// Whether we began it.
    pub initiator: bool,
    /// Both ends proved who they are.
    pub established: bool,
}

/// What an endpoint says and does that the property is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Seen {
    /// A message.
    Sent(Path, Vec<u8>),
    /// "Both ends proved who they are."
    Up {
        /// Version 1.
        v1: bool,
        /// Our SPI.
        local: IkeSpi,
        /// The peer's.
        remote: IkeSpi,
        /// Whether we began it.
        initiator: bool,
        /// Who the peer proved to be.
        id: Id,
    },
    /// A child's SAs. The keys are hashes of them.
    Installed {
        /// Inbound SPI.
        inbound: u32,
        /// Outbound SPI.
        outbound: u32,
        /// Key of what is received.
        inbound_key: [u8; 32],
        /// Key of what is sent.
        outbound_key: [u8; 32],
    },
}

/// Something that can be put in the place of an endpoint.
pub trait Subject {
    /// The end `node` of a scenario, before it is configured.
    fn begin(node: usize, scenario: &Scenario, now: Instant) -> Self;
    /// Hands it an input, and takes all that comes out.
    fn take(&mut self, input: &Input, now: Instant) -> Vec<Seen>;
    /// When its clock is next due.
    fn due(&self) -> Option<Instant>;
    /// Everything that tells one of its states from another.
    fn fingerprint(&self) -> String;
    /// Its IKE SAs.
    fn sas(&self) -> Vec<SaSeen>;
}

/// Counts how much chance was used: two states that look alike but would draw other numbers are two states.
struct Counted {
    inner: SeededRng,
    octets: Arc<AtomicU64>,
}

impl Rng for Counted {
    fn fill(&mut self, dest: &mut [u8]) {
        self.octets.fetch_add(dest.len() as u64, Ordering::Relaxed);
        self.inner.fill(dest);
    }
}

/// The endpoint that ships.
pub struct Real {
    endpoint: Endpoint,
    octets: Arc<AtomicU64>,
    peers: Vec<PeerConfig>,
}

impl Subject for Real {
    fn begin(node: usize, scenario: &Scenario, now: Instant) -> Real {
        let octets = Arc::new(AtomicU64::new(0));
        let inner = SeededRng::new(scenario.seed * 1000 + node as u64);
        let rng = Counted { inner, octets: Arc::clone(&octets) };
        let config = scenario.endpoint.clone();
        let endpoint = Endpoint::new(config, Arc::new(SimProvider), Box::new(rng), now);
        Real { endpoint, octets, peers: vec![scenario.peers[node].clone()] }
    }

    fn take(&mut self, input: &Input, now: Instant) -> Vec<Seen> {
        match input {
            Input::Start => self.endpoint.apply(self.peers.clone(), now),
            Input::Datagram(path, message) => self.endpoint.handle_datagram(*path, message, now),
            Input::Timer => self.endpoint.handle_timeout(now),
            Input::Command(command) => {
                let peer = self.peers[0].name.clone();
                // What cannot be done now changes nothing, and is then no step of the model.
                let _ = match command {
                    Command::RekeyChild => self.endpoint.rekey_child(&peer, None, now),
                    Command::RekeyIke => self.endpoint.rekey_ike(&peer, now),
                    Command::Up => self.endpoint.up(&peer, None, now),
                    Command::Down => self.endpoint.down(&peer, None, now),
                };
            }
        }
        std::iter::from_fn(|| self.endpoint.poll_output()).filter_map(seen).collect()
    }

    fn due(&self) -> Option<Instant> {
        self.endpoint.poll_timeout()
    }

    fn fingerprint(&self) -> String {
        format!("{:?} {}", self.endpoint, self.octets.load(Ordering::Relaxed))
    }

    fn sas(&self) -> Vec<SaSeen> {
        let sas = self.endpoint.sas().map(|sa| SaSeen {
            local: sa.local_spi(),
            remote: sa.remote_spi(),
            initiator: sa.role() == Role::Initiator,
            established: sa.is_established(),
        });
        sas.collect()
    }
}

fn seen(output: Output) -> Option<Seen> {
    match output {
        Output::Transmit(transmit) => Some(Seen::Sent(transmit.path, transmit.message)),
        Output::InstallChild(install) => Some(installed(&install)),
        Output::Event(Event::IkeSaUp { version, local_spi, remote_spi, role, remote_id, .. }) => Some(Seen::Up {
            v1: version == Version::V1,
            local: local_spi,
            remote: remote_spi,
            initiator: role == Role::Initiator,
            id: remote_id,
        }),
        Output::Event(_)
        | Output::Sign(..)
        | Output::Trace(_)
        | Output::Keepalive(_)
        | Output::ActivateOutbound(_)
        | Output::RemoveChild { .. }
        | Output::MoveChild { .. } => None,
    }
}

fn installed(install: &ChildInstall) -> Seen {
    let hash = |keys: &ipsec::EspKeys| crypto::sha256(&[keys.encryption.expose(), b"|", keys.integrity.expose()]);
    Seen::Installed {
        inbound: install.spis.inbound.get(),
        outbound: install.spis.outbound.get(),
        inbound_key: hash(&install.inbound_keys),
        outbound_key: hash(&install.outbound_keys),
    }
}

/// How an endpoint is wrong.
pub trait Flaw: Default {
    /// Spoils what a right endpoint did.
    fn spoil(&mut self, input: &Input, seen: &mut Vec<Seen>, sas: &[SaSeen], peer: &PeerConfig);
}

/// An endpoint that ships, with a flaw around it: from outside nothing tells it from one that is wrong inside.
pub struct Flawed<F> {
    real: Real,
    flaw: F,
}

impl<F: Flaw> Subject for Flawed<F> {
    fn begin(node: usize, scenario: &Scenario, now: Instant) -> Self {
        Flawed { real: Real::begin(node, scenario, now), flaw: F::default() }
    }

    fn take(&mut self, input: &Input, now: Instant) -> Vec<Seen> {
        let mut seen = self.real.take(input, now);
        self.flaw.spoil(input, &mut seen, &self.real.sas(), &self.real.peers[0]);
        seen
    }

    fn due(&self) -> Option<Instant> {
        self.real.due()
    }

    fn fingerprint(&self) -> String {
        self.real.fingerprint()
    }

    fn sas(&self) -> Vec<SaSeen> {
        self.real.sas()
    }
}

/// Says that the peer is authenticated as soon as it speaks to somebody under two SPIs: the class of CVE-2014-2338, where
/// an SA that nobody authenticated counted as established.
#[derive(Default)]
pub struct BelievesEarly {
    said: Vec<(IkeSpi, IkeSpi)>,
}

impl Flaw for BelievesEarly {
    fn spoil(&mut self, input: &Input, seen: &mut Vec<Seen>, sas: &[SaSeen], peer: &PeerConfig) {
        if !matches!(input, Input::Datagram(..)) {
            return;
        }
        let sent = seen.iter().filter_map(|seen| match seen {
            Seen::Sent(path, octets) => {
                let message = Message { sender: None, path: *path, octets: octets.clone() };
                Some((message.spis(), message.major() == 1))
            }
            Seen::Up { .. } | Seen::Installed { .. } => None,
        });
        let sent: Vec<_> = sent.filter(|((_, r), _)| !r.is_zero()).collect();
        seen.retain(|seen| !matches!(seen, Seen::Up { .. }));
        for ((i, r), v1) in sent {
            if self.said.contains(&(i, r)) {
                continue;
            }
            self.said.push((i, r));
            let initiator = sas.iter().any(|sa| sa.initiator && sa.local == i);
            let (local, remote) = if initiator { (i, r) } else { (r, i) };
            let id = peer.remote_id.clone().expect("the identity it expects");
            seen.push(Seen::Up { v1, local, remote, initiator, id });
        }
    }
}

/// Gives the data plane the keys of the two directions the wrong way round, as initiator and as responder.
#[derive(Default)]
pub struct CrossesKeys;

impl Flaw for CrossesKeys {
    fn spoil(&mut self, _: &Input, seen: &mut Vec<Seen>, _: &[SaSeen], _: &PeerConfig) {
        for seen in seen {
            if let Seen::Installed { inbound_key, inbound, outbound, .. } = seen {
                // Both ends have this flaw: that they agree with each other must not hide it.
                *inbound_key = crypto::sha256(&[&*inbound_key, &inbound.max(outbound).to_be_bytes()]);
            }
        }
    }
}

/// Installs the SAs of a child with the first message of the peer, before anybody is authenticated.
#[derive(Default)]
pub struct InstallsEarly {
    done: bool,
}

impl Flaw for InstallsEarly {
    fn spoil(&mut self, input: &Input, seen: &mut Vec<Seen>, _: &[SaSeen], _: &PeerConfig) {
        if matches!(input, Input::Datagram(..)) && !std::mem::replace(&mut self.done, true) {
            let (inbound_key, outbound_key) = ([1; 32], [2; 32]);
            seen.push(Seen::Installed { inbound: 0x1000, outbound: 0x2000, inbound_key, outbound_key });
        }
    }
}
