//! Every form of the packets on the wire: ESP alone and in UDP, IPv4 and IPv6 inside and outside, with and without
//! extended sequence numbers; and every form of policy: several children, everything, key exchanges of their own.

use std::time::Duration;

use super::{Net, PAIR, Pair, Plan, Tunnel};
use crate::error::{LabError, ensure};
use crate::labs::setup::{NET, SITE, SOON, let_flow};
use crate::process::wait_for;
use crate::registry::{Lab, LabContext, Report};
use crate::topology::{Internet, address};
use crate::traffic::{Eavesdropper, Stream, echo, transfer};

pub(super) const LABS: &[Lab] = &[
    Lab { name: "pair_plain_esp_v4_in_v4", needs: PAIR, run: |lab| form(lab, &FORMS[0]) },
    Lab { name: "pair_plain_esp_v4_in_v6", needs: PAIR, run: |lab| form(lab, &FORMS[1]) },
    Lab { name: "pair_plain_esp_v6_in_v4", needs: PAIR, run: |lab| form(lab, &FORMS[2]) },
    Lab { name: "pair_plain_esp_v6_in_v6", needs: PAIR, run: |lab| form(lab, &FORMS[3]) },
    Lab { name: "pair_both_families_in_one_child", needs: PAIR, run: |lab| form(lab, &FORMS[4]) },
    Lab { name: "pair_forced_encapsulation_v4", needs: PAIR, run: |lab| form(lab, &FORMS[5]) },
    Lab { name: "pair_forced_encapsulation_v6", needs: PAIR, run: |lab| form(lab, &FORMS[6]) },
    Lab { name: "pair_extended_sequence_numbers_off", needs: PAIR, run: |lab| form(lab, &FORMS[7]) },
    Lab { name: "pair_several_children_are_independent", needs: PAIR, run: several_children },
    Lab { name: "pair_everything_selected_goes_where_routes_say", needs: PAIR, run: everything },
    Lab { name: "pair_configured_alike_settles_on_one_tunnel", needs: PAIR, run: alike },
];

struct Form {
    outer_v6: bool,
    inner_v4: bool,
    inner_v6: bool,
    esp: &'static str,
    /// `auto` or `force`.
    encapsulation: &'static str,
    /// What the status calls the suite.
    suite: &'static str,
}

const PLAIN: Form = Form {
    outer_v6: false,
    inner_v4: true,
    inner_v6: false,
    esp: "aes128gcm16-esn",
    encapsulation: "auto",
    suite: "aes128gcm16-esn",
};

const FORMS: [Form; 8] = [
    PLAIN,
    Form { outer_v6: true, ..PLAIN },
    Form { inner_v4: false, inner_v6: true, ..PLAIN },
    Form { outer_v6: true, inner_v4: false, inner_v6: true, ..PLAIN },
    Form { inner_v6: true, ..PLAIN },
    Form { encapsulation: "force", ..PLAIN },
    Form { outer_v6: true, inner_v6: true, encapsulation: "force", ..PLAIN },
    Form { esp: "aes256-sha256-noesn", suite: "aes256-sha256", ..PLAIN },
];

/// Echoes, streams and TCP in both directions; on the wire it looks as configured, and nothing is in clear.
fn form(lab: &mut LabContext, form: &Form) -> Result<Report, LabError> {
    let mut child = Net::first().line(format!("esp_proposals = \"{}\"", form.esp));
    let families = [(form.inner_v4, address::NET1, address::NET2), (form.inner_v6, address::NET1_V6, address::NET2_V6)];
    let families = || families.iter().filter(|(wanted, ..)| *wanted);
    child.nets = [families().map(|family| family.1).collect(), families().map(|family| family.2).collect()];
    let mut tunnel = Tunnel::site().line(format!("encapsulation = \"{}\"", form.encapsulation)).with(vec![child]);
    if form.outer_v6 {
        tunnel = tunnel.between(address::G1_V6, address::G2_V6);
    }
    let sites = lab.sites(Internet::Direct)?;
    sites.add_ipv6()?;
    let ear = Eavesdropper::start(&sites.g2, Some("wan"))?;
    let pair = Pair::start_in(lab, sites, &tunnel.into())?;
    pair.wait_up(SOON)?;
    pair.agreed(SITE)?;
    let mut accounts = Vec::new();
    if form.inner_v4 {
        accounts.push(carries(&pair, address::C1, address::C2)?);
    }
    if form.inner_v6 {
        accounts.push(carries(&pair, address::C1_V6, address::C2_V6)?);
    }
    let children = pair.g1.installed(SITE)?;
    let encapsulated = form.encapsulation == "force";
    let expected = if encapsulated { "udp" } else { "esp" };
    let as_told = children.iter().all(|child| child["suite"] == form.suite && child["encapsulation"] == expected);
    ensure(as_told, || format!("not {} by {expected}: {children:?}", form.suite))?;
    let heard = ear.ensure_nothing_in_clear()?;
    let (wanted, unwanted) = if encapsulated { (heard.esp_in_udp, heard.esp) } else { (heard.esp, heard.esp_in_udp) };
    ensure(wanted > 2000 && unwanted == 0, || format!("expected {expected}: {heard}"))?;
    Ok(format!("{}; {heard}", accounts.join("; ")).into())
}

