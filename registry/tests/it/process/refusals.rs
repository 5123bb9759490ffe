//! What the program refuses, and with which status.

use super::{Registry, program, run, text};

fn message(output: &std::process::Output) -> String {
    text(&output.stderr[..])
}

#[test]
fn f25_a_second_registry_on_one_data_directory_exits_75() {
    let data = tempfile::tempdir().unwrap();
    let first = Registry::start(data.path(), &[]);
    let second = run(&["serve", "--listen", "127.0.0.1:0", "--data", data.path().to_str().unwrap()]);
    assert_eq!(second.status.code(), Some(75), "{}", message(&second));
    assert!(message(&second).contains("data directory locked"), "{}", message(&second));
    drop(first);
    drop(Registry::start(data.path(), &[]));
}

#[test]
fn an_open_address_without_authentication_exits_78_and_says_why() {
    let refused = run(&["serve", "--listen", "0.0.0.0:0", "--data", "/nowhere"]);
    assert_eq!(refused.status.code(), Some(78));
    assert!(
        message(&refused).contains("server.listen: 0.0.0.0:0 is not a loopback address"),
        "{}",
        message(&refused)
    );
}

#[test]
fn faults_of_the_configuration_exit_78_all_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registry.toml");
    std::fs::write(&file, "[server]\ndrain = 5\n[storage]\nkind = \"s3\"\n").unwrap();
    let path = file.to_str().unwrap();
    for arguments in [
        &["serve", "--config", path][..],
        &["config", "check", "--config", path],
        &["config", "print", "--config", path],
    ] {
        let refused = run(arguments);
        assert_eq!(refused.status.code(), Some(78));
        assert!(message(&refused).contains("2 problems"), "{}", message(&refused));
    }
    let refused = program().args(["config", "check"]).env("BERTH_CONFIG", path).output().unwrap();
    assert_eq!(refused.status.code(), Some(78));
}

#[test]
fn config_check_reads_the_certificate_and_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    let check = || {
        program()
            .args(["config", "check"])
            .env("BERTH_SERVER__TLS__CERT", &cert)
            .env("BERTH_SERVER__TLS__KEY", &key)
            .output()
            .unwrap()
    };
    let refused = check();
    assert_eq!(refused.status.code(), Some(78), "{}", message(&refused));
    assert!(message(&refused).contains("server.tls: "), "{}", message(&refused));
    assert!(message(&refused).contains("tls.crt"), "{}", message(&refused));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&cert, made.cert.pem()).unwrap();
    let other = rcgen::KeyPair::generate().unwrap();
    std::fs::write(&key, other.serialize_pem()).unwrap();
    let refused = check();
    assert_eq!(refused.status.code(), Some(78), "a key of another certificate: {}", message(&refused));
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let fine = check();
    assert_eq!(fine.status.code(), Some(0), "{}", message(&fine));
}

#[test]
fn a_certificate_that_is_none_exits_78() {
    let data = tempfile::tempdir().unwrap();
    let refused = program()
        .args(["serve", "--listen", "127.0.0.1:0", "--data", data.path().to_str().unwrap()])
        .env("BERTH_SERVER__TLS__CERT", "/nowhere.crt")
        .env("BERTH_SERVER__TLS__KEY", "/nowhere.key")
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(78), "{}", message(&refused));
    assert!(message(&refused).contains("/nowhere.crt"), "{}", message(&refused));
}

#[test]
fn what_is_not_there_exits_1_and_what_is_typed_wrongly_exits_2() {
    let data = tempfile::tempdir().unwrap();
    let asked = |arguments: &[&str]| {
        let output = program().args(arguments).env("BERTH_DATA", data.path()).output().unwrap();
        (output.status.code(), message(&output))
    };
    for arguments in [
        &["user", "delete", "nobody"][..],
        &["user", "disable", "nobody"],
        &["user", "show", "nobody"],
        &["user", "group", "delete", "nobody"],
        &["user", "group", "show", "nobody"],
        &["robot", "delete", "team/nobody"],
        &["robot", "show", "team/nobody"],
        &["policy", "remove", "nothing"],
        &["token", "create", "nobody"],
        &["undelete", "nowhere/app"],
        &["undelete", "nowhere/app:v1"],
    ] {
        let (status, said) = asked(arguments);
        assert_eq!(status, Some(1), "{arguments:?}: {said}");
    }
    for arguments in [
        &["user", "add", "no name"][..],
        &["policy", "add", "x", "--subject", "alice", "--verb", "pull", "--repo", "**"],
        &["undelete", "No/Name"],
        &["undelete", "app:no tag"],
    ] {
        let (status, said) = asked(arguments);
        assert_eq!(status, Some(2), "{arguments:?}: {said}");
    }
}

#[test]
fn an_address_in_use_exits_1_and_names_it() {
    let data = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = run(&["serve", "--listen", &address, "--data", data.path().to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        message(&refused).contains(&format!("{address}: Address already in use")),
        "{}",
        message(&refused)
    );
}

#[test]
fn a_data_directory_that_cannot_be_made_exits_1_and_is_named_as_one() {
    let refused = run(&["serve", "--listen", "127.0.0.1:0", "--data", "/proc/nowhere"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(message(&refused).contains("the folder /proc/nowhere cannot be used"), "{}", message(&refused));
}

#[test]
fn wrong_usage_exits_2_and_what_was_printed_can_be_used() {
    assert_eq!(run(&["serve", "--nonsense"]).status.code(), Some(2));
    assert_eq!(run(&[]).status.code(), Some(2));
    let printed = run(&["config", "print", "--defaults"]);
    assert!(printed.status.success());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registry.toml");
    std::fs::write(&file, &printed.stdout).unwrap();
    let checked = run(&["config", "check", "--config", file.to_str().unwrap()]);
    assert!(checked.status.success(), "{}", message(&checked));
    let again = run(&["config", "print", "--config", file.to_str().unwrap()]);
    assert_eq!(text(&again.stdout[..]), text(&printed.stdout[..]));
}

#[test]
fn the_examples_in_config_are_valid() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("config");
    let files = tempfile::tempdir().unwrap();
    let (cert, key) = (files.path().join("tls.crt"), files.path().join("tls.key"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let mut check = program();
            check.args(["config", "check", "--config"]).arg(&path);
            // Secrets are in no file.
            let text = std::fs::read_to_string(&path).unwrap();
            if text.contains("kind = \"postgres\"") {
                check.env("BERTH_CATALOG__URL", "postgres://berth:secret@db/berth");
            }
            // The certificate that a file names is on the machine that it is for.
            if text.contains("[server.tls]") {
                check.env("BERTH_SERVER__TLS__CERT", &cert).env("BERTH_SERVER__TLS__KEY", &key);
            }
            let checked = check.output().unwrap();
            assert!(checked.status.success(), "{}", message(&checked));
            seen += 1;
        }
    }
    assert!(seen >= 2, "the examples were not found");
}

#[test]
fn completions_and_the_manual_page_are_written() {
    let bash = run(&["completion", "bash"]);
    assert!(text(&bash.stdout[..]).contains("--insecure-open"));
    let man = run(&["man"]);
    assert!(text(&man.stdout[..]).contains(".TH berth-registry 1"));
}
