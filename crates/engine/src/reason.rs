//! Why something is down, as named values beside the sentence: what a status and a log line carry for programs, so that
//! nobody has to take a sentence apart. Names are stable; no value is ever a secret.

use ike::event::DownReason;

/// The values of a reason by their names: both ends' lists, the notify, the exchange, how long.
pub fn details(reason: &DownReason) -> Vec<(&'static str, String)> {
    match reason {
        DownReason::NoAnswer { exchange, after } => {
            vec![("exchange", (*exchange).to_owned()), ("after_seconds", after.as_secs().to_string())]
        }
        DownReason::Refused { notify, exchange, offered } => {
            refused(notify.name().as_ref(), exchange, offered.as_deref())
        }
        DownReason::RefusedByV1 { notify, exchange, offered } => refused(notify, exchange, offered.as_deref()),
        DownReason::NoProposalChosen(diff) => vec![
            ("ours", diff.ours.to_string()),
            ("theirs", diff.theirs.to_string()),
            ("differs", diff.fields.join(",")),
        ],
        DownReason::VersionMismatch { ours, theirs } => {
            vec![("ours", ours.name().to_owned()), ("theirs", theirs.name().to_owned())]
        }
        DownReason::ModeMismatch { ours, theirs } => {
            vec![("ours", (*ours).to_owned()), ("theirs", (*theirs).to_owned())]
        }
        DownReason::Undecryptable { message, key, remote } => {
            vec![("exchange", (*message).to_owned()), ("key_of", key.clone()), ("peer_address", remote.to_string())]
        }
        DownReason::Unsupported { what, remedy } => {
            vec![("demands", (*what).to_owned()), ("remedy", (*remedy).to_owned())]
        }
        DownReason::TrafficSelectors { ours, theirs } => vec![("ours", ours.clone()), ("theirs", theirs.clone())],
        DownReason::PskMismatch { id } => vec![("received_id", id.to_string())],
        DownReason::IdentityMismatch { expected, received } => {
            vec![("expected_id", expected.clone()), ("received_id", received.to_string())]
        }
        DownReason::WrongResponder { asked, ours } => {
            vec![("asked_id", asked.to_string()), ("our_id", ours.clone())]
        }
        DownReason::Misbehaved(rule) => vec![("rule", (*rule).to_owned())],
        DownReason::Crypto(what) => vec![("what", what.clone())],
        DownReason::Idle
        | DownReason::Administrative
        | DownReason::Reconfigured
        | DownReason::NoRoute
        | DownReason::PeerDeleted
        | DownReason::Superseded
        | DownReason::Redundant
        | DownReason::Expired => Vec::new(),
    }
}

fn refused(notify: &str, exchange: &str, offered: Option<&str>) -> Vec<(&'static str, String)> {
    let mut values = vec![("notify", notify.to_owned()), ("exchange", exchange.to_owned())];
    values.extend(offered.map(|offered| ("offered", offered.to_owned())));
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use ike::id::Id;

    #[test]
    fn both_values_of_a_mismatch_are_named() {
        let reason = DownReason::IdentityMismatch {
            expected: "b.example".to_owned(),
            received: Id::Fqdn("nobody.example".to_owned()),
        };
        assert_eq!(
            details(&reason),
            [("expected_id", "b.example".to_owned()), ("received_id", "nobody.example".to_owned())]
        );
        assert_eq!(details(&DownReason::Idle), []);
    }
}
