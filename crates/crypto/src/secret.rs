//! Secrets: octets which are wiped when dropped, never shown, and compared in constant time.

use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Secret octets: keys, shared secrets, PRF outputs.
///
/// Wiped when dropped; has no `Display`, and its `Debug` says only that something is hidden.
#[derive(Clone, Default)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// The octets themselves. Whoever asks takes care that they go nowhere but into an algorithm.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Number of octets.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no octets at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the octets equal `other`, in a time that depends on the lengths alone.
    pub fn ct_eq(&self, other: &[u8]) -> bool {
        ct_eq(&self.0, other)
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl From<&[u8]> for SecretBytes {
    fn from(bytes: &[u8]) -> Self {
        Self::from(bytes.to_vec())
    }
}

/// Equality in constant time, so that configurations that hold a key can be compared.
impl PartialEq for SecretBytes {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other.expose())
    }
}

impl Eq for SecretBytes {}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(hidden)")
    }
}

/// Whether two octet strings are equal, in a time that depends on their lengths alone.
pub fn ct_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_compares_but_never_shows_itself() {
        let secret = SecretBytes::from(b"open sesame".to_vec());
        assert!(secret.ct_eq(b"open sesame"));
        assert!(!secret.ct_eq(b"open sesamE"));
        assert!(!secret.ct_eq(b"open"));
        assert_eq!((secret.len(), secret.is_empty()), (11, false));
        assert_eq!(
            format!("{secret:?} {:#?}", Some(&secret)),
            "SecretBytes(hidden) Some(\n    SecretBytes(hidden),\n)"
        );
    }
}
