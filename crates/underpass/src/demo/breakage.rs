//! What `underpass demo --break CODE` can break: for each code of the doctor the one thing that is changed, and from where it is
//! looked at.

use super::error::{StepError, io_error};
use super::lab::{Lab, NETWORK_BITS, Path, Site};
use super::site::{Edit, Files, Gateways, Pair};
use super::traffic;
use host::netlink::{Netlink, Prefix, Route};
use host::netns::NetNs;
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

/// When something is done, beside the configurations.
#[derive(Clone, Copy)]
pub enum Act {
    /// Nothing: the configurations are wrong.
    None,
    /// Before the gateways start.
    Before(fn(&Stage<'_>) -> Result<(), StepError>),
    /// When the tunnels are up.
    Up(fn(&Stage<'_>) -> Result<(), StepError>),
}

/// What an act may touch.
pub struct Stage<'s> {
    pub lab: &'s Lab,
    pub pair: &'s Pair<'s>,
    pub files: &'s [Files; 2],
    pub gateways: &'s Gateways,
}

/// One thing that can be broken.
pub struct Breakage {
    /// What the doctor must say first.
    pub code: &'static str,
    /// What is done, in a line.
    pub what: &'static str,
    /// Where the doctor is asked.
    pub at: Site,
    /// What is otherwise in the configurations.
    pub edits: &'static [(Site, Edit)],
    /// What is done beside that.
    pub act: Act,
    /// Further arguments of the doctor.
    pub doctor: &'static [&'static str],
    /// It takes the command `nft`.
    pub nft: bool,
}

const fn plain(code: &'static str, what: &'static str, at: Site, edits: &'static [(Site, Edit)]) -> Breakage {
    Breakage { code, what, at, edits, act: Act::None, doctor: &[], nft: false }
}

const fn acted(code: &'static str, what: &'static str, act: Act) -> Breakage {
    Breakage { code, what, at: Site::A, edits: &[], act, doctor: &[], nft: false }
}

const fn filtered(code: &'static str, what: &'static str, act: Act, doctor: &'static [&'static str]) -> Breakage {
    Breakage { doctor, nft: true, ..acted(code, what, act) }
}

use Edit::{Child, Connection, Psk, Swap};
use Site::{A, B};

/// All of them, the lowest layer first.
pub const BREAKAGES: &[Breakage] = &[
    acted("CFG-01", "a line that is no configuration is written into site-a's", Act::Up(garble)),
    acted("CFG-07", "site-a's gateway is killed", Act::Up(kill_near)),
    acted("CFG-08", "site-a's operator takes the tunnels down", Act::Up(|stage| stage.pair.order(A, "down", None))),
    acted("CFG-10", "site-a's file of pre-shared keys is removed", Act::Up(remove_secrets)),
    acted("CFG-11", "site-a's file of pre-shared keys is opened to everybody", Act::Up(open_secrets)),
    plain(
        "CFG-12",
        "both sites use SHA-1 and a group of 1024 bits",
        A,
        &[
            (A, Connection("ike_proposals = [\"aes128-sha1-modp1024\"]")),
            (B, Connection("ike_proposals = [\"aes128-sha1-modp1024\"]")),
        ],
    ),
    plain(
        "CFG-04",
        "site-b expects site-a at other addresses",
        B,
        &[
            (B, Swap("remote_address = \"192.0.2.1\"", "remote_address = \"198.18.0.1\"")),
            (B, Swap("remote_address = \"192.0.2.5\"", "remote_address = \"198.18.0.5\"")),
        ],
    ),
    acted("NET-01", "both paths between the sites are black holes", Act::Before(cut_both)),
    acted("NET-09", "site-a has no route to the internet", Act::Before(no_route)),
    plain(
        "IKE-01",
        "site-a speaks IKEv1 and site-b IKEv2",
        B,
        &[
            (A, Connection("ike_version = \"ikev1\"\nike_proposals = [\"aes128-sha256-modp2048\"]")),
            (A, Child("esp_proposals = [\"aes128-sha256\"]")),
        ],
    ),
    plain(
        "IKE-02",
        "the sites want different Diffie-Hellman groups",
        B,
        &[
            (A, Connection("ike_proposals = [\"aes256-sha256-modp2048\"]")),
            (B, Connection("ike_proposals = [\"aes256-sha256-ecp256\"]")),
        ],
    ),
    plain("IKE-04", "site-a has another pre-shared key", B, &[(A, Psk)]),
    plain(
        "IKE-05",
        "site-a calls itself by another name than site-b expects",
        B,
        &[(A, Swap("local_id = \"site-a.example\"", "local_id = \"private.example\""))],
    ),
    plain(
        "IKE-07",
        "in IKEv1, site-a uses aggressive mode and site-b main mode",
        B,
        &[
            (A, Connection(LEGACY_AGGRESSIVE)),
            (A, Child(LEGACY_CHILD)),
            (B, Connection(LEGACY)),
            (B, Child(LEGACY_CHILD)),
        ],
    ),
    Breakage {
        edits: &[(A, Connection("dpd_interval_seconds = 1\ndpd_timeout_seconds = 2"))],
        ..acted("IKE-10", "site-b's gateway is killed while the tunnels are up", Act::Up(kill_far))
    },
    acted("IKE-11", "site-b's operator takes the tunnels down", Act::Up(|stage| stage.pair.order(B, "down", None))),
    plain(
        "CHD-01",
        "the sites want different algorithms for ESP",
        B,
        &[(A, Child("esp_proposals = [\"aes128gcm16\"]")), (B, Child("esp_proposals = [\"aes256gcm16\"]"))],
    ),
    Breakage {
        edits: &[
            (A, Child("esp_proposals = [\"aes128gcm16-modp2048\"]")),
            (B, Child("esp_proposals = [\"aes128gcm16-ecp256\"]")),
        ],
        ..acted(
            "CHD-02",
            "the sites want different groups for forward secrecy: it shows at the first rekey",
            Act::Up(rekey),
        )
    },
    plain(
        "CHD-03",
        "site-a asks for a network that site-b does not have",
        B,
        &[(A, Swap("remote_subnets = [\"10.93.1.0/24\"]", "remote_subnets = [\"10.77.0.0/24\"]"))],
    ),
    plain(
        "CHD-05",
        "site-a wants extended sequence numbers, site-b none",
        B,
        &[(A, Child("esp_proposals = [\"aes128gcm16-esn\"]")), (B, Child("esp_proposals = [\"aes128gcm16-noesn\"]"))],
    ),
    plain("CHD-06", "nothing asks for the tunnel", A, &[(A, Swap("start = \"on-load\"", "start = \"on-demand\""))]),
    plain(
        "CHD-07",
        "site-b grants half of its network",
        A,
        &[(B, Swap("local_subnets = [\"10.93.1.0/24\"]", "local_subnets = [\"10.93.1.0/25\"]"))],
    ),
    acted("RTE-01", "a route of site-a's gateway leads the traffic elsewhere", Act::Up(lead_elsewhere)),
    acted("RTE-02", "site-a uses a part of site-b's network itself", Act::Up(overlap)),
    acted("RTE-03", "site-a's gateway may not forward", Act::Up(stop_forwarding)),
    acted("RTE-06", "two interfaces of site-a have addresses of one inside network", Act::Up(collide)),
    filtered("NAT-01", "site-a's gateway masquerades into the tunnel", Act::Up(masquerade), &[]),
    acted("MTU-02", "site-a's line outside takes 1,400 bytes", Act::Up(narrow)),
    filtered(
        "MTU-01",
        "the internet swallows packets of more than 1,300 bytes",
        Act::Up(swallow),
        &["--ping", "10.93.1.2"],
    ),
    filtered("FW-01", "a filter of site-a's gateway drops what should enter the tunnel", Act::Up(filter), &[]),
];

const LEGACY: &str = "ike_version = \"ikev1\"\nike_proposals = [\"aes128-sha256-modp2048\"]";
const LEGACY_AGGRESSIVE: &str =
    "ike_version = \"ikev1\"\naggressive = true\nike_proposals = [\"aes128-sha256-modp2048\"]";
const LEGACY_CHILD: &str = "esp_proposals = [\"aes128-sha256\"]";

/// Packets into a tunnel that is broken.
const PACKETS: u64 = 20;

/// What breaks `code`, in any case.
pub fn find(code: &str) -> Option<&'static Breakage> {
    BREAKAGES.iter().find(|breakage| breakage.code.eq_ignore_ascii_case(code))
}

