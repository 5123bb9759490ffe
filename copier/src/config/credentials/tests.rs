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
    home.environment.registry_auth_file = None;
    home.environment.docker_config = Some(home.path("docker"));
    assert_eq!(find(home.credentials(), "h.test/a").await, None);
    home.auths("docker/config.json", &[("h.test", "docker")]);
    assert_eq!(find(home.credentials(), "h.test/a").await.as_deref(), Some("docker"));
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
    for entry in
        [json!({}), json!(null), json!({ "auth": "" }), json!({ "auth": STANDARD.encode("nocolon") })]
    {
        home.write(PRIMARY, json!({ "auths": { "h.test": entry } }).to_string());
        home.auths("home/.config/containers/auth.json", &[("h.test", "u")]);
        assert_eq!(home.user("h.test/a").await.as_deref(), Some("u"));
    }
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

// Helper programs.

#[tokio::test]
async fn a_helper_answers_for_its_host_alone() {
    let home = Home::new();
    home.helper("kept", r#"read -r server; printf '{"ServerURL":"%s","Username":"u of %s","Secret":"p"}' "$server" "$server""#);
    home.write(
        PRIMARY,
        json!({ "credHelpers": { "h.test": "kept" }, "auths": { "h.test/ns": { "auth": encoded("x") } } })
            .to_string(),
    );
    assert_eq!(home.user("h.test/ns/app").await.as_deref(), Some("u of h.test"));
    assert_eq!(home.user("other.test/app").await, None);
}

#[tokio::test]
async fn a_helpers_token_user_means_an_identity_token() {
    let home = Home::new();
    home.helper("t", r#"cat >/dev/null; echo '{"Username":"<token>","Secret":"s"}'"#);
    home.write(PRIMARY, json!({ "credHelpers": { "h.test": "t" } }).to_string());
    let found = home.credentials().find_key("h.test").await.unwrap();
    assert_eq!(found, Some(Credential::IdentityToken { user: String::new(), token: Secret::new("s") }));
}

#[tokio::test]
async fn a_helper_that_knows_nothing_is_absence() {
    let home = Home::new();
    home.helper("none", "echo 'credentials not found in native keychain'; exit 1");
    home.write(PRIMARY, json!({ "credHelpers": { "h.test": "none" } }).to_string());
    home.auths("home/.docker/config.json", &[("h.test", "next")]);
    assert_eq!(home.user("h.test/app").await.as_deref(), Some("next"));
}

#[tokio::test]
async fn a_helper_that_fails_is_told_without_secrets() {
    for (script, told) in [
        ("echo 'the keychain is locked'; exit 2", "the keychain is locked"),
        (r#"echo '{"Secret":"hunter2"}'; exit 1"#, "exit status: 1"),
        ("echo hunter2", "not the JSON"),
        ("echo '\"hunter2\"'", "not the JSON"),
        ("printf '\\033]0;x\\007'; exit 1", "\\u{1b}"),
        ("kill -9 $$", "signal"),
        ("exec yes", "more than"),
    ] {
        let home = Home::new();
        home.helper("bad", script);
        home.write(PRIMARY, json!({ "credHelpers": { "h.test": "bad" } }).to_string());
        let error = home.credentials().find_key("h.test").await.unwrap_err().to_string();
        assert!(error.contains("docker-credential-bad get") && error.contains(told), "{script}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn a_helper_that_does_not_end_is_stopped() {
    let home = Home::new();
    home.helper("slow", &format!("echo $$ > {}; exec sleep 1000", home.path("pid").display()));
    home.write(PRIMARY, json!({ "credHelpers": { "h.test": "slow" } }).to_string());
    let mut credentials = home.credentials();
    credentials.limit = Duration::from_millis(500);
    let error = credentials.find_key("h.test").await.unwrap_err().to_string();
    assert!(error.contains("no answer within"), "{error}");
    let pid = fs::read_to_string(home.path("pid")).unwrap();
    let status = PathBuf::from(format!("/proc/{}/status", pid.trim()));
    // A killed process is gone, or a zombie until the runtime has reaped it.
    let lives = || fs::read_to_string(&status).is_ok_and(|text| !text.contains("State:\tZ"));
    let limit = std::time::Instant::now() + Duration::from_secs(10);
    while lives() {
        assert!(std::time::Instant::now() < limit, "process {pid} still runs");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_helpers_name_is_never_a_path() {
    for name in ["../../bin/sh", "/bin/sh", "", "a b", "x\0y", "é"] {
        let home = Home::new();
        home.write(PRIMARY, json!({ "credHelpers": { "h.test": name } }).to_string());
        let error = home.credentials().find_key("h.test").await.unwrap_err().to_string();
        assert!(error.contains("is no credential helper"), "{error}");
    }
}

#[tokio::test]
async fn a_store_that_is_missing_or_broken_keeps_nobody_from_a_public_image() {
    let home = Home::new();
    home.helper("broken", "echo 'no D-Bus'; exit 1");
    for store in ["missing", "broken", "../x"] {
        home.write("home/.docker/config.json", json!({ "credsStore": store }).to_string());
        assert_eq!(home.user("h.test/app").await, None);
    }
}

#[tokio::test]
async fn a_store_is_asked_where_the_file_has_no_entry() {
    let home = Home::new();
    home.helper("store", r#"read -r server; printf '{"Username":"%s","Secret":"p"}' "$server""#);
    let file =
        json!({ "credsStore": "store", "auths": { "h.test": {}, "i.test": { "auth": encoded("inline") } } });
    home.write("home/.docker/config.json", file.to_string());
    assert_eq!(home.user("h.test/app").await.as_deref(), Some("h.test"));
    assert_eq!(home.user("i.test/app").await.as_deref(), Some("inline"));
    assert_eq!(home.user("ubuntu").await.as_deref(), Some("https://index.docker.io/v1/"));
}

#[tokio::test]
async fn helpers_of_registries_conf_are_asked_in_their_order() {
    let home = Home::new();
    home.helper("first", "echo 'it is broken'; exit 1");
    home.helper("second", r#"echo '{"Username":"second","Secret":"p"}'"#);
    home.auths(PRIMARY, &[("h.test", "file")]);
    let name: Reference = "h.test/app".parse().unwrap();
    let find = |helpers: &[&str]| {
        let helpers: Vec<String> = helpers.iter().map(|&name| name.to_owned()).collect();
        let credentials = home.credentials().with_helpers(&helpers);
        let name = name.clone();
        async move { credentials.find(&name).await.map(|found| found.map(|found| found.user().to_owned())) }
    };
    assert_eq!(find(&["first", "second", FILES]).await.unwrap().as_deref(), Some("second"));
    assert_eq!(find(&["first", FILES, "second"]).await.unwrap().as_deref(), Some("file"));
    assert_eq!(find(&[]).await.unwrap().as_deref(), Some("file"));
    assert!(find(&["first"]).await.unwrap_err().to_string().contains("it is broken"));
}

// Writing.

async fn store(home: &Home, key: &str, user: &str) -> Result<String> {
    home.credentials().store(key, user, &Secret::new(format!("secret of {user}"))).await
}

#[tokio::test]
async fn what_is_stored_is_found_and_removed_again() {
    let home = Home::new();
    let place = store(&home, "h.test/ns", "u").await.unwrap();
    assert_eq!(place, home.path(PRIMARY).display().to_string());
    assert_eq!(home.json(PRIMARY), json!({ "auths": { "h.test/ns": { "auth": encoded("u") } } }));
    let mode = fs::metadata(home.path(PRIMARY)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(home.user("h.test/ns/app").await.as_deref(), Some("u"));
    assert!(!home.credentials().remove("h.test").await.unwrap());
    assert!(home.credentials().remove("h.test/ns").await.unwrap());
    assert!(!home.credentials().remove("h.test/ns").await.unwrap());
    assert_eq!(home.user("h.test/ns/app").await, None);
}

#[tokio::test]
async fn an_open_file_is_closed_to_others_by_the_next_login() {
    let home = Home::new();
    let path = home.auths(PRIMARY, &[]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    store(&home, "h.test", "u").await.unwrap();
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn what_the_file_has_besides_is_kept() {
    let home = Home::new();
    let before = json!({
        "HttpHeaders": { "X": "1" }, "big": 18_446_744_073_709_551_615_u64, "credHelpers": { "x.test": "y" },
        "auths": { "a.test": { "auth": encoded("a"), "email": "a@a.test" } },
    });
    home.write(PRIMARY, before.to_string());
    store(&home, "h.test", "u").await.unwrap();
    let mut expected = before.clone();
    expected["auths"]["h.test"] = json!({ "auth": encoded("u") });
    assert_eq!(home.json(PRIMARY), expected);
    assert!(home.credentials().remove("h.test").await.unwrap());
    assert_eq!(home.json(PRIMARY), before);
}

#[tokio::test]
async fn a_link_stays_a_link() {
    let home = Home::new();
    let real = home.auths("dotfiles/auth.json", &[]);
    fs::create_dir_all(home.path("runtime/containers")).unwrap();
    symlink(&real, home.path(PRIMARY)).unwrap();
    store(&home, "h.test", "u").await.unwrap();
    assert!(home.path(PRIMARY).is_symlink());
    assert_eq!(home.json("dotfiles/auth.json")["auths"]["h.test"]["auth"], encoded("u"));
}

#[tokio::test]
async fn a_faulty_file_is_left_as_it_is() {
    let home = Home::new();
    home.write(PRIMARY, "{\"auths\": 1}");
    assert!(store(&home, "h.test", "u").await.is_err());
    assert!(home.credentials().remove("h.test").await.is_err());
    assert!(home.credentials().remove_all().await.is_err());
    assert_eq!(fs::read(home.path(PRIMARY)).unwrap(), b"{\"auths\": 1}");
    let left: Vec<_> = fs::read_dir(home.path("runtime/containers")).unwrap().collect();
    assert_eq!(left.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_logins_at_once_lose_nothing() {
    let home = std::sync::Arc::new(Home::new());
    let mut logins = tokio::task::JoinSet::new();
    for number in 0..64 {
        let home = home.clone();
        logins.spawn(async move { store(&home, &format!("h{number}.test"), "u").await.unwrap() });
    }
    logins.join_all().await;
    assert_eq!(home.json(PRIMARY)["auths"].as_object().unwrap().len(), 64);
}

#[tokio::test]
async fn keys_that_are_none_are_refused() {
    let home = Home::new();
    for key in ["", "https://h.test", "h.test/ns:tag", "h.test/a@sha256:0", "h test", "h.test\n"] {
        assert_eq!(store(&home, key, "u").await.unwrap_err().exit_code(), 2, "{key:?}");
    }
    assert!(!home.path(PRIMARY).exists());
}

#[tokio::test]
async fn dockers_file_gets_dockers_keys() {
    let mut home = Home::new();
    home.environment.docker_config = Some(home.path("docker"));
    store(&home, "docker.io", "u").await.unwrap();
    assert_eq!(home.json("docker/config.json")["auths"]["https://index.docker.io/v1/"]["auth"], encoded("u"));
    assert_eq!(home.user("ubuntu").await.as_deref(), Some("u"));
    assert_eq!(store(&home, "h.test/ns", "u").await.unwrap_err().exit_code(), 2);
    assert!(home.credentials().remove("docker.io").await.unwrap());
    assert_eq!(home.json("docker/config.json")["auths"], json!({}));
}

/// A helper that keeps one file per server.
fn keeper(home: &Home, name: &str) -> PathBuf {
    let kept = home.path("kept");
    fs::create_dir_all(&kept).unwrap();
    let script = r#"
cd KEPT || exit 9
read -r input
case $1 in
  store) printf %s "$input" > stored ;;
  get) test -e stored && cat stored || { echo 'credentials not found in native keychain'; exit 1; } ;;
  erase) test -e stored && rm stored || { echo 'credentials not found in native keychain'; exit 1; } ;;
  list) test -e stored && echo '{"h.test":"u"}' || echo '{}' ;;
esac"#;
    home.helper(name, &script.replace("KEPT", kept.to_str().unwrap()));
    kept.join("stored")
}

#[tokio::test]
async fn a_hosts_helper_keeps_its_credentials() {
    let home = Home::new();
    let stored = keeper(&home, "keeper");
    let file = json!({ "credHelpers": { "h.test": "keeper" } });
    home.write(PRIMARY, file.to_string());
    assert_eq!(store(&home, "h.test", "u").await.unwrap(), "credential helper: keeper");
    let kept: Value = serde_json::from_slice(&fs::read(&stored).unwrap()).unwrap();
    assert_eq!(kept, json!({ "ServerURL": "h.test", "Username": "u", "Secret": "secret of u" }));
    assert_eq!(home.json(PRIMARY), file);
    assert_eq!(home.user("h.test/a").await.as_deref(), Some("u"));
    assert_eq!(
        home.credentials().list().await.unwrap(),
        BTreeMap::from([("h.test".to_owned(), "u".to_owned())])
    );
    assert!(home.credentials().remove("h.test").await.unwrap());
    assert!(!stored.exists());
}

#[tokio::test]
async fn a_helper_of_registries_conf_keeps_hosts_and_the_files_keep_namespaces() {
    let home = Home::new();
    let stored = keeper(&home, "keeper");
    let credentials = home.credentials().with_helpers(&["keeper".to_owned(), FILES.to_owned()]);
    let password = Secret::new("p");
    assert_eq!(credentials.store("h.test", "u", &password).await.unwrap(), "credential helper: keeper");
    assert!(stored.exists() && !home.path(PRIMARY).exists());
    let place = credentials.store("h.test/ns", "u", &password).await.unwrap();
    assert_eq!(Path::new(&place), home.path(PRIMARY));
    credentials.remove_all().await.unwrap();
    assert!(!stored.exists());
    assert_eq!(home.json(PRIMARY), json!({ "auths": {} }));
}

#[tokio::test]
async fn dockers_store_keeps_what_dockers_file_gets() {
    let mut home = Home::new();
    let stored = keeper(&home, "keeper");
    home.environment.docker_config = Some(home.path("docker"));
    home.write("docker/config.json", json!({ "credsStore": "keeper" }).to_string());
    store(&home, "h.test", "u").await.unwrap();
    assert_eq!(home.json("docker/config.json"), json!({ "credsStore": "keeper", "auths": { "h.test": {} } }));
    assert_eq!(home.user("h.test/a").await.as_deref(), Some("u"));
    assert!(home.credentials().remove("h.test").await.unwrap());
    assert!(!stored.exists());
    assert_eq!(home.json("docker/config.json"), json!({ "credsStore": "keeper", "auths": {} }));
}

#[tokio::test]
async fn a_list_has_every_key_once_with_the_user_that_counts() {
    let home = Home::new();
    home.auths(PRIMARY, &[("h.test", "first"), ("h.test/ns", "second")]);
    home.auths("home/.docker/config.json", &[("h.test", "hidden"), ("https://index.docker.io/v1/", "hub")]);
    let list = home.credentials().list().await.unwrap();
    let expected = [("docker.io", "hub"), ("h.test", "first"), ("h.test/ns", "second")];
    assert_eq!(list, expected.map(|(key, user)| (key.to_owned(), user.to_owned())).into());
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
