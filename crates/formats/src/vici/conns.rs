//! What is configured, as `list-conn` and `list-policy` tell of it.

use super::Message;
use engine::desired::{Connection, Policy, PolicyAction};
use ike::config::{ChildConfig, Lifetime, PeerConfig, StartPolicy, Versions};
use ike::id::Id;

impl Message {
    /// A connection under its name.
    #[must_use]
    pub fn list_conn(connection: &Connection) -> Message {
        let peer = &connection.peer;
        let version = match peer.versions {
            Versions::V1 => "IKEv1",
            Versions::V2 => "IKEv2",
            Versions::Both => "IKEv1/2",
        };
        let local = peer.local_address.map_or_else(|| "%any".to_owned(), |address| address.to_string());
        let mut remote: Vec<String> = connection.remote_names.clone();
        remote.extend(peer.remote_addresses.iter().map(ToString::to_string));
        if remote.is_empty() {
            remote.push("%any".to_owned());
        }
        let conn = Message::new()
            .with_list("local_addrs", [local])
            .with_list("remote_addrs", remote)
            .with("version", version)
            .with("reauth_time", "0")
            .with("rekey_time", rekey_seconds(&peer.lifetime))
            .with("unique", "UNIQUE_REPLACE")
            .with("dpd_delay", peer.dpd.interval.map_or(0, |interval| interval.as_secs()).to_string())
            .with("dpd_timeout", peer.dpd.timeout.as_secs().to_string())
            .with_section("local-1", end(Some(&peer.local_id)))
            .with_section("remote-1", end(peer.remote_id.as_ref()))
            .with_section("children", children(peer));
        Message::new().with_section(&peer.name.0, conn)
    }

    /// The policy of a child that packets ask for while it is down.
    #[must_use]
    pub fn list_trap(peer: &PeerConfig, child: &ChildConfig) -> Message {
        let policy = Message::new()
            .with("child", child.name.to_string())
            .with("ike", peer.name.to_string())
            .with("mode", "TUNNEL")
            .with_list("local-ts", child.local.iter().map(ToString::to_string))
            .with_list("remote-ts", child.remote.iter().map(ToString::to_string));
        Message::new().with_section(&format!("{}/{}", peer.name, child.name), policy)
    }

    /// A policy that lets pass or drops.
    #[must_use]
    pub fn list_policy(policy: &Policy) -> Message {
        let mode = match policy.action {
            PolicyAction::Bypass => "PASS",
            PolicyAction::Discard => "DROP",
        };
        let told = Message::new()
            .with("child", &policy.name)
            .with("mode", mode)
            .with_list("local-ts", policy.local.iter().map(ToString::to_string))
            .with_list("remote-ts", policy.remote.iter().map(ToString::to_string));
        Message::new().with_section(&policy.name, told)
    }
}

fn end(id: Option<&Id>) -> Message {
    Message::new()
        .with("class", "pre-shared key")
        .with("id", id.map_or_else(|| "%any".to_owned(), ToString::to_string))
        .with_list::<&str>("groups", [])
        .with_list::<&str>("certs", [])
        .with_list::<&str>("cacerts", [])
}

fn children(peer: &PeerConfig) -> Message {
    peer.children.iter().fold(Message::new(), |children, child| {
        let trap = child.start == StartPolicy::OnDemand;
        let told = Message::new()
            .with("mode", "TUNNEL")
            .with("rekey_time", rekey_seconds(&child.lifetime))
            .with("rekey_bytes", child.lifetime.bytes.map_or(0, |bytes| bytes - bytes / 10).to_string())
            .with("rekey_packets", child.lifetime.packets.map_or(0, |packets| packets - packets / 10).to_string())
            .with("dpd_action", if trap { "trap" } else { "restart" })
            .with("close_action", "none")
            .with_list("local-ts", child.local.iter().map(ToString::to_string))
            .with_list("remote-ts", child.remote.iter().map(ToString::to_string));
        children.with_section(&child.name.0, told)
    })
}

/// When a rekey starts at the latest, in seconds; 0 is never.
fn rekey_seconds(lifetime: &Lifetime) -> String {
    lifetime.time.map_or(0, |time| time.saturating_sub(lifetime.margin).as_secs()).to_string()
}
