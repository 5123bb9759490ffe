-- Times are microseconds since 1970.

-- Keys that tokens are signed with. One signs from `signs_from` on, until a younger one does; it verifies until
-- `retires_at`, which is null for the youngest.
CREATE TABLE signing_keys (
    kid TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    algorithm TEXT COLLATE "C" NOT NULL,
    -- PKCS #8.
    private BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    signs_from BIGINT NOT NULL,
    retires_at BIGINT
);

-- What a new token may be asked for with. The secret itself is not here: `hash` is its SHA-256.
CREATE TABLE refresh_tokens (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    hash BYTEA NOT NULL UNIQUE,
    -- 0 made by hand, 1 given to a client that logged in.
    kind BIGINT NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    service TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT NOT NULL
);
CREATE INDEX refresh_tokens_by_subject ON refresh_tokens (subject, kind, used_at);
CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at);
