//! Quotas: whether a push fits, and what is held.

use berth_oci::{Digest, RepoName};

use super::{Columns, Result, Statements, Value, corrupt, overtaken, parsed, signed, sql, unsigned};
use crate::{
    catalog::{Namespace, NamespaceRules, NamespaceUsage, Recount, Refusal, RepositoryUsage, Room, SetQuota},
    clock::Timestamp,
};

/// What each database does in its own way.
pub(crate) trait QuotaStatements: Statements {
    /// `$1` a namespace: the bytes that it holds, as far as they are committed.
    const USED: &'static str;
    /// A page of namespaces: `$1` the last name before it, `$2` how many. Name, bytes, whether a limit
    /// is set, and which.
    const NAMESPACES: &'static str;
    /// One namespace, `$1`, in the same columns.
    const NAMESPACE: &'static str;
    /// How pushes of one namespace are kept apart; `None` where one connection writes.
    const LANES: Option<Lanes>;
    /// [`recount_sql`] in its words: what is counted, what is kept, how many rows differ.
    const RECOUNT: &'static str;
    /// What keeps others from writing while what is kept is set right.
    const BEFORE_REPAIR: &'static [&'static str];
    /// `$1` a namespace, of which nothing stays in the ledger.
    const FORGET_LEDGER: &'static [&'static str];
}

/// Locks that keep concurrent pushes of one namespace from exceeding its limit together. See [`admit`].
pub(crate) struct Lanes {
    /// `$1` a namespace, `$2` a number: takes one of the namespace's lanes until the transaction's end.
    pub(crate) take: &'static str,
    /// `$1` a namespace: takes all of them.
    pub(crate) take_all: &'static str,
}

/// Lanes of a namespace: so many pushes at once wait for nothing as long as it is far from its limit.
pub(crate) const LANES: u64 = 32;

const QUOTA: &str = "SELECT CAST(CASE WHEN max_bytes IS NULL THEN 1 ELSE 0 END AS BIGINT), COALESCE(max_bytes, 0) \
     FROM namespace_quotas WHERE namespace = $1";
const HELD: &str = "SELECT uses FROM namespace_contents WHERE namespace = $1 AND kind = $2 AND digest = $3";
/// By the names between `team/` and what follows all of them.
const COUNT_REPOSITORIES: &str = "SELECT COUNT(*) FROM (SELECT 1 FROM repositories r \
     WHERE r.name >= $1 AND r.name < $1 || '0' AND (r.name = $1 OR r.name > $1 || '/') AND ( \
     (SELECT m.digest FROM manifests m WHERE m.repo_id = r.id ORDER BY m.digest LIMIT 1) IS NOT NULL \
     OR (SELECT l.digest FROM blob_links l WHERE l.repo_id = r.id ORDER BY l.digest LIMIT 1) IS NOT NULL) \
     LIMIT $2) AS counted";
const SET_QUOTA: &str = "INSERT INTO namespace_quotas (namespace, max_bytes, updated_at) VALUES ($1, $2, $3) \
     ON CONFLICT (namespace) DO UPDATE SET max_bytes = excluded.max_bytes, updated_at = excluded.updated_at";
const SET_UNLIMITED: &str = "INSERT INTO namespace_quotas (namespace, max_bytes, updated_at) VALUES ($1, NULL, $2) \
     ON CONFLICT (namespace) DO UPDATE SET max_bytes = NULL, updated_at = excluded.updated_at";
const UNSET_QUOTA: &str = "DELETE FROM namespace_quotas WHERE namespace = $1";
const REPOSITORIES_OF: &str = "SELECT r.id, r.name FROM repositories r \
     WHERE r.name >= $1 AND r.name < $1 || '0' AND (r.name = $1 OR r.name > $1 || '/') AND r.name > $2 \
     ORDER BY r.name LIMIT $3";
