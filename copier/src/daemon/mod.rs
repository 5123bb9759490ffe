//! An engine's own images (`docker-daemon:`), through its interface.
