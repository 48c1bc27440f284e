//! The ground the demo stands on: five namespaces, four wires, and the addresses.
//!
//! ```text
//!  host a ─ gateway a ─ internet ─ gateway b ─ host b
//! ```
//! Both gateways have a default route into the internet, as a real one has: what a gateway does not stop leaves in clear.

use super::error::{StepError, io_error};
use host::netlink::{Netlink, Prefix, Route};
use host::netns::{NetNs, enable_forwarding};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;

/// One of the two ways between the gateways, with addresses of its own at both ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Path {
    /// Of the tunnel that carries.
    First,
    /// Of the one that stands by.
    Second,
}

impl Path {
    /// Both.
    pub const BOTH: [Path; 2] = [Path::First, Path::Second];
}

/// One of the two sites.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Site {
    /// It starts the tunnel.
    A,
    /// It answers.
    B,
}

impl Site {
    /// Both.
    pub const BOTH: [Site; 2] = [Site::A, Site::B];

    /// The site at the other end.
    pub fn other(self) -> Site {
        match self {
            Site::A => Site::B,
            Site::B => Site::A,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Site::A => "site-a",
            Site::B => "site-b",
        }
    }

    /// The host behind its gateway.
    pub fn host(self) -> Ipv4Addr {
        match self {
            Site::A => Ipv4Addr::new(10, 91, 1, 2),
            Site::B => Ipv4Addr::new(10, 93, 1, 2),
        }
    }

    /// Its gateway's address inside.
    pub fn inside(self) -> Ipv4Addr {
        match self {
            Site::A => Ipv4Addr::new(10, 91, 1, 1),
            Site::B => Ipv4Addr::new(10, 93, 1, 1),
        }
    }

    /// Its gateway's address on the internet, as the end of a path.
    pub fn outside(self, path: Path) -> Ipv4Addr {
        match (self, path) {
            (Site::A, Path::First) => Ipv4Addr::new(192, 0, 2, 1),
            (Site::A, Path::Second) => Ipv4Addr::new(192, 0, 2, 5),
            (Site::B, Path::First) => Ipv4Addr::new(198, 51, 100, 1),
            (Site::B, Path::Second) => Ipv4Addr::new(203, 0, 113, 1),
        }
    }

    /// The router its gateway is connected to: the next address.
    pub fn router(self, path: Path) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.outside(path).to_bits() + 1)
    }

    /// Its network, 24 bits of it.
    pub fn network(self) -> Ipv4Addr {
        match self {
            Site::A => Ipv4Addr::new(10, 91, 1, 0),
            Site::B => Ipv4Addr::new(10, 93, 1, 0),
        }
    }

    /// Whether an address belongs to its network.
    pub fn owns(self, address: Ipv4Addr) -> bool {
        address.octets()[..3] == self.network().octets()[..3]
    }
}

/// Bits of a site's network.
pub const NETWORK_BITS: u8 = 24;
/// Bits of one address.
const HOST_BITS: u8 = 32;
/// Bits of a wire into the internet.
const WIRE_BITS: u8 = 30;

/// The namespaces of one site.
#[derive(Clone, Debug)]
pub struct SiteSpaces {
    /// Behind the gateway.
    pub host: NetNs,
    /// The gateway.
    pub gateway: NetNs,
}

/// All namespaces.
#[derive(Clone, Debug)]
pub struct Lab {
    a: SiteSpaces,
    b: SiteSpaces,
    /// A router between.
    pub internet: NetNs,
}

impl Lab {
    /// Builds it.
    ///
    /// # Errors
    /// The kernel refuses something.
    pub fn build() -> Result<Lab, StepError> {
        let site = || Ok::<_, StepError>(SiteSpaces { host: NetNs::new()?, gateway: NetNs::new()? });
        let lab = Lab { a: site()?, b: site()?, internet: NetNs::new()? };
        for site in Site::BOTH {
            let SiteSpaces { host, gateway } = lab.at(site);
            wire((host, "lan", site.host()), (gateway, "lan", site.inside()), NETWORK_BITS)?;
            let [first, second] = Path::BOTH.map(|path| (site.outside(path), site.router(path)));
            wire((gateway, "wan", first.0), (&lab.internet, site.name(), first.1), WIRE_BITS)?;
            gateway.run(|| configure("wan", second.0, WIRE_BITS))??;
            lab.internet.run(|| configure(site.name(), second.1, WIRE_BITS))??;
            host.run(|| default_route(site.inside()))??;
            gateway.run(|| default_route(first.1))??;
        }
        for router in [&lab.a.gateway, &lab.b.gateway, &lab.internet] {
            router.run(enable_forwarding)?.map_err(io_error("let a gateway forward packets"))?;
        }
        Ok(lab)
    }

    /// Makes a path a black hole (`true`) or a path again: the internet drops what goes to either end of it.
    ///
    /// # Errors
    /// The kernel refuses the routes.
    pub fn cut(&self, path: Path, cut: bool) -> Result<(), StepError> {
        self.internet.run(|| {
            let mut netlink = Netlink::open()?;
            for site in Site::BOTH {
                let route = Route::blackhole(prefix(site.outside(path), HOST_BITS)?);
                if cut {
                    netlink.replace_route(&route)?;
                } else {
                    netlink.delete_route(&route)?;
                }
            }
            Ok(())
        })?
    }

    /// The namespaces of a site.
    pub fn at(&self, site: Site) -> &SiteSpaces {
        match site {
            Site::A => &self.a,
            Site::B => &self.b,
        }
    }

    /// Every namespace with its name for people.
    pub fn spaces(&self) -> [(&'static str, &NetNs); 5] {
        [
            ("host of site-a", &self.a.host),
            ("gateway of site-a", &self.a.gateway),
            ("internet", &self.internet),
            ("gateway of site-b", &self.b.gateway),
            ("host of site-b", &self.b.host),
        ]
    }
}

/// One end of a wire: where, the interface's name, its address.
type End<'l> = (&'l NetNs, &'l str, Ipv4Addr);

fn wire(near: End<'_>, far: End<'_>, bits: u8) -> Result<(), StepError> {
    near.0.run(|| Netlink::open()?.create_veth(near.1, far.1, Some(far.0.as_fd())))??;
    for (namespace, name, address) in [near, far] {
        namespace.run(|| configure(name, address, bits))??;
    }
    Ok(())
}

fn configure(name: &str, address: Ipv4Addr, bits: u8) -> Result<(), StepError> {
    let mut netlink = Netlink::open()?;
    netlink.set_loopback_up()?;
    let missing = || StepError::Unexpected(format!("the interface {name} is not there"));
    let link = netlink.link_by_name(name)?.ok_or_else(missing)?.index;
    netlink.add_address(link, prefix(address, bits)?)?;
    Ok(netlink.set_up(link, true)?)
}

fn default_route(router: Ipv4Addr) -> Result<(), StepError> {
    let route = Route::via(prefix(Ipv4Addr::UNSPECIFIED, 0)?, router.into());
    Ok(Netlink::open()?.add_administrators_route(&route)?)
}

fn prefix(address: Ipv4Addr, bits: u8) -> Result<Prefix, StepError> {
    Prefix::new(IpAddr::V4(address), bits)
        .ok_or_else(|| StepError::Unexpected(format!("{address}/{bits} is no prefix")))
}
