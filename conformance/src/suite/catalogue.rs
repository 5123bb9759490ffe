//! Every case of the suite, a line each.

use berth_oci::Algorithm::{Sha256, Sha512};
use reqwest::Method;

use super::{
    base::{self, Refusal},
    blobs, datasets, deletes, manifests, mounts,
    push::UploadPath,
    ranges, referrers, tag_parameters, tags, upload_order, uploads,
};
use crate::{
    case::{
        Case, Cases,
        Level::{Choice, May, Must, Should},
    },
    data::Kind,
};

/// The suite's cases. Ids are unique and stable.
#[must_use]
pub fn catalogue() -> Vec<Case> {
    let mut cases = Cases::default();
    base(&mut cases);
    blobs(&mut cases);
    ranges(&mut cases);
    round_trips(&mut cases);
    sessions(&mut cases);
    digests(&mut cases);
    order(&mut cases);
    mounts(&mut cases);
    manifests(&mut cases);
    manifest_answers(&mut cases);
    tag_parameters(&mut cases);
    tags(&mut cases);
    referrers(&mut cases);
    deletes(&mut cases);
    data_sets(&mut cases);
    cases.0
}

/// Adds a case for either algorithm; the function takes it behind the context.
macro_rules! both {
    ($cases:ident, $level:expr, $id:expr, $name:expr, $run:expr $(, $more:expr)*) => {
        for algorithm in [Sha256, Sha512] {
            let id = format!("{}.{algorithm}", $id);
            $cases.add($level, id, format!("{} ({algorithm})", $name), move |cx| $run(cx, algorithm $(, $more)*));
        }
    };
}

#[rustfmt::skip]
fn base(c: &mut Cases) {
    c.add(Must, "base.version", "GET /v2/ is 200", base::version);
    c.add(Choice, "base.version-header", "GET /v2/ says registry/2.0", base::version_header);
    c.add(Choice, "base.version-head", "HEAD /v2/ is 200 and without a body", base::version_head);
    c.add(Must, "base.unknown-endpoint", "what is no endpoint is 404", base::unknown_endpoint);
    for name in ["a", "0", "a/b/c/d/e", "a.b", "a_b", "a__b", "a-b", "a---b", "0.1_2__3-4--5", "uploads", "tags/list", "manifests/x", "blobs/uploads"] {
        c.add(Must, format!("base.name.{name}"), format!("a repository may be called {name}"), move |cx| base::valid_name(cx, name));
    }
    c.add(Should, "base.name.longest", "a repository's name may have 255 characters", base::longest_name);
    for name in ["Upper", "a..b", "a___b", "-a", "a-", ".a", "a.", "_a", "a_-b", "a b", "ä"] {
        c.add(Must, format!("base.no-name.{name}"), format!("no repository is called {name}"), move |cx| base::invalid_name(cx, name));
    }
    for tag in ["a", "Z9", "_", "__x", "1.0.0-rc.1_2", "latest", "sha256-0123abcd.sig", "v1..2", "a-"] {
        c.add(Must, format!("base.tag.{tag}"), format!("a tag may be {tag}"), move |cx| base::valid_tag(cx, tag));
    }
    c.add(Must, "base.tag.longest", "a tag may have 128 characters", base::longest_tag);
    for tag in [".a", "-a", "a+b", "a b", "ä"] {
        c.add(Must, format!("base.no-tag.{tag}"), format!("no tag is {tag}"), move |cx| base::invalid_tag(cx, tag));
    }
    for (id, refusal) in [("blob", Refusal::Blob), ("manifest", Refusal::Manifest), ("upload", Refusal::Upload), ("digest", Refusal::Digest), ("tags", Refusal::Tags), ("name", Refusal::Name)] {
        c.add(Should, format!("base.error.{id}"), format!("no {id} is an error in the specification's envelope"), move |cx| base::envelope(cx, refusal));
        c.add(Should, format!("base.code.{id}"), format!("no {id} has the specification's own error code"), move |cx| base::code(cx, refusal));
    }
    c.add(Must, "base.warnings", "warnings, if any, are 299 without agent and date", base::warnings);
    c.add(Should, "base.plain-type", "a manifest's Content-Type has no parameters", base::plain_content_type);
    c.add(Must, "base.digest-case", "a digest in capitals is no digest", base::digest_case);
}

