//! The IKE SA and its children as a `conn` describes them, with the defaults of each dialect where ours are others.

use super::super::finding::{Findings, shown};
use super::super::model::{IkeVersion, ImportedChild, ImportedTunnel, Tries};
use super::super::place::Sourced;
use super::super::values::Phase;
use super::lifetimes::{boolean, number, seconds};
use super::resolve::Resolved;
use super::{Dialect, Dialect::*, algorithms};

/// Lifetimes in seconds where a file says nothing: IKE SA, child.
fn default_lifetimes(dialect: Dialect) -> (u64, u64) {
    match dialect {
        Openswan => (3600, 28_800),
        Libreswan => (28_800, 28_800),
        Strongswan => (10_800, 3600),
    }
}

/// Ours.
const OUR_LIFETIMES: (u64, u64) = (28_800, 3600);

pub(super) fn ike(conn: &Resolved, dialect: Dialect, tunnel: &mut ImportedTunnel, findings: &mut Findings) {
    tunnel.ike_version = version(conn, dialect, findings);
    let v1 = tunnel.ike_version.as_ref().is_some_and(|version| version.value != IkeVersion::V2);
    if let Some(text) = conn.get("aggressive")
        && let Some(on) = boolean(&text, dialect, findings).filter(|on| on.value)
    {
        if v1 {
            tunnel.aggressive = Some(on);
        } else {
            findings.note(&text.at, "aggressive mode is of IKEv1, which is not spoken here", "");
        }
    }
    match conn.get("ike") {
        Some(text) => tunnel.ike_proposals = algorithms::list(&text, Phase::Ike, dialect, findings),
        None => own_list(conn, "ike", dialect, findings),
    }
    tunnel.ike_lifetime = lifetime(conn, "ikelifetime", dialect, findings);
    tunnel.rekey_margin =
        conn.get("rekeymargin").and_then(|text| seconds(&text, dialect, findings)).filter(|at| at.value > 0);
    tunnel.rekey_fuzz = conn.get("rekeyfuzz").and_then(|text| fuzz(&text, findings));
    dpd(conn, dialect, tunnel, findings);
    tunnel.retry = retry(conn, dialect, findings);
    tunnel.force_encapsulation = encapsulation(conn, dialect, findings);
    if let Some(text) = conn.get("fragmentation").filter(|text| matches!(text.value, "no" | "never")) {
        tunnel.fragmentation = Some(text.with(false));
    }
    if let Some(time) = conn.get("retransmit-timeout").and_then(|text| seconds(&text, dialect, findings)) {
        if (2..=3600).contains(&time.value) {
            tunnel.give_up = Some(time);
        } else {
            findings.warning(
                &time.at,
                format!("a request is repeated for 2 to 3600 s here: {} s is not taken over", time.value),
                "",
            );
        }
    }
    renewal(conn, dialect, findings);
}

fn own_list(conn: &Resolved, what: &str, dialect: Dialect, findings: &mut Findings) {
    let message = format!("no `{what}=`: Underpass offers its own list in place of {}'s", dialect.name());
    findings.note(&conn.name.at, message, format!("write `{what}=` if the other end takes one suite alone"));
}

