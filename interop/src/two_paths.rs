//! Two tunnels to the same place over two cables, at the far side one gateway with both or one at each:
//!
//! ```text
//!                       ┌─ 192.0.2.1 ═══════ 192.0.2.2 ─── g2 ─┐
//! c1 10.91.1.2 ─── g1 ──┤                                      ├── c2 10.93.1.2      one far gateway: both cables end
//!                       └─ 198.51.100.1 ═ 198.51.100.2 ─ g3 ───┘                     at g2, and there is no g3
//! ```

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::error::LabError;
use crate::process::wait_for;
use crate::strongswan::{CharonOptions, StrongSwan, SwanChild, SwanConnection};
use crate::topology::address;
use crate::traffic::{Stream, StreamReport, transfer_through};
use crate::underpass::{Underpass, gateway_section};
use crate::world::{NetNs, World};

/// The connection, and its tunnels.
const VPN: &str = "vpn";
/// The tunnels, as our gateways call them.
pub const TUNNELS: [&str; 2] = ["vpn-1", "vpn-2"];
const PSK: &str = "a key for the lab only, 0123456789";
/// Packets a second of the streams.
const RATE: u32 = 1000;
/// How long negotiations may take.
const SOON: Duration = Duration::from_secs(15);
/// Outside addresses of the cables: near, far.
const OUTSIDE: [[Ipv4Addr; 2]; 2] = [
    [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)],
    [Ipv4Addr::new(198, 51, 100, 1), Ipv4Addr::new(198, 51, 100, 2)],
];

/// Which directions of a cable are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// None.
    Nothing,
    /// Both.
    Both,
    /// What the near site sends.
    There,
    /// What the far site sends.
    Back,
}

