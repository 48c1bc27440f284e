//! The rules over the text of one file. CONTRIBUTING.md says why each exists.

use super::Finding;
use super::allow::Size;
use super::source::{Source, word_positions};

/// Lines of a file before its tests.
const FILE_LINES: usize = 500;
/// Lines of a function, signature included.
const FUNCTION_LINES: usize = 70;
/// Documents that must stay short: (path, lines).
const SHORT_DOCUMENTS: [(&str, usize); 2] = [("ARCHITECTURE.md", 150), ("CONTRIBUTING.md", 120)];

/// Folders below the purity line: no clock, socket, file, thread, or unordered map.
const PURE: [&str; 9] = [
    "crates/crypto/",
    "crates/packet/",
    "crates/ipsec/",
    "crates/ike/",
    "crates/engine/",
    "crates/formats/",
    "crates/doctor/",
    "crates/sim/",
    "scenarios/",
];
/// The programs that run simulations print times and use both cores; the simulations themselves stay pure.
const PURE_EXCEPT: [&str; 2] = ["scenarios/src/main.rs", "scenarios/src/bin/"];
/// What pure code must not name, and what to do instead.
const IMPURE: [(&str, &str); 9] = [
    ("Instant::now", "time is an argument (`now`)"),
    ("SystemTime::now", "time is an argument (`now`)"),
    ("UdpSocket", "sockets live in `host`"),
    ("TcpStream", "sockets live in `host`"),
    ("TcpListener", "sockets live in `host`"),
    ("std::fs", "files are read in `host` and arrive as text"),
    ("std::thread", "threads live in `host`"),
    ("HashMap", "its iteration order leaks into behaviour: BTreeMap"),
    ("HashSet", "its iteration order leaks into behaviour: BTreeSet"),
];

/// Whether a path is test code as a whole: it may use clocks, panics and unwraps.
fn is_test_file(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "tests" | "benches" | "fuzz"))
        || path.ends_with("/tests.rs")
        || path.ends_with("_tests.rs")
}

/// Every module says first what it decides.
pub fn module_doc(path: &str, text: &str) -> Option<Finding> {
    let missing = !text.starts_with("//!");
    missing.then(|| Finding::new(path, 1, "starts with no `//!`: say what this file decides"))
}