#[rustfmt::skip]
fn blobs(c: &mut Cases) {
    both!(c, Must, "blob.get", "a pushed blob comes back", blobs::get);
    c.add(Should, "blob.get-length", "GET says the blob's Content-Length", blobs::get_says_the_length);
    both!(c, Must, "blob.get-digest", "GET says the blob's Docker-Content-Digest", blobs::get_says_the_digest);
    both!(c, Must, "blob.head", "HEAD of a blob is 200 with its length", blobs::head);
    both!(c, Must, "blob.head-digest", "HEAD says the blob's Docker-Content-Digest", blobs::head_says_the_digest);
    c.add(Should, "blob.head-get", "HEAD of a blob has the headers of GET", blobs::head_equals_get);
    both!(c, Must, "blob.get-unknown", "GET of an unknown blob is 404 BLOB_UNKNOWN", blobs::get_unknown);
    both!(c, Must, "blob.head-unknown", "HEAD of an unknown blob is 404", blobs::head_unknown);
    c.add(Must, "blob.unknown-repository", "GET of a blob in an unknown repository is 404", blobs::unknown_repository);
    c.add(Must, "blob.malformed-digest", "GET of a blob by what is no digest is 400 or 404", blobs::malformed_digest);
    c.add(Must, "blob.other-repository", "a blob of one repository is not in another", blobs::not_in_another_repository);
    both!(c, Must, "blob.empty", "the empty blob goes up by every path and comes back", blobs::well_known, "");
    both!(c, Must, "blob.empty-json", "the blob {} goes up by every path and comes back", blobs::well_known, "{}");
    c.add(Should, "blob.etag", "a blob that has not changed is 304", blobs::unchanged_is_304);
    c.add(Must, "blob.names", "a blob under its other digest is absent, or the same", blobs::names_are_apart);
}

#[rustfmt::skip]
fn ranges(c: &mut Cases) {
    for (asks, start, end) in [("bytes=500-1499", 500, 1500), ("bytes=500-", 500, 2048), ("bytes=-500", 1548, 2048), ("bytes=2000-5000", 2000, 2048), ("bytes=0-0", 0, 1), ("bytes=2047-2047", 2047, 2048), ("bytes=0-", 0, 2048), ("bytes=-5000", 0, 2048)] {
        both!(c, Should, format!("range.{asks}"), format!("Range: {asks} is 206 with just these bytes"), ranges::part, asks, start..end);
    }
    for asks in ["bytes=5000-10000", "bytes=2048-", "bytes=500-0"] {
        both!(c, Should, format!("range.{asks}"), format!("Range: {asks} is 416"), ranges::unsatisfiable, asks);
    }
    c.add(Should, "range.refusal-length", "416 says how long the blob is", ranges::refusal_says_the_length);
    for asks in ["bytes=x-y", "bytes=", "bytes", "items=0-1", "bytes=--5"] {
        c.add(Must, format!("range.{asks}"), format!("Range: {asks} is ignored or refused"), move |cx| ranges::not_understood(cx, asks));
    }
    c.add(Must, "range.several", "two ranges are answered as such, or with everything", ranges::several);
    c.add(Must, "range.head", "HEAD takes no notice of Range", ranges::head_ignores_it);
    c.add(Must, "range.if-range-other", "If-Range with another entity's tag is the whole blob", ranges::if_range_of_another);
    c.add(Should, "range.if-range", "If-Range with the blob's own tag is the part", ranges::if_range_of_this);
    c.add(Should, "range.announced", "a blob says Accept-Ranges: bytes", ranges::are_announced);
    c.add(Should, "range.resume", "a pull in three parts is the whole", ranges::resume);
    c.add(Must, "range.empty-blob", "a range of the empty blob is 416 or the whole of it", ranges::of_the_empty_blob);
}

