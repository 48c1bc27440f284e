//! ike: see ARCHITECTURE.md.
