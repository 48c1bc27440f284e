//! Vendor IDs: what a peer says it can do (RFC 2408 §3.16). Recognised by prefix where a version or flags may follow.

use super::wire::Payload;

/// NAT traversal of RFC 3947, and of the drafts before it, one of which was hashed with its line feed.
const RFC_3947: [u8; 16] = *b"\x4a\x13\x1c\x81\x07\x03\x58\x45\x5c\x57\x28\xf2\x0e\x95\x45\x2f";
const NAT_DRAFT_03: [u8; 16] = *b"\x7d\x94\x19\xa6\x53\x10\xca\x6f\x2c\x17\x9d\x92\x15\x52\x9d\x56";
const NAT_DRAFT_02: [u8; 16] = *b"\xcd\x60\x46\x43\x35\xdf\x21\xf8\x7c\xfd\xb2\xfc\x68\xb6\xa4\x48";
const NAT_DRAFT_02_LF: [u8; 16] = *b"\x90\xcb\x80\x91\x3e\xbb\x69\x6e\x08\x63\x81\xb5\xec\x42\x7b\x1f";
/// Dead peer detection (RFC 3706 §5.1); two octets of version follow.
const DPD: [u8; 14] = *b"\xaf\xca\xd7\x13\x68\xa1\xf1\xc9\x6b\x86\x96\xfc\x77\x57";
const DPD_VERSION: [u8; 2] = [1, 0];
/// MD5 of FRAGMENTATION; four octets of capabilities may follow.
const FRAGMENTATION: [u8; 16] = *b"\x40\x48\xb7\xd5\x6e\xbc\xe8\x85\x25\xe7\xde\x7f\x00\xd6\xc2\xd3";
/// Fragments in every exchange.
const FRAGMENTATION_ALL: [u8; 4] = [0x80, 0, 0, 0];
const XAUTH: [u8; 6] = *b"\x09\x00\x26\x89\xdf\xd6";
const UNITY: [u8; 14] = *b"\x12\xf5\xf2\x8c\x45\x71\x68\xa9\x70\x2d\x9f\xe2\x74\xcc";

/// Which text of NAT traversal both ends know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NatVersion {
    /// draft-ietf-ipsec-nat-t-ike-02.
    Draft02,
    /// draft-ietf-ipsec-nat-t-ike-03.
    Draft03,
    /// RFC 3947.
    Rfc3947,
}

impl NatVersion {
    /// The encapsulation mode UDP-Encapsulated-Tunnel (RFC 3947 §5.1).
    #[must_use]
    pub fn tunnel_mode(self) -> u16 {
        match self {
            NatVersion::Rfc3947 => 3,
            NatVersion::Draft02 | NatVersion::Draft03 => 61_443,
        }
    }

    /// A NAT-D payload.
    #[must_use]
    pub fn discovery(self, hash: Vec<u8>) -> Payload {
        Payload::NatDiscovery { draft: self != NatVersion::Rfc3947, hash }
    }

    fn of(id: &[u8]) -> Option<NatVersion> {
        match id {
            id if id == RFC_3947 => Some(NatVersion::Rfc3947),
            id if id == NAT_DRAFT_03 => Some(NatVersion::Draft03),
            id if id == NAT_DRAFT_02 || id == NAT_DRAFT_02_LF => Some(NatVersion::Draft02),
            _ => None,
        }
    }
}

/// What the peer said it can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features {
    /// RFC 3706.
    pub dpd: bool,
    /// Cisco's fragments.
    pub fragmentation: bool,
    /// NAT traversal: the newest text it knows.
    pub nat: Option<NatVersion>,
    /// It would speak XAUTH.
    pub xauth: bool,
    /// It would speak Cisco's mode config.
    pub unity: bool,
}

impl Features {
    /// What two messages of one peer say together.
    #[must_use]
    pub fn merged(self, other: &Features) -> Features {
        Features {
            dpd: self.dpd || other.dpd,
            fragmentation: self.fragmentation || other.fragmentation,
            nat: self.nat.max(other.nat),
            xauth: self.xauth || other.xauth,
            unity: self.unity || other.unity,
        }
    }
}