fn round_trips(c: &mut Cases) {
    for path in UploadPath::ALL {
        let level = if path == UploadPath::Post { May } else { Must };
        for length in [0, 1, 512, 1024, 3067, 65_536, 1_048_577] {
            let id = format!("upload.{}.{length}", path.id());
            let name = format!("a blob of {length} bytes goes up by {} and comes back", path.says());
            for algorithm in [Sha256, Sha512] {
                c.add(level, format!("{id}.{algorithm}"), format!("{name} ({algorithm})"), move |cx| {
                    uploads::round_trip(cx, path, algorithm, length)
                });
            }
        }
        for algorithm in [Sha256, Sha512] {
            let name = format!("content with another digest is 400 by {} ({algorithm})", path.says());
            c.add(Should, format!("upload.bad-digest.{}.{algorithm}", path.id()), name, move |cx| {
                uploads::bad_digest(cx, path, algorithm)
            });
        }
        let name = format!("a known blob goes up again by {}", path.says());
        c.add(level, format!("upload.again.{}", path.id()), name, move |cx| {
            uploads::a_known_blob_goes_up_again(cx, path)
        });
    }
}

#[rustfmt::skip]
fn sessions(c: &mut Cases) {
    c.add(Must, "session.post", "POST opens a session: 202 with Location", uploads::post_answers_202);
    c.add(Choice, "session.post-no-slash", "POST opens a session without the slash at the end", uploads::post_without_slash);
    c.add(Must, "session.unique", "each session has a Location of its own", uploads::locations_differ);
    c.add(Must, "session.min-chunk", "OCI-Chunk-Min-Length, if there is one, is a length", uploads::min_chunk_is_a_length);
    c.add(Must, "session.status-empty", "GET of a fresh session is 204 with Location and Range: 0-N", uploads::empty_session_has_status);
    c.add(Must, "session.status", "GET of a session is 204 and says how far it is", uploads::status_says_how_far);
    c.add(Must, "session.status-streamed", "GET of a session says how far a streamed PATCH brought it", uploads::status_after_a_stream);
    c.add(Must, "session.status-location", "a session goes on at the Location that its status says", uploads::status_location_goes_on);
    c.add(Must, "session.streams", "streamed PATCHes of one session follow each other", uploads::streams_add_up);
    c.add(Must, "session.put-rest", "PUT brings the rest without Content-Range", uploads::put_brings_the_rest);
    c.add(Choice, "session.put-streamed", "PUT may be of unknown length", uploads::put_can_be_streamed);
    c.add(Should, "session.no-type", "a session needs no Content-Type", uploads::no_content_type_is_needed);
    c.add(Must, "session.unescaped-digest", "the digest of a PUT may stand unescaped", uploads::digest_may_be_unescaped);
    c.add(Choice, "session.empty-patch", "a PATCH of no bytes changes nothing", uploads::an_empty_patch_is_taken);
    c.add(Should, "session.cancel", "DELETE of a session is 204 and ends it", uploads::cancel_is_204);
    for method in [Method::GET, Method::PATCH, Method::PUT, Method::DELETE] {
        let id = format!("session.unknown.{}", method.as_str().to_lowercase());
        c.add(Must, id, format!("{method} of an unknown session is 404"), move |cx| uploads::unknown_session(cx, method.clone()));
    }
    c.add(Must, "session.finished", "a finished session is 404", uploads::a_finished_session_is_gone);
    c.add(Must, "session.many", "eight sessions at once do not mix", uploads::sessions_at_once);
    c.add(Must, "session.same-blob", "eight clients push one blob at once", uploads::one_blob_at_once);
    c.add(Must, "session.big", "a blob of 32 MiB streams up and comes back", uploads::a_big_blob);
}

