mod helper;
mod store;

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

struct Home {
    folder: TempDir,
    environment: Environment,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut environment = Environment::under(folder.path());
        fs::create_dir_all(folder.path().join("runtime")).unwrap();
        environment.xdg_runtime_dir = Some(folder.path().join("runtime"));
        environment.search_path = Some(folder.path().join("bin").into_os_string());
        Self { folder, environment }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn auths(&self, name: &str, users: &[(&str, &str)]) -> PathBuf {
        let auths: serde_json::Map<_, _> =
            users.iter().map(|(key, user)| ((*key).to_owned(), json!({ "auth": encoded(user) }))).collect();
        self.write(name, json!({ "auths": auths }).to_string())
    }

    /// A credential helper that runs a shell script.
    fn helper(&self, name: &str, script: &str) {
        let path = self.write(&format!("bin/docker-credential-{name}"), format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn credentials(&self) -> Credentials {
        self.with(Side::default())
    }

    fn with(&self, side: Side) -> Credentials {
        Credentials::in_environment(&side, self.environment.clone())
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(name)).unwrap()).unwrap()
    }

    async fn user(&self, reference: &str) -> Option<String> {
        let found = self.credentials().find(&reference.parse().unwrap()).await.unwrap();
        found.map(|credential| credential.user().to_owned())
    }
}

fn encoded(user: &str) -> String {
    STANDARD.encode(format!("{user}:secret of {user}"))
}

const PRIMARY: &str = "runtime/containers/auth.json";

#[tokio::test]
async fn files_are_asked_in_their_order() {
    let home = Home::new();
    let order = [PRIMARY, "home/.config/containers/auth.json", "home/.docker/config.json"];
    home.write("home/.dockercfg", json!({ "h.test": { "auth": encoded("old") } }).to_string());
    assert_eq!(home.user("h.test/app").await.as_deref(), Some("old"));
    for name in order.iter().rev() {
        home.auths(name, &[("h.test", name)]);
        assert_eq!(home.user("h.test/app").await.as_deref(), Some(*name));
    }
}

#[tokio::test]
async fn without_a_runtime_folder_the_user_has_one_by_number() {
    let mut home = Home::new();
    home.environment.xdg_runtime_dir = None;
    home.auths("run/containers/1000/auth.json", &[("h.test", "u")]);
    assert_eq!(home.user("h.test/app").await.as_deref(), Some("u"));
}

#[tokio::test]
async fn a_runtime_folder_that_is_not_there_keeps_nobody_from_reading_and_everybody_from_writing() {
    let mut home = Home::new();
    home.environment.xdg_runtime_dir = Some(home.path("nowhere"));
    home.auths("home/.config/containers/auth.json", &[("h.test", "u")]);
    assert_eq!(home.user("h.test/app").await.as_deref(), Some("u"));
    let error = home.credentials().store("h.test", "u", &Secret::new("p")).await.unwrap_err();
    assert!(error.to_string().contains("XDG_RUNTIME_DIR"), "{error}");
}

#[tokio::test]
async fn a_named_file_is_the_only_one() {
    let mut home = Home::new();
    home.auths(PRIMARY, &[("h.test", "primary")]);
    let named = home.auths("named.json", &[("other.test", "named")]);
    let side = Side { authfile: Some(named.clone()), ..Side::default() };
    let find = |credentials: Credentials, name: &str| {
        let name: Reference = name.parse().unwrap();
        async move { credentials.find(&name).await.unwrap().map(|found| found.user().to_owned()) }
    };
    assert_eq!(find(home.with(side.clone()), "h.test/a").await, None);
    assert_eq!(find(home.with(side), "other.test/a").await.as_deref(), Some("named"));
    home.environment.registry_auth_file = Some(named);
    assert_eq!(find(home.credentials(), "h.test/a").await, None);
}

#[tokio::test]
async fn dockers_folder_is_where_its_variable_says() {
    let mut home = Home::new();
    home.auths("home/.docker/config.json", &[("h.test", "home")]);
    home.auths("docker/config.json", &[("h.test", "docker")]);
    home.environment.docker_config = Some(home.path("docker"));
    assert_eq!(home.user("h.test/a").await.as_deref(), Some("docker"));
    home.auths(PRIMARY, &[("h.test", "primary")]);
    assert_eq!(home.user("h.test/a").await.as_deref(), Some("primary"));
}

