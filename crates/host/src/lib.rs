//! host: everything that touches the Linux kernel, and nothing that decides.
//!
//! The packet path: [`tun`] (packets in and out of the kernel's stack), [`udp`] and [`esp_socket`] (packets to and from peers),
//! all in the batches of [`batch`]. The rest of the machine: [`netlink`], [`netns`], [`poll`], [`signals`], [`clock`], [`rng`].
//! All of it together: [`gateway`]. The operator's side: [`control`], [`vici`], [`sd_notify`], [`capture`], [`harden`]. Two sites on one machine:
//! [`lab`]. What the doctor wants to know of the machine: [`diagnosis`].

pub mod batch;
pub mod capture;
pub mod clock;
pub mod control;
pub mod diagnosis;
pub mod esp_socket;
pub mod gateway;
pub mod harden;
pub mod journald;
pub mod lab;
pub mod metrics;
pub mod netlink;
pub mod netns;
pub mod poll;
pub mod port_owner;
pub mod rng;
pub mod sd_notify;
pub mod signals;
pub mod state_file;
pub mod tun;
pub mod udp;
pub mod vici;

mod sys;
