//! The rules of the firewall that drop, reject or translate, as `nft list ruleset` prints them.

use doctor::evidence::Filter;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};

/// Bytes of the rule set that are looked at.
const MOST_BYTES: usize = 4 << 20;
/// Rules kept.
const MOST_RULES: usize = 512;

/// Reads the rules in force in this network namespace.
pub(super) fn read() -> Result<Vec<Filter>, String> {
    let output = Command::new("nft")
        .args(["list", "ruleset"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run nft: {error}"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(words.lines().next().unwrap_or("nft fails").to_owned());
    }
    let bytes = output.stdout.get(..output.stdout.len().min(MOST_BYTES)).unwrap_or_default();
    Ok(parse(&String::from_utf8_lossy(bytes)))
}

/// A rule, and the chain it is in.
struct Rule {
    table: String,
    chain: String,
    text: String,
}

/// The rules of interest in a rule set as nft prints it; a chain that others jump to has their hook.
fn parse(ruleset: &str) -> Vec<Filter> {
    let (mut table, mut chain) = (String::new(), String::new());
    let mut hooks: BTreeMap<(String, String), String> = BTreeMap::new();
    let mut rules: Vec<Rule> = Vec::new();
    for line in ruleset.lines().map(str::trim) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["table", family, name, "{"] => table = format!("{family} {name}"),
            ["chain", name, "{"] => chain = (*name).to_owned(),
            ["}"] => chain.clear(),
            ["type", _, "hook", hook, ..] => {
                hooks.insert((table.clone(), chain.clone()), (*hook).to_owned());
            }
            [] => {}
            _ if chain.is_empty() || rules.len() >= MOST_RULES => {}
            _ => rules.push(Rule { table: table.clone(), chain: chain.clone(), text: line.to_owned() }),
        }
    }
    // Jumps are followed a few steps deep; deeper ones are nobody's.
    for _ in 0..4 {
        for rule in &rules {
            let Some(hook) = hooks.get(&(rule.table.clone(), rule.chain.clone())).cloned() else { continue };
            if let Some(target) = after(&rule.text, "jump").or_else(|| after(&rule.text, "goto")) {
                hooks.entry((rule.table.clone(), target.to_owned())).or_insert(hook);
            }
        }
    }
    rules.into_iter().filter_map(|rule| filter(rule, &hooks)).collect()
}

fn filter(rule: Rule, hooks: &BTreeMap<(String, String), String>) -> Option<Filter> {
    let is = |word: &&&str| rule.text.split_whitespace().any(|part| part == **word);
    let action = ["drop", "reject", "masquerade", "snat"].iter().find(is)?;
    let hook = hooks.get(&(rule.table.clone(), rule.chain.clone())).cloned().unwrap_or_default();
    let packets = rule.text.split_once("counter packets ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
    let place = format!("{}, {}", rule.table, rule.chain);
    Some(Filter { place, hook, rule: rule.text.clone(), action: (*action).to_owned(), packets })
}

/// The word after another.
fn after<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let mut words = text.split_whitespace();
    words.find(|found| *found == word)?;
    words.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_drop_or_translate_are_found_with_their_hook_and_counter() {
        let ruleset = "\
table inet filter {
\tchain forward {
\t\ttype filter hook forward priority filter; policy accept;
\t\tiifname \"lan\" oifname \"underpass0\" counter packets 7 bytes 588 drop
\t\tjump more
\t\tct state established accept
\t}
\tchain more {
\t\tip daddr 10.9.0.0/16 reject with icmp admin-prohibited
\t}
}
table ip nat {
\tchain post {
\t\ttype nat hook postrouting priority srcnat; policy accept;
\t\toifname \"wan\" counter packets 12 bytes 900 masquerade
\t}
}
garbage }{ drop
";
        let found = parse(ruleset);
        let short: Vec<_> =
            found.iter().map(|f| (f.place.as_str(), f.hook.as_str(), f.action.as_str(), f.packets)).collect();
        assert_eq!(
            short,
            [
                ("inet filter, forward", "forward", "drop", Some(7)),
                ("inet filter, more", "forward", "reject", None),
                ("ip nat, post", "postrouting", "masquerade", Some(12)),
            ]
        );
        assert!(found[0].rule.starts_with("iifname \"lan\""));
    }
}
