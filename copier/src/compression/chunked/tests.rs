use base64::{Engine as _, engine::general_purpose::STANDARD};
use berth_oci::{Algorithm, Digest};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{
    Error,
    compression::{
        Recipe, Recompressed, Unpack,
        tests::{Pieces, read, text, through},
    },
    copy::CompressionFormat::ZstdChunked,
};

async fn pack(plain: &[u8], level: Option<i32>) -> crate::Result<(Vec<u8>, BTreeMap<String, String>)> {
    let pack = Some((ZstdChunked, Level::new(ZstdChunked, level)?));
    let recipe = Recipe { unpack: Unpack::Detect, pack, ..Recipe::default() };
    let content = Recompressed::new(Pieces::new(plain.to_vec(), 5000), recipe);
    let packed = read(&content).await?;
    let facts = content.facts().unwrap();
    assert_eq!(facts.diff_id, Digest::of(Algorithm::Sha256, plain));
    Ok((packed, facts.annotations))
}

/// An archive with every kind of member that there is.
fn archive(sizes: &[usize]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let header = |kind: tar::EntryType, size: usize| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size as u64);
        header.set_mode(0o640);
        header.set_uid(1000);
        header.set_gid(7);
        header.set_mtime(1_700_000_000);
        header
    };
    use tar::EntryType as Kind;
    builder.append_data(&mut header(Kind::Directory, 0), "folder/", &[][..]).unwrap();
    for (place, size) in sizes.iter().enumerate() {
        let bytes = text(*size, u32::try_from(place).unwrap() + 1);
        builder.append_data(&mut header(Kind::Regular, *size), format!("folder/{place}"), &*bytes).unwrap();
    }
    let long = format!("folder/{}", "long".repeat(50));
    builder.append_data(&mut header(Kind::Regular, 3), &long, &b"abc"[..]).unwrap();
    builder.append_link(&mut header(Kind::Link, 0), "hard", "folder/0").unwrap();
    builder.append_link(&mut header(Kind::Symlink, 0), "soft", &long).unwrap();
    let mut device = header(Kind::Char, 0);
    device.set_device_major(1).unwrap();
    device.set_device_minor(3).unwrap();
    builder.append_data(&mut device, "null", &[][..]).unwrap();
    builder
        .append_pax_extensions([
            ("SCHILY.xattr.user.x", &b"\xff\0"[..]),
            ("mtime", b"1700000000.25"),
            ("uid", b"70000"),
        ])
        .unwrap();
    builder.append_data(&mut header(Kind::Regular, 2), "extended", &b"hi"[..]).unwrap();
    // A hole, and zeros that are too few for one.
    let holes =
        [&text(3000, 4)[..], &[0; 5000], &text(100, 5), &[0; 1000], &text(10, 6), &[0; 70_000]].concat();
    builder.append_data(&mut header(Kind::Regular, holes.len()), "holes", &*holes).unwrap();
    builder.into_inner().unwrap()
}

fn table(packed: &[u8], annotations: &BTreeMap<String, String>, key: &str) -> Vec<u8> {
    let numbers: Vec<usize> = annotations[key].split(':').map(|number| number.parse().unwrap()).collect();
    let bytes = &packed[numbers[0]..numbers[0] + numbers[1]];
    let plain = zstd::decode_all(bytes).unwrap();
    assert_eq!(plain.len(), numbers[2]);
    if key == POSITION {
        assert_eq!(annotations[CHECKSUM], Digest::of(Algorithm::Sha256, bytes).as_str());
        assert_eq!(numbers[3], 1);
    }
    plain
}

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap_or_default()).unwrap()
}

#[tokio::test]
async fn every_file_can_be_read_by_its_entry_alone() {
    let plain = archive(&[0, 1, 500_000, 100_000]);
    let (packed, annotations) = pack(&plain, None).await.unwrap();
    assert!(through("zstd", &["-dc"], &packed) == plain, "to others it is zstd");
    let toc: Value = serde_json::from_slice(&table(&packed, &annotations, POSITION)).unwrap();
    assert_eq!(toc["version"], 1);
    let entries = toc["entries"].as_array().unwrap();
    let mut whole: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let (mut chunks, mut holes) = (0, 0);
    for (place, entry) in entries.iter().enumerate() {
        let kind = entry["type"].as_str().unwrap();
        if kind != "chunk" && entry["digest"].is_null() {
            assert_eq!(number(&entry["size"]), 0, "{entry}");
            continue;
        }
        let next = entries.get(place + 1).filter(|next| next["type"] == "chunk");
        let name = entry["name"].as_str().unwrap().to_owned();
        let first = entries.iter().find(|first| first["name"] == entry["name"]).unwrap();
        let end = number(next.map_or(&first["endOffset"], |next| &next["offset"]));
        let bytes = zstd::decode_all(&packed[number(&entry["offset"])..end]).unwrap();
        let before = whole.entry(name).or_default();
        if !entry["chunkDigest"].is_null() {
            chunks += 1;
            assert_eq!(number(&entry["chunkSize"]), bytes.len());
            assert_eq!(number(&entry["chunkOffset"]), before.len());
            assert_eq!(entry["chunkDigest"], Digest::of(Algorithm::Sha256, &bytes).as_str());
        }
        if entry["chunkType"] == "zeros" {
            holes += 1;
            assert!(bytes.iter().all(|byte| *byte == 0));
        }
        before.extend_from_slice(&bytes);
    }
    assert!(chunks > 5 && holes == 2, "{chunks} {holes}");
    for (name, bytes) in &whole {
        let entry = entries.iter().find(|entry| entry["name"] == name.as_str()).unwrap();
        assert_eq!(entry["digest"], Digest::of(Algorithm::Sha256, bytes).as_str(), "{name}");
        assert_eq!(number(&entry["size"]), bytes.len());
    }
    let named = |name: &str| entries.iter().find(|entry| entry["name"] == name).unwrap();
    assert_eq!(named("hard")["linkName"], "folder/0");
    assert_eq!(named("soft")["linkName"].as_str().unwrap().len(), 207);
    assert_eq!((&named("null")["devMajor"], &named("null")["devMinor"]), (&Value::from(1), &Value::from(3)));
    assert_eq!(named("folder/1")["modtime"], "2023-11-14T22:13:20Z");
    assert_eq!(named("extended")["modtime"], "2023-11-14T22:13:20.25Z");
    assert_eq!(named("extended")["uid"], 70_000);
    assert_eq!(named("extended")["xattrs"]["user.x"], STANDARD.encode(b"\xff\0"));
    tar_split_makes_the_archive_again(&packed, &annotations, &toc, &whole, &plain);
}

