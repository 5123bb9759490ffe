//! What rustix does not have, one file per family. All `unsafe` of this crate is here, each block with its proof.

pub(crate) mod attributes;
pub(crate) mod bpf;
pub(crate) mod calls;
pub(crate) mod clone;
pub(crate) mod descriptors;
pub(crate) mod exec;
pub(crate) mod loopback;
pub(crate) mod mount_attr;
pub(crate) mod namespaces;
pub(crate) mod own_program;
pub(crate) mod owned_create;
pub(crate) mod seccomp;
pub(crate) mod signal;
pub(crate) mod signals;
pub(crate) mod user_namespace;
pub(crate) mod watching;

#[cfg(test)]
pub(crate) mod testing;
