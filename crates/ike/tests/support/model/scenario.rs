//! What is explored: who is configured how, what has happened before, and what may happen how often.

use super::super::{A, B, site_a, site_b};
use ike::config::{EndpointConfig, PeerConfig, StartPolicy, Versions};
use ike::id::Id;
use ike::proposal::{EspProposal, IkeProposal};
use std::time::Duration;

/// What an operator may do at some moment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Command {
    /// A new child in place of the old one.
    RekeyChild,
    /// A new IKE SA in place of the old one.
    RekeyIke,
    /// Bring it up.
    Up,
    /// Take it down.
    Down,
}

/// What may be seen at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Allowed {
    /// What the peer authenticated.
    Genuine,
    /// Nothing is ever established or installed at these ends (A, B).
    Never([bool; 2]),
}

/// A model to explore.
#[derive(Clone)]
pub struct Scenario {
    /// Decides everything that is chance.
    pub seed: u64,
    /// How A sees B, how B sees A, and how an attacker who has A's key sees B.
    pub peers: [PeerConfig; 3],
    /// Of all endpoints.
    pub endpoint: EndpointConfig,
    /// Whether the attacker runs an endpoint with A's configuration and key.
    pub stolen_key: bool,
    /// Everything delivered in order, until it is quiet, before the exploration begins.
    pub connected: bool,
    /// What operators may do.
    pub commands: Vec<Command>,
    /// How often, in all.
    pub command_budget: u8,
    /// How often a clock may be let run to its next due time.
    pub timer_budget: u8,
    /// Clocks are not let run further than this at once.
    pub patience: Duration,
    /// How often the attacker may deliver a message with the SPIs of another in its header.
    pub transplant_budget: u8,
    /// What may be seen.
    pub allowed: Allowed,
    /// Steps after the start.
    pub depth: usize,
    /// States at most: the exploration fails if there are more.
    pub limit: usize,
}

/// One suite, so that messages are small.
fn one_suite(peer: &mut PeerConfig, versions: Versions) {
    peer.versions = versions;
    let (ike, esp) = match versions {
        Versions::V1 => ("aes128-sha1-modp1024", "aes128-sha1"),
        Versions::V2 | Versions::Both => ("aes128gcm16-prfsha256-x25519", "aes128gcm16"),
    };
    peer.proposals = IkeProposal::parse_list(ike).expect("a proposal");
    for child in &mut peer.children {
        child.proposals = EspProposal::parse_list(esp, false).expect("a proposal");
    }
}

impl Scenario {
    /// A begins, B waits; nothing but deliveries.
    pub fn new(versions: Versions) -> Scenario {
        let mut peers = [site_a(), site_b(), site_a()];
        peers.iter_mut().for_each(|peer| one_suite(peer, versions));
        Scenario {
            seed: 1,
            peers,
            endpoint: EndpointConfig::default(),
            stolen_key: false,
            connected: false,
            commands: Vec::new(),
            command_budget: 0,
            timer_budget: 0,
            patience: Duration::from_secs(40),
            transplant_budget: 0,
            allowed: Allowed::Genuine,
            depth: 12,
            limit: 3_000_000,
        }
    }

    /// Changes all ends' configuration.
    pub fn all(mut self, change: impl Fn(&mut PeerConfig)) -> Scenario {
        self.peers.iter_mut().for_each(change);
        self
    }

    /// Both ends begin at once.
    pub fn both_begin(self) -> Scenario {
        self.all(|peer| peer.children.iter_mut().for_each(|child| child.start = StartPolicy::OnLoad))
    }

    /// B has another key.
    pub fn keys_differ(mut self) -> Scenario {
        self.peers[B.0].psk = b"another key".to_vec().into();
        Scenario { allowed: Allowed::Never([true, true]), ..self }
    }

    /// A expects somebody else than B.
    pub fn a_expects_another(mut self) -> Scenario {
        self.peers[A.0].remote_id = Some(Id::Fqdn("c.example".to_owned()));
        Scenario { allowed: Allowed::Never([true, false]), ..self }
    }

    /// B expects somebody else than A.
    pub fn b_expects_another(mut self) -> Scenario {
        self.peers[B.0].remote_id = Some(Id::Fqdn("c.example".to_owned()));
        Scenario { allowed: Allowed::Never([true, true]), ..self }
    }
}
