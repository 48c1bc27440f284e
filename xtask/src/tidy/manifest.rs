//! The direction in which our crates may depend (ARCHITECTURE.md has the picture), and what pure crates may not pull in.

use super::Finding;

/// Each crate and ours that it may use. A crate that is not here may use none.
const MAY_USE: [(&str, &[&str]); 14] = [
    ("crypto", &[]),
    ("packet", &[]),
    ("sim", &[]),
    ("ipsec", &["crypto", "packet"]),
    ("ike", &["crypto", "ipsec"]),
    ("engine", &["crypto", "packet", "ipsec", "ike"]),
    ("formats", &["crypto", "packet", "ipsec", "ike", "engine"]),
    ("doctor", &["crypto", "packet", "ipsec", "ike", "engine", "formats", "observe"]),
    ("observe", &["crypto", "packet", "ipsec", "ike", "engine"]),
    ("host", &["crypto", "packet", "ipsec", "ike", "engine", "formats", "doctor", "observe"]),
    ("underpass", &["crypto", "packet", "ipsec", "ike", "engine", "formats", "doctor", "observe", "host"]),
    ("scenarios", &["crypto", "packet", "ipsec", "ike", "engine", "formats", "sim"]),
    ("interop", &["crypto", "host", "ike", "ipsec", "packet"]),
    ("xtask", &["interop"]),
];
/// Below the purity line.
const PURE: [&str; 10] =
    ["crypto", "packet", "sim", "ipsec", "ike", "engine", "formats", "doctor", "observe", "scenarios"];
/// Crates of others that open, sleep, or ask the time.
const SHELL_ONLY: [&str; 9] =
    ["libc", "rustix", "socket2", "tokio", "mio", "netlink-sys", "netlink-packet-route", "rand", "getrandom"];

/// Checks one manifest.
pub fn direction(path: &str, text: &str) -> Vec<Finding> {
    let manifest: toml::Table = match text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![Finding::new(path, 0, format!("not TOML: {error}"))],
    };
    let Some(name) = manifest.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str)
    else {
        return Vec::new(); // the workspace itself
    };
    if path.starts_with("fuzz/") {
        return Vec::new(); // a leaf that may use everything
    }
    let Some((_, may_use)) = MAY_USE.iter().find(|(crate_name, _)| *crate_name == name) else {
        let what = format!("`{name}` has no row in xtask/src/tidy/manifest.rs: say what it may use");
        return vec![Finding::new(path, 0, what)];
    };
    let mut findings = Vec::new();
    for (kind, dependency) in dependencies(&manifest) {
        let ours = MAY_USE.iter().any(|(crate_name, _)| *crate_name == dependency);
        let sim_in_tests = kind == "dev-dependencies" && dependency == "sim";
        if ours && !sim_in_tests && !may_use.contains(&dependency) {
            let what = format!("`{name}` may not depend on `{dependency}`: the arrow points the other way");
            findings.push(Finding::new(path, line_of(text, dependency), what));
        }
        if kind != "dev-dependencies" && PURE.contains(&name) && SHELL_ONLY.contains(&dependency) {
            let what = format!("pure `{name}` may not depend on `{dependency}`: that belongs in `host`");
            findings.push(Finding::new(path, line_of(text, dependency), what));
        }
    }
    findings
}

fn dependencies(manifest: &toml::Table) -> Vec<(&str, &str)> {
    let mut tables = vec![manifest];
    if let Some(targets) = manifest.get("target").and_then(toml::Value::as_table) {
        tables.extend(targets.values().filter_map(toml::Value::as_table));
    }
    let mut found = Vec::new();
    for table in tables {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            if let Some(entries) = table.get(kind).and_then(toml::Value::as_table) {
                found.extend(entries.keys().map(|name| (kind, name.as_str())));
            }
        }
    }
    found
}

fn line_of(text: &str, dependency: &str) -> usize {
    text.lines().position(|line| line.starts_with(dependency)).map_or(0, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(name: &str, kind: &str, dependency: &str) -> usize {
        let text = format!("[package]\nname = \"{name}\"\n[{kind}]\n{dependency} = {{ workspace = true }}\n");
        direction("crates/x/Cargo.toml", &text).len()
    }

    #[test]
    fn arrows_point_one_way() {
        assert_eq!(findings("ike", "dependencies", "crypto"), 0);
        assert_eq!(findings("crypto", "dependencies", "ike"), 1);
        assert_eq!(findings("ike", "dependencies", "sim"), 1);
        assert_eq!(findings("ike", "dev-dependencies", "sim"), 0);
        assert_eq!(findings("ike", "target.'cfg(unix)'.dependencies", "host"), 1);
        assert_eq!(findings("newcomer", "dependencies", "serde"), 1);
    }

    #[test]
    fn pure_crates_pull_in_no_shell() {
        assert_eq!(findings("ike", "dependencies", "libc"), 1);
        assert_eq!(findings("host", "dependencies", "libc"), 0);
        assert_eq!(findings("ike", "dependencies", "thiserror"), 0);
    }
}
