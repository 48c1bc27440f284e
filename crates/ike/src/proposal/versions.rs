//! What each version of IKE can say: IKEv1 knows fewer algorithms than IKEv2 (RFC 2409 appendix A, RFC 2407 §4.4.4 and §4.5,
//! their IANA registries), and its defaults are what the peers speak that have no IKEv2.
//!
//! - IKEv1 protects its own messages with AES-CBC alone; one hash is at once integrity and PRF (RFC 2409 §4).
//! - No number was ever given to X25519, to AES-CMAC, to ChaCha20-Poly1305; XCBC has one in ESP but not in IKE.
//! - Extended sequence numbers are an attribute that few peers know (RFC 4304 §2): they are never asked for.

use crypto::{Cipher, Group, Integrity};

use super::{DEFAULT_CBC, EspProposal, IkeProposal, words};
use crate::config::Versions;

/// The group that more IKEv1 peers have than any other that is not weak comes first; aggressive mode and quick mode can
/// name one alone.
const V1_GROUPS: [Group; 4] = [Group::Modp2048, Group::Modp3072, Group::Modp4096, Group::Ecp256];
const V1_HASHES: [Integrity; 3] =
    [Integrity::HmacSha2_256_128, Integrity::HmacSha2_384_192, Integrity::HmacSha2_512_256];
const V1_ESP_INTEGRITIES: [Integrity; 2] = [Integrity::HmacSha2_256_128, Integrity::HmacSha1_96];
const V1_ESP_AEAD: [Cipher; 2] = [Cipher::AesGcm16_256, Cipher::AesGcm16_128];

impl IkeProposal {
    /// What is offered and accepted where nothing is configured, by the versions of IKE that may be spoken. With both,
    /// one list serves both: IKEv2's defaults, then what only IKEv1's peers need.
    #[must_use]
    pub fn defaults_for(versions: Versions) -> Vec<IkeProposal> {
        let proposal = |hashes: &[Integrity], groups: &[Group]| IkeProposal {
            ciphers: DEFAULT_CBC.to_vec(),
            integrities: hashes.to_vec(),
            prfs: hashes.iter().copied().map(words::prf_of).collect(),
            groups: groups.to_vec(),
        };
        // In IKEv1 each combination takes 36 octets of a first message that cannot be fragmented yet: SHA-1, the last
        // resort, comes with one group only.
        let last_resort = proposal(&[Integrity::HmacSha1_96], &[Group::Modp2048]);
        match versions {
            Versions::V1 => vec![proposal(&V1_HASHES, &V1_GROUPS), last_resort],
            Versions::V2 => IkeProposal::defaults(),
            // IKEv2's defaults have AES-CBC with SHA-2 and all the groups already.
            Versions::Both => IkeProposal::defaults().into_iter().chain([last_resort]).collect(),
        }
    }

    /// What IKEv1 can say of these algorithms.
    ///
    /// # Errors
    /// Nothing: the words it has no number for.
    pub fn in_v1(&self) -> Result<IkeProposal, Vec<&'static str>> {
        let (ciphers, mut unsayable) = sayable(&self.ciphers, is_v1_cipher, Cipher::name);
        let (mut integrities, others) = sayable(&self.integrities, is_v1_hash, Integrity::name);
        unsayable.extend(others);
        let (groups, others) = sayable(&self.groups, is_v1_group, Group::name);
        unsayable.extend(others);
        let hashes = integrities.len();
        integrities.retain(|integrity| self.prfs.contains(&words::prf_of(*integrity)));
        if integrities.is_empty() && hashes > 0 {
            unsayable.extend(self.prfs.iter().map(|prf| prf.name()));
        }
        let prfs: Vec<_> = integrities.iter().copied().map(words::prf_of).collect();
        if ciphers.is_empty() || integrities.is_empty() || groups.is_empty() {
            return Err(unsayable);
        }
        Ok(IkeProposal { ciphers, integrities, prfs, groups })
    }
}

impl EspProposal {
    /// What is offered and accepted where nothing is configured, by the versions of IKE that may be spoken. IKEv1's quick
    /// mode names one group for all of an offer, so its defaults have one.
    #[must_use]
    pub fn defaults_for(versions: Versions) -> Vec<EspProposal> {
        let proposal = |ciphers: &[Cipher], integrities: &[Integrity], groups: &[Group]| EspProposal {
            ciphers: ciphers.to_vec(),
            integrities: integrities.to_vec(),
            groups: groups.to_vec(),
            esn: vec![false],
        };
        let with = |groups: &[Group]| {
            [proposal(&V1_ESP_AEAD, &[], groups), proposal(&DEFAULT_CBC, &V1_ESP_INTEGRITIES, groups)]
        };
        let v1 = with(&[Group::Modp2048]).into_iter().chain(with(&[]));
        match versions {
            Versions::V1 => v1.collect(),
            Versions::V2 => EspProposal::defaults(),
            Versions::Both => EspProposal::defaults().into_iter().chain(v1).collect(),
        }
    }

