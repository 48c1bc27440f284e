//! prf+ (RFC 7296 §2.13): values computed independently (Python's `hmac`, the `cryptography` package's AES and CMAC),
//! the definition itself, and its limit.

mod support;

use crypto::{CryptoError, Prf, sha256};
use support::{counting, hex};

/// For the key 00 01 02 … of the preferred length and the seed 40 41 … 8f: two and a half blocks and one octet of
/// output, and SHA-256 of all 255 blocks.
fn vectors() -> [(Prf, &'static str, &'static str); 6] {
    [
        (
            Prf::HmacSha1,
            "50147bec8bca44207a16eb745472408017008ef8456a62c7f190a081f65c2269
             03fe3518476ceeaf3a8379dea457cafe10d870",
            "84037b3448e43fa74e67408dd4c750a39bb62e3c9187726616e97e95264dad48",
        ),
        (
            Prf::HmacSha2_256,
            "b1e758d80cfb02f485af657b64085c8cf29cda59807bb04034fea3e24fa23490
             f98b5a8f71f8317f30b31938272c97dc49caadc9025dccb59e752c7bac6c0df8
             aa1bc0b31ee96287d81637a86018e4847b",
            "f1e956c967353ffc8f1630b25bae552c7a865ef159cca9aac639c24de1a08fa1",
        ),
        (
            Prf::HmacSha2_384,
            "f5a1ca0e5891e3f5b438f1d72d249413df92218a4bbe338f407887d74c8fda1a
             2c25c79dd8d4da8464dfbbf8c42f0da3654a5db9cd83a7c8021bebd49fb47b5d
             07438d58df43ff660e082c524a44295dfd182ba509f353e2fc4885839b0a6c02
             e93f943234821568f337321992ec71347d4f31deb2c01c2f6c",
            "de1a76fbece6abaf8fea0f81018a992f7f95692834bbafcde0a1fd2288b802c0",
        ),
        (
            Prf::HmacSha2_512,
            "d2f67a0fd3808cd912ffb83049ba191c5095a8f64bd4ac1166508a9b8e4deb26
             3f06fb71254f7f4a4c01dc5109baec2741ca382fbae5d20107c98c5a80363164
             e0927b460c171b873c16e2f7632854935a25fc62b8cc4c205bd0307e72aaca61
             a52fe64d27ba21f086038758249571b3d97b9f86099aec5f9e367de881c31fef
             7972a9a5656e139c5e8dc98ecc452a3a97ad4e18bd56db1234895cec522e4850
             4e",
            "7bc8c3ac9004fb2231866c871f737fc1bee97fcc2367e2222f9de85ec1ead434",
        ),
        (
            Prf::AesXcbc128,
            "b58ecdf2303f8b186de4b1b0d656ddacaa8186d1ebfbf04a963cbe470baaafad
             6f04a01c35db9e366f",
            "6e894cae302f036effc3e104fd6bfa45f8a47d2e1e99fc54dca8b12d902fe8bb",
        ),
        (
            Prf::AesCmac128,
            "0fcdc24d91f311a4c0138be970c362a3056833b89f9909ea86ef59eefae0c473
             4bbae9c2a46af21581",
            "c90cc89cb9b2a64212b0523a35a36c72eb93651128b9b1a0db71812fcfe050bc",
        ),
    ]
}

#[test]
fn prf_plus_agrees_with_an_independent_computation_up_to_its_last_block() {
    let seed: Vec<u8> = (0x40..0x90).collect();
    for (prf, start, whole_sha256) in vectors() {
        let key = counting(prf.preferred_key_len());
        let mut out = vec![0; hex(start).len()];
        // The seed in one part and in several: the boundaries mean nothing.
        prf.plus(&key, &[&seed], &mut out).unwrap();
        assert_eq!(out, hex(start), "{}", prf.name());
        let mut whole = vec![0; 255 * prf.output_len()];
        prf.plus(&key, &[&seed[..7], &[], &seed[7..]], &mut whole).unwrap();
        assert_eq!(sha256(&[&whole])[..], hex(whole_sha256), "{}", prf.name());
        assert_eq!(whole[..out.len()], out);
    }
}

#[test]
fn prf_plus_is_a_chain_of_prf_calls() {
    for prf in Prf::ALL {
        let (key, seed) = (b"some key of odd length", b"Ni | Nr | SPIi | SPIr");
        let mut out = vec![0; 3 * prf.output_len() - 1];
        prf.plus(key, &[seed], &mut out).unwrap();
        let t1 = prf.compute(key, &[seed, &[1]]);
        let t2 = prf.compute(key, &[t1.expose(), seed, &[2]]);
        let t3 = prf.compute(key, &[t2.expose(), seed, &[3]]);
        let expected = [t1.expose(), t2.expose(), t3.expose()].concat();
        assert_eq!(out, expected[..out.len()], "{}", prf.name());
        assert_eq!(t1.len(), prf.output_len());
    }
}

#[test]
fn prf_plus_refuses_more_than_255_blocks_and_gives_nothing_for_nothing() {
    for prf in Prf::ALL {
        let limit = 255 * prf.output_len();
        let mut out = vec![3; limit + 1];
        let refused = prf.plus(b"key", &[b"seed"], &mut out);
        assert_eq!(refused, Err(CryptoError::PrfPlusTooLong { limit, asked: limit + 1 }));
        assert_eq!(out, vec![3; limit + 1]);
        assert_eq!(prf.plus(b"key", &[b"seed"], &mut []), Ok(()));
    }
}
