//! Secrets that we make, and what is kept of them.

use aws_lc_rs::{digest, rand};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// Begins every robot's secret, so that whoever scans files for leaked secrets can find it.
const PREFIX: &str = "berth_robot_";

/// Random bytes.
///
/// # Panics
/// When the operating system gives none: nothing that is secret can be made then.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(clippy::expect_used, reason = "a registry without random numbers must not go on")]
    rand::fill(&mut bytes).expect("the operating system gives random numbers");
    bytes
}

/// A new secret for a robot: 256 random bits.
#[must_use]
pub fn robot_secret() -> String {
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random::<32>()))
}

/// A new password for a person: 128 random bits.
#[must_use]
pub fn password() -> String {
    URL_SAFE_NO_PAD.encode(random::<16>())
}

/// What is kept of a robot's secret. Nobody can try 2^256 of them, so a fast hash is enough.
#[must_use]
pub fn fingerprint(secret: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, secret.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_and_never_the_same() {
        assert_ne!(robot_secret(), robot_secret());
        assert_ne!(password(), password());
        let secret = robot_secret();
        assert_eq!(URL_SAFE_NO_PAD.decode(secret.strip_prefix(PREFIX).unwrap()).unwrap().len(), 32);
        assert_eq!(fingerprint(&secret).len(), 32);
        assert_ne!(fingerprint(&secret), fingerprint(&robot_secret()));
    }
}
