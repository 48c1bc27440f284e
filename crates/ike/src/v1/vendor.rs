//! Vendor IDs: the only way to say in IKEv1 what one is capable of (RFC 2408 §3.16).
//!
//! Some are followed by a version or by capabilities, so they are recognised by their beginning. Unknown ones are
//! ignored. As responder we repeat what the initiator knows and nothing else, so that an answer to a spoofed question
//! is never longer than the question.

use super::wire::Payload;

/// MD5 of "RFC 3947" (RFC 3947 §3.1).
const RFC_3947: [u8; 16] = 0x4a13_1c81_0703_5845_5c57_28f2_0e95_452f_u128.to_be_bytes();
/// MD5 of "draft-ietf-ipsec-nat-t-ike-03".
const DRAFT_03: [u8; 16] = 0x7d94_19a6_5310_ca6f_2c17_9d92_1552_9d56_u128.to_be_bytes();
/// MD5 of "draft-ietf-ipsec-nat-t-ike-02".
const DRAFT_02: [u8; 16] = 0xcd60_4643_35df_21f8_7cfd_b2fc_68b6_a448_u128.to_be_bytes();
/// MD5 of "draft-ietf-ipsec-nat-t-ike-02\n": a slip that the draft's text left open, and more common than the other.
const DRAFT_02_LINE: [u8; 16] = 0x90cb_8091_3ebb_696e_0863_81b5_ec42_7b1f_u128.to_be_bytes();
/// Dead peer detection, version 1.0 in the last two octets (RFC 3706 §5.1).
const DPD: [u8; 16] = 0xafca_d713_68a1_f1c9_6b86_96fc_7757_0100_u128.to_be_bytes();
/// MD5 of "FRAGMENTATION"; capabilities may follow.
const FRAGMENTATION: [u8; 16] = 0x4048_b7d5_6ebc_e885_25e7_de7f_00d6_c2d3_u128.to_be_bytes();
/// XAUTH (draft-beaulieu-ike-xauth).
const XAUTH: [u8; 8] = 0x0900_2689_dfd6_b712_u64.to_be_bytes();
/// MD5 of "CISCO-UNITY" without its last two octets, in whose place a version stands.
const UNITY: [u8; 14] = [0x12, 0xf5, 0xf2, 0x8c, 0x45, 0x71, 0x68, 0xa9, 0x70, 0x2d, 0x9f, 0xe2, 0x74, 0xcc];

/// Octets of version at the end of the DPD and Unity IDs.
const VERSION_LEN: usize = 2;
/// Fragments are understood in main mode; the next bit is aggressive mode's.
const FRAGMENTS_IN_MAIN_MODE: u32 = 0x8000_0000;
const FRAGMENTS_IN_ANY_MODE: u32 = 0xc000_0000;

/// How two ends find a NAT between them, and what they call ESP in UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NatVersion {
    /// RFC 3947.
    Rfc3947,
    /// draft-ietf-ipsec-nat-t-ike-03.
    Draft03,
    /// draft-ietf-ipsec-nat-t-ike-02.
    Draft02,
}

impl NatVersion {
    /// The number of UDP-Encapsulated-Tunnel as encapsulation mode (RFC 3947 §5.1); the drafts' is a private one.
    #[must_use]
    pub fn tunnel_mode(self) -> u16 {
        match self {
            NatVersion::Rfc3947 => 3,
            NatVersion::Draft03 | NatVersion::Draft02 => 61_443,
        }
    }

    /// A NAT-D payload, under the version's number.
    #[must_use]
    pub fn discovery(self, hash: Vec<u8>) -> Payload {
        let draft = match self {
            NatVersion::Rfc3947 => false,
            NatVersion::Draft03 | NatVersion::Draft02 => true,
        };
        Payload::NatDiscovery { draft, hash }
    }

