//! Lists of repositories, as far as somebody may see them.

use berth_oci::RepoName;

use super::Policy;
use crate::{
    auth::Principal,
    catalog::{Catalog, CatalogError},
};

/// Names that are read at a time: so few where some will be left out, so many at most.
const FEW: u32 = 100;
const MOST: u32 = 1000;

impl Policy {
    /// Names of repositories after `after` that somebody may pull, `limit` at most, in byte order.
    ///
    /// Only names are read that begin as some rule's do. A rule that begins with a star leads through all names, a
    /// thousand at a time; none is kept that is not in the answer.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn repositories(
        &self,
        catalog: &dyn Catalog,
        who: &Principal,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<RepoName>, CatalogError> {
        let mut seen = Vec::new();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        for prefix in self.visible(who) {
            let mut from = after.unwrap_or("").to_owned().max(just_before(&prefix));
            loop {
                let wanted = u32::try_from(limit - seen.len()).unwrap_or(MOST);
                if wanted == 0 {
                    return Ok(seen);
                }
                let fetch = if self.sees_all(who) { wanted } else { wanted.clamp(FEW, MOST) };
                let names = catalog.repositories(Some(&from), fetch).await?;
                let last = names.last().map(|name| name.as_str().to_owned());
                let full = names.len() == usize::try_from(fetch).unwrap_or(usize::MAX);
                let within = names.into_iter().take_while(|name| name.as_str().starts_with(&prefix));
                let visible = within.filter(|name| self.sees(who, name)).take(limit - seen.len());
                seen.extend(visible);
                match last {
                    Some(last) if full && last.starts_with(&prefix) => from = last,
                    Some(_) | None => break,
                }
            }
        }
        Ok(seen)
    }
}

/// Behind every name that comes before those that begin with `prefix`, and before all of these: no name has a
/// character as far back as the last one here.
fn just_before(prefix: &str) -> String {
    let mut text = prefix.to_owned();
    if let Some(last) = text.pop() {
        let before = u32::from(last).saturating_sub(1);
        text.extend(char::from_u32(before));
        text.push('\u{7f}');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn just_before_is_between_the_names_before_and_those_that_begin_so() {
        for (prefix, before, within) in
            [("team/", "team.z", "team/a"), ("team", "teal/zz", "team"), ("b", "a/zzz", "b")]
        {
            let place = just_before(prefix);
            assert!(place.as_str() > before && place.as_str() < within, "{prefix}: {place:?}");
        }
        assert_eq!(just_before(""), "");
    }
}
