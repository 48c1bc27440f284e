//! Files, privileges and the program itself.

use super::codes;
use crate::code::Seen::Here;

codes! { CONFIGURATION:
    CFG_01 = "CFG-01" in Configuration, Here;
        "The configuration cannot be loaded; what ran before still runs",
        "A file has a syntax error, an unknown key, a value of a wrong type or out of range, or lacks one that is required. Nothing of it is applied.",
        fix "Correct the place that is named; `underpass gateway --check -c FILE` shows every error at once, with a suggestion.",
        tell "", from "docs/underpass.toml.md";
    CFG_10 = "CFG-10" in Configuration, Here;
        "A pre-shared key is missing, malformed or too short",
        "A connection has no entry in the file of secrets, or the entry is no usable key.",
        fix "Add the entry under [psk] in the file of secrets; 32 random bytes: `openssl rand -base64 32`.",
        tell "Please agree on a new pre-shared key with us, over a channel that others cannot read.", from "RFC 7296 §2.15; docs/underpass.toml.md";
    CFG_11 = "CFG-11" in Configuration, Here;
        "A file of secrets is open to others",
        "Group or others may read or write the file of pre-shared keys, so it is not used.",
        fix "`chmod 600 FILE`, and change the keys if anybody else may have read them.",
        tell "", from "docs/underpass.toml.md";
    CFG_14 = "CFG-14" in Configuration, Here;
        "A route leads the tunnel's own packets into the tunnel",
        "A protected or routed prefix contains the peer's own address: its encrypted packets would be encrypted again.",
        fix "Take the peer's address out of `remote_subnets` or `routes`, or list narrower routes.",
        tell "", from "RFC 4301 §4.4.1; docs/underpass.toml.md";
    CFG_15 = "CFG-15" in Configuration, Here;
        "Values of the configuration do not fit together",
        "Each value is allowed alone, but not with the others: a margin longer than its lifetime, IKEv1 with algorithms that it cannot name.",
        fix "Change one of the values that are named.",
        tell "", from "docs/underpass.toml.md";
    CFG_03 = "CFG-03" in Configuration, Here;
        "The gateway may not create tunnels here",
        "It needs CAP_NET_ADMIN for interfaces and routes, CAP_NET_RAW for protocol 50, and /dev/net/tun.",
        fix "Run it as root or by its systemd unit; in a container: `--cap-add NET_ADMIN --cap-add NET_RAW --device /dev/net/tun`.",
        tell "", from "capabilities(7); examples/underpass.service";
    CFG_02 = "CFG-02" in Configuration, Here;
        "Another program owns the UDP port of IKE",
        "Port 500 or 4500 is taken: often by charon (strongSwan) or pluto (Libreswan), or by a second gateway of ours.",
        fix "Stop and disable that program (`systemctl disable --now strongswan ipsec`), or set `ike_port` and `nat_port`.",
        tell "", from "RFC 7296 §2; RFC 3948";
    CFG_04 = "CFG-04" in Configuration, Here;
        "One end expects packets from another address than they come from",
        "Packets leave this host from an address the peer does not know (or come in from one that no connection names): a customer gateway with an old address, source NAT, a wrong `local_address`.",
        fix "Set `local_address` to an address of this host and `local_id` to the one the peer knows; or correct `remote_address`.",
        tell "Our IKE packets come from the address named above: please set it as the address of our (customer) gateway.", from "AWS Site-to-Site VPN user guide, customer gateway options";
    CFG_07 = "CFG-07" in Configuration, Here;
        "The gateway is not running",
        "Nobody answers at the control socket, so no tunnel can be up.",
        fix "`systemctl start underpass`, or `underpass gateway -c FILE`; its log says why it ended.",
        tell "", from "docs/doctor.md";
    CFG_08 = "CFG-08" in Configuration, Here;
        "The tunnel was taken down by an operator here",
        "Somebody ran `underpass down`; nothing brings it up again but `up` or a restart.",
        fix "`underpass up CONNECTION`",
        tell "", from "underpass down --help";
    CFG_06 = "CFG-06" in Configuration, Here;
        "Nobody starts the negotiation",
        "This side only answers (`start = \"passive\"`), and the peer has never called: managed services do not call by default.",
        fix "Set `start = \"on-load\"` in the child, on the side that should call: with a managed service, this one.",
        tell "Our side only answers: please set your startup action to `start`, or tell us to call.", from "AWS Site-to-Site VPN user guide, tunnel initiation options";
    CFG_05 = "CFG-05" in Configuration, Here;
        "Only one of two tunnels is configured",
        "It works today, and drops at the next maintenance of the managed side.",
        fix "Configure the second tunnel from the same file.",
        tell "", from "AWS Site-to-Site VPN user guide, tunnel endpoint replacements";
    CFG_12 = "CFG-12" in Configuration, Here;
        "An algorithm or setting is accepted but weak",
        "SHA-1, groups of 1024 or 1536 bits, aggressive mode: they work, and should not be chosen today.",
        fix "Use AES-GCM with a group of 2048 bits or a curve, and IKEv2, as soon as the peer can.",
        tell "Could you offer IKEv2 with AES-GCM and group 19 or 20? What we have now is flagged as weak.", from "RFC 8247; RFC 8221";
    CFG_13 = "CFG-13" in Configuration, Here;
        "Two connections claim the same traffic or the same peer",
        "Which of them carries a packet is decided by their order.",
        fix "Make the selectors differ, or join the two connections.",
        tell "", from "RFC 4301 §4.4.1";
}
