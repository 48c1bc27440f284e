//! Traffic between the clients of a lab, all of it our own code on threads inside the namespaces: numbered UDP streams
//! which know exactly what was lost, bursts the kernel segments, ICMP echo, TCP transfers, and a look at what crosses a link.

mod burst;
mod eavesdropper;
mod echo;
mod stream;
mod transfer;

pub use burst::{BurstReport, burst};
pub use eavesdropper::{Eavesdropper, Overheard};
pub use echo::{EchoReport, SizedEcho, echo, echo_sized};
pub use stream::{Stream, StreamReport};
pub use transfer::{TransferReport, transfer, transfer_through};
