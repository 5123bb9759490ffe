mod faults;

use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::config::registries::matching::matched;

struct Machine {
    folder: TempDir,
    environment: Environment,
}

const MAIN: &str = "etc/containers/registries.conf";
const USER: &str = "home/.config/containers/registries.conf";

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let environment = Environment::under(folder.path());
        Self { folder, environment }
    }

    fn with(main: &str) -> Self {
        let machine = Self::new();
        machine.write(MAIN, main);
        machine
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn try_load(&self) -> Result<Registries> {
        Registries::load_in(&Settings::default(), &self.environment)
    }

    fn load(&self) -> Registries {
        self.try_load().unwrap()
    }
}

fn pulls(registries: &Registries, name: &str) -> Vec<String> {
    let candidates = registries.pull_candidates(&name.parse().unwrap()).unwrap();
    let text = |candidate: Candidate| {
        format!("{}{}", candidate.reference, if candidate.insecure { " insecure" } else { "" })
    };
    candidates.into_iter().map(text).collect()
}

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn a_configuration_that_cannot_be_reached_is_an_error() {
    for name in [MAIN, USER] {
        // A link to nothing, and a way that cannot be gone (a loop of links).
        for target in ["nothing", "registries.conf"] {
            let machine = Machine::new();
            let path = machine.write(name, "");
            fs::remove_file(&path).unwrap();
            std::os::unix::fs::symlink(target, &path).unwrap();
            let error = machine.try_load().unwrap_err();
            assert!(error.to_string().contains("registries.conf"), "{error}");
        }
    }
}

#[test]
fn without_files_every_name_means_itself() {
    let registries = Machine::new().load();
    assert_eq!(pulls(&registries, "h.test/a:1"), ["h.test/a:1"]);
    assert_eq!(registries.primary(&"h.test/a".parse().unwrap()).unwrap().reference.to_string(), "h.test/a");
    assert!(registries.warnings().is_empty() && registries.credential_helpers().is_empty());
}

#[test]
fn the_example_of_the_manual_reads_as_the_manual_says() {
    let registries = Machine::with(
        r#"
        unqualified-search-registries = ["example.com"]

        [[registry]]
        prefix = "example.com/foo"
        insecure = false
        blocked = false
        location = "internal-registry-for-example.com/bar"

        [[registry.mirror]]
        location = "example-mirror-0.local/mirror-for-foo"

        [[registry.mirror]]
        location = "example-mirror-1.local/mirrors/foo"
        insecure = true

        [[registry]]
        location = "registry.com"

        [[registry.mirror]]
        location = "mirror.registry.com"
        "#,
    )
    .load();
    assert_eq!(
        pulls(&registries, "example.com/foo/image:latest"),
        [
            "example-mirror-0.local/mirror-for-foo/image:latest",
            "example-mirror-1.local/mirrors/foo/image:latest insecure",
            "internal-registry-for-example.com/bar/image:latest",
        ]
    );
    assert_eq!(
        pulls(&registries, "registry.com/image:latest"),
        ["mirror.registry.com/image:latest", "registry.com/image:latest"]
    );
    assert_eq!(pulls(&registries, "example.com/food/image"), ["example.com/food/image"]);
}

#[test]
fn the_longest_prefix_counts() {
    let registries = Machine::with(
        r#"
        [[registry]]
        location = "h.test"
        insecure = true
        [[registry]]
        prefix = "h.test/ns"
        location = "ns.test"
        [[registry]]
        prefix = "h.test/ns/app:one"
        location = "one.test/app:two"
        [[registry]]
        prefix = "*.w.test"
        insecure = true
        [[registry]]
        prefix = "a.w.test"
        location = "aw.test"
        [[registry]]
        prefix = "*.deep.w.test"
        location = "deep.test"
        "#,
    )
    .load();
    for (name, place) in [
        ("h.test/x:1", "h.test/x:1 insecure"),
        ("h.test:5000/x:1", "h.test:5000/x:1 insecure"),
        ("h.testing/x", "h.testing/x"),
        ("h.test/ns/app:2", "ns.test/app:2"),
        ("h.test/ns/app:one", "one.test/app:two"),
        ("h.test/nsx/app", "h.test/nsx/app insecure"),
        ("b.w.test/x", "b.w.test/x insecure"),
        ("b.w.test:5000/x", "b.w.test:5000/x insecure"),
        ("a.w.test/x", "aw.test/x"),
        ("w.test/x", "w.test/x"),
        ("evil.test/b.w.test/x", "evil.test/b.w.test/x"),
        ("x.deep.w.test/ns/x", "deep.test/ns/x"),
        ("x.deep.w.test.w.test/x", "x.deep.w.test.w.test/x insecure"),
    ] {
        assert_eq!(pulls(&registries, name), [place], "{name}");
    }
    assert!(registries.host_is_insecure("h.test").unwrap());
    assert!(!registries.host_is_insecure("w.test").unwrap());
}

