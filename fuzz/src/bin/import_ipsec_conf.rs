//! An `ipsec.conf`, its secrets and a file it may include (separated by zero bytes), by the rules of each dialect and by
//! those that are found: see [`import_and_check`].
#![no_main]

use formats::import::Format;
use libfuzzer_sys::fuzz_target;
use underpass_fuzz::{import_and_check, somewhere};

fuzz_target!(|text: &str| {
    let mut parts = text.split('\0');
    let mut next = || parts.next().unwrap_or_default();
    let files = [("a.conf", next()), ("a.secrets", next()), ("b.conf", next())];
    for format in [None, Some(Format::Openswan), Some(Format::Libreswan), Some(Format::Strongswan)] {
        import_and_check(&files, format, &somewhere());
    }
});
