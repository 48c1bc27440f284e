//! The key schedule against published values (RFC 7296 §2.14–§2.18).
//!
//! `nist_*` is a NIST CAVP vector (SP 800-135, ikev2, HMAC-SHA-1) and the same inputs with SHA-256 as published with the
//! ACVP samples. The others were computed by a separate Python program (hmac, and AES-XCBC and CMAC written out from
//! RFC 3566 and RFC 4493), which yields the NIST values and the PRF vectors of RFC 4434 and RFC 4615 as well.
#![allow(clippy::unwrap_used, clippy::panic)] // a helper of a test may fail the test

use crypto::{Cipher, Group, Integrity, Prf, SecretBytes};
use ike::keys::{ChildKeys, IkeKeys, derive_child, derive_ike, derive_ike_rekey, psk_auth};
use ike::proposal::IkeSuite;
use ike::wire::IkeSpi;
use ipsec::EspSuite;

const NI: &str = "3651fef5c9c35e93";
const NR: &str = "c09a8b90a3f04d59";
const G_IR: &str = "d084a30166a50fb7325c3960874a839449ef9741c2f4f947d0201dd8c1269273d79509f37e3ca3eb4fa2fe2a28254e289cd3f34dad4eb4df1a07685a4b8a94fa61e2491f7598b3ce65547ff133b3f63d1ac4175eaa695033f3cedb026a6873a36455172a8540b8a5d23a0143bed0390ee49b168269d75fffee9fb62be965993c";
const G_IR_NEW: &str = "52f00ab174c25d5b7139ae5ff4e8e9eddee5992d2e36adf8a559ffd90dab1442e4fbe429d320c0f33552a17d1557fa41ea70e8fb916c4fa27ed52b5f8ebd8461afa78f1159159a64055ac5f6319e29c28eae58cbc6847770f32c3fed1d04750484f854790f95e9ec01bc5bc461f24966462e359511329305038e94deb6dd42c2";
const SPI_I: IkeSpi = IkeSpi([0x8e, 0x5c, 0x3a, 0xe5, 0x07, 0x22, 0x16, 0x84]);
const SPI_R: IkeSpi = IkeSpi([0xb1, 0xf2, 0x01, 0xbb, 0x15, 0x5c, 0x3a, 0xcd]);

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn secret(text: &str) -> SecretBytes {
    SecretBytes::from(unhex(text))
}

fn suite(cipher: Cipher, integrity: Option<Integrity>, prf: Prf) -> IkeSuite {
    IkeSuite { cipher, integrity, prf, group: Group::Modp1024 }
}

fn joined(keys: &IkeKeys) -> Vec<u8> {
    let IkeKeys { d, ai, ar, ei, er, pi, pr } = keys;
    [d, ai, ar, ei, er, pi, pr].into_iter().flat_map(|key| key.expose().to_vec()).collect()
}

fn joined_child(keys: &ChildKeys) -> Vec<u8> {
    let ChildKeys { initiator, responder } = keys;
    let parts = [&initiator.encryption, &initiator.integrity, &responder.encryption, &responder.integrity];
    parts.into_iter().flat_map(|key| key.expose().to_vec()).collect()
}

/// Nonces of different lengths, longer than the XCBC and CMAC rule looks at.
fn long_nonces() -> (Vec<u8>, Vec<u8>) {
    ((0x40..0x60).collect(), (0xa0..0xd8).collect())
}

#[test]
fn nist_vector_gives_the_seven_keys_in_order() {
    let suite = suite(Cipher::AesCbc128, Some(Integrity::HmacSha1_96), Prf::HmacSha1);
    let keys = derive_ike(&suite, &secret(G_IR), &unhex(NI), &unhex(NR), SPI_I, SPI_R).unwrap();
    let dkm = "6f1b12cad3cbe097b35430356d869d54cddb0198ec859174d53ceb92dddedbe2436db69f60977c58fa63bbb667f8d36920b109baae8f6c61a9ac49feda01843225d080ec5539d5881a25521ffb2a0a91874a9c0a27fcc2d717eb8963a9e3a89c7ab264757284c28cf8c3ca40576f4220b052b1fb8e9ad60ba3c80557323331a8cbb89f20";
    assert_eq!(hex(&joined(&keys)), dkm);
    assert_eq!(hex(keys.d.expose()), &dkm[..40]);
    assert_eq!(hex(keys.ei.expose()), &dkm[120..152], "after SK_d, SK_ai and SK_ar of 20 octets each");
    assert_eq!(hex(keys.pr.expose()), &dkm[224..]);
}

