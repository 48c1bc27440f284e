//! Binary secrets written as text: hexadecimal (RFC 4648 §8) and base64 (RFC 4648 §4).

/// Why a text is not the encoding it should be. Never quotes the text: it is a secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EncodingError {
    /// A character that is none of 0–9, a–f, A–F.
    #[error("character {position} is not a hexadecimal digit")]
    NotHex {
        /// Counted from 1.
        position: usize,
    },
    /// Half a byte is left.
    #[error("an odd number of hexadecimal digits")]
    OddDigits,
    /// A character outside the alphabet of RFC 4648 §4.
    #[error("character {position} does not belong to the base64 alphabet")]
    NotBase64 {
        /// Counted from 1.
        position: usize,
    },
    /// Bits are left over, or `=` stands where it should not.
    #[error("the base64 text is cut short or wrongly padded")]
    Padding,
}

/// Bytes of a text of hexadecimal digits; blanks, `:` and a leading `0x` are ignored.
///
/// # Errors
/// Other characters, or an odd number of digits.
pub fn hex(text: &str) -> Result<Vec<u8>, EncodingError> {
    let skip = if text.starts_with("0x") || text.starts_with("0X") { 2 } else { 0 };
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut high = None;
    for (index, c) in text.chars().enumerate().skip(skip) {
        if c.is_ascii_whitespace() || c == ':' {
            continue;
        }
        let digit = c.to_digit(16).ok_or(EncodingError::NotHex { position: index + 1 })? as u8;
        high = match high {
            None => Some(digit << 4),
            Some(high) => {
                bytes.push(high | digit);
                None
            }
        };
    }
    if high.is_some() { Err(EncodingError::OddDigits) } else { Ok(bytes) }
}

/// Bytes of a base64 text; blanks are ignored, padding may be left out but not be wrong.
///
/// # Errors
/// Characters outside the alphabet, wrong padding, bits left over.
pub fn base64(text: &str) -> Result<Vec<u8>, EncodingError> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count, mut digits, mut pads) = (0_u32, 0_u32, 0_usize, 0_usize);
    for (index, c) in text.chars().enumerate() {
        if c.is_ascii_whitespace() {
            continue;
        }
        if c == '=' {
            pads += 1;
            continue;
        }
        let value = match c {
            'A'..='Z' => c as u32 - 'A' as u32,
            'a'..='z' => c as u32 - 'a' as u32 + 26,
            '0'..='9' => c as u32 - '0' as u32 + 52,
            '+' => 62,
            '/' => 63,
            _ => {
                return Err(EncodingError::NotBase64 { position: index + 1 });
            }
        };
        if pads > 0 {
            return Err(EncodingError::Padding);
        }
        digits += 1;
        bits = (bits << 6 | value) & 0x00ff_ffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    // Bits that fill up the last digit are zero (RFC 4648 §3.5), and padding brings the digits to a multiple of four.
    let left_over = bits & ((1 << count) - 1);
    let padded = pads == 0 || (pads <= 2 && (digits + pads).is_multiple_of(4));
    if digits % 4 == 1 || left_over != 0 || !padded { Err(EncodingError::Padding) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648_section_10_decode() {
        let table = [
            ("", "", ""),
            ("f", "Zg==", "66"),
            ("fo", "Zm8=", "666F"),
            ("foo", "Zm9v", "666F6F"),
            ("foob", "Zm9vYg==", "666F6F62"),
            ("fooba", "Zm9vYmE=", "666F6F6261"),
            ("foobar", "Zm9vYmFy", "666F6F626172"),
        ];
        for (plain, in_base64, in_hex) in table {
            assert_eq!(base64(in_base64), Ok(plain.as_bytes().to_vec()));
            assert_eq!(base64(in_base64.trim_end_matches('=')), Ok(plain.as_bytes().to_vec()));
            assert_eq!(hex(in_hex), Ok(plain.as_bytes().to_vec()));
            assert_eq!(hex(&format!("0x{}", in_hex.to_lowercase())), Ok(plain.as_bytes().to_vec()));
        }
    }

    #[test]
    fn malformed_texts_are_refused() {
        for text in ["Z", "Zg=", "Zg===", "Zh==", "Zm9v=", "Z=g=", "Zm9vY"] {
            assert_eq!(base64(text), Err(EncodingError::Padding), "{text}");
        }
        assert_eq!(base64("Zm-v"), Err(EncodingError::NotBase64 { position: 3 }));
        assert_eq!(hex("abc"), Err(EncodingError::OddDigits));
        assert_eq!(hex("0xag"), Err(EncodingError::NotHex { position: 4 }));
    }
}
