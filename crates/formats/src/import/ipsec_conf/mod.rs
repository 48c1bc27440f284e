//! `ipsec.conf` and `ipsec.secrets`, as Openswan, Libreswan and strongSwan understand them.
//!
//! Lines become sections ([`conf`]), the dialect is found by evidence ([`dialect`]), `also=` and `%default` are resolved by its
//! rules ([`resolve`]), one end is found to be ours ([`side`]), and each `conn` becomes a connection ([`conn`]). `left` and
//! `right` are words of the format: behind [`side`] there are only `local` and `remote`.

mod algorithms;
mod conf;
mod conn;
mod dialect;
mod lifetimes;
mod line;
mod networks;
mod resolve;
mod secrets;
mod settings;
mod side;
mod words;

use super::finding::Findings;
use super::input::Text;
use super::model::{Format, Here, Imported};
use super::sources::Opened;
use super::values::Phase;
use conf::Conf;

pub(crate) use conf::looks_like;
pub(crate) use secrets::{Secrets, looks_like as looks_like_secrets};

/// The rules by which a file is read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Dialect {
    Openswan,
    Libreswan,
    Strongswan,
}

impl Dialect {
    pub(crate) const ALL: [Dialect; 3] = [Dialect::Openswan, Dialect::Libreswan, Dialect::Strongswan];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Dialect::Openswan => "Openswan",
            Dialect::Libreswan => "Libreswan",
            Dialect::Strongswan => "strongSwan",
        }
    }

    fn format(self) -> Format {
        match self {
            Dialect::Openswan => Format::Openswan,
            Dialect::Libreswan => Format::Libreswan,
            Dialect::Strongswan => Format::Strongswan,
        }
    }
}

/// Reads all files of this family as one configuration. `forced` is the dialect the operator named.
pub(crate) fn read(
    texts: &[(Text, Format)],
    forced: Option<Format>,
    opened: &mut Opened,
    here: &Here,
    imported: &mut Imported,
    findings: &mut Findings,
) {
    let mut conf = Conf::default();
    let mut secrets = Secrets::default();
    for (text, format) in texts {
        match format {
            Format::Secrets => secrets.read(text, opened, findings),
            _ => {
                conf.read(text, &mut secrets, opened, findings);
                secrets.read_sibling(text, opened, findings);
            }
        }
    }
    if conf.is_empty() {
        return;
    }
    let forced = Dialect::ALL.into_iter().find(|dialect| forced == Some(dialect.format()));
    let dialect = dialect::decide(&conf, forced, findings);
    for (_, format) in
        opened.paths.iter_mut().filter(|(_, format)| Dialect::ALL.iter().any(|one| one.format() == *format))
    {
        *format = dialect.format();
    }
    let context = conn::Context { dialect, here, secrets: &secrets };
    for resolved in resolve::all(&conf, dialect, findings) {
        conn::read(&resolved, &context, imported, findings);
    }
    secrets.tell_unused(findings);
}

/// The proposals of a text, in our words; used for `swanctl.conf` too.
pub(crate) fn proposals_of(
    text: &super::place::Sourced<&str>,
    phase: Phase,
    findings: &mut Findings,
) -> Vec<super::place::Sourced<String>> {
    algorithms::list(text, phase, Dialect::Strongswan, findings)
}

/// Seconds of a time with a unit; used for `swanctl.conf` too.
pub(crate) fn seconds_of(
    text: &super::place::Sourced<&str>,
    findings: &mut Findings,
) -> Option<super::place::Sourced<u64>> {
    lifetimes::seconds(text, Dialect::Strongswan, findings)
}
