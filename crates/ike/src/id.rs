//! Identities: who a peer says it is, and how a person writes and reads it (RFC 7296 §3.5).
//!
//! | written | type |
//! |---|---|
//! | `192.0.2.1`, `2001:db8::1` | ID_IPV4_ADDR, ID_IPV6_ADDR |
//! | `gw.example`, `@gw.example`, `fqdn:…` | ID_FQDN (so `@192.0.2.1` is a *name*) |
//! | `ops@gw.example`, `@@ops`, `email:…` | ID_RFC822_ADDR |
//! | `keyid:…`, `@[…]`, `@#c0ffee` (hex) | ID_KEY_ID |
//! | `type9:3000` (hex) | any other, by number |
//!
//! What a peer sends can hold any octets: [`Id`]'s `Display` escapes all but printable ASCII and reads back.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

const ID_IPV4_ADDR: u8 = 1;
const ID_FQDN: u8 = 2;
const ID_RFC822_ADDR: u8 = 3;
const ID_IPV6_ADDR: u8 = 5;
const ID_KEY_ID: u8 = 11;

/// An identity. Two are the same person only if type and value agree ([`Id::same_as`]).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Id {
    /// ID_IPV4_ADDR, 1.
    Ipv4(Ipv4Addr),
    /// ID_IPV6_ADDR, 5.
    Ipv6(Ipv6Addr),
    /// ID_FQDN, 2.
    Fqdn(String),
    /// ID_RFC822_ADDR, 3.
    Rfc822(String),
    /// ID_KEY_ID, 11: octets which mean something to the two ends alone.
    KeyId(Vec<u8>),
    /// Any other type (a distinguished name is 9), and names which are not UTF-8.
    Unknown {
        /// ID Type.
        ty: u8,
        /// Identification data.
        data: Vec<u8>,
    },
}

impl Id {
    /// From the type and data of an identification payload; `None` for an address of the wrong length.
    #[must_use]
    pub fn from_wire(ty: u8, data: &[u8]) -> Option<Id> {
        let unknown = || Id::Unknown { ty, data: data.to_vec() };
        Some(match ty {
            ID_IPV4_ADDR => Id::Ipv4(<[u8; 4]>::try_from(data).ok()?.into()),
            ID_IPV6_ADDR => Id::Ipv6(<[u8; 16]>::try_from(data).ok()?.into()),
            ID_FQDN => std::str::from_utf8(data).map_or_else(|_| unknown(), |name| Id::Fqdn(name.to_owned())),
            ID_RFC822_ADDR => std::str::from_utf8(data).map_or_else(|_| unknown(), |name| Id::Rfc822(name.to_owned())),
            ID_KEY_ID => Id::KeyId(data.to_vec()),
            _ => unknown(),
        })
    }

    /// The ID Type field.
    #[must_use]
    pub fn wire_type(&self) -> u8 {
        match self {
            Id::Ipv4(_) => ID_IPV4_ADDR,
            Id::Ipv6(_) => ID_IPV6_ADDR,
            Id::Fqdn(_) => ID_FQDN,
            Id::Rfc822(_) => ID_RFC822_ADDR,
            Id::KeyId(_) => ID_KEY_ID,
            Id::Unknown { ty, .. } => *ty,
        }
    }

    /// The identification data.
    #[must_use]
    pub fn wire_data(&self) -> Vec<u8> {
        match self {
            Id::Ipv4(address) => address.octets().to_vec(),
            Id::Ipv6(address) => address.octets().to_vec(),
            Id::Fqdn(name) | Id::Rfc822(name) => name.as_bytes().to_vec(),
            Id::KeyId(data) | Id::Unknown { data, .. } => data.clone(),
        }
    }

    /// The registered name of the type.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Id::Ipv4(_) => "ID_IPV4_ADDR",
            Id::Ipv6(_) => "ID_IPV6_ADDR",
            Id::Fqdn(_) => "ID_FQDN",
            Id::Rfc822(_) => "ID_RFC822_ADDR",
            Id::KeyId(_) => "ID_KEY_ID",
            Id::Unknown { .. } => "unknown ID type",
        }
    }

    /// Whether both name the same party: like `==`, but names differ not by ASCII case (RFC 4343; the local part of
    /// an address strictly could, and nobody means it to).
    #[must_use]
    pub fn same_as(&self, other: &Id) -> bool {
        match (self, other) {
            (Id::Fqdn(a), Id::Fqdn(b)) | (Id::Rfc822(a), Id::Rfc822(b)) => a.eq_ignore_ascii_case(b),
            _ => self == other,
        }
    }
}

impl From<IpAddr> for Id {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Id::Ipv4(address),
            IpAddr::V6(address) => Id::Ipv6(address),
        }
    }
}

/// Why text is no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing was written.
    #[error("an identity cannot be empty")]
    Empty,
    /// A character which a bare name cannot have.
    #[error("{0:?} cannot stand in a name; for free text write `keyid:{1}`, for a name with it `fqdn:{1}`")]
    Character(char, String),
    /// Not pairs of hexadecimal digits.
    #[error("{0:?} is not hexadecimal")]
    Hex(String),
    /// A backslash not followed by another or by `xHH`.
    #[error("a backslash must be followed by a backslash or by x and two hexadecimal digits")]
    Escape,
    /// A name must be UTF-8 once its escapes are resolved.
    #[error("a name must be UTF-8")]
    Encoding,
    /// `typeN:` with an impossible N, or an address of the wrong length.
    #[error("{0:?} is no identity type with matching data")]
    Type(String),
}