#[rustfmt::skip]
fn digests(c: &mut Cases) {
    c.add(Should, "digest.none", "PUT without a digest is 400", uploads::put_needs_a_digest);
    for digest in ["sha256:short", "nonsense", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:", ":"] {
        c.add(Should, format!("digest.put.{digest}"), format!("PUT with the digest {digest} is 400 DIGEST_INVALID"), move |cx| uploads::put_with_nonsense(cx, digest));
    }
    c.add(Should, "digest.post", "POST with a malformed digest is 400 DIGEST_INVALID", uploads::post_with_nonsense);
    c.add(Should, "digest.mislabelled", "64 characters are no sha512", uploads::mislabelled_digest);
    both!(c, Must, "digest.announced", "the algorithm may be announced when the session opens", uploads::announced_algorithm);
    c.add(Should, "digest.announced.md5", "an algorithm that nobody verifies is 400", uploads::unknown_algorithm);
    c.add(Must, "digest.late", "the PUT alone may name the algorithm", uploads::late_algorithm);
    both!(c, Should, "digest.put-says", "PUT of a blob says its Docker-Content-Digest", uploads::put_says_the_digest);
}

#[rustfmt::skip]
fn order(c: &mut Cases) {
    both!(c, Must, "order.gap", "a chunk behind a gap is 416 and the session survives", upload_order::gap);
    both!(c, Must, "order.overlap", "a chunk that overlaps is 416 and the session survives", upload_order::overlap);
    both!(c, Must, "order.repeat", "a chunk sent twice is 416 and the session survives", upload_order::repeat);
    c.add(Must, "order.gap-of-one", "a gap of one byte is a gap", upload_order::gap_of_one);
    both!(c, Must, "order.first", "a first chunk that is not the first is 416 and the session survives", upload_order::first_chunk_not_at_zero);
    both!(c, Must, "order.put-gap", "a last chunk behind a gap, in the PUT, is 416 and the session survives", upload_order::put_gap);
    both!(c, Must, "order.put-overlap", "a last chunk that overlaps, in the PUT, is 416 and the session survives", upload_order::put_overlap);
    c.add(Should, "order.put-url", "after a 416 the PUT's own URL says how far the session is", upload_order::status_at_the_put_url);
    both!(c, Must, "order.each", "an upload ends well though each chunk was first sent wrong", upload_order::refused_at_each_chunk);
    c.add(Choice, "order.says", "416 says Location and Range", upload_order::refusal_says_the_range);
}

#[rustfmt::skip]
fn mounts(c: &mut Cases) {
    both!(c, Should, "mount.from", "a blob of another repository is mounted: 201", mounts::with_from);
    both!(c, May, "mount.anywhere", "a blob is mounted though no repository is named: 201", mounts::without_from);
    c.add(Should, "mount.digest", "a mount says the blob's Docker-Content-Digest", mounts::says_the_digest);
    both!(c, Should, "mount.unknown", "a mount of an unknown blob is 202, a session that works", mounts::of_nothing);
    c.add(Should, "mount.unknown-anywhere", "a mount of an unknown blob from nowhere is 202", mounts::of_nothing_without_from);
    c.add(Should, "mount.unknown-repository", "a mount from an unknown repository is 202", mounts::from_nowhere);
    c.add(Should, "mount.itself", "a mount from the repository itself ends well", mounts::from_itself);
    c.add(Must, "mount.source", "a mounted blob that is deleted stays in its source", mounts::leaves_the_source);
    c.add(Should, "mount.nonsense", "a mount of what is no digest makes nothing", mounts::of_nonsense);
    c.add(Must, "mount.chunks", "the session of a declined mount takes a stream and sha512", mounts::falls_back_to_chunks);
}

