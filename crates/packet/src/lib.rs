//! packet: see ARCHITECTURE.md.
