//! ipsec: see ARCHITECTURE.md.
