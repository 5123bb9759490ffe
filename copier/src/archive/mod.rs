//! Images in tar files: OCI layouts (`oci-archive:`) and what `docker save` writes (`docker-archive:`). Nothing is unpacked:
//! an index of the file's members is made in one pass, and content is read where it lies.

mod claims;
pub(crate) mod docker;
pub(crate) mod header;
mod index;
pub(crate) mod input;
pub(crate) mod layout;
mod output;
pub(crate) mod pax;
mod range;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod whole_tests;

pub(crate) use index::TarIndex;
pub(crate) use output::TarOutput;