/// Whether there is a command `nft`.
pub fn has_nft() -> bool {
    let asked = Command::new("nft").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

fn garble(stage: &Stage<'_>) -> Result<(), StepError> {
    let file = OpenOptions::new().append(true).open(&stage.files[0].config);
    file.and_then(|mut file| file.write_all(b"\n[connection.demo\n")).map_err(io_error("write a configuration"))
}

fn kill_near(stage: &Stage<'_>) -> Result<(), StepError> {
    stage.gateways.kill(A);
    Ok(())
}

fn kill_far(stage: &Stage<'_>) -> Result<(), StepError> {
    stage.gateways.kill(B);
    Ok(())
}

fn remove_secrets(stage: &Stage<'_>) -> Result<(), StepError> {
    fs::remove_file(stage.files[0].secrets()).map_err(io_error("remove the keys"))
}

fn open_secrets(stage: &Stage<'_>) -> Result<(), StepError> {
    let mode = Permissions::from_mode(0o644);
    fs::set_permissions(stage.files[0].secrets(), mode).map_err(io_error("open the keys"))
}

fn cut_both(stage: &Stage<'_>) -> Result<(), StepError> {
    Path::BOTH.into_iter().try_for_each(|path| stage.lab.cut(path, true))
}

fn near<'s>(stage: &'s Stage<'_>) -> &'s NetNs {
    &stage.lab.at(A).gateway
}

fn no_route(stage: &Stage<'_>) -> Result<(), StepError> {
    let way_out = prefix(Ipv4Addr::UNSPECIFIED, 0)?;
    near(stage).run(|| {
        let mut netlink = Netlink::open()?;
        let others = netlink.others_routes()?;
        for route in others.iter().filter(|route| route.destination == way_out) {
            netlink.delete_route(route)?;
        }
        Ok(())
    })?
}

fn rekey(stage: &Stage<'_>) -> Result<(), StepError> {
    stage.pair.order(A, "rekey", Some(super::site::CHILD))
}

fn lead_elsewhere(stage: &Stage<'_>) -> Result<(), StepError> {
    let half = prefix(B.network(), NETWORK_BITS + 1)?;
    let router = A.router(Path::First);
    near(stage).run(|| Ok(Netlink::open()?.add_administrators_route(&Route::via(half, router.into()))?))?
}

fn overlap(stage: &Stage<'_>) -> Result<(), StepError> {
    address(stage, "lan", Ipv4Addr::new(10, 93, 1, 200), 26)
}

fn collide(stage: &Stage<'_>) -> Result<(), StepError> {
    address(stage, "lan", Ipv4Addr::new(169, 254, 44, 2), 30)?;
    address(stage, "wan", Ipv4Addr::new(169, 254, 44, 1), 29)
}

fn stop_forwarding(stage: &Stage<'_>) -> Result<(), StepError> {
    let written = near(stage).run(|| fs::write("/proc/sys/net/ipv4/ip_forward", "0"))?;
    written.map_err(io_error("stop forwarding"))
}

fn narrow(stage: &Stage<'_>) -> Result<(), StepError> {
    near(stage).run(|| {
        let mut netlink = Netlink::open()?;
        let link = link(&mut netlink, "wan")?;
        Ok(netlink.set_mtu(link, 1400)?)
    })?
}

fn masquerade(stage: &Stage<'_>) -> Result<(), StepError> {
    let rules = "table ip demo {\n chain post {\n  type nat hook postrouting priority 100;\n  \
                 oifname \"underpass0\" counter masquerade\n }\n}\n";
    nft(near(stage), rules)?;
    traffic::burst(stage.lab, A, PACKETS)
}

fn filter(stage: &Stage<'_>) -> Result<(), StepError> {
    let rules = "table inet demo {\n chain forward {\n  type filter hook forward priority 0;\n  \
                 oifname \"underpass0\" counter drop\n }\n}\n";
    nft(near(stage), rules)?;
    traffic::burst(stage.lab, A, PACKETS)
}

fn swallow(stage: &Stage<'_>) -> Result<(), StepError> {
    let rules = "table inet demo {\n chain forward {\n  type filter hook forward priority 0;\n  \
                 meta length > 1300 drop\n }\n}\n";
    nft(&stage.lab.internet, rules)
}

fn nft(namespace: &NetNs, rules: &str) -> Result<(), StepError> {
    let ran = namespace.run(|| {
        let mut child = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(rules.as_bytes())?;
        }
        child.wait()
    })?;
    match ran.map_err(io_error("run nft"))? {
        status if status.success() => Ok(()),
        status => Err(StepError::Unexpected(format!("nft refuses the rules: {status}"))),
    }
}