fn version(conn: &Resolved, dialect: Dialect, findings: &mut Findings) -> Option<Sourced<IkeVersion>> {
    let unknown = |text: &Sourced<&str>, words: &str, findings: &mut Findings| {
        findings.error(&text.at, format!("`{}` is no version of IKE", shown(text.value)), format!("write {words}"));
        None
    };
    let exchange = conn.get("keyexchange");
    let said = exchange.as_ref().and_then(|text| match text.value.to_ascii_lowercase().as_str() {
        "ikev1" => Some(text.with(IkeVersion::V1)),
        "ikev2" => Some(text.with(IkeVersion::V2)),
        _ => None,
    });
    if let Some(text) = exchange.as_ref().filter(|text| said.is_none() && text.value != "ike") {
        return unknown(text, "ikev1, ikev2 or ike", findings);
    }
    if said.is_some() {
        return said;
    }
    let at = exchange.as_ref().map_or(&conn.name.at, |text| &text.at);
    match (conn.get("ikev2"), dialect) {
        (Some(text), _) => match text.value.to_ascii_lowercase().as_str() {
            "insist" => Some(text.with(IkeVersion::V2)),
            "yes" if dialect == Libreswan => Some(text.with(IkeVersion::V2)),
            "propose" | "yes" => Some(text.with(IkeVersion::Both)),
            "never" | "no" => Some(text.with(IkeVersion::V1)),
            "permit" => Some(text.with(IkeVersion::V1)),
            _ => unknown(&text, "never, permit, propose or insist", findings),
        },
        (None, Openswan) => {
            let message = "Openswan begins with IKEv1 (`ikev2=permit` is its default): IKEv1 it is";
            findings.warning(at, message, "if the other end has IKEv2, `ike_version = \"ikev2\"` is the better choice");
            Some(Sourced::implied(IkeVersion::V1, at))
        }
        (None, Libreswan) => {
            findings.note(at, "no version of IKE is said: IKEv2, as Libreswan does", "");
            Some(Sourced::implied(IkeVersion::V2, at))
        }
        (None, Strongswan) => {
            let message = "`keyexchange=ike` with strongSwan: it begins with IKEv2 and answers either; here IKEv1 is also tried where IKEv2 is not answered";
            findings.note(at, message, "");
            Some(Sourced::implied(IkeVersion::Both, at))
        }
    }
}

/// A lifetime as written, or the dialect's where ours is another.
fn lifetime(conn: &Resolved, key: &'static str, dialect: Dialect, findings: &mut Findings) -> Option<Sourced<u64>> {
    let (theirs, ours) = (default_lifetimes(dialect), OUR_LIFETIMES);
    let (theirs, ours) = if key == "ikelifetime" { (theirs.0, ours.0) } else { (theirs.1, ours.1) };
    if let Some(text) = conn.get(key) {
        let time = seconds(&text, dialect, findings)?;
        if (1..4).contains(&time.value) {
            findings.error(&text.at, format!("a lifetime of {} s is too short", time.value), "write 4 s or more");
        }
        return Some(time);
    }
    if theirs == ours {
        return None;
    }
    let message = format!("no `{key}`: {theirs} s, the default of {}", dialect.name());
    findings.note(&conn.name.at, message, "");
    Some(Sourced::implied(theirs, &conn.name.at))
}

fn fuzz(text: &Sourced<&str>, findings: &mut Findings) -> Option<Sourced<u64>> {
    let percent = text.value.trim().trim_end_matches('%');
    let value = number(&text.with(percent), findings)?;
    if value.value > 255 {
        findings.warning(&text.at, format!("a fuzz of {}% is more than 255%, the most there is here", value.value), "");
        return Some(text.with(255));
    }
    Some(value)
}

