//! What the managed service hands out, in any of its three forms: see [`import_and_check`].
#![no_main]

use formats::import::Format;
use libfuzzer_sys::fuzz_target;
use underpass_fuzz::{import_and_check, somewhere};

fuzz_target!(|text: &str| {
    let format = match text.trim_start().chars().next() {
        Some('<') => Format::AwsXml,
        Some('{' | '[') => Format::AwsJson,
        _ => Format::AwsText,
    };
    import_and_check(&[("vpn", text)], Some(format), &somewhere());
});
