//! Two sites and what lies between them:
//!
//! ```text
//! Direct  c1 10.91.1.2 ─ 10.91.1.1 g1 192.0.2.1 ═══════════════════════════ 192.0.2.2 g2 10.93.1.1 ─ 10.93.1.2 c2
//! Nat     c1 10.91.1.2 ─ 10.91.1.1 g1 10.55.0.2 ─ 10.55.0.1 r 192.0.2.1 ═══ 192.0.2.2 g2 10.93.1.1 ─ 10.93.1.2 c2
//! Routed  c1 … g1 10.55.0.2 ─ 10.55.0.1 r 192.0.2.1 ═══ 192.0.2.2 far 10.56.0.1 ─ 10.56.0.2 g2 … c2
//! NatBoth the same, where r masquerades g1, and far masquerades g2 and forwards IKE's ports to it
//! ```
//! g2 sees 192.0.2.1 but in Routed. The clients know no route but through their gateway.

use crate::error::LabError;
use crate::world::{NetNs, World};

/// Addresses of the two sites.
pub mod address {
    use std::net::{Ipv4Addr, Ipv6Addr};
    /// Client of site 1.
    pub const C1: Ipv4Addr = Ipv4Addr::new(10, 91, 1, 2);
    /// Client of site 2.
    pub const C2: Ipv4Addr = Ipv4Addr::new(10, 93, 1, 2);
    /// Gateway of site 1 as gateway 2 sees it (the NAT router's address where there is one).
    pub const G1: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    /// Gateway of site 2.
    pub const G2: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
    /// Gateway of site 1 behind the NAT router.
    pub const G1_PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 55, 0, 2);
    /// Gateway of site 2 behind a router of its own.
    pub const G2_PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 56, 0, 2);
    /// The address the NAT router moves to in [`super::Sites::rebind_address`].
    pub const G1_MOVED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
    /// Network of site 1.
    pub const NET1: &str = "10.91.1.0/24";
    /// Network of site 2.
    pub const NET2: &str = "10.93.1.0/24";
    /// Client of site 1 in [`super::Sites::add_ipv6`].
    pub const C1_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x91, 0, 0, 0, 0, 2);
    /// Client of site 2.
    pub const C2_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x93, 0, 0, 0, 0, 2);
    /// Gateway of site 1.
    pub const G1_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
    /// Gateway of site 2.
    pub const G2_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 2);
    /// IPv6 network of site 1.
    pub const NET1_V6: &str = "2001:db8:91::/64";
    /// IPv6 network of site 2.
    pub const NET2_V6: &str = "2001:db8:93::/64";
    /// Second network of site 1 in [`super::Sites::add_second_networks`].
    pub const MORE1: &str = "10.91.2.0/24";
    /// Second network of site 2.
    pub const MORE2: &str = "10.93.2.0/24";
    /// Client of site 2 in its second network.
    pub const C2_MORE: Ipv4Addr = Ipv4Addr::new(10, 93, 2, 2);
    /// Client of site 1 in its second network.
    pub const C1_MORE: Ipv4Addr = Ipv4Addr::new(10, 91, 2, 2);
}

/// What lies between the two gateways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Internet {
    /// One cable.
    Direct,
    /// A router that masquerades gateway 1 behind 192.0.2.1 with other ports.
    Nat,
    /// Two routers.
    Routed,
    /// Two routers which masquerade; the one of site 2 forwards UDP 500 and 4500 to gateway 2.
    NatBoth,
}

/// Which IKE messages do not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// All pass.
    Nothing,
    /// Responses are dropped, requests pass.
    Responses,
    /// None pass.
    Everything,
}

/// Two sites, a gateway and a client each.
#[derive(Debug)]
pub struct Sites {
    /// Client of site 1.
    pub c1: NetNs,
    /// Gateway of site 1.
    pub g1: NetNs,
    /// Gateway of site 2.
    pub g2: NetNs,
    /// Client of site 2.
    pub c2: NetNs,
    /// The router between them, or the one before site 1, if there is one.
    pub router: Option<NetNs>,
    /// The router before site 2, if there is one.
    pub far_router: Option<NetNs>,
}

