//! One image against one requirement.

use std::{fs::File, io::Read, path::Path};

use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use tokio::sync::OnceCell;

use super::model::{Identity, Material, Requirement, Signer};
use crate::{
    Error, RawManifest, Result, Source,
    signature::{
        Rejection, SIGSTORE_PAYLOAD, Signature, annotation,
        json::quoted,
        openpgp::{Keyring, MAX_KEYRING_BYTES},
        payload::{Kind, Payload},
        sigstore::{Authority, FulcioSubject, PkiSubject, PublicKey, certificates, rekor},
    },
};

/// Most bytes of a file with keys or certificates.
const MAX_MATERIAL_BYTES: u64 = MAX_KEYRING_BYTES as u64;

/// The image that is judged.
pub(super) struct Image<'a> {
    source: &'a dyn Source,
    manifest: &'a RawManifest,
    now: Timestamp,
    signatures: OnceCell<Vec<Signature>>,
}

/// What a signature must be verified with.
enum Trust {
    OpenPgp(Keyring),
    Sigstore { signer: Trusted, log: Option<Vec<PublicKey>> },
}

enum Trusted {
    Keys(Vec<PublicKey>),
    Fulcio(Authority, FulcioSubject),
    Pki(Authority, PkiSubject),
}

impl<'a> Image<'a> {
    pub(super) fn new(source: &'a dyn Source, manifest: &'a RawManifest, now: Timestamp) -> Self {
        Self { source, manifest, now, signatures: OnceCell::new() }
    }

    /// Whether the image satisfies the requirement. The outer error is that it could not be found out.
    pub(super) async fn satisfies(&self, requirement: &Requirement) -> Result<Result<(), Rejection>> {
        let (trust, identity) = match requirement {
            Requirement::InsecureAcceptAnything => return Ok(Ok(())),
            Requirement::Reject => {
                let name = self.source.name();
                return Ok(Err(Rejection(format!("Running image {name} is rejected by policy."))));
            }
            Requirement::SignedBaseLayer => {
                let reason = "the policy asks for signedBaseLayer, which no program implements; use signedBy or sigstoreSigned";
                return Ok(Err(Rejection(reason.to_owned())));
            }
            Requirement::SignedBy { keys, identity } => (Trust::open_pgp(keys)?, identity),
            Requirement::SigstoreSigned { signer, rekor, identity } => {
                (Trust::sigstore(signer, rekor.as_ref())?, identity)
            }
        };
        let signatures =
            self.signatures.get_or_try_init(|| self.source.signatures(&self.manifest.digest)).await?;
        let mut reasons = Vec::new();
        let mut others = 0;
        for signature in signatures {
            match trust.payload(signature, self.now) {
                None => others += 1,
                Some(verified) => match verified.and_then(|payload| self.claims(&payload, identity)) {
                    Ok(()) => return Ok(Ok(())),
                    Err(Rejection(reason)) => reasons.push(reason),
                },
            }
        }
        Ok(Err(Rejection(match (reasons.as_slice(), others) {
            ([], 0) => "A signature was required, but no signature exists".to_owned(),
            ([], others) => {
                format!("A signature was required, but no signature exists ({others} of another format)")
            }
            ([only], _) => only.clone(),
            (reasons, _) => format!("None of the signatures were accepted, reasons: {}", reasons.join("; ")),
        })))
    }

    /// Whether a verified claim is one about this image.
    fn claims(&self, payload: &Payload, identity: &Identity) -> Result<(), Rejection> {
        if !identity.accepts(self.source.identity(), &payload.reference) {
            return Err(Rejection(format!(
                "Signature for identity {} is not accepted",
                quoted(&payload.reference)
            )));
        }
        payload.verify_digest(&self.manifest.raw)
    }
}

impl Trust {
    fn open_pgp(keys: &Material) -> Result<Self> {
        let ring = Keyring::join(keys.each(Keyring::parse)?);
        ring.map(Self::OpenPgp).ok_or_else(|| Error::Usage("signedBy in the policy names no key".to_owned()))
    }

    fn sigstore(signer: &Signer, rekor: Option<&Material>) -> Result<Self> {
        let log = rekor.map(|keys| keys.each(PublicKey::from_pem)).transpose()?;
        let signer = match signer {
            Signer::Keys(keys) => Trusted::Keys(keys.each(PublicKey::from_pem)?),
            Signer::Fulcio { ca, oidc_issuer, subject_email } => Trusted::Fulcio(
                authority(ca, None)?,
                FulcioSubject { oidc_issuer: oidc_issuer.clone(), email: subject_email.clone() },
            ),
            Signer::Pki { roots, intermediates, subject_email, subject_hostname } => Trusted::Pki(
                authority(roots, intermediates.as_ref())?,
                PkiSubject { email: subject_email.clone(), hostname: subject_hostname.clone() },
            ),
        };
        Ok(Self::Sigstore { signer, log })
    }

