//! Users, groups and robots.

use async_trait::async_trait;

use super::{
    SqliteCatalog,
    operations::{again, repeatable},
    writer::Durability,
};
use crate::{
    catalog::{Accounts, GroupRow, Result, RobotChange, RobotRow, UserChange, UserRow, ops},
    clock::Timestamp,
};

#[async_trait]
impl Accounts for SqliteCatalog {
    async fn add_user(&self, user: &UserRow) -> Result<bool> {
        let user = user.clone();
        self.write(again!(|db| with user => ops::accounts::add_user(db, &user))).await
    }

    async fn user(&self, name: &str) -> Result<Option<UserRow>> {
        ops::accounts::user(&mut *self.reader().await?, name).await
    }

    async fn users(&self, after: Option<&str>, limit: u32) -> Result<Vec<UserRow>> {
        ops::accounts::users(&mut *self.reader().await?, after, limit).await
    }

    async fn change_user(&self, name: &str, change: &UserChange, now: Timestamp) -> Result<bool> {
        let (name, change) = (name.to_owned(), change.clone());
        self.write(again!(|db| with name, change => ops::accounts::change_user(db, &name, &change, now)))
            .await
    }

    async fn delete_user(&self, name: &str) -> Result<bool> {
        let name = name.to_owned();
        self.write(again!(|db| with name => ops::accounts::delete_user(db, &name))).await
    }

    async fn user_came(&self, name: &str, now: Timestamp) -> Result<()> {
        let name = name.to_owned();
        self.writer
            .submit(
                Durability::Process,
                again!(|db| with name => ops::accounts::user_came(db, &name, now)),
                |_| (),
            )
            .await
    }

    async fn count_admins(&self, most: u32) -> Result<u32> {
        ops::accounts::count_admins(&mut *self.reader().await?, most).await
    }

    async fn add_group(&self, group: &GroupRow) -> Result<bool> {
        let group = group.clone();
        self.write(again!(|db| with group => ops::accounts::add_group(db, &group))).await
    }

    async fn groups(&self, after: Option<&str>, limit: u32) -> Result<Vec<GroupRow>> {
        ops::accounts::groups(&mut *self.reader().await?, after, limit).await
    }

    async fn delete_group(&self, name: &str) -> Result<bool> {
        let name = name.to_owned();
        self.write(again!(|db| with name => ops::accounts::delete_group(db, &name))).await
    }

    async fn add_member(&self, group: &str, member: &str) -> Result<bool> {
        let (group, member) = (group.to_owned(), member.to_owned());
        self.write(again!(|db| with group, member => ops::accounts::add_member(db, &group, &member))).await
    }

    async fn remove_member(&self, group: &str, member: &str) -> Result<bool> {
        let (group, member) = (group.to_owned(), member.to_owned());
        self.write(again!(|db| with group, member => ops::accounts::remove_member(db, &group, &member))).await
    }

    async fn members(&self, group: &str, after: Option<&str>, limit: u32) -> Result<Option<Vec<String>>> {
        ops::accounts::members(&mut *self.reader().await?, group, after, limit).await
    }

    async fn groups_of(&self, member: &str) -> Result<Vec<String>> {
        ops::accounts::groups_of(&mut *self.reader().await?, member).await
    }

    async fn add_robot(&self, robot: &RobotRow) -> Result<bool> {
        let robot = robot.clone();
        self.write(again!(|db| with robot => ops::accounts::add_robot(db, &robot))).await
    }

    async fn robot(&self, name: &str) -> Result<Option<RobotRow>> {
        ops::accounts::robot(&mut *self.reader().await?, name).await
    }

    async fn robots(&self, after: Option<&str>, limit: u32) -> Result<Vec<RobotRow>> {
        ops::accounts::robots(&mut *self.reader().await?, after, limit).await
    }

    async fn change_robot(&self, name: &str, change: &RobotChange, now: Timestamp) -> Result<bool> {
        let (name, change) = (name.to_owned(), change.clone());
        self.write(again!(|db| with name, change => ops::accounts::change_robot(db, &name, &change, now)))
            .await
    }

    async fn delete_robot(&self, name: &str) -> Result<bool> {
        let name = name.to_owned();
        self.write(again!(|db| with name => ops::accounts::delete_robot(db, &name))).await
    }

    async fn robot_came(&self, name: &str, now: Timestamp) -> Result<()> {
        let name = name.to_owned();
        self.writer
            .submit(
                Durability::Process,
                again!(|db| with name => ops::accounts::robot_came(db, &name, now)),
                |_| (),
            )
            .await
    }
}
