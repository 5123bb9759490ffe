//! A registry that knows alice and bob, and how tests ask it for tokens.

#![allow(clippy::unwrap_used, reason = "the steps of a test panic as the test itself does")]

use std::time::{SystemTime, UNIX_EPOCH};

use berth_conformance::harness::{Berth, BerthBuilder, Scratch};
use reqwest::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

/// alice: wonderland, bob: builder-bob.
const ALICE: &str = "alice:$2y$04$D5pmbsESauGhFf1geA9UFO.rIKQBFRYnF/83h5bSAu5DNscp6cOd6\n";
pub(super) const BOB: &str = "bob:$2y$04$lvi6XSh8vYno4xGJauEvAO.kU7u7i8hjFMz18Fdga11rwWQskW4Ua\n";
const RULES: &str = r#"[
    { name = "team", subjects = ["user:alice", "ci:github:octo/*"], verbs = ["pull", "push", "overwrite"], repositories = ["team/**"] },
    { name = "own", subjects = ["user:bob"], verbs = ["pull", "push"], repositories = ["bob/**"] },
    { name = "public", subjects = ["anonymous"], verbs = ["pull"], repositories = ["public/**"] },
]"#;

/// A registry that knows alice and bob.
pub(super) struct Bench {
    pub(super) berth: Berth,
    pub(super) users: Scratch,
    pub(super) client: Client,
    pub(super) runtime: Runtime,
}

/// A status, a header, a body.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) challenge: String,
    pub(super) body: Value,
}

impl Bench {
    pub(super) fn new(more: impl FnOnce(BerthBuilder) -> BerthBuilder) -> Self {
        let users = Scratch::new("users").unwrap();
        let file = users.write("htpasswd", format!("{ALICE}{BOB}")).unwrap();
        let builder = Berth::builder()
            .set("auth.enabled", "true")
            .set("auth.htpasswd", &format!("{:?}", file.display().to_string()))
            .set("auth.admins", "[\"bob\"]")
            .set("policy.rules", &RULES.replace('\n', " ").replace("},  ]", "} ]"));
        let berth = more(builder).start().unwrap();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        Self { berth, users, client: Client::builder().no_proxy().build().unwrap(), runtime }
    }

    pub(super) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.berth.url()))
    }

    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.berth.url()))
    }

    pub(super) fn send(&self, request: RequestBuilder) -> Answer {
        self.runtime.block_on(async {
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            let challenge = answer.headers().get(WWW_AUTHENTICATE);
            let challenge = challenge.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
            let body = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default();
            Answer { status, challenge, body }
        })
    }

    /// A GET with a bearer token.
    pub(super) fn with(&self, token: &str, path: &str) -> Answer {
        self.send(self.get(path).bearer_auth(token))
    }

    /// Docker's way to a token.
    pub(super) fn docker(&self, who: Option<(&str, &str)>, query: &str) -> Answer {
        let request = self.get(&format!("/token?service=berth{query}"));
        self.send(match who {
            Some((name, password)) => request.basic_auth(name, Some(password)),
            None => request,
        })
    }

    pub(super) fn alice(&self, query: &str) -> Answer {
        self.docker(Some(("alice", "wonderland")), query)
    }

    /// OAuth2's way.
    pub(super) fn oauth(&self, form: &[(&str, &str)]) -> Answer {
        let mut url = reqwest::Url::parse("http://form/").unwrap();
        url.query_pairs_mut().extend_pairs(form);
        let request = self.post("/token").header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request.body(url.query().unwrap().to_owned()))
    }
}

pub(super) fn token(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["token"], answer.body["access_token"]);
    answer.body["token"].as_str().unwrap().to_owned()
}

/// The `access` claim.
pub(super) fn access(token: &str) -> Value {
    claims(token)["access"].clone()
}

pub(super) fn claims(token: &str) -> Value {
    serde_json::from_slice(&unbase64(token.split('.').nth(1).unwrap())).unwrap()
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

pub(super) fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(*group.get(at).unwrap_or(&0)));
        for digit in 0..=group.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * digit) & 63) as usize]));
        }
    }
    text
}

pub(super) fn unbase64(text: &str) -> Vec<u8> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for letter in text.bytes() {
        bits =
            bits << 6 | u32::try_from(ALPHABET.iter().position(|known| *known == letter).unwrap()).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 255).unwrap());
        }
    }
    bytes
}

pub(super) fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
