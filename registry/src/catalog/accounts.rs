//! Users, groups and robots.

use async_trait::async_trait;

use super::Result;
use crate::clock::Timestamp;

/// A person that the catalog knows.
#[derive(Clone, PartialEq, Eq)]
pub struct UserRow {
    /// Its name.
    pub name: String,
    /// The password's hash, argon2id in the PHC form.
    pub hash: String,
    /// Whether it administers the registry.
    pub admin: bool,
    /// Whether it is shut out.
    pub disabled: bool,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// When its password was checked last and right, to the hour.
    pub last_login_at: Option<Timestamp>,
}

impl std::fmt::Debug for UserRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the hash.
        f.debug_struct("UserRow").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What is to change about a user.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct UserChange {
    /// Its password's hash.
    pub hash: Option<String>,
    /// Whether it administers.
    pub admin: Option<bool>,
    /// Whether it is shut out.
    pub disabled: Option<bool>,
}

/// A group of subjects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRow {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// When it was added.
    pub created_at: Timestamp,
}

/// A program with a secret of ours.
#[derive(Clone, PartialEq, Eq)]
pub struct RobotRow {
    /// Its name, as `team/ci`.
    pub name: String,
    /// SHA-256 of its secret.
    pub secret_hash: Vec<u8>,
    /// What it is for.
    pub description: String,
    /// Whether it is shut out.
    pub disabled: bool,
    /// Who added it.
    pub created_by: String,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// From when on its secret is worth nothing.
    pub expires_at: Option<Timestamp>,
    /// When its secret was checked last and right, to the hour.
    pub last_login_at: Option<Timestamp>,
}

impl std::fmt::Debug for RobotRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the hash.
        f.debug_struct("RobotRow").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What is to change about a robot.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RobotChange {
    /// SHA-256 of its secret.
    pub secret_hash: Option<Vec<u8>>,
    /// Whether it is shut out.
    pub disabled: Option<bool>,
    /// When it ends; `Some(None)` never.
    pub expires_at: Option<Option<Timestamp>>,
}

/// Users, groups and robots. Lists come in byte order of their names, those after `after`, `limit` at most.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Adds a user. `false`, and nothing changed, when the name is taken.
    async fn add_user(&self, user: &UserRow) -> Result<bool>;
    /// The user of this name.
    async fn user(&self, name: &str) -> Result<Option<UserRow>>;
    /// A page of users.
    async fn users(&self, after: Option<&str>, limit: u32) -> Result<Vec<UserRow>>;
    /// Changes a user. `false` when there is none.
    async fn change_user(&self, name: &str, change: &UserChange, now: Timestamp) -> Result<bool>;
    /// Deletes a user with its memberships. `false` when there is none.
    async fn delete_user(&self, name: &str) -> Result<bool>;
    /// Notes that a user's password was right. May be lost to a power failure.
    async fn user_came(&self, name: &str, now: Timestamp) -> Result<()>;
    /// How many users administer and are not shut out; counts no further than `most`.
    async fn count_admins(&self, most: u32) -> Result<u32>;

    /// Adds a group. `false`, and nothing changed, when the name is taken.
    async fn add_group(&self, group: &GroupRow) -> Result<bool>;
    /// A page of groups.
    async fn groups(&self, after: Option<&str>, limit: u32) -> Result<Vec<GroupRow>>;
    /// Deletes a group with its memberships. `false` when there is none.
    async fn delete_group(&self, name: &str) -> Result<bool>;
    /// Makes a subject, as `user:alice`, a member. Safe to repeat. `false` when there is no such group.
    async fn add_member(&self, group: &str, member: &str) -> Result<bool>;
    /// Takes a member out. `false` when it was none.
    async fn remove_member(&self, group: &str, member: &str) -> Result<bool>;
    /// A page of a group's members; `None` when there is no such group.
    async fn members(&self, group: &str, after: Option<&str>, limit: u32) -> Result<Option<Vec<String>>>;
    /// The groups that a subject is in.
    async fn groups_of(&self, member: &str) -> Result<Vec<String>>;

    /// Adds a robot. `false`, and nothing changed, when the name is taken.
    async fn add_robot(&self, robot: &RobotRow) -> Result<bool>;
    /// The robot of this name.
    async fn robot(&self, name: &str) -> Result<Option<RobotRow>>;
    /// A page of robots.
    async fn robots(&self, after: Option<&str>, limit: u32) -> Result<Vec<RobotRow>>;
    /// Changes a robot. `false` when there is none.
    async fn change_robot(&self, name: &str, change: &RobotChange, now: Timestamp) -> Result<bool>;
    /// Deletes a robot with its memberships. `false` when there is none.
    async fn delete_robot(&self, name: &str) -> Result<bool>;
    /// Notes that a robot's secret was right. May be lost to a power failure.
    async fn robot_came(&self, name: &str, now: Timestamp) -> Result<()>;
}
