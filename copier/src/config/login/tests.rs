use std::{collections::VecDeque, fs, path::PathBuf, sync::Mutex};

use tempfile::TempDir;

use super::*;

/// A registry that knows one user, and notes who asked.
struct Registry {
    known: (&'static str, &'static str),
    asked: Mutex<Vec<String>>,
    broken: bool,
}

#[async_trait]
impl LoginCheck for Registry {
    async fn check_login(&self, host: &str, user: &str, password: &Secret, _side: &Side) -> Result<()> {
        self.asked.lock().unwrap().push(format!("{user}@{host}"));
        if self.broken {
            return Err(Error::Other { what: "pinging".to_owned(), source: "no route".into() });
        }
        if (user, password.expose()) == self.known {
            return Ok(());
        }
        Err(Error::Authentication { registry: host.to_owned(), reason: "unauthorized".to_owned() })
    }
}

#[derive(Default)]
struct Person {
    told: Vec<String>,
    answers: VecDeque<&'static str>,
    suggested: Option<String>,
}

impl Terminal for Person {
    fn tell(&mut self, line: &str) -> io::Result<()> {
        self.told.push(line.to_owned());
        Ok(())
    }

    fn user(&mut self, known: Option<&str>) -> Result<String> {
        self.suggested = known.map(str::to_owned);
        self.answers.pop_front().map(str::to_owned).ok_or_else(|| Error::Usage("nobody is there".to_owned()))
    }

    fn password(&mut self) -> Result<Secret> {
        self.answers.pop_front().map(Secret::new).ok_or_else(|| Error::Usage("nobody is there".to_owned()))
    }
}

struct World {
    folder: TempDir,
    environment: Environment,
    registry: Registry,
    person: Person,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let environment = Environment::under(folder.path());
        let registry = Registry { known: ("u", "right"), asked: Mutex::default(), broken: false };
        Self { folder, environment, registry, person: Person::default() }
    }

    fn authfile(&self) -> PathBuf {
        self.folder.path().join("auth.json")
    }

    fn side(&self) -> Side {
        Side { authfile: Some(self.authfile()), ..Side::default() }
    }

    fn request(&self, registry: &str) -> LoginRequest {
        LoginRequest { registry: registry.to_owned(), side: self.side(), ..LoginRequest::default() }
    }

    fn with(&self, registry: &str, user: &str, password: &str) -> LoginRequest {
        LoginRequest {
            user: Some(user.to_owned()),
            password: Some(Secret::new(password)),
            ..self.request(registry)
        }
    }

    async fn login(&mut self, request: &LoginRequest) -> Result<Vec<String>> {
        let settings = Settings::default();
        let environment = self.environment.clone();
        login_in(environment, &self.registry, &settings, request, &mut self.person).await?;
        Ok(std::mem::take(&mut self.person.told))
    }

    async fn logout(&mut self, request: &LogoutRequest) -> Result<Vec<String>> {
        let settings = Settings::default();
        let environment = self.environment.clone();
        logout_in(environment, &self.registry, &settings, request, &mut self.person).await?;
        Ok(std::mem::take(&mut self.person.told))
    }

    fn leave(&self, registry: &str) -> LogoutRequest {
        LogoutRequest { registry: Some(registry.to_owned()), side: self.side(), ..LogoutRequest::default() }
    }
}

#[tokio::test]
async fn a_login_is_kept_told_used_again_and_removed() {
    let mut world = World::new();
    let given = world.with("h.test", "u", "right");
    assert_eq!(world.login(&given).await.unwrap(), ["Login Succeeded!"]);
    let who = LoginRequest { get_login: true, ..world.request("h.test") };
    assert_eq!(world.login(&who).await.unwrap(), ["u"]);
    let again = world.request("h.test");
    assert_eq!(
        world.login(&again).await.unwrap(),
        [
            "Authenticating with existing credentials for h.test",
            "Existing credentials are valid. Already logged in to h.test",
        ]
    );
    let leave = world.leave("h.test");
    assert_eq!(world.logout(&leave).await.unwrap(), ["Removed login credentials for h.test"]);
    assert_eq!(world.logout(&leave).await.unwrap_err().to_string(), "not logged into h.test");
    assert_eq!(world.login(&who).await.unwrap_err().to_string(), "not logged into h.test");
}

