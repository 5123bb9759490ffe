//! Which tags retention keeps. Everything else of a repository that a rule covers goes, but never an
//! immutable tag.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc, time::Duration};

use berth_oci::{RepoName, Tag};

use super::{Collector, GcError};
use crate::{
    catalog::{Catalog, Estimate, Result, TagAge},
    clock::Timestamp,
    glob::matches,
    tags::Immutable,
};

/// Tags and repositories of one page.
const PAGE: u32 = 1000;

/// What is kept of some repositories. A tag stays if any of the three says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Which repositories: patterns with `*` and `?`.
    pub repositories: Vec<String>,
    /// The last so many tags, by when they were pushed.
    pub keep_last: Option<usize>,
    /// Tags that were pushed within so long.
    pub keep_younger: Option<Duration>,
    /// Tags that one of these patterns matches.
    pub keep_tags: Vec<String>,
}

/// What retention would let go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// The tags.
    pub tags: Vec<(RepoName, Tag)>,
    /// What would be freed in the end.
    pub freed: Estimate,
}

/// The first rule that covers a repository.
#[must_use]
pub fn rule_of<'r>(rules: &'r [Rule], repo: &RepoName) -> Option<&'r Rule> {
    rules.iter().find(|rule| rule.repositories.iter().any(|pattern| matches(pattern, repo.as_str())))
}

/// Repositories that a rule covers.
pub(super) async fn repositories(catalog: &Arc<dyn Catalog>, rules: &[Rule]) -> Result<Vec<RepoName>> {
    let mut covered = Vec::new();
    if rules.is_empty() {
        return Ok(covered);
    }
    let mut after: Option<RepoName> = None;
    loop {
        let page = catalog.repositories(after.as_ref().map(RepoName::as_str), PAGE).await?;
        let Some(last) = page.last().cloned() else { return Ok(covered) };
        covered.extend(page.into_iter().filter(|repo| rule_of(rules, repo).is_some()));
        after = Some(last);
    }
}

/// A rule, measured on one repository: what was pushed before the cut goes.
pub(super) struct Cut<'r> {
    rule: &'r Rule,
    /// The oldest of the last N.
    last: Option<(Timestamp, Tag)>,
    younger: Option<Timestamp>,
}

impl Rule {
    /// Finds out where the last N end. Holds N tags at most.
    pub(super) async fn measure(
        &self,
        catalog: &Arc<dyn Catalog>,
        repo: &RepoName,
        now: Timestamp,
    ) -> Result<Cut<'_>> {
        let younger = self.keep_younger.map(|age| now - age);
        let mut newest = BinaryHeap::new();
        let mut after: Option<Tag> = None;
        while let Some(keep) = self.keep_last.filter(|keep| *keep > 0) {
            let page = catalog.tag_ages(repo, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.tag.clone());
            for age in page {
                newest.push(Reverse((age.pushed_at, age.tag)));
                if newest.len() > keep {
                    newest.pop();
                }
            }
        }
        Ok(Cut { rule: self, last: newest.pop().map(|Reverse(oldest)| oldest), younger })
    }
}

impl Cut<'_> {
    fn keeps(&self, repo: &RepoName, age: &TagAge, immutable: &Immutable) -> bool {
        let place = (age.pushed_at, &age.tag);
        self.last.as_ref().is_some_and(|(at, tag)| place >= (*at, tag))
            || self.younger.is_some_and(|since| age.pushed_at >= since)
            || self.rule.keep_tags.iter().any(|pattern| matches(pattern, age.tag.as_str()))
            || immutable.covers(repo, &age.tag)
    }

    /// What goes of the next page of tags, and where to go on.
    pub(super) async fn page(
        &mut self,
        catalog: &Arc<dyn Catalog>,
        repo: &RepoName,
        after: Option<&Tag>,
        immutable: &Immutable,
    ) -> Result<(Vec<TagAge>, Option<Tag>)> {
        let page = catalog.tag_ages(repo, after, PAGE).await?;
        let next = page.last().map(|age| age.tag.clone());
        let doomed = page.into_iter().filter(|age| !self.keeps(repo, age, immutable)).collect();
        Ok((doomed, next))
    }
}

impl Collector {
    /// Tags that retention would let go now.
    pub(super) async fn plan(&self) -> Result<Vec<(RepoName, Tag)>, GcError> {
        let rules = &self.settings.rules;
        let mut plan = Vec::new();
        for repo in repositories(&self.catalog, rules).await? {
            let Some(rule) = rule_of(rules, &repo) else { continue };
            let mut cut = rule.measure(&self.catalog, &repo, self.clock.now()).await?;
            let mut after = None;
            loop {
                let (doomed, next) =
                    cut.page(&self.catalog, &repo, after.as_ref(), &self.settings.immutable).await?;
                plan.extend(doomed.into_iter().map(|age| (repo.clone(), age.tag)));
                match next {
                    Some(tag) => after = Some(tag),
                    None => break,
                }
            }
        }
        Ok(plan)
    }

    /// What retention would let go, and what that would free in the end, when leases are over and
    /// nothing can be brought back any more.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn preview(&self) -> Result<Preview, GcError> {
        let tags = self.plan().await?;
        let freed = self.catalog.estimate(&tags, self.horizon(), true).await?;
        Ok(Preview { tags, freed })
    }
}
