//! What changes on this machine while we run: interfaces, addresses and routes that vanish and return.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::{Address, Link, Messages, NetlinkError};

/// Multicast groups of rtnetlink (`RTNLGRP_LINK`, `_IPV4_IFADDR`, `_IPV4_ROUTE`, `_IPV6_IFADDR`, `_IPV6_ROUTE`).
const GROUPS: [u32; 5] = [1, 5, 7, 9, 11];
const BUFFER_LEN: usize = 1 << 16;

/// A change that the kernel told us about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// An interface appeared or changed (name, MTU, up, carrier).
    Link(Link),
    /// An interface is gone.
    LinkGone(Link),
    /// An address appeared or changed.
    Address(Address),
    /// An address is gone.
    AddressGone(Address),
    /// A route appeared, changed or went. The kernel does not report routes that go with their interface or address.
    Route {
        /// Whose it is (`rtm_protocol`).
        protocol: u8,
        /// It is there no longer.
        gone: bool,
    },
    /// More happened than the kernel could keep for us: look at everything anew.
    Overrun,
}

/// Listens to changes; its descriptor is readable when there are some.
pub struct Monitor {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Monitor {
    /// Starts listening in the network namespace of the calling thread.
    pub fn open() -> Result<Self, NetlinkError> {
        let io = |source| NetlinkError::Io { operation: "listen to interface changes".to_owned(), source };
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(io)?;
        socket.bind(&SocketAddr::new(0, 0)).map_err(io)?;
        for group in GROUPS {
            socket.add_membership(group).map_err(io)?;
        }
        socket.set_non_blocking(true).map_err(io)?;
        Ok(Self { socket, buffer: Vec::with_capacity(BUFFER_LEN) })
    }

    /// The changes since the last call, oldest first, without blocking.
    pub fn changes(&mut self) -> io::Result<Vec<Change>> {
        /// Datagrams read in one call, so that a storm of changes cannot hold the caller.
        const DATAGRAMS: usize = 64;
        let mut changes = Vec::new();
        for _ in 0..DATAGRAMS {
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer, 0) {
                Ok(len) => {
                    let datagram = self.buffer.get(..len).unwrap_or(&self.buffer);
                    changes.extend(Messages::new(datagram).flatten().filter_map(change));
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN) => break,
                    Some(libc::EINTR) => {}
                    Some(libc::ENOBUFS) => changes.push(Change::Overrun),
                    _ => return Err(error),
                },
            }
        }
        Ok(changes)
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn change(message: netlink_packet_core::NetlinkMessage<RouteNetlinkMessage>) -> Option<Change> {
    let NetlinkPayload::InnerMessage(inner) = message.payload else {
        return None;
    };
    match inner {
        RouteNetlinkMessage::NewLink(link) => Some(Change::Link(Link::from_message(&link))),
        RouteNetlinkMessage::DelLink(link) => Some(Change::LinkGone(Link::from_message(&link))),
        RouteNetlinkMessage::NewAddress(address) => Address::from_message(&address).map(Change::Address),
        RouteNetlinkMessage::DelAddress(address) => Address::from_message(&address).map(Change::AddressGone),
        RouteNetlinkMessage::NewRoute(route) => {
            Some(Change::Route { protocol: u8::from(route.header.protocol), gone: false })
        }
        RouteNetlinkMessage::DelRoute(route) => {
            Some(Change::Route { protocol: u8::from(route.header.protocol), gone: true })
        }
        _ => None,
    }
}
