//! Users, groups and robots.

use super::{Columns, Result, Statements, Value, corrupt, lists::sought};
use crate::{
    catalog::{GroupRow, RobotChange, RobotRow, UserChange, UserRow},
    clock::Timestamp,
};

macro_rules! users {
    ($rest:literal) => {
        concat!(
            "SELECT name, hash, admin, disabled, created_at, updated_at, last_login_at FROM users ",
            $rest
        )
    };
}
macro_rules! robots {
    ($rest:literal) => {
        concat!(
            "SELECT name, secret_hash, description, disabled, created_by, created_at, updated_at, \
             expires_at, last_login_at FROM robots ",
            $rest
        )
    };
}

const ADD_USER: &str = "INSERT INTO users (name, hash, admin, disabled, created_at, updated_at, last_login_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (name) DO NOTHING";
pub(crate) const USER: &str = users!("WHERE name = $1");
pub(crate) const USERS: &str = users!("WHERE name > $1 ORDER BY name LIMIT $2");
/// An empty text and a number below 0 leave what is there.
const CHANGE_USER: &str = "UPDATE users SET hash = CASE WHEN $2 = '' THEN hash ELSE $2 END, \
     admin = CASE WHEN $3 < 0 THEN admin ELSE $3 END, \
     disabled = CASE WHEN $4 < 0 THEN disabled ELSE $4 END, updated_at = $5 WHERE name = $1";
const DELETE_USER: &str = "DELETE FROM users WHERE name = $1";
const USER_CAME: &str = "UPDATE users SET last_login_at = $2 WHERE name = $1";
const COUNT_ADMINS: &str = "SELECT COUNT(*) FROM \
     (SELECT 1 FROM users WHERE admin = 1 AND disabled = 0 LIMIT $1) AS counted";

const ADD_GROUP: &str = "INSERT INTO account_groups (name, description, created_at) VALUES ($1, $2, $3) \
     ON CONFLICT (name) DO NOTHING";
const GROUP: &str = "SELECT 1 FROM account_groups WHERE name = $1";
pub(crate) const GROUPS: &str =
    "SELECT name, description, created_at FROM account_groups WHERE name > $1 ORDER BY name LIMIT $2";
const DELETE_GROUP: &str = "DELETE FROM account_groups WHERE name = $1";
const ADD_MEMBER: &str = "INSERT INTO account_group_members (group_name, member) VALUES ($1, $2) \
     ON CONFLICT (group_name, member) DO NOTHING";
const REMOVE_MEMBER: &str = "DELETE FROM account_group_members WHERE group_name = $1 AND member = $2";
pub(crate) const MEMBERS: &str = "SELECT member FROM account_group_members \
     WHERE group_name = $1 AND member > $2 ORDER BY member LIMIT $3";
pub(crate) const GROUPS_OF: &str =
    "SELECT group_name FROM account_group_members WHERE member = $1 ORDER BY group_name";
const LEAVE_ALL: &str = "DELETE FROM account_group_members WHERE member = $1";

const ADD_ROBOT: &str = "INSERT INTO robots (name, secret_hash, description, disabled, created_by, created_at, \
     updated_at, expires_at, last_login_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
     ON CONFLICT (name) DO NOTHING";
pub(crate) const ROBOT: &str = robots!("WHERE name = $1");
pub(crate) const ROBOTS: &str = robots!("WHERE name > $1 ORDER BY name LIMIT $2");
const CHANGE_ROBOT: &str = "UPDATE robots \
     SET secret_hash = CASE WHEN length($2) = 0 THEN secret_hash ELSE $2 END, \
     disabled = CASE WHEN $3 < 0 THEN disabled ELSE $3 END, \
     expires_at = CASE WHEN $4 < 0 THEN expires_at ELSE $4 END, updated_at = $5 WHERE name = $1";
const DELETE_ROBOT: &str = "DELETE FROM robots WHERE name = $1";
const ROBOT_CAME: &str = "UPDATE robots SET last_login_at = $2 WHERE name = $1";

/// A time that may never have been, or never come.
fn moment(number: i64) -> Option<Timestamp> {
    (number > 0).then_some(Timestamp(number))
}

fn number(moment: Option<Timestamp>) -> i64 {
    moment.map_or(0, |moment| moment.0)
}

fn flag(flag: Option<bool>) -> Value<'static> {
    flag.map_or(-1, i64::from).into()
}

