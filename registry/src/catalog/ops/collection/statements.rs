//! The statements of collection. Lists come as one JSON value, `$1`; the databases differ in how it
//! becomes rows, and in that PostgreSQL locks rows before it looks at them.

use sqlx::{PgConnection, SqliteConnection};

use crate::catalog::database::Statements;

/// What has no tag and is held by nothing. `m` is the manifest, `$2` when it must be older, `$3` whether
/// it is retention's (1), which what can be brought back does not hold: it can be brought back itself.
///
/// An index holds its children, a subject its referrers. A referrer holds its subject if it is held by
/// something else, itself or through a referrer of its own.
macro_rules! collectable {
    () => {
        "m.pushed_at < $2 \
         AND NOT EXISTS (SELECT 1 FROM tags t WHERE t.manifest = m.id) \
         AND NOT EXISTS (SELECT 1 FROM tag_losses v WHERE v.manifest = m.id AND v.at >= $2) \
         AND NOT EXISTS (SELECT 1 FROM manifest_refs r WHERE r.child = m.digest AND r.repo_id = m.repo_id) \
         AND NOT EXISTS (SELECT 1 FROM manifests s WHERE s.repo_id = m.repo_id AND s.digest = m.subject) \
         AND (NOT EXISTS (SELECT 1 FROM manifests a WHERE a.repo_id = m.repo_id AND a.subject = m.digest) \
             OR NOT EXISTS (WITH RECURSIVE x (id, digest, pushed_at) AS ( \
                 SELECT a.id, a.digest, a.pushed_at FROM manifests a \
                 WHERE a.repo_id = m.repo_id AND a.subject = m.digest \
                 UNION SELECT b.id, b.digest, b.pushed_at FROM x JOIN manifests b \
                 ON b.repo_id = m.repo_id AND b.subject = x.digest) \
                 SELECT 1 FROM x WHERE x.pushed_at >= $2 \
                 OR EXISTS (SELECT 1 FROM tags t WHERE t.manifest = x.id) \
                 OR EXISTS (SELECT 1 FROM tag_losses v WHERE v.manifest = x.id AND v.at >= $2) \
                 OR EXISTS (SELECT 1 FROM manifest_refs r \
                     WHERE r.child = x.digest AND r.repo_id = m.repo_id))) \
         AND ($3 = 1 OR NOT EXISTS (SELECT 1 FROM deleted_refs d \
             WHERE d.child = m.digest AND d.repo_id = m.repo_id)) \
         AND ($3 = 1 OR NOT EXISTS (SELECT 1 FROM deleted_tags d \
             WHERE d.repo_id = m.repo_id AND d.digest = m.digest)) \
         AND ($3 = 1 OR NOT EXISTS (SELECT 1 FROM deleted_manifests d \
             WHERE d.repo_id = m.repo_id AND d.digest = m.subject))"
    };
}

/// The end of a stretch of manifests; -1 when there are none.
pub(crate) const MANIFEST_STRETCH: &str = "SELECT CAST(COALESCE(MAX(w.id), -1) AS BIGINT) FROM \
     (SELECT id FROM manifests WHERE id > $1 ORDER BY id LIMIT $2) AS w";
pub(crate) const COLLECTABLE_MANIFESTS: &str = concat!(
    "SELECT m.id, m.digest FROM manifests m WHERE m.id > $1 AND m.id <= $4 AND ",
    collectable!(),
    " ORDER BY m.id"
);
pub(crate) const RELEASED: &str =
    "SELECT manifest, bury FROM released_manifests WHERE manifest > $1 ORDER BY manifest LIMIT $2";

/// The last of a stretch of blobs; none when fewer are left.
pub(crate) const BLOB_STRETCH: &str =
    "SELECT digest FROM blobs WHERE digest > $1 ORDER BY digest LIMIT 1 OFFSET $2";
