//! Every case of the suite, a line each.

use berth_oci::{
    Algorithm::{Sha256, Sha512},
    MediaType,
};

use super::{
    chunks::{self, Place},
    digests, endless,
    lists::{self, List},
    manifests::{self, Fault},
    names, sessions,
};
use crate::{
    case::{
        Case, Cases,
        Level::{Choice, Must, Should},
    },
    suite::{push::UploadPath, referrers},
};

/// The suite's cases. Ids begin with the row of the table that they prove.
#[must_use]
pub fn catalogue() -> Vec<Case> {
    let mut cases = Cases::default();
    names_and_digests(&mut cases);
    uploads(&mut cases);
    manifests(&mut cases);
    lists(&mut cases);
    cases.0
}

#[rustfmt::skip]
fn names_and_digests(c: &mut Cases) {
    for (id, name) in names::NAMES {
        c.add(Should, format!("r1.{id}"), format!("the name {name} is 400 NAME_INVALID everywhere"), move |cx| names::name(cx, name));
    }
    c.add(Should, "r1.long", "a name of more than 255 characters is 400 NAME_INVALID", names::long_name);
    for (id, tag) in names::TAGS {
        c.add(Choice, format!("r2.{id}"), format!("the tag {tag} is 400 MANIFEST_INVALID to PUT and 404 MANIFEST_UNKNOWN to GET"), move |cx| names::tag(cx, tag));
    }
    c.add(Choice, "r2.long", "a tag of more than 128 characters is 400 to PUT and 404 to GET", names::long_tag);
    for (id, digest) in digests::DIGESTS {
        c.add(Should, format!("r3.path.{id}"), format!("the digest {digest} in a path is 400 DIGEST_INVALID"), move |cx| digests::in_a_path(cx, digest));
    }
    for (id, digest) in [("short", "sha256:abc"), ("md5", "md5:d41d8cd98f00b204e9800998ecf8427e"), ("path", "sha256:../../x"), ("nothing", ""), ("nul", "sha256:\0"), ("colon", ":")] {
        c.add(Should, format!("r3.query.{id}"), format!("the digest {digest:?} in a query is 400 DIGEST_INVALID"), move |cx| digests::in_a_query(cx, digest));
    }
    for path in UploadPath::ALL {
        for algorithm in [Sha256, Sha512] {
            c.add(Should, format!("r4.{}.{algorithm}", path.id()), format!("another content by {} is 400 DIGEST_INVALID and is nowhere ({algorithm})", path.says()), move |cx| digests::mismatch(cx, path, algorithm));
        }
    }
    for algorithm in [Sha256, Sha512] {
        c.add(Should, format!("r4.manifest.{algorithm}"), format!("a manifest with another digest is 400 DIGEST_INVALID and is nowhere ({algorithm})"), move |cx| digests::mismatched_manifest(cx, algorithm));
        c.add(Must, format!("r11.{algorithm}"), format!("a blob of another repository is 404 BLOB_UNKNOWN ({algorithm})"), move |cx| digests::elsewhere(cx, algorithm));
    }
    c.add(Must, "r12", "what was cached and is deleted is 404", digests::cached_and_deleted);
}

#[rustfmt::skip]
fn uploads(c: &mut Cases) {
    for (id, says) in [("more", 600), ("less", 400), ("far-more", 1 << 40)] {
        c.add(Should, format!("r5.{id}"), format!("500 bytes under a Content-Range of {says} are 400 SIZE_INVALID"), move |cx| chunks::range_is_not_length(cx, says));
    }
    for (id, chunked) in [("length", false), ("chunked", true)] {
        c.add(Must, format!("r5.cut-patch.{id}"), format!("a PATCH cut short is not acknowledged and the session goes on ({id})"), move |cx| chunks::cut_body(cx, chunked));
    }
    c.add(Must, "r5.cut-put", "a PUT cut short stores nothing", chunks::cut_put);
    c.add(Must, "r5.cut-manifest", "a manifest cut short is not stored", chunks::cut_manifest);
    for (id, place) in [("gap", Place::Gap), ("overlap", Place::Overlap), ("repeat", Place::Repeat), ("before", Place::Before)] {
        for (method, put) in [("patch", false), ("put", true)] {
            c.add(Must, format!("r6.{id}.{method}"), format!("a chunk out of order ({id}) in a {method} is 416 with Range, and the session survives"), move |cx| chunks::misplaced(cx, place, put));
        }
    }
    for (id, range) in chunks::NO_RANGES {
        c.add(Choice, format!("r7.{id}"), format!("the Content-Range {range} is 400 BLOB_UPLOAD_INVALID, and the session survives"), move |cx| chunks::no_range(cx, range));
    }
    c.add(Must, "r8", "of two PATCHes at once one is taken and one is 416, a hundred times", sessions::two_writers);
    c.add(Must, "r9", "a session is 404 BLOB_UPLOAD_UNKNOWN through another repository", sessions::another_repository);
    c.add(Choice, "r10", "mounts of what is not to be had all look like that of an unknown blob", sessions::mounts_look_alike);
}