impl FromStr for Id {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Id, IdError> {
        let text = text.trim();
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(address.into());
        }
        if let Some(id) = prefixed(text) {
            return id;
        }
        if text.is_empty() {
            return Err(IdError::Empty);
        }
        if let Some(bad) = text.chars().find(|c| !is_plain(*c) && *c != '@') {
            return Err(IdError::Character(bad, text.to_owned()));
        }
        if text.contains('@') { Ok(Id::Rfc822(text.to_owned())) } else { Ok(Id::Fqdn(text.to_owned())) }
    }
}

/// The forms which say their type. `None`: the text has none of the prefixes.
fn prefixed(text: &str) -> Option<Result<Id, IdError>> {
    if let Some(hex) = text.strip_prefix("@#") {
        return Some(from_hex(hex).and_then(non_empty).map(Id::KeyId));
    }
    if let Some(key) = text.strip_prefix("@[").and_then(|rest| rest.strip_suffix(']')) {
        return Some(unescape(key).and_then(non_empty).map(Id::KeyId));
    }
    if let Some(name) = text.strip_prefix("@@") {
        return Some(name_of(name).map(Id::Rfc822));
    }
    if let Some(name) = text.strip_prefix('@') {
        return Some(name_of(name).map(Id::Fqdn));
    }
    let (kind, value) = text.split_once(':')?;
    Some(match kind {
        "keyid" => unescape(value).and_then(non_empty).map(Id::KeyId),
        "fqdn" | "dns" => name_of(value).map(Id::Fqdn),
        "email" | "rfc822" | "userfqdn" => name_of(value).map(Id::Rfc822),
        "ipv4" => value.parse().map(Id::Ipv4).map_err(|_| IdError::Type(text.to_owned())),
        "ipv6" => value.parse().map(Id::Ipv6).map_err(|_| IdError::Type(text.to_owned())),
        _ => {
            let ty = kind.strip_prefix("type")?.parse::<u8>().ok()?;
            from_hex(value).and_then(|data| Id::from_wire(ty, &data).ok_or_else(|| IdError::Type(text.to_owned())))
        }
    })
}

fn non_empty(data: Vec<u8>) -> Result<Vec<u8>, IdError> {
    if data.is_empty() { Err(IdError::Empty) } else { Ok(data) }
}

fn name_of(text: &str) -> Result<String, IdError> {
    String::from_utf8(non_empty(unescape(text)?)?).map_err(|_| IdError::Encoding)
}

/// Characters of a bare name: those of host names, and what else turns up in them in practice.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+')
}

fn from_hex(text: &str) -> Result<Vec<u8>, IdError> {
    let wrong = || IdError::Hex(text.to_owned());
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !matches!(c, ':' | '_'))
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or_else(wrong))
        .collect::<Result<_, _>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(wrong());
    }
    Ok(pairs.iter().map(|[high, low]| (high << 4) | low).collect())
}

/// `\\` and `\xHH` to octets; everything else stands for itself.
fn unescape(text: &str) -> Result<Vec<u8>, IdError> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.extend_from_slice(before.as_bytes());
        rest = if let Some(rest) = after.strip_prefix('\\') {
            out.push(b'\\');
            rest
        } else {
            let hex = after.strip_prefix('x').and_then(|hex| hex.get(..2)).ok_or(IdError::Escape)?;
            out.extend(from_hex(hex).map_err(|_| IdError::Escape)?);
            after.get(3..).unwrap_or_default()
        };
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

fn write_escaped(data: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, octet) in data.iter().enumerate() {
        // A blank at either end would be trimmed when read back.
        let edge = index == 0 || index + 1 == data.len();
        match octet {
            b'\\' => f.write_str("\\\\")?,
            b' ' if edge => f.write_str("\\x20")?,
            b' '..=b'~' => f.write_char(char::from(*octet))?,
            _ => write!(f, "\\x{octet:02x}")?,
        }
    }
    Ok(())
}

fn write_hex(data: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    data.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = |name: &str| !name.is_empty() && name.chars().all(is_plain) && name.parse::<IpAddr>().is_err();
        match self {
            Id::Ipv4(address) => address.fmt(f),
            Id::Ipv6(address) => address.fmt(f),
            Id::Fqdn(name) if bare(name) => f.write_str(name),
            Id::Fqdn(name) => {
                f.write_str("fqdn:")?;
                write_escaped(name.as_bytes(), f)
            }
            Id::Rfc822(name) => {
                let plain = name.split_once('@').is_some_and(|(local, domain)| bare(local) && bare(domain));
                if plain {
                    return f.write_str(name);
                }
                f.write_str("email:")?;
                write_escaped(name.as_bytes(), f)
            }
            Id::KeyId(data) if data.iter().all(|octet| matches!(octet, b' '..=b'~')) => {
                f.write_str("keyid:")?;
                write_escaped(data, f)
            }
            Id::KeyId(data) => {
                f.write_str("@#")?;
                write_hex(data, f)
            }
            Id::Unknown { ty, data } => {
                write!(f, "type{ty}:")?;
                write_hex(data, f)
            }
        }
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({self})")
    }
}