#[test]
fn nist_vector_gives_child_keys_without_and_with_a_key_exchange() {
    let sk_d = secret("6f1b12cad3cbe097b35430356d869d54cddb0198");
    let suite = EspSuite::with_mac(Cipher::AesCbc256, Integrity::HmacSha1_96);
    let child = |shared: Option<&SecretBytes>| {
        joined_child(&derive_child(Prf::HmacSha1, &sk_d, &suite, shared, &unhex(NI), &unhex(NR)).unwrap())
    };
    let plain = "4727dc0ef94eb326ce131cf282fb652faa638ad0ddae3786a11bcc0309876009f8c485de011ad962c5b1ca8a41ff8145445749079c5686e26ffebbc342f06981f3da745e11ca0976424d1f8caec623d59dc7186deb20a27b411d1dcb70a365440bf7de905088b0692e8addc094e18d1939bdb67e89798ca6b239e2ccb81c2409dac0106c";
    let pfs = "b109c21ad4c0797768c1cec9e63554681e48f224bca7f23c20c4ea7041983451e9aa1d5408656c8a975ff1b9d9a12c75ffeb64bdecb30174664cccb4e14f1c377b7f6d1525af77c7092aac3e47f917ebae8297fb5539d2008ce830823a09cc197361d4a289c72745f6ce9fefe812be5bf55b3200fbb82e41a4a40877d3fe106db909707b";
    let len = 2 * (32 + 20);
    assert_eq!(hex(&child(None)), &plain[..2 * len]);
    assert_eq!(hex(&child(Some(&secret(G_IR_NEW)))), &pfs[..2 * len]);
}

#[test]
fn child_keys_come_encryption_first_and_the_initiators_first() {
    let sk_d = secret("6f1b12cad3cbe097b35430356d869d54cddb0198");
    let plain = "4727dc0ef94eb326ce131cf282fb652faa638ad0ddae3786a11bcc0309876009f8c485de011ad962c5b1ca8a41ff8145445749079c5686e26ffebbc342f06981f3da745e11ca0976424d1f8caec623d5";
    let suite = EspSuite::with_mac(Cipher::AesCbc128, Integrity::HmacSha1_96);
    let keys = derive_child(Prf::HmacSha1, &sk_d, &suite, None, &unhex(NI), &unhex(NR)).unwrap();
    assert_eq!(hex(keys.initiator.encryption.expose()), &plain[..32]);
    assert_eq!(hex(keys.initiator.integrity.expose()), &plain[32..72]);
    assert_eq!(hex(keys.responder.encryption.expose()), &plain[72..104]);
    assert_eq!(hex(keys.responder.integrity.expose()), &plain[104..144]);
    let keys = derive_child(Prf::HmacSha1, &sk_d, &EspSuite::aead(Cipher::AesGcm16_256), None, &unhex(NI), &unhex(NR))
        .unwrap();
    assert_eq!(hex(keys.initiator.encryption.expose()), &plain[..72], "32 octets of key, then 4 of salt");
    assert!(keys.initiator.integrity.is_empty());
    assert_eq!(hex(keys.responder.encryption.expose()), &plain[72..144]);
}

