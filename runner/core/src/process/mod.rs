//! From a specification to a running program: the parent's side (clone, ids, control group, hooks), the child's side
//! (namespaces, root, limits, identity, exec) and what they tell each other.

mod channel;
mod first;
mod further;
pub(crate) mod hooks;
mod identity;
pub(crate) mod ids;
mod init;
pub(crate) mod limits;
mod namespaces;
mod program;
pub(crate) mod sysctl;
mod terminal;

pub(crate) use first::{First, Waiting};
pub(crate) use further::Further;
pub(crate) use starting::{SOCKET, ask_for_start, is_waiting, listen};

mod starting;
