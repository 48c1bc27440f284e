//! A line of the gateway's log, as `engine::record` writes it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// One event.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// When, RFC 3339.
    pub time: Option<String>,
    /// `debug`, `info`, `warn`.
    pub level: String,
    /// What kind, in snake_case.
    pub event: String,
    /// One sentence.
    pub message: String,
    /// The connection it concerns.
    pub connection: Option<String>,
    /// The child it concerns.
    pub child: Option<String>,
    /// A stable word for why.
    pub reason: Option<String>,
    /// More, by name.
    pub fields: BTreeMap<String, String>,
}

impl Event {
    /// A line of the log as the control socket serves it; `None` for what is no event.
    pub fn from_log(line: &Value) -> Option<Event> {
        let map = line.as_object()?;
        let text = |name: &str| map.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
        let known = ["schema_version", "time", "level", "event", "message", "connection", "child", "reason"];
        let more = map.iter().filter(|(name, _)| !known.contains(&name.as_str()));
        let fields = more.filter_map(|(name, value)| {
            let value = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(flag) => flag.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => return None,
            };
            Some((name.clone(), value))
        });
        Some(Event {
            time: text("time"),
            level: text("level").unwrap_or_default(),
            event: text("event")?,
            message: text("message").unwrap_or_default(),
            connection: text("connection"),
            child: text("child"),
            reason: text("reason"),
            fields: fields.collect(),
        })
    }

    /// A value by its name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_of_the_log_keeps_all_it_says() {
        let line = json!({"schema_version": 1, "time": "2026-11-20T10:00:00.000Z", "level": "warn", "event": "connect_failed",
            "message": "not up", "connection": "b", "child": null, "reason": "no_answer", "exchange": "IKE_SA_INIT", "after_seconds": "60"});
        let event = Event::from_log(&line).unwrap();
        assert_eq!((event.reason.as_deref(), event.child.as_deref()), (Some("no_answer"), None));
        assert_eq!((event.field("exchange"), event.field("after_seconds")), (Some("IKE_SA_INIT"), Some("60")));
        assert_eq!(Event::from_log(&json!({"pcapng": "AAEC"})), None);
        assert_eq!(Event::from_log(&json!([1])), None);
    }
}
