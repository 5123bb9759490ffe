//! Layers.

use berth_conformance::harness::require_root;

use super::{
    super::{
        containers, done,
        layout::{GZIP, Layer, Layout, TAR, ZSTD, digest, gzip, tar},
    },
    pull, refuses,
    server::{Registry, Reply, Seen},
};
use crate::program::Runner;

fn noise(bytes: u32) -> Vec<u8> {
    (0..bytes / 4).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

/// A layer of some hundred thousand bytes that do not shrink.
fn large() -> Layer {
    Layer::gzip(&tar(&[("large", &noise(400_000))]))
}

/// A registry that answers for a layer what `lie` says.
fn lying(layers: &[Layer], lie: impl Fn(&Seen, &[u8]) -> Reply + Send + Sync + 'static) -> Registry {
    let layout = Layout::of(layers);
    let last = layers.last().unwrap().bytes.clone();
    let end = format!("/blobs/{}", digest(&last));
    Registry::of(&layout, layers, move |request| request.path.ends_with(&end).then(|| lie(request, &last)))
}

/// A registry whose one layer is this, whatever it is.
fn serving(layer: Layer) -> Registry {
    let layers = [Layer::gzip(&tar(&[("good", b"good")])), layer];
    Registry::of(&Layout::of(&layers), &layers, |_| None)
}

fn raw(media_type: &'static str, bytes: Vec<u8>) -> Layer {
    Layer { media_type, bytes, diff_id: digest(b"nobody gets so far") }
}

#[test]
fn c6_a_layer_with_another_byte_in_its_middle_is_refused() {
    let registry = lying(&[large()], |request, bytes| {
        let mut other = bytes.to_vec();
        other[bytes.len() / 2] ^= 0x10;
        Reply::content(&other, request)
    });
    refuses(&registry, 4, "and is sha256:");
}

#[test]
fn c6_a_layer_that_is_longer_than_its_descriptor_is_refused_where_it_should_end() {
    let longer = |request: &Seen, bytes: &[u8]| Reply::content(&[bytes, b"!"].concat(), request);
    refuses(&lying(&[large()], longer), 4, "sha256:");
    let endless = lying(&[large()], |_, bytes| Reply::endless(bytes));
    refuses(&endless, 4, "sha256:");
    assert!(endless.sent() < 24 << 20, "{} bytes were taken", endless.sent());
}

#[test]
fn c6_a_layer_that_is_shorter_than_its_descriptor_is_refused() {
    let shorter = |_: &Seen, bytes: &[u8]| Reply::new(200, &bytes[..bytes.len() - 1]);
    refuses(&lying(&[large()], shorter), 4, "sha256:");
}

#[test]
fn u11_a_layer_of_a_thousand_gzip_members_that_inflate_without_end_is_refused() {
    let mut header = ::tar::Header::new_ustar();
    header.set_path("zeros").unwrap();
    header.set_size(1 << 33);
    header.set_mode(0o644);
    header.set_cksum();
    let bomb = [gzip(header.as_bytes()), gzip(&[0; 1 << 20]).repeat(1600)].concat();
    refuses(&serving(raw(GZIP, bomb)), 4, "refusing a decompression bomb");
}

#[test]
fn u11_zstd_windows_beyond_the_limit_are_refused_before_memory_is_taken() {
    // Magic, a frame with a window of 2^28 and 2^31 bytes, one raw block that is the last and empty.
    for exponent in [18_u8, 21] {
        let bytes = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, exponent << 3, 0x01, 0x00, 0x00];
        refuses(&serving(raw(ZSTD, bytes)), 4, "reading the layer");
    }
}

#[test]
fn u12_a_layer_of_another_content_than_the_configuration_names_is_refused() {
    let layer = Layer { diff_id: digest(b"another"), ..large() };
    refuses(&serving(layer), 4, "its tar is sha256:");
}

#[test]
fn u12_one_layer_with_two_contents_is_refused() {
    let twice = [large(), Layer { diff_id: digest(b"another"), ..large() }];
    let registry = Registry::of(&Layout::of(&twice), &twice, |_| None);
    refuses(&registry, 4, "would have two contents");
}

