//! `recvmmsg`, `sendmmsg` and the error queue: many datagrams per system call, each with its ancillary data.
#![allow(unsafe_code)]

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::null_mut;

use super::control::{ControlBuffer, i32_at};
use super::socket::{check, decode_address, decode_ip, encode_address};

/// Most messages one call moves. With UDP GSO and GRO each may hold 64 datagrams.
pub(crate) const MAX_MESSAGES: usize = 64;

/// The buffers of one receive call, one slot per message.
pub(crate) struct ReceiveArena {
    slot_len: usize,
    data: Vec<u8>,
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<ControlBuffer>,
}

/// What the kernel said about one received message.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Arrival {
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) len: usize,
    pub(crate) local: Option<IpAddr>,
    pub(crate) interface: u32,
    pub(crate) tos: u8,
    pub(crate) segment_len: Option<u16>,
    pub(crate) overflow: Option<u32>,
    pub(crate) truncated: bool,
    pub(crate) control_truncated: bool,
}

impl ReceiveArena {
    pub(crate) fn new(slots: usize, slot_len: usize) -> Self {
        let slots = slots.clamp(1, MAX_MESSAGES);
        // SAFETY: an all-zero sockaddr_storage is a valid value.
        let name: libc::sockaddr_storage = unsafe { zeroed() };
        Self {
            slot_len,
            data: vec![0; slots * slot_len],
            names: vec![name; slots],
            controls: vec![ControlBuffer::EMPTY; slots],
        }
    }

    pub(crate) fn slot_len(&self) -> usize {
        self.slot_len
    }

    /// All slots, one after the other.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    pub(crate) fn slot_mut(&mut self, index: usize) -> &mut [u8] {
        let start = index * self.slot_len;
        self.data.get_mut(start..start + self.slot_len).unwrap_or_default()
    }

    pub(crate) fn slots_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.data.chunks_mut(self.slot_len)
    }

    /// Receives up to one message per slot without blocking and reports each through `arrived(slot, arrival)`.
    pub(crate) fn receive(&mut self, fd: BorrowedFd<'_>, mut arrived: impl FnMut(usize, Arrival)) -> io::Result<usize> {
        // SAFETY: all-zero iovec and mmsghdr are valid values (null pointers, zero lengths).
        let mut vectors: [libc::iovec; MAX_MESSAGES] = unsafe { zeroed() };
        // SAFETY: as above.
        let mut headers: [libc::mmsghdr; MAX_MESSAGES] = unsafe { zeroed() };
        let slots = self.names.len();
        for (i, slot) in self.data.chunks_mut(self.slot_len).enumerate() {
            vectors[i].iov_base = slot.as_mut_ptr().cast();
            vectors[i].iov_len = slot.len();
            let header = &mut headers[i].msg_hdr;
            header.msg_name = (&raw mut self.names[i]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_iov = &raw mut vectors[i];
            header.msg_iovlen = 1;
            header.msg_control = self.controls[i].bytes.as_mut_ptr().cast();
            header.msg_controllen = self.controls[i].bytes.len() as _;
        }
        // SAFETY: each of the first `slots` headers points at a name, one iovec and a control buffer that belong to `self` or to
        // this frame, are not otherwise borrowed, have the lengths given, and outlive the call.
        let count = check(unsafe {
            libc::recvmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), slots as libc::c_uint, libc::MSG_DONTWAIT, null_mut())
        })? as usize;
        for (i, header) in headers.iter().enumerate().take(count) {
            self.controls[i].used = control_len(&header.msg_hdr);
            let mut arrival = Arrival {
                remote: decode_address(&self.names[i]),
                len: (header.msg_len as usize).min(self.slot_len),
                truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
                control_truncated: header.msg_hdr.msg_flags & libc::MSG_CTRUNC != 0,
                ..Arrival::default()
            };
            read_control(&self.controls[i], &mut arrival);
            arrived(i, arrival);
        }
        Ok(count)
    }
}