const REPOSITORY_BYTES: &str = "SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT), \
     CAST(COALESCE(SUM(CASE WHEN uses = 1 THEN size ELSE 0 END), 0) AS BIGINT) FROM ( \
     SELECT c.size, c.uses FROM blob_links l JOIN namespace_contents c \
         ON c.namespace = $1 AND c.kind = 0 AND c.digest = l.digest WHERE l.repo_id = $2 \
     UNION ALL \
     SELECT c.size, c.uses FROM manifests m JOIN namespace_contents c \
         ON c.namespace = $1 AND c.kind = 1 AND c.digest = m.digest WHERE m.repo_id = $2) AS held";
const COUNT_UPLOADS_OF: &str =
    "SELECT COUNT(*) FROM (SELECT 1 FROM uploads WHERE principal = $1 LIMIT $2) AS counted";
const COUNT_MANIFESTS: &str = "SELECT COUNT(*) FROM (SELECT 1 FROM manifests \
     WHERE repo_id = (SELECT id FROM repositories WHERE name = $1) LIMIT $2) AS counted";
const COUNT_TAGS: &str = "SELECT COUNT(*) FROM (SELECT 1 FROM tags \
     WHERE repo_id = (SELECT id FROM repositories WHERE name = $1) LIMIT $2) AS counted";

/// What the contents of a namespace are, by what is linked.
macro_rules! truth {
    () => {
        "SELECT 0 AS kind, l.digest AS digest, b.size AS size, COUNT(*) AS uses \
         FROM repositories r JOIN blob_links l ON l.repo_id = r.id JOIN blobs b ON b.digest = l.digest \
         WHERE r.name >= $1 AND r.name < $1 || '0' AND (r.name = $1 OR r.name > $1 || '/') \
         GROUP BY l.digest, b.size \
         UNION ALL \
         SELECT 1 AS kind, m.digest AS digest, m.size AS size, COUNT(*) AS uses \
         FROM repositories r JOIN manifests m ON m.repo_id = r.id \
         WHERE r.name >= $1 AND r.name < $1 || '0' AND (r.name = $1 OR r.name > $1 || '/') \
         GROUP BY m.digest, m.size"
    };
}
/// One statement, so that all of it is of one moment. `$used` is the database's own [`QuotaStatements::USED`].
macro_rules! recount_sql {
    ($used:expr) => {
        concat!(
            "WITH truth AS (",
            $crate::catalog::ops::quotas::truth!(),
            "), kept AS (SELECT kind, digest, size, uses FROM namespace_contents WHERE namespace = $1) \
             SELECT CAST((SELECT COALESCE(SUM(size), 0) FROM truth) AS BIGINT), (",
            $used,
            "), CAST((SELECT COUNT(*) FROM (SELECT * FROM truth EXCEPT SELECT * FROM kept) AS lacking) \
                + (SELECT COUNT(*) FROM (SELECT * FROM kept EXCEPT SELECT * FROM truth) AS surplus) AS BIGINT)"
        )
    };
}
pub(crate) use {recount_sql, truth};

const FORGET_CONTENTS: &str = "DELETE FROM namespace_contents WHERE namespace = $1";
const REMEMBER_CONTENTS: &str = concat!(
    "INSERT INTO namespace_contents (namespace, kind, digest, size, uses) \
     SELECT $1, truth.kind, truth.digest, truth.size, truth.uses FROM (",
    truth!(),
    ") AS truth"
);
const FORGET_USAGE: &str = "DELETE FROM namespace_usage WHERE namespace = $1";
const REMEMBER_USAGE: &str = "INSERT INTO namespace_usage (namespace, bytes) \
     SELECT $1, CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM namespace_contents WHERE namespace = $1";

/// What a push would add to its namespace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content<'a> {
    kind: i64,
    digest: &'a Digest,
    size: u64,
}

impl<'a> Content<'a> {
    pub(crate) fn blob(digest: &'a Digest, size: u64) -> Self {
        Self { kind: 0, digest, size }
    }

