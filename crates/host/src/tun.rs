//! The TUN device: IP packets out of and into this machine's stack.
//!
//! With the kernel's offloads a read brings a *super-packet* of up to 64 KiB that TCP or UDP never cut (TSO, USO) behind a
//! 10-byte `virtio_net_hdr` that says how to cut it, and a write may hand over such a packet in pieces that were never copied
//! together. What of this the kernel grants is in [`TunCapabilities`]; everything else works without it, only slower.
//! One device serves all tunnels of a network; each worker has a queue of its own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use crate::sys;

/// Length of `virtio_net_hdr` without the `num_buffers` field.
pub const VNET_HEADER_LEN: usize = 10;
/// Longest packet a TUN read returns.
pub const TUN_PACKET_MAX: usize = 65_535;
/// Slices one write takes: a header and 64 payloads, with room to spare.
pub const WRITE_SLICES_MAX: usize = 128;
/// Longest interface name (`IFNAMSIZ` less its final zero).
const NAME_MAX: usize = 15;
const DEVICE: &str = "/dev/net/tun";

const TSO: libc::c_uint = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
/// The kernel takes both USO flags or neither (since 6.2).
const USO: libc::c_uint = libc::TUN_F_USO4 | libc::TUN_F_USO6;

/// How to open a TUN device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunOptions {
    /// Interface name, at most 15 bytes; empty lets the kernel choose `tun0`, `tun1`, …; a `%d` in it is replaced by a free number.
    pub name: String,
    /// Allow several queues ([`TunQueue::add_queue`]).
    pub multi_queue: bool,
    /// Ask for checksum and segmentation offloads.
    pub offloads: bool,
    /// Use a persistent device of this name that somebody prepared for us, instead of refusing the name.
    pub attach_existing: bool,
}

impl TunOptions {
    /// A new device of that name with everything the kernel can do.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), multi_queue: true, offloads: true, attach_existing: false }
    }
}

/// What the kernel granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TunCapabilities {
    /// Every packet has a `virtio_net_hdr` (it is there but all zero when no offload was granted).
    pub vnet_header: bool,
    /// Packets may arrive with an unfinished checksum.
    pub checksum: bool,
    /// TCP super-packets arrive and may be written.
    pub tcp_segmentation: bool,
    /// UDP super-packets arrive and may be written.
    pub udp_segmentation: bool,
    /// More queues can be added.
    pub multi_queue: bool,
}

