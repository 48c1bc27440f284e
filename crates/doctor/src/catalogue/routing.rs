//! Routes into the tunnel and back.

use super::codes;
use crate::code::Seen::{ElsewhereOnly, Here};

codes! { ROUTING:
    RTE_02 = "RTE-02" in Routing, Here;
        "Both sites use this network",
        "A network of this host covers, or is part of, a network behind the peer: packets for it never reach the tunnel.",
        fix "Renumber one side, or translate one of the two networks one to one.",
        tell "Your network above is in use here, too: one of us has to translate or renumber it.", from "RFC 1918 §4; RFC 3022";
    RTE_01 = "RTE-01" in Routing, Here;
        "The tunnel is up, and this host sends the traffic elsewhere",
        "The route for a network behind the peer does not lead into the tunnel.",
        fix "Remove the more specific route, or list the prefix in `routes` of the child.",
        tell "", from "ip-route(8)";
    RTE_03 = "RTE-03" in Routing, Here;
        "The host is not allowed to forward, or drops packets whose way back is another one",
        "net.ipv4.ip_forward is 0, or rp_filter is strict on the tunnel's interface.",
        fix "`sysctl -w net.ipv4.ip_forward=1`; `sysctl -w net.ipv4.conf.all.rp_filter=2`; both in /etc/sysctl.d.",
        tell "", from "RFC 1812 §5.3.8; RFC 3704 §2.2; ip-sysctl.rst";
    RTE_06 = "RTE-06" in Routing, Here;
        "Inside addresses collide",
        "The inside network of a tunnel is that of another interface, or one of the reserved ranges.",
        fix "Ask for another inside CIDR for this tunnel.",
        tell "Please change the inside CIDR of this tunnel: it is in use here.", from "AWS Site-to-Site VPN user guide, tunnel options";
    RTE_04 = "RTE-04" in Routing, Here;
        "Traffic goes out by one tunnel and comes back by the other",
        "Asymmetric: accepted here, but stateful filters and strict rp_filter on the way drop it.",
        fix "Prefer the same tunnel on both sides; `rp_filter = 2`.",
        tell "You send by the other tunnel than we do: please prefer the same one (AS path, MED, local preference).", from "AWS Site-to-Site VPN user guide, route priority; RFC 3704 §2.4";
    RTE_05 = "RTE-05" in Routing, ElsewhereOnly("routes of the managed side are in its API, which is not asked");
        "The cloud has no way back",
        "The static route at the virtual private or transit gateway is missing, propagation is off, or an association is missing.",
        fix "Nothing here.",
        tell "Please add the static route for our networks, or turn on route propagation.", from "AWS Site-to-Site VPN user guide, static routing";
}
