//! Files that people were given, run as they are against a real strongSwan: `underpass gateway FILE`. The samples lie beside the
//! project, where there are any; files of the same form, written here, are run everywhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::setup::SOON;
use crate::error::{LabError, ensure};
use crate::process::wait_for;
use crate::registry::{Lab, LabContext, Need, Report, samples};
use crate::strongswan::{CharonOptions, StrongSwan, SwanChild, SwanConnection};
use crate::traffic::{Eavesdropper, echo, transfer};
use crate::underpass::Underpass;
use crate::world::NetNs;

const NEEDS: &[Need] = &[Need::Root, Need::Tun, Need::Nftables, Need::StrongSwan, Need::Underpass];
const NEEDS_SAMPLES: &[Need] =
    &[Need::Samples, Need::Root, Need::Tun, Need::Nftables, Need::StrongSwan, Need::Underpass];

pub(super) const LABS: &[Lab] = &[
    Lab {
        name: "verbatim_openswan_file_brings_its_tunnel_up",
        needs: NEEDS_SAMPLES,
        run: |lab| openswan(lab, Text::Sample),
    },
    Lab {
        name: "verbatim_strongswan_auto_route_delivers_its_first_packet",
        needs: NEEDS_SAMPLES,
        run: |lab| on_demand(lab, Text::Sample),
    },
    Lab { name: "a_file_in_openswans_form_brings_its_tunnel_up", needs: NEEDS, run: |lab| openswan(lab, Text::Ours) },
    Lab {
        name: "a_file_with_auto_route_delivers_its_first_packet",
        needs: NEEDS,
        run: |lab| on_demand(lab, Text::Ours),
    },
];

/// Whose files.
#[derive(Clone, Copy)]
enum Text {
    Sample,
    Ours,
}

const OPENSWAN: &str = "\
conn ToTheCloud
authby=secret
auto=start
left=%defaultroute
leftid=198.51.100.7       --- what the world sees of us
right=203.0.113.9         --- the other gateway
type=tunnel
ikelifetime=8h
keylife=1h
phase2alg=aes128-sha1;modp1024
ike=aes128-sha1;modp1024
keyingtries=%forever
keyexchange=ike
leftsubnet=192.168.77.0/24
rightsubnet=10.7.0.0/16   --- theirs
dpddelay=10
dpdtimeout=30
dpdaction=restart_by_peer
";

const STRONGSWAN: &str = "\
config setup

conn %default
        ikelifetime=28800s
        keylife=3600s
        rekeymargin=3m
        keyingtries=3
        authby=secret
        keyexchange=ikev2
        mobike=no

conn branch
        left=172.30.0.10
        leftsubnet=172.30.0.0/16
        leftid=branch
        right=203.0.113.9
        rightsubnet=172.31.0.0/16
        dpdaction=restart
        auto=route

include secrets.inc
";

/// Two gateways and a client behind each; every address is as the files say, in namespaces of the lab's own.
struct Ground {
    c1: NetNs,
    g1: NetNs,
    g2: NetNs,
    c2: NetNs,
}

/// A site: its gateway's address outside, its gateway's and its client's inside with the length of the network.
struct Side {
    outside: &'static str,
    gateway: &'static str,
    client: &'static str,
    bits: u8,
}

impl Ground {
    fn build(lab: &mut LabContext, near: &Side, far: &Side) -> Result<Self, LabError> {
        let world = &mut lab.world;
        let (c1, g1) = (world.namespace("c1")?, world.namespace("g1")?);
        let (g2, c2) = (world.namespace("g2")?, world.namespace("c2")?);
        world.join((&c1, "lan"), (&g1, "lan"))?;
        world.join((&g1, "wan"), (&g2, "wan"))?;
        world.join((&c2, "lan"), (&g2, "lan"))?;
        for (client, gateway, side, other) in [(&c1, &g1, near, far), (&c2, &g2, far, near)] {
            client.ip(&[
                &format!("address add {}/{} dev lan", side.client, side.bits),
                &format!("route add default via {}", side.gateway),
            ])?;
            gateway.ip(&[&format!("address add {}/{} dev lan", side.gateway, side.bits)])?;
            if side.outside != side.gateway {
                gateway.ip(&[&format!("address add {}/32 dev wan", side.outside)])?;
            }
            gateway.ip(&[
                &format!("route add {}/32 dev wan src {}", other.outside, side.outside),
                &format!("route add default via {} dev wan onlink src {}", other.outside, side.outside),
            ])?;
        }
        Ok(Self { c1, g1, g2, c2 })
    }
}

