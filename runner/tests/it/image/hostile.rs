//! Images that lie, or want to do harm: refused with a number, and nothing of them stays.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use serde_json::json;

use super::{
    assert_empty, done,
    layout::{GZIP, Layer, Layout, ZSTD, digest, gzip, tar},
    refused,
};
use crate::program::Runner;

fn plain() -> Vec<u8> {
    tar(&[("etc/hostname", b"x\n"), ("etc/motd", b"hello\n")])
}

/// Pulls, sees the number, sees that nothing stayed.
fn refuses(layout: &Layout, code: i32, part: &str) {
    let runner = Runner::new();
    let error = refused(&runner, code, &["pull", &layout.name()]);
    assert!(error.contains(part), "{error}");
    assert_empty(&runner);
}

#[test]
fn u11_a_layer_that_unpacks_to_hundreds_of_times_its_size_is_refused() {
    // A file of 1.5 GiB of zeros.
    let (size, zeros) = (1_610_612_736_u64, vec![0; 1 << 20]);
    let mut out = GzEncoder::new(Vec::new(), Compression::default());
    let mut header = tar::Header::new_ustar();
    header.set_path("zeros").unwrap();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    out.write_all(header.as_bytes()).unwrap();
    for _ in 0..size >> 20 {
        out.write_all(&zeros).unwrap();
    }
    let bytes = out.finish().unwrap();
    let layer = Layer { media_type: GZIP, diff_id: digest(b"nobody gets so far"), bytes };
    refuses(&Layout::of(&[layer]), 4, "refusing a decompression bomb");
}

#[test]
fn u11_a_zstd_window_of_two_gibibytes_is_refused() {
    // Magic, a frame with a window of 2^31 bytes, one raw block that is the last and empty.
    let bytes = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x01, 0x00, 0x00];
    let layer = Layer { media_type: ZSTD, diff_id: digest(b""), bytes };
    refuses(&Layout::of(&[layer]), 4, "reading the layer");
}

#[test]
fn u12_a_layer_with_another_content_than_the_configuration_says_is_refused() {
    let layer = Layer { diff_id: digest(b"another"), ..Layer::gzip(&plain()) };
    refuses(&Layout::of(&[layer]), 4, "its tar is sha256:");
}

#[test]
fn u12_a_gzip_member_behind_the_one_that_was_vouched_for_is_refused() {
    let mut layer = Layer::gzip(&plain());
    layer.bytes.extend(gzip(&tar(&[("etc/shadow", b"root::::::::\n")])));
    refuses(&Layout::of(&[layer]), 4, "its tar is sha256:");
}

#[test]
fn u12_bytes_behind_the_last_gzip_member_are_refused() {
    let mut layer = Layer::gzip(&plain());
    layer.bytes.extend(b"and more");
    refuses(&Layout::of(&[layer]), 4, "reading the layer");
}

#[test]
fn several_gzip_members_whose_whole_was_vouched_for_are_one_layer() {
    let plain = plain();
    let (one, other) = plain.split_at(700);
    let bytes = [gzip(one), gzip(other)].concat();
    let layout = Layout::of(&[Layer { media_type: GZIP, bytes, diff_id: digest(&plain) }]);
    let runner = Runner::new();
    assert_eq!(done(&runner, &["pull", "-q", &layout.name()]), digest(&layout.config).hex());
}

#[test]
fn a_blob_with_one_other_bit_is_refused() {
    let layer = Layer::gzip(&plain());
    let layout = Layout::of(std::slice::from_ref(&layer));
    let mut bytes = layer.bytes.clone();
    // The header's time: what unpacks is the same, and only the digest of the packed bytes sees it.
    bytes[4] ^= 1;
    std::fs::write(layout.file(&digest(&layer.bytes)), bytes).unwrap();
    refuses(&layout, 4, "sha256:");
}

