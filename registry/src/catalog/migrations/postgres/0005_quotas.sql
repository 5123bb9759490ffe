-- Quotas. A namespace is the first part of its repositories' names. What it holds is counted by
-- triggers: whatever adds or removes a link, it is counted in the same transaction.

ALTER TABLE repositories ADD COLUMN namespace TEXT COLLATE "C"
    GENERATED ALWAYS AS (split_part(name, '/', 1)) STORED;

-- Each content once, with the number of repositories that have it; kind 0 is a blob, 1 a manifest.
CREATE TABLE namespace_contents (
    namespace TEXT COLLATE "C" NOT NULL,
    kind BIGINT NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    size BIGINT NOT NULL,
    uses BIGINT NOT NULL,
    PRIMARY KEY (namespace, kind, digest)
);

-- What the contents of each namespace come to is this sum and all that stands in the ledger. Pushes
-- only add lines to the ledger, so that none waits for another's; now and then lines are added up.
CREATE TABLE namespace_usage (
    namespace TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    bytes BIGINT NOT NULL
);
CREATE TABLE namespace_ledger (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    namespace TEXT COLLATE "C" NOT NULL,
    bytes BIGINT NOT NULL
);
CREATE INDEX namespace_ledger_by_namespace ON namespace_ledger (namespace) INCLUDE (bytes);

-- Limits that were set by command; no number is no limit, whatever the configuration says.
CREATE TABLE namespace_quotas (
    namespace TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    max_bytes BIGINT,
    updated_at BIGINT NOT NULL
);

CREATE FUNCTION count_content() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO namespace_ledger (namespace, bytes) VALUES (NEW.namespace, NEW.size);
    RETURN NULL;
END $$;
CREATE TRIGGER count_content AFTER INSERT ON namespace_contents
    FOR EACH ROW EXECUTE FUNCTION count_content();

CREATE FUNCTION discount_content() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO namespace_ledger (namespace, bytes) VALUES (OLD.namespace, -OLD.size);
    RETURN NULL;
END $$;
CREATE TRIGGER discount_content AFTER DELETE ON namespace_contents
    FOR EACH ROW EXECUTE FUNCTION discount_content();

CREATE FUNCTION count_blob() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO namespace_contents AS c (namespace, kind, digest, size, uses)
    SELECT r.namespace, 0, b.digest, b.size, 1 FROM repositories r, blobs b
    WHERE r.id = NEW.repo_id AND b.digest = NEW.digest
    ON CONFLICT (namespace, kind, digest) DO UPDATE SET uses = c.uses + 1;
    RETURN NULL;
END $$;
CREATE TRIGGER count_blob AFTER INSERT ON blob_links
    FOR EACH ROW EXECUTE FUNCTION count_blob();

CREATE FUNCTION count_manifest() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO namespace_contents AS c (namespace, kind, digest, size, uses)
    SELECT r.namespace, 1, NEW.digest, NEW.size, 1 FROM repositories r WHERE r.id = NEW.repo_id
    ON CONFLICT (namespace, kind, digest) DO UPDATE SET uses = c.uses + 1;
    RETURN NULL;
END $$;
CREATE TRIGGER count_manifest AFTER INSERT ON manifests
    FOR EACH ROW EXECUTE FUNCTION count_manifest();

-- The row is locked by the first statement, so that a use that is being added waits for the second.
CREATE FUNCTION discount_use() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    of_kind BIGINT := TG_ARGV[0];
    left_in TEXT;
BEGIN
    SELECT r.namespace INTO left_in FROM repositories r WHERE r.id = OLD.repo_id;
    UPDATE namespace_contents SET uses = uses - 1
    WHERE namespace = left_in AND kind = of_kind AND digest = OLD.digest;
    DELETE FROM namespace_contents
    WHERE namespace = left_in AND kind = of_kind AND digest = OLD.digest AND uses = 0;
    RETURN NULL;
END $$;
CREATE TRIGGER discount_blob AFTER DELETE ON blob_links
    FOR EACH ROW EXECUTE FUNCTION discount_use('0');
CREATE TRIGGER discount_manifest AFTER DELETE ON manifests
    FOR EACH ROW EXECUTE FUNCTION discount_use('1');

INSERT INTO namespace_contents (namespace, kind, digest, size, uses)
SELECT r.namespace, 0, l.digest, b.size, COUNT(*)
FROM blob_links l JOIN repositories r ON r.id = l.repo_id JOIN blobs b ON b.digest = l.digest
GROUP BY r.namespace, l.digest, b.size;
INSERT INTO namespace_contents (namespace, kind, digest, size, uses)
SELECT r.namespace, 1, m.digest, m.size, COUNT(*)
FROM manifests m JOIN repositories r ON r.id = m.repo_id
GROUP BY r.namespace, m.digest, m.size;

CREATE INDEX uploads_by_principal ON uploads (principal);
