-- Rules of the policy that were added at run time. What a rule says is JSON that the policy reads.

CREATE TABLE policy_rules (
    name TEXT NOT NULL PRIMARY KEY,
    rule TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL
) STRICT;

-- One row, which tells replicas that something has changed.
CREATE TABLE policy_version (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL
) STRICT;
INSERT INTO policy_version (id, version) VALUES (1, 0);

-- Who did what. Sought by its time, alone or of one repository, one subject, one kind; dropped by its time.
CREATE TABLE audit_log (
    id INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    who TEXT NOT NULL,
    address TEXT NOT NULL,
    verb TEXT NOT NULL,
    repository TEXT NOT NULL,
    reference TEXT NOT NULL,
    digest TEXT NOT NULL,
    outcome TEXT NOT NULL,
    request_id TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX audit_log_by_time ON audit_log (time, id);
CREATE INDEX audit_log_by_repository ON audit_log (repository, time, id) WHERE repository <> '';
CREATE INDEX audit_log_by_who ON audit_log (who, time, id);
