//! Telling systemd how we are (`sd_notify(3)`): one datagram per message to the socket in `NOTIFY_SOCKET`.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::time::Duration;

use crate::sys::process::monotonic_microseconds;

/// What there is to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State<'a> {
    /// Configuration loaded and sockets open.
    Ready,
    /// Loading the configuration again; [`State::Ready`] ends it.
    Reloading,
    /// Stopping in good order.
    Stopping,
    /// Alive; due at least every [`Notifier::watchdog`].
    Watchdog,
    /// One line for `systemctl status`: "4/4 tunnels up".
    Status(&'a str),
}

/// The service manager's ear, if we have one.
#[derive(Debug)]
pub struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// From the environment. Without a service manager every message goes nowhere.
    pub fn from_environment() -> Self {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|path| Self::connect(&path).ok());
        let number = |name| env::var(name).ok()?.parse::<u64>().ok();
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(process::id()));
        let period = number("WATCHDOG_USEC").filter(|_| ours && socket.is_some());
        Self { socket, watchdog: period.map(|period| Duration::from_micros(period / 2)) }
    }

    /// To a socket: a path, or `@name` in the abstract namespace.
    fn connect(path: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
        let address = match path.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(path)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok((socket, address))
    }

    /// How often [`State::Watchdog`] is due: half of what systemd tolerates. `None` when nobody watches.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Tells one thing. A service manager that does not listen is no reason to fail.
    pub fn notify(&self, state: &State<'_>) {
        if let Some((socket, address)) = &self.socket {
            let _ = socket.send_to_addr(message(state).as_bytes(), address);
        }
    }
}

fn message(state: &State<'_>) -> String {
    match state {
        State::Ready => "READY=1".to_owned(),
        State::Reloading => format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_microseconds()),
        State::Stopping => "STOPPING=1".to_owned(),
        State::Watchdog => "WATCHDOG=1".to_owned(),
        // A line end would begin another message.
        State::Status(text) => format!("STATUS={}", text.replace(['\n', '\r'], " ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_reach_an_abstract_socket() {
        let name = format!("underpass-notify-{}", process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let path = format!("@{name}");
        let notifier = Notifier { socket: Some(Notifier::connect(OsStr::new(&path)).unwrap()), watchdog: None };
        notifier.notify(&State::Ready);
        notifier.notify(&State::Status("1/2 tunnels up\nREADY=1"));
        notifier.notify(&State::Reloading);
        let mut buffer = [0; 256];
        let mut next = || {
            let len = manager.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..len].to_vec()).unwrap()
        };
        assert_eq!(next(), "READY=1");
        assert_eq!(next(), "STATUS=1/2 tunnels up READY=1", "one line stays one line");
        let reloading = next();
        let (first, time) = reloading.split_once("\nMONOTONIC_USEC=").unwrap();
        assert_eq!(first, "RELOADING=1");
        assert!(time.parse::<u64>().unwrap() > 0);
    }
}
