//! IKEv1 between two ends of ours: main mode, aggressive mode, quick mode, and what refuses them.

mod support;

use ike::config::{PeerConfig, Version, Versions};
use ike::event::Event;
use ike::proposal::{EspProposal, IkeProposal};
use support::*;

/// Both ends speak IKEv1 with the algorithms of the legacy profile.
fn v1(peer: &mut PeerConfig) {
    peer.versions = Versions::V1;
    peer.proposals = IkeProposal::parse_list("aes128-sha1-modp1024").unwrap();
    for child in &mut peer.children {
        child.proposals = EspProposal::parse_list("aes128-sha1-modp1024", false).unwrap();
    }
}

fn setup(seed: u64) -> Setup {
    Setup::seeded(seed).both(v1)
}

#[test]
fn main_mode_and_quick_mode_make_a_tunnel() {
    let mut pair = setup(1).build();
    pair.start();
    pair.run(seconds(5));
    pair.assert_converged();
    assert!(pair.end(A).has_said(|event| matches!(event, Event::IkeSaUp { version: Version::V1, .. })));
    assert_eq!(pair.sa(A).version(), Version::V1);
}
