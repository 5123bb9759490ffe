-- Collection, retention and undelete.

-- Whether a repository still needs what it holds is one look into this index.
ALTER TABLE manifest_refs ADD COLUMN repo_id INTEGER NOT NULL DEFAULT 0;
UPDATE manifest_refs SET repo_id = (SELECT m.repo_id FROM manifests m WHERE m.id = manifest_refs.parent);
DROP INDEX manifest_refs_by_child;
CREATE INDEX manifest_refs_by_child ON manifest_refs (child, repo_id);

-- When a manifest lost a tag. Written by whoever moves a tag, so it holds no reference that would lock
-- the manifest; what it says of a manifest that is gone is swept.
CREATE TABLE tag_losses (
    manifest INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (manifest, at)
) STRICT, WITHOUT ROWID;
CREATE INDEX tag_losses_by_time ON tag_losses (at);
CREATE TRIGGER tag_moves AFTER UPDATE OF manifest ON tags WHEN old.manifest <> new.manifest BEGIN
    INSERT INTO tag_losses (manifest, at) VALUES (old.manifest, new.updated_at) ON CONFLICT DO NOTHING;
END;

-- Manifests that lost what held them, to be looked at by the next round. `bury` is 1 where retention
-- let go of them: they go without waiting, and can be brought back.
CREATE TABLE released_manifests (
    manifest INTEGER NOT NULL PRIMARY KEY REFERENCES manifests (id) ON DELETE CASCADE,
    bury INTEGER NOT NULL
) STRICT;

-- Objects that nothing refers to any more and that are to be deleted from storage.
CREATE TABLE doomed_objects (
    object_key TEXT NOT NULL PRIMARY KEY,
    size INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What was deleted and can be brought back.
CREATE TABLE deleted_manifests (
    id INTEGER PRIMARY KEY,
    repo_id INTEGER NOT NULL REFERENCES repositories (id),
    digest TEXT NOT NULL REFERENCES manifest_bodies (digest),
    media_type TEXT NOT NULL,
    artifact_type TEXT,
    size INTEGER NOT NULL,
    subject TEXT,
    annotations TEXT NOT NULL,
    depth INTEGER NOT NULL,
    pushed_at INTEGER NOT NULL,
    deleted_at INTEGER NOT NULL,
    UNIQUE (repo_id, digest)
) STRICT;
CREATE INDEX deleted_manifests_by_digest ON deleted_manifests (digest);
CREATE INDEX deleted_manifests_by_subject ON deleted_manifests (repo_id, subject) WHERE subject IS NOT NULL;
CREATE INDEX deleted_manifests_by_time ON deleted_manifests (deleted_at);
CREATE TABLE deleted_refs (
    parent INTEGER NOT NULL REFERENCES deleted_manifests (id) ON DELETE CASCADE,
    child TEXT NOT NULL,
    kind INTEGER NOT NULL,
    optional INTEGER NOT NULL,
    repo_id INTEGER NOT NULL,
    PRIMARY KEY (parent, child, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX deleted_refs_by_child ON deleted_refs (child, repo_id);
CREATE TABLE deleted_tags (
    repo_id INTEGER NOT NULL REFERENCES repositories (id),
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    deleted_at INTEGER NOT NULL,
    PRIMARY KEY (repo_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX deleted_tags_by_digest ON deleted_tags (repo_id, digest);
CREATE INDEX deleted_tags_by_time ON deleted_tags (deleted_at);

-- The last run, as it was reported.
CREATE TABLE collection_runs (
    id INTEGER NOT NULL PRIMARY KEY,
    report TEXT NOT NULL
) STRICT;

-- Which blob an object of storage belongs to.
CREATE INDEX blobs_by_object ON blobs (object_key);
