//! The command line without any registry: what it takes, what it refuses, and with which exit code.

use std::fs;

use crate::cli::run;

#[test]
fn wrong_usage_ends_with_two_and_a_line_that_scripts_match() {
    let home = tempfile::tempdir().unwrap();
    for (words, told) in [
        (&[][..], "Missing command 'berth-copier COMMAND'\nTry 'berth-copier --help' for more information"),
        (&["bogus"], "Unrecognized command `berth-copier bogus`"),
        (&["copy", "dir:a"], "Exactly two arguments expected"),
        (&["copy", "dir:a", "dir:b", "dir:c"], "Exactly two arguments expected"),
        (&["inspect"], "Exactly one argument expected"),
        (&["list-tags"], "Exactly one non-option argument expected"),
        (&["inspect", "--bogus", "dir:a"], "unknown flag: --bogus"),
        (&["copy", "-z", "dir:a", "dir:b"], "unknown shorthand flag: 'z' in -z"),
        (&["copy", "--format"], "flag needs an argument: --format"),
        (&["copy", "--all=maybe", "dir:a", "dir:b"], "invalid argument \"maybe\" for \"--all\" flag"),
        (&["--command-timeout", "5", "inspect", "dir:a"], "missing unit in duration \"5\""),
        (
            &["inspect", "foo"],
            "Error parsing image name \"foo\": Invalid image name \"foo\", expected colon-separated",
        ),
        (&["copy", "foo", "dir:a"], "Invalid source name foo: "),
        (&["copy", "dir:a", "foo"], "Invalid destination name foo: "),
        (&["inspect", "--raw", "--format", "x", "dir:a"], "raw output does not support format option"),
        (
            &["inspect", "--creds", "a:b", "--no-creds", "docker://example.org/a"],
            "creds and no-creds cannot be specified at the same time",
        ),
        (
            &["inspect", "--username", "a", "docker://example.org/a"],
            "password must be specified when username is specified",
        ),
        (&["inspect", "--creds", ":p", "docker://example.org/a"], "username can't be empty"),
        (
            &["--insecure-policy", "--require-signed", "inspect", "dir:a"],
            "--insecure-policy and --require-signed are mutually exclusive",
        ),
        (
            &["copy", "-f", "v9", "dir:a", "dir:b"],
            "unknown format \"v9\". Choose one of the supported formats",
        ),
        (&["copy", "--multi-arch", "some", "dir:a", "dir:b"], "unknown multi-arch option \"some\""),
        (&["copy", "--additional-tag", "a", "dir:a", "docker-archive:b"], "must be a tagged reference"),
        (
            &["copy", "--encrypt-layer", "-1", "dir:a", "dir:b"],
            "--encrypt-layer can only be used with --encryption-key",
        ),
        (
            &["list-tags", "dir:a"],
            "Unsupported transport 'dir' for tag listing. Only supported: docker, docker-archive",
        ),
        (&["list-tags", "docker://example.org/a:1"], "No tag or digest allowed in reference"),
        (&["login"], "please provide a registry to login to"),
        (&["login", "a", "b"], "login accepts only one registry to login to"),
        (&["login", "--password-stdin", "example.org"], "must provide --username with --password-stdin"),
        (
            &["standalone-verify", "a", "b", "any", "c"],
            "Cannot use any fingerprint without a public key file",
        ),
    ] {
        let ran = run(home.path(), words);
        assert_eq!(ran.code, 2, "{words:?}: {}", ran.stderr);
        assert!(ran.fatal().contains(told), "{words:?}: {}", ran.fatal());
        assert_eq!(ran.stdout, "", "{words:?}");
    }
}

