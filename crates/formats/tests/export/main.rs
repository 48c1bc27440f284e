//! Connections in the words of other devices: the values that matter, what is refused, and that what we write we also read.

mod cloud;
mod identity;
mod support;
mod swan;
mod vendors;
