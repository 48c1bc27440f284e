//! Every key of the format: where it stands, what it takes, what it is without being written. The readers, "did you
//! mean" and the reference in the documentation all go by this table.

use std::fmt;

/// The tables of the format.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum SectionKind {
    /// `[gateway]`.
    Gateway,
    /// `[connection.NAME]`.
    Connection,
    /// `[connection.NAME.tunnel.NAME]`.
    Tunnel,
    /// `[connection.NAME.child.NAME]`.
    Child,
    /// `[policy.NAME]`.
    Policy,
}

impl SectionKind {
    /// All of them, in the order of the reference.
    pub const ALL: [SectionKind; 5] =
        [SectionKind::Gateway, SectionKind::Connection, SectionKind::Tunnel, SectionKind::Child, SectionKind::Policy];

    /// The header as the reference writes it.
    pub fn header(self) -> &'static str {
        match self {
            SectionKind::Gateway => "[gateway]",
            SectionKind::Connection => "[connection.NAME]",
            SectionKind::Tunnel => "[connection.NAME.tunnel.NAME]",
            SectionKind::Child => "[connection.NAME.child.NAME]",
            SectionKind::Policy => "[policy.NAME]",
        }
    }

    /// Its keys.
    pub fn keys(self) -> impl Iterator<Item = &'static Key> {
        KEYS.iter().filter(move |key| key.section == self)
    }

    /// The key named `name`.
    pub fn key(self, name: &str) -> Option<&'static Key> {
        self.keys().find(|key| key.name == name)
    }
}