#[test]
fn what_is_not_done_here_says_why_and_ends_with_one() {
    let home = tempfile::tempdir().unwrap();
    for words in [
        &["copy", "--format", "v2s1", "dir:a", "dir:b"][..],
        &["copy", "--dest-compress-format", "xz", "dir:a", "dir:b"],
        &["copy", "containers-storage:a", "dir:b"],
        &["inspect", "sif:a.sif"],
        &["delete", "dir:a"],
        &["experimental-image-proxy", "--sockfd", "3"],
    ] {
        let ran = run(home.path(), words);
        assert_eq!(ran.code, 1, "{words:?}: {}", ran.stderr);
        assert!(ran.fatal().len() > 20, "{words:?}: {}", ran.fatal());
    }
}

#[test]
fn flags_are_taken_as_skopeo_takes_them() {
    let home = tempfile::tempdir().unwrap();
    // Each gets as far as the missing source, so that the command line was taken.
    for words in [
        &["copy", "-aq", "dir:none", "dir:b"][..],
        &["copy", "dir:none", "-a", "dir:b", "--quiet=false"],
        &["copy", "dir:none", "dir:b", "--src-tls-verify", "--dest-tls-verify=false"],
        &["copy", "--all", "--all=false", "dir:none", "dir:b", "-f=oci", "-f", "v2s2", "-foci"],
        &["--debug=false", "copy", "--insecure-policy", "dir:none", "dir:b", "--override-arch", "arm64"],
        &[
            "copy",
            "--screds",
            "u:p",
            "--dcreds=u",
            "--retry-times=0",
            "--retry-delay",
            "1m30s",
            "dir:none",
            "dir:b",
        ],
        &["--command-timeout=1m30s", "copy", "--dest-compress-level=5", "--", "dir:none", "dir:b"],
    ] {
        let ran = run(home.path(), words);
        assert_eq!(ran.code, 2, "{words:?}: {}", ran.stderr);
        assert!(
            ran.fatal().starts_with("determining manifest MIME type for dir:none: "),
            "{words:?}: {}",
            ran.fatal()
        );
    }
}

#[test]
fn deprecated_flags_warn_and_ineffective_ones_say_so() {
    let home = tempfile::tempdir().unwrap();
    let ran = run(home.path(), &["copy", "--tls-verify=false", "--dest-compress", "dir:none", "oci:b"]);
    assert!(ran.stderr.contains(
        "level=warning msg=\"'--tls-verify' is deprecated, instead use: --src-tls-verify, --dest-tls-verify\"\n"
    ));
    assert!(ran.stderr.contains("--dest-compress can only be used if the destination transport is 'dir'"));
    let ran = run(home.path(), &["--tls-verify", "inspect", "dir:none"]);
    assert!(ran.stderr.contains("'--tls-verify' is deprecated, please set this on the specific subcommand"));
}

#[test]
fn a_log_line_has_a_time_and_quotes() {
    let home = tempfile::tempdir().unwrap();
    let ran = run(home.path(), &["inspect", "foo"]);
    let line = regex_automata::meta::Regex::new(
        r#"^time="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ" level=fatal msg="Error parsing image name \\"foo\\": [^\n]*"\n$"#,
    );
    assert!(line.unwrap().is_match(&ran.stderr), "{}", ran.stderr);
}

#[test]
fn help_and_version_go_to_standard_output() {
    let home = tempfile::tempdir().unwrap();
    let version = run(home.path(), &["--version"]);
    assert_eq!((version.code, version.stderr.as_str()), (0, ""));
    let told =
        regex_automata::meta::Regex::new(r"^berth-copier \d+\.\d+\.\d+ .*skopeo version [0-9.]+").unwrap();
    assert!(told.is_match(&version.stdout), "{}", version.stdout);
    assert_eq!(run(home.path(), &["-v"]).stdout, version.stdout);
    for command in [
        "copy",
        "delete",
        "generate-sigstore-key",
        "inspect",
        "list-tags",
        "login",
        "logout",
        "manifest-digest",
        "standalone-sign",
        "standalone-verify",
        "completion",
        "man",
    ] {
        let help = run(home.path(), &[command, "--help"]);
        assert_eq!(help.code, 0, "{command}: {}", help.stderr);
        assert!(help.stdout.contains(&format!("Usage: berth-copier {command}")), "{}", help.stdout);
        assert!(help.stdout.contains("--insecure-policy"), "{command} shows the global options");
        assert!(help.stdout.contains(&format!("berth-copier {command} ")), "{command} has an example");
        assert!(!help.stdout.contains("[=<QUIET>]"), "{}", help.stdout);
    }
}