/// No account has a name with a NUL in it, and PostgreSQL takes none.
fn is_name(name: &str) -> bool {
    !name.contains('\0')
}

fn read_user(row: &impl Columns) -> Result<UserRow> {
    Ok(UserRow {
        name: row.text(0)?,
        hash: row.text(1)?,
        admin: row.int(2)? != 0,
        disabled: row.int(3)? != 0,
        created_at: Timestamp(row.int(4)?),
        updated_at: Timestamp(row.int(5)?),
        last_login_at: moment(row.int(6)?),
    })
}

fn read_group(row: &impl Columns) -> Result<GroupRow> {
    Ok(GroupRow { name: row.text(0)?, description: row.text(1)?, created_at: Timestamp(row.int(2)?) })
}

fn read_robot(row: &impl Columns) -> Result<RobotRow> {
    Ok(RobotRow {
        name: row.text(0)?,
        secret_hash: row.bytes(1)?,
        description: row.text(2)?,
        disabled: row.int(3)? != 0,
        created_by: row.text(4)?,
        created_at: Timestamp(row.int(5)?),
        updated_at: Timestamp(row.int(6)?),
        expires_at: moment(row.int(7)?),
        last_login_at: moment(row.int(8)?),
    })
}

/// See [`crate::catalog::Accounts::add_user`].
pub(crate) async fn add_user(db: &mut impl Statements, user: &UserRow) -> Result<bool> {
    let values = [
        (&user.name).into(),
        (&user.hash).into(),
        i64::from(user.admin).into(),
        i64::from(user.disabled).into(),
        user.created_at.into(),
        user.updated_at.into(),
        number(user.last_login_at).into(),
    ];
    Ok(db.execute(ADD_USER, &values).await? > 0)
}

/// See [`crate::catalog::Accounts::user`].
pub(crate) async fn user(db: &mut impl Statements, name: &str) -> Result<Option<UserRow>> {
    if !is_name(name) {
        return Ok(None);
    }
    db.row(USER, &[name.into()]).await?.as_ref().map(read_user).transpose()
}

/// See [`crate::catalog::Accounts::users`].
pub(crate) async fn users(db: &mut impl Statements, after: Option<&str>, limit: u32) -> Result<Vec<UserRow>> {
    let rows = db.rows(USERS, &[sought(after).into(), i64::from(limit).into()]).await?;
    rows.iter().map(read_user).collect()
}

/// See [`crate::catalog::Accounts::change_user`].
pub(crate) async fn change_user(
    db: &mut impl Statements,
    name: &str,
    change: &UserChange,
    now: Timestamp,
) -> Result<bool> {
    let UserChange { hash, admin, disabled } = change;
    let hash = hash.as_deref().unwrap_or_default();
    Ok(db
        .execute(CHANGE_USER, &[name.into(), hash.into(), flag(*admin), flag(*disabled), now.into()])
        .await?
        > 0)
}

/// See [`crate::catalog::Accounts::delete_user`].
pub(crate) async fn delete_user(db: &mut impl Statements, name: &str) -> Result<bool> {
    db.execute(LEAVE_ALL, &[(&format!("user:{name}")).into()]).await?;
    Ok(db.execute(DELETE_USER, &[name.into()]).await? > 0)
}

/// See [`crate::catalog::Accounts::user_came`].
pub(crate) async fn user_came(db: &mut impl Statements, name: &str, now: Timestamp) -> Result<()> {
    db.execute(USER_CAME, &[name.into(), now.into()]).await.map(|_| ())
}

/// See [`crate::catalog::Accounts::count_admins`].
pub(crate) async fn count_admins(db: &mut impl Statements, most: u32) -> Result<u32> {
    match db.row(COUNT_ADMINS, &[i64::from(most).into()]).await? {
        Some(row) => u32::try_from(row.int(0)?).map_err(corrupt),
        None => Err(corrupt("an aggregate gave no row")),
    }
}

/// See [`crate::catalog::Accounts::add_group`].
pub(crate) async fn add_group(db: &mut impl Statements, group: &GroupRow) -> Result<bool> {
    let GroupRow { name, description, created_at } = group;
    Ok(db.execute(ADD_GROUP, &[name.into(), description.into(), (*created_at).into()]).await? > 0)
}

