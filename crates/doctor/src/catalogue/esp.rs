//! Protected packets.

use super::codes;
use crate::code::Seen::Here;

codes! { ESP:
    ESP_03 = "ESP-03" in Esp, Here;
        "Packets arrive and fail their integrity check",
        "Keys or truncation differ (SHA2-256 cut to 96 or to 128 bits), or packets are altered on the way.",
        fix "For old peers set `sha256_96 = true`; else `underpass rekey CONNECTION/CHILD`, then AES-GCM.",
        tell "Your ESP packets fail our integrity check: which truncation of SHA2-256 do you use? RFC 4868 has 128 bits.", from "RFC 4303 §3.4.4; RFC 4868 §2.3";
    ESP_05 = "ESP-05" in Esp, Here;
        "Packets come for SAs that are not there any more",
        "One end restarted, or lost its SAs, and the other still uses the old keys.",
        fix "`underpass up CONNECTION`; keep dead peer detection and `initial_contact` on, so that it ends by itself.",
        tell "You send on SAs that we do not have: please clear yours, and enable DPD.", from "RFC 4303 §3.4.2; RFC 7296 §2.4";
    ESP_02 = "ESP-02" in Esp, Here;
        "The peer receives our packets and sends none back",
        "Our packets arrive and are opened there; nothing is sent into the tunnel on its side.",
        fix "Nothing here: the route or the filter is on the other side.",
        tell "Your gateway receives our packets and sends none back: please check its route to our networks and its filters.", from "AWS re:Post vpn-tunnel-no-traffic";
    ESP_01 = "ESP-01" in Esp, Here;
        "We send into the tunnel and nothing comes back",
        "SAs are up and our counter grows, and no protected packet arrives: ESP (IP protocol 50) is filtered, or the other side sends nothing.",
        fix "Allow IP protocol 50 in both directions, or set `encapsulation = \"force\"` to use UDP 4500.",
        tell "We send ESP and receive none: do our packets arrive (protocol 50)? Is there a route back?", from "RFC 4303 §2; RFC 3948 §1";
    ESP_04 = "ESP-04" in Esp, Here;
        "Packets are dropped as replays",
        "They arrive later than the replay window allows: reordered by several paths or queues, or duplicated.",
        fix "Set `replay_window = 4096`; turn off per-packet load sharing and priority queues for ESP on the way.",
        tell "Your packets reach us out of order beyond the replay window: please use per-flow load sharing.", from "RFC 4303 §3.4.3";
    ESP_06 = "ESP-06" in Esp, Here;
        "Traffic is not what the tunnel was negotiated for",
        "Packets outside the traffic selectors are dropped here, before they leave or after they came.",
        fix "Correct the subnets, or exempt the traffic from NAT before IPsec.",
        tell "Packets from you are outside the traffic selectors we agreed on: please check your NAT and networks.", from "RFC 4301 §5.1, §5.2";
}
