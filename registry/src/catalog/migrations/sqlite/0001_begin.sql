-- Times are microseconds since 1970; digests are their text; text compares byte by byte.

CREATE TABLE repositories (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- Which object holds a blob, for the whole registry.
CREATE TABLE blobs (
    digest TEXT NOT NULL PRIMARY KEY,
    size INTEGER NOT NULL,
    object_key TEXT NOT NULL,
    lease_until INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Which repository may serve it.
CREATE TABLE blob_links (
    repo_id INTEGER NOT NULL REFERENCES repositories (id),
    digest TEXT NOT NULL REFERENCES blobs (digest),
    PRIMARY KEY (repo_id, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX blob_links_by_digest ON blob_links (digest);

-- Keeps its rowid: a b-tree whose rows are kilobytes long must not be the one that is searched.
CREATE TABLE manifest_bodies (
    digest TEXT NOT NULL PRIMARY KEY,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE manifests (
    id INTEGER PRIMARY KEY,
    repo_id INTEGER NOT NULL REFERENCES repositories (id),
    digest TEXT NOT NULL REFERENCES manifest_bodies (digest),
    media_type TEXT NOT NULL,
    artifact_type TEXT,
    size INTEGER NOT NULL,
    subject TEXT,
    annotations TEXT NOT NULL,
    -- How deep indexes are nested below; an image is 0.
    depth INTEGER NOT NULL,
    pushed_at INTEGER NOT NULL,
    UNIQUE (repo_id, digest)
) STRICT;
CREATE INDEX manifests_by_digest ON manifests (digest);
CREATE INDEX manifests_by_subject ON manifests (repo_id, subject, digest)
    WHERE subject IS NOT NULL;
-- Types are as long as somebody made them; what an index may hold is not.
CREATE INDEX manifests_by_subject_and_type
    ON manifests (repo_id, subject, substr(artifact_type, 1, 255), digest)
    WHERE subject IS NOT NULL;

-- What a manifest refers to; kind 0 is a blob, 1 a child of an index.
CREATE TABLE manifest_refs (
    parent INTEGER NOT NULL REFERENCES manifests (id) ON DELETE CASCADE,
    child TEXT NOT NULL,
    kind INTEGER NOT NULL,
    optional INTEGER NOT NULL,
    PRIMARY KEY (parent, child, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX manifest_refs_by_child ON manifest_refs (child);

CREATE TABLE tags (
    repo_id INTEGER NOT NULL REFERENCES repositories (id),
    name TEXT NOT NULL,
    manifest INTEGER NOT NULL REFERENCES manifests (id) ON DELETE CASCADE,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (repo_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX tags_by_manifest ON tags (manifest);

-- The repository by name: a session alone does not bring one into being. Claims are in memory,
-- since one process owns this database.
CREATE TABLE uploads (
    id TEXT NOT NULL PRIMARY KEY,
    repo TEXT NOT NULL,
    principal TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    received INTEGER NOT NULL,
    hash BLOB NOT NULL,
    staging BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX uploads_by_expiry ON uploads (expires_at);