#[rustfmt::skip]
fn manifests(c: &mut Cases) {
    c.add(Choice, "r13.over", "a manifest of 4 MiB and a byte is 413 MANIFEST_INVALID", endless::one_byte_too_large);
    c.add(Choice, "r13.exactly", "a manifest of 4 MiB is 201", endless::as_large_as_can_be);
    c.add(Choice, "r13.announced", "a manifest announced as a terabyte is 413 before a byte of it", endless::announced);
    c.add(Should, "r13.endless", "a manifest that never ends is 413", endless::never_ends);
    c.add(Should, "r13.bystander", "while manifests never end, others are answered within a second", endless::bystander);
    for (id, media_type) in [("image", MediaType::OCI_MANIFEST), ("index", MediaType::OCI_INDEX), ("docker", MediaType::DOCKER_MANIFEST)] {
        c.add(Should, format!("r14.both.{id}"), format!("layers and manifests in one are 400 MANIFEST_INVALID ({id})"), move |cx| manifests::layers_and_manifests(cx, media_type));
    }
    c.add(Should, "r14.duplicate-keys", "a key that stands twice is 400 MANIFEST_INVALID", manifests::duplicate_keys);
    c.add(Should, "r14.type", "a mediaType that is not the Content-Type is 400 MANIFEST_INVALID", manifests::type_mismatch);
    c.add(Should, "r14.utf8", "what is not UTF-8 is 400 MANIFEST_INVALID", manifests::no_utf8);
    for depth in [129, 10_000, 1_000_000] {
        c.add(Should, format!("r14.depth-{depth}"), format!("JSON {depth} deep is 400 MANIFEST_INVALID"), move |cx| manifests::deep(cx, depth));
    }
    c.add(Should, "r14.no-manifest", "what is no manifest at all is 400 MANIFEST_INVALID", manifests::no_manifest);
    c.add(Must, "r14.verbatim", "what is taken is stored byte by byte", manifests::verbatim);
    for digest in ["../x", "sha256:../../x", "sha256:abc", "", "md5:d41d8cd98f00b204e9800998ecf8427e"] {
        c.add(Should, format!("r15.digest.{digest}"), format!("a descriptor with the digest {digest:?} is 400 MANIFEST_INVALID"), move |cx| manifests::descriptor(cx, Fault::Digest(digest)));
    }
    for size in ["-1", "9223372036854775808", "1e300", "1.5", "\"10\"", "null"] {
        c.add(Should, format!("r15.size.{size}"), format!("a descriptor with the size {size} is 400 MANIFEST_INVALID"), move |cx| manifests::descriptor(cx, Fault::Size(size)));
    }
    c.add(Should, "r15.no-digest", "a descriptor without a digest is 400 MANIFEST_INVALID", |cx| manifests::descriptor(cx, Fault::NoDigest));
    c.add(Should, "r15.no-size", "a descriptor without a size is 400 MANIFEST_INVALID", |cx| manifests::descriptor(cx, Fault::NoSize));
    for (id, place) in [("config", "/config"), ("layer", "/layers/0")] {
        c.add(Choice, format!("r16.{id}"), format!("a missing {id} is 400 MANIFEST_BLOB_UNKNOWN"), move |cx| manifests::missing(cx, place));
    }
    c.add(Choice, "r16.child", "a missing child is 400 MANIFEST_BLOB_UNKNOWN, unless sparse indexes are on", manifests::missing_child);
    c.add(Must, "r16.subject", "a missing subject is 201 and OCI-Subject", manifests::missing_subject);
    c.add(Choice, "r17.10000", "a manifest of 10,000 descriptors is 201", |cx| manifests::descriptors(cx, 10_000, true));
    c.add(Choice, "r17.10001", "a manifest of 10,001 descriptors is 400 MANIFEST_INVALID", |cx| manifests::descriptors(cx, 10_001, false));
    c.add(Choice, "r17.depth", "indexes in each other are taken to a depth of about 20 and no further", manifests::nesting);
}

#[rustfmt::skip]
fn lists(c: &mut Cases) {
    for (id, list) in [("tags", List::Tags), ("catalog", List::Catalog)] {
        let level = if id == "tags" { Must } else { Choice };
        c.add(level, format!("r18.{id}.0"), format!("n=0 is an empty list without a Link ({id})"), move |cx| lists::zero(cx, list));
        for n in ["1000000000000", "18446744073709551615"] {
            c.add(Should, format!("r18.{id}.{n}"), format!("n={n} is clamped ({id})"), move |cx| lists::huge(cx, list, n));
        }
        for n in ["-1", "abc", "1.5", "0x10"] {
            c.add(Choice, format!("r18.{id}.{n}"), format!("n={n} is 400 ({id})"), move |cx| lists::bad_n(cx, list, n));
        }
    }
    for last in ["../../etc/passwd", "\0", "%", "ä", "' OR 1=1 --", "a\r\nX-Injected: 1"] {
        c.add(Should, format!("r18.last.{}", last.escape_debug()), format!("last={last:?} is a list or an error that says so"), move |cx| lists::odd_last(cx, last));
    }
    c.add(Should, "r19.tags", "many tags come in pages of at most 1000, each once and in time", lists::many_tags);
    c.add(Must, "r19.referrers", "many referrers come in pages, each once", referrers::many);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_row_of_the_table_has_a_case() {
        let cases = catalogue();
        let ids: BTreeSet<&str> = cases.iter().map(|case| case.id.as_str()).collect();
        assert_eq!(ids.len(), cases.len());
        for row in (1..=19).map(|row| format!("r{row}")) {
            assert!(ids.iter().any(|id| id.split('.').next() == Some(&row)), "no case of {row}");
        }
    }
}
