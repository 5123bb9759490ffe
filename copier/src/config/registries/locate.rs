//! Where registries.conf and its drop-ins are.

use std::path::{Path, PathBuf};

use super::{super::is_there, Environment};

const FILE: &str = "containers/registries.conf";
const FOLDER: &str = "containers/registries.conf.d";
const ALIASES: &str = "containers/short-name-aliases.conf";

/// The files of one configuration.
#[derive(Debug)]
pub(super) struct Places {
    /// The file itself.
    pub(super) main: PathBuf,
    /// Whether it has to be read: somebody named it, or it is there, be it a link to nothing.
    pub(super) required: bool,
    /// Folders of drop-ins; a later one wins.
    pub(super) drop_ins: Vec<PathBuf>,
    /// Aliases that tools noted when a user chose.
    pub(super) noted_aliases: Option<PathBuf>,
}

/// A file of the user's hides those of the system, drop-ins too. A file that somebody names does not: drop-ins of the
/// system and of the user apply to it.
pub(super) fn places(named: Option<&Path>, environment: &Environment) -> Places {
    let user_folder = environment.user_config(FOLDER);
    let both =
        || std::iter::once(environment.system("etc").join(FOLDER)).chain(user_folder.clone()).collect();
    let noted_aliases = noted_aliases(environment);
    if let Some(main) = named.map(Path::to_owned).or_else(|| environment.registries_conf.clone()) {
        return Places { main, required: true, drop_ins: both(), noted_aliases };
    }
    match environment.user_config(FILE).filter(|file| is_there(file)) {
        Some(main) => {
            Places { main, required: true, drop_ins: user_folder.into_iter().collect(), noted_aliases }
        }
        None => {
            let main = environment.system("etc").join(FILE);
            Places { required: is_there(&main), main, drop_ins: both(), noted_aliases }
        }
    }
}

fn noted_aliases(environment: &Environment) -> Option<PathBuf> {
    if environment.uid == 0 {
        return Some(environment.system("var/cache").join(ALIASES));
    }
    match &environment.xdg_cache_home {
        Some(cache) => Some(cache.join(ALIASES)),
        None => environment.in_home(".cache").map(|cache| cache.join(ALIASES)),
    }
}