fn read_control(control: &ControlBuffer, arrival: &mut Arrival) {
    for (level, kind, data) in control.items() {
        match (level, kind) {
            (libc::IPPROTO_IP, libc::IP_TOS) => arrival.tos = data.first().copied().unwrap_or(0),
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                arrival.tos = i32_at(data, 0).unwrap_or(0) as u8;
            }
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                arrival.interface = i32_at(data, 0).unwrap_or(0) as u32;
                let octets = data.get(4..8).and_then(|b| <[u8; 4]>::try_from(b).ok());
                arrival.local = octets.map(IpAddr::from);
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let octets = data.get(..16).and_then(|b| <[u8; 16]>::try_from(b).ok());
                arrival.local = octets.map(IpAddr::from);
                arrival.interface = i32_at(data, 16).unwrap_or(0) as u32;
            }
            (libc::SOL_UDP, libc::UDP_GRO) => {
                arrival.segment_len = i32_at(data, 0).and_then(|size| u16::try_from(size).ok());
            }
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                arrival.overflow = i32_at(data, 0).map(|count| count as u32);
            }
            _ => {}
        }
    }
}

/// One message to send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Departure<'a> {
    pub(crate) remote: SocketAddr,
    /// Source address, or the kernel's choice.
    pub(crate) local: Option<IpAddr>,
    pub(crate) tos: u8,
    pub(crate) bytes: &'a [u8],
    /// The kernel cuts `bytes` into datagrams of this length (`UDP_SEGMENT`).
    pub(crate) segment_len: Option<u16>,
}

fn write_control(message: &Departure<'_>) -> ControlBuffer {
    let mut control = ControlBuffer::EMPTY;
    match message.local {
        Some(IpAddr::V4(local)) if !local.is_unspecified() => {
            let mut info = [0; size_of::<libc::in_pktinfo>()];
            info[4..8].copy_from_slice(&local.octets());
            control.push(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
        }
        Some(IpAddr::V6(local)) if !local.is_unspecified() => {
            let mut info = [0; size_of::<libc::in6_pktinfo>()];
            info[..16].copy_from_slice(&local.octets());
            let scope = match message.remote {
                SocketAddr::V6(remote) if is_link_local(local) => remote.scope_id(),
                _ => 0,
            };
            info[16..20].copy_from_slice(&scope.to_ne_bytes());
            control.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
        }
        _ => {}
    }
    let tos = i32::from(message.tos).to_ne_bytes();
    match message.remote {
        SocketAddr::V4(_) => control.push(libc::IPPROTO_IP, libc::IP_TOS, &tos),
        SocketAddr::V6(_) => control.push(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &tos),
    }
    if let Some(len) = message.segment_len {
        control.push(libc::SOL_UDP, libc::UDP_SEGMENT, &len.to_ne_bytes());
    }
    control
}

fn is_link_local(address: Ipv6Addr) -> bool {
    address.segments()[0] & 0xffc0 == 0xfe80
}

/// Sends the messages in order, at most [`MAX_MESSAGES`], without blocking. Returns how many went; the error is that of the first
/// message, an error of a later one shows when that one is tried first.
pub(crate) fn send<'a>(fd: BorrowedFd<'_>, messages: impl Iterator<Item = Departure<'a>>) -> io::Result<usize> {
    // SAFETY: all-zero iovec, sockaddr_storage and mmsghdr are valid values (null pointers, zero lengths).
    let mut vectors: [libc::iovec; MAX_MESSAGES] = unsafe { zeroed() };
    // SAFETY: as above.
    let mut names: [libc::sockaddr_storage; MAX_MESSAGES] = unsafe { zeroed() };
    // SAFETY: as above.
    let mut headers: [libc::mmsghdr; MAX_MESSAGES] = unsafe { zeroed() };
    let mut controls = [ControlBuffer::EMPTY; MAX_MESSAGES];
    let mut count = 0;
    for message in messages.take(MAX_MESSAGES) {
        let (name, name_len) = encode_address(message.remote);
        names[count] = name;
        controls[count] = write_control(&message);
        vectors[count].iov_base = message.bytes.as_ptr().cast_mut().cast();
        vectors[count].iov_len = message.bytes.len();
        let header = &mut headers[count].msg_hdr;
        header.msg_name = (&raw mut names[count]).cast();
        header.msg_namelen = name_len;
        header.msg_iov = &raw mut vectors[count];
        header.msg_iovlen = 1;
        header.msg_control = controls[count].bytes.as_mut_ptr().cast();
        header.msg_controllen = controls[count].used as _;
        count += 1;
    }
    if count == 0 {
        return Ok(0);
    }
    // SAFETY: the first `count` headers point at names, iovecs and controls of this frame, and at message bytes borrowed for 'a;
    // all outlive the call, and the kernel only reads them.
    let sent = check(unsafe {
        libc::sendmmsg(
            fd.as_raw_fd(),
            headers.as_mut_ptr(),
            count as libc::c_uint,
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    })?;
    Ok(sent as usize)
}

/// One entry of a socket's error queue (`IP_RECVERR`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueuedError {
    /// Where the failed datagram was going.
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) errno: i32,
    pub(crate) origin: u8,
    pub(crate) icmp_type: u8,
    pub(crate) icmp_code: u8,
    /// The MTU, when `errno` is `EMSGSIZE`.
    pub(crate) info: u32,
    pub(crate) offender: Option<IpAddr>,
    pub(crate) payload_len: usize,
}

