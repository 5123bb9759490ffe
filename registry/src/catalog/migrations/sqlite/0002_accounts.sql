-- Accounts.

-- Flags are 0 and 1. A time of 0 is one that never was, or never comes.
CREATE TABLE users (
    name TEXT NOT NULL PRIMARY KEY,
    -- The password's hash, argon2id in the PHC form.
    hash TEXT NOT NULL,
    admin INTEGER NOT NULL,
    disabled INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    last_login_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE account_groups (
    name TEXT NOT NULL PRIMARY KEY,
    description TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Members are subjects, as user:alice: users of a password file and holders of certificates have no row here.
CREATE TABLE account_group_members (
    group_name TEXT NOT NULL REFERENCES account_groups (name) ON DELETE CASCADE,
    member TEXT NOT NULL,
    PRIMARY KEY (group_name, member)
) STRICT, WITHOUT ROWID;
CREATE INDEX account_group_members_by_member ON account_group_members (member, group_name);

CREATE TABLE robots (
    name TEXT NOT NULL PRIMARY KEY,
    -- SHA-256 of the secret, which has 256 random bits.
    secret_hash BLOB NOT NULL,
    description TEXT NOT NULL,
    disabled INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    last_login_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