#[tokio::test]
async fn flags_go_before_all_files() {
    let home = Home::new();
    home.auths(PRIMARY, &[("h.test", "u")]);
    let name: Reference = "h.test/a".parse().unwrap();
    let given = Side { credentials: Some(("flag".to_owned(), Secret::new("p"))), ..Side::default() };
    assert_eq!(home.with(given).find(&name).await.unwrap().unwrap().user(), "flag");
    let nobody = Side { anonymous: true, ..Side::default() };
    assert_eq!(home.with(nobody).find(&name).await.unwrap(), None);
}

#[tokio::test]
async fn the_longest_key_counts() {
    let home = Home::new();
    let keys = ["h.test", "h.test/ns", "h.test/ns/sub/app", "h.test:5000"];
    let users = keys.map(|key| key.replace(':', "+"));
    let entries: Vec<_> = keys.into_iter().zip(users.iter().map(String::as_str)).collect();
    home.auths(PRIMARY, &entries);
    for (name, key) in [
        ("h.test/ns/sub/app:1", Some("h.test/ns/sub/app")),
        ("h.test/ns/sub/other", Some("h.test/ns")),
        ("h.test/ns/sub", Some("h.test/ns")),
        ("h.test/nsx", Some("h.test")),
        ("h.test:5000/ns", Some("h.test+5000")),
        ("h.test:5001/ns", None),
        ("x.h.test/ns", None),
        ("ubuntu", None),
    ] {
        assert_eq!(home.user(name).await.as_deref(), key, "{name}");
    }
}

#[tokio::test]
async fn keys_that_docker_wrote_once_are_found() {
    for (key, name) in [
        ("https://index.docker.io/v1/", "ubuntu"),
        ("index.docker.io", "docker.io/team/app"),
        ("registry-1.docker.io", "ubuntu"),
        ("docker.io", "ubuntu"),
        ("docker.io/library/ubuntu", "ubuntu"),
        ("https://h.test/v1/", "h.test/app"),
        ("http://h.test:80/v2", "h.test:80/app"),
    ] {
        let home = Home::new();
        home.auths("home/.docker/config.json", &[(key, "u")]);
        assert_eq!(home.user(name).await.as_deref(), Some("u"), "{key}");
    }
    let home = Home::new();
    home.write("home/.dockercfg", json!({ "h.test/v1/": { "auth": encoded("u") } }).to_string());
    assert_eq!(home.user("h.test/v2/app").await.as_deref(), Some("u"));
    // Only URLs and .dockercfg have paths that mean nothing.
    home.auths(PRIMARY, &[("q.test/v1", "u")]);
    assert_eq!(home.user("q.test/app").await, None);
}

#[tokio::test]
async fn an_identity_token_is_told_from_a_password() {
    let home = Home::new();
    let entry = json!({ "auth": STANDARD.encode("user:"), "identitytoken": "token" });
    home.write(PRIMARY, json!({ "auths": { "h.test": entry } }).to_string());
    let found = home.credentials().find(&"h.test/a".parse().unwrap()).await.unwrap();
    let token = Secret::new("token");
    assert_eq!(found, Some(Credential::IdentityToken { user: "user".to_owned(), token }));
}

#[tokio::test]
async fn passwords_may_hold_colons_and_end_in_nul() {
    let home = Home::new();
    let entry = json!({ "auth": STANDARD.encode("user:a:b\0\0").trim_end_matches('=') });
    home.write(PRIMARY, json!({ "auths": { "h.test": entry } }).to_string());
    let found = home.credentials().find_key("h.test").await.unwrap();
    assert_eq!(found, Some(Credential::Basic { user: "user".to_owned(), password: Secret::new("a:b") }));
}

#[tokio::test]
async fn an_entry_without_credentials_leaves_the_word_to_the_next_file() {
    let home = Home::new();
    for entry in [json!({}), json!(null), json!({ "auth": "" })] {
        home.write(PRIMARY, json!({ "auths": { "h.test": entry } }).to_string());
        home.auths("home/.config/containers/auth.json", &[("h.test", "u")]);
        assert_eq!(home.user("h.test/a").await.as_deref(), Some("u"));
    }
}

