//! BGP, NAT, MTU, firewall, performance.

use super::codes;
use crate::code::Seen::{ElsewhereOnly, Here};

codes! { UPPER:
    BGP_01 = "BGP-01" in Bgp, ElsewhereOnly("this gateway speaks no BGP yet");
        "BGP cannot connect although the tunnel is up",
        "The session stays in Active or Connect: no answer on TCP 179.",
        fix "The inside address must be on the tunnel's interface and the source of the session; TCP 179 open.",
        tell "Please check your BGP neighbour address and TCP 179.", from "RFC 4271 §8.2.2";
    BGP_02 = "BGP-02" in Bgp, ElsewhereOnly("this gateway speaks no BGP yet");
        "AS numbers differ",
        "The peer's OPEN was refused: it says another AS than is expected.",
        fix "Set the AS number the other side expects.",
        tell "Our AS number is another one than you expect.", from "RFC 4271 §6.2";
    BGP_03 = "BGP-03" in Bgp, ElsewhereOnly("this gateway speaks no BGP yet");
        "BGP keepalives are lost although the tunnel is up",
        "The hold timer expired: packets are lost, often large ones.",
        fix "Check MTU and loss; timers 10 s and 30 s.",
        tell "Please set keepalive 10 s and hold time 30 s.", from "RFC 4271 §6.5";
    BGP_04 = "BGP-04" in Bgp, ElsewhereOnly("this gateway speaks no BGP yet");
        "The BGP session is fine, and nothing is announced",
        "No prefix is received or sent: a network statement is missing, or a filter takes all.",
        fix "Announce the networks, and look at the filters.",
        tell "We receive no prefix from you.", from "RFC 4271 §9.2";
    BGP_05 = "BGP-05" in Bgp, ElsewhereOnly("this gateway speaks no BGP yet");
        "Too many routes are announced",
        "The peer closed the session with Cease, maximum number of prefixes (100 at a virtual private gateway, 1,000 at a transit gateway).",
        fix "Announce a summary.",
        tell "", from "RFC 4486 §4; AWS Site-to-Site VPN quotas";
    NAT_01 = "NAT-01" in Nat, Here;
        "A NAT rule of this host rewrites packets before they enter the tunnel",
        "Masquerading or source NAT changes the inner source address, which then is none that the tunnel was negotiated for.",
        fix "Exempt the tunnel's networks first: `nft insert rule ip nat postrouting ip daddr REMOTE return`.",
        tell "", from "RFC 3022; nft(8)";
    NAT_02 = "NAT-02" in Nat, ElsewhereOnly("this gateway translates no networks yet");
        "The translation of an overlapping network has no way back",
        "A one-to-one map exists in one direction only.",
        fix "Add the reverse map.",
        tell "", from "RFC 3022 §2";
    MTU_02 = "MTU-02" in Mtu, Here;
        "Protected packets are larger than the outside interface takes",
        "`path_mtu` is larger than the MTU of the interface that leads to the peer: ESP is fragmented or dropped.",
        fix "Set `path_mtu` to the MTU of the outside interface (or of the narrowest link).",
        tell "", from "RFC 4301 §8; RFC 4459";
    MTU_01 = "MTU-01" in Mtu, Here;
        "Large packets vanish, small ones pass",
        "A link on the way is narrower than is known, and the message that says so does not arrive: a path MTU black hole.",
        fix "Set `path_mtu` in [gateway] to what passes, and leave `clamp_mss` on.",
        tell "Packets of full size vanish between us: please clamp the TCP MSS on your side (GCM 1406, CBC with SHA 1382).", from "RFC 2923 §2.1; RFC 4821";
    FW_01 = "FW-01" in Firewall, Here;
        "The firewall of this host drops packets of the tunnel",
        "A drop rule with a counter has dropped inner packets, before the tunnel or behind it.",
        fix "Accept them: `nft insert rule inet filter forward iifname \"underpass0\" accept`, and the same with oifname.",
        tell "", from "nft(8)";
    FW_02 = "FW-02" in Firewall, ElsewhereOnly("filters of the cloud are in its API, which is not asked");
        "The cloud's security group or network ACL denies",
        "Packets are delivered to the network and get no answer.",
        fix "Nothing here.",
        tell "Please allow our networks in the security group and the network ACL.", from "Amazon VPC user guide, security groups";
    CVP_01 = "CVP-01" in Firewall, ElsewhereOnly("remote access is not served here");
        "A remote user is connected, and not allowed to reach a network",
        "There is no authorization rule or no route, or the pool of addresses is used up.",
        fix "Add the authorization rule.",
        tell "", from "AWS Client VPN administrator guide";
    PERF_01 = "PERF-01" in Performance, Here;
        "Packets are dropped because queues are full",
        "One core or one queue is the limit; the tunnel itself is sound.",
        fix "Use AES-GCM, more flows, larger socket buffers (`sysctl net.core.rmem_max`).",
        tell "", from "docs/doctor.md";
    PERF_02 = "PERF-02" in Performance, Here;
        "The way to the peer is worse than it normally is at this hour",
        "Its round-trip time or its loss is far above what the last weeks had at this hour: the tunnel is sound, the network between is not.",
        fix "Compare both tunnels of the connection; where one is well, prefer it (`preference`). Ask the provider with the times in `underpass status`.",
        tell "Since today the way between us has more delay or loss than usual: do you see it too?", from "docs/metrics.md";
    PERF_03 = "PERF-03" in Performance, Here;
        "Traffic is far from what it normally is at this hour",
        "Much more or much less passes than in the last weeks at this hour: something that uses the tunnel began or stopped.",
        fix "`underpass status CONNECTION` shows now and normally; a capture (`underpass capture CONNECTION`) shows who talks.",
        tell "", from "docs/metrics.md";
}
