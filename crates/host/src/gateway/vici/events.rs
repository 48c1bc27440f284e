//! What clients of VICI hear without asking: SAs that come, go and are replaced, and lines of the log.

use crate::gateway::serve::Gateway;
use engine::view::{ChildView, IkeView};
use formats::vici::{Message, SectionName};
use ike::ChildState;
use ike::event::{ChildId, Event};
use ike::wire::IkeSpi;
use serde_json::Value;
use std::time::Instant;

/// Events that tell of SAs.
const OF_SAS: [&str; 4] = ["ike-updown", "ike-rekey", "child-updown", "child-rekey"];
/// Characters of a log line that are told.
const LONGEST_LINE: usize = 4000;

impl Gateway {
    /// Keeps what SAs look like while anybody wants to hear of their end.
    pub(super) fn remember_sas(&mut self) {
        let wanted = self.vici.server.as_ref().is_some_and(|server| OF_SAS.iter().any(|event| server.is_wanted(event)));
        self.vici.known = if wanted { self.numbered_sas() } else { Vec::new() };
    }

    /// Tells clients of what happened to an SA, and remembers what it says of commands that wait.
    pub(in crate::gateway) fn vici_event(&mut self, event: &Event, now: Instant) {
        if self.vici.server.is_none() {
            return;
        }
        self.vici_failure(event);
        let before = std::mem::take(&mut self.vici.known);
        self.remember_sas();
        let after = std::mem::take(&mut self.vici.known);
        if let Some((name, message)) = self.told(event, &before, &after, now)
            && let Some(server) = &mut self.vici.server
        {
            server.tell_all(name, &message, &self.poller);
        }
        self.vici.known = after;
    }

    fn told(
        &self,
        event: &Event,
        before: &[IkeView],
        after: &[IkeView],
        now: Instant,
    ) -> Option<(&'static str, Message)> {
        let numbers = &self.vici.numbers;
        let ike = |view: &IkeView| Message::ike_sa(view, numbers, now);
        let under = |view: &IkeView, message: Message| Message::new().with_section(&view.peer.0, message);
        let up = |message: Message| Message::new().with("up", "yes").and(message);
        match event {
            Event::IkeSaUp { local_spi, .. } => {
                let view = find(after, *local_spi)?;
                Some(("ike-updown", up(under(view, ike(view)))))
            }
            Event::IkeSaDown { local_spi, .. } => {
                let view = find(before, *local_spi)?;
                Some(("ike-updown", under(view, ike(view))))
            }
            Event::IkeSaRekeyed { old, new, .. } => {
                let (old, new) = (find(before, *old)?, find(after, *new)?);
                let both = Message::new().with_section("old", ike(old)).with_section("new", ike(new));
                Some(("ike-rekey", under(new, both)))
            }
            Event::ChildSaUp { child, replaces: None, .. } => {
                let (view, _) = find_child(after, *child)?;
                Some(("child-updown", up(Message::list_sa(view, |other| other.id == *child, numbers, now))))
            }
            Event::ChildSaUp { child, replaces: Some(old), .. } => {
                let ((_, old), (view, new)) = (find_child(before, *old)?, find_child(after, *child)?);
                let told = |child: &ChildView| Message::child_sa(&view.peer, child, numbers, now);
                let both = Message::new().with_section("old", told(old)).with_section("new", told(new));
                let children = Message::new().with_section(&new.section_name(), both);
                Some(("child-rekey", under(view, ike(view).with_section("child-sas", children))))
            }
            Event::ChildSaDown { child, .. } => {
                let (view, gone) = find_child(before, *child)?;
                // The end of one that was replaced is no end of its traffic.
                let message = Message::list_sa(view, |other| other.id == *child, numbers, now);
                (gone.state == ChildState::Installed).then_some(("child-updown", message))
            }
            _ => None,
        }
    }

    /// Tells a line of the log to those who listen to it, and to those whose command it is about.
    pub(in crate::gateway) fn vici_log(&mut self, line: &Value) {
        let Some(server) = &mut self.vici.server else { return };
        if !server.is_wanted("log") && self.vici.waiting.is_empty() {
            return;
        }
        let text = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default();
        let (connection, child) = (text("connection"), text("child"));
        let said: String = text("message").chars().take(LONGEST_LINE).collect();
        let group = if child.is_empty() { "IKE" } else { "CHD" };
        let mut message = Message::new().with("group", group).with("level", "1");
        let control = message.clone();
        message = message.with("thread", "1");
        let named = |message: Message| match connection {
            "" => message.with("msg", &said),
            name => message.with("ikesa-name", name).with("msg", format!("{name}: {said}")),
        };
        server.tell_all("log", &named(message), &self.poller);
        let concerned = self.vici.waiting.iter().filter(|waiting| waiting.concerns(connection));
        let control = named(control);
        for client in concerned.map(|waiting| waiting.client) {
            server.tell(client, "control-log", &control, &self.poller);
        }
    }
}

fn find(views: &[IkeView], spi: IkeSpi) -> Option<&IkeView> {
    views.iter().find(|view| view.local_spi == spi)
}

fn find_child(views: &[IkeView], id: ChildId) -> Option<(&IkeView, &ChildView)> {
    views.iter().find_map(|view| Some((view, view.children.iter().find(|child| child.id == id)?)))
}
