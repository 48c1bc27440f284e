//! The keywords of the three dialects, and what becomes of each here.

use super::Dialect;

/// What a keyword means for an import.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Use {
    /// Read as this key: several words mean the same.
    Key(&'static str),
    /// Known, and of no consequence here: why.
    Nothing(&'static str),
}

use Use::{Key, Nothing};

const O: u8 = 1;
const L: u8 = 2;
const S: u8 = 4;
const OL: u8 = O | L;
const ALL: u8 = O | L | S;

const ROUTES: &str = "Underpass sets the routes of its interface itself";
const BASED: &str = "Underpass is route-based: packets routed into its interface are protected";
const CERTIFICATES: &str = "it is about certificates, which Underpass has not";
const FIXED: &str = "Underpass decides that itself";
const LOGS: &str = "see `underpass log`";

/// Keywords of `conn`, without `left` and `right`.
#[rustfmt::skip]
const CONN: &[(&str, u8, Use)] = &[
    ("type", ALL, Key("type")), ("authby", ALL, Key("authby")), ("auto", ALL, Key("auto")), ("also", ALL, Key("also")),
    ("keyexchange", ALL, Key("keyexchange")), ("ikev2", OL, Key("ikev2")), ("ike", ALL, Key("ike")),
    ("esp", ALL, Key("esp")), ("phase2alg", OL, Key("esp")), ("ah", ALL, Key("ah")),
    ("phase2", OL, Key("phase2")), ("auth", O, Key("phase2")), ("pfs", ALL, Key("pfs")), ("pfsgroup", OL, Key("pfsgroup")),
    ("aggrmode", OL, Key("aggressive")), ("aggressive", L | S, Key("aggressive")),
    ("ikelifetime", ALL, Key("ikelifetime")), ("keylife", ALL, Key("lifetime")), ("lifetime", ALL, Key("lifetime")),
    ("salifetime", OL, Key("lifetime")), ("ipsec-lifetime", L, Key("lifetime")), ("lifebytes", S, Key("lifebytes")),
    ("lifepackets", S, Key("lifepackets")), ("ipsec-max-bytes", L, Key("lifebytes")), ("ipsec-max-packets", L, Key("lifepackets")),
    ("rekeymargin", ALL, Key("rekeymargin")), ("margintime", S, Key("rekeymargin")), ("rekeyfuzz", ALL, Key("rekeyfuzz")),
    ("rekey", ALL, Key("rekey")), ("reauth", L | S, Key("reauth")), ("keyingtries", ALL, Key("keyingtries")),
    ("dpddelay", ALL, Key("dpddelay")), ("dpdtimeout", ALL, Key("dpdtimeout")), ("dpdaction", ALL, Key("dpdaction")),
    ("closeaction", S, Key("closeaction")), ("retransmit-timeout", L, Key("retransmit-timeout")),
    ("forceencaps", ALL, Key("forceencaps")), ("encapsulation", L, Key("forceencaps")), ("fragmentation", L | S, Key("fragmentation")),
    ("compress", ALL, Key("compress")), ("replay_window", S, Key("replay_window")), ("replay-window", L, Key("replay_window")),
    ("esn", L, Key("esn")), ("sha2_truncbug", OL, Key("sha256_96")), ("sha2-truncbug", OL, Key("sha256_96")),
    ("sha256_96", S, Key("sha256_96")), ("ikeport", L, Key("ikeport")),
    ("mobike", L | S, Nothing("Underpass follows a peer that moves by itself")),
    ("installpolicy", S, Nothing(BASED)), ("mark", L | S, Nothing(BASED)), ("mark_in", S, Nothing(BASED)), ("mark_out", S, Nothing(BASED)),
    ("mark-in", L, Nothing(BASED)), ("mark-out", L, Nothing(BASED)), ("vti-interface", L, Nothing(BASED)), ("vti-routing", L, Nothing(BASED)),
    ("vti-shared", L, Nothing(BASED)), ("ipsec-interface", L, Nothing(BASED)), ("reqid", L | S, Nothing(BASED)), ("priority", L, Nothing(BASED)),
    ("if_id_in", S, Nothing(BASED)), ("if_id_out", S, Nothing(BASED)),
    ("inactivity", S, Nothing("tunnels are kept up")), ("tfc", L | S, Nothing(FIXED)), ("ikedscp", S, Nothing(FIXED)),
    ("forcekeepalive", O, Nothing(FIXED)), ("nat-keepalive", L, Nothing(FIXED)), ("nat_keepalive", OL, Nothing(FIXED)), ("nm_configured", O, Nothing(FIXED)),
    ("initial-contact", L, Nothing(FIXED)), ("initial_contact", OL, Nothing(FIXED)), ("narrowing", L, Nothing(FIXED)), ("overlapip", OL, Nothing(FIXED)),
    ("ikepad", OL, Nothing(FIXED)), ("nat-ikev1-method", L, Nothing(FIXED)), ("nic-offload", L, Nothing(FIXED)), ("nflog", L, Nothing(LOGS)),
    ("metric", OL, Nothing(ROUTES)), ("mtu", OL, Nothing("the MTU follows from the suite and `path_mtu`")), ("connalias", O, Nothing(FIXED)),
    ("eap_identity", S, Nothing(CERTIFICATES)), ("aaa_identity", S, Nothing(CERTIFICATES)), ("xauth", S, Key("xauth")), ("xauth_identity", S, Nothing("XAUTH is refused")),
    ("modeconfig", S, Nothing("addresses are not handed out")), ("modecfgpull", OL, Nothing("addresses are not handed out")),
    ("decap-dscp", L, Nothing(FIXED)), ("nopmtudisc", L, Nothing(FIXED)), ("send-no-esp-tfc", L, Nothing(FIXED)), ("cisco_unity", OL, Nothing(FIXED)), ("cisco-unity", L, Nothing(FIXED)),
    ("sareftrack", O, Nothing(FIXED)), ("disablearrivalcheck", O, Nothing(FIXED)), ("retransmit-interval", L, Nothing(FIXED)), ("dpd", O, Nothing(FIXED)),
];

/// Keywords behind `left` and `right`.
#[rustfmt::skip]
const SIDE: &[(&str, u8, Use)] = &[
    ("", ALL, Key("host")), ("id", ALL, Key("id")), ("subnet", ALL, Key("subnet")), ("subnets", OL, Key("subnets")), ("auth", L | S, Key("auth")),
    ("protoport", ALL, Key("protoport")), ("ikeport", L | S, Key("port")), ("vti", L, Key("vti")), ("interface-ip", L, Key("vti")),
    ("nexthop", ALL, Key("nexthop")), ("sourceip", ALL, Key("sourceip")), ("updown", ALL, Key("updown")),
    ("firewall", S, Nothing("Underpass touches no packet filter")), ("hostaccess", S, Nothing("Underpass touches no packet filter")),
    ("allowany", S, Nothing("Underpass follows a peer that moves by itself")), ("dns", S, Nothing("addresses are not handed out")),
    ("cert", ALL, Nothing(CERTIFICATES)), ("cert2", S, Nothing(CERTIFICATES)), ("rsasigkey", ALL, Nothing(CERTIFICATES)), ("rsasigkey2", OL, Nothing(CERTIFICATES)), ("sigkey", S, Nothing(CERTIFICATES)),
    ("ckaid", L, Nothing(CERTIFICATES)), ("sendcert", ALL, Nothing(CERTIFICATES)), ("ca", ALL, Nothing(CERTIFICATES)), ("ca2", S, Nothing(CERTIFICATES)), ("groups", S, Nothing(CERTIFICATES)), ("certpolicy", S, Nothing(CERTIFICATES)),
    ("auth2", S, Key("auth2")), ("id2", S, Nothing(CERTIFICATES)), ("modecfgserver", OL, Nothing("addresses are not handed out")), ("modecfgclient", OL, Nothing("addresses are not handed out")),
    ("xauthserver", OL, Key("xauth")), ("xauthclient", OL, Key("xauth")), ("subnetwithin", ALL, Nothing(FIXED)), ("username", OL, Nothing("XAUTH is refused")), ("addresspool", L, Nothing("addresses are not handed out")),
];

/// What a key of a `conn` is used for, and the dialects that have it. Of a side: which, and without its word.
pub(super) fn conn(key: &str) -> Option<(Option<&'static str>, Use, u8)> {
    if let Some((_, dialects, meaning)) = CONN.iter().find(|(word, ..)| *word == key) {
        return Some((None, *meaning, *dialects));
    }
    ["left", "right"].into_iter().find_map(|side| {
        let rest = key.strip_prefix(side)?;
        let rest = rest.strip_prefix('-').unwrap_or(rest);
        let (_, dialects, meaning) = SIDE.iter().find(|(word, ..)| *word == rest)?;
        Some((Some(side), *meaning, *dialects))
    })
}

/// Whether a dialect is among those.
pub(super) fn has(dialects: u8, dialect: Dialect) -> bool {
    let bit = match dialect {
        Dialect::Openswan => O,
        Dialect::Libreswan => L,
        Dialect::Strongswan => S,
    };
    dialects & bit != 0
}

/// The only dialect of a set.
pub(super) fn only(dialects: u8) -> Option<Dialect> {
    let mut having = Dialect::ALL.into_iter().filter(|dialect| has(dialects, *dialect));
    having.next().filter(|_| having.next().is_none())
}

/// Whether anybody knows a keyword.
pub(super) fn is_known(key: &str) -> bool {
    conn(key).is_some() || setup(key).is_some()
}

/// All keywords of `conn`, for suggestions.
pub(super) fn all() -> Vec<String> {
    let sides = ["left", "right"].iter().flat_map(|side| SIDE.iter().map(move |(word, ..)| format!("{side}{word}")));
    CONN.iter().map(|(word, ..)| (*word).to_owned()).chain(sides).collect()
}

/// Keywords of `config setup` that tell the dialects apart.
#[rustfmt::skip]
const SETUP: &[(&str, u8)] = &[
    ("charondebug", S), ("strictcrlpolicy", S), ("cachecrls", S), ("charonstart", S), ("plutostart", S), ("uniqueids", ALL),
    ("protostack", OL), ("nat_traversal", O), ("virtual_private", OL), ("virtual-private", L), ("oe", O), ("klipsdebug", O), ("plutodebug", OL),
    ("plutostderrlog", OL), ("nhelpers", OL), ("interfaces", OL), ("dumpdir", OL), ("syslog", O), ("force_keepalive", O), ("keep_alive", OL),
    ("logfile", L), ("logtime", L), ("logappend", L), ("logip", L), ("listen", OL), ("listen-tcp", L), ("ikev1-policy", L), ("ddos-mode", L), ("audit-log", L), ("curl-timeout", L),
    ("statsbin", L), ("myid", OL), ("hidetos", O), ("fragicmp", O), ("forwardcontrol", O), ("rp_filter", O), ("crlcheckinterval", ALL), ("ocsp-enable", L), ("shuntlifetime", L), ("seedbits", L), ("secretsfile", OL), ("ipsecdir", L), ("nssdir", L), ("disable_port_floating", O), ("perpeerlog", O), ("perpeerlogdir", O), ("plutoopts", O), ("plutorestartoncrash", O), ("prepluto", O), ("postpluto", O),
];

/// The dialects that have a keyword of `config setup`.
pub(super) fn setup(key: &str) -> Option<u8> {
    SETUP.iter().find(|(word, _)| *word == key).map(|(_, dialects)| *dialects)
}
