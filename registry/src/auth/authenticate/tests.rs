use std::net::Ipv4Addr;

use http::Request;

use super::*;
use crate::auth::Subject;

#[derive(Debug)]
struct OneUser;

#[async_trait]
impl Passwords for OneUser {
    async fn login(&self, name: &str, secret: &str, from: IpAddr) -> Result<Principal, AuthError> {
        assert_eq!(from, IpAddr::from(Ipv4Addr::new(192, 0, 2, 7)));
        if (name, secret) == ("alice", "p:ä ") { Ok(user("alice")) } else { Err(invalid("wrong")) }
    }

    async fn attempt(
        &self,
        _secret: &str,
        _from: IpAddr,
        look: BoxFuture<'_, Result<Principal, AuthError>>,
    ) -> Result<Principal, AuthError> {
        look.await
    }

    async fn knows(&self, name: &str) -> bool {
        name == "alice"
    }

    async fn certificate(&self, name: &str) -> Result<Principal, AuthError> {
        Ok(Principal { subject: Subject::Certificate(name.to_owned()), ..Principal::default() })
    }
}

#[derive(Debug)]
struct OneToken;

#[async_trait]
impl Bearer for OneToken {
    async fn check(&self, token: &str) -> Result<Principal, AuthError> {
        if token == "t" { Ok(user("bob")) } else { Err(invalid("wrong")) }
    }

    fn challenge(&self, _request: &Parts, scope: &str, _refused: Refused) -> String {
        format!("Bearer scope=\"{scope}\"")
    }
}

fn user(name: &str) -> Principal {
    Principal { subject: Subject::User(name.to_owned()), ..Principal::default() }
}

fn callers(bearer: Option<Arc<dyn Bearer>>) -> Callers {
    let address = AddressOf::new(|_| Ipv4Addr::new(192, 0, 2, 7).into());
    Callers { passwords: Arc::new(OneUser), bearer, address, realm: "berth".to_owned() }
}

fn request(authorization: &[&str]) -> Parts {
    let mut request = Request::builder();
    for value in authorization {
        request = request.header(header::AUTHORIZATION, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn basic(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

async fn subject(callers: &Callers, request: &Parts) -> Option<String> {
    callers.identify(request).await.ok().map(|principal| principal.subject.to_string())
}

#[tokio::test]
async fn credentials_say_who_it_is() {
    let callers = callers(Some(Arc::new(OneToken)));
    let alice = basic("alice:p:ä ");
    for (headers, who) in [
        (vec![], Some("anonymous")),
        (vec![alice.as_str()], Some("user:alice")),
        (vec!["bEaReR t"], Some("user:bob")),
        (vec!["Bearer x"], None),
        (vec![""], None),
        (vec!["Basic"], None),
        (vec!["Basic !"], None),
        (vec!["Basic YWxpY2U="], None),
        (vec!["Digest username=\"alice\""], None),
        (vec![alice.as_str(), alice.as_str()], None),
    ] {
        assert_eq!(subject(&callers, &request(&headers)).await.as_deref(), who, "{headers:?}");
    }
    let wrong = request(&[&basic("alice:x")]);
    assert_eq!(subject(&callers, &wrong).await, None, "wrong credentials never count as none");
}

#[tokio::test]
async fn a_certificate_counts_where_nothing_else_is_shown() {
    let callers = callers(None);
    let mut plain = request(&[]);
    plain.extensions.insert(ClientCertificate("builder".to_owned()));
    assert_eq!(subject(&callers, &plain).await.as_deref(), Some("cert:builder"));
    let mut named = request(&[&basic("alice:p:ä ")]);
    named.extensions.insert(ClientCertificate("builder".to_owned()));
    assert_eq!(subject(&callers, &named).await.as_deref(), Some("user:alice"));
    let mut wrong = request(&[&basic("alice:x")]);
    wrong.extensions.insert(ClientCertificate("builder".to_owned()));
    assert_eq!(subject(&callers, &wrong).await, None);
}

#[tokio::test]
async fn the_connection_s_word_goes_before_all_else() {
    let local = Principal { subject: Subject::Local, ..Principal::default() };
    let mut parts = request(&["Basic !"]);
    parts.extensions.insert(Trusted(local));
    assert_eq!(subject(&callers(None), &parts).await.as_deref(), Some("local"));
    assert_eq!(Nobody.identify(&parts).await.unwrap().subject, Subject::Local);
}

#[test]
fn the_challenge_is_basic_until_there_is_a_token_server() {
    let parts = request(&[]);
    let ask = |callers: Callers| callers.challenge(&parts, "repository:a:pull", Refused::Anonymous).unwrap();
    assert_eq!(ask(callers(None)), "Basic realm=\"berth\", charset=\"UTF-8\"");
    assert_eq!(ask(callers(Some(Arc::new(OneToken)))), "Bearer scope=\"repository:a:pull\"");
}

proptest::proptest! {
    #[test]
    fn credentials_are_what_was_sent_or_refused(name in "[^:]{0,20}", secret in ".{0,20}", noise in "[ -~]{0,60}") {
        let request = |value: &str| {
            Request::builder().header(header::AUTHORIZATION, value).body(()).unwrap().into_parts().0
        };
        let parts = request(&format!("bAsic  {}", STANDARD.encode(format!("{name}:{secret}"))));
        let Ok(Some(Credentials::Basic { name: read, secret: its })) = credentials(&parts) else {
            panic!("they are credentials")
        };
        proptest::prop_assert_eq!((read, its), (name, secret));
        if let Ok(Some(Credentials::Bearer(token))) = credentials(&request(&noise)) {
            proptest::prop_assert!(noise.ends_with(token) || noise.trim_end().ends_with(token));
        }
    }
}
