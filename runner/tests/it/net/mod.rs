//! Networks, in network namespaces that the tests make themselves, with real packets.

mod crash;
mod echo;
mod foreign;
pub(crate) mod machine;
mod names;
mod pasta;
mod publish;
mod reach;
mod verbs;