    pub(crate) fn manifest(digest: &'a Digest, size: usize) -> Self {
        Self { kind: 1, digest, size: size as u64 }
    }
}

/// What [`admit`] has found.
#[derive(Debug)]
pub(crate) enum Admission<'a> {
    /// There is no limit, or the content fits and nobody else can take its place.
    Given,
    /// The namespace had the content when it was looked at.
    Held(Namespace, Content<'a>),
}

impl Admission<'_> {
    /// Called when the push has added its link. What was to add nothing must have added nothing: else
    /// the content went in between, and all is done again.
    pub(crate) async fn confirm(&self, db: &mut impl Statements) -> Result<()> {
        let Self::Held(namespace, content) = self else { return Ok(()) };
        match uses(db, namespace, *content).await? {
            Some(uses) if uses > 1 => Ok(()),
            Some(_) | None => Err(overtaken(content.digest)),
        }
    }
}

/// Whether a push fits into its namespace. Called before anything is written, since whoever waits for
/// a lane must hold no row that another in it waits for.
///
/// Sums cannot be compared with a limit while others, unseen, add to them. So a push first takes one
/// of the namespace's [`LANES`] lanes, each of which lets one pass at a time, and only then looks at the
/// sum. As long as a quarter of the limit is free, a push of at most a quarter's share of one lane goes
/// ahead: whatever those in the other lanes add, all together stay below the limit. Any other takes
/// all the lanes, so that it is alone and what it sees is all there is, and is judged exactly.
pub(crate) async fn admit<'a, D: QuotaStatements>(
    db: &mut D,
    rules: Option<&NamespaceRules>,
    repo: &RepoName,
    content: Content<'a>,
) -> Result<Result<Admission<'a>, Refusal>> {
    let Some(rules) = rules else { return Ok(Ok(Admission::Given)) };
    let namespace = Namespace::of(repo);
    let Some(limit) = limit(db, rules, &namespace).await? else { return Ok(Ok(Admission::Given)) };
    if uses(db, &namespace, content).await?.is_some() {
        return Ok(Ok(Admission::Held(namespace, content)));
    }
    let reserve = limit / 4;
    let far = |used: u64| used <= limit - reserve && content.size <= reserve / LANES;
    if let Some(lanes) = D::LANES {
        if far(used(db, &namespace).await?) {
            let any = signed(lane_of(content.digest))?;
            db.rows(lanes.take, &[(&namespace).into(), any.into()]).await?;
            if far(used(db, &namespace).await?) {
                return Ok(Ok(Admission::Given));
            }
            // Not from within a lane: two who did so would wait for each other.
            return Err(overtaken(&namespace));
        }
        db.rows(lanes.take_all, &[(&namespace).into()]).await?;
        // Another may have brought it while this one waited.
        if uses(db, &namespace, content).await?.is_some() {
            return Ok(Ok(Admission::Held(namespace, content)));
        }
    }
    let used = used(db, &namespace).await?;
    let room = Room { namespace, used, limit };
    Ok(room.refuses(content.size).map_or(Ok(Admission::Given), Err))
}

/// Contents spread over the lanes by their digests.
pub(crate) fn lane_of(digest: &Digest) -> u64 {
    digest.as_str().bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)))
        % LANES
}

async fn limit(
    db: &mut impl Statements,
    rules: &NamespaceRules,
    namespace: &Namespace,
) -> Result<Option<u64>> {
    match quota(db, namespace).await? {
        SetQuota::Unset => Ok((rules.limit_of)(namespace)),
        SetQuota::Unlimited => Ok(None),
        SetQuota::Bytes(limit) => Ok(Some(limit)),
    }
}

