//! `[limits]`, `[limits.rate]` and `[quotas]`: what a user, an address, a repository and a namespace
//! may take.

use serde::{Deserialize, Serialize};

use super::{
    faults::Faults,
    human::Size,
    section::{Keys, Section},
    value::Tables,
};
use crate::limits::{QuotaRule, QuotaRules, Rate, RateSettings};

/// `[limits]`: how many there may be of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Upload sessions of one user.
    pub sessions_per_user: u32,
    /// Manifests in a repository.
    pub manifests_per_repository: u32,
    /// Tags in a repository.
    pub tags_per_repository: u32,
    /// Repositories in a namespace.
    pub repositories_per_namespace: u32,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            sessions_per_user: 500,
            manifests_per_repository: 1_000_000,
            tags_per_repository: 1_000_000,
            repositories_per_namespace: 100_000,
        }
    }
}

impl Section for Caps {
    fn name(&self) -> &'static str {
        "limits"
    }

    fn about(&self) -> &'static str {
        "How many there may be; 0 is no limit."
    }

    fn keys(&mut self, keys: &mut dyn Keys) {
        keys.key(
            "sessions_per_user",
            "Upload sessions that one user may have open, over all replicas. See also uploads.max_sessions.",
            &mut self.sessions_per_user,
        );
        keys.key(
            "manifests_per_repository",
            "Manifests that a repository may have.",
            &mut self.manifests_per_repository,
        );
        keys.key("tags_per_repository", "Tags that a repository may have.", &mut self.tags_per_repository);
        keys.key(
            "repositories_per_namespace",
            "Repositories that may begin with the same name before the first slash.",
            &mut self.repositories_per_namespace,
        );
    }
}

/// `[limits.rate]`: requests in a time. Off by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    user_pulls: u32,
    user_pulls_burst: u32,
    user_pushes: u32,
    user_pushes_burst: u32,
    address_pulls: u32,
    address_pulls_burst: u32,
    address_pushes: u32,
    address_pushes_burst: u32,
}

impl Rates {
    /// The limits; a burst that is not set is ten seconds' worth.
    #[must_use]
    pub fn settings(&self) -> RateSettings {
        let rate = |per_second: u32, burst: u32| {
            let burst = if burst == 0 { per_second.saturating_mul(10) } else { burst };
            (per_second > 0).then_some(Rate { per_second, burst })
        };
        RateSettings {
            user_pulls: rate(self.user_pulls, self.user_pulls_burst),
            user_pushes: rate(self.user_pushes, self.user_pushes_burst),
            address_pulls: rate(self.address_pulls, self.address_pulls_burst),
            address_pushes: rate(self.address_pushes, self.address_pushes_burst),
        }
    }
}

impl Section for Rates {
    fn name(&self) -> &'static str {
        "limits.rate"
    }

    fn about(&self) -> &'static str {
        "Requests per second, of each user and from each address (one /64 of IPv6; behind trusted proxies the\n\
         client's); 0 is no limit. More are answered with 429 and Retry-After. Each replica counts for itself."
    }

    fn keys(&mut self, keys: &mut dyn Keys) {
        keys.key(
            "user_pulls",
            "A pull is a GET of a manifest, as clients make one or two per image.",
            &mut self.user_pulls,
        );
        keys.key(
            "user_pulls_burst",
            "So many at once after a rest; 0 is ten times user_pulls.",
            &mut self.user_pulls_burst,
        );
        keys.key(
            "user_pushes",
            "A push is the start of an upload, a PUT of a manifest or a DELETE.",
            &mut self.user_pushes,
        );
        keys.key("user_pushes_burst", "As user_pulls_burst.", &mut self.user_pushes_burst);
        keys.key("address_pulls", "As user_pulls, whoever asks.", &mut self.address_pulls);
        keys.key("address_pulls_burst", "As user_pulls_burst.", &mut self.address_pulls_burst);
        keys.key("address_pushes", "As user_pushes, whoever asks.", &mut self.address_pushes);
        keys.key("address_pushes_burst", "As user_pulls_burst.", &mut self.address_pushes_burst);
    }

    fn check(&mut self, faults: &mut Faults) {
        let pairs = [
            ("user_pulls", self.user_pulls, self.user_pulls_burst),
            ("user_pushes", self.user_pushes, self.user_pushes_burst),
            ("address_pulls", self.address_pulls, self.address_pulls_burst),
            ("address_pushes", self.address_pushes, self.address_pushes_burst),
        ];
        for (key, rate, burst) in pairs {
            if rate == 0 && burst > 0 {
                faults.add(
                    format!("limits.rate.{key}_burst"),
                    format!("means nothing without limits.rate.{key}"),
                );
            }
        }
    }
}

