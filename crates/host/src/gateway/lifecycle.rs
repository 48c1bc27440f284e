//! The configuration's life in a running gateway: taken over at the start, replaced by a reload, ended by a farewell.

use super::GatewayError;
use super::serve::Gateway;
use super::sysctl;
use crate::sd_notify::State;
use engine::desired::DesiredState;
use engine::record::Level;
use engine::routes::Routes;
use ike::config::PeerName;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How long an orderly stop waits for peers to answer our DELETE.
const FAREWELL: Duration = Duration::from_secs(2);

impl Gateway {
    /// Says that it serves, what, and where.
    pub(super) fn announce(&mut self) {
        let served: Vec<String> =
            self.sockets.ike.iter().map(|socket| socket.local_address().ip().to_string()).collect();
        let settings = &self.configured.gateway.endpoint;
        let text = format!(
            "underpass {} serves {} on UDP {} and {}, {}; connections: {}",
            self.version,
            served.join(" and "),
            settings.ike_port,
            settings.nat_port,
            if self.sockets.esp.is_empty() { "without plain ESP" } else { "and plain ESP" },
            self.configured.connections.len(),
        );
        self.note(Level::Info, "started", &text);
        if let Some(address) = self.observing.scrapes.as_ref().map(|scrapes| scrapes.address) {
            self.note(Level::Info, "metrics", &format!("metrics for Prometheus at http://{address}/metrics"));
        }
        self.notifier.notify(&State::Ready);
    }

    /// Tells all peers that we go; returns until when their answers are waited for.
    pub(super) fn say_farewell(&mut self, now: Instant) -> Instant {
        self.notifier.notify(&State::Stopping);
        self.note(Level::Info, "stopping", "stopping: telling the peers");
        self.engine.shutdown(now);
        now + FAREWELL
    }

    /// Reads the configuration again and applies what changed.
    pub(super) fn reload(&mut self, now: Instant) -> Result<Value, String> {
        self.notifier.notify(&State::Reloading);
        let result = self.reload_now(now);
        if let Err(error) = &result {
            self.note(Level::Warn, "reload_failed", &format!("not reloaded: {error}"));
        }
        self.notifier.notify(&State::Ready);
        result
    }

    fn reload_now(&mut self, now: Instant) -> Result<Value, String> {
        let desired = (self.reload_file)()?;
        let desired = self.with_loaded(desired);
        let old = self.configured.clone();
        if desired.gateway != old.gateway {
            self.note(Level::Warn, "restart_needed", "changes in [gateway] take effect when the gateway is restarted");
        }
        let (before, after) = (&old.connections, &desired.connections);
        let list = |names: Vec<&PeerName>| names.into_iter().map(ToString::to_string).collect::<Vec<String>>();
        let added = list(after.keys().filter(|name| !before.contains_key(*name)).collect());
        let removed = list(before.keys().filter(|name| !after.contains_key(*name)).collect());
        let differs = |name: &&PeerName| before.get(*name).is_some_and(|old| Some(old) != after.get(*name));
        let changed = list(after.keys().filter(differs).collect());
        let kept = DesiredState { gateway: old.gateway, ..desired };
        self.adopt(kept, now).map_err(|error| error.to_string())?;
        let words = [("added", &added), ("changed", &changed), ("removed", &removed)];
        let words: Vec<String> = words
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(word, names)| format!("{word} {}", names.join(", ")))
            .collect();
        let text = if words.is_empty() { "no connection changed".to_owned() } else { words.join("; ") };
        self.note(Level::Info, "reloaded", &format!("configuration reloaded: {text}"));
        Ok(json!({"added": added, "changed": changed, "removed": removed}))
    }

    /// Takes over a configuration. Routes first, so that nothing leaves in clear while tunnels come up.
    pub(super) fn adopt(&mut self, desired: DesiredState, now: Instant) -> Result<(), GatewayError> {
        let routes = Routes::of(&desired);
        self.routes.apply(&routes)?;
        self.warn_of_routes(&routes)?;
        self.names.keep_only(&desired);
        for connection in desired.connections.values() {
            self.names.ask(connection, now);
        }
        let mut filled = self.with_addresses(desired.clone());
        self.keep_addresses_in_use(&desired, &mut filled);
        self.configured = desired;
        self.forget_unconfigured();
        self.engine.apply(filled, now);
        self.check_sysctls();
        self.check_sources(now);
        self.carry_out(now);
        Ok(())
    }

    /// Settings of the machine that are not as the connections need them: set where that is asked for, else told.
    fn check_sysctls(&mut self) {
        let unmet = sysctl::unmet(&self.configured);
        let told: Vec<String> = match &mut self.sysctls {
            Some(sysctls) if !unmet.is_empty() => sysctls.manage(&unmet),
            Some(_) => Vec::new(),
            None => unmet.iter().map(|(need, found)| need.told(found)).collect(),
        };
        for text in told {
            self.note(Level::Warn, "sysctl", &text);
        }
    }

    /// A connection whose configuration did not change stays with the addresses it is up with, whatever its names say now.
    fn keep_addresses_in_use(&self, desired: &DesiredState, filled: &mut DesiredState) {
        for (name, connection) in &mut filled.connections {
            let unchanged = self.configured.connections.get(name) == desired.connections.get(name);
            let in_use = self.address_in_use(name);
            if unchanged
                && in_use.is_some_and(|address| connection.peer.remote_addresses.contains(&address))
                && let Some(present) = self.engine.desired().connections.get(name)
            {
                connection.peer.remote_addresses.clone_from(&present.peer.remote_addresses);
            }
        }
    }

    /// Says where routes cannot do what the configuration asks for.
    fn warn_of_routes(&mut self, routes: &Routes) -> Result<(), GatewayError> {
        for policy in &routes.not_routable {
            let text = format!(
                "policy {policy}: a route cannot let through a part of the traffic to an address; what it matches is dropped"
            );
            self.note(Level::Warn, "bypass_dropped", &text);
        }
        let overridden = self.routes.overridden(routes)?;
        let texts: BTreeSet<String> = overridden.iter().map(ToString::to_string).collect();
        for route in texts {
            let text =
                format!("the route {route} is better than ours: its traffic leaves in clear until it is removed");
            self.note(Level::Warn, "route_conflict", &text);
        }
        Ok(())
    }
}