    /// The claim of a signature that is verified; `None` where the signature is of another format.
    fn payload(&self, signature: &Signature, now: Timestamp) -> Option<Result<Payload, Rejection>> {
        match (self, signature) {
            (Self::OpenPgp(ring), Signature::Simple(message)) => Some(
                ring.verify(message, now)
                    .and_then(|verified| Payload::parse(Kind::Simple, &verified.content)),
            ),
            (Self::Sigstore { signer, log }, Signature::Sigstore { media_type, payload, annotations })
                if media_type == SIGSTORE_PAYLOAD =>
            {
                let annotation = |name: &str| annotations.get(name).map(String::as_str);
                let verified = signer.verify(log.as_deref(), payload, annotation, now);
                Some(verified.and_then(|()| Payload::parse(Kind::Sigstore, payload)))
            }
            _ => None,
        }
    }
}

impl Trusted {
    fn verify<'s>(
        &self,
        log: Option<&[PublicKey]>,
        payload: &[u8],
        annotation: impl Fn(&'static str) -> Option<&'s str>,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        let required = |name| annotation(name).ok_or_else(|| Rejection(format!("missing {name} annotation")));
        let signature = required(annotation::SIGNATURE)?;
        // When the log took the signature in, by this key or certificate; without a log there is nothing to ask.
        let logged = |log: &[PublicKey], key: &[u8]| {
            let entry = rekor::Entry { key_or_certificate: key, signature, payload };
            rekor::verify(log, required(annotation::BUNDLE)?.as_bytes(), &entry)
        };
        let chain = annotation(annotation::CHAIN).map(str::as_bytes);
        match self {
            Self::Keys(keys) => {
                let mut last = None;
                for key in keys {
                    let verified = match log {
                        Some(log) => logged(log, key.to_pem().as_bytes()).map(drop),
                        None => Ok(()),
                    };
                    match verified.and_then(|()| key.verify_base64(payload, signature)) {
                        Ok(()) => return Ok(()),
                        Err(rejection) => last = Some(rejection),
                    }
                }
                Err(last.unwrap_or_else(|| Rejection("the policy holds no key".to_owned())))
            }
            Self::Fulcio(authority, subject) => {
                let certificate = required(annotation::CERTIFICATE)?.as_bytes();
                let log = log.ok_or_else(|| Rejection("the policy names no transparency log".to_owned()))?;
                let at = logged(log, certificate)?;
                authority.verify_fulcio(subject, certificate, chain, at)?.verify_base64(payload, signature)
            }
            Self::Pki(authority, subject) => {
                let certificate = required(annotation::CERTIFICATE)?.as_bytes();
                authority.verify_pki(subject, certificate, chain, now)?.verify_base64(payload, signature)
            }
        }
    }
}

fn authority(roots: &Material, intermediates: Option<&Material>) -> Result<Authority> {
    let read = |material: &Material| -> Result<Vec<CertificateDer<'static>>> {
        Ok(material.each(certificates)?.concat())
    };
    Ok(Authority {
        roots: read(roots)?,
        intermediates: intermediates.map(read).transpose()?.unwrap_or_default(),
    })
}

impl Material {
    /// Each piece, parsed. The error names the file, or is `Error::Usage` for what the policy holds itself.
    fn each<T>(&self, parse: impl Fn(&[u8]) -> Result<T, String>) -> Result<Vec<T>> {
        match self {
            Self::Files(paths) => paths
                .iter()
                .map(|path| {
                    let content = read(path, MAX_MATERIAL_BYTES)?;
                    parse(&content).map_err(|fault| Error::Configuration { path: path.clone(), fault })
                })
                .collect(),
            Self::Data(pieces) => {
                let fault = |fault| Error::Usage(format!("keys or certificates in the policy: {fault}"));
                pieces.iter().map(|piece| parse(piece).map_err(fault)).collect()
            }
        }
    }
}

/// A file's bytes, within bounds.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    let file = File::open(path).map_err(Error::file(path))?;
    file.take(limit + 1).read_to_end(&mut content).map_err(Error::file(path))?;
    if content.len() as u64 > limit {
        return Err(Error::Configuration {
            path: path.to_owned(),
            fault: format!("more than {limit} bytes"),
        });
    }
    Ok(content)
}
