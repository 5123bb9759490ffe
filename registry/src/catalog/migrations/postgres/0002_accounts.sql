-- Accounts.

-- Flags are 0 and 1. A time of 0 is one that never was, or never comes.
CREATE TABLE users (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    -- The password's hash, argon2id in the PHC form.
    hash TEXT COLLATE "C" NOT NULL,
    admin BIGINT NOT NULL,
    disabled BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    last_login_at BIGINT NOT NULL
);

CREATE TABLE account_groups (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    description TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL
);

-- Members are subjects, as user:alice: users of a password file and holders of certificates have no row here.
CREATE TABLE account_group_members (
    group_name TEXT COLLATE "C" NOT NULL REFERENCES account_groups (name) ON DELETE CASCADE,
    member TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (group_name, member)
);
CREATE INDEX account_group_members_by_member ON account_group_members (member, group_name);

CREATE TABLE robots (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    -- SHA-256 of the secret, which has 256 random bits.
    secret_hash BYTEA NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    disabled BIGINT NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    last_login_at BIGINT NOT NULL
);
