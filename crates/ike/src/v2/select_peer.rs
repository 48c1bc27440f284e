//! Which configured peer a stranger is: by addresses at IKE_SA_INIT, by identities at IKE_AUTH, most specific first.

use crate::config::{PeerConfig, PeerName, Version};
use crate::event::DownReason;
use crate::id::Id;
use crate::proposal::IkeSuite;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// The peers there are, and those of them that an operator took down.
#[derive(Clone, Copy)]
pub(crate) struct Peers<'a> {
    pub(crate) all: &'a BTreeMap<PeerName, Arc<PeerConfig>>,
    pub(crate) disabled: &'a BTreeSet<PeerName>,
}

/// Peers that may use these addresses: those that name the remote one before those that take any.
pub(crate) fn by_address(peers: Peers<'_>, local: IpAddr, remote: IpAddr) -> Vec<&Arc<PeerConfig>> {
    let fits = |peer: &&Arc<PeerConfig>| {
        let local_fits = peer.local_address.is_none_or(|address| address == local || local.is_unspecified());
        let remote_fits = peer.remote_addresses.is_empty() || peer.remote_addresses.contains(&remote);
        local_fits && remote_fits
    };
    let enabled = |peer: &&Arc<PeerConfig>| !peers.disabled.contains(&peer.name);
    let mut found: Vec<&Arc<PeerConfig>> = peers.all.values().filter(enabled).filter(fits).collect();
    found.sort_by_key(|peer| (peer.remote_addresses.is_empty(), peer.local_address.is_none()));
    found
}

/// What is known of a stranger at IKE_AUTH.
pub(crate) struct PeerChoice<'a> {
    pub(crate) local: IpAddr,
    pub(crate) remote: IpAddr,
    pub(crate) suite: Option<&'a IkeSuite>,
    pub(crate) initiator: &'a Id,
    pub(crate) responder: Option<&'a Id>,
}

/// Whether a peer's proposals contain the suite that was negotiated before its identity was known.
pub(crate) fn allows(peer: &PeerConfig, suite: &IkeSuite) -> bool {
    peer.proposals.iter().any(|proposal| {
        proposal.ciphers.contains(&suite.cipher)
            && suite.integrity.is_none_or(|integrity| proposal.integrities.contains(&integrity))
            && proposal.prfs.contains(&suite.prf)
            && proposal.groups.contains(&suite.group)
    })
}

/// The peer whose identities, addresses and algorithms fit. One that names the identity comes before one that takes any.
pub(crate) fn select_by_identity(peers: Peers<'_>, choice: &PeerChoice<'_>) -> Result<Arc<PeerConfig>, DownReason> {
    let mut here = by_address(peers, choice.local, choice.remote);
    here.retain(|peer| peer.versions.allow(Version::V2));
    let named = |peer: &PeerConfig| peer.remote_id.as_ref().is_some_and(|id| id.same_as(choice.initiator));
    let mut known: Vec<&Arc<PeerConfig>> =
        here.iter().copied().filter(|peer| named(peer) || peer.remote_id.is_none()).collect();
    known.sort_by_key(|peer| !named(peer));
    if known.is_empty() {
        let expected = listed(here.iter().filter_map(|peer| peer.remote_id.as_ref()));
        return Err(DownReason::IdentityMismatch { expected, received: choice.initiator.clone() });
    }
    let asked_for = |peer: &PeerConfig| choice.responder.is_none_or(|id| id.same_as(&peer.local_id));
    let Some(asked) = choice.responder.filter(|_| !known.iter().any(|peer| asked_for(peer))) else {
        let allowed = |peer: &PeerConfig| choice.suite.is_none_or(|suite| allows(peer, suite));
        let fitting = known.iter().find(|peer| asked_for(peer) && allowed(peer));
        return fitting.map(|peer| Arc::clone(peer)).ok_or_else(|| other_algorithms(choice));
    };
    let ours = listed(known.iter().map(|peer| &peer.local_id));
    Err(DownReason::WrongResponder { asked: asked.clone(), ours })
}

/// Up to four different identities, as a person reads them.
pub(crate) fn listed<'a>(ids: impl Iterator<Item = &'a Id>) -> String {
    let mut ids: Vec<String> = ids.map(ToString::to_string).collect();
    ids.sort();
    ids.dedup();
    ids.truncate(4);
    ids.join(" or ")
}

/// Another peer at the same address allows the algorithms agreed on before anybody was named; this one does not.
fn other_algorithms(choice: &PeerChoice<'_>) -> DownReason {
    let suite = choice.suite.map_or_else(String::new, ToString::to_string);
    DownReason::Crypto(format!("{suite} was agreed on, which the connection with {} does not allow", choice.initiator))
}
