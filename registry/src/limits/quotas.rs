//! What the configuration says that namespaces may hold.

use crate::catalog::Namespace;

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaRule {
    /// Which namespaces: one by its name, or with `*` at the end all whose names begin so.
    pub pattern: String,
    /// Bytes that each of them may hold; `None` is no limit.
    pub limit: Option<u64>,
}

/// All of them: the first that fits decides, else the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaRules {
    /// In the order of the configuration.
    pub rules: Vec<QuotaRule>,
    /// For every other namespace; `None` is no limit.
    pub default: Option<u64>,
}

impl QuotaRules {
    /// What a namespace may hold.
    #[must_use]
    pub fn limit_of(&self, namespace: &Namespace) -> Option<u64> {
        let name = namespace.as_str();
        let fits = |rule: &&QuotaRule| match rule.pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == rule.pattern,
        };
        let rule = self.rules.iter().find(fits);
        rule.map_or(self.default, |rule| rule.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rule = |pattern: &str, limit| QuotaRule { pattern: pattern.to_owned(), limit };
        let rules = QuotaRules {
            rules: vec![rule("big", Some(100)), rule("free-*", None), rule("a*", Some(10))],
            default: Some(1),
        };
        for (namespace, limit) in [
            ("big", Some(100)),
            ("free-team", None),
            ("a-team", Some(10)),
            ("bigger", Some(1)),
            ("other", Some(1)),
        ] {
            assert_eq!(rules.limit_of(&namespace.parse().unwrap()), limit, "{namespace}");
        }
    }
}
