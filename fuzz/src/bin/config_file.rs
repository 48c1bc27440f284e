//! A configuration file and its secrets (separated by a zero byte): whatever stands in them, there is a result or at least
//! one error, every finding has a place and can be shown, and no pre-shared key is ever quoted.
#![no_main]

use formats::{SourceFile, underpass_toml};
use libfuzzer_sys::fuzz_target;

/// Stands for every secret of the seeds, so that a leak can be seen.
const KEY: &str = "correct-horse-battery";

fuzz_target!(|text: &str| {
    let (config, secrets) = text.split_once('\0').unwrap_or((text, ""));
    let files = [SourceFile::new("underpass.toml", config)];
    let secrets = [SourceFile::new("secrets.toml", secrets)];
    let findings = match underpass_toml::parse(&files, &secrets) {
        Ok(loaded) => {
            assert!(config.contains(KEY) || !format!("{loaded:?}").contains(KEY));
            loaded.warnings
        }
        Err(findings) => {
            assert!(!findings.is_empty(), "an error without a word");
            findings
        }
    };
    let _ = underpass_toml::secrets_path(&files);
    for finding in findings {
        assert!(finding.line >= 1 && finding.column >= 1 && finding.length >= 1);
        let shown = finding.to_string();
        assert!(shown.contains(finding.code) && !shown.contains('\u{1b}'));
        assert!(config.contains(KEY) || !shown.contains(KEY), "a secret is quoted: {shown}");
    }
});
