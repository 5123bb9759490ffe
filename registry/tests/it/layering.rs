//! Who may import whom, asserted from the crates' manifests and `use` lines.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Our own crates that a member's `[dependencies]` name.
fn ours(member: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(root().join(member).join("Cargo.toml")).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    let Some(dependencies) = manifest.get("dependencies") else { return BTreeSet::new() };
    let names = dependencies.as_table().unwrap().keys();
    names.filter(|name| name.starts_with("berth-")).cloned().collect()
}

#[test]
fn crates_import_only_what_the_architecture_allows() {
    let allowed = BTreeMap::from([
        ("oci/hash", vec![]),
        ("oci", vec!["berth-hash"]),
        ("copier", vec!["berth-oci", "berth-hash"]),
        ("registry", vec!["berth-oci", "berth-hash", "berth-copier"]),
        ("runner/core", vec![]),
        ("runner", vec!["berth-oci", "berth-hash", "berth-copier", "berth-runtime"]),
        ("conformance", vec!["berth-oci", "berth-hash"]),
    ]);
    for (member, allowed) in allowed {
        for name in ours(member) {
            assert!(allowed.contains(&name.as_str()), "{member} must not depend on {name}");
        }
    }
}

#[test]
fn the_vocabulary_is_pure() {
    for member in ["oci", "oci/hash"] {
        let text = fs::read_to_string(root().join(member).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        for name in manifest["dependencies"].as_table().unwrap().keys() {
            for banned in ["tokio", "hyper", "axum", "reqwest", "sqlx", "object_store"] {
                assert_ne!(name, banned, "{member} has no network, no runtime and no database");
            }
        }
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Whether code (not comments) of the text names the crate.
fn names(text: &str, library: &str) -> bool {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let needles = [format!("{library}::"), format!("use {library};")];
    code.into_iter().any(|line| {
        needles.iter().any(|needle| {
            line.match_indices(needle.as_str())
                .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'))
        })
    })
}

#[test]
fn inside_the_registry_each_library_stays_in_its_place() {
    let places: [(&str, &[&str]); 5] = [
        ("axum", &["http/", "api/", "admin/", "app/", "telemetry"]),
        ("sqlx", &["catalog/"]),
        ("object_store", &["storage/"]),
        ("rustls", &["http/serve/"]),
        ("hyper", &["http/serve/"]),
    ];
    let source = root().join("registry/src");
    let mut files = Vec::new();
    sources(&source, &mut files);
    assert!(files.len() > 20, "the sources were not found");
    for file in files {
        let path = file.strip_prefix(&source).unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&file).unwrap();
        for (library, allowed) in places {
            let home = allowed.iter().any(|place| path.starts_with(place));
            assert!(home || !names(&text, library), "{library} must not be used in registry/src/{path}");
        }
    }
}

#[test]
fn the_rules_know_neither_the_wire_nor_the_database() {
    let source = root().join("registry/src");
    for part in ["auth", "blobs", "catalog", "gc", "manifests", "policy", "storage", "tags"] {
        let mut files = Vec::new();
        sources(&source.join(part), &mut files);
        // Tests may set up what a start sets up.
        let files = files.into_iter().filter(|file| file.file_name().is_none_or(|name| name != "tests.rs"));
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            for upward in ["crate::http", "crate::app", "crate::config"] {
                assert!(!text.contains(upward), "{} must not import {upward}", file.display());
            }
        }
    }
}

#[test]
fn the_parser_of_use_lines_sees_code_and_not_comments() {
    assert!(names("use sqlx::Row;", "sqlx"));
    assert!(names("    let a = sqlx::query(x);", "sqlx"));
    assert!(!names("// use sqlx::Row;", "sqlx"));
    assert!(!names("use tokio_rustls::x;", "rustls"));
    assert!(!names("use crate::axum::x;", "axum"));
}

#[test]
fn unsafe_code_is_forbidden_but_in_the_hash_and_the_runtime_core() {
    for member in ["oci", "copier", "registry", "runner", "conformance"] {
        let text = fs::read_to_string(root().join(member).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        assert_eq!(
            manifest["lints"]["workspace"].as_bool(),
            Some(true),
            "{member} takes the workspace's lints"
        );
    }
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let workspace: toml::Table = text.parse().unwrap();
    assert_eq!(workspace["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
}
