//! Labs between two gateways of our own: what strongSwan's libipsec cannot do, and what is easier to prove where both
//! ends say exactly what they have. One topic a file.

mod capture;
mod disturbance;
mod doctor;
mod forms;
mod ipsec;
mod nat;
mod path;
mod rekey;
mod restart;
mod truncated;
mod vici;

use std::net::IpAddr;
use std::time::Duration;

use super::setup::{NET, PSK, RATE, SITE, SOON};
use crate::error::{LabError, ensure};
use crate::process::wait_for;
use crate::registry::{Lab, LabContext, Need};
use crate::topology::{Internet, Sites, address};
use crate::traffic::{Stream, echo};
use crate::underpass::{Underpass, gateway_section};

/// What these labs need.
const PAIR: &[Need] = &[Need::Root, Need::Tun, Need::Nftables, Need::Underpass];

/// Every lab of two gateways of ours.
pub(super) fn labs() -> Vec<Lab> {
    [
        capture::LABS,
        forms::LABS,
        ipsec::LABS,
        path::LABS,
        rekey::LABS,
        restart::LABS,
        disturbance::LABS,
        doctor::LABS,
        nat::LABS,
        truncated::LABS,
        vici::LABS,
    ]
    .concat()
}

/// A child of a [`Tunnel`], as both ends have it.
#[derive(Debug, Clone)]
struct Net {
    name: &'static str,
    /// The selectors of site 1 and of site 2.
    nets: [Vec<&'static str>; 2],
    /// `start` at each end.
    start: [&'static str; 2],
    /// Further lines, the same at both ends.
    lines: Vec<String>,
}

impl Net {
    /// The child `net` between the sites' first networks, which gateway 1 starts.
    fn first() -> Self {
        Self::between(NET, address::NET1, address::NET2)
    }

    fn between(name: &'static str, one: &'static str, two: &'static str) -> Self {
        Self { name, nets: [vec![one], vec![two]], start: ["on-load", "passive"], lines: Vec::new() }
    }

    fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }
}

/// A connection, as both ends have it.
#[derive(Debug, Clone)]
struct Tunnel {
    name: &'static str,
    /// Own address of each end.
    local: [String; 2],
    /// Under which address each end is known to the other.
    seen: [String; 2],
    /// Further lines, the same at both ends.
    lines: Vec<String>,
    children: Vec<Net>,
}

impl Tunnel {
    /// The connection `site` with the child `net`, over IPv4.
    fn site() -> Self {
        Self {
            name: SITE,
            local: [address::G1.to_string(), address::G2.to_string()],
            seen: [address::G1.to_string(), address::G2.to_string()],
            lines: Vec::new(),
            children: vec![Net::first()],
        }
    }

    /// The same between these addresses.
    fn between(self, one: impl Into<IpAddr>, two: impl Into<IpAddr>) -> Self {
        let addresses = [one.into().to_string(), two.into().to_string()];
        Self { local: addresses.clone(), seen: addresses, ..self }
    }

    fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    fn with(mut self, children: Vec<Net>) -> Self {
        self.children = children;
        self
    }

    /// The same with a peer that is missed after eight seconds.
    fn watchful(self) -> Self {
        ["dpd_interval_seconds = 1", "dpd_timeout_seconds = 4", "retransmit_give_up_seconds = 4"]
            .into_iter()
            .chain(["retransmit_initial_milliseconds = 300", "retry = \"forever\""])
            .fold(self, Self::line)
    }

