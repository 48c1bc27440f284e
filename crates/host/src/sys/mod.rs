//! The system calls that the standard library does not wrap, each behind a safe function.
//!
//! This is the only place in the crate with `unsafe`. Every function takes borrowed descriptors and slices, checks lengths
//! itself, and turns a negative return into `io::Error`; nothing here decides anything.

pub(crate) mod control;
pub(crate) mod event;
pub(crate) mod lab;
pub(crate) mod message;
pub(crate) mod namespace;
pub(crate) mod process;
pub(crate) mod socket;
pub(crate) mod tun;