pub(crate) const COLLECTABLE_BLOBS: &str = "SELECT b.digest FROM blobs b \
     WHERE b.digest > $1 AND b.digest <= $2 AND b.lease_until < $3 AND ( \
     EXISTS (SELECT 1 FROM blob_links l WHERE l.digest = b.digest AND NOT EXISTS ( \
         SELECT 1 FROM manifest_refs r WHERE r.child = l.digest AND r.repo_id = l.repo_id)) \
     OR NOT EXISTS (SELECT 1 FROM blob_links l WHERE l.digest = b.digest) \
     AND NOT EXISTS (SELECT 1 FROM deleted_refs d WHERE d.child = b.digest)) ORDER BY b.digest";

pub(crate) const DOOMED: &str = "SELECT object_key, size FROM doomed_objects ORDER BY object_key LIMIT $1";

pub(crate) const SAVE_REPORT: &str = "INSERT INTO collection_runs (id, report) VALUES (1, $1) \
     ON CONFLICT (id) DO UPDATE SET report = excluded.report";
pub(crate) const LAST_REPORT: &str = "SELECT report FROM collection_runs WHERE id = 1";

/// Counts, since what is set to what it was is not written.
pub(crate) const MARK: &str = "INSERT INTO progress (task, state) VALUES ('collection', '1') ON CONFLICT (task) \
     DO UPDATE SET state = CAST(CAST(progress.state AS BIGINT) + 1 AS TEXT)";

/// Numbered pages of repositories.
pub(crate) const REPOSITORY_STRETCH: &str = "SELECT CAST(COALESCE(MAX(w.id), -1) AS BIGINT) FROM \
     (SELECT id FROM repositories WHERE id > $1 ORDER BY id LIMIT $2) AS w";
pub(crate) const FORGET_REPOSITORIES: &str = "DELETE FROM repositories WHERE id > $1 AND id <= $2 \
     AND NOT EXISTS (SELECT 1 FROM manifests m WHERE m.repo_id = repositories.id) \
     AND NOT EXISTS (SELECT 1 FROM blob_links l WHERE l.repo_id = repositories.id) \
     AND NOT EXISTS (SELECT 1 FROM deleted_manifests d WHERE d.repo_id = repositories.id) \
     AND NOT EXISTS (SELECT 1 FROM deleted_tags d WHERE d.repo_id = repositories.id) RETURNING name";

// Retention.

pub(crate) const TAG_AGES: &str = "SELECT name, updated_at FROM tags \
     WHERE repo_id = (SELECT id FROM repositories WHERE name = $1) AND name > $2 ORDER BY name LIMIT $3";

// What was deleted.

/// A tag that is to go, written down first; `$3` the time.
pub(crate) const BURY_TAG: &str = "INSERT INTO deleted_tags (repo_id, name, digest, deleted_at) \
     SELECT t.repo_id, t.name, m.digest, $3 FROM tags t JOIN manifests m ON m.id = t.manifest \
     WHERE t.repo_id = (SELECT id FROM repositories WHERE name = $1) AND t.name = $2 \
     ON CONFLICT (repo_id, name) DO UPDATE SET digest = excluded.digest, deleted_at = excluded.deleted_at";
pub(crate) const NOTE_TAG_LOSS: &str = "INSERT INTO tag_losses (manifest, at) SELECT t.manifest, $3 FROM tags t \
     WHERE t.repo_id = (SELECT id FROM repositories WHERE name = $1) AND t.name = $2 ON CONFLICT DO NOTHING";
pub(crate) const BURIED_TAG: &str = "SELECT digest FROM deleted_tags \
     WHERE repo_id = (SELECT id FROM repositories WHERE name = $1) AND name = $2 AND deleted_at >= $3";
/// Tags that went with a manifest.
pub(crate) const BURIED_TAGS_OF: &str = "SELECT t.name FROM deleted_tags t \
     WHERE t.repo_id = (SELECT id FROM repositories WHERE name = $1) AND t.digest = $2 AND t.deleted_at >= $3 \
     ORDER BY t.name";
