#![no_main]
//! An image's configuration, as `inspect` shows it.

use berth_copier::{ImageName, RawManifest, Side, inspect::Inspected};
use berth_copier_fuzz::{folder, put, run, session};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let layout = folder().join("layout");
    std::fs::create_dir_all(layout.join("blobs/sha256")).expect("a folder");
    std::fs::write(layout.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#).expect("a file");
    let (config, digest) = put(&layout, bytes);
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:{digest}","size":{}}},"layers":[]}}"#,
        bytes.len()
    );
    let (file, digest) = put(&layout, manifest.as_bytes());
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:{digest}","size":{}}}]}}"#,
        manifest.len()
    );
    std::fs::write(layout.join("index.json"), index).expect("a file");
    let name: ImageName = format!("oci:{}", layout.display()).parse().expect("a name");
    run(async {
        let source = session().source(&name, &Side::default()).await.expect("a layout");
        let top = RawManifest::new(manifest.clone().into(), None);
        let inspected = Inspected::find(&*source, top, &[]).await.expect("an image");
        if let Ok(value) = inspected.config(&*source).await {
            let _shown = value.show();
        }
    });
    for path in [config, file] {
        std::fs::remove_file(path).expect("a file");
    }
});
