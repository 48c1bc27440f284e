//! The path between the gateways.

use super::codes;
use crate::code::Seen::Here;

codes! { NETWORK:
    NET_08 = "NET-08" in Network, Here;
        "The clock of this host is wrong",
        "Certificates and signed calls fail when the clock is more than five minutes off, and logs of both ends cannot be compared.",
        fix "Start time synchronisation: `timedatectl set-ntp true`, `chronyc makestep`.",
        tell "", from "RFC 5280 §6.1.3; RFC 5905";
    NET_09 = "NET-09" in Network, Here;
        "This host has no address or route to reach the peer",
        "No local address can be chosen for the peer: the interface is down, or there is no route to it.",
        fix "Bring the outside interface up and set its (default) route: `ip route get PEER` must name it.",
        tell "", from "ip-route(8)";
    NET_05 = "NET-05" in Network, Here;
        "A router on the way, or the peer's host, actively refuses our packets",
        "ICMP says unreachable or administratively prohibited: a filter answers, or nothing listens on the peer's port.",
        fix "Talk to the owner of the address that says so; port unreachable means that no IKE daemon runs there.",
        tell "Your side refuses UDP 500/4500 with ICMP: please open both for our address and check that the IKE daemon runs.", from "RFC 792; RFC 4443 §3.1; RFC 1812 §5.2.7.1";
    NET_02 = "NET-02" in Network, Here;
        "Only one direction of IKE passes",
        "One end hears the other and answers, and its answers do not arrive.",
        fix "Allow UDP 500 and 4500 in, from the peer, on this side's firewall; then on every one on the way.",
        tell "Your packets reach us and our answers do not reach you: please allow UDP 500 and 4500 in from our address.", from "RFC 7296 §2.1";
    NET_03 = "NET-03" in Network, Here;
        "UDP 4500 is blocked",
        "The first exchange passed on UDP 500; behind a NAT the second goes by UDP 4500, and nothing comes back.",
        fix "Open UDP 4500 in both directions on this side.",
        tell "UDP 500 passes between us and UDP 4500 does not: please open it in both directions.", from "RFC 7296 §2.23; RFC 3947 §4";
    NET_04 = "NET-04" in Network, Here;
        "Large IKE messages vanish, small ones pass",
        "IKE_AUTH does not pass on the same port on which IKE_SA_INIT did: a device drops IP fragments or large packets.",
        fix "Leave `fragmentation_bytes` at 1280, or lower it to 576; offer fewer proposals.",
        tell "IKE messages of more than one packet do not arrive: please enable IKE fragmentation (RFC 7383).", from "RFC 7383 §1; RFC 7296 §2";
    NET_01 = "NET-01" in Network, Here;
        "The peer does not answer: our packets do not arrive, or its answers do not",
        "No byte came back on our first requests: a firewall, a wrong address, a peer that does not run, or does not know us.",
        fix "Allow UDP 500 and 4500 out and in; check `remote_address`; `ping` or `traceroute` the peer's outside address.",
        tell "We send IKE to your address and hear nothing: do our packets arrive? Please check your filter for UDP 500 and 4500 and that you know our address.", from "RFC 7296 §2.1; AWS re:Post vpn-tunnel-phase-1-ike";
    NET_07 = "NET-07" in Network, Here;
        "The peer has moved to another address",
        "Its authentic packets come from another address, or its name resolves to another one than is in use.",
        fix "Update `remote_address`, or write the peer's DNS name there, and match by `remote_id`.",
        tell "", from "RFC 7296 §2.23; RFC 4555 §1";
    NET_06 = "NET-06" in Network, Here;
        "A NAT on the way forgets the session",
        "The port of the peer's mapping changed although its address did not: a NAT gave the session another mapping.",
        fix "Raise the NAT's timeout for UDP 4500 or give it a static mapping; keepalives every 20 s must pass.",
        tell "", from "RFC 3948 §2.3; RFC 4787 §4.3";
}
