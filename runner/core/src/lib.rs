//! The runtime core. It begins with what every container start has to know: what this kernel and
//! this user can do.

mod features;

pub use features::{CgroupVersion, Features};
