//! The child SA, phase 2.

use super::codes;
use crate::code::Seen::Here;

codes! { CHILD:
    CHD_05 = "CHD-05" in Child, Here;
        "Modes of the child differ: tunnel and transport, or extended sequence numbers",
        "Algorithms agree; the mode of encapsulation or the use of 64-bit sequence numbers does not.",
        fix "Use tunnel mode at both; write `esn` or `noesn` in `esp_proposals` as the peer has it.",
        tell "Please use tunnel mode, and the same setting for extended sequence numbers as above.", from "RFC 7296 §1.3.1, §3.3.2; RFC 4303 §2.2.1";
    CHD_02 = "CHD-02" in Child, Here;
        "Perfect forward secrecy differs: it shows at the first rekey",
        "The first child takes its keys from the IKE SA and needs no group; its rekey asks for one that the peer does not allow.",
        fix "Make the group in `esp_proposals` the peer's PFS group, or take it out at both.",
        tell "Our PFS group is the one above: please set the same for phase 2.", from "RFC 7296 §1.3.3, §2.12";
    CHD_01 = "CHD-01" in Child, Here;
        "Phase 1 is up; no algorithm in common for phase 2",
        "Cipher, integrity or PFS group of ESP: no offer of one end is allowed at the other.",
        fix "Make one entry of `esp_proposals` the same as at the peer; the field that differs is named above.",
        tell "Phase 2 has no proposal in common; we offer what is named above: please allow one of them.", from "RFC 7296 §1.2, §3.3";
    CHD_03 = "CHD-03" in Child, Here;
        "Traffic selectors do not meet",
        "One end asks for traffic that the other does not allow: networks, protocols or ports differ.",
        fix "Make `local_subnets` the peer's remote networks and the other way round, or `0.0.0.0/0` at both.",
        tell "Our networks are those above: please set the same pair, exchanged.", from "RFC 7296 §2.9";
    CHD_04 = "CHD-04" in Child, Here;
        "Child SAs replace each other again and again",
        "A device opens one SA for each pair of subnets, and the other end keeps only one; or a lifetime is far too short.",
        fix "Use one pair (0.0.0.0/0 or a summary), or `split_selectors = true` if the peer keeps one per pair.",
        tell "Please use one SA for all traffic (route-based), or tell us the pairs of subnets you open.", from "RFC 7296 §2.9; AWS Site-to-Site VPN user guide, policy-based devices";
    CHD_08 = "CHD-08" in Child, Here;
        "The peer refuses the child with an error that names no cause, or does not answer",
        "The IKE SA is up; the request for the child failed for a reason that only the peer's log has.",
        fix "Ask for the peer's log at the time above, and put it into `underpass explain`.",
        tell "Your answer to our request for a child SA was the one above: what does your log say?", from "RFC 7296 §1.3, §3.10.1";
    CHD_06 = "CHD-06" in Child, Here;
        "Nothing has asked for the tunnel yet",
        "It is on demand, and no packet for it has come: that is how it is meant, and no fault.",
        fix "Send traffic, run `underpass up CONNECTION`, or set `start = \"on-load\"`.",
        tell "", from "RFC 4301 §4.4.1";
    CHD_07 = "CHD-07" in Child, Here;
        "The peer granted less traffic than it was asked for",
        "It narrowed our selectors: what is outside has no SA and is dropped.",
        fix "Add the rest at the peer, or set `split_selectors = true` if it takes one pair of subnets per child.",
        tell "You narrowed our traffic selectors to those above: please allow all of them.", from "RFC 7296 §2.9";
}
