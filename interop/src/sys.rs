//! The few system calls the standard library has no name for: entering a namespace, signals, raw sockets, socket options
//! and an interface's offloads. The only unsafe code of this crate.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Moves the calling thread, and nothing else, into the network namespace `file` refers to.
pub fn enter_network_namespace(file: &File) -> io::Result<()> {
    // SAFETY: setns takes a descriptor, which `file` keeps open during the call, and a flag; it touches no memory.
    check(unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) })
}

/// Sends `signal` to the process `pid`.
pub fn signal(pid: u32, signal: i32) -> io::Result<()> {
    let pid = i32::try_from(pid).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    if pid <= 1 {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: kill takes two integers and touches no memory; pid is positive, so it names one process.
    check(unsafe { libc::kill(pid, signal) })
}

/// Lets the kernel kill the command's process when the thread that started it ends, however it ends.
pub fn die_with_this_thread(command: &mut Command) {
    // SAFETY: the closure runs between fork and exec and makes a single async-signal-safe call, which touches no memory.
    unsafe {
        command.pre_exec(|| check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0)));
    }
}

/// A raw ICMP socket (needs CAP_NET_RAW), wrapped as a [`UdpSocket`] for its `send_to`, `recv_from` and timeouts; ports
/// mean nothing. What is received begins with the IP header over IPv4, with the ICMPv6 header over IPv6.
pub fn raw_icmp_socket(ipv6: bool) -> io::Result<UdpSocket> {
    let (family, protocol) =
        if ipv6 { (libc::AF_INET6, libc::IPPROTO_ICMPV6) } else { (libc::AF_INET, libc::IPPROTO_ICMP) };
    socket(family, libc::SOCK_RAW, protocol)
}

/// A socket that sees every frame of the interface `name` in the calling thread's namespace, or of all of them (needs
/// CAP_NET_RAW), wrapped as a [`UdpSocket`] for its `recv` and timeouts; what is received begins with the link's header.
pub fn frame_socket(name: Option<&str>) -> io::Result<UdpSocket> {
    let all = u16::try_from(libc::ETH_P_ALL).unwrap_or(3).to_be();
    let socket = socket(libc::AF_PACKET, libc::SOCK_RAW, i32::from(all))?;
    let Some(name) = name else { return Ok(socket) };
    // SAFETY: every field of this structure of integers may be zero.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET).unwrap_or(17);
    address.sll_protocol = all;
    let name = CString::new(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: the name is a C string that lives during the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        return Err(io::Error::last_os_error());
    }
    address.sll_ifindex = i32::try_from(index).unwrap_or(i32::MAX);
    let len = libc::socklen_t::try_from(size_of_val(&address)).unwrap_or(0);
    // SAFETY: the address lives on this stack during the call, and `len` is its size.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast::<libc::sockaddr>(), len) })?;
    Ok(socket)
}

fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<UdpSocket> {
    // SAFETY: socket takes three integers and touches no memory.
    let fd = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) };
    check(fd)?;
    // SAFETY: fd was just returned by the kernel and has no other owner.
    Ok(UdpSocket::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Sends what `socket` is given with the don't-fragment bit and however large it is (`true`), or fragmented where need be.
pub fn dont_fragment(socket: &UdpSocket, ipv6: bool, dont: bool) -> io::Result<()> {
    let (level, option, value) = match (ipv6, dont) {
        (false, true) => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO),
        (false, false) => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DONT),
        (true, true) => (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DO),
        (true, false) => (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DONT),
    };
    set_option(socket, level, option, value)
}

/// Lets the kernel cut what `socket` is given into datagrams of `bytes` (UDP GSO).
pub fn segment(socket: &UdpSocket, bytes: u16) -> io::Result<()> {
    set_option(socket, libc::SOL_UDP, libc::UDP_SEGMENT, i32::from(bytes))
}

/// Sets the receive buffer of `socket` to `bytes`, beyond the system's limit (needs CAP_NET_ADMIN).
pub fn force_receive_buffer(socket: &UdpSocket, bytes: i32) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes)
}

fn set_option(socket: &UdpSocket, level: i32, option: i32, value: i32) -> io::Result<()> {
    let len = libc::socklen_t::try_from(size_of::<i32>()).unwrap_or(4);
    let at = (&raw const value).cast::<libc::c_void>();
    // SAFETY: the option's value is an int which lives on this stack during the call, and `len` is its size.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, at, len) })
}

/// The commands of `linux/ethtool.h` that switch one offload each: ETHTOOL_STSO (segmentation of TCP), ETHTOOL_SGSO (of
/// anything), ETHTOOL_SGRO (merging of what arrives), ETHTOOL_STXCSUM (checksums). The one before each asks for it.
const OFFLOADS: [u32; 4] = [0x1f, 0x24, 0x2c, 0x17];

/// Switches the offloads of the interface `name` in the calling thread's namespace off (needs CAP_NET_ADMIN), and makes
/// sure that they are.
pub fn switch_offloads_off(name: &str) -> io::Result<()> {
    let any = UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, 0))?;
    for command in OFFLOADS {
        ethtool(&any, name, command)?;
        if ethtool(&any, name, command - 1)? != 0 {
            return Err(io::Error::other(format!("offload {command:#x} of {name} stays on")));
        }
    }
    Ok(())
}

/// Gives an ethtool command with the value 0, and returns the value after it.
fn ethtool(any: &UdpSocket, name: &str, command: u32) -> io::Result<u32> {
    #[repr(C)]
    struct Value {
        command: u32,
        data: u32,
    }
    let mut value = Value { command, data: 0 };
    // SAFETY: every field of this structure of integers and a union of such may be zero.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: the request and the value it points to live on this stack during the call and are what SIOCETHTOOL takes
    // with these commands.
    check(unsafe { libc::ioctl(any.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) })?;
    Ok(value.data)
}

/// Whether this process runs as root.
pub fn is_root() -> bool {
    // SAFETY: geteuid has no argument and always succeeds.
    unsafe { libc::geteuid() == 0 }
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
