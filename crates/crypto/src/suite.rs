//! The ciphers and integrity algorithms that protect packets, and their lengths (RFC 7296 §3.3.2, RFC 8221).

/// An encryption algorithm, key length included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Cipher {
    /// No encryption at all (RFC 2410); still authenticated.
    Null,
    /// AES-CBC with a 128-bit key (RFC 3602).
    AesCbc128,
    /// AES-CBC with a 192-bit key (RFC 3602).
    AesCbc192,
    /// AES-CBC with a 256-bit key (RFC 3602).
    AesCbc256,
    /// AES-GCM with a 16-octet ICV and a 128-bit key (RFC 4106, RFC 5282).
    AesGcm16_128,
    /// AES-GCM with a 16-octet ICV and a 192-bit key (RFC 4106, RFC 5282).
    AesGcm16_192,
    /// AES-GCM with a 16-octet ICV and a 256-bit key (RFC 4106, RFC 5282).
    AesGcm16_256,
    /// ChaCha20-Poly1305 (RFC 7634).
    ChaCha20Poly1305,
}

impl Cipher {
    /// Every cipher.
    pub const ALL: [Self; 8] = [
        Self::Null,
        Self::AesCbc128,
        Self::AesCbc192,
        Self::AesCbc256,
        Self::AesGcm16_128,
        Self::AesGcm16_192,
        Self::AesGcm16_256,
        Self::ChaCha20Poly1305,
    ];

    /// Octets of key, without the salt.
    pub const fn key_len(self) -> usize {
        match self {
            Self::Null => 0,
            Self::AesCbc128 | Self::AesGcm16_128 => 16,
            Self::AesCbc192 | Self::AesGcm16_192 => 24,
            Self::AesCbc256 | Self::AesGcm16_256 | Self::ChaCha20Poly1305 => 32,
        }
    }

    /// Octets of salt at the end of the keying material (RFC 4106 §8.1, RFC 7634 §2): 4 for AEAD, else 0.
    pub const fn salt_len(self) -> usize {
        if self.is_aead() { 4 } else { 0 }
    }

    /// Octets of keying material to derive: key, then salt.
    pub const fn key_material_len(self) -> usize {
        self.key_len() + self.salt_len()
    }

    /// Octets of explicit IV in each packet.
    pub const fn iv_len(self) -> usize {
        match self {
            Self::Null => 0,
            Self::AesCbc128 | Self::AesCbc192 | Self::AesCbc256 => 16,
            Self::AesGcm16_128 | Self::AesGcm16_192 | Self::AesGcm16_256 | Self::ChaCha20Poly1305 => 8,
        }
    }

    /// Octets of which the plaintext must be a multiple, as far as the cipher is concerned.
    pub const fn block_len(self) -> usize {
        match self {
            Self::AesCbc128 | Self::AesCbc192 | Self::AesCbc256 => 16,
            Self::Null | Self::AesGcm16_128 | Self::AesGcm16_192 | Self::AesGcm16_256 | Self::ChaCha20Poly1305 => 1,
        }
    }

    /// Octets of the cipher's own integrity check value: 16 for AEAD, else 0.
    pub const fn icv_len(self) -> usize {
        if self.is_aead() { 16 } else { 0 }
    }

    /// Whether the cipher authenticates as well (RFC 5116), so that a separate integrity algorithm is
    /// forbidden (RFC 7296 §3.3.3).
    pub const fn is_aead(self) -> bool {
        match self {
            Self::AesGcm16_128 | Self::AesGcm16_192 | Self::AesGcm16_256 | Self::ChaCha20Poly1305 => true,
            Self::Null | Self::AesCbc128 | Self::AesCbc192 | Self::AesCbc256 => false,
        }
    }

    /// The name an operator writes and reads.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::AesCbc128 => "aes128",
            Self::AesCbc192 => "aes192",
            Self::AesCbc256 => "aes256",
            Self::AesGcm16_128 => "aes128gcm16",
            Self::AesGcm16_192 => "aes192gcm16",
            Self::AesGcm16_256 => "aes256gcm16",
            Self::ChaCha20Poly1305 => "chacha20poly1305",
        }
    }
}

/// An integrity algorithm, truncation included (RFC 7296 §3.3.2, transform type 3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Integrity {
    /// HMAC-SHA-1-96 (RFC 2404).
    HmacSha1_96,
    /// HMAC-SHA-256-128 (RFC 4868).
    HmacSha2_256_128,
    /// HMAC-SHA-256 cut to 96 bits, as in the draft before RFC 4868: some old peers mean this by HMAC-SHA-256-128. Nobody can
    /// negotiate it; it is put in its place by configuration.
    HmacSha2_256_96,
    /// HMAC-SHA-384-192 (RFC 4868).
    HmacSha2_384_192,
    /// HMAC-SHA-512-256 (RFC 4868).
    HmacSha2_512_256,
    /// AES-XCBC-MAC-96 (RFC 3566).
    AesXcbc96,
    /// AES-CMAC-96 (RFC 4494).
    AesCmac96,
}

impl Integrity {
    /// Every integrity algorithm that can be negotiated.
    pub const ALL: [Self; 6] = [
        Self::HmacSha1_96,
        Self::HmacSha2_256_128,
        Self::HmacSha2_384_192,
        Self::HmacSha2_512_256,
        Self::AesXcbc96,
        Self::AesCmac96,
    ];

    /// Octets of key: the hash's output length for HMAC (RFC 4868 §2.1.1), 16 for AES.
    pub const fn key_len(self) -> usize {
        match self {
            Self::HmacSha1_96 => 20,
            Self::HmacSha2_256_128 | Self::HmacSha2_256_96 => 32,
            Self::HmacSha2_384_192 => 48,
            Self::HmacSha2_512_256 => 64,
            Self::AesXcbc96 | Self::AesCmac96 => 16,
        }
    }

    /// Octets of integrity check value in each packet.
    pub const fn icv_len(self) -> usize {
        match self {
            Self::HmacSha1_96 | Self::HmacSha2_256_96 | Self::AesXcbc96 | Self::AesCmac96 => 12,
            Self::HmacSha2_256_128 => 16,
            Self::HmacSha2_384_192 => 24,
            Self::HmacSha2_512_256 => 32,
        }
    }

    /// The name an operator writes and reads.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HmacSha1_96 => "sha1",
            Self::HmacSha2_256_128 => "sha256",
            Self::HmacSha2_256_96 => "sha256_96",
            Self::HmacSha2_384_192 => "sha384",
            Self::HmacSha2_512_256 => "sha512",
            Self::AesXcbc96 => "aesxcbc",
            Self::AesCmac96 => "aescmac",
        }
    }
}