/// Why a TUN device could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum TunError {
    /// The device node is missing.
    #[error(
        "there is no {DEVICE}: load the module (modprobe tun), or give the container the device (--device /dev/net/tun)"
    )]
    NoDevice,
    /// The device node may not be opened.
    #[error("{DEVICE} may not be opened by this user: run as root, or allow it (chmod 0666 is the usual mode)")]
    DeviceNotPermitted,
    /// No capability in this network namespace.
    #[error(
        "creating a TUN device needs CAP_NET_ADMIN: run as root, or give the service or container that capability (--cap-add NET_ADMIN)"
    )]
    NotPermitted,
    /// Somebody else has an interface of that name.
    #[error("an interface named {name} exists already: choose another name, or remove it (ip link delete {name})")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// Not a name the kernel takes.
    #[error("{name:?} is no interface name: 1 to 15 bytes, no '/', no blank")]
    BadName {
        /// The name.
        name: String,
    },
    /// Anything else.
    #[error("cannot {what} TUN device {name:?}: {source}")]
    Io {
        /// The step that failed.
        what: &'static str,
        /// The device.
        name: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// One queue of a TUN device: non-blocking, used by one worker. The interface vanishes when its last queue is dropped.
#[derive(Debug)]
pub struct TunQueue {
    file: File,
    name: String,
    flags: libc::c_int,
    capabilities: TunCapabilities,
}

impl TunQueue {
    /// Creates the device in the network namespace of the calling thread. It is down and has no address (see `netlink`).
    pub fn open(options: &TunOptions) -> Result<Self, TunError> {
        check_name(&options.name)?;
        let mut last_refusal = None;
        for vnet_header in [options.offloads, false] {
            match Self::try_open(options, vnet_header) {
                Err(TunError::Io { what, name, source }) if vnet_header => {
                    last_refusal = Some(TunError::Io { what, name, source });
                }
                result => return result,
            }
        }
        Err(last_refusal.unwrap_or(TunError::NoDevice))
    }

    fn try_open(options: &TunOptions, vnet_header: bool) -> Result<Self, TunError> {
        let mut flags = libc::IFF_TUN | libc::IFF_NO_PI;
        if options.multi_queue {
            flags |= libc::IFF_MULTI_QUEUE;
        }
        if vnet_header {
            flags |= libc::IFF_VNET_HDR;
        }
        let exclusive = if options.attach_existing || options.name.is_empty() { 0 } else { libc::IFF_TUN_EXCL };
        let file = open_device()?;
        let name = sys::tun::attach(&file, &options.name, flags | exclusive)
            .map_err(|source| attach_error(&options.name, source))?;
        let mut capabilities =
            TunCapabilities { vnet_header, multi_queue: options.multi_queue, ..TunCapabilities::default() };
        if vnet_header {
            sys::tun::set_header_len(&file, VNET_HEADER_LEN as libc::c_int).map_err(|source| TunError::Io {
                what: "set the header length of",
                name: name.clone(),
                source,
            })?;
            grant_offloads(&file, &mut capabilities);
        }
        Ok(Self { file, name, flags, capabilities })
    }

    /// One more queue of the same device, with the same capabilities.
    pub fn add_queue(&self) -> Result<Self, TunError> {
        let file = open_device()?;
        sys::tun::attach(&file, &self.name, self.flags).map_err(|source| attach_error(&self.name, source))?;
        Ok(Self { file, name: self.name.clone(), flags: self.flags, capabilities: self.capabilities })
    }

    /// The interface's name when it was opened.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the kernel granted.
    pub fn capabilities(&self) -> TunCapabilities {
        self.capabilities
    }

    /// Reads one packet into `packet` (at least [`TUN_PACKET_MAX`] long, or the packet is cut) and its `virtio_net_hdr` into
    /// `header` (all zero without the capability). Returns the packet's length; `WouldBlock` when there is none.
    pub fn read(&self, header: &mut [u8; VNET_HEADER_LEN], packet: &mut [u8]) -> io::Result<usize> {
        if !self.capabilities.vnet_header {
            *header = [0; VNET_HEADER_LEN];
            return retry(|| (&self.file).read(packet));
        }
        let len = retry(|| (&self.file).read_vectored(&mut [IoSliceMut::new(header), IoSliceMut::new(packet)]))?;
        len.checked_sub(VNET_HEADER_LEN).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Writes one packet, given as at most [`WRITE_SLICES_MAX`] slices, behind its `virtio_net_hdr`. Without the capability the
    /// header must be all zero. `WouldBlock` and `ENOBUFS` mean that the stack cannot take it now; `EIO` that the interface is down.
    pub fn write(&self, header: &[u8; VNET_HEADER_LEN], packet: &[IoSlice<'_>]) -> io::Result<()> {
        let total: usize = packet.iter().map(|slice| slice.len()).sum();
        let unsupported = !self.capabilities.vnet_header && *header != [0; VNET_HEADER_LEN];
        if unsupported || packet.len() > WRITE_SLICES_MAX || total == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if !self.capabilities.vnet_header {
            let written = retry(|| (&self.file).write_vectored(packet))?;
            return whole(written, total);
        }
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX + 1];
        slices[0] = IoSlice::new(header);
        slices[1..=packet.len()].copy_from_slice(packet);
        let written = retry(|| (&self.file).write_vectored(&slices[..=packet.len()]))?;
        whole(written, total + VNET_HEADER_LEN)
    }
}

impl AsFd for TunQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn retry(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn whole(written: usize, expected: usize) -> io::Result<()> {
    if written == expected { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

fn open_device() -> Result<File, TunError> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(DEVICE).map_err(
        |source| match source.raw_os_error() {
            Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => TunError::NoDevice,
            // A container without the device's cgroup permission sees the node but may not open it.
            Some(libc::EACCES | libc::EPERM) => TunError::DeviceNotPermitted,
            _ => TunError::Io { what: "open the device node for", name: String::new(), source },
        },
    )
}

/// USO with TSO, TSO alone, checksums alone, nothing: the first that the kernel takes.
fn grant_offloads(file: &File, capabilities: &mut TunCapabilities) {
    for features in [TSO | USO, TSO, libc::TUN_F_CSUM] {
        if sys::tun::set_offload(file, features).is_ok() {
            capabilities.checksum = true;
            capabilities.tcp_segmentation = features & libc::TUN_F_TSO4 != 0;
            capabilities.udp_segmentation = features & libc::TUN_F_USO4 != 0;
            return;
        }
    }
}

fn check_name(name: &str) -> Result<(), TunError> {
    let bad = name.len() > NAME_MAX
        || name == "."
        || name == ".."
        || name.bytes().any(|b| b == b'/' || b == b':' || b == 0 || b.is_ascii_whitespace());
    if bad {
        return Err(TunError::BadName { name: name.to_owned() });
    }
    Ok(())
}

fn attach_error(name: &str, source: io::Error) -> TunError {
    let name = name.to_owned();
    match source.raw_os_error() {
        Some(libc::EPERM) => TunError::NotPermitted,
        Some(libc::EBUSY | libc::EEXIST) => TunError::NameTaken { name },
        // An interface of another kind (EINVAL) has the name.
        Some(libc::EINVAL) if interface_exists(&name) => TunError::NameTaken { name },
        _ => TunError::Io { what: "create", name, source },
    }
}

fn interface_exists(name: &str) -> bool {
    let table = fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    table.lines().any(|line| line.split_once(':').is_some_and(|(found, _)| found.trim() == name))
}