pub(crate) const BURIED_MANIFEST: &str = "SELECT id FROM deleted_manifests \
     WHERE repo_id = (SELECT id FROM repositories WHERE name = $1) AND digest = $2 AND deleted_at >= $3";
/// What a deleted manifest refers to: digest, kind, whether it may be missing, whether its blob is
/// there, whether its manifest is.
pub(crate) const BURIED_REFS: &str = "SELECT d.child, d.kind, d.optional, \
     CAST(CASE WHEN EXISTS (SELECT 1 FROM blobs b WHERE b.digest = d.child) THEN 1 ELSE 0 END AS BIGINT), \
     CAST(CASE WHEN EXISTS (SELECT 1 FROM manifests m WHERE m.repo_id = d.repo_id AND m.digest = d.child) \
         THEN 1 ELSE 0 END AS BIGINT) \
     FROM deleted_refs d WHERE d.parent = $1 ORDER BY d.child";
pub(crate) const BURIED_REFERRERS: &str = "SELECT digest FROM deleted_manifests \
     WHERE repo_id = (SELECT id FROM repositories WHERE name = $1) AND subject = $2 AND deleted_at >= $3 \
     ORDER BY digest";
pub(crate) const RESTORE_MANIFEST: &str = "INSERT INTO manifests \
     (repo_id, digest, media_type, artifact_type, size, subject, annotations, depth, pushed_at) \
     SELECT repo_id, digest, media_type, artifact_type, size, subject, annotations, depth, $2 \
     FROM deleted_manifests WHERE id = $1 ON CONFLICT (repo_id, digest) DO NOTHING RETURNING id";
pub(crate) const RESTORE_REFS: &str = "INSERT INTO manifest_refs (parent, child, kind, optional, repo_id) \
     SELECT $2, child, kind, optional, repo_id FROM deleted_refs WHERE parent = $1 \
     ON CONFLICT (parent, child, kind) DO NOTHING";
pub(crate) const RESTORE_LINKS: &str = "INSERT INTO blob_links (repo_id, digest) \
     SELECT d.repo_id, d.child FROM deleted_refs d JOIN blobs b ON b.digest = d.child WHERE d.parent = $1 \
     AND (d.kind = 0 OR NOT EXISTS (SELECT 1 FROM manifests m WHERE m.repo_id = d.repo_id AND m.digest = d.child)) \
     ON CONFLICT (repo_id, digest) DO NOTHING";
pub(crate) const UNBURY_MANIFEST: &str = "DELETE FROM deleted_manifests WHERE id = $1";
pub(crate) const UNBURY_TAG: &str = "DELETE FROM deleted_tags \
     WHERE repo_id = (SELECT id FROM repositories WHERE name = $1) AND name = $2";
pub(crate) const EXPIRE_TAGS: &str = "DELETE FROM deleted_tags WHERE (repo_id, name) IN \
     (SELECT repo_id, name FROM deleted_tags WHERE deleted_at < $1 ORDER BY deleted_at LIMIT $2)";
pub(crate) const EXPIRED_MANIFESTS: &str =
    "SELECT id, digest FROM deleted_manifests WHERE deleted_at < $1 ORDER BY deleted_at LIMIT $2";
pub(crate) const EXPIRE_LOSSES: &str = "DELETE FROM tag_losses WHERE (manifest, at) IN \
     (SELECT manifest, at FROM tag_losses WHERE at < $1 ORDER BY at LIMIT $2)";
