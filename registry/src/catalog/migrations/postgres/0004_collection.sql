-- Collection, retention and undelete.

-- Whether a repository still needs what it holds is one look into this index.
ALTER TABLE manifest_refs ADD COLUMN repo_id BIGINT NOT NULL DEFAULT 0;
UPDATE manifest_refs SET repo_id = (SELECT m.repo_id FROM manifests m WHERE m.id = manifest_refs.parent);
DROP INDEX manifest_refs_by_child;
CREATE INDEX manifest_refs_by_child ON manifest_refs (child, repo_id);

-- When a manifest lost a tag. Written by whoever moves a tag, so it holds no reference that would lock
-- the manifest; what it says of a manifest that is gone is swept.
CREATE TABLE tag_losses (
    manifest BIGINT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (manifest, at)
);
CREATE INDEX tag_losses_by_time ON tag_losses (at);
CREATE FUNCTION note_tag_loss() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tag_losses (manifest, at) VALUES (OLD.manifest, NEW.updated_at) ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER tag_moves AFTER UPDATE OF manifest ON tags
    FOR EACH ROW WHEN (OLD.manifest <> NEW.manifest) EXECUTE FUNCTION note_tag_loss();

-- Manifests that lost what held them, to be looked at by the next round. `bury` is 1 where retention
-- let go of them: they go without waiting, and can be brought back.
CREATE TABLE released_manifests (
    manifest BIGINT NOT NULL PRIMARY KEY REFERENCES manifests (id) ON DELETE CASCADE,
    bury BIGINT NOT NULL
);

-- Objects that nothing refers to any more and that are to be deleted from storage.
CREATE TABLE doomed_objects (
    object_key TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    size BIGINT NOT NULL
);

-- What was deleted and can be brought back.
CREATE TABLE deleted_manifests (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    repo_id BIGINT NOT NULL REFERENCES repositories (id),
    digest TEXT COLLATE "C" NOT NULL REFERENCES manifest_bodies (digest),
    media_type TEXT COLLATE "C" NOT NULL,
    artifact_type TEXT COLLATE "C",
    size BIGINT NOT NULL,
    subject TEXT COLLATE "C",
    annotations TEXT COLLATE "C" NOT NULL,
    depth BIGINT NOT NULL,
    pushed_at BIGINT NOT NULL,
    deleted_at BIGINT NOT NULL,
    UNIQUE (repo_id, digest)
);
CREATE INDEX deleted_manifests_by_digest ON deleted_manifests (digest);
CREATE INDEX deleted_manifests_by_subject ON deleted_manifests (repo_id, subject) WHERE subject IS NOT NULL;
CREATE INDEX deleted_manifests_by_time ON deleted_manifests (deleted_at);
CREATE TABLE deleted_refs (
    parent BIGINT NOT NULL REFERENCES deleted_manifests (id) ON DELETE CASCADE,
    child TEXT COLLATE "C" NOT NULL,
    kind BIGINT NOT NULL,
    optional BIGINT NOT NULL,
    repo_id BIGINT NOT NULL,
    PRIMARY KEY (parent, child, kind)
);
CREATE INDEX deleted_refs_by_child ON deleted_refs (child, repo_id);
CREATE TABLE deleted_tags (
    repo_id BIGINT NOT NULL REFERENCES repositories (id),
    name TEXT COLLATE "C" NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    deleted_at BIGINT NOT NULL,
    PRIMARY KEY (repo_id, name)
);
CREATE INDEX deleted_tags_by_digest ON deleted_tags (repo_id, digest);
CREATE INDEX deleted_tags_by_time ON deleted_tags (deleted_at);

-- The last run, as it was reported.
CREATE TABLE collection_runs (
    id BIGINT NOT NULL PRIMARY KEY,
    report TEXT COLLATE "C" NOT NULL
);

-- Which blob an object of storage belongs to.
CREATE INDEX blobs_by_object ON blobs (object_key);
