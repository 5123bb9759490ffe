-- A blob whose object was found to be damaged or gone: not served, and replaced by the next upload of it.
ALTER TABLE blobs ADD COLUMN quarantined_at INTEGER;
CREATE INDEX blobs_quarantined ON blobs (digest) WHERE quarantined_at IS NOT NULL;

-- What storage's records of manifests (kind 0, by digest) and tags (kind 1) do not say yet. Filled by
-- triggers, so that whatever changes one of them, by whichever way, comes here in the same transaction.
-- A sequence is never used twice: who has brought a record up to date takes out what was there before,
-- and not what came since.
CREATE TABLE unrecorded (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    repo TEXT NOT NULL,
    kind INTEGER NOT NULL,
    name TEXT NOT NULL,
    UNIQUE (repo, kind, name)
) STRICT;

CREATE TRIGGER manifests_added AFTER INSERT ON manifests BEGIN
    DELETE FROM unrecorded WHERE kind = 0 AND name = NEW.digest
        AND repo = (SELECT name FROM repositories WHERE id = NEW.repo_id);
    INSERT INTO unrecorded (repo, kind, name)
        SELECT name, 0, NEW.digest FROM repositories WHERE id = NEW.repo_id;
END;
CREATE TRIGGER manifests_changed AFTER UPDATE OF digest, media_type, pushed_at ON manifests BEGIN
    DELETE FROM unrecorded WHERE kind = 0 AND name = NEW.digest
        AND repo = (SELECT name FROM repositories WHERE id = NEW.repo_id);
    INSERT INTO unrecorded (repo, kind, name)
        SELECT name, 0, NEW.digest FROM repositories WHERE id = NEW.repo_id;
END;
CREATE TRIGGER manifests_deleted AFTER DELETE ON manifests BEGIN
    DELETE FROM unrecorded WHERE kind = 0 AND name = OLD.digest
        AND repo = (SELECT name FROM repositories WHERE id = OLD.repo_id);
    INSERT INTO unrecorded (repo, kind, name)
        SELECT name, 0, OLD.digest FROM repositories WHERE id = OLD.repo_id;
END;
CREATE TRIGGER tags_added AFTER INSERT ON tags BEGIN
    DELETE FROM unrecorded WHERE kind = 1 AND name = NEW.name
        AND repo = (SELECT name FROM repositories WHERE id = NEW.repo_id);
    INSERT INTO unrecorded (repo, kind, name)
        SELECT name, 1, NEW.name FROM repositories WHERE id = NEW.repo_id;
END;
CREATE TRIGGER tags_changed AFTER UPDATE OF manifest, updated_at ON tags BEGIN
    DELETE FROM unrecorded WHERE kind = 1 AND name = NEW.name
        AND repo = (SELECT name FROM repositories WHERE id = NEW.repo_id);
    INSERT INTO unrecorded (repo, kind, name)
        SELECT name, 1, NEW.name FROM repositories WHERE id = NEW.repo_id;
END;
CREATE TRIGGER tags_deleted AFTER DELETE ON tags BEGIN
    DELETE FROM unrecorded WHERE kind = 1 AND name = OLD.name
        AND repo = (SELECT name FROM repositories WHERE id = OLD.repo_id);
    INSERT INTO unrecorded (repo, kind, name)
        SELECT name, 1, OLD.name FROM repositories WHERE id = OLD.repo_id;
END;
-- A manifest's record names the objects of its blobs.
CREATE TRIGGER blobs_added AFTER INSERT ON blobs BEGIN
    DELETE FROM unrecorded WHERE kind = 0 AND (repo, name) IN (
        SELECT r.name, m.digest FROM manifest_refs c JOIN manifests m ON m.id = c.parent
        JOIN repositories r ON r.id = m.repo_id WHERE c.child = NEW.digest);
    INSERT INTO unrecorded (repo, kind, name)
        SELECT DISTINCT r.name, 0, m.digest FROM manifest_refs c JOIN manifests m ON m.id = c.parent
        JOIN repositories r ON r.id = m.repo_id WHERE c.child = NEW.digest;
END;
CREATE TRIGGER blobs_moved AFTER UPDATE OF object_key ON blobs WHEN OLD.object_key <> NEW.object_key BEGIN
    DELETE FROM unrecorded WHERE kind = 0 AND (repo, name) IN (
        SELECT r.name, m.digest FROM manifest_refs c JOIN manifests m ON m.id = c.parent
        JOIN repositories r ON r.id = m.repo_id WHERE c.child = NEW.digest);
    INSERT INTO unrecorded (repo, kind, name)
        SELECT DISTINCT r.name, 0, m.digest FROM manifest_refs c JOIN manifests m ON m.id = c.parent
        JOIN repositories r ON r.id = m.repo_id WHERE c.child = NEW.digest;
END;

-- What was pushed before there were records.
INSERT INTO unrecorded (repo, kind, name)
    SELECT r.name, 0, m.digest FROM manifests m JOIN repositories r ON r.id = m.repo_id;
INSERT INTO unrecorded (repo, kind, name)
    SELECT r.name, 1, t.name FROM tags t JOIN repositories r ON r.id = t.repo_id;

-- How far work that takes days has come.
CREATE TABLE progress (
    task TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL
) STRICT;
