//! The `ipsec` command: this program by that name, started from a file as people have it, in the lines that their scripts look for.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{PAIR, PSK, Plan, SITE, SOON, Tunnel};
use crate::error::{LabError, ensure};
use crate::process::{Output, run_command, wait_for};
use crate::registry::{Lab, LabContext, Report};
use crate::topology::{Internet, address};
use crate::traffic::echo;
use crate::underpass::Underpass;
use crate::world::NetNs;

pub(super) const LABS: &[Lab] = &[
    Lab { name: "ipsec_starts_from_ipsec_conf_and_answers_in_the_lines_people_know", needs: PAIR, run: answers },
    Lab { name: "ipsec_status_says_which_part_of_a_negotiation_failed", needs: PAIR, run: failed },
];

const PATIENCE: Duration = Duration::from_secs(90);

/// The command, in the namespace of gateway 1.
struct Ipsec {
    namespace: NetNs,
    link: PathBuf,
    folder: PathBuf,
}

impl Ipsec {
    /// Links the program by that name, beside an `ipsec.conf` of the connection `site` with further lines.
    fn new(lab: &LabContext, namespace: &NetNs, more: &str, key: &str) -> Result<Ipsec, LabError> {
        let folder = lab.world.private_directory("ipsec")?;
        let harness = |error| LabError::harness("write a file", error);
        let link = folder.join("ipsec");
        symlink(Underpass::binary().map_err(LabError::Harness)?, &link).map_err(harness)?;
        let text = format!(
            "config setup\n\nconn site\n\tkeyexchange=ikev2\n\tauthby=secret\n\tleft={}\n\tleftid=@site.g1.test\n\tleftsubnet={}\n\
             \tright={}\n\trightid=@site.g2.test\n\trightsubnet={}\n\tauto=add\n{more}",
            address::G1,
            address::NET1,
            address::G2,
            address::NET2
        );
        fs::write(folder.join("ipsec.conf"), text).map_err(harness)?;
        let secrets = folder.join("ipsec.secrets");
        fs::write(&secrets, format!("@site.g1.test @site.g2.test : PSK \"{key}\"\n")).map_err(harness)?;
        fs::set_permissions(&secrets, fs::Permissions::from_mode(0o600)).map_err(harness)?;
        Ok(Ipsec { namespace: namespace.clone(), link, folder })
    }

    fn run(&self, words: &str) -> Result<Output, LabError> {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.namespace.name()]).arg(&self.link);
        command.arg("--socket").arg(self.folder.join("ctl.sock")).args(words.split_whitespace());
        command.current_dir(&self.folder);
        run_command(command, "", PATIENCE)
    }

    /// It ends with this code, and says all of these.
    fn expect(&self, words: &str, code: i32, parts: &[&str]) -> Result<String, LabError> {
        let output = self.run(words)?;
        let said = format!("{}{}", output.stdout, output.stderr);
        ensure(output.code == Some(code), || {
            format!("`ipsec {words}` ended with {:?}, not {code}: {said}", output.code)
        })?;
        for part in parts {
            ensure(said.contains(part), || format!("`ipsec {words}` does not say {part:?}:\n{said}"))?;
        }
        Ok(said)
    }
}

/// The far side, which answers.
fn far(lab: &LabContext, namespace: &NetNs, plan: &Plan) -> Result<Underpass, LabError> {
    lab.underpass(namespace, "g2", &plan.render(1), &plan.secrets())
}

fn key() -> String {
    format!("{SITE}: {PSK}")
}

fn answers(lab: &mut LabContext) -> Result<Report, LabError> {
    let sites = lab.sites(Internet::Direct)?;
    let _far = far(lab, &sites.g2, &Tunnel::site().into())?;
    let ipsec = Ipsec::new(lab, &sites.g1, "", &key())?;
    ipsec.expect("status", 3, &[])?;
    ipsec.expect("up site", 7, &[])?;
    ipsec.expect("stop", 0, &["not running"])?;
    ipsec.expect("start --conf ipsec.conf", 0, &["Starting"])?;
    ipsec.expect("start --conf ipsec.conf", 0, &["running already"])?;
    ipsec.expect("status", 0, &["Security Associations (0 up, 0 connecting):"])?;
    ipsec.expect(
        "up site",
        0,
        &["connection 'site' established successfully", "CHILD_SA site{1} established with SPIs"],
    )?;
    echo(&sites.c1, address::C2, 3, Duration::from_secs(2))?;
    let line = ipsec.expect("status site", 0, &["site[1]: ESTABLISHED ", "INSTALLED, TUNNEL, reqid 1, ESP"])?;
    let ends = format!("{}[site.g1.test]...{}[site.g2.test]", address::G1, address::G2);
    ipsec.expect(
        "statusall",
        0,
        &["Connections:", &ends, "_i* ", "10.91.1.0/24 === 10.93.1.0/24", "bytes_i (3 pkts)"],
    )?;
    ipsec.expect(
        "auto --status",
        0,
        &["STATE_V2_ESTABLISHED_CHILD_SA (IPsec SA established)", "loaded 1, active 1"],
    )?;
    ipsec.expect("auto --up site", 0, &["IKE SA established", "IPsec SA established tunnel mode"])?;
    ipsec.expect("whack --trafficstatus", 0, &["type=ESP", "inBytes="])?;
    ipsec.expect("reload", 0, &["Reloading"])?;
    ipsec.expect("rereadsecrets", 0, &["Rereading"])?;
    ipsec.expect("auto --replace site", 0, &["added"])?;
    ipsec.expect("statsu", 2, &["did you mean `ipsec status`?"])?;
    ipsec.expect("up siet", 1, &["did you mean `site`?"])?;
    ipsec.expect("down site", 0, &["closed successfully"])?;
    wait_for("the SAs to be gone", SOON, || Ok(ipsec.run("status")?.stdout.contains("(0 up").then_some(())))?;
    ipsec.expect("stop", 0, &["Stopping"])?;
    ipsec.expect("status", 3, &[])?;
    ensure(!Path::new(&ipsec.folder.join("ctl.sock")).exists(), || "its socket is left".to_owned())?;
    Ok(line.lines().nth(1).unwrap_or_default().trim().to_owned().into())
}

/// A connection that cannot come up, and the part that must be named.
fn failed(lab: &mut LabContext) -> Result<Report, LabError> {
    let sites = lab.sites(Internet::Direct)?;
    let _far = far(lab, &sites.g2, &Tunnel::site().line("ike_proposals = [\"aes256-sha256-ecp256\"]").into())?;
    let cases = [
        ("\tike=aes256-sha256-ecp256!\n", "another key, that is not the same", "IKE_AUTH"),
        ("\tike=aes128-sha1-modp2048!\n", "", "IKE_SA_INIT"),
    ];
    let mut said = Vec::new();
    for (line, other, part) in cases {
        let key = if other.is_empty() { key() } else { other.to_owned() };
        let ipsec = Ipsec::new(lab, &sites.g1, line, &key)?;
        ipsec.expect("start --conf ipsec.conf", 0, &[])?;
        let up = ipsec.expect("up site", 1, &["establishing connection 'site' failed", part])?;
        ipsec.expect("status site", 0, &["failed in", part])?;
        ipsec.expect("auto --status", 0, &["failed in", part])?;
        ipsec.expect("stop", 0, &[])?;
        said.push(up.lines().find(|line| line.contains(part)).unwrap_or_default().to_owned());
        fs::remove_dir_all(&ipsec.folder).map_err(|error| LabError::harness("remove a folder", error))?;
    }
    Ok(said.join("; ").into())
}
