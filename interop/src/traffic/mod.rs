//! Traffic between the clients of a lab, all of it our own code on threads inside the namespaces: numbered UDP streams
//! which know exactly what was lost, ICMP echo, and TCP transfers.

mod echo;
mod stream;
mod transfer;

pub use echo::{EchoReport, echo};
pub use stream::{Stream, StreamReport};
pub use transfer::{TransferReport, transfer};
