//! The ioctls of `/dev/net/tun`.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::mem::zeroed;
use std::os::fd::AsRawFd;

use super::socket::check;

/// `TUNSETIFF`: attaches the descriptor to interface `name` (the kernel chooses when empty); returns its name.
/// Names longer than 15 bytes are refused by the caller.
pub(crate) fn attach(file: &File, name: &str, flags: libc::c_int) -> io::Result<String> {
    // SAFETY: an all-zero ifreq is a valid value.
    let mut request: libc::ifreq = unsafe { zeroed() };
    let room = request.ifr_name.len() - 1;
    for (target, byte) in request.ifr_name.iter_mut().take(room).zip(name.bytes()) {
        *target = byte as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one ifreq, which outlives the call.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;
    let bytes: Vec<u8> = request.ifr_name.iter().map(|&c| c as u8).take_while(|&byte| byte != 0).collect();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// `TUNSETVNETHDRSZ`: the length of the header before each packet.
pub(crate) fn set_header_len(file: &File, len: libc::c_int) -> io::Result<()> {
    // SAFETY: TUNSETVNETHDRSZ reads one int, which outlives the call.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETVNETHDRSZ, &raw const len) })?;
    Ok(())
}

/// `TUNSETOFFLOAD`: what the reader of this device can digest (`TUN_F_*`). The argument is a value, not a pointer.
pub(crate) fn set_offload(file: &File, features: libc::c_uint) -> io::Result<()> {
    let features = libc::c_ulong::from(features);
    // SAFETY: TUNSETOFFLOAD takes its argument by value.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETOFFLOAD, features) })?;
    Ok(())
}
