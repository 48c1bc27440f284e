//! Configurations of others: what each format means, what is read leniently, what is refused.

mod aws;
mod samples;
mod support;