fn tar_split_makes_the_archive_again(
    packed: &[u8],
    annotations: &BTreeMap<String, String>,
    toc: &Value,
    files: &BTreeMap<String, Vec<u8>>,
    plain: &[u8],
) {
    let numbers: Vec<usize> =
        annotations[SPLIT_POSITION].split(':').map(|text| text.parse().unwrap()).collect();
    let bytes = &packed[numbers[0]..numbers[0] + numbers[1]];
    assert_eq!(toc["tarSplitDigest"], Digest::of(Algorithm::Sha256, bytes).as_str());
    let mut again = Vec::new();
    for (place, line) in
        String::from_utf8(table(packed, annotations, SPLIT_POSITION)).unwrap().lines().enumerate()
    {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(number(&line["position"]), place);
        if line["type"] == 2 {
            again.extend(STANDARD.decode(line["payload"].as_str().unwrap()).unwrap());
        } else if number(&line["size"]) > 0 {
            again.extend_from_slice(&files[line["name"].as_str().unwrap()]);
        }
    }
    assert!(again == plain);
    let footer = &packed[packed.len() - 64..];
    assert_eq!(&footer[56..], FOOTER_MAGIC);
    assert_eq!(footer[32..40], (numbers[0] as u64).to_le_bytes());
}

#[tokio::test]
async fn what_has_no_table_of_contents_is_told() {
    let header = |kind: u8, name: &str, size: u64| {
        let mut header = tar::Header::new_gnu();
        header.set_path(name).unwrap();
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_size(size);
        header.set_mode(0);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    let end = vec![0; 1024];
    let latin = {
        let mut block = header(b'0', "x", 0);
        block[0] = 0xe9;
        let sum: u32 = block
            .iter()
            .enumerate()
            .map(|(at, b)| if (148..156).contains(&at) { 32 } else { u32::from(*b) })
            .sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    };
    for (plain, code) in [
        ([header(b'0', "a", 0), header(b'0', "./a", 0), end.clone()].concat(), 1),
        ([header(b'S', "a", 0), end.clone()].concat(), 1),
        ([header(b'7', "a", 0), end.clone()].concat(), 1),
        ([latin, end.clone()].concat(), 1),
        (text(2000, 1), 4),
        (header(b'0', "a", 5), 4),
        (header(b'0', "a", 5)[..300].to_vec(), 4),
        ([header(b'x', "a", 3), vec![b'x'; 512], end.clone()].concat(), 4),
        ([header(b'x', "a", 2 << 20), end.clone()].concat(), 4),
        ([vec![0; 512], header(b'0', "a", 0), end.clone()].concat(), 4),
    ] {
        let error = pack(&plain, None).await.unwrap_err();
        assert_eq!(error.exit_code(), code, "{error}");
        assert_eq!(code == 1, matches!(error, Error::Unsupported(_)), "{error}");
    }
    for plain in [vec![], end, archive(&[])] {
        let (packed, _) = pack(&plain, Some(19)).await.unwrap();
        assert!(through("zstd", &["-dc"], &packed) == plain);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_archive_comes_back(sizes in prop::collection::vec(0_usize..300_000, 0..4), trailing in 0_usize..3000) {
        let mut plain = archive(&sizes);
        plain.resize(plain.len() + trailing, 0);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (packed, _) = runtime.block_on(pack(&plain, Some(1))).unwrap();
        assert!(zstd::decode_all(packed.as_slice()).unwrap() == plain);
    }

    #[test]
    fn any_bytes_end_with_an_answer(at in 0_usize..4000, byte: u8, keep in 0_usize..6000) {
        let mut plain = archive(&[10]);
        plain[at] = byte;
        plain.truncate(keep.max(8));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _either = runtime.block_on(pack(&plain, Some(1)));
    }
}