/// See [`crate::catalog::Accounts::groups`].
pub(crate) async fn groups(
    db: &mut impl Statements,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<GroupRow>> {
    let rows = db.rows(GROUPS, &[sought(after).into(), i64::from(limit).into()]).await?;
    rows.iter().map(read_group).collect()
}

/// See [`crate::catalog::Accounts::delete_group`].
pub(crate) async fn delete_group(db: &mut impl Statements, name: &str) -> Result<bool> {
    Ok(db.execute(DELETE_GROUP, &[name.into()]).await? > 0)
}

async fn is_group(db: &mut impl Statements, name: &str) -> Result<bool> {
    Ok(db.row(GROUP, &[name.into()]).await?.is_some())
}

/// See [`crate::catalog::Accounts::add_member`].
pub(crate) async fn add_member(db: &mut impl Statements, group: &str, member: &str) -> Result<bool> {
    if !is_group(db, group).await? {
        return Ok(false);
    }
    db.execute(ADD_MEMBER, &[group.into(), member.into()]).await?;
    Ok(true)
}

/// See [`crate::catalog::Accounts::remove_member`].
pub(crate) async fn remove_member(db: &mut impl Statements, group: &str, member: &str) -> Result<bool> {
    Ok(db.execute(REMOVE_MEMBER, &[group.into(), member.into()]).await? > 0)
}

/// See [`crate::catalog::Accounts::members`].
pub(crate) async fn members(
    db: &mut impl Statements,
    group: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<Option<Vec<String>>> {
    let page = [group.into(), sought(after).into(), i64::from(limit).into()];
    let rows = db.rows(MEMBERS, &page).await?;
    if rows.is_empty() && !is_group(db, group).await? {
        return Ok(None);
    }
    rows.iter().map(|row| row.text(0)).collect::<Result<_>>().map(Some)
}

/// See [`crate::catalog::Accounts::groups_of`].
pub(crate) async fn groups_of(db: &mut impl Statements, member: &str) -> Result<Vec<String>> {
    if !is_name(member) {
        return Ok(Vec::new());
    }
    db.rows(GROUPS_OF, &[member.into()]).await?.iter().map(|row| row.text(0)).collect()
}

/// See [`crate::catalog::Accounts::add_robot`].
pub(crate) async fn add_robot(db: &mut impl Statements, robot: &RobotRow) -> Result<bool> {
    let values = [
        (&robot.name).into(),
        Value::Bytes(&robot.secret_hash),
        (&robot.description).into(),
        i64::from(robot.disabled).into(),
        (&robot.created_by).into(),
        robot.created_at.into(),
        robot.updated_at.into(),
        number(robot.expires_at).into(),
        number(robot.last_login_at).into(),
    ];
    Ok(db.execute(ADD_ROBOT, &values).await? > 0)
}

/// See [`crate::catalog::Accounts::robot`].
pub(crate) async fn robot(db: &mut impl Statements, name: &str) -> Result<Option<RobotRow>> {
    if !is_name(name) {
        return Ok(None);
    }
    db.row(ROBOT, &[name.into()]).await?.as_ref().map(read_robot).transpose()
}

/// See [`crate::catalog::Accounts::robots`].
pub(crate) async fn robots(
    db: &mut impl Statements,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<RobotRow>> {
    let rows = db.rows(ROBOTS, &[sought(after).into(), i64::from(limit).into()]).await?;
    rows.iter().map(read_robot).collect()
}

/// See [`crate::catalog::Accounts::change_robot`].
pub(crate) async fn change_robot(
    db: &mut impl Statements,
    name: &str,
    change: &RobotChange,
    now: Timestamp,
) -> Result<bool> {
    let RobotChange { secret_hash, disabled, expires_at } = change;
    let secret_hash = secret_hash.as_deref().unwrap_or_default();
    let expires_at = expires_at.map_or(-1, number);
    let values = [name.into(), Value::Bytes(secret_hash), flag(*disabled), expires_at.into(), now.into()];
    Ok(db.execute(CHANGE_ROBOT, &values).await? > 0)
}

/// See [`crate::catalog::Accounts::delete_robot`].
pub(crate) async fn delete_robot(db: &mut impl Statements, name: &str) -> Result<bool> {
    db.execute(LEAVE_ALL, &[(&format!("robot:{name}")).into()]).await?;
    Ok(db.execute(DELETE_ROBOT, &[name.into()]).await? > 0)
}

/// See [`crate::catalog::Accounts::robot_came`].
pub(crate) async fn robot_came(db: &mut impl Statements, name: &str, now: Timestamp) -> Result<()> {
    db.execute(ROBOT_CAME, &[name.into(), now.into()]).await.map(|_| ())
}