#[test]
fn nist_inputs_with_sha256() {
    let suite = suite(Cipher::AesCbc256, Some(Integrity::HmacSha2_256_128), Prf::HmacSha2_256);
    let keys = derive_ike(&suite, &secret(G_IR), &unhex(NI), &unhex(NR), SPI_I, SPI_R).unwrap();
    let dkm = "462b9dd525d4fd71169174272779e704baf62c6231779ae9efe8c58b21916b42010164af2111ebd762f6916ca9a6f0ee05c8b320e4ee27705521de2589adea1878f1a551738af7c88dc4f0bb0c096a3f7d1f1a670fc79f49f678d60d665bb3710c8657f03ba9f62b9a818d7a228968c506e237ae9502aa6db395c61ea6a3e79504f86b7368bfb5423df79e48809bbccd49fd826d024f63d7c2a5566400a12e73";
    assert!(hex(&joined(&keys)).starts_with(dkm));
    let esp = EspSuite::with_mac(Cipher::AesCbc256, Integrity::HmacSha2_512_256);
    let child = derive_child(suite.prf, &keys.d, &esp, None, &unhex(NI), &unhex(NR)).unwrap();
    assert!(hex(&joined_child(&child)).starts_with("23647677e7d403fa1e3006f19840aee18ad9fecc4215814c4131bdeba98433d8b0e31bfbbddf822abcce5e06486aa388022b75e27e1e68aa5983028b65282c73"));
    let child = derive_child(suite.prf, &keys.d, &esp, Some(&secret(G_IR_NEW)), &unhex(NI), &unhex(NR)).unwrap();
    assert!(hex(&joined_child(&child)).starts_with("6a919387a5fa2835fe8a8237e4a14845bd2b9930db87eff7adf268f62186004902dba9aa942d0259a0edc4120b932a503865b57ba8fb88117ef5df7b26799cd8"));
}

#[test]
fn every_prf_and_kind_of_suite_agrees_with_the_python_program() {
    let (ni, nr) = long_nonces();
    let cases = [
        (
            Cipher::AesCbc256,
            Some(Integrity::HmacSha2_384_192),
            Prf::HmacSha2_384,
            "cb789eb1fa33b0c2ad30e20d5450bbec57f929c7b1fab7a8fac000f7af697917",
        ),
        (
            Cipher::AesCbc192,
            Some(Integrity::HmacSha2_512_256),
            Prf::HmacSha2_512,
            "fb7afafb41fa310fde57e65818921425671fa32854882ba792efbb0587babdb4",
        ),
        (
            Cipher::AesCbc128,
            Some(Integrity::AesXcbc96),
            Prf::AesXcbc128,
            "8f235a5487c940ac5c402fdbb79ccaaed65d3d0a58347886f9fb8e9dc378492e",
        ),
        (
            Cipher::AesCbc128,
            Some(Integrity::AesCmac96),
            Prf::AesCmac128,
            "6c3e6ab80ad0bc28d3ae0a8e9e92c39aafb9807654bd0fbd3f5b2243cf6a1f35",
        ),
        (
            Cipher::AesGcm16_256,
            None,
            Prf::HmacSha2_256,
            "a92f5aff4517b7eb6e31add2d75d5860df3cdb736efa9da7ed30c491e1826d29",
        ),
        (
            Cipher::ChaCha20Poly1305,
            None,
            Prf::HmacSha2_256,
            "a92f5aff4517b7eb6e31add2d75d5860df3cdb736efa9da7ed30c491e1826d29",
        ),
        (
            Cipher::AesGcm16_128,
            None,
            Prf::HmacSha2_384,
            "d37199368dfe70c74042523e6bbcf7f178725f46d384ad0f7cd06df806956a41",
        ),
    ];
    for (cipher, integrity, prf, digest) in cases {
        let suite = suite(cipher, integrity, prf);
        let keys = derive_ike(&suite, &secret(G_IR), &ni, &nr, SPI_I, SPI_R).unwrap();
        assert_eq!(hex(&crypto::sha256(&[&joined(&keys)])), digest, "{suite}");
    }
}

#[test]
fn rekeyed_sa_derives_from_the_old_sk_d_with_the_old_prf_and_expands_with_the_new_one() {
    let sha1 = suite(Cipher::AesCbc128, Some(Integrity::HmacSha1_96), Prf::HmacSha1);
    let sk_d = secret("6f1b12cad3cbe097b35430356d869d54cddb0198");
    let keys =
        derive_ike_rekey(Prf::HmacSha1, &sk_d, &sha1, &secret(G_IR_NEW), &unhex(NI), &unhex(NR), SPI_I, SPI_R).unwrap();
    assert_eq!(
        hex(&joined(&keys)),
        "c84856c41349eddec2b1d8800679d009659f978ca1291c55323251796868a8e8bde4a027abfe48e8ccbf1e9b2b9c631beaa2abd4e813f0ed1b5720eff8bd6c990bb1d60fa4f6a68676456d82d4148459d12f7e8bee534b23f2f3f5d361020c7c09738706b25e910ced784de73c772de21faf8a80e20cd0720ba1a7a0b7f54d90885ae4c8"
    );

    let (ni, nr) = long_nonces();
    let gcm = suite(Cipher::AesGcm16_128, None, Prf::HmacSha2_512);
    let old_d = SecretBytes::from((0..16).collect::<Vec<u8>>());
    let keys = derive_ike_rekey(Prf::AesXcbc128, &old_d, &gcm, &secret(G_IR_NEW), &ni, &nr, SPI_I, SPI_R).unwrap();
    assert_eq!(
        hex(&crypto::sha256(&[&joined(&keys)])),
        "be826542d8f1adc7917520d60899deae0abb0c26c43d277e3985b7d0e30e65cd"
    );
}

