-- A blob whose object was found to be damaged or gone: not served, and replaced by the next upload of it.
ALTER TABLE blobs ADD COLUMN quarantined_at BIGINT;
CREATE INDEX blobs_quarantined ON blobs (digest) WHERE quarantined_at IS NOT NULL;

-- What storage's records of manifests (kind 0, by digest) and tags (kind 1) do not say yet. Filled by
-- triggers, so that whatever changes one of them, by whichever way, comes here in the same transaction.
-- A sequence is never used twice: who has brought a record up to date takes out what was there before,
-- and not what came since.
CREATE SEQUENCE unrecorded_sequence;
CREATE TABLE unrecorded (
    sequence BIGINT NOT NULL DEFAULT nextval('unrecorded_sequence') PRIMARY KEY,
    repo TEXT COLLATE "C" NOT NULL,
    kind BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    UNIQUE (repo, kind, name)
);
ALTER SEQUENCE unrecorded_sequence OWNED BY unrecorded.sequence;

CREATE FUNCTION note_unrecorded(of_repo BIGINT, of_kind BIGINT, of_name TEXT) RETURNS void LANGUAGE sql AS $$
    INSERT INTO unrecorded (repo, kind, name) SELECT r.name, of_kind, of_name FROM repositories r WHERE r.id = of_repo
    ON CONFLICT (repo, kind, name) DO UPDATE SET sequence = nextval('unrecorded_sequence')
$$;
CREATE FUNCTION manifest_is_unrecorded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM note_unrecorded(OLD.repo_id, 0, OLD.digest);
    ELSE
        PERFORM note_unrecorded(NEW.repo_id, 0, NEW.digest);
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION tag_is_unrecorded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM note_unrecorded(OLD.repo_id, 1, OLD.name);
    ELSE
        PERFORM note_unrecorded(NEW.repo_id, 1, NEW.name);
    END IF;
    RETURN NULL;
END $$;
-- A manifest's record names the objects of its blobs.
CREATE FUNCTION blob_is_unrecorded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM note_unrecorded(m.repo_id, 0, m.digest)
        FROM manifest_refs c JOIN manifests m ON m.id = c.parent
        WHERE c.child = NEW.digest ORDER BY m.id;
    RETURN NULL;
END $$;
CREATE TRIGGER manifests_recorded AFTER INSERT OR UPDATE OF digest, media_type, pushed_at OR DELETE ON manifests
    FOR EACH ROW EXECUTE FUNCTION manifest_is_unrecorded();
CREATE TRIGGER tags_recorded AFTER INSERT OR UPDATE OF manifest, updated_at OR DELETE ON tags
    FOR EACH ROW EXECUTE FUNCTION tag_is_unrecorded();
CREATE TRIGGER blobs_added AFTER INSERT ON blobs
    FOR EACH ROW EXECUTE FUNCTION blob_is_unrecorded();
CREATE TRIGGER blobs_moved AFTER UPDATE OF object_key ON blobs
    FOR EACH ROW WHEN (OLD.object_key <> NEW.object_key) EXECUTE FUNCTION blob_is_unrecorded();

-- What was pushed before there were records.
INSERT INTO unrecorded (repo, kind, name)
    SELECT r.name, 0, m.digest FROM manifests m JOIN repositories r ON r.id = m.repo_id;
INSERT INTO unrecorded (repo, kind, name)
    SELECT r.name, 1, t.name FROM tags t JOIN repositories r ON r.id = t.repo_id;

-- How far work that takes days has come.
CREATE TABLE progress (
    task TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    state TEXT COLLATE "C" NOT NULL
);
