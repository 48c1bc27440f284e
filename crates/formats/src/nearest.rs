//! "Did you mean …": the known word nearest to a mistyped one.

/// Words longer than this are not compared: nobody mistypes them into a known one.
const LONGEST: usize = 64;

/// The candidate nearest to `word`, if it is near enough to be what was meant: at most a third of the word mistyped (an
/// exchange of neighbours counts once), or equal but for case, `-` and `_`. The first wins a tie.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let folded = fold(word);
    if folded.is_empty() || folded.len() > LONGEST {
        return None;
    }
    let limit = (folded.len() / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let other = fold(candidate);
        if other.is_empty() || other.len() > LONGEST || other.len().abs_diff(folded.len()) > limit {
            continue;
        }
        let distance = distance(&folded, &other);
        if distance <= limit && distance < other.len() && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

fn fold(word: &str) -> Vec<char> {
    word.chars().take(LONGEST + 1).map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
}

/// Optimal string alignment distance: insertions, deletions, substitutions and exchanges of neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &to) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(from != to);
            let mut least = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && from == b[j - 1] && a[i - 1] == to {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_word_that_was_meant_and_nothing_far_off() {
        let known = ["remote_address", "local_address", "psk", "start", "status", "down", "up"];
        let table = [
            ("remote_adress", Some("remote_address")),
            ("remote-address", Some("remote_address")),
            ("Remote_Address", Some("remote_address")),
            ("pks", Some("psk")),
            ("sttaus", Some("status")),
            ("dwon", Some("down")),
            ("frobnicate", None),
            ("x", None),
            ("", None),
        ];
        for (word, expected) in table {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
        assert_eq!(nearest(&"a".repeat(100_000), known), None);
    }
}
