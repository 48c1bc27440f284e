//! What the fuzz targets share: reading structure out of the fuzzer's bytes.
//!
//! Bytes that run out read as zero, so that every prefix of an input is an input, and short ones already do something.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A cursor over the fuzzer's bytes.
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    /// Is there more?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn u8(&mut self) -> u8 {
        let byte = self.0.first().copied().unwrap_or_default();
        self.0 = self.0.get(1..).unwrap_or_default();
        byte
    }

    /// The next two bytes, in network order.
    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.u8(), self.u8()])
    }

    /// The next four bytes, in network order.
    pub fn u32(&mut self) -> u32 {
        u32::from(self.u16()) << 16 | u32::from(self.u16())
    }

    /// Up to `length` bytes: fewer where they run out.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A run of bytes with its length in front.
    pub fn chunk(&mut self) -> &'a [u8] {
        let length = usize::from(self.u16());
        self.take(length)
    }

    /// One of few addresses, so that flows meet.
    pub fn address(&mut self, v6: bool) -> IpAddr {
        let last = self.u8() % 3;
        if v6 {
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last.into()).into()
        } else {
            Ipv4Addr::new(10, 0, 0, last).into()
        }
    }
}

/// Imports `files` as `format`, each with its path, all of them within reach of an include, and asserts what holds for
/// whatever stands in them: findings have places and can be shown, something refused has an error, and what is imported is
/// a configuration that the gateway can read.
pub fn import_and_check(files: &[(&str, &str)], format: Option<formats::import::Format>, here: &formats::import::Here) {
    use formats::SourceFile;
    use formats::import::{InMemory, Input, Keys, Level, import};
    let given = &files[..1.min(files.len())];
    let inputs: Vec<Input> = given.iter().map(|(path, text)| Input::new(*path, text.as_bytes())).collect();
    let mut others = InMemory::default();
    for (path, text) in files {
        others.0.insert((*path).to_owned(), text.as_bytes().to_vec());
    }
    let imported = import(&inputs, &mut others, format, here);
    let errors = imported.findings.iter().filter(|finding| finding.level == Level::Error).count();
    assert!(imported.refused.is_empty() || errors > 0, "refused without a word");
    for finding in &imported.findings {
        assert!(finding.line >= 1 && finding.column >= 1);
        assert!(!finding.to_string().contains('\u{1b}'), "{finding:?}");
    }
    let rendered = imported.to_toml(Keys::Written, None);
    assert!(imported.to_toml(Keys::Hidden, None).config == rendered.config);
    let config = [SourceFile::new("underpass.toml", rendered.config.clone())];
    let secrets = [SourceFile::new("secrets.toml", rendered.secrets.as_str())];
    if let Err(found) = formats::underpass_toml::parse(&config, &secrets) {
        // A key may be missing, values may not fit together; but everything written is a value of its key.
        for one in found.iter().filter(|one| one.severity == formats::Severity::Error) {
            assert!(one.code != formats::diagnostic::code::INVALID, "{one}\n{}", rendered.config);
        }
    }
}

/// A machine that has the first documentation address.
pub fn somewhere() -> formats::import::Here {
    let address: IpAddr = Ipv4Addr::new(192, 0, 2, 1).into();
    formats::import::Here { local: None, addresses: Some(vec![address]), default_source: Some(address) }
}