/// What is known of a vendor ID.
pub(crate) fn name(id: &[u8]) -> Option<&'static str> {
    match NatVersion::of(id) {
        Some(NatVersion::Rfc3947) => return Some("NAT traversal (RFC 3947)"),
        Some(NatVersion::Draft03) => return Some("NAT traversal (draft 03)"),
        Some(NatVersion::Draft02) => return Some("NAT traversal (draft 02)"),
        None => {}
    }
    let known: [(&[u8], &'static str); 4] =
        [(&DPD, "DPD (RFC 3706)"), (&FRAGMENTATION, "fragmentation"), (&XAUTH, "XAUTH"), (&UNITY, "Cisco Unity")];
    known.into_iter().find(|(prefix, _)| id.starts_with(prefix)).map(|(_, name)| name)
}

fn vendor_ids(payloads: &[Payload]) -> impl Iterator<Item = &[u8]> {
    payloads.iter().filter_map(|payload| match payload {
        Payload::VendorId(id) => Some(id.as_slice()),
        _ => None,
    })
}

/// What a message's vendor IDs say. Unknown ones are passed over.
#[must_use]
pub fn recognise(payloads: &[Payload]) -> Features {
    vendor_ids(payloads).fold(Features::default(), |features, id| Features {
        dpd: features.dpd || id.starts_with(&DPD),
        fragmentation: features.fragmentation || id.starts_with(&FRAGMENTATION),
        nat: features.nat.max(NatVersion::of(id)),
        xauth: features.xauth || id.starts_with(&XAUTH),
        unity: features.unity || id.starts_with(&UNITY),
    })
}

/// What an initiator sends: `own` is the product's, if it has one.
#[must_use]
pub fn offered(own: &[u8], fragmentation: bool) -> Vec<Payload> {
    let mut ids: Vec<Vec<u8>> = Vec::new();
    if !own.is_empty() {
        ids.push(own.to_vec());
    }
    ids.extend([RFC_3947, NAT_DRAFT_03, NAT_DRAFT_02, NAT_DRAFT_02_LF].map(|id| id.to_vec()));
    ids.push([DPD.as_slice(), &DPD_VERSION].concat());
    if fragmentation {
        ids.push([FRAGMENTATION.as_slice(), &FRAGMENTATION_ALL].concat());
    }
    ids.into_iter().map(Payload::VendorId).collect()
}

/// What a responder answers: of the initiator's own, those that we can do too. So an answer is never longer than its
/// question, and says nothing about who answers.
#[must_use]
pub fn answered(peer: &[Payload], fragmentation: bool) -> Vec<Payload> {
    let best = recognise(peer).nat;
    let mut nat_said = false;
    let mut answer = Vec::new();
    for id in vendor_ids(peer) {
        let nat = NatVersion::of(id).is_some_and(|version| Some(version) == best) && !nat_said;
        nat_said |= nat;
        let wanted = nat || id.starts_with(&DPD) || (fragmentation && id.starts_with(&FRAGMENTATION));
        let payload = Payload::VendorId(id.to_vec());
        if wanted && !answer.contains(&payload) {
            answer.push(payload);
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_text_of_nat_traversal_that_both_know_is_answered_and_nothing_else_that_was_not_asked() {
        let asked = offered(b"some product", true);
        let features = recognise(&asked);
        assert_eq!((features.nat, features.dpd, features.fragmentation), (Some(NatVersion::Rfc3947), true, true));
        let answer = answered(&asked, true);
        assert_eq!(answer.len(), 3);
        assert!(answer.iter().all(|payload| asked.contains(payload)));
        assert_eq!(answered(&asked, false).len(), 2);
        assert!(answered(&[Payload::VendorId(b"somebody".to_vec())], true).is_empty());
        let old = [Payload::VendorId(NAT_DRAFT_02_LF.to_vec())];
        assert_eq!(recognise(&old).nat, Some(NatVersion::Draft02));
        assert_eq!(answered(&old, true), old);
    }

    #[test]
    fn versions_and_capabilities_may_follow_a_known_prefix() {
        let ids = [
            Payload::VendorId([DPD.as_slice(), &[9, 9]].concat()),
            Payload::VendorId(FRAGMENTATION.to_vec()),
            Payload::VendorId([XAUTH.as_slice(), &[0xb7, 0x12]].concat()),
            Payload::VendorId([UNITY.as_slice(), &[1, 0]].concat()),
        ];
        let features = recognise(&ids);
        assert!(features.dpd && features.fragmentation && features.xauth && features.unity);
        assert_eq!(features.nat, None);
    }
}
