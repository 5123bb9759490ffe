//! What rustix does not have, one file per family. All `unsafe` of this crate is here, each block with its proof.

pub(crate) mod mount_attr;
pub(crate) mod owned_create;
pub(crate) mod user_namespace;

#[cfg(test)]
pub(crate) mod testing;
