//! Clients of VICI that are not ours drive our gateway: Debian's `swanctl`, and the `vici` module of Python's package index.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{Net, Pair, Plan, Tunnel};
use crate::error::{LabError, ensure};
use crate::labs::setup::{NET, PSK, SITE, SOON};
use crate::process::{Output, run_command, wait_for};
use crate::registry::{Lab, LabContext, Need, Report, SYSTEM_PYTHON, python_vici};
use crate::strongswan::write;
use crate::topology::{Internet, address};

const SWANCTL: &[Need] = &[Need::Root, Need::Tun, Need::Nftables, Need::Underpass, Need::StrongSwan];
const PYTHON: &[Need] = &[Need::Root, Need::Tun, Need::Nftables, Need::Underpass, Need::PythonVici];

pub(super) const LABS: &[Lab] = &[
    Lab { name: "vici_swanctl_lists_what_we_have_in_its_own_words", needs: SWANCTL, run: lists },
    Lab { name: "vici_swanctl_initiates_terminates_and_rekeys", needs: SWANCTL, run: drives },
    Lab { name: "vici_swanctl_loads_what_agrees_and_what_is_new", needs: SWANCTL, run: loads },
    Lab { name: "vici_module_of_python_lists_drives_and_hears_events", needs: PYTHON, run: python },
];

/// How long one run of a client may take.
const CLIENT: Duration = Duration::from_secs(30);

/// The tunnel `site` with suites that have words of their own, and a VICI socket at both ends.
fn plan() -> Plan {
    let child = Net::first().line("esp_proposals = [\"aes256gcm16\"]");
    let tunnel = Tunnel::site().line("ike_proposals = [\"aes256gcm16-prfsha384-ecp384\"]").with(vec![child]);
    Plan::from(tunnel).gateway_line("vici_socket = \"@DIR@/charon.vici\"")
}

/// A client beside gateway 1.
struct Client {
    directory: PathBuf,
    socket: PathBuf,
}

impl Client {
    fn of(pair: &Pair, lab: &LabContext) -> Result<Client, LabError> {
        let configuration = pair.g1.configuration();
        let socket = configuration.parent().unwrap_or(Path::new("/")).join("charon.vici");
        let directory = lab.world.private_directory("vici-client")?;
        write(
            &directory.join("strongswan.conf"),
            "swanctl {\n load = openssl random nonce pem pkcs1 x509 pubkey\n}\n",
        )?;
        Ok(Client { directory, socket })
    }

    fn swanctl(&self, args: &[&str]) -> Result<Output, LabError> {
        let mut command = Command::new("/usr/sbin/swanctl");
        command.args(args).arg("--uri").arg(format!("unix://{}", self.socket.display()));
        command.env("STRONGSWAN_CONF", self.directory.join("strongswan.conf")).env("SWANCTL_DIR", &self.directory);
        run_command(command, "", CLIENT)
    }

    /// Runs `swanctl`, which must succeed; returns what it prints.
    fn expect(&self, args: &[&str]) -> Result<String, LabError> {
        let output = self.swanctl(args)?;
        ensure(output.success, || format!("swanctl {}: {}{}", args.join(" "), output.stdout, output.stderr))?;
        Ok(output.stdout)
    }
}

/// Each of `words` is in `text`.
fn ensure_says(text: &str, words: &[&str]) -> Result<(), LabError> {
    match words.iter().find(|word| !text.contains(**word)) {
        Some(missing) => Err(LabError::Broken(format!("no {missing:?} in\n{text}"))),
        None => Ok(()),
    }
}