#[tokio::test]
async fn a_password_that_is_not_taken_is_not_kept() {
    let mut world = World::new();
    let given = world.with("h.test", "u", "wrong");
    let error = world.login(&given).await.unwrap_err();
    assert_eq!(error.to_string(), "logging into \"h.test\": invalid username/password");
    assert_eq!(error.exit_code(), 3);
    assert!(!world.authfile().exists());
    world.registry.broken = true;
    let error = world.login(&given).await.unwrap_err().to_string();
    assert_eq!(error, "authenticating creds for \"h.test\": pinging: no route");
    assert!(!world.authfile().exists());
}

#[tokio::test]
async fn a_namespace_has_its_own_credentials_proven_to_its_host() {
    let mut world = World::new();
    let given = world.with("h.test:5000/ns/app", "u", "right");
    world.login(&given).await.unwrap();
    assert_eq!(*world.registry.asked.lock().unwrap(), ["u@h.test:5000"]);
    assert!(fs::read_to_string(world.authfile()).unwrap().contains("\"h.test:5000/ns/app\""));
    let other = LoginRequest { get_login: true, ..world.request("h.test:5000/other") };
    assert!(world.login(&other).await.is_err());
    let leave = world.leave("h.test:5000/ns/app");
    assert_eq!(world.logout(&leave).await.unwrap(), ["Removed login credentials for h.test:5000/ns/app"]);
}

#[tokio::test]
async fn of_a_url_the_host_counts() {
    let mut world = World::new();
    let given = world.with("https://h.test:5000/v2/?x#y", "u", "right");
    world.login(&given).await.unwrap();
    assert!(fs::read_to_string(world.authfile()).unwrap().contains("\"h.test:5000\""));
}

#[tokio::test]
async fn what_is_not_given_is_asked_for() {
    let mut world = World::new();
    world.person.answers = [" u \n", "right"].into();
    let ask = world.request("h.test");
    assert_eq!(world.login(&ask).await.unwrap(), ["Login Succeeded!"]);
    assert_eq!(world.person.suggested, None);
    // The user that is logged in so far is suggested, and just the return key takes it.
    world.registry.known = ("u", "new");
    world.person.answers = ["\n", "new"].into();
    assert_eq!(
        world.login(&ask).await.unwrap(),
        [
            "Authenticating with existing credentials for h.test",
            "Existing credentials are invalid, please enter valid username and password",
            "Login Succeeded!",
        ]
    );
    assert_eq!(world.person.suggested.as_deref(), Some("u"));
    let named = LoginRequest { user: Some("u".to_owned()), ..world.request("h.test") };
    world.person.answers = ["new"].into();
    assert_eq!(world.login(&named).await.unwrap(), ["Login Succeeded!"]);
    assert!(world.login(&named).await.unwrap_err().to_string().contains("nobody is there"));
}

#[tokio::test]
async fn a_registry_that_does_not_answer_is_no_reason_to_ask_for_a_password() {
    let mut world = World::new();
    let given = world.with("h.test", "u", "right");
    world.login(&given).await.unwrap();
    world.registry.broken = true;
    world.person.answers = ["u", "right"].into();
    let again = world.request("h.test");
    assert!(world.login(&again).await.unwrap_err().to_string().contains("no route"));
    assert_eq!(world.person.answers.len(), 2);
}

#[tokio::test]
async fn with_verbose_the_place_is_told() {
    let mut world = World::new();
    let given = LoginRequest { verbose: true, ..world.with("h.test", "u", "right") };
    let place = format!("Used:  {}", world.authfile().display());
    assert_eq!(world.login(&given).await.unwrap(), [place.as_str(), "Login Succeeded!"]);
}

