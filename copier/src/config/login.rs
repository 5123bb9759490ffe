//! Logging in and out.