fn lists(lab: &mut LabContext) -> Result<Report, LabError> {
    let pair = Pair::connected(lab, &plan())?;
    pair.ensure_echoes(address::C1, address::C2)?;
    let client = Client::of(&pair, lab)?;
    let mode = fs::metadata(&client.socket).map(|file| file.permissions().mode() & 0o777);
    ensure(mode.as_ref().is_ok_and(|mode| *mode == 0o600), || format!("the socket's mode is {mode:?}"))?;
    let sas = client.expect(&["--list-sas"])?;
    let status = pair.g1.connection(SITE)?;
    let spi = |value: &serde_json::Value| value.as_str().unwrap_or("none").trim_start_matches("0x").to_owned();
    let child = &status["children"][0];
    let spis = format!("{}_i* {}_r", spi(&status["ike"]["spi_i"]), spi(&status["ike"]["spi_r"]));
    let (spi_in, spi_out) = (format!("in  {},", spi(&child["spi_in"])), format!("out {},", spi(&child["spi_out"])));
    let ends = [format!("@ {}[500]", address::G1), format!("@ {}[500]", address::G2)];
    ensure_says(
        &sas,
        &[
            "site: #1, ESTABLISHED, IKEv2, ",
            &spis,
            "local  'site.g1.test'",
            "remote 'site.g2.test'",
            &ends[0],
            &ends[1],
            "AES_GCM_16-256/PRF_HMAC_SHA2_384/ECP_384",
            "established ",
            "net: #",
            "reqid 1, INSTALLED, TUNNEL, ESP:AES_GCM_16-256",
            "installed ",
            &spi_in,
            &spi_out,
            " bytes, ",
            " packets",
            &format!("local  {}", address::NET1),
            &format!("remote {}", address::NET2),
        ],
    )?;
    ensure(!sas.contains(" 0 packets"), || format!("echoes passed and are not counted:\n{sas}"))?;
    ensure(client.expect(&["--list-sas", "--ike", "other"])?.trim().is_empty(), || "SAs of nobody".to_owned())?;
    let conns = client.expect(&["--list-conns"])?;
    ensure_says(
        &conns,
        &["site: IKEv2", "local:  ", "local pre-shared key authentication:", "id: site.g1.test", "net: TUNNEL"],
    )?;
    ensure_says(&client.expect(&["--stats"])?, &["uptime: ", "IKE_SAs: 1 total, 0 half-open", "plugins: underpass"])?;
    ensure_says(&client.expect(&["--version", "--daemon"])?, &["underpass"])?;
    ensure_says(&client.expect(&["--list-algs"])?, &["AES_GCM_16[underpass]", "CURVE_25519[underpass]"])?;
    for empty in ["--list-pols", "--list-certs", "--list-authorities", "--list-pools"] {
        ensure(client.expect(&[empty])?.trim().is_empty(), || format!("{empty} lists something"))?;
    }
    Ok(sas.lines().next().unwrap_or_default().to_owned().into())
}

fn drives(lab: &mut LabContext) -> Result<Report, LabError> {
    let pair = Pair::connected(lab, &plan())?;
    let client = Client::of(&pair, lab)?;
    let before = pair.agreed(SITE)?;
    ensure_says(&client.expect(&["--rekey", "--child", "net"])?, &["rekey completed successfully"])?;
    pair.settled(SITE)?;
    ensure_says(&client.expect(&["--rekey", "--ike", SITE])?, &["rekey completed successfully"])?;
    pair.settled(SITE)?;
    let after = pair.agreed(SITE)?;
    ensure(before.iter().zip(&after).all(|(old, new)| old != new), || format!("not all new: {before:?} {after:?}"))?;
    let text = client.expect(&["--terminate", "--child", "net"])?;
    ensure_says(&text, &["[CHD] site: child SA down", "terminate completed successfully"])?;
    ensure(pair.g1.installed(SITE)?.is_empty(), || "the child is still there".to_owned())?;
    let text = client.expect(&["--initiate", "--child", "net"])?;
    ensure_says(&text, &["[CHD] site: child SA up", "initiate completed successfully"])?;
    let text = client.expect(&["--terminate", "--ike", SITE])?;
    ensure_says(&text, &["terminate completed successfully"])?;
    ensure(pair.g1.connection(SITE)?["ike"].is_null(), || "the IKE SA is still there".to_owned())?;
    client.expect(&["--initiate", "--child", "net", "--timeout", "20"])?;
    pair.wait_up(SOON)?;
    pair.ensure_echoes(address::C1, address::C2)?;
    // What cannot be done is said.
    for (args, complaint) in [
        (vec!["--initiate", "--child", "other"], "CHILD_SA config 'other' not found"),
        (vec!["--terminate", "--ike", "other"], "no matching SAs to terminate found"),
        (vec!["--rekey", "--ike", SITE, "--reauth"], "reauthentication is not done here"),
    ] {
        let output = client.swanctl(&args)?;
        ensure(!output.success, || format!("swanctl {} succeeded", args.join(" ")))?;
        ensure_says(&format!("{}{}", output.stdout, output.stderr), &[complaint])?;
    }
    Ok(format!("{} SAs replaced", after.len()).into())
}

