//! From a registry, or another transport's place, into the store.

use berth_copier::{
    Error, ImageName, Session,
    copy::{self, Options, retry::retry},
    error::ResultExt,
};
use berth_oci::{Platform, Reference};

use super::{
    access::Access, config, copied::Copied, load::Item, name, name::Named, progress::Told, runtime::block_on,
    sink::StoreSink,
};
use crate::{
    error::{Result, RunnerError},
    store::{Image, Store},
};

/// How an image is brought here.
#[derive(Clone)]
pub(crate) struct Pull<'a> {
    /// Where to.
    pub(crate) store: &'a Store,
    /// How registries are spoken to.
    pub(crate) access: &'a Access,
    /// `--platform`; `None` is this machine's.
    pub(crate) platform: Option<&'a Platform>,
    /// What people see.
    pub(crate) told: Told,
}

impl Pull<'_> {
    /// Brings the image of a name here: `host/repository:tag`, a short name, or `transport:place`.
    ///
    /// # Errors
    /// The copier's; [`RunnerError::Unsupported`] for an image of another platform.
    pub(crate) fn pull(&self, text: &str) -> Result<Image> {
        let session = self.access.session(self.platform)?;
        let named = name::read(text, session.remote().registries())?;
        let pulled = block_on(self.run(&session, text, named));
        self.ended(pulled)
    }

    /// Brings every tag of a repository here.
    ///
    /// # Errors
    /// As [`Self::pull`].
    pub(crate) fn pull_all_tags(&self, text: &str) -> Result<Vec<Image>> {
        let session = self.access.session(self.platform)?;
        let Named::Registry(candidates) = name::read(text, session.remote().registries())? else {
            return Err(RunnerError::Usage(format!("{text}: --all-tags is for repositories of registries")));
        };
        let Some(reference) = candidates.into_iter().next() else { return Ok(Vec::new()) };
        if reference.digest().is_some() || text.ends_with(&format!(":{}", tag(&reference))) {
            return Err(RunnerError::Usage(format!(
                "{text}: --all-tags takes a name without tag and digest"
            )));
        }
        let pulled = block_on(async {
            let place = ImageName::Docker { reference: reference.clone(), unknown_digest: false };
            let source = session.source(&place, &self.access.side()).await?;
            let tags = match source.repository() {
                Some(repository) => retry(session.settings().retry, async || repository.tags().await).await?,
                None => Vec::new(),
            };
            let mut images = Vec::with_capacity(tags.len());
            for tag in tags {
                let one = reference.clone().with_tag(Some(tag));
                images.push(self.run(&session, &one.to_string(), Named::Registry(vec![one])).await?);
            }
            Ok(images)
        });
        self.ended(pulled)
    }

    /// Brings images of other transports' places here, under the names that are given.
    ///
    /// # Errors
    /// As [`Self::pull`].
    pub(crate) fn places(&self, items: Vec<Item>) -> Result<Vec<(Image, Vec<String>)>> {
        let session = self.access.session(self.platform)?;
        let pulled = block_on(async {
            let mut images = Vec::with_capacity(items.len());
            for Item { place, origin, names } in items {
                let image = self.one(&session, &place, origin.as_ref(), names.clone()).await?;
                images.push((image, names));
            }
            Ok(images)
        });
        self.ended(pulled)
    }

    /// What a refused image brought goes. What came before a connection broke stays: the next pull need not fetch it.
    fn ended<T>(&self, pulled: Result<T>) -> Result<T> {
        if let Err(error) = &pulled
            && is_refused(error)
        {
            sweep(self.store, &self.told);
        }
        pulled
    }

    async fn run(&self, session: &Session, text: &str, named: Named) -> Result<Image> {
        let mut candidates = match named {
            Named::Place(place) => return self.one(session, &place, None, name::of_place(&place)).await,
            Named::Registry(candidates) => candidates,
        };
        // What a short name could mean at a blocked registry, it does not mean, as long as it can mean anything else.
        let open = |reference: &Reference| session.remote().registries().pull_candidates(reference).is_ok();
        if candidates.len() > 1 && candidates.iter().any(open) {
            candidates.retain(open);
        }
        let mut failed = Vec::new();
        let several = candidates.len() > 1;
        for reference in candidates {
            self.told.line(&format!("Trying to pull {reference}..."));
            let place = ImageName::Docker { reference: reference.clone(), unknown_digest: false };
            match self.one(session, &place, None, vec![name::full(&reference)]).await {
                // Whoever is asked for next may have it.
                Err(RunnerError::Copier(error)) if several && may_be_elsewhere(&error) => {
                    failed.push((reference, error));
                }
                done => return done,
            }
        }
        Err(none_has_it(text, failed))
    }

    /// One image, from one place; `origin` is what a place that is a copy is judged by.
    async fn one(
        &self,
        session: &Session,
        place: &ImageName,
        origin: Option<&ImageName>,
        names: Vec<String>,
    ) -> Result<Image> {
        let side = self.access.side();
        let store = self.store.clone();
        let held = tokio::task::spawn_blocking(move || store.hold()).await;
        let _hold = held.map_err(|gone| RunnerError::Io {
            what: "waiting for the store".into(),
            source: std::io::Error::other(gone),
        })??;
        let name = origin.unwrap_or(place);
        let called = name.reference().map_or_else(|| name.to_string(), ToString::to_string);
        // Signatures are what the policy judges by; they are not kept.
        let options = Options { remove_signatures: true, ..Options::default() };
        let mut last = None;
        let done = retry(session.settings().retry, async || {
            let made = matches!(place, ImageName::DockerArchive { .. } | ImageName::DockerDaemon(_));
            let platform = self.platform.cloned();
            let sink = StoreSink::new(self.store, &called, names.clone(), platform, made, self.told.clone());
            let source =
                session.source(place, &side).await.context(format_args!("initializing source {name}"))?;
            let source = match origin {
                Some(origin) => Box::new(Copied::new(origin, source)),
                None => source,
            };
            let done = copy::run(session, source.as_ref(), &sink, &options, &self.told).await;
            last = Some((sink.added(), sink.fault()));
            done
        })
        .await;
        let (added, fault) = last.unwrap_or_default();
        let report = match (done, fault) {
            (Ok(report), _) => report,
            (Err(_), Some(fault)) => return Err(fault),
            (Err(error), None) => return Err(platform_refused(error)),
        };
        let image = match added {
            Some(image) => image,
            // It was here, whole, under this name.
            None => self.store.find(report.digest.as_str())?.ok_or_else(|| {
                RunnerError::NotFound(format!("{called} was removed while it was pulled: pull it again"))
            })?,
        };
        config::check_image(self.store, &called, &image, self.platform)?;
        Ok(image)
    }
}

