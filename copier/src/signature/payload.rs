//! What is signed: the JSON object with which a signer says which manifest a name means (containers-signature(5); cosign's
//! `simplesigning` payload has the same shape).

use berth_oci::{Algorithm, Digest, Reference};
use jiff::Timestamp;
use serde_json::json;

use super::{
    Rejection,
    json::{self, Json, quoted},
};

/// Whom the payload's `creator` names.
const CREATOR: &str = concat!("berth-copier/", env!("CARGO_PKG_VERSION"));

/// The two formats' names for what a payload is (`critical.type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Simple signing.
    Simple,
    /// Sigstore.
    Sigstore,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Simple => "atomic container signature",
            Self::Sigstore => "cosign container image signature",
        }
    }
}

/// What a payload claims. It is a claim until a signature over its bytes was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// `critical.identity.docker-reference`: the name that was signed, as it was written.
    pub reference: String,
    /// `critical.image.docker-manifest-digest`, as it was written.
    pub digest: String,
    /// `optional.creator`.
    pub creator: Option<String>,
    /// `optional.timestamp`, whole seconds since 1970.
    pub timestamp: Option<i64>,
}

impl Payload {
    /// The claim that `manifest` is what `reference` means.
    #[must_use]
    pub fn new(reference: &Reference, manifest: &Digest, now: Timestamp) -> Self {
        Self {
            reference: reference.to_string(),
            digest: manifest.to_string(),
            creator: Some(CREATOR.to_owned()),
            timestamp: Some(now.as_second()),
        }
    }

    /// The bytes to sign.
    #[must_use]
    pub fn to_bytes(&self, kind: Kind) -> Vec<u8> {
        let mut optional = serde_json::Map::new();
        if let Some(creator) = &self.creator {
            optional.insert("creator".to_owned(), creator.as_str().into());
        }
        if let Some(timestamp) = self.timestamp {
            optional.insert("timestamp".to_owned(), timestamp.into());
        }
        let payload = json!({
            "critical": {
                "identity": { "docker-reference": self.reference },
                "image": { "docker-manifest-digest": self.digest },
                "type": kind.as_str(),
            },
            "optional": optional,
        });
        payload.to_string().into_bytes()
    }

    /// Reads a payload. All that is critical must be understood: an unknown field there, or any field twice, is refused.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(kind: Kind, bytes: &[u8]) -> Result<Self, Rejection> {
        let read = || {
            let payload = json::parse(bytes).map_err(|fault| fault.to_string())?;
            let [critical, optional] = payload.exactly(["critical", "optional"])?;
            let [identity, image, is] = critical.exactly(["identity", "image", "type"])?;
            if is.text()? != kind.as_str() {
                return Err(format!("unrecognized signature type {}", quoted(is.text()?)));
            }
            let [reference] = identity.exactly(["docker-reference"])?;
            let [digest] = image.exactly(["docker-manifest-digest"])?;
            let (creator, timestamp) = optional_fields(optional)?;
            Ok(Self {
                reference: reference.text()?.to_owned(),
                digest: digest.text()?.to_owned(),
                creator,
                timestamp,
            })
        };
        read().map_err(|fault| Rejection(format!("Invalid signature payload: {fault}")))
    }

    /// Verifies that the claim is about this manifest.
    ///
    /// # Errors
    /// If it is about another one, or names it by a digest that cannot be verified.
    pub fn verify_digest(&self, manifest: &[u8]) -> Result<(), Rejection> {
        let matches = self
            .digest
            .parse::<Digest>()
            .is_ok_and(|claimed| Digest::of(claimed.algorithm(), manifest) == claimed);
        if matches {
            return Ok(());
        }
        let found = Digest::of(Algorithm::Sha256, manifest);
        Err(Rejection(format!(
            "Signature for docker digest {} does not match, the manifest is {found}",
            quoted(&self.digest)
        )))
    }
}

