use std::time::Duration;

use super::*;

fn load_with(toml: &str, variables: &[(&str, &str)], overrides: Overrides) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registry.toml");
    std::fs::write(&file, toml).unwrap();
    let overrides = Overrides { file: Some(file.clone()), ..overrides };
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::from_parts(&overrides, variables)
        .map_err(|faults| faults.to_string().replace(file.to_str().unwrap(), "registry.toml"))
}

fn load(toml: &str) -> Result<Config, String> {
    load_with(toml, &[], Overrides::default())
}

#[test]
fn the_default_is_the_embedded_one_and_needs_no_file() {
    let config = Config::from_parts(&Overrides::default(), std::iter::empty()).unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.server.listen, ["127.0.0.1:5000".parse().unwrap()]);
    assert_eq!(config.storage.backend(), &Backend::Filesystem);
    assert_eq!(config.catalog.database(), &Database::Sqlite);
    assert!(config.delete.enabled);
    assert!(!config.manifests.sparse_indexes);
}

#[test]
fn every_fault_is_reported_at_once() {
    let faults = load(
        "extra = 1\n[server]\ndrain = \"soon\"\nlistne = []\nexternal_url = \"https://a/b\"\n[fridge]\n\
         [server.tls]\ncert = \"/a\"\n[storage]\nkind = \"s3\"\n[manifests]\nmax_size = 4\n",
    )
    .unwrap_err();
    assert_eq!(
        faults,
        "registry.toml: 8 problems\n  \
         server.drain: \"soon\" is not a time like \"30s\" or \"24h\"\n  \
         manifests.max_size: 4 is not a text in quotes\n  \
         extra: no such key\n  \
         fridge: no such section\n  \
         server.listne: no such key\n  \
         server.external_url: \"https://a/b\" is not an address like \"https://registry.example\", without a path\n  \
         server.tls.key: required when server.tls.cert is set\n  \
         storage.bucket: required when storage.kind = \"s3\""
    );
}

#[test]
fn toml_that_is_none_names_the_line_and_does_not_repeat_it() {
    let faults = load("[storage]\nsecret_access_key = \"hunter2\n").unwrap_err();
    assert!(faults.starts_with("registry.toml: 1 problem\n  file: line 2: "), "{faults}");
    assert!(!faults.contains("hunter2"), "{faults}");
}

#[test]
fn a_file_that_is_not_there_is_a_fault() {
    let overrides = Overrides { file: Some("/nowhere/registry.toml".into()), ..Overrides::default() };
    let faults = Config::from_parts(&overrides, std::iter::empty()).unwrap_err().to_string();
    assert!(faults.starts_with("/nowhere/registry.toml: 1 problem\n  file: No such file"), "{faults}");
}

#[test]
fn variables_go_over_the_file_and_flags_over_variables() {
    let toml = "[server]\nlisten = [\"127.0.0.1:1\"]\ndrain = \"1s\"\n[data]\ndir = \"/one\"\n[tags]\nimmutable = [\"a\"]\n";
    let variables = [
        ("BERTH_SERVER__LISTEN", "127.0.0.1:2, [::1]:2"),
        ("BERTH_SERVER__LIMITS__STREAMS", "7"),
        ("BERTH_LISTEN", "127.0.0.1:3"),
        ("BERTH_DATA", "/two"),
        ("BERTH_TAGS__IMMUTABLE", ""),
        ("BERTH_DELETE__ENABLED", "false"),
        ("BERTH_PORT", "tcp://10.0.0.1:80"),
        ("OTHER__THING", "x"),
    ];
    let config = load_with(toml, &variables, Overrides::default()).unwrap();
    assert_eq!(config.server.listen, ["127.0.0.1:3".parse().unwrap()]);
    assert_eq!(config.server.drain, Duration::from_secs(1));
    assert_eq!(config.data.dir, Path::new("/two"));
    assert_eq!(config.limits.streams, 7);
    assert!(config.tags.immutable.is_empty());
    assert!(!config.delete.enabled);
    let flags = Overrides {
        listen: vec!["127.0.0.1:4".parse().unwrap()],
        data: Some("/three".into()),
        ..Overrides::default()
    };
    let config = load_with(toml, &variables, flags).unwrap();
    assert_eq!(config.server.listen, ["127.0.0.1:4".parse().unwrap()]);
    assert_eq!(config.data.dir, Path::new("/three"));
    let config = load_with(toml, &variables[..2], Overrides::default()).unwrap();
    assert_eq!(config.server.listen.len(), 2);
}

