//! Signals by number, as Linux numbers them on every architecture that we build for.

pub(crate) const HUP: i32 = 1;
pub(crate) const INT: i32 = 2;
pub(crate) const QUIT: i32 = 3;
pub(crate) const KILL: i32 = 9;
pub(crate) const TERM: i32 = 15;
pub(crate) const CHLD: i32 = 17;
pub(crate) const WINCH: i32 = 28;

/// Those that are handed on to a container in the foreground: all that a person or a service manager sends.
pub(crate) const PROXIED: [i32; 11] = [HUP, INT, QUIT, 10, 12, 14, TERM, 16, 18, 29, 30];
