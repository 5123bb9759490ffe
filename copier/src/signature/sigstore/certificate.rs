//! Signatures by certificate: the key counts because an authority said whose it is.

use std::time::Duration;

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::{
    certificate::X509Certificate, der_parser::oid::Oid, extensions::GeneralName, oid_registry::asn1_rs::oid,
    prelude::FromDer,
};

use super::{PublicKey, Rejection, pem, quoted};

/// id-kp-codeSigning, 1.3.6.1.5.5.7.3.3, without tag and length.
const CODE_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 3];
/// Fulcio's extension for the issuer of the OIDC token, as raw text; and the later one, as a UTF8String.
const ISSUER_V1: Oid<'static> = oid!(1.3.6.1.4.1.57264.1.1);
const ISSUER_V2: Oid<'static> = oid!(1.3.6.1.4.1.57264.1.8);
/// Most certificates between a signer's and a root.
const MAX_INTERMEDIATES: usize = 20;

/// Certificates in PEM.
///
/// # Errors
/// If a block is something else, or there is none.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut found = Vec::new();
    for block in pem::parse(text)? {
        if block.label != "CERTIFICATE" {
            return Err(format!("a certificate was expected, not {}", quoted(&block.label)));
        }
        parse(&block.content)?;
        found.push(CertificateDer::from(block.content));
    }
    if found.is_empty() { Err("there is no certificate".to_owned()) } else { Ok(found) }
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, String> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err("there are bytes behind the certificate".to_owned()),
        Err(fault) => Err(format!("no certificate: {fault}")),
    }
}

/// Whom to believe whose a key is.
#[derive(Clone, Debug)]
pub struct Authority {
    /// Roots.
    pub roots: Vec<CertificateDer<'static>>,
    /// What may stand between a root and a signer, besides what the signer sends.
    pub intermediates: Vec<CertificateDer<'static>>,
}

/// Whose signature is asked for, with Fulcio.
#[derive(Clone, Debug)]
pub struct FulcioSubject {
    /// The service that knew the signer.
    pub oidc_issuer: String,
    /// The address it knew the signer by.
    pub email: String,
}

/// Whose signature is asked for, with an authority of one's own; at least one of the two.
#[derive(Clone, Debug)]
pub struct PkiSubject {
    /// An address in the certificate.
    pub email: Option<String>,
    /// A host name or address that the certificate is good for.
    pub hostname: Option<String>,
}

impl Authority {
    /// Verifies a certificate of Fulcio's at the time at which the log saw it, and gives its key.
    ///
    /// # Errors
    /// If its chain does not lead to a root at that time, or it is somebody else's.
    pub fn verify_fulcio(
        &self,
        subject: &FulcioSubject,
        certificate: &[u8],
        chain: Option<&[u8]>,
        at: Timestamp,
    ) -> Result<PublicKey, Rejection> {
        let verify = || {
            let der = self.verify_chain(certificate, chain, at)?;
            let leaf = parse(&der)?;
            let usage = leaf.extended_key_usage().map_err(|fault| fault.to_string())?;
            if !usage.is_some_and(|usage| usage.value.code_signing) {
                return Err("the signer's certificate is not one for signing code".to_owned());
            }
            let issuer = oidc_issuer(&leaf)?;
            if issuer != subject.oidc_issuer {
                return Err(format!("Unexpected Fulcio OIDC issuer {}", quoted(&issuer)));
            }
            check_email(&leaf, &subject.email)?;
            PublicKey::from_info(leaf.public_key())
        };
        verify().map_err(Rejection)
    }

