//! What tests with real clients share: images made on the spot, the registry they go through, and a look at what
//! that registry holds which does not trust the clients.

mod layout;
mod registry;
mod remote;
mod tools;

pub use layout::{Content, Descriptor, Layout, digest_of};
pub use registry::{Registry, new_repository};
pub use remote::{Held, Remote};
pub use tools::{Buildah, Podman, Skopeo};