#[test]
fn a_truncated_blob_is_refused() {
    let layer = Layer::gzip(&plain());
    let layout = Layout::of(std::slice::from_ref(&layer));
    std::fs::write(layout.file(&digest(&layer.bytes)), &layer.bytes[..layer.bytes.len() - 9]).unwrap();
    refuses(&layout, 4, "bytes");
}

#[test]
fn a_tar_that_ends_in_the_middle_of_a_file_is_refused() {
    let cut = &tar(&[("etc/motd", &[7; 4000])])[..2000];
    refuses(&Layout::of(&[Layer::gzip(cut)]), 4, "layer sha256:");
}

#[test]
fn one_bad_layer_among_good_ones_leaves_no_image() {
    let good = Layer::gzip(&plain());
    let bad = Layer { diff_id: digest(b"another"), ..Layer::gzip(&tar(&[("b", b"b")])) };
    let layout = Layout::of(&[good, bad]);
    let runner = Runner::new();
    refused(&runner, 4, &["pull", &layout.name()]);
    assert_eq!(done(&runner, &["images", "-q"]), "");
}

#[test]
fn a_configuration_with_fewer_layers_than_the_manifest_is_refused() {
    let layers = [Layer::gzip(&plain()), Layer::gzip(&tar(&[("b", b"b")]))];
    let shorten = |config: &mut serde_json::Value| {
        config["rootfs"]["diff_ids"].as_array_mut().unwrap().pop();
    };
    refuses(&Layout::with(&layers, shorten, |_| {}), 4, "the manifest has 2 layers and the configuration 1");
}

#[test]
fn an_image_of_another_system_or_architecture_is_refused_with_both_platforms() {
    let host = if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" };
    for (os, architecture) in [("windows", "amd64"), ("linux", "s390x")] {
        let layout = Layout::with(
            &[Layer::gzip(&plain())],
            |config| {
                config["os"] = os.into();
                config["architecture"] = architecture.into();
            },
            |_| {},
        );
        let is = format!("is for {os}/{architecture}, and this machine is {host}");
        refuses(&layout, 1, &is);
        let runner = Runner::new();
        done(&runner, &["pull", "--platform", &format!("{os}/{architecture}"), &layout.name()]);
    }
}

#[test]
fn an_index_without_this_machines_platform_is_refused_with_what_it_has() {
    let layout = Layout::of(&[Layer::gzip(&plain())]);
    let entry = json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": layout.digest(), "size": layout.manifest.len(),
        "platform": {"os": "windows", "architecture": "amd64"},
    });
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry]});
    let index = serde_json::to_vec(&index).unwrap();
    layout.blob(&index);
    layout.index(&json!([{
        "mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest(&index), "size": index.len(),
        "annotations": {"org.opencontainers.image.ref.name": "test.example/image:1"},
    }]));
    refuses(&layout, 1, "windows/amd64: --platform asks for another");
}

#[test]
fn an_artifact_is_no_image() {
    let layout = Layout::with(
        &[Layer::gzip(&plain())],
        |_| {},
        |manifest| {
            manifest["config"]["mediaType"] = "application/vnd.example.thing+json".into();
        },
    );
    refuses(&layout, 1, "artifact of type application/vnd.example.thing+json and no image");
}

#[test]
fn schema_1_is_refused_with_its_reason() {
    let layout = Layout::of(&[Layer::gzip(&plain())]);
    let old =
        br#"{"schemaVersion":1,"name":"x","tag":"1","architecture":"amd64","fsLayers":[],"history":[]}"#;
    layout.blob(old);
    layout.index(&json!([{
        "mediaType": "application/vnd.docker.distribution.manifest.v1+json", "digest": digest(old), "size": old.len(),
        "annotations": {"org.opencontainers.image.ref.name": "test.example/image:1"},
    }]));
    refuses(&layout, 4, "schema 1");
}