    /// Its part of the configuration of end 0 (gateway 1) or 1.
    fn render(&self, end: usize) -> String {
        let other = 1 - end;
        let mut lines = vec![
            format!("[connection.{}]", self.name),
            format!("local_address = \"{}\"", self.local[end]),
            format!("remote_address = \"{}\"", self.seen[other]),
            format!("local_id = \"{}.g{}.test\"", self.name, end + 1),
            format!("remote_id = \"{}.g{}.test\"", self.name, other + 1),
        ];
        lines.extend(self.lines.iter().cloned());
        for child in &self.children {
            lines.extend([
                format!("[connection.{}.child.{}]", self.name, child.name),
                format!("local_subnets = {:?}", child.nets[end]),
                format!("remote_subnets = {:?}", child.nets[other]),
                format!("start = \"{}\"", child.start[end]),
            ]);
            lines.extend(child.lines.iter().cloned());
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

/// The configurations of both ends.
#[derive(Debug, Clone)]
struct Plan {
    /// Further lines of `[gateway]`.
    gateway: Vec<String>,
    tunnels: Vec<Tunnel>,
}

impl From<Tunnel> for Plan {
    fn from(tunnel: Tunnel) -> Self {
        Self { gateway: Vec::new(), tunnels: vec![tunnel] }
    }
}

impl Plan {
    fn gateway_line(mut self, line: impl Into<String>) -> Self {
        self.gateway.push(line.into());
        self
    }

    /// The configuration of end 0 (gateway 1) or 1.
    fn render(&self, end: usize) -> String {
        let gateway: String = self.gateway.iter().map(|line| format!("{line}\n")).collect();
        let tunnels: String = self.tunnels.iter().map(|tunnel| tunnel.render(end)).collect();
        format!("{}{gateway}{tunnels}", gateway_section())
    }

    fn secrets(&self) -> String {
        let keys = self.tunnels.iter().map(|tunnel| format!("{0} = \"{0}: {PSK}\"\n", tunnel.name));
        format!("[psk]\n{}", keys.collect::<String>())
    }
}

/// Two gateways of ours, each at the edge of its site.
#[derive(Debug)]
struct Pair {
    // Dropped in this order: the gateways before the namespaces they live in.
    g1: Underpass,
    g2: Underpass,
    sites: Sites,
}

impl Pair {
    /// Starts gateway 2, then gateway 1.
    fn start(lab: &mut LabContext, internet: Internet, plan: &Plan) -> Result<Self, LabError> {
        let sites = lab.sites(internet)?;
        Self::start_in(lab, sites, plan)
    }

    /// As [`Pair::start`], in sites prepared before.
    fn start_in(lab: &LabContext, sites: Sites, plan: &Plan) -> Result<Self, LabError> {
        let g2 = lab.underpass(&sites.g2, "g2", &plan.render(1), &plan.secrets())?;
        let g1 = lab.underpass(&sites.g1, "g1", &plan.render(0), &plan.secrets())?;
        Ok(Self { g1, g2, sites })
    }

    /// As [`Pair::start`] with one cable between, and waits until the connection `site` is up at both ends.
    fn connected(lab: &mut LabContext, plan: &Plan) -> Result<Self, LabError> {
        let pair = Self::start(lab, Internet::Direct, plan)?;
        pair.wait_up(SOON)?;
        Ok(pair)
    }

    /// Waits until the connection `site` is up at both ends.
    fn wait_up(&self, bound: Duration) -> Result<(), LabError> {
        for gateway in [&self.g1, &self.g2] {
            wait_for("both ends being up", bound, || Ok((gateway.connection(SITE)?["state"] == "up").then_some(())))?;
        }
        Ok(())
    }

    /// Both ends are up with the same SAs, and echoes pass both ways.
    fn ensure_works(&self) -> Result<(), LabError> {
        self.wait_up(SOON)?;
        self.agreed(SITE)?;
        self.ensure_echoes(address::C1, address::C2)
    }

    /// Waits until nothing is left of SAs that were replaced, but the one IKE SA and one SA for each child.
    fn settled(&self, connection: &str) -> Result<(), LabError> {
        for gateway in [&self.g1, &self.g2] {
            wait_for("replaced SAs being gone", SOON, || {
                let children = gateway.connection(connection)?["children"].as_array().cloned().unwrap_or_default();
                Ok(children.iter().all(|child| child["sas"] == 1).then_some(()))
            })?;
        }
        self.agreed(connection).map(drop)
    }

    /// Echoes pass between the clients, at the first try.
    fn ensure_echoes(&self, c1: impl Into<IpAddr>, c2: impl Into<IpAddr>) -> Result<(), LabError> {
        for (from, to) in [(&self.sites.c1, c2.into()), (&self.sites.c2, c1.into())] {
            let pings = echo(from, to, 3, Duration::from_secs(2))?;
            ensure(pings.received == pings.sent, || format!("{pings} to {to} through the tunnel"))?;
        }
        Ok(())
    }

    /// Waits until both ends use the same IKE SA and for each child the same SA, each one's inbound the other's outbound.
    /// Returns the SPIs: of the IKE SA, then of the children.
    fn agreed(&self, connection: &str) -> Result<Vec<String>, LabError> {
        wait_for(&format!("both ends having the same SAs of {connection}"), SOON, || {
            let (a, b) = (self.g1.connection(connection)?, self.g2.connection(connection)?);
            let ike = |end: &serde_json::Value| format!("{}/{}", end["ike"]["spi_i"], end["ike"]["spi_r"]);
            let children = |end: &serde_json::Value| end["children"].as_array().cloned().unwrap_or_default();
            let mut spis = vec![ike(&a)];
            let mut agreed = !a["ike"].is_null() && ike(&a) == ike(&b);
            for (a, b) in children(&a).iter().zip(children(&b)) {
                agreed &= !a["spi_in"].is_null();
                agreed &= a["spi_in"] == b["spi_out"] && a["spi_out"] == b["spi_in"];
                spis.push(format!("{}/{}", a["spi_in"], a["spi_out"]));
            }
            Ok(agreed.then_some(spis))
        })
    }

    /// One stream each way between the sites' first networks, 1,000 packets a second.
    fn streams(&self) -> Result<[Stream; 2], LabError> {
        Ok([
            Stream::start(&self.sites.c1, &self.sites.c2, address::C2, 5001, RATE)?,
            Stream::start(&self.sites.c2, &self.sites.c1, address::C1, 5001, RATE)?,
        ])
    }
}

/// Ends both streams of at least `least` packets, of which none may be missing. Returns the account.
fn finish_complete(streams: [Stream; 2], least: u64) -> Result<String, LabError> {
    let [there, back] = streams;
    let (there, back) = (there.finish()?, back.finish()?);
    there.ensure_complete(least)?;
    back.ensure_complete(least)?;
    Ok(format!("there: {there}; back: {back}"))
}