#[rustfmt::skip]
fn manifests(c: &mut Cases) {
    c.add(Must, "manifest.put-tag", "PUT by tag is 201 with a Location that answers", manifests::put_by_tag);
    both!(c, Must, "manifest.put-digest", "PUT by digest is 201 with a Location that answers", manifests::put_by_digest);
    both!(c, Must, "manifest.put-says", "PUT by digest says Docker-Content-Digest", manifests::put_says_the_digest);
    c.add(Must, "manifest.put-tag-says", "PUT by tag says Docker-Content-Digest", manifests::put_by_tag_says_the_digest);
    c.add(Must, "manifest.tag-digest", "what was tagged is there by digest", manifests::tagged_is_there_by_digest);
    both!(c, Must, "manifest.mismatch", "a manifest with another digest is 400 and is not stored", manifests::mismatched_digest);
    c.add(Must, "manifest.malformed-put", "PUT by what is no digest is 400", manifests::malformed_digest_put);
    c.add(Must, "manifest.malformed-get", "GET by what is no digest is 400 or 404", manifests::malformed_digest_get);
    c.add(Must, "manifest.tag-moves", "a tag moves, what it pointed at stays", manifests::a_tag_moves);
    c.add(Must, "manifest.again", "a known manifest goes up again", manifests::again);
    c.add(Should, "manifest.type-parameters", "parameters behind a manifest's type are ignored", manifests::type_parameters);
    c.add(Must, "manifest.no-media-type", "a manifest without mediaType is what its header says", manifests::no_media_type);
    c.add(Must, "manifest.missing-blob", "a missing blob, if it matters, is MANIFEST_BLOB_UNKNOWN", manifests::missing_blob);
    c.add(Must, "manifest.missing-subject", "a missing subject does not matter", manifests::missing_subject);
    both!(c, Must, "manifest.subject", "PUT with a subject says OCI-Subject", manifests::says_the_subject, Kind::Subject);
    both!(c, Must, "manifest.index-subject", "PUT of an index with a subject says OCI-Subject", manifests::says_the_subject, Kind::IndexSubject);
    both!(c, Must, "manifest.absent-subject", "PUT with a missing subject says OCI-Subject", manifests::says_the_subject, Kind::MissingSubject);
    c.add(Should, "manifest.4-mb", "a manifest of 4,000,000 bytes is 201", |cx| manifests::of_size(cx, 4_000_000, 201));
    c.add(Choice, "manifest.4-mib", "a manifest of 4 MiB is 201", |cx| manifests::of_size(cx, 4 << 20, 201));
    c.add(Should, "manifest.too-large", "a manifest of 32 MiB is 413", |cx| manifests::of_size(cx, 32 << 20, 413));
    c.add(Choice, "manifest.schema-1", "Docker's schema 1 is 400 MANIFEST_INVALID", manifests::schema_1_is_refused);
    c.add(Should, "manifest.not-json", "what is no JSON is 400 MANIFEST_INVALID", manifests::not_json);
    c.add(Should, "manifest.both-algorithms", "a manifest is known by both digests once pushed under both", manifests::both_algorithms);
}

#[rustfmt::skip]
fn manifest_answers(c: &mut Cases) {
    both!(c, Must, "manifest.get", "GET is 200 with bytes, type and length", manifests::get);
    both!(c, Must, "manifest.get-says", "GET and HEAD by digest say Docker-Content-Digest", manifests::get_says_the_digest);
    c.add(Must, "manifest.tag-says", "GET and HEAD by tag say Docker-Content-Digest", manifests::get_by_tag_says_the_digest);
    c.add(Should, "manifest.head-get", "HEAD of a manifest has the headers of GET", manifests::head_equals_get);
    for (id, accept) in [("none", None), ("any", Some("*/*")), ("index", Some("application/vnd.oci.image.index.v1+json")), ("docker", Some("application/vnd.docker.distribution.manifest.v2+json")), ("text", Some("text/html"))] {
        c.add(Must, format!("manifest.accept-{id}"), format!("a manifest comes back whatever is accepted ({id})"), move |cx| manifests::accept(cx, accept));
    }
    c.add(Must, "manifest.unknown-tag", "an unknown tag is 404 MANIFEST_UNKNOWN", manifests::unknown_tag);
    both!(c, Must, "manifest.unknown", "an unknown manifest is 404 MANIFEST_UNKNOWN", manifests::unknown_digest);
    c.add(Must, "manifest.unknown-repository", "a manifest of an unknown repository is 404", manifests::unknown_repository);
    c.add(Must, "manifest.other-repository", "a manifest of one repository is not in another", manifests::not_in_another_repository);
    c.add(Must, "manifest.no-blob", "a blob is no manifest", manifests::a_blob_is_no_manifest);
    c.add(Should, "manifest.etag", "a manifest that has not changed is 304", manifests::unchanged_is_304);
    c.add(Should, "manifest.etag-moved", "a tag that has moved is 200", manifests::changed_is_200);
}

