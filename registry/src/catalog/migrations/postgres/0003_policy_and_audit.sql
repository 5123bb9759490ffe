-- Rules of the policy that were added at run time. What a rule says is JSON that the policy reads.

CREATE TABLE policy_rules (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    rule TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL
);

-- One row, which tells replicas that something has changed.
CREATE TABLE policy_version (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    version BIGINT NOT NULL
);
INSERT INTO policy_version (id, version) VALUES (1, 0);

-- Who did what. Sought by its time, alone or of one repository, one subject, one kind; dropped by its time.
CREATE TABLE audit_log (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time BIGINT NOT NULL,
    who TEXT NOT NULL,
    address TEXT NOT NULL,
    verb TEXT NOT NULL,
    repository TEXT NOT NULL,
    reference TEXT NOT NULL,
    digest TEXT NOT NULL,
    outcome TEXT NOT NULL,
    request_id TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX audit_log_by_time ON audit_log (time, id);
CREATE INDEX audit_log_by_repository ON audit_log (repository, time, id) WHERE repository <> '';
CREATE INDEX audit_log_by_who ON audit_log (who, time, id);
