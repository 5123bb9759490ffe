//! What tests with real clients share: images made on the spot, the registry they go through, and a look at what
//! that registry holds which does not trust the clients.

mod layout;
mod remote;
mod target;
mod tools;

pub use layout::{Content, Descriptor, Layout, digest_of};
pub use remote::{Held, Remote};
pub use target::{Target, new_repository};
pub use tools::{Buildah, Podman, Skopeo};