#[rustfmt::skip]
fn tag_parameters(c: &mut Cases) {
    both!(c, May, "tag-parameter.one", "a push by digest sets a tag and says OCI-Tag", tag_parameters::are_set, 1);
    both!(c, May, "tag-parameter.ten", "a push by digest sets ten tags", tag_parameters::are_set, 10);
    c.add(May, "tag-parameter.moves", "a push by digest moves a tag", tag_parameters::move_tags);
    c.add(Choice, "tag-parameter.invalid", "a tag parameter that is no tag is 400 and sets nothing", tag_parameters::invalid_tag);
    c.add(Must, "tag-parameter.failed", "a push that fails sets no tag", tag_parameters::nothing_on_failure);
    c.add(Must, "tag-parameter.none", "a push without tags says no OCI-Tag", tag_parameters::none_no_header);
}

#[rustfmt::skip]
fn tags(c: &mut Cases) {
    c.add(Must, "tags.all", "every tag is listed, under the repository's name", tags::all);
    c.add(Must, "tags.order", "tags are in order", tags::in_order);
    c.add(Must, "tags.json", "tags are application/json", tags::are_json);
    for n in [1, 2, 9, 10, 500] {
        c.add(Must, format!("tags.n-{n}"), format!("n={n} gives as many tags as there are, or a Link"), move |cx| tags::first_n(cx, n));
    }
    c.add(Must, "tags.n-0", "n=0 is an empty list without a Link", tags::none);
    c.add(Must, "tags.last", "last=T gives what comes behind T", tags::after);
    c.add(Must, "tags.n-last", "n and last go together", tags::n_after);
    c.add(Should, "tags.last-absent", "last need not be a tag", tags::after_no_tag);
    c.add(Should, "tags.last-end", "behind the last tag is an empty list", tags::after_the_last);
    c.add(Must, "tags.link", "Links lead through every tag once, to an end", tags::by_link);
    c.add(Choice, "tags.link-more", "there is a Link while there is more, and none behind that", tags::link_while_more);
    c.add(Must, "tags.unknown-repository", "tags of an unknown repository are 404, or none", tags::unknown_repository);
    c.add(Must, "tags.untagged", "a repository without tags has an empty list", tags::untagged);
    for n in ["-1", "abc"] {
        c.add(Choice, format!("tags.n-{n}"), format!("n={n} is 400"), move |cx| tags::not_a_number(cx, n));
    }
    c.add(Must, "tags.at-once", "thirty tags set at once are all there", tags::at_once);
}

#[rustfmt::skip]
fn referrers(c: &mut Cases) {
    both!(c, Must, "referrers.unknown-repository", "referrers in an unknown repository are an empty index", referrers::of_unknown_repository);
    both!(c, Must, "referrers.none", "no referrers are an empty index", referrers::of_nobody);
    for digest in ["sha256:baddigeststring", "nonsense", "md5:d41d8cd98f00b204e9800998ecf8427e"] {
        c.add(Must, format!("referrers.digest.{digest}"), format!("referrers of {digest} are 400"), move |cx| referrers::malformed_digest(cx, digest));
    }
    for (id, kind) in [("manifest", Kind::Subject), ("index", Kind::IndexSubject), ("missing", Kind::MissingSubject)] {
        both!(c, Must, format!("referrers.all.{id}"), format!("all referrers are listed with type and annotations ({id})"), move |cx, algorithm| referrers::all(cx, kind, algorithm));
    }
    c.add(Should, "referrers.filter.config", "the filter finds the config's type", referrers::filtered_by_config);
    c.add(Should, "referrers.filter.type", "the filter finds an artifact type", referrers::filtered_by_a);
    c.add(Should, "referrers.filter.plus", "the filter finds a type with a plus", referrers::filtered_by_b);
    c.add(Should, "referrers.filter.none", "the filter finds nothing where nothing is", |cx| referrers::filtered(cx, "application/vnd.example.none", 0));
    c.add(Must, "referrers.no-filter", "OCI-Filters-Applied is there only for a filter", referrers::no_filter_no_header);
    c.add(Must, "referrers.before", "a referrer may come before its subject", referrers::before_the_subject);
    c.add(Must, "referrers.repository", "referrers are of one repository", referrers::of_this_repository_only);
    c.add(Must, "referrers.deleted", "a deleted referrer is gone from the list", referrers::a_deleted_one_is_gone);
    c.add(Must, "referrers.once", "a manifest pushed twice is listed once", referrers::pushed_twice_is_listed_once);
    c.add(Must, "referrers.chain", "a referrer may be referred to", referrers::chain);
    c.add(Must, "referrers.many", "many referrers are all listed", referrers::many);
}

