//! The rules, over a real catalog.

use berth_oci::Algorithm;
use tempfile::TempDir;

use super::*;
use crate::{
    catalog::{NewBlob, ObjectKey, SqliteCatalog, SqliteOptions},
    clock::SystemClock,
};

struct Rules {
    manifests: Manifests,
    catalog: Arc<dyn Catalog>,
    repo: RepoName,
    _data: TempDir,
}

async fn rules(change: impl FnOnce(&mut Settings)) -> Rules {
    let data = TempDir::new().unwrap();
    let catalog: Arc<dyn Catalog> =
        Arc::new(SqliteCatalog::open(data.path(), SqliteOptions::default()).await.unwrap());
    let mut settings = Settings {
        sparse_indexes: false,
        sparse_images: false,
        max_depth: 20,
        immutable: Immutable::default(),
        blob_lease: Duration::from_secs(60),
        undelete: true,
        most: PerRepository::default(),
    };
    change(&mut settings);
    let records = Records::new(Arc::clone(&catalog), Arc::new(crate::storage::memory()));
    let manifests = Manifests::new(Arc::clone(&catalog), Arc::new(SystemClock), records, settings);
    Rules { manifests, catalog, repo: "team/app".parse().unwrap(), _data: data }
}

#[tokio::test]
async fn a_push_brings_a_damaged_manifest_back() {
    let rules = rules(|_| ()).await;
    let body = index(&[]);
    let push =
        || rules.manifests.put(&rules.repo, tag("v1"), Vec::new(), None, body.clone(), Arc::new(|_| false));
    let digest = push().await.unwrap().digest;
    assert!(rules.catalog.mend_body(&digest, &"{}".into()).await.unwrap());
    let read = async || rules.manifests.get(&rules.repo, &tag("v1")).await;
    assert!(read().await.unwrap_err().is_damage_of(&digest));
    push().await.unwrap();
    assert_eq!(read().await.unwrap().unwrap().body, body);
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, bytes)
}

fn tag(text: &str) -> ManifestReference {
    ManifestReference::Tag(text.parse().unwrap())
}

fn image(config: &[u8]) -> Bytes {
    let body = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "config": { "mediaType": MediaType::OCI_CONFIG, "digest": digest(config), "size": config.len() },
        "layers": [],
    });
    body.to_string().into()
}

fn index(children: &[&Bytes]) -> Bytes {
    let manifests: Vec<_> = children
        .iter()
        .map(|child| {
            serde_json::json!({
                "mediaType": MediaType::OCI_INDEX, "digest": digest(child), "size": child.len()
            })
        })
        .collect();
    let body = serde_json::json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": manifests
    });
    body.to_string().into()
}

impl Rules {
    async fn put(&self, reference: ManifestReference, body: &Bytes) -> Result<Stored, PutError> {
        self.manifests.put(&self.repo, reference, Vec::new(), None, body.clone(), Arc::new(|_| false)).await
    }

    async fn blob(&self, content: &[u8]) {
        let blob = NewBlob {
            repo: self.repo.clone(),
            digest: digest(content),
            size: content.len() as u64,
            key: ObjectKey(format!("blobs/{}", digest(content).hex())),
            upload: None,
        };
        let now = SystemClock.now();
        let lease = Lease { now, length: Duration::from_secs(60) };
        self.catalog.commit_blob(&blob, now, lease).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn r16_a_manifest_whose_blob_is_missing_is_not_stored() {
    let rules = rules(|_| ()).await;
    let image = image(b"{}");
    let error = rules.put(tag("latest"), &image).await.unwrap_err();
    assert!(matches!(&error, PutError::Missing(missing) if missing[0].digest == digest(b"{}")), "{error:?}");
    assert_eq!(rules.manifests.get(&rules.repo, &tag("latest")).await.unwrap(), None);

    rules.blob(b"{}").await;
    let stored = rules.put(tag("latest"), &image).await.unwrap();
    let read = rules.manifests.get(&rules.repo, &tag("latest")).await.unwrap().unwrap();
    assert_eq!((read.digest, read.body), (stored.digest, image));
}

#[tokio::test]
async fn r16_an_index_without_its_children_is_stored_only_where_that_is_allowed() {
    let sparse = index(&[&image(b"{}")]);
    let strict = rules(|_| ()).await;
    assert!(matches!(strict.put(tag("a"), &sparse).await, Err(PutError::Missing(_))));
    let open = rules(|settings| settings.sparse_indexes = true).await;
    open.put(tag("a"), &sparse).await.unwrap();
}

#[tokio::test]
async fn r16_an_image_without_its_layers_is_stored_only_where_that_is_allowed() {
    let mut body: serde_json::Value = serde_json::from_slice(&image(b"{}")).unwrap();
    body["layers"] = serde_json::json!([
        { "mediaType": MediaType::OCI_LAYER, "digest": digest(b"absent"), "size": 6 }
    ]);
    let body = body.to_string().into();
    for allowed in [false, true] {
        let rules = rules(|settings| settings.sparse_images = allowed).await;
        assert!(matches!(rules.put(tag("a"), &body).await, Err(PutError::Missing(_))), "no configuration");
        rules.blob(b"{}").await;
        assert_eq!(rules.put(tag("a"), &body).await.is_ok(), allowed);
    }
}

#[tokio::test]
async fn r16_a_missing_subject_is_no_obstacle() {
    let rules = rules(|_| ()).await;
    let subject = digest(b"never pushed");
    let body = serde_json::json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [],
        "subject": { "mediaType": MediaType::OCI_MANIFEST, "digest": subject, "size": 12 },
    });
    let stored = rules.put(tag("sbom"), &body.to_string().into()).await.unwrap();
    assert_eq!(stored.subject, Some(subject));
}