fn dpd(conn: &Resolved, dialect: Dialect, tunnel: &mut ImportedTunnel, findings: &mut Findings) {
    let action = conn.get("dpdaction");
    if let Some(text) = &action {
        let known = ["none", "clear", "hold", "restart", "restart_by_peer", "trap"];
        if !known.contains(&text.value) {
            let near = crate::nearest::nearest(text.value, known);
            let help = near.map_or_else(String::new, |near| format!("did you mean `{near}`?"));
            return findings.error(&text.at, format!("`dpdaction={}` is unknown", shown(text.value)), help);
        }
        let refused = match (text.value, dialect) {
            ("restart_by_peer", Strongswan) => "would leave the conn out",
            (_, Libreswan) => "5 has no such key",
            _ => "",
        };
        if !refused.is_empty() {
            let message =
                format!("`dpdaction={}`: {} {refused}; here a dead peer is called again", text.value, dialect.name());
            findings.warning(&text.at, message, "");
        }
    }
    let delay = conn.get("dpddelay").and_then(|text| seconds(&text, dialect, findings));
    let timeout = conn.get("dpdtimeout").and_then(|text| seconds(&text, dialect, findings)).filter(|at| at.value > 0);
    let off = action.as_ref().is_some_and(|text| text.value == "none");
    let on = match dialect {
        Strongswan => action.is_some() && !off,
        Openswan | Libreswan => delay.is_some() || timeout.is_some() || action.is_some(),
    };
    if !on {
        let at = action.as_ref().or(conn.get("dpddelay").as_ref()).map_or(conn.name.at.clone(), |text| text.at.clone());
        let message =
            format!("{} would not ask whether the peer lives: Underpass does, after 10 s of silence", dialect.name());
        findings.warning(&at, message, "`dpd_interval_seconds = 0` turns it off");
        return;
    }
    let v2 = tunnel.ike_version.as_ref().is_some_and(|version| version.value == IkeVersion::V2);
    let default = |value: u64| Sourced::implied(value, action.as_ref().map_or(&conn.name.at, |text| &text.at));
    tunnel.dpd_interval = Some(delay.unwrap_or_else(|| {
        let delay = default(30);
        findings.note(&delay.at, "no `dpddelay`: 30 s, the default", "");
        delay
    }));
    tunnel.dpd_timeout = match (timeout, dialect) {
        (Some(timeout), Strongswan) if v2 => {
            findings.note(&timeout.at, "strongSwan has no DPD timeout with IKEv2: here it counts", "");
            Some(timeout)
        }
        (Some(timeout), _) => Some(timeout),
        (None, Strongswan) if !v2 => Some(default(150)),
        (None, Openswan) => Some(default(120)),
        (None, Strongswan | Libreswan) => None,
    };
}

fn retry(conn: &Resolved, dialect: Dialect, findings: &mut Findings) -> Option<Sourced<Tries>> {
    let text = conn.get("keyingtries")?;
    if dialect == Libreswan {
        findings.note(&text.at, "`keyingtries` has no meaning with Libreswan: it tries for ever, and so do we", "");
        return None;
    }
    if matches!(text.value, "%forever" | "0") {
        return Some(text.with(Tries::Forever));
    }
    number(&text, findings).map(|at| at.map(|times| Tries::Times(times.clamp(1, 1_000_000))))
}

fn encapsulation(conn: &Resolved, dialect: Dialect, findings: &mut Findings) -> Option<Sourced<bool>> {
    let text = conn.get("forceencaps")?;
    match text.value {
        "auto" => None,
        "never" => {
            findings.warning(&text.at, "ESP in UDP cannot be forbidden here: it is used where a NAT is found", "");
            None
        }
        "force" => Some(text.with(true)),
        _ => boolean(&text, dialect, findings).filter(|on| on.value),
    }
}

/// Rekeying that is switched off, or done by authenticating anew.
fn renewal(conn: &Resolved, dialect: Dialect, findings: &mut Findings) {
    if let Some(text) = conn.get("rekey")
        && boolean(&text, dialect, findings).is_some_and(|on| !on.value)
    {
        findings.warning(&text.at, "`rekey=no`: Underpass replaces SAs before they end all the same", "");
    }
    if let Some(text) = conn.get("reauth")
        && boolean(&text, dialect, findings).is_some_and(|on| on.value)
    {
        findings.note(&text.at, "`reauth=yes`: the IKE SA is replaced without authenticating anew", "");
    }
    if let Some(text) = conn.get("closeaction") {
        findings.note(
            &text.at,
            "`closeaction` has no meaning here: `start` says whether a closed tunnel is set up again",
            "",
        );
    }
    if let Some(text) = conn.get("compress")
        && boolean(&text, dialect, findings).is_some_and(|on| on.value)
    {
        findings.warning(&text.at, "`compress=yes`: Underpass has no IPComp, and packets are not compressed", "");
    }
    for key in ["phase2", "ah"] {
        if let Some(text) = conn.get(key).filter(|text| text.value != "esp") {
            findings.error(
                &text.at,
                format!("`{key}={}`: Underpass has ESP alone", shown(text.value)),
                "use ESP at both ends",
            );
        }
    }
    if let Some(text) = conn.get("esn") {
        findings.note(
            &text.at,
            "`esn`: extended sequence numbers are named in the proposals (`-esn`), and left to our default here",
            "",
        );
    }
}

