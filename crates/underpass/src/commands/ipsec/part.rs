//! Which part of a negotiation failed, from a connection's status: what to look at first. Pure.
//!
//! IKEv1 has phase 1 (main or aggressive mode) and phase 2 (quick mode); IKEv2 IKE_SA_INIT, IKE_AUTH, which makes the first
//! child SA too, and CREATE_CHILD_SA (RFC 2409 §5, RFC 7296 §1).

use crate::client::clean;
use crate::tunnels::{items, reason, text};
use serde_json::Value;

/// What is known of a connection, or a child of it, that is not up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failed {
    /// The part; `None` when nothing failed: nobody asked for it, or it was taken down.
    pub part: Option<String>,
    /// `code: message`, both ends' values in it.
    pub reason: String,
}

/// Of a connection; `None` when all of it is up, or nothing is known.
pub fn failed(connection: &Value) -> Option<Failed> {
    let children = items(connection, "children");
    let down = children.iter().filter(|child| text(child, "state") != "up").find(|child| reason(child).is_some());
    // Of a connection whose IKE SA is up, the child's reason says more.
    let about = match down {
        Some(child) if established(connection) => child,
        _ if text(connection, "state") == "up" => return None,
        _ => connection,
    };
    let about = if reason(about).is_some() { about } else { down.copied().unwrap_or(connection) };
    let reason = reason(about)?;
    Some(Failed { part: part(connection, about), reason })
}

fn established(connection: &Value) -> bool {
    connection.pointer("/ike/established").is_some_and(|value| !value.is_null())
}

fn part(connection: &Value, about: &Value) -> Option<String> {
    let code = about.pointer("/reason/code").and_then(Value::as_str).unwrap_or_default();
    let exchange = about.pointer("/reason/details/exchange").and_then(Value::as_str).unwrap_or_default();
    if !exchange.is_empty() {
        return Some(of_exchange(exchange));
    }
    let version = match connection.get("ike").filter(|ike| !ike.is_null()) {
        Some(ike) => text(ike, "version"),
        None => text(connection, "ike_versions"),
    };
    let by_version = |v1: &str, v2: &str| match version {
        "ikev1" => v1.to_owned(),
        "ikev2" => v2.to_owned(),
        _ => format!("{v2}; with IKEv1 {v1}"),
    };
    let phase_1 = || by_version("phase 1", "IKE_SA_INIT (phase 1)");
    let proof = || by_version("phase 1, its last messages", "IKE_AUTH (phase 1, the proof of identity)");
    let phase_2 = || by_version("quick mode (phase 2)", "IKE_AUTH or CREATE_CHILD_SA, the child SA (phase 2)");
    Some(match code {
        "no_proposal_chosen" if established(connection) => phase_2(),
        "no_proposal_chosen" => phase_1(),
        "version_mismatch" | "mode_mismatch" => "phase 1, the first message".to_owned(),
        "psk_mismatch" | "identity_mismatch" | "wrong_responder" => proof(),
        "traffic_selectors" => phase_2(),
        "no_route" => "before the first message".to_owned(),
        "unsupported" => proof(),
        "crypto" | "misbehaved" if established(connection) => phase_2(),
        "crypto" | "misbehaved" => phase_1(),
        _ => return None,
    })
}

fn of_exchange(exchange: &str) -> String {
    let lower = exchange.to_ascii_lowercase();
    let phase = match lower.as_str() {
        "r-u-there" => "the check whether the peer lives",
        lower if lower.starts_with("create_child_sa (ike") => "phase 1, a rekey",
        lower if lower.starts_with("create_child_sa") || lower.starts_with("quick") => "phase 2",
        lower if lower.starts_with("informational") => "the check whether the peer lives",
        _ => "phase 1",
    };
    format!("{} ({phase})", clean(exchange))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_failure_names_its_part_of_the_negotiation() {
        let ike = json!({"version": "ikev2", "established": "2026-11-20T18:00:00.000Z"});
        // (versions, code, exchange, IKE SA, part)
        let table = [
            ("ikev2", "refused", Some("IKE_SA_INIT"), None, Some("IKE_SA_INIT (phase 1)")),
            ("ikev1", "no_answer", Some("quick mode"), None, Some("quick mode (phase 2)")),
            ("ikev2", "no_answer", Some("IKE_AUTH"), None, Some("IKE_AUTH (phase 1)")),
            ("ikev2", "refused", Some("CREATE_CHILD_SA"), Some(&ike), Some("CREATE_CHILD_SA (phase 2)")),
            ("ikev1", "psk_mismatch", None, None, Some("phase 1, its last messages")),
            ("ikev2", "psk_mismatch", None, None, Some("IKE_AUTH (phase 1, the proof of identity)")),
            ("ikev1", "no_proposal_chosen", None, None, Some("phase 1")),
            (
                "ikev2",
                "no_proposal_chosen",
                None,
                Some(&ike),
                Some("IKE_AUTH or CREATE_CHILD_SA, the child SA (phase 2)"),
            ),
            ("ikev2", "administrative", None, None, None),
        ];
        for (versions, code, exchange, ike, part) in table {
            let mut why = json!({"code": code, "message": "why"});
            if let Some(exchange) = exchange {
                why["details"] = json!({"exchange": exchange});
            }
            let connection = json!({
                "name": "site", "state": "down", "ike_versions": versions, "ike": ike, "reason": why.clone(),
                "children": [{"name": "net", "state": "down", "reason": why}],
            });
            let failed = failed(&connection).unwrap();
            assert_eq!(failed, Failed { part: part.map(str::to_owned), reason: format!("{code}: why") }, "{code}");
        }
        assert_eq!(failed(&json!({"state": "up", "children": [{"state": "up"}]})), None);
    }
}
