-- Quotas. A namespace is the first part of its repositories' names. What it holds is counted by
-- triggers: whatever adds or removes a link, it is counted in the same transaction.

ALTER TABLE repositories ADD COLUMN namespace TEXT
    GENERATED ALWAYS AS (substr(name, 1, instr(name || '/', '/') - 1)) VIRTUAL;

-- Each content once, with the number of repositories that have it; kind 0 is a blob, 1 a manifest.
CREATE TABLE namespace_contents (
    namespace TEXT NOT NULL,
    kind INTEGER NOT NULL,
    digest TEXT NOT NULL,
    size INTEGER NOT NULL,
    uses INTEGER NOT NULL,
    PRIMARY KEY (namespace, kind, digest)
) STRICT, WITHOUT ROWID;

-- What the contents of each namespace come to.
CREATE TABLE namespace_usage (
    namespace TEXT NOT NULL PRIMARY KEY,
    bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Limits that were set by command; no number is no limit, whatever the configuration says.
CREATE TABLE namespace_quotas (
    namespace TEXT NOT NULL PRIMARY KEY,
    max_bytes INTEGER,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER count_content AFTER INSERT ON namespace_contents BEGIN
    INSERT INTO namespace_usage (namespace, bytes) VALUES (NEW.namespace, NEW.size)
    ON CONFLICT (namespace) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER discount_content AFTER DELETE ON namespace_contents BEGIN
    UPDATE namespace_usage SET bytes = bytes - OLD.size WHERE namespace = OLD.namespace;
END;

CREATE TRIGGER count_blob AFTER INSERT ON blob_links BEGIN
    INSERT INTO namespace_contents (namespace, kind, digest, size, uses)
    SELECT r.namespace, 0, b.digest, b.size, 1 FROM repositories r, blobs b
    WHERE r.id = NEW.repo_id AND b.digest = NEW.digest
    ON CONFLICT (namespace, kind, digest) DO UPDATE SET uses = uses + 1;
END;
CREATE TRIGGER discount_blob AFTER DELETE ON blob_links BEGIN
    UPDATE namespace_contents SET uses = uses - 1
    WHERE namespace = (SELECT namespace FROM repositories WHERE id = OLD.repo_id)
        AND kind = 0 AND digest = OLD.digest;
    DELETE FROM namespace_contents
    WHERE namespace = (SELECT namespace FROM repositories WHERE id = OLD.repo_id)
        AND kind = 0 AND digest = OLD.digest AND uses = 0;
END;

CREATE TRIGGER count_manifest AFTER INSERT ON manifests BEGIN
    INSERT INTO namespace_contents (namespace, kind, digest, size, uses)
    SELECT r.namespace, 1, NEW.digest, NEW.size, 1 FROM repositories r WHERE r.id = NEW.repo_id
    ON CONFLICT (namespace, kind, digest) DO UPDATE SET uses = uses + 1;
END;
CREATE TRIGGER discount_manifest AFTER DELETE ON manifests BEGIN
    UPDATE namespace_contents SET uses = uses - 1
    WHERE namespace = (SELECT namespace FROM repositories WHERE id = OLD.repo_id)
        AND kind = 1 AND digest = OLD.digest;
    DELETE FROM namespace_contents
    WHERE namespace = (SELECT namespace FROM repositories WHERE id = OLD.repo_id)
        AND kind = 1 AND digest = OLD.digest AND uses = 0;
END;

INSERT INTO namespace_contents (namespace, kind, digest, size, uses)
SELECT r.namespace, 0, l.digest, b.size, COUNT(*)
FROM blob_links l JOIN repositories r ON r.id = l.repo_id JOIN blobs b ON b.digest = l.digest
GROUP BY r.namespace, l.digest, b.size;
INSERT INTO namespace_contents (namespace, kind, digest, size, uses)
SELECT r.namespace, 1, m.digest, m.size, COUNT(*)
FROM manifests m JOIN repositories r ON r.id = m.repo_id
GROUP BY r.namespace, m.digest, m.size;

CREATE INDEX uploads_by_principal ON uploads (principal);
