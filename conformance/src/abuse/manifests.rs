//! R14–R17: manifests that two readers could read in two ways, and those that wear a reader out.

use std::sync::Arc;

use berth_oci::{Algorithm, ErrorCode, MediaType};
use serde_json::{Value, json};

use crate::{
    case::{Stop, Verdict, ensure},
    data::{Builder, Kind, Manifest, digest_of, random},
    http::{Answer, Cx},
    suite::push::{UploadPath, given_image, manifest_at, put_manifest, try_push, unpushed_image},
};

/// Puts these bytes as a manifest under a tag.
async fn put(cx: &Cx, media_type: &str, bytes: impl Into<bytes::Bytes>) -> Result<Answer, Stop> {
    let call = cx.put(manifest_at(cx.repo(), "v1"))?.header("content-type", media_type);
    call.body(bytes).send().await
}

/// 400 MANIFEST_INVALID, and nothing is stored.
async fn is_refused(cx: &Cx, media_type: &str, bytes: impl Into<bytes::Bytes>) -> Verdict {
    put(cx, media_type, bytes).await?.error(400, ErrorCode::ManifestInvalid)?;
    cx.head(manifest_at(cx.repo(), "v1"))?.send().await?.expect(&[404]).map(drop)
}

/// An image whose blobs are there, as a JSON value to be spoilt.
async fn image(cx: &Cx) -> Result<Value, Stop> {
    let manifest = unpushed_image(cx, cx.repo(), Algorithm::Sha256, |_| ()).await?;
    serde_json::from_slice(&manifest.bytes).map_err(|error| Stop::Fail(error.to_string()))
}

pub(super) async fn layers_and_manifests(cx: Arc<Cx>, media_type: &'static str) -> Verdict {
    let mut body = image(&cx).await?;
    body["mediaType"] = media_type.into();
    body["manifests"] = json!([]);
    is_refused(&cx, media_type, body.to_string()).await?;
    let mut without_type = body.clone();
    if let Some(fields) = without_type.as_object_mut() {
        fields.remove("mediaType");
    }
    is_refused(&cx, media_type, without_type.to_string()).await
}

/// A key that stands twice, at the top and further down.
pub(super) async fn duplicate_keys(cx: Arc<Cx>) -> Verdict {
    let text = image(&cx).await?.to_string();
    let top = text.replacen('{', "{\"schemaVersion\":2,", 1);
    let nested = text.replacen("\"config\":{", "\"config\":{\"size\":1,", 1);
    let escaped = text.replacen('{', "{\"l\\u0061yers\":[],", 1);
    for (what, spoilt) in [("at the top", top), ("in a descriptor", nested), ("by an escape", escaped)] {
        ensure(spoilt != text, || format!("nothing was spoilt {what}"))?;
        is_refused(&cx, MediaType::OCI_MANIFEST, spoilt).await?;
    }
    Ok(())
}

pub(super) async fn type_mismatch(cx: Arc<Cx>) -> Verdict {
    let text = image(&cx).await?.to_string();
    for media_type in [MediaType::OCI_INDEX, MediaType::DOCKER_MANIFEST, MediaType::DOCKER_LIST] {
        is_refused(&cx, media_type, text.clone()).await?;
    }
    Ok(())
}

pub(super) async fn no_utf8(cx: Arc<Cx>) -> Verdict {
    let mut body = image(&cx).await?;
    body["annotations"] = json!({"org.example.a": "MARK"});
    let text = body.to_string();
    for bad in [&b"\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80"] {
        let (before, behind) = text.split_once("MARK").unwrap_or_default();
        is_refused(&cx, MediaType::OCI_MANIFEST, [before.as_bytes(), bad, behind.as_bytes()].concat())
            .await?;
    }
    Ok(())
}

pub(super) async fn deep(cx: Arc<Cx>, depth: usize) -> Verdict {
    let text = image(&cx).await?.to_string();
    let nested = format!("{{\"org.example.deep\":{}{},", "[".repeat(depth), "]".repeat(depth));
    is_refused(&cx, MediaType::OCI_MANIFEST, text.replacen('{', &nested, 1)).await
}

/// What is not an object, or more than one, or cut short.
pub(super) async fn no_manifest(cx: Arc<Cx>) -> Verdict {
    let text = image(&cx).await?.to_string();
    let twice = format!("{text}{text}");
    let cut = &text[..text.len() - 1];
    let marked = format!("\u{feff}{text}");
    for bytes in ["", "{}", "[]", "null", "\"text\"", "1", &twice, cut, &marked] {
        is_refused(&cx, MediaType::OCI_MANIFEST, bytes.to_owned()).await?;
    }
    Ok(())
}

/// Descriptors that are none: what is wrong with one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Digest(&'static str),
    Size(&'static str),
    NoDigest,
    NoSize,
}

/// In the config, in a layer and in a child: 400 MANIFEST_INVALID.
pub(super) async fn descriptor(cx: Arc<Cx>, fault: Fault) -> Verdict {
    let body = image(&cx).await?;
    for place in ["/config", "/layers/0"] {
        is_refused(&cx, MediaType::OCI_MANIFEST, spoilt(&body, place, fault)).await?;
    }
    let child = given_image(&cx, cx.repo(), Algorithm::Sha256, None).await?;
    let index = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX,
        "manifests": [{"mediaType": child.media_type, "digest": child.digest, "size": child.bytes.len()}],
    });
    is_refused(&cx, MediaType::OCI_INDEX, spoilt(&index, "/manifests/0", fault)).await?;
    let mut with_subject = body;
    with_subject["subject"] = index["manifests"][0].clone();
    is_refused(&cx, MediaType::OCI_MANIFEST, spoilt(&with_subject, "/subject", fault)).await
}

