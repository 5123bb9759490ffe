//! Tokens and keys of which nobody knows where they come from.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::Algorithm;
use proptest::prelude::*;

use super::super::{jwks::KeySet, jwt};

/// A P-256, an RSA and an Ed25519 key in DER.
const KEYS: [&str; 3] = [
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8bVLZH1cFMSAfom6ibvynOZhrcwLFGKg247B78RRXNvOetgBI3aBzvVwK4K4ZQyDBhq5VLdDClNQXZVzHaYYhA==",
    RSA,
    "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=",
];
const RSA: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAv/1hGrswujlA2AMQZOGcqdcaAseFBEZjkVEMmj+bm++RC19r+4Hn//nHdBAPrBEWof9Zo94WVDg8thAcE7vxbAakk6CtuVpzvcoh30r3wdBpQW+BhRj/+6ehjbtuhtXmWAA4pq1R269mCfoiXA4NJWo3QtbvBxKhlvZC2nd6cfa9THcTtfECVuMdowIGhRPce6RPyrBN328kVTdmW5Xoh3fcj6rOfpz+1Pf1n+tOLwQwCnGnxpkrOu5XCjeANTicbscCEhJkSd3aP76tX6EI46DTGcaRIn7EQAFeWwqmS/7KJMBRYp7n+V0kIBsMzPcPhpFAfWQpymve4KjSBe9HcwIDAQAB";

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
}

#[test]
fn the_keys_are_read_as_they_are() {
    for key in KEYS {
        assert!(KeySet::from_pem(pem(&STANDARD.decode(key).unwrap()).as_bytes()).is_ok(), "{key}");
    }
}

proptest! {
    #[test]
    fn no_token_makes_its_outline_panic(
        head in "(\\{|\\}|\"alg\":|\"kid\":|\"crit\":|\"RS256\"|\"none\"|\"HS256\"|,|\\[|\\]|null){0,8}",
        body in "(\\{|\\}|\"iss\":|\"x\"|,|1){0,6}",
        noise in "[ -~]{0,60}",
    ) {
        let token = format!("{}.{}.", URL_SAFE_NO_PAD.encode(&head), URL_SAFE_NO_PAD.encode(&body));
        if let Ok(outline) = jwt::outline(&token) {
            prop_assert!(body.contains("\"iss\"") && !outline.issuer.is_empty());
        }
        let _any = (jwt::outline(&noise), jwt::looks_like_one(&noise));
    }

    #[test]
    fn no_key_that_was_changed_makes_the_reader_panic(
        which in 0..KEYS.len(), at: prop::sample::Index, with: u8, cut: Option<prop::sample::Index>,
    ) {
        let mut der = STANDARD.decode(KEYS[which]).unwrap();
        let at = at.index(der.len());
        der[at] = with;
        if let Some(cut) = cut {
            der.truncate(cut.index(der.len()));
        }
        for label in ["PUBLIC KEY", "CERTIFICATE"] {
            let text = pem(&der).replace("PUBLIC KEY", label);
            if let Ok(keys) = KeySet::from_pem(text.as_bytes()) {
                let _any = (keys.fitting(None, Algorithm::ES256), keys.has("x"));
            }
        }
    }

    #[test]
    fn no_set_of_keys_makes_the_reader_panic(
        set in "(\\{|\\}|\"keys\":|\\[|\\]|,|\"kty\":|\"RSA\"|\"EC\"|\"OKP\"|\"oct\"|\"crv\":|\"P-256\"|\"Ed25519\"|\"x\":|\"y\":|\"n\":|\"e\":|\"k\":|\"AQAB\"|\"\"|\"!\"){0,24}",
        n in "[A-Za-z0-9_-]{0,12}", e in "[A-Za-z0-9_-]{0,6}", x in "[A-Za-z0-9_-]{0,44}",
    ) {
        let _any = KeySet::from_json(set.as_bytes());
        for key in [
            format!(r#"{{"kty":"RSA","n":"{n}","e":"{e}"}}"#),
            format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{n}"}}"#),
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#),
            format!(r#"{{"kty":"oct","k":"{x}"}}"#),
        ] {
            if let Ok(keys) = KeySet::from_json(format!(r#"{{"keys":[{key}]}}"#).as_bytes()) {
                prop_assert!(!key.contains("oct") && keys.fitting(None, Algorithm::HS256).is_empty());
            }
        }
    }
}
