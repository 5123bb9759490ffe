//! Helper programs that answer, fail, and do worse.

use super::*;

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
