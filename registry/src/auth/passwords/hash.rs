//! Hashes of passwords: ours are argon2id, those of password files may be bcrypt.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, PasswordHash, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

use super::secret::random;

/// What a hash costs to compute: its function with its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Cost {
    /// argon2id: KiB of memory, passes, lanes.
    Argon2id(u32, u32, u32),
    /// bcrypt: the logarithm of its rounds.
    Bcrypt(u32),
}

impl Cost {
    /// That of the hashes that we make (OWASP's password storage cheat sheet).
    pub(super) const OURS: Self = Self::Argon2id(19_456, 2, 1);

    /// Does what checking a password against a hash of this cost does, for nothing.
    pub(super) fn spend(self, secret: &[u8]) {
        let sink = match self {
            Self::Argon2id(memory, passes, lanes) => Params::new(memory, passes, lanes, Some(HASH_BYTES))
                .ok()
                .and_then(|params| argon2id(Version::V0x13, params, secret, &[0; 16], HASH_BYTES)),
            Self::Bcrypt(rounds) => bcrypt::hash_with_salt_bytes(secret, rounds, [0; 16]).ok().map(Vec::from),
        };
        std::hint::black_box(sink);
    }
}

/// Bytes of the hashes that we make.
const HASH_BYTES: usize = 32;
/// More of either would let one login take the machine.
const MOST_MEMORY: u32 = 128 << 10;
const MOST_PASSES: u32 = 16;
const MOST_ROUNDS: u32 = 15;

fn argon2id(version: Version, params: Params, secret: &[u8], salt: &[u8], bytes: usize) -> Option<Vec<u8>> {
    let mut hash = vec![0; bytes];
    Argon2::new(Algorithm::Argon2id, version, params).hash_password_into(secret, salt, &mut hash).ok()?;
    Some(hash)
}

/// A hash that passwords can be checked against.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct StoredHash {
    text: String,
    cost: Cost,
}

impl fmt::Debug for StoredHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the text: it can be guessed against.
        f.debug_struct("StoredHash").field("cost", &self.cost).finish_non_exhaustive()
    }
}

impl StoredHash {
    /// Reads a hash. What is wrong with one is said without repeating it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let cost = if text.starts_with("$argon2id$") {
            argon2id_cost(text)?
        } else if ["$2a$", "$2b$", "$2y$"].iter().any(|kind| text.starts_with(kind)) {
            bcrypt_cost(text)?
        } else {
            return Err(unfit(text).to_owned());
        };
        Ok(Self { text: text.to_owned(), cost })
    }

    pub(super) fn cost(&self) -> Cost {
        self.cost
    }

    /// Makes a hash. Takes its time: for threads that may.
    pub(super) fn of(secret: &str) -> Result<Self, String> {
        let Cost::Argon2id(memory, passes, lanes) = Cost::OURS else { return Err("no cost".to_owned()) };
        let salt: [u8; 16] = random();
        let params =
            Params::new(memory, passes, lanes, Some(HASH_BYTES)).map_err(|error| error.to_string())?;
        let hash = argon2id(Version::V0x13, params, secret.as_bytes(), &salt, HASH_BYTES);
        let hash = hash.ok_or("argon2id has no memory to work with")?;
        let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
        let text = format!("$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${hash}");
        Ok(Self { text, cost: Cost::OURS })
    }

    /// As the catalog keeps it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is this password's. Takes its time: for threads that may.
    pub(super) fn is_of(&self, secret: &str) -> bool {
        match self.cost {
            Cost::Argon2id(..) => self.is_of_by_argon2id(secret.as_bytes()).unwrap_or(false),
            // Cut after 72 bytes, as everything that makes these hashes does.
            Cost::Bcrypt(_) => bcrypt::verify(secret, &self.text).unwrap_or(false),
        }
    }

    fn is_of_by_argon2id(&self, secret: &[u8]) -> Option<bool> {
        let parsed = PasswordHash::new(&self.text).ok()?;
        let (salt, expected) = (parsed.salt?, parsed.hash?);
        let params = Params::try_from(&parsed).ok()?;
        let hash = argon2id(version(&parsed)?, params, secret, salt.as_ref(), expected.len())?;
        Some(verify_slices_are_equal(&hash, expected.as_bytes()).is_ok())
    }
}

fn version(hash: &PasswordHash) -> Option<Version> {
    // A hash that does not say is of the time before 1.3.
    Version::try_from(hash.version.unwrap_or(0x10)).ok()
}

fn argon2id_cost(text: &str) -> Result<Cost, String> {
    let malformed = || "the argon2id hash is malformed or cut short".to_owned();
    let parsed = PasswordHash::new(text).map_err(|_| malformed())?;
    let params = Params::try_from(&parsed).map_err(|_| malformed())?;
    if parsed.salt.is_none() || parsed.hash.is_none() || version(&parsed).is_none() {
        return Err(malformed());
    }
    if params.m_cost() > MOST_MEMORY || params.t_cost() > MOST_PASSES {
        return Err(format!(
            "the argon2id hash takes more than m={MOST_MEMORY} or t={MOST_PASSES}: one login would take too much; \
             make it anew with less"
        ));
    }
    Ok(Cost::Argon2id(params.m_cost(), params.t_cost(), params.p_cost()))
}