impl Sites {
    /// Builds two sites in `world`.
    pub fn build(world: &mut World, internet: Internet) -> Result<Self, LabError> {
        let c1 = world.namespace("c1")?;
        let g1 = world.namespace("g1")?;
        let g2 = world.namespace("g2")?;
        let c2 = world.namespace("c2")?;
        world.join((&c1, "lan"), (&g1, "lan"))?;
        world.join((&c2, "lan"), (&g2, "lan"))?;
        c1.ip(&["address add 10.91.1.2/24 dev lan", "route add default via 10.91.1.1"])?;
        c2.ip(&["address add 10.93.1.2/24 dev lan", "route add default via 10.93.1.1"])?;
        g1.ip(&["address add 10.91.1.1/24 dev lan"])?;
        g2.ip(&["address add 10.93.1.1/24 dev lan"])?;
        let mut sites = Self { c1, g1, g2, c2, router: None, far_router: None };
        let (g1, g2) = (&sites.g1, &sites.g2);
        match internet {
            Internet::Direct => {
                world.join((g1, "wan"), (g2, "wan"))?;
                // A way out in clear, so that only the gateway's own rules keep traffic from taking it.
                g1.ip(&["address add 192.0.2.1/24 dev wan", "route add default via 192.0.2.2"])?;
                g2.ip(&["address add 192.0.2.2/24 dev wan"])?;
            }
            Internet::Nat => {
                let router = Self::near_router(world, g1)?;
                world.join((&router, "out"), (g2, "wan"))?;
                router.ip(&["address add 192.0.2.1/24 dev out"])?;
                router.nft(&masquerade("40000-40999"))?;
                g2.ip(&["address add 192.0.2.2/24 dev wan"])?;
                sites.router = Some(router);
            }
            Internet::Routed | Internet::NatBoth => {
                let router = Self::near_router(world, g1)?;
                let far = world.namespace("far")?;
                world.join((&router, "out"), (&far, "out"))?;
                world.join((&far, "in"), (g2, "wan"))?;
                router.ip(&["address add 192.0.2.1/24 dev out"])?;
                far.ip(&["address add 192.0.2.2/24 dev out", "address add 10.56.0.1/24 dev in"])?;
                g2.ip(&["address add 10.56.0.2/24 dev wan", "route add default via 10.56.0.1"])?;
                if internet == Internet::NatBoth {
                    router.nft(&masquerade("40000-40999"))?;
                    far.nft(&format!("{}{FORWARD}", masquerade("41000-41999")))?;
                } else {
                    router.ip(&["route add default via 192.0.2.2"])?;
                    far.ip(&["route add default via 192.0.2.1"])?;
                }
                (sites.router, sites.far_router) = (Some(router), Some(far));
            }
        }
        Ok(sites)
    }

    /// The router before site 1, its outer side still missing.
    fn near_router(world: &mut World, g1: &NetNs) -> Result<NetNs, LabError> {
        let router = world.namespace("r")?;
        world.join((g1, "wan"), (&router, "in"))?;
        g1.ip(&["address add 10.55.0.2/24 dev wan", "route add default via 10.55.0.1"])?;
        router.ip(&["address add 10.55.0.1/24 dev in"])?;
        Ok(router)
    }

    /// Gives both sites, and the cable between directly joined gateways, IPv6 besides IPv4.
    pub fn add_ipv6(&self) -> Result<(), LabError> {
        self.c1.ip(&["address add 2001:db8:91::2/64 dev lan nodad", "route add default via 2001:db8:91::1"])?;
        self.c2.ip(&["address add 2001:db8:93::2/64 dev lan nodad", "route add default via 2001:db8:93::1"])?;
        self.g1.ip(&[
            "address add 2001:db8:91::1/64 dev lan nodad",
            "address add 2001:db8:1::1/64 dev wan nodad",
            "route add default via 2001:db8:1::2",
        ])?;
        self.g2.ip(&["address add 2001:db8:93::1/64 dev lan nodad", "address add 2001:db8:1::2/64 dev wan nodad"])
    }

    /// Gives both sites a second network.
    pub fn add_second_networks(&self) -> Result<(), LabError> {
        self.g1.ip(&["address add 10.91.2.1/24 dev lan"])?;
        self.g2.ip(&["address add 10.93.2.1/24 dev lan"])?;
        self.c1.ip(&["address add 10.91.2.2/24 dev lan", "route add 10.93.2.0/24 via 10.91.2.1 src 10.91.2.2"])?;
        self.c2.ip(&["address add 10.93.2.2/24 dev lan", "route add 10.91.2.0/24 via 10.93.2.1 src 10.93.2.2"])
    }

    /// Makes the link between the two routers carry packets of `mtu` bytes at most.
    pub fn narrow(&self, mtu: u16) -> Result<(), LabError> {
        let command = format!("link set out mtu {mtu}");
        [Some(self.router()?), self.far_router.as_ref()].into_iter().flatten().try_for_each(|at| at.ip(&[&command]))
    }

    /// Drops `percent` (0 to 100) of what the gateways receive from each other, in both directions.
    pub fn lose(&self, percent: u8) -> Result<(), LabError> {
        let rule = match percent {
            0 => String::new(),
            1..100 => format!("  iifname \"wan\" meta l4proto {{ udp, esp }} numgen random mod 100 < {percent} drop\n"),
            _ => "  iifname \"wan\" drop\n".to_owned(),
        };
        let script = format!(
            "table inet lab_loss\ndelete table inet lab_loss\ntable inet lab_loss {{\n chain both {{\n  \
             type filter hook prerouting priority -310;\n{rule} }}\n}}\n"
        );
        self.g1.nft(&script)?;
        self.g2.nft(&script)
    }

