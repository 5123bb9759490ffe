//! What rustix does not have, one file per family. All `unsafe` of this crate is here, each block with its proof.

pub(crate) mod watching;
