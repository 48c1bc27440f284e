//! Stateless cookies against floods of IKE_SA_INIT (RFC 7296 §2.6): `version | SHA-256(Ni | IPi | SPIi | secret)`.
//! The secret changes every minute or so; the previous one stays good for one more.

use crate::wire::IkeSpi;
use crypto::Rng;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// How long a secret is used for new cookies; it is accepted for as long again.
const ROTATION: Duration = Duration::from_secs(60);

/// The secrets behind our cookies.
pub(crate) struct CookieJar {
    current: [u8; 32],
    previous: [u8; 32],
    version: u8,
    rotate_at: Instant,
}

impl CookieJar {
    pub(crate) fn new(rng: &mut dyn Rng, now: Instant) -> CookieJar {
        let mut jar = CookieJar { current: [0; 32], previous: [0; 32], version: 0, rotate_at: now + ROTATION };
        rng.fill(&mut jar.current);
        rng.fill(&mut jar.previous);
        jar
    }

    fn rotate(&mut self, rng: &mut dyn Rng, now: Instant) {
        if now < self.rotate_at {
            return;
        }
        self.previous = self.current;
        rng.fill(&mut self.current);
        self.version = self.version.wrapping_add(1);
        self.rotate_at = now + ROTATION;
    }

    fn make(version: u8, secret: &[u8; 32], nonce: &[u8], from: SocketAddr, spi: IkeSpi) -> Vec<u8> {
        let digest = match from.ip() {
            IpAddr::V4(ip) => crypto::sha256(&[nonce, &ip.octets(), &spi.0, secret]),
            IpAddr::V6(ip) => crypto::sha256(&[nonce, &ip.octets(), &spi.0, secret]),
        };
        let mut cookie = vec![version];
        cookie.extend_from_slice(&digest);
        cookie
    }

    /// The cookie to demand from this initiator.
    pub(crate) fn issue(
        &mut self,
        nonce: &[u8],
        from: SocketAddr,
        spi: IkeSpi,
        rng: &mut dyn Rng,
        now: Instant,
    ) -> Vec<u8> {
        self.rotate(rng, now);
        Self::make(self.version, &self.current, nonce, from, spi)
    }

    /// Whether `cookie` is one we issued to this initiator under the current or the previous secret.
    pub(crate) fn verify(
        &mut self,
        cookie: &[u8],
        nonce: &[u8],
        from: SocketAddr,
        spi: IkeSpi,
        rng: &mut dyn Rng,
        now: Instant,
    ) -> bool {
        self.rotate(rng, now);
        let secret = match cookie.first() {
            Some(version) if *version == self.version => &self.current,
            Some(version) if *version == self.version.wrapping_sub(1) => &self.previous,
            _ => return false,
        };
        let version = cookie.first().copied().unwrap_or_default();
        crypto::ct_eq(cookie, &Self::make(version, secret, nonce, from, spi))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto::SeededRng;

    #[test]
    fn a_cookie_binds_nonce_address_and_spi_and_outlives_one_rotation() {
        let mut rng = SeededRng::new(1);
        let start = crate::tests_clock();
        let mut jar = CookieJar::new(&mut rng, start);
        let from: SocketAddr = "192.0.2.1:500".parse().unwrap();
        let other: SocketAddr = "192.0.2.9:500".parse().unwrap();
        let spi = IkeSpi([1; 8]);
        let cookie = jar.issue(b"nonce", from, spi, &mut rng, start);
        assert!(jar.verify(&cookie, b"nonce", from, spi, &mut rng, start));
        assert!(!jar.verify(&cookie, b"other", from, spi, &mut rng, start));
        assert!(!jar.verify(&cookie, b"nonce", other, spi, &mut rng, start));
        assert!(!jar.verify(&cookie, b"nonce", from, IkeSpi([2; 8]), &mut rng, start));
        assert!(!jar.verify(&[], b"nonce", from, spi, &mut rng, start));
        let later = start + ROTATION;
        assert!(jar.verify(&cookie, b"nonce", from, spi, &mut rng, later));
        let much_later = later + ROTATION;
        assert!(!jar.verify(&cookie, b"nonce", from, spi, &mut rng, much_later));
    }
}
