//! Whether what a signature claims to be about is the image at hand.

use berth_oci::Reference;

use super::model::{Identity, Repository};

impl Identity {
    /// Whether a signature of `claimed` counts for the image `intended` (which no transport but registries and engines
    /// has).
    ///
    /// A claim without tag and digest is that of a whole repository; only the rules that ask for no more take it.
    #[must_use]
    pub fn accepts(&self, intended: Option<&Reference>, claimed: &str) -> bool {
        let Ok(claimed) = claimed.parse::<Reference>() else { return false };
        let intended = intended.filter(|intended| !is_name_only(intended));
        match self {
            Self::MatchExact => intended.is_some_and(|intended| same(intended, &claimed)),
            Self::MatchRepoDigestOrExact => {
                intended.is_some_and(|intended| same_or_by_digest(intended, &claimed))
            }
            Self::MatchRepository => {
                intended.is_some_and(|intended| Repository::of(intended) == Repository::of(&claimed))
            }
            Self::ExactReference(exact) => same(exact, &claimed),
            Self::ExactRepository(repository) => *repository == Repository::of(&claimed),
            Self::RemapIdentity { prefix, signed_prefix } => intended
                .and_then(|intended| remap(intended, prefix, signed_prefix))
                .is_some_and(|intended| same_or_by_digest(&intended, &claimed)),
        }
    }
}

const fn is_name_only(reference: &Reference) -> bool {
    reference.tag().is_none() && reference.digest().is_none()
}

fn same(intended: &Reference, claimed: &Reference) -> bool {
    !is_name_only(intended) && intended == claimed
}

fn same_or_by_digest(intended: &Reference, claimed: &Reference) -> bool {
    if is_name_only(claimed) {
        return false;
    }
    match intended.tag() {
        Some(_) => same(intended, claimed),
        // The digest itself is compared where the payload's is.
        None => Repository::of(intended) == Repository::of(claimed),
    }
}

/// The reference with its prefix replaced; unchanged where it has another, nothing where the result is no reference.
fn remap(intended: &Reference, prefix: &str, signed_prefix: &str) -> Option<Reference> {
    let name = format!("{}/{}", intended.host(), intended.name());
    let Some(rest) = name.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/')) else {
        return Some(intended.clone());
    };
    let (host, name) =
        format!("{signed_prefix}{rest}").split_once('/').map(|(h, n)| (h.to_owned(), n.to_owned()))?;
    let remapped = Reference::new(&host, name.parse().ok()?).ok()?;
    Some(remapped.with_tag(intended.tag().cloned()).with_digest(intended.digest().cloned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    #[test]
    fn each_rule_takes_the_claims_that_it_should() {
        let by_digest = format!("h.example/ns/app@{DIGEST}");
        let by_digest_claim = format!("h.example/ns/app@{DIGEST}");
        let exact = |name: &str| Identity::ExactReference(name.parse().unwrap());
        let repository = |name: &str| Identity::ExactRepository(Repository::of(&name.parse().unwrap()));
        let remap = |prefix: &str, signed: &str| Identity::RemapIdentity {
            prefix: prefix.to_owned(),
            signed_prefix: signed.to_owned(),
        };
        let (image, digest) = ("h.example/ns/app:1", by_digest.as_str());
        let default = Identity::default;
        for (rule, intended, claimed, taken) in [
            (Identity::MatchExact, image, "h.example/ns/app:1", true),
            (Identity::MatchExact, image, "h.example/ns/app:2", false),
            (Identity::MatchExact, image, "h.example/ns/app", false),
            (Identity::MatchExact, digest, "h.example/ns/app:1", false),
            (Identity::MatchExact, digest, &by_digest_claim, true),
            (default(), image, "h.example/ns/app:1", true),
            (default(), image, "h.example/ns/app:2", false),
            (default(), image, "h.example/ns/app", false),
            (default(), digest, "h.example/ns/app:2", true),
            (default(), digest, "h.example/ns/app", false),
            (default(), digest, "h.example/ns/other:1", false),
            (default(), image, "not a reference", false),
            (default(), "busybox:1", "docker.io/library/busybox:1", true),
            (default(), "docker.io/library/busybox:1", "busybox:1", true),
            (Identity::MatchRepository, image, "h.example/ns/app", true),
            (Identity::MatchRepository, image, "h.example/ns/app:9", true),
            (Identity::MatchRepository, image, "h.example/ns/apps:1", false),
            (exact("o.example/x:1"), image, "o.example/x:1", true),
            (exact("o.example/x:1"), image, "o.example/x:2", false),
            (exact("o.example/x:1"), image, image, false),
            (repository("o.example/x"), image, "o.example/x:5", true),
            (repository("o.example/x"), image, "o.example/x", true),
            (repository("o.example/x"), image, "o.example/y:5", false),
            (remap("h.example/ns", "o.example"), image, "o.example/app:1", true),
            (remap("h.example/ns", "o.example"), image, "o.example/app:2", false),
            (remap("h.example/ns", "o.example"), image, image, false),
            (remap("h.example/n", "o.example"), image, image, true),
            (remap("h.example", "o.example/deep/er"), image, "o.example/deep/er/ns/app:1", true),
            (remap("h.example/ns/app", "o.example/y"), digest, "o.example/y:7", true),
            (remap("h.example/ns/app", "o.example"), image, "o.example:1", false),
        ] {
            let intended: Reference = intended.parse().unwrap();
            assert_eq!(rule.accepts(Some(&intended), claimed), taken, "{rule:?} {intended} {claimed}");
        }
    }

    #[test]
    fn an_image_without_a_name_has_only_the_names_that_the_policy_gives_it() {
        let named = "h.example/app:1";
        for rule in [Identity::MatchExact, Identity::default(), Identity::MatchRepository] {
            assert!(!rule.accepts(None, named), "{rule:?}");
        }
        let remap =
            Identity::RemapIdentity { prefix: "h.example".to_owned(), signed_prefix: "h.example".to_owned() };
        assert!(!remap.accepts(None, named));
        assert!(Identity::ExactReference(named.parse().unwrap()).accepts(None, named));
        assert!(Identity::ExactRepository(Repository::of(&named.parse().unwrap())).accepts(None, named));
    }
}