/// The text of `body` with a fault in the descriptor at `place`. Numbers are put in as text: some
/// are none that a JSON value could hold.
fn spoilt(body: &Value, place: &str, fault: Fault) -> String {
    let mut body = body.clone();
    let mut number = None;
    if let Some(fields) = body.pointer_mut(place).and_then(Value::as_object_mut) {
        match fault {
            Fault::Digest(digest) => drop(fields.insert("digest".to_owned(), digest.into())),
            Fault::NoDigest => drop(fields.remove("digest")),
            Fault::NoSize => drop(fields.remove("size")),
            Fault::Size(size) => {
                fields.insert("size".to_owned(), "NUMBER".into());
                number = Some(size);
            }
        }
    }
    number.map_or_else(|| body.to_string(), |size| body.to_string().replace("\"NUMBER\"", size))
}

/// A config or a layer that is not there: 400 MANIFEST_BLOB_UNKNOWN, unless the registry is told to
/// accept an image without its layers.
pub(super) async fn missing(cx: Arc<Cx>, place: &'static str) -> Verdict {
    let absent = Builder::new(Algorithm::Sha256).absent(MediaType::OCI_LAYER_GZIP, 10);
    let mut body = image(&cx).await?;
    if let Some(descriptor) = body.pointer_mut(place) {
        *descriptor = absent;
    }
    let answer = put(&cx, MediaType::OCI_MANIFEST, body.to_string()).await?;
    if cx.options().sparse && place.starts_with("/layers") {
        return answer.expect(&[201]).map(drop);
    }
    answer.error(400, ErrorCode::ManifestBlobUnknown)?;
    cx.head(manifest_at(cx.repo(), "v1"))?.send().await?.expect(&[404]).map(drop)
}

/// An index that lacks one child: refused, unless the registry is told to accept it.
pub(super) async fn missing_child(cx: Arc<Cx>) -> Verdict {
    let set = Kind::SparseIndex.make(Algorithm::Sha256);
    for blob in &set.blobs {
        try_push(&cx, cx.repo(), UploadPath::PostPut, blob).await?.expect(&[201])?;
    }
    let [here @ .., index] = set.manifests.as_slice() else { return Ok(()) };
    for manifest in here {
        put_manifest(&cx, cx.repo(), &manifest.digest, manifest).await?.expect(&[201])?;
    }
    let answer = put_manifest(&cx, cx.repo(), "v1", index).await?;
    if cx.options().sparse {
        answer.expect(&[201]).map(drop)
    } else {
        answer.error(400, ErrorCode::ManifestBlobUnknown)
    }
}

pub(super) async fn missing_subject(cx: Arc<Cx>) -> Verdict {
    let mut body = image(&cx).await?;
    body["subject"] = Builder::new(Algorithm::Sha256).absent(MediaType::OCI_MANIFEST, 10);
    let answer = put(&cx, MediaType::OCI_MANIFEST, body.to_string()).await?;
    let subject = body["subject"]["digest"].as_str().unwrap_or_default();
    answer.expect(&[201])?.header_is("oci-subject", subject)
}

/// So many descriptors in one manifest, all of the same layer. Whether the config counts is not
/// said: what is taken has so many with it, what is refused has more without it.
pub(super) async fn descriptors(cx: Arc<Cx>, count: usize, is_taken: bool) -> Verdict {
    let mut body = image(&cx).await?;
    let layer = body["layers"][0].clone();
    body["layers"] = vec![layer; if is_taken { count - 1 } else { count }].into();
    let answer = put(&cx, MediaType::OCI_MANIFEST, body.to_string()).await?;
    if is_taken { answer.expect(&[201]).map(drop) } else { answer.error(400, ErrorCode::ManifestInvalid) }
}

/// Indexes in each other: a depth that clients use is taken, one that nobody needs is not.
pub(super) async fn nesting(cx: Arc<Cx>) -> Verdict {
    let mut child = given_image(&cx, cx.repo(), Algorithm::Sha256, None).await?;
    for depth in 1..=30 {
        let index = index_of(&child);
        let answer = put_manifest(&cx, cx.repo(), &index.digest, &index).await?;
        if depth < 20 {
            answer.expect(&[201])?;
        } else if answer.status != 201 {
            return answer.error(400, ErrorCode::ManifestInvalid);
        } else {
            ensure(depth <= 21, || format!("an index {depth} deep is taken"))?;
        }
        child = index;
    }
    Ok(())
}

fn index_of(child: &Manifest) -> Manifest {
    let body = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX,
        "manifests": [{"mediaType": child.media_type, "digest": child.digest, "size": child.bytes.len()}],
    });
    let bytes = body.to_string();
    Manifest {
        digest: digest_of(Algorithm::Sha256, bytes.as_bytes()),
        media_type: MediaType::OCI_INDEX.to_owned(),
        bytes: bytes.into(),
        subject: None,
        artifact_type: None,
        annotations: serde_json::Map::new(),
    }
}

/// What is taken is stored as it came, byte by byte.
pub(super) async fn verbatim(cx: Arc<Cx>) -> Verdict {
    let body = image(&cx).await?;
    let number = format!("\"org.example.n\":[1.0,1E+2,-0.0,{}]", u64::from(random(1)[0]));
    let text = format!("\n{{ {number},\t{}\r\n ", &body.to_string()[1..]);
    put(&cx, MediaType::OCI_MANIFEST, text.clone()).await?.expect(&[201])?;
    let answer = cx.get(manifest_at(cx.repo(), "v1"))?.send().await?;
    answer.expect(&[200])?.body_is(text.as_bytes())
}
