//! policy.json, strictly: whatever is unknown, twice or malformed refuses the whole file, and all faults are told at once.

mod fields;

use std::collections::BTreeMap;

use berth_oci::Reference;

use self::fields::{Faults, Fields, Names};
use super::{
    Rules,
    model::{Identity, Repository, Requirement, Signer},
    scope,
};
use crate::signature::json::{self, Json, quoted};

/// Reads a policy. The error is every fault, one to a line.
pub(super) fn parse(text: &[u8]) -> Result<Rules, String> {
    let json = json::parse(text).map_err(|fault| format!("invalid JSON: {fault}"))?;
    let mut faults = Faults::default();
    let rules = rules(&json, &mut faults);
    match (rules, faults.found.is_empty()) {
        (Some(rules), true) => Ok(rules),
        _ => Err(faults.text()),
    }
}

const KEYRINGS: Names = Names { files: &["keyPath", "keyPaths"], data: &["keyData"] };
const KEYS: Names = Names { files: &["keyPath", "keyPaths"], data: &["keyData", "keyDatas"] };
const REKOR: Names = Names {
    files: &["rekorPublicKeyPath", "rekorPublicKeyPaths"],
    data: &["rekorPublicKeyData", "rekorPublicKeyDatas"],
};
const FULCIO_CA: Names = Names { files: &["caPath"], data: &["caData"] };
const PKI_ROOTS: Names = Names { files: &["caRootsPath"], data: &["caRootsData"] };
const PKI_INTERMEDIATES: Names = Names { files: &["caIntermediatesPath"], data: &["caIntermediatesData"] };

fn rules(json: &Json, faults: &mut Faults) -> Option<Rules> {
    let mut fields = Fields::of(json, "", faults)?;
    let default = match fields.take("default") {
        Some(list) => requirements(list, "default", faults),
        None => faults.add("default", "is required: [{\"type\": \"reject\"}] refuses what no scope accepts"),
    };
    let mut transports = BTreeMap::new();
    if let Some(Json::Object(named)) = fields.left.get("transports") {
        for (transport, scopes) in named {
            let at = format!("transports.{transport}");
            let Some(scopes) = Fields::of(scopes, &at, faults) else { continue };
            let mut found = BTreeMap::new();
            for (name, list) in scopes.left {
                let at = format!("{at}.{}", quoted(name));
                if let Some(fault) = scope::fault(transport, name) {
                    faults.add::<()>(&at, format!("a scope of this transport {fault}"));
                }
                found.insert(name.to_owned(), requirements(list, &at, faults).unwrap_or_default());
            }
            transports.insert(transport.clone(), found);
        }
    } else if let Some(other) = fields.left.get("transports") {
        faults.add::<()>("transports", format!("expected an object, found {}", other.kind()));
    }
    fields.left.remove("transports");
    fields.end(faults);
    Some(Rules { default: default?, transports })
}

fn requirements(json: &Json, at: &str, faults: &mut Faults) -> Option<Vec<Requirement>> {
    match json {
        Json::Array(list) if list.is_empty() => faults.add(at, "the list of requirements must not be empty"),
        Json::Array(list) => {
            let all = list
                .iter()
                .enumerate()
                .map(|(place, json)| requirement(json, &format!("{at}[{place}]"), faults));
            all.collect::<Vec<_>>().into_iter().collect()
        }
        other => faults.add(at, format!("expected an array, found {}", other.kind())),
    }
}

fn requirement(json: &Json, at: &str, faults: &mut Faults) -> Option<Requirement> {
    let mut fields = Fields::of(json, at, faults)?;
    let kind = fields.required("type", faults)?;
    let requirement = match kind.as_str() {
        "insecureAcceptAnything" => Some(Requirement::InsecureAcceptAnything),
        "reject" => Some(Requirement::Reject),
        "signedBy" => signed_by(&mut fields, faults),
        "sigstoreSigned" => sigstore_signed(&mut fields, faults),
        "signedBaseLayer" => {
            let layer = fields.take("baseLayerIdentity");
            let identity = layer.map(|json| identity(json, &fields.key("baseLayerIdentity"), faults));
            if identity.is_none() {
                faults.add::<()>(&fields.key("baseLayerIdentity"), "is required");
            }
            Some(Requirement::SignedBaseLayer)
        }
        other => return faults.add(&fields.key("type"), format!("unknown requirement {}", quoted(other))),
    };
    fields.end(faults);
    requirement
}

