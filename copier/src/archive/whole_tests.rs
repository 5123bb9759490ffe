//! Whole archives that somebody made to be misread, through the session.

use std::{fs::File, io::Write};

use berth_oci::{Algorithm, Digest, MediaType};
use tar::{EntryType, Header};

use super::tests::{file, link};
use crate::{ImageName, Result, Session, Settings, Side};

struct Lab(tempfile::TempDir);

impl Lab {
    fn new(content: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("x.tar"), content).unwrap();
        Self(folder)
    }

    async fn open(&self, form: &str) -> Result<crate::RawManifest> {
        let session = Session::new(Settings { insecure_policy: true, ..Settings::default() })?;
        let name: ImageName =
            form.replace("HERE", &self.0.path().join("x.tar").display().to_string()).parse()?;
        session.source(&name, &Side::default()).await?.manifest(None).await
    }

    async fn refusal(&self, form: &str) -> String {
        let error = self.open(form).await.unwrap_err();
        assert_eq!(error.exit_code(), 4, "{error}");
        error.to_string()
    }
}

const DIFF_ID: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn config(layers: usize) -> Vec<u8> {
    serde_json::json!({"rootfs": {"type": "layers", "diff_ids": vec![DIFF_ID; layers]}})
        .to_string()
        .into_bytes()
}

fn docker(list: &str, more: &[Vec<u8>]) -> Lab {
    let mut archive =
        [file("c.json", &config(1)), file("l.tar", b""), file("manifest.json", list.as_bytes())].concat();
    archive.extend(more.concat());
    Lab::new(&archive)
}

#[tokio::test]
async fn c10_layers_and_configurations_that_lie_outside_are_refused() {
    for (config, layer) in [
        ("c.json", "../../etc/passwd"),
        ("c.json", "/etc/passwd"),
        ("/etc/passwd", "l.tar"),
        ("../c.json", "l.tar"),
        ("c.json", "nothing.tar"),
        ("nothing.json", "l.tar"),
    ] {
        let list = serde_json::json!([{"Config": config, "RepoTags": null, "Layers": [layer]}]).to_string();
        docker(&list, &[]).refusal("docker-archive:HERE").await;
    }
    let fine = r#"[{"Config":"c.json","RepoTags":null,"Layers":["./l.tar"]}]"#;
    docker(fine, &[]).open("docker-archive:HERE").await.unwrap();
}

#[tokio::test]
async fn lists_of_images_have_bounds_and_one_meaning() {
    let twice = r#"[{"Config":"c.json","Config":"d.json","RepoTags":[],"Layers":["l.tar"]}]"#;
    assert!(docker(twice, &[]).refusal("docker-archive:HERE").await.contains("duplicate field"));
    let count = r#"[{"Config":"c.json","RepoTags":[],"Layers":[]}]"#;
    let fault = docker(count, &[]).refusal("docker-archive:HERE").await;
    assert!(fault.contains("Inconsistent layer count: 0 in manifest, 1 in config"), "{fault}");
    docker("[{", &[]).refusal("docker-archive:HERE").await;
    let other = [file("manifest.json", b"[]")];
    assert!(docker("[ ]", &other).refusal("docker-archive:HERE").await.contains("twice"));
}

#[tokio::test]
async fn a_list_of_100_mb_is_not_read() {
    let lab = Lab::new(b"");
    // A hole on the disk, and 100 MB for whoever reads it.
    let mut header = Header::new_gnu();
    header.set_path("manifest.json").unwrap();
    header.set_size(100_000_000);
    header.set_cksum();
    let path = lab.0.path().join("x.tar");
    std::fs::write(&path, header.as_bytes()).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(512 + 100_000_256).unwrap();
    let fault = lab.refusal("docker-archive:HERE").await;
    assert!(fault.contains("100000000 bytes; such a file may have"), "{fault}");
}