/// A block of a header whose size need not be true.
fn header(kind: u8, name: &str, size: u64) -> Vec<u8> {
    let mut header = ::tar::Header::new_ustar();
    header.set_path(name).unwrap();
    header.set_entry_type(::tar::EntryType::new(kind));
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// An extended header of these records.
fn pax(kind: u8, records: Vec<u8>) -> Vec<u8> {
    [header(kind, "p", records.len() as u64), padded(records)].concat()
}

/// A record `length key=value\n`.
fn record(key: &str, value: &str) -> Vec<u8> {
    let body = key.len() + value.len() + 3;
    let mut length = body + 1;
    while length.to_string().len() + body != length {
        length = length.to_string().len() + body;
    }
    format!("{length} {key}={value}\n").into_bytes()
}

#[test]
fn u9_a_tar_that_lies_about_sizes_is_refused() {
    let end = vec![0; 1024];
    let file = |size| [header(b'0', "a", size), padded(b"x".to_vec())].concat();
    for (entries, words) in [
        // The next header is inside of the file.
        ([file(5000), file(1)].concat(), "in its middle"),
        (file(u64::from(u32::MAX)), "in its middle"),
        ([pax(b'x', record("size", "512")), file(1)].concat(), "readers of tar disagree"),
        ([pax(b'g', record("size", "512")), file(1)].concat(), "which readers of tar take differently"),
        ([pax(b'x', record("size", "18446744073709551616")), file(1)].concat(), "no number"),
    ] {
        refuses(&serving(raw(TAR, [&entries[..], &end].concat())), 4, words);
    }
}

#[test]
fn u10_bombs_of_extended_headers_are_refused_at_once() {
    let attributes = |count: usize| -> Vec<u8> {
        (0..count).flat_map(|n| record(&format!("SCHILY.xattr.user.{n}"), "")).collect()
    };
    let many = [pax(b'x', attributes(35_000)), header(b'0', "a", 0)].concat();
    refuses(&serving(Layer::gzip(&many)), 4, "more than 1024 extended attributes");
    // They would be kept, and compared with those of each entry.
    let shared = [pax(b'g', attributes(10)), header(b'0', "a", 0)].concat();
    refuses(&serving(Layer::gzip(&shared)), 4, "which readers of tar take differently");
    let large = [pax(b'x', record("comment", &"x".repeat(2 << 20))), header(b'0', "a", 0)].concat();
    refuses(&serving(Layer::gzip(&large)), 4, "extended headers");
    let headers: Vec<u8> = (0..5000).flat_map(|_| pax(b'x', record("comment", &"x".repeat(400)))).collect();
    refuses(&serving(Layer::gzip(&headers)), 4, "extended headers");
}

#[test]
fn what_a_layers_type_says_of_its_packing_is_not_believed() {
    let plain = tar(&[("a", b"a")]);
    let layers = [
        Layer { media_type: ZSTD, ..Layer::gzip(&plain) },
        Layer { media_type: TAR, ..Layer::zstd(&tar(&[("b", b"b")])) },
        Layer { media_type: GZIP, ..Layer::plain(&tar(&[("c", b"c")])) },
    ];
    let runner = Runner::new();
    let registry = Registry::of(&Layout::of(&layers), &layers, |_| None);
    let output = pull(&runner, &registry.name());
    assert!(output.status.success(), "{output:?}");
    assert!(done(&runner, &["check"]).ends_with("0 damaged, 0 unused"));
}

#[test]
fn u20_a_layer_that_an_image_names_many_times_is_fetched_once() {
    let layers = vec![large(); 300];
    let runner = Runner::new();
    let registry = Registry::of(&Layout::of(&layers), &layers, |_| None);
    let output = pull(&runner, &registry.name());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(registry.fetched(&layers[0].bytes), 1);
    assert!(done(&runner, &["check"]).starts_with("1 layers"));
}

#[test]
fn u20_an_image_that_names_a_layer_twice_runs() {
    if !require_root() {
        return;
    }
    let (empty, motd) = (Layer::gzip(&[0; 1024]), Layer::gzip(&tar(&[("etc/motd", b"other\n")])));
    let layers = [containers::layer(), empty.clone(), motd.clone(), empty.clone(), motd, empty];
    let runner = Runner::new();
    let registry = Registry::of(&Layout::of(&layers), &layers, |_| None);
    let run = ["run", "--rm", "--network", "none", "--ulimit", "nofile=1024:1024", "--tls-verify=false"];
    assert_eq!(done(&runner, &[&run[..], &[&registry.name(), "cat", "/etc/motd"]].concat()), "other");
}

#[test]
fn a_layer_whose_connection_breaks_goes_on_at_the_byte_where_it_broke() {
    let layers = [large()];
    let registry = lying(&layers, |request, bytes| match request.from() {
        None => Reply::cut(&bytes[..100_000], bytes.len()),
        Some(_) => Reply::content(bytes, request),
    });
    let runner = Runner::new();
    let output = pull(&runner, &registry.name());
    assert!(output.status.success(), "{output:?}");
    let seen = registry.seen();
    let ranges: Vec<_> = seen.iter().filter_map(Seen::from).collect();
    assert_eq!(ranges, [100_000], "{seen:?}");
    assert!(done(&runner, &["check"]).ends_with("0 damaged, 0 unused"));
}

#[test]
fn a_registry_that_goes_on_with_another_content_is_refused() {
    let registry = lying(&[large()], |request, bytes| match request.from() {
        None => Reply::cut(&bytes[..100_000], bytes.len()),
        Some(_) => Reply::content(&noise(u32::try_from(bytes.len()).unwrap() + 3)[..bytes.len()], request),
    });
    refuses(&registry, 4, "");
}
