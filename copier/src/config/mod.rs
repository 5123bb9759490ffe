//! The configuration files that container tools share.
//!
//! | file | found at | read by | specification |
//! |---|---|---|---|
//! | auth.json, config.json | `--authfile` or `REGISTRY_AUTH_FILE`: that one alone; else `$XDG_RUNTIME_DIR/containers/auth.json` (without the variable `/run/containers/UID/auth.json`), `$XDG_CONFIG_HOME/containers/auth.json` (`~/.config`), `$DOCKER_CONFIG/config.json` (`~/.docker`), `~/.dockercfg`. Logins and logouts: `--authfile`, `--compat-auth-file`, `REGISTRY_AUTH_FILE`, `$DOCKER_CONFIG/config.json` or the first of the usual ones | [`Credentials`] | containers-auth.json(5) |
//! | registries.conf | `--registries-conf`, `CONTAINERS_REGISTRIES_CONF`; else `$XDG_CONFIG_HOME/containers/registries.conf` (`~/.config`) with `registries.conf.d` beside it; else `/etc/containers/registries.conf` with `registries.conf.d` of `/etc` and of the user | [`Registries`] | containers-registries.conf(5), containers-registries.conf.d(5) |
//! | short-name-aliases.conf | `/var/cache/containers` for root, `$XDG_CACHE_HOME/containers` (`~/.cache`) for others | [`Registries::resolve_short`] | containers-registries.conf(5) |
//! | certs.d | `--cert-dir`; else the first that exists of `HOST` in `~/.config/containers/certs.d`, `/etc/containers/certs.d`, `/etc/docker/certs.d` | [`HostCertificates`] | containers-certs.d(5) |
//! | registries.d | `--registries.d`; else `~/.config/containers/registries.d`; else `/etc/containers/registries.d` | [`SignatureStorage`] | containers-registries.d(5) |
//!
//! What the files have in common here:
//!
//! - A file that is not there is no fault, unless the user named it and nothing can be done without it (`registries.conf`).
//! - No file may be larger than [`MAX_FILE`].
//! - All faults of a file are told at once, each with its key ([`crate::Error::Configuration`]).
//! - Keys that nobody knows are passed over, since newer tools add some: other tools do so too. Those of registries.conf are
//!   listed by [`Registries::warnings`]. What auth.json has besides is kept when the file is written.
//! - Where a file is, is a matter of the [`Environment`], which is read once and can be made by hand.

mod certificates;
mod credentials;
mod environment;
mod faults;
pub mod login;
mod read;
mod registries;
mod scope;
mod signature_storage;

pub use certificates::{ClientCertificate, HostCertificates};
pub use credentials::{AuthFile, Credential, Credentials};
pub use environment::Environment;
pub use read::MAX_FILE;
pub(crate) use read::is_there;
pub use registries::{Candidate, Registries, ShortNameMode};
pub use scope::scopes;
pub use signature_storage::{SignatureStorage, Storage};
