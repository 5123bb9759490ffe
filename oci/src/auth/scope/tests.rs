use super::*;

fn scopes(text: &str) -> Scopes {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn scopes_are_read_merged_and_written_in_order() {
    for (text, written) in [
        ("", ""),
        ("repository:a/b:pull", "repository:a/b:pull"),
        ("repository:a/b:push,pull,pull", "repository:a/b:pull,push"),
        ("registry:catalog:*", "registry:catalog:*"),
        (
            "repository:b:pull  repository:a:pull repository:b:delete",
            "repository:a:pull repository:b:pull,delete",
        ),
        ("repository(plugin):a/b:pull", "repository(plugin):a/b:pull"),
        ("thing:host:5000/x:read", "thing:host:5000/x:read"),
        ("repository:a:", ""),
    ] {
        assert_eq!(scopes(text).to_string(), written);
    }
}

#[test]
fn r25_what_is_no_scope_is_refused() {
    for text in [
        "repository",
        "repository:a",
        "repository:*:*",
        "repository:../a:pull",
        "repository:a:pull repository:B:push",
        "repository:a:pu\"ll",
        "repository:a:pull,",
        "repository:a\tb:pull",
        "repository:a\nrepository:b:pull",
        ":a:pull",
        "thing():a:pull",
        "thing)x(:a:pull",
        "thing::pull",
        "thing:a\"b:pull",
    ] {
        assert!(text.parse::<Scopes>().is_err(), "{text:?}");
    }
}

#[test]
fn subset_union_and_intersection_know_what_all_means() {
    let granted = scopes("repository:a:* repository:b:pull registry:catalog:*");
    for (asked, given) in [
        ("repository:a:pull,push", "repository:a:pull,push"),
        ("repository:b:pull,push", "repository:b:pull"),
        ("repository:b:*", "repository:b:pull"),
        ("repository:a:*", "repository:a:*"),
        ("repository:c:pull", ""),
    ] {
        let asked = scopes(asked);
        let both = asked.intersection(&granted);
        assert_eq!(granted.intersection(&asked), both);
        // Beside `*`, single actions say nothing more.
        assert!(both.is_subset(&scopes(given)) && scopes(given).is_subset(&both), "{both}");
        assert_eq!(asked.is_subset(&granted), asked.is_subset(&both));
        assert!(both.is_subset(&granted) && both.is_subset(&asked));
        assert!(granted.is_subset(&granted.clone().union(asked)));
    }
    let pull = scopes("repository:a:pull");
    assert_eq!(pull.clone().union(scopes("repository:a:push")).to_string(), "repository:a:pull,push");
    assert!(granted.allows(&Resource::Catalog, &Action::Pull));
    assert!(!pull.allows(&Resource::Catalog, &Action::All));
}
