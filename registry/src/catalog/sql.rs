//! Every statement that both databases understand. Parameters are `$n`; numbers are 64 bits,
//! times microseconds. What only one of them has is in [`super::database::Statements`].

/// Answers when the database does.
pub(super) const PING: &str = "SELECT CAST(1 AS BIGINT)";

// Repositories.

pub(super) const REPOSITORY: &str = "SELECT id FROM repositories WHERE name = $1";
pub(super) const ADD_REPOSITORY: &str =
    "INSERT INTO repositories (name) VALUES ($1) ON CONFLICT (name) DO NOTHING RETURNING id";
/// One that has lost everything it held is not listed. The first by digest, since only an order makes
/// PostgreSQL look into an index where it thinks that any row will do.
pub(super) const REPOSITORIES: &str = "SELECT name FROM repositories r WHERE name > $1 AND ( \
     (SELECT m.digest FROM manifests m WHERE m.repo_id = r.id ORDER BY m.digest LIMIT 1) IS NOT NULL \
     OR (SELECT l.digest FROM blob_links l WHERE l.repo_id = r.id ORDER BY l.digest LIMIT 1) IS NOT NULL) \
     ORDER BY name LIMIT $2";

// Blobs.

pub(super) const LINKED_BLOB: &str = "SELECT b.size, b.object_key, b.lease_until \
     FROM blob_links l JOIN blobs b ON b.digest = l.digest \
     WHERE l.repo_id = (SELECT id FROM repositories WHERE name = $1) AND l.digest = $2 \
     AND b.quarantined_at IS NULL";
pub(super) const BLOB_LINKED_ANYWHERE: &str = "SELECT b.size, b.object_key, b.lease_until FROM blobs b \
     WHERE b.digest = $1 AND b.quarantined_at IS NULL \
     AND EXISTS (SELECT 1 FROM blob_links l WHERE l.digest = b.digest)";
pub(super) const BLOB: &str = "SELECT size, object_key, lease_until, \
     CASE WHEN quarantined_at IS NULL THEN CAST(0 AS BIGINT) ELSE CAST(1 AS BIGINT) END FROM blobs WHERE digest = $1";
pub(super) const ADD_BLOB: &str = "INSERT INTO blobs (digest, size, object_key, lease_until, created_at) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (digest) DO NOTHING";
/// Puts an upload's object in the place of one that is out of service, for everybody who links the blob.
pub(super) const REPLACE_BLOB: &str = "UPDATE blobs SET size = $2, object_key = $3, \
     lease_until = CASE WHEN lease_until < $4 THEN $4 ELSE lease_until END, quarantined_at = NULL \
     WHERE digest = $1 AND quarantined_at IS NOT NULL RETURNING size, object_key, lease_until";
/// Never shortens a lease.
pub(super) const RENEW_BLOB: &str = "UPDATE blobs \
     SET lease_until = CASE WHEN lease_until < $2 THEN $2 ELSE lease_until END \
     WHERE digest = $1 RETURNING size, object_key, lease_until";
pub(super) const LINK_BLOB: &str =
    "INSERT INTO blob_links (repo_id, digest) VALUES ($1, $2) ON CONFLICT (repo_id, digest) DO NOTHING";
pub(super) const UNLINK_BLOB: &str = "DELETE FROM blob_links \
     WHERE repo_id = (SELECT id FROM repositories WHERE name = $1) AND digest = $2";

// Upload sessions.

macro_rules! add_upload {
    () => {
        "INSERT INTO uploads (id, repo, principal, created_at, received, hash, staging, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING"
    };
}
macro_rules! delete_upload {
    () => {
        "DELETE FROM uploads WHERE id = $1 AND repo = $2 \
         RETURNING id, repo, principal, created_at, received, hash, staging, expires_at"
    };
}
pub(super) use {add_upload, delete_upload};

pub(super) const ADD_UPLOAD: &str = add_upload!();
pub(super) const UPLOAD: &str = "SELECT id, repo, principal, created_at, received, hash, staging, expires_at FROM uploads \
     WHERE id = $1 AND repo = $2";
/// By the index on their ends, which is short, and not by the rows, which are not.
pub(super) const COUNT_UPLOADS: &str =
    "SELECT COUNT(*) FROM (SELECT 1 FROM uploads WHERE expires_at >= 0 LIMIT $1) AS counted";
pub(super) const END_UPLOAD: &str = "DELETE FROM uploads WHERE id = $1";
pub(super) const DELETE_UPLOAD: &str = delete_upload!();

// Manifests.

pub(super) const ADD_BODY: &str =
    "INSERT INTO manifest_bodies (digest, body) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING";
pub(super) const BODY: &str = "SELECT body FROM manifest_bodies WHERE digest = $1";
/// What was deleted and can be brought back still needs its body.
pub(super) const DROP_BODY_IF_LAST: &str = "DELETE FROM manifest_bodies WHERE digest = $1 \
     AND NOT EXISTS (SELECT 1 FROM manifests WHERE digest = $1) \
     AND NOT EXISTS (SELECT 1 FROM deleted_manifests WHERE digest = $1)";
pub(super) const ADD_MANIFEST: &str = "INSERT INTO manifests \
     (repo_id, digest, media_type, artifact_type, size, subject, annotations, pushed_at, depth) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (repo_id, digest) DO NOTHING RETURNING id";
