//! What `gpg` makes, in a home of its own for each test.

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use berth_conformance::harness::require;
use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;

use super::*;

/// A GnuPG home with keys, gone (with its agent) when it is dropped.
pub(crate) struct Gnupg {
    home: tempfile::TempDir,
}

impl Gnupg {
    /// Nothing, where gpg is not installed and need not be.
    pub(crate) fn new() -> Option<Self> {
        let home = || tempfile::Builder::new().prefix("berth-gpg").tempdir().unwrap();
        require(&["gpg"]).then(|| Self { home: home() })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.home.path().to_owned()
    }

    pub(crate) fn run(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new("gpg")
            .env("GNUPGHOME", self.home.path())
            .args([
                "--batch",
                "--quiet",
                "--no-tty",
                "--pinentry-mode",
                "loopback",
                "--passphrase",
                "",
                "--yes",
            ])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "gpg {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Makes a key and answers its fingerprint.
    pub(crate) fn key(&self, user: &str, algorithm: &str, usage: &str, expires: &str) -> String {
        self.run(&["--quick-gen-key", user, algorithm, usage, expires], b"");
        self.fingerprint(user)
    }

    pub(crate) fn fingerprint(&self, user: &str) -> String {
        let listed = String::from_utf8(self.run(&["--with-colons", "--list-keys", user], b"")).unwrap();
        let line = listed.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    pub(crate) fn export(&self, armored: bool, users: &[&str]) -> Vec<u8> {
        let mut arguments = if armored { vec!["--armor", "--export"] } else { vec!["--export"] };
        arguments.extend(users);
        self.run(&arguments, b"")
    }

    fn sign(&self, user: &str, more: &[&str], content: &[u8]) -> Vec<u8> {
        let mut arguments = vec!["--local-user", user];
        arguments.extend(more);
        arguments.push("--sign");
        self.run(&arguments, content)
    }
}

impl Drop for Gnupg {
    fn drop(&mut self) {
        // The agent that gpg started serves this home alone.
        let _ = Command::new("gpgconf").env("GNUPGHOME", self.home.path()).args(["--kill", "all"]).output();
    }
}

fn refused(ring: &[u8], message: &[u8], now: Timestamp) -> String {
    Keyring::parse(ring).unwrap().verify(message, now).unwrap_err().0
}

#[test]
fn what_gpg_signs_is_verified_for_every_kind_of_key() {
    let Some(gnupg) = Gnupg::new() else { return };
    for (user, algorithm) in [
        ("rsa@example.org", "rsa2048"),
        ("ed@example.org", "ed25519"),
        ("p256@example.org", "nistp256"),
        ("p384@example.org", "nistp384"),
        ("dsa@example.org", "dsa2048"),
    ] {
        let fingerprint = gnupg.key(user, algorithm, "sign", "0");
        let message = gnupg.sign(user, &[], b"content");
        let verified =
            Keyring::parse(&gnupg.export(false, &[user])).unwrap().verify(&message, Timestamp::now());
        let expected = Verified {
            fingerprint: fingerprint.clone(),
            signed_by: fingerprint,
            content: b"content".to_vec(),
        };
        assert_eq!(verified, Ok(expected), "{algorithm}");
    }
}

#[test]
fn every_form_of_message_and_keyring_is_read() {
    let Some(gnupg) = Gnupg::new() else { return };
    let one = gnupg.key("one@example.org", "ed25519", "sign", "0");
    let two = gnupg.key("two@example.org", "ed25519", "sign", "0");
    let armored =
        [gnupg.export(true, &["one@example.org"]), gnupg.export(true, &["two@example.org"])].concat();
    for (ring, how) in [
        (gnupg.export(false, &[]), "binary"),
        (gnupg.export(true, &[]), "armored"),
        (armored, "two armored blocks"),
    ] {
        let ring = Keyring::parse(&ring).unwrap();
        assert_eq!(ring.fingerprints(), [one.clone(), two.clone()], "{how}");
        for more in [
            &["--compress-algo", "none"][..],
            &["--compress-algo", "zip"],
            &["--compress-algo", "zlib"],
            &["--digest-algo", "sha256"],
            &["--textmode"],
        ] {
            let message = gnupg.sign("two@example.org", more, b"content");
            assert_eq!(ring.verify(&message, Timestamp::now()).unwrap().fingerprint, two, "{how} {more:?}");
        }
    }
}

#[test]
fn a_key_outside_the_keyring_vouches_for_nothing() {
    let Some(gnupg) = Gnupg::new() else { return };
    gnupg.key("trusted@example.org", "ed25519", "sign", "0");
    let other = gnupg.key("other@example.org", "ed25519", "sign", "0");
    let message = gnupg.sign("other@example.org", &[], b"content");
    let reason = refused(&gnupg.export(false, &["trusted@example.org"]), &message, Timestamp::now());
    assert_eq!(reason, format!("Invalid GPG signature: key {other} is not in the keyring"));
    assert_eq!(read_without_verification(&message).unwrap().1, b"content");
}

#[test]
fn weak_hashes_are_refused() {
    let Some(gnupg) = Gnupg::new() else { return };
    gnupg.key("rsa@example.org", "rsa2048", "sign", "0");
    let ring = gnupg.export(false, &[]);
    for digest in ["sha1", "ripemd160"] {
        let message =
            gnupg.sign("rsa@example.org", &["--digest-algo", digest, "--allow-weak-digest-algos"], b"x");
        let reason = refused(&ring, &message, Timestamp::now());
        assert!(reason.contains("too weak"), "{digest}: {reason}");
    }
}

#[test]
fn expired_keys_and_signatures_are_refused() {
    let Some(gnupg) = Gnupg::new() else { return };
    gnupg.key("short@example.org", "ed25519", "sign", "2d");
    gnupg.key("long@example.org", "ed25519", "sign", "0");
    let ring = gnupg.export(false, &[]);
    let by_short = gnupg.sign("short@example.org", &[], b"x");
    let short_lived = gnupg.sign("long@example.org", &["--default-sig-expire", "1d"], b"x");
    let ring_now = Keyring::parse(&ring).unwrap();
    ring_now.verify(&by_short, Timestamp::now()).unwrap();
    ring_now.verify(&short_lived, Timestamp::now()).unwrap();
    let later = Timestamp::now() + (72 * 3600).seconds();
    assert!(refused(&ring, &by_short, later).contains("has expired"));
    assert!(refused(&ring, &short_lived, later).contains("the signature has expired"));
    let earlier = Timestamp::now() - 3600.seconds();
    assert!(refused(&ring, &short_lived, earlier).contains("in the future"));
}

#[test]
fn a_revoked_key_is_refused() {
    let Some(gnupg) = Gnupg::new() else { return };
    let fingerprint = gnupg.key("gone@example.org", "ed25519", "sign", "0");
    let message = gnupg.sign("gone@example.org", &[], b"x");
    let file = gnupg.path().join(format!("openpgp-revocs.d/{fingerprint}.rev"));
    let revocation = std::fs::read_to_string(file).unwrap().replace(":-----BEGIN", "-----BEGIN");
    gnupg.run(&["--import"], revocation.as_bytes());
    let reason = refused(&gnupg.export(false, &[]), &message, Timestamp::now());
    assert!(reason.ends_with(&format!("key {fingerprint} is revoked")), "{reason}");
}

#[test]
fn a_signing_subkey_signs_for_its_key_until_it_is_revoked() {
    let Some(gnupg) = Gnupg::new() else { return };
    let fingerprint = gnupg.key("sub@example.org", "ed25519", "cert", "0");
    gnupg.run(&["--quick-add-key", &fingerprint, "ed25519", "sign", "0"], b"");
    let message = gnupg.sign("sub@example.org", &[], b"x");
    let verified =
        Keyring::parse(&gnupg.export(false, &[])).unwrap().verify(&message, Timestamp::now()).unwrap();
    assert_eq!(verified.fingerprint, fingerprint);
    assert_ne!(verified.signed_by, fingerprint);
    gnupg.run(&["--command-fd", "0", "--edit-key", &fingerprint], b"key 1\nrevkey\ny\n0\n\ny\nsave\n");
    let reason = refused(&gnupg.export(false, &[]), &message, Timestamp::now());
    assert!(reason.ends_with(&format!("subkey {} is revoked", verified.signed_by)), "{reason}");
}

#[test]
fn changed_and_joined_messages_are_refused() {
    let Some(gnupg) = Gnupg::new() else { return };
    gnupg.key("one@example.org", "ed25519", "sign", "0");
    gnupg.key("two@example.org", "ed25519", "sign", "0");
    let ring = gnupg.export(false, &[]);
    let plain = gnupg.sign("one@example.org", &["--compress-algo", "none"], b"the content");
    let at = plain.windows(7).position(|window| window == b"content").unwrap();
    let mut changed = plain.clone();
    changed[at] ^= 1;
    assert!(refused(&ring, &changed, Timestamp::now()).contains("Invalid GPG signature"));
    let trailing = [plain.as_slice(), plain.as_slice()].concat();
    assert!(refused(&ring, &trailing, Timestamp::now()).contains("Invalid GPG signature"));
    for cut in 0..plain.len() {
        refused(&ring, &plain[..cut], Timestamp::now());
    }
    let both = gnupg.sign("one@example.org", &["--local-user", "two@example.org"], b"x");
    assert!(refused(&ring, &both, Timestamp::now()).contains("signature count 2"));
    let detached = gnupg.run(&["--local-user", "one@example.org", "--detach-sign"], b"x");
    refused(&ring, &detached, Timestamp::now());
    let stored = gnupg.run(&["--store"], b"x");
    assert!(refused(&ring, &stored, Timestamp::now()).contains("not signed"));
}

#[test]
fn a_message_that_grows_without_end_is_cut() {
    let Some(gnupg) = Gnupg::new() else { return };
    gnupg.key("one@example.org", "ed25519", "sign", "0");
    let bomb = gnupg.sign("one@example.org", &[], &vec![b' '; 3 * MAX_SIGNATURE_BYTES]);
    assert!(bomb.len() < 64 * 1024, "{}", bomb.len());
    let reason = refused(&gnupg.export(false, &[]), &bomb, Timestamp::now());
    assert!(reason.contains("more than"), "{reason}");
}

#[test]
fn what_is_no_keyring_is_refused() {
    let Some(gnupg) = Gnupg::new() else { return };
    gnupg.key("one@example.org", "ed25519", "sign", "0");
    let secret = gnupg.run(&["--armor", "--export-secret-keys"], b"");
    let ring = gnupg.export(false, &[]);
    for bytes in
        [&b""[..], b"hello", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n", &secret, &ring[..ring.len() / 2]]
    {
        assert!(Keyring::parse(bytes).is_err(), "{}", bytes.escape_ascii());
    }
}

#[test]
fn no_change_of_a_message_or_keyring_makes_the_reader_panic() {
    let Some(gnupg) = Gnupg::new() else { return };
    gnupg.key("rsa@example.org", "rsa2048", "sign", "0");
    let bytes = gnupg.export(false, &[]);
    let ring = Keyring::parse(&bytes).unwrap();
    let message = gnupg.sign("rsa@example.org", &["--compress-algo", "none"], b"content");
    let packed = gnupg.sign("rsa@example.org", &[], b"content");
    proptest!(|(at in 0..message.len(), bit in 0..8_u8, ring_at in 0..bytes.len(), noise in prop::collection::vec(any::<u8>(), 0..64))| {
        let mut changed = message.clone();
        changed[at] ^= 1 << bit;
        if let Ok(verified) = ring.verify(&changed, Timestamp::now()) {
            prop_assert_eq!(verified.content, b"content");
        }
        let mut changed = packed.clone();
        let end = changed.len();
        changed[at % end] ^= 1 << bit;
        let _ = ring.verify(&changed, Timestamp::now());
        let _ = ring.verify(&noise, Timestamp::now());
        let mut changed = bytes.clone();
        changed[ring_at] ^= 1 << bit;
        if let Ok(ring) = Keyring::parse(&changed) {
            let _ = ring.verify(&message, Timestamp::now());
        }
        let _ = Keyring::parse(&noise);
    });
}
