//! VyOS `set` commands: see [`import_and_check`].
#![no_main]

use formats::import::Format;
use libfuzzer_sys::fuzz_target;
use underpass_fuzz::{import_and_check, somewhere};

fuzz_target!(|text: &str| {
    import_and_check(&[("vyos.txt", text)], Some(Format::Vyos), &somewhere());
});