#[test]
fn mirrors_are_for_tags_or_digests_as_they_say() {
    let registries = Machine::with(
        r#"
        [[registry]]
        location = "h.test"
        [[registry.mirror]]
        location = "tags.test"
        pull-from-mirror = "tag-only"
        [[registry.mirror]]
        location = "digests.test"
        pull-from-mirror = "digest-only"
        [[registry.mirror]]
        location = "all.test"
        pull-from-mirror = "all"
        [[registry]]
        location = "d.test"
        mirror-by-digest-only = true
        [[registry.mirror]]
        location = "m.test"
        "#,
    )
    .load();
    assert_eq!(pulls(&registries, "h.test/a:1"), ["tags.test/a:1", "all.test/a:1", "h.test/a:1"]);
    assert_eq!(pulls(&registries, "h.test/a"), ["tags.test/a", "all.test/a", "h.test/a"]);
    let digest = |host: &str| format!("{host}/a@{DIGEST}");
    let expected = ["digests.test", "all.test", "h.test"].map(digest);
    assert_eq!(pulls(&registries, &digest("h.test")), expected);
    assert_eq!(pulls(&registries, "d.test/a:1"), ["d.test/a:1"]);
    assert_eq!(pulls(&registries, &digest("d.test")), ["m.test", "d.test"].map(digest));
}

#[test]
fn what_is_blocked_is_refused() {
    let machine = Machine::with(
        r#"
        [[registry]]
        location = "h.test"
        blocked = true
        [[registry]]
        prefix = "moved.test"
        location = "h.test/moved"
        [[registry]]
        location = "m.test"
        [[registry.mirror]]
        location = "h.test/m"
        [[registry]]
        prefix = "replaced.test"
        location = "other.test"
        blocked = true
        [[registry.mirror]]
        location = "copy.test"
        pull-from-mirror = "digest-only"
        "#,
    );
    let registries = machine.load();
    for name in ["h.test/a", "moved.test/a"] {
        let error = registries.pull_candidates(&name.parse().unwrap()).unwrap_err();
        assert_eq!(error.exit_code(), 5);
        assert!(
            error.to_string().contains("h.test is blocked in") && error.to_string().contains(MAIN),
            "{error}"
        );
    }
    assert_eq!(registries.primary(&"h.test/a".parse().unwrap()).unwrap_err().exit_code(), 5);
    assert_eq!(registries.host_is_insecure("h.test").unwrap_err().exit_code(), 5);
    // Its mirrors may stand for a registry that is blocked.
    let digest = |host: &str| format!("{host}/a@{DIGEST}");
    assert_eq!(pulls(&registries, &digest("replaced.test")), [digest("copy.test")]);
    assert_eq!(registries.pull_candidates(&"replaced.test/a".parse().unwrap()).unwrap_err().exit_code(), 5);
    assert_eq!(registries.primary(&"replaced.test/a".parse().unwrap()).unwrap_err().exit_code(), 5);
    // A mirror that is blocked is left out.
    assert_eq!(pulls(&registries, "m.test/a"), ["m.test/a"]);
}

#[test]
fn images_are_written_under_their_own_name() {
    let registries = Machine::with(
        r#"
        [[registry]]
        prefix = "h.test"
        location = "other.test"
        insecure = true
        [[registry.mirror]]
        location = "m.test"
        "#,
    )
    .load();
    let primary = registries.primary(&"h.test/a:1".parse().unwrap()).unwrap();
    assert_eq!(primary, Candidate { reference: "h.test/a:1".parse().unwrap(), insecure: true });
}

#[test]
fn a_location_that_makes_no_name_is_told_when_it_is_used() {
    let machine = Machine::with(
        r#"
        [[registry]]
        prefix = "h.test"
        location = "nohost"
        [[registry]]
        prefix = "hub.test/x"
        location = "docker.io"
        "#,
    );
    for name in ["h.test/a/b:1", "hub.test/x/y"] {
        let error = machine.load().pull_candidates(&name.parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains(MAIN) && error.contains("registry[") && error.contains("location"), "{error}");
    }
    assert_eq!(pulls(&machine.load(), "hub.test/x/team/app"), ["docker.io/team/app"]);
}

