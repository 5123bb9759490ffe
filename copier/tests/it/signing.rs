//! Signatures and policies beside the skopeo that is installed: what one signs the other accepts, and both refuse the same.

use std::{fs, path::PathBuf, process::Command};

use berth_conformance::{
    clients::{Layout, Skopeo},
    harness::{DockerRegistry, Scratch, Tool, require},
};
use berth_copier::{
    Error, ImageName, Result, Secret, Session, Settings, Side, Sink, Source,
    policy::Policy,
    signature::{GpgSigner, Sign, SigstoreSigner, standalone},
};
use berth_oci::{Algorithm, Digest, Reference};

/// A registry with two images, a store of signatures, and a GnuPG home with two keys.
struct Lab {
    registry: DockerRegistry,
    skopeo: Skopeo,
    scratch: Scratch,
    // Its socket's path must be short, which that of the scratch folder is not.
    gnupg: tempfile::TempDir,
}

impl Drop for Lab {
    fn drop(&mut self) {
        // The agent that gpg started serves this home alone.
        let _ = Command::new("gpgconf").env("GNUPGHOME", self.gnupg.path()).args(["--kill", "all"]).output();
    }
}

/// What Debian's Skopeo says to everything that has to do with sigstore.
const NO_SIGSTORE: &str = "sigstore disabled";

const GOOD: &str = "good@example.org";
const OTHER: &str = "other@example.org";

