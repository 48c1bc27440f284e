//! The keys that decrypt IKE messages, for whoever captures them and may see them: collected from the SAs when asked for, kept
//! nowhere else.

use super::Endpoint;
use crate::config::PeerName;
use crate::event::Role;
use crate::proposal::IkeSuite;
use crate::v1::keys::cipher_key;
use crate::wire::IkeSpi;
use crypto::SecretBytes;

/// What decrypts the messages of one IKE SA.
#[derive(Clone, Debug)]
pub struct IkeKeyExport {
    /// With whom.
    pub peer: PeerName,
    /// The initiator's SPI; in IKEv1 its cookie.
    pub initiator_spi: IkeSpi,
    /// The responder's.
    pub responder_spi: IkeSpi,
    /// Its algorithms.
    pub suite: IkeSuite,
    /// The keys.
    pub keys: IkeCipherKeys,
}

/// The keys of the cipher, by version of IKE.
#[derive(Clone, Debug)]
pub enum IkeCipherKeys {
    /// One for both directions, made of SKEYID_e (RFC 2409 appendix B).
    V1(SecretBytes),
    /// One for each direction, the salt of an AEAD at its end (RFC 7296 §2.14).
    V2 {
        /// SK_ei.
        initiator: SecretBytes,
        /// SK_er.
        responder: SecretBytes,
    },
}

impl Endpoint {
    /// The keys of all IKE SAs with these peers that have keys, negotiations under way included.
    pub fn export_keys(&self, wanted: impl Fn(&PeerName) -> bool) -> Vec<IkeKeyExport> {
        let v2 = self.sas.values().filter(|sa| wanted(&sa.peer.name)).filter_map(|sa| {
            let session = sa.session.as_ref()?;
            let (initiator, responder) = session.cipher.cipher_keys(sa.role == Role::Initiator);
            Some(IkeKeyExport {
                peer: sa.peer.name.clone(),
                initiator_spi: sa.initiator_spi(),
                responder_spi: sa.responder_spi(),
                suite: session.suite,
                keys: IkeCipherKeys::V2 { initiator: initiator.clone(), responder: responder.clone() },
            })
        });
        let v1 = self.v1.sas.values().filter(|sa| wanted(&sa.peer.name)).filter_map(|sa| {
            let session = sa.session.as_ref()?;
            let suite = session.suite;
            let (initiator_spi, responder_spi) = sa.cookies();
            let key = cipher_key(suite.prf, &session.keys.e, suite.cipher.key_len());
            let keys = IkeCipherKeys::V1(key);
            Some(IkeKeyExport { peer: sa.peer.name.clone(), initiator_spi, responder_spi, suite, keys })
        });
        v2.chain(v1).collect()
    }
}