/// What a key takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A string; what it says.
    Text(&'static str),
    /// A string or a list of strings; what each says.
    Texts(&'static str),
    /// `true` or `false`.
    Boolean,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A whole number within bounds, in the unit the key's name ends with.
    Integer(Bounds),
    /// A whole number within bounds, or a word instead of it.
    IntegerOr(&'static str, Bounds),
    /// A table of its own.
    Table(&'static str),
}

/// Bounds of a number, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Least value.
    pub min: u64,
    /// Greatest value.
    pub max: u64,
    /// Whether 0 is allowed as well, and what it means.
    pub zero: Option<&'static str>,
}

impl Bounds {
    /// Whether `value` is allowed.
    pub fn allow(&self, value: u64) -> bool {
        (self.min..=self.max).contains(&value) || (value == 0 && self.zero.is_some())
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.min, self.max)?;
        match self.zero {
            Some(meaning) => write!(f, ", or 0: {meaning}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Text(what) | Kind::Table(what) => f.write_str(what),
            Kind::Texts(what) => write!(f, "{what}; one or a list"),
            Kind::Boolean => f.write_str("`true` or `false`"),
            Kind::OneOf(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
                match words.split_last() {
                    Some((last, [])) => f.write_str(last),
                    Some((last, others)) => write!(f, "{} or {last}", others.join(", ")),
                    None => Ok(()),
                }
            }
            Kind::Integer(bounds) => bounds.fmt(f),
            Kind::IntegerOr(word, bounds) => write!(f, "`\"{word}\"`, or {bounds}"),
        }
    }
}

/// One key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key {
    /// The table it stands in.
    pub section: SectionKind,
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What it is when not written, in words.
    pub default: &'static str,
    /// What it does.
    pub meaning: &'static str,
}

impl Key {
    /// The row of this key in the reference, in Markdown.
    pub fn reference_row(&self) -> String {
        let row = format!("| `{}` | {} | {} | {} |", self.name, self.kind, self.default, self.meaning);
        debug_assert_eq!(row.matches('|').count(), 5, "{row}");
        row
    }
}

const fn within(min: u64, max: u64) -> Kind {
    Kind::Integer(Bounds { min, max, zero: None })
}

const fn within_or_zero(min: u64, max: u64, meaning: &'static str) -> Kind {
    Kind::Integer(Bounds { min, max, zero: Some(meaning) })
}

const fn key(
    section: SectionKind,
    name: &'static str,
    kind: Kind,
    default: &'static str,
    meaning: &'static str,
) -> Key {
    Key { section, name, kind, default, meaning }
}

/// One year: no timer needs more.
const YEAR: u64 = 31_536_000;
/// Largest number TOML writes.
const LARGEST: u64 = i64::MAX as u64;
const SELECTOR: &str = "selector, as in `10.1.0.0/16` or `10.1.0.5[tcp/443]`";

use SectionKind::{Child, Connection, Gateway, Policy, Tunnel};

/// All keys.
#[rustfmt::skip] // A table: one key, one row, and below it what the key does.
pub const KEYS: &[Key] = &[
    key(Gateway, "interface", Kind::Text("name, 1 to 15 bytes"), "`\"underpass0\"`",
        "The TUN interface that protected traffic is routed into."),
    key(Gateway, "listen", Kind::Texts("IP address"), "every address",
        "Local addresses to receive IKE and ESP on."),
    key(Gateway, "ike_port", within(1, 65_535), "500",
        "UDP port of IKE."),
    key(Gateway, "nat_port", within(1, 65_535), "4500",
        "UDP port of IKE and ESP when a NAT is between, or UDP encapsulation forced."),
    key(Gateway, "secrets", Kind::Text("path, relative to this file"), "`\"secrets.toml\"`",
        "The file of pre-shared keys. May be absent while no connection needs one; refused when group or others may read it."),
    key(Gateway, "socket", Kind::Text("path, at most 107 bytes"), "`\"/run/underpass/ctl.sock\"`",
        "The control socket that `underpass status` and the others speak to."),
    key(Gateway, "metrics", Kind::Text("address and port"), "none",
        "Where metrics for Prometheus are served by HTTP, as in `\"127.0.0.1:9754\"`. Whoever reaches it can read the names and addresses of tunnels."),
    key(Gateway, "state_directory", Kind::Text("path"), "`STATE_DIRECTORY`, which systemd sets; else none",
        "Where is kept what shall survive a restart: what is normal for each tunnel. It must exist."),
    key(Gateway, "sysctls", Kind::OneOf(&["report", "manage"]), "`\"report\"`",
        "Settings of the machine that connections need (`ip_forward`, `rp_filter`): told, or set and given back at an orderly stop. Those of the gateway's own interface are always set."),
    key(Gateway, "vici_socket", Kind::Text("path, at most 107 bytes"), "none",
        "A socket for `swanctl` and other clients of VICI, as in `\"/run/charon.vici\"`: see [vici.md](vici.md). Root alone may open it."),
    key(Gateway, "path_mtu", within(576, 65_535), "1500",
        "MTU in bytes of the path between the gateways; what fits into a tunnel follows from it."),
    key(Gateway, "clamp_mss", Kind::Boolean, "`true`",
        "Lower the MSS of TCP connections through a tunnel to what fits."),
    key(Gateway, "key_export", Kind::OneOf(&["root", "off"]), "`\"root\"`",
        "Whether `underpass capture --keys` may be answered, which gives out the keys that decrypt the traffic: `root` to root and to the user that the gateway runs as, `off` to nobody."),
    key(Gateway, "unreachable_on_stop", Kind::OneOf(&["remove", "keep"]), "`\"remove\"`",
        "What an orderly stop does with the unreachable routes that keep protected traffic from leaving in clear. A crash always leaves them."),
    key(Connection, "local_address", Kind::Text("IP address"), "chosen by route; any as responder",
        "Our end of the tunnel."),
    key(Connection, "remote_address", Kind::Texts("IP address, DNS name, or `any` alone"), "required",
        "The peer's end of the tunnel; several are tried in turn. `any` only answers, never calls."),
    key(Connection, "local_id", Kind::Text("identity"), "`local_address`, or the only `listen` address",
        "Who we say we are (RFC 7296 §3.5): an address, a name, `user@name`, `@name`, `keyid:…`, `@#hex`."),
    key(Connection, "remote_id", Kind::Text("identity, or `any`"), "`remote_address`",
        "Who the peer must prove to be; `any` accepts whoever proves the key."),
    key(Connection, "psk", Kind::Text("entry of the secrets file"), "the connection's name",
        "Which pre-shared key both ends hold."),
    key(Connection, "ike_version", Kind::OneOf(&["ikev1", "ikev2", "both"]), "`\"ikev2\"`",
        "Which versions of IKE are spoken. With `both` we answer in the peer's, begin with IKEv2, and fall back to IKEv1 where that is not answered."),
    key(Connection, "aggressive", Kind::Boolean, "`false`",
        "IKEv1: aggressive mode in place of main mode. It shows a hash of the pre-shared key to whoever asks: only for peers that can do nothing else, and with a key of 32 random bytes."),
    key(Connection, "ike_proposals", Kind::Texts("proposal, as in `aes256gcm16-prfsha384-ecp384`"), "strong suites, AES-GCM first; for IKEv1 AES-CBC, SHA-1 last",
        "Algorithms of the IKE SA, most preferred first."),
    key(Connection, "ike_lifetime_seconds", within_or_zero(4, YEAR, "for ever"), "28800",
        "Lifetime of the IKE SA; it is replaced before."),
    key(Connection, "rekey_margin_seconds", within(1, YEAR), "270, or a tenth of a lifetime below 2700",
        "How long before its end an SA is replaced, at least. With the fuzz it must be less than the lifetime."),
    key(Connection, "rekey_fuzz_percent", within(0, 255), "100",
        "Random extra margin in percent of the margin, so that both ends do not rekey at once."),
    key(Connection, "dpd_interval_seconds", within_or_zero(1, 86_400, "off"), "10",
        "Silence after which the peer is asked whether it lives."),
    key(Connection, "dpd_timeout_seconds", within(1, 86_400), "30",
        "How long such a question may stay unanswered before the peer counts as dead."),
    key(Connection, "retransmit_initial_milliseconds", within(50, 60_000), "1000",
        "Wait before a request is sent again; grows 1.8-fold each time, to 20 s at most."),
    key(Connection, "retransmit_give_up_seconds", within(1, 3600), "60",
        "How long a request may stay unanswered before it has failed."),
    key(Connection, "retry", Kind::IntegerOr( "forever", Bounds { min: 1, max: 1_000_000, zero: None, }), "`\"forever\"`",
        "Negotiations to try before giving up."),
    key(Connection, "fragmentation_bytes", within_or_zero(576, 65_535, "off"), "1280",
        "Largest IP packet of IKE before it is sent as fragments (RFC 7383)."),
    key(Connection, "encapsulation", Kind::OneOf(&["auto", "force"]), "`\"auto\"`",
        "ESP in UDP only when a NAT is found, or always."),
    key(Connection, "remote_port", within(1, 65_535), "500",
        "UDP port of the peer for the first message."),
    key(Connection, "initial_contact", Kind::Boolean, "`true`",
        "Tell the peer when this is our first SA with it, so that it forgets those of before a restart (RFC 7296 §2.4)."),
    key(Connection, "childless", Kind::Boolean, "`false`",
        "Make the IKE SA without a first child where the peer can (RFC 6023)."),
    key(Connection, "dscp", Kind::IntegerOr( "copy", Bounds { min: 0, max: 63, zero: None, }), "`\"copy\"`",
        "DSCP of the outer header: the inner one's, or this."),
    key(Connection, "df", Kind::OneOf(&["copy", "set", "clear"]), "`\"copy\"`",
        "Don't-fragment bit of the outer IPv4 header."),
    key(Connection, "child", Kind::Table("one table `[connection.NAME.child.NAME]` or more"), "required",
        "The CHILD_SAs of the connection."),
    key(Connection, "tunnel", Kind::Table("tables `[connection.NAME.tunnel.NAME]`, up to eight"), "one tunnel, described by the connection itself",
        "Several tunnels to the same place; what is written here holds for all of them."),
    key(Connection, "mode", Kind::OneOf(&["active-standby", "active-active"]), "`\"active-standby\"`",
        "Which of several tunnels carry our traffic: the most preferred that works, or all that work, each its share of the flows."),
    key(Connection, "keepalive_seconds", within_or_zero(1, 3600, "off"), "0",
        "Where tunnels have inside addresses: how long one may be idle before the far one is pinged, for peers that close idle tunnels."),
    key(Tunnel, "inside_address", Kind::Text("address with prefix length, as in `169.254.10.2/30`"), "none",
        "Our inside address, given to the interface; the peer has the other host of the /30 (or /31, /126, /127). It answers ping."),
    key(Tunnel, "preference", within(0, 65_535), "100",
        "Of the tunnels that work, those of higher preference carry first."),
    key(Tunnel, "esp_proposals", Kind::Texts("proposal, as in `aes128gcm16` or `aes256-sha256-modp2048`"), "the child's",
        "As the child's, for every child of this tunnel."),
    key(Tunnel, "lifetime_seconds", within_or_zero(4, YEAR, "for ever"), "the child's",
        "As the child's, for every child of this tunnel."),
    key(Tunnel, "lifetime_bytes", within(10_000, LARGEST), "the child's",
        "As the child's, for every child of this tunnel."),
    key(Tunnel, "replay_window", within_or_zero(64, 8192, "no check"), "the child's",
        "As the child's, for every child of this tunnel."),
    key(Tunnel, "sha256_96", Kind::Boolean, "the child's",
        "As the child's, for every child of this tunnel."),
    key(Tunnel, "start", Kind::OneOf(&["on-load", "on-demand", "passive"]), "the child's",
        "As the child's, for every child of this tunnel."),
    key(Child, "local_subnets", Kind::Texts(SELECTOR), "required",
        "Our side of the traffic."),
    key(Child, "remote_subnets", Kind::Texts(SELECTOR), "required",
        "The peer's side of the traffic; `0.0.0.0/0` when routes decide."),
    key(Child, "esp_proposals", Kind::Texts("proposal, as in `aes128gcm16` or `aes256-sha256-modp2048`"), "strong suites, AES-GCM first; for IKEv1 SHA-1 last",
        "Algorithms of the child, most preferred first; a group asks for a key exchange of its own at each rekey (PFS)."),
    key(Child, "lifetime_seconds", within_or_zero(4, YEAR, "for ever"), "3600",
        "Lifetime of the child; it is replaced before."),
    key(Child, "lifetime_bytes", within(10_000, LARGEST), "none",
        "Bytes after which the child ends; it is replaced at 90 %. IKEv1 tells the peer in kilobytes of 1,024 bytes, rounded down."),
    key(Child, "lifetime_packets", within(100, LARGEST), "none",
        "Packets after which the child ends; it is replaced at 90 %."),
    key(Child, "sha256_96", Kind::Boolean, "`false`",
        "Truncate HMAC-SHA2-256 in ESP to 96 bits, for peers that follow the draft of before RFC 4868 (128 bits): with them a tunnel comes up and no packet passes. Both ends must agree."),
    key(Child, "split_selectors", Kind::Boolean, "`false`; `true` where IKEv1 may be spoken",
        "Make one CHILD_SA per pair of local and remote subnets, for peers that take no more: `net` becomes `net-1x1`, `net-1x2`, … (local x remote, in the order of the lists)."),
    key(Child, "rekey_margin_seconds", within(1, YEAR), "the connection's; else 270, or a tenth of a lifetime below 2700",
        "As the connection's, for this child."),
    key(Child, "rekey_fuzz_percent", within(0, 255), "the connection's",
        "As the connection's, for this child."),
    key(Child, "start", Kind::OneOf(&["on-load", "on-demand", "passive"]), "`\"on-load\"`; `\"passive\"` towards `any`",
        "Who starts: we at once and again whenever it is down, we at the first packet, or the peer."),
    key(Child, "replay_window", within_or_zero(64, 8192, "no check"), "1024",
        "Packets a late one may lie behind the newest and still be taken (RFC 4303 §3.4.3)."),
    key(Child, "routes", Kind::Texts("prefix"), "the prefixes of `remote_subnets`, without `0.0.0.0/0` and `::/0`",
        "Prefixes to route into the interface. Default routes have to be listed here on purpose."),
    key(Child, "allow_null_encryption", Kind::Boolean, "`false`",
        "Accept `null` in `esp_proposals`: packets are authenticated, but anybody can read them."),
    key(Policy, "action", Kind::OneOf(&["bypass", "discard"]), "required",
        "Let matching traffic pass as if the gateway were not there, or drop it."),
    key(Policy, "local", Kind::Texts(SELECTOR), "required",
        "Source side of the traffic."),
    key(Policy, "remote", Kind::Texts(SELECTOR), "required",
        "Destination side of the traffic."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_listed_twice_and_every_row_fits_its_table() {
        for (index, key) in KEYS.iter().enumerate() {
            assert!(!key.name.is_empty() && !key.default.is_empty() && !key.meaning.is_empty());
            assert_eq!(key.reference_row().matches('|').count(), 5);
            let twin = KEYS.iter().skip(index + 1).any(|other| other.section == key.section && other.name == key.name);
            assert!(!twin, "{}", key.name);
        }
    }
}
