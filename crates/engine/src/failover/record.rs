//! What happens to groups of tunnels, as an operator reads it.

use super::{Event, MoveReason};
use crate::record::{Level, Record};
use ike::config::PeerName;
use std::time::Duration;

/// The record of something that happened to a group of tunnels.
impl From<&Event> for Record {
    fn from(event: &Event) -> Record {
        let tenths = |time: &Duration| format!("{:.1} s", time.as_secs_f64());
        match event {
            Event::Suspected { group, tunnel, silent } => {
                let text = format!(
                    "{tunnel} does not answer: nothing heard for {} ms; it is suspect, its SAs stay",
                    silent.as_millis()
                );
                Record::new(Level::Warn, "tunnel_suspect", text)
                    .with("tunnel", tunnel)
                    .with("silent_milliseconds", silent.as_millis())
                    .of(group)
            }
            Event::Recovered { group, tunnel, after, held } => {
                let text = format!(
                    "{tunnel} answers again after {}; another is preferred for {}",
                    tenths(after),
                    tenths(held)
                );
                Record::new(Level::Info, "tunnel_recovered", text).with("tunnel", tunnel).of(group)
            }
            Event::Moved { group, from, to, why } => moved(group, from.as_ref(), to.as_ref(), *why),
        }
    }
}

fn moved(group: &PeerName, from: Option<&PeerName>, to: Option<&PeerName>, why: MoveReason) -> Record {
    let because = match why {
        MoveReason::Up => "it is up",
        MoveReason::Down => "the other is down",
        MoveReason::Suspect => "the other does not answer",
        MoveReason::Preferred => "it is well and preferred",
    };
    let (level, text) = match (from, to) {
        (Some(from), Some(to)) => (Level::Warn, format!("traffic moved from {from} to {to}: {because}")),
        (None, Some(to)) => (Level::Info, format!("traffic takes {to}: {because}")),
        (_, None) => (Level::Warn, "no tunnel is left: traffic is dropped".to_owned()),
    };
    let name = |peer: Option<&PeerName>| peer.map(ToString::to_string).unwrap_or_default();
    Record::new(level, "traffic_moved", text)
        .with("from", name(from))
        .with("to", name(to))
        .because(why.code())
        .of(group)
}