#[test]
fn later_files_replace_tables_whole_and_lists_where_they_have_them() {
    let machine = Machine::with(
        r#"
        unqualified-search-registries = ["a.test", "b.test"]
        credential-helpers = ["one"]
        short-name-mode = "enforcing"
        [[registry]]
        location = "h.test"
        insecure = true
        [[registry.mirror]]
        location = "m.test"
        [[registry]]
        location = "kept.test"
        insecure = true
        [aliases]
        "x" = "h.test/x"
        "y" = "h.test/y"
        "#,
    );
    machine.write(
        "etc/containers/registries.conf.d/10.conf",
        "short-name-mode = \"\"\n[aliases]\nx = \"d.test/x\"",
    );
    machine.write(
        "etc/containers/registries.conf.d/20.conf",
        "[[registry]]\nprefix = \"h.test/\"\nlocation = \"later.test\"\n[aliases]\ny = \"\"",
    );
    machine.write("etc/containers/registries.conf.d/ignored.conf.bak", "not [ toml");
    machine.write("etc/containers/registries.conf.d/folder.conf/ignored.conf", "not [ toml");
    machine.write(
        "home/.config/containers/registries.conf.d/05.conf",
        "unqualified-search-registries = [\"u.test\"]\ncredential-helpers = []",
    );
    let registries = machine.load();
    assert_eq!(pulls(&registries, "h.test/a"), ["later.test/a"]);
    assert_eq!(pulls(&registries, "kept.test/a"), ["kept.test/a insecure"]);
    assert_eq!(registries.unqualified_search(), ["u.test"]);
    assert!(registries.credential_helpers().is_empty());
    assert_eq!(registries.short_name_mode(), ShortNameMode::Enforcing);
    assert_eq!(registries.resolve_short("x").unwrap()[0].to_string(), "d.test/x:latest");
    assert_eq!(registries.resolve_short("y").unwrap()[0].to_string(), "u.test/y:latest");
}

#[test]
fn a_file_of_the_users_hides_those_of_the_system() {
    let machine = Machine::with("unqualified-search-registries = [\"system.test\"]");
    machine.write("etc/containers/registries.conf.d/1.conf", "short-name-mode = \"disabled\"");
    machine.write(USER, "unqualified-search-registries = [\"user.test\"]");
    machine.write(&format!("{USER}.d/1.conf"), "credential-helpers = [\"mine\"]");
    let registries = machine.load();
    assert_eq!(registries.unqualified_search(), ["user.test"]);
    assert_eq!(registries.credential_helpers(), ["mine"]);
    assert_eq!(registries.short_name_mode(), ShortNameMode::Permissive);
}

#[test]
fn a_file_that_is_named_counts_before_both_and_has_to_be_there() {
    let mut machine = Machine::with("unqualified-search-registries = [\"system.test\"]");
    machine.write(USER, "unqualified-search-registries = [\"user.test\"]");
    let named = machine.write("named.conf", "unqualified-search-registries = [\"named.test\"]");
    machine.environment.registries_conf = Some(named.clone());
    assert_eq!(machine.load().unqualified_search(), ["named.test"]);
    machine.environment.registries_conf = Some("/nowhere/at/all.conf".into());
    let error = machine.try_load().unwrap_err().to_string();
    assert!(error.contains("/nowhere/at/all.conf"), "{error}");
    let settings = Settings { registries_conf: Some(named), ..Settings::default() };
    let flag = Registries::load_in(&settings, &machine.environment).unwrap();
    assert_eq!(flag.unqualified_search(), ["named.test"]);
}

