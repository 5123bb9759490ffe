//! The names that a rule for an image can be written under, from narrow to wide.

use berth_oci::Reference;

/// The scopes of a repository, the narrowest first, as policy.json and registries.d look them up: the repository, its
/// namespaces, its host, and `*.` with each parent domain. The scope of one image (`host/repo:tag`) is not among them.
///
/// ```
/// let image = "a.example.org:5000/team/app:1".parse()?;
/// assert_eq!(
///     berth_copier::config::scopes(&image),
///     ["a.example.org:5000/team/app", "a.example.org:5000/team", "a.example.org:5000", "*.example.org", "*.org"],
/// );
/// # Ok::<_, berth_oci::ImageReferenceError>(())
/// ```
#[must_use]
pub fn scopes(reference: &Reference) -> Vec<String> {
    let mut scopes = path_scopes(&format!("{}/{}", reference.host(), reference.name()));
    let host = reference.host();
    // An address in brackets has colons of its own, and no parent.
    let mut domain = if host.starts_with('[') { "" } else { host.split(':').next().unwrap_or_default() };
    while let Some((_, parent)) = domain.split_once('.') {
        scopes.push(format!("*.{parent}"));
        domain = parent;
    }
    scopes
}

/// `a/b/c`, `a/b`, `a`.
pub(super) fn path_scopes(name: &str) -> Vec<String> {
    let mut scopes = vec![name.to_owned()];
    let mut rest = name;
    while let Some((parent, _)) = rest.rsplit_once('/') {
        scopes.push(parent.to_owned());
        rest = parent;
    }
    scopes
}
