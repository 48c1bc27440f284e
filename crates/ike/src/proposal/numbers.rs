//! Our algorithms as transforms, and any transform in words (the IANA registry of IKEv2 parameters).

use crypto::{Cipher, Group, Integrity, Prf};

use crate::wire::{Transform, TransformType};

/// NONE, for integrity and for the key exchange.
pub(super) const NONE: u16 = 0;

pub(super) fn encryption(cipher: Cipher) -> Transform {
    const NULL: u16 = 11;
    const AES_CBC: u16 = 12;
    const AES_GCM_16: u16 = 20;
    const CHACHA20_POLY1305: u16 = 28;
    let (id, key_bits) = match cipher {
        Cipher::Null => (NULL, None),
        Cipher::AesCbc128 => (AES_CBC, Some(128)),
        Cipher::AesCbc192 => (AES_CBC, Some(192)),
        Cipher::AesCbc256 => (AES_CBC, Some(256)),
        Cipher::AesGcm16_128 => (AES_GCM_16, Some(128)),
        Cipher::AesGcm16_192 => (AES_GCM_16, Some(192)),
        Cipher::AesGcm16_256 => (AES_GCM_16, Some(256)),
        Cipher::ChaCha20Poly1305 => (CHACHA20_POLY1305, None),
    };
    Transform { key_bits, ..Transform::new(TransformType::Encryption, id) }
}

pub(super) fn prf(prf: Prf) -> Transform {
    let id = match prf {
        Prf::HmacSha1 => 2,
        Prf::AesXcbc128 => 4,
        Prf::HmacSha2_256 => 5,
        Prf::HmacSha2_384 => 6,
        Prf::HmacSha2_512 => 7,
        Prf::AesCmac128 => 8,
    };
    Transform::new(TransformType::Prf, id)
}

pub(super) fn integrity(integrity: Integrity) -> Transform {
    let id = match integrity {
        Integrity::HmacSha1_96 => 2,
        Integrity::AesXcbc96 => 5,
        Integrity::AesCmac96 => 8,
        Integrity::HmacSha2_256_128 | Integrity::HmacSha2_256_96 => 12,
        Integrity::HmacSha2_384_192 => 13,
        Integrity::HmacSha2_512_256 => 14,
    };
    Transform::new(TransformType::Integrity, id)
}

pub(super) fn key_exchange(group: Group) -> Transform {
    Transform::new(TransformType::KeyExchange, group.number())
}

pub(super) fn esn(esn: bool) -> Transform {
    Transform::new(TransformType::ExtendedSequenceNumbers, u16::from(esn))
}

/// Registered algorithms that we do not implement, so that a diff can name what the peer has.
const FOREIGN: [(TransformType, u16, &str); 27] = [
    (TransformType::Encryption, 2, "des"),
    (TransformType::Encryption, 3, "3des"),
    (TransformType::Encryption, 5, "idea"),
    (TransformType::Encryption, 6, "cast"),
    (TransformType::Encryption, 7, "blowfish"),
    (TransformType::Encryption, 12, "aes"),
    (TransformType::Encryption, 13, "aesctr"),
    (TransformType::Encryption, 14, "aesccm8"),
    (TransformType::Encryption, 15, "aesccm12"),
    (TransformType::Encryption, 16, "aesccm16"),
    (TransformType::Encryption, 18, "aesgcm8"),
    (TransformType::Encryption, 19, "aesgcm12"),
    (TransformType::Encryption, 20, "aesgcm16"),
    (TransformType::Encryption, 21, "aesgmac"),
    (TransformType::Encryption, 23, "camellia"),
    (TransformType::Encryption, 28, "chacha20poly1305"),
    (TransformType::Encryption, 30, "aesgcm16iiv"),
    (TransformType::Prf, 1, "prfmd5"),
    (TransformType::Integrity, NONE, "nointegrity"),
    (TransformType::Integrity, 1, "md5"),
    (TransformType::KeyExchange, NONE, "nogroup"),
    (TransformType::KeyExchange, 1, "modp768"),
    (TransformType::KeyExchange, 28, "brainpool256"),
    (TransformType::KeyExchange, 29, "brainpool384"),
    (TransformType::KeyExchange, 30, "brainpool512"),
    (TransformType::KeyExchange, 32, "curve448"),
    (TransformType::KeyExchange, 36, "mlkem768"),
];

/// A transform in the words of a configuration, or with its number if it has none.
pub(super) fn describe(transform: &Transform) -> String {
    let known = || {
        let ciphers = Cipher::ALL.into_iter().map(|cipher| (encryption(cipher), cipher.name()));
        let prfs = Prf::ALL.into_iter().map(|algorithm| (prf(algorithm), algorithm.name()));
        let integrities = Integrity::ALL.into_iter().map(|algorithm| (integrity(algorithm), algorithm.name()));
        let groups = Group::ALL.into_iter().map(|group| (key_exchange(group), group.name()));
        let esn = [(esn(false), "noesn"), (esn(true), "esn")];
        ciphers.chain(prfs).chain(integrities).chain(groups).chain(esn).find(|(t, _)| t == transform)
    };
    if let Some((_, name)) = known() {
        return name.to_owned();
    }
    let foreign = FOREIGN.iter().find(|(ty, id, _)| (*ty, *id) == (transform.ty, transform.id));
    let mut text = match (foreign, transform.ty) {
        (Some((_, _, name)), _) => (*name).to_owned(),
        (None, TransformType::Encryption) => format!("encr{}", transform.id),
        (None, TransformType::Prf) => format!("prf{}", transform.id),
        (None, TransformType::Integrity) => format!("integ{}", transform.id),
        (None, TransformType::KeyExchange) => format!("group{}", transform.id),
        (None, TransformType::ExtendedSequenceNumbers) => format!("esn{}", transform.id),
        (None, TransformType::Unknown(ty)) => format!("transform{ty}/{}", transform.id),
    };
    match transform.key_bits {
        Some(bits) => text.push_str(&format!("({bits} bits)")),
        None if matches!(transform.ty, TransformType::Encryption) && matches!(transform.id, 12..=20) => {
            text.push_str("(no key length)");
        }
        None => {}
    }
    if transform.unknown_attributes {
        text.push_str("(unknown attribute)");
    }
    text
}