#[tokio::test]
async fn an_entry_without_a_colon_is_a_fault_that_does_not_quote_it() {
    let home = Home::new();
    let entry = json!({ "auth": STANDARD.encode("hunter2") });
    home.write(PRIMARY, json!({ "auths": { "h.test": entry } }).to_string());
    home.auths("home/.config/containers/auth.json", &[("h.test", "u")]);
    let error = home.credentials().find_key("h.test").await.unwrap_err();
    assert!(matches!(error, Error::Configuration { .. }), "{error}");
    let error = error.to_string();
    assert!(error.contains("auths.\"h.test\".auth") && error.contains("no colon"), "{error}");
    assert!(!error.contains("hunter2") && !error.contains(&STANDARD.encode("hunter2")), "{error}");
}

#[tokio::test]
async fn all_faults_of_a_file_are_told_and_no_secret() {
    let home = Home::new();
    let faulty = json!({
        "auths": { "a.test": "hunter2", "b.test": { "auth": 7 }, "c.test": { "identitytoken": [] } },
        "credHelpers": { "d.test": {} },
        "credsStore": 1,
    });
    let path = home.write(PRIMARY, faulty.to_string());
    let error = home.credentials().find_key("h.test").await.unwrap_err().to_string();
    assert!(error.starts_with(path.to_str().unwrap()), "{error}");
    for key in [
        "auths.\"a.test\"",
        "\"b.test\".auth",
        "\"c.test\".identitytoken",
        "credHelpers.\"d.test\"",
        "credsStore",
    ] {
        assert!(error.contains(key), "{key} is not in {error}");
    }
    assert!(!error.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn hostile_files_are_errors_that_name_the_file() {
    let deep = format!("{}{}", "{\"auths\":".repeat(10_000), "}".repeat(10_000));
    let large = format!("{{\"auths\": {{\"h.test\": {{\"auth\": \"{}\"}}}}}}", "A".repeat(read::MAX_FILE));
    let not_text =
        json!({ "auths": { "h.test": { "auth": STANDARD.encode([b'u', b':', 0xff]) } } }).to_string();
    let not_base64 = json!({ "auths": { "h.test": { "auth": "hunter2 is ünsafe" } } }).to_string();
    for content in ["", "[]", "null", "{", "\u{0}", "{\"auths\": []}", &deep, &large, &not_text, &not_base64]
    {
        let home = Home::new();
        let path = home.write(PRIMARY, content);
        let error = home.credentials().find_key("h.test").await.unwrap_err().to_string();
        assert!(error.starts_with(path.to_str().unwrap()), "{error}");
        assert!(error.len() < 1000 && !error.contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn a_credential_is_never_shown() {
    let home = Home::new();
    home.auths(PRIMARY, &[("h.test", "u")]);
    let found = home.credentials().find_key("h.test").await.unwrap();
    assert!(!format!("{found:?}").contains("secret of"));
}

proptest! {
    #[test]
    fn no_bytes_make_a_file_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), bare: bool) {
        let format = if bare { Format::Bare } else { Format::Keyed };
        if let Ok(contents) = Contents::parse(Path::new("x"), format, &bytes) {
            let _either = contents.find("h.test/a", "h.test");
        }
    }

    #[test]
    fn the_key_that_is_found_is_the_longest_that_is_a_parent(
        parts in proptest::collection::vec("[a-z]{1,2}", 1..5),
        kept in proptest::collection::vec(any::<bool>(), 6),
    ) {
        let mut name = "h.test".to_owned();
        let mut keys = vec![name.clone()];
        for part in parts {
            name = format!("{name}/{part}");
            keys.push(name.clone());
        }
        let kept: Vec<&String> = keys.iter().zip(kept).filter_map(|(key, kept)| kept.then_some(key)).collect();
        let auths: serde_json::Map<_, _> =
            kept.iter().map(|key| ((*key).clone(), json!({ "auth": encoded(key) }))).collect();
        let contents =
            Contents::parse(Path::new("x"), Format::Keyed, json!({ "auths": auths }).to_string().as_bytes()).unwrap();
        let found = match contents.find(&name, "h.test").unwrap() {
            Found::Credential(credential) => Some(credential.user().to_owned()),
            _ => None,
        };
        prop_assert_eq!(found.as_ref(), kept.last().copied());
    }
}
