//! Patterns of paths, as `include` lines have them: `*`, `?` and `[…]` within one part of a path.

/// Characters of a pattern or path at most; longer ones fit nothing.
const LONGEST: usize = 4096;

/// Whether `text` holds anything that is not itself.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Whether `path` fits `pattern`. A name that begins with a dot fits only a pattern that does.
pub fn fits(pattern: &str, path: &str) -> bool {
    if pattern.len() > LONGEST || path.len() > LONGEST || pattern.matches('/').count() != path.matches('/').count() {
        return false;
    }
    pattern.split('/').zip(path.split('/')).all(|(pattern, part)| part_fits(pattern, part))
}

fn part_fits(pattern: &str, part: &str) -> bool {
    if part.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, part): (Vec<char>, Vec<char>) = (pattern.chars().collect(), part.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last star does not fit: the star takes one more.
    let mut retry: Option<(usize, usize)> = None;
    while let Some(&c) = part.get(t) {
        let next = match pattern.get(p) {
            Some('*') => {
                retry = Some((p, t));
                p += 1;
                continue;
            }
            Some('?') => Some(p + 1),
            Some('[') => class(pattern.get(p..).unwrap_or_default(), c).map(|length| p + length),
            Some(&other) => (other == c).then_some(p + 1),
            None => None,
        };
        match (next, retry) {
            (Some(next), _) => (p, t) = (next, t + 1),
            (None, Some((star, taken))) => {
                retry = Some((star, taken + 1));
                (p, t) = (star + 1, taken + 1);
            }
            (None, None) => return false,
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|c| *c == '*')
}

/// The length of a `[…]` that `c` is in. An open bracket that never closes is a bracket.
fn class(pattern: &[char], c: char) -> Option<usize> {
    let Some(end) = pattern.iter().skip(2).position(|c| *c == ']').map(|at| at + 2) else {
        return (c == '[').then_some(1);
    };
    let inner = pattern.get(1..end).unwrap_or_default();
    let (negated, inner) = match inner {
        ['!' | '^', rest @ ..] => (true, rest),
        all => (false, all),
    };
    let mut rest = inner;
    let mut inside = false;
    loop {
        rest = match rest {
            [low, '-', high, more @ ..] => {
                inside |= (*low..=*high).contains(&c);
                more
            }
            [one, more @ ..] => {
                inside |= *one == c;
                more
            }
            [] => break,
        };
    }
    (inside != negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_the_shell_has_it() {
        let table = [
            ("/vpns/*.ipsec.conf", "/vpns/a.ipsec.conf", true),
            ("/vpns/*.ipsec.conf", "/vpns/deep/a.ipsec.conf", false),
            ("/vpns/*.ipsec.conf", "/vpns/.a.ipsec.conf", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxaxxbxx", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]x", "]x", true),
            ("[x", "[x", true),
            ("plain", "plain", true),
            ("", "", true),
            ("**", "anything", true),
        ];
        for (pattern, path, expected) in table {
            assert_eq!(fits(pattern, path), expected, "{pattern} {path}");
        }
        assert!(!fits(&format!("{}b", "*a".repeat(2000)), &"a".repeat(4000)));
    }
}
