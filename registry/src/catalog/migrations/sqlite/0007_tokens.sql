-- Times are microseconds since 1970.

-- Keys that tokens are signed with. One signs from `signs_from` on, until a younger one does; it verifies until
-- `retires_at`, which is null for the youngest.
CREATE TABLE signing_keys (
    kid TEXT NOT NULL PRIMARY KEY,
    algorithm TEXT NOT NULL,
    -- PKCS #8.
    private BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    signs_from INTEGER NOT NULL,
    retires_at INTEGER
) STRICT;

-- What a new token may be asked for with. The secret itself is not here: `hash` is its SHA-256.
CREATE TABLE refresh_tokens (
    id TEXT NOT NULL PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    -- 0 made by hand, 1 given to a client that logged in.
    kind INTEGER NOT NULL,
    subject TEXT NOT NULL,
    service TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL
) STRICT;
CREATE INDEX refresh_tokens_by_subject ON refresh_tokens (subject, kind, used_at);
CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at);