fn address(stage: &Stage<'_>, interface: &str, address: Ipv4Addr, bits: u8) -> Result<(), StepError> {
    let prefix = prefix(address, bits)?;
    near(stage).run(|| {
        let mut netlink = Netlink::open()?;
        let link = link(&mut netlink, interface)?;
        Ok(netlink.add_address(link, prefix)?)
    })?
}

fn link(netlink: &mut Netlink, name: &str) -> Result<u32, StepError> {
    let missing = || StepError::Unexpected(format!("the interface {name} is not there"));
    Ok(netlink.link_by_name(name)?.ok_or_else(missing)?.index)
}

fn prefix(address: Ipv4Addr, bits: u8) -> Result<Prefix, StepError> {
    let unusable = || StepError::Unexpected(format!("{address}/{bits} is no prefix"));
    Prefix::new(IpAddr::V4(address), bits).ok_or_else(unusable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_breakage_is_of_a_code_that_can_be_seen_here_and_stands_once() {
        let mut seen = std::collections::BTreeSet::new();
        for breakage in BREAKAGES {
            let code = doctor::code::Code::parse(breakage.code).unwrap_or_else(|| panic!("{}", breakage.code));
            assert!(matches!(code.entry().seen, doctor::code::Seen::Here), "{code}");
            assert!(seen.insert(breakage.code), "{code} twice");
            let changed = !breakage.edits.is_empty() || !matches!(breakage.act, Act::None);
            assert!(changed, "{code}: nothing is broken");
        }
        assert!(BREAKAGES.len() >= 25);
        assert!(find("ike-04").is_some() && find("IKE-99").is_none());
    }
}