/// Purity of the crates below the line (clippy sees most; this sees what an `allow` hides).
pub fn purity(path: &str, source: &Source) -> Vec<Finding> {
    let pure = PURE.iter().any(|folder| path.starts_with(folder))
        && !PURE_EXCEPT.iter().any(|folder| path.starts_with(folder))
        && !is_test_file(path);
    if !pure {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (word, instead) in IMPURE {
        for at in word_positions(&source.code, word) {
            if !source.is_test(at) {
                let what = format!("`{word}` in a pure crate: {instead}");
                findings.push(Finding::new(path, source.line_of(at), what));
            }
        }
    }
    findings
}

/// No panic on purpose in what ships.
pub fn panics(path: &str, source: &Source) -> Vec<Finding> {
    if !path.starts_with("crates/") || is_test_file(path) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for word in ["unwrap()", "panic!", "todo!", "unimplemented!", "dbg!"] {
        for (at, _) in source.code.match_indices(word) {
            let joined = source.code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            if !joined && !source.is_test(at) {
                let what = format!("`{word}` outside tests: return an error");
                findings.push(Finding::new(path, source.line_of(at), what));
            }
        }
    }
    findings
}

/// Sizes of the file and its functions, for the allow-list to judge. Tests may be as long as they read well.
pub fn sizes(path: &str, source: &Source) -> Vec<Size> {
    if is_test_file(path) {
        return Vec::new();
    }
    let mut sizes = vec![Size {
        key: format!("file {path}"),
        path: path.to_owned(),
        line: 0,
        lines: source.lines_before_tests(),
        limit: FILE_LINES,
    }];
    sizes.extend(source.functions().into_iter().map(|function| Size {
        key: format!("fn {path}::{}", function.name),
        path: path.to_owned(),
        line: function.line,
        lines: function.lines,
        limit: FUNCTION_LINES,
    }));
    sizes
}

/// Rules for every text file: no bare to-do, no path of somebody's machine, short documents stay short.
pub fn any_text(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if path.ends_with(".lock") || path.starts_with("fuzz/corpus/") {
        return findings;
    }
    for (index, line) in text.lines().enumerate() {
        for mark in [concat!("TO", "DO"), concat!("FIX", "ME")] {
            let bare = word_positions(line, mark).any(|at| !line[at + mark.len()..].starts_with('('));
            if bare {
                let what = format!("bare {mark}: do it, or name the issue in parentheses");
                findings.push(Finding::new(path, index + 1, what));
            }
        }
        if names_a_machine(line) {
            findings.push(Finding::new(path, index + 1, "a path of one machine: take it out"));
        }
    }
    for (document, limit) in SHORT_DOCUMENTS {
        let lines = text.lines().count();
        if path == document && lines > limit {
            let what = format!("{lines} lines, at most {limit}: nobody reads a long one");
            findings.push(Finding::new(path, 0, what));
        }
    }
    findings
}

/// A top-level folder that only somebody's own machine has, at the start of a word.
fn names_a_machine(line: &str) -> bool {
    ["work", "farm", "root"].iter().any(|folder| {
        let needle = format!("/{folder}/");
        line.match_indices(&needle).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            matches!(before, None | Some(' ' | '"' | '(' | '=' | '`' | '\''))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purity_of(path: &str, text: &str) -> usize {
        purity(path, &Source::new(text)).len()
    }

    #[test]
    fn pure_crates_name_no_clock_socket_file_thread_or_unordered_map() {
        let impure = [
            "let now = std::time::Instant::now();",
            "use std::net::UdpSocket;",
            "std::fs::read(path)",
            "use std::thread;",
            "let m: HashMap<u8, u8> = x();",
        ];
        for line in impure {
            assert_eq!(purity_of("crates/ike/src/a.rs", line), 1, "{line}");
            assert_eq!(purity_of("crates/host/src/a.rs", line), 0, "{line}");
            assert_eq!(purity_of("crates/ike/tests/a.rs", line), 0, "{line}");
            let in_test = format!("#[cfg(test)]\nmod tests {{ fn a() {{ {line} }} }}");
            assert_eq!(purity_of("crates/ike/src/a.rs", &in_test), 0, "{line}");
        }
        let pure = "use std::net::IpAddr; // no HashMap here\nfn a(now: Instant) { MyHashMapLike; }";
        assert_eq!(purity_of("crates/ike/src/a.rs", pure), 0);
        assert_eq!(purity_of("scenarios/src/bin/run.rs", "Instant::now()"), 0);
    }

    #[test]
    fn panics_are_found_in_product_code_only() {
        let text = "fn a() { x.unwrap(); y.unwrap_or(1); panic!(\"no\"); assert!(true); }";
        assert_eq!(panics("crates/ike/src/a.rs", &Source::new(text)).len(), 2);
        assert_eq!(panics("interop/src/a.rs", &Source::new(text)).len(), 0);
        assert_eq!(panics("crates/ike/src/x/tests.rs", &Source::new(text)).len(), 0);
    }

    #[test]
    fn bare_marks_and_machine_paths_are_found_anywhere() {
        let mark = concat!("TO", "DO");
        let cases = [
            (format!("// {mark}: later"), 1),
            (format!("// {mark}(#12): later"), 0),
            (format!("{mark}NE"), 0),
            (format!("see {}", "/wo".to_owned() + "rk/main"), 1),
            (format!("path = \"{}\"", "/ro".to_owned() + "ot/x"), 1),
            ("https://example.org/work/x".to_owned(), 0),
            ("target/root/x".to_owned(), 0),
        ];
        for (line, expected) in cases {
            assert_eq!(any_text("a.md", &line).len(), expected, "{line}");
            assert_eq!(any_text("Cargo.lock", &line).len(), 0, "{line}");
        }
    }

    #[test]
    fn short_documents_stay_short() {
        let long = "line\n".repeat(151);
        assert_eq!(any_text("ARCHITECTURE.md", &long).len(), 1);
        assert_eq!(any_text("README.md", &long).len(), 0);
    }

    #[test]
    fn a_module_without_its_first_line_is_told_so() {
        assert!(module_doc("a.rs", "//! Says.\n").is_none());
        assert!(module_doc("a.rs", "use x;\n//! Late.\n").is_some());
    }

    #[test]
    fn sizes_count_what_comes_before_the_tests() {
        let text = format!("//! A.\nfn a() {{\n{}}}\n#[cfg(test)]\nmod tests {{}}\n", "a;\n".repeat(80));
        let sizes = sizes("crates/ike/src/a.rs", &Source::new(&text));
        let numbers: Vec<_> = sizes.iter().map(|size| (size.lines, size.limit)).collect();
        assert_eq!(numbers, [(83, 500), (82, 70)]);
    }
}
