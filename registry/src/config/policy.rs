//! `[policy]`: who may do what, as far as the file says it.

use super::{
    faults::Faults,
    section::{Keys, Section},
    value::Tables,
};
use crate::policy::{Rule, Rules};

/// Rules of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The rules.
    pub rules: Tables<Rule>,
}

impl Section for Policy {
    fn name(&self) -> &'static str {
        "policy"
    }

    fn about(&self) -> &'static str {
        "Who may do what with which repositories. Nothing is allowed that no rule allows, and what a rule denies no\n\
         other allows. Rules added by `berth-registry policy add` hold as well. Without any rule whoever is known may\n\
         pull and push everything, and nobody else anything."
    }

    fn keys(&mut self, keys: &mut dyn Keys) {
        keys.key(
            "rules",
            "As a list of [[policy.rules]]:\n\
             [[policy.rules]]\n\
             name = \"developers\"\n\
             subjects = [\"group:dev\", \"robot:team/*\"]     # also user:, cert:, ci:github:octo/*, authenticated,\n\
             \u{20}                                         # anonymous (so everybody), everyone\n\
             verbs = [\"pull\", \"push\", \"overwrite\"]     # also delete, admin, \"*\"; overwrite moves tags\n\
             repositories = [\"team/**\"]                # * is one level, ** all below\n\
             With effect = \"deny\" a rule takes away; tags = [\"v*\"] then limits it to tags like these.",
            &mut self.rules,
        );
    }

    fn check(&mut self, faults: &mut Faults) {
        let rules = &self.rules.0;
        if let Err(sentences) = Rules::new(rules, &[]) {
            sentences.into_iter().for_each(|sentence| faults.add("policy.rules", sentence));
        }
        for (at, rule) in rules.iter().enumerate() {
            if rules.iter().take(at).any(|earlier| earlier.name == rule.name) {
                faults.add("policy.rules", format!("rule {:?} is there twice", rule.name));
            }
        }
    }
}
