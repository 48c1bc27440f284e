//! What is wrong with a machine, staged on a real one: each lab breaks one thing of a gateway whose tunnel is up, and
//! `underpass doctor` names that thing first.

use std::time::Duration;

use serde_json::Value;

use super::{PAIR, Pair, Plan, Tunnel};
use crate::error::{LabError, ensure};
use crate::process::run_command;
use crate::registry::{Lab, LabContext, Report};
use crate::topology::{Internet, address};
use crate::traffic::echo;
use crate::underpass::Underpass;
use crate::world::NetNs;

pub(super) const LABS: &[Lab] = &[
    Lab { name: "doctor_of_a_tunnel_that_works_finds_nothing", needs: PAIR, run: nothing },
    Lab { name: "doctor_a_route_that_leads_elsewhere_is_rte_01", needs: PAIR, run: route },
    Lab { name: "doctor_a_network_in_use_at_both_sites_is_rte_02", needs: PAIR, run: overlap },
    Lab { name: "doctor_a_host_that_does_not_forward_is_rte_03", needs: PAIR, run: forwarding },
    Lab { name: "doctor_inside_addresses_that_collide_are_rte_06", needs: PAIR, run: inside },
    Lab { name: "doctor_masquerading_into_the_tunnel_is_nat_01", needs: PAIR, run: masquerade },
    Lab { name: "doctor_a_filter_before_the_tunnel_is_fw_01", needs: PAIR, run: filter },
    Lab { name: "doctor_an_outside_link_that_is_narrower_is_mtu_02", needs: PAIR, run: narrow_link },
    Lab { name: "doctor_a_path_that_swallows_large_packets_is_mtu_01", needs: PAIR, run: black_hole },
    Lab { name: "doctor_a_router_that_prohibits_ike_is_net_05", needs: PAIR, run: prohibited },
];

/// How long the doctor may take, its probes included.
const PATIENCE: Duration = Duration::from_secs(60);

/// The doctor's report at a gateway.
fn doctor(namespace: &NetNs, gateway: &Underpass, more: &[&str]) -> Result<Value, LabError> {
    let mut command = std::process::Command::new("ip");
    command.args(["netns", "exec", namespace.name()]).arg(Underpass::binary().map_err(LabError::Harness)?);
    command.args(["doctor", "--json", "-c"]).arg(gateway.configuration()).args(more);
    let output = run_command(command, "", PATIENCE)?;
    let parsed = serde_json::from_str(&output.stdout);
    parsed.map_err(|error| LabError::Broken(format!("no report ({error}): {} {}", output.stdout, output.stderr)))
}

/// The report begins with `code`, and names `part` as evidence.
fn expect(report: &Value, code: &str, part: &str) -> Result<Report, LabError> {
    let first = &report["findings"][0];
    ensure(first["code"] == code, || format!("expected {code} first: {report:#}"))?;
    let evidence = first["evidence"].to_string();
    ensure(evidence.contains(part), || format!("{part} is not in {evidence}"))?;
    Ok(format!("{code}: {evidence}").into())
}

/// A pair whose tunnel is up, and of which nothing is wrong.
fn healthy(lab: &mut LabContext, internet: Internet, plan: &Plan) -> Result<Pair, LabError> {
    let pair = Pair::start(lab, internet, plan)?;
    pair.ensure_works()?;
    let report = doctor(&pair.sites.g1, &pair.g1, &[])?;
    ensure(report["findings"] == serde_json::json!([]), || format!("of a tunnel that works: {report:#}"))?;
    Ok(pair)
}

fn direct(lab: &mut LabContext) -> Result<Pair, LabError> {
    healthy(lab, Internet::Direct, &Tunnel::site().into())
}

/// Echoes that are sent and not expected back.
fn try_echoes(pair: &Pair) -> Result<(), LabError> {
    echo(&pair.sites.c1, address::C2, 8, Duration::from_millis(100)).map(drop)
}

fn at_g1(pair: &Pair, code: &str, part: &str) -> Result<Report, LabError> {
    expect(&doctor(&pair.sites.g1, &pair.g1, &[])?, code, part)
}

fn nothing(lab: &mut LabContext) -> Result<Report, LabError> {
    let pair = direct(lab)?;
    let report = doctor(&pair.sites.g2, &pair.g2, &["--probe", "--ping", &address::C1.to_string()])?;
    ensure(report["findings"] == serde_json::json!([]), || format!("with probes: {report:#}"))?;
    Ok(report["not_known"].to_string().into())
}

