//! Settings of the kernel that a gateway needs: set on its own interface, which goes with it; on the rest of the machine
//! reported, or, where the configuration says so, managed and given back at an orderly stop.
//!
//! What was there before is kept in a file while it is changed, so that a crash in between does not make our value the
//! machine's own.

use crate::state_file;
use engine::desired::DesiredState;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const ROOT: &str = "/proc/sys/net";
/// What the machine had before, in the state directory.
const FILE: &str = "sysctl.json";
const MOST_BYTES: u64 = 64 << 10;

/// Of our own interface: the way back of a packet is the tunnel's business, nobody is to redirect or source-route through it.
const OWN: [(&str, &str); 7] = [
    ("ipv4/conf/IF/rp_filter", "0"),
    ("ipv4/conf/IF/forwarding", "1"),
    ("ipv4/conf/IF/accept_redirects", "0"),
    ("ipv4/conf/IF/send_redirects", "0"),
    ("ipv4/conf/IF/accept_source_route", "0"),
    ("ipv6/conf/IF/accept_redirects", "0"),
    ("ipv6/conf/IF/accept_ra", "0"),
];

/// A setting of the machine that is not as it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Need {
    path: &'static str,
    wanted: &'static str,
    /// What goes wrong otherwise.
    because: &'static str,
}

const FORWARD_V4: Need = Need {
    path: "ipv4/ip_forward",
    wanted: "1",
    because: "packets between the tunnel and other hosts of this site are dropped",
};
const FORWARD_V6: Need = Need {
    path: "ipv6/conf/all/forwarding",
    wanted: "1",
    because: "IPv6 packets between the tunnel and other hosts of this site are dropped",
};
const LOOSE: Need = Need {
    path: "ipv4/conf/all/rp_filter",
    wanted: "2",
    because: "strict reverse path filtering drops what returns another way than it went, as with two tunnels or two uplinks",
};

impl Need {
    fn name(self) -> String {
        format!("net.{}", self.path.replace('/', "."))
    }

    /// What to tell an operator.
    pub(super) fn told(self, found: &str) -> String {
        let name = self.name();
        format!(
            "{name} is {found}: {}; `sysctl -w {name}={}`, or let the gateway with `sysctls = \"manage\"` in [gateway]",
            self.because, self.wanted
        )
    }
}

/// Settings that were changed, and where that is remembered.
#[derive(Debug)]
pub(super) struct Sysctls {
    before: BTreeMap<String, String>,
    file: Option<PathBuf>,
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(Path::new(ROOT).join(path)).ok().map(|text| text.trim().to_owned())
}

fn write(path: &str, value: &str) -> io::Result<()> {
    fs::write(Path::new(ROOT).join(path), value)
}

/// Sets up our interface; what cannot be set is returned. IPv6 may not be there at all.
pub(super) fn set_own(interface: &str) -> Vec<String> {
    let mut failed = Vec::new();
    for (path, wanted) in OWN {
        let path = path.replace("IF", interface);
        let Some(found) = read(&path) else { continue };
        if found != wanted
            && let Err(error) = write(&path, wanted)
        {
            failed.push(format!("net.{} stays {found}: {error}", path.replace('/', ".")));
        }
    }
    failed
}

/// What of the machine is not as these connections need it, with what is there.
pub(super) fn unmet(desired: &DesiredState) -> Vec<(Need, String)> {
    let routes = || desired.connections.values().flat_map(|connection| &connection.routes);
    let v4 = routes().any(|(address, _)| address.is_ipv4());
    let v6 = routes().any(|(address, _)| address.is_ipv6());
    let wrong = |need: Need, is_wrong: &dyn Fn(&str) -> bool| {
        read(need.path).filter(|found| is_wrong(found)).map(|found| (need, found))
    };
    let all = [
        v4.then(|| wrong(FORWARD_V4, &|found| found == "0")).flatten(),
        v6.then(|| wrong(FORWARD_V6, &|found| found == "0")).flatten(),
        v4.then(|| wrong(LOOSE, &|found| found == "1")).flatten(),
    ];
    all.into_iter().flatten().collect()
}

impl Sysctls {
    /// Begins; what a run found that did not end in good order counts, not what it left.
    pub(super) fn start(state: Option<&Path>) -> Sysctls {
        let file = state.map(|folder| folder.join(FILE));
        let kept = file.as_deref().and_then(|file| state_file::read(file, MOST_BYTES).ok().flatten());
        Sysctls { before: kept.iter().flat_map(|bytes| remembered(bytes)).collect(), file }
    }

    /// Sets what is needed and remembers what was there; tells what was changed and what could not be.
    pub(super) fn manage(&mut self, needs: &[(Need, String)]) -> Vec<String> {
        let known = self.before.clone();
        for (need, found) in needs {
            self.before.entry(need.path.to_owned()).or_insert_with(|| found.clone());
        }
        let mut told = Vec::new();
        if self.before != known
            && let (Some(file), Ok(text)) = (&self.file, serde_json::to_vec(&self.before))
            && let Err(error) = state_file::write(file, &text)
        {
            told.push(format!("after a crash nobody will know what was there before: {}: {error}", file.display()));
        }
        for (need, found) in needs {
            told.push(match write(need.path, need.wanted) {
                Ok(()) => format!("{} was {found} and is {} until the gateway stops", need.name(), need.wanted),
                Err(error) => format!("{}; it cannot be set: {error}", need.told(found)),
            });
        }
        told
    }

    /// Gives back what was there. What cannot be given back stays remembered.
    pub(super) fn restore(&mut self) {
        self.before.retain(|path, value| write(path, value).is_err());
        if let Some(file) = self.file.as_deref().filter(|_| self.before.is_empty()) {
            // A file that cannot be removed says what is true already.
            let _ = fs::remove_file(file);
        }
    }
}

/// What an earlier run found. Only settings that a gateway changes: the file shall not be a way to set others.
fn remembered(bytes: &[u8]) -> Vec<(String, String)> {
    let ours = [FORWARD_V4, FORWARD_V6, LOOSE].map(|need| need.path);
    let Ok(Value::Object(kept)) = serde_json::from_slice(bytes) else { return Vec::new() };
    let pair = |(path, value): (String, Value)| {
        let value = value.as_str().filter(|value| value.len() == 1 && value.bytes().all(|b| b.is_ascii_digit()))?;
        ours.contains(&path.as_str()).then(|| (path.clone(), value.to_owned()))
    };
    kept.into_iter().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_of_ours_are_taken_from_the_file() {
        let text = br#"{"ipv4/ip_forward":"0","../kernel/core_pattern":"1","ipv4/conf/all/rp_filter":"1; rm","ipv6/conf/all/forwarding":0}"#;
        assert_eq!(remembered(text), [("ipv4/ip_forward".to_owned(), "0".to_owned())]);
        assert_eq!(remembered(b"no JSON"), []);
    }

    #[test]
    fn what_is_told_names_the_setting_both_values_and_what_to_type() {
        let told = LOOSE.told("1");
        for part in
            ["net.ipv4.conf.all.rp_filter is 1", "sysctl -w net.ipv4.conf.all.rp_filter=2", "sysctls = \"manage\""]
        {
            assert!(told.contains(part), "{told}");
        }
    }
}