#[tokio::test]
async fn c10_layouts_in_archives_hold_to_the_same_rules() {
    let layout = file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
    let list = |digest: &str| {
        serde_json::json!({"schemaVersion": 2, "manifests": [
            {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 2},
        ]})
        .to_string()
    };
    let hex = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let name = format!("blobs/sha256/{hex}");
    let index = file("index.json", list(&format!("sha256:{hex}")).as_bytes());
    let archive = |blob: Vec<u8>| Lab::new(&[layout.clone(), index.clone(), blob].concat());
    assert_eq!(archive(file(&name, b"{}")).open("oci-archive:HERE").await.unwrap().raw, b"{}"[..]);
    archive(file(&name, b"[]")).refusal("oci-archive:HERE").await;
    archive(link(&name, EntryType::Symlink, "../../../etc/passwd")).refusal("oci-archive:HERE").await;
    archive(link(&name, EntryType::Symlink, "/etc/passwd")).refusal("oci-archive:HERE").await;
    let bad = Lab::new(&[layout.clone(), file("index.json", list("sha256:../../x").as_bytes())].concat());
    bad.refusal("oci-archive:HERE").await;
    let other = file("oci-layout", br#"{"imageLayoutVersion":"2.0.0"}"#);
    let fault = Lab::new(&[other, index.clone()].concat()).refusal("oci-archive:HERE").await;
    assert!(fault.contains("version is \"2.0.0\""), "{fault}");
}

#[tokio::test]
async fn an_archive_takes_the_place_of_an_archive_and_of_nothing_else() {
    let session = Session::new(Settings { insecure_policy: true, ..Settings::default() }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    let name: ImageName = format!("oci-archive:{}", path.display()).parse().unwrap();
    let write = async || {
        let given = crate::source::Fixture::index();
        let sink = session.sink(&name, &Side::default()).await?;
        for child in &given.children {
            sink.put_manifest(child, crate::Role::Child).await?;
        }
        sink.put_manifest(&given.top, crate::Role::Top).await?;
        sink.commit().await
    };
    std::fs::write(&path, "").unwrap();
    write().await.unwrap();
    write().await.unwrap();
    for other in [&b"important"[..], &[0x1f, 0x8b, 8, 0, 1], &file("thesis", b"important"), &[7; 4096]] {
        std::fs::write(&path, other).unwrap();
        let refused = write().await.unwrap_err();
        assert!(refused.to_string().contains("don't want to overwrite important data"), "{refused}");
        assert_eq!(refused.exit_code(), 5);
        assert_eq!(std::fs::read(&path).unwrap(), other);
    }
}

#[tokio::test]
async fn compressed_garbage_is_refused() {
    for begin in [&[0x1f, 0x8b, 8, 0][..], &[0x28, 0xb5, 0x2f, 0xfd]] {
        let lab = Lab::new(&[begin, &[0xff; 600]].concat());
        lab.refusal("docker-archive:HERE").await;
    }
    // 264 MiB of zeros in a few kilobytes.
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    let zeros = vec![0; 8 * 1024 * 1024];
    for _ in 0..33 {
        encoder.write_all(&zeros).unwrap();
    }
    let fault = Lab::new(&encoder.finish().unwrap()).refusal("docker-archive:HERE").await;
    assert!(fault.contains("more than an archive may have"), "{fault}");
    // A window of 1 GiB: 0x28b52ffd, a frame header without single segment, a window descriptor of 2^30.
    let window = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 20 << 3, 0x01, 0x00, 0x00];
    let fault = Lab::new(&window).refusal("docker-archive:HERE").await;
    assert!(fault.to_lowercase().contains("memory") || fault.contains("window"), "{fault}");
}

/// An archive as Docker 25 writes it, with a layer that is packed, and as Docker 1.10 did, with one that is a link.
#[tokio::test]
async fn every_dockers_form_is_read() {
    let plain = [7; 600];
    let diff_id = Digest::of(Algorithm::Sha256, &plain);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&plain).unwrap();
    let packed = encoder.finish().unwrap();
    let config =
        serde_json::json!({"rootfs": {"type": "layers", "diff_ids": [diff_id, diff_id]}}).to_string();
    let packed_digest = Digest::of(Algorithm::Sha256, &packed);
    let (config_digest, name) =
        (Digest::of(Algorithm::Sha256, config.as_bytes()), format!("blobs/sha256/{}", packed_digest.hex()));
    let config_name = format!("blobs/sha256/{}", config_digest.hex());
    let list = serde_json::json!([{"Config": config_name, "RepoTags": ["app:v1"], "Layers": [name, name]}])
        .to_string();
    let new = [
        file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#),
        file(&name, &packed),
        file(&config_name, config.as_bytes()),
        file("manifest.json", list.as_bytes()),
    ];
    let image = Lab::new(&new.concat()).open("docker-archive:HERE:app:v1").await.unwrap().parse().unwrap();
    assert_eq!(image.config.unwrap().digest, config_digest);
    assert_eq!(image.layers.len(), 2);
    assert!(image.layers.iter().all(|layer| {
        layer.digest == packed_digest
            && layer.size == packed.len() as u64
            && layer.media_type.as_str() == MediaType::DOCKER_LAYER_GZIP
    }));

    let list = r#"[{"Config":"c.json","RepoTags":["app:v1"],"Layers":["1/layer.tar","2/layer.tar"]}]"#;
    let old = [
        file("c.json", config.as_bytes()),
        file("1/layer.tar", &plain),
        link("2/layer.tar", EntryType::Symlink, "../1/layer.tar"),
        file("manifest.json", list.as_bytes()),
    ];
    let image = Lab::new(&old.concat()).open("docker-archive:HERE").await.unwrap().parse().unwrap();
    assert!(image.layers.iter().all(|layer| {
        layer.digest == diff_id
            && layer.size == 600
            && layer.media_type.as_str() == "application/vnd.docker.image.rootfs.diff.tar"
    }));
}

#[tokio::test]
async fn a_packed_layer_that_unpacks_to_another_is_refused() {
    let gzip = |plain: &[u8]| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(plain).unwrap();
        packed.finish().unwrap()
    };
    let list = serde_json::json!([{"Config": "c.json", "RepoTags": null, "Layers": ["l.tar"]}]).to_string();
    let archive = |layer: &[u8]| {
        Lab::new(
            &[file("c.json", &config(1)), file("l.tar", layer), file("manifest.json", list.as_bytes())]
                .concat(),
        )
    };
    archive(&gzip(b"")).open("docker-archive:HERE").await.unwrap();
    let told = archive(&gzip(b"other")).refusal("docker-archive:HERE").await;
    assert!(told.contains("unpacks to"), "{told}");
    archive(&gzip(b"other")[..14]).refusal("docker-archive:HERE").await;
}
