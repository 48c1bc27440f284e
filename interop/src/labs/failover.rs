//! Two tunnels to the same place over two cables, at the far side one gateway with both or one at each:
//!
//! ```text
//!                       ┌─ 192.0.2.1 ═══════ 192.0.2.2 ─── g2 ─┐                        (one far gateway: both cables end
//! c1 10.91.1.2 ─── g1 ──┤                                      ├── c2 10.93.1.2          at g2)
//!                       └─ 198.51.100.1 ═ 198.51.100.2 ─ g3 ───┘
//! ```
//! What is asserted is survival and loss; how long an interruption takes is measured by `cargo xtask bench failover`.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::setup::{PSK, RATE, SOON, let_flow};
use crate::error::{LabError, ensure};
use crate::process::wait_for;
use crate::registry::{Lab, LabContext, Need, Report};
use crate::topology::address;
use crate::traffic::{Eavesdropper, Stream, StreamReport, echo, transfer_through};
use crate::underpass::{Underpass, gateway_section};
use crate::world::{NetNs, World};

const NEEDS: &[Need] = &[Need::Root, Need::Tun, Need::Nftables, Need::Underpass];
/// The connection, and its tunnels.
const VPN: &str = "vpn";
const TUNNELS: [&str; 2] = ["vpn-1", "vpn-2"];
/// Outside addresses of the cables: near, far.
const OUTSIDE: [[Ipv4Addr; 2]; 2] = [
    [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)],
    [Ipv4Addr::new(198, 51, 100, 1), Ipv4Addr::new(198, 51, 100, 2)],
];
/// Packets of a stream that a black hole may cost: twice the time that the design gives it, for a machine that hesitates.
const MOST_LOST: u64 = 1000;

pub(super) const LABS: &[Lab] = &[
    Lab { name: "failover_black_hole_costs_no_connection", needs: NEEDS, run: black_hole },
    Lab { name: "failover_orderly_delete_loses_nothing", needs: NEEDS, run: orderly },
    Lab { name: "failover_killed_far_endpoint_costs_no_connection", needs: NEEDS, run: killed },
    Lab { name: "failover_inside_addresses_answer_through_their_own_tunnel", needs: NEEDS, run: inside },
    Lab { name: "failover_killed_gateway_leaves_nothing_in_clear", needs: NEEDS, run: own_crash },
];

/// The near site and the far one.
#[derive(Debug)]
pub struct TwoPaths {
    /// Client and gateway of the near site.
    pub c1: NetNs,
    /// Its gateway.
    pub g1: NetNs,
    /// Where each cable ends: twice the same, or two.
    pub far: [NetNs; 2],
    /// Client of the far site.
    pub c2: NetNs,
}

impl TwoPaths {
    /// Builds it with one far gateway or two.
    pub fn build(world: &mut World, far_gateways: usize) -> Result<Self, LabError> {
        let (c1, g1, g2) = (world.namespace("c1")?, world.namespace("g1")?, world.namespace("g2")?);
        let g3 = if far_gateways == 2 { world.namespace("g3")? } else { g2.clone() };
        let c2 = world.namespace("c2")?;
        world.join((&c1, "lan"), (&g1, "lan"))?;
        world.join((&g1, "wan1"), (&g2, "wan1"))?;
        world.join((&g1, "wan2"), (&g3, "wan2"))?;
        world.join((&c2, "lan"), (&g2, "lan"))?;
        c1.ip(&["address add 10.91.1.2/24 dev lan", "route add default via 10.91.1.1"])?;
        // A way out in clear, so that only the gateway's own rules keep traffic from taking it.
        g1.ip(&[
            "address add 10.91.1.1/24 dev lan",
            "address add 192.0.2.1/24 dev wan1",
            "address add 198.51.100.1/24 dev wan2",
            "route add default via 192.0.2.2",
        ])?;
        g2.ip(&["address add 10.93.1.1/24 dev lan", "address add 192.0.2.2/24 dev wan1"])?;
        g3.ip(&["address add 198.51.100.2/24 dev wan2"])?;
        c2.ip(&["address add 10.93.1.2/24 dev lan", "route add default via 10.93.1.1"])?;
        if far_gateways == 2 {
            world.join((&c2, "lan2"), (&g3, "lan2"))?;
            c2.ip(&["address add 10.94.1.2/24 dev lan2"])?;
            g3.ip(&["address add 10.94.1.1/24 dev lan2", "route add 10.93.1.0/24 via 10.94.1.2"])?;
        }
        Ok(Self { c1, g1, far: [g2, g3], c2 })
    }

    /// Makes the cable of a tunnel a black hole (`true`) or a cable again; neither end sees its link go down.
    pub fn cut(&self, tunnel: usize, cut: bool) -> Result<(), LabError> {
        let rule = if cut { format!("  iifname \"wan{}\" drop\n", tunnel + 1) } else { String::new() };
        let script = format!(
            "table inet lab_cut{tunnel}\ndelete table inet lab_cut{tunnel}\ntable inet lab_cut{tunnel} {{\n chain both {{\n  \
             type filter hook prerouting priority -310;\n{rule} }}\n}}\n"
        );
        self.g1.nft(&script)?;
        self.far[tunnel].nft(&script)
    }