/// `[quotas]`: bytes that namespaces may hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// For namespaces that nothing else is said of.
    pub default: Option<Size>,
    /// For some.
    pub namespaces: Tables<NamespaceQuota>,
}

/// One `[[quotas.namespaces]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceQuota {
    /// Which.
    pub namespace: String,
    /// A size, or `unlimited`.
    pub limit: String,
}

const UNLIMITED: &str = "unlimited";

impl NamespaceQuota {
    fn rule(&self) -> Result<QuotaRule, String> {
        let pattern = self.namespace.strip_suffix('/').unwrap_or(&self.namespace);
        let name = pattern.strip_suffix('*').unwrap_or(pattern);
        if pattern.is_empty() || name.contains(['*', '/']) {
            let given = &self.namespace;
            return Err(format!("{given:?} is not a namespace like \"team\" or, for several, \"team-*\""));
        }
        let limit = match self.limit.as_str() {
            UNLIMITED => None,
            text => Some(text.parse::<Size>().map_err(|fault| format!("{fault}, or \"unlimited\""))?.0),
        };
        Ok(QuotaRule { pattern: pattern.to_owned(), limit })
    }
}

impl Quotas {
    /// The rules; what `check` found fault with is not among them.
    #[must_use]
    pub fn rules(&self) -> QuotaRules {
        let rules = self.namespaces.0.iter().filter_map(|quota| quota.rule().ok()).collect();
        QuotaRules { rules, default: self.default.map(|size| size.0) }
    }
}

impl Section for Quotas {
    fn name(&self) -> &'static str {
        "quotas"
    }

    fn about(&self) -> &'static str {
        "Bytes that a namespace may hold: all repositories whose names begin alike before the first slash. Each\n\
         content counts once in a namespace. `berth-registry quota set` goes before what is said here. All\n\
         replicas must be told the same."
    }

    fn keys(&mut self, keys: &mut dyn Keys) {
        keys.key(
            "default",
            "For each namespace that nothing else is said of, as \"100GiB\". There is no limit unless set.",
            &mut self.default,
        );
        keys.key(
            "namespaces",
            "For some, the first that fits: { namespace = \"team\", limit = \"1TiB\" }, or \"team-*\" for each whose\n\
             name begins so, or \"unlimited\".",
            &mut self.namespaces,
        );
    }

    fn check(&mut self, faults: &mut Faults) {
        for (at, quota) in self.namespaces.0.iter().enumerate() {
            if let Err(sentence) = quota.rule() {
                faults.add(format!("quotas.namespaces (entry {})", at + 1), sentence);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Result<QuotaRules, String> {
        let mut quotas = Quotas::default();
        let table: toml::Table = text.parse().unwrap();
        super::super::value::Value::set(&mut quotas.namespaces, &table["namespaces"])?;
        let mut faults = Faults::new("test".to_owned());
        quotas.check(&mut faults);
        faults.or(quotas.rules()).map_err(|faults| faults.to_string())
    }

    #[test]
    fn quotas_are_read_and_faults_name_their_entry() {
        let rules = faults(
            "namespaces = [{ namespace = 'team/', limit = '1GiB' }, { namespace = 'a-*', limit = 'unlimited' }]",
        )
        .unwrap();
        let rule = |pattern: &str, limit| QuotaRule { pattern: pattern.to_owned(), limit };
        assert_eq!(rules.rules, [rule("team", Some(1 << 30)), rule("a-*", None)]);
        for (text, said) in [
            ("namespaces = [{ namespace = 'a/b', limit = '1GiB' }]", "entry 1): \"a/b\" is not a namespace"),
            ("namespaces = [{ namespace = 'a', limit = 'much' }]", "\"unlimited\""),
            ("namespaces = [{ namespace = 'a', limit = '1GiB', lmit = 1 }]", "lmit"),
        ] {
            let fault = faults(text).unwrap_err();
            assert!(fault.contains(said), "{fault}");
        }
    }

    #[test]
    fn a_burst_is_ten_seconds_unless_it_is_set() {
        let rates = Rates { user_pulls: 5, address_pushes: 2, address_pushes_burst: 3, ..Rates::default() };
        let settings = rates.settings();
        assert_eq!(settings.user_pulls, Some(Rate { per_second: 5, burst: 50 }));
        assert_eq!(settings.address_pushes, Some(Rate { per_second: 2, burst: 3 }));
        assert_eq!(settings.user_pushes, None);
        let mut faults = Faults::new("test".to_owned());
        Rates { user_pulls_burst: 1, ..Rates::default() }.check(&mut faults);
        assert!(faults.or(()).is_err());
    }
}
