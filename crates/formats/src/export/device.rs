//! What a device can say: its words for algorithms, and the forms its configuration has room for.

use super::model::Export;
use super::refusal::Findings;
use crypto::{Cipher, Group, Integrity, Prf};
use ike::id::Id;

/// Algorithms and the device's words for them.
pub(super) type Words<T> = &'static [(T, &'static str)];

/// Algorithms of one phase.
pub(super) struct Phase {
    pub(super) ciphers: Words<Cipher>,
    pub(super) integrities: Words<Integrity>,
    pub(super) groups: Words<Group>,
}

/// How many suites a device is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Suites {
    /// All it can say.
    All,
    /// The most preferred that it can say.
    First,
}

/// What a child's selectors may look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Selectors {
    /// Everything, and nothing else.
    pub(super) only_everything: bool,
    /// Several networks on one side of one child.
    pub(super) many: bool,
    /// Protocol and one port per network.
    pub(super) services: bool,
    /// Ranges of ports.
    pub(super) port_ranges: bool,
    /// IPv6 inside.
    pub(super) v6: bool,
}

/// One device.
pub(super) struct Device {
    pub(super) title: &'static str,
    pub(super) ike: Phase,
    /// PRFs that can be named; where empty, the PRF follows from the integrity algorithm.
    pub(super) prfs: Words<Prf>,
    /// The PRF may be another than the integrity algorithm's.
    pub(super) prf_apart: bool,
    pub(super) esp: Phase,
    pub(super) suites: Suites,
    /// ESP has a key exchange of its own.
    pub(super) pfs_required: bool,
    pub(super) v1: bool,
    pub(super) v2: bool,
    /// Both versions in one configuration.
    pub(super) both: bool,
    pub(super) aggressive: bool,
    pub(super) esn: bool,
    pub(super) sha256_96: bool,
    /// UDP ports other than 500.
    pub(super) ports: bool,
    /// Its own address may be left to the route, and the peer's to whoever calls.
    pub(super) open_ends: bool,
    /// DNS names of peers.
    pub(super) names: bool,
    pub(super) v6_outside: bool,
    /// Several tunnels to the same networks.
    pub(super) several: bool,
    pub(super) ike_lifetime: (u64, u64),
    pub(super) esp_lifetime: (u64, u64),
    pub(super) selectors: Selectors,
    /// Options that one end decides alone and that this device has a place for.
    pub(super) local: Local,
    /// Seconds between checks of the peer, least and most, and how many may fail.
    pub(super) dpd: (u64, u64, u64),
    /// One child per tunnel.
    pub(super) one_child: bool,
    /// Identities are the addresses of both ends.
    pub(super) address_ids: bool,
    /// Any identity of the peer will do.
    pub(super) any_id: bool,
    /// What else this device cannot say.
    pub(super) extra: fn(&Export, &mut Findings),
    pub(super) id: fn(&Id) -> Option<String>,
    /// A key in the device's quotes, or what is wrong with it.
    pub(super) key: fn(&[u8]) -> Result<String, &'static str>,
    pub(super) template: &'static str,
    /// A second file with the keys.
    pub(super) secrets: Option<&'static str>,
}

/// What an end decides alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Local {
    pub(super) margin: bool,
    pub(super) volume: bool,
    pub(super) replay: bool,
    pub(super) fragmentation: bool,
}

/// Nothing of it.
pub(super) const NO_LOCAL: Local = Local { margin: false, volume: false, replay: false, fragmentation: false };

/// An identity as text, where it holds nothing that a configuration language could take for its own.
pub(super) fn plain_id(id: &Id) -> Option<String> {
    let text = match id {
        Id::Ipv4(address) => address.to_string(),
        Id::Ipv6(address) => address.to_string(),
        Id::Fqdn(name) => name.clone(),
        Id::Rfc822(name) if name.contains('@') && !name.starts_with('@') => name.clone(),
        Id::Rfc822(_) | Id::KeyId(_) | Id::Unknown { .. } => return None,
    };
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@' | ':');
    (!text.is_empty() && text.len() <= 255 && text.chars().all(harmless)).then_some(text)
}

/// A key that stands bare in a line of words.
pub(super) fn bare_key(key: &[u8]) -> Result<String, &'static str> {
    let word = |byte: &u8| byte.is_ascii_graphic() && !b"?\"'`\\<>&;#|{}!$".contains(byte);
    match std::str::from_utf8(key) {
        Ok(text) if !key.is_empty() && key.iter().all(word) => Ok(text.to_owned()),
        _ => Err("a key with blanks, quotes, `?`, `!`, `#`, `;` or what is no ASCII"),
    }
}

/// Every interval and number of checks.
pub(super) const ANY_DPD: (u64, u64, u64) = (1, u64::MAX, u64::MAX);

/// Nothing else.
pub(super) fn no_more(_: &Export, _: &mut Findings) {}

/// What the devices of most vendors have in common: one suite, one pair of networks per child, fixed addresses at both ends.
pub(super) const VENDOR: Device = Device {
    title: "",
    ike: Phase { ciphers: &[], integrities: &[], groups: &[] },
    prfs: &[],
    prf_apart: false,
    esp: Phase { ciphers: &[], integrities: &[], groups: &[] },
    suites: Suites::First,
    pfs_required: false,
    v1: true,
    v2: true,
    both: false,
    aggressive: false,
    esn: false,
    sha256_96: false,
    ports: false,
    open_ends: false,
    names: false,
    v6_outside: false,
    several: true,
    ike_lifetime: (120, 86_400),
    esp_lifetime: (120, 86_400),
    selectors: Selectors { only_everything: false, many: false, services: false, port_ranges: false, v6: false },
    local: NO_LOCAL,
    dpd: ANY_DPD,
    one_child: false,
    address_ids: false,
    any_id: false,
    extra: no_more,
    id: plain_id,
    key: bare_key,
    template: "",
    secrets: None,
};

macro_rules! words {
    ($kind:ident: $($variant:ident = $word:literal),* $(,)?) => { &[$((crypto::$kind::$variant, $word)),*] };
}
pub(super) use words;
