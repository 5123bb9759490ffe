//! What is written, and what is left as it was.

use super::*;

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
