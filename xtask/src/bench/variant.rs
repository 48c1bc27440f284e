//! What is compared, and how each tunnel is built.

use super::cpu::Used;
use super::load::{Load, Window};
use super::table::Measurement;
use interop::error::{LabError, ensure};
use interop::strongswan::{CharonOptions, StrongSwan, SwanChild, SwanConnection};
use interop::topology::{Internet, Sites, address};
use interop::traffic::echo;
use interop::underpass::{Underpass, gateway_section};
use interop::world::World;
use std::fmt;
use std::time::Duration;

/// One thing to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Variant {
    /// Routed without a tunnel: what the machine can do at all
    Raw,
    /// Our gateways, ESP in UDP
    Underpass,
    /// Our gateways, plain protocol 50
    UnderpassEsp,
    /// strongSwan with kernel-libipsec: userspace ESP in UDP
    Strongswan,
}

impl Variant {
    /// In the order of a round.
    pub const ALL: [Variant; 4] = [Variant::Raw, Variant::Underpass, Variant::UnderpassEsp, Variant::Strongswan];

    /// Why it cannot run here.
    pub fn missing(self) -> Option<String> {
        match self {
            Variant::Raw => None,
            Variant::Strongswan => StrongSwan::missing(),
            Variant::Underpass | Variant::UnderpassEsp => Underpass::missing(),
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Variant::Raw => "raw",
            Variant::Underpass => "underpass",
            Variant::UnderpassEsp => "underpass-esp",
            Variant::Strongswan => "strongswan",
        })
    }
}

/// Every tunnel uses the same algorithms.
const IKE: &str = "aes128gcm16-prfsha256-x25519";
const ESP: &str = "aes128gcm16";
/// Time for TCP to find its speed before anything is counted.
const WARM_UP: Duration = Duration::from_secs(1);
/// How long a tunnel may take to come up.
const UP: Duration = Duration::from_secs(20);

/// The gateways of one turn; they end with it.
enum Gateways {
    None,
    Ours(Underpass, Underpass),
    StrongSwan(StrongSwan, StrongSwan),
}

/// A variant ready to carry traffic. Fields are dropped in order: gateways before the namespaces they live in.
pub struct Tunnel {
    gateways: Gateways,
    sites: Sites,
    _world: World,
}

impl Tunnel {
    /// Two sites, and this variant's way between them.
    pub fn build(variant: Variant) -> Result<Self, LabError> {
        let mut world = World::new()?;
        let sites = Sites::build(&mut world, Internet::Direct)?;
        let gateways = match variant {
            Variant::Raw => {
                sites.g1.ip(&["route add 10.93.1.0/24 via 192.0.2.2"])?;
                sites.g2.ip(&["route add 10.91.1.0/24 via 192.0.2.1"])?;
                Gateways::None
            }
            Variant::Underpass => ours(&world, &sites, "force")?,
            Variant::UnderpassEsp => ours(&world, &sites, "auto")?,
            Variant::Strongswan => strongswan(&world, &sites)?,
        };
        Ok(Tunnel { gateways, sites, _world: world })
    }

    /// Packets really cross, before anything is measured.
    pub fn prove(&self) -> Result<(), LabError> {
        let pings = echo(&self.sites.c1, address::C2, 3, Duration::from_secs(2))?;
        ensure(pings.received > 0, || format!("nothing crosses: {pings}"))
    }

    /// Throughput and CPU of `streams` TCP streams over `length`.
    pub fn measure(&self, streams: u16, length: Duration) -> Result<Measurement, LabError> {
        let load = Load::start(&self.sites.c1, &self.sites.c2, address::C2, streams)?;
        std::thread::sleep(WARM_UP);
        let pids = self.pids();
        let before = Used::now(&pids);
        let window = Window::of(&load, length);
        let used = Used::now(&pids).since(before);
        load.finish()?;
        let gigabits = window.bytes as f64 * 8.0 / 1e9;
        ensure(window.bytes > 0, || "no byte arrived by TCP".to_owned())?;
        Ok(Measurement {
            streams,
            gbit_per_second: gigabits / window.took.as_secs_f64(),
            cpu_per_gbit: used.all / gigabits,
            gateway_cpu_per_gbit: used.gateways / gigabits,
        })
    }

