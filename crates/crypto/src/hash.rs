//! Plain hashes: SHA-1 for NAT detection (RFC 7296 §2.23), SHA-256 for cookies (§2.6), all of them for IKEv1 (RFC 2409
//! appendix B, RFC 3947 §3.2).

use aws_lc_rs::digest::{Algorithm, Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, SHA512};

/// SHA-1 (FIPS 180-4) of the concatenation of `parts`.
pub fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    digest(&SHA1_FOR_LEGACY_USE_ONLY, parts)
}

/// SHA-256 (FIPS 180-4) of the concatenation of `parts`.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    digest(&SHA256, parts)
}

/// SHA-384 (FIPS 180-4) of the concatenation of `parts`.
pub fn sha384(parts: &[&[u8]]) -> [u8; 48] {
    digest(&SHA384, parts)
}

/// SHA-512 (FIPS 180-4) of the concatenation of `parts`.
pub fn sha512(parts: &[&[u8]]) -> [u8; 64] {
    digest(&SHA512, parts)
}

fn digest<const N: usize>(algorithm: &'static Algorithm, parts: &[&[u8]]) -> [u8; N] {
    let mut context = Context::new(algorithm);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; N];
    out.copy_from_slice(context.finish().as_ref());
    out
}
