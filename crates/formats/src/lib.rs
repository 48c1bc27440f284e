//! formats: see ARCHITECTURE.md.
