//! Users, groups and robots.

use async_trait::async_trait;

use super::{
    PostgresCatalog,
    retry::{change, read, transact},
};
use crate::{
    catalog::{Accounts, GroupRow, Result, RobotChange, RobotRow, UserChange, UserRow, ops},
    clock::Timestamp,
};

#[async_trait]
impl Accounts for PostgresCatalog {
    async fn add_user(&self, user: &UserRow) -> Result<bool> {
        change!(self, |db| ops::accounts::add_user(db, user))
    }

    async fn user(&self, name: &str) -> Result<Option<UserRow>> {
        read!(self, |db| ops::accounts::user(db, name))
    }

    async fn users(&self, after: Option<&str>, limit: u32) -> Result<Vec<UserRow>> {
        read!(self, |db| ops::accounts::users(db, after, limit))
    }

    async fn change_user(&self, name: &str, change: &UserChange, now: Timestamp) -> Result<bool> {
        change!(self, |db| ops::accounts::change_user(db, name, change, now))
    }

    async fn delete_user(&self, name: &str) -> Result<bool> {
        transact!(self, |db| ops::accounts::delete_user(db, name))
    }

    async fn user_came(&self, name: &str, now: Timestamp) -> Result<()> {
        change!(self, |db| ops::accounts::user_came(db, name, now))
    }

    async fn count_admins(&self, most: u32) -> Result<u32> {
        read!(self, |db| ops::accounts::count_admins(db, most))
    }

    async fn add_group(&self, group: &GroupRow) -> Result<bool> {
        change!(self, |db| ops::accounts::add_group(db, group))
    }

    async fn groups(&self, after: Option<&str>, limit: u32) -> Result<Vec<GroupRow>> {
        read!(self, |db| ops::accounts::groups(db, after, limit))
    }

    async fn delete_group(&self, name: &str) -> Result<bool> {
        change!(self, |db| ops::accounts::delete_group(db, name))
    }

    async fn add_member(&self, group: &str, member: &str) -> Result<bool> {
        transact!(self, |db| ops::accounts::add_member(db, group, member))
    }

    async fn remove_member(&self, group: &str, member: &str) -> Result<bool> {
        change!(self, |db| ops::accounts::remove_member(db, group, member))
    }

    async fn members(&self, group: &str, after: Option<&str>, limit: u32) -> Result<Option<Vec<String>>> {
        read!(self, |db| ops::accounts::members(db, group, after, limit))
    }

    async fn groups_of(&self, member: &str) -> Result<Vec<String>> {
        read!(self, |db| ops::accounts::groups_of(db, member))
    }

    async fn add_robot(&self, robot: &RobotRow) -> Result<bool> {
        change!(self, |db| ops::accounts::add_robot(db, robot))
    }

    async fn robot(&self, name: &str) -> Result<Option<RobotRow>> {
        read!(self, |db| ops::accounts::robot(db, name))
    }

    async fn robots(&self, after: Option<&str>, limit: u32) -> Result<Vec<RobotRow>> {
        read!(self, |db| ops::accounts::robots(db, after, limit))
    }

    async fn change_robot(&self, name: &str, change: &RobotChange, now: Timestamp) -> Result<bool> {
        change!(self, |db| ops::accounts::change_robot(db, name, change, now))
    }

    async fn delete_robot(&self, name: &str) -> Result<bool> {
        transact!(self, |db| ops::accounts::delete_robot(db, name))
    }

    async fn robot_came(&self, name: &str, now: Timestamp) -> Result<()> {
        change!(self, |db| ops::accounts::robot_came(db, name, now))
    }
}