/// Unknown fields are fine here, and cosign writes `null` where there are none; the known ones have their types.
fn optional_fields(optional: &Json) -> Result<(Option<String>, Option<i64>), String> {
    let fields = match optional {
        Json::Null => return Ok((None, None)),
        Json::Object(fields) => fields,
        other => return Err(format!("optional: expected an object, found {}", other.kind())),
    };
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    let creator = field("creator").map(Json::text).transpose()?.map(str::to_owned);
    let timestamp = match field("timestamp") {
        None => None,
        Some(Json::Number(number)) => {
            Some(number.as_i64().ok_or_else(|| format!("timestamp: {number} is no whole number"))?)
        }
        Some(other) => return Err(format!("timestamp: expected a number, found {}", other.kind())),
    };
    Ok((creator, timestamp))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = r#"{"critical":{"identity":{"docker-reference":"h/a:1"},"image":{"docker-manifest-digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"type":"atomic container signature"},"optional":{"creator":"x","timestamp":5}}"#;

    #[test]
    fn what_is_written_is_read_again_in_both_formats() {
        let reference: Reference = "registry.example/app:1".parse().unwrap();
        let digest = Digest::of(Algorithm::Sha256, b"{}");
        let payload = Payload::new(&reference, &digest, Timestamp::from_second(1_700_000_000).unwrap());
        for kind in [Kind::Simple, Kind::Sigstore] {
            assert_eq!(Payload::parse(kind, &payload.to_bytes(kind)).unwrap(), payload);
        }
        assert!(Payload::parse(Kind::Sigstore, &payload.to_bytes(Kind::Simple)).is_err());
        payload.verify_digest(b"{}").unwrap();
        let other = payload.verify_digest(b"{ }").unwrap_err().0;
        assert!(other.contains("does not match"), "{other}");
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        Payload::parse(Kind::Simple, GOOD.as_bytes()).unwrap();
        for (from, to, reason) in [
            (r#""type":"#, r#""extra":1,"type":"#, "unexpected field \"extra\""),
            (r#""type":"#, r#""Type":"#, "unexpected field \"Type\""),
            (r#""identity":{"#, r#""identity":{"docker-reference":"h/b:1","#, "duplicate field"),
            (r#""optional":{"#, r#""optional":{"creator":"y","#, "duplicate field"),
            (r#"5}"#, r#"5.5}"#, "no whole number"),
            (r#""x""#, "7", "expected a string"),
            (r#","optional":{"creator":"x","timestamp":5}"#, "", "missing field \"optional\""),
            ("atomic container signature", "atomic container", "unrecognized signature type"),
            (r#"{"docker-reference":"h/a:1"}"#, "[]", "expected an object"),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD, "{from}");
            let error = Payload::parse(Kind::Simple, text.as_bytes()).unwrap_err().0;
            assert!(error.contains(reason), "{error}");
        }
        let twice = format!("{GOOD}{GOOD}");
        assert!(Payload::parse(Kind::Simple, twice.as_bytes()).is_err());
    }

    #[test]
    fn cosigns_null_for_no_options_is_read() {
        let text = GOOD
            .replace(r#"{"creator":"x","timestamp":5}"#, "null")
            .replace("atomic container", "cosign container image");
        let payload = Payload::parse(Kind::Sigstore, text.as_bytes()).unwrap();
        assert_eq!((payload.creator, payload.timestamp), (None, None));
    }

    #[test]
    fn a_digest_of_an_unknown_algorithm_vouches_for_nothing() {
        for digest in ["", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:x"] {
            let payload = Payload {
                reference: String::new(),
                digest: digest.to_owned(),
                creator: None,
                timestamp: None,
            };
            assert!(payload.verify_digest(b"").is_err(), "{digest}");
        }
    }

    proptest! {
        #[test]
        fn no_payload_makes_the_reader_panic(text in ".*", cut in 0..GOOD.len()) {
            let _ = Payload::parse(Kind::Simple, text.as_bytes());
            prop_assert!(Payload::parse(Kind::Simple, &GOOD.as_bytes()[..cut]).is_err());
        }
    }
}