#[test]
fn short_names_mean_aliases_or_the_search_registries() {
    let registries = Machine::with(
        "unqualified-search-registries = [\"docker.io\", \"q.test:5000\"]\n[aliases]\n\"team/app\" = \"h.test/x/app\"\nhub = \"docker.io/hub\"",
    )
    .load();
    let resolved = |name: &str| -> Vec<String> {
        registries.resolve_short(name).unwrap().iter().map(ToString::to_string).collect()
    };
    assert_eq!(resolved("ubuntu"), ["docker.io/library/ubuntu:latest", "q.test:5000/ubuntu:latest"]);
    assert_eq!(resolved("team/other:1"), ["docker.io/team/other:1", "q.test:5000/team/other:1"]);
    assert_eq!(resolved("team/app"), ["h.test/x/app:latest"]);
    assert_eq!(resolved("team/app:2"), ["h.test/x/app:2"]);
    assert_eq!(resolved("hub"), ["docker.io/library/hub:latest"]);
    assert_eq!(resolved(&format!("team/app@{DIGEST}")), [format!("h.test/x/app@{DIGEST}")]);
    assert_eq!(resolved(&format!("team/app:2@{DIGEST}")), [format!("h.test/x/app:2@{DIGEST}")]);
    for name in ["localhost/a", "localhost:5000/a", "docker.io/library/team", "h.test/a"] {
        assert_eq!(resolved(name), [format!("{name}:latest")]);
    }
    for name in ["", "a b", "Up", "-", "a:b:c", "/a"] {
        assert_eq!(registries.resolve_short(name).unwrap_err().exit_code(), 2, "{name:?}");
    }
}

#[test]
fn a_short_name_that_nothing_resolves_is_an_error_and_enforcing_takes_no_guess() {
    let error = Machine::new().load().resolve_short("x").unwrap_err().to_string();
    assert!(error.contains("did not resolve to an alias") && error.contains(MAIN), "{error}");
    let enforcing = "short-name-mode = \"enforcing\"\nunqualified-search-registries = ";
    let two = Machine::with(&format!("{enforcing}[\"a.test\", \"b.test\"]")).load();
    assert!(two.resolve_short("x").unwrap_err().to_string().contains("a.test, b.test"));
    let one = Machine::with(&format!("{enforcing}[\"a.test\"]")).load();
    assert_eq!(one.resolve_short("x").unwrap()[0].to_string(), "a.test/x:latest");
}

#[test]
fn aliases_that_tools_noted_go_first() {
    let mut machine = Machine::with("[aliases]\nx = \"written.test/x\"");
    machine.write("home/.cache/containers/short-name-aliases.conf", "[aliases]\nx = \"noted.test/x\"");
    assert_eq!(machine.load().resolve_short("x").unwrap()[0].to_string(), "noted.test/x:latest");
    machine.environment.uid = 0;
    assert_eq!(machine.load().resolve_short("x").unwrap()[0].to_string(), "written.test/x:latest");
    machine.write("var/cache/containers/short-name-aliases.conf", "[aliases]\nx = \"root.test/x\"");
    assert_eq!(machine.load().resolve_short("x").unwrap()[0].to_string(), "root.test/x:latest");
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "(\\[\\[registry\\]\\]|location|prefix|aliases|=|\"[a-z.*/:]*\"|\n|[ -~]){0,30}") {
        let _either = file::parse(Path::new("x"), &text);
    }

    #[test]
    fn a_prefix_matches_whole_parts_of_the_name_and_nothing_else(
        host in "[a-z]{1,3}(\\.[a-z]{1,3}){1,3}(:[1-9][0-9]{0,3})?",
        path in "[a-z]{1,2}(/[a-z]{1,2}){0,3}",
        tag in proptest::option::of("[a-z]{1,3}"),
        cut in any::<proptest::sample::Index>(),
    ) {
        let name = format!("{host}/{path}{}", tag.map(|tag| format!(":{tag}")).unwrap_or_default());
        let prefix = &name[..cut.index(name.len()) + 1];
        let whole = name.len() == prefix.len() || matches!(name.as_bytes()[prefix.len()], b'/' | b':' | b'@');
        prop_assert_eq!(matched(&name, prefix), whole.then_some(prefix.len()));
    }

    #[test]
    fn a_wildcard_matches_the_subdomains_of_its_domain_and_nothing_else(
        labels in proptest::collection::vec("[a-z]{1,3}", 2..5),
        port in proptest::option::of(1_u16..),
        path in "[a-z]{1,2}(\\.[a-z]{1,3}){0,3}",
        skip in 0_usize..6,
    ) {
        let domain = labels.join(".");
        let host = port.map_or_else(|| domain.clone(), |port| format!("{domain}:{port}"));
        let name = format!("{host}/{path}");
        let skip = skip.min(labels.len() - 1);
        let prefix = format!("*.{}", labels[skip..].join("."));
        prop_assert_eq!(matched(&name, &prefix), (skip > 0).then_some(domain.len()));
        // Never because of what the path looks like.
        let in_path = format!("other.test/{host}");
        prop_assert_eq!(matched(&in_path, &prefix), None);
    }
}
