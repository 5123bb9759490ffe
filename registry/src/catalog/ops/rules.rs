//! Rules of the policy.

use super::{Columns, Result, Statements, corrupt};
use crate::{
    catalog::{KeptRule, KeptRules},
    clock::Timestamp,
};

const VERSION: &str = "SELECT version FROM policy_version WHERE id = 1";
const RULES: &str = "SELECT name, rule, created_at, created_by FROM policy_rules ORDER BY name";
const ADD: &str = "INSERT INTO policy_rules (name, rule, created_at, created_by) \
     VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO NOTHING";
const REMOVE: &str = "DELETE FROM policy_rules WHERE name = $1";
const CHANGED: &str = "UPDATE policy_version SET version = version + 1 WHERE id = 1";

/// See [`crate::catalog::Rules::rules_version`].
pub(crate) async fn version(db: &mut impl Statements) -> Result<i64> {
    db.row(VERSION, &[]).await?.ok_or_else(|| corrupt("the policy has no version"))?.int(0)
}

/// See [`crate::catalog::Rules::rules`]. The version first: a change that comes between the two is read again.
pub(crate) async fn all(db: &mut impl Statements) -> Result<KeptRules> {
    let version = version(db).await?;
    let rules = db.rows(RULES, &[]).await?;
    Ok(KeptRules { version, rules: rules.iter().map(read).collect::<Result<_>>()? })
}

fn read(row: &impl Columns) -> Result<KeptRule> {
    Ok(KeptRule {
        name: row.text(0)?,
        rule: row.text(1)?,
        created_at: Timestamp(row.int(2)?),
        created_by: row.text(3)?,
    })
}

/// See [`crate::catalog::Rules::add_rule`].
pub(crate) async fn add(db: &mut impl Statements, rule: &KeptRule) -> Result<bool> {
    let values =
        [(&rule.name).into(), (&rule.rule).into(), rule.created_at.into(), (&rule.created_by).into()];
    let added = db.execute(ADD, &values).await? > 0;
    changed(db, added).await
}

/// See [`crate::catalog::Rules::remove_rule`].
pub(crate) async fn remove(db: &mut impl Statements, name: &str) -> Result<bool> {
    let removed = db.execute(REMOVE, &[name.into()]).await? > 0;
    changed(db, removed).await
}

async fn changed(db: &mut impl Statements, changed: bool) -> Result<bool> {
    if changed {
        db.execute(CHANGED, &[]).await?;
    }
    Ok(changed)
}
