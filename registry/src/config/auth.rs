//! `[auth]`: who may come, and where they are known.

use std::path::PathBuf;

use super::{
    faults::Faults,
    issuers::{FederationEntry, IssuerEntry},
    section::{Keys, Section},
    value::Tables,
};

/// Authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Whether callers have to say who they are.
    pub enabled: bool,
    /// A file of names and password hashes.
    pub htpasswd: Option<PathBuf>,
    /// Who administers, besides users of the catalog that are marked so; as `user:alice`, in canonical form.
    pub admins: Vec<String>,
    /// What the registry calls itself to clients.
    pub service: String,
    /// Token servers of others.
    pub issuers: Tables<IssuerEntry>,
    /// Platforms that vouch for programs.
    pub federation: Tables<FederationEntry>,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            enabled: false,
            htpasswd: None,
            admins: Vec::new(),
            service: "berth".to_owned(),
            issuers: Tables::default(),
            federation: Tables::default(),
        }
    }
}

impl Section for Auth {
    fn name(&self) -> &'static str {
        "auth"
    }

    fn about(&self) -> &'static str {
        "Who may come. With it on, users (`berth-registry user add`) and robots (`berth-registry robot add`) of the\n\
         catalog are known, and whoever the keys below add; what each may do is the policy's. With it off, everybody\n\
         is anonymous and may do everything."
    }

    fn keys(&mut self, keys: &mut dyn Keys) {
        keys.key("enabled", "Callers have to say who they are.", &mut self.enabled);
        keys.key(
            "htpasswd",
            "A file with a line NAME:HASH for each user more, as \"/etc/berth/htpasswd\". Hashes are bcrypt, which\n\
             `htpasswd -B` makes, or argon2id. It is read again when it changes.",
            &mut self.htpasswd,
        );
        keys.key(
            "admins",
            "Who administers, besides users that were added with --admin: names of users, or \"cert:NAME\" for the\n\
             holders of client certificates, as [\"alice\", \"cert:ops\"].",
            &mut self.admins,
        );
        keys.key(
            "service",
            "What the registry calls itself to clients: the realm of Basic, the service and audience of its tokens.",
            &mut self.service,
        );
        keys.key("issuers", super::issuers::ABOUT_ISSUERS, &mut self.issuers);
        keys.key("federation", super::issuers::ABOUT_FEDERATION, &mut self.federation);
    }

    fn check(&mut self, faults: &mut Faults) {
        for name in &mut self.admins {
            if !name.contains(':') {
                *name = format!("user:{name}");
            }
            if !["user:", "cert:"]
                .iter()
                .any(|kind| name.strip_prefix(kind).is_some_and(|rest| !rest.is_empty()))
            {
                faults.add(
                    "auth.admins",
                    format!(
                        "{name:?} is neither the name of a user nor \"cert:NAME\" of a client certificate"
                    ),
                );
            }
        }
        let printable =
            self.service.bytes().all(|byte| matches!(byte, b' '..=b'~') && !b"\"\\".contains(&byte));
        if self.service.is_empty() || !printable {
            faults
                .add("auth.service", "must be printable ASCII without quotes and backslashes, and not empty");
        }
        self.check_issuers(faults);
        if self.enabled {
            return;
        }
        for (key, set) in [
            ("htpasswd", self.htpasswd.is_some()),
            ("admins", !self.admins.is_empty()),
            ("issuers", !self.issuers.0.is_empty()),
            ("federation", !self.federation.0.is_empty()),
        ] {
            if set {
                faults.add(
                    format!("auth.{key}"),
                    "is set though nobody is asked who they are; set auth.enabled = true",
                );
            }
        }
    }
}