/// Takes one entry from the error queue; the failed datagram's first bytes go to `payload`. `None` when the queue is empty.
pub(crate) fn take_error(fd: BorrowedFd<'_>, payload: &mut [u8]) -> io::Result<Option<QueuedError>> {
    let mut control = ControlBuffer::EMPTY;
    // SAFETY: an all-zero sockaddr_storage and msghdr are valid values.
    let mut name: libc::sockaddr_storage = unsafe { zeroed() };
    let mut vector = libc::iovec { iov_base: payload.as_mut_ptr().cast(), iov_len: payload.len() };
    // SAFETY: as above.
    let mut header: libc::msghdr = unsafe { zeroed() };
    header.msg_name = (&raw mut name).cast();
    header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_control = control.bytes.as_mut_ptr().cast();
    header.msg_controllen = control.bytes.len() as _;
    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    // SAFETY: name, iovec and control buffer belong to this frame or to `payload`, have the lengths given and outlive the call.
    let len = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, flags) };
    if len < 0 {
        let error = io::Error::last_os_error();
        return match error.kind() {
            io::ErrorKind::WouldBlock => Ok(None),
            _ => Err(error),
        };
    }
    control.used = control_len(&header);
    let mut queued = QueuedError {
        remote: decode_address(&name),
        errno: 0,
        origin: 0,
        icmp_type: 0,
        icmp_code: 0,
        info: 0,
        offender: None,
        payload_len: len as usize,
    };
    for (level, kind, data) in control.items() {
        let v4 = (level, kind) == (libc::IPPROTO_IP, libc::IP_RECVERR);
        let v6 = (level, kind) == (libc::IPPROTO_IPV6, libc::IPV6_RECVERR);
        if !(v4 || v6) {
            continue;
        }
        // struct sock_extended_err: u32 errno, u8 origin, type, code, pad, u32 info, u32 data; the offender's address follows.
        queued.errno = i32_at(data, 0).unwrap_or(0);
        if let Some(&[origin, icmp_type, icmp_code]) = data.get(4..7) {
            queued.origin = origin;
            queued.icmp_type = icmp_type;
            queued.icmp_code = icmp_code;
        }
        queued.info = i32_at(data, 8).unwrap_or(0) as u32;
        queued.offender = data.get(16..).and_then(decode_ip);
    }
    Ok(Some(queued))
}

/// How much ancillary data the kernel wrote (the field's type differs between C libraries).
#[allow(clippy::unnecessary_cast)]
fn control_len(header: &libc::msghdr) -> usize {
    header.msg_controllen as usize
}