/// What can be brought back: `:tag` before `@digest`, in the order of repositories.
pub(crate) const DELETED: &str = "SELECT r.name, w.what, w.digest, w.deleted_at FROM ( \
         SELECT repo_id, ':' || name AS what, digest, deleted_at FROM deleted_tags WHERE deleted_at >= $4 \
         UNION ALL SELECT repo_id, '@' || digest, digest, deleted_at FROM deleted_manifests WHERE deleted_at >= $4 \
     ) AS w JOIN repositories r ON r.id = w.repo_id \
     WHERE ($1 = '' OR r.name = $1) AND (r.name > $2 OR (r.name = $2 AND w.what > $3)) \
     ORDER BY r.name, w.what LIMIT $5";

/// The statements that each database has in its own words.
pub(crate) trait CollectionStatements: Statements {
    /// `$1` manifests' ids: those that nobody else uses now, locked.
    const LOCK_MANIFESTS: &'static str;
    /// `$1` ids, `$2`, `$3` as `collectable`: what may go: id, repository's name, digest, size.
    const CONDEMNED: &'static str;
    /// `$1` ids: what these manifests hold: children, referrers, subjects.
    const HELD: &'static str;
    /// `$1` ids, `$2` the time.
    const BURY_MANIFESTS: &'static str;
    /// `$1` ids.
    const BURY_REFS: &'static str;
    /// `$1` ids, `$2` the time.
    const BURY_TAGS: &'static str;
    /// `$1` ids.
    const REMOVE_MANIFESTS: &'static str;
    /// `$1` digests: bodies, locked: of two who remove the last two manifests of one, the second waits
    /// for the first and then looks.
    const LOCK_BODIES: &'static str;
    /// `$1` digests.
    const DROP_BODIES: &'static str;
    /// `$1` pairs of repository and digest: number, repository and digest of those that are noted and not there.
    const UNRECORDED_REMOVALS: &'static str;
    /// `$1` ids, `$2` whether they are retention's.
    const RELEASE: &'static str;
    /// `$1` ids, `$2` as `collectable`: forgets those that are held; something that lets go of them
    /// will say so again.
    const SETTLE: &'static str;
    /// `$1` digests, `$2` the time: blobs whose lease is over and that nobody else uses now, locked.
    const LOCK_BLOBS: &'static str;
    /// `$1` digests, `$2` the time.
    const UNLINK: &'static str;
    /// `$1` digests, `$2` the time: object and size of the blobs that went.
    const DROP_BLOBS: &'static str;
    /// `$1` pairs of object and size.
    const DOOM: &'static str;
    /// `$1` objects.
    const FORGET_OBJECTS: &'static str;
    /// `$1` pairs of object and session.
    const ORPHANS: &'static str;
    /// `$1`, `$2` as `BURY_RETIRED`: their manifests are let go of by retention.
    const RELEASE_RETIRED: &'static str;
    /// `$1` pairs of tag and when it was pushed, `$2` the repository's name, `$3` the time.
    const BURY_RETIRED: &'static str;
    /// `$1`, `$2` the same: those that were not pushed since.
    const RETIRE: &'static str;
    /// `$1` deleted manifests' ids.
    const EXPIRE_MANIFESTS: &'static str;
    /// Temporary tables, and views in front of the real ones that leave out what stands in them.
    const SUPPOSE: &'static str;
    /// `$1` pairs of repository and tag.
    const SUPPOSE_TAGS: &'static str;
    /// `$1` ids, `$2` whether they can be brought back.
    const SUPPOSE_MANIFESTS: &'static str;
}

