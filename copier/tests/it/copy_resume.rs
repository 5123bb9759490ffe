//! Copies that end in the middle, and the ones that go on.

use std::path::Path;

use berth_conformance::harness::{Berth, CountingProxy, DockerRegistry, Scratch, require};
use berth_copier::{
    Event, Progress, Session, Settings, Side,
    copy::{self, Options},
    progress::Silent,
};
use berth_oci::{Algorithm, Digest, MediaType};
use serde_json::{Value, json};
use tokio::sync::Notify;

const LAYERS: usize = 4;
const LAYER: usize = 12 << 20;

/// Writes a layout with one image of layers that no compression makes smaller.
fn make_layout(folder: &Path) {
    std::fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
    let put = |content: &[u8], kind: &str| {
        let digest = Digest::of(Algorithm::Sha256, content);
        std::fs::write(folder.join("blobs/sha256").join(digest.hex()), content).unwrap();
        json!({"mediaType": kind, "digest": digest.as_str(), "size": content.len()})
    };
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let layers: Vec<_> = (0..LAYERS)
        .map(|_| put(&(0..LAYER).map(|_| random()).collect::<Vec<u8>>(), MediaType::OCI_LAYER_GZIP))
        .collect();
    let config = put(b"{\"architecture\":\"amd64\",\"os\":\"linux\"}", MediaType::OCI_CONFIG);
    let manifest =
        json!({"schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config, "layers": layers});
    let mut entry = put(manifest.to_string().as_bytes(), MediaType::OCI_MANIFEST);
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": "big"});
    let index = json!({"schemaVersion": 2, "manifests": [entry]});
    std::fs::write(folder.join("index.json"), index.to_string()).unwrap();
    std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

/// Tells when so many bytes went by.
struct Until {
    left: std::sync::Mutex<u64>,
    reached: Notify,
}

impl Progress for Until {
    fn event(&self, event: Event) {
        if let Event::BlobBytes { bytes, .. } = event {
            let mut left = self.left.lock().unwrap();
            *left = left.saturating_sub(bytes);
            if *left == 0 {
                self.reached.notify_one();
            }
        }
    }
}

/// Addresses of the uploads in the only journal of a folder that were begun and not done.
fn open_uploads(folder: &Path) -> Vec<String> {
    let mut files = std::fs::read_dir(folder).unwrap();
    let text = std::fs::read_to_string(files.next().unwrap().unwrap().path()).unwrap();
    assert!(files.next().is_none());
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let done = |digest: &Value| lines.iter().any(|line| line["done"]["digest"] == *digest);
    let open = lines.iter().filter(|line| line["upload"].is_object() && !done(&line["upload"]["digest"]));
    open.map(|line| line["upload"]["url"].as_str().unwrap().to_owned()).collect()
}

/// How many bytes an upload has; none of its own where it ended well and only its note is missing.
async fn taken(upload: &str) -> Option<u64> {
    let answer = reqwest::get(upload).await.unwrap();
    if answer.status() == reqwest::StatusCode::NOT_FOUND {
        return None;
    }
    let range = answer.headers()["range"].to_str().unwrap();
    Some(range.rsplit_once('-').unwrap().1.parse().unwrap())
}

async fn ended_and_resumed(upstream: &str, keeps_parts: bool) {
    let scratch = Scratch::new("resume").unwrap();
    make_layout(&scratch.join("layout"));
    let proxy = CountingProxy::start(upstream).unwrap();
    let from = format!("oci:{}:big", scratch.join("layout").display()).parse().unwrap();
    let to = format!("docker://{}/big:1", proxy.host()).parse().unwrap();
    let side = Side { tls_verify: Some(false), anonymous: true, ..Side::default() };
    let open = || Session::new(Settings { insecure_policy: true, ..Settings::default() }).unwrap();
    let options = Options { resume: Some(scratch.join("journal")), parallel: 2, ..Options::default() };

    // Ends with one layer whole at least and two at most, and another in its middle.
    let session = open();
    let (source, sink) =
        (session.source(&from, &side).await.unwrap(), session.sink(&to, &side).await.unwrap());
    let until = Until {
        left: (LAYER * 5 / 2).try_into().map(std::sync::Mutex::new).unwrap(),
        reached: Notify::new(),
    };
    tokio::select! {
        _ = copy::run(&session, &*source, &*sink, &options, &until) => panic!("the copy ended by itself"),
        () = until.reached.notified() => {}
    }
    drop((source, sink, session));
    let noted = open_uploads(&scratch.join("journal"));
    assert!(!noted.is_empty());
    let mut kept = 0;
    // The registry notices a little later that nothing comes any more; the last upload may have had nothing yet.
    while keeps_parts && kept == 0 {
        for upload in &noted {
            kept += taken(upload).await.unwrap_or_default();
        }
    }
    drop(proxy.take());

    // Another process goes on.
    let session = open();
    let (source, sink) =
        (session.source(&from, &side).await.unwrap(), session.sink(&to, &side).await.unwrap());
    let report = copy::run(&session, &*source, &*sink, &options, &Silent).await.unwrap();
    let counts = proxy.take();
    let present = report.blobs.iter().filter(|blob| blob.outcome == "present");
    let present: Vec<_> = present.map(|blob| blob.size).filter(|size| *size == LAYER as u64).collect();
    assert!(!present.is_empty(), "{report:?}");
    let layers = LAYERS - present.len();
    if keeps_parts {
        // Manifest, configuration and headers come to far less than this.
        let missing = (layers * LAYER) as u64 - kept + (1 << 20);
        assert!(counts.sent < missing, "{kept} bytes were there: {counts:?}");
    } else {
        // What is whole is not sent again; bytes are no measure, since what the first process had given to the
        // system's buffers is counted with them.
        assert!(counts.requests["POST upload"] <= layers + 1, "{counts:?}");
    }
    assert_eq!(std::fs::read_dir(scratch.join("journal")).unwrap().count(), 0);
    let again = copy::run(&session, &*source, &*sink, &options, &Silent).await.unwrap();
    assert!(again.unchanged);
}

#[tokio::test]
async fn a_copy_to_berth_goes_on_in_the_middle_of_a_layer() {
    let berth = Berth::builder().start().unwrap();
    ended_and_resumed(&berth.host(), true).await;
}

#[tokio::test]
async fn a_copy_to_docker_registry_goes_on_layer_by_layer() {
    if !require(DockerRegistry::TOOLS) {
        return;
    }
    let registry = DockerRegistry::start().unwrap();
    ended_and_resumed(&registry.host(), false).await;
}