    fn pids(&self) -> Vec<u32> {
        match &self.gateways {
            Gateways::None => Vec::new(),
            Gateways::Ours(a, b) => vec![a.pid(), b.pid()],
            Gateways::StrongSwan(a, b) => vec![a.pid(), b.pid()],
        }
    }
}

fn ours(world: &World, sites: &Sites, encapsulation: &str) -> Result<Gateways, LabError> {
    let secrets = "[psk]\nsite = \"a key for the bench only, 0123456789\"\n";
    let g1 = [address::G1.to_string(), "g1.test".to_owned()];
    let g2 = [address::G2.to_string(), "g2.test".to_owned()];
    let responder = configuration(&g2, &g1, [address::NET2, address::NET1], "passive", encapsulation);
    let initiator = configuration(&g1, &g2, [address::NET1, address::NET2], "on-load", encapsulation);
    let b = Underpass::start(world, &sites.g2, "g2", &responder, secrets)?;
    let a = Underpass::start(world, &sites.g1, "g1", &initiator, secrets)?;
    a.wait_up("site", 1, UP)?;
    b.wait_up("site", 1, UP)?;
    Ok(Gateways::Ours(a, b))
}

fn configuration(
    local: &[String; 2],
    remote: &[String; 2],
    networks: [&str; 2],
    start: &str,
    encapsulation: &str,
) -> String {
    format!(
        "{}[connection.site]\nlocal_address = \"{}\"\nremote_address = \"{}\"\nlocal_id = \"{}\"\nremote_id = \"{}\"\n\
         ike_proposals = [\"{IKE}\"]\nencapsulation = \"{encapsulation}\"\n\
         [connection.site.child.net]\nlocal_subnets = [\"{}\"]\nremote_subnets = [\"{}\"]\n\
         esp_proposals = [\"{ESP}\"]\nstart = \"{start}\"\n",
        gateway_section(),
        local[0],
        remote[0],
        local[1],
        remote[1],
        networks[0],
        networks[1]
    )
}

fn strongswan(world: &World, sites: &Sites) -> Result<Gateways, LabError> {
    let g2 = swan(
        [address::G2.to_string(), "g2.test".to_owned()],
        [address::G1.to_string(), "g1.test".to_owned()],
        [address::NET2, address::NET1],
    );
    let g1 = swan(
        [address::G1.to_string(), "g1.test".to_owned()],
        [address::G2.to_string(), "g2.test".to_owned()],
        [address::NET1, address::NET2],
    );
    let b = StrongSwan::start(world, &sites.g2, "g2", &g2, &CharonOptions::default())?;
    let a = StrongSwan::start(world, &sites.g1, "g1", &g1, &CharonOptions::default())?;
    a.initiate("net")?;
    Ok(Gateways::StrongSwan(a, b))
}

fn swan(local: [String; 2], remote: [String; 2], networks: [&str; 2]) -> SwanConnection {
    let [local_address, local_id] = local;
    let [remote_address, remote_id] = remote;
    SwanConnection {
        version: 2,
        aggressive: false,
        name: "site".to_owned(),
        local_address,
        remote_address,
        local_id,
        remote_id,
        psk: "a key for the bench only, 0123456789".to_owned(),
        proposals: IKE.to_owned(),
        dpd_seconds: 0,
        rekey_seconds: 0,
        fragmentation: "yes".to_owned(),
        extra: Vec::new(),
        children: vec![SwanChild {
            name: "net".to_owned(),
            local_ts: networks[0].to_owned(),
            remote_ts: networks[1].to_owned(),
            esp_proposals: ESP.to_owned(),
            rekey_seconds: 0,
            extra: Vec::new(),
        }],
    }
}