/// Whether the image is at fault, or a rule: it will not come another time either.
pub(crate) fn is_refused(error: &RunnerError) -> bool {
    match error {
        RunnerError::Content(_) | RunnerError::Unsupported(_) => true,
        RunnerError::Copier(error) => matches!(error.exit_code(), 4 | 5),
        RunnerError::Usage(_)
        | RunnerError::NotFound(_)
        | RunnerError::Conflict(_)
        | RunnerError::Runtime(_)
        | RunnerError::Interrupted(_)
        | RunnerError::Io { .. } => false,
    }
}

/// The first error is the one to tell; of this one `check` tells as well.
pub(crate) fn sweep(store: &Store, told: &Told) {
    if let Err(error) = store.sweep_if_alone() {
        told.warning(&format!("what was brought of it stays until `berth-runner image prune`: {error}"));
    }
}

fn tag(reference: &Reference) -> String {
    reference.tag().map(ToString::to_string).unwrap_or_default()
}

fn may_be_elsewhere(error: &Error) -> bool {
    matches!(
        error.root(),
        Error::NotFound { .. }
            | Error::Authentication { .. }
            | Error::Network { .. }
            | Error::TooSlow { .. }
            | Error::Registry { .. }
    )
}

/// A registry that has the name for other platforms alone is no image that is missing.
fn platform_refused(error: Error) -> RunnerError {
    match error.root() {
        Error::NotFound { what, .. } if what.starts_with("no image found in ") => {
            RunnerError::Unsupported(format!("{}: --platform asks for another", error.root()))
        }
        _ => RunnerError::Copier(error),
    }
}

fn none_has_it(text: &str, mut failed: Vec<(Reference, Error)>) -> RunnerError {
    if failed.len() == 1
        && let Some((_, error)) = failed.pop()
    {
        return RunnerError::Copier(error);
    }
    let tried: Vec<String> =
        failed.iter().map(|(reference, error)| format!("{reference}: {error}")).collect();
    RunnerError::NotFound(format!(
        "{text} is at none of the registries that were asked: {}",
        tried.join("; ")
    ))
}