    /// The best version whose ID is this one.
    fn of(id: &[u8]) -> Option<NatVersion> {
        const KNOWN: [([u8; 16], NatVersion); 4] = [
            (RFC_3947, NatVersion::Rfc3947),
            (DRAFT_03, NatVersion::Draft03),
            (DRAFT_02, NatVersion::Draft02),
            (DRAFT_02_LINE, NatVersion::Draft02),
        ];
        KNOWN.iter().find(|(known, _)| known == id).map(|(_, version)| *version)
    }
}

/// What a peer's vendor IDs say about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Features {
    /// Answers R-U-THERE (RFC 3706): without it, asking is pointless.
    pub dpd: bool,
    /// Puts fragments together (Cisco's scheme).
    pub fragmentation: bool,
    /// The best way to find a NAT that it knows.
    pub nat: Option<NatVersion>,
    /// Speaks XAUTH; whether it demands it, its proposals say.
    pub xauth: bool,
    /// Cisco's extensions: split tunnels and the like.
    pub unity: bool,
}

/// What a message's vendor IDs say. Unknown ones are ignored, and so are other payloads.
#[must_use]
pub fn recognise(payloads: &[Payload]) -> Features {
    let mut features = Features::default();
    for id in ids(payloads) {
        features.dpd |= is_dpd(id);
        features.fragmentation |= is_fragmentation(id);
        features.xauth |= id.starts_with(&XAUTH);
        features.unity |= id.starts_with(&UNITY) && id.len() == UNITY.len() + VERSION_LEN;
        features.nat = match (features.nat, NatVersion::of(id)) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
    features
}

/// What we say as initiator: every NAT version, DPD, and `fragmentation` if wanted, behind them `own`, which may be
/// empty: then it is left out.
#[must_use]
pub fn offered(own: &[u8], fragmentation: bool) -> Vec<Payload> {
    let mut ids: Vec<Vec<u8>> = [RFC_3947, DRAFT_03, DRAFT_02, DRAFT_02_LINE, DPD].map(Vec::from).into();
    if fragmentation {
        ids.push(fragmentation_with_capabilities());
    }
    if !own.is_empty() {
        ids.push(own.to_vec());
    }
    ids.into_iter().map(Payload::VendorId).collect()
}

/// What we say as responder: of what the initiator says, the best NAT version, DPD, and `fragmentation` if wanted.
#[must_use]
pub fn answered(peer: &[Payload], fragmentation: bool) -> Vec<Payload> {
    let best = recognise(peer).nat;
    let nat = ids(peer).find(|id| best.is_some() && NatVersion::of(id) == best).map(<[u8]>::to_vec);
    let dpd = ids(peer).find(|id| is_dpd(id)).map(|_| DPD.to_vec());
    // No longer than the peer's own: it says by the length whether it knows of capabilities.
    let fragments = ids(peer).find(|id| fragmentation && is_fragmentation(id)).map(|id| {
        if id.len() > FRAGMENTATION.len() { fragmentation_with_capabilities() } else { FRAGMENTATION.to_vec() }
    });
    [nat, dpd, fragments].into_iter().flatten().map(Payload::VendorId).collect()
}

fn ids(payloads: &[Payload]) -> impl Iterator<Item = &[u8]> {
    payloads.iter().filter_map(|payload| match payload {
        Payload::VendorId(id) => Some(id.as_slice()),
        _ => None,
    })
}

/// Any version of it.
fn is_dpd(id: &[u8]) -> bool {
    id.len() == DPD.len() && DPD.iter().zip(id).take(DPD.len() - VERSION_LEN).all(|(ours, theirs)| ours == theirs)
}

/// With the capability to take fragments of any mode, or without a word on capabilities.
fn is_fragmentation(id: &[u8]) -> bool {
    let Some(rest) = id.strip_prefix(&FRAGMENTATION) else { return false };
    match rest.first_chunk() {
        Some(capabilities) => u32::from_be_bytes(*capabilities) & FRAGMENTS_IN_ANY_MODE != 0,
        None => rest.is_empty(),
    }
}

fn fragmentation_with_capabilities() -> Vec<u8> {
    [FRAGMENTATION.as_slice(), &FRAGMENTS_IN_MAIN_MODE.to_be_bytes()].concat()
}
