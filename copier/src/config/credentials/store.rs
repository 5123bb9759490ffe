//! Writing credentials: one editor at a time, whole files only, and nothing lost that was in them.

use std::{
    fs::{self, DirBuilder, File},
    io::Write as _,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize as _;
use serde_json::{Map, Value, json};

use super::{
    AuthFile, Credentials, FILES,
    file::{self, Contents, Format, HUB_KEY},
    host_of, load, locate,
};
use crate::{Error, Result, Secret, config::read};

impl Credentials {
    /// The file that [`Self::store`] writes, unless a helper program keeps the credential.
    ///
    /// # Errors
    /// `Error::Usage` if `XDG_RUNTIME_DIR` names no folder.
    pub fn target(&self) -> Result<AuthFile> {
        locate::to_write(self.authfile.as_ref(), &self.environment)
    }

    /// Keeps a user and password for `host[:port]`, `host/namespace` or `host/repository`, and says where: a path, or
    /// `credential helper: NAME`. The helpers of registries.conf are tried in their order; the first that takes it
    /// keeps it.
    ///
    /// # Errors
    /// `Error::Usage` for a key of another form, or a namespace that the file or the helpers cannot hold; otherwise as
    /// for [`Self::find`].
    pub async fn store(&self, key: &str, user: &str, password: &Secret) -> Result<String> {
        check_key(key)?;
        let mut fault = None;
        let target = self.target()?;
        for name in self.editors(&target) {
            let stored = if name == FILES {
                self.store_in_file(&target, key, user, password).await
            } else {
                self.store_in_helper(&name, key, key, user, password).await
            };
            match stored {
                Ok(place) => return Ok(place),
                Err(error) => fault = fault.or(Some(error)),
            }
        }
        Err(fault.unwrap_or_else(|| Error::Usage("no place to keep credentials is configured".to_owned())))
    }

    /// Forgets the credentials of exactly this key, wherever [`Self::store`] could have kept them. Says whether there
    /// were any.
    ///
    /// # Errors
    /// As for [`Self::store`].
    pub async fn remove(&self, key: &str) -> Result<bool> {
        check_key(key)?;
        let target = self.target()?;
        let mut known = false;
        for name in self.editors(&target) {
            known |= if name == FILES {
                self.remove_from_file(&target, key).await?
            } else {
                !key.contains('/') && self.helper(&name)?.erase(key).await?
            };
        }
        Ok(known)
    }

    /// Forgets everything in the file that would be written, and in the helpers of registries.conf.
    ///
    /// # Errors
    /// As for [`Self::store`].
    pub async fn remove_all(&self) -> Result<()> {
        let target = self.target()?;
        for name in self.editors(&target) {
            if name == FILES {
                self.remove_all_from_file(&target).await?;
                continue;
            }
            let helper = self.helper(&name)?;
            if !helper.is_installed() {
                continue;
            }
            for server in helper.list().await?.into_keys() {
                helper.erase(&server).await?;
            }
        }
        Ok(())
    }

    /// Docker knows nothing of registries.conf, so its file is written whatever helpers that lists.
    fn editors(&self, target: &AuthFile) -> Vec<String> {
        match target {
            AuthFile::Docker(_) => vec![FILES.to_owned()],
            AuthFile::Containers(_) => self.helpers.clone(),
        }
    }

    async fn store_in_helper(
        &self,
        name: &str,
        key: &str,
        server: &str,
        user: &str,
        password: &Secret,
    ) -> Result<String> {
        if key.contains('/') {
            return Err(Error::Usage(format!(
                "{key:?}: credential helper {name} keeps credentials of hosts, not of namespaces; log in to {:?}",
                host_of(key)
            )));
        }
        self.helper(name)?.store(server, user, password).await?;
        Ok(format!("credential helper: {name}"))
    }

    async fn store_in_file(
        &self,
        target: &AuthFile,
        key: &str,
        user: &str,
        password: &Secret,
    ) -> Result<String> {
        let path = target.path().clone();
        let key = file_key(target, key)?;
        let contents = load(path.clone(), Format::Keyed).await?;
        let named = contents.as_ref().and_then(|contents| contents.helper(&key).map(str::to_owned));
        if let Some(name) = named {
            return self.store_in_helper(&name, &key, &key, user, password).await;
        }
        // The `docker` command looks nowhere else once there is a store; Skopeo looks at entries alone.
        let store =
            contents.as_ref().and_then(Contents::store).filter(|_| matches!(target, AuthFile::Docker(_)));
        let mut place = path.display().to_string();
        let mut entry = json!({ "auth": STANDARD.encode(format!("{user}:{}", password.expose())) });
        if let Some(name) = store {
            self.helper(name)?.store(&key, user, password).await?;
            (place, entry) = (format!("credential helper: {name}"), json!({}));
        }
        edit(path, move |root| {
            let auths = root.entry("auths").or_insert_with(|| json!({}));
            if auths.is_null() {
                *auths = json!({});
            }
            if let Value::Object(auths) = auths {
                auths.insert(key, entry);
            }
            true
        })
        .await?;
        Ok(place)
    }

    async fn remove_from_file(&self, target: &AuthFile, key: &str) -> Result<bool> {
        let path = target.path().clone();
        let key = file_key(target, key)?;
        let Some(contents) = load(path.clone(), Format::Keyed).await? else { return Ok(false) };
        let mut known = contents.has(&key);
        if let Some(name) = contents.helper(&key) {
            known |= self.helper(name)?.erase(&key).await?;
        }
        if let Some(name) = contents.store().filter(|_| !key.contains('/') || key == HUB_KEY) {
            let helper = self.helper(name)?;
            if helper.is_installed() {
                known |= helper.erase(file::server_of(&key)).await?;
            }
        }
        if contents.has(&key) {
            edit(path, move |root| {
                root.get_mut("auths")
                    .and_then(Value::as_object_mut)
                    .is_some_and(|auths| auths.remove(&key).is_some())
            })
            .await?;
        }
        Ok(known)
    }

    async fn remove_all_from_file(&self, target: &AuthFile) -> Result<()> {
        let path = target.path().clone();
        let Some(contents) = load(path.clone(), Format::Keyed).await? else { return Ok(()) };
        for (server, name) in contents.helpers() {
            self.helper(name)?.erase(server).await?;
        }
        if let Some(name) = contents.store() {
            let helper = self.helper(name)?;
            for server in contents.raw_keys().filter(|_| helper.is_installed()) {
                helper.erase(server).await?;
            }
        }
        // Which helper a host has is Docker's configuration, in auth.json it is part of the login.
        let with_helpers = matches!(target, AuthFile::Containers(_));
        edit(path, move |root| {
            root.insert("auths".to_owned(), json!({}));
            if with_helpers {
                root.remove("credHelpers");
            }
            true
        })
        .await
    }
}

/// `host[:port][/path]`, without scheme, tag and digest.
fn check_key(key: &str) -> Result<()> {
    let fault = |rule: &str| Err(Error::Usage(format!("{key:?} is no registry: {rule}")));
    if key.starts_with("http://") || key.starts_with("https://") {
        return fault("write it without http:// or https://");
    }
    if key.is_empty() || key.contains(|c: char| c.is_whitespace() || c.is_control() || c == '@') {
        return fault("write HOST[:PORT], HOST/NAMESPACE or HOST/REPOSITORY");
    }
    match key.split_once('/') {
        Some((_, path)) if path.contains(':') => fault("a repository stands here without a tag"),
        _ => Ok(()),
    }
}

/// The key under which this kind of file keeps `key`.
fn file_key(target: &AuthFile, key: &str) -> Result<String> {
    match target {
        AuthFile::Containers(_) => Ok(key.to_owned()),
        AuthFile::Docker(_) if key.contains('/') => Err(Error::Usage(format!(
            "{key:?}: Docker's file of credentials keeps hosts, not namespaces; log in to {:?}, or write with --authfile",
            host_of(key)
        ))),
        AuthFile::Docker(_) if key == "docker.io" => Ok(HUB_KEY.to_owned()),
        AuthFile::Docker(_) => Ok(key.to_owned()),
    }
}

/// Changes a file, or makes it: under a lock, from what it says now, and replaced whole.
async fn edit(
    path: PathBuf,
    change: impl FnOnce(&mut Map<String, Value>) -> bool + Send + 'static,
) -> Result<()> {
    let editing = tokio::task::spawn_blocking(move || edit_now(&path, change));
    editing
        .await
        .map_err(|error| Error::Other { what: "writing credentials".to_owned(), source: error.into() })?
}

fn edit_now(path: &Path, change: impl FnOnce(&mut Map<String, Value>) -> bool) -> Result<()> {
    // A link is somebody's arrangement: what it points at is replaced, not the link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(Error::file(folder))?;
    // The folder is locked, not the file: the file is another one after each edit.
    let lock = File::open(folder).map_err(Error::file(folder))?;
    lock.lock().map_err(Error::file(folder))?;
    let mut root = match read::file(&path)? {
        Some(bytes) => file::parse_object(&path, &bytes)?,
        None => Map::new(),
    };
    if !change(&mut root) {
        return Ok(());
    }
    let mut text = Vec::new();
    let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    Value::Object(root).serialize(&mut serde_json::Serializer::with_formatter(&mut text, tabs)).map_err(
        |error| Error::Other { what: format!("writing {}", path.display()), source: error.into() },
    )?;
    // tempfile makes files that their owner alone may read.
    let mut file =
        tempfile::Builder::new().prefix(".auth").tempfile_in(folder).map_err(Error::file(folder))?;
    file.write_all(&text).and_then(|()| file.as_file().sync_all()).map_err(Error::file(&path))?;
    file.persist(&path).map_err(|error| Error::file(&path)(error.error))?;
    lock.sync_all().map_err(Error::file(folder))
}
