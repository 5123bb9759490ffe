use std::{fs, path::PathBuf, process::Command, sync::OnceLock};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use berth_oci::{Algorithm, Digest};
use proptest::prelude::*;

use super::*;
use crate::compression::tests::{Pieces, read, text};

/// Keys that OpenSSL made, once for all tests.
pub(super) struct Keys {
    folder: tempfile::TempDir,
}

pub(super) fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let keys = Keys { folder: tempfile::tempdir().unwrap() };
        for (name, arguments) in [
            ("rsa", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"][..]),
            ("rsa2", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
            ("p256", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
            ("p384", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]),
            ("p521", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"]),
            ("secp256k1", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"]),
            ("ed25519", &["-algorithm", "ED25519"]),
        ] {
            let (private, public) = (keys.path(name), keys.path(&format!("{name}.pub")));
            openssl(&[&["genpkey", "-out", &private], arguments].concat());
            openssl(&["pkey", "-in", &private, "-pubout", "-out", &public]);
        }
        keys
    })
}

pub(super) fn openssl(arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Keys {
    pub(super) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    pub(super) fn recipient(&self, name: &str) -> Recipient {
        Recipient::parse(&format!("jwe:{}", self.path(&format!("{name}.pub")))).unwrap()
    }

    pub(super) fn decryption(&self, name: &str) -> DecryptionKey {
        DecryptionKey::parse(&self.path(name)).unwrap()
    }
}

pub(super) async fn encrypt(plain: &[u8], recipients: &[&str]) -> (Vec<u8>, BTreeMap<String, String>) {
    let recipients = recipients.iter().map(|name| keys().recipient(name)).collect();
    let content = Encrypted::new(Pieces::new(plain.to_vec(), 10_000), recipients).unwrap();
    let bytes = read(&content).await.unwrap();
    (bytes, content.annotations().unwrap())
}

async fn decrypt(bytes: Vec<u8>, annotations: &BTreeMap<String, String>, key: &str) -> Result<Vec<u8>> {
    read(&Decrypted::new(Pieces::new(bytes, 7000), annotations, &[keys().decryption(key)])?).await
}

#[tokio::test]
async fn every_recipient_can_decrypt_and_nobody_else() {
    let plain = text(150_000, 3);
    for recipients in [&["rsa"][..], &["p256"], &["p384"], &["p521"], &["rsa", "p256", "p521"]] {
        let (encrypted, annotations) = encrypt(&plain, recipients).await;
        assert_eq!(encrypted.len(), plain.len());
        for key in recipients {
            assert!(decrypt(encrypted.clone(), &annotations, key).await.unwrap() == plain, "{key}");
        }
        let error = decrypt(encrypted.clone(), &annotations, "rsa2").await.unwrap_err();
        assert!(error.to_string().contains("--decryption-key") && error.exit_code() == 1, "{error}");
    }
}

#[tokio::test]
async fn the_plain_digest_travels_with_the_key() {
    let plain = text(1000, 3);
    let (encrypted, annotations) = encrypt(&plain, &["p256"]).await;
    let content =
        Decrypted::new(Pieces::new(encrypted, 1), &annotations, &[keys().decryption("p256")]).unwrap();
    assert_eq!(content.digest(), Some(&Digest::of(Algorithm::Sha256, &plain)));
}

#[tokio::test]
async fn no_two_openings_share_a_key() {
    let content = Encrypted::new(Pieces::new(vec![0; 1000], 100), vec![keys().recipient("p256")]).unwrap();
    assert!(content.annotations().is_none());
    let first = read(&content).await.unwrap();
    assert_ne!(first, read(&content).await.unwrap());
    assert!(matches!(crate::Content::open(&content, 5).await, Err(Error::NotSeekable)));
}

#[tokio::test]
async fn changed_and_cut_bytes_fail_before_the_last_piece() {
    use futures_util::StreamExt;
    for size in [0, 1, 65_536, 200_000] {
        let plain = text(size, 9);
        let (encrypted, annotations) = encrypt(&plain, &["p256"]).await;
        let mut wrong = vec![[encrypted.as_slice(), b"x"].concat()];
        if size > 0 {
            wrong.push(encrypted[..size - 1].to_vec());
            let mut changed = encrypted.clone();
            changed[size / 2] ^= 0x20;
            wrong.push(changed);
        }
        for wrong in wrong {
            let key = [keys().decryption("p256")];
            let whole = wrong.len().max(1);
            let content = Decrypted::new(Pieces::new(wrong, 3000), &annotations, &key).unwrap();
            let mut stream = crate::Content::open(&content, 0).await.unwrap();
            let mut came = 0;
            let error = loop {
                match stream.next().await.unwrap() {
                    Ok(piece) => came += piece.len(),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.exit_code(), 4, "{error}");
            assert!(came < whole, "{came} of {whole}");
            assert!(stream.next().await.is_none());
        }
    }
}

#[tokio::test]
async fn a_recipient_is_added_without_the_layers_bytes() {
    let plain = text(5000, 1);
    let (encrypted, annotations) = encrypt(&plain, &["rsa"]).await;
    let more =
        add_recipients(&annotations, &[keys().decryption("rsa")], &[keys().recipient("p256")]).unwrap();
    assert_eq!(more[OPTIONS_ANNOTATION], annotations[OPTIONS_ANNOTATION]);
    for key in ["rsa", "p256"] {
        assert!(decrypt(encrypted.clone(), &more, key).await.unwrap() == plain);
    }
    assert!(add_recipients(&annotations, &[keys().decryption("p256")], &[keys().recipient("rsa2")]).is_err());
}

#[test]
fn keys_are_read_from_every_form_and_never_shown() {
    let keys = keys();
    let (rsa, p256) = (keys.path("rsa"), keys.path("p256"));
    openssl(&["rsa", "-in", &rsa, "-traditional", "-out", &keys.path("pkcs1")]);
    openssl(&["ec", "-in", &p256, "-out", &keys.path("sec1")]);
    openssl(&["rsa", "-in", &rsa, "-RSAPublicKey_out", "-out", &keys.path("pkcs1.pub")]);
    openssl(&["req", "-x509", "-key", &p256, "-subj", "/CN=x", "-out", &keys.path("certificate.pub")]);
    for (public, private) in [("pkcs1", "rsa"), ("rsa", "pkcs1"), ("certificate", "sec1")] {
        let wrapped = jwe::encrypt(b"secret", &[keys.recipient(public)]).unwrap();
        let opened = jwe::decrypt(&wrapped, &[keys.decryption(private)]).unwrap();
        assert_eq!(opened.as_deref(), Some(&b"secret"[..]), "{public} {private}");
    }
    fs::write(keys.path("password"), "se:cret\n").unwrap();
    for (name, cipher) in [("rsa", "-aes256"), ("p384", "-aes128")] {
        let locked = keys.path(&format!("{name}.locked"));
        openssl(&["pkey", "-in", &keys.path(name), cipher, "-passout", "pass:se:cret", "-out", &locked]);
        let wrapped = jwe::encrypt(b"secret", &[keys.recipient(name)]).unwrap();
        for password in
            ["pass=se:cret".to_owned(), "se:cret".to_owned(), format!("filepath={}", keys.path("password"))]
        {
            let key = DecryptionKey::parse(&format!("{locked}:{password}")).unwrap();
            assert!(jwe::decrypt(&wrapped, &[key]).unwrap().is_some(), "{name} {password}");
        }
    }
    assert_eq!(format!("{:?}", keys.decryption("p256")), "DecryptionKey(EC)");
    assert!(format!("{:?}", keys.recipient("rsa")).contains("RSA, 2048 bits"));
}

#[test]
fn what_is_no_key_or_of_another_kind_is_told() {
    let keys = keys();
    let rsa = keys.path("rsa");
    openssl(&["pkey", "-in", &rsa, "-aes256", "-passout", "pass:x", "-out", &keys.path("locked")]);
    openssl(&[
        "rsa",
        "-in",
        &rsa,
        "-traditional",
        "-aes128",
        "-passout",
        "pass:x",
        "-out",
        &keys.path("old"),
    ]);
    fs::write(keys.path("text"), "no key").unwrap();
    let file = |name: &str| format!("jwe:{}", keys.path(name));
    for (text, code, words) in [
        ("pgp:someone@example.org".to_owned(), 1, "only jwe: is supported"),
        ("pkcs7:x".to_owned(), 1, "only jwe:"),
        ("provider:x".to_owned(), 1, "only jwe:"),
        ("x".to_owned(), 2, "jwe:PATH"),
        ("foo:x".to_owned(), 2, "unknown protocol"),
        (file("absent"), 1, "No such file"),
        (file("text"), 2, "no public key"),
        (file("rsa"), 2, "no public key"),
        (file("secp256k1.pub"), 1, "P-256, P-384 and P-521"),
        (file("ed25519.pub"), 1, "RSA and EC"),
    ] {
        let error = Recipient::parse(&text).unwrap_err();
        assert!(error.to_string().contains(words) && error.exit_code() == code, "{text}: {error}");
    }
    let file = |name: &str| keys.path(name);
    for (text, code, words) in [
        ("provider:x".to_owned(), 1, "not supported"),
        (file("absent"), 1, "No such file"),
        (file("rsa.pub"), 2, "no private key"),
        (file("secp256k1"), 2, "P-256"),
        (format!("{}:pass=hunter2", file("locked")), 2, "password is wrong"),
        (file("locked"), 2, ":filepath="),
        (format!("{}:pass=hunter2", file("old")), 1, "openssl pkcs8"),
        (format!("{}:fd=x", file("rsa")), 2, "file descriptor"),
    ] {
        let error = DecryptionKey::parse(&text).unwrap_err().to_string();
        assert!(error.contains(words) && !error.contains("hunter2"), "{text}: {error}");
        assert_eq!(DecryptionKey::parse(&text).unwrap_err().exit_code(), code, "{text}");
    }
}

#[test]
fn json_web_keys_are_keys_too() {
    use aws_lc_rs::{
        agreement::PrivateKey,
        encoding::{AsBigEndian, EcPrivateKeyBin},
    };
    for curve in &key::CURVES {
        let private = PrivateKey::generate(curve.agreement).unwrap();
        let public = private.compute_public_key().unwrap();
        let (x, y) = public.as_ref()[1..].split_at(curve.bytes);
        let scalar: EcPrivateKeyBin<'_> = private.as_be_bytes().unwrap();
        let base64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let jwk = format!(
            r#"{{"kty":"EC","kid":"one","crv":"{}","x":"{}","y":"{}""#,
            curve.name,
            base64(x),
            base64(y)
        );
        let recipient = Recipient::from_bytes(format!("{jwk}}}").as_bytes()).unwrap();
        let wrapped = jwe::encrypt(b"secret", &[recipient]).unwrap();
        let private = format!(r#"{jwk},"d":"{}"}}"#, base64(scalar.as_ref()));
        let key = DecryptionKey::from_bytes(private.as_bytes(), None).unwrap();
        assert_eq!(jwe::decrypt(&wrapped, &[key]).unwrap().as_deref(), Some(&b"secret"[..]));
        let off = jwk.replace(&base64(y), &base64(&vec![1; curve.bytes])) + "}";
        assert!(Recipient::from_bytes(off.as_bytes()).unwrap_err().to_string().contains("no point"));
    }
    for wrong in [
        r#"{"kty":"oct","k":"AAAA"}"#,
        r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#,
        r#"{"kty":"EC","crv":"X","x":"","y":""}"#,
        r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#,
        r#"{"kty":"RSA","alg":"RSA1_5","n":"AQAB","e":"AQAB"}"#,
        r#"{"kty":"#,
    ] {
        assert!(Recipient::from_bytes(wrong.as_bytes()).is_err(), "{wrong}");
        assert!(DecryptionKey::from_bytes(wrong.as_bytes(), None).is_err(), "{wrong}");
    }
}

#[test]
fn a_key_that_asks_for_rsa_oaep_256_gets_it() {
    // The same RSA key as a JSON Web Key that asks for RSA-OAEP-256.
    let modulus = Command::new("openssl")
        .args(["rsa", "-in", &keys().path("rsa"), "-noout", "-modulus"])
        .output()
        .unwrap();
    let hex = String::from_utf8(modulus.stdout).unwrap().trim().replace("Modulus=", "");
    let bytes: Vec<u8> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    let jwk =
        format!(r#"{{"kty":"RSA","alg":"RSA-OAEP-256","n":"{}","e":"AQAB"}}"#, URL_SAFE_NO_PAD.encode(bytes));
    let wrapped = jwe::encrypt(b"secret", &[Recipient::from_bytes(jwk.as_bytes()).unwrap()]).unwrap();
    let message: serde_json::Value = serde_json::from_slice(&wrapped).unwrap();
    let header = URL_SAFE_NO_PAD.decode(message["protected"].as_str().unwrap()).unwrap();
    assert!(String::from_utf8(header).unwrap().contains(r#""alg":"RSA-OAEP-256""#));
    let opened = jwe::decrypt(&wrapped, &[keys().decryption("rsa")]).unwrap();
    assert_eq!(opened.as_deref(), Some(&b"secret"[..]));
}

#[tokio::test]
async fn hostile_annotations_are_refused() {
    let (encrypted, good) = encrypt(b"plain", &["p256"]).await;
    let with = |key: &str, value: &str| {
        let mut annotations = good.clone();
        annotations.insert(key.to_owned(), value.to_owned());
        annotations
    };
    let json = |text: &str| STANDARD.encode(text);
    let public = String::from_utf8(STANDARD.decode(&good[OPTIONS_ANNOTATION]).unwrap()).unwrap();
    let hundred = vec![good[KEYS_ANNOTATION].as_str(); 101].join(",");
    for (annotations, code) in [
        (with(KEYS_ANNOTATION, ""), 4),
        (with(KEYS_ANNOTATION, "?"), 4),
        (with(KEYS_ANNOTATION, &json("{}")), 4),
        (with(KEYS_ANNOTATION, &json("{\"ciphertext\":\"\",\"tag\":\"\"}")), 4),
        (with(KEYS_ANNOTATION, &json(&"[".repeat(100_000))), 4),
        (with(OPTIONS_ANNOTATION, "?"), 4),
        (with(OPTIONS_ANNOTATION, &json("{}")), 4),
        (with(OPTIONS_ANNOTATION, &json(&public.replace("AES_256_CTR", "ROT13"))), 1),
        (with(OPTIONS_ANNOTATION, &json("{\"cipher\":\"AES_256_CTR_HMAC_SHA256\",\"hmac\":\"AAAA\"}")), 4),
        (with(OPTIONS_ANNOTATION, &json("{\"cipher\":\"AES_256_CTR_HMAC_SHA256\"}")), 4),
        (BTreeMap::new(), 4),
        ([("org.opencontainers.image.enc.keys.pgp".to_owned(), "x".to_owned())].into(), 4),
    ] {
        let error = decrypt(encrypted.clone(), &annotations, "p256").await.unwrap_err();
        assert_eq!(error.exit_code(), code, "{error}");
    }
    let others = with(KEYS_ANNOTATION, &hundred);
    let error = decrypt(encrypted.clone(), &others, "rsa").await.unwrap_err();
    assert_eq!(error.exit_code(), 4, "{error}");
    let no_keys = Decrypted::new(Pieces::new(encrypted, 1), &good, &[]).err().unwrap();
    assert!(no_keys.to_string().contains("--decryption-key"), "{no_keys}");
}

#[test]
fn layers_are_selected_from_both_ends() {
    let select = |layers: &[i64]| Encrypt { layers: layers.to_vec(), ..Encrypt::default() }.select(3);
    assert_eq!(select(&[]).unwrap(), [0, 1, 2].into());
    assert_eq!(select(&[0, -1]).unwrap(), [0, 2].into());
    assert_eq!(select(&[-3, 0, 0]).unwrap(), [0].into());
    for wrong in [3, -4, i64::MIN, i64::MAX] {
        assert_eq!(select(&[wrong]).unwrap_err().exit_code(), 2, "{wrong}");
    }
}

#[test]
fn the_type_says_that_a_layer_is_encrypted() {
    let plain = MediaType::new(MediaType::OCI_LAYER_GZIP);
    let encrypted = encrypted_type(&plain).unwrap();
    assert_eq!(encrypted.as_str(), "application/vnd.oci.image.layer.v1.tar+gzip+encrypted");
    assert!(is_encrypted(&encrypted) && !is_encrypted(&plain));
    assert_eq!(decrypted_type(&encrypted), plain);
    assert_eq!(decrypted_type(&plain), plain);
    assert!(encrypted_type(&MediaType::DOCKER_LAYER_GZIP.into()).is_err());
    let annotations = [(OPTIONS_ANNOTATION, "x"), ("title", "y")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(without_encryption(&annotations.into()).into_keys().collect::<Vec<_>>(), ["title"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_content_in_any_pieces_is_decrypted_again(size in 0_usize..300_000, piece in 1_usize..100_000) {
        let plain = text(size, 17);
        let piece = piece.max(size / 500 + 1);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let content =
                Encrypted::new(Pieces::new(plain.clone(), piece), vec![keys().recipient("p256")]).unwrap();
            let encrypted = read(&content).await.unwrap();
            let annotations = content.annotations().unwrap();
            assert!(decrypt(encrypted, &annotations, "p256").await.unwrap() == plain);
        });
    }

    #[test]
    fn any_text_as_annotations_ends_with_an_answer(wrapped in "\\PC*", options in "\\PC*", protected in "\\PC*") {
        let message = format!(r#"{{"protected":{protected:?},"iv":"","ciphertext":"","tag":""}}"#);
        for keys_text in [wrapped, STANDARD.encode(message)] {
            let annotations = [
                (KEYS_ANNOTATION.to_owned(), keys_text),
                (OPTIONS_ANNOTATION.to_owned(), options.clone()),
            ];
            let content = Decrypted::new(Pieces::new(vec![1], 1), &annotations.into(), &[keys().decryption("p256")]);
            assert!(content.is_err());
        }
    }

    #[test]
    fn a_changed_message_never_opens(at in 0_usize..1000, bit in 0..8_u8) {
        let message = jwe::encrypt(b"secret", &[keys().recipient("p256")]).unwrap();
        let mut changed = message.clone();
        let at = at % changed.len();
        changed[at] ^= 1 << bit;
        let opened = jwe::decrypt(&changed, &[keys().decryption("p256")]);
        // The bits behind a base64 text's last byte and the case of an unused name carry nothing.
        if let Ok(Some(plain)) = opened {
            assert_eq!(plain, b"secret");
        }
    }
}

pub(super) fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    (folder, path)
}
