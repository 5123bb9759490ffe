//! `[auth.tokens]`.

use std::time::Duration;

use super::{
    faults::Faults,
    section::{Keys, Section},
    value::choice,
};
use crate::auth::tokens::SigningAlgorithm;

choice! {
    /// What tokens are signed with.
    TokenAlgorithm {
        /// ECDSA over P-256.
        #[default]
        Es256 = "ES256",
        /// Ed25519.
        EdDsa = "EdDSA",
    }
}

impl From<TokenAlgorithm> for SigningAlgorithm {
    fn from(algorithm: TokenAlgorithm) -> Self {
        match algorithm {
            TokenAlgorithm::Es256 => Self::Es256,
            TokenAlgorithm::EdDsa => Self::EdDsa,
        }
    }
}

/// The built-in token server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Whether tokens are issued.
    pub enabled: bool,
    /// How long one is good.
    pub life: Duration,
    /// By how much clocks may differ.
    pub leeway: Duration,
    /// How long a refresh token is good that nobody uses.
    pub refresh_life: Duration,
    /// What is signed with.
    pub algorithm: TokenAlgorithm,
    /// When a key is followed by the next.
    pub rotation: Duration,
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            enabled: true,
            life: Duration::from_mins(5),
            leeway: Duration::from_mins(1),
            refresh_life: Duration::from_hours(90 * 24),
            algorithm: TokenAlgorithm::default(),
            rotation: Duration::from_hours(90 * 24),
        }
    }
}

impl Section for Tokens {
    fn name(&self) -> &'static str {
        "auth.tokens"
    }

    fn about(&self) -> &'static str {
        "The token server at /token, which means something when auth.enabled = true: clients log in once and show\n\
         tokens of short life from then on. Without it they send their password with each request."
    }

    fn keys(&mut self, keys: &mut dyn Keys) {
        keys.key("enabled", "Tokens are issued here.", &mut self.enabled);
        keys.key(
            "life",
            "How long a token is good. Whoever is shut out is out when their last token ends.",
            &mut self.life,
        );
        keys.key("leeway", "By how much clocks may differ.", &mut self.leeway);
        keys.key(
            "refresh_life",
            "How long a refresh token is good that nobody uses; clients get one as they log in.",
            &mut self.refresh_life,
        );
        keys.key("algorithm", "What tokens are signed with: \"ES256\" or \"EdDSA\".", &mut self.algorithm);
        keys.key(
            "rotation",
            "When a signing key is followed by the next; the old one verifies until its last token has ended.\n\
             \"0s\" for never; `berth-registry token keys rotate` does it at any time.",
            &mut self.rotation,
        );
    }

    fn check(&mut self, faults: &mut Faults) {
        let bounds = [
            ("life", self.life, Duration::from_secs(1), Duration::from_hours(24)),
            ("leeway", self.leeway, Duration::ZERO, Duration::from_mins(10)),
            ("refresh_life", self.refresh_life, Duration::from_mins(1), Duration::from_hours(24 * 3650)),
        ];
        for (key, value, least, most) in bounds {
            if value < least || value > most {
                let (least, most) = (super::human::show_time(least), super::human::show_time(most));
                faults.add(format!("auth.tokens.{key}"), format!("must be from {least} to {most}"));
            }
        }
        if !self.rotation.is_zero() && self.rotation < Duration::from_hours(1) {
            faults.add("auth.tokens.rotation", "must be 1h or more, or 0s for never");
        }
        if self.life.subsec_nanos() > 0 {
            faults.add("auth.tokens.life", "must be whole seconds");
        }
    }
}
