-- Times are microseconds since 1970; digests are their text; text compares byte by byte.

CREATE TABLE repositories (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE
);

-- Which object holds a blob, for the whole registry.
CREATE TABLE blobs (
    digest TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    size BIGINT NOT NULL,
    object_key TEXT COLLATE "C" NOT NULL,
    lease_until BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

-- Which repository may serve it.
CREATE TABLE blob_links (
    repo_id BIGINT NOT NULL REFERENCES repositories (id),
    digest TEXT COLLATE "C" NOT NULL REFERENCES blobs (digest),
    PRIMARY KEY (repo_id, digest)
);
CREATE INDEX blob_links_by_digest ON blob_links (digest);

CREATE TABLE manifest_bodies (
    digest TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    body BYTEA NOT NULL
);

CREATE TABLE manifests (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    repo_id BIGINT NOT NULL REFERENCES repositories (id),
    digest TEXT COLLATE "C" NOT NULL REFERENCES manifest_bodies (digest),
    media_type TEXT COLLATE "C" NOT NULL,
    artifact_type TEXT COLLATE "C",
    size BIGINT NOT NULL,
    subject TEXT COLLATE "C",
    annotations TEXT COLLATE "C" NOT NULL,
    -- How deep indexes are nested below; an image is 0.
    depth BIGINT NOT NULL,
    pushed_at BIGINT NOT NULL,
    UNIQUE (repo_id, digest)
);
CREATE INDEX manifests_by_digest ON manifests (digest);
CREATE INDEX manifests_by_subject ON manifests (repo_id, subject, digest)
    WHERE subject IS NOT NULL;
-- Types are as long as somebody made them; what an index may hold is not.
CREATE INDEX manifests_by_subject_and_type
    ON manifests (repo_id, subject, substr(artifact_type, 1, 255), digest)
    WHERE subject IS NOT NULL;

-- What a manifest refers to; kind 0 is a blob, 1 a child of an index.
CREATE TABLE manifest_refs (
    parent BIGINT NOT NULL REFERENCES manifests (id) ON DELETE CASCADE,
    child TEXT COLLATE "C" NOT NULL,
    kind BIGINT NOT NULL,
    optional BIGINT NOT NULL,
    PRIMARY KEY (parent, child, kind)
);
CREATE INDEX manifest_refs_by_child ON manifest_refs (child);

CREATE TABLE tags (
    repo_id BIGINT NOT NULL REFERENCES repositories (id),
    name TEXT COLLATE "C" NOT NULL,
    manifest BIGINT NOT NULL REFERENCES manifests (id) ON DELETE CASCADE,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (repo_id, name)
);
CREATE INDEX tags_by_manifest ON tags (manifest);

-- The repository by name: a session alone does not bring one into being. A claim names the one
-- writer, in any replica; it is free when the writer is null or the time has come.
CREATE TABLE uploads (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    repo TEXT COLLATE "C" NOT NULL,
    principal TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    received BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    staging BYTEA NOT NULL,
    expires_at BIGINT NOT NULL,
    writer TEXT COLLATE "C",
    writer_until BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX uploads_by_expiry ON uploads (expires_at);
