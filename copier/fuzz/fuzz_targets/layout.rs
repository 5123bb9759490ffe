#![no_main]
//! The index of an OCI layout, as the input has it, and a manifest in it.

use berth_copier_fuzz::{folder, put, read_all};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let layout = folder().join("layout");
    std::fs::create_dir_all(layout.join("blobs/sha256")).expect("a folder");
    std::fs::write(layout.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#).expect("a file");
    std::fs::write(layout.join("index.json"), bytes).expect("a file");
    for rest in ["", ":a", ":@0"] {
        read_all(&format!("oci:{}{rest}", layout.display()));
    }
    // The input as a manifest, which a right index names.
    let (manifest, digest) = put(&layout, bytes);
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{media_type}","digest":"sha256:{digest}","size":{}}}]}}"#,
        bytes.len()
    );
    std::fs::write(layout.join("index.json"), index).expect("a file");
    read_all(&format!("oci:{}", layout.display()));
    std::fs::remove_file(manifest).expect("a file");
});
