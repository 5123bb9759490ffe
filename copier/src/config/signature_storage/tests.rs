use std::fs;

use tempfile::TempDir;

use super::*;

fn folder(files: &[(&str, &str)]) -> (TempDir, Environment) {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let environment = Environment::under(folder.path());
    (folder, environment)
}

fn load(content: &str) -> Result<SignatureStorage> {
    let (_folder, environment) = folder(&[("etc/containers/registries.d/a.yaml", content)]);
    SignatureStorage::load_in(None, &environment)
}

fn lookaside(storage: &SignatureStorage, name: &str) -> String {
    storage.for_reference(&name.parse().unwrap()).lookaside.unwrap().into()
}

#[test]
fn the_example_of_the_manual_reads_as_the_manual_says() {
    let storage = load(
        "docker:
    registry.example.com:
        lookaside: https://registry-lookaside.example.com
    registry.example.com/mydepartment:
        lookaside: https://lookaside.mydepartment.example.com
        lookaside-staging: file:///mnt/mydepartment/lookaside-staging
    registry.example.com/mydepartment/myproject:mybranch:
        lookaside: http://localhost:4242/lookaside
        lookaside-staging: file:///home/useraccount/webroot/lookaside
",
    )
    .unwrap();
    for (name, place) in [
        ("registry.example.com/other:1", "https://registry-lookaside.example.com/"),
        ("registry.example.com/mydepartment/x", "https://lookaside.mydepartment.example.com/"),
        ("registry.example.com/mydepartment/myproject:mybranch", "http://localhost:4242/lookaside"),
        ("registry.example.com/mydepartment/myproject:other", "https://lookaside.mydepartment.example.com/"),
    ] {
        assert_eq!(lookaside(&storage, name), place, "{name}");
    }
    let project = storage.for_reference(&"registry.example.com/mydepartment/x".parse().unwrap());
    assert_eq!(project.lookaside_staging.unwrap().as_str(), "file:///mnt/mydepartment/lookaside-staging");
    let other = storage.for_reference(&"registry.example.com/other".parse().unwrap());
    assert_eq!(other.lookaside, other.lookaside_staging);
    assert!(!other.use_sigstore_attachments);
}

#[test]
fn the_narrowest_scope_that_has_a_setting_counts() {
    let storage = load(
        "default-docker: {lookaside: 'https://default.test', use-sigstore-attachments: true}
docker:
  '*.test': {lookaside: 'https://wild.test'}
  '*.sub.test': {lookaside: 'https://wildsub.test'}
  h.sub.test:5000: {lookaside: 'https://host.test'}
  h.sub.test:5000/ns: {use-sigstore-attachments: false}
  docker.io/library/ubuntu:
",
    )
    .unwrap();
    for (name, place, attachments) in [
        ("h.sub.test:5000/a", "https://host.test/", true),
        ("h.sub.test:5000/ns/a", "https://host.test/", false),
        ("h.sub.test/a", "https://wildsub.test/", true),
        ("x.test:1/a", "https://wild.test/", true),
        ("x.other/a", "https://default.test/", true),
        ("ubuntu", "https://default.test/", true),
    ] {
        let found = storage.for_reference(&name.parse().unwrap());
        assert_eq!(found.lookaside.unwrap().as_str(), place, "{name}");
        assert_eq!(found.use_sigstore_attachments, attachments, "{name}");
    }
}

#[test]
fn old_names_are_read_and_new_ones_go_before_them() {
    let storage = load(
        "docker:
  old.test: {sigstore: 'https://old.test', sigstore-staging: 'file:///old'}
  both.test: {sigstore: 'https://old.test', lookaside: 'https://new.test', lookaside-staging: ''}
",
    )
    .unwrap();
    let old = storage.for_reference(&"old.test/a".parse().unwrap());
    assert_eq!(old.lookaside.unwrap().as_str(), "https://old.test/");
    assert_eq!(old.lookaside_staging.unwrap().as_str(), "file:///old");
    let both = storage.for_reference(&"both.test/a".parse().unwrap());
    assert_eq!(both.lookaside.unwrap().as_str(), "https://new.test/");
    assert_eq!(both.lookaside_staging.unwrap().as_str(), "https://new.test/");
}

#[test]
fn without_configuration_the_users_own_folder_is_the_store() {
    let (folder, mut environment) = folder(&[]);
    let url = |path: &str| Url::from_file_path(folder.path().join(path)).unwrap().to_string();
    let storage = SignatureStorage::load_in(None, &environment).unwrap();
    assert_eq!(lookaside(&storage, "h.test/a"), url("home/.local/share/containers/sigstore"));
    environment.uid = 0;
    let storage = SignatureStorage::load_in(None, &environment).unwrap();
    assert_eq!(lookaside(&storage, "h.test/a"), url("var/lib/containers/sigstore"));
}

#[test]
fn the_users_folder_hides_the_systems_and_a_named_one_hides_both() {
    let text = |name: &str| format!("default-docker: {{lookaside: 'https://{name}.test'}}");
    let (folder, environment) = folder(&[
        ("etc/containers/registries.d/a.yaml", &text("system")),
        ("home/.config/containers/registries.d/a.yaml", &text("user")),
        ("named/a.yaml", &text("named")),
        ("named/b.yml", "not: [yaml"),
    ]);
    let storage = SignatureStorage::load_in(None, &environment).unwrap();
    assert_eq!(lookaside(&storage, "h.test/a"), "https://user.test/");
    let storage = SignatureStorage::load_in(Some(&folder.path().join("named")), &environment).unwrap();
    assert_eq!(lookaside(&storage, "h.test/a"), "https://named.test/");
}

#[test]
fn a_scope_in_two_files_is_an_error_that_names_both() {
    for section in ["default-docker: {lookaside: 'https://a.test'}", "docker: {h.test: {}}"] {
        let (folder, environment) = folder(&[("named/a.yaml", section), ("named/b.yaml", section)]);
        let error = SignatureStorage::load_in(Some(&folder.path().join("named")), &environment).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("a.yaml") && error.contains("b.yaml: d"), "{error}");
    }
}

#[test]
fn all_faults_of_a_file_are_told() {
    let error = load("docker: {a.test: {lookaside: nowhere}, b.test: {sigstore-staging: '::'}}")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("docker.\"a.test\".lookaside") && error.contains("docker.\"b.test\".sigstore-staging"),
        "{error}"
    );
}

#[test]
fn unknown_keys_and_empty_files_are_taken() {
    for text in
        ["", "# nothing\n", "docker:\n", "default-docker:\n", "other: 1\ndocker: {h.test: {new: [1]}}"]
    {
        assert!(load(text).is_ok(), "{text:?}: {:?}", load(text).err());
    }
}

#[test]
fn hostile_files_are_errors_that_name_the_file() {
    let bomb = {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let list = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{list}]\n"));
        }
        text
    };
    let deep = format!("docker: {}{}", "{a: ".repeat(50_000), "}".repeat(50_000));
    let large = " ".repeat(super::super::MAX_FILE + 1);
    for text in [
        "docker: [",
        "docker: []",
        "docker: {a: 1}",
        "docker: {a: {}, a: {}}",
        "default-docker: {lookaside: [1]}",
        "default-docker: {use-sigstore-attachments: maybe}",
        "\u{1}",
        "- docker",
        &bomb,
        &deep,
        &large,
    ] {
        let error = load(text).map(drop).unwrap_err().to_string();
        assert!(error.contains("registries.d/a.yaml"), "{error}");
        assert!(error.len() < 2000, "{}", error.len());
    }
}
