//! Files handed in, and more of them that they include: decoded, bounded, never read here.

use super::finding::Findings;
use super::place::Spot;
use std::collections::BTreeMap;
use std::sync::Arc;
use zeroize::Zeroizing;

/// One file: its path as the operator knows it, and its bytes, which may hold secrets.
pub struct Input {
    /// Shown in findings, and what includes are relative to.
    pub path: String,
    /// The whole content.
    pub bytes: Zeroizing<Vec<u8>>,
}

impl Input {
    /// A file at `path`.
    pub fn new(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Input {
        Input { path: path.into(), bytes: Zeroizing::new(bytes.into()) }
    }
}

/// Files that an import may need beside those it is given: whoever may read files answers.
pub trait Sources {
    /// The paths of the files that fit `pattern`, in order: a path, whose last part may hold `*`, `?` and `[…]`. Without such, the path
    /// itself if there is such a file.
    fn matching(&mut self, pattern: &str) -> Vec<String>;
    /// The content of a file that [`matching`](Self::matching) named.
    ///
    /// # Errors
    /// Why it cannot be read, in words.
    fn read(&mut self, path: &str) -> Result<Zeroizing<Vec<u8>>, String>;
}

/// Files in memory: for tests, and for whoever has no others.
#[derive(Default)]
pub struct InMemory(pub BTreeMap<String, Vec<u8>>);

impl Sources for InMemory {
    fn matching(&mut self, pattern: &str) -> Vec<String> {
        self.0.keys().filter(|path| *path == pattern || super::glob::fits(pattern, path)).cloned().collect()
    }

    fn read(&mut self, path: &str) -> Result<Zeroizing<Vec<u8>>, String> {
        self.0.get(path).map(|bytes| Zeroizing::new(bytes.clone())).ok_or_else(|| "no such file".to_owned())
    }
}

/// Largest file read, in bytes: a generated configuration of thousands of connections.
pub const LARGEST_FILE: usize = 1 << 20;
/// Bytes of all files of an import together.
pub(crate) const LARGEST_TOTAL: usize = 8 << 20;

/// A file's text.
pub(crate) struct Text {
    pub(crate) file: Arc<str>,
    pub(crate) text: Zeroizing<String>,
}

/// Reads the bytes of a file as UTF-8. What stands in the way is an error with its place.
pub(crate) fn decode(path: &str, bytes: &[u8], findings: &mut Findings) -> Option<Text> {
    let file: Arc<str> = super::finding::shown_path(path).into();
    let start = Spot::start(&file);
    if bytes.len() > LARGEST_FILE {
        let message = format!("the file has {} bytes; at most {LARGEST_FILE} are read", bytes.len());
        findings.error(&start, message, "import the connections one by one");
        return None;
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        let help = "save it as UTF-8 (in an editor: \"save with encoding\"; or `iconv -f UTF-16 -t UTF-8`)";
        findings.error(&start, "the file is UTF-16, not UTF-8", help);
        return None;
    }
    let (bytes, marked) = match bytes.strip_prefix(&[0xef, 0xbb, 0xbf]) {
        Some(rest) => (rest, true),
        None => (bytes, false),
    };
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = bytes.get(..error.valid_up_to()).and_then(|bytes| std::str::from_utf8(bytes).ok());
            let valid = valid.unwrap_or_default();
            let at = Spot::of_offset(&file, valid, valid.len());
            let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
            let help = "save it as UTF-8 (`iconv -f LATIN1 -t UTF-8`, or the encoding it was written in), or take the character out";
            findings.error(&at, format!("byte 0x{byte:02x} is not UTF-8"), help);
            return None;
        }
    };
    if let Some(offset) = text.find('\0') {
        let at = Spot::of_offset(&file, text, offset);
        findings.error(&at, "a zero byte: this is no text file", "give the configuration file itself");
        return None;
    }
    if marked {
        findings.note(&start, "the file begins with a byte order mark: ignored", "");
    }
    if text.contains("\r\n") {
        findings.note(&start, "lines end with CR LF: read as line ends", "");
    }
    Some(Text { file, text: Zeroizing::new(text.to_owned()) })
}

/// `path` as the file at `from` means it: relative paths start at that file's directory.
pub(crate) fn relative(path: &str, from: &str) -> String {
    match from.rsplit_once('/') {
        Some((directory, _)) if !path.starts_with('/') => format!("{directory}/{path}"),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn what_is_no_text_is_refused_with_line_and_column() {
        let table: [(&[u8], Option<&str>); 7] = [
            (b"plain", None),
            (b"\xef\xbb\xbfplain", None),
            (b"a\r\nb\r\n", None),
            (b"caf\xe9 au lait", Some("f:1:4: byte 0xe9 is not UTF-8")),
            (b"ok\n  leftid=\xff", Some("f:2:10: byte 0xff is not UTF-8")),
            (b"\xff\xfea\0", Some("f:1:1: the file is UTF-16")),
            (b"one\ntw\0o", Some("f:2:3: a zero byte")),
        ];
        for (bytes, expected) in table {
            let mut findings = Findings::default();
            let text = decode("f", bytes, &mut findings);
            assert_eq!(text.is_none(), expected.is_some(), "{bytes:?}");
            let list = findings.into_list();
            let error = list.iter().find(|finding| finding.level == Level::Error).map(ToString::to_string);
            match expected {
                Some(expected) => assert!(error.is_some_and(|text| text.contains(expected)), "{list:?}"),
                None => assert_eq!(error, None),
            }
        }
        assert!(decode("f", &vec![b'a'; LARGEST_FILE + 1], &mut Findings::default()).is_none());
    }

    #[test]
    fn included_paths_start_at_the_including_file() {
        assert_eq!(relative("ipsec.d/*.conf", "/etc/ipsec.conf"), "/etc/ipsec.d/*.conf");
        assert_eq!(relative("/vpns/a", "/etc/ipsec.conf"), "/vpns/a");
        assert_eq!(relative("b.inc", "a.conf"), "b.inc");
    }
}