/// The near site and the far one.
#[derive(Debug)]
pub struct TwoPaths {
    /// Client and gateway of the near site.
    pub c1: NetNs,
    /// Its gateway.
    pub g1: NetNs,
    /// The cables: a bridge each.
    pub net: NetNs,
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
        let net = world.namespace("net")?;
        for (cable, far) in [(1, &g2), (2, &g3)] {
            let wan = format!("wan{cable}");
            world.join((&g1, &wan), (&net, &format!("near{cable}")))?;
            world.join((&net, &format!("far{cable}")), (far, &wan))?;
            net.ip(&[
                &format!("link add br{cable} type bridge"),
                &format!("link set near{cable} master br{cable}"),
                &format!("link set far{cable} master br{cable}"),
                &format!("link set br{cable} up"),
            ])?;
        }
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
            // An address in the site's network, too: charon wants one to install its routes with.
            g3.ip(&[
                "address add 10.94.1.1/24 dev lan2",
                "address add 10.93.1.3/32 dev lan2",
                "route add 10.93.1.0/24 via 10.94.1.2",
            ])?;
        }
        Ok(Self { c1, g1, net, far: [g2, g3], c2 })
    }

    /// Makes the cable of a tunnel a black hole in these directions, all at once; neither end sees its link go down.
    pub fn cut(&self, tunnel: usize, cut: Cut) -> Result<(), LabError> {
        let cable = tunnel + 1;
        let (there, back) = (matches!(cut, Cut::Both | Cut::There), matches!(cut, Cut::Both | Cut::Back));
        let rule =
            |drops: bool, end: &str| if drops { format!("  iifname \"{end}{cable}\" drop\n") } else { String::new() };
        self.net.nft(&format!(
            "table bridge lab_cut{cable}\ndelete table bridge lab_cut{cable}\ntable bridge lab_cut{cable} {{\n chain both {{\n  \
             type filter hook forward priority 0;\n{}{} }}\n}}\n",
            rule(there, "near"),
            rule(back, "far")
        ))
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

/// Who is at the far ends.
#[derive(Debug)]
pub enum Far {
    /// Gateways of ours: one with both tunnels, or one for each.
    Ours(Vec<Underpass>),
    /// A strongSwan for each tunnel.
    StrongSwan(Vec<StrongSwan>),
}

/// Two paths with gateways at every end and both tunnels up; ours is the near one.
#[derive(Debug)]
pub struct Connected {
    // Dropped in this order: the gateways before the namespaces they live in.
    /// The near gateway.
    pub g1: Underpass,
    /// The far ones.
    pub far: Far,
    /// Namespaces and cables.
    pub paths: TwoPaths,
}

impl Connected {
    /// Gateways of ours at the far side: one, or one at each cable.
    pub fn ours(world: &World, paths: TwoPaths, far_gateways: usize) -> Result<Self, LabError> {
        let of: &[&[usize]] = if far_gateways == 2 { &[&[0], &[1]] } else { &[&[0, 1]] };
        let mut far = Vec::new();
        for (index, tunnels) in of.iter().enumerate() {
            let configuration = TwoPaths::configuration(1, tunnels);
            let name = format!("g{}", index + 2);
            far.push(Underpass::start(world, &paths.far[index], &name, &configuration, &TwoPaths::secrets())?);
        }
        Self::near(world, paths, Far::Ours(far), &TwoPaths::configuration(0, &[0, 1]))
    }

    /// A strongSwan at each cable.
    pub fn strongswan(world: &World, paths: TwoPaths) -> Result<Self, LabError> {
        let mut far = Vec::new();
        for (tunnel, name) in TUNNELS.iter().enumerate() {
            let options = CharonOptions::default();
            far.push(StrongSwan::start(world, &paths.far[tunnel], name, &swan(tunnel), &options)?);
        }
        let configuration = TwoPaths::configuration(0, &[0, 1])
            .replace("local_subnets = \"0.0.0.0/0\"", &format!("local_subnets = \"{}\"", address::NET1))
            .replace("remote_subnets = \"0.0.0.0/0\"", &format!("remote_subnets = \"{}\"", address::NET2));
        let without_inside: Vec<&str> = configuration.lines().filter(|line| !line.starts_with("inside_")).collect();
        Self::near(world, paths, Far::StrongSwan(far), &without_inside.join("\n"))
    }

    fn near(world: &World, paths: TwoPaths, far: Far, configuration: &str) -> Result<Self, LabError> {
        let g1 = Underpass::start(world, &paths.g1, "g1", configuration, &TwoPaths::secrets())?;
        let connected = Self { g1, far, paths };
        connected.wait_roles(["active", "standby"], SOON)?;
        Ok(connected)
    }

    /// Starts every gateway again, so that nothing is left of what happened.
    pub fn start_over(&mut self) -> Result<(), LabError> {
        self.g1.kill9();
        if let Far::Ours(far) = &mut self.far {
            for (gateway, namespace) in far.iter_mut().zip(&self.paths.far) {
                gateway.kill9();
                gateway.restart(namespace)?;
            }
        }
        self.g1.restart(&self.paths.g1)?;
        self.wait_roles(["active", "standby"], SOON)
    }

    fn roles(&self) -> Result<Vec<String>, LabError> {
        let status = self.g1.status()?;
        let tunnels = status["groups"][0]["tunnels"].as_array().cloned().unwrap_or_default();
        Ok(tunnels.iter().map(|tunnel| tunnel["role"].as_str().unwrap_or_default().to_owned()).collect())
    }

    /// Waits until the near gateway sees its tunnels in these roles.
    pub fn wait_roles(&self, wanted: [&str; 2], bound: Duration) -> Result<(), LabError> {
        let mut last = Vec::new();
        let waited = wait_for("the tunnels' roles", bound, || {
            last = self.roles()?;
            Ok((last == wanted).then_some(()))
        });
        waited.map_err(|error| match error {
            LabError::TimedOut(_) => LabError::TimedOut(format!("tunnels being {wanted:?}: they are {last:?}")),
            other => other,
        })
    }

    /// A stream each way, flowing.
    pub fn streams(&self) -> Result<[Stream; 2], LabError> {
        let paths = &self.paths;
        let streams = [
            Stream::start(&paths.c1, &paths.c2, address::C2, 5001, RATE)?,
            Stream::start(&paths.c2, &paths.c1, address::C1, 5001, RATE)?,
        ];
        for stream in &streams {
            stream.wait_received(500, SOON)?;
        }
        Ok(streams)
    }

    /// A transfer by TCP that meets `trouble` midway.
    pub fn transfer(&self, trouble: impl FnOnce() -> Result<(), LabError> + Send) -> Result<String, LabError> {
        const BYTES: u64 = 64 << 20;
        let paths = &self.paths;
        let done = transfer_through(&paths.c1, &paths.c2, address::C2, 5003, BYTES, Duration::from_secs(60), trouble)?;
        Ok(done.to_string())
    }
}

/// A strongSwan at the far end of a tunnel.
fn swan(tunnel: usize) -> SwanConnection {
    let [near, far] = OUTSIDE[tunnel];
    SwanConnection {
        name: VPN.to_owned(),
        version: 2,
        aggressive: false,
        local_address: far.to_string(),
        remote_address: near.to_string(),
        local_id: "g1.test".to_owned(),
        remote_id: "g0.test".to_owned(),
        psk: format!("{}: {PSK}", tunnel + 1),
        proposals: "aes128gcm16-prfsha256-x25519,aes256gcm16-prfsha384-ecp384".to_owned(),
        dpd_seconds: 10,
        rekey_seconds: 0,
        fragmentation: "yes".to_owned(),
        extra: Vec::new(),
        children: vec![SwanChild {
            name: "net".to_owned(),
            local_ts: address::NET2.to_owned(),
            remote_ts: address::NET1.to_owned(),
            esp_proposals: "aes128gcm16,aes256gcm16".to_owned(),
            rekey_seconds: 0,
            extra: Vec::new(),
        }],
    }
}

/// Ends both streams and gives their accounts: there, back.
pub fn finish(streams: [Stream; 2]) -> Result<[StreamReport; 2], LabError> {
    let [there, back] = streams;
    Ok([there.finish()?, back.finish()?])
}
