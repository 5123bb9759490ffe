//! A registry that asks who one is, and ways to ask it.

#![allow(clippy::unwrap_used, reason = "the steps of a test panic as the test itself does")]

use berth_conformance::harness::{Berth, BerthBuilder, Finished, Scratch, Tool};
use reqwest::{Client, Method, header::HeaderMap};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

/// Alice administers, bob is a user, and this is the robot's name.
pub(super) const ROBOT: &str = "team/ci";

/// A registry with two users and a robot.
pub(super) struct Guarded {
    pub(super) berth: Berth,
    pub(super) alice: String,
    pub(super) bob: String,
    pub(super) robot: String,
    asker: Asker,
    scratch: Scratch,
}

/// A client of one registry.
pub(super) struct Asker {
    url: String,
    client: Client,
    runtime: Runtime,
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Asker {
    pub(super) fn new(url: String) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        Self { url, client: Client::builder().no_proxy().build().unwrap(), runtime }
    }

    pub(super) fn ask(&self, method: Method, path: &str, who: Option<(&str, &str)>, body: &str) -> Answer {
        let request = self.client.request(method, format!("{}{path}", self.url));
        let request = match who {
            Some((name, secret)) => request.basic_auth(name, Some(secret)),
            None => request,
        };
        let request =
            if body.is_empty() { request } else { request.header("content-type", "application/json") };
        self.runtime.block_on(async {
            let response = request.body(body.to_owned()).send().await.unwrap();
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            Answer { status, headers, text: response.text().await.unwrap() }
        })
    }
}

impl Guarded {
    pub(super) fn start() -> Self {
        Self::start_with(|builder| builder)
    }

    pub(super) fn start_with(settings: impl FnOnce(BerthBuilder) -> BerthBuilder) -> Self {
        let mut berth = settings(Berth::builder().set("auth.enabled", "true")).prepare().unwrap();
        let secret = |words: &[&str]| command(&berth, words).run().unwrap().trim().to_owned();
        let alice = secret(&["user", "add", "alice", "--admin", "--generate"]);
        let bob = secret(&["user", "add", "bob", "--generate"]);
        let robot = secret(&["robot", "add", ROBOT]);
        berth.start().unwrap();
        let asker = Asker::new(berth.url());
        Self { berth, alice, bob, robot, asker, scratch: Scratch::new("guarded").unwrap() }
    }

    /// Runs a command of the registry, which must succeed.
    pub(super) fn run(&self, words: &[&str]) -> String {
        command(&self.berth, words).run().unwrap()
    }

    /// Runs a command of the registry with this on its standard input.
    pub(super) fn fed(&self, words: &[&str], input: &str) -> Finished {
        let file = self.scratch.write("input", input).unwrap();
        command(&self.berth, words).stdin(file).finish().unwrap()
    }

    pub(super) fn ask(&self, method: Method, path: &str, who: Option<(&str, &str)>, body: &str) -> Answer {
        self.asker.ask(method, path, who, body)
    }

    pub(super) fn status(&self, path: &str, who: Option<(&str, &str)>) -> u16 {
        self.ask(Method::GET, path, who, "").status
    }

    pub(super) fn alice(&self) -> Option<(&str, &str)> {
        Some(("alice", &self.alice))
    }

    pub(super) fn bob(&self) -> Option<(&str, &str)> {
        Some(("bob", &self.bob))
    }
}

/// A command of the registry of this handle.
pub(super) fn command(berth: &Berth, words: &[&str]) -> Tool {
    Tool::at(Berth::binary().unwrap()).args(words).arg("--config").arg(berth.config())
}
