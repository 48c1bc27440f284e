//! Suites as clients of VICI expect them: `encr-alg` with `encr-keysize`, `integ-alg`, `prf-alg`, `dh-group`, `esn`.

use super::Message;
use crypto::{Cipher, Group, Integrity, Prf};
use ike::proposal::{EspChoice, IkeSuite};

impl Message {
    /// This, with the algorithms of an IKE SA.
    #[must_use]
    pub fn with_ike_suite(self, suite: &IkeSuite) -> Self {
        self.with_cipher(suite.cipher, suite.integrity)
            .with("prf-alg", prf(suite.prf))
            .with("dh-group", group(suite.group))
    }

    /// This, with the algorithms of a child SA.
    #[must_use]
    pub fn with_esp_suite(self, choice: &EspChoice) -> Self {
        let mut message = self.with_cipher(choice.suite.cipher, choice.suite.integrity);
        if let Some(pfs) = choice.group {
            message = message.with("dh-group", group(pfs));
        }
        // Clients ask whether the key is there, so without ESN it is not.
        if choice.suite.esn { message.with("esn", "1") } else { message }
    }

    fn with_cipher(self, cipher: Cipher, integrity: Option<Integrity>) -> Self {
        let (name, bits) = encryption(cipher);
        let mut message = self.with("encr-alg", name);
        if let Some(bits) = bits {
            message = message.with("encr-keysize", bits);
        }
        match integrity {
            Some(mac) => message.with("integ-alg", authentication(mac)),
            None => message,
        }
    }
}

/// Name, and bits of the key where the name does not fix them.
pub(super) fn encryption(cipher: Cipher) -> (&'static str, Option<&'static str>) {
    match cipher {
        Cipher::Null => ("NULL", None),
        Cipher::AesCbc128 => ("AES_CBC", Some("128")),
        Cipher::AesCbc192 => ("AES_CBC", Some("192")),
        Cipher::AesCbc256 => ("AES_CBC", Some("256")),
        Cipher::AesGcm16_128 => ("AES_GCM_16", Some("128")),
        Cipher::AesGcm16_192 => ("AES_GCM_16", Some("192")),
        Cipher::AesGcm16_256 => ("AES_GCM_16", Some("256")),
        Cipher::ChaCha20Poly1305 => ("CHACHA20_POLY1305", None),
    }
}

pub(super) fn authentication(integrity: Integrity) -> &'static str {
    match integrity {
        Integrity::HmacSha1_96 => "HMAC_SHA1_96",
        Integrity::HmacSha2_256_128 => "HMAC_SHA2_256_128",
        Integrity::HmacSha2_256_96 => "HMAC_SHA2_256_96",
        Integrity::HmacSha2_384_192 => "HMAC_SHA2_384_192",
        Integrity::HmacSha2_512_256 => "HMAC_SHA2_512_256",
        Integrity::AesXcbc96 => "AES_XCBC_96",
        Integrity::AesCmac96 => "AES_CMAC_96",
    }
}

pub(super) fn prf(prf: Prf) -> &'static str {
    match prf {
        Prf::HmacSha1 => "PRF_HMAC_SHA1",
        Prf::HmacSha2_256 => "PRF_HMAC_SHA2_256",
        Prf::HmacSha2_384 => "PRF_HMAC_SHA2_384",
        Prf::HmacSha2_512 => "PRF_HMAC_SHA2_512",
        Prf::AesXcbc128 => "PRF_AES128_XCBC",
        Prf::AesCmac128 => "PRF_AES128_CMAC",
    }
}

pub(super) fn group(group: Group) -> &'static str {
    match group {
        Group::Modp1024 => "MODP_1024",
        Group::Modp1536 => "MODP_1536",
        Group::Modp2048 => "MODP_2048",
        Group::Modp3072 => "MODP_3072",
        Group::Modp4096 => "MODP_4096",
        Group::Modp6144 => "MODP_6144",
        Group::Modp8192 => "MODP_8192",
        Group::Ecp256 => "ECP_256",
        Group::Ecp384 => "ECP_384",
        Group::Ecp521 => "ECP_521",
        Group::Modp1024S160 => "MODP_1024_160",
        Group::Modp2048S224 => "MODP_2048_224",
        Group::Modp2048S256 => "MODP_2048_256",
        Group::Curve25519 => "CURVE_25519",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipsec::EspSuite;

    #[test]
    fn an_ike_suite_is_told_in_the_words_that_clients_print() {
        let aead =
            IkeSuite { cipher: Cipher::AesGcm16_256, integrity: None, prf: Prf::HmacSha2_384, group: Group::Ecp384 };
        let expected = Message::new()
            .with("encr-alg", "AES_GCM_16")
            .with("encr-keysize", "256")
            .with("prf-alg", "PRF_HMAC_SHA2_384")
            .with("dh-group", "ECP_384");
        assert_eq!(Message::new().with_ike_suite(&aead), expected);
    }

    #[test]
    fn a_child_has_a_group_only_with_pfs_and_esn_only_where_it_was_agreed() {
        let suite = EspSuite { cipher: Cipher::AesCbc128, integrity: Some(Integrity::HmacSha2_256_128), esn: true };
        let expected = Message::new()
            .with("encr-alg", "AES_CBC")
            .with("encr-keysize", "128")
            .with("integ-alg", "HMAC_SHA2_256_128")
            .with("dh-group", "CURVE_25519")
            .with("esn", "1");
        let choice = EspChoice { suite, group: Some(Group::Curve25519) };
        assert_eq!(Message::new().with_esp_suite(&choice), expected);
        let suite = EspSuite { cipher: Cipher::ChaCha20Poly1305, integrity: None, esn: false };
        let bare = Message::new().with_esp_suite(&EspChoice { suite, group: None });
        assert_eq!(bare, Message::new().with("encr-alg", "CHACHA20_POLY1305"));
    }
}