async fn quota(db: &mut impl Statements, namespace: &Namespace) -> Result<SetQuota> {
    match db.row(QUOTA, &[namespace.into()]).await? {
        None => Ok(SetQuota::Unset),
        Some(row) if row.int(0)? == 1 => Ok(SetQuota::Unlimited),
        Some(row) => Ok(SetQuota::Bytes(unsigned(row.int(1)?)?)),
    }
}

async fn uses(db: &mut impl Statements, namespace: &Namespace, content: Content<'_>) -> Result<Option<i64>> {
    let row = db.row(HELD, &[namespace.into(), content.kind.into(), content.digest.into()]).await?;
    row.map(|row| row.int(0)).transpose()
}

async fn used<D: QuotaStatements>(db: &mut D, namespace: &Namespace) -> Result<u64> {
    match db.row(D::USED, &[namespace.into()]).await? {
        // Below nothing only where rows were changed past the registry; a recount tells.
        Some(row) => Ok(u64::try_from(row.int(0)?).unwrap_or(0)),
        None => Err(corrupt("a sum gave no row")),
    }
}

/// The repository's id. It comes to be if it is not there and its namespace may have one more.
pub(crate) async fn repository(
    db: &mut impl Statements,
    rules: Option<&NamespaceRules>,
    repo: &RepoName,
) -> Result<Result<i64, Refusal>> {
    if let Some(row) = db.row(sql::REPOSITORY, &[repo.into()]).await? {
        return Ok(Ok(row.int(0)?));
    }
    if let Some(limit) = rules.map(|rules| rules.max_repositories).filter(|limit| *limit > 0) {
        let namespace = Namespace::of(repo);
        let found = count(db, COUNT_REPOSITORIES, namespace.as_str(), limit).await?;
        if found >= limit {
            return Ok(Err(Refusal::Repositories { namespace, limit }));
        }
    }
    super::ensure_repository(db, repo).await.map(Ok)
}

async fn count(db: &mut impl Statements, sql: &'static str, of: &str, most: u32) -> Result<u32> {
    match db.row(sql, &[of.into(), i64::from(most).into()]).await? {
        Some(row) => u32::try_from(row.int(0)?).map_err(corrupt),
        None => Err(corrupt("an aggregate gave no row")),
    }
}

/// See [`crate::catalog::Quotas::room`].
pub(crate) async fn room<D: QuotaStatements>(
    db: &mut D,
    rules: &NamespaceRules,
    repo: &RepoName,
    blob: Option<&Digest>,
) -> Result<Option<Room>> {
    let namespace = Namespace::of(repo);
    let Some(limit) = limit(db, rules, &namespace).await? else { return Ok(None) };
    if let Some(digest) = blob
        && uses(db, &namespace, Content::blob(digest, 0)).await?.is_some()
    {
        return Ok(None);
    }
    let used = used(db, &namespace).await?;
    Ok(Some(Room { namespace, used, limit }))
}

fn namespace_usage(row: &impl Columns) -> Result<NamespaceUsage> {
    let set = match (row.int(2)? == 1, row.int(3)? == 1) {
        (false, _) => SetQuota::Unset,
        (true, true) => SetQuota::Unlimited,
        (true, false) => SetQuota::Bytes(unsigned(row.int(4)?)?),
    };
    let bytes = u64::try_from(row.int(1)?).unwrap_or(0);
    Ok(NamespaceUsage { namespace: parsed(&row.text(0)?)?, bytes, set })
}