impl Lab {
    fn new() -> Option<Self> {
        if !require(&[Skopeo::TOOLS, DockerRegistry::TOOLS, &["gpg"]].concat()) {
            return None;
        }
        let lab = Self {
            registry: DockerRegistry::start().unwrap(),
            skopeo: Skopeo::new().unwrap(),
            scratch: Scratch::new("signing").unwrap(),
            gnupg: tempfile::Builder::new().prefix("berth-gpg").tempdir().unwrap(),
        };
        for key in [GOOD, OTHER] {
            lab.gpg(&["--quick-gen-key", key, "ed25519", "sign", "0"]);
            fs::write(lab.path(&format!("{key}.gpg")), lab.gpg(&["--export", key])).unwrap();
        }
        lab.scratch.subfolder("registries.d").unwrap();
        let lookaside = lab.path("lookaside");
        let storage = format!(
            "docker:\n  {}:\n    lookaside: file://{}\n    use-sigstore-attachments: true\n",
            lab.registry.host(),
            lookaside.display()
        );
        lab.scratch.write("registries.d/test.yaml", storage).unwrap();
        for (tag, salt) in [("1", "one"), ("2", "two")] {
            let folder = lab.path(salt);
            Layout::small_image(&folder, salt).unwrap();
            lab.push(&[], salt, tag);
        }
        Some(lab)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    fn gpg(&self, arguments: &[&str]) -> Vec<u8> {
        let output = Command::new("gpg")
            .env("GNUPGHOME", self.gnupg.path())
            .args(["--batch", "--quiet", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", ""])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn fingerprint(&self, key: &str) -> String {
        let listed = String::from_utf8(self.gpg(&["--with-colons", "--list-keys", key])).unwrap();
        listed.lines().find(|line| line.starts_with("fpr:")).unwrap().split(':').nth(9).unwrap().to_owned()
    }

    fn image(&self, tag: &str) -> String {
        format!("docker://{}/ns/app:{tag}", self.registry.host())
    }

    /// Skopeo with this test's configuration.
    fn tool(&self, flags: &[String]) -> Tool {
        Tool::new("skopeo")
            .unwrap()
            .args(["--registries.d".to_owned(), self.path("registries.d").display().to_string()])
            .args(flags)
            .env("HOME", self.skopeo.scratch().path())
            .env("GNUPGHOME", self.gnupg.path())
    }

    /// Copies a layout's image into the registry with Skopeo.
    fn push(&self, flags: &[&str], layout: &str, tag: &str) {
        self.try_push(flags, layout, tag).unwrap();
    }

    fn try_push(&self, flags: &[&str], layout: &str, tag: &str) -> Result<(), String> {
        self.tool(&["--insecure-policy".to_owned()])
            .args(["copy", "--dest-tls-verify=false"])
            .args(flags)
            .args([format!("oci:{}", self.path(layout).display()), self.image(tag)])
            .run()
            .map(drop)
            .map_err(|error| error.to_string())
    }

    /// A policy that asks every image of the registry for this.
    fn policy(&self, requirement: &str) -> PathBuf {
        self.scratch.write("policy.json", format!(r#"{{"default":[{requirement}]}}"#)).unwrap()
    }

    fn signed_by(&self, key: &str) -> String {
        let ring = self.path(&format!("{key}.gpg"));
        format!(r#"{{"type":"signedBy","keyType":"GPGKeys","keyPath":"{}"}}"#, ring.display())
    }

    fn sigstore_signed(&self, prefix: &str) -> String {
        let key = self.path(&format!("{prefix}.pub"));
        format!(r#"{{"type":"sigstoreSigned","keyPath":"{}"}}"#, key.display())
    }

    fn session(&self) -> Session {
        let registries_d = Some(self.path("registries.d"));
        Session::new(Settings { registries_d, ..Settings::default() }).unwrap()
    }

    async fn source(&self, tag: &str) -> Box<dyn Source> {
        self.session().source(&self.image(tag).parse().unwrap(), &plain()).await.unwrap()
    }

    async fn sink(&self, tag: &str) -> Box<dyn Sink> {
        self.session().sink(&self.image(tag).parse().unwrap(), &plain()).await.unwrap()
    }

    /// What ours thinks of an image.
    async fn ours(&self, requirement: &str, tag: &str) -> Result<()> {
        let policy = Some(self.policy(requirement));
        let policy = Policy::load(&Settings { policy, ..Settings::default() }).unwrap();
        let source = self.source(tag).await;
        let manifest = source.manifest(None).await.unwrap();
        policy.check(&*source, &manifest).await
    }

    /// What Skopeo thinks of it.
    fn theirs(&self, requirement: &str, tag: &str) -> Result<(), String> {
        let out = self.path("out");
        let _ = fs::remove_dir_all(&out);
        self.tool(&["--policy".to_owned(), self.policy(requirement).display().to_string()])
            .args(["copy", "--remove-signatures", "--src-tls-verify=false", &self.image(tag)])
            .arg(format!("dir:{}", out.display()))
            .run()
            .map(drop)
            .map_err(|error| error.to_string())
    }

    async fn both_accept(&self, requirement: &str, tag: &str) {
        self.ours(requirement, tag).await.unwrap();
        match self.theirs(requirement, tag) {
            Err(error) if error.contains(NO_SIGSTORE) => {}
            outcome => outcome.unwrap(),
        }
    }

    async fn both_refuse(&self, requirement: &str, tag: &str, words: &str) {
        let ours = self.ours(requirement, tag).await.unwrap_err();
        assert!(matches!(ours, Error::Refused(_)) && ours.exit_code() == 5, "{ours}");
        assert!(ours.to_string().starts_with("Source image rejected: "), "{ours}");
        assert!(ours.to_string().contains(words), "{ours}");
        let theirs = self.theirs(requirement, tag).unwrap_err();
        assert!(theirs.contains("Source image rejected: "), "{theirs}");
    }

    /// Signs what a tag means, in the name of another tag if told so.
    async fn sign(&self, signer: &dyn Sign, tag: &str, as_tag: &str) {
        let manifest = self.source(tag).await.manifest(None).await.unwrap();
        let identity = identity(&self.image(as_tag));
        let signature = signer.sign(&manifest, &identity).await.unwrap();
        let sink = self.sink(tag).await;
        sink.put_signatures(&manifest.digest, std::slice::from_ref(&signature)).await.unwrap();
        // Once more changes nothing.
        sink.put_signatures(&manifest.digest, &[signature]).await.unwrap();
    }

    fn gpg_signer(&self, key: &str) -> GpgSigner {
        GpgSigner::new(key, Some(Secret::new(""))).unwrap().with_home(self.gnupg.path())
    }

    /// Makes a key and answers its signer and its file.
    fn sigstore_key(&self, prefix: &str, passphrase: &str) -> (SigstoreSigner, PathBuf) {
        let passphrase = Secret::new(passphrase);
        let files = standalone::generate_key_files(&self.path(prefix), &passphrase).unwrap();
        (SigstoreSigner::from_file(&files.private, &passphrase).unwrap(), files.private)
    }
}

fn plain() -> Side {
    Side { tls_verify: Some(false), anonymous: true, ..Side::default() }
}

fn identity(image: &str) -> Reference {
    image.parse::<ImageName>().unwrap().reference().unwrap().clone()
}

#[tokio::test]
async fn what_ours_signs_simply_skopeo_accepts_and_both_refuse_the_rest() {
    let Some(lab) = Lab::new() else { return };
    lab.both_refuse(&lab.signed_by(GOOD), "1", "A signature was required, but no signature exists").await;
    lab.sign(&lab.gpg_signer(GOOD), "1", "1").await;
    lab.both_accept(&lab.signed_by(GOOD), "1").await;
    lab.both_refuse(&lab.signed_by(OTHER), "1", "is not in the keyring").await;
    lab.sign(&lab.gpg_signer(GOOD), "2", "1").await;
    lab.both_refuse(&lab.signed_by(GOOD), "2", "is not accepted").await;
    lab.sign(&lab.gpg_signer(OTHER), "2", "2").await;
    lab.both_accept(&lab.signed_by(OTHER), "2").await;
    lab.both_refuse(&lab.signed_by(GOOD), "2", "None of the signatures were accepted").await;
}

#[tokio::test]
async fn what_skopeo_signs_simply_ours_accepts() {
    let Some(lab) = Lab::new() else { return };
    lab.push(&["--sign-by", &lab.fingerprint(GOOD)], "one", "3");
    lab.both_accept(&lab.signed_by(GOOD), "3").await;
    lab.both_refuse(&lab.signed_by(OTHER), "3", "is not in the keyring").await;
    // The store has a place per digest: the same image under another name is signed, but not as that.
    lab.both_refuse(&lab.signed_by(GOOD), "1", "is not accepted").await;
    let any_tag = lab.signed_by(GOOD).replace('}', r#","signedIdentity":{"type":"matchRepository"}}"#);
    lab.both_accept(&any_tag, "1").await;
    // A signature that was put in another image's place.
    let (one, two) = (manifest(&lab, "1").await, manifest(&lab, "2").await);
    let store = |of: &Digest| lab.path(&format!("lookaside/ns/app@sha256={}", of.hex()));
    fs::create_dir_all(store(&two)).unwrap();
    fs::copy(store(&one).join("signature-1"), store(&two).join("signature-1")).unwrap();
    lab.both_refuse(&any_tag, "2", "does not match").await;
}

#[tokio::test]
async fn what_ours_signs_with_a_sigstore_key_skopeo_accepts_and_both_refuse_the_rest() {
    let Some(lab) = Lab::new() else { return };
    let (good, _) = lab.sigstore_key("good", "secret");
    let (other, _) = lab.sigstore_key("other", "");
    let (by_good, by_other) = (lab.sigstore_signed("good"), lab.sigstore_signed("other"));
    lab.both_refuse(&by_good, "1", "A signature was required, but no signature exists").await;
    lab.sign(&good, "1", "1").await;
    lab.both_accept(&by_good, "1").await;
    lab.both_refuse(&by_other, "1", "cryptographic signature verification failed").await;
    lab.sign(&other, "1", "1").await;
    lab.both_accept(&by_good, "1").await;
    lab.both_accept(&by_other, "1").await;
    assert_eq!(lab.source("1").await.signatures(&manifest(&lab, "1").await).await.unwrap().len(), 2);
    lab.sign(&good, "2", "1").await;
    lab.both_refuse(&by_good, "2", "is not accepted").await;
}

async fn manifest(lab: &Lab, tag: &str) -> Digest {
    lab.source(tag).await.manifest(None).await.unwrap().digest
}

#[tokio::test]
async fn what_skopeo_signs_with_our_sigstore_key_ours_accepts() {
    let Some(lab) = Lab::new() else { return };
    let (ours, private) = lab.sigstore_key("good", "secret");
    let passphrase = lab.scratch.write("passphrase", "secret\n").unwrap();
    let (private, passphrase) = (private.display().to_string(), passphrase.display().to_string());
    let flags = ["--sign-by-sigstore-private-key", &private, "--sign-passphrase-file", &passphrase];
    if let Err(error) = lab.try_push(&flags, "one", "3") {
        // There is nothing to compare with; vectors of the same library are beside the policy's tests.
        assert!(error.contains(NO_SIGSTORE), "{error}");
        return;
    }
    lab.both_accept(&lab.sigstore_signed("good"), "3").await;
    // Beside a signature of Skopeo's there is room for one of ours.
    lab.sign(&ours, "3", "4").await;
    let signatures = lab.source("3").await.signatures(&manifest(&lab, "3").await).await.unwrap();
    assert_eq!(signatures.len(), 2);
    lab.both_accept(&lab.sigstore_signed("good"), "3").await;
}

#[tokio::test]
async fn signatures_without_a_place_are_an_error_that_names_the_setting() {
    let Some(lab) = Lab::new() else { return };
    let (signer, _) = lab.sigstore_key("good", "");
    fs::remove_file(lab.path("registries.d/test.yaml")).unwrap();
    let manifest = lab.source("1").await.manifest(None).await.unwrap();
    let signature = signer.sign(&manifest, &identity(&lab.image("1"))).await.unwrap();
    let sink = lab.sink("1").await;
    assert!(sink.check_signatures(false, false).is_ok());
    let error = sink.check_signatures(false, true).unwrap_err();
    assert!(error.to_string().contains("use-sigstore-attachments"), "{error}");
    let error = sink.put_signatures(&manifest.digest, &[signature]).await.unwrap_err();
    assert!(error.to_string().contains("use-sigstore-attachments"), "{error}");
}

#[tokio::test]
async fn standalone_signatures_are_exchanged_with_skopeo() {
    let Some(lab) = Lab::new() else { return };
    let fingerprint = lab.fingerprint(GOOD);
    let reference: Reference = "registry.example/app:1".parse().unwrap();
    let bytes = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#;
    let file = lab.scratch.write("manifest", bytes).unwrap().display().to_string();
    let ring = fs::read(lab.path(&format!("{GOOD}.gpg"))).unwrap();
    let run = |command: &str, arguments: &[&str]| lab.tool(&[]).arg(command).args(arguments).run();

    let theirs = lab.path("theirs").display().to_string();
    run("standalone-sign", &[&file, &reference.to_string(), &fingerprint, "--output", &theirs]).unwrap();
    let signature = fs::read(&theirs).unwrap();
    let only = fingerprint.parse().unwrap();
    let verified = standalone::verify(bytes, &reference, &only, &signature, &ring).unwrap();
    assert_eq!(verified.fingerprint, fingerprint);
    assert_eq!(verified.digest, Digest::of(Algorithm::Sha256, bytes));
    let any = "any".parse().unwrap();
    standalone::verify(bytes, &reference, &any, &signature, &ring).unwrap();
    let shown = standalone::dump_without_verification(&signature).unwrap();
    assert_eq!(
        (shown.reference.as_str(), shown.digest.as_str()),
        (reference.to_string().as_str(), verified.digest.as_str())
    );
    assert!(fingerprint.ends_with(&shown.key), "{shown:?}");

    let others = fs::read(lab.path(&format!("{OTHER}.gpg"))).unwrap();
    let other_name = "registry.example/app:2".parse().unwrap();
    let elsewhere = lab.fingerprint(OTHER).parse().unwrap();
    for (outcome, reason) in [
        (standalone::verify(b"{}", &reference, &any, &signature, &ring), "does not match"),
        (standalone::verify(bytes, &other_name, &any, &signature, &ring), "Signature for identity"),
        (standalone::verify(bytes, &reference, &elsewhere, &signature, &ring), "is not accepted"),
        (standalone::verify(bytes, &reference, &any, &signature, &others), "is not in the keyring"),
        (standalone::verify(bytes, &reference, &any, bytes, &ring), "unrecognized signature format"),
    ] {
        let error = outcome.unwrap_err();
        assert!(error.exit_code() == 5 && error.to_string().contains(reason), "{error}");
    }

    let signer = lab.gpg_signer(GOOD);
    let manifest = berth_copier::RawManifest::new(bytes.to_vec().into(), None);
    let ours = signer.sign(&manifest, &reference).await.unwrap().to_file_bytes();
    let ours = lab.scratch.write("ours", ours).unwrap().display().to_string();
    run("standalone-verify", &[&file, &reference.to_string(), &fingerprint, &ours]).unwrap();
    run("standalone-verify", &[&file, &other_name_text(), &fingerprint, &ours]).unwrap_err();
}

fn other_name_text() -> String {
    "registry.example/app:2".to_owned()
}

#[tokio::test]
async fn gpg_says_why_it_does_not_sign() {
    let Some(lab) = Lab::new() else { return };
    let manifest = berth_copier::RawManifest::new((&b"{}"[..]).into(), None);
    let reference: Reference = "registry.example/app:1".parse().unwrap();
    let error = lab.gpg_signer("nobody@example.org").sign(&manifest, &reference).await.unwrap_err();
    assert!(error.to_string().contains("nobody@example.org"), "{error}");
    let nameless = reference.clone().with_tag(None);
    let error = lab.gpg_signer(GOOD).sign(&manifest, &nameless).await.unwrap_err();
    assert!(error.to_string().contains("--sign-identity"), "{error}");
    assert!(GpgSigner::new(GOOD, Some(Secret::new("two\nlines"))).is_err());
    lab.gpg(&["--passphrase", "hidden", "--quick-gen-key", "locked@example.org", "ed25519", "sign", "0"]);
    let locked = |passphrase: &str| {
        GpgSigner::new("locked@example.org", Some(Secret::new(passphrase)))
            .unwrap()
            .with_home(lab.gnupg.path())
    };
    lab.gpg(&["--export", "locked@example.org"]);
    let _ = Command::new("gpgconf").env("GNUPGHOME", lab.gnupg.path()).args(["--kill", "all"]).output();
    let error = locked("wrong").sign(&manifest, &reference).await.unwrap_err();
    assert!(
        !error.to_string().contains("wrong") && error.to_string().contains("locked@example.org"),
        "{error}"
    );
    locked("hidden").sign(&manifest, &reference).await.unwrap();
}