#[rustfmt::skip]
fn deletes(c: &mut Cases) {
    c.add(May, "delete.tag", "DELETE of a tag is 202 and it is gone", deletes::tag);
    c.add(Must, "delete.tag-manifest", "a deleted tag leaves its manifest and other tags", deletes::tag_leaves_the_manifest);
    c.add(Must, "delete.tag-list", "a deleted tag is gone from the list", deletes::tag_leaves_the_list);
    c.add(Must, "delete.unknown-tag", "DELETE of an unknown tag is 404", deletes::unknown_tag);
    both!(c, May, "delete.manifest", "DELETE of a manifest is 202 and it is gone", deletes::manifest);
    c.add(Must, "delete.manifest-tags", "with a manifest go its tags and no others", deletes::manifest_takes_its_tags);
    both!(c, Must, "delete.unknown-manifest", "DELETE of an unknown manifest is 404", deletes::unknown_manifest);
    c.add(Must, "delete.manifest-twice", "DELETE of a deleted manifest is 404", deletes::manifest_twice);
    c.add(Must, "delete.unknown-repository", "DELETE in an unknown repository is 404", deletes::in_unknown_repository);
    c.add(Must, "delete.index", "a deleted index leaves its children", deletes::index_leaves_children);
    c.add(Must, "delete.manifest-repository", "a manifest is deleted from one repository only", deletes::manifest_in_one_repository);
    both!(c, May, "delete.blob", "DELETE of a blob is 202 and it is gone", deletes::blob);
    both!(c, Must, "delete.unknown-blob", "DELETE of an unknown blob is 404", deletes::unknown_blob);
    c.add(Must, "delete.blob-twice", "DELETE of a deleted blob is 404", deletes::blob_twice);
    c.add(Must, "delete.blob-repository", "a blob is deleted from one repository only", deletes::blob_in_one_repository);
    for path in UploadPath::ALL {
        c.add(Must, format!("delete.blob-back.{}", path.id()), format!("a deleted blob comes back by {}", path.says()), move |cx| deletes::blob_comes_back(cx, path));
    }
    c.add(Must, "delete.manifest-back", "a deleted manifest comes back", deletes::manifest_comes_back);
    c.add(Must, "delete.malformed-digest", "DELETE of what is no digest is refused", deletes::malformed_digest);
}

fn data_sets(c: &mut Cases) {
    for &kind in Kind::ALL {
        for path in UploadPath::ALL {
            for algorithm in [Sha256, Sha512] {
                let level = if path == UploadPath::Post { May } else { Must };
                let id = format!("data.{}.{}.{algorithm}", kind.id(), path.id());
                let name = format!(
                    "{} by {}, with {algorithm}, is pushed, listed, pulled, deleted",
                    kind.says(),
                    path.says()
                );
                c.add(level, id, name, move |cx| datasets::round_trip(cx, kind, path, algorithm));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn several_hundred_cases_have_ids_and_names_of_their_own() {
        let cases = catalogue();
        let ids: BTreeSet<&str> = cases.iter().map(|case| case.id.as_str()).collect();
        let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(ids.len(), cases.len());
        assert_eq!(names.len(), cases.len());
        assert!(cases.len() > 500, "{} cases", cases.len());
    }
}
