//! Looks whether a registry can run here as it is configured, and says so in a page.

mod machine;
mod places;
mod tls;

use serde::Serialize;

use crate::{
    clock::{Clock, SystemClock},
    config::Config,
};

/// How a look ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and may not as well as it could.
    Warning,
    /// It does not work.
    Failure,
}

/// One look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Look {
    /// What was looked at.
    pub about: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What there is, and where it is not well, the way out.
    pub says: String,
}

impl Look {
    fn ok(about: &'static str, says: impl Into<String>) -> Self {
        Self { about, verdict: Verdict::Ok, says: says.into() }
    }

    fn warning(about: &'static str, says: impl Into<String>) -> Self {
        Self { about, verdict: Verdict::Warning, says: says.into() }
    }

    fn failure(about: &'static str, says: impl Into<String>) -> Self {
        Self { about, verdict: Verdict::Failure, says: says.into() }
    }
}

/// Looks at everything. `running` is whether a registry runs on this data directory now.
pub async fn look(config: &Config, running: bool) -> Vec<Look> {
    let clock: &dyn Clock = &SystemClock;
    let state = if running { "a registry runs here" } else { "no registry runs here" };
    let mut looks = vec![
        Look::ok("version", format!("berth-registry {}; {state}", env!("CARGO_PKG_VERSION"))),
        Look::ok("configuration", "has no faults"),
    ];
    looks.extend(machine::data(config).await);
    let (found, empty) = places::catalog(config, clock).await;
    looks.extend(found);
    looks.extend(places::storage(config, clock, empty).await);
    looks.push(machine::descriptors());
    looks.extend(machine::ports(config, running).await);
    looks.extend(tls::look(config, clock));
    looks.push(authentication(config));
    looks
}

fn authentication(config: &Config) -> Look {
    const ABOUT: &str = "authentication";
    let open = config.server.listen.iter().any(|address| !address.ip().is_loopback());
    match (config.auth.enabled, open) {
        (true, _) if config.tls.files().is_none() && open && config.server.external_url.is_none() => {
            Look::warning(
                ABOUT,
                "on, but passwords go over plain http: set server.tls, or server.external_url where a proxy does TLS",
            )
        }
        (true, _) => Look::ok(ABOUT, "on"),
        (false, false) => Look::ok(ABOUT, "off: whoever is on this machine may do everything"),
        (false, true) => Look::warning(
            ABOUT,
            "off: whoever reaches the port may push and delete; set auth.enabled = true, and add users",
        ),
    }
}