#[test]
fn a_variable_that_means_nothing_is_a_fault() {
    let faults =
        load_with("", &[("BERTH_SERVER__LISTNE", "x"), ("BERTH_SERVER__DRAIN", "x")], Overrides::default());
    assert_eq!(
        faults.unwrap_err(),
        "registry.toml: 2 problems\n  \
         BERTH_SERVER__DRAIN: \"x\" is not a time like \"30s\" or \"24h\"\n  \
         BERTH_SERVER__LISTNE: no such key"
    );
}

#[test]
fn what_is_printed_loads_again_as_the_same() {
    let printed = Config::default().print();
    assert_eq!(load(&printed).unwrap(), Config::default());
    let toml = "[server]\nlisten = [\"[::1]:5000\"]\nexternal_url = \"https://R.example/\"\ntrusted_proxies = [\"10.0.0.0/8\"]\n\
                [server.limits]\nbody_rate = \"3KiB\"\n[data]\ndir = \"/a \\\"b\\\"\"\n[storage]\nkind = \"s3\"\nbucket = \"b\"\n\
                endpoint = \"http://127.0.0.1:1\"\nallow_http = true\n[uploads]\nmin_chunk = \"5MiB\"\n\
                [tags]\nimmutable = [\"v*\", \"a/*:b\"]\n[metrics]\nlisten = \"127.0.0.1:9\"\n[log]\nformat = \"json\"\n";
    let config = load(toml).unwrap();
    assert_eq!(config.server.external_url.as_deref(), Some("https://r.example"));
    assert_eq!(load(&config.print()).unwrap(), config);
}

#[test]
fn every_key_is_printed_with_what_it_does_and_every_section_is_known() {
    let printed = Config::default().print();
    for section in Config::default().sections() {
        assert!(printed.contains(&format!("\n[{}]\n", section.name())), "{}", section.name());
    }
    for key in
        ["listen = [\"127.0.0.1:5000\"]", "drain = \"30s\"", "max_size = \"4MiB\"", "# bucket is not set"]
    {
        assert!(printed.contains(key), "{key} in\n{printed}");
    }
}

#[test]
fn an_open_registry_stays_on_loopback_unless_told_otherwise() {
    for address in ["0.0.0.0:5000", "192.0.2.1:5000", "[::]:5000"] {
        let toml = format!("[server]\nlisten = [\"127.0.0.1:1\", \"{address}\"]\n");
        let faults = load(&toml).unwrap_err();
        assert!(faults.contains(&format!("server.listen: {address} is not a loopback address")), "{faults}");
        assert!(load(&format!("{toml}insecure_open = true\n")).is_ok());
        let flags = Overrides { insecure_open: true, ..Overrides::default() };
        assert!(load_with(&toml, &[], flags).is_ok());
    }
    assert!(load("[server]\nlisten = [\"[::1]:1\", \"127.9.9.9:1\", \"[::ffff:127.0.0.1]:1\"]\n").is_ok());
}