#[test]
fn auth_of_a_pre_shared_key_agrees_with_the_python_program_for_every_prf() {
    let message: Vec<u8> = (0..300_u32).map(|at| u8::try_from(at * 7 % 256).unwrap()).collect();
    let (_, nr) = long_nonces();
    let id = [&[2, 0, 0, 0][..], b"gw.example"].concat();
    let short = b"0123456789abcdef".to_vec();
    let long = b"pre-shared key of two sites, longer than sixteen octets".to_vec();
    let cases = [
        (Prf::HmacSha1, &short, "af6b09ac555dd7dc92ed20da8f8a0575830935ef"),
        (Prf::HmacSha1, &long, "b16100d6ba03848a93515d1d74cc5f3db2782a44"),
        (Prf::HmacSha2_256, &short, "207ac3efa994e7bc86e0525e7b6503d0fffc5017c55df5392171ed081880b7be"),
        (Prf::HmacSha2_256, &long, "115632993948506bc0d471da6a0559057cb5d9a16cfba1ce0e8689c739c21768"),
        (
            Prf::HmacSha2_384,
            &short,
            "ccc14bbbf4d40f0e05d0f148ef3939cd23b7221a87853fd5ef0a2874b16215431f76c9e487120b895e52df13925c86d0",
        ),
        (
            Prf::HmacSha2_384,
            &long,
            "061254e4e33188d60551cb92dfa60f35c610a12e40b0cf7fd015b2669efb05c015bb221343458acff365f971d2a53ee9",
        ),
        (
            Prf::HmacSha2_512,
            &short,
            "0a85d39e31ab08b653d8cc8394a76a19f11f7033882de625a20c05102589b1b98d373b87aa1ce0d7a5b2a5935aba60e8e7a1c00c11e83c713bf2926f67f749fb",
        ),
        (
            Prf::HmacSha2_512,
            &long,
            "564e38bb13d4864ceca04dafaebc6bb0ec8c50155323769f47080e1ec10fbc4d72f4d3014f15ae0fa94a0b690c3bd83ad15af4b1b23973be2131b4c704f2694c",
        ),
        (Prf::AesXcbc128, &short, "909bb1467fa86382f411a4f8e32f0634"),
        (Prf::AesXcbc128, &long, "f2e9243bf2a389bf01b51c58c939c82a"),
        (Prf::AesCmac128, &short, "7fe9284a35849891eabd9e2e3e996936"),
        (Prf::AesCmac128, &long, "2a400ddae5f760bd83e0cba1f2675639"),
    ];
    for (prf, psk, expected) in cases {
        let len = u8::try_from(prf.preferred_key_len()).unwrap();
        let sk_p = SecretBytes::from((0x10..0x10 + len).collect::<Vec<u8>>());
        let auth = psk_auth(prf, &SecretBytes::from(psk.clone()), &message, &nr, &sk_p, &id);
        assert_eq!(hex(auth.expose()), expected, "{} with a key of {} octets", prf.name(), psk.len());
    }
}

#[test]
fn keys_do_not_show_in_debug_output() {
    let suite = suite(Cipher::AesCbc128, Some(Integrity::HmacSha1_96), Prf::HmacSha1);
    let keys = derive_ike(&suite, &secret(G_IR), &unhex(NI), &unhex(NR), SPI_I, SPI_R).unwrap();
    let shown = format!("{keys:?}");
    assert!(shown.contains("hidden"), "{shown}");
    assert!(!shown.contains("6f") && !shown.contains("111"), "{shown}");
}