#[test]
fn every_flag_of_skopeos_copy_is_known() {
    let home = tempfile::tempdir().unwrap();
    let help = run(home.path(), &["copy", "--help"]).stdout;
    for side in ["src", "dest"] {
        for flag in [
            "authfile",
            "creds",
            "username",
            "password",
            "registry-token",
            "cert-dir",
            "tls-verify",
            "no-creds",
            "shared-blob-dir",
            "daemon-host",
        ] {
            assert!(help.contains(&format!("--{side}-{flag}")), "--{side}-{flag}");
        }
    }
    for flag in "additional-tag all authfile decryption-key dest-compress dest-compress-format dest-compress-level \
                 dest-decompress dest-force-compress-format dest-oci-accept-uncompressed-layers dest-precompute-digests \
                 digestfile dry-run encrypt-layer encryption-key format image-parallel-copies multi-arch preserve-digests \
                 quiet remove-signatures retry-delay retry-times sign-by sign-by-sigstore sign-by-sigstore-private-key \
                 sign-identity sign-passphrase-file command-timeout debug insecure-policy override-arch override-os \
                 override-variant policy registries.d registries-conf require-signed tmpdir user-agent-prefix"
        .split_whitespace()
    {
        assert!(help.contains(&format!("--{flag}")), "--{flag}");
    }
}

#[test]
fn completions_and_manual_pages_are_written() {
    let home = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = run(home.path(), &["completion", shell]);
        assert_eq!(script.code, 0, "{shell}: {}", script.stderr);
        assert!(script.stdout.contains("dest-tls-verify"), "{shell}");
    }
    let ran = run(home.path(), &["man", "--output", "pages/man1"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let page = |name: &str| fs::read_to_string(home.path().join("pages/man1").join(name)).unwrap();
    assert!(page("berth-copier.1").contains("berth\\-copier\\-inspect"));
    assert!(page("berth-copier-copy.1").contains("dest\\-compress\\-format"));
}

#[test]
fn a_manifests_digest_is_printed_bare() {
    let home = tempfile::tempdir().unwrap();
    let manifest =
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    fs::write(home.path().join("m.json"), manifest).unwrap();
    let ran = run(home.path(), &["manifest-digest", "m.json"]);
    let digest = berth_oci::Digest::of(berth_oci::Algorithm::Sha256, manifest.as_bytes());
    assert_eq!((ran.code, ran.stdout), (0, format!("{digest}\n")));
    let absent = run(home.path(), &["manifest-digest", "none.json"]);
    assert_eq!(absent.code, 1);
    assert!(absent.fatal().starts_with("Error reading manifest from none.json: "), "{}", absent.fatal());
}

#[test]
fn a_key_pair_is_made_once() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("pass"), "secret\nmore").unwrap();
    let words = ["generate-sigstore-key", "--output-prefix", "key", "--passphrase-file", "pass"];
    let ran = run(home.path(), &words);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (0, "Key written to \"key.private\" and \"key.pub\"\n"),
        "{}",
        ran.stderr
    );
    assert!(
        fs::read_to_string(home.path().join("key.pub")).unwrap().starts_with("-----BEGIN PUBLIC KEY-----")
    );
    let again = run(home.path(), &words);
    assert_ne!(again.code, 0);
    assert!(again.fatal().contains("Refusing to overwrite existing"), "{}", again.fatal());
    // Nobody sits at a terminal here.
    let asked = run(home.path(), &["generate-sigstore-key", "--output-prefix", "other"]);
    assert!(asked.fatal().contains("standard input is not a TTY"), "{}", asked.fatal());
}
