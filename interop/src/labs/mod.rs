//! All labs, one topic a file.

mod cavp;
mod delete;
mod demo;
mod failover;
mod ike_scan;
mod libreswan;
mod loss_of_peer;
mod nat;
mod negotiation;
mod pair;
mod rekey;
mod sanity;
mod scapy_esp;
mod setup;
mod suites;
mod v1;
mod verbatim;

use crate::registry::Lab;

/// Every lab, in the order they are run: those that test the labs themselves first.
#[must_use]
pub fn labs() -> Vec<Lab> {
    [
        sanity::LABS,
        suites::LABS,
        negotiation::LABS,
        rekey::LABS,
        delete::LABS,
        demo::LABS,
        loss_of_peer::LABS,
        failover::LABS,
        verbatim::LABS,
        nat::LABS,
        scapy_esp::LABS,
        libreswan::LABS,
        cavp::LABS,
        ike_scan::LABS,
        &v1::labs(),
        &pair::labs(),
    ]
    .concat()
}
