//! A layer of 1 GiB.

use berth_conformance::clients::{Content, Layout, Registry, Skopeo, new_repository};
use berth_conformance::harness::require;

const GIB: u64 = 1 << 30;

#[test]
fn skopeo_copies_a_layer_of_one_gibibyte_out_and_back() {
    if !require(Skopeo::TOOLS) {
        return;
    }
    let (registry, skopeo, repository) =
        (Registry::shared().unwrap(), Skopeo::new().unwrap(), new_repository("large"));
    let from = Layout::create(skopeo.scratch().join("from")).unwrap();
    let layer = from.layer(&[("noise", Content::Noise { seed: 7, size: GIB })]).unwrap();
    assert!(layer.size > GIB);
    let image = from.image("amd64", &[layer]).unwrap();
    from.tag("latest", &image).unwrap();
    let name = format!("docker://{}", registry.image(&repository, "latest"));
    // With its digests kept the layer travels as it is; compressing noise would only cost time.
    let flags = ["--preserve-digests"];
    skopeo.copy(&flags, &format!("oci:{}:latest", from.path().display()), &name).unwrap();
    let sent = from.contents().unwrap();
    std::fs::remove_dir_all(from.path()).unwrap();
    let to = skopeo.scratch().join("to");
    skopeo.copy(&flags, &name, &format!("oci:{}:latest", to.display())).unwrap();
    let back = Layout::open(&to);
    assert_eq!(back.only().unwrap(), image.digest);
    assert_eq!(back.contents().unwrap(), sent);
    let remote = registry.remote().unwrap();
    let held = remote.manifest(&repository, "latest").unwrap().unwrap();
    assert_eq!(remote.blob_status(&repository, held.child_digests()[0]).unwrap(), 200);
}
