//! The gateway's status as the commands read it. Tolerant: what a gateway of another version leaves out is missing in the
//! output, not an error.

use crate::client::{Gateway, clean};
use crate::exit::{Exit, Failure};
use formats::nearest;
use serde_json::{Value, json};

/// The status: `engine::status::Status` as JSON.
#[derive(Clone, Debug)]
pub struct Status(pub Value);

impl Status {
    /// Asks for it.
    ///
    /// # Errors
    /// As [`Gateway::ask`].
    pub fn of(gateway: &Gateway) -> Result<Status, Failure> {
        gateway.ask(&json!({ "command": "status" })).map(Status)
    }

    /// The connections, all, the one named, or the tunnels of the one named.
    ///
    /// # Errors
    /// None is named so, or a child of it is none.
    pub fn select(&self, target: Option<&Target>) -> Result<Vec<&Value>, Failure> {
        let all = items(&self.0, "connections");
        let Some(target) = target else { return Ok(all) };
        let groups = items(&self.0, "groups");
        let names = || all.iter().chain(&groups).map(|named| text(named, "name"));
        if let Some(group) = groups.iter().find(|group| text(group, "name") == target.connection) {
            let of_group: Vec<&str> = items(group, "tunnels").iter().map(|tunnel| text(tunnel, "connection")).collect();
            return Ok(all.into_iter().filter(|connection| of_group.contains(&text(connection, "name"))).collect());
        }
        let Some(found) = all.iter().find(|connection| text(connection, "name") == target.connection) else {
            return Err(unknown("connection", &target.connection, names()));
        };
        if let Some(child) = &target.child {
            let children = items(found, "children");
            let names = children.iter().map(|child| text(child, "name"));
            if !children.is_empty() && !names.clone().any(|name| name == child) {
                return Err(unknown("child", &format!("{}/{child}", target.connection), names));
            }
        }
        Ok(vec![found])
    }

    /// Whether the target is up; of a whole connection, all its children.
    pub fn is_up(connection: &Value, child: Option<&str>) -> bool {
        let up = |value: &Value| text(value, "state") == "up";
        match child {
            Some(name) => items(connection, "children").iter().any(|child| text(child, "name") == name && up(child)),
            None => up(connection),
        }
    }
}

fn unknown<'n>(what: &str, name: &str, names: impl Iterator<Item = &'n str> + Clone) -> Failure {
    let short = name.rsplit('/').next().unwrap_or(name);
    let failure =
        Failure::new(Exit::Usage, &format!("unknown_{what}"), format!("there is no {what} `{}`", clean(name)));
    match nearest(short, names.clone()) {
        Some(near) => failure.hint(format!("did you mean `{}`?", clean(near))),
        None => {
            let known: Vec<String> = names.take(20).map(clean).collect();
            let known = if known.is_empty() { "none is configured".to_owned() } else { known.join(", ") };
            failure.hint(format!("known: {known}"))
        }
    }
}

/// A connection, or one of its children: `site-b`, `site-b/net`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// Name of the connection.
    pub connection: String,
    /// Name of the child, if one is meant.
    pub child: Option<String>,
}

impl Target {
    /// From the positional argument and `--child`.
    ///
    /// # Errors
    /// Both name a child, and not the same.
    pub fn new(name: &str, child: Option<&str>) -> Result<Target, Failure> {
        let (connection, inline) = match name.split_once('/') {
            Some((connection, child)) => (connection, Some(child)),
            None => (name, None),
        };
        if let (Some(inline), Some(option)) = (inline, child)
            && inline != option
        {
            let message = format!("`{name}` and `--child {option}` name two children");
            return Err(Failure::new(Exit::Usage, "two_children", message).hint("leave one of them out"));
        }
        Ok(Target { connection: connection.to_owned(), child: inline.or(child).map(ToOwned::to_owned) })
    }

    /// As one word.
    pub fn name(&self) -> String {
        match &self.child {
            Some(child) => format!("{}/{child}", self.connection),
            None => self.connection.clone(),
        }
    }
}

/// What a status says of a connection as a tunnel of a group, where it is one.
pub fn tunnel_of_group<'v>(status: &'v Value, connection: &str) -> Option<&'v Value> {
    let tunnels = items(status, "groups").into_iter().flat_map(|group| items(group, "tunnels"));
    tunnels.into_iter().find(|tunnel| text(tunnel, "connection") == connection)
}

/// The elements of a list in an object; none when it is not there.
pub fn items<'v>(value: &'v Value, name: &str) -> Vec<&'v Value> {
    value.get(name).and_then(Value::as_array).map(|list| list.iter().collect()).unwrap_or_default()
}

/// A string in an object; empty when it is not there.
pub fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Why something is not up: `code: message`, as far as it is said.
pub fn reason(value: &Value) -> Option<String> {
    let reason = value.get("reason").filter(|reason| !reason.is_null())?;
    if let Some(words) = reason.as_str() {
        return Some(clean(words));
    }
    let (code, message) = (text(reason, "code"), text(reason, "message"));
    match (code.is_empty(), message.is_empty()) {
        (false, false) => Some(format!("{}: {}", clean(code), clean(message))),
        (true, true) => None,
        _ => Some(clean(&format!("{code}{message}"))),
    }
}
