//! A model checker for two endpoints and an attacker who holds every datagram that was ever sent: at each step he delivers any
//! of them to either end (for the first time or again, in any order, or back to its sender), or puts the SPIs of one into
//! another, or a clock runs to its next due time, or an operator does something. To drop is never to deliver.
//!
//! An endpoint cannot be copied, but what it does follows from what happened to it. So each end is explored as an automaton
//! of its own ([`local`]): a state is what its `Debug` rendering, its use of chance and what it did so far say; a step is
//! computed once, by replaying the inputs that lead to the state. The product of the ends, the clock and what the attacker
//! holds is then explored by looking steps up ([`explore()`]), breadth first, each state once.
//! What must hold is in [`oracle`], what is explored in [`scenario`], endpoints with a planted flaw in [`subject`].

pub mod explore;
pub mod local;
pub mod oracle;
pub mod scenario;
pub mod subject;

pub use explore::{Counterexample, Explored, explore};
pub use scenario::{Allowed, Command, Scenario};
pub use subject::{BelievesEarly, CrossesKeys, Flawed, InstallsEarly, Real, Subject};