fn route(lab: &mut LabContext) -> Result<Report, LabError> {
    let pair = direct(lab)?;
    pair.sites.g1.ip(&["route add 10.93.1.0/25 via 192.0.2.2"])?;
    at_g1(&pair, "RTE-01", "10.93.1.0/25 go to wan")
}

fn overlap(lab: &mut LabContext) -> Result<Report, LabError> {
    let pair = direct(lab)?;
    pair.sites.g1.ip(&["address add 10.93.1.200/26 dev lan"])?;
    at_g1(&pair, "RTE-02", "10.93.1.200/26")
}

fn forwarding(lab: &mut LabContext) -> Result<Report, LabError> {
    let pair = direct(lab)?;
    pair.sites.g1.sysctl(&[("net/ipv4/ip_forward", "0")])?;
    at_g1(&pair, "RTE-03", "ip_forward = 0")
}

fn inside(lab: &mut LabContext) -> Result<Report, LabError> {
    let pair = direct(lab)?;
    pair.sites.g1.ip(&["address add 169.254.44.2/30 dev lan", "address add 169.254.44.1/29 dev wan"])?;
    at_g1(&pair, "RTE-06", "169.254.44.")
}

fn masquerade(lab: &mut LabContext) -> Result<Report, LabError> {
    let pair = direct(lab)?;
    pair.sites.g1.nft(
        "table ip lab_masq {\n chain post {\n  type nat hook postrouting priority 100;\n  \
         oifname \"underpass0\" counter masquerade\n }\n}\n",
    )?;
    try_echoes(&pair)?;
    at_g1(&pair, "NAT-01", "masquerade")
}

fn filter(lab: &mut LabContext) -> Result<Report, LabError> {
    let pair = direct(lab)?;
    pair.sites.g1.nft(
        "table inet lab_filter {\n chain forward {\n  type filter hook forward priority 0;\n  \
         oifname \"underpass0\" counter drop\n }\n}\n",
    )?;
    try_echoes(&pair)?;
    at_g1(&pair, "FW-01", "has hit 8 packets")
}

fn narrow_link(lab: &mut LabContext) -> Result<Report, LabError> {
    let pair = direct(lab)?;
    pair.sites.g1.ip(&["link set wan mtu 1400"])?;
    at_g1(&pair, "MTU-02", "takes 1400 bytes; path_mtu is 1500")
}

/// Between the gateways nothing of more than 1,300 bytes passes, and nobody says so.
fn black_hole(lab: &mut LabContext) -> Result<Report, LabError> {
    let plan = Plan::from(Tunnel::site().between(address::G1_PRIVATE, address::G2_PRIVATE));
    let pair = healthy(lab, Internet::Routed, &plan)?;
    pair.sites.router()?.nft(
        "table inet lab_hole {\n chain forward {\n  type filter hook forward priority 0;\n  \
         meta length > 1300 drop\n }\n}\n",
    )?;
    let report = doctor(&pair.sites.g1, &pair.g1, &["--ping", &address::C2.to_string()])?;
    expect(&report, "MTU-01", "nobody says why")
}

/// A router on the way answers IKE with "administratively prohibited".
fn prohibited(lab: &mut LabContext) -> Result<Report, LabError> {
    let sites = lab.sites(Internet::Routed)?;
    sites.router()?.nft(
        "table ip lab_refuse {\n chain forward {\n  type filter hook forward priority 0;\n  \
         udp dport { 500, 4500 } reject with icmp type admin-prohibited\n }\n}\n",
    )?;
    let tunnel = Tunnel::site().between(address::G1_PRIVATE, address::G2_PRIVATE);
    let tunnel = tunnel.line("retransmit_give_up_seconds = 2").line("retransmit_initial_milliseconds = 300");
    let pair = Pair::start_in(lab, sites, &tunnel.into())?;
    crate::process::wait_for("the first try to have failed", Duration::from_secs(20), || {
        Ok((pair.g1.connection(super::SITE)?["reason"]["code"] == "no_answer").then_some(()))
    })?;
    let report = doctor(&pair.sites.g1, &pair.g1, &["--probe"])?;
    expect(&report, "NET-05", "administratively prohibited")
}