fn signed_by(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Requirement> {
    if let Some(kind) = fields.required("keyType", faults).filter(|kind| kind != "GPGKeys") {
        faults.add::<()>(&fields.key("keyType"), format!("{} is not supported, only GPGKeys", quoted(&kind)));
    }
    let keys = fields.required_material(&KEYRINGS, faults);
    let identity = signed_identity(fields, faults);
    Some(Requirement::SignedBy { keys: keys?, identity: identity? })
}

fn sigstore_signed(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Requirement> {
    let at = fields.at.clone();
    let (by_fulcio, by_pki) = (fields.take("fulcio"), fields.take("pki"));
    let by_key = KEYS.given(fields).next().is_some();
    let given = [by_key, by_fulcio.is_some(), by_pki.is_some()].into_iter().filter(|given| *given).count();
    if given != 1 {
        let keys = KEYS.all().collect::<Vec<_>>().join(", ");
        faults.add::<()>(&at, format!("exactly one of {keys}, fulcio and pki must be given"));
    }
    let keys = fields.material(&KEYS, faults).map(Signer::Keys);
    let certified = match (by_fulcio, by_pki) {
        (Some(json), _) => fulcio(json, &fields.key("fulcio"), faults),
        (None, Some(json)) => pki(json, &fields.key("pki"), faults),
        (None, None) => None,
    };
    let signer = keys.or(certified);
    let rekor = fields.material(&REKOR, faults);
    match (&signer, &rekor) {
        (Some(Signer::Fulcio { .. }), None) => {
            faults.add::<()>(
                &at,
                "with fulcio a rekorPublicKey… is required: the log says when the certificate was used",
            );
        }
        (Some(Signer::Pki { .. }), Some(_)) => {
            faults.add::<()>(&at, "rekorPublicKey… is not supported with pki");
        }
        _ => {}
    }
    let identity = signed_identity(fields, faults);
    Some(Requirement::SigstoreSigned { signer: signer?, rekor, identity: identity? })
}

fn fulcio(json: &Json, at: &str, faults: &mut Faults) -> Option<Signer> {
    let mut fields = Fields::of(json, at, faults)?;
    let ca = fields.required_material(&FULCIO_CA, faults);
    let oidc_issuer = fields.required("oidcIssuer", faults);
    let subject_email = fields.required("subjectEmail", faults);
    fields.end(faults);
    Some(Signer::Fulcio { ca: ca?, oidc_issuer: oidc_issuer?, subject_email: subject_email? })
}

fn pki(json: &Json, at: &str, faults: &mut Faults) -> Option<Signer> {
    let mut fields = Fields::of(json, at, faults)?;
    let roots = fields.required_material(&PKI_ROOTS, faults);
    let intermediates = fields.material(&PKI_INTERMEDIATES, faults);
    let subject_email = fields.text("subjectEmail", faults);
    let subject_hostname = fields.text("subjectHostname", faults);
    if subject_email.is_none() && subject_hostname.is_none() {
        faults.add::<()>(at, "one of subjectEmail and subjectHostname is required");
    }
    fields.end(faults);
    Some(Signer::Pki { roots: roots?, intermediates, subject_email, subject_hostname })
}

fn signed_identity(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Identity> {
    match fields.take("signedIdentity") {
        Some(json) => identity(json, &fields.key("signedIdentity"), faults),
        None => Some(Identity::default()),
    }
}

fn identity(json: &Json, at: &str, faults: &mut Faults) -> Option<Identity> {
    let mut fields = Fields::of(json, at, faults)?;
    let kind = fields.required("type", faults)?;
    let identity = match kind.as_str() {
        "matchExact" => Some(Identity::MatchExact),
        "matchRepoDigestOrExact" => Some(Identity::MatchRepoDigestOrExact),
        "matchRepository" => Some(Identity::MatchRepository),
        "exactReference" => exact_reference(&mut fields, faults),
        "exactRepository" => exact_repository(&mut fields, faults),
        "remapIdentity" => {
            let prefix = prefix(&mut fields, "prefix", faults);
            let signed_prefix = self::prefix(&mut fields, "signedPrefix", faults);
            prefix
                .zip(signed_prefix)
                .map(|(prefix, signed_prefix)| Identity::RemapIdentity { prefix, signed_prefix })
        }
        other => return faults.add(&fields.key("type"), format!("unknown identity {}", quoted(other))),
    };
    fields.end(faults);
    identity
}

fn reference(fields: &mut Fields<'_>, name: &str, faults: &mut Faults) -> Option<Reference> {
    let text = fields.required(name, faults)?;
    match text.parse::<Reference>() {
        Ok(reference) => Some(reference),
        Err(fault) => faults.add(&fields.key(name), format!("{}: {fault}", quoted(&text))),
    }
}

fn exact_reference(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Identity> {
    let reference = reference(fields, "dockerReference", faults)?;
    if reference.tag().is_none() && reference.digest().is_none() {
        return faults.add(&fields.key("dockerReference"), "a tag or a digest is required");
    }
    Some(Identity::ExactReference(reference))
}

fn exact_repository(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Identity> {
    let reference = reference(fields, "dockerRepository", faults)?;
    if reference.tag().is_some() || reference.digest().is_some() {
        return faults.add(&fields.key("dockerRepository"), "a repository has neither tag nor digest");
    }
    Some(Identity::ExactRepository(Repository::of(&reference)))
}

/// `host[:port][/namespace…]`, in full.
fn prefix(fields: &mut Fields<'_>, name: &str, faults: &mut Faults) -> Option<String> {
    let text = fields.required(name, faults)?;
    let (host, path) = match text.split_once('/') {
        Some((host, path)) => (host, path.to_owned()),
        None => (text.as_str(), "any/path".to_owned()),
    };
    let fits = path.parse().is_ok_and(|path| Reference::new(host, path).is_ok());
    // A first word that could be a part of a Docker Hub name would be taken for one by everybody else.
    let full = !text.contains('/') || host.contains(['.', ':']) || host == "localhost";
    if fits && full {
        return Some(text);
    }
    faults.add(
        &fields.key(name),
        format!("{} is no host, namespace or repository in its full form", quoted(&text)),
    )
}