    /// Verifies a certificate of one's own authority, and gives its key.
    ///
    /// # Errors
    /// If its chain does not lead to a root now, or it is somebody else's.
    pub fn verify_pki(
        &self,
        subject: &PkiSubject,
        certificate: &[u8],
        chain: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<PublicKey, Rejection> {
        let verify = || {
            let der = self.verify_chain(certificate, chain, now)?;
            let leaf = parse(&der)?;
            if subject.email.is_none() && subject.hostname.is_none() {
                return Err("the policy names no subject".to_owned());
            }
            if let Some(email) = &subject.email {
                check_email(&leaf, email)?;
            }
            if let Some(hostname) = &subject.hostname {
                let name = ServerName::try_from(hostname.as_str()).map_err(|fault| fault.to_string())?;
                let entity = EndEntityCert::try_from(&der).map_err(|fault| fault.to_string())?;
                entity
                    .verify_is_valid_for_subject_name(&name)
                    .map_err(|_| format!("the certificate is not one of {}", quoted(hostname)))?;
            }
            PublicKey::from_info(leaf.public_key())
        };
        verify().map_err(Rejection)
    }

    fn verify_chain(
        &self,
        certificate: &[u8],
        chain: Option<&[u8]>,
        at: Timestamp,
    ) -> Result<CertificateDer<'static>, String> {
        let leaf = match <[_; 1]>::try_from(certificates(certificate)?) {
            Ok([leaf]) => leaf,
            Err(_) => return Err("unexpected multiple certificates in place of the signer's".to_owned()),
        };
        let mut intermediates = self.intermediates.clone();
        if let Some(chain) = chain {
            intermediates.extend(certificates(chain).map_err(|fault| format!("certificate chain: {fault}"))?);
        }
        if intermediates.len() > self.intermediates.len() + MAX_INTERMEDIATES {
            return Err(format!("more than {MAX_INTERMEDIATES} certificates in the chain"));
        }
        // webpki takes an anchor for good at all times; a root that has expired vouches for nobody here.
        let valid = |root: &&CertificateDer<'_>| {
            parse(root.as_ref()).is_ok_and(|root| {
                let (from, to) =
                    (root.validity().not_before.timestamp(), root.validity().not_after.timestamp());
                (from..=to).contains(&at.as_second())
            })
        };
        let anchors = self.roots.iter().filter(valid).map(anchor_from_trusted_cert);
        let anchors = anchors.collect::<Result<Vec<_>, _>>().map_err(|fault| fault.to_string())?;
        let since = u64::try_from(at.as_second()).map_err(|_| "a time before 1970".to_owned())?;
        let time = UnixTime::since_unix_epoch(Duration::from_secs(since));
        // Of the authorities' own certificates many do not say what they are for.
        let usage = KeyUsage::required_if_present(CODE_SIGNING);
        let entity =
            EndEntityCert::try_from(&leaf).map_err(|fault| format!("signer's certificate: {fault}"))?;
        entity
            .verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, &intermediates, time, usage, None, None)
            .map_err(|fault| format!("verifying the signer's certificate failed: {fault}"))?;
        Ok(leaf)
    }
}

fn check_email(certificate: &X509Certificate<'_>, wanted: &str) -> Result<(), String> {
    let names = certificate.subject_alternative_name().map_err(|fault| fault.to_string())?;
    let emails: Vec<_> = names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| match name {
            GeneralName::RFC822Name(email) => Some(*email),
            _ => None,
        })
        .collect();
    if emails.contains(&wanted) {
        return Ok(());
    }
    let found: Vec<_> = emails.iter().take(10).map(|email| quoted(email)).collect();
    Err(format!("Required email {} not found (got {})", quoted(wanted), found.join(", ")))
}

/// The issuer that Fulcio recorded, in either form; where it is in both, they agree.
fn oidc_issuer(certificate: &X509Certificate<'_>) -> Result<String, String> {
    let extension = |oid: &Oid<'_>| {
        let found = certificate.get_extension_unique(oid);
        found.map_err(|_| "the certificate has an OIDC issuer twice".to_owned())
    };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|fault| fault.to_string());
    let old = extension(&ISSUER_V1)?.map(|extension| text(extension.value)).transpose()?;
    let new = extension(&ISSUER_V2)?
        .map(|extension| match x509_parser::der_parser::asn1_rs::Utf8String::from_der(extension.value) {
            Ok(([], issuer)) => Ok(issuer.string()),
            _ => Err("the OIDC issuer is no UTF8String".to_owned()),
        })
        .transpose()?;
    match (old, new) {
        (None, None) => Err("Fulcio certificate is missing the issuer extension".to_owned()),
        (Some(old), Some(new)) if old != new => {
            Err(format!("the certificate names two OIDC issuers, {} and {}", quoted(&old), quoted(&new)))
        }
        (Some(issuer), _) | (None, Some(issuer)) => Ok(issuer),
    }
}