#[test]
fn r34_secrets_are_neither_printed_nor_debugged_and_can_be_in_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    std::fs::write(&file, "postgres://u:hunter2@h/d\n").unwrap();
    let toml = format!(
        "[storage]\nkind = \"s3\"\nbucket = \"b\"\naccess_key_id = \"AKIAhunter2\"\nsecret_access_key = \"hunter2\"\n\
         [catalog]\nkind = \"postgres\"\nurl_file = {:?}\n",
        file.to_str().unwrap()
    );
    let config = load(&toml).unwrap();
    let Backend::S3(_, S3 { identity: S3Identity::Keys(_, secret), .. }) = config.storage.backend() else {
        panic!("no bucket")
    };
    assert_eq!(secret.reveal(), "hunter2");
    assert_eq!(config.catalog.database(), &Database::Postgres(Secret::new("postgres://u:hunter2@h/d")));
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(!config.print().contains("hunter2"));
    assert!(config.print().contains("# secret_access_key is set, and hidden here"));
    std::fs::write(&file, "mysql://u:hunter2@h/d").unwrap();
    let faults = load(&toml).unwrap_err();
    assert!(faults.contains("catalog.url: must begin with") && !faults.contains("hunter2"), "{faults}");
    std::fs::remove_file(&file).unwrap();
    let faults = load(&format!("{toml}url = \"postgres://a\"\n")).unwrap_err();
    assert!(faults.contains("catalog.url_file: given beside catalog.url"), "{faults}");
    assert!(load(&toml).unwrap_err().contains("catalog.url_file: "));
}

#[test]
fn keys_of_another_kind_are_faults() {
    let faults = load("[storage]\nbucket = \"b\"\nallow_http = true\n[catalog]\nurl = \"postgres://a\"\n")
        .unwrap_err();
    assert!(faults.starts_with("registry.toml: 3 problems"), "{faults}");
    let faults =
        load("[storage]\nkind = \"s3\"\nbucket = \"b\"\nendpoint = \"http://a\"\naccess_key_id = \"a\"\n");
    assert_eq!(
        faults.unwrap_err(),
        "registry.toml: 2 problems\n  \
         storage.endpoint: is plain http: set storage.allow_http = true\n  \
         storage.secret_access_key: required when storage.access_key_id is set"
    );
    for bad in [
        "[storage]\nkind = \"gcs\"",
        "[storage]\nkind = \"swift\"",
        "server = 1",
        "[tags]\nimmutable = [\":v\"]",
        "[log]\nlevel = \"a=b=c\"",
    ] {
        assert!(load(bad).is_err(), "{bad}");
    }
}

#[test]
fn every_fault_of_a_bucket_is_reported_at_once() {
    for (toml, faults) in [
        (
            "kind = \"azure\"\nregion = \"x\"\nclient_secret = \"s\"\ntoken_file = \"/t\"\nredirect = \"rules\"\n",
            &[
                "region: means nothing unless storage.kind = \"s3\"",
                "bucket: required when storage.kind = \"azure\"",
                "account: required when",
                "account_key: only one of",
                "tenant_id: required with",
                "client_id: required with",
                "redirects: required when storage.redirect = \"rules\"",
            ][..],
        ),
        (
            "kind = \"gcs\"\ncredentials_file = \"/nowhere/key.json\"\naccount = \"a\"\ntimeout = \"1ms\"\nca_file = \"/nowhere/ca\"",
            &[
                "account: means nothing unless storage.kind = \"azure\"",
                "credentials_file: /nowhere/key.json: ",
                "bucket: required when storage.kind = \"gcs\"",
                "timeout: must be 1s at least",
                "ca_file: /nowhere/ca: ",
            ],
        ),
        (
            "kind = \"s3\"\nbucket = \"b\"\nvirtual_host_style = true\nendpoint = \"https://10.0.0.1\"\npublic_endpoint = \"ftp://a\"\n\
             credentials = \"web_identity\"\nmetadata_endpoint = \"http://a\"\nsts_endpoint = \"http://a\"\nkms_key = \"k\"\nredirect_life = \"8d\"\n\
             redirects = [{ networks = [\"10.0.0.0/33\"] }, { min_size = \"1\" }]",
            &[
                "endpoint: is an IP address",
                "public_endpoint: \"ftp://a\" is not an address",
                "credentials: must be \"instance\" for",
                "token_file: required when",
                "role_arn: required when",
                "sts_endpoint: must begin with https://",
                "kms_key: means nothing unless",
                "redirects: entry 1: \"10.0.0.0/33\" is not a network",
                "redirects: entry 2: \"1\" is not a size",
                "redirects: mean nothing unless storage.redirect = \"rules\"",
                "redirect_life: must be from 1s to 7d",
            ],
        ),
        ("redirect = \"always\"", &["redirect: means nothing for \"filesystem\""]),
    ] {
        let said = load(&format!("[storage]\n{toml}")).unwrap_err();
        for fault in faults {
            assert!(said.contains(&format!("\n  storage.{fault}")), "{fault} is not in {said}");
        }
        assert_eq!(said.lines().count(), faults.len() + 1, "{said}");
    }
}

