//! `set` lines as a tree of words.

use super::super::finding::Findings;
use super::super::input::Text;
use super::super::place::{Line, Sourced, Spot};
use std::collections::BTreeMap;

/// Lines read at most.
const MOST_LINES: usize = 50_000;
/// Words of a line at most: the format nests about ten.
const MOST_WORDS: usize = 24;

/// A word, and what follows it in some line.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Where the word stands first.
    pub(super) at: Option<Spot>,
    pub(super) next: BTreeMap<String, Node>,
    /// Somebody asked for it or for something behind it.
    seen: std::cell::Cell<bool>,
}

impl Node {
    /// The node behind words.
    pub(super) fn get(&self, words: &[&str]) -> Option<&Node> {
        let mut node = self;
        for word in words {
            node.seen.set(true);
            node = node.next.get(*word)?;
        }
        node.seen.set(true);
        Some(node)
    }

    /// The value behind words: the last one set counts.
    pub(super) fn value(&self, words: &[&str]) -> Option<Sourced<&str>> {
        self.values(words).into_iter().max_by_key(|value| value.at.line)
    }

    /// All values behind words.
    pub(super) fn values(&self, words: &[&str]) -> Vec<Sourced<&str>> {
        let Some(node) = self.get(words) else { return Vec::new() };
        node.next
            .iter()
            .filter_map(|(word, node)| {
                node.see_all();
                Some(Sourced::new(word.as_str(), node.at.as_ref()?))
            })
            .collect()
    }

    /// The named nodes behind words.
    pub(super) fn named(&self, words: &[&str]) -> Vec<(Sourced<String>, &Node)> {
        let Some(node) = self.get(words) else { return Vec::new() };
        node.next
            .iter()
            .filter_map(|(word, node)| Some((Sourced::new(word.clone(), node.at.as_ref()?), node)))
            .collect()
    }

    /// Takes everything from here on as understood.
    pub(super) fn see_all(&self) {
        self.seen.set(true);
        self.next.values().for_each(Node::see_all);
    }

    /// The outermost words that nobody asked for, as they were written.
    pub(super) fn unseen(&self, path: &str, found: &mut Vec<(String, Spot)>) {
        for (word, node) in &self.next {
            let path = if path.is_empty() { word.clone() } else { format!("{path} {word}") };
            match (node.seen.get(), &node.at) {
                (false, Some(at)) => found.push((path, at.clone())),
                _ => node.unseen(&path, found),
            }
        }
    }
}

/// Reads the lines. What is no `set` line is told.
pub(super) fn read(text: &Text, findings: &mut Findings) -> Node {
    let mut root = Node::default();
    for line in Line::all(&text.file, &text.text).take(MOST_LINES) {
        let body = line.text.trim();
        if body.is_empty() || body.starts_with(['#', '!']) {
            continue;
        }
        let Some(start) = set_at(line.text) else {
            let first = body.split_whitespace().next().unwrap_or_default();
            let command =
                ["commit", "save", "exit", "configure", "edit", "delete", "compare", "[edit]"].contains(&first);
            let message =
                if command { "a command that sets nothing: left out" } else { "a line without `set`: not used" };
            findings.note(&line.spot(), message, "");
            continue;
        };
        match words(&line, start) {
            Some(words) => insert(&mut root, words),
            None => findings.error(
                &line.spot(),
                "a quote opens here and does not close on this line",
                "close it; the file may be cut off",
            ),
        }
    }
    root
}

/// Where the words behind `set` begin. A prompt may stand before it.
fn set_at(line: &str) -> Option<usize> {
    let lead = line.len() - line.trim_start().len();
    let body = line.get(lead..)?;
    if body.starts_with("set ") {
        return Some(lead + 4);
    }
    let prompt = body.find(['#', '$'])?;
    let user = body.get(..prompt)?;
    let after = body.get(prompt + 1..)?.trim_start();
    let start = line.len() - after.len() + 4;
    (user.contains('@') && !user.contains(' ') && after.starts_with("set ")).then_some(start)
}

/// The words of a line, without their quotes. `None` where a quote does not close.
fn words(line: &Line, start: usize) -> Option<Vec<Sourced<String>>> {
    let text = line.text;
    let mut found = Vec::new();
    let mut at = start;
    while let Some(rest) = text.get(at..) {
        at += rest.len() - rest.trim_start().len();
        let rest = rest.trim_start();
        let Some(first) = rest.chars().next() else { break };
        if found.len() >= MOST_WORDS {
            break;
        }
        let spot = line.at(at);
        if first == '\'' || first == '"' {
            let inner = rest.get(1..)?;
            let end = inner.find(first)?;
            found.push(Sourced::new(inner.get(..end)?.to_owned(), &spot));
            at += end + 2;
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            found.push(Sourced::new(rest.get(..end)?.to_owned(), &spot));
            at += end;
        }
    }
    Some(found)
}

fn insert(root: &mut Node, words: Vec<Sourced<String>>) {
    let mut node = root;
    for word in words {
        node = node.next.entry(word.value).or_default();
        node.at.get_or_insert(word.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::Zeroizing;

    #[test]
    fn words_know_their_places_and_prompts_and_quotes_are_no_part_of_them() {
        let text = "vyos@gw# set vpn ipsec a 'b c'\n  set vpn ipsec a2 \"d\"\ncommit\nset x 'open\n";
        let text = Text { file: "v".into(), text: Zeroizing::new(text.to_owned()) };
        let mut findings = Findings::default();
        let root = read(&text, &mut findings);
        let value = root.value(&["vpn", "ipsec", "a"]).unwrap_or_else(|| panic!("no value"));
        assert_eq!((value.value, value.at.to_string().as_str()), ("b c", "v:1:26"));
        let mut unseen = Vec::new();
        root.unseen("", &mut unseen);
        assert_eq!(unseen.iter().map(|(path, at)| format!("{path} {at}")).collect::<Vec<_>>(), ["vpn ipsec a2 v:2:17"]);
        assert_eq!((findings.errors(), findings.into_list().len()), (1, 2));
    }
}
