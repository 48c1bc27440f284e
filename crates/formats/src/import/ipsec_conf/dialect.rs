//! Which of the three wrote a file: by words that only some of them have, by forms of values, and by what comments say.

use super::super::finding::Findings;
use super::super::place::{Sourced, Spot};
use super::conf::{Conf, Kind};
use super::{Dialect, words};

/// Something that speaks for one dialect or two.
struct Evidence {
    dialects: Vec<Dialect>,
    weight: u32,
    word: String,
    at: Spot,
}

use Dialect::{Libreswan, Openswan, Strongswan};

/// Decides, and says by what. The operator's word counts above all.
pub(super) fn decide(conf: &Conf, forced: Option<Dialect>, findings: &mut Findings) -> Dialect {
    let first = conf.sections.first().map(|section| section.name.at.clone());
    let Some(start) = first else { return forced.unwrap_or(Strongswan) };
    let start = Spot::start(&start.file);
    if let Some(forced) = forced {
        findings.note(&start, format!("read by the rules of {}, as `--format` says", forced.name()), "");
        return forced;
    }
    let evidence = gather(conf);
    let score = |dialect: Dialect| {
        let speaking = evidence.iter().filter(|one| one.dialects.contains(&dialect));
        speaking.map(|one| one.weight).sum::<u32>()
    };
    // Where nothing tells them apart: the one most configurations are written for today.
    let best =
        [Strongswan, Libreswan, Openswan].into_iter().rev().max_by_key(|dialect| score(*dialect)).unwrap_or(Strongswan);
    let mut for_it: Vec<&Evidence> = evidence.iter().filter(|one| one.dialects.contains(&best)).collect();
    for_it.sort_by_key(|one| (one.dialects.len(), std::cmp::Reverse(one.weight)));
    let name = best.name();
    let others = Dialect::ALL.into_iter().filter(|other| *other != best).map(score).max().unwrap_or(0);
    let mut shown: Vec<String> = Vec::new();
    for one in for_it {
        let text = format!("{} ({}:{})", one.word, one.at.file, one.at.line);
        if shown.len() < 3 && !shown.iter().any(|known| known.starts_with(&one.word)) {
            shown.push(text);
        }
    }
    if shown.is_empty() || others == score(best) {
        let message = format!("nothing tells the dialect for certain: read by the rules of {name}");
        findings.warning(&start, message, "say it with `--format openswan`, `libreswan` or `strongswan`");
    } else {
        findings.note(&start, format!("read by the rules of {name}, because of {}", shown.join(", ")), "");
    }
    best
}

fn gather(conf: &Conf) -> Vec<Evidence> {
    let mut found = Vec::new();
    for comment in &conf.comments {
        for (word, dialect) in [("strongswan", Strongswan), ("libreswan", Libreswan), ("openswan", Openswan)] {
            if comment.value.contains(word) {
                found.push(Evidence {
                    dialects: vec![dialect],
                    weight: 3,
                    word: "a comment".to_owned(),
                    at: comment.at.clone(),
                });
            }
        }
    }
    for section in &conf.sections {
        let folded = section.name.at.file.to_ascii_lowercase();
        if let Some(dialect) = Dialect::ALL.into_iter().find(|one| folded.contains(&one.name().to_ascii_lowercase())) {
            let at = Spot::start(&section.name.at.file);
            found.push(Evidence { dialects: vec![dialect], weight: 1, word: "the file's name".to_owned(), at });
        }
        for entry in &section.entries {
            let dialects = match section.kind {
                Kind::Setup => words::setup(&entry.key.value),
                Kind::Conn | Kind::Ca => words::conn(&entry.key.value).map(|(_, _, dialects)| dialects),
            };
            if let Some(dialects) = dialects {
                let having: Vec<Dialect> = Dialect::ALL.into_iter().filter(|one| words::has(dialects, *one)).collect();
                push(&mut found, having, 2, format!("`{}`", entry.key.value), &entry.key);
            }
            if section.kind == Kind::Conn {
                form(&mut found, &entry.key, &entry.value.value);
            }
        }
    }
    found
}

fn push(found: &mut Vec<Evidence>, dialects: Vec<Dialect>, weight: u32, word: String, at: &Sourced<String>) {
    if dialects.len() < Dialect::ALL.len() {
        found.push(Evidence { dialects, weight, word, at: at.at.clone() });
    }
}

/// Values that only some would take.
fn form(found: &mut Vec<Evidence>, key: &Sourced<String>, value: &str) {
    let said = format!("`{}={value}`", key.value);
    let mut speak = |dialects: &[Dialect], weight| push(found, dialects.to_vec(), weight, said.clone(), key);
    match (key.value.as_str(), value) {
        ("dpdaction", "restart_by_peer") => speak(&[Openswan], 3),
        ("keyexchange", "ikev1" | "ikev2") => speak(&[Strongswan, Libreswan], 1),
        ("auto", "ondemand" | "keep") => speak(&[Libreswan], 3),
        ("auto", "up") => speak(&[Openswan, Libreswan], 1),
        ("ikev2", "yes" | "no") => speak(&[Libreswan], 1),
        ("authby", "psk" | "pubkey" | "xauthpsk" | "xauthrsasig") => speak(&[Strongswan], 2),
        ("leftsubnet" | "rightsubnet", value) if value.contains('[') || value.contains("%dynamic") => {
            speak(&[Strongswan], 2)
        }
        ("ike" | "esp" | "phase2alg", value) if value.contains(';') => speak(&[Openswan, Libreswan], 2),
        ("ike" | "esp", value) if value.ends_with('!') => speak(&[Strongswan], 2),
        ("ike" | "esp" | "phase2alg", value) if value.contains("sha2_") || value.contains("aes_") => {
            speak(&[Openswan, Libreswan], 2);
        }
        _ => {}
    }
}