macro_rules! statements {
    ($connection:ty, $ids:literal, $texts:literal, $pairs:literal, $dated:literal, $lock:literal, $skip:literal, $suppose:literal) => {
        impl CollectionStatements for $connection {
            const LOCK_MANIFESTS: &'static str = concat!(
                "SELECT id FROM manifests WHERE id IN (", $ids, ") ORDER BY id", $skip
            );
            const CONDEMNED: &'static str = concat!(
                "SELECT m.id, n.name, m.digest, m.size FROM manifests m JOIN repositories n ON n.id = m.repo_id \
                 WHERE m.id IN (", $ids, ") AND ", collectable!()
            );
            const HELD: &'static str = concat!(
                "SELECT c.id FROM manifest_refs r JOIN manifests c ON c.repo_id = r.repo_id AND c.digest = r.child \
                 WHERE r.kind = 1 AND r.parent IN (", $ids, ") \
                 UNION SELECT a.id FROM manifests m JOIN manifests a ON a.repo_id = m.repo_id AND a.subject = m.digest \
                 WHERE m.id IN (", $ids, ") \
                 UNION SELECT s.id FROM manifests m JOIN manifests s ON s.repo_id = m.repo_id AND s.digest = m.subject \
                 WHERE m.id IN (", $ids, ")"
            );
            const BURY_MANIFESTS: &'static str = concat!(
                "INSERT INTO deleted_manifests (repo_id, digest, media_type, artifact_type, size, subject, \
                 annotations, depth, pushed_at, deleted_at) SELECT repo_id, digest, media_type, artifact_type, size, \
                 subject, annotations, depth, pushed_at, $2 FROM manifests WHERE id IN (", $ids, ") \
                 ON CONFLICT (repo_id, digest) DO UPDATE SET deleted_at = excluded.deleted_at, \
                 media_type = excluded.media_type"
            );
            const BURY_REFS: &'static str = concat!(
                "INSERT INTO deleted_refs (parent, child, kind, optional, repo_id) \
                 SELECT d.id, r.child, r.kind, r.optional, r.repo_id FROM manifests m \
                 JOIN deleted_manifests d ON d.repo_id = m.repo_id AND d.digest = m.digest \
                 JOIN manifest_refs r ON r.parent = m.id WHERE m.id IN (", $ids, ") \
                 ON CONFLICT (parent, child, kind) DO NOTHING"
            );
            const BURY_TAGS: &'static str = concat!(
                "INSERT INTO deleted_tags (repo_id, name, digest, deleted_at) \
                 SELECT t.repo_id, t.name, m.digest, $2 FROM tags t JOIN manifests m ON m.id = t.manifest \
                 WHERE m.id IN (", $ids, ") ON CONFLICT (repo_id, name) \
                 DO UPDATE SET digest = excluded.digest, deleted_at = excluded.deleted_at"
            );
            const REMOVE_MANIFESTS: &'static str = concat!("DELETE FROM manifests WHERE id IN (", $ids, ")");
            const LOCK_BODIES: &'static str = concat!(
                "SELECT digest FROM manifest_bodies WHERE digest IN (", $texts, ") ORDER BY digest", $lock
            );
            const DROP_BODIES: &'static str = concat!(
                "DELETE FROM manifest_bodies WHERE digest IN (", $texts, ") \
                 AND NOT EXISTS (SELECT 1 FROM manifests m WHERE m.digest = manifest_bodies.digest) \
                 AND NOT EXISTS (SELECT 1 FROM deleted_manifests d WHERE d.digest = manifest_bodies.digest)"
            );
            const UNRECORDED_REMOVALS: &'static str = concat!(
                "SELECT u.sequence, u.repo, u.name FROM (", $pairs, ") p \
                 JOIN unrecorded u ON u.repo = p.name AND u.kind = 0 AND u.name = p.other \
                 WHERE NOT EXISTS (SELECT 1 FROM manifests m \
                 WHERE m.repo_id = (SELECT id FROM repositories WHERE name = p.name) AND m.digest = p.other)"
            );
            const RELEASE: &'static str = concat!(
                "INSERT INTO released_manifests (manifest, bury) SELECT m.id, $2 FROM manifests m \
                 WHERE m.id IN (", $ids, ") ON CONFLICT (manifest) DO NOTHING"
            );
            const SETTLE: &'static str = concat!(
                "DELETE FROM released_manifests WHERE manifest IN (", $ids, ") AND NOT EXISTS ( \
                 SELECT 1 FROM manifests m WHERE m.id = released_manifests.manifest \
                 AND NOT EXISTS (SELECT 1 FROM tags t WHERE t.manifest = m.id) \
                 AND NOT EXISTS (SELECT 1 FROM manifest_refs r WHERE r.child = m.digest AND r.repo_id = m.repo_id) \
                 AND (m.pushed_at >= $2 \
                     OR EXISTS (SELECT 1 FROM tag_losses v WHERE v.manifest = m.id AND v.at >= $2) \
                     OR EXISTS (SELECT 1 FROM manifests a WHERE a.repo_id = m.repo_id AND a.subject = m.digest)))"
            );
            const LOCK_BLOBS: &'static str = concat!(
                "SELECT digest FROM blobs WHERE digest IN (", $texts, ") AND lease_until < $2 ORDER BY digest", $skip
            );
            const UNLINK: &'static str = concat!(
                "DELETE FROM blob_links WHERE digest IN (", $texts, ") \
                 AND EXISTS (SELECT 1 FROM blobs b WHERE b.digest = blob_links.digest AND b.lease_until < $2) \
                 AND NOT EXISTS (SELECT 1 FROM manifest_refs r \
                 WHERE r.child = blob_links.digest AND r.repo_id = blob_links.repo_id)"
            );
            const DROP_BLOBS: &'static str = concat!(
                "DELETE FROM blobs WHERE digest IN (", $texts, ") AND lease_until < $2 \
                 AND NOT EXISTS (SELECT 1 FROM blob_links l WHERE l.digest = blobs.digest) \
                 AND NOT EXISTS (SELECT 1 FROM deleted_refs d WHERE d.child = blobs.digest) \
                 RETURNING object_key, size"
            );
            const DOOM: &'static str = concat!(
                "INSERT INTO doomed_objects (object_key, size) SELECT p.name, p.number FROM (", $dated, ") p \
                 WHERE true ON CONFLICT (object_key) DO NOTHING"
            );
            const FORGET_OBJECTS: &'static str =
                concat!("DELETE FROM doomed_objects WHERE object_key IN (", $texts, ")");
            const ORPHANS: &'static str = concat!(
                "SELECT p.name FROM (", $pairs, ") p \
                 WHERE NOT EXISTS (SELECT 1 FROM blobs b WHERE b.object_key = p.name) \
                 AND NOT EXISTS (SELECT 1 FROM uploads u WHERE u.id = p.other)"
            );
            const RELEASE_RETIRED: &'static str = concat!(
                "INSERT INTO released_manifests (manifest, bury) SELECT DISTINCT t.manifest, 1 FROM (", $dated, ") p, \
                 tags t WHERE t.repo_id = (SELECT id FROM repositories WHERE name = $2) \
                 AND t.name = p.name AND t.updated_at = p.number \
                 ON CONFLICT (manifest) DO UPDATE SET bury = excluded.bury"
            );
            const BURY_RETIRED: &'static str = concat!(
                "INSERT INTO deleted_tags (repo_id, name, digest, deleted_at) \
                 SELECT t.repo_id, t.name, m.digest, $3 FROM (", $dated, ") p, tags t \
                 JOIN manifests m ON m.id = t.manifest \
                 WHERE t.repo_id = (SELECT id FROM repositories WHERE name = $2) \
                 AND t.name = p.name AND t.updated_at = p.number \
                 ON CONFLICT (repo_id, name) DO UPDATE SET digest = excluded.digest, deleted_at = excluded.deleted_at"
            );
            const RETIRE: &'static str = concat!(
                "DELETE FROM tags WHERE repo_id = (SELECT id FROM repositories WHERE name = $2) \
                 AND (name, updated_at) IN (SELECT p.name, p.number FROM (", $dated, ") p) RETURNING name"
            );
            const EXPIRE_MANIFESTS: &'static str =
                concat!("DELETE FROM deleted_manifests WHERE id IN (", $ids, ")");
            const SUPPOSE: &'static str = $suppose;
            const SUPPOSE_TAGS: &'static str = concat!(
                "INSERT INTO gone_tags (repo_id, name) SELECT n.id, p.other FROM (", $pairs, ") p \
                 JOIN repositories n ON n.name = p.name WHERE true ON CONFLICT DO NOTHING"
            );
            const SUPPOSE_MANIFESTS: &'static str = concat!(
                "INSERT INTO gone_manifests (id, kept) SELECT w.id, $2 FROM (", $ids, ") AS w \
                 WHERE true ON CONFLICT DO NOTHING"
            );
        }
    };
}