/// Writes files for a lab, or names the samples.
fn files(lab: &LabContext, text: Text, names: &[&str], ours: &[(&str, String)]) -> Result<Vec<PathBuf>, LabError> {
    match text {
        Text::Sample => {
            let folder = samples().ok_or_else(|| LabError::Harness("no samples".to_owned()))?.join("seeds");
            Ok(names.iter().map(|name| folder.join(name)).collect())
        }
        Text::Ours => {
            let folder = lab.world.private_directory("files")?;
            for (name, text) in ours {
                let path = folder.join(name);
                fs::write(&path, text).map_err(|error| LabError::harness("write a file", error))?;
            }
            Ok(ours.iter().map(|(name, _)| folder.join(name)).collect())
        }
    }
}

/// The key in a file of secrets.
fn key_of(path: &Path) -> Result<String, LabError> {
    let text = fs::read_to_string(path).map_err(|error| LabError::harness("read the secrets", error))?;
    let key = text.split_once("PSK").and_then(|(_, rest)| rest.split('"').nth(1));
    key.map(str::to_owned).ok_or_else(|| LabError::Harness("no key in the file of secrets".to_owned()))
}

/// The strongSwan at the far side.
fn swan(near: &Side, far: &Side, nets: [&str; 2], psk: String) -> SwanConnection {
    SwanConnection {
        name: "given".to_owned(),
        version: 2,
        aggressive: false,
        local_address: far.outside.to_owned(),
        remote_address: near.outside.to_owned(),
        local_id: far.outside.to_owned(),
        remote_id: near.outside.to_owned(),
        psk,
        proposals: "default".to_owned(),
        dpd_seconds: 0,
        rekey_seconds: 0,
        fragmentation: "yes".to_owned(),
        extra: Vec::new(),
        children: vec![SwanChild {
            name: "net".to_owned(),
            local_ts: nets[1].to_owned(),
            remote_ts: nets[0].to_owned(),
            esp_proposals: "default".to_owned(),
            rekey_seconds: 0,
            extra: Vec::new(),
        }],
    }
}

fn log(lab: &LabContext) {
    lab.log_file("strongSwan given", StrongSwan::log_path(&lab.world, "given"));
    lab.log_file("underpass ours", Underpass::log_path(&lab.world, "ours"));
}

