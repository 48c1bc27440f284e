//! Configurations of others, read into one model: what the managed service hands out, `ipsec.conf` in three dialects,
//! `swanctl.conf`, VyOS commands.
//!
//! Nothing is guessed silently: every value of [`model`] keeps the place it was read at, and everything that was read
//! leniently, changed, or not understood is a [`Finding`]. Refused are templates, files that contradict themselves, and what
//! Underpass does not have. Reads no file itself: [`Sources`] does, for what a file includes.

mod aws;
mod checks;
mod detect;
mod finding;
pub mod glob;
mod input;
mod ipsec_conf;
mod json;
pub mod model;
mod pairs;
mod place;
mod psk;
mod sources;
mod swanctl;
mod to_toml;
mod values;
mod vyos;
mod xml;

pub use finding::{Finding, Level};
pub use input::{InMemory, Input, LARGEST_FILE, Sources};
pub use model::{Format, Here, Imported, ImportedConnection};
pub use place::{Sourced, Spot};
pub use to_toml::{Keys, Rendered};

use finding::Findings;
use input::{LARGEST_TOTAL, Text, decode};
use model::distinct_names;
use sources::Opened;

/// Reads files as one configuration. `format` overrides what the files look like.
pub fn import(inputs: &[Input], sources: &mut dyn Sources, format: Option<Format>, here: &Here) -> Imported {
    let mut findings = Findings::default();
    let mut imported = Imported {
        files: Vec::new(),
        connections: Vec::new(),
        policies: Vec::new(),
        refused: Vec::new(),
        findings: Vec::new(),
    };
    let mut opened = Opened::new(sources);
    let mut ipsec = Vec::new();
    let mut total = 0_usize;
    for input in inputs {
        total = total.saturating_add(input.bytes.len());
        if total > LARGEST_TOTAL {
            let at = Spot::start(&input.path.as_str().into());
            findings.error(
                &at,
                format!("the files have more than {LARGEST_TOTAL} bytes together"),
                "import them one by one",
            );
            break;
        }
        let Some(text) = decode(&input.path, &input.bytes, &mut findings) else { continue };
        let Some(format) = detect::detect(&text, format, &mut findings) else { continue };
        opened.paths.push((text.file.to_string(), format));
        match format {
            Format::Openswan | Format::Libreswan | Format::Strongswan | Format::Secrets => ipsec.push((text, format)),
            Format::Swanctl => swanctl::read(&text, &mut opened, here, &mut imported, &mut findings),
            Format::Vyos => vyos::read(&text, here, &mut imported, &mut findings),
            Format::AwsText | Format::AwsXml | Format::AwsJson => {
                aws(&text, format, here, &mut imported, &mut findings)
            }
        }
    }
    ipsec_conf::read(&ipsec, format, &mut opened, here, &mut imported, &mut findings);
    imported.files = opened.paths;
    let connections = std::mem::take(&mut imported.connections);
    imported.connections = pairs::join(connections, &mut findings);
    let refused = checks::check(&mut imported.connections, &mut findings);
    imported.refused.extend(refused);
    distinct_names(&mut imported.connections, &mut findings);
    imported.findings = findings.into_list();
    imported
}

fn aws(text: &Text, format: Format, here: &Here, imported: &mut Imported, findings: &mut Findings) {
    let raw = match format {
        Format::AwsJson => aws::read_json(text, findings),
        Format::AwsXml => {
            let place = |offset: usize| Spot::of_offset(&text.file, &text.text, offset);
            aws::read_xml(&text.text, &place, findings).into_iter().collect()
        }
        _ => vec![aws::read_text(text, findings)],
    };
    for raw in raw {
        match aws::build(&raw, here, findings) {
            Ok(connection) => imported.connections.push(connection),
            Err(name) => imported.refused.push(name),
        }
    }
}
