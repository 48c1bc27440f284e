//! ESP suites: which algorithms an SA uses, how long its keys are, and what they cost a packet (RFC 4303 §2, RFC 3948 §2.1).

use crypto::{Cipher, Integrity, SecretBytes};
use packet::IpVersion;
use std::fmt;

/// SPI and sequence number (RFC 4303 §2).
pub const ESP_HEADER_LEN: usize = 8;
/// Pad length and next header (RFC 4303 §2.5, §2.6).
pub const ESP_TRAILER_LEN: usize = 2;
/// UDP header of RFC 3948.
const UDP_HEADER_LEN: usize = 8;

/// The algorithms of one ESP SA.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EspSuite {
    /// The cipher; an AEAD authenticates too.
    pub cipher: Cipher,
    /// The MAC; `None` with an AEAD and only then.
    pub integrity: Option<Integrity>,
    /// Extended sequence numbers of 64 bits (RFC 4303 §2.2.1).
    pub esn: bool,
}

impl EspSuite {
    /// A suite of an AEAD cipher, without ESN.
    #[must_use]
    pub const fn aead(cipher: Cipher) -> Self {
        Self { cipher, integrity: None, esn: false }
    }

    /// A suite of a cipher and a MAC, without ESN.
    #[must_use]
    pub const fn with_mac(cipher: Cipher, integrity: Integrity) -> Self {
        Self { cipher, integrity: Some(integrity), esn: false }
    }

    /// The same algorithms with extended sequence numbers.
    #[must_use]
    pub const fn with_esn(mut self) -> Self {
        self.esn = true;
        self
    }

    /// Whether cipher and MAC belong together: an AEAD alone, anything else with a MAC.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        self.cipher.is_aead() == self.integrity.is_none()
    }

    /// Bytes of key material for the cipher, the salt of an AEAD included (RFC 4106 §8.1).
    #[must_use]
    pub fn encryption_key_len(&self) -> usize {
        self.cipher.key_len() + self.cipher.salt_len()
    }

    /// Bytes of key material for the MAC; 0 with an AEAD.
    #[must_use]
    pub fn integrity_key_len(&self) -> usize {
        self.integrity.map_or(0, Integrity::key_len)
    }

    /// Bytes of the ICV at the packet's end.
    #[must_use]
    pub fn icv_len(&self) -> usize {
        match self.integrity {
            Some(integrity) => integrity.icv_len(),
            None => self.cipher.icv_len(),
        }
    }

    /// What payload, padding and trailer together are a multiple of: the cipher's block, at least 4 (RFC 4303 §2.4).
    #[must_use]
    pub fn alignment(&self) -> usize {
        self.cipher.block_len().max(4)
    }

    /// Bytes of padding behind a payload of `inner_len` bytes: 0 to [`Self::alignment`] - 1.
    #[must_use]
    pub fn padding_len(&self, inner_len: usize) -> usize {
        let align = self.alignment();
        (align - (inner_len % align + ESP_TRAILER_LEN) % align) % align
    }

    /// Bytes from SPI to ICV of the packet which carries `inner_len` bytes. (Lengths near `usize::MAX` saturate.)
    #[must_use]
    pub fn sealed_len(&self, inner_len: usize) -> usize {
        let around = ESP_HEADER_LEN + self.cipher.iv_len() + ESP_TRAILER_LEN + self.icv_len();
        inner_len.saturating_add(around + self.padding_len(inner_len))
    }

    /// The largest inner packet whose sealed form fits a path of `path_mtu` bytes, outer headers included. 0 where nothing
    /// fits.
    #[must_use]
    pub fn inner_mtu(&self, path_mtu: usize, outer: IpVersion, udp: bool) -> usize {
        let ip = match outer {
            IpVersion::V4 => 20,
            IpVersion::V6 => 40,
        };
        let udp = if udp { UDP_HEADER_LEN } else { 0 };
        let around = ip + udp + ESP_HEADER_LEN + self.cipher.iv_len() + self.icv_len();
        let room = path_mtu.saturating_sub(around);
        (room - room % self.alignment()).saturating_sub(ESP_TRAILER_LEN)
    }

    /// The TCP segment size that fits [`Self::inner_mtu`]: 40 bytes less for IPv4 inside, 60 for IPv6.
    #[must_use]
    pub fn inner_mss(inner_mtu: usize, inner: IpVersion) -> usize {
        inner_mtu.saturating_sub(match inner {
            IpVersion::V4 => 40,
            IpVersion::V6 => 60,
        })
    }

    /// The name configuration and status use: `aes128gcm16`, `aes128-sha1`, `aes256-sha256-esn`.
    #[must_use]
    pub fn name(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for EspSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.cipher.name())?;
        if let Some(integrity) = self.integrity {
            write!(f, "-{}", integrity.name())?;
        }
        if self.esn {
            f.write_str("-esn")?;
        }
        Ok(())
    }
}

/// Key material of one direction, as IKE cuts it from KEYMAT (RFC 7296 §2.17).
#[derive(Clone, Debug)]
pub struct EspKeys {
    /// [`EspSuite::encryption_key_len`] bytes, the salt at the end.
    pub encryption: SecretBytes,
    /// [`EspSuite::integrity_key_len`] bytes.
    pub integrity: SecretBytes,
}
