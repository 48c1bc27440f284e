//! The key exchange groups of IKEv2 and their lengths on the wire (RFC 7296 §3.3.2, transform type 4).

/// A key exchange group; the discriminant is its transform number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
#[repr(u16)]
pub enum Group {
    /// 1024-bit MODP (RFC 7296 appendix B.2); too weak but for old peers (RFC 8247 §2.4).
    Modp1024 = 2,
    /// 1536-bit MODP (RFC 3526 §2).
    Modp1536 = 5,
    /// 2048-bit MODP (RFC 3526 §3).
    Modp2048 = 14,
    /// 3072-bit MODP (RFC 3526 §4).
    Modp3072 = 15,
    /// 4096-bit MODP (RFC 3526 §5).
    Modp4096 = 16,
    /// 6144-bit MODP (RFC 3526 §6).
    Modp6144 = 17,
    /// 8192-bit MODP (RFC 3526 §7).
    Modp8192 = 18,
    /// NIST P-256 (RFC 5903).
    Ecp256 = 19,
    /// NIST P-384 (RFC 5903).
    Ecp384 = 20,
    /// NIST P-521 (RFC 5903).
    Ecp521 = 21,
    /// 1024-bit MODP with a 160-bit subgroup (RFC 5114 §2.1); too weak but for old peers (RFC 8247 §2.4).
    Modp1024S160 = 22,
    /// 2048-bit MODP with a 224-bit subgroup (RFC 5114 §2.2).
    Modp2048S224 = 23,
    /// 2048-bit MODP with a 256-bit subgroup (RFC 5114 §2.3).
    Modp2048S256 = 24,
    /// Curve25519 (RFC 8031).
    Curve25519 = 31,
}

impl Group {
    /// Every group, by number.
    pub const ALL: [Self; 14] = [
        Self::Modp1024,
        Self::Modp1536,
        Self::Modp2048,
        Self::Modp3072,
        Self::Modp4096,
        Self::Modp6144,
        Self::Modp8192,
        Self::Ecp256,
        Self::Ecp384,
        Self::Ecp521,
        Self::Modp1024S160,
        Self::Modp2048S224,
        Self::Modp2048S256,
        Self::Curve25519,
    ];

    /// The transform number on the wire.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The group with this transform number, if it is one of ours.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.number() == number)
    }

    /// Octets of Key Exchange Data: the modulus' length for MODP (RFC 7296 §3.4), x and y without a prefix for
    /// ECP (RFC 5903 §7), 32 for Curve25519 (RFC 8031 §3.1).
    pub const fn public_len(self) -> usize {
        match self {
            Self::Modp1024 | Self::Modp1024S160 => 128,
            Self::Modp1536 => 192,
            Self::Modp2048 | Self::Modp2048S224 | Self::Modp2048S256 => 256,
            Self::Modp3072 => 384,
            Self::Modp4096 => 512,
            Self::Modp6144 => 768,
            Self::Modp8192 => 1024,
            Self::Ecp256 => 64,
            Self::Ecp384 => 96,
            Self::Ecp521 => 132,
            Self::Curve25519 => 32,
        }
    }

    /// Octets of the shared secret g^ir: padded to the modulus' length for MODP (RFC 7296 §2.14), the
    /// x coordinate alone for ECP (RFC 5903 §7), 32 for Curve25519 (RFC 8031 §2).
    pub const fn secret_len(self) -> usize {
        match self {
            Self::Ecp256 | Self::Ecp384 | Self::Ecp521 => self.public_len() / 2,
            Self::Modp1024
            | Self::Modp1536
            | Self::Modp2048
            | Self::Modp3072
            | Self::Modp4096
            | Self::Modp6144
            | Self::Modp8192
            | Self::Modp1024S160
            | Self::Modp2048S224
            | Self::Modp2048S256
            | Self::Curve25519 => self.public_len(),
        }
    }

    /// The name an operator writes and reads.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Modp1024 => "modp1024",
            Self::Modp1536 => "modp1536",
            Self::Modp2048 => "modp2048",
            Self::Modp3072 => "modp3072",
            Self::Modp4096 => "modp4096",
            Self::Modp6144 => "modp6144",
            Self::Modp8192 => "modp8192",
            Self::Modp1024S160 => "modp1024s160",
            Self::Modp2048S224 => "modp2048s224",
            Self::Modp2048S256 => "modp2048s256",
            Self::Ecp256 => "ecp256",
            Self::Ecp384 => "ecp384",
            Self::Ecp521 => "ecp521",
            Self::Curve25519 => "curve25519",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_leads_back_to_its_group_and_no_other_number_leads_anywhere() {
        let known: Vec<u16> = (0..=u16::MAX).filter(|number| Group::from_number(*number).is_some()).collect();
        assert_eq!(known, [2, 5, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 31]);
        for group in Group::ALL {
            assert_eq!(Group::from_number(group.number()), Some(group));
        }
    }
}