/// See [`crate::catalog::Quotas::namespaces`].
pub(crate) async fn namespaces<D: QuotaStatements>(
    db: &mut D,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<NamespaceUsage>> {
    let rows = db.rows(D::NAMESPACES, &[super::lists::sought(after).into(), i64::from(limit).into()]).await?;
    rows.iter().map(namespace_usage).collect()
}

/// See [`crate::catalog::Quotas::namespace`].
pub(crate) async fn namespace<D: QuotaStatements>(
    db: &mut D,
    namespace: &Namespace,
) -> Result<NamespaceUsage> {
    match db.row(D::NAMESPACE, &[namespace.into()]).await? {
        Some(row) => namespace_usage(&row),
        None => Err(corrupt("a sum gave no row")),
    }
}

/// See [`crate::catalog::Quotas::set_quota`].
pub(crate) async fn set(
    db: &mut impl Statements,
    namespace: &Namespace,
    quota: SetQuota,
    now: Timestamp,
) -> Result<()> {
    match quota {
        SetQuota::Unset => db.execute(UNSET_QUOTA, &[namespace.into()]).await?,
        SetQuota::Unlimited => db.execute(SET_UNLIMITED, &[namespace.into(), now.into()]).await?,
        SetQuota::Bytes(limit) => {
            db.execute(SET_QUOTA, &[namespace.into(), signed(limit)?.into(), now.into()]).await?
        }
    };
    Ok(())
}

/// See [`crate::catalog::Quotas::repository_usage`].
pub(crate) async fn repository_usage(
    db: &mut impl Statements,
    namespace: &Namespace,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<RepositoryUsage>> {
    let page = [namespace.into(), super::lists::sought(after).into(), i64::from(limit).into()];
    let mut found = Vec::new();
    for repository in db.rows(REPOSITORIES_OF, &page).await? {
        let values = [Value::from(namespace), repository.int(0)?.into()];
        let row = db.row(REPOSITORY_BYTES, &values).await?.ok_or_else(|| corrupt("a sum gave no row"))?;
        let (bytes, unique) = (unsigned(row.int(0)?)?, unsigned(row.int(1)?)?);
        found.push(RepositoryUsage { repo: parsed(&repository.text(1)?)?, bytes, unique });
    }
    Ok(found)
}

/// See [`crate::catalog::Quotas::recount`].
pub(crate) async fn recount<D: QuotaStatements>(db: &mut D, namespace: &Namespace) -> Result<Recount> {
    let row = db.row(D::RECOUNT, &[namespace.into()]).await?.ok_or_else(|| corrupt("a sum gave no row"))?;
    Ok(Recount { counted: unsigned(row.int(0)?)?, kept: row.int(1)?, wrong: unsigned(row.int(2)?)? })
}

/// Sets what is kept of a namespace right, and says what it was.
pub(crate) async fn repair<D: QuotaStatements>(db: &mut D, namespace: &Namespace) -> Result<Recount> {
    for sql in D::BEFORE_REPAIR {
        db.execute(sql, &[]).await?;
    }
    let found = recount(db, namespace).await?;
    if !found.is_right() {
        db.execute(FORGET_CONTENTS, &[namespace.into()]).await?;
        db.execute(REMEMBER_CONTENTS, &[namespace.into()]).await?;
        // What the triggers made of that is what was wrong before and the difference.
        for sql in D::FORGET_LEDGER {
            db.execute(sql, &[namespace.into()]).await?;
        }
        db.execute(FORGET_USAGE, &[namespace.into()]).await?;
        db.execute(REMEMBER_USAGE, &[namespace.into()]).await?;
    }
    Ok(found)
}

/// See [`crate::catalog::Quotas::count_uploads_of`].
pub(crate) async fn count_uploads_of(db: &mut impl Statements, principal: &str, most: u32) -> Result<u32> {
    count(db, COUNT_UPLOADS_OF, principal, most).await
}

/// See [`crate::catalog::Quotas::count_manifests`].
pub(crate) async fn count_manifests(db: &mut impl Statements, repo: &RepoName, most: u32) -> Result<u32> {
    count(db, COUNT_MANIFESTS, repo.as_str(), most).await
}

/// See [`crate::catalog::Quotas::count_tags`].
pub(crate) async fn count_tags(db: &mut impl Statements, repo: &RepoName, most: u32) -> Result<u32> {
    count(db, COUNT_TAGS, repo.as_str(), most).await
}