pub(super) fn child(
    conn: &Resolved,
    dialect: Dialect,
    tunnel: &ImportedTunnel,
    child: &mut ImportedChild,
    findings: &mut Findings,
) {
    match conn.get("esp") {
        Some(text) => {
            child.esp_proposals = algorithms::list(&text, Phase::Esp, dialect, findings);
            pfs(conn, dialect, tunnel, child, findings);
        }
        None => own_list(conn, "esp", dialect, findings),
    }
    child.lifetime = lifetime(conn, "lifetime", dialect, findings);
    let bounded = |text: Sourced<&str>, least: u64, findings: &mut Findings| {
        number(&text, findings).map(|at| at.map(|value| value.clamp(least, i64::MAX as u64)))
    };
    child.lifetime_bytes = conn.get("lifebytes").and_then(|text| bounded(text, 10_000, findings));
    child.lifetime_packets = conn.get("lifepackets").and_then(|text| bounded(text, 100, findings));
    if let Some(text) = conn.get("sha256_96") {
        child.sha256_96 = boolean(&text, dialect, findings).filter(|on| on.value);
    }
    if let Some(text) = conn.get("replay_window").filter(|text| text.value != "-1") {
        child.replay_window =
            number(&text, findings).map(|at| at.map(|packets| if packets == 0 { 0 } else { packets.clamp(64, 8192) }));
    }
    let pairs = conn.side("left", "subnets").or_else(|| conn.side("right", "subnets"));
    if let Some(text) = pairs.filter(|_| child.local_subnets.len() * child.remote_subnets.len() > 1) {
        child.split_selectors = Some(text.with(true));
    }
}

/// Openswan and Libreswan take the group of PFS from elsewhere than the list of ESP.
fn pfs(conn: &Resolved, dialect: Dialect, tunnel: &ImportedTunnel, child: &mut ImportedChild, findings: &mut Findings) {
    let pfs = conn.get("pfs");
    if dialect == Strongswan {
        if let Some(text) = pfs {
            findings.note(&text.at, "strongSwan does not look at `pfs`: a group in `esp=` asks for PFS", "");
        }
        return;
    }
    let off = pfs.as_ref().is_some_and(|text| boolean(text, dialect, findings).is_some_and(|on| !on.value));
    let group = conn.get("pfsgroup").and_then(|text| {
        let group = algorithms::group(text.value);
        if group.is_none() {
            findings.error(
                &text.at,
                format!("`{}` is no group that Underpass has", shown(text.value)),
                "write modp2048 or another",
            );
        }
        group
    });
    let of_ike: Vec<&str> =
        tunnel.ike_proposals.first().map(|text| algorithms::groups(&text.value)).unwrap_or_default();
    for text in &mut child.esp_proposals {
        let named = !algorithms::groups(&text.value).is_empty();
        if off && named {
            let words: Vec<&str> = text.value.split('-').filter(|word| algorithms::groups(word).is_empty()).collect();
            let bare = words.join("-");
            findings.warning(&text.at, format!("`pfs=no`: the group in `{}` is left out", shown(&text.value)), "");
            text.value = bare;
        } else if !off && !named {
            let added = group.as_deref().or(of_ike.first().copied());
            let Some(added) = added else { continue };
            let why = if group.is_some() { "`pfsgroup`" } else { "PFS is on, with the group of IKE" };
            findings.note(&text.at, format!("{added} is added to `{}`: {why}", shown(&text.value)), "");
            text.value = format!("{}-{added}", text.value);
        }
    }
}