fn bcrypt_cost(text: &str) -> Result<Cost, String> {
    let parts: Result<bcrypt::HashParts, _> = text.parse();
    let cost = parts.map_err(|_| "the bcrypt hash is malformed or cut short".to_owned())?.get_cost();
    if (4..=MOST_ROUNDS).contains(&cost) {
        return Ok(Cost::Bcrypt(cost));
    }
    Err(format!("the bcrypt hash has a cost of {cost}, which must be from 4 to {MOST_ROUNDS}; make it anew"))
}

/// What a text is that is no hash of ours.
fn unfit(text: &str) -> &'static str {
    if text.starts_with("$apr1$") || text.starts_with("$1$") {
        "an MD5 hash, which is guessed in no time; make it anew with `htpasswd -B`"
    } else if text.starts_with("{SHA}") {
        "an SHA-1 hash without a salt, which is guessed in no time; make it anew with `htpasswd -B`"
    } else if text.starts_with("$5$") || text.starts_with("$6$") {
        "a crypt(3) hash, which is not read here; make it anew with `htpasswd -B`"
    } else if text.starts_with("$argon2") {
        "an argon2i or argon2d hash; only argon2id is taken"
    } else {
        "neither a bcrypt nor an argon2id hash: a crypt(3) hash or a password as it is; make it with `htpasswd -B`"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `htpasswd -nbBC 5 x allmine`.
    const BCRYPT: &str = "$2y$05$p3QTGTnIrSKQZsCHUoDz2uiXVAZdkcSLsIiPssddCYCm/BQtTa/3C";

    #[test]
    fn a_hash_is_of_its_password_alone() {
        let hash = StoredHash::of("correct horse").unwrap();
        assert_eq!(StoredHash::parse(hash.text()).unwrap(), hash);
        assert_eq!(hash.cost(), Cost::OURS);
        assert!(hash.is_of("correct horse"));
        assert!(!hash.is_of("correct horsf") && !hash.is_of("") && !hash.is_of("correct horse "));
        assert_ne!(StoredHash::of("correct horse").unwrap(), hash, "each has a salt of its own");
    }

    #[test]
    fn hashes_of_other_programs_are_read() {
        // Test vector of the reference implementation (argon2id, version 19).
        let argon2id = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        assert!(StoredHash::parse(argon2id).unwrap().is_of("password"));
        assert!(!StoredHash::parse(argon2id).unwrap().is_of("passwore"));
        for kind in ["2y", "2b", "2a"] {
            let hash = StoredHash::parse(&BCRYPT.replace("2y", kind)).unwrap();
            assert_eq!(hash.cost(), Cost::Bcrypt(5));
            assert!(hash.is_of("allmine"), "{kind}");
            assert!(!hash.is_of("allmind"), "{kind}");
        }
    }

    #[test]
    fn what_is_easily_guessed_or_takes_too_much_is_refused_and_not_repeated() {
        for (text, sentence) in [
            ("$apr1$hunter2$x", "MD5"),
            ("{SHA}hunter2", "SHA-1"),
            ("$6$hunter2", "crypt(3)"),
            ("hunter2", "a password as it is"),
            ("", "a password as it is"),
            ("$argon2i$v=19$m=256,t=2,p=1$hunter2", "argon2i"),
            ("$argon2id$v=19$m=256,t=2,p=1$hunter2", "malformed"),
            (
                "$argon2id$v=19$m=999999999,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
                "too much",
            ),
            (
                "$argon2id$v=19$m=256,t=99,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
                "too much",
            ),
            ("$2y$05$hunter2", "malformed"),
            (&BCRYPT.replace("$05$", "$31$"), "cost of 31"),
            (&BCRYPT.replace("$05$", "$03$"), "cost of 3"),
        ] {
            let fault = StoredHash::parse(text).unwrap_err();
            assert!(fault.contains(sentence), "{text}: {fault}");
            assert!(!fault.contains("hunter2"), "{fault}");
        }
    }

    #[test]
    fn r34_a_hash_is_not_debugged() {
        assert!(!format!("{:?}", StoredHash::parse(BCRYPT).unwrap()).contains("p3QTGT"));
    }

    proptest::proptest! {
        #[test]
        fn a_hash_that_was_changed_costs_no_more_than_is_allowed(at: proptest::sample::Index, with in "[ -~]{0,3}") {
            let argon2id = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
            for good in [BCRYPT, argon2id] {
                let at = at.index(good.len());
                let changed = format!("{}{with}{}", &good[..at], &good[at + 1..]);
                match StoredHash::parse(&changed).map(|hash| hash.cost()) {
                    Ok(Cost::Argon2id(memory, passes, _)) => {
                        proptest::prop_assert!(memory <= MOST_MEMORY && passes <= MOST_PASSES);
                    }
                    Ok(Cost::Bcrypt(rounds)) => proptest::prop_assert!(rounds <= MOST_ROUNDS),
                    Err(why) => proptest::prop_assert!(!why.contains(&good[good.len() - 20..])),
                }
            }
        }
    }
}
