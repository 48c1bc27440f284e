//! A network of datagrams in virtual time: what protocols are tested on. It knows no protocol itself.
//!
//! * [`Clock`]: time which moves when told. [`Random`]: seeded chance; one seed decides a whole run.
//! * [`Network`]: loss, duplication, reordering, delay, rate, size limit ([`Link`]); partitions; rules that drop, delay
//!   or put aside the messages a predicate names; [`Nat`]s in the path; a bounded queue; a [`Trace`] which a failing
//!   seed prints as a sequence diagram.
//! * [`Lab`]: [`Node`]s on a network, driven one event at a time, with a checker after every event.
//!
//! Invariants: nothing here reads a clock or the operating system's randomness, so a run is a function of its seed and
//! its inputs; every queue has a bound and a counter for what exceeds it.
//!
//! ```
//! use std::time::Instant;
//! use sim::{Link, Network};
//!
//! # #[allow(clippy::disallowed_methods)]
//! let start = Instant::now();
//! let (a, b) = ("192.0.2.1:500".parse().unwrap(), "192.0.2.2:500".parse().unwrap());
//! let mut network = Network::new(1, Link::PERFECT, start);
//! network.send(start, a, b, b"hello".to_vec());
//! let arrival = network.next_delivery().unwrap();
//! assert_eq!(network.pop_due(arrival).unwrap().payload, b"hello");
//! ```

mod clock;
mod lab;
mod link;
mod nat;
mod network;
mod random;
mod script;
mod trace;

pub use clock::Clock;
pub use lab::{Event, Lab, Node, NodeId, Stop, Transmit};
pub use link::Link;
pub use nat::{Filtering, Nat, NatCounters};
pub use network::{Counters, Delivery, Network};
pub use random::Random;
pub use script::{Datagram, RuleId};
pub use trace::{Entry, Fate, PREFIX, Trace};