#[test]
fn a_level_that_is_none_is_a_fault_and_does_not_silence_the_log() {
    for (level, word) in
        [("loud", "loud"), ("info,warning", "warning"), ("", ""), ("WARN, verbose", "verbose")]
    {
        let faults = load(&format!("[log]\nlevel = \"{level}\"")).unwrap_err();
        let sentence = "is none of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\"";
        assert_eq!(faults, format!("registry.toml: 1 problem\n  log.level: \"{word}\" {sentence}"));
    }
    for level in ["info", "WARN", "off", "info,berth_registry::http=debug", "hyper=off, debug"] {
        assert!(load(&format!("[log]\nlevel = \"{level}\"")).is_ok(), "{level}");
    }
}

#[test]
fn an_endpoint_holds_no_secret() {
    let faults =
        load("[storage]\nkind = \"s3\"\nbucket = \"b\"\nendpoint = \"https://me:hunter2@s3.example\"");
    let faults = faults.unwrap_err();
    assert!(faults.contains("storage.endpoint: must not hold a user"), "{faults}");
    assert!(!faults.contains("hunter2"), "{faults}");
}

#[test]
fn r37_with_authentication_any_address_may_be_listened_on() {
    let toml = "[server]\nlisten = [\"0.0.0.0:5000\"]\n[auth]\nenabled = ";
    assert!(load(&format!("{toml}true\n")).is_ok());
    let faults = load(&format!("{toml}false\n")).unwrap_err();
    assert!(faults.contains("Set auth.enabled = true"), "{faults}");
}

#[test]
fn sources_of_identity_that_nobody_is_asked_for_are_faults() {
    let faults = load(
        "[server.tls]\ncert = \"/a\"\nkey = \"/b\"\nclient_ca = \"/c\"\n[auth]\nhtpasswd = \"/d\"\nadmins = [\"alice\"]\n",
    )
    .unwrap_err();
    for key in ["auth.htpasswd", "auth.admins", "server.tls.client_ca"] {
        assert!(faults.contains(&format!("{key}: is set though nobody is asked who they are")), "{faults}");
    }
    let faults = load("[server.tls]\nclient_ca = \"/c\"\n[auth]\nenabled = true\n").unwrap_err();
    assert!(faults.contains("server.tls.client_ca: needs TLS"), "{faults}");
}

#[test]
fn administrators_are_users_and_holders_of_certificates() {
    let admins = |list: &str| load(&format!("[auth]\nenabled = true\nadmins = [{list}]\n"));
    let config = admins("\"alice\", \"cert:ops\", \"user:bob\"").unwrap();
    assert_eq!(config.auth.admins, ["user:alice", "cert:ops", "user:bob"]);
    for wrong in ["robot:team/ci", "cert:", ":", ""] {
        assert!(admins(&format!("\"{wrong}\"")).unwrap_err().contains("auth.admins"), "{wrong}");
    }
}