#[test]
fn a_policy_that_says_no_refuses_every_way_in() {
    let layout = Layout::of(&[Layer::gzip(&plain())]);
    let policy = layout.path().join("policy.json");
    std::fs::write(&policy, r#"{"default":[{"type":"reject"}]}"#).unwrap();
    let policy = policy.to_str().unwrap();
    let runner = Runner::new();
    let path = layout.path().to_str().unwrap();
    for arguments in [
        &["pull", "--signature-policy", policy, &layout.name()][..],
        &["load", "--signature-policy", policy, "-i", path],
        &["image", "pull", "--signature-policy", policy, &layout.name()],
    ] {
        let error = refused(&runner, 5, arguments);
        assert!(error.contains("rejected by policy"), "{error}");
    }
    assert_empty(&runner);
}

#[test]
fn layers_come_plain_and_packed_twice_and_empty() {
    let (one, two) = (plain(), tar(&[("two", b"2")]));
    let empty = vec![0; 1024];
    let same = Layer::gzip(&one);
    let layers =
        [same.clone(), Layer::zstd(&two), Layer::plain(&empty), same, Layer::zstd(&one), Layer::gzip(&empty)];
    let layout = Layout::of(&layers);
    let runner = Runner::new();
    assert_eq!(done(&runner, &["pull", "-q", &layout.name()]), digest(&layout.config).hex());
    let told = done(
        &runner,
        &["image", "inspect", "--format", "{{len .RootFS.Layers}} {{.Digest}}", "test.example/image:1"],
    );
    assert_eq!(told, format!("6 {}", layout.digest()));
    assert!(runner.run(&["check"]).status.success());
}

/// An entry with a name, a link and a size that no library would write.
fn raw(kind: u8, name: &str, link: &str, size: u64, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    let mut entry = [header.as_bytes(), content].concat();
    entry.resize(entry.len().next_multiple_of(512), 0);
    entry
}

#[test]
fn u1_to_u10_what_may_not_be_unpacked_is_refused_by_pull_and_by_load() {
    let file = |name| raw(b'0', name, "", 1, b"x");
    let size = b"12 size=512\n";
    let hostile = [
        ("u1", file("../../../../canary"), "`..`"),
        ("u3", raw(b'2', ".", "/etc", 0, b""), "root of a layer"),
        ("u4", raw(b'1', "a", "../../../../etc/passwd", 0, b""), "hard link"),
        (
            "u4, through a link",
            [raw(b'2', "s", "/etc", 0, b""), raw(b'1', "a", "s/passwd", 0, b"")].concat(),
            "no entry",
        ),
        ("u5", file(".wh..."), "whiteout"),
        ("u9", [raw(b'x', "p", "", 12, size), file("a")].concat(), "readers of tar disagree"),
        ("u10", raw(b'x', "p", "", 100 << 20, b""), "extended headers"),
    ];
    for (row, entries, words) in hostile {
        let layer = Layer::gzip(&[&entries[..], &[0; 1024]].concat());
        let layout = Layout::of(&[Layer::gzip(&plain()), layer]);
        for arguments in [["pull", "-q", &layout.name()], ["load", "-i", layout.path().to_str().unwrap()]] {
            let runner = Runner::new();
            let error = refused(&runner, 4, &arguments);
            assert!(error.contains(words), "{row}: {error}");
            assert_eq!(done(&runner, &["images", "-q"]), "", "{row}");
            assert_empty(&runner);
        }
    }
}

#[test]
fn u2_what_a_layer_writes_through_its_own_link_stays_in_the_store() {
    let scratch = tempfile::tempdir().unwrap();
    let outside = scratch.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let entries = [raw(b'2', "link", outside.to_str().unwrap(), 0, b""), raw(b'0', "link/file", "", 1, b"x")];
    let layout = Layout::of(&[Layer::gzip(&[&entries.concat()[..], &[0; 1024]].concat())]);
    let runner = Runner::new();
    done(&runner, &["pull", "-q", &layout.name()]);
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    assert!(runner.run(&["check"]).status.success());
}