    /// What IKEv1 can say of these algorithms. A group that it cannot say is no proposal without one: that would drop
    /// perfect forward secrecy unasked.
    ///
    /// # Errors
    /// Nothing: the words it has no number for.
    pub fn in_v1(&self) -> Result<EspProposal, Vec<&'static str>> {
        let (ciphers, mut unsayable) = sayable(&self.ciphers, is_v1_esp_cipher, Cipher::name);
        let (integrities, others) = sayable(&self.integrities, is_v1_esp_integrity, Integrity::name);
        unsayable.extend(others);
        let (groups, others) = sayable(&self.groups, is_v1_group, Group::name);
        unsayable.extend(others);
        let esn = self.esn.contains(&false);
        if !esn {
            unsayable.push("esn");
        }
        let gone = ciphers.is_empty()
            || integrities.is_empty() != self.integrities.is_empty()
            || groups.is_empty() != self.groups.is_empty();
        if gone || !esn {
            return Err(unsayable);
        }
        Ok(EspProposal { ciphers, integrities, groups, esn: vec![false] })
    }
}

/// What passes, in its order, and the names of what does not.
fn sayable<T: Copy>(
    list: &[T],
    passes: impl Fn(T) -> bool,
    name: impl Fn(T) -> &'static str,
) -> (Vec<T>, Vec<&'static str>) {
    let (yes, no): (Vec<T>, Vec<T>) = list.iter().copied().partition(|item| passes(*item));
    (yes, no.into_iter().map(name).collect())
}

fn is_v1_cipher(cipher: Cipher) -> bool {
    match cipher {
        Cipher::AesCbc128 | Cipher::AesCbc192 | Cipher::AesCbc256 => true,
        Cipher::Null
        | Cipher::AesGcm16_128
        | Cipher::AesGcm16_192
        | Cipher::AesGcm16_256
        | Cipher::ChaCha20Poly1305 => false,
    }
}

fn is_v1_esp_cipher(cipher: Cipher) -> bool {
    match cipher {
        Cipher::ChaCha20Poly1305 => false,
        Cipher::Null
        | Cipher::AesCbc128
        | Cipher::AesCbc192
        | Cipher::AesCbc256
        | Cipher::AesGcm16_128
        | Cipher::AesGcm16_192
        | Cipher::AesGcm16_256 => true,
    }
}

fn is_v1_hash(integrity: Integrity) -> bool {
    match integrity {
        Integrity::HmacSha1_96
        | Integrity::HmacSha2_256_128
        | Integrity::HmacSha2_384_192
        | Integrity::HmacSha2_512_256 => true,
        Integrity::HmacSha2_256_96 | Integrity::AesXcbc96 | Integrity::AesCmac96 => false,
    }
}

fn is_v1_esp_integrity(integrity: Integrity) -> bool {
    is_v1_hash(integrity) || integrity == Integrity::AesXcbc96
}