statements!(
    SqliteConnection,
    "SELECT value AS id FROM json_each($1)",
    "SELECT value FROM json_each($1)",
    "SELECT value ->> 0 AS name, value ->> 1 AS other FROM json_each($1)",
    "SELECT value ->> 0 AS name, value ->> 1 AS number FROM json_each($1)",
    "",
    "",
    "PRAGMA temp_store = MEMORY; \
     CREATE TEMP TABLE gone_tags (repo_id INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY (repo_id, name)) WITHOUT ROWID; \
     CREATE TEMP TABLE gone_manifests (id INTEGER NOT NULL PRIMARY KEY, kept INTEGER NOT NULL); \
     CREATE TEMP VIEW all_refs AS SELECT * FROM main.manifest_refs; \
     CREATE TEMP VIEW all_tags AS SELECT * FROM main.tags; \
     CREATE TEMP VIEW tags AS SELECT * FROM main.tags AS o \
         WHERE NOT EXISTS (SELECT 1 FROM gone_tags g WHERE g.repo_id = o.repo_id AND g.name = o.name); \
     CREATE TEMP VIEW manifests AS SELECT * FROM main.manifests AS o \
         WHERE NOT EXISTS (SELECT 1 FROM gone_manifests g WHERE g.id = o.id); \
     CREATE TEMP VIEW manifest_refs AS SELECT * FROM main.manifest_refs AS o \
         WHERE NOT EXISTS (SELECT 1 FROM gone_manifests g WHERE g.id = o.parent);"
);
statements!(
    PgConnection,
    "SELECT value::bigint AS id FROM jsonb_array_elements_text($1::jsonb)",
    "SELECT value FROM jsonb_array_elements_text($1::jsonb)",
    "SELECT value ->> 0 AS name, value ->> 1 AS other FROM jsonb_array_elements($1::jsonb)",
    "SELECT value ->> 0 AS name, (value ->> 1)::bigint AS number FROM jsonb_array_elements($1::jsonb)",
    " FOR UPDATE",
    // Whoever uses a row now has a reason for it to stay; the next round will see.
    " FOR UPDATE SKIP LOCKED",
    "CREATE TEMP TABLE gone_tags (repo_id BIGINT NOT NULL, name TEXT COLLATE \"C\" NOT NULL, PRIMARY KEY (repo_id, name)); \
     CREATE TEMP TABLE gone_manifests (id BIGINT NOT NULL PRIMARY KEY, kept BIGINT NOT NULL); \
     CREATE TEMP VIEW all_refs AS SELECT * FROM manifest_refs; \
     CREATE TEMP VIEW all_tags AS SELECT * FROM tags; \
     CREATE TEMP VIEW tags AS SELECT * FROM tags AS o \
         WHERE NOT EXISTS (SELECT 1 FROM gone_tags g WHERE g.repo_id = o.repo_id AND g.name = o.name); \
     CREATE TEMP VIEW manifest_refs AS SELECT * FROM manifest_refs AS o \
         WHERE NOT EXISTS (SELECT 1 FROM gone_manifests g WHERE g.id = o.parent); \
     CREATE TEMP VIEW manifests AS SELECT * FROM manifests AS o \
         WHERE NOT EXISTS (SELECT 1 FROM gone_manifests g WHERE g.id = o.id);"
);