/// A `swanctl.conf` that gateway 1 could have had before: the tunnel `site` as underpass.toml has it, and one more.
fn swanctl_conf(remote_of_site: &str) -> String {
    let connection = |name: &str, remote: &str| {
        let (g1, g2) = (address::G1, address::G2);
        format!(
            " {name} {{\n  version = 2\n  local_addrs = {g1}\n  remote_addrs = {g2}\n  \
             proposals = aes256gcm16-prfsha384-ecp384\n  local {{\n   auth = psk\n   id = {name}.g1.test\n  }}\n  \
             remote {{\n   auth = psk\n   id = {name}.g2.test\n  }}\n  children {{\n   {} {{\n    local_ts = {}\n    \
             remote_ts = {remote}\n    esp_proposals = aes256gcm16\n   }}\n  }}\n }}\n",
            if name == SITE { NET } else { "office" },
            address::NET1
        )
    };
    let key = |name: &str| format!(" ike-{name} {{\n  id-a = {name}.g2.test\n  secret = \"{name}: {PSK}\"\n }}\n");
    format!(
        "connections {{\n{}{}}}\nsecrets {{\n{}{}}}\n",
        connection(SITE, remote_of_site),
        connection(BRANCH, BRANCH_NET),
        key(SITE),
        key(BRANCH)
    )
}

/// A second tunnel, which gateway 1 has from `swanctl.conf` alone.
const BRANCH: &str = "branch";
const BRANCH_NET: &str = "10.77.0.0/16";

fn loads(lab: &mut LabContext) -> Result<Report, LabError> {
    let office =
        Net { name: "office", start: ["passive", "passive"], ..Net::between("office", address::NET1, BRANCH_NET) }
            .line("esp_proposals = [\"aes256gcm16\"]");
    let branch = Tunnel { name: BRANCH, ..plan().tunnels[0].clone() }.with(vec![office]);
    let mut far = plan();
    far.tunnels.push(branch);
    let sites = lab.sites(Internet::Direct)?;
    let g2 = lab.underpass(&sites.g2, "g2", &far.render(1), &far.secrets())?;
    let g1 = lab.underpass(&sites.g1, "g1", &plan().render(0), &plan().secrets())?;
    let pair = Pair { g1, g2, sites };
    wait_for("the tunnel being up", SOON, || Ok((pair.g1.connection(SITE)?["state"] == "up").then_some(())))?;
    let client = Client::of(&pair, lab)?;
    let file = client.directory.join("swanctl.conf");
    let load = || client.swanctl(&["--load-all", "--noprompt", "--file", &file.display().to_string()]);
    let before = pair.g1.connection(SITE)?["ike"]["spi_i"].clone();

    write(&file, &swanctl_conf(address::NET2))?;
    let output = load()?;
    ensure(output.success, || format!("not loaded: {}{}", output.stdout, output.stderr))?;
    ensure_says(&output.stdout, &["loaded connection 'site'", "loaded connection 'branch'", "loaded 2 connections"])?;
    ensure_says(&client.expect(&["--list-conns"])?, &["site: IKEv2", "branch: IKEv2"])?;
    client.expect(&["--initiate", "--child", "office", "--timeout", "20"])?;
    ensure_says(&client.expect(&["--list-sas"])?, &["branch: #", "site: #"])?;
    pair.agreed(BRANCH)?;
    // Again, and after a reload of ours: nothing is disturbed.
    ensure(load()?.success, || "not loaded again".to_owned())?;
    pair.g1.expect(&["reload"])?;
    pair.agreed(BRANCH)?;
    ensure(pair.g1.connection(SITE)?["ike"]["spi_i"] == before, || "loading disturbed `site`".to_owned())?;

    // What is configured is not changed from here, and swanctl is told what differs.
    write(&file, &swanctl_conf("10.78.0.0/16"))?;
    let output = load()?;
    ensure(!output.success, || format!("loaded another `site`: {}", output.stdout))?;
    let text = format!("{}{}", output.stdout, output.stderr);
    ensure_says(&text, &["loading connection 'site' failed", "remote selectors of net"])?;
    ensure_says(&pair.g1.expect(&["status"])?, &[SITE])?;

    // What the file has no more, swanctl unloads.
    write(&file, "connections {\n}\n")?;
    load()?;
    let conns = client.expect(&["--list-conns"])?;
    ensure(!conns.contains(BRANCH) && conns.contains(SITE), || conns.clone())?;
    ensure(!pair.g1.log().contains(PSK), || "the log has a key".to_owned())?;
    Ok("2 connections loaded, 1 refused, 1 unloaded".to_owned().into())
}