    /// The far client sends through the gateway of this tunnel: what a router of the far site would find out.
    pub fn far_client_uses(&self, tunnel: usize) -> Result<(), LabError> {
        let via = if tunnel == 0 { "10.93.1.1" } else { "10.94.1.1" };
        self.c2.ip(&[&format!("route replace default via {via}")])
    }

    /// The configuration of one end (0 near, 1 far) with these tunnels.
    pub fn configuration(end: usize, tunnels: &[usize]) -> String {
        let start = if end == 0 { "on-load" } else { "passive" };
        let mut text = format!(
            "{}[connection.{VPN}]\nlocal_id = \"g{end}.test\"\nremote_id = \"g{}.test\"\n\
             retransmit_initial_milliseconds = 500\n",
            gateway_section(),
            1 - end
        );
        for tunnel in tunnels {
            let [near, far] = OUTSIDE[*tunnel];
            let (local, remote) = if end == 0 { (near, far) } else { (far, near) };
            text.push_str(&format!(
                "[connection.{VPN}.tunnel.{}]\nlocal_address = \"{local}\"\nremote_address = \"{remote}\"\n\
                 inside_address = \"169.254.10.{}/30\"\npreference = {}\n",
                tunnel + 1,
                4 * tunnel + 2 - end,
                200 - 100 * tunnel,
            ));
        }
        let net = if end == 0 { address::NET2 } else { address::NET1 };
        text.push_str(&format!(
            "[connection.{VPN}.child.net]\nlocal_subnets = \"0.0.0.0/0\"\nremote_subnets = \"0.0.0.0/0\"\n\
             routes = [\"{net}\"]\nstart = \"{start}\"\n"
        ));
        text
    }

    /// The keys of both tunnels.
    pub fn secrets() -> String {
        format!("[psk]\nvpn-1 = \"1: {PSK}\"\nvpn-2 = \"2: {PSK}\"\n")
    }
}

/// Two paths with a gateway of ours at every end, both tunnels up.
struct Both {
    // Dropped in this order: the gateways before the namespaces they live in.
    g1: Underpass,
    far: Vec<Underpass>,
    paths: TwoPaths,
}

impl Both {
    fn start(lab: &mut LabContext, far_gateways: usize) -> Result<Self, LabError> {
        let paths = TwoPaths::build(&mut lab.world, far_gateways)?;
        Self::start_in(lab, paths, far_gateways)
    }

    fn start_in(lab: &LabContext, paths: TwoPaths, far_gateways: usize) -> Result<Self, LabError> {
        let of: &[&[usize]] = if far_gateways == 2 { &[&[0], &[1]] } else { &[&[0, 1]] };
        let mut far = Vec::new();
        for (index, tunnels) in of.iter().enumerate() {
            let configuration = TwoPaths::configuration(1, tunnels);
            far.push(lab.underpass(&paths.far[index], &format!("g{}", index + 2), &configuration, &TwoPaths::secrets())?);
        }
        let g1 = lab.underpass(&paths.g1, "g1", &TwoPaths::configuration(0, &[0, 1]), &TwoPaths::secrets())?;
        let both = Self { g1, far, paths };
        both.wait_roles(["active", "standby"], SOON)?;
        Ok(both)
    }

    fn roles(&self) -> Result<Vec<String>, LabError> {
        let status = self.g1.status()?;
        let tunnels = status["groups"][0]["tunnels"].as_array().cloned().unwrap_or_default();
        Ok(tunnels.iter().map(|tunnel| tunnel["role"].as_str().unwrap_or_default().to_owned()).collect())
    }

    fn wait_roles(&self, wanted: [&str; 2], bound: Duration) -> Result<(), LabError> {
        wait_for(&format!("tunnels being {wanted:?}"), bound, || Ok((self.roles()? == wanted).then_some(())))
    }

    fn streams(&self) -> Result<[Stream; 2], LabError> {
        let paths = &self.paths;
        let streams = [
            Stream::start(&paths.c1, &paths.c2, address::C2, 5001, RATE)?,
            Stream::start(&paths.c2, &paths.c1, address::C1, 5001, RATE)?,
        ];
        let_flow(&streams, 500)?;
        Ok(streams)
    }

    /// A transfer by TCP that meets `trouble` midway.
    fn transfer(&self, trouble: impl FnOnce() -> Result<(), LabError> + Send) -> Result<String, LabError> {
        const BYTES: u64 = 64 << 20;
        let paths = &self.paths;
        let done = transfer_through(&paths.c1, &paths.c2, address::C2, 5003, BYTES, Duration::from_secs(60), trouble)?;
        Ok(done.to_string())
    }
}

fn finish(streams: [Stream; 2]) -> Result<[StreamReport; 2], LabError> {
    let [there, back] = streams;
    Ok([there.finish()?, back.finish()?])
}

fn ensure_short(report: &StreamReport, which: &str) -> Result<(), LabError> {
    ensure(report.lost() + report.refused <= MOST_LOST, || format!("{which}: {report}"))
}

