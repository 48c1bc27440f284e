//! A `swanctl.conf` and a file it may include (separated by a zero byte): see [`import_and_check`].
#![no_main]

use formats::import::Format;
use libfuzzer_sys::fuzz_target;
use underpass_fuzz::{import_and_check, somewhere};

fuzz_target!(|text: &str| {
    let (main, other) = text.split_once('\0').unwrap_or((text, ""));
    import_and_check(&[("swanctl.conf", main), ("b.conf", other)], Some(Format::Swanctl), &somewhere());
});
