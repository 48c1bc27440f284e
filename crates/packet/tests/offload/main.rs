//! Splitting and merging against a reference that does one packet at a time, byte by byte, from the RFCs.

mod merging;
mod packets;
mod properties;
mod splitting;
