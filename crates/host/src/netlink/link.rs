//! Network interfaces.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};

use super::{Netlink, NetlinkError};

/// An interface as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number for it.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// MTU in bytes.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// Administratively up and able to send (carrier).
    pub running: bool,
    /// It is `lo`.
    pub loopback: bool,
}

impl Link {
    pub(super) fn from_message(message: &LinkMessage) -> Self {
        let flags = message.header.flags;
        let mut link = Self {
            index: message.header.index,
            name: String::new(),
            mtu: 0,
            up: flags.contains(LinkFlags::Up),
            running: flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
            loopback: flags.contains(LinkFlags::Loopback),
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                _ => {}
            }
        }
        link
    }
}

impl Netlink {
    /// All interfaces of the namespace.
    pub fn links(&mut self) -> Result<Vec<Link>, NetlinkError> {
        let mut links = Vec::new();
        let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
        self.dump(
            request,
            || "list interfaces".to_owned(),
            |answer| {
                if let RouteNetlinkMessage::NewLink(message) = answer {
                    links.push(Link::from_message(&message));
                }
            },
        )?;
        Ok(links)
    }

    /// The interface of that name, if there is one.
    pub fn link_by_name(&mut self, name: &str) -> Result<Option<Link>, NetlinkError> {
        Ok(self.links()?.into_iter().find(|link| link.name == name))
    }

    /// The interface with that index, if there is one.
    pub fn link_by_index(&mut self, index: u32) -> Result<Option<Link>, NetlinkError> {
        Ok(self.links()?.into_iter().find(|link| link.index == index))
    }

    /// Sets an interface up or down.
    pub fn set_up(&mut self, index: u32, up: bool) -> Result<(), NetlinkError> {
        let mut message = link_message(index);
        if up {
            message.header.flags = LinkFlags::Up;
        }
        message.header.change_mask = LinkFlags::Up;
        self.change(RouteNetlinkMessage::SetLink(message), 0, || {
            format!("set interface {index} {}", if up { "up" } else { "down" })
        })
    }

    /// Sets the loopback interface up.
    pub fn set_loopback_up(&mut self) -> Result<(), NetlinkError> {
        self.set_up(1, true)
    }

    /// Sets an interface's MTU in bytes.
    pub fn set_mtu(&mut self, index: u32, mtu: u32) -> Result<(), NetlinkError> {
        let mut message = link_message(index);
        message.attributes.push(LinkAttribute::Mtu(mtu));
        self.change(RouteNetlinkMessage::SetLink(message), 0, || format!("set the MTU of interface {index} to {mtu}"))
    }

    /// Creates two interfaces joined by a wire; the peer may be born in another namespace.
    pub fn create_veth(
        &mut self,
        name: &str,
        peer_name: &str,
        peer_namespace: Option<BorrowedFd<'_>>,
    ) -> Result<(), NetlinkError> {
        let mut peer = LinkMessage::default();
        peer.attributes.push(LinkAttribute::IfName(peer_name.to_owned()));
        if let Some(namespace) = peer_namespace {
            peer.attributes.push(LinkAttribute::NetNsFd(namespace.as_raw_fd()));
        }
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
            ]),
        ];
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        self.change(RouteNetlinkMessage::NewLink(message), flags, || {
            format!("create the veth pair {name}, {peer_name}")
        })
    }

    /// Moves an interface into another namespace, where it arrives down and without addresses.
    pub fn move_link(&mut self, index: u32, namespace: BorrowedFd<'_>) -> Result<(), NetlinkError> {
        let mut message = link_message(index);
        message.attributes.push(LinkAttribute::NetNsFd(namespace.as_raw_fd()));
        self.change(RouteNetlinkMessage::SetLink(message), 0, || format!("move interface {index} to another namespace"))
    }

    /// Deletes an interface (of a veth pair: both ends).
    pub fn delete_link(&mut self, index: u32) -> Result<(), NetlinkError> {
        let message = link_message(index);
        self.change(RouteNetlinkMessage::DelLink(message), 0, || format!("delete interface {index}"))
    }
}

fn link_message(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message
}