/// Prints a line for each thing that held; ends with an exception where one did not.
const PROGRAM: &str = r#"
import socket, sys, threading, time
import vici

def session():
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    s.settimeout(20)
    return vici.Session(s)

v = session()
assert v.version()["daemon"] == b"underpass"
assert v.stats()["ikesas"]["total"] == b"1"
sas = list(v.list_sas())
assert len(sas) == 1, sas
sa = sas[0]["site"]
assert sa["state"] == b"ESTABLISHED" and sa["version"] == b"2" and sa["initiator"] == b"yes", sa
child, = sa["child-sas"].values()
assert child["state"] == b"INSTALLED" and child["mode"] == b"TUNNEL" and child["encr-keysize"] == b"256", child
assert list(v.list_conns())[0]["site"]["children"]["net"]["mode"] == b"TUNNEL"
assert list(v.list_certs()) == [] and v.get_pools() == {} and v.get_conns()["conns"] == []
print("lists")

heard = []
def listen():
    for name, event in session().listen(["ike-updown", "child-updown"]):
        if name is not None:
            heard.append((name.decode(), event.get("up"), next(key for key in event if key != "up")))

threading.Thread(target=listen, daemon=True).start()
end = time.monotonic() + 20
wanted = {("child-updown", None, "site"), ("child-updown", b"yes", "site")}
# When the other session is registered the module keeps to itself: so there is something to tell until it was told.
while not wanted <= set(heard):
    assert time.monotonic() < end, heard
    lines = list(v.terminate({"child": "net"})) + list(v.initiate({"child": "net"}))
    assert lines and all(line["ikesa-name"] == b"site" and line["msg"] for line in lines), lines
assert set(heard) == wanted, heard
print("events")

try:
    list(v.initiate({"child": "other"}))
    raise SystemExit("initiated what there is not")
except vici.exception.CommandException as error:
    assert "not found" in str(error), error
try:
    v.request("no-such-command")
    raise SystemExit("carried out what there is not")
except vici.exception.SessionException as error:
    # What the module makes of CMD_UNKNOWN, packet type 2.
    assert "response type 2" in str(error), error
try:
    list(v.streamed_request("list-sas", "no-such-event"))
    raise SystemExit("registered for what there is not")
except vici.exception.EventUnknownException:
    print("refusals")
"#;

fn python(lab: &mut LabContext) -> Result<Report, LabError> {
    let pair = Pair::connected(lab, &plan())?;
    let client = Client::of(&pair, lab)?;
    let program = client.directory.join("client.py");
    write(&program, PROGRAM)?;
    let mut command = Command::new(SYSTEM_PYTHON);
    command.arg(&program).arg(&client.socket);
    command.env("PYTHONPATH", python_vici().map_err(LabError::Harness)?);
    let output = run_command(command, "", CLIENT)?;
    ensure(output.success, || format!("the module says {}{}", output.stdout, output.stderr))?;
    ensure(output.stdout.lines().eq(["lists", "events", "refusals"]), || output.stdout.clone())?;
    pair.ensure_works()?;
    Ok(output.stdout.lines().collect::<Vec<_>>().join(", ").into())
}
