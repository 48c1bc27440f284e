//! Configurations of others: what each format means, what is read leniently, what is refused.

mod aws;
mod bad_input;
mod dialects;
mod hostile;
mod ipsec_conf;
mod samples;
mod support;
mod swanctl;
mod vyos;