    /// Cuts the path between the gateways (`true`) or restores it, without either end seeing a link go down.
    pub fn cut(&self, cut: bool) -> Result<(), LabError> {
        self.lose(if cut { 100 } else { 0 })
    }

    /// Holds up IKE on port 4500 between the gateways; ESP passes always.
    pub fn hold_up_ike(&self, hold: Hold) -> Result<(), LabError> {
        // The non-ESP marker (RFC 3948 §2.2) behind the UDP header, and the Response flag (RFC 7296 §3.1) 19 octets on.
        let rule = match hold {
            Hold::Nothing => "",
            Hold::Responses => "  iifname \"wan\" udp dport 4500 @th,64,32 0 @th,248,8 & 0x20 == 0x20 drop\n",
            Hold::Everything => "  iifname \"wan\" udp dport 4500 @th,64,32 0 drop\n",
        };
        let script = format!(
            "table inet lab_ike\ndelete table inet lab_ike\ntable inet lab_ike {{\n chain both {{\n  \
             type filter hook prerouting priority -309;\n{rule} }}\n}}\n"
        );
        self.g1.nft(&script)?;
        self.g2.nft(&script)
    }

    /// Drops (`true`) or lets pass what gateway 1 sends on port 4500 in messages of IKE of `octets`, the header of ISAKMP
    /// included: an exchange of which the lengths are known loses one message.
    pub fn drop_ike_of(&self, octets: u16, drop: bool) -> Result<(), LabError> {
        // UDP's header and the non-ESP marker are eight and four octets.
        let rule = format!("  iifname \"wan\" udp dport 4500 udp length {} @th,64,32 0 counter drop\n", octets + 12);
        let script = format!(
            "table inet lab_one\ndelete table inet lab_one\ntable inet lab_one {{\n chain both {{\n  \
             type filter hook prerouting priority -308;\n{} }}\n}}\n",
            if drop { rule } else { String::new() }
        );
        self.g2.nft(&script)
    }

    /// Lets the NAT router forget its mappings: what gateway 1 sends next comes from another port.
    pub fn rebind_port(&self) -> Result<(), LabError> {
        let router = self.router()?;
        router.nft(&masquerade("50000-50999"))?;
        // Masquerading forgets the mappings of an address when that address goes.
        router.ip(&["address del 192.0.2.1/24 dev out", "address add 192.0.2.1/24 dev out"])
    }

    /// Gives the NAT router another address: what gateway 1 sends next comes from 192.0.2.9 and another port.
    pub fn rebind_address(&self) -> Result<(), LabError> {
        let router = self.router()?;
        router.nft(&masquerade("50000-50999"))?;
        router.ip(&["address del 192.0.2.1/24 dev out", "address add 192.0.2.9/24 dev out"])
    }

    /// Begins to count packets of the sites' own addresses that cross the path between the gateways in clear.
    pub fn watch_for_plaintext(&self) -> Result<(), LabError> {
        let script = "table inet lab_plain {\n counter clear { }\n chain seen {\n  \
                      type filter hook prerouting priority -305;\n  \
                      iifname \"wan\" ip saddr { 10.91.0.0/16, 10.93.0.0/16 } counter name clear\n  \
                      iifname \"wan\" ip daddr { 10.91.0.0/16, 10.93.0.0/16 } counter name clear\n }\n}\n";
        self.g1.nft(script)?;
        self.g2.nft(script)
    }

    /// Packets seen in clear since [`Sites::watch_for_plaintext`].
    pub fn plaintext_packets(&self) -> Result<u64, LabError> {
        let mut total = 0;
        for gateway in [&self.g1, &self.g2] {
            let text = gateway.run("nft", &["list", "counter", "inet", "lab_plain", "clear"])?;
            let count = text.split_whitespace().skip_while(|word| *word != "packets").nth(1);
            let count = count.and_then(|word| word.parse::<u64>().ok());
            total += count.ok_or_else(|| LabError::harness("nft list counter", &text))?;
        }
        Ok(total)
    }

    /// The router between the gateways, or the one before site 1.
    pub fn router(&self) -> Result<&NetNs, LabError> {
        self.router.as_ref().ok_or_else(|| LabError::Harness("these sites have no router between them".to_owned()))
    }
}

/// What a router adds to [`masquerade`] to let the world reach the gateway behind it.
const FORWARD: &str = "table ip lab_forward {\n chain pre {\n  type nat hook prerouting priority -100;\n  \
                       iifname \"out\" udp dport { 500, 4500 } dnat to 10.56.0.2\n }\n}\n";

/// The router's rules, replacing earlier ones: ports are never preserved.
fn masquerade(ports: &str) -> String {
    format!(
        "table ip lab_nat\ndelete table ip lab_nat\ntable ip lab_nat {{\n chain post {{\n  \
         type nat hook postrouting priority 100;\n  \
         oifname \"out\" meta l4proto udp masquerade to :{ports}\n  oifname \"out\" masquerade\n }}\n}}\n"
    )
}
