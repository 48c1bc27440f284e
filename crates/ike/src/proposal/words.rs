//! Proposals as people write them: words joined by `-`, lists joined by `,`.
//!
//! `aes256-sha256-modp2048`, `aes128gcm16-prfsha256-x25519`, `aes256gcm16-ecp384-esn-noesn`. Case does not matter. A PRF
//! not named follows from the integrity algorithms; beside an AEAD cipher, integrity words name the PRF and nothing else.

use std::str::FromStr;

use crypto::{Cipher, Group, Integrity, Prf};

use super::{EspProposal, IkeProposal};

/// Why text, or a combination of algorithms, is no proposal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposalError {
    /// A word that names no algorithm.
    #[error("unknown algorithm {word:?}{}", did_you_mean(.suggestion.as_deref()))]
    UnknownWord {
        /// As written.
        word: String,
        /// The closest word which does name one.
        suggestion: Option<&'static str>,
    },
    /// No cipher.
    #[error("no cipher is named, such as aes256gcm16 or aes256")]
    MissingCipher,
    /// A cipher which needs one has no integrity algorithm.
    #[error("{0} does not protect integrity by itself: name an algorithm, such as sha256")]
    MissingIntegrity(&'static str),
    /// No PRF.
    #[error("no PRF is named, such as prfsha256")]
    MissingPrf,
    /// IKE without a key exchange.
    #[error("no Diffie-Hellman group is named, such as x25519 or modp2048")]
    MissingGroup,
    /// AEAD and other ciphers in one proposal (RFC 5282 §8).
    #[error("{0} and {1} cannot share a proposal: write two, separated by a comma")]
    Mixed(&'static str, &'static str),
    /// An integrity algorithm beside AEAD ciphers.
    #[error("{0} brings its own integrity: leave out {1}")]
    IntegrityWithAead(&'static str, &'static str),
    /// NULL encryption, not allowed here.
    #[error("null encryption leaves packets readable and must be allowed explicitly; IKE itself never uses it")]
    Null,
    /// A word that is right for IKE alone or for ESP alone.
    #[error("{0} has no meaning in an {1} proposal")]
    Misplaced(&'static str, &'static str),
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |word| format!("; did you mean {word}?"))
}

/// The PRF on the same primitive as an integrity algorithm.
pub(crate) fn prf_of(integrity: Integrity) -> Prf {
    match integrity {
        Integrity::HmacSha1_96 => Prf::HmacSha1,
        Integrity::HmacSha2_256_128 | Integrity::HmacSha2_256_96 => Prf::HmacSha2_256,
        Integrity::HmacSha2_384_192 => Prf::HmacSha2_384,
        Integrity::HmacSha2_512_256 => Prf::HmacSha2_512,
        Integrity::AesXcbc96 => Prf::AesXcbc128,
        Integrity::AesCmac96 => Prf::AesCmac128,
    }
}

