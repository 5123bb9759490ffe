use crate::config::{Config, Overrides};

fn load(toml: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registry.toml");
    std::fs::write(&file, format!("[auth]\nenabled = true\n{toml}")).unwrap();
    let overrides = Overrides { file: Some(file), ..Overrides::default() };
    Config::from_parts(&overrides, std::iter::empty()).map_err(|faults| faults.to_string())
}

const GOOD: &str = r#"
[auth.tokens]
life = "2m"
algorithm = "EdDSA"

[[auth.issuers]]
name = "legacy"
issuer = "auth.example"
audience = "registry.example"
certificates = "/etc/berth/bundle.pem"
algorithms = ["RS256"]
realm = "https://auth.example/token"

[[auth.federation]]
name = "github"
kind = "github"
audience = ["registry.example"]
claims = { repository_id = "42", ref = ["refs/heads/main", "refs/tags/*"] }

[[auth.federation]]
name = "cluster"
kind = "kubernetes"
issuer = "https://kubernetes.default.svc"
audience = "registry.example"
ca_file = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
claims = { namespace = "build" }
session = "10m"
"#;

#[test]
fn issuers_are_read_and_printed_so_that_they_load_again() {
    let config = load(GOOD).unwrap();
    let (servers, platforms) = (config.auth.token_servers(), config.auth.federations());
    assert_eq!((servers.len(), platforms.len()), (1, 2));
    assert_eq!(servers[0].service, "registry.example");
    assert_eq!(platforms[0].outside.issuer, "https://token.actions.githubusercontent.com");
    assert_eq!(platforms[0].subject, "{repository}");
    assert_eq!(platforms[1].session, std::time::Duration::from_mins(10));
    let printed = config.print();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registry.toml");
    std::fs::write(&file, &printed).unwrap();
    let overrides = Overrides { file: Some(file), ..Overrides::default() };
    assert_eq!(Config::from_parts(&overrides, std::iter::empty()).unwrap(), config, "{printed}");
}

#[test]
fn every_fault_of_every_issuer_is_reported() {
    let faults = load(
        r#"
        [auth.tokens]
        life = "100d"
        rotation = "1s"

        [[auth.issuers]]
        name = "a b"
        issuer = "berth"
        jwks_url = "http://auth.example/keys"
        jwks_file = "/keys"
        algorithms = ["HS256"]
        realm = "auth.example"

        [[auth.federation]]
        name = "github"
        kind = "github"
        claims = { repository_id = "*", ref = "{" }
        session = "soon"

        [[auth.federation]]
        name = "github"
        kind = "oidc"
        issuer = "http://issuer.example"
        audience = "x"
        "#,
    )
    .unwrap_err();
    for fault in [
        "auth.tokens.life: must be from 1s to 1d",
        "auth.tokens.rotation: must be 1h or more",
        "auth.issuers[1].name: must be letters",
        "auth.issuers[1].issuer: must be the iss of its tokens",
        "auth.issuers[1].jwks_file: only one of jwks_url, jwks_file can count",
        "auth.issuers[1].jwks_url: \"http://auth.example/keys\" must begin with https://",
        "auth.issuers[1].algorithms: \"HS256\" is none of RS256",
        "auth.issuers[1].realm: \"auth.example\" is not an address",
        "auth.federation[1].audience: required",
        "auth.federation[1].claims: must hold one of repository_id, repository_owner_id without wildcards",
        "auth.federation[1].claims.ref: ",
        "auth.federation[1].session: \"soon\" is not a time",
        "auth.federation[2].issuer: \"http://issuer.example\" must begin with https://",
        "auth.federation[2].claims: required",
        "auth.issuers: \"github\" names two",
    ] {
        assert!(faults.contains(fault), "{fault} in\n{faults}");
    }
    assert!(
        load("[[auth.federation]]\nname = \"x\"\nkind = \"jenkins\"").unwrap_err().contains("is none of")
    );
    assert!(load("[[auth.issuers]]\nname = \"x\"\nissuer = \"y\"").unwrap_err().contains("is required"));
    assert!(load("[[auth.issuers]]\nnme = \"x\"").unwrap_err().contains("unknown field"));
}