#[tokio::test]
async fn an_identity_token_is_not_overwritten_unless_a_password_is_given() {
    let mut world = World::new();
    fs::write(world.authfile(), r#"{"auths": {"h.test": {"auth": "dTo=", "identitytoken": "t"}}}"#).unwrap();
    let ask = world.request("h.test");
    let error = world.login(&ask).await.unwrap_err().to_string();
    assert!(error.starts_with("currently logged in, auth file contains an Identity token"), "{error}");
    let given = world.with("h.test", "u", "right");
    assert_eq!(world.login(&given).await.unwrap(), ["Login Succeeded!"]);
}

#[tokio::test]
async fn dockers_file_is_written_in_dockers_form() {
    let mut world = World::new();
    let file = world.folder.path().join("config.json");
    let given = LoginRequest {
        compat_auth_file: Some(file.clone()),
        side: Side::default(),
        ..world.with("docker.io", "u", "right")
    };
    world.login(&given).await.unwrap();
    assert!(fs::read_to_string(&file).unwrap().contains("https://index.docker.io/v1/"));
    let leave = LogoutRequest {
        compat_auth_file: Some(file.clone()),
        registry: Some("docker.io".to_owned()),
        ..LogoutRequest::default()
    };
    assert_eq!(world.logout(&leave).await.unwrap(), ["Removed login credentials for docker.io"]);
    let both = LoginRequest { compat_auth_file: Some(file), ..world.with("docker.io", "u", "right") };
    assert!(world.login(&both).await.unwrap_err().to_string().contains("simultaneously"));
}

#[tokio::test]
async fn dockers_variable_names_the_only_file_of_logins() {
    let mut world = World::new();
    let home = world.folder.path().join("home/.config/containers");
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("auth.json"), r#"{"auths": {"h.test": {"auth": "dTpyaWdodA=="}}}"#).unwrap();
    let who = LoginRequest { get_login: true, registry: "h.test".to_owned(), ..LoginRequest::default() };
    assert_eq!(world.login(&who).await.unwrap(), ["u"]);
    world.environment.docker_config = Some(world.folder.path().join("docker"));
    assert_eq!(world.login(&who).await.unwrap_err().to_string(), "not logged into h.test");
    let given = LoginRequest { side: Side::default(), ..world.with("h.test", "u", "right") };
    world.login(&given).await.unwrap();
    assert!(world.folder.path().join("docker/config.json").exists());
    assert_eq!(world.login(&who).await.unwrap(), ["u"]);
}

#[tokio::test]
async fn a_login_of_dockers_is_told_from_none() {
    let mut world = World::new();
    let home = world.folder.path().join("home/.docker");
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("config.json"), r#"{"auths": {"h.test": {"auth": "dTpyaWdodA=="}}}"#).unwrap();
    let leave = LogoutRequest { registry: Some("h.test".to_owned()), ..LogoutRequest::default() };
    let told = world.logout(&leave).await.unwrap();
    assert!(told[0].starts_with("Not logged into h.test with current tool."), "{told:?}");
    world.registry.known = ("u", "other");
    assert_eq!(world.logout(&leave).await.unwrap_err().to_string(), "not logged into h.test");
}

#[tokio::test]
async fn all_logins_end_at_once() {
    let mut world = World::new();
    for registry in ["a.test", "b.test/ns"] {
        let given = world.with(registry, "u", "right");
        world.login(&given).await.unwrap();
    }
    let all = LogoutRequest { all: true, side: world.side(), ..LogoutRequest::default() };
    assert_eq!(world.logout(&all).await.unwrap(), ["Removed login credentials for all registries"]);
    assert!(!fs::read_to_string(world.authfile()).unwrap().contains("test"));
    let both = LogoutRequest { all: true, ..world.leave("a.test") };
    assert_eq!(world.logout(&both).await.unwrap_err().to_string(), "--all takes no arguments");
}

#[tokio::test]
async fn a_file_to_log_out_of_has_to_be_there() {
    let mut world = World::new();
    let leave = world.leave("h.test");
    let error = world.logout(&leave).await.unwrap_err().to_string();
    assert!(error.starts_with("credential file is not accessible: "), "{error}");
}

#[tokio::test]
async fn what_is_no_registry_is_refused_before_anything_is_asked() {
    let mut world = World::new();
    for registry in
        ["", "-", "a b", "h.test/ns:tag", "h.test/ns@sha256:0", "h.test/", "h.test/UP", "https://", "h_x"]
    {
        let given = world.with(registry, "u", "right");
        assert_eq!(world.login(&given).await.unwrap_err().exit_code(), 2, "{registry:?}");
        let leave = LogoutRequest { registry: Some(registry.to_owned()), ..LogoutRequest::default() };
        assert_eq!(world.logout(&leave).await.unwrap_err().exit_code(), 2, "{registry:?}");
    }
    let given = world.with("h.test", "a:b", "right");
    assert_eq!(world.login(&given).await.unwrap_err().exit_code(), 2);
    assert!(world.registry.asked.lock().unwrap().is_empty());
}

#[test]
fn a_password_is_read_without_line_ends_and_with_a_bound() {
    assert_eq!(read_password(&b"pass\r\n"[..]).unwrap().expose(), "pass");
    assert_eq!(read_password(&b"a\nb"[..]).unwrap().expose(), "ab");
    assert_eq!(read_password(&b" with spaces "[..]).unwrap().expose(), " with spaces ");
    assert_eq!(read_password(io::repeat(b'x')).unwrap_err().exit_code(), 2);
    assert!(read_password(&b"\xff"[..]).is_err());
}