#[tokio::test]
async fn r17_indexes_are_nested_to_the_limit_and_no_deeper() {
    let rules = rules(|settings| settings.max_depth = 3).await;
    rules.blob(b"{}").await;
    let mut top = image(b"{}");
    rules.put(ManifestReference::Digest(digest(&top)), &top).await.unwrap();
    for _ in 0..3 {
        top = index(&[&top]);
        rules.put(ManifestReference::Digest(digest(&top)), &top).await.unwrap();
    }
    let deeper = index(&[&top]);
    assert!(matches!(rules.put(tag("deep"), &deeper).await, Err(PutError::TooDeep(3))));
}

#[tokio::test]
async fn r4_a_manifest_under_another_digest_is_refused() {
    let rules = rules(|_| ()).await;
    let error = rules.put(ManifestReference::Digest(digest(b"other")), &index(&[])).await.unwrap_err();
    assert!(matches!(error, PutError::DigestMismatch { .. }), "{error:?}");
}

#[tokio::test]
async fn r22_an_immutable_tag_neither_moves_nor_goes() {
    let rules = rules(|settings| settings.immutable = Immutable::new(vec!["v*".into()])).await;
    rules.blob(b"{}").await;
    let (first, second) = (image(b"{}"), index(&[]));
    let stored = rules.put(tag("v1"), &first).await.unwrap();
    rules.put(tag("v1"), &first).await.expect("the very manifest may be pushed again");
    assert!(matches!(rules.put(tag("v1"), &second).await, Err(PutError::Immutable(_))));
    let by_digest = ManifestReference::Digest(digest(&second));
    let moved = rules
        .manifests
        .put(&rules.repo, by_digest, vec!["v1".parse().unwrap()], None, second, Arc::new(|_| false))
        .await;
    assert!(matches!(moved, Err(PutError::Immutable(_))));
    for reference in [tag("v1"), ManifestReference::Digest(stored.digest.clone())] {
        let deleted = rules.manifests.delete(&rules.repo, &reference, Arc::new(|_| false)).await;
        assert!(matches!(deleted, Err(DeleteError::Immutable(_))), "{reference} went");
    }
    let read = rules.manifests.get(&rules.repo, &tag("v1")).await.unwrap().unwrap();
    assert_eq!(read.digest, stored.digest);
}

#[tokio::test]
async fn r22_of_two_first_pushes_of_an_immutable_tag_one_wins() {
    let rules = rules(|settings| settings.immutable = Immutable::new(vec!["v*".into()])).await;
    rules.blob(b"{}").await;
    let (first, second) = (image(b"{}"), index(&[]));
    for round in 0..20 {
        let reference = tag(&format!("v{round}"));
        let (a, b) =
            tokio::join!(rules.put(reference.clone(), &first), rules.put(reference.clone(), &second));
        assert!(a.is_ok() != b.is_ok(), "round {round}: {a:?} {b:?}");
    }
}

/// Puts the manifest of an index without children, which no other has.
async fn put(rules: &Rules, n: u32, reference: &str) -> Result<Stored, PutError> {
    let body = Bytes::from(format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"{}\",\"manifests\":[],\"annotations\":{{\"n\":\"{n}\"}}}}",
        MediaType::OCI_INDEX
    ));
    rules.manifests.put(&rules.repo, tag(reference), Vec::new(), None, body, Arc::new(|_| false)).await
}

#[tokio::test]
async fn a_repository_has_no_more_tags_than_it_may_and_those_it_has_still_move() {
    let rules = rules(|settings| settings.most = PerRepository { manifests: 0, tags: 30 }).await;
    for n in 0..30 {
        put(&rules, n, &format!("t{n}")).await.unwrap();
    }
    let told = put(&rules, 30, "one-more").await;
    assert!(matches!(told, Err(PutError::RepositoryFull { what: "tags", limit: 30 })), "{told:?}");
    put(&rules, 31, "t3").await.unwrap();
    assert!(rules.manifests.delete(&rules.repo, &tag("t4"), Arc::new(|_| false)).await.unwrap());
    put(&rules, 32, "one-more").await.unwrap();
    assert!(put(&rules, 33, "and-another").await.is_err());
}

#[tokio::test]
async fn a_repository_has_no_more_manifests_than_it_may_and_those_it_has_are_pushed_again() {
    let rules = rules(|settings| settings.most = PerRepository { manifests: 20, tags: 0 }).await;
    for n in 0..20 {
        put(&rules, n, "latest").await.unwrap();
    }
    let told = put(&rules, 20, "latest").await;
    assert!(matches!(told, Err(PutError::RepositoryFull { what: "manifests", limit: 20 })), "{told:?}");
    put(&rules, 5, "five").await.unwrap();
}