/// Scenario C: an Openswan file that starts its tunnel, IKEv1 with the algorithms of its time.
fn openswan(lab: &mut LabContext, text: Text) -> Result<Report, LabError> {
    let (near, far, nets, connection) = match text {
        Text::Sample => (
            Side { outside: "13.237.83.228", gateway: "192.168.99.1", client: "192.168.99.2", bits: 24 },
            Side { outside: "13.236.192.60", gateway: "10.0.0.1", client: "10.0.0.2", bits: 16 },
            ["192.168.99.0/24", "10.0.0.0/16"],
            "Tunnel1",
        ),
        Text::Ours => (
            Side { outside: "198.51.100.7", gateway: "192.168.77.1", client: "192.168.77.2", bits: 24 },
            Side { outside: "203.0.113.9", gateway: "10.7.0.1", client: "10.7.0.2", bits: 16 },
            ["192.168.77.0/24", "10.7.0.0/16"],
            "ToTheCloud",
        ),
    };
    let secrets = "198.51.100.7 203.0.113.9: PSK \"a key for the lab only, 0123456789\"\n".to_owned();
    let ours = [("tunnel.conf", OPENSWAN.to_owned()), ("tunnel.secrets", secrets)];
    let files = files(lab, text, &["openswan-tunnel1.conf", "openswan-tunnel1.secrets"], &ours)?;
    let ground = Ground::build(lab, &near, &far)?;
    let ear = Eavesdropper::start(&ground.g2, Some("wan"))?;
    log(lab);
    let key = files.get(1).ok_or_else(|| LabError::Harness("no secrets".to_owned())).and_then(|path| key_of(path))?;
    let mut peer = swan(&near, &far, nets, key);
    peer.version = 1;
    peer.proposals = "aes128-sha1-modp1024".to_owned();
    for child in &mut peer.children {
        child.esp_proposals = "aes128-sha1-modp1024".to_owned();
    }
    let _swan = StrongSwan::start(&lab.world, &ground.g2, "given", &peer, &CharonOptions::default())?;
    let gateway = Underpass::start_from(&lab.world, &ground.g1, "ours", files.get(..1).unwrap_or_default())?;
    wait_for("the tunnel of the file", SOON, || Ok((gateway.connection(connection)?["state"] == "up").then_some(())))?;
    let there = far.client.parse::<std::net::Ipv4Addr>().map_err(|error| LabError::harness("an address", error))?;
    let pings = echo(&ground.c1, there, 3, Duration::from_secs(2))?;
    ensure(pings.received == pings.sent, || format!("{pings} through the tunnel of the file"))?;
    let by_tcp = transfer(&ground.c1, &ground.c2, there, 5003, 2 << 20, Duration::from_secs(30))?;
    let heard = ear.ensure_nothing_in_clear()?;
    Ok(format!("{connection}: {pings}; {by_tcp}; {heard}").into())
}

/// Scenario D: strongSwan's `auto=route`, IKEv2 with a name as identity: the first packet brings the tunnel up, and arrives.
fn on_demand(lab: &mut LabContext, text: Text) -> Result<Report, LabError> {
    let (near, far, nets, connection) = match text {
        Text::Sample => (
            Side { outside: "172.50.0.10", gateway: "172.50.0.10", client: "172.50.0.20", bits: 16 },
            Side { outside: "87.238.85.42", gateway: "172.60.0.1", client: "172.60.0.2", bits: 16 },
            ["172.50.0.0/16", "172.60.0.0/16"],
            "name_of_connection",
        ),
        Text::Ours => (
            Side { outside: "172.30.0.10", gateway: "172.30.0.10", client: "172.30.0.20", bits: 16 },
            Side { outside: "203.0.113.9", gateway: "172.31.0.1", client: "172.31.0.2", bits: 16 },
            ["172.30.0.0/16", "172.31.0.0/16"],
            "branch",
        ),
    };
    let secrets = "203.0.113.9 : PSK \"a key for the lab only, 0123456789\"\n".to_owned();
    let ours = [("ipsec.conf", STRONGSWAN.to_owned()), ("secrets.inc", secrets)];
    let files = files(lab, text, &["strongswan-ipsec.conf", "ipsec.conf.inc"], &ours)?;
    let ground = Ground::build(lab, &near, &far)?;
    log(lab);
    let key = files.get(1).ok_or_else(|| LabError::Harness("no secrets".to_owned())).and_then(|path| key_of(path))?;
    let mut peer = swan(&near, &far, nets, key);
    peer.remote_id = connection.to_owned();
    let _swan = StrongSwan::start(&lab.world, &ground.g2, "given", &peer, &CharonOptions::default())?;
    let gateway = Underpass::start_from(&lab.world, &ground.g1, "ours", files.get(..1).unwrap_or_default())?;
    let state = gateway.connection(connection)?["state"].clone();
    ensure(state == "down", || format!("nobody asked for it, and it is {state}"))?;
    let there = far.client.parse::<std::net::Ipv4Addr>().map_err(|error| LabError::harness("an address", error))?;
    let first = echo(&ground.c1, there, 1, Duration::from_secs(5))?;
    ensure(first.received == 1, || format!("the first packet: {first}"))?;
    let up = gateway.connection(connection)?;
    ensure(up["state"] == "up", || format!("a packet passed, and the connection is {}", up["state"]))?;
    Ok(format!("{connection}: the first packet was answered; {}", up["children"][0]["suite"]).into())
}
