//! Configuration.

mod cidr;

pub use cidr::Cidr;
