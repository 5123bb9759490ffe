//! How the suites speak to a registry: a client that keeps what was said, and raw sockets.

mod answer;
mod auth;
mod call;
mod cx;
mod judge;
mod raw;
mod target;

pub use answer::Answer;
pub use call::Call;
pub use cx::Cx;
pub use judge::{link_next, range_end, warning_faults};
pub use raw::RawAnswer;
pub use target::{ConnectError, Credentials, Target, TargetOptions};