/// The cable of the tunnel that carries swallows everything, under streams and a transfer.
fn black_hole(lab: &mut LabContext) -> Result<Report, LabError> {
    let both = Both::start(lab, 1)?;
    let streams = both.streams()?;
    let by_tcp = both.transfer(|| both.paths.cut(0, true))?;
    both.wait_roles(["suspect", "active"], SOON)?;
    let_flow(&streams, 500)?;
    let connection = both.g1.connection(TUNNELS[0])?;
    ensure(connection["state"] == "up", || format!("suspect is not dead, but its SAs are gone: {connection}"))?;
    both.paths.cut(0, false)?;
    both.wait_roles(["held", "active"], SOON)?;
    let_flow(&streams, 500)?;
    let [there, back] = finish(streams)?;
    ensure_short(&there, "there")?;
    ensure_short(&back, "back")?;
    Ok(format!("{by_tcp}; there: {there}; back: {back}").into())
}

/// A tunnel taken down at either end: its traffic is in the other before the last packet arrives.
fn orderly(lab: &mut LabContext) -> Result<Report, LabError> {
    let both = Both::start(lab, 1)?;
    let streams = both.streams()?;
    let by_tcp = both.transfer(|| both.g1.down(TUNNELS[0]))?;
    both.wait_roles(["down", "active"], SOON)?;
    both.g1.up(TUNNELS[0])?;
    both.wait_roles(["active", "standby"], SOON)?;
    let_flow(&streams, 500)?;
    both.far[0].down(TUNNELS[0])?;
    both.wait_roles(["down", "active"], SOON)?;
    let_flow(&streams, 500)?;
    let [there, back] = finish(streams)?;
    there.ensure_complete(2000)?;
    back.ensure_complete(2000)?;
    Ok(format!("{by_tcp}; there: {there}; back: {back}").into())
}

/// One of two far gateways dies; the far site's router sends through the other as soon as it knows.
fn killed(lab: &mut LabContext) -> Result<Report, LabError> {
    let mut both = Both::start(lab, 2)?;
    let streams = both.streams()?;
    let first = &mut both.far;
    let mut dying = first.remove(0);
    let by_tcp = both.transfer(|| {
        dying.kill9();
        both.paths.far_client_uses(1)
    })?;
    both.wait_roles(["suspect", "active"], SOON)?;
    let_flow(&streams, 500)?;
    let [there, back] = finish(streams)?;
    ensure_short(&there, "there")?;
    ensure_short(&back, "back")?;
    Ok(format!("{by_tcp}; there: {there}; back: {back}").into())
}

/// The inside addresses answer ping from either end, also while the tunnel is not the one that carries.
fn inside(lab: &mut LabContext) -> Result<Report, LabError> {
    let both = Both::start(lab, 1)?;
    let mut told = Vec::new();
    for tunnel in 0..2u8 {
        for (from, last) in [(&both.paths.g1, 1), (&both.paths.far[0], 2)] {
            let far = Ipv4Addr::new(169, 254, 10, 4 * tunnel + last);
            let pings = echo(from, far, 3, Duration::from_secs(2))?;
            ensure(pings.received == pings.sent, || format!("{pings} from inside address {far}"))?;
            told.push(far.to_string());
        }
        let connection = both.g1.connection(TUNNELS[usize::from(tunnel)])?;
        let packets = connection["children"][0]["packets_in"].as_u64().unwrap_or_default();
        ensure(packets >= 6, || format!("{packets} packets came through tunnel {}", tunnel + 1))?;
    }
    let addresses = both.paths.g1.run("ip", &["-4", "-o", "address", "show", "dev", "underpass0"])?;
    ensure(addresses.matches("169.254.10.").count() == 2, || format!("addresses of the interface: {addresses}"))?;
    Ok(format!("answered: {}", told.join(", ")).into())
}

/// Our own gateway is killed under traffic: the outside sees not one packet of the sites in clear, until it is back.
fn own_crash(lab: &mut LabContext) -> Result<Report, LabError> {
    let paths = TwoPaths::build(&mut lab.world, 1)?;
    let ears = [Eavesdropper::start(&paths.far[0], Some("wan1"))?, Eavesdropper::start(&paths.far[0], Some("wan2"))?];
    let mut both = Both::start_in(lab, paths, 1)?;
    let streams = both.streams()?;
    both.g1.kill9();
    let refused = wait_for("traffic without a gateway", SOON, || {
        let out = echo(&both.paths.c1, address::C2, 3, Duration::from_millis(300))?;
        Ok((out.received == 0).then_some(out.sent))
    })?;
    both.g1.restart(&both.paths.g1)?;
    both.wait_roles(["active", "standby"], SOON)?;
    let_flow(&streams, 500)?;
    let [there, back] = finish(streams)?;
    let mut heard = Vec::new();
    for ear in ears {
        heard.push(ear.ensure_nothing_in_clear()?.to_string());
    }
    Ok(format!("{refused} pings answered by nobody; there: {there}; back: {back}; {}", heard.join("; ")).into())
}
