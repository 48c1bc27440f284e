//! The IKE SA, phase 1.

use super::codes;
use crate::code::Seen::{ElsewhereOnly, Here};

codes! { IKE:
    IKE_01 = "IKE-01" in Ike, Here;
        "One side speaks IKEv1, the other IKEv2",
        "The versions of IKE of both ends have nothing in common.",
        fix "Set `ike_version = \"ikev2\"` here, or `\"both\"` as long as the peer has IKEv1 alone.",
        tell "We speak the version of IKE named above: please set yours to IKEv2.", from "RFC 7296 §2.5";
    IKE_07 = "IKE-07" in Ike, Here;
        "IKEv1 modes differ: main against aggressive",
        "One end begins with aggressive mode, the other is configured for main mode.",
        fix "Set `aggressive` to what the peer has; better main mode or IKEv2 at both.",
        tell "Please use IKEv2, or IKEv1 main mode.", from "RFC 2409 §5";
    IKE_03 = "IKE-03" in Ike, Here;
        "Both sides want different Diffie-Hellman groups and do not come together",
        "The peer answered INVALID_KE_PAYLOAD again and again: each asks for a group that the other does not send.",
        fix "Put the group that both have first in `ike_proposals`.",
        tell "Please put the common Diffie-Hellman group first in your proposal.", from "RFC 7296 §1.2, §2.7";
    IKE_02 = "IKE-02" in Ike, Here;
        "No algorithm in common for phase 1",
        "Cipher, integrity, PRF or Diffie-Hellman group of IKE: no offer of one end is allowed at the other.",
        fix "Make one entry of `ike_proposals` the same as at the peer; the field that differs is named above.",
        tell "Phase 1 has no proposal in common; we offer what is named above: please allow one of them.", from "RFC 7296 §2.7, §3.3; RFC 2409 §5";
    IKE_06 = "IKE-06" in Ike, ElsewhereOnly("this gateway authenticates by pre-shared keys; certificates appear only in other systems' logs");
        "A certificate was refused",
        "It has expired, its chain is incomplete, it was revoked, or its name is not the identity that is sent.",
        fix "Renew it, add the intermediate certificates, or make its subjectAltName the identity.",
        tell "Your certificate is refused here for the reason above.", from "RFC 4945; RFC 5280 §6";
    IKE_05 = "IKE-05" in Ike, Here;
        "The name that is sent is not the name that is expected",
        "Keys may be right; the identity (IDi or IDr) is another one: behind NAT often a private address.",
        fix "Set `local_id` to what the peer expects (the public address), or `remote_id` to what it sends.",
        tell "You expect, or send, another identity than we do: please set it to the value above.", from "RFC 7296 §2.15, §3.5";
    IKE_04 = "IKE-04" in Ike, Here;
        "The pre-shared keys differ",
        "The identity is known and its proof is wrong (IKEv1: the fifth message does not decrypt).",
        fix "Enter the key again at both ends; look for blanks, quotes, a carriage return at the end, a leading zero.",
        tell "The pre-shared key you hold for us differs from ours: let us set a new one, without quotes and blanks.", from "RFC 7296 §2.15; RFC 2409 §5.4";
    IKE_16 = "IKE-16" in Ike, Here;
        "The peer demands an authentication or exchange that is not spoken here",
        "XAUTH, mode config or another user authentication belongs to remote access, not to two sites.",
        fix "Configure a plain site-to-site connection with a pre-shared key at the peer.",
        tell "Please turn off XAUTH and mode config for this connection: it is site to site.", from "RFC 2409; draft-beaulieu-ike-xauth-02";
    IKE_09 = "IKE-09" in Ike, Here;
        "Cookies are demanded: too many negotiations are begun at once",
        "A responder holds so many half-open SAs that it believes to be under attack; tunnels come up slowly or not at all.",
        fix "Find who sends (see the log for addresses); start many tunnels one after the other.",
        tell "", from "RFC 7296 §2.6; RFC 8019";
    IKE_08 = "IKE-08" in Ike, Here;
        "A negotiation began, and then one side stopped talking",
        "The peer's first message was answered, and its next never came: half-open SAs are deleted when their time is over.",
        fix "See NET-03 and NET-04 from the peer's side; look at its CPU and its log.",
        tell "You begin and do not go on after our first answer: does it reach you? UDP 4500 and large packets must pass.", from "RFC 7296 §2.4";
    IKE_14 = "IKE-14" in Ike, Here;
        "The peer's end was replaced, and nobody calls",
        "IKEv1, and this side only answers: after a replacement of its endpoint a managed service waits to be called.",
        fix "Set `start = \"on-load\"` here, or use IKEv2 with the startup action `start` there.",
        tell "", from "AWS re:Post vpn-tunnel-endpoint-replacement";
    IKE_10 = "IKE-10" in Ike, Here;
        "It was up; then the peer stopped answering",
        "Liveness checks went unanswered until their timeout: the path is cut, or the peer is gone or restarted.",
        fix "Nothing is needed if `retry` is \"forever\": it comes back by itself. Look at the path at the time named above.",
        tell "You stopped answering at the time above: was there maintenance, a restart, or a change of a filter?", from "RFC 7296 §2.4; RFC 3706";
    IKE_11 = "IKE-11" in Ike, Here;
        "The peer closed the tunnel on purpose",
        "It sent DELETE without an error: maintenance, a changed configuration, or an idle timeout.",
        fix "Keep `start = \"on-load\"` so that it is built again; look at the peer's maintenance notices.",
        tell "You deleted the SA at the time above: why?", from "RFC 7296 §1.4.1";
    IKE_15 = "IKE-15" in Ike, Here;
        "The peer refuses the negotiation with an error that names no cause",
        "The answer is an error notify whose cause only the peer's log has.",
        fix "Ask for the peer's log at the time above, and put it into `underpass explain`.",
        tell "You answered with the error above at that time: what does your log say?", from "RFC 7296 §3.10.1; RFC 2408 §3.14.1";
    IKE_12 = "IKE-12" in Ike, Here;
        "Both sides rekey at the same moment",
        "Rekeys collide again and again: both have the same lifetime and no jitter.",
        fix "Leave `rekey_fuzz_percent` at 100, or make the lifetime longer on one side.",
        tell "Our rekeys collide: please make your lifetime longer or add a rekey margin with fuzz.", from "RFC 7296 §2.8.1";
    IKE_13 = "IKE-13" in Ike, Here;
        "Lifetimes differ, or an SA ends before it is replaced",
        "The shorter lifetime counts; a peer that does not rekey lets the tunnel drop at multiples of it.",
        fix "Set the same at both: 28,800 s for IKE, 3,600 s for children.",
        tell "Our lifetimes are those above: please set 28,800 s for phase 1 and 3,600 s for phase 2.", from "RFC 7296 §2.8; RFC 2407 §4.5.4";
}
