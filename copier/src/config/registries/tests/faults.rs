//! Files with faults, and files of enemies.

use super::*;

#[test]
fn all_faults_of_a_file_are_told() {
    let error = Machine::with(
        r#"
        unqualified-search-registries = ["https://a.test", "b.test/ns", 3]
        short-name-mode = "maybe"
        credential-helpers = "x"
        [[registry]]
        insecure = "yes"
        [[registry]]
        prefix = "a.test"
        [[registry]]
        prefix = "*.a.test/ns"
        [[registry]]
        prefix = "a.*.test"
        location = "http://a.test"
        pull-from-mirror = "all"
        [[registry]]
        location = "m.test"
        mirror-by-digest-only = true
        [[registry.mirror]]
        pull-from-mirror = "never"
        [[registry]]
        prefix = "other.test"
        location = "m.test"
        insecure = true
        blocked = true
        [aliases]
        "a:1" = "x.test/a"
        "h.test/a" = "x.test/a"
        "b" = "c"
        "d" = "x.test/a:1"
        "e" = 7
        "#,
    )
    .try_load()
    .unwrap_err()
    .to_string();
    for key in [
        "unqualified-search-registries[0]",
        "unqualified-search-registries[1]",
        "unqualified-search-registries[2]",
        "short-name-mode",
        "credential-helpers",
        "registry[0]: needs",
        "registry[1].location",
        "registry[2].prefix",
        "registry[3].prefix",
        "registry[3].location",
        "registry[3].pull-from-mirror",
        "registry[4].mirror[0].location",
        "registry[4].mirror[0].pull-from-mirror: cannot",
        "registry[4].mirror[0].pull-from-mirror: \"never\"",
        "registry[5].insecure",
        "registry[5].blocked",
        "problems",
        "more",
    ] {
        assert!(error.contains(key), "{key} is not in {error}");
    }
}

#[test]
fn faults_in_aliases_are_told() {
    for (line, told) in [
        ("\"a:1\" = \"x.test/a\"", "short name"),
        ("\"h.test/a\" = \"x.test/a\"", "short name"),
        ("\"localhost/a\" = \"x.test/a\"", "short name"),
        ("\"UP\" = \"x.test/a\"", "short name"),
        ("b = \"c\"", "with its registry"),
        ("b = \"team/c\"", "with its registry"),
        ("d = \"x.test/a:1\"", "without tag"),
        ("e = 7", "must be a text"),
    ] {
        let error = Machine::with(&format!("[aliases]\n{line}")).try_load().unwrap_err().to_string();
        assert!(error.contains("aliases.") && error.contains(told), "{line}: {error}");
    }
}

#[test]
fn keys_that_nobody_knows_are_passed_over_with_a_warning() {
    let registries = Machine::with(
        r#"
        new-setting = 1
        additional-layer-store-auth-helper = "x"
        [[registry]]
        location = "h.test"
        proxy = "http://p.test"
        [[registry.mirror]]
        location = "m.test"
        weight = 3
        [[registry]]
        location = "h.test"
        "#,
    )
    .load();
    let warnings = registries.warnings().join("\n");
    for told in [
        "\"new-setting\"",
        "registry[0].\"proxy\"",
        "registry[0].mirror[0].\"weight\"",
        "registry[1] is passed over",
    ] {
        assert!(warnings.contains(told), "{told} is not in {warnings}");
    }
    assert_eq!(registries.warnings().len(), 4);
    assert_eq!(pulls(&registries, "h.test/a").len(), 2);
}

#[test]
fn the_first_format_is_refused_with_the_way_out() {
    let error =
        Machine::with("[registries.search]\nregistries = ['a.test']").try_load().unwrap_err().to_string();
    assert!(error.contains("version 1") && error.contains("unqualified-search-registries"), "{error}");
    assert!(Machine::with("[registries]").try_load().is_ok());
}

#[test]
fn hostile_files_are_errors_that_name_the_file() {
    let deep = format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    let tables = "[[registry]]\nlocation = \"h.test\"\n".repeat(10_001);
    let large = " ".repeat(crate::config::MAX_FILE + 1);
    for text in [
        "[",
        "a = ",
        "\u{0}",
        "a = 1\na = 2",
        "registry = 1",
        "aliases = 1",
        "[[aliases]]\na = \"\"",
        &deep,
        &tables,
        &large,
    ] {
        let machine = Machine::with(text);
        let error = machine.try_load().unwrap_err().to_string();
        assert!(error.contains(MAIN) && error.len() < 4000, "{error}");
    }
    let error = Machine::with("a = 1\nb = 2\nc c").try_load().unwrap_err().to_string();
    assert!(error.contains("line 3"), "{error}");
}
