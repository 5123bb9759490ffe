//! Which of a policy's scopes an image is in.

use std::path::{Component, Path, PathBuf};

use berth_oci::Reference;

use crate::{ImageName, config, name::DaemonImage};

/// The scopes of an image, the narrowest first. The transport's default (`""`) is the last of every image.
pub(super) fn candidates(name: &ImageName) -> Vec<String> {
    let mut scopes = match name {
        ImageName::Docker { reference, .. } | ImageName::DockerDaemon(DaemonImage::Named(reference)) => {
            of_reference(reference)
        }
        ImageName::Dir(path) | ImageName::Oci { path, .. } | ImageName::OciArchive { path, .. } => {
            of_path(path)
        }
        // Neither an id nor a name inside an archive says where the image comes from.
        ImageName::DockerArchive { .. } | ImageName::DockerDaemon(DaemonImage::Id(_)) => Vec::new(),
    };
    scopes.push(String::new());
    scopes
}

fn of_reference(reference: &Reference) -> Vec<String> {
    std::iter::once(reference.to_string()).chain(config::scopes(reference)).collect()
}

/// The path without symbolic links, and its parents but the root.
fn of_path(path: &Path) -> Vec<String> {
    resolve(path)
        .ancestors()
        .filter(|ancestor| ancestor.parent().is_some())
        .filter_map(|ancestor| ancestor.to_str().map(str::to_owned))
        .collect()
}

/// What is not there yet is resolved as far as it is.
fn resolve(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut rest = Vec::new();
    for ancestor in path.ancestors() {
        if let Ok(mut resolved) = ancestor.canonicalize() {
            resolved.extend(rest.iter().rev());
            return resolved;
        }
        rest.extend(ancestor.file_name());
    }
    path
}

/// Why a text is no scope of a transport; `None` if it is one, or if nobody here knows the transport.
pub(super) fn fault(transport: &str, scope: &str) -> Option<String> {
    if scope.is_empty() {
        return None;
    }
    match transport {
        "dir" | "oci" | "oci-archive" => path_fault(scope),
        "docker-archive" => Some("has no scope but \"\"".to_owned()),
        "docker" | "atomic" if scope.contains('*') => {
            let domain = scope.strip_prefix("*.").unwrap_or_default();
            let fits = !domain.is_empty() && !domain.contains(['*', '/', ':']);
            (!fits).then(|| "a wildcard stands for subdomains alone: *.example.org".to_owned())
        }
        _ => None,
    }
}

fn path_fault(scope: &str) -> Option<String> {
    if scope == "/" {
        return Some("is written \"\"".to_owned());
    }
    let path = Path::new(scope);
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
        && path.components().collect::<PathBuf>().as_os_str() == scope;
    if path.is_absolute() && plain {
        return None;
    }
    Some("is an absolute path without \".\", \"..\" and needless slashes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(name: &str) -> Vec<String> {
        candidates(&name.parse().unwrap())
    }

    #[test]
    fn a_registrys_image_is_in_its_repository_its_namespaces_its_host_and_its_domains() {
        assert_eq!(
            scopes("docker://a.example.org:5000/ns/app:1"),
            [
                "a.example.org:5000/ns/app:1",
                "a.example.org:5000/ns/app",
                "a.example.org:5000/ns",
                "a.example.org:5000",
                "*.example.org",
                "*.org",
                ""
            ]
        );
        assert_eq!(
            scopes("docker://busybox")[..3],
            ["docker.io/library/busybox:latest", "docker.io/library/busybox", "docker.io/library"]
        );
        assert_eq!(scopes("docker-daemon:busybox:1")[0], "docker.io/library/busybox:1");
    }

    #[test]
    fn a_files_image_is_in_the_folders_that_its_path_really_goes_through() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        std::fs::create_dir(real.join("real")).unwrap();
        std::os::unix::fs::symlink("real", real.join("link")).unwrap();
        let name = format!("dir:{}/link/../link/new/image", real.display());
        let found = scopes(&name);
        assert_eq!(found[0], real.join("real/new/image").to_str().unwrap());
        assert_eq!(found[2], real.join("real").to_str().unwrap());
        assert_eq!(found.last().unwrap(), "");
        assert!(!found.contains(&"/".to_owned()));
        assert_eq!(scopes(&format!("oci:{}:tag", real.display()))[0], real.to_str().unwrap());
        assert_eq!(scopes("docker-archive:/x.tar"), [""]);
    }

    #[test]
    fn malformed_scopes_are_named() {
        for (transport, scope, fits) in [
            ("docker", "*.example.org", true),
            ("docker", "a*.example.org", false),
            ("docker", "*.example.org/x", false),
            ("docker", "*", false),
            ("docker", "example.org:5000/x", true),
            ("dir", "/a/b", true),
            ("dir", "/", false),
            ("dir", "a/b", false),
            ("dir", "/a/../b", false),
            ("dir", "/a/./b", false),
            ("dir", "/a//b", false),
            ("dir", "/a/b/", false),
            ("oci", "/a/b:tag", true),
            ("docker-archive", "x", false),
            ("docker-archive", "", true),
            ("unheard-of", "anything", true),
        ] {
            assert_eq!(fault(transport, scope).is_none(), fits, "{transport} {scope}");
        }
    }
}