fn carries<A: Into<std::net::IpAddr> + Copy>(pair: &Pair, c1: A, c2: A) -> Result<String, LabError> {
    let (one, two) = (&pair.sites.c1, &pair.sites.c2);
    pair.ensure_echoes(c1, c2)?;
    let streams = [Stream::start(one, two, c2, 5001, 1000)?, Stream::start(two, one, c1, 5001, 1000)?];
    let_flow(&streams, 1000)?;
    super::finish_complete(streams, 1000)?;
    let there = transfer(one, two, c2, 5002, 4 << 20, SOON)?;
    let back = transfer(two, one, c1, 5002, 4 << 20, SOON)?;
    Ok(format!("{there} there, {back} back"))
}

fn several_children(lab: &mut LabContext) -> Result<Report, LabError> {
    let children = vec![
        Net::first(),
        Net::between("more", address::MORE1, address::MORE2),
        Net::between("v6", address::NET1_V6, address::NET2_V6),
    ];
    let sites = lab.sites(Internet::Direct)?;
    sites.add_ipv6()?;
    sites.add_second_networks()?;
    let ear = Eavesdropper::start(&sites.g2, Some("wan"))?;
    let pair = Pair::start_in(lab, sites, &Tunnel::site().with(children).into())?;
    pair.wait_up(SOON)?;
    ensure(pair.agreed(SITE)?.len() == 4, || "not three children".to_owned())?;
    pair.ensure_echoes(address::C1, address::C2)?;
    pair.ensure_echoes(address::C1_MORE, address::C2_MORE)?;
    pair.ensure_echoes(address::C1_V6, address::C2_V6)?;
    let used = pair.g1.installed(SITE)?;
    ensure(used.iter().all(|child| child["packets_out"].as_u64() >= Some(3)), || format!("not all used: {used:?}"))?;
    let streams = pair.streams()?;
    let_flow(&streams, 300)?;
    pair.g1.down_child(SITE, "more")?;
    wait_for(
        "the child being gone at the other end",
        SOON,
        || Ok((pair.g2.installed(SITE)?.len() == 2).then_some(())),
    )?;
    let none = echo(&pair.sites.c1, address::C2_MORE, 2, Duration::from_millis(300))?;
    ensure(none.received == 0, || format!("{none} without the child"))?;
    pair.g1.expect(&["up", SITE, "--child", "more"])?;
    pair.wait_up(SOON)?;
    pair.ensure_echoes(address::C1_MORE, address::C2_MORE)?;
    let_flow(&streams, 300)?;
    let account = super::finish_complete(streams, 600)?;
    let heard = ear.ensure_nothing_in_clear()?;
    Ok(format!("the other child's streams, {account}; {heard}").into())
}

/// Both selectors are 0.0.0.0/0; what goes in is what the explicit routes name, and nothing else changes.
fn everything(lab: &mut LabContext) -> Result<Report, LabError> {
    let sites = lab.sites(Internet::Direct)?;
    let tunnel = |route: &str| Tunnel::site().with(vec![Net::between(NET, "0.0.0.0/0", "0.0.0.0/0").line(route)]);
    let plans = [address::NET2, address::NET1].map(|net| Plan::from(tunnel(&format!("routes = [\"{net}\"]"))));
    let g2 = lab.underpass(&sites.g2, "g2", &plans[1].render(1), &plans[1].secrets())?;
    let g1 = lab.underpass(&sites.g1, "g1", &plans[0].render(0), &plans[0].secrets())?;
    let pair = Pair { g1, g2, sites };
    pair.ensure_works()?;
    let packets = |pair: &Pair| Ok::<_, LabError>(pair.g1.installed(SITE)?[0]["packets_out"].as_u64());
    ensure(packets(&pair)? >= Some(6), || "the echoes did not go through the tunnel".to_owned())?;
    // Another of the peer's addresses is no business of the tunnel's.
    let before = packets(&pair)?;
    let outside = echo(&pair.sites.g1, address::G2, 3, Duration::from_secs(1))?;
    ensure(outside.received == 3, || format!("{outside} beside the tunnel"))?;
    ensure(packets(&pair)? == before, || "what no route names went through the tunnel".to_owned())?;
    let selectors = pair.g1.installed(SITE)?[0]["remote"].to_string();
    ensure(selectors.contains("0.0.0.0/0"), || format!("selectors: {selectors}"))?;
    Ok(format!("selectors {selectors}").into())
}

/// Both ends start at once, as two sites with the defaults do; one tunnel is left, and streams over it are whole.
fn alike(lab: &mut LabContext) -> Result<Report, LabError> {
    let mut child = Net::first();
    child.start = ["on-load", "on-load"];
    let sites = lab.sites(Internet::Direct)?;
    // Until both run, nothing passes: then they begin together.
    sites.cut(true)?;
    let tunnel = Tunnel::site().with(vec![child]).line("retransmit_initial_milliseconds = 500");
    let pair = Pair::start_in(lab, sites, &tunnel.into())?;
    pair.sites.cut(false)?;
    pair.ensure_works()?;
    let streams = pair.streams()?;
    let_flow(&streams, 2000)?;
    let account = super::finish_complete(streams, 2000)?;
    pair.settled(SITE)?;
    Ok(account.into())
}