/// Groups 2 to 24 as far as we have them (RFC 2409 §6, RFC 3526, RFC 5114, RFC 5903).
fn is_v1_group(group: Group) -> bool {
    match group {
        Group::Curve25519 => false,
        Group::Modp1024
        | Group::Modp1536
        | Group::Modp2048
        | Group::Modp3072
        | Group::Modp4096
        | Group::Modp6144
        | Group::Modp8192
        | Group::Modp1024S160
        | Group::Modp2048S224
        | Group::Modp2048S256
        | Group::Ecp256
        | Group::Ecp384
        | Group::Ecp521 => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown<T: std::fmt::Display>(list: &[T]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn defaults_of_ikev1_are_all_sayable_and_have_no_weak_group() {
        for proposal in IkeProposal::defaults_for(Versions::V1) {
            assert_eq!(proposal.in_v1().as_ref(), Ok(&proposal));
            assert!(proposal.groups.iter().all(|group| *group != Group::Modp1024 && *group != Group::Modp1536));
        }
        for proposal in EspProposal::defaults_for(Versions::V1) {
            assert_eq!(proposal.in_v1().as_ref(), Ok(&proposal));
        }
        assert_eq!(
            shown(&IkeProposal::defaults_for(Versions::V1)),
            ["aes256-aes128-sha256-sha384-sha512-modp2048-modp3072-modp4096-ecp256", "aes256-aes128-sha1-modp2048"]
        );
        assert_eq!(
            shown(&EspProposal::defaults_for(Versions::V1)),
            [
                "aes256gcm16-aes128gcm16-modp2048",
                "aes256-aes128-sha256-sha1-modp2048",
                "aes256gcm16-aes128gcm16",
                "aes256-aes128-sha256-sha1"
            ]
        );
    }

    #[test]
    fn with_both_versions_the_defaults_of_ikev2_come_first() {
        let both = IkeProposal::defaults_for(Versions::Both);
        assert!(both.starts_with(&IkeProposal::defaults_for(Versions::V2)));
        assert!(both.iter().any(|proposal| proposal.integrities == [Integrity::HmacSha1_96]));
        let both = EspProposal::defaults_for(Versions::Both);
        assert!(both.starts_with(&EspProposal::defaults_for(Versions::V2)));
        assert!(both.ends_with(&EspProposal::defaults_for(Versions::V1)));
    }

    #[test]
    fn what_ikev1_can_say_is_what_it_offers() {
        use crate::config::Lifetime;
        use crate::v1::proposal::{phase1_offer, phase2_offer};
        use crypto::Prf;
        let lifetime = Lifetime::of(std::time::Duration::from_secs(3600));
        let spi = ipsec::Spi::new(0x1001).unwrap();
        for cipher in Cipher::ALL {
            let integrities: Vec<Option<Integrity>> =
                if cipher.is_aead() { vec![None] } else { Integrity::ALL.into_iter().map(Some).collect() };
            for (integrity, group) in integrities.iter().flat_map(|i| Group::ALL.into_iter().map(move |g| (*i, g))) {
                let integrity: Vec<Integrity> = integrity.into_iter().collect();
                for prf in Prf::ALL {
                    let ours = IkeProposal::new(vec![cipher], integrity.clone(), vec![prf], vec![group]);
                    let Ok(ours) = ours else { continue };
                    let offered = phase1_offer(std::slice::from_ref(&ours), &lifetime, None).is_some();
                    assert_eq!(ours.in_v1().is_ok(), offered, "{ours}");
                }
                for (group, esn) in [Some(group), None].into_iter().flat_map(|g| [(g, false), (g, true)]) {
                    let groups = group.into_iter().collect();
                    let ours = EspProposal::new(vec![cipher], integrity.clone(), groups, vec![esn]).unwrap();
                    let offered = phase2_offer(std::slice::from_ref(&ours), group, &lifetime, spi, 1).is_some();
                    assert_eq!(ours.in_v1().is_ok(), offered, "{ours}");
                }
            }
        }
        for versions in [Versions::V1, Versions::Both] {
            let ours = IkeProposal::defaults_for(versions);
            assert!(phase1_offer(&ours, &lifetime, None).is_some());
            // Aggressive mode names one group for all: the first that can be said.
            let group =
                ours.iter().filter_map(|proposal| proposal.in_v1().ok()).map(|proposal| proposal.groups[0]).next();
            assert!(group.is_some() && phase1_offer(&ours, &lifetime, group).is_some());
            let ours = EspProposal::defaults_for(versions);
            for group in [Some(Group::Modp2048), None] {
                assert!(phase2_offer(&ours, group, &lifetime, spi, 1).is_some());
            }
        }
    }

    #[test]
    fn a_first_message_with_the_defaults_fits_an_ordinary_path_without_fragments() {
        use crate::config::Lifetime;
        use crate::v1::wire::{Payload, encode_payloads};
        let lifetime = Lifetime::of(std::time::Duration::from_secs(28_800));
        for versions in [Versions::V1, Versions::Both] {
            let offer = crate::v1::proposal::phase1_offer(&IkeProposal::defaults_for(versions), &lifetime, None);
            let mut payloads = vec![Payload::SecurityAssociation(offer.unwrap())];
            payloads.extend(crate::v1::vendor::offered(&[], true));
            // IPv6, UDP and ISAKMP headers come to it.
            let length = 40 + 8 + 28 + encode_payloads(&payloads).1.len();
            assert!(length <= 1492, "{versions:?}: {length}");
        }
    }

    #[test]
    fn what_ikev1_has_no_number_for_is_left_out_or_named() {
        // (IKE proposal, what remains or the words that do not)
        let ike: [(&str, Result<&str, &[&str]>); 7] = [
            ("aes256-sha256-modp2048", Ok("aes256-sha256-modp2048")),
            ("aes256-sha256-x25519-modp2048", Ok("aes256-sha256-modp2048")),
            ("aes128-sha1-aesxcbc-modp1024", Ok("aes128-sha1-modp1024")),
            ("aes256gcm16-prfsha384-ecp384", Err(&["aes256gcm16"])),
            ("aes256-aesxcbc-modp2048", Err(&["aesxcbc"])),
            ("aes256-sha256-prfaescmac-modp2048", Err(&["prfaescmac"])),
            ("aes256-sha256-x25519", Err(&["curve25519"])),
        ];
        for (text, expected) in ike {
            let found = text.parse::<IkeProposal>().unwrap().in_v1();
            assert_eq!(
                found.map(|left| left.to_string()),
                expected.map(str::to_owned).map_err(<[_]>::to_vec),
                "{text}"
            );
        }
        let esp: [(&str, Result<&str, &[&str]>); 7] = [
            ("aes128gcm16", Ok("aes128gcm16")),
            ("aes128-sha1-modp1024", Ok("aes128-sha1-modp1024")),
            ("aes128gcm16-chacha20poly1305-esn-noesn", Ok("aes128gcm16")),
            ("chacha20poly1305", Err(&["chacha20poly1305"])),
            ("aes256gcm16-esn", Err(&["esn"])),
            ("aes256-aescmac", Err(&["aescmac"])),
            ("aes256gcm16-x25519", Err(&["curve25519"])),
        ];
        for (text, expected) in esp {
            let found = text.parse::<EspProposal>().unwrap().in_v1();
            assert_eq!(
                found.map(|left| left.to_string()),
                expected.map(str::to_owned).map_err(<[_]>::to_vec),
                "{text}"
            );
        }
    }
}