/// Ciphers of one kind, with integrity algorithms exactly where they are needed.
pub(super) fn check_pairing(
    ciphers: &[Cipher],
    integrities: &[Integrity],
    allow_null: bool,
) -> Result<(), ProposalError> {
    let first = ciphers.first().ok_or(ProposalError::MissingCipher)?;
    if let Some(other) = ciphers.iter().find(|cipher| cipher.is_aead() != first.is_aead()) {
        return Err(ProposalError::Mixed(first.name(), other.name()));
    }
    match integrities.first() {
        Some(integrity) if first.is_aead() => {
            return Err(ProposalError::IntegrityWithAead(first.name(), integrity.name()));
        }
        None if !first.is_aead() => return Err(ProposalError::MissingIntegrity(first.name())),
        Some(_) | None => {}
    }
    if ciphers.contains(&Cipher::Null) && !allow_null {
        return Err(ProposalError::Null);
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Word {
    Cipher(Cipher),
    Integrity(Integrity),
    Prf(Prf),
    Group(Group),
    Esn(bool),
}

/// Other spellings in use.
const ALIASES: [(&str, Word); 24] = [
    ("aes", Word::Cipher(Cipher::AesCbc128)),
    ("aes128gcm", Word::Cipher(Cipher::AesGcm16_128)),
    ("aes192gcm", Word::Cipher(Cipher::AesGcm16_192)),
    ("aes256gcm", Word::Cipher(Cipher::AesGcm16_256)),
    ("aes128gcm128", Word::Cipher(Cipher::AesGcm16_128)),
    ("aes192gcm128", Word::Cipher(Cipher::AesGcm16_192)),
    ("aes256gcm128", Word::Cipher(Cipher::AesGcm16_256)),
    ("chacha20", Word::Cipher(Cipher::ChaCha20Poly1305)),
    ("sha", Word::Integrity(Integrity::HmacSha1_96)),
    ("sha2_256", Word::Integrity(Integrity::HmacSha2_256_128)),
    ("sha2_384", Word::Integrity(Integrity::HmacSha2_384_192)),
    ("sha2_512", Word::Integrity(Integrity::HmacSha2_512_256)),
    ("sha2", Word::Integrity(Integrity::HmacSha2_256_128)),
    ("aes_xcbc", Word::Integrity(Integrity::AesXcbc96)),
    ("aes_cmac", Word::Integrity(Integrity::AesCmac96)),
    ("prfsha2_256", Word::Prf(Prf::HmacSha2_256)),
    ("prfsha2_384", Word::Prf(Prf::HmacSha2_384)),
    ("prfsha2_512", Word::Prf(Prf::HmacSha2_512)),
    ("x25519", Word::Group(Group::Curve25519)),
    ("ecp256r1", Word::Group(Group::Ecp256)),
    ("ecp384r1", Word::Group(Group::Ecp384)),
    ("ecp521r1", Word::Group(Group::Ecp521)),
    ("esn", Word::Esn(true)),
    ("noesn", Word::Esn(false)),
];

fn vocabulary() -> impl Iterator<Item = (&'static str, Word)> {
    let ciphers = Cipher::ALL.into_iter().map(|cipher| (cipher.name(), Word::Cipher(cipher)));
    let integrities = Integrity::ALL.into_iter().map(|integrity| (integrity.name(), Word::Integrity(integrity)));
    let prfs = Prf::ALL.into_iter().map(|prf| (prf.name(), Word::Prf(prf)));
    let groups = Group::ALL.into_iter().map(|group| (group.name(), Word::Group(group)));
    ciphers.chain(integrities).chain(prfs).chain(groups).chain(ALIASES)
}

fn word(text: &str) -> Result<Word, ProposalError> {
    let lower = text.to_ascii_lowercase();
    if let Some((_, word)) = vocabulary().find(|(name, _)| *name == lower) {
        return Ok(word);
    }
    let number = lower.strip_prefix("dh").or_else(|| lower.strip_prefix("group"));
    if let Some(group) = number.and_then(|number| number.parse().ok()).and_then(Group::from_number) {
        return Ok(Word::Group(group));
    }
    // A long "word" is a paste of something else; measuring it would cost its square.
    let close = |name: &str| lower.len() <= 32 && distance(&lower, name) <= 2.max(name.len() / 3);
    let suggestion =
        vocabulary().map(|(name, _)| name).filter(|name| close(name)).min_by_key(|name| distance(&lower, name));
    Err(ProposalError::UnknownWord { word: text.to_owned(), suggestion })
}

/// Edits (insert, remove, replace) from one word to another.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, a) in from.bytes().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        let mut next = vec![left];
        for (above, b) in row.iter().skip(1).zip(to.bytes()) {
            left = (diagonal + usize::from(a != b)).min(above + 1).min(left + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// The words of one proposal, by kind.
#[derive(Default)]
struct Words {
    ciphers: Vec<Cipher>,
    integrities: Vec<Integrity>,
    prfs: Vec<Prf>,
    groups: Vec<Group>,
    esn: Vec<bool>,
}

impl Words {
    fn parse(text: &str) -> Result<Self, ProposalError> {
        fn push<T: PartialEq>(list: &mut Vec<T>, item: T) {
            if !list.contains(&item) {
                list.push(item);
            }
        }
        let mut words = Words::default();
        for part in text.split('-').map(str::trim).filter(|part| !part.is_empty()) {
            match word(part)? {
                Word::Cipher(cipher) => push(&mut words.ciphers, cipher),
                Word::Integrity(integrity) => push(&mut words.integrities, integrity),
                Word::Prf(prf) => push(&mut words.prfs, prf),
                Word::Group(group) => push(&mut words.groups, group),
                Word::Esn(esn) => push(&mut words.esn, esn),
            }
        }
        Ok(words)
    }

    /// One per kind of cipher: first the AEAD ciphers, then the others, as RFC 5282 §8 wants them.
    fn split(text: &str) -> Result<Vec<Words>, ProposalError> {
        let words = Words::parse(text)?;
        let (aead, other): (Vec<Cipher>, Vec<Cipher>) = words.ciphers.iter().partition(|cipher| cipher.is_aead());
        if aead.is_empty() || other.is_empty() {
            return Ok(vec![words]);
        }
        let with = |ciphers| Words {
            ciphers,
            integrities: words.integrities.clone(),
            prfs: words.prfs.clone(),
            groups: words.groups.clone(),
            esn: words.esn.clone(),
        };
        Ok(vec![with(aead), with(other)])
    }

    fn only_aead(&self) -> bool {
        !self.ciphers.is_empty() && self.ciphers.iter().all(|cipher| cipher.is_aead())
    }

    fn ike(mut self) -> Result<IkeProposal, ProposalError> {
        if let Some(esn) = self.esn.first() {
            return Err(ProposalError::Misplaced(super::esn_word(*esn), "IKE"));
        }
        if self.prfs.is_empty() {
            self.prfs = self.integrities.iter().copied().map(prf_of).collect();
        }
        if self.only_aead() {
            self.integrities.clear();
            if self.prfs.is_empty() {
                self.prfs.push(Prf::HmacSha2_256);
            }
        }
        check_pairing(&self.ciphers, &self.integrities, false)?;
        IkeProposal::new(self.ciphers, self.integrities, self.prfs, self.groups)
    }

    fn esp(mut self, allow_null: bool) -> Result<EspProposal, ProposalError> {
        if let Some(prf) = self.prfs.first() {
            return Err(ProposalError::Misplaced(prf.name(), "ESP"));
        }
        if self.only_aead() {
            self.integrities.clear();
        }
        check_pairing(&self.ciphers, &self.integrities, allow_null)?;
        EspProposal::new(self.ciphers, self.integrities, self.groups, self.esn)
    }
}

fn list<T>(text: &str, one: impl Fn(Words) -> Result<T, ProposalError>) -> Result<Vec<T>, ProposalError> {
    let mut proposals = Vec::new();
    for item in text.split(',') {
        for words in Words::split(item)? {
            proposals.push(one(words)?);
        }
    }
    Ok(proposals)
}

impl IkeProposal {
    /// Reads one proposal. Beside AEAD ciphers without a named PRF it is `prfsha256`.
    ///
    /// # Errors
    /// An unknown word, with the closest known one; or algorithms that do not belong together.
    pub fn parse(text: &str) -> Result<Self, ProposalError> {
        Words::parse(text)?.ike()
    }

    /// Reads proposals separated by commas, most preferred first; one that mixes AEAD and other ciphers becomes two.
    ///
    /// # Errors
    /// The first proposal's that is wrong, as [`IkeProposal::parse`].
    pub fn parse_list(text: &str) -> Result<Vec<Self>, ProposalError> {
        list(text, Words::ike)
    }
}

impl EspProposal {
    /// Reads one proposal. `null` is refused unless `allow_null`.
    ///
    /// # Errors
    /// An unknown word, with the closest known one; or algorithms that do not belong together.
    pub fn parse(text: &str, allow_null: bool) -> Result<Self, ProposalError> {
        Words::parse(text)?.esp(allow_null)
    }

    /// Reads proposals separated by commas, most preferred first; one that mixes AEAD and other ciphers becomes two.
    ///
    /// # Errors
    /// The first proposal's that is wrong, as [`EspProposal::parse`].
    pub fn parse_list(text: &str, allow_null: bool) -> Result<Vec<Self>, ProposalError> {
        list(text, |words| words.esp(allow_null))
    }
}

impl FromStr for IkeProposal {
    type Err = ProposalError;

    fn from_str(text: &str) -> Result<Self, ProposalError> {
        IkeProposal::parse(text)
    }
}

/// Without NULL encryption.
impl FromStr for EspProposal {
    type Err = ProposalError;

    fn from_str(text: &str) -> Result<Self, ProposalError> {
        EspProposal::parse(text, false)
    }
}