/// The same bytes again: what a push may say differently, and that it was pushed now.
pub(super) const PUSH_MANIFEST_AGAIN: &str = "UPDATE manifests SET media_type = $3, pushed_at = $4 \
     WHERE repo_id = $1 AND digest = $2 RETURNING id";
/// Whether it stands as the push of that moment left it.
pub(super) const PUSHED_AT: &str = "SELECT id FROM manifests \
     WHERE repo_id = (SELECT id FROM repositories WHERE name = $1) AND digest = $2 AND pushed_at = $3";
/// Whether it is there, by its id.
pub(super) const MANIFEST_BY_ID: &str = "SELECT id FROM manifests WHERE id = $1";
/// Its references and tags go with it.
pub(super) const DELETE_MANIFEST: &str = "DELETE FROM manifests WHERE id = $1";

pub(super) const MANIFEST_BY_TAG: &str = "SELECT m.digest, m.media_type, m.subject \
     FROM tags t JOIN manifests m ON m.id = t.manifest \
     WHERE t.repo_id = (SELECT id FROM repositories WHERE name = $1) AND t.name = $2";
pub(super) const MANIFEST_BY_DIGEST: &str = "SELECT m.digest, m.media_type, m.subject FROM manifests m \
     WHERE m.repo_id = (SELECT id FROM repositories WHERE name = $1) AND m.digest = $2";
pub(super) const WHOLE_MANIFEST_BY_TAG: &str = "SELECT m.digest, m.media_type, m.subject, b.body \
     FROM tags t JOIN manifests m ON m.id = t.manifest JOIN manifest_bodies b ON b.digest = m.digest \
     WHERE t.repo_id = (SELECT id FROM repositories WHERE name = $1) AND t.name = $2";
pub(super) const WHOLE_MANIFEST_BY_DIGEST: &str = "SELECT m.digest, m.media_type, m.subject, b.body \
     FROM manifests m JOIN manifest_bodies b ON b.digest = m.digest \
     WHERE m.repo_id = (SELECT id FROM repositories WHERE name = $1) AND m.digest = $2";

// Tags.

pub(super) const SET_TAG: &str = "INSERT INTO tags (repo_id, name, manifest, updated_at) \
     VALUES ($1, $2, $3, $4) ON CONFLICT (repo_id, name) \
     DO UPDATE SET manifest = excluded.manifest, updated_at = excluded.updated_at";
/// As [`SET_TAG`], for a tag that may be set again to what it has and to nothing else.
pub(super) const SET_FIXED_TAG: &str = "INSERT INTO tags (repo_id, name, manifest, updated_at) \
     VALUES ($1, $2, $3, $4) ON CONFLICT (repo_id, name) \
     DO UPDATE SET updated_at = excluded.updated_at WHERE tags.manifest = excluded.manifest";
/// `$3` the digest of a manifest that is there.
pub(super) const SET_TAG_BY_DIGEST: &str = "INSERT INTO tags (repo_id, name, manifest, updated_at) \
     SELECT m.repo_id, $2, m.id, $4 FROM manifests m \
     WHERE m.repo_id = (SELECT id FROM repositories WHERE name = $1) AND m.digest = $3 \
     ON CONFLICT (repo_id, name) DO UPDATE SET manifest = excluded.manifest, updated_at = excluded.updated_at";
/// What a tag points at, and since when: together the one setting of it.
pub(super) const TAG: &str = "SELECT manifest, updated_at FROM tags \
     WHERE repo_id = (SELECT id FROM repositories WHERE name = $1) AND name = $2";
pub(super) const DELETE_TAG: &str = "DELETE FROM tags \
     WHERE repo_id = (SELECT id FROM repositories WHERE name = $1) AND name = $2";
pub(super) const TAGS_OF: &str = "SELECT name FROM tags WHERE manifest = $1";
pub(super) const TAGS: &str = "SELECT name FROM tags \
     WHERE repo_id = (SELECT id FROM repositories WHERE name = $1) AND name > $2 ORDER BY name LIMIT $3";

// Referrers: between two digests, the first exclusive. The type is asked for twice, since the index
// holds only its first 255 characters.

macro_rules! referrers {
    ($columns:literal, $of_type:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM manifests \
             WHERE repo_id = (SELECT id FROM repositories WHERE name = $1) AND subject = $2 ",
            $of_type,
            " AND digest > $3 AND digest <= $4 ORDER BY digest LIMIT $5"
        )
    };
}
macro_rules! of_type {
    ($columns:literal) => {
        referrers!($columns, "AND substr(artifact_type, 1, 255) = substr($6, 1, 255) AND artifact_type = $6")
    };
}

pub(super) const REFERRERS: &str = referrers!("digest, media_type, size, artifact_type, annotations", "");
pub(super) const REFERRERS_OF_TYPE: &str = of_type!("digest, media_type, size, artifact_type, annotations");
/// How many bytes the annotations have, which neither database has to read for it.
pub(super) const REFERRER_WEIGHTS: &str = referrers!("digest, CAST(octet_length(annotations) AS BIGINT)", "");
pub(super) const REFERRER_WEIGHTS_OF_TYPE: &str =
    of_type!("digest, CAST(octet_length(annotations) AS BIGINT)");
